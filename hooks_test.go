package duolink

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// diary records the calls of hooks, in order.
type diary struct {
	mu       sync.Mutex
	lines    []string
	starts   []Attempt
	ends     []Attempt
	waits    []Wait
	cooling  []Cooldown
	renewals []TokenRenewal
	lost     []Abandoned
}

func (d *diary) hooks() Hooks {
	return Hooks{
		AttemptStart: func(_ context.Context, a Attempt) {
			d.note(func() { d.starts = append(d.starts, a) }, "start %s %d", a.Operation, a.Number)
		},
		AttemptEnd: func(_ context.Context, a Attempt) {
			d.note(func() { d.ends = append(d.ends, a) }, "end %s %d: %d %s", a.Operation, a.Number, a.Status,
				a.Failure)
		},
		Wait: func(_ context.Context, w Wait) {
			d.note(func() { d.waits = append(d.waits, w) }, "wait %s before %d: %s", w.Operation, w.Attempt, w.Reason)
		},
		Cooldown: func(_ context.Context, c Cooldown) {
			d.note(func() { d.cooling = append(d.cooling, c) }, "cooldown %s %v", c.Operation, c.Duration)
		},
		TokenRenewal: func(_ context.Context, r TokenRenewal) {
			d.note(func() { d.renewals = append(d.renewals, r) }, "renewal: %d %s", r.Status, r.Failure)
		},
		Abandoned: func(_ context.Context, a Abandoned) {
			d.note(func() { d.lost = append(d.lost, a) }, "abandoned %s after %v", a.Operation, a.After)
		},
	}
}

// abandoned returns the calls of Hooks.Abandoned so far.
func (d *diary) abandoned() []Abandoned {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lost)
}

func (d *diary) note(keep func(), format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keep()
	d.lines = append(d.lines, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// unavailable is a 503 in the vendor's words, after a while.
func unavailable(after time.Duration, header http.Header) sandbox.Fault {
	header.Set("X-Request-Id", "req-503")
	return sandbox.Fault{
		Status: 503, Delay: after, Header: header, Body: `{"error":{"code":"SERVICE_UNAVAILABLE","message":"Later"}}`,
	}
}

// One call to which everything happens: which hooks are called, in which order, and that the
// Response has the same.
func TestHooksTellTheStory(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{
		WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 9}),
	}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(
			sandbox.Fault{Drop: sandbox.DropBefore, Delay: 2 * time.Second},
			unavailable(250*time.Millisecond, http.Header{}),
			unavailable(time.Second, http.Header{"Retry-After": {"7"}}),
			sandbox.Fault{Truncate: 20, Delay: 2 * time.Second}, // so that the pace after the 503 asks for no wait
			sandbox.Fault{Stall: true},
			sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"20"}}}, // last: it is paced from then on
			sandbox.Fault{Delay: 3 * time.Second},
		)
		var r Response
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.NoError(t, err)
		require.Zero(t, s.Pending())

		require.Equal(t, []string{
			"start links.get 1", "end links.get 1: 0 connection failed", "wait links.get before 2: backoff",
			"start links.get 2", "end links.get 2: 503 server error", "wait links.get before 3: backoff",
			"start links.get 3", "cooldown links.get 7s", "end links.get 3: 503 server error",
			"wait links.get before 4: retry-after",
			"start links.get 4", "end links.get 4: 200 the answer broke off", "wait links.get before 5: backoff",
			"start links.get 5", "end links.get 5: 200 attempt timed out", "wait links.get before 6: backoff",
			"start links.get 6", "cooldown links.get 20s", "end links.get 6: 429 rate limited",
			"wait links.get before 7: cooldown",
			"start links.get 7", "end links.get 7: 200",
		}, d.lines)

		require.Len(t, d.ends, 7)
		for i, a := range d.ends {
			require.Equal(t, Supermetrics, a.API)
			require.Equal(t, "/ds/login/link/{loginLinkID}", a.Route)
			require.Equal(t, i+1, a.Number)
			start := Attempt{
				API: a.API, Operation: a.Operation, Method: "GET", Route: a.Route, Host: "sandbox.test", Port: 80,
				Number: a.Number, Wait: a.Wait,
			}
			require.Equal(t, start, d.starts[i],
				"the start knows the number and the wait, and nothing of the end")
		}
		require.Empty(t, d.ends[0].Code)
		require.Empty(t, d.ends[0].RequestID)
		require.Equal(t, CodeServiceUnavailable, d.ends[1].Code)
		require.Equal(t, "req-503", d.ends[1].RequestID)
		require.NotEmpty(t, d.ends[6].RequestID)
		require.Equal(t, r.RequestID, d.ends[6].RequestID)

		// Durations, to the nanosecond.
		for i, want := range []time.Duration{
			2 * time.Second, 250 * time.Millisecond, time.Second, 2 * time.Second, 30 * time.Second, 0, 3 * time.Second,
		} {
			require.Equal(t, want, d.ends[i].Duration, "attempt %d", i+1)
		}
		require.Zero(t, d.ends[0].Wait)
		for i, w := range d.waits {
			require.Equal(t, d.ends[w.Attempt-1].Wait, w.Duration, "wait %d was as long as was said", i+1)
			require.Equal(t, "/ds/login/link/{loginLinkID}", w.Route)
			require.Equal(t, Supermetrics, w.API)
		}
		require.GreaterOrEqual(t, d.waits[2].Duration, 7*time.Second)
		require.Equal(t, 20*time.Second, d.waits[5].Duration)
		cooldown := Cooldown{
			API: Supermetrics, Operation: "links.get", Route: "/ds/login/link/{loginLinkID}", Duration: 7 * time.Second,
		}
		refused := cooldown
		refused.Duration = 20 * time.Second
		require.Equal(t, []Cooldown{cooldown, refused}, d.cooling)

		require.Equal(t, d.ends, r.Attempts, "the Response tells the same")
	})
}

// Hooks get the caller's context.
func TestHooksHaveTheContext(t *testing.T) {
	type key struct{}
	var seen []any
	see := func(ctx context.Context) { seen = append(seen, ctx.Value(key{})) }
	hooks := Hooks{
		AttemptStart: func(ctx context.Context, _ Attempt) { see(ctx) },
		AttemptEnd:   func(ctx context.Context, _ Attempt) { see(ctx) },
		Wait:         func(ctx context.Context, _ Wait) { see(ctx) },
		Cooldown:     func(ctx context.Context, _ Cooldown) { see(ctx) },
		TokenRenewal: func(ctx context.Context, _ TokenRenewal) { see(ctx) },
	}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.link", Status: 503},
			sandbox.Fault{Operation: "identity.link", Status: 429, Header: http.Header{"Retry-After": {"1"}}})
		require.NoError(t, getBankLink(context.WithValue(t.Context(), key{}, "caller"), c))
		require.Equal(t, slices.Repeat([]any{"caller"}, 2+1+3*2+1+2), seen,
			"exchange, renewal, three attempts, a cooldown, two waits")
	})
}

// A wait for the rate of a reopened group is reported like any other wait.
func TestPaceIsTold(t *testing.T) {
	for name, callers := range map[string]int{"one caller": 1, "three callers": 3} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			inBubble(t, nil, []Option{
				WithHooks(d.hooks()), WithRetry(Retry{MaxWait: time.Hour}),
			}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				require.NoError(t, getLink(t.Context(), c))
				s.Script(sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"10"}}})
				for range 4 {
					atOnce(t, callers, func() error { return getLink(t.Context(), c) })
				}
				require.Equal(t, time.Second*10, d.cooling[0].Duration)
				paced := 0
				for _, w := range d.waits {
					if w.Reason == WaitReasonPace {
						paced++
						require.Positive(t, w.Duration)
					}
				}
				stood := 0
				for _, a := range d.starts {
					if a.Wait > 0 {
						stood++
					}
				}
				require.Positive(t, stood)
				require.Positive(t, paced, "%d attempts were held up, none of them for the pace", stood)
				require.GreaterOrEqual(t, len(d.waits), stood, "each attempt that was held up was told of")
			})
		})
	}
}

func TestTokenRenewalIsTold(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{
		WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 1}),
	}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		unauthorized := `{"error_code":"api_error.auth.unauthorized",` +
			`"error_message":"The client credentials are not valid"}`
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: time.Second, Status: 400, Body: unauthorized})
		require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized)
		require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized, "of the same exchange, which is told once")
		time.Sleep(flight.LongestHold)
		s.Script(sandbox.Fault{Operation: "auth.token", Drop: sandbox.DropAfter})
		require.Error(t, getBankLink(t.Context(), c))
		time.Sleep(flight.LongestHold)
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: 2 * time.Second})
		require.NoError(t, getBankLink(t.Context(), c))
		require.NoError(t, getBankLink(t.Context(), c), "with the token that is there")
		require.Equal(t, []TokenRenewal{
			{API: MoneyKit, Duration: time.Second, Status: 400, Code: CodeAuthUnauthorized, Failure: "unauthorized"},
			{API: MoneyKit, Failure: "connection failed"},
			{API: MoneyKit, Duration: 2 * time.Second},
		}, d.renewals)
	})
	d = &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		require.NoError(t, getBankLink(t.Context(), c))
		s.ExpireTokens()
		require.NoError(t, getBankLink(t.Context(), c))
		require.Equal(t, []string{
			"start auth.token 1", "end auth.token 1: 201", "renewal: 0",
			"start identity.link 1", "end identity.link 1: 200",
			"start identity.link 1", "end identity.link 1: 401 unauthorized",
			"start auth.token 1", "end auth.token 1: 201", "renewal: 0",
			"start identity.link 2", "end identity.link 2: 200",
		}, d.lines)
	})
}

// A renewal is reported once, even if the call that began it has given up.
func TestTokenRenewalOfOthersIsTold(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: time.Second})
		var wg sync.WaitGroup
		wg.Go(func() { _ = until(10*time.Millisecond, getBankLink)(context.Background(), c) })
		synctest.Wait()
		for range 10 {
			wg.Go(func() { _ = getBankLink(context.Background(), c) })
		}
		wg.Wait()
		require.Equal(t, 1, s.TokensIssued())
		require.Equal(t, []TokenRenewal{{API: MoneyKit, Duration: time.Second}}, d.renewals)
	})
}

// someHooks are Hooks with only one hook each.
func someHooks(all Hooks) map[string]Hooks {
	return map[string]Hooks{
		"none":         {},
		"AttemptStart": {AttemptStart: all.AttemptStart},
		"AttemptEnd":   {AttemptEnd: all.AttemptEnd},
		"Wait":         {Wait: all.Wait},
		"Cooldown":     {Cooldown: all.Cooldown},
		"TokenRenewal": {TokenRenewal: all.TokenRenewal},
	}
}

// trouble is a script in which every hook is called, by a call of identity.link.
func trouble() []sandbox.Fault {
	return []sandbox.Fault{
		{Operation: "identity.link", Status: 503},
		{Operation: "identity.link", Status: 429, Header: http.Header{"Retry-After": {"1"}}},
		{Operation: "identity.link", Drop: sandbox.DropBefore},
		expired("identity.link"),
	}
}

func TestAnyHookMayBeNil(t *testing.T) {
	d := &diary{}
	for name, hooks := range someHooks(d.hooks()) {
		t.Run(name, func(t *testing.T) {
			d.lines = nil
			inBubble(t, nil, []Option{
				WithHooks(hooks), WithRetry(Retry{MaxAttempts: 9}),
			}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(trouble()...)
				require.NoError(t, getBankLink(t.Context(), c))
				require.Zero(t, s.Pending())
			})
			require.Equal(t, name == "none", len(d.lines) == 0)
		})
	}
}

// A hook may use the client, even the hook that is told of a failed exchange.
func TestTokenRenewalHookThatCalls(t *testing.T) {
	var c *Client
	calls := 0
	hooks := Hooks{TokenRenewal: func(ctx context.Context, r TokenRenewal) {
		if calls++; calls == 1 {
			require.ErrorIs(t, getBankLink(ctx, c), ErrUnauthorized)
		}
	}}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, client *Client, s *sandbox.Sandbox) {
		c = client
		s.Script(sandbox.Fault{
			Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Times: -1,
		})
		require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized)
		require.Equal(t, 1, calls)
	})
}
