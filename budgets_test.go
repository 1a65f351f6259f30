package duolink

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// mostWithin is how many of these times lie within one window at most.
func mostWithin(window time.Duration, times []time.Time) (most int) {
	slices.SortFunc(times, time.Time.Compare)
	for first, last := 0, 0; last < len(times); last++ {
		for times[last].Sub(times[first]) >= window {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// ofKind is a group of a kind.
func ofKind(kind GroupKind, name string) Group {
	return Group{kind.API, kind.Operation, kind.Scope, kind.Product, name}
}

// However many callers there are, no window has more requests than the vendor publishes, and an even
// flow uses the budget.
func TestPublishedBudgets(t *testing.T) {
	for kind, budget := range PublishedBudgets() {
		t.Run(fmt.Sprintf("%s %s %s %s", kind.API, kind.Scope, kind.Operation, kind.Product), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := NewLocalLimiter(nil)
				require.NoError(t, err)
				const windows = 10
				ctx, cancel := context.WithTimeout(t.Context(), windows*budget.Per)
				defer cancel()
				var mu sync.Mutex
				var times []time.Time
				var callers sync.WaitGroup
				for range 50 {
					callers.Go(func() {
						for l.Wait(ctx, ofKind(kind, "a")) == nil {
							mu.Lock()
							times = append(times, time.Now())
							mu.Unlock()
						}
					})
				}
				callers.Wait()
				require.LessOrEqual(t, mostWithin(budget.Per, times), budget.Requests)
				even := windows * (budget.Requests - budget.burst() + 1) // a burst makes the others slower
				require.Greater(t, float64(len(times)), 0.95*float64(even))
			})
		})
	}
}

// The budgets are those of what the client asks for: a server that counts as the vendors do has nothing
// to refuse.
func TestLocalLimiterBeforeAServerThatCounts(t *testing.T) {
	budgets := PublishedBudgets()
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := NewLocalLimiter(nil)
				require.NoError(t, err)
				watched := &watchingLimiter{Limiter: l}
				var mu sync.Mutex
				var arrivals []time.Time
				server := roundTrip(func(*http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					arrivals = append(arrivals, time.Now())
					return reply(http.StatusOK, answers[operation]), nil
				})
				c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: server}, WithLimiter(watched))
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				var callers sync.WaitGroup
				for range 4 {
					callers.Go(func() {
						for range 100 {
							_ = call(ctx, c, WithoutRetry(), WithMaxWait(time.Minute))
						}
					})
				}
				callers.Wait()
				bounded := 0
				for _, g := range watched.groups() {
					if budget, ok := budgets.Of(g); ok {
						bounded++
						require.LessOrEqual(t, mostWithin(budget.Per, arrivals), budget.Requests, g.Scope)
					}
				}
				require.Positive(t, bounded, "each operation has a budget")
				require.NotEmpty(t, arrivals)
			})
		})
	}
}

// watchingLimiter notes the groups that are asked for.
type watchingLimiter struct {
	Limiter
	mu   sync.Mutex
	seen map[Group]bool
}

func (w *watchingLimiter) Wait(ctx context.Context, g Group) error {
	w.mu.Lock()
	if w.seen == nil {
		w.seen = map[Group]bool{}
	}
	w.seen[g] = true
	w.mu.Unlock()
	return w.Limiter.Wait(ctx, g)
}

func (w *watchingLimiter) groups() (all []Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for g := range w.seen {
		all = append(all, g)
	}
	return all
}

// A call that cannot be sent in time fails at once and says when to try again. Whose end it would be
// is said, too.
func TestLocalLimiterDoesNotWaitInVain(t *testing.T) {
	l, err := NewLocalLimiter(nil)
	require.NoError(t, err)
	inBubble(t, nil, []Option{WithLimiter(l)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		refresh := func(ctx context.Context) error {
			_, err := c.Identity.Refresh(ctx, sandbox.LinkID, []Product{ProductIdentity})
			return err
		}
		require.NoError(t, refresh(t.Context()))
		began := time.Now()
		err := refresh(t.Context())
		kindIs(t, err, ErrRateLimited)
		e := asError(t, err)
		require.Equal(t, 24*time.Hour, e.RetryAfter.Round(time.Second))
		require.Equal(t, OutcomeNotSent, e.Outcome)
		require.ErrorContains(t, e, "the budget is used up; try again in 24h0m0s")
		require.NotErrorIs(t, e, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = refresh(ctx)
		kindIs(t, err, ErrRateLimited)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, time.Since(began))
		require.Equal(t, 1, s.Count("identity.refresh"))
	})
}

// A refresh that the server has rejected, or that was not sent, does not use the day's budget up. One
// whose answer was lost does.
func TestRejectedRefreshesDoNotCount(t *testing.T) {
	invalid := nativeBody("api_error.request.validation_failed")
	for name, tc := range map[string]struct {
		fault sandbox.Fault
		again bool
	}{
		"rejected":            {sandbox.Fault{Status: 422, Body: invalid}, true},
		"refused":             {sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"2"}}}, true},
		"the request is lost": {sandbox.Fault{Drop: sandbox.DropBefore}, false}, // nobody can tell
		"the answer is lost":  {sandbox.Fault{Drop: sandbox.DropAfter}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := NewLocalLimiter(nil)
			require.NoError(t, err)
			inBubble(t, nil, []Option{WithLimiter(l)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				tc.fault.Operation = "identity.refresh"
				s.Script(tc.fault)
				refresh := func() error {
					products := []Product{ProductIdentity}
					_, err := c.Identity.Refresh(t.Context(), sandbox.LinkID, products, WithoutRetry())
					return err
				}
				require.Error(t, refresh())
				time.Sleep(3 * time.Second)
				if err := refresh(); tc.again {
					require.NoError(t, err)
				} else {
					kindIs(t, err, ErrRateLimited)
					require.Equal(t, 1, s.Count("identity.refresh"))
				}
			})
		})
	}
}

// A refusal that one client gets holds up the others that share its limiter.
func TestClientsShareALocalLimiter(t *testing.T) {
	l, err := NewLocalLimiter(nil)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		var arrivals []time.Duration
		began := time.Now()
		server := roundTrip(func(*http.Request) (*http.Response, error) {
			arrivals = append(arrivals, time.Since(began))
			if len(arrivals) == 1 {
				return reply(http.StatusTooManyRequests, "{}", "Retry-After", "30"), nil
			}
			return reply(http.StatusOK, `{"data":[]}`), nil
		})
		for _, retry := range []CallOption{WithoutRetry(), WithMaxWait(time.Minute)} {
			c := clientOf(t, "http://127.0.0.1", "links.list", &http.Client{Transport: server}, WithLimiter(l))
			_, _ = c.Links.List(t.Context(), retry)
		}
		require.Equal(t, []time.Duration{0, 30 * time.Second}, arrivals)
	})
}

// The most special budget is used, and one that cannot be meant so is refused.
func TestBudgets(t *testing.T) {
	kind := GroupKind{MoneyKit, ScopeLink, "identity.get", ""}
	group := ofKind(kind, "a")
	budgets := PublishedBudgets()
	budgets[GroupKind{MoneyKit, ScopeLink, "", ""}] = Budget{Requests: 1, Per: time.Second}
	got, ok := budgets.Of(group)
	require.True(t, ok)
	require.Equal(t, 3, got.Requests)
	delete(budgets, kind)
	got, ok = budgets.Of(group)
	require.True(t, ok)
	require.Equal(t, 1, got.Requests)
	_, ok = budgets.Of(Group{API: Supermetrics, Scope: ScopeDataSource})
	require.False(t, ok)

	for name, bad := range map[string]Budget{
		"no requests":   {Per: time.Second},
		"no time":       {Requests: 1},
		"negative":      {Requests: 1, Per: -time.Second},
		"too many":      {Requests: 3, Per: time.Second, Burst: 4},
		"less than one": {Requests: 3, Per: time.Second, Burst: -1},
	} {
		_, err := NewLocalLimiter(Budgets{kind: bad})
		require.ErrorIs(t, err, ErrArgument, name)
	}
	_, err := NewLocalLimiter(Budgets{})
	require.NoError(t, err, "no budgets, but refusals are shared")
}
