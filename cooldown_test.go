package duolink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// The rules of the pace, as they stand on top of cooldown.go, each shown by itself and in virtual
// time.

// free is a request's leave from a group in which nothing was refused yet.
func free() *pass { return &pass{release: func() {}} }

// epochOf is the leave of a request that goes out now.
func epochOf(g *group) *pass { return &pass{epoch: g.epoch, release: func() {}} }

// closedGroup is a group that was refused now, and what is known of it.
func closedGroup(p *pace, wait time.Duration) *group {
	p.refuse("g", free(), time.Now(), wait)
	return p.groups["g"]
}

// pacedGroup is a group whose probe has just been accepted, and that lets out so many requests a
// second.
func pacedGroup(p *pace, perSecond rate.Limit) *group {
	g := closedGroup(p, 0)
	_, _, _ = p.next(g, time.Now())
	p.accept("g", epochOf(g), time.Now())
	g.search = false
	g.limiter.SetLimit(perSecond)
	g.step = perSecond * increase
	return g
}

// asking is one who asks for a group's leave, and what becomes of it.
type asking struct {
	done   chan struct{}
	at     time.Duration // since it asked
	pass   *pass
	err    error
	waits  []time.Duration // as they were told
	reason WaitReason
}

func asks(ctx context.Context, p *pace, patience time.Duration) *asking {
	c := &asking{done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(c.done)
		c.pass, c.err = p.admit(ctx, "g", patience, func(r WaitReason, d time.Duration) {
			c.reason, c.waits = r, append(c.waits, d)
		})
		c.at = time.Since(began)
	}()
	synctest.Wait()
	return c
}

// patient is longer than any wait of these tests.
const patient = time.Hour

// A closed group lets nothing out before its time, however many come and whenever. Then one goes
// ahead.
func TestClosedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPace(), time.Now()
		closedGroup(p, 10*time.Second)
		var all []*asking
		for range 10 {
			all = append(all, asks(t.Context(), p, patient))
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
			require.Equal(t, WaitCooldown, c.reason)
		}
		require.Equal(t, began.Add(10*time.Second), all[0].pass.at)
		for _, c := range all { // each is accepted at once
			<-c.done
			require.NoError(t, c.err)
			p.accept("g", c.pass, time.Now())
			c.pass.release()
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
		answer        func(p *pace, probe *pass)
		second, third time.Duration
	}{
		"accepted": {func(p *pace, probe *pass) {
			p.accept("g", probe, time.Now())
			probe.release()
		}, answered, answered + time.Second/2},
		"refused": {func(p *pace, probe *pass) {
			p.refuse("g", probe, time.Now(), 20*time.Second)
			probe.release()
		}, answered + 20*time.Second, answered + 20*time.Second + probeLimit},
		"lost":         {func(_ *pace, probe *pass) { probe.release() }, answered, answered + probeLimit},
		"not answered": {func(*pace, *pass) {}, opens + probeLimit, opens + 2*probeLimit},
		"answered after others went": {func(p *pace, probe *pass) {
			time.Sleep(probeLimit)
			p.accept("g", probe, time.Now())
			probe.release() // its turn has passed on already
		}, opens + probeLimit, opens + 2*probeLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace()
				closedGroup(p, opens)
				first := asks(t.Context(), p, patient)
				second, third := asks(t.Context(), p, patient), asks(t.Context(), p, patient)
				<-first.done
				require.Equal(t, opens, first.at)
				time.Sleep(answered - opens)
				tc.answer(p, first.pass)
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
		p := newPace()
		pacedGroup(p, 4)
		var all []*asking
		for range 20 {
			all = append(all, asks(t.Context(), p, patient))
		}
		for i, c := range all {
			<-c.done
			require.Equal(t, time.Duration(i+1)*time.Second/4, c.at)
			require.Equal(t, WaitPace, c.reason)
			require.Equal(t, []time.Duration{c.at}, c.waits)
		}
	})
}

// A wait that is longer than the patience, or that the deadline does not outlast, is not started:
// whoever asks knows at once. One that is as long as the patience is waited for, one that ends with
// the deadline is not.
func TestWhoIsRefusedAtOnce(t *testing.T) {
	closed := func(p *pace) { closedGroup(p, 10*time.Second) }
	paced := func(p *pace) { pacedGroup(p, 0.1) }
	open := func(p *pace) {
		pacedGroup(p, 1)
		time.Sleep(time.Second)
	}
	for name, tc := range map[string]struct {
		group              func(p *pace)
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
		"never refused, no patience at all": {func(*pace) {}, 0, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace()
				tc.group(p)
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				c := asks(ctx, p, tc.patience)
				<-c.done
				if tc.refused {
					require.Equal(t, tooLong{tc.wait}, c.err)
					require.Zero(t, c.at)
					require.Empty(t, c.waits, "a wait that does not start is not told")
				} else {
					require.NoError(t, c.err)
					require.Equal(t, tc.wait, c.at)
					require.Equal(t, tc.wait == 0, len(c.waits) == 0, "a wait of 0 is not told")
					c.pass.release()
				}
				if g := p.groups["g"]; g != nil {
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
				p := newPace()
				closedGroup(p, 10*time.Second)
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				c, next := asks(ctx, p, tc.patience), asks(t.Context(), p, patient)
				time.Sleep(5 * time.Second)
				p.refuse("g", free(), time.Now(), 15*time.Second)
				p.refuse("g", free(), time.Now(), time.Second) // a shorter time takes nothing back
				<-c.done
				if tc.refused {
					require.Equal(t, tooLong{10 * time.Second}, c.err)
					require.Equal(t, 10*time.Second, c.at)
				} else {
					require.NoError(t, c.err)
					require.Equal(t, 20*time.Second, c.at)
					c.pass.release()
				}
				<-next.done
				require.Equal(t, 20*time.Second, next.at, "whoever gives up leaves the turn to the next")
				next.pass.release()
				require.Zero(t, p.groups["g"].queued)
				require.Empty(t, p.groups["g"].turn)
			})
		})
	}
}

// Behind a probe, too, everybody waits for as long as they like: to the end of the patience, of the
// deadline, or until they give up. Those who are left take the turn in the order in which they
// came.
func TestTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := closedGroup(p, time.Second)
		queued := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return g.queued
		}
		time.Sleep(3 * time.Second) // the rate would allow a request more
		probe := asks(t.Context(), p, patient)
		time.Sleep(2 * time.Second)
		deadline, ends := context.WithTimeout(t.Context(), 3*time.Second)
		defer ends()
		canceled, cancel := context.WithCancelCause(t.Context())
		patience := asks(t.Context(), p, 5*time.Second)
		until, gives := asks(deadline, p, patient), asks(canceled, p, patient)
		first, second := asks(t.Context(), p, patient), asks(t.Context(), p, patient)
		require.Empty(t, patience.waits, "how long a probe takes nobody knows")
		require.Equal(t, 5, queued())
		time.Sleep(4 * time.Second)
		cancel(nil)
		<-until.done
		<-gives.done
		<-patience.done
		require.Equal(t, tooLong{5 * time.Second}, patience.err)
		require.Equal(t, 5*time.Second, patience.at)
		require.ErrorIs(t, until.err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, until.at)
		require.ErrorIs(t, gives.err, context.Canceled)
		require.Equal(t, 4*time.Second, gives.at)
		require.Equal(t, 2, queued())
		probe.pass.release()
		<-first.done
		first.pass.release()
		<-second.done
		require.Equal(t, 5*time.Second, second.at)
		second.pass.release()
		require.Zero(t, queued())
		require.Empty(t, g.turn)
	})
}

// Whoever holds the turn and gives up leaves it to the next, at that instant.
func TestTheTurnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := closedGroup(p, 10*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		holder, next := asks(ctx, p, patient), asks(t.Context(), p, patient)
		time.Sleep(4 * time.Second)
		cancel()
		<-holder.done
		require.ErrorIs(t, holder.err, context.Canceled)
		require.Equal(t, 4*time.Second, holder.at)
		<-next.done
		require.Equal(t, 10*time.Second, next.at)
		next.pass.release()
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
		reason WaitReason
	}{
		"open, rested":                         {0, 0, 2, false, second, 0, WaitPace},
		"open, rested for long":                {0, 0, 2, false, 30 * second, 0, WaitPace},
		"open, not rested":                     {0, 0, 2, false, 0, second / 2, WaitPace},
		"open, half rested":                    {0, 0, 2, false, second / 4, second / 4, WaitPace},
		"open, with a queue":                   {3, 0, 2, false, second, 3 * second / 2, WaitPace},
		"open, slow":                           {3, 0, lowestRate, false, 0, 80 * second, WaitPace},
		"closed, rested when it opens":         {0, 10 * second, 2, false, 0, 10 * second, WaitCooldown},
		"closed, half rested when it opens":    {0, second / 4, 2, false, 0, second / 2, WaitCooldown},
		"closed, with a queue":                 {4, 10 * second, 2, false, 0, 12 * second, WaitCooldown},
		"closed, with a queue, rate not known": {6, 10 * second, 2, true, 0, 10*second + ln4, WaitCooldown},
		"closed for a nanosecond":              {0, 1, 2, false, second, 1, WaitCooldown},
		"closed for ever":                      {1, 1<<63 - 1, 2, false, second, 1<<63 - 1, WaitCooldown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace()
				g := pacedGroup(p, tc.rate)
				time.Sleep(tc.rested)
				g.search, g.queued = tc.search, tc.queued
				if tc.closed > 0 {
					g.openAt = time.Now().Add(tc.closed)
				}
				same, wait, reason := p.enter("g", time.Now())
				require.Same(t, g, same)
				require.Equal(t, tc.want, wait)
				require.Equal(t, tc.reason, reason)
				require.Equal(t, tc.queued+1, g.queued)
				p.leave(g)
				require.Equal(t, tc.queued, g.queued)
			})
		})
	}
}

// While the rate is searched for, it grows by a request a second with each that is accepted.
func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := closedGroup(p, time.Second)
		time.Sleep(time.Second)
		for i := range 10 {
			require.Equal(t, rate.Limit(i+1), g.limiter.Limit())
			require.True(t, g.search)
			p.accept("g", epochOf(g), time.Now())
			require.False(t, g.proving)
		}
	})
}

// The first refusal that is not a probe's ends the search, and takes a fifth of the rate.
func TestSearchEnds(t *testing.T) {
	for _, accepted := range []int{1, 2, 20, 1000} {
		synctest.Test(t, func(t *testing.T) {
			p := newPace()
			g := closedGroup(p, 0)
			p.refuse("g", epochOf(g), time.Now(), 0)
			require.True(t, g.search, "a probe says nothing of the rate")
			require.Equal(t, searchRate, g.limiter.Limit())
			for range accepted {
				p.accept("g", epochOf(g), time.Now())
			}
			want := rate.Limit(accepted+1) * decrease
			p.refuse("g", free(), time.Now(), 0)
			require.True(t, g.search, "nor does a request from before")
			g.proving = false
			p.refuse("g", epochOf(g), time.Now(), 5*time.Second)
			require.False(t, g.search)
			require.Equal(t, want, g.limiter.Limit())
			require.Equal(t, want*increase, g.step)
		})
	}
}

// A rate that is known grows by a hundredth of what it was at the last refusal in each second of
// acceptance, whatever it has become since.
func TestAdditiveIncrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := pacedGroup(p, 10)
		p.refuse("g", epochOf(g), time.Now(), time.Second)
		require.Equal(t, rate.Limit(8), g.limiter.Limit())
		for i := range 300 { // for five minutes, ten times faster
			for range 10 {
				p.accept("g", epochOf(g), time.Now().Add(time.Duration(i)*time.Second/10))
			}
		}
		// 3,000 requests at a rate that grows by 0.08 a second: with t seconds, 8 t + 0.04 t² of
		// them.
		require.InDelta(t, math.Sqrt(64+0.16*3000), float64(g.limiter.Limit()), 0.01)
		require.False(t, g.search)
		require.Equal(t, rate.Limit(8)*increase, g.step)
	})
}

// Each refusal takes a fifth of the rate, down to the lowest. One of a probe takes nothing, because
// it tells nothing of the rate.
func TestMultiplicativeDecrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := pacedGroup(p, 10)
		want := rate.Limit(10)
		for range 40 {
			p.refuse("g", epochOf(g), time.Now(), time.Second)
			want = max(want*0.8, lowestRate)
			require.Equal(t, want, g.limiter.Limit())
			require.Equal(t, want*increase, g.step)
			p.refuse("g", epochOf(g), time.Now(), time.Second)
			require.Equal(t, want, g.limiter.Limit(), "a probe")
			g.proving = false
		}
		require.Equal(t, lowestRate, want)
	})
}

// The search begins again when the group has been open for a minute: at the first that is accepted
// after it.
func TestSearchBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := pacedGroup(p, 10)
		p.refuse("g", epochOf(g), time.Now(), time.Hour)
		time.Sleep(time.Hour + searchAfter)
		p.accept("g", epochOf(g), time.Now())
		require.False(t, g.search)
		limit := g.limiter.Limit()
		time.Sleep(time.Nanosecond)
		p.accept("g", epochOf(g), time.Now())
		require.True(t, g.search)
		require.Equal(t, limit+searchRate, g.limiter.Limit())
	})
}

// A probe goes whatever the rate is, but counts: the next is not right behind it.
func TestProbeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		g := pacedGroup(p, 0.5)
		p.refuse("g", epochOf(g), time.Now(), time.Second/2) // the rate leaves no room before 2 s
		time.Sleep(time.Second/2 - 1)
		wait, _, _ := p.next(g, time.Now())
		require.EqualValues(t, 1, wait, "not even a nanosecond too early")
		time.Sleep(time.Nanosecond)
		wait, epoch, probe := p.next(g, time.Now())
		require.Zero(t, wait)
		require.True(t, probe)
		p.accept("g", &pass{epoch: epoch}, time.Now())
		wait, _, probe = p.next(g, time.Now())
		require.False(t, probe)
		require.Greater(t, wait, time.Second)

		p = newPace()
		g = closedGroup(p, 10*time.Second) // it has room when it opens
		time.Sleep(10 * time.Second)
		_, epoch, _ = p.next(g, time.Now())
		p.accept("g", &pass{epoch: epoch}, time.Now())
		wait, _, _ = p.next(g, time.Now())
		require.Equal(t, time.Second/2, wait)
		again, _, _ := p.next(g, time.Now())
		require.Equal(t, wait, again, "whoever is told to wait has not gone")
	})
}

// A group is forgotten when nobody had to wait for it for a minute: neither for its time nor for
// its rate.
func TestGroupIsForgotten(t *testing.T) {
	for name, tc := range map[string]struct {
		group     func(p *pace) *group // it was waited for at this instant
		waits     int                  // and still is, by so many
		after     time.Duration
		forgotten bool
	}{
		"a minute after it opened":         {opened, 0, paceEnds, false},
		"more than that after it opened":   {opened, 0, paceEnds + 1, true},
		"much later, but somebody waits":   {opened, 1, time.Hour, false},
		"a minute after a wait":            {waited, 0, paceEnds, false},
		"more than that after a wait":      {waited, 0, paceEnds + 1, true},
		"closed again, before it opens":    {reclosed, 0, 2 * paceEnds, false},
		"closed again, a minute after":     {reclosed, 0, time.Hour + paceEnds, false},
		"closed again, more than that":     {reclosed, 0, time.Hour + paceEnds + 1, true},
		"closed again by an older request": {reclosedLate, 0, time.Hour + paceEnds, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace()
				g := tc.group(p)
				g.queued = tc.waits
				time.Sleep(tc.after)
				found, wait, reason := p.enter("g", time.Now())
				if tc.forgotten {
					require.Nil(t, found)
					require.Zero(t, wait)
					require.Empty(t, reason)
					require.Empty(t, p.groups)
				} else {
					require.Same(t, g, found)
				}
			})
		})
	}
}

// opened is a group that opens now.
func opened(p *pace) *group {
	g := closedGroup(p, time.Minute)
	time.Sleep(time.Minute)
	return g
}

// waited is a group whose rate somebody has to wait for now, a minute after it opened.
func waited(p *pace) *group {
	g := pacedGroup(p, lowestRate)
	time.Sleep(paceEnds)
	_, _, _ = p.next(g, time.Now())
	_, _, _ = p.next(g, time.Now())
	return g
}

// reclosed is a group that is closed again, for an hour from now.
func reclosed(p *pace) *group {
	g := opened(p)
	p.refuse("g", epochOf(g), time.Now(), time.Hour)
	return g
}

func reclosedLate(p *pace) *group {
	g := opened(p)
	p.refuse("g", free(), time.Now(), time.Hour)
	return g
}

// Whoever waits behind one probe after another still waits, so the group is not forgotten.
func TestQueueBehindLostProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		closedGroup(p, time.Second)
		for range 10 {
			asks(t.Context(), p, patient)
		}
		time.Sleep(time.Second + paceEnds + probeLimit/2)
		late := asks(t.Context(), p, patient)
		<-late.done
		require.Equal(t, probeLimit/2+3*probeLimit, late.at, "the eleventh goes 100 s after the group has opened")
	})
}

// The keys of two groups are the same only if all of their parts are.
func TestGroupKeys(t *testing.T) {
	require.Equal(t, groupKey("links.get", "a", "bc"), groupKey("links.get", "a", "bc"))
	keys := map[string]bool{}
	for _, parts := range [][]string{
		{"a", "bc"}, {"ab", "c"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"a", "b", "c"}, {"a", "b", "d"}, {},
	} {
		for _, name := range []string{"links.get", "links.list"} {
			key := groupKey(name, parts...)
			require.Regexp(t, "^"+name+"/[0-9a-f]{16}$", key)
			keys[key] = true
		}
	}
	require.Len(t, keys, 16)
}

// A closed group that was kept as a hash and a time comes back with a rate that is searched for, as
// one of which nothing is known.
func TestRateOfAShutGroupIsSearchedFor(t *testing.T) {
	p, now := newPace(), time.Now()
	for i := range mostGroups + 1 {
		p.refuse(strconv.Itoa(i), free(), now, time.Minute)
	}
	require.Nil(t, p.groups["0"])
	g, wait, reason := p.enter("0", now)
	require.Equal(t, time.Minute, wait)
	require.Equal(t, WaitCooldown, reason)
	require.True(t, g.search)
	require.Equal(t, searchRate, g.limiter.Limit())
	require.True(t, g.proving)
}

// An answer to a request from before a refusal tells nothing of the time after it, whatever has
// become of its group: it is not the probe's, and the rate and the count of refusals stay.
func TestAnswersFromBeforeARefusal(t *testing.T) {
	crowd := func(p *pace, now time.Time) {
		for i := range mostGroups {
			p.refuse(strconv.Itoa(i), free(), now, time.Minute)
		}
	}
	for name, meanwhile := range map[string]func(p *pace, same *pass, now time.Time) time.Time{
		"one of the same time is refused": func(p *pace, same *pass, now time.Time) time.Time {
			p.refuse("g", same, now, time.Minute)
			return now
		},
		"one from before is refused": func(p *pace, _ *pass, now time.Time) time.Time {
			p.refuse("g", free(), now, time.Minute)
			return now
		},
		"the group is forgotten, and made anew": func(p *pace, _ *pass, now time.Time) time.Time {
			now = now.Add(paceEnds + 2)
			g, _, _ := p.enter("g", now)
			require.Nil(t, g)
			p.refuse("g", free(), now, time.Minute)
			return now
		},
		"the group is thrown out, and made anew": func(p *pace, _ *pass, now time.Time) time.Time {
			crowd(p, now)
			require.Nil(t, p.groups["g"])
			p.refuse("g", free(), now, time.Minute)
			return now
		},
		"the group is kept as a hash and a time, and comes back": func(p *pace, same *pass, now time.Time) time.Time {
			p.refuse("g", same, now, time.Minute)
			crowd(p, now)
			require.Nil(t, p.groups["g"])
			g, _, _ := p.enter("g", now)
			p.leave(g)
			return now
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, now := newPace(), time.Now()
			p.refuse("g", free(), now, time.Second)
			now = now.Add(time.Second)
			_, epoch, probe := p.next(p.groups["g"], now)
			require.True(t, probe)
			p.accept("g", &pass{epoch: epoch}, now)
			now = now.Add(time.Second)
			_, epoch, probe = p.next(p.groups["g"], now)
			require.False(t, probe)

			now = meanwhile(p, &pass{epoch: epoch}, now)
			g := p.groups["g"]
			limit, streak := g.limiter.Limit(), g.streak
			require.True(t, g.proving)
			p.accept("g", &pass{epoch: epoch}, now)
			require.True(t, g.proving)
			require.Equal(t, limit, g.limiter.Limit())
			p.refuse("g", &pass{epoch: epoch}, now, time.Hour)
			require.Equal(t, limit, g.limiter.Limit())
			require.Equal(t, streak, g.streak)
			require.Equal(t, now.Add(time.Hour), g.openAt, "but it closes the group")
		})
	}
}

// perLink are the operations that MoneyKit counts by link and by application. At the Plaid-
// compatible layer the access token is the link.
var perLink = map[string]func(ctx context.Context, c *Client, link string, opts ...CallOption) error{
	"identity.get": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Identity.Get(ctx, link, IdentityQuery{}, opts...)
		return err
	},
	"identity.link": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Identity.Link(ctx, link, opts...)
		return err
	},
	"auth.numbers": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Auth.Numbers(ctx, link, opts...)
		return err
	},
	"auth.get": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret(link)}, opts...)
		return err
	},
}

// linkCall calls one of them.
type linkCall func(link string, opts ...CallOption) error

// eachPerLink runs a test in virtual time for each of them, with a client whose server is a
// function.
func eachPerLink(t *testing.T, test func(t *testing.T, s *answerer, call linkCall), opts ...Option) {
	t.Helper()
	for operation, call := range perLink {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{good: answers[operation], began: time.Now()}
				c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: s}, opts...)
				test(t, s, func(link string, opts ...CallOption) error { return call(t.Context(), c, link, opts...) })
			})
		})
	}
}

// answerer is a server in memory, which answers at once, or after a while. It notes when requests
// come.
type answerer struct {
	good  string // the body of an answer that is good
	began time.Time

	mu    sync.Mutex
	next  func(r *http.Request) *http.Response // nil, or if it returns nil: a good answer
	delay time.Duration
	dial  time.Duration // until a request has its connection
	mute  bool          // it tells nothing of connections
	at    []time.Duration
}

func (s *answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.mute {
		if err := connected(r, s.dial); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.at = append(s.at, time.Since(s.began))
	answer, delay := s.next, s.delay
	s.mu.Unlock()
	if err := sleep(r.Context(), delay); err != nil {
		return nil, err
	}
	if answer != nil {
		if resp := answer(r); resp != nil {
			return resp, nil
		}
	}
	return reply(http.StatusOK, s.good), nil
}

// connected is what net/http tells of a connection: that it looks for one, and then that it has
// one, which may be too late.
func connected(r *http.Request, after time.Duration) error {
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GetConn("")
	if err := sleep(r.Context(), after); err != nil {
		return err
	}
	conn, _ := net.Pipe()
	trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	return context.Cause(r.Context())
}

// answering has the server answer otherwise from now on.
func (s *answerer) answering(answer func(r *http.Request) *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = answer
}

// slowly has it take its time from now on.
func (s *answerer) slowly(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// refusing is a server that refuses everything.
func refusing(retryAfter string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		return reply(http.StatusTooManyRequests, "{}", "Retry-After", retryAfter)
	}
}

// fleet calls once for each of many links, a new one every so often, and returns how the calls
// ended.
func fleet(links int, every time.Duration, call linkCall) (ended []error) {
	ended = make([]error, links)
	var wg sync.WaitGroup
	for i := range links {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * every)
			ended[i] = call(strconv.Itoa(i))
		})
	}
	wg.Wait()
	return ended
}

// 2,000 links with a caller each, a new one every 10 ms, and an application that may make 600
// requests a minute: few are refused, because five refused links tell that it is the application,
// and then all of them wait, and go at its rate.
func TestApplicationLimit(t *testing.T) {
	servers := map[string]func(rest time.Duration) time.Duration{
		"it always says fifty seconds": func(time.Duration) time.Duration { return 50 * time.Second },
	}
	if !inShort() {
		servers["the server tells the time that is left"] = func(rest time.Duration) time.Duration { return rest }
		servers["it says nothing"] = func(time.Duration) time.Duration { return 0 }
	}
	for name, wait := range servers {
		t.Run(name, func(t *testing.T) {
			eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
				const perMinute = 600
				links := 2000
				if inShort() {
					links = 800
				}
				var window time.Time
				var taken, refused, later int
				s.answering(func(*http.Request) *http.Response {
					s.mu.Lock()
					defer s.mu.Unlock()
					now := time.Now()
					if now.Sub(window) >= time.Minute {
						window, taken = now, 0
					}
					if now.Sub(s.began) > time.Second {
						later++
					}
					if taken++; taken <= perMinute {
						return nil
					}
					refused++
					resp := reply(http.StatusTooManyRequests, "{}")
					if w := wait(window.Add(time.Minute).Sub(now)); w > 0 {
						resp.Header.Set("Retry-After", strconv.Itoa(int((w+time.Second-1)/time.Second)))
					}
					return resp
				})
				for _, err := range fleet(links, 10*time.Millisecond, call) {
					require.NoError(t, err)
				}
				share := float64(refused) / float64(later)
				t.Logf("%s: %d links: %d requests, %d of %d refused after the first second (%.1f %%), in %v",
					name, links, len(s.at), refused, later, 100*share, time.Since(s.began).Round(time.Second))
				require.LessOrEqual(t, share, 0.05)
			}, WithRetry(Retry{MaxWait: time.Hour, MaxAttempts: 20}))
		})
	}
}

// An application is held back for a minute at most, whatever its links were told: its limits are
// per minute.
func TestApplicationIsHeldForAMinute(t *testing.T) {
	for told, application := range map[string]time.Duration{
		"3600": time.Minute, "61": time.Minute, "60": time.Minute, "59": 59 * time.Second, "1": time.Second,
	} {
		eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
			s.answering(refusing(told))
			for i := range enoughStrikes {
				require.ErrorIs(t, call(strconv.Itoa(i), WithoutRetry()), ErrRateLimited)
			}
			s.answering(nil)
			require.NoError(t, call("another", WithMaxWait(time.Hour)))
			require.Equal(t, application, time.Since(s.began))
			require.NoError(t, call("0", WithMaxWait(time.Hour)))
			link := time.Since(s.began)
			require.Equal(t, told, strconv.Itoa(int(link.Seconds())), "the link itself waits as it was told")
		})
	}
}

// A link that is refused again and again holds no other link up: that is its own limit.
func TestOneLinkHoldsNoOther(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
		for range 20 {
			s.answering(refusing("1"))
			require.ErrorIs(t, call("one", WithoutRetry()), ErrRateLimited)
			s.answering(nil)
			before := time.Now()
			require.NoError(t, call("another"))
			require.Zero(t, time.Since(before))
			time.Sleep(time.Second)
		}
		s.answering(refusing("1"))
		for range 20 { // and no other link is accepted meanwhile
			require.ErrorIs(t, call("one", WithoutRetry()), ErrRateLimited)
		}
		s.answering(nil)
		before := time.Now()
		require.NoError(t, call("another"))
		require.Zero(t, time.Since(before))
	})
}

// Links that are refused, each for its own sake, while others are accepted, do not hold the
// application up.
func TestLinksThatAreRefusedForThemselves(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
		for i := range 20 {
			time.Sleep(10 * time.Millisecond)
			s.answering(refusing("100"))
			require.ErrorIs(t, call(strconv.Itoa(i)), ErrRateLimited)
			time.Sleep(10 * time.Millisecond)
			s.answering(nil)
			before := time.Now()
			require.NoError(t, call("another"))
			require.Zero(t, time.Since(before))
		}
	})
}

// An answer to a request from before the first of the refusals tells nothing: the application's
// limit may have been reached since.
func TestAnswersFromBeforeTheFirstStrike(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
		var wg sync.WaitGroup
		s.slowly(2 * time.Second)
		for i := range 3 {
			wg.Go(func() { require.NoError(t, call("slow"+strconv.Itoa(i))) })
			time.Sleep(time.Second / 2)
		}
		s.slowly(0)
		s.answering(refusing("100"))
		for i := range enoughStrikes {
			require.ErrorIs(t, call(strconv.Itoa(i)), ErrRateLimited)
			if i == 1 {
				wg.Wait()
			}
		}
		require.ErrorIs(t, call("another", WithMaxWait(0)), ErrRateLimited)
		require.Len(t, s.at, 3+enoughStrikes, "it is not sent")
	})
}

// Refreshes have no limit of the application's: each link waits for itself.
func TestRefreshesAreNotHeldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{good: answers["identity.refresh"], began: time.Now()}
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
		s.answering(refusing("100"))
		for i := range 4 * enoughStrikes {
			_, err := c.Identity.Refresh(t.Context(), strconv.Itoa(i), []Product{ProductIdentity})
			require.ErrorIs(t, err, ErrRateLimited)
		}
		require.Len(t, s.at, 4*enoughStrikes)
		s.answering(nil)
		_, err := c.Identity.Refresh(t.Context(), "another", []Product{ProductIdentity})
		require.NoError(t, err)
		require.Zero(t, time.Since(s.began))
	})
}

// What a strike is: five different links, within ten seconds, and nothing accepted that was sent
// since the first.
func TestStrikes(t *testing.T) {
	const app = "identity.get/all"
	type step struct {
		after    time.Duration // since the one before
		link     string
		accepted time.Duration // if no link is refused: a request is accepted that was sent so long ago
		other    bool          // by another application
		whole    bool
	}
	strikes := func(links ...string) (steps []step) {
		for _, l := range links {
			steps = append(steps, step{link: l})
		}
		return steps
	}
	steps := func(parts ...[]step) []step { return slices.Concat(parts...) }
	refused, four := func(s step) []step { return []step{s} }, strikes("a", "b", "c", "d")
	fifth, late := refused(step{link: "e", whole: true}), refused(step{after: strikesFor + 1, link: "f"})
	for name, steps := range map[string][]step{
		"four links":                     four,
		"five links":                     steps(four, fifth),
		"and then they are counted anew": steps(four, fifth, four, fifth),
		"one of them twice":              steps(four, strikes("b"), fifth),
		"one link alone":                 strikes("a", "a", "a", "a", "a", "a", "a"),
		"the fifth after ten seconds":    steps(four, refused(step{after: strikesFor, link: "e", whole: true})),
		"the fifth after more than that": steps(four, late),
		"which is the first of the next": steps(four, late, four[:3], fifth),
		"one that was sent later":        steps(four[:1], refused(step{after: 1}), four[1:], strikes("e")),
		"one that was sent at that time": steps(four, refused(step{accepted: 0}), fifth),
		"one that was sent before":       steps(four, refused(step{accepted: 1}), fifth),
		"one that was sent just after":   steps(four[:1], refused(step{after: 2, accepted: 1}), four[1:], strikes("e")),
		"five within ten seconds, not the first": steps(
			four[:1], refused(step{after: 6 * time.Second, link: "b"}), four[2:],
			refused(step{after: 5 * time.Second, link: "f"}), fifth),
		"one that was sent after the first alone": steps(
			four[:1], refused(step{after: 2, link: "b"}), refused(step{after: 2, accepted: 3}),
			four[2:], strikes("f"), fifth),
		"one of another application": steps(four[:1], refused(step{after: 1, other: true}), four[1:], fifth),
	} {
		t.Run(name, func(t *testing.T) {
			p, now := newPace(), time.Now()
			for i, s := range steps {
				now = now.Add(s.after)
				switch {
				case s.link != "":
					require.Equal(t, s.whole, p.whole(app, s.link, free(), now), "step %d", i)
				case s.other:
					p.accept("another", &pass{at: now}, now)
				default:
					p.accept(app, &pass{at: now.Add(-s.accepted)}, now)
				}
			}
		})
	}
}

// The refusal of an application's probe is the application's, whichever link it was for; not so one
// of a request from before, and not one after the application was accepted again.
func TestStrikeOfTheProbe(t *testing.T) {
	p, now := newPace(), time.Now()
	p.refuse("all", free(), now, time.Second)
	g := p.groups["all"]
	require.False(t, p.whole("all", "a", free(), now))
	require.True(t, p.whole("all", "a", epochOf(g), now))
	p.accept("all", epochOf(g), now)
	require.False(t, p.whole("all", "a", epochOf(g), now))
	require.False(t, p.whole("another", "a", epochOf(g), now))
}

// Of too many applications, all are counted anew.
func TestStrikesAreBounded(t *testing.T) {
	p, now := newPace(), time.Now()
	for i := range mostStrikes {
		require.False(t, p.whole(strconv.Itoa(i), "a", free(), now))
	}
	require.Equal(t, mostStrikes, len(p.strikes))
	for _, link := range []string{"b", "c", "d"} {
		require.False(t, p.whole("0", link, free(), now))
	}
	require.Equal(t, mostStrikes, len(p.strikes))
	require.False(t, p.whole("one more", "a", free(), now))
	require.Equal(t, 1, len(p.strikes))
	require.False(t, p.whole("0", "e", free(), now))
}

// askedGroups are the limit groups that a call belongs to, as a caller's Limiter is asked for them.
func askedGroups(t *testing.T, call func(context.Context, *Client) error, opts ...Option) []string {
	t.Helper()
	l, s := &recordingLimiter{}, &answerer{}
	s.answering(func(*http.Request) *http.Response { return reply(http.StatusBadRequest, "{}") })
	c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, append(opts, WithLimiter(l))...)
	require.ErrorIs(t, call(t.Context(), c), ErrBadRequest)
	return l.groups
}

// What is counted together: at Supermetrics a credential, and its queries to a data source; at
// MoneyKit an operation on a link, or a refresh of a product of it, and all of an application's
// requests of an operation.
func TestGroupsOfCalls(t *testing.T) {
	const all = "supermetrics"
	for operation, want := range map[string][]string{
		"logins.list_accounts":           {"logins.list_accounts", all},
		"logins.list_accounts, streamed": {"logins.list_accounts", all},
		"logins.list":                    {all}, "logins.get": {all}, "logins.revoke": {all}, "logins.accounts": {all},
		"links.list": {all}, "links.create": {all}, "links.get": {all}, "links.update": {all}, "links.close": {all},
		"identity.get": {"identity.get", "identity.get/all"}, "identity.link": {"identity.link", "identity.link/all"},
		"auth.numbers": {"auth.numbers", "auth.numbers/all"}, "auth.get": {"auth.get", "auth.get/all"},
		"identity.refresh": {"identity.refresh"},
	} {
		var names []string
		call := func(ctx context.Context, c *Client) error { return calls[operation](ctx, c) }
		for _, key := range askedGroups(t, call) {
			names = append(names, key[:strings.LastIndex(key, "/")])
		}
		require.Equal(t, want, names, operation)
		_, whole := perLink[operation]
		require.Equal(t, whole, strings.HasSuffix(names[len(names)-1], "/all"), operation)
	}
	require.Len(t, calls, 16, "each stands above")

	products := func(products ...Product) []string { return askedGroups(t, refresh(products...)) }
	identity, numbers := products(ProductIdentity), products(ProductAccountNumbers)
	require.NotEqual(t, identity, numbers)
	require.Equal(t, slices.Concat(numbers, identity), products(ProductIdentity, ProductAccountNumbers))
	require.Equal(t, slices.Concat(numbers, identity), products(ProductAccountNumbers, ProductIdentity), "in one order")

	query := func(id string, opts ...CallOption) []string {
		return askedGroups(t, func(ctx context.Context, c *Client) error {
			_, err := c.Logins.ListAccounts(ctx, AccountsQuery{DataSourceID: id}, opts...)
			return err
		})
	}
	require.NotEqual(t, query("GAWA")[0], query("FA")[0])
	require.Equal(t, query("GAWA")[1], query("FA")[1])
	require.NotEqual(t, query("GAWA")[0], query("GAWA", WithToken("another"))[0])
	require.NotEqual(t, query("GAWA")[1], query("GAWA", WithToken("another"))[1])
	for _, call := range perLink {
		link := func(id string, opts ...Option) []string {
			return askedGroups(t, func(ctx context.Context, c *Client) error { return call(ctx, c, id) }, opts...)
		}
		require.NotEqual(t, link("a")[0], link("b")[0])
		require.Equal(t, link("a")[1], link("b")[1])
	}
}

// held reports that a call would have to wait for its limit group.
func held(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	e := asError(t, err)
	require.ErrorIs(t, e, ErrRateLimited)
	return e.Outcome == NotSent
}

// The daily quota is a data source's: its queries alone are held until it is due again. Any other
// limit is the credential's.
func TestDailyQuota(t *testing.T) {
	for name, tc := range map[string]struct {
		code    Code
		wait    string
		queries bool // the data source's queries are held
		all     bool // and so is all else of the credential
	}{
		"the quota, for an hour":          {CodeLicenseDailyQueryLimitExceeded, "3600", true, false},
		"the quota, nobody knows for how": {CodeLicenseDailyQueryLimitExceeded, "", false, false},
		"another limit":                   {CodeRateLimitExceeded, "3600", true, true},
		"another quota":                   {"LICENSE_QUERIES_SUSPENDED", "3600", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{began: time.Now()}
				refuse := func(*http.Request) *http.Response {
					return reply(429, envelopeBody(string(tc.code)), "Retry-After", tc.wait)
				}
				s.answering(refuse)
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				query := func(id string, opts ...CallOption) error {
					_, err := c.Logins.ListAccounts(t.Context(), AccountsQuery{DataSourceID: id}, opts...)
					return err
				}
				require.False(t, held(t, query("GAWA")))
				for operation, call := range calls {
					s.answering(func(*http.Request) *http.Response { return reply(200, answers[operation]) })
					ours := strings.HasPrefix(operation, "logins") || strings.HasPrefix(operation, "links")
					want := tc.all && ours
					if strings.HasPrefix(operation, "logins.list_accounts") {
						want = tc.queries
					}
					require.Equal(t, want, held(t, call(t.Context(), c)), operation)
					if ours {
						require.False(t, held(t, call(t.Context(), c, WithToken("another"))), operation)
					}
				}
				s.answering(func(*http.Request) *http.Response { return reply(200, answers["logins.list_accounts"]) })
				require.Equal(t, tc.all, held(t, query("FA")))
				time.Sleep(time.Hour)
				require.False(t, held(t, query("GAWA")))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // any other call has no such group, and is not held
		s := &answerer{began: time.Now()}
		s.answering(func(*http.Request) *http.Response {
			return reply(429, envelopeBody(string(CodeLicenseDailyQueryLimitExceeded)), "Retry-After", "3600")
		})
		cooled := 0
		hooks := WithHooks(Hooks{Cooldown: func(context.Context, Cooldown) { cooled++ }})
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, hooks)
		require.False(t, held(t, calls["links.list"](t.Context(), c)))
		require.False(t, held(t, calls["links.list"](t.Context(), c)))
		require.Zero(t, cooled)
		require.Zero(t, c.RateLimit(Supermetrics).CooldownUntil)
	})
}

// A refresh is counted for each product that it asks for, on its link: a refusal holds those
// products of that link.
func TestRefreshesPerProduct(t *testing.T) {
	const identity, numbers, transactions = ProductIdentity, ProductAccountNumbers, ProductTransactions
	for name, tc := range map[string]struct {
		refused, asked []Product
		link           string
		held           bool
	}{
		"the same":                      {[]Product{identity}, []Product{identity}, bankLink, true},
		"another product":               {[]Product{identity}, []Product{numbers}, bankLink, false},
		"another link":                  {[]Product{identity}, []Product{identity}, "another", false},
		"both, and the same in between": {[]Product{identity}, []Product{numbers, identity}, bankLink, true},
		"each of two, the first":        {[]Product{identity, numbers}, []Product{identity}, bankLink, true},
		"each of two, the second":       {[]Product{identity, numbers}, []Product{numbers}, bankLink, true},
		"neither of two":                {[]Product{identity, numbers}, []Product{transactions}, bankLink, false},
		"in another order":              {[]Product{identity, numbers}, []Product{numbers, identity}, bankLink, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{good: answers["identity.refresh"], began: time.Now()}
				s.answering(refusing("3600"))
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				_, err := c.Identity.Refresh(t.Context(), bankLink, tc.refused)
				require.False(t, held(t, err))
				s.answering(nil)
				_, err = c.Identity.Refresh(t.Context(), tc.link, tc.asked)
				require.Equal(t, tc.held, held(t, err))
				_, err = c.Identity.Link(t.Context(), bankLink)
				require.NoError(t, err)
			})
		})
	}
}

// A group is closed by a refusal because of its rate, and by a server that is down and says until
// when. Anything else is an answer.
func TestWhatClosesAGroup(t *testing.T) {
	plaid, other := plaidBody("RATE_LIMIT_EXCEEDED", "AUTH_LIMIT"), plaidBody("INVALID_INPUT", "INVALID_ACCESS_TOKEN")
	for name, tc := range map[string]struct {
		operation string
		status    int
		body      string
		wait      string
		closes    bool
	}{
		"429":                          {"links.list", 429, "{}", "", true},
		"429, and a time":              {"links.list", 429, "{}", "60", true},
		"429 of a licence":             {"links.list", 429, envelopeBody("LICENSE_EXPIRED"), "", false},
		"429 of a licence, and a time": {"links.list", 429, envelopeBody("LICENSE_EXPIRED"), "60", true},
		"503":                          {"links.list", 503, "{}", "", false},
		"503, and a time":              {"links.list", 503, "{}", "60", true},
		"500, and a time":              {"links.list", 500, "{}", "60", true},
		"599, and a time":              {"identity.link", 599, "{}", "60", true},
		"499, and a time":              {"links.list", 499, "{}", "60", false},
		"408, and a time":              {"links.list", 408, "{}", "60", false},
		"302, and a time":              {"links.list", 302, "{}", "60", false},
		"200, and a time":              {"links.list", 200, answers["links.list"], "60", false},
		"a 400 that says the same":     {"auth.get", 400, plaid, "", true},
		"with a time":                  {"auth.get", 400, plaid, "60", true},
		"another 400":                  {"auth.get", 400, other, "60", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{began: time.Now()}
				s.answering(func(*http.Request) *http.Response {
					return reply(tc.status, tc.body, "Retry-After", tc.wait)
				})
				var cooled []time.Duration
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, WithHooks(Hooks{
					Cooldown: func(_ context.Context, cd Cooldown) { cooled = append(cooled, cd.Duration) },
				}))
				_ = calls[tc.operation](t.Context(), c, WithoutRetry())
				require.Equal(t, tc.closes, len(cooled) == 1)
				require.Equal(t, tc.closes, len(c.pace.groups) == 1)
				told := false
				for _, api := range []API{Supermetrics, MoneyKit, PlaidCompatible} {
					told = told || !c.RateLimit(api).CooldownUntil.IsZero()
				}
				require.Equal(t, tc.closes, told)
				for _, g := range c.pace.groups {
					require.Equal(t, cooled[0], time.Until(g.openAt))
					if tc.wait != "" {
						require.Equal(t, time.Minute, cooled[0])
					}
				}
			})
		})
	}
}

// RateLimit tells when the groups of the client's own credential open, and nothing of another's.
func TestCooldownOfAnotherTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{began: time.Now()}
		s.answering(refusing("60"))
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
		require.Error(t, calls["links.list"](t.Context(), c, WithoutRetry(), WithToken("another")))
		require.Zero(t, c.RateLimit(Supermetrics).CooldownUntil)
		require.Error(t, calls["links.list"](t.Context(), c, WithoutRetry()))
		require.Equal(t, s.began.Add(time.Minute), c.RateLimit(Supermetrics).CooldownUntil)
	})
}

// The wait that a refusal without Retry-After costs doubles with each that follows another, whoever
// is refused, and with each attempt of a call. An answer that is none ends that.
func TestWaitWithoutRetryAfterGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const repetitions = 500
		longest := map[string]time.Duration{}
		for range repetitions {
			s := &answerer{began: time.Now(), good: answers["links.list"]}
			var cooled time.Duration
			c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, WithHooks(Hooks{
				Cooldown: func(_ context.Context, cd Cooldown) { cooled = cd.Duration },
			}), WithRetry(Retry{MinBackoff: time.Second, MaxBackoff: 5 * time.Second}))
			refused := func(name string, opts ...CallOption) {
				_ = calls["links.list"](t.Context(), c, opts...)
				longest[name] = max(longest[name], cooled)
				time.Sleep(cooled)
			}
			for _, name := range []string{"1", "2", "3", "4", "5"} {
				s.answering(refusing(""))
				refused(name, WithoutRetry())
			}
			s.answering(nil)
			require.NoError(t, calls["links.list"](t.Context(), c))
			s.answering(refusing(""))
			refused("1 after an answer", WithoutRetry())
			s.answering(nil)
			require.NoError(t, calls["links.list"](t.Context(), c))
			n := 0
			s.answering(func(*http.Request) *http.Response {
				if n++; n == 3 {
					return reply(429, "{}")
				}
				return reply(502, "{}")
			})
			refused("third attempt")
		}
		for name, bound := range map[string]time.Duration{
			"1": time.Second, "2": 2 * time.Second, "3": 4 * time.Second, "4": 5 * time.Second, "5": 5 * time.Second,
			"1 after an answer": time.Second, "third attempt": 4 * time.Second,
		} {
			require.Less(t, longest[name], bound, name)
			require.Greater(t, longest[name], bound*9/10, name)
		}
	})
}

// How often in a row a group was refused: a probe counts, a request from before does not, and an
// answer to one ends nothing.
func TestRefusalsInARow(t *testing.T) {
	p, now := newPace(), time.Now()
	require.Zero(t, p.refusals("g"))
	for i := range 3 {
		before := free()
		if i > 0 {
			before = epochOf(p.groups["g"])
		}
		p.refuse("g", before, now, time.Second)
		require.Equal(t, i+1, p.refusals("g"))
		p.refuse("g", before, now, time.Second)
		require.Equal(t, i+1, p.refusals("g"))
		p.accept("g", before, now)
		require.Equal(t, i+1, p.refusals("g"))
	}
	p.accept("g", epochOf(p.groups["g"]), now)
	require.Zero(t, p.refusals("g"))
}

// A server that refuses without saying for how long is asked less and less, by whoever calls: the
// wait of the group doubles with each refusal that follows another, up to MaxBackoff, and what one
// caller would wait at most does not shorten it for the others. On average that is half of
// MaxBackoff, so in ten minutes a probe goes out some eighty times.
func TestRefusalsWithoutRetryAfter(t *testing.T) {
	rows := map[string][]CallOption{"for a second": {WithMaxWait(time.Second)}, "impatient": {WithMaxWait(0)}}
	if !inShort() {
		rows["patient"], rows["by default"], rows["once"] = []CallOption{WithMaxWait(time.Hour)}, nil, []CallOption{WithoutRetry()}
	}
	for name, opts := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, most = 50, 50 + 150 // those of the first instant, and nearly twice the average
				s := &answerer{began: time.Now()}
				s.answering(refusing(""))
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for ctx.Err() == nil {
							require.Error(t, calls["links.list"](ctx, c, opts...))
							_ = sleep(ctx, time.Second)
						}
					})
				}
				wg.Wait()
				t.Logf("%d callers, who call again and again for ten minutes: %d requests", callers, len(s.at))
				require.Less(t, len(s.at), most)
			})
		})
	}
}

// The probe goes alone also if others had the group's leave before the refusal, and were held up
// on their way: by a credential that takes its time, or at their connection. They ask again.
func TestNobodyPassesTheProbe(t *testing.T) {
	for name, slow := range map[string]func(s *answerer, d time.Duration) []Option{
		"a slow credential": func(s *answerer, d time.Duration) []Option {
			s.mute = true
			return []Option{WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
				return testKey, sleep(ctx, d)
			}))}
		},
		"a slow connection": func(s *answerer, d time.Duration) []Option {
			s.dial = d
			return []Option{WithSupermetrics(BearerToken(testKey))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers = 20
				s := &answerer{good: answers["links.list"], began: time.Now()}
				c, err := New(append(slow(s, 3*time.Second), WithHTTPClient(&http.Client{Transport: s}))...)
				require.NoError(t, err)
				key := groupsOf(c, linksList)[0].key
				time.AfterFunc(time.Second, func() { c.pace.refuse(key, free(), time.Now(), time.Second) })
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() { require.NoError(t, calls["links.list"](t.Context(), c)) })
				}
				wg.Wait()
				require.Len(t, s.at, callers)
				require.Equal(t, 6*time.Second, s.at[0], "after 3 s it was held back, and began anew")
				require.GreaterOrEqual(t, s.at[1], 9*time.Second, "it waits for the probe's answer, and takes its time")
			})
		})
	}
}

// A probe that has to ask again, because its group was closed while it waited for a credential, is
// not in its own way.
func TestProbeThatAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{good: answers["links.list"], began: time.Now()}
		slow := BearerTokenFunc(func(ctx context.Context) (string, error) { return testKey, sleep(ctx, 3*time.Second) })
		c, err := New(WithSupermetrics(slow), WithHTTPClient(&http.Client{Transport: s}))
		require.NoError(t, err)
		key := groupsOf(c, linksList)[0].key
		c.pace.refuse(key, free(), time.Now(), time.Second)
		time.AfterFunc(2*time.Second, func() { c.pace.refuse(key, free(), time.Now(), time.Second) })
		require.NoError(t, calls["links.list"](t.Context(), c))
		require.Equal(t, []time.Duration{7 * time.Second}, s.at, "it was let out after 1 s, and after 4 s again")
	})
}

// A closed group lets nothing out by a second connection either, as net/http looks for one if
// the first has no room for the request.
func TestSecondConnectionOfAClosedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{good: answers["links.list"], began: time.Now(), dial: time.Second}
		twice := roundTrip(func(r *http.Request) (*http.Response, error) {
			if err := connected(r, s.dial); err != nil {
				return nil, err
			}
			return s.RoundTrip(r)
		})
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: twice})
		key := groupsOf(c, linksList)[0].key
		time.AfterFunc(1500*time.Millisecond, func() { c.pace.refuse(key, free(), time.Now(), 30*time.Second) })
		var r Response
		require.NoError(t, calls["links.list"](t.Context(), c, WithResponse(&r)))
		require.Equal(t, []time.Duration{33500 * time.Millisecond}, s.at, "two seconds after it has opened")
		require.Len(t, r.Attempts, 1)
	})
}

// However many groups are closed, each stays closed until its time and opens then: the pace keeps
// some of them whole, and of the others a hash and a time.
func TestClosedGroupsAreKept(t *testing.T) {
	const closed = 3 * mostGroups
	p, began := newPace(), time.Now()
	opens := func(i int) time.Time { return began.Add(time.Minute + time.Duration(i)*time.Microsecond) }
	for i := range closed {
		p.refuse(strconv.Itoa(i), free(), began, opens(i).Sub(began))
	}
	require.LessOrEqual(t, len(p.groups), mostGroups)
	require.Equal(t, closed, len(p.groups)+len(p.shut))
	every := 1
	if inShort() {
		every = 25
	}
	for i := 0; i < closed; i += every {
		key, before := strconv.Itoa(i), opens(i).Add(-1)
		whole := p.groups[key] != nil
		gate := p.open(key, free(), before) == false && p.open(key, free(), opens(i)) == !whole
		g, left, reason := p.enter(key, before)
		wait, _, probe := p.next(g, opens(i))
		p.leave(g)
		if !gate || left != 1 || reason != WaitCooldown || wait != 0 || !probe || len(p.groups) > mostGroups {
			require.Failf(t, "not as it was left", "group %d: %v, %v, %v, %v, %v, %d groups",
				i, gate, left, reason, wait, probe, len(p.groups))
		}
	}
}

// A closed group of which a hash and a time were left is itself again as soon as anybody asks for
// it: closed until the same time, then with a probe, and forgotten a minute after.
func TestShutGroupComesBack(t *testing.T) {
	p, now := newPace(), time.Now()
	for i := range mostGroups + 1 {
		p.refuse(strconv.Itoa(i), free(), now, time.Hour)
	}
	opens := now.Add(time.Hour)
	require.Equal(t, mostGroups, len(p.shut))
	p.refuse("0", free(), now.Add(time.Minute), time.Second)
	require.Equal(t, opens, p.groups["0"].openAt, "a shorter time takes nothing back")
	require.Zero(t, p.refusals("0"), "it was refused before that")
	require.Equal(t, mostGroups-1, len(p.shut))

	g, wait, _ := p.enter("1", now.Add(time.Minute))
	require.Equal(t, 59*time.Minute, wait)
	require.Equal(t, mostGroups-2, len(p.shut))
	require.NotZero(t, g.epoch)
	require.NotEqual(t, p.groups["0"].epoch, g.epoch)
	require.Equal(t, g.limiter.Limit()*increase, g.step)
	_, _, probe := p.next(g, opens)
	require.True(t, probe)
	p.leave(g)
	same, _, _ := p.enter("1", opens.Add(paceEnds))
	require.Same(t, g, same)
	p.leave(g)
	p.accept("1", epochOf(g), opens.Add(paceEnds))
	require.True(t, g.search)

	g, wait, reason := p.enter("2", opens)
	require.Nil(t, g, "open, and so unknown")
	require.Zero(t, wait)
	require.Empty(t, reason)
	require.True(t, p.open("2", free(), opens))
	require.True(t, p.open("never refused", free(), now))
	p.refuse("2", free(), opens, time.Second)
	require.Equal(t, 1, p.refusals("2"), "it is the first again")

	p = newPace()
	p.shut[shortened("the only one")] = opens
	require.False(t, p.open("the only one", free(), now))
	_, wait, _ = p.enter("the only one", now)
	require.Equal(t, time.Hour, wait)
	require.Zero(t, len(p.shut))
}

// What has opened is thrown away when there is need of room: of the groups at the next look, of the
// hashes when there are twice as many as were left at the last one.
func TestRoomIsMade(t *testing.T) {
	p, now := newPace(), time.Now()
	fill := func(name string, now time.Time) { // until there is need of room
		for i := len(p.groups); i < mostGroups; i++ {
			p.refuse(name+strconv.Itoa(i), free(), now, time.Duration(i%2)*time.Minute)
		}
		require.Equal(t, mostGroups, len(p.groups))
		p.refuse(name, free(), now, time.Minute)
		require.Equal(t, 1, len(p.groups))
		require.Contains(t, p.groups, name)
	}
	const half = mostGroups / 2 // of each are closed, the one more included that made the need
	fill("a", now)
	require.Equal(t, half, len(p.shut), "the others were open")
	require.Equal(t, mostGroups, p.sweepAt, "and have not been looked through")
	fill("b", now)
	require.Equal(t, 2*half+1, len(p.shut), "all are closed")
	require.Equal(t, 4*half+2, p.sweepAt)
	now = now.Add(time.Minute)
	fill("c", now)
	require.Equal(t, 3*half+1, len(p.shut), "what has opened holds nobody up, and stays for now")
	fill("d", now)
	require.Equal(t, 2*half+1, len(p.shut), "at the next look it is thrown away")
	require.Equal(t, 4*half+2, p.sweepAt)
	now, p.sweepAt = now.Add(time.Hour), 0
	for i := len(p.groups); i <= mostGroups; i++ {
		p.refuse("e"+strconv.Itoa(i), free(), now, 0)
	}
	require.Zero(t, len(p.shut), "and all is open")
	require.Equal(t, mostGroups, p.sweepAt, "which is little, but not looked through more often for that")
}

// A group that somebody waits for is never thrown out. If all are such groups, they are not
// looked through again before there are twice as many.
func TestGroupsWithCallersStay(t *testing.T) {
	p, now := newPace(), time.Now()
	var groups []*group
	for i := range mostGroups + 1 {
		key := strconv.Itoa(i)
		p.refuse(key, free(), now, time.Minute)
		g, _, _ := p.enter(key, now)
		groups = append(groups, g)
	}
	require.Equal(t, 2*mostGroups, p.roomAt)
	require.Zero(t, len(p.shut))
	for i, g := range groups {
		require.Same(t, g, p.groups[strconv.Itoa(i)])
		if i > 0 {
			p.leave(g)
		}
	}
	for i := range mostGroups {
		p.refuse("later "+strconv.Itoa(i), free(), now, time.Minute)
	}
	require.Same(t, groups[0], p.groups["0"], "its caller still waits")
	require.Less(t, len(p.groups), mostGroups, "the others have gone")
	require.Equal(t, 2*mostGroups+1, len(p.groups)+len(p.shut), "but are still closed")
	require.Equal(t, mostGroups, p.roomAt)
}

// moody is a server in memory that takes its time, refuses with and without a time, breaks and
// stalls, all at random, and that watches whether its word is kept.
type moody struct {
	mu     sync.Mutex
	random *rand.Rand
	groups map[string]*word
	broken []string // what was not kept
	good   bool     // no more moods
	passed int      // requests
}

// word is what the server has last said to a limit group, and what came of the requests that left
// since.
type word struct {
	said, until time.Time
	refusals    int
	first       time.Time // the first that left since the group has opened, and whether one of them has ended
	ended       bool
}

func (m *moody) roll(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

func (m *moody) calm() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good
}

func (m *moody) some(most time.Duration) time.Duration {
	return time.Duration(m.roll(1000)) * most / 1000
}

// groupsOf are the limit groups of a request, by what is on the wire: the narrow ones first, and
// then Supermetrics' credential.
func (m *moody) groupsOf(r *http.Request) (all []string) {
	var body struct{ Products []string }
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	name := r.Method + r.URL.Path + r.Header.Get("Authorization")
	switch {
	case strings.HasSuffix(r.URL.Path, "/products"):
		for _, p := range body.Products {
			all = append(all, name+p)
		}
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		if id := r.URL.Query().Get("json"); id != "" {
			all = append(all, name+id)
		}
		all = append(all, "Supermetrics"+r.Header.Get("Authorization"))
	default:
		all = append(all, name)
	}
	return all
}

func (m *moody) word(group string) *word {
	w := m.groups[group]
	if w == nil {
		w = &word{}
		m.groups[group] = w
	}
	return w
}

// leaves notes that a request leaves, and looks whether it may.
func (m *moody) leaves(groups []string, now time.Time) (refusals []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed++
	for _, name := range groups {
		w := m.word(name)
		if w.said.Before(now) && now.Before(w.until) {
			m.broken = append(m.broken, fmt.Sprintf("%s: a request leaves %v too early", name, w.until.Sub(now)))
		}
		switch {
		case w.refusals == 0 || w.ended || now.Before(w.until):
		case w.first.IsZero():
			w.first = now
		case now.Sub(w.until) < probeLimit:
			m.broken = append(m.broken, fmt.Sprintf("%s: %v after the probe another leaves", name, now.Sub(w.first)))
		}
		refusals = append(refusals, w.refusals)
	}
	return refusals
}

// ends notes that a request has come to an end, somehow.
func (m *moody) ends(groups []string, refusals []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, name := range groups {
		w := m.word(name)
		w.ended = w.ended || w.refusals == refusals[i]
	}
}

// refuses notes what is said to a request's groups, now that it is delivered.
func (m *moody) refuses(groups []string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, name := range groups {
		w := m.word(name)
		w.refusals++
		w.first, w.ended = time.Time{}, false
		if until := now.Add(wait); until.After(w.until) {
			w.said, w.until = now, until
		}
	}
}

func (m *moody) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := connected(r, m.some(2*time.Second)*time.Duration(m.roll(2))); err != nil {
		return nil, err
	}
	groups := m.groupsOf(r)
	left := m.leaves(groups, time.Now())
	defer m.ends(groups, left)
	if m.calm() {
		return reply(http.StatusOK, m.answer(r)), nil
	}
	latency := m.some(3 * time.Second)
	if m.roll(50) == 0 {
		latency = 10 * time.Minute // nobody waits for so long, but for accounts
	}
	if err := sleep(r.Context(), latency); err != nil {
		return nil, err
	}
	status, code, wait := http.StatusOK, "", time.Duration(m.roll(20))*time.Second
	switch m.roll(12) {
	case 0, 1:
		status = http.StatusTooManyRequests
	case 2:
		status, wait = http.StatusTooManyRequests, 0
	case 3:
		status = http.StatusServiceUnavailable
	case 4:
		status, wait = http.StatusInternalServerError, 0
	case 5:
		return nil, io.ErrUnexpectedEOF
	case 6:
		if r.URL.Query().Has("json") {
			status, wait = http.StatusTooManyRequests, wait+time.Second
			code = string(CodeLicenseDailyQueryLimitExceeded)
		}
	}
	if status == http.StatusOK {
		return reply(status, m.answer(r)), nil
	}
	if strings.HasPrefix(r.URL.Path, "/v2/") { // the quota is the query's alone, and all else the credential's
		if code != "" {
			groups = groups[:1]
		} else {
			groups = groups[len(groups)-1:]
		}
	}
	resp := reply(status, envelopeBody(code))
	if wait > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
	}
	if status == http.StatusTooManyRequests || wait > 0 {
		m.refuses(groups, wait)
	}
	return resp, nil
}

func (m *moody) answer(r *http.Request) string {
	switch {
	case strings.HasSuffix(r.URL.Path, "/auth/token"):
		return answers["auth.token"]
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		return answers["links.list"]
	default:
		return `{"link_id":"mk_1","accounts":[],"numbers":{}}`
	}
}

// errHook is what hooks of the property's test panic with.
var errHook = errors.New("a hook has panicked")

func (m *moody) client(t *testing.T, seed uint64) *Client {
	t.Helper()
	opts := []Option{
		WithBaseURL(Supermetrics, "http://127.0.0.1/v2"), WithBaseURL(MoneyKit, "http://127.0.0.1"),
		WithHTTPClient(&http.Client{Transport: m}), WithRetry(Retry{MaxWait: 10 * time.Minute, MaxAttempts: 6}),
	}
	if seed%2 == 0 {
		opts = append(opts, WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)))
	} else {
		opts = append(opts, WithMoneyKit(ClientCredentials(testID, testSecret)))
		opts = append(opts, WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
			if m.roll(30) == 0 && !m.calm() {
				return "", errors.New("the vault is shut")
			}
			return testKey, sleep(ctx, m.some(5*time.Second))
		})))
	}
	if seed%3 > 0 {
		now := func() {
			if m.roll(40) == 0 {
				panic(errHook)
			}
		}
		opts = append(opts, WithHooks(Hooks{
			AttemptStart: func(context.Context, Attempt) { now() },
			AttemptEnd:   func(context.Context, Attempt) { now() },
			Wait:         func(context.Context, Wait) { now() },
			Cooldown:     func(context.Context, Cooldown) { now() },
		}))
	}
	c, err := New(opts...)
	require.NoError(t, err)
	return c
}

// call makes one of many calls, under a context that may end at some time.
func (m *moody) call(ctx context.Context, c *Client) (err error) {
	defer func() {
		if p := recover(); p != nil && p != errHook {
			panic(p)
		}
	}()
	var opts []CallOption
	switch m.roll(4) {
	case 0:
		opts = append(opts, WithoutRetry())
	case 1:
		opts = append(opts, WithMaxWait(m.some(30*time.Second)))
	}
	cancel := func() {}
	switch m.roll(4) {
	case 0:
		ctx, cancel = context.WithTimeout(ctx, m.some(90*time.Second))
	case 1:
		ctx, cancel = context.WithCancel(ctx)
		defer time.AfterFunc(m.some(90*time.Second), cancel).Stop()
	}
	defer cancel()
	link := []string{"a", "b", "c"}[m.roll(3)]
	switch m.roll(8) {
	case 0:
		_, err = c.Logins.ListAccounts(ctx, AccountsQuery{DataSourceID: link}, opts...)
	case 1:
		_, err = c.Links.List(ctx, append(opts, WithToken("tenant"))...)
	case 2:
		products := []Product{ProductIdentity, ProductAccountNumbers, ProductTransactions}
		from := m.roll(3)
		_, err = c.Identity.Refresh(ctx, link, products[from:from+1+m.roll(3-from)], opts...)
	case 3:
		_, err = c.Identity.Link(ctx, link, opts...)
	case 4:
		_, err = c.Auth.Numbers(ctx, link, opts...)
	default:
		_, err = c.Links.List(ctx, opts...)
	}
	return err
}

// Random callers, who give up, have deadlines, little patience and hooks that panic, and slow
// credentials, of a moody server: no request leaves before the time that the server named, as soon
// as its answer was delivered; when a group has opened, one goes ahead alone; and in the end
// nobody hangs, no turn and no place in a queue is left behind, and every group is as it should be.
func TestPaceUnderRandomCallers(t *testing.T) {
	seeds, requests := 300, 0
	if inShort() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			m := &moody{random: rand.New(rand.NewPCG(seed, 1)), groups: map[string]*word{}}
			c := m.client(t, seed)
			began := time.Now()
			var wg sync.WaitGroup
			for range 60 {
				wg.Go(func() {
					time.Sleep(m.some(time.Minute))
					for range 1 + m.roll(3) {
						_ = m.call(t.Context(), c)
					}
				})
			}
			wg.Wait()
			require.Less(t, time.Since(began), time.Hour, "seed %d", seed)
			time.Sleep(exchangeLimit) // a token exchange has a life of its own
			wellKept(t, c.pace)
			require.Empty(t, m.broken, "seed %d", seed)
			requests += m.passed

			m.mu.Lock()
			m.good = true
			m.mu.Unlock()
			c.config.hooks = Hooks{}
			began = time.Now()
			for _, call := range []string{"links.list", "identity.link", "auth.numbers", "identity.refresh"} {
				require.NoError(t, calls[call](t.Context(), c), "seed %d: all are open again", seed)
			}
			require.Less(t, time.Since(began), 30*time.Second, "seed %d: and nobody is in the way", seed)
		})
	}
	t.Logf("%d seeds, %d requests", seeds, requests)
}

// wellKept checks what holds for every group when nobody is under way.
func wellKept(t *testing.T, p *pace) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	epochs := map[int]bool{}
	for key, g := range p.groups {
		require.Zero(t, g.queued, key)
		require.Empty(t, g.turn, key)
		require.GreaterOrEqual(t, g.limiter.Limit(), lowestRate, key)
		require.Greater(t, g.step, rate.Limit(0), key)
		require.False(t, g.boundAt.Before(g.openAt), key)
		require.Equal(t, g.streak > 0, g.streak > 0 && g.proving, "%s: after an answer nothing is in a row", key)
		require.LessOrEqual(t, g.epoch, p.epochs, key)
		require.False(t, epochs[g.epoch], key)
		epochs[g.epoch] = true
		require.NotContains(t, p.shut, shortened(key))
	}
	for key, s := range p.strikes {
		require.Less(t, len(s), enoughStrikes, key)
	}
}

// The numbers that the documentation states.
func TestNumbersOfThePace(t *testing.T) {
	require.Equal(t, 10*time.Second, probeLimit)
	require.Equal(t, rate.Limit(1), searchRate)
	require.Equal(t, rate.Limit(1.0/20), lowestRate)
	require.Equal(t, 4.0/5, decrease)
	require.Equal(t, 1.0/100, increase)
	require.Equal(t, time.Minute, searchAfter)
	require.Equal(t, time.Minute, paceEnds)
	require.Equal(t, 5, enoughStrikes)
	require.Equal(t, 10*time.Second, strikesFor)
	require.Equal(t, time.Minute, longestWhole)
}
