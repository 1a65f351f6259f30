package pace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// asking is a caller who asks for a group's permit, and what becomes of it.
type asking struct {
	done   chan struct{}
	at     time.Duration // since it asked
	permit Permit
	err    error
	waits  []time.Duration // as they were told
	reason Reason
}

func asks(ctx context.Context, gs *Groups, patience time.Duration) *asking {
	c := &asking{done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(c.done)
		c.permit, c.err = gs.Admit(ctx, "g", patience, func(r Reason, d time.Duration) {
			c.reason, c.waits = r, append(c.waits, d)
		})
		c.at = time.Since(began)
	}()
	synctest.Wait()
	return c
}

// patient is longer than any wait of these tests.
const patient = time.Hour

// within is a context that has a deadline, or none if that is 0.
func within(ctx context.Context, deadline time.Duration) (context.Context, context.CancelFunc) {
	if deadline == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, deadline)
}

// A closed group lets nothing out before its time, however many come and whenever. Then one goes
// ahead.
func TestClosedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs, began := NewGroups(), time.Now()
		closedGroup(gs, 10*time.Second)
		var all []*asking
		for range 10 {
			all = append(all, asks(t.Context(), gs, patient))
			time.Sleep(999 * time.Millisecond)
		}
		time.Sleep(10*time.Millisecond - time.Nanosecond)
		require.Equal(t, 10*time.Second-time.Nanosecond, time.Since(began))
		synctest.Wait()
		for _, c := range all {
			require.False(t, over(c))
		}
		time.Sleep(time.Nanosecond)
		<-all[0].done
		synctest.Wait()
		for i, c := range all {
			require.NoError(t, c.err)
			require.Equal(t, i == 0, over(c), "those who came first go first")
			require.Len(t, c.waits, 1)
			require.Equal(t, ReasonCooldown, c.reason)
		}
		require.Equal(t, began.Add(10*time.Second), all[0].permit.at)
		for _, c := range all { // each is accepted at once
			<-c.done
			require.NoError(t, c.err)
			gs.Accept("g", c.permit, time.Now())
			c.permit.Release()
		}
	})
}

func over(c *asking) bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// What becomes of the probe decides when the next one goes, and whether the third waits for that
// one's answer, or for the rate.
func TestProbe(t *testing.T) {
	const opens, answered = 10 * time.Second, 13 * time.Second
	for name, tc := range map[string]struct {
		answer        func(gs *Groups, probe Permit)
		second, third time.Duration
	}{
		"accepted": {func(gs *Groups, probe Permit) {
			gs.Accept("g", probe, time.Now())
			probe.Release()
		}, answered, answered + time.Second/2},
		"refused": {func(gs *Groups, probe Permit) {
			gs.Refuse("g", probe, time.Now(), 20*time.Second)
			probe.Release()
		}, answered + 20*time.Second, answered + 20*time.Second + probeLimit},
		"lost":         {func(_ *Groups, probe Permit) { probe.Release() }, answered, answered + probeLimit},
		"not answered": {func(*Groups, Permit) {}, opens + probeLimit, opens + 2*probeLimit},
		"answered after others went": {func(gs *Groups, probe Permit) {
			time.Sleep(probeLimit)
			gs.Accept("g", probe, time.Now())
			probe.Release() // its turn has passed on already
		}, opens + probeLimit, opens + 2*probeLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gs := NewGroups()
				closedGroup(gs, opens)
				first := asks(t.Context(), gs, patient)
				second, third := asks(t.Context(), gs, patient), asks(t.Context(), gs, patient)
				<-first.done
				require.Equal(t, opens, first.at)
				time.Sleep(answered - opens)
				tc.answer(gs, first.permit)
				<-second.done
				<-third.done
				require.Equal(t, tc.second, second.at)
				require.Equal(t, tc.third, third.at)
			})
		})
	}
}

// Whoever goes at the group's rate does not wait for the answers of those before.
func TestPacedRequestsDoNotWaitForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		pacedGroup(gs, 4)
		var all []*asking
		for range 20 {
			all = append(all, asks(t.Context(), gs, patient))
		}
		for i, c := range all {
			<-c.done
			require.Equal(t, time.Duration(i+1)*time.Second/4, c.at)
			require.Equal(t, ReasonRate, c.reason)
			require.Equal(t, []time.Duration{c.at}, c.waits)
		}
	})
}

// A permit of a group that was never refused is released as any other, and any one more than once.
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		Permit{}.Release()
		gs := NewGroups()
		first := asks(t.Context(), gs, 0)
		<-first.done
		first.permit.Release()
		g := closedGroup(gs, time.Second)
		probe, next := asks(t.Context(), gs, patient), asks(t.Context(), gs, patient)
		<-probe.done
		require.Equal(t, 2, gs.Busy(), "the probe, and who waits for its turn")
		for range 3 {
			probe.permit.Release()
		}
		<-next.done
		require.Len(t, g.turn, 1, "the next one's turn is its own")
		next.permit.Release()
		require.Zero(t, gs.Busy())
	})
}

// A wait that is longer than the patience, or that the deadline does not outlast, is not started:
// whoever asks knows at once. One that is as long as the patience is waited for, one that ends with
// the deadline is not.
func TestWhoIsRefusedAtOnce(t *testing.T) {
	closed := func(gs *Groups) { closedGroup(gs, 10*time.Second) }
	paced := func(gs *Groups) { pacedGroup(gs, 0.1) }
	open := func(gs *Groups) {
		pacedGroup(gs, 1)
		time.Sleep(time.Second)
	}
	for name, tc := range map[string]struct {
		group              func(gs *Groups)
		patience, deadline time.Duration // no deadline if it is 0
		wait               time.Duration
		refused            bool
	}{
		"closed, as long as the patience":   {closed, 10 * time.Second, 0, 10 * time.Second, false},
		"closed, longer than the patience":  {closed, 10*time.Second - 1, 0, 10 * time.Second, true},
		"closed, up to the deadline":        {closed, patient, 10 * time.Second, 10 * time.Second, true},
		"closed, the deadline outlasts it":  {closed, patient, 10*time.Second + 1, 10 * time.Second, false},
		"closed, neither is long enough":    {closed, time.Second, time.Second, 10 * time.Second, true},
		"paced, as long as the patience":    {paced, 10 * time.Second, 0, 10 * time.Second, false},
		"paced, longer than the patience":   {paced, 10*time.Second - 1, 0, 10 * time.Second, true},
		"paced, up to the deadline":         {paced, patient, 10 * time.Second, 10 * time.Second, true},
		"paced, the deadline outlasts it":   {paced, patient, 10*time.Second + 1, 10 * time.Second, false},
		"no wait, no patience":              {open, 0, 0, 0, false},
		"no wait, and a deadline":           {open, 0, 1, 0, false},
		"never refused, no patience at all": {func(*Groups) {}, 0, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gs := NewGroups()
				tc.group(gs)
				ctx, cancel := within(t.Context(), tc.deadline)
				defer cancel()
				c := asks(ctx, gs, tc.patience)
				<-c.done
				if tc.refused {
					require.Equal(t, TooLong{tc.wait}, c.err)
					require.Zero(t, c.at)
					require.Empty(t, c.waits, "a wait that does not start is not told")
				} else {
					require.NoError(t, c.err)
					require.Equal(t, tc.wait, c.at)
					require.Equal(t, tc.wait == 0, len(c.waits) == 0, "a wait of 0 is not told")
					c.permit.Release()
				}
				if g := gs.groups["g"]; g != nil {
					require.Zero(t, g.queued)
					require.Empty(t, g.turn)
				}
			})
		})
	}
}

// A group that is closed anew while somebody waits for it is waited for again, within the same
// patience and deadline.
func TestClosedAnewMeanwhile(t *testing.T) {
	for name, tc := range map[string]struct {
		patience, deadline time.Duration
		refused            bool
	}{
		"as long as the patience":  {20 * time.Second, 0, false},
		"longer than the patience": {20*time.Second - 1, 0, true},
		"up to the deadline":       {patient, 20 * time.Second, true},
		"the deadline outlasts it": {patient, 20*time.Second + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gs := NewGroups()
				closedGroup(gs, 10*time.Second)
				ctx, cancel := within(t.Context(), tc.deadline)
				defer cancel()
				c, next := asks(ctx, gs, tc.patience), asks(t.Context(), gs, patient)
				time.Sleep(5 * time.Second)
				gs.Refuse("g", Permit{}, time.Now(), 15*time.Second)
				gs.Refuse("g", Permit{}, time.Now(), time.Second) // a shorter time takes nothing back
				<-c.done
				if tc.refused {
					require.Equal(t, TooLong{10 * time.Second}, c.err)
					require.Equal(t, 10*time.Second, c.at)
				} else {
					require.NoError(t, c.err)
					require.Equal(t, 20*time.Second, c.at)
					c.permit.Release()
				}
				<-next.done
				require.Equal(t, 20*time.Second, next.at, "whoever gives up leaves the turn to the next")
				next.permit.Release()
				require.Zero(t, gs.groups["g"].queued)
				require.Empty(t, gs.groups["g"].turn)
			})
		})
	}
}

// Behind a probe, too, everybody waits for as long as they like: to the end of the patience, of the
// deadline, or until they give up. Those who are left take the turn in the order in which they
// came.
func TestTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		g := closedGroup(gs, time.Second)
		queued := func() int {
			gs.mu.Lock()
			defer gs.mu.Unlock()
			return g.queued
		}
		time.Sleep(3 * time.Second) // the rate would allow a request more
		probe := asks(t.Context(), gs, patient)
		time.Sleep(2 * time.Second)
		deadline, ends := context.WithTimeout(t.Context(), 3*time.Second)
		defer ends()
		canceled, cancel := context.WithCancelCause(t.Context())
		patience := asks(t.Context(), gs, 5*time.Second)
		until, gives := asks(deadline, gs, patient), asks(canceled, gs, patient)
		first, second := asks(t.Context(), gs, patient), asks(t.Context(), gs, patient)
		require.Empty(t, patience.waits, "how long a probe takes nobody knows")
		require.Equal(t, 5, queued())
		time.Sleep(4 * time.Second)
		cancel(nil)
		<-until.done
		<-gives.done
		<-patience.done
		require.Equal(t, TooLong{5 * time.Second}, patience.err)
		require.Equal(t, 5*time.Second, patience.at)
		require.ErrorIs(t, until.err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, until.at)
		require.ErrorIs(t, gives.err, context.Canceled)
		require.Equal(t, 4*time.Second, gives.at)
		require.Equal(t, 2, queued())
		probe.permit.Release()
		<-first.done
		first.permit.Release()
		<-second.done
		require.Equal(t, 5*time.Second, second.at)
		second.permit.Release()
		require.Zero(t, queued())
		require.Empty(t, g.turn)
	})
}

// Whoever holds the turn and gives up leaves it to the next, at that instant.
func TestTheTurnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		g := closedGroup(gs, 10*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		holder, next := asks(ctx, gs, patient), asks(t.Context(), gs, patient)
		time.Sleep(4 * time.Second)
		cancel()
		<-holder.done
		require.ErrorIs(t, holder.err, context.Canceled)
		require.Equal(t, 4*time.Second, holder.at)
		<-next.done
		require.Equal(t, 10*time.Second, next.at)
		next.permit.Release()
		require.Empty(t, g.turn)
	})
}

// A wait is estimated by when the group opens, by how many are waiting, and by the rate, which
// grows as fast as itself while it is searched for. One request goes without a wait if the rate has
// left room for one, at the latest when the group opens.
func TestEstimates(t *testing.T) {
	const second, ln4 = time.Second, 1386294361 // of 1 + 6/2
	for name, tc := range map[string]struct {
		queued int
		closed time.Duration
		rate   rate.Limit
		search bool
		rested time.Duration // since the latest request
		want   time.Duration
		reason Reason
	}{
		"open, rested":                         {0, 0, 2, false, second, 0, ReasonRate},
		"open, rested for long":                {0, 0, 2, false, 30 * second, 0, ReasonRate},
		"open, not rested":                     {0, 0, 2, false, 0, second / 2, ReasonRate},
		"open, half rested":                    {0, 0, 2, false, second / 4, second / 4, ReasonRate},
		"open, with a queue":                   {3, 0, 2, false, second, 3 * second / 2, ReasonRate},
		"open, slow":                           {3, 0, lowestRate, false, 0, 80 * second, ReasonRate},
		"closed, rested when it opens":         {0, 10 * second, 2, false, 0, 10 * second, ReasonCooldown},
		"closed, half rested when it opens":    {0, second / 4, 2, false, 0, second / 2, ReasonCooldown},
		"closed, with a queue":                 {4, 10 * second, 2, false, 0, 12 * second, ReasonCooldown},
		"closed, with a queue, rate not known": {6, 10 * second, 2, true, 0, 10*second + ln4, ReasonCooldown},
		"closed for a nanosecond":              {0, 1, 2, false, second, 1, ReasonCooldown},
		"closed for ever":                      {1, 1<<63 - 1, 2, false, second, 1<<63 - 1, ReasonCooldown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gs := NewGroups()
				g := pacedGroup(gs, tc.rate)
				time.Sleep(tc.rested)
				g.search, g.queued = tc.search, tc.queued
				if tc.closed > 0 {
					g.opensAt = time.Now().Add(tc.closed)
				}
				same, wait, reason := gs.enter("g", time.Now())
				require.Same(t, g, same)
				require.Equal(t, tc.want, wait)
				require.Equal(t, tc.reason, reason)
				require.Equal(t, tc.queued+1, g.queued)
				gs.leave(g)
				require.Equal(t, tc.queued, g.queued)
			})
		})
	}
}

// A probe goes whatever the rate is, but counts: the next is not right behind it.
func TestProbeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		g := pacedGroup(gs, 0.5)
		gs.Refuse("g", permitOf(g), time.Now(), time.Second/2) // the rate leaves no room before 2 s
		time.Sleep(time.Second/2 - 1)
		wait, _, _ := gs.tryToGo(g, time.Now())
		require.EqualValues(t, 1, wait, "not even a nanosecond too early")
		time.Sleep(time.Nanosecond)
		wait, epoch, probe := gs.tryToGo(g, time.Now())
		require.Zero(t, wait)
		require.True(t, probe)
		gs.Accept("g", Permit{epoch: epoch}, time.Now())
		wait, _, probe = gs.tryToGo(g, time.Now())
		require.False(t, probe)
		require.Greater(t, wait, time.Second)

		gs = NewGroups()
		g = closedGroup(gs, 10*time.Second) // it has room when it opens
		time.Sleep(10 * time.Second)
		_, epoch, _ = gs.tryToGo(g, time.Now())
		gs.Accept("g", Permit{epoch: epoch}, time.Now())
		wait, _, _ = gs.tryToGo(g, time.Now())
		require.Equal(t, time.Second/2, wait)
		again, _, _ := gs.tryToGo(g, time.Now())
		require.Equal(t, wait, again, "whoever is told to wait has not gone")
	})
}

// Whoever waits behind one probe after another still waits, so the group is not forgotten.
func TestQueueBehindLostProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		closedGroup(gs, time.Second)
		for range 10 {
			asks(t.Context(), gs, patient)
		}
		time.Sleep(time.Second + forgetAfter + probeLimit/2)
		late := asks(t.Context(), gs, patient)
		<-late.done
		require.Equal(t, probeLimit/2+3*probeLimit, late.at, "the eleventh goes 100 s after the group has opened")
	})
}
