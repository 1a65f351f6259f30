package duolink

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// How a client ends.

// Close ends the client, such as when a service stops. From then on nothing more is sent.
//
// Later calls fail with ErrClosed, and so do calls and flows that wait: before a repetition, for a
// limit, for the next look. What is on its way to a server gets its answer, and its caller gets the
// result. What still runs for nobody ends, such as a refresh whose callers have given up. If the
// outcome of its write is not known, [Hooks] are told. A stream that is being read is left to its
// reader.
//
// Close waits until all of this has ended. If the context ends before, Close ends the shared runs of
// flows and the exchanges of tokens at once, and returns an error that matches the context's error.
// Close may be called again, also by several goroutines.
//
// Do not call Close in a hook, a [Limiter] or a function of [BearerTokenFunc]: their call is under way,
// and Close would wait for it.
//
// Close leaves an http.Client of [WithHTTPClient] alone. Otherwise it closes the connections.
func (c *Client) Close(ctx context.Context) error {
	if ctx == nil {
		return named(argumentError("the context is nil"), "", "close")
	}
	c.unattended.GiveUp() // before runs notice the end, because then they must be told to the hooks
	c.life.close()
	err := c.life.wait(ctx)
	if c.config.httpClient == nil {
		c.transport.CloseIdleConnections()
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("duolink: close: something is still under way: %w", endOf(ctx, err))
}

// nothingMoreIsSent is what errors of the kind ErrClosed say.
const nothingMoreIsSent = "nothing more is sent"

// lifetime is what a client must wait for when it ends. Calls take no lock of it.
type lifetime struct {
	closing context.Context //nolint:containedctx // it ends when the client closes
	ending  context.Context //nolint:containedctx // it ends when Close does not wait any longer
	begin   context.CancelFunc
	end     context.CancelFunc

	running atomic.Int64 // calls, and what goes on without its callers; and isClosed
	idle    chan struct{}
	once    sync.Once // closes idle
}

// isClosed is a bit of running.
const isClosed = 1 << 62

func newLifetime() *lifetime {
	l := &lifetime{idle: make(chan struct{})}
	l.closing, l.begin = context.WithCancel(context.Background())
	l.ending, l.end = context.WithCancel(context.Background())
	// If a context made its channel only later, in a bubble of testing/synctest, it could not end outside.
	_, _ = l.closing.Done(), l.ending.Done()
	return l
}

// enter counts something that Close waits for, or returns false if the client is closed. Whoever
// has entered calls leave.
func (l *lifetime) enter() bool {
	if l.running.Add(1) < isClosed {
		return true
	}
	l.leave()
	return false
}

func (l *lifetime) leave() { l.settle(l.running.Add(-1)) }

// settle notes that nothing runs any more after the client was closed.
func (l *lifetime) settle(running int64) {
	if running == isClosed {
		l.once.Do(func() { close(l.idle) })
	}
}

func (l *lifetime) close() {
	if before := l.running.Or(isClosed); before < isClosed {
		l.settle(before | isClosed)
	}
	l.begin()
}

// wait waits for everything that has entered.
func (l *lifetime) wait(ctx context.Context) error {
	if l.running.Load() == isClosed { // if the context has ended, too, select might choose that
		return nil
	}
	select {
	case <-l.idle:
		return nil
	case <-ctx.Done():
		select {
		case <-l.idle: // both have ended, and a late call may have hidden it above
			return nil
		default:
		}
		l.end()
		return ctx.Err()
	}
}

// start runs work that may go on without its callers.
func (l *lifetime) start(ctx context.Context, work func(context.Context)) {
	leave := func() {}
	if l.enter() { // otherwise the work will notice at its first request
		leave = l.leave
	}
	ctx, cancel := untilEnd(ctx, l.ending)
	go func() {
		defer leave()
		defer cancel(nil)
		work(ctx)
	}()
}

// untilEnd is a context that also ends, with ErrClosed, when another one does.
func untilEnd(ctx, end context.Context) (context.Context, context.CancelCauseFunc) {
	own, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(end, func() { cancel(ErrClosed) })
	return own, func(cause error) {
		stop()
		cancel(cause)
	}
}

// untilClosed is a context for waits. It ends with the caller's context, and when the client closes.
// Most calls never wait. So the two are joined when somebody waits, because to join them costs a lock
// that all calls share.
type untilClosed struct {
	context.Context // the caller's

	closing  context.Context //nolint:containedctx // of the client
	mu       sync.Mutex
	joined   atomic.Pointer[joined]
	released atomic.Bool
}

type joined struct {
	context.Context

	cancel context.CancelCauseFunc
}

// waits is a context for waits. Whoever has it calls release.
func (l *lifetime) waits(ctx context.Context) *untilClosed {
	return &untilClosed{Context: ctx, closing: l.closing}
}

func (u *untilClosed) join() *joined {
	u.mu.Lock()
	defer u.mu.Unlock()
	j := u.joined.Load()
	if j == nil {
		ctx, cancel := untilEnd(u.Context, u.closing)
		j = &joined{ctx, cancel}
		u.joined.Store(j)
	}
	if u.released.Load() {
		j.cancel(nil)
	}
	return j
}

// release ends the context.
func (u *untilClosed) release() {
	u.released.Store(true)
	if u.joined.Load() != nil {
		u.join()
	}
}

func (u *untilClosed) Done() <-chan struct{} { return u.join().Done() }

func (u *untilClosed) Err() error {
	switch {
	case u.closing.Err() != nil:
		j := u.join()
		j.cancel(ErrClosed) // now, and not when a goroutine comes to it
		return j.Err()
	case u.released.Load():
		return u.join().Err()
	}
	return u.Context.Err()
}

// Value finds the context that was joined, too: context.Cause asks for it.
func (u *untilClosed) Value(key any) any {
	if j := u.joined.Load(); j != nil {
		return j.Value(key)
	}
	return u.Context.Value(key)
}
