package pace

import (
	"crypto/sha256"
	"time"

	"golang.org/x/time/rate"
)

// mostGroups is how many groups are kept whole. Of more groups, a closed one is kept as a hash and
// a time.
const mostGroups = 1 << 16

// keyHash is a hash of a key.
type keyHash [16]byte

func hashOf(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:len(keyHash{})])
}

// find returns a group in which something was refused, or nil.
func (gs *Groups) find(key string, now time.Time) *group {
	if g := gs.groups[key]; g != nil {
		return g
	}
	opens := gs.closedUntil(key)
	if !opens.After(now) {
		return nil
	}
	delete(gs.closed, hashOf(key))
	g := gs.add(key, now)
	g.opensAt, g.waitedAt, g.probing = opens, opens, true
	return g
}

// closedUntil returns when a group opens that is not kept whole, or zero if it is not closed.
func (gs *Groups) closedUntil(key string) time.Time {
	if len(gs.closed) == 0 {
		return time.Time{}
	}
	return gs.closed[hashOf(key)]
}

// add makes a group in which something was refused, and begins the search for its rate.
func (gs *Groups) add(key string, now time.Time) *group {
	gs.forgetGroups(now)
	g := &group{turn: make(chan struct{}, 1), limiter: rate.NewLimiter(searchRate, 1), search: true}
	g.epoch = gs.nextEpoch()
	g.step = g.limiter.Limit() * increase
	gs.groups[key] = g
	return g
}

func (gs *Groups) nextEpoch() int {
	gs.epochs++
	return gs.epochs
}

// forgetGroups bounds the memory of the groups. It forgets groups that hold nobody up: the next
// refusal makes them again. A closed group is a promise to the server, so its hash and time stay.
func (gs *Groups) forgetGroups(now time.Time) {
	if len(gs.groups) < gs.sweepGroupsAt {
		return
	}
	for key, g := range gs.groups {
		if g.queued > 0 {
			continue
		}
		if g.opensAt.After(now) {
			gs.closed[hashOf(key)] = g.opensAt
		}
		delete(gs.groups, key)
	}
	gs.sweepGroupsAt = max(mostGroups, 2*len(gs.groups))
	if len(gs.closed) < gs.sweepClosedAt {
		return
	}
	for key, opens := range gs.closed {
		if !opens.After(now) {
			delete(gs.closed, key)
		}
	}
	gs.sweepClosedAt = max(mostGroups, 2*len(gs.closed))
}
