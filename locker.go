package duolink

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/pace"
)

// How the processes of a fleet keep out of each other's flows.

// Locker lets one process of a fleet at a time run a flow that sends a write: CreateOnce,
// RefreshAndGet and RefreshAndNumbers. Without one, only the callers of one client share a flow. See
// contrib/redislimit.
type Locker interface {
	// Lock takes the lock of a name, and does not wait for it. If another process has it, the error
	// matches ErrLocked. Any other error ends the flow before anything is written.
	//
	// The lock is renewed until it is given back. If the process ends before, nobody gets the lock
	// for the rest of the expiry. The name is the same in every process, and shows no id or
	// credential.
	Lock(ctx context.Context, name string, expiry time.Duration) (Lock, error)
}

// Lock is a lock that this process has.
type Lock interface {
	// Held reports whether this process still has the lock. It is called right before a write is
	// sent, and should not wait.
	Held() bool
	// Unlock gives the lock back.
	Unlock()
	// Expire ends the renewal. The lock ends by itself, because nobody knows what became of a write.
	Expire()
}

// ErrLocked is what a [Locker] returns if another process has the lock.
var ErrLocked = errors.New("duolink: another process has the lock")

// WithLocker shares flows with the other processes that use the same locker and the same credential.
// The processes that do not have the lock wait until the flow has ended, and then look at the result.
//
// If a process ends in the middle of a flow, the others watch what it has begun. They send a write of
// their own after the lock's expiry: two minutes for CreateOnce, ten minutes for a refresh. So do
// they if the locker loses a lock, such as a Redis that starts again without its data. A process
// that learns of the loss sends nothing more.
func WithLocker(locker Locker) Option {
	return func(cfg *config) error {
		if locker == nil {
			return argumentError("WithLocker: the locker is nil")
		}
		cfg.locker = locker
		return nil
	}
}

// How long a lock outlives a process that ends in the middle of a flow.
const (
	createLockExpiry  = 2 * time.Minute
	refreshLockExpiry = 10 * time.Minute
)

// While another process has the lock, the flow asks for the lock this often, and looks itself this
// often, because the other process may have ended.
const (
	firstLockPause = 500 * time.Millisecond
	laterLockPause = 5 * time.Second
	lockedLook     = 30 * time.Second
)

// lockWait is a flow that waits for the fleet's lock.
type lockWait struct {
	key    flight.Key
	expiry time.Duration
	look   func() (pace.Look, error) // what the other process may have brought
	tell   func(error, time.Duration)
	lapsed func(ended error, more string) *Error
}

// lock takes the fleet's lock for a flow. It returns no lock if a look has ended the wait. Without a
// Locker each flow has its own way.
func (p *prepared) lock(ctx context.Context, w lockWait) (Lock, error) {
	locker := p.client.config.locker
	if locker == nil {
		return alone{}, nil
	}
	var lock Lock
	began := time.Now()
	poll := pace.Poll{First: firstLockPause, Longest: laterLockPause, Tell: w.tell}
	poll.Look = func() (pace.Look, error) {
		var err error
		lock, err = locker.Lock(ctx, p.op.name+"/"+hex.EncodeToString(w.key[:]), w.expiry)
		switch {
		case err == nil:
			return pace.Look{Over: true}, nil
		case !errors.Is(err, ErrLocked):
			e := p.newError(nil, "the locker gave no lock")
			if said, ok := errors.AsType[*Error](err); ok {
				e.Kind, e.RetryAfter = said.Kind, said.RetryAfter
			}
			e.Outcome, e.cause = OutcomeNotSent, conceal.ValueOf(err)
			return pace.Look{Over: true, End: e}, nil
		case time.Since(began) < lockedLook:
			return pace.Look{}, nil
		}
		began = time.Now()
		return w.look()
	}
	if err := p.poll(ctx, poll, w.lapsed); err != nil {
		return nil, err
	}
	return lock, nil
}

// lockedWrite is the option of a flow's write, which is not sent without the lock.
func lockedWrite(w flight.Write, lock Lock) CallOption {
	commit := w.Commit
	w.Commit = func() bool { return lock.Held() && commit() }
	return sharedWrite(w)
}

// lostLock says that a write was not sent because the lock was lost.
func (p *prepared) lostLock(lock Lock, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Outcome != OutcomeNotSent || lock.Held() {
		return err
	}
	lost := p.newError(nil, "the lock of the fleet was lost, so nothing was sent")
	lost.Outcome = OutcomeNotSent
	return lost
}

// unlock gives the lock back, unless a write was sent and nobody knows what became of it.
func unlock(lock Lock, committed bool, err error) {
	e, ok := errors.AsType[*Error](err)
	if committed && (err == flight.ErrUnfinished || ok && e.Outcome == OutcomeUnknown) {
		lock.Expire()
		return
	}
	lock.Unlock()
}

// alone is the lock of a client without a Locker.
type alone struct{}

func (alone) Held() bool { return true }
func (alone) Unlock()    {}
func (alone) Expire()    {}
