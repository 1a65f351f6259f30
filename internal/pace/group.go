package pace

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	decrease   = 0.8              // of the rate, at each refusal
	increase   = 0.01             // of the rate at the last refusal, for each second of acceptance
	lowestRate = rate.Limit(0.05) // a request in 20 s: 3 per minute is the smallest documented limit
	searchRate = rate.Limit(1)    // a search begins with it, and each acceptance adds it
	probeLimit = 10 * time.Second // then a probe without an answer holds nobody up

	enough      = 20          // a refusal before so many acceptances does not end a search
	searchAfter = time.Minute // a search begins after the group was open for so long
	forgetAfter = time.Minute // after nobody had to wait for so long
)

// Groups are the limit groups of a client. A group in which nothing was refused is not kept. Groups
// are safe for concurrent use.
type Groups struct {
	mu            sync.Mutex
	groups        map[string]*group
	sweepGroupsAt int                   // at how many groups forgetGroups runs
	closed        map[keyHash]time.Time // closed groups that are not kept whole, and when they open
	sweepClosedAt int                   // at how many of them the open ones are dropped
	strikes       map[string]strikes
	epochs        int // given out: each group, and each refusal, gets another one
}

// NewGroups returns groups that hold nobody up.
func NewGroups() *Groups {
	return &Groups{
		groups: map[string]*group{}, sweepGroupsAt: mostGroups,
		closed: map[keyHash]time.Time{}, sweepClosedAt: mostGroups,
		strikes: map[string]strikes{},
	}
}

// group is a limit group in which something was refused. Groups.mu guards all but the turn.
type group struct {
	turn     chan struct{} // one slot: whoever holds it goes next
	queued   int           // callers that wait for it
	opensAt  time.Time     // no request before
	probing  bool          // nothing was accepted since the last refusal: the next request is a probe
	epoch    int           // changes with each refusal: requests of an earlier epoch tell nothing of this one
	refusals int           // since the last acceptance
	limiter  *rate.Limiter
	step     rate.Limit // by which the rate grows in a second
	search   bool       // the rate is not known
	accepted int        // requests, since the search began
	waitedAt time.Time  // when somebody last had to wait; never before opensAt
}

// Key names a limit group without showing the parts, so that the name is safe to print.
func Key(name string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return name + "/" + hex.EncodeToString(h.Sum(nil)[:8])
}

// Accept records that the server accepted a request of a group.
func (gs *Groups) Accept(key string, permit Permit, now time.Time) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.strikes[key].forget(permit.at)
	g := gs.groups[key]
	if g == nil || permit.epoch != g.epoch {
		return
	}
	g.probing, g.refusals = false, 0
	if g.accepted++; !g.search && now.Sub(g.opensAt) > searchAfter {
		g.search, g.accepted = true, 0
	}
	r, step := g.limiter.Limit(), searchRate
	if !g.search {
		step = g.step / r
	}
	g.limiter.SetLimitAt(now, r+step)
}

// Refuse records that the server refused a request of a group, and closes the group for the time
// that the server named.
func (gs *Groups) Refuse(key string, permit Permit, now time.Time, wait time.Duration) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.find(key, now)
	first := g == nil
	if first {
		g = gs.add(key, now)
	}
	current, probe := first || permit.epoch == g.epoch, g.probing
	g.probing, g.epoch = true, gs.nextEpoch()
	if until := now.Add(wait); until.After(g.opensAt) {
		g.opensAt, g.waitedAt = until, until
	}
	if !current { // the request was under way when the group was closed
		return
	}
	if !first && !probe { // otherwise nothing was learned about the rate
		g.search = g.search && g.accepted < enough
		g.limiter.SetLimitAt(now, max(g.limiter.Limit()*decrease, lowestRate))
	}
	g.refusals++
	g.step = g.limiter.Limit() * increase
}

// Refusals returns how often in a row the server has refused requests of a group.
func (gs *Groups) Refusals(key string) int {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.groups[key]; g != nil {
		return g.refusals
	}
	return 0
}

// Busy returns how many callers wait for a permit or hold others up. Tests check that it is 0 at
// their end.
func (gs *Groups) Busy() (callers int) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, g := range gs.groups {
		callers += g.queued + len(g.turn)
	}
	return callers
}
