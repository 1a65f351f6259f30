package duolink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// flights are runs that callers share: those who want the same at the same time, as the same tenant, wait for one run. A run has
// a life of its own: it ends early only when everybody who waits for it has given up.
type flights[T, P any] struct {
	mu      sync.Mutex
	running map[string]*flight[T, P]
}

// errUnfinished is what those get of a run that a hook's panic has ended who do not get the panic.
var errUnfinished = &Error{Outcome: Unknown, Message: "the run that the call shared did not end well"}

func newFlights[T, P any]() *flights[T, P] {
	return &flights[T, P]{running: map[string]*flight[T, P]{}}
}

// flight is one run. flights.mu guards what changes.
type flight[T, P any] struct {
	cancel  context.CancelFunc
	done    chan struct{}
	waiting int
	news    P             // the latest progress
	changed chan struct{} // closed when there is some

	// What came of it, once done is closed.
	result   T
	response Response
	err      error
	panicked any
	told     sync.Once // of the panic
}

// run does the work of a flight: it may tell of its progress, and fills in the response of its latest call.
type run[T, P any] func(ctx context.Context, response *Response, tell func(P)) (T, error)

// join waits for the run under this key, and starts it where there is none. Progress reaches each caller on its own
// goroutine, and what a hook panics with one of them.
func (f *flights[T, P]) join(ctx context.Context, key string, run run[T, P], progress func(P)) (*flight[T, P], error) {
	one, changed := f.enter(ctx, key, run)
	defer f.leave(key, one)
	for {
		select {
		case <-one.done:
			var panicked any
			one.told.Do(func() { panicked = one.panicked })
			if panicked != nil {
				panic(panicked)
			}
			return one, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
			f.mu.Lock()
			news := one.news
			changed = one.changed
			f.mu.Unlock()
			if progress != nil {
				progress(news)
			}
		}
	}
}

func (f *flights[T, P]) enter(ctx context.Context, key string, run run[T, P]) (*flight[T, P], chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.running[key]
	if one == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // whoever leaves last calls it
		one = &flight[T, P]{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
		f.running[key] = one
		go f.fly(ctx, key, one, run)
	}
	one.waiting++
	return one, one.changed
}

// leave gives up a run that nobody waits for any more, so that the next caller starts another.
func (f *flights[T, P]) leave(key string, one *flight[T, P]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.waiting--; one.waiting == 0 {
		f.forget(key, one)
		one.cancel()
	}
}

func (f *flights[T, P]) forget(key string, one *flight[T, P]) {
	if f.running[key] == one {
		delete(f.running, key)
	}
}

func (f *flights[T, P]) fly(ctx context.Context, key string, one *flight[T, P], run run[T, P]) {
	one.err = errUnfinished
	defer func() {
		one.panicked = recover()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.forget(key, one)
		close(one.done)
	}()
	one.result, one.err = run(ctx, &one.response, func(news P) {
		f.mu.Lock()
		defer f.mu.Unlock()
		close(one.changed)
		one.news, one.changed = news, make(chan struct{})
	})
}

// checked applies the options of a flow's call and checks what would go wrong with its operation, so that nothing is sent, nor
// billed, before that is known.
func (c *Client) checked(ctx context.Context, op operation, opts []CallOption) (*trip, error) {
	t := newTrip(c, op)
	if ctx == nil {
		return nil, t.blame(argumentError("the context is nil"))
	}
	if err := t.prepare(opts); err != nil {
		return nil, t.blame(err)
	}
	return t, nil
}

// share names a run: callers with the same key are the same tenant and want the same. Not a hash: one tenant must not be able
// to make another's.
func (t *trip) share(ctx context.Context, parts ...string) (string, error) {
	credential := t.auth.identity()
	if b, ok := t.auth.(*bearer); ok && b.provide != nil { // one function may serve many tenants: ask whose call this is
		h := http.Header{}
		if err := b.authorize(ctx, t.op.api, h); err != nil {
			return "", t.blame(err)
		}
		credential = h.Get("Authorization")
		t.header = h // what no error may quote
	}
	return fmt.Sprintf("%q", append([]string{t.op.name, credential, t.choices()}, parts...)), nil
}

// choices are the call options that make a call another one. Maps print in the order of their keys.
func (t *trip) choices() string {
	patience := time.Duration(-1)
	if t.maxWait != nil {
		patience = *t.maxWait
	}
	return fmt.Sprintf("%t %s %q", t.once, patience, t.extra)
}

// inherit is the call options of a flow for the calls that it is made of, with a response that is the run's own: the
// caller's may be read by then.
func (t *trip) inherit(response *Response) CallOption {
	all := t.callOptions
	all.response = response
	return func(o *callOptions) error {
		*o = all
		return nil
	}
}

// landed is what a caller gets of a run: its own copy of the error, and of the response.
func (t *trip) landed(response Response, err error) error {
	if t.response != nil {
		response.Attempts = slices.Clone(response.Attempts)
		*t.response = response
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	own := *e
	own.API, own.Operation = cmp.Or(own.API, t.op.api), cmp.Or(own.Operation, t.op.name)
	return &own
}
