package duolink

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// fleetLocks are locks in memory that the clients of a test share.
type fleetLocks struct {
	mu    sync.Mutex
	locks map[string]*fleetLock
	asked int
	err   error         // in place of a lock
	dead  time.Duration // since the bubble's beginning: until then a process that has died has all locks
	began time.Time
}

type fleetLock struct {
	of     *fleetLocks
	name   string
	ends   time.Time // zero while it is renewed
	expiry time.Duration
}

func (l *fleetLocks) Lock(_ context.Context, name string, expiry time.Duration) (Lock, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.began.IsZero() {
		l.began = time.Now()
	}
	other := l.locks[name]
	switch {
	case l.err != nil:
		return nil, l.err
	case time.Since(l.began) < l.dead:
		return nil, ErrLocked
	case other != nil && (other.ends.IsZero() || other.ends.After(time.Now())):
		return nil, ErrLocked
	}
	if l.locks == nil {
		l.locks = map[string]*fleetLock{}
	}
	l.locks[name] = &fleetLock{of: l, name: name, expiry: expiry}
	return l.locks[name], nil
}

func (l *fleetLock) Held() bool {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	return l.of.locks[l.name] == l
}

func (l *fleetLock) Unlock() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.of.locks[l.name] == l {
		delete(l.of.locks, l.name)
	}
}

func (l *fleetLock) Expire() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.ends = time.Now().Add(l.expiry)
}

// lose takes all locks away, as a Redis does that starts again without its data.
func (l *fleetLocks) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.locks)
}

func (l *fleetLocks) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.locks)
}

// inFleet runs a test with several clients of one server that share their locks.
func inFleet(
	t *testing.T, processes int, server []sandbox.Option, opts []Option,
	test func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, l := sandbox.New(server...), &fleetLocks{}
		var all []*Client
		for range processes {
			transport := s.Transport()
			defer transport.Close()
			all = append(all, sandboxClient(t, transport, append(opts, WithLocker(l))...))
		}
		test(t, all, s, l)
		synctest.Wait()
		for _, c := range all {
			noRuns(t, c)
		}
	})
}

// Callers of all processes get one link and one refresh, whenever they come.
func TestFleetSharesFlows(t *testing.T) {
	for name, f := range sharedFlows {
		t.Run(name, func(t *testing.T) {
			server := []sandbox.Option{sandbox.WithRefreshTime(time.Minute)}
			inFleet(t, 5, server, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
				s.Script(sandbox.Fault{Operation: f.write, Delay: 3 * time.Second})
				var calls sync.WaitGroup
				for i := range 200 {
					calls.Go(func() {
						time.Sleep(time.Duration(i) * time.Millisecond)
						require.NoError(t, f.call(t.Context(), all[i%len(all)]))
					})
				}
				calls.Wait()
				require.Equal(t, 1, f.done(s))
				require.Equal(t, 1, s.Count(f.write))
				require.Zero(t, l.held())
				// MoneyKit allows 15 looks a minute, and one process uses ten of them.
				require.LessOrEqual(t, s.Count("identity.link"), 10+4*len(all))
			})
		})
	}
}

// What a process has begun that ended in the middle of it, the others watch. They begin anew after the
// lock's expiry.
func TestFleetOutlivesAProcess(t *testing.T) {
	for name, f := range sharedFlows {
		expiry, opts := refreshLockExpiry, RefreshOptions{Timeout: time.Hour}
		if f.write == "links.create" {
			expiry = createLockExpiry
		}
		call := func(ctx context.Context, c *Client) error {
			var err error
			switch name {
			case "RefreshAndGet":
				_, err = c.Identity.RefreshAndGet(ctx, sandbox.LinkID, opts)
			case "RefreshAndNumbers":
				_, err = c.Auth.RefreshAndNumbers(ctx, sandbox.LinkID, opts)
			default:
				err = f.call(ctx, c)
			}
			return err
		}
		for _, begun := range []bool{true, false} {
			t.Run(name+"/begun "+strconv.FormatBool(begun), func(t *testing.T) {
				server := []sandbox.Option{sandbox.WithRefreshTime(time.Minute)}
				inFleet(t, 2, server, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
					require.NoError(t, linkOf(t.Context(), all[0])) // for the tokens
					require.NoError(t, linkOf(t.Context(), all[1]))
					began := time.Now()
					l.began, l.dead = began, expiry
					var calls sync.WaitGroup
					for _, c := range all {
						calls.Go(func() { require.NoError(t, call(t.Context(), c)) })
					}
					if begun {
						time.Sleep(time.Second) // the process that has the lock writes, and dies
						transport := s.Transport()
						defer transport.Close()
						dead := sandboxClient(t, transport)
						if f.write == "links.create" {
							_, err := dead.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
							require.NoError(t, err)
						} else {
							product := ProductIdentity
							if name == "RefreshAndNumbers" {
								product = ProductAccountNumbers
							}
							_, err := dead.Identity.Refresh(t.Context(), sandbox.LinkID, []Product{product})
							require.NoError(t, err)
						}
						calls.Wait()
						require.Less(t, time.Since(began), 2*time.Minute)
					} else {
						time.Sleep(expiry - time.Second)
						require.Zero(t, s.Count(f.write))
						calls.Wait()
					}
					require.Equal(t, 1, f.done(s))
					require.Equal(t, 1, s.Count(f.write))
				})
			})
		}
	}
}

// A process that has lost the lock sends nothing more. One that learns of it too late cannot call its
// write back.
func TestLockIsLost(t *testing.T) {
	for name, f := range sharedFlows {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 1, nil, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
				require.NoError(t, linkOf(t.Context(), all[0]))
				later := http.Header{"Retry-After": {"5"}}
				s.Script(sandbox.Fault{Operation: f.write, Status: 429, Header: later})
				time.AfterFunc(2*time.Second, l.lose)
				err := f.call(t.Context(), all[0])
				require.ErrorContains(t, err, "the lock of the fleet was lost, so nothing was sent")
				require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
				require.Equal(t, 1, s.Count(f.write))
				require.Zero(t, f.done(s))
				require.NoError(t, f.call(t.Context(), all[0]), "call again")
			})
		})
	}
}

// A flow gives the lock back when it ends, unless nobody knows what became of its write.
func TestLockIsGivenBack(t *testing.T) {
	for name, f := range sharedFlows {
		for end, tc := range map[string]struct {
			fault sandbox.Fault
			keeps bool
		}{
			"well":     {sandbox.Fault{}, false},
			"rejected": {sandbox.Fault{Status: 403, Body: nativeBody("link_error.forbidden_action")}, false},
			"unclear":  {sandbox.Fault{Drop: sandbox.DropBefore}, true},
		} {
			t.Run(name+"/"+end, func(t *testing.T) {
				// The bank link stays as it is, so nobody sees whether the refresh has begun.
				inFleet(t, 1, nil, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
					require.NoError(t, linkOf(t.Context(), all[0]))
					tc.fault.Operation = f.write
					s.Script(tc.fault)
					err := f.call(t.Context(), all[0], WithMaxWait(0))
					require.Equal(t, end == "well", err == nil)
					if tc.keeps {
						require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
						require.Equal(t, 1, l.held())
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
						defer cancel()
						require.ErrorIs(t, f.call(ctx, all[0]), context.DeadlineExceeded)
						require.Equal(t, 1, s.Count(f.write))
						time.Sleep(refreshLockExpiry)
						require.NoError(t, f.call(t.Context(), all[0]))
					}
					require.Zero(t, l.held())
				})
			})
		}
	}
}

// An error of the locker ends a flow before anything is written, and is found.
func TestLockerFails(t *testing.T) {
	for name, f := range sharedFlows {
		for _, mine := range []error{errors.New("away"), &Error{Kind: ErrTimeout, RetryAfter: time.Second}} {
			t.Run(name, func(t *testing.T) {
				inFleet(t, 1, nil, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
					l.err = mine
					err := f.call(t.Context(), all[0])
					require.ErrorIs(t, err, mine)
					e := asError(t, err)
					require.ErrorContains(t, e, "the locker gave no lock")
					require.NotEqual(t, OutcomeUnknown, e.Outcome)
					if own, ok := errors.AsType[*Error](mine); ok {
						require.ErrorIs(t, e, own.Kind)
						require.Equal(t, time.Second, e.RetryAfter)
					}
					require.Zero(t, s.Count(f.write))
				})
			})
		}
	}
}

// Data that is young enough, and a link that is there, need no lock.
func TestLockIsNotNeeded(t *testing.T) {
	inFleet(t, 1, nil, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
		_, err := all[0].Identity.RefreshAndGet(t.Context(), sandbox.LinkID, RefreshOptions{MaxAge: 1e6 * time.Hour})
		require.NoError(t, err)
		require.Zero(t, l.asked)
	})
}

// A flow that waits for the lock ends with its callers, and when the client closes.
func TestWaitForALockEnds(t *testing.T) {
	for name, f := range sharedFlows {
		inFleet(t, 1, nil, nil, func(t *testing.T, all []*Client, s *sandbox.Sandbox, l *fleetLocks) {
			require.NoError(t, linkOf(t.Context(), all[0]))
			l.dead = time.Hour
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := f.call(ctx, all[0])
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
			synctest.Wait()
			noRuns(t, all[0])

			var calls sync.WaitGroup
			calls.Go(func() { require.ErrorIs(t, f.call(t.Context(), all[0]), ErrClosed) })
			time.Sleep(time.Minute)
			began := time.Now()
			require.NoError(t, all[0].Close(t.Context()))
			calls.Wait()
			require.Zero(t, time.Since(began))
			require.Zero(t, s.Count(f.write))
		})
	}
}
