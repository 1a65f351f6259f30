package duolink

import (
	"context"
	"fmt"
	"sync"
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
// Close leaves an http.Client of [WithHTTPClient] alone. Otherwise it closes the connections.
func (c *Client) Close(ctx context.Context) error {
	if ctx == nil {
		return named(argumentError("the context is nil"), "", "close")
	}
	c.life.close()
	c.unattended.GiveUp()
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

// lifetime is what a client must wait for when it ends.
type lifetime struct {
	closing context.Context //nolint:containedctx // it ends when the client closes
	ending  context.Context //nolint:containedctx // it ends when Close does not wait any longer
	begin   context.CancelFunc
	end     context.CancelFunc

	mu      sync.Mutex
	running sync.WaitGroup // calls, and what goes on without its callers
}

func newLifetime() *lifetime {
	l := &lifetime{}
	l.closing, l.begin = context.WithCancel(context.Background())
	l.ending, l.end = context.WithCancel(context.Background())
	return l
}

// enter counts something that Close waits for, or returns false if the client is closed. Whoever
// has entered calls leave.
func (l *lifetime) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Err() != nil {
		return false
	}
	l.running.Add(1)
	return true
}

func (l *lifetime) leave() { l.running.Done() }

func (l *lifetime) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin()
}

// wait waits for everything that has entered.
func (l *lifetime) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		l.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		l.end()
		return ctx.Err()
	}
}

// untilClosed is a context for waits. It ends when the client closes, too.
func (l *lifetime) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	return untilEnd(ctx, l.closing)
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
		defer cancel()
		work(ctx)
	}()
}

// untilEnd is a context that also ends, with ErrClosed, when another one does.
func untilEnd(ctx, end context.Context) (context.Context, context.CancelFunc) {
	own, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(end, func() { cancel(ErrClosed) })
	return own, func() {
		stop()
		cancel(nil)
	}
}
