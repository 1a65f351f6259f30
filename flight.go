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

// flights are runs that callers share: those who want the same at the same time, as the same
// tenant, wait for one run. A run has a life of its own. It ends early only when everybody who
// waits for it has given up, and no write of it may have been carried out. If one may have been,
// the run goes on for a while, so that whoever comes back finds it.
type flights[T, P any] struct {
	*unattended
	running map[flightKey]*flight[T, P]
}

// unattended are the runs of a client that nobody waits for, the one that was left first in front.
type unattended struct {
	mu   sync.Mutex // guards what changes in all runs of the client
	runs []interface{ abandon() }
}

// alone is how long a run that has sent something goes on when nobody waits for it, and mostAlone
// how many such runs a client has at most: of more, the one that was left first ends.
const (
	alone     = 10 * time.Minute
	mostAlone = 100
)

// flight is one run.
type flight[T, P any] struct {
	all       *flights[T, P]
	key       flightKey
	cancel    context.CancelFunc
	waiting   int
	committed bool          // a write is on its way, or may have been carried out
	known     Outcome       // of the writes before, where none of them may have been
	left      time.Time     // when the last caller left
	end       *time.Timer   // of a run that nobody waits for
	abandoned time.Duration // after which a run that has sent something was ended, or 0
	news      P             // the latest progress
	changed   chan struct{} // closed when there is some
	done      chan struct{}

	// The run's own, which says who is told when it was abandoned.
	lost func(ctx context.Context, after time.Duration)

	// What came of it, once done is closed.
	result   T
	response Response
	err      error
	panicked any
	told     atomic.Bool // of the panic
}

// run does the work of a flight. It tells of its progress, sends what should not be sent twice with
// the option that write returns, and fills in the response of its latest call.
type run[T, P any] func(ctx context.Context, f *flight[T, P]) (T, error)

// errUnfinished is what the callers of a run get that a hook's panic has ended, if another caller
// gets the panic.
var errUnfinished = &Error{Outcome: Unknown, Message: "the run that the call shared did not end well"}

func newFlights[T, P any]() *flights[T, P] {
	return &flights[T, P]{&unattended{}, map[flightKey]*flight[T, P]{}}
}

// join waits for the run under this key, and starts it if there is none. Progress reaches each
// caller on its own goroutine, and so does what a hook panics with, but only one of them. An error
// is the context's: the caller has given up.
func (fs *flights[T, P]) join(ctx context.Context, key flightKey, run run[T, P], progress func(P)) (*flight[T, P], error) {
	f, err := fs.hold(ctx, key, run, progress)
	if err == nil {
		f.leave()
	}
	return f, err
}

// hold is join for a caller who has more to do with what the run has brought. It counts as one who
// waits until it leaves, and until the first one has left, others can still join the run.
func (fs *flights[T, P]) hold(
	ctx context.Context, key flightKey, run run[T, P], progress func(P),
) (*flight[T, P], error) {
	if err := ctx.Err(); err != nil {
		return &flight[T, P]{all: fs}, err
	}
	f, changed := fs.enter(ctx, key, run)
	stays := false
	defer func() {
		if !stays {
			f.leave()
		}
	}()
	for {
		select {
		case <-f.done:
			if f.panicked != nil && !f.told.Swap(true) {
				panic(f.panicked)
			}
			stays = true
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
	f.attend()
	f.waiting++
	return f, f.changed
}

// leave gives up a run that nobody waits for any more, so that the next caller starts another, or
// leaves it alone.
func (f *flight[T, P]) leave() {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.waiting--
	switch {
	case f.over():
		f.forget()
	case f.waiting > 0:
	case f.committed:
		f.left = time.Now()
		f.end = time.AfterFunc(alone, f.expire)
		if f.all.runs = append(f.all.runs, f); len(f.all.runs) > mostAlone {
			f.all.runs[0].abandon()
		}
	default:
		f.stop()
	}
}

// expire ends a run, unless somebody has come back just now.
func (f *flight[T, P]) expire() {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if f.waiting == 0 {
		f.abandon()
	}
}

// over reports that the run has ended. The mutex is held, as it is in what follows.
func (f *flight[T, P]) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// abandon ends a run that has sent something, although nobody knows yet what came of it.
func (f *flight[T, P]) abandon() {
	f.abandoned = max(time.Since(f.left), 1)
	f.stop()
}

// stop ends a run; the next caller starts another.
func (f *flight[T, P]) stop() {
	f.cancel()
	f.attend()
	f.forget()
}

// attend takes a run off the list of those that nobody waits for.
func (f *flight[T, P]) attend() {
	if f.end != nil {
		f.end.Stop()
		f.all.runs = slices.DeleteFunc(f.all.runs, func(r interface{ abandon() }) bool { return r == f })
	}
}

// forget has the next caller start another run.
func (f *flight[T, P]) forget() {
	if f.all.running[f.key] == f {
		delete(f.all.running, f.key)
	}
}

// fly does the run's work, and when it has ended, it tells of a run that was abandoned.
func (f *flight[T, P]) fly(ctx context.Context, run run[T, P]) {
	if after := f.work(ctx, run); after > 0 && f.lost != nil {
		defer func() { _ = recover() }() // of a hook: there is nobody who waits, and could have it
		f.lost(context.WithoutCancel(ctx), after)
	}
}

func (f *flight[T, P]) work(ctx context.Context, run run[T, P]) (abandoned time.Duration) {
	f.err = errUnfinished
	defer func() {
		f.panicked = recover()
		f.all.mu.Lock()
		defer f.all.mu.Unlock()
		f.cancel()
		f.attend()
		if f.waiting == 0 { // otherwise the first one who leaves forgets it
			f.forget()
		}
		if f.err != nil {
			abandoned = f.abandoned
		}
		close(f.done)
	}()
	f.result, f.err = run(ctx, f)
	return 0
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

// write is the option of a call that sends what should not be sent twice.
func (f *flight[T, P]) write() CallOption {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	earlier := f.committed
	return func(o *callOptions) error {
		o.write = &sharedWrite{f.commit, func(outcome Outcome) { f.uncommit(earlier, outcome) }}
		return nil
	}
}

// commit says that a write is sent now. It reports false if nobody waits for the run any more: then
// the write must not be sent.
func (f *flight[T, P]) commit() bool {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if f.waiting > 0 {
		f.committed = true
		return true
	}
	if f.committed { // by an earlier write of the run
		f.abandon()
	}
	return false
}

// uncommit says that a write has changed nothing. What an earlier one may have done stays.
func (f *flight[T, P]) uncommit(earlier bool, outcome Outcome) {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.committed = earlier
	if f.known != Rejected {
		f.known = outcome
	}
	if f.waiting == 0 && !earlier {
		f.stop()
	}
}

// outcome is what is known of a run's writes by a caller who has left it: of a run that goes on for
// others, nothing.
func (f *flight[T, P]) outcome() Outcome {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if f.committed || f.waiting > 0 && !f.over() {
		return Unknown
	}
	return cmp.Or(f.known, NotSent)
}

// identity says who calls, to everybody who is counted, held up or served together.
func (t *trip) identity() string {
	selects := http.Header{}
	for _, name := range t.tenants {
		selects[name] = t.extra[name]
	}
	return fmt.Sprintf("%q %q", t.auth.identity(), selects) // a map prints in the order of its keys
}

// tenant says as whom a flow is called, to everybody who would share its run.
func (t *trip) tenant(ctx context.Context) (string, error) {
	token := ""
	if b, ok := t.auth.(*bearer); ok && b.provide != nil { // one function may serve many tenants: ask whose call this is
		h := http.Header{}
		if err := b.authorize(ctx, t.op.api, h); err != nil {
			return "", t.blame(err)
		}
		token = h.Get("Authorization")
		t.header = h // what no error may quote
	}
	return fmt.Sprintf("%s %q", t.identity(), token), nil
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
