package redislimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/duolink/duolink"
)

// The locks of flows.

// longestRenewal is the time between two renewals of a lock. It bounds how long a process does not know
// that Redis has lost the lock.
const longestRenewal = 5 * time.Second

// Lock is for the client. See [duolink.Locker].
func (f *Fleet) Lock(ctx context.Context, name string, expiry time.Duration) (duolink.Lock, error) {
	key, began := f.key(name, "lock"), time.Now()
	held, err := ask(ctx, f, key, func(ctx context.Context) (*redislock.Lock, error) {
		return f.locks.Obtain(ctx, key, expiry, nil)
	}, release)
	switch {
	case errors.Is(err, redislock.ErrNotObtained):
		return nil, duolink.ErrLocked
	case errors.Is(err, ErrAway) && !f.closed:
		return unshared{}, nil
	case err != nil:
		return nil, err
	}
	l := &lock{fleet: f, key: key, expiry: expiry, held: held, until: began.Add(expiry)}
	l.stop, l.stopped = make(chan struct{}), make(chan struct{})
	go l.renew()
	return l, nil
}

// release gives a lock back that nobody waits for any more.
func release(held *redislock.Lock) { _ = held.Release(context.Background()) }

// lock is a lock that is renewed until it is given back or lost.
type lock struct {
	fleet  *Fleet
	key    string
	expiry time.Duration
	held   *redislock.Lock

	stop, stopped chan struct{} // the renewal
	ended         sync.Once

	mu       sync.Mutex
	until    time.Time // it is held at least so long; zero: another process has it
	unlocked bool
}

func (l *lock) renew() {
	defer close(l.stopped)
	ticker := time.NewTicker(min(l.fleet.renewal, l.expiry/3))
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			if !l.extend() {
				return
			}
		}
	}
}

// extend renews the lock, and takes it again if Redis has lost it and nobody else has it. It returns
// false if another process has it.
func (l *lock) extend() bool {
	began := time.Now()
	_, err := ask(context.Background(), l.fleet, l.key, func(ctx context.Context) (*redislock.Lock, error) {
		return l.fleet.locks.Obtain(ctx, l.key, l.expiry, &redislock.Options{Token: l.held.Token()})
	}, l.late)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, redislock.ErrNotObtained):
		l.until = time.Time{}
		return false
	case err == nil:
		l.until = began.Add(l.expiry)
	}
	return true // if Redis is away, the lock is held until its expiry
}

// late gives a lock back that was renewed after it was given back.
func (l *lock) late(held *redislock.Lock) {
	l.mu.Lock()
	unlocked := l.unlocked
	l.mu.Unlock()
	if unlocked {
		release(held)
	}
}

func (l *lock) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

func (l *lock) Unlock() {
	l.end(func() {
		l.mu.Lock()
		l.unlocked = true
		l.mu.Unlock()
		_, _ = ask(context.Background(), l.fleet, l.key, func(ctx context.Context) (any, error) {
			return nil, l.held.Release(ctx)
		}, nil)
	})
}

func (l *lock) Expire() { l.end(func() { l.extend() }) }

// end ends the renewal, and does something then.
func (l *lock) end(last func()) {
	l.ended.Do(func() {
		close(l.stop)
		<-l.stopped
		last()
	})
}

// unshared is the lock of a process that goes on without Redis.
type unshared struct{}

func (unshared) Held() bool { return true }
func (unshared) Unlock()    {}
func (unshared) Expire()    {}
