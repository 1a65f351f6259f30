package pace

import (
	"maps"
	"time"
)

const (
	enoughStrikes = 5                // refused members in a row are no longer those members' own limits
	strikesFor    = 10 * time.Second // from the first to the last of them
	mostStrikes   = 1 << 12          // wide groups whose refused members are counted
)

// strikes are the members of a wide group that were refused in a row, and when.
type strikes map[string]time.Time

// forget drops those that were refused before a time.
func (s strikes) forget(before time.Time) {
	maps.DeleteFunc(s, func(_ string, at time.Time) bool { return at.Before(before) })
}

// RefusesWhole reports that a refusal speaks of a whole group, not of one of its members alone: the
// server counts both, and does not say which of them is used up. If it refuses several members in a
// row, and accepts no request that was sent since the first of these refusals, it is the whole.
func (gs *Groups) RefusesWhole(key, member string, permit Permit, now time.Time) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.groups[key]; g != nil && g.probing && permit.epoch == g.epoch { // its probe
		return true
	}
	s := gs.strikes[key]
	if s == nil {
		if len(gs.strikes) >= mostStrikes {
			clear(gs.strikes)
		}
		s = strikes{}
		gs.strikes[key] = s
	}
	s.forget(now.Add(-strikesFor))
	s[member] = now
	if len(s) < enoughStrikes {
		return false
	}
	delete(gs.strikes, key)
	return true
}
