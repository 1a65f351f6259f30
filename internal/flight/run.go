package flight

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Run is work that callers share. Its result can be read after its end.
type Run[T, P any] struct {
	Result T     // written by the work, and not changed after that
	Err    error // of the work

	// OnAbandoned is called if the run was ended although a write may have been carried out. The
	// work sets it. It is called after the work's end, and its panic is dropped.
	OnAbandoned func(ctx context.Context, after time.Duration)

	group     *Group[T, P]
	key       Key
	cancel    context.CancelFunc
	waiting   int           // callers
	committed bool          // a write is on its way, or may have been carried out
	refused   bool          // a write was refused, and none may have been carried out
	left      time.Time     // when the last caller left
	end       *time.Timer   // ends a run that nobody waits for
	abandoned time.Duration // how long nobody had waited when the run was ended, or 0
	news      P             // the latest progress
	changed   chan struct{} // closed when there is news
	done      chan struct{}
	panicked  any
	raised    atomic.Bool // the panic has reached a caller
}

// ErrUnfinished is the error of a run whose work has panicked, for callers who do not get the
// panic.
var ErrUnfinished = errors.New("the run did not end well")

// wait waits for the run's end. If the context ends before, it leaves the run.
func (r *Run[T, P]) wait(ctx context.Context, changed chan struct{}, progress func(P)) error {
	stays := false
	defer func() {
		if !stays {
			r.Leave()
		}
	}()
	for {
		select {
		case <-r.done:
			if r.panicked != nil && !r.raised.Swap(true) {
				panic(r.panicked)
			}
			stays = true
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			var news P
			if news, changed = r.latest(); progress != nil {
				progress(news)
			}
		}
	}
}

// Leave ends a caller's wait. After the last caller the run is stopped, so that the next caller
// starts another run, or it goes on unattended.
func (r *Run[T, P]) Leave() {
	r.lock()
	defer r.unlock()
	r.waiting--
	switch {
	case r.over():
		r.forget()
	case r.waiting > 0:
	case r.committed:
		r.left = time.Now()
		r.end = time.AfterFunc(LongestUnattended, r.expire)
		r.group.unattended.add(r)
		if r.group.unattended.givenUp {
			r.giveUp()
		}
	default:
		r.stop()
	}
}

// expire ends a run, unless a caller has just come back.
func (r *Run[T, P]) expire() {
	r.lock()
	defer r.unlock()
	if r.waiting == 0 {
		r.abandon()
	}
}

func (r *Run[T, P]) lock()   { r.group.unattended.mu.Lock() }
func (r *Run[T, P]) unlock() { r.group.unattended.mu.Unlock() }

// over reports whether the run has ended. The mutex is held, as in the methods below.
func (r *Run[T, P]) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// abandon ends a run that has committed a write, although the outcome is not known.
func (r *Run[T, P]) abandon() {
	r.giveUp()
	r.stop()
}

func (r *Run[T, P]) giveUp() { r.abandoned = max(time.Since(r.left), 1) }

// stop ends a run. The next caller starts another run.
func (r *Run[T, P]) stop() {
	r.cancel()
	r.attend()
	r.forget()
}

// attend takes a run off the list of runs that nobody waits for.
func (r *Run[T, P]) attend() {
	if r.end != nil {
		r.end.Stop()
		r.group.unattended.remove(r)
	}
}

// forget removes a run, so that the next caller starts another run.
func (r *Run[T, P]) forget() {
	if r.group.running[r.key] == r {
		delete(r.group.running, r.key)
	}
}

// fly does the work. After that it calls OnAbandoned if the run was abandoned.
func (r *Run[T, P]) fly(ctx context.Context, work Work[T, P]) {
	if after := r.do(ctx, work); after > 0 && r.OnAbandoned != nil {
		defer func() { _ = recover() }() // nobody waits who could get the panic
		r.OnAbandoned(context.WithoutCancel(ctx), after)
	}
}

func (r *Run[T, P]) do(ctx context.Context, work Work[T, P]) (abandoned time.Duration) {
	r.Err = ErrUnfinished
	defer func() {
		r.panicked = recover()
		r.lock()
		defer r.unlock()
		r.cancel()
		r.attend()
		if r.waiting == 0 { // otherwise the first caller who leaves forgets it
			r.forget()
		}
		if r.Err != nil {
			abandoned = r.abandoned
		}
		close(r.done)
	}()
	r.Err = work(ctx, r)
	return 0
}

// Tell tells the callers of progress. A slow caller misses some.
func (r *Run[T, P]) Tell(news P) {
	r.lock()
	defer r.unlock()
	close(r.changed)
	r.news, r.changed = news, make(chan struct{})
}

func (r *Run[T, P]) latest() (P, chan struct{}) {
	r.lock()
	defer r.unlock()
	return r.news, r.changed
}
