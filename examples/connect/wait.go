package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/duolink/duolink"
)

const (
	// waitTime is how long a wait for a login lasts. It starts when somebody looks at the page of
	// the connection. After its end the next look starts another wait.
	waitTime = 10 * time.Minute
	// restTime is the time between a failed wait and the next one.
	restTime = 30 * time.Second
)

// awaiter is the part of the Links service that a wait needs.
type awaiter interface {
	Await(
		ctx context.Context, loginLinkID string, options duolink.AwaitOptions, opts ...duolink.CallOption,
	) (*duolink.LoginLink, error)
}

// waits are the waits for logins that are under way. All who look at a connection share its wait.
type waits struct {
	links   awaiter
	arrived func(id string, to state, link *duolink.LoginLink) // the link is that of a login

	ctx    context.Context //nolint:containedctx // it outlives requests, and ends the waits with the service
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	running map[string]*wait
}

// wait is the state of one wait.
type wait struct {
	requests int
	err      error     // of the last request; nil if it was answered
	ended    time.Time // zero while it goes on
}

func newWaits(links awaiter, arrived func(id string, to state, link *duolink.LoginLink)) *waits {
	w := &waits{links: links, arrived: arrived, running: map[string]*wait{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// watch starts a wait for the connection's login, unless there is one, and returns its state.
func (w *waits) watch(c connection) wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	current := w.running[c.ID]
	rested := current != nil && !current.ended.IsZero() && time.Since(current.ended) >= restTime
	if (current == nil || rested) && w.ctx.Err() == nil {
		current = &wait{}
		w.running[c.ID] = current
		w.group.Go(func() { w.run(c.ID, c.LinkID, current) })
	}
	if current == nil {
		return wait{}
	}
	return *current
}

func (w *waits) run(id, loginLinkID string, current *wait) {
	ctx, cancel := context.WithTimeout(w.ctx, waitTime)
	defer cancel()
	link, err := w.links.Await(ctx, loginLinkID, duolink.AwaitOptions{Progress: func(p duolink.AwaitProgress) {
		w.note(current, p.Requests, p.Err)
		if p.Err == nil {
			// The page shows this at once. The wait goes on, because a login that had begun may be
			// late.
			w.settle(id, &p.Link)
		}
	}})
	switch {
	case err == nil:
		w.arrived(id, stateConnected, link)
	case errors.Is(err, duolink.ErrLoginLinkExpired):
		w.arrived(id, stateExpired, nil)
	case errors.Is(err, duolink.ErrLoginLinkClosed), errors.Is(err, duolink.ErrNotFound):
		w.arrived(id, stateClosed, nil)
	case ctx.Err() == nil:
		w.end(current, err)
		return
	}
	w.forget(id)
}

func (w *waits) settle(id string, link *duolink.LoginLink) {
	switch link.Status {
	case duolink.LoginLinkExpired:
		w.arrived(id, stateExpired, nil)
	case duolink.LoginLinkClosed:
		w.arrived(id, stateClosed, nil)
	}
}

func (w *waits) note(current *wait, requests int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	current.requests, current.err = requests, err
}

func (w *waits) end(current *wait, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	current.err, current.ended = err, time.Now()
}

func (w *waits) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
}

// stop ends all waits, and returns when they have ended.
func (w *waits) stop() {
	w.mu.Lock()
	w.cancel() // after this no wait begins
	w.mu.Unlock()
	w.group.Wait()
}
