package flight

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrTooLong is the cause of the context of a renewal that has reached its limit.
var ErrTooLong = errors.New("the renewal took too long")

// Renewed keeps a value that expires, such as a token. Without a good value, all callers wait for
// one renewal, each on its own context. Shortly before it expires the value is renewed, while the
// old value is still used.
//
// A renewal is not a [Run], because it goes on even if nobody waits, may begin without callers, and
// is never found again after its end. Built on a Run, it took 43 lines more.
type Renewed[T any] struct {
	// Renew gets another value, and says how long it lives. If it fails before it has tried
	// anything, the next renewal may start at once.
	Renew func(ctx context.Context) (value T, life time.Duration, tried bool, err error)
	// Tell is called once for each renewal that has ended, on the goroutine of a caller of Get.
	Tell func(ctx context.Context, took time.Duration, err error)
	// Limit bounds how long a renewal takes, even if nobody waits for it.
	Limit time.Duration
	// Go starts renewals. It may be nil.
	Go Starter

	fresh atomic.Pointer[fresh[T]] // the value while there is nothing to do but to return it, or nil

	mu       sync.Mutex
	value    T
	good     bool      // there is a value
	renewAt  time.Time // shortly before it expires
	endsAt   time.Time
	current  *renewal[T]   // under way, or nil
	untold   []*renewal[T] // have ended, and Tell was not called
	failed   *renewal[T]   // the latest renewal, if it failed
	failures HoldOff       // after a failed renewal
	refusals HoldOff       // after a refused value was given up
}

// fresh is a good value, and until when it is not due for renewal.
type fresh[T any] struct {
	value T
	until time.Time
}

// renewal is one renewal, which any number of callers wait for.
type renewal[T any] struct {
	done     chan struct{}
	value    T
	took     time.Duration
	err      error
	until    time.Time // until then Get returns its failure
	panicked any
}

// HoldOff is a time in which something is not tried again, because many callers would flood the
// server. It is a second, doubles each time in a row, and is half a minute at most.
type HoldOff struct {
	Until  time.Time
	inARow int
}

// The bounds of a [HoldOff].
const (
	ShortestHold = time.Second
	LongestHold  = 30 * time.Second
)

// Begin starts the time.
func (h *HoldOff) Begin(now time.Time) {
	if now.Sub(h.Until) > LongestHold { // nothing has failed since
		h.inARow = 0
	}
	h.Until = now.Add(min(ShortestHold<<min(h.inARow, 5), LongestHold))
	h.inARow++
}

// Get returns the value while it is good, or waits for another value. After a failure it returns
// the same error until the time that comes with it. The error is [ErrUnfinished] if the renewal has
// panicked.
func (r *Renewed[T]) Get(ctx context.Context) (value T, until time.Time, err error) {
	if f := r.fresh.Load(); f != nil && time.Now().Before(f.until) { // callers share no lock then
		return f.value, until, nil
	}
	r.tell(ctx) // of a renewal that nobody has waited for
	value, waits := r.join(ctx)
	if waits == nil {
		return value, until, nil
	}
	select {
	case <-waits.done:
	case <-ctx.Done():
		return value, until, ctx.Err()
	}
	r.tell(ctx)
	if waits.err != nil {
		return value, waits.until, waits.err
	}
	return waits.value, until, nil
}

// Latest returns the value, or zero if it was given up.
func (r *Renewed[T]) Latest() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value
}

// GiveUp gives up a refused value, unless it is replaced already. It keeps the value if another
// value was refused just before, because the next value would be refused, too. It reports whether
// another try may have another value.
func (r *Renewed[T]) GiveUp(same func(T) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	switch {
	case !same(r.value):
		return true
	case now.Before(r.refusals.Until):
		return false
	}
	var none T
	r.value, r.good = none, false
	r.fresh.Store(nil)
	r.refusals.Begin(now)
	return true
}

// tell calls Tell once for each renewal, and raises the panics of renewals.
func (r *Renewed[T]) tell(ctx context.Context) {
	for n := r.news(); n != nil; n = r.news() {
		if n.panicked != nil {
			panic(n.panicked)
		}
		r.Tell(ctx, n.took, n.err)
	}
}

func (r *Renewed[T]) news() *renewal[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.untold) == 0 {
		return nil
	}
	n := r.untold[0]
	r.untold = r.untold[1:]
	return n
}

// join returns the value while it is good, and starts its renewal shortly before it expires.
// Without a good value it returns a renewal: the one under way, a new one, or the one that has just
// failed.
func (r *Renewed[T]) join(ctx context.Context) (value T, waits *renewal[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	good := r.good && now.Before(r.endsAt)
	due := !good || !now.Before(r.renewAt)
	if due && r.current == nil && !now.Before(r.failures.Until) {
		r.current = &renewal[T]{done: make(chan struct{}), err: ErrUnfinished}
		// A caller who gives up must not fail the others, so the renewal has its own context.
		current := r.current
		r.Go.start(context.WithoutCancel(ctx), func(ctx context.Context) { r.run(ctx, current) })
	}
	if good && !due && len(r.untold) == 0 {
		r.fresh.Store(&fresh[T]{r.value, r.renewAt})
	}
	if good {
		return r.value, nil
	}
	return value, cmp.Or(r.current, r.failed)
}

func (r *Renewed[T]) run(ctx context.Context, n *renewal[T]) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Limit, ErrTooLong)
	defer cancel()
	began, tried := time.Now(), false
	defer func() {
		n.panicked, n.took = recover(), time.Since(began)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.settle(n, tried)
		close(n.done)
	}()
	var life time.Duration
	if n.value, life, tried, n.err = r.Renew(ctx); n.err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.value, r.good = n.value, true
		r.renewAt, r.endsAt = began.Add(life-min(life/10, time.Minute)), began.Add(life)
	}
}

// settle records the result of a renewal. A panic is not a failure.
func (r *Renewed[T]) settle(n *renewal[T], tried bool) {
	r.current, r.untold = nil, append(r.untold, n)
	r.fresh.Store(nil) // the next caller tells of the renewal
	if n.panicked != nil || n.err == nil || !tried {
		r.failed, r.failures = nil, HoldOff{}
		return
	}
	r.failures.Begin(time.Now())
	r.failed, n.until = n, r.failures.Until
}
