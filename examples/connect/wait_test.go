package main

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink"
)

// slowLinks takes its time to notice that a wait has ended.
type slowLinks struct{ ended atomic.Int32 }

func (s *slowLinks) Await(
	ctx context.Context, _ string, _ duolink.AwaitOptions, _ ...duolink.CallOption,
) (*duolink.LoginLink, error) {
	<-ctx.Done()
	time.Sleep(time.Second) // virtual: in the bubble
	s.ended.Add(1)
	return nil, ctx.Err()
}

func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := &slowLinks{}
		w := newWaits(links, func(string, state, *duolink.LoginLink) { require.Fail(t, "nothing has arrived") })
		w.watch(connection{ID: "1"})
		w.watch(connection{ID: "1"})
		w.watch(connection{ID: "2"})
		synctest.Wait()
		w.stop()
		require.EqualValues(t, 2, links.ended.Load(), "what was under way has ended when stop returns")
		require.Zero(t, w.watch(connection{ID: "3"}), "and nothing begins any more")
		synctest.Wait()
		require.EqualValues(t, 2, links.ended.Load())
	})
}
