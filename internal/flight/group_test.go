package flight

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// inBubble runs a test in virtual time, with a group, and expects that no run is left in the end.
func inBubble(t *testing.T, test func(t *testing.T, g *Group[int, int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup[int, int](&Unattended{})
		test(t, g)
		synctest.Wait()
		require.Zero(t, g.Running()+g.unattended.Len())
	})
}

// notes are what the goroutines of a test note.
type notes[T any] struct {
	mu  sync.Mutex
	all []T
}

func (n *notes[T]) add(note T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, note)
}

func (n *notes[T]) list() []T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// takes is work that brings a number after a while.
func takes(d time.Duration, brings int) Work[int, int] {
	return func(ctx context.Context, r *Run[int, int]) error {
		r.Result = brings
		return sleep(ctx, d)
	}
}

// giveUp joins a run and gives it up after a while.
func giveUp(t *testing.T, g *Group[int, int], key Key, after time.Duration, work Work[int, int]) *Run[int, int] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	r, err := g.Join(ctx, key, work, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	return r
}

func TestKeyOf(t *testing.T) {
	same := KeyOf("a", "b")
	require.Equal(t, same, KeyOf("a", "b"))
	for _, other := range [][]string{nil, {""}, {"a"}, {"ab"}, {"a b"}, {"b", "a"}, {"a", "b", ""}, {`a" "b`}} {
		require.NotEqual(t, same, KeyOf(other...), other)
	}
}

// Callers of the same key share a run, also if they come while it is under way, and callers of
// another key do not.
func TestJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		var runs notes[*Run[int, int]]
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				r, err := g.Join(t.Context(), KeyOf([]string{"a", "b"}[i%2]), takes(time.Minute, i), nil)
				require.NoError(t, err)
				require.NoError(t, r.Err)
				require.Equal(t, i%2, r.Result, "what the first one's work has brought")
				runs.add(r)
			})
		}
		calls.Wait()
		callers := map[*Run[int, int]]int{}
		for _, r := range runs.list() {
			callers[r]++
		}
		require.Len(t, callers, 2)
		require.Equal(t, 25, callers[runs.list()[0]])
	})
}

// A run that has ended can be joined until the first of its callers has left.
func TestHold(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		held, err := g.Hold(t.Context(), Key{}, takes(time.Second, 7), nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		joined, err := g.Join(t.Context(), Key{}, takes(time.Second, 8), nil)
		require.NoError(t, err)
		require.Same(t, held, joined)
		next, err := g.Join(t.Context(), Key{}, takes(time.Second, 8), nil)
		require.NoError(t, err)
		require.Equal(t, 8, next.Result)
		held.Leave()
	})
}

// Whoever has given up before starts nothing.
func TestJoinTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, err := g.Join(ctx, Key{}, takes(time.Second, 7), nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, NotSent, r.Outcome())
		require.Zero(t, g.Running())
	})
}

// Of all groups together that have a list, a hundred runs go on if nobody waits for them. Each one
// more ends the one that was left first. A run that somebody has come back to is not among them.
func TestUnattendedIsBounded(t *testing.T) {
	const given = 150
	synctest.Test(t, func(t *testing.T) {
		list := &Unattended{}
		groups := []*Group[int, int]{NewGroup[int, int](list), NewGroup[int, int](list)}
		var ended notes[int]
		var after notes[time.Duration]
		leave := func(i int) {
			giveUp(t, groups[i%2], Key{byte(i)}, time.Second, func(ctx context.Context, r *Run[int, int]) error {
				r.OnAbandoned = func(_ context.Context, d time.Duration) {
					ended.add(i)
					after.add(d)
				}
				require.True(t, r.Write().Commit())
				return sleep(ctx, time.Hour)
			})
			synctest.Wait()
			require.Equal(t, groups[0].Running()+groups[1].Running(), list.Len())
		}
		var want []int
		for i := range given {
			leave(i)
			want = append(want, i)
			require.Equal(t, min(i+1, MostUnattended), list.Len())
			require.Len(t, ended.list(), max(0, i+1-MostUnattended))
			if i == MostUnattended-1 { // somebody comes back to the first, which is the last then
				leave(0)
				want = append(want[1:], 0)
			}
		}
		time.Sleep(LongestUnattended)
		synctest.Wait()
		require.Zero(t, list.Len())
		require.Equal(t, want, ended.list())
		// One was left each second.
		early := slices.Repeat([]time.Duration{MostUnattended * time.Second}, given-MostUnattended)
		require.Equal(t, append(early, slices.Repeat([]time.Duration{LongestUnattended}, MostUnattended)...),
			after.list())
	})
}
