package redislimit

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Redis hangs, comes back, is killed, and comes back empty. Calls go on meanwhile or end at once, as the
// option says. Two seconds after each return the budget holds again.
func TestRedisIsAway(t *testing.T) {
	for name, closed := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			server := newLimitedServer(t, limit)
			j := job{
				Do: "list", Redis: []string{s.addr}, Server: server.URL, Key: "key", Callers: 5,
				For: 17 * time.Second, Closed: closed,
			}
			workers := j.startAll(t, processes)
			began := time.Now()
			at := func(second float64, do func()) time.Time {
				time.Sleep(time.Until(began.Add(time.Duration(second * float64(time.Second)))))
				do()
				return time.Now()
			}
			stopped := at(2, func() { s.signal(syscall.SIGSTOP) })
			continued := at(5, func() { s.signal(syscall.SIGCONT) })
			killed := at(9, s.kill)
			restarted := at(11, s.start)
			end := at(16.5, func() {})

			var all, long, away int
			longest := time.Duration(0)
			for _, w := range workers {
				r := w.result()
				require.Empty(t, r.Other)
				away += r.Away
				for _, wait := range r.Waits {
					// Whoever waited for a turn when Redis went away is held up by that turn.
					for _, gone := range [][2]time.Time{{stopped, continued}, {killed, restarted}} {
						if wait.Began.After(gone[0].Add(ahead)) && wait.Began.Before(gone[1].Add(-ahead)) {
							all++
							if longest = max(longest, wait.Took); wait.Took > 50*time.Millisecond {
								long++
							}
						}
					}
				}
			}
			t.Logf("%d waits while Redis was away, %d of more than 50 ms, the longest %v", all, long, longest)
			require.Positive(t, all)
			require.LessOrEqual(t, float64(long), 0.01*float64(all))
			require.Less(t, longest, time.Second, "nothing hangs")
			require.Equal(t, closed, away > 0)

			for what, part := range map[string][2]time.Time{
				"away": {stopped.Add(ahead), continued.Add(-ahead)}, "dead": {killed.Add(ahead), restarted.Add(-ahead)},
				"before": {began, stopped}, "back": {continued.Add(2 * time.Second), killed},
				"back again": {restarted.Add(2 * time.Second), end},
			} {
				seen := server.between(part[0], part[1])
				t.Logf("%s: %+v in %v", what, seen, part[1].Sub(part[0]))
				switch {
				case what != "away" && what != "dead":
					require.LessOrEqual(t, seen.mostPerSecond, limit+processes, what)
					require.Positive(t, seen.accepted, what)
				case closed:
					require.Zero(t, seen.accepted, what)
				default:
					require.Positive(t, seen.accepted, what)
				}
			}
		})
	}
}

// The first request that finds Redis away waits for it, and the others do not.
func TestAwayIsKnown(t *testing.T) {
	group := duolink.Group{API: duolink.Supermetrics, Scope: duolink.ScopeCredential, Name: "a"}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer func() { _ = client.Close() }()
	asked := 0
	counting := limiterFunc(func(context.Context, duolink.Group) error { asked++; return errors.New("full") })
	for name, tc := range map[string]struct {
		opts []Option
		want string
	}{
		"open":     {nil, "<nil>"},
		"closed":   {[]Option{FailClosed()}, "redislimit: Redis is away"},
		"fallback": {[]Option{WithFallback(counting)}, "full"},
	} {
		f, err := New(client, tc.opts...)
		require.NoError(t, err)
		for range 50 {
			require.Equal(t, tc.want, fmt.Sprint(f.Wait(t.Context(), group)), name)
		}
		f.Report(group, duolink.Answer{Refused: true, RetryAfter: time.Hour})
		lock, err := f.Lock(t.Context(), "a", time.Minute)
		if name == "closed" {
			require.ErrorIs(t, err, ErrAway)
			continue
		}
		require.NoError(t, err)
		require.True(t, lock.Held(), "each process goes its own way")
		lock.Unlock()
		lock.Expire()
	}
	require.Equal(t, 50, asked)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, err := New(client, FailClosed())
	require.NoError(t, err)
	require.ErrorIs(t, f.Wait(ctx, group), context.Canceled)
}

type limiterFunc func(context.Context, duolink.Group) error

func (f limiterFunc) Wait(ctx context.Context, g duolink.Group) error { return f(ctx, g) }
func (f limiterFunc) Report(duolink.Group, duolink.Answer)            {}
