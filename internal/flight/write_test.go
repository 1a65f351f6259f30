package flight

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// written are writes of a run, and what is known of them then.
var written = map[string]struct {
	writes func(r *Run[int, int])
	want   Outcome
}{
	"nothing sent": {func(*Run[int, int]) {}, NotSent},
	"held back":    {func(r *Run[int, int]) { r.Write().Uncommit(false) }, NotSent},
	"under way":    {func(r *Run[int, int]) { r.Write().Commit() }, Unknown},
	"refused": {func(r *Run[int, int]) {
		w := r.Write()
		w.Commit()
		w.Uncommit(true)
	}, Rejected},
	"refused, and held back then": {func(r *Run[int, int]) {
		w := r.Write()
		w.Commit()
		w.Uncommit(true)
		w.Uncommit(false)
	}, Rejected},
	"refused, and sent again": {func(r *Run[int, int]) {
		w := r.Write()
		w.Commit()
		w.Uncommit(true)
		w.Commit()
	}, Unknown},
	"one unclear, the next refused": {func(r *Run[int, int]) {
		r.Write().Commit()
		w := r.Write()
		w.Commit()
		w.Uncommit(true)
	}, Unknown},
}

// What the last caller can know of the writes of a run, and what a caller who leaves it to others.
func TestOutcome(t *testing.T) {
	for name, tc := range written {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *Group[int, int]) {
				work := func(ctx context.Context, r *Run[int, int]) error {
					tc.writes(r)
					return sleep(ctx, time.Hour)
				}
				go giveUp(t, g, Key{}, 2*time.Second, work)
				synctest.Wait()
				require.Equal(t, Unknown, giveUp(t, g, Key{}, time.Second, work).Outcome(), "it goes on for another")
				time.Sleep(time.Second)
				synctest.Wait()
				if g.Running() > 0 {
					require.Equal(t, Unknown, tc.want)
				}
				require.Equal(t, tc.want, giveUp(t, g, Key{}, time.Second, work).Outcome())
				time.Sleep(LongestUnattended)
			})
		})
	}
}

// A write is committed only while somebody waits.
func TestCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		committed := make(chan bool, 2)
		giveUp(t, g, Key{}, time.Second, func(ctx context.Context, r *Run[int, int]) error {
			committed <- r.Write().Commit()
			_ = sleep(ctx, time.Minute)
			require.NoError(t, ctx.Err())
			committed <- r.Write().Commit()
			return ctx.Err()
		})
		require.True(t, <-committed)
		require.False(t, <-committed)
	})
}
