package duolink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A limit group is what a server counts together: at Supermetrics all calls of a credential, and its
// queries to one data source; at MoneyKit an operation on one link, or its refreshes of one product,
// and all of an application's calls of an operation. These are its rules; cooldown_test.go shows each.
//
// When it is closed:
//
//   - A group that was never refused is not held up.
//   - A closed group lets nothing out before the time that the server named. A shorter time that comes
//     later takes nothing back.
//   - A refusal that names no time closes it for a random wait. Its bound doubles with each refusal in
//     a row, whichever call it answers, and begins anew after an answer.
//   - It is never forgotten before its time, however many groups are closed.
//   - MoneyKit does not say whether a link's limit is used up or the application's. So if five links
//     are refused within ten seconds, and nothing is accepted that was sent since the first of these
//     refusals, the application's group is closed as well, for a minute at most.
//
// When it opens:
//
//   - One request goes ahead as a probe. The others wait for its answer, for probeLimit at most.
//   - A probe that is refused closes the group again. One that is lost lets the next go, as a probe.
//   - After a probe that is accepted, the others go at the group's rate, in the order in which they
//     came. They do not wait for each other's answers.
//   - An answer to a request from before a refusal tells nothing of the time after it: it is not the
//     probe's, and says nothing of the rate. A refusal closes the group whenever it arrives.
//   - Whoever had the group's leave before a refusal, and has not sent anything yet, asks again.
//
// At which rate:
//
//   - The rate is searched for from searchRate: it grows by a request a second with each that is
//     accepted. So it doubles within the time that an answer takes, or within a second.
//   - The first refusal ends the search, if it is not a probe's. From then on the rate grows, in each
//     second of acceptance, by a hundredth of what it was at the last refusal.
//   - A refusal takes a fifth of the rate (additive increase, multiplicative decrease). That of a
//     probe takes nothing, and lowestRate is always left.
//   - The search begins again when the group has been open for a minute.
//   - The group is forgotten when for a minute nobody had to wait for its time or its rate.
//
// Who waits:
//
//   - A wait is estimated by the time until the group opens, and by how long those who wait already
//     take at its rate.
//   - A wait that is longer than the caller's patience is not started, nor one that lasts until the
//     context's deadline. Whoever would have to wait so long is refused at once.
//   - A wait is told before it starts, and a wait of 0 is not told.

const (
	decrease   = 0.8              // of the rate, at each refusal
	increase   = 0.01             // of the rate at the last refusal, for each second of acceptance
	lowestRate = rate.Limit(0.05) // a request in 20 s, the smallest limit per minute that is documented
	searchRate = rate.Limit(1)    // where a search begins, and what each acceptance adds
	probeLimit = 10 * time.Second // a probe that is neither refused nor answered by then holds nobody up
	paceEnds   = time.Minute      // without anybody having had to wait

	searchAfter = time.Minute // in which the group was open
	mostGroups  = 1 << 16     // that are kept whole; of more, the closed ones are kept as a hash and a time
	mostStrikes = 1 << 12     // applications whose refused links are counted
)

// pace knows the limit groups of a client in which something was refused.
type pace struct {
	mu      sync.Mutex
	groups  map[string]*group
	roomAt  int                   // how many of them are looked through for those that nobody waits for
	shut    map[shutKey]time.Time // the closed groups that there was no room for, and when they open
	sweepAt int                   // how many of them are looked through for those that have opened
	strikes map[string]strikes
	epochs  int // given out: no two groups, and no two refusals of one, have the same
}

// shutKey is a closed group in sixteen bytes.
type shutKey [16]byte

func newPace() *pace {
	return &pace{
		groups: map[string]*group{}, roomAt: mostGroups, shut: map[shutKey]time.Time{}, sweepAt: mostGroups,
		strikes: map[string]strikes{},
	}
}

// group is a limit group in which something was refused. pace.mu guards all but the turn.
type group struct {
	turn    chan struct{} // one slot: who holds it is the next to go
	queued  int           // callers that wait for it
	openAt  time.Time     // no request before
	proving bool          // nothing was accepted since the last refusal: the next request is a probe
	epoch   int           // another one after each refusal: requests from before it tell nothing of the time after it
	streak  int           // refusals since the last acceptance
	limiter *rate.Limiter
	step    rate.Limit // by which the rate grows in a second
	search  bool       // the rate is not known
	boundAt time.Time  // when somebody last had to wait; never before it opens
}

// pass lets one attempt out.
type pass struct {
	epoch   int       // of the group, 0 where it was never refused
	at      time.Time // when it was given
	release func()    // lets the next caller decide; may be called often
}

// groupKey names a limit group without naming what it is made of: it is handed to the caller's Limiter.
func groupKey(name string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return name + "/" + hex.EncodeToString(h.Sum(nil)[:8])
}

// tooLong is a wait that is not started.
type tooLong struct{ wait time.Duration }

func (tooLong) Error() string { return "the wait would be too long" }

// admit returns when a request of the group may go. It is told how long the caller is willing to wait, and reports a wait
// before it starts; one that would be longer, or outlast the context, is not started.
func (p *pace) admit(ctx context.Context, key string, patience time.Duration, waiting func(WaitReason, time.Duration)) (*pass, error) {
	g, wait, reason := p.enter(key, time.Now())
	if g == nil {
		return &pass{at: time.Now(), release: func() {}}, nil
	}
	defer p.leave(g)
	if wait > 0 {
		if deadline, ok := ctx.Deadline(); wait > patience || ok && time.Until(deadline) <= wait {
			return nil, tooLong{wait}
		}
		waiting(reason, wait)
	}
	until := time.Now().Add(patience)
	if err := g.take(ctx, patience); err != nil {
		return nil, err
	}
	release := sync.OnceFunc(func() { <-g.turn })
	epoch, probe, err := p.hold(ctx, g, until)
	if err != nil {
		release()
		return nil, err
	}
	if !probe {
		release()
		return &pass{epoch: epoch, at: time.Now(), release: release}, nil
	}
	timer := time.AfterFunc(probeLimit, release)
	return &pass{epoch: epoch, at: time.Now(), release: func() { timer.Stop(); release() }}, nil
}

// open reports that nothing of the group was refused since it let a request out.
func (p *pace) open(key string, admitted *pass, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.groups[key]; g != nil {
		return admitted.epoch == g.epoch
	}
	return !p.shutUntil(key).After(now)
}

// shutUntil is when a group opens of which nothing else is known; zero where it is not closed.
func (p *pace) shutUntil(key string) time.Time {
	if len(p.shut) == 0 {
		return time.Time{}
	}
	return p.shut[shortened(key)]
}

func shortened(key string) shutKey {
	sum := sha256.Sum256([]byte(key))
	return shutKey(sum[:len(shutKey{})])
}

// find returns a group in which something was refused, or nil.
func (p *pace) find(key string, now time.Time) *group {
	if g := p.groups[key]; g != nil {
		return g
	}
	opens := p.shutUntil(key)
	if !opens.After(now) {
		return nil
	}
	delete(p.shut, shortened(key))
	g := p.add(key, now)
	g.openAt, g.boundAt, g.proving = opens, opens, true
	return g
}

// add makes a group in which something was refused. Its rate is searched for.
func (p *pace) add(key string, now time.Time) *group {
	p.makeRoom(now)
	g := &group{turn: make(chan struct{}, 1), limiter: rate.NewLimiter(searchRate, 1), search: true}
	g.epoch = p.nextEpoch()
	g.step = g.limiter.Limit() * increase
	p.groups[key] = g
	return g
}

func (p *pace) nextEpoch() int {
	p.epochs++
	return p.epochs
}

// enter joins the queue of a group, if it is held up, and estimates the wait.
func (p *pace) enter(key string, now time.Time) (*group, time.Duration, WaitReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(key, now)
	if g == nil {
		return nil, 0, ""
	}
	if g.queued == 0 && now.Sub(g.boundAt) > paceEnds {
		delete(p.groups, key)
		return nil, 0, ""
	}
	opens := now
	if g.openAt.After(now) {
		opens = g.openAt
	}
	ahead := (float64(g.queued) + 1 - g.limiter.TokensAt(opens)) / float64(g.limiter.Limit())
	if g.search { // the rate grows as fast as itself
		ahead = math.Log1p(ahead)
	}
	wait := time.Duration(ahead * float64(time.Second))
	g.queued++
	if closed := g.openAt.Sub(now); closed > 0 {
		return g, saturatingAdd(closed, wait), WaitCooldown
	}
	return g, wait, WaitPace
}

func (p *pace) leave(g *group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g.queued--
}

// take waits for the turn; those who came first have it first.
func (g *group) take(ctx context.Context, patience time.Duration) error {
	select {
	case g.turn <- struct{}{}:
		return nil
	default:
	}
	if patience <= 0 {
		return tooLong{patience}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return tooLong{patience}
	}
}

// hold waits, with the turn in hand, until the group is open and its rate allows a request.
func (p *pace) hold(ctx context.Context, g *group, until time.Time) (epoch int, probe bool, err error) {
	for {
		wait, epoch, probe := p.next(g, time.Now())
		if wait <= 0 {
			return epoch, probe, nil
		}
		if deadline, ok := ctx.Deadline(); time.Now().Add(wait).After(until) || ok && time.Until(deadline) <= wait {
			return 0, false, tooLong{wait}
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, false, err
		}
	}
}

// next is how long the holder of the turn still has to wait; with 0, the request counts as gone.
func (p *pace) next(g *group, now time.Time) (wait time.Duration, epoch int, probe bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if closed := g.openAt.Sub(now); closed > 0 {
		return closed, 0, false
	}
	if g.proving { // whatever the rate; but it counts, so that the next is not right behind it
		g.limiter.AllowN(now, 1)
		return 0, g.epoch, true
	}
	r := g.limiter.ReserveN(now, 1)
	if delay := r.DelayFrom(now); delay > 0 {
		r.CancelAt(now)
		g.boundAt = now
		return delay, 0, false
	}
	return 0, g.epoch, false
}

// accept notes that the server took a request.
func (p *pace) accept(key string, admitted *pass, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strikes[key].forget(admitted.at)
	g := p.groups[key]
	if g == nil || admitted.epoch != g.epoch {
		return
	}
	g.proving, g.streak = false, 0
	g.search = g.search || now.Sub(g.openAt) > searchAfter
	r, step := g.limiter.Limit(), searchRate
	if !g.search {
		step = g.step / r
	}
	g.limiter.SetLimitAt(now, r+step)
}

// refusals is how often in a row the server has refused requests of a group.
func (p *pace) refusals(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.groups[key]; g != nil {
		return g.streak
	}
	return 0
}

// refuse closes a group until the server's time.
func (p *pace) refuse(key string, admitted *pass, now time.Time, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(key, now)
	first := g == nil
	if first {
		g = p.add(key, now)
	}
	current, probe := first || admitted.epoch == g.epoch, g.proving
	g.proving, g.epoch = true, p.nextEpoch()
	if until := now.Add(wait); until.After(g.openAt) {
		g.openAt, g.boundAt = until, until
	}
	if !current { // it was under way when the group was closed
		return
	}
	if !first && !probe { // else nothing was learned about the rate
		g.search = false
		g.limiter.SetLimitAt(now, max(g.limiter.Limit()*decrease, lowestRate))
	}
	g.streak++
	g.step = g.limiter.Limit() * increase
}

// makeRoom bounds what a group takes. Those that hold nobody up are forgotten: the next refusal makes them anew. Those that are
// closed are a promise, so of them a hash and a time stay.
func (p *pace) makeRoom(now time.Time) {
	if len(p.groups) < p.roomAt {
		return
	}
	for key, g := range p.groups {
		if g.queued > 0 {
			continue
		}
		if g.openAt.After(now) {
			p.shut[shortened(key)] = g.openAt
		}
		delete(p.groups, key)
	}
	p.roomAt = max(mostGroups, 2*len(p.groups))
	if len(p.shut) < p.sweepAt {
		return
	}
	for key, opens := range p.shut {
		if !opens.After(now) {
			delete(p.shut, key)
		}
	}
	p.sweepAt = max(mostGroups, 2*len(p.shut))
}

// strikes are the links of one application that were refused in a row, and when.
type strikes map[string]time.Time

// forget drops those that were refused before a time.
func (s strikes) forget(before time.Time) {
	maps.DeleteFunc(s, func(_ string, at time.Time) bool { return at.Before(before) })
}

const (
	enoughStrikes = 5                // refused links in a row are no longer those links' own limits
	strikesFor    = 10 * time.Second // from the first to the last of them
	longestWhole  = time.Minute      // an application's limits are per minute
)

// whole reports that a refusal speaks of the whole application, not of a link alone: the server counts both, and does not say
// which of them is used up. Where it refuses several links in a row, and no request that was sent since the first of these
// refusals is accepted, it is the application.
func (p *pace) whole(key, link string, admitted *pass, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.groups[key]; g != nil && g.proving && admitted.epoch == g.epoch { // its probe
		return true
	}
	s := p.strikes[key]
	if s == nil {
		if len(p.strikes) >= mostStrikes {
			clear(p.strikes)
		}
		s = strikes{}
		p.strikes[key] = s
	}
	s.forget(now.Add(-strikesFor))
	s[link] = now
	if len(s) < enoughStrikes {
		return false
	}
	delete(p.strikes, key)
	return true
}
