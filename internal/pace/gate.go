package pace

import (
	"context"
	"math"
	"sync"
	"time"
)

// Permit lets one attempt out. The zero value is the permit of a group that was never refused.
type Permit struct {
	epoch   int       // of the group
	at      time.Time // when it was given
	release func()
}

// Release lets the next caller go. It may be called more than once, and on the zero value.
func (p Permit) Release() {
	if p.release != nil {
		p.release()
	}
}

// TooLong is the error for a wait that is not started, or is given up.
type TooLong struct{ Wait time.Duration }

func (TooLong) Error() string { return "the wait would be too long" }

// Reason is why a request is held up.
type Reason string

// The reasons.
const (
	ReasonCooldown Reason = "cooldown" // its group is closed
	ReasonRate     Reason = "pace"     // its group is open, but others go first
)

// Admit returns when a request of the group may go. Patience is how long the caller is willing to
// wait. Admit reports a wait before it starts. A wait that is longer than the patience, or would
// outlast the context, is not started: the error is a [TooLong]. The caller must release the permit
// when it knows the answer.
func (gs *Groups) Admit(
	ctx context.Context, key string, patience time.Duration, waiting func(Reason, time.Duration),
) (Permit, error) {
	g, wait, reason := gs.enter(key, time.Now())
	if g == nil {
		return Permit{at: time.Now()}, nil
	}
	defer gs.leave(g)
	if wait > 0 {
		if wait > patience || outlasts(ctx, wait) {
			return Permit{}, TooLong{wait}
		}
		waiting(reason, wait)
	}
	until := time.Now().Add(patience)
	if err := g.takeTurn(ctx, patience); err != nil {
		return Permit{}, err
	}
	release := sync.OnceFunc(func() { <-g.turn })
	epoch, probe, err := gs.waitToGo(ctx, g, until)
	if err != nil {
		release()
		return Permit{}, err
	}
	permit := Permit{epoch: epoch, at: time.Now()}
	if !probe {
		release()
		return permit, nil
	}
	timer := time.AfterFunc(probeLimit, release)
	permit.release = func() { timer.Stop(); release() }
	return permit, nil
}

// outlasts reports whether a wait would outlast the context's deadline.
func outlasts(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) <= wait
}

// StillOpen reports whether nothing of the group was refused since it gave the permit.
func (gs *Groups) StillOpen(key string, permit Permit, now time.Time) bool {
	if !gs.refused.has(key) {
		return true
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.groups[key]; g != nil {
		return permit.epoch == g.epoch
	}
	return !gs.closedUntil(key).After(now)
}

// enter joins the queue of a group that is held up, and estimates the wait.
func (gs *Groups) enter(key string, now time.Time) (*group, time.Duration, Reason) {
	if !gs.refused.has(key) {
		return nil, 0, ""
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.find(key, now)
	if g == nil {
		return nil, 0, ""
	}
	if g.queued == 0 && now.Sub(g.waitedAt) > forgetAfter {
		gs.forget(key, g, now)
		return nil, 0, ""
	}
	opens := now
	if g.opensAt.After(now) {
		opens = g.opensAt
	}
	ahead := (float64(g.queued) + 1 - g.limiter.TokensAt(opens)) / float64(g.limiter.Limit())
	// During the search the rate grows as fast as itself. So in t seconds e^t - 1 times as many
	// requests go as in one second at the present rate, and t is the logarithm.
	if g.search {
		ahead = math.Log1p(ahead)
	}
	wait := time.Duration(ahead * float64(time.Second))
	g.queued++
	if closed := g.opensAt.Sub(now); closed > 0 {
		return g, saturatingAdd(closed, wait), ReasonCooldown
	}
	return g, wait, ReasonRate
}

func (gs *Groups) leave(g *group) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g.queued--
}

// takeTurn waits for the turn. Callers get it in the order in which they came.
func (g *group) takeTurn(ctx context.Context, patience time.Duration) error {
	select {
	case g.turn <- struct{}{}:
		return nil
	default:
	}
	if patience <= 0 {
		return TooLong{patience}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return TooLong{patience}
	}
}

// waitToGo waits until the group is open and its rate allows a request. The caller has the turn.
func (gs *Groups) waitToGo(ctx context.Context, g *group, until time.Time) (epoch int, probe bool, err error) {
	for {
		wait, epoch, probe := gs.tryToGo(g, time.Now())
		if wait <= 0 {
			return epoch, probe, nil
		}
		if time.Now().Add(wait).After(until) || outlasts(ctx, wait) {
			return 0, false, TooLong{wait}
		}
		if err := Sleep(ctx, wait); err != nil {
			return 0, false, err
		}
	}
}

// tryToGo returns how long the caller with the turn still has to wait. If that is 0, the request
// counts as sent.
func (gs *Groups) tryToGo(g *group, now time.Time) (wait time.Duration, epoch int, probe bool) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if closed := g.opensAt.Sub(now); closed > 0 {
		return closed, 0, false
	}
	if g.probing { // a probe ignores the rate, but counts in it, so that the next request is not right behind it
		g.limiter.AllowN(now, 1)
		return 0, g.epoch, true
	}
	r := g.limiter.ReserveN(now, 1)
	if delay := r.DelayFrom(now); delay > 0 {
		r.CancelAt(now)
		g.waitedAt = now
		return delay, 0, false
	}
	return 0, g.epoch, false
}

func saturatingAdd(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
