package pace

import (
	"maps"
	"time"
)

const (
	enoughStrikes = 5                // if so many members are refused in a row, it is not their own limits
	strikesFor    = 10 * time.Second // from the first refusal to the last
	mostStrikes   = 1 << 12          // how many wide groups have strikes at most
)

// strikes are the members of a wide group that were refused in a row, with the time of the refusal.
type strikes map[string]time.Time

// forget drops members that were refused before a time.
func (s strikes) forget(before time.Time) {
	maps.DeleteFunc(s, func(_ string, at time.Time) bool { return at.Before(before) })
}

// RefusesWhole reports whether a refusal is about a whole group, and not only about one member. The
// server counts both, and does not say which of them is used up. If it refuses several members in a
// row, and accepts no request that was sent since the first of these refusals, it is the whole
// group.
func (gs *Groups) RefusesWhole(key, member string, permit Permit, now time.Time) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.groups[key]; g != nil && g.probing && permit.epoch == g.epoch { // it refused the whole group's probe
		return true
	}
	s := gs.strikes[key]
	if s == nil {
		if len(gs.strikes) >= mostStrikes {
			gs.dropStrikes()
		}
		s = strikes{}
		gs.strikes[key] = s
		gs.refused.add(slotOf(key))
	}
	s.forget(now.Add(-strikesFor))
	s[member] = now
	if len(s) < enoughStrikes {
		return false
	}
	delete(gs.strikes, key)
	gs.refused.drop(slotOf(key))
	return true
}

func (gs *Groups) dropStrikes() {
	for key := range gs.strikes {
		delete(gs.strikes, key)
		gs.refused.drop(slotOf(key))
	}
}
