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

// closed is what is kept of a closed group that is not kept whole.
type closed struct {
	opens time.Time
	slot  slot
}

// find returns a group in which something was refused, or nil.
func (gs *Groups) find(key string, now time.Time) *group {
	if g := gs.groups[key]; g != nil {
		return g
	}
	hash := hashOf(key)
	c, ok := gs.closed[hash]
	if !ok {
		return nil
	}
	var g *group
	if c.opens.After(now) {
		g = gs.add(key, now) // before the entry is dropped: who takes no lock must not see a gap
		g.opensAt, g.waitedAt, g.probing = c.opens, c.opens, true
	}
	delete(gs.closed, hash)
	gs.refused.drop(c.slot)
	return g
}

// closedUntil returns when a group opens that is not kept whole, or zero if it is not closed.
func (gs *Groups) closedUntil(key string) time.Time {
	if len(gs.closed) == 0 {
		return time.Time{}
	}
	return gs.closed[hashOf(key)].opens
}

// add makes a group in which something was refused, and begins the search for its rate.
func (gs *Groups) add(key string, now time.Time) *group {
	gs.forgetGroups(now)
	g := &group{turn: make(chan struct{}, 1), limiter: rate.NewLimiter(searchRate, 1), search: true}
	g.epoch = gs.nextEpoch()
	g.step = g.limiter.Limit() * increase
	gs.groups[key] = g
	gs.refused.add(slotOf(key))
	return g
}

func (gs *Groups) nextEpoch() int {
	gs.epochs++
	return gs.epochs
}

// sweep is how many entries are looked at when another one is added. A map gives them at random.
const sweep = 8

// forgetGroups bounds the memory of the groups. It forgets groups that hold nobody up: the next
// refusal makes them again. It forgets a few at a time, because others wait meanwhile.
func (gs *Groups) forgetGroups(now time.Time) {
	looked := 0
	for key, g := range gs.groups {
		if looked++; len(gs.groups) < mostGroups || looked > sweep {
			break
		}
		if g.queued == 0 {
			gs.forget(key, g, now)
		}
	}
}

// forget forgets a group. A closed group is a promise to the server, so its hash and time stay.
func (gs *Groups) forget(key string, g *group, now time.Time) {
	delete(gs.groups, key)
	if g.opensAt.After(now) {
		gs.forgetOpen(now)
		gs.closed[hashOf(key)] = closed{g.opensAt, slotOf(key)}
		gs.refused.add(slotOf(key))
	}
	gs.refused.drop(slotOf(key))
}

// forgetOpen forgets what is kept of some of the groups that are open again.
func (gs *Groups) forgetOpen(now time.Time) {
	looked := 0
	for hash, c := range gs.closed {
		if looked++; len(gs.closed) < mostGroups || looked > sweep {
			break
		}
		if !c.opens.After(now) {
			delete(gs.closed, hash)
			gs.refused.drop(c.slot)
		}
	}
}
