package duolink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Mistakes that reviews have found, each with the answer that showed it.

// overAll is a client whose answers come from a function.
func overAll(t *testing.T, answer func(*http.Request) (*http.Response, error), opts ...Option) *Client {
	t.Helper()
	return sandboxClient(t, roundTrip(answer), opts...)
}

type limiterFunc func(context.Context, Group) error

func (f limiterFunc) Wait(ctx context.Context, group Group) error { return f(ctx, group) }

func (f limiterFunc) Report(Group, Answer) {}

// A transport that does not report its connections may have sent a create: it is not sent again,
// and the outcome is unknown.
func TestCreateOverASilentTransport(t *testing.T) {
	created := 0
	c := overAll(t, func(*http.Request) (*http.Response, error) {
		created++
		return nil, errors.New("stream reset")
	})
	_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
	require.Equal(t, 1, created)
	require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
}

// If a group closes while a limiter or a provider of tokens is slow, nothing goes out early.
func TestGroupClosesMeanwhile(t *testing.T) {
	type slow struct{}
	dawdle := func(ctx context.Context) {
		if ctx.Value(slow{}) != nil {
			time.Sleep(5 * time.Second)
		}
	}
	for name, opts := range map[string][]Option{
		"limiter": {
			WithSupermetrics(BearerToken(testKey)),
			WithLimiter(limiterFunc(func(ctx context.Context, _ Group) error { dawdle(ctx); return nil })),
		},
		"provider": {WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
			dawdle(ctx)
			return testKey, nil
		}))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var mu sync.Mutex
				var at []time.Duration
				transport := roundTrip(func(*http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					if at = append(at, time.Since(began)); len(at) == 1 {
						return reply(429, "", "Retry-After", "30"), nil
					}
					return reply(200, `{"data":[]}`), nil
				})
				c, err := New(append(opts, WithHTTPClient(&http.Client{Transport: transport}))...)
				require.NoError(t, err)
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = c.Links.List(context.WithValue(t.Context(), slow{}, true)) })
				wg.Go(func() {
					time.Sleep(time.Second)
					_, _ = c.Links.List(t.Context(), WithoutRetry())
				})
				wg.Wait()
				require.Len(t, at, 2)
				require.GreaterOrEqual(t, at[1], 31*time.Second)
			})
		})
	}
}

// An outage with many refusals has no late effects: soon after it, callers are served.
func TestRecoveryAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := overAll(t, func(*http.Request) (*http.Response, error) {
			if time.Since(began) < time.Minute {
				return reply(429, ""), nil
			}
			return reply(200, `{"data":[]}`), nil
		})
		for time.Since(began) < time.Minute {
			_, _ = c.Links.List(t.Context(), WithoutRetry())
		}
		time.Sleep(5 * time.Second)
		after := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := c.Links.List(t.Context())
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Less(t, time.Since(after), 10*time.Second)
	})
}

// One early refusal by chance says nothing of the rate.
func TestRefusalByChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var requests, failed atomic.Int64
		c := overAll(t, func(*http.Request) (*http.Response, error) {
			if n := requests.Add(1); time.Since(began) < time.Second || n == 103 {
				return reply(429, "", "Retry-After", "1"), nil
			}
			return reply(200, `{"data":[]}`), nil
		})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := c.Links.List(t.Context()); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		require.Zero(t, failed.Load())
	})
}

// The jitter after a promised time ends before the deadline and within MaxWait.
func TestJitterKeepsToTheBounds(t *testing.T) {
	unavailable := func(*http.Request) (*http.Response, error) { return reply(503, "", "Retry-After", "10"), nil }
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var longest time.Duration
			c := overAll(t, unavailable, WithRetry(Retry{MaxWait: 10 * time.Second}), WithHooks(Hooks{
				Wait: func(_ context.Context, w Wait) { longest = max(longest, w.Duration) },
			}))
			_, err := c.Links.Get(t.Context(), "dsll_1")
			require.ErrorIs(t, err, ErrServer)
			require.Equal(t, 10*time.Second, longest)
		})
		synctest.Test(t, func(t *testing.T) {
			c := overAll(t, unavailable)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
			defer cancel()
			_, err := c.Links.Get(ctx, "dsll_1")
			require.Equal(t, 2, asError(t, err).Attempts, "what was waited for was done")
		})
	}
}

func TestHeaderOptionIsShared(t *testing.T) {
	c := overAll(t, func(*http.Request) (*http.Response, error) { return reply(200, `{"data":[]}`), nil })
	opt := WithHeader("x-trace", "1")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _, _ = c.Links.List(context.Background(), opt) })
	}
	wg.Wait()
}

// Servers change the case of what they quote.
func TestScrubFoldsCase(t *testing.T) {
	c := overAll(t, func(*http.Request) (*http.Response, error) {
		return reply(422, `{"error":{"code":"VALIDATION_FAILED","message":"unknown ds_user jordan.smith@example.com, `+
			`jordan.smith%40example.com"}}`), nil
	})
	_, err := c.Logins.QueryAccounts(t.Context(),
		AccountsQuery{DataSourceID: "GAWA", Users: []string{"Jordan.Smith@Example.com"}})
	require.NotContains(t, strings.ToLower(err.Error()), "jordan")
}

// An error of a provider is kept whole, even if it wraps one of ours. An error of a limiter does
// not hide what the server said.
func TestErrorsOfTheCallers(t *testing.T) {
	mine := errors.New("vault sealed")
	c, err := New(WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
		return "", fmt.Errorf("%w: %w", mine,
			&Error{Operation: "links.create", Outcome: OutcomeUnknown, Kind: ErrServer})
	})))
	require.NoError(t, err)
	_, err = c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
	require.ErrorIs(t, err, mine)
	require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)

	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := overAll(t, func(*http.Request) (*http.Response, error) { return reply(503, ""), nil },
			WithLimiter(limiterFunc(func(context.Context, Group) error {
				if asked++; asked > 1 {
					return mine
				}
				return nil
			})))
		_, err := c.Links.Get(t.Context(), "dsll_1")
		require.ErrorIs(t, err, mine)
		require.Equal(t, 503, asError(t, err).StatusCode)
	})
}

// An error in a 200 is a failed attempt in the history, and a refusal in it closes the group.
func TestErrorOnSuccessIsAFailedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n int
		c := overAll(t, func(*http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return reply(200, `{"error":"RATE_LIMIT_EXCEEDED"}`, "Retry-After", "5"), nil
			}
			return reply(200, `{"data":[]}`), nil
		})
		began := time.Now()
		var r Response
		_, err := c.Links.List(t.Context(), WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.Equal(t, "rate limited", r.Attempts[0].Failure)
	})
}

func TestNilBodyAndNilContext(t *testing.T) {
	c := overAll(t, func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 204, Header: http.Header{}}, nil
	})
	done, err := c.Logins.Revoke(t.Context(), "dsl_1")
	require.NoError(t, err)
	require.True(t, done)
	_, err = c.Links.List(nil) //nolint:staticcheck // what a caller should not do
	require.ErrorIs(t, err, ErrArgument)
}

// If a body speaks of a limit or a token, the outcome may still be unknown: only a 429 or a 401 was
// certainly refused.
func TestWritesAreNotRepeatedOnTheWordOfABody(t *testing.T) {
	for name, body := range map[string]string{
		"Plaid's limit": `{"error_type":"RATE_LIMIT_EXCEEDED","error_code":"AUTH_LIMIT",` +
			`"error_message":"slow down"}`,
		"Supermetrics' limit": `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"slow down"}}`,
		"an expired token":    `{"error_code":"api_error.auth.expired_access_token","error_message":"expired"}`,
	} {
		for _, status := range []int{200, 400, 500, 502, 503} {
			for operation, write := range map[string]func(context.Context, *Client) error{
				"links.create": func(ctx context.Context, c *Client) error {
					_, err := c.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA"})
					return err
				},
				"identity.refresh": func(ctx context.Context, c *Client) error {
					_, err := c.Identity.Refresh(ctx, sandbox.LinkID, []Product{ProductIdentity})
					return err
				},
			} {
				t.Run(fmt.Sprintf("%s/%s/%d", operation, name, status), func(t *testing.T) {
					inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
						s.Script(sandbox.Fault{Operation: operation, Status: status, Body: body, Perform: true,
							Times: -1})
						require.Error(t, write(t.Context(), c))
						require.Equal(t, 1, s.Count(operation))
					})
				})
			}
		}
	}
}

// If the context has ended before anything was sent, the outcome says so, and a creation may be
// made again without looking.
func TestEndedContextSendsNothing(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		require.NoError(t, getBankLink(t.Context(), c)) // a token, and idle connections
		_, err := c.Links.List(t.Context())
		require.NoError(t, err)
		before := s.Count("")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range calls {
			err := call(ctx, c)
			require.ErrorIs(t, err, context.Canceled, name)
			require.Equal(t, OutcomeNotSent, asError(t, err).Outcome, name)
		}
		require.Equal(t, before, s.Count(""))
	})
}
