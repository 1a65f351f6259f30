package pace

import (
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A group is forgotten when nobody had to wait for it for a minute: neither for its time nor for
// its rate.
func TestGroupIsForgotten(t *testing.T) {
	for name, tc := range map[string]struct {
		group     func(gs *Groups) *group // it was waited for at this instant
		waits     int                     // and still is, by so many
		after     time.Duration
		forgotten bool
	}{
		"a minute after it opened":         {opened, 0, forgetAfter, false},
		"more than that after it opened":   {opened, 0, forgetAfter + 1, true},
		"much later, but somebody waits":   {opened, 1, time.Hour, false},
		"a minute after a wait":            {waited, 0, forgetAfter, false},
		"more than that after a wait":      {waited, 0, forgetAfter + 1, true},
		"closed again, before it opens":    {reclosed, 0, 2 * forgetAfter, false},
		"closed again, a minute after":     {reclosed, 0, time.Hour + forgetAfter, false},
		"closed again, more than that":     {reclosed, 0, time.Hour + forgetAfter + 1, true},
		"closed again by an older request": {reclosedLate, 0, time.Hour + forgetAfter, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gs := NewGroups()
				g := tc.group(gs)
				g.queued = tc.waits
				time.Sleep(tc.after)
				found, wait, reason := gs.enter("g", time.Now())
				if tc.forgotten {
					require.Nil(t, found)
					require.Zero(t, wait)
					require.Empty(t, reason)
					require.Empty(t, gs.groups)
				} else {
					require.Same(t, g, found)
				}
			})
		})
	}
}

// opened is a group that opens now.
func opened(gs *Groups) *group {
	g := closedGroup(gs, time.Minute)
	time.Sleep(time.Minute)
	return g
}

// waited is a group whose rate somebody has to wait for now, a minute after it opened.
func waited(gs *Groups) *group {
	g := pacedGroup(gs, lowestRate)
	time.Sleep(forgetAfter)
	_, _, _ = gs.tryToGo(g, time.Now())
	_, _, _ = gs.tryToGo(g, time.Now())
	return g
}

// reclosed is a group that is closed again, for an hour from now.
func reclosed(gs *Groups) *group {
	g := opened(gs)
	gs.Refuse("g", permitOf(g), time.Now(), time.Hour)
	return g
}

func reclosedLate(gs *Groups) *group {
	g := opened(gs)
	gs.Refuse("g", Permit{}, time.Now(), time.Hour)
	return g
}

// Pacing ends when nobody has had to wait for a minute, and the group is forgotten.
func TestPacingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		closedGroup(gs, 10*time.Second)
		probe := asks(t.Context(), gs, patient)
		<-probe.done
		gs.Accept("g", probe.permit, time.Now())
		probe.permit.Release()
		require.Len(t, gs.groups, 1)
		time.Sleep(2 * forgetAfter)
		later := asks(t.Context(), gs, 0)
		<-later.done
		require.NoError(t, later.err)
		require.Zero(t, later.at)
		require.Empty(t, gs.groups)
	})
}

// A closed group that was kept as a hash and a time comes back with a rate that is searched for, as
// one of which nothing is known.
func TestRateOfAShutGroupIsSearchedFor(t *testing.T) {
	gs, now := NewGroups(), time.Now()
	gs.Refuse("0", Permit{}, now, time.Minute)
	crowd(gs, "0", now)
	require.Nil(t, gs.groups["0"])
	g, wait, reason := gs.enter("0", now)
	require.Equal(t, time.Minute, wait)
	require.Equal(t, ReasonCooldown, reason)
	require.True(t, g.search)
	require.Equal(t, searchRate, g.limiter.Limit())
	require.True(t, g.probing)
}

// However many groups are closed, each stays closed until its time and opens then: the pace keeps
// some of them whole, and of the others a hash and a time.
func TestClosedGroupsAreKept(t *testing.T) {
	const closed = 3 * mostGroups
	gs, began := NewGroups(), time.Now()
	opens := func(i int) time.Time { return began.Add(time.Minute + time.Duration(i)*time.Microsecond) }
	for i := range closed {
		gs.Refuse(strconv.Itoa(i), Permit{}, began, opens(i).Sub(began))
	}
	require.LessOrEqual(t, len(gs.groups), mostGroups)
	require.Equal(t, closed, len(gs.groups)+len(gs.closed))
	every := 1
	if testing.Short() {
		every = 25
	}
	for i := 0; i < closed; i += every {
		key, before := strconv.Itoa(i), opens(i).Add(-1)
		whole := gs.groups[key] != nil
		gate := gs.StillOpen(key, Permit{}, before) == false && gs.StillOpen(key, Permit{}, opens(i)) == !whole
		g, left, reason := gs.enter(key, before)
		wait, _, probe := gs.tryToGo(g, opens(i))
		gs.leave(g)
		if !gate || left != 1 || reason != ReasonCooldown || wait != 0 || !probe || len(gs.groups) > mostGroups {
			require.Failf(t, "not as it was left", "group %d: %v, %v, %v, %v, %v, %d groups",
				i, gate, left, reason, wait, probe, len(gs.groups))
		}
	}
}

// A closed group of which a hash and a time were left is itself again as soon as anybody asks for
// it: closed until the same time, then with a probe, and forgotten a minute after.
func TestShutGroupComesBack(t *testing.T) {
	gs, now := NewGroups(), time.Now()
	for i := range 3 {
		gs.Refuse(strconv.Itoa(i), Permit{}, now, time.Hour)
		crowd(gs, strconv.Itoa(i), now)
	}
	opens := now.Add(time.Hour)
	require.Equal(t, 3, len(gs.closed))
	gs.Refuse("0", Permit{}, now.Add(time.Minute), time.Second)
	require.Equal(t, opens, gs.groups["0"].opensAt, "a shorter time takes nothing back")
	require.Zero(t, gs.Refusals("0"), "it was refused before that")
	require.Equal(t, 2, len(gs.closed))

	g, wait, _ := gs.enter("1", now.Add(time.Minute))
	require.Equal(t, 59*time.Minute, wait)
	require.Equal(t, 1, len(gs.closed))
	require.NotZero(t, g.epoch)
	require.NotEqual(t, gs.groups["0"].epoch, g.epoch)
	require.Equal(t, g.limiter.Limit()*increase, g.step)
	_, _, probe := gs.tryToGo(g, opens)
	require.True(t, probe)
	gs.leave(g)
	same, _, _ := gs.enter("1", opens.Add(forgetAfter))
	require.Same(t, g, same)
	gs.leave(g)
	gs.Accept("1", permitOf(g), opens.Add(forgetAfter))
	require.True(t, g.search)

	g, wait, reason := gs.enter("2", opens)
	require.Nil(t, g, "open, and so unknown")
	require.Zero(t, wait)
	require.Empty(t, reason)
	require.True(t, gs.StillOpen("2", Permit{}, opens))
	require.True(t, gs.StillOpen("never refused", Permit{}, now))
	gs.Refuse("2", Permit{}, opens, time.Second)
	require.Equal(t, 1, gs.Refusals("2"), "it is the first again")

	require.False(t, gs.Quiet())

	gs = NewGroups()
	gs.Refuse("the only one", Permit{}, now, time.Hour)
	crowd(gs, "the only one", now)
	require.False(t, gs.StillOpen("the only one", Permit{}, now))
	_, wait, _ = gs.enter("the only one", now)
	require.Equal(t, time.Hour, wait)
	require.Zero(t, len(gs.closed))
}

// Room is made a little at a time: each group that comes makes a few others go. What is open again
// goes, and what is closed is kept as a hash and a time.
func TestRoomIsMade(t *testing.T) {
	for name, closed := range map[string]time.Duration{"open": 0, "closed": time.Hour} {
		t.Run(name, func(t *testing.T) {
			gs, now := NewGroups(), time.Now()
			for i := range 2 * mostGroups {
				before := len(gs.groups)
				gs.Refuse(strconv.Itoa(i), Permit{}, now, closed)
				require.LessOrEqual(t, len(gs.groups), mostGroups)
				require.GreaterOrEqual(t, len(gs.groups), before+1-sweep)
			}
			kept := 2 * mostGroups
			if closed == 0 {
				kept = len(gs.groups)
			}
			require.Equal(t, kept, len(gs.groups)+len(gs.closed))
			require.Greater(t, len(gs.groups), mostGroups/2)

			later := now.Add(closed + time.Minute)
			for i := range 4 * mostGroups { // what has opened goes as others come
				gs.Refuse("later "+strconv.Itoa(i), Permit{}, later, 2*time.Hour)
			}
			old := 0
			for _, c := range gs.closed {
				if c.opens.Before(later) {
					old++
				}
			}
			require.Less(t, old, mostGroups)
			require.Less(t, len(gs.closed), 5*mostGroups)
			require.EqualValues(t, len(gs.groups)+len(gs.closed), gs.refused.entries.Load())
		})
	}
}

// A group that somebody waits for is never thrown out, however many there are.
func TestGroupsWithCallersStay(t *testing.T) {
	gs, now := NewGroups(), time.Now()
	var groups []*group
	for i := range mostGroups + 1 {
		key := strconv.Itoa(i)
		gs.Refuse(key, Permit{}, now, time.Minute)
		g, _, _ := gs.enter(key, now)
		groups = append(groups, g)
	}
	require.Zero(t, len(gs.closed))
	for i, g := range groups {
		require.Same(t, g, gs.groups[strconv.Itoa(i)])
		if i > 0 {
			gs.leave(g)
		}
	}
	for i := range mostGroups {
		gs.Refuse("later "+strconv.Itoa(i), Permit{}, now, time.Minute)
	}
	require.Same(t, groups[0], gs.groups["0"], "its caller still waits")
	require.LessOrEqual(t, len(gs.groups), mostGroups, "others have gone")
	require.Equal(t, 2*mostGroups+1, len(gs.groups)+len(gs.closed), "but are still closed")
}

// A group in which nothing was refused costs no lock: another goroutine may hold it for ever. One that
// was refused is known at once, and forgotten with its last entry.
func TestNoLockWithoutARefusal(t *testing.T) {
	gs, b, now := NewGroups(), NewBudgets(), time.Now()
	calls := func() {
		permit, err := gs.Admit(t.Context(), "well", time.Minute, nil)
		require.NoError(t, err)
		require.True(t, gs.StillOpen("well", permit, now))
		gs.Accept("well", permit, now)
		b.Refund("well", now)
	}
	locked := func(f func()) {
		gs.mu.Lock()
		defer gs.mu.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		f()
	}
	require.True(t, gs.Quiet())
	require.True(t, b.Full())
	locked(calls)
	other := "refused"
	for i := 0; slotOf(other) == slotOf("well"); i++ {
		other = strconv.Itoa(i)
	}
	require.True(t, b.Take(other, now))
	gs.Refuse(other, Permit{}, now, time.Minute)
	require.False(t, gs.RefusesWhole(other, "member", Permit{}, now))
	require.False(t, gs.Quiet())
	require.False(t, b.Full())
	require.False(t, gs.StillOpen(other, PermitSince(now), now))
	locked(calls)

	later := now.Add(time.Hour)
	g, _, _ := gs.enter(other, later)
	require.Nil(t, g)
	gs.Accept(other, PermitSince(later), later)
	b.Refund(other, later)
	require.True(t, gs.Quiet())
	require.True(t, b.Full())
}

// Memory stays bounded under a million links that are each refused: of a closed group a few bytes
// are kept, because it must not be forgotten.
func TestGroupsAreBounded(t *testing.T) {
	links := 1_000_000
	if testing.Short() {
		links = 4 * mostGroups
	}
	inUse := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, gs, now := inUse(), NewGroups(), time.Now()
	for i := range links {
		key := Key("identity.get", strconv.Itoa(i))
		gs.Accept(key, Permit{}, now)
		gs.Refuse(key, Permit{}, now, time.Minute+time.Duration(i))
	}
	took := inUse() - before
	require.LessOrEqual(t, len(gs.groups), mostGroups)
	require.Equal(t, links, len(gs.groups)+len(gs.closed), "all of them are closed")
	t.Logf("%d closed groups take %.0f bytes each: %d of them are kept whole", links, took/float64(links),
		len(gs.groups))
	require.Less(t, took/float64(links), 300.0)

	gs.groups = nil
	perGroup := (inUse() - before) / float64(len(gs.closed))
	t.Logf("the others take %.0f bytes each", perGroup)
	require.Less(t, perGroup, 150.0)
	runtime.KeepAlive(gs)
}
