package pace

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// permitOf is the permit of a request that goes out now.
func permitOf(g *group) Permit { return Permit{epoch: g.epoch, release: func() {}} }

// closedGroup is a group that was refused now, and what is known of it.
func closedGroup(gs *Groups, wait time.Duration) *group {
	gs.Refuse("g", Permit{}, time.Now(), wait)
	return gs.groups["g"]
}

// pacedGroup is a group whose probe has just been accepted, and that lets out so many requests a
// second.
func pacedGroup(gs *Groups, perSecond rate.Limit) *group {
	g := closedGroup(gs, 0)
	_, _, _ = gs.tryToGo(g, time.Now())
	gs.Accept("g", permitOf(g), time.Now())
	g.search = false
	g.limiter.SetLimit(perSecond)
	g.step = perSecond * increase
	return g
}

// While the rate is searched for, it grows by a request a second with each that is accepted.
func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		g := closedGroup(gs, time.Second)
		time.Sleep(time.Second)
		for i := range 10 {
			require.Equal(t, rate.Limit(i+1), g.limiter.Limit())
			require.True(t, g.search)
			gs.Accept("g", permitOf(g), time.Now())
			require.False(t, g.probing)
		}
	})
}

// A refusal that is not a probe's takes a fifth of the rate. After twenty acceptances it ends the
// search, too. Before, the server may only not be ready yet.
func TestSearchEnds(t *testing.T) {
	for _, accepted := range []int{1, 2, 19, 20, 1000} {
		synctest.Test(t, func(t *testing.T) {
			gs := NewGroups()
			g := closedGroup(gs, 0)
			gs.Refuse("g", permitOf(g), time.Now(), 0)
			require.True(t, g.search, "a probe says nothing of the rate")
			require.Equal(t, searchRate, g.limiter.Limit())
			for range accepted {
				gs.Accept("g", permitOf(g), time.Now())
			}
			want := rate.Limit(accepted+1) * decrease
			gs.Refuse("g", Permit{}, time.Now(), 0)
			require.True(t, g.search, "nor does a request from before")
			g.probing = false
			gs.Refuse("g", permitOf(g), time.Now(), 5*time.Second)
			require.Equal(t, accepted < 20, g.search)
			require.Equal(t, want, g.limiter.Limit())
			require.Equal(t, want*increase, g.step)
		})
	}
}

// A server that refuses once more just after it has opened is not taken for a slow one.
func TestRefusalEarlyInTheSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		gs.Refuse("g", Permit{}, time.Now(), time.Second)
		end, sent := time.Now().Add(30*time.Second), 0
		for time.Now().Before(end) {
			permit, err := gs.Admit(t.Context(), "g", time.Minute, func(Reason, time.Duration) {})
			require.NoError(t, err)
			time.Sleep(10 * time.Millisecond)
			if sent++; sent == 2 {
				gs.Refuse("g", permit, time.Now(), time.Second)
			} else {
				gs.Accept("g", permit, time.Now())
			}
			permit.Release()
		}
		require.Greater(t, sent, 1000, "in half a minute")
	})
}

// A rate that is known grows by a hundredth of what it was at the last refusal in each second of
// acceptance, whatever it has become since.
func TestAdditiveIncrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		g := pacedGroup(gs, 10)
		gs.Refuse("g", permitOf(g), time.Now(), time.Second)
		require.Equal(t, rate.Limit(8), g.limiter.Limit())
		for i := range 300 { // for five minutes, ten times faster
			for range 10 {
				gs.Accept("g", permitOf(g), time.Now().Add(time.Duration(i)*time.Second/10))
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
		gs := NewGroups()
		g := pacedGroup(gs, 10)
		want := rate.Limit(10)
		for range 40 {
			gs.Refuse("g", permitOf(g), time.Now(), time.Second)
			want = max(want*0.8, lowestRate)
			require.Equal(t, want, g.limiter.Limit())
			require.Equal(t, want*increase, g.step)
			gs.Refuse("g", permitOf(g), time.Now(), time.Second)
			require.Equal(t, want, g.limiter.Limit(), "a probe")
			g.probing = false
		}
		require.Equal(t, lowestRate, want)
	})
}

// The search begins again when the group has been open for a minute: at the first that is accepted
// after it.
func TestSearchBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		g := pacedGroup(gs, 10)
		gs.Refuse("g", permitOf(g), time.Now(), time.Hour)
		time.Sleep(time.Hour + searchAfter)
		gs.Accept("g", permitOf(g), time.Now())
		require.False(t, g.search)
		limit := g.limiter.Limit()
		time.Sleep(time.Nanosecond)
		gs.Accept("g", permitOf(g), time.Now())
		require.True(t, g.search)
		require.Equal(t, limit+searchRate, g.limiter.Limit())
	})
}

// crowd forgets a group, as happens if there are many others and nobody waits for it.
func crowd(gs *Groups, key string, now time.Time) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.forget(key, gs.groups[key], now)
}

// afterARefusal are ways of a group into a time after a refusal, with what a request has that left
// before it.
var afterARefusal = map[string]func(t *testing.T, gs *Groups, same Permit, now time.Time) time.Time{
	"one of the same time is refused": func(_ *testing.T, gs *Groups, same Permit, now time.Time) time.Time {
		gs.Refuse("g", same, now, time.Minute)
		return now
	},
	"one from before is refused": func(_ *testing.T, gs *Groups, _ Permit, now time.Time) time.Time {
		gs.Refuse("g", Permit{}, now, time.Minute)
		return now
	},
	"forgotten, and made anew": func(t *testing.T, gs *Groups, _ Permit, now time.Time) time.Time {
		now = now.Add(forgetAfter + 2)
		g, _, _ := gs.enter("g", now)
		require.Nil(t, g)
		gs.Refuse("g", Permit{}, now, time.Minute)
		return now
	},
	"thrown out, and made anew": func(t *testing.T, gs *Groups, _ Permit, now time.Time) time.Time {
		crowd(gs, "g", now)
		require.Nil(t, gs.groups["g"])
		gs.Refuse("g", Permit{}, now, time.Minute)
		return now
	},
	"kept as a hash and a time, and comes back": func(t *testing.T, gs *Groups, same Permit, now time.Time) time.Time {
		gs.Refuse("g", same, now, time.Minute)
		crowd(gs, "g", now)
		require.Nil(t, gs.groups["g"])
		g, _, _ := gs.enter("g", now)
		gs.leave(g)
		return now
	},
}

// An answer to a request from before a refusal tells nothing of the time after it, whatever has
// become of its group: it is not the probe's, and the rate and the count of refusals stay.
func TestAnswersFromBeforeARefusal(t *testing.T) {
	for name, meanwhile := range afterARefusal {
		t.Run(name, func(t *testing.T) {
			gs, now := NewGroups(), time.Now()
			gs.Refuse("g", Permit{}, now, time.Second)
			now = now.Add(time.Second)
			_, epoch, probe := gs.tryToGo(gs.groups["g"], now)
			require.True(t, probe)
			gs.Accept("g", Permit{epoch: epoch}, now)
			now = now.Add(time.Second)
			_, epoch, probe = gs.tryToGo(gs.groups["g"], now)
			require.False(t, probe)

			now = meanwhile(t, gs, Permit{epoch: epoch}, now)
			g := gs.groups["g"]
			limit, refusals := g.limiter.Limit(), g.refusals
			require.True(t, g.probing)
			gs.Accept("g", Permit{epoch: epoch}, now)
			require.True(t, g.probing)
			require.Equal(t, limit, g.limiter.Limit())
			gs.Refuse("g", Permit{epoch: epoch}, now, time.Hour)
			require.Equal(t, limit, g.limiter.Limit())
			require.Equal(t, refusals, g.refusals)
			require.Equal(t, now.Add(time.Hour), g.opensAt, "but it closes the group")
		})
	}
}

// How often in a row a group was refused: a probe counts, a request from before does not, and an
// answer to one ends nothing.
func TestRefusalsInARow(t *testing.T) {
	gs, now := NewGroups(), time.Now()
	require.Zero(t, gs.Refusals("g"))
	for i := range 3 {
		before := Permit{}
		if i > 0 {
			before = permitOf(gs.groups["g"])
		}
		gs.Refuse("g", before, now, time.Second)
		require.Equal(t, i+1, gs.Refusals("g"))
		gs.Refuse("g", before, now, time.Second)
		require.Equal(t, i+1, gs.Refusals("g"))
		gs.Accept("g", before, now)
		require.Equal(t, i+1, gs.Refusals("g"))
	}
	gs.Accept("g", permitOf(gs.groups["g"]), now)
	require.Zero(t, gs.Refusals("g"))
}

// The keys of two groups are the same only if all of their parts are.
func TestGroupKeys(t *testing.T) {
	require.Equal(t, Key("links.get", "a", "bc"), Key("links.get", "a", "bc"))
	keys := map[string]bool{}
	for _, parts := range [][]string{
		{"a", "bc"}, {"ab", "c"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"a", "b", "c"}, {"a", "b", "d"}, {},
	} {
		for _, name := range []string{"links.get", "links.list"} {
			key := Key(name, parts...)
			require.Regexp(t, "^"+name+"/[0-9a-f]{16}$", key)
			keys[key] = true
		}
	}
	require.Len(t, keys, 16)
}

// The numbers that the documentation states.
func TestNumbersOfThePace(t *testing.T) {
	require.Equal(t, 10*time.Second, probeLimit)
	require.Equal(t, rate.Limit(1), searchRate)
	require.Equal(t, rate.Limit(1.0/20), lowestRate)
	require.Equal(t, 4.0/5, decrease)
	require.Equal(t, 1.0/100, increase)
	require.Equal(t, time.Minute, searchAfter)
	require.Equal(t, time.Minute, forgetAfter)
	require.Equal(t, 5, enoughStrikes)
	require.Equal(t, 10*time.Second, strikesFor)
}
