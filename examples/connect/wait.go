package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/duolink/duolink"
)

const (
	// waitTime is how long a login is waited for once somebody has looked at its page. Looking
	// again starts anew.
	waitTime = 10 * time.Minute
	// restTime stands between a wait that failed and the next one.
	restTime = 30 * time.Second
)

// awaiter is what of the Links service a wait needs.
type awaiter interface {
	Await(
		ctx context.Context, loginLinkID string, options duolink.AwaitOptions, opts ...duolink.CallOption,
	) (*duolink.LoginLink, error)
}

// waits are the waits for logins that are under way. Everybody who looks at a connection shares its
// wait.
type waits struct {
	links   awaiter
	arrived func(id string, to state, loginID string)

	ctx    context.Context //nolint:containedctx // it outlives requests, and ends the waits with the service
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	running map[string]*wait
}

// wait is what is known of one of them.
type wait struct {
	requests int
	err      error     // of the last request; nil when it was answered
	ended    time.Time // zero while it goes on
}

func newWaits(links awaiter, arrived func(id string, to state, loginID string)) *waits {
	w := &waits{links: links, arrived: arrived, running: map[string]*wait{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// watch sees to it that the connection is waited for, and returns how that goes.
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
			// Said at once; the wait goes on for a login that had begun and is late.
			w.settle(id, &p.Link)
		}
	}})
	switch {
	case err == nil:
		w.arrived(id, stateConnected, link.LoginID)
	case errors.Is(err, duolink.ErrLoginLinkExpired):
		w.arrived(id, stateExpired, "")
	case errors.Is(err, duolink.ErrLoginLinkClosed), errors.Is(err, duolink.ErrNotFound):
		w.arrived(id, stateClosed, "")
	case ctx.Err() == nil:
		w.end(current, err)
		return
	}
	w.forget(id)
}

func (w *waits) settle(id string, link *duolink.LoginLink) {
	switch link.Status {
	case duolink.LoginLinkExpired:
		w.arrived(id, stateExpired, "")
	case duolink.LoginLinkClosed:
		w.arrived(id, stateClosed, "")
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

// stop ends every wait and returns when they have ended.
func (w *waits) stop() {
	w.mu.Lock()
	w.cancel() // from here on, none begins
	w.mu.Unlock()
	w.group.Wait()
}
