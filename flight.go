package duolink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// flights are runs that callers share: those who want the same at the same time, as the same tenant, wait for one run. A run has
// a life of its own: it ends early only when everybody who waits for it has given up, and nothing was sent that should not
// be sent twice. Then it goes on for a while, so that who comes back finds it.
type flights[T, P any] struct {
	mu      sync.Mutex
	running map[flightKey]*flight[T, P]
}

// alone is how long a run that has sent something goes on when nobody waits for it.
const alone = 10 * time.Minute

// flight is one run. The mutex of all guards what changes.
type flight[T, P any] struct {
	all       *flights[T, P]
	key       flightKey
	cancel    context.CancelFunc
	waiting   int
	committed bool          // something was sent that should not be sent twice
	end       *time.Timer   // of a run that nobody waits for
	news      P             // the latest progress
	changed   chan struct{} // closed when there is some
	done      chan struct{}

	// What came of it, once done is closed.
	result   T
	response Response
	err      error
	panicked any
	told     atomic.Bool // of the panic
}

// run does the work of a flight. It tells of its progress, says before it sends what should not be sent twice, and fills
// in the response of its latest call.
type run[T, P any] func(ctx context.Context, f *flight[T, P]) (T, error)

// errUnfinished is what those get of a run that a hook's panic has ended who do not get the panic.
var errUnfinished = &Error{Outcome: Unknown, Message: "the run that the call shared did not end well"}

func newFlights[T, P any]() *flights[T, P] {
	return &flights[T, P]{running: map[flightKey]*flight[T, P]{}}
}

// join waits for the run under this key, and starts it where there is none. Progress reaches each caller on its own
// goroutine, and what a hook panics with one of them. An error is the context's.
func (fs *flights[T, P]) join(ctx context.Context, key flightKey, run run[T, P], progress func(P)) (*flight[T, P], error) {
	if err := ctx.Err(); err != nil {
		return &flight[T, P]{all: fs}, err
	}
	f, changed := fs.enter(ctx, key, run)
	defer f.leave()
	for {
		select {
		case <-f.done:
			if f.panicked != nil && !f.told.Swap(true) {
				panic(f.panicked)
			}
			return f, nil
		case <-ctx.Done():
			return f, ctx.Err()
		case <-changed:
			var news P
			if news, changed = f.latest(); progress != nil {
				progress(news)
			}
		}
	}
}

func (fs *flights[T, P]) enter(ctx context.Context, key flightKey, run run[T, P]) (*flight[T, P], chan struct{}) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.running[key]
	if f == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // the run's end calls it, or whoever leaves last
		f = &flight[T, P]{all: fs, key: key, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
		fs.running[key] = f
		go f.fly(ctx, run)
	}
	if f.end != nil {
		f.end.Stop()
	}
	f.waiting++
	return f, f.changed
}

// leave gives up a run that nobody waits for any more, so that the next caller starts another, or leaves it alone.
func (f *flight[T, P]) leave() {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.waiting--
	select {
	case <-f.done:
		return
	default:
	}
	switch {
	case f.waiting > 0:
	case f.committed:
		f.end = time.AfterFunc(alone, f.abandon)
	default:
		f.stop()
	}
}

// abandon ends a run, unless somebody has come back.
func (f *flight[T, P]) abandon() {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if f.waiting == 0 {
		f.stop()
	}
}

// stop ends a run; the next caller starts another. The mutex is held.
func (f *flight[T, P]) stop() {
	f.cancel()
	if f.all.running[f.key] == f {
		delete(f.all.running, f.key)
	}
}

func (f *flight[T, P]) fly(ctx context.Context, run run[T, P]) {
	f.err = errUnfinished
	defer func() {
		f.panicked = recover()
		f.all.mu.Lock()
		defer f.all.mu.Unlock()
		f.stop()
		if f.end != nil {
			f.end.Stop()
		}
		close(f.done)
	}()
	f.result, f.err = run(ctx, f)
}

// tell lets the callers know of progress. One who is slow misses some.
func (f *flight[T, P]) tell(news P) {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	close(f.changed)
	f.news, f.changed = news, make(chan struct{})
}

func (f *flight[T, P]) latest() (P, chan struct{}) {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	return f.news, f.changed
}

// commit says that what is sent now should not be sent twice.
func (f *flight[T, P]) commit() {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.committed = true
}

// outcome is what is known of a run by a caller who leaves it.
func (f *flight[T, P]) outcome() Outcome {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if f.committed {
		return Unknown
	}
	return NotSent
}

// tenant says as whom a flow is called, to everybody who would share its run.
func (t *trip) tenant(ctx context.Context) (string, error) {
	credential := t.auth.identity()
	if b, ok := t.auth.(*bearer); ok && b.provide != nil { // one function may serve many tenants: ask whose call this is
		h := http.Header{}
		if err := b.authorize(ctx, t.op.api, h); err != nil {
			return "", t.blame(err)
		}
		credential = h.Get("Authorization")
		t.header = h // what no error may quote
	}
	return fmt.Sprintf("%q %q", credential, t.extra), nil // a map prints in the order of its keys
}

// flightKey names a run and tells nothing of it. It is a whole hash: one tenant must not be able to make another's.
type flightKey [sha256.Size]byte

// shared names a run by what is wanted, as whom.
func shared(tenant string, wants ...string) flightKey {
	return sha256.Sum256(fmt.Appendf(nil, "%s %q", tenant, wants))
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

// patience is how long a flow waits at once where the server asks for it: what the call says, or an hour.
func (t *trip) patience() time.Duration {
	if t.maxWait != nil {
		return *t.maxWait
	}
	return max(t.retry.MaxWait, time.Hour)
}

// landed is what a caller gets of a run: copies of its own of the response and the error, to keep, to change and to wipe.
func (t *trip) landed(response *Response, err error) error {
	if t.response != nil {
		head, body := response.Header().Clone(), bytes.Clone(response.Body())
		*t.response = *response
		t.response.Attempts = slices.Clone(response.Attempts)
		t.response.header, t.response.body = func() http.Header { return head }, func() []byte { return body }
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	own := *e
	own.API, own.Operation = cmp.Or(own.API, t.op.api), cmp.Or(own.Operation, t.op.name)
	own.Fields = slices.Clone(own.Fields)
	return &own
}
