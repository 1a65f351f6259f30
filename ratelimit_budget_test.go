package duolink

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// budgetFull is the number of repetitions in a full budget, as the documentation says.
const budgetFull = 100

// outage makes a number of calls fail at the same time, and returns how many requests they made.
func outage(t *testing.T, s *answerer, n int, c *Client, operation string, opts ...CallOption) int {
	t.Helper()
	s.mu.Lock()
	before := len(s.at)
	s.mu.Unlock()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { require.Error(t, calls[operation](t.Context(), c, opts...)) })
	}
	wg.Wait()
	return len(s.at) - before
}

func broken(*http.Request) *http.Response { return reply(http.StatusBadGateway, "{}") }

func notFound(*http.Request) *http.Response { return reply(http.StatusNotFound, "{}") }

func down(retryAfter string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		return reply(http.StatusServiceUnavailable, "{}", "Retry-After", retryAfter)
	}
}

// If everything fails, repetitions stop: every call is sent once.
func TestRetryBudget(t *testing.T) {
	const calls = 1000
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Status: 502, Times: -1})
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				_, _ = c.Links.Get(context.Background(), "dsll_1")
			})
		}
		wg.Wait()
		require.Equal(t, calls+budgetFull, s.Count(""))

		// Successes give repetitions back.
		s.ClearScript()
		for range 5 {
			_, err := c.Links.Get(t.Context(), "dsll_1")
			require.NoError(t, err)
		}
		s.Script(sandbox.Fault{Status: 502})
		_, err := c.Links.Get(t.Context(), "dsll_1")
		require.NoError(t, err)
	})
}

// Each credential has its own budget, so neither the outage of one vendor nor one tenant uses up
// the budget of another. MoneyKit's two APIs are one vendor.
func TestBudgetsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		s := &answerer{began: time.Now()}
		s.answering(broken)
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "links.list"))
		require.Equal(t, n, outage(t, s, n, c, "logins.list"), "the same credential")
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "links.list", WithToken("tenant_1")))
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "links.list", WithToken("tenant_2")))
		require.Equal(t, n, outage(t, s, n, c, "links.list", WithToken("tenant_1")))
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "identity.link"))
		require.Equal(t, n, outage(t, s, n, c, "auth.get"), "the same vendor")
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "identity.link", WithToken("tenant_1")), "another vendor's")
		require.Equal(t, n, outage(t, s, n, c, "links.list"))

		// The success of one credential gives nothing back to another.
		s.answering(func(*http.Request) *http.Response { return reply(200, answers["links.list"]) })
		for range 5 * budgetFull {
			require.NoError(t, calls["links.list"](t.Context(), c, WithToken("tenant_1")))
		}
		s.answering(broken)
		require.Equal(t, n, outage(t, s, n, c, "logins.list"))
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "logins.list", WithToken("tenant_1")))

		// Time fills each budget.
		time.Sleep(1000*time.Second + time.Millisecond)
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "links.list"))
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "auth.get"))
	})
}

// budgetKeyOf is the key of the budget that an operation of a client uses.
func budgetKeyOf(t *testing.T, c *Client, op operation) string {
	t.Helper()
	p, err := c.prepare(t.Context(), op, nil)
	require.NoError(t, err)
	return p.budgetKey()
}

// These cost nothing: a repetition after 429, which the limit group paces, a repetition that does
// not take place, and a call that is not repeated.
func TestWhatABudgetIsSpentOn(t *testing.T) {
	for name, tc := range map[string]struct {
		operation string
		answer    func(*http.Request) *http.Response
		spent     int
	}{
		"after 502":                          {"links.list", broken, 3},
		"after 429":                          {"links.list", refusing("1"), 0},
		"after 429 without a time":           {"links.list", refusing(""), 0},
		"after 503 with a time":              {"links.list", down("1"), 3},
		"a wait that is too long":            {"links.list", down("3600"), 0},
		"a write that is not repeated":       {"links.create", broken, 0},
		"a refusal that no repetition cures": {"links.list", notFound, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{began: time.Now()}
				s.answering(tc.answer)
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				require.Error(t, calls[tc.operation](t.Context(), c))
				require.Less(t, time.Since(s.began), 5*time.Second, "half a repetition comes back with time")
				left := 0
				for c.budget.Take(budgetKeyOf(t, c, linksList), time.Now()) {
					left++
				}
				require.Equal(t, tc.spent, budgetFull-left)
			})
		})
	}
}

// If the budget allows no repetition, a call ends at once with the error of its attempt.
func TestBudgetEndsACallAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{began: time.Now()}
		s.answering(broken)
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
		require.Equal(t, 100+budgetFull, outage(t, s, 100, c, "links.list"))
		before := time.Now()
		e := asError(t, calls["links.list"](t.Context(), c))
		require.ErrorIs(t, e, ErrServer)
		require.Equal(t, 1, e.Attempts)
		require.Zero(t, time.Since(before))
		s.answering(func(*http.Request) *http.Response {
			s.answering(func(*http.Request) *http.Response { return reply(200, answers["links.list"]) })
			return broken(nil)
		})
		time.Sleep(10 * time.Second)
		var r Response
		require.NoError(t, calls["links.list"](t.Context(), c, WithResponse(&r)))
		require.Len(t, r.Attempts, 2, "time has brought one back")
	})
}
