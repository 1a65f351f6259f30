package flight

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Renewed keeps a value that ends, such as a token. Callers who have no good one wait for one
// renewal, each on its own context. Ahead of its end the value is renewed while the old one still
// serves.
//
// A renewal is not a [Run], because it goes on whoever waits, may begin without callers, and is
// never found again once it has ended. Built on a Run, it took 43 lines more.
type Renewed[T any] struct {
	// Renew gets another value, and says how long it lives. An error that came before anything was
	// tried does not hold the next renewal off.
	Renew func(ctx context.Context) (value T, life time.Duration, tried bool, err error)
	// Tell is told of each renewal that has ended, once, on the goroutine of a caller of Get.
	Tell func(ctx context.Context, took time.Duration, err error)
	// Limit ends a renewal that nobody may be waiting for any more.
	Limit time.Duration

	mu       sync.Mutex
	value    T
	good     bool      // there is a value
	renewAt  time.Time // ahead of its end
	endsAt   time.Time
	current  *renewal[T]   // under way, or nil
	untold   []*renewal[T] // have ended, and nobody was told
	failed   *renewal[T]   // the latest, if it failed
	failures HoldOff       // after a failed renewal there is no other
	refusals HoldOff       // after a refused value was given up, no other one is
}

// renewal is one that any number of callers wait for.
type renewal[T any] struct {
	done     chan struct{}
	value    T
	took     time.Duration
	err      error
	until    time.Time // its failure is the answer
	panicked any
}

// HoldOff is a time for which something is not tried again: it would fail again, and many callers
// would hammer the server. It is a second, twice as long each time in a row, and half a minute at
// most.
type HoldOff struct {
	Until  time.Time
	inARow int
}

// The bounds of a [HoldOff].
const (
	ShortestHold = time.Second
	LongestHold  = 30 * time.Second
)

// Begin begins the time.
func (h *HoldOff) Begin(now time.Time) {
	if now.Sub(h.Until) > LongestHold { // all was quiet since
		h.inARow = 0
	}
	h.Until = now.Add(min(ShortestHold<<min(h.inARow, 5), LongestHold))
	h.inARow++
}

// Get returns the value while it is good, or waits for another one. A failure is the answer until
// the time that comes with it. It is [ErrUnfinished] if the renewal has panicked.
func (r *Renewed[T]) Get(ctx context.Context) (value T, until time.Time, err error) {
	r.tell(ctx) // of one that nobody has waited for
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

// Latest returns the value as it is, or zero if it was given up.
func (r *Renewed[T]) Latest() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value
}

// GiveUp gives up a value that was refused, unless somebody has replaced it already. If one was
// refused just now, it stays, because the next one would be refused, too. It reports whether
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
	r.refusals.Begin(now)
	return true
}

// tell tells of each renewal once, and raises the panics of those in it.
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

// join returns the value while it is good, and sees to its renewal ahead of its end. Without a good
// one it returns the renewal that is under way, a new one, or the one that has just failed.
func (r *Renewed[T]) join(ctx context.Context) (value T, waits *renewal[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	good := r.good && now.Before(r.endsAt)
	due := !good || !now.Before(r.renewAt)
	if due && r.current == nil && !now.Before(r.failures.Until) {
		r.current = &renewal[T]{done: make(chan struct{}), err: ErrUnfinished}
		// A caller who gives up must not fail the others: the renewal has a life of its own.
		go r.run(context.WithoutCancel(ctx), r.current)
	}
	if good {
		return r.value, nil
	}
	return value, cmp.Or(r.current, r.failed)
}

func (r *Renewed[T]) run(ctx context.Context, n *renewal[T]) {
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
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

// settle notes how a renewal went. One that has panicked has not failed.
func (r *Renewed[T]) settle(n *renewal[T], tried bool) {
	r.current, r.untold = nil, append(r.untold, n)
	if n.panicked != nil || n.err == nil || !tried {
		r.failed, r.failures = nil, HoldOff{}
		return
	}
	r.failures.Begin(time.Now())
	r.failed, n.until = n, r.failures.Until
}
