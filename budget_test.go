package duolink

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The retry budget: what stands above the type budgets, each shown by itself.

func newBudgets() *budgets { return &budgets{spent: map[shutKey]*budget{}} }

// spend takes as much as there is.
func (b *budgets) spend(key string, now time.Time) (taken int) {
	for taken < 2*budgetFull && b.take(key, now) {
		taken++
	}
	return taken
}

// There are a hundred repetitions; a success brings back a fifth of one, and ten seconds a whole
// one.
func TestBudget(t *testing.T) {
	const key = "moneykit client 1"
	for name, tc := range map[string]struct {
		successes int
		after     time.Duration
		more      int
	}{
		"at once":                         {0, 0, 0},
		"after four successes":            {4, 0, 0},
		"after five successes":            {5, 0, 1},
		"after nine":                      {9, 0, 1},
		"after fifty":                     {50, 0, 10},
		"after more than are needed":      {5000, 0, budgetFull},
		"a little less than ten seconds":  {0, 10*time.Second - time.Millisecond, 0},
		"a little more than ten seconds":  {0, 10*time.Second + time.Millisecond, 1},
		"a minute":                        {0, time.Minute + time.Millisecond, 6},
		"a day":                           {0, 24 * time.Hour, budgetFull},
		"four successes, and two seconds": {4, 2*time.Second + time.Millisecond, 1},
		"four successes, and less":        {4, 2*time.Second - time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, now := newBudgets(), time.Now()
			b.refund(key, now) // what is not spent cannot be brought back
			require.Empty(t, b.spent)
			require.Equal(t, budgetFull, b.spend(key, now))
			for range tc.successes {
				b.refund(key, now)
			}
			require.Equal(t, tc.more, b.spend(key, now.Add(tc.after)))
		})
	}
}

// Time counts once, however often anybody looks.
func TestBudgetOverTime(t *testing.T) {
	b, now := newBudgets(), time.Now()
	require.Equal(t, budgetFull, b.spend("a", now))
	taken := 0
	for range 1000 { // for a hundred seconds
		now = now.Add(time.Second / 10)
		taken += b.spend("a", now)
	}
	require.InDelta(t, 10, taken, 1)
	for range 500 { // and for fifty, with a success in each of them
		now = now.Add(time.Second / 10)
		if now.Nanosecond() < 1e8 {
			b.refund("a", now)
		}
		taken += b.spend("a", now)
	}
	require.InDelta(t, 10+5+10, taken, 2)
}

// Of those of which nothing is spent, nothing is kept.
func TestBudgetIsForgotten(t *testing.T) {
	b, now := newBudgets(), time.Now()
	require.True(t, b.take("a", now))
	for range 4 {
		b.refund("a", now)
		require.Len(t, b.spent, 1)
	}
	b.refund("a", now)
	b.refund("a", now) // five fifths may be a little less than one
	require.Empty(t, b.spent)
	require.True(t, b.take("a", now))
	b.refund("a", now.Add(9*time.Second)) // a tenth is left, and this is more
	require.Empty(t, b.spent)
	require.True(t, b.take("a", now))
	b.refund("b", now)
	require.Len(t, b.spent, 1, "another's")
}

// However many credentials there are, few are kept: those that time has filled go first, and where
// there are none, all.
func TestBudgetsAreBounded(t *testing.T) {
	b, now := newBudgets(), time.Now()
	require.Equal(t, budgetFull, b.spend("old", now.Add(-time.Minute)))
	for i := range mostBudgets - 2 {
		require.True(t, b.take(strconv.Itoa(i), now.Add(-10*time.Second)))
	}
	require.Equal(t, budgetFull, b.spend("spent", now))
	require.Equal(t, mostBudgets, len(b.spent))
	require.Equal(t, budgetFull, b.spend("new", now))
	require.Equal(t, 3, len(b.spent))
	require.Zero(t, b.spend("spent", now))
	require.Equal(t, 6, b.spend("old", now.Add(time.Millisecond)))

	for i := range mostBudgets - 3 {
		require.True(t, b.take(strconv.Itoa(i), now))
	}
	require.Equal(t, mostBudgets, len(b.spent))
	require.Zero(t, b.spend("spent", now), "it is there, and takes no room")
	require.Equal(t, mostBudgets, len(b.spent))
	require.True(t, b.take("one more", now))
	require.Equal(t, 1, len(b.spent), "none could go first")
}

// outage has so many calls fail at the same time, and returns how many requests they were.
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

func broken(*http.Request) *http.Response   { return reply(http.StatusBadGateway, "{}") }
func notFound(*http.Request) *http.Response { return reply(http.StatusNotFound, "{}") }

func down(retryAfter string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		return reply(http.StatusServiceUnavailable, "{}", "Retry-After", retryAfter)
	}
}

// Each credential has a budget of its own, so the outage of one vendor, or what one tenant does,
// spends nobody else's. MoneyKit's two APIs are one vendor.
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

		// The success of one brings nothing back to another.
		s.answering(func(*http.Request) *http.Response { return reply(200, answers["links.list"]) })
		for range 5 * budgetFull {
			require.NoError(t, calls["links.list"](t.Context(), c, WithToken("tenant_1")))
		}
		s.answering(broken)
		require.Equal(t, n, outage(t, s, n, c, "logins.list"))
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "logins.list", WithToken("tenant_1")))

		// And time brings back to each what is its own.
		time.Sleep(1000*time.Second + time.Millisecond)
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "links.list"))
		require.Equal(t, n+budgetFull, outage(t, s, n, c, "auth.get"))
	})
}

// What costs nothing: a repetition after 429, which is paced anyway, one that does not take place,
// and a call that is not repeated.
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
				if tc.spent == 0 {
					require.Empty(t, c.budget.spent)
					return
				}
				require.Len(t, c.budget.spent, 1)
				for _, own := range c.budget.spent {
					require.InDelta(t, float64(tc.spent), own.spent, 0.5, "a little has come back with time")
				}
			})
		})
	}
}

// A call whose repetition the budget does not allow ends at once, with the error of its attempt.
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

// The numbers that the documentation states.
func TestNumbersOfTheBudget(t *testing.T) {
	require.Equal(t, 100, budgetFull)
	require.Equal(t, 1.0/5, budgetRefund)
	require.Equal(t, time.Hour/(10*time.Second), time.Duration(budgetPerHour))
}
