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
	mu      sync.Mutex
	groups  map[string]*group
	closed  map[keyHash]closed // closed groups that are not kept whole
	strikes map[string]strikes
	epochs  int   // given out: each group, and each refusal, gets another one
	refused tally // counts the groups, what is closed, and the strikes
}

// NewGroups returns groups that hold nobody up.
func NewGroups() *Groups {
	return &Groups{groups: map[string]*group{}, closed: map[keyHash]closed{}, strikes: map[string]strikes{}}
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
	const room, shown = 512, 8
	text := make([]byte, 0, room)
	for _, p := range parts {
		text = append(append(text, p...), 0)
	}
	sum := sha256.Sum256(text)
	text = append(append(text[:0], name...), '/')
	return string(hex.AppendEncode(text, sum[:shown]))
}

// Quiet reports whether no group at all was refused that still counts. Then no group holds anybody up,
// and nothing needs to be told of a group but a refusal.
func (gs *Groups) Quiet() bool { return gs.refused.isEmpty() }

// PermitSince is the permit that a group gave at a time when it was not refused.
func PermitSince(at time.Time) Permit { return Permit{at: at} }

// Accept records that the server accepted a request of a group.
func (gs *Groups) Accept(key string, permit Permit, now time.Time) {
	if !gs.refused.has(key) {
		return
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if s := gs.strikes[key]; s != nil {
		if s.forget(permit.at); len(s) == 0 {
			delete(gs.strikes, key)
			gs.refused.drop(slotOf(key))
		}
	}
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
