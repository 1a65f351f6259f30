package duolink

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

type callKey struct{}

// Each call has one start and one end. What the start puts into the context is found by all hooks, by
// the limiter and by the transport.
func TestCallHooks(t *testing.T) {
	for operation, call := range calls {
		for name, tc := range map[string]struct {
			status  int
			failure string
			outcome Outcome
		}{
			"good":     {status: 200},
			"rejected": {404, "not found", OutcomeRejected},
			"lost":     {0, "connection failed", OutcomeUnknown},
		} {
			t.Run(operation+"/"+name, func(t *testing.T) {
				var starts, ends, attempts []Call
				found := func(ctx context.Context) {
					require.Equal(t, "mine", ctx.Value(callKey{}))
				}
				hooks := Hooks{
					CallStart: func(ctx context.Context, c Call) context.Context {
						starts = append(starts, c)
						return context.WithValue(ctx, callKey{}, "mine")
					},
					CallEnd:      func(ctx context.Context, c Call) { found(ctx); ends = append(ends, c) },
					AttemptStart: func(ctx context.Context, a Attempt) { found(ctx) },
					AttemptEnd: func(ctx context.Context, a Attempt) {
						found(ctx)
						attempts = append(attempts, Call{
							API: a.API, Operation: a.Operation, Method: a.Method, Route: a.Route, Status: a.Status,
						})
						require.Equal(t, "127.0.0.1", a.Host)
						require.Equal(t, 80, a.Port)
						require.Equal(t, ofSupermetrics(operation) && a.Status > 0, a.RateLimit.Remaining == 7)
					},
					AttemptHeader: func(ctx context.Context, h http.Header) {
						found(ctx)
						h.Set("traceparent", "00-1")
					},
				}
				limiter := limiterFunc(func(ctx context.Context, _ Group) error { found(ctx); return nil })
				server := roundTrip(func(r *http.Request) (*http.Response, error) {
					found(r.Context())
					require.Equal(t, []string{"00-1"}, r.Header["Traceparent"])
					if tc.status == 0 {
						return nil, errBroken
					}
					body := "{}"
					if tc.status == 200 {
						body = answers[operation]
					}
					if ofSupermetrics(operation) {
						return reply(tc.status, body, "X-RateLimit-Remaining", "7"), nil
					}
					return reply(tc.status, body), nil
				})
				c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: server},
					WithHooks(hooks), WithLimiter(limiter), WithRetry(Retry{MaxAttempts: 1}))
				err := call(t.Context(), c)
				require.Equal(t, tc.status == 200, err == nil, err)
				require.Len(t, starts, len(attempts))
				require.Len(t, ends, len(attempts))
				for i, end := range ends {
					require.Equal(t, 1, end.Attempts)
					require.Equal(t, tc.failure, end.Failure)
					require.Equal(t, tc.outcome, end.Outcome)
					end.Attempts, end.Duration, end.Failure, end.Outcome = 0, 0, "", ""
					require.Equal(t, attempts[i], end)
					end.Status = 0
					require.Equal(t, starts[i], end)
				}
				require.Equal(t, operationOf(operation), starts[0].Operation)
			})
		}
	}
}

// A call ends once, whatever ends it, and one that is refused before has not started.
func TestCallHooksAndOtherEnds(t *testing.T) {
	ends, starts := map[string]int{}, 0
	hooks := Hooks{
		CallStart: func(context.Context, Call) context.Context { starts++; return nil },
		CallEnd:   func(_ context.Context, c Call) { ends[c.Failure]++ },
		Wait:      func(context.Context, Wait) { panic(errBroken) },
	}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Logins.List(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, map[string]int{"canceled by the caller": 1}, ends)

		s.Script(sandbox.Fault{Status: 503})
		require.PanicsWithValue(t, errBroken, func() { _, _ = c.Logins.List(t.Context()) })
		require.Equal(t, map[string]int{"canceled by the caller": 1, "panicked": 1}, ends)

		_, err = c.Logins.Get(t.Context(), "")
		require.ErrorIs(t, err, ErrArgument)
		require.NoError(t, c.Close(t.Context()))
		_, err = c.Logins.List(t.Context())
		require.ErrorIs(t, err, ErrClosed)
		require.Equal(t, 2, starts)
		require.Len(t, ends, 2)
	})
}

// A hook cannot replace what the client sends, add a credential, or break the request. What it adds is
// on each attempt, and no error quotes it.
func TestAttemptHeaders(t *testing.T) {
	const value = "baggage of somebody"
	var sent []http.Header
	hooks := Hooks{AttemptHeader: func(_ context.Context, h http.Header) {
		h["baggage"] = []string{value, "second\r\nX-Evil: 1"}
		for _, name := range []string{"Authorization", "accept", "Cookie", "Idempotency-Key", "not a name", ""} {
			h[name] = []string{"evil"}
		}
	}}
	synctest.Test(t, func(t *testing.T) {
		server := roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.Header.Clone())
			return reply(503, `{"error":{"code":"`+value+`","message":"`+value+`"}}`), nil
		})
		c := sandboxClient(t, server, WithHooks(hooks), WithRetry(Retry{MaxAttempts: 2}))
		_, err := c.Logins.List(t.Context(), WithHeader("Baggage", "first"))
		require.ErrorIs(t, err, ErrServer)
		require.Len(t, sent, 2)
		for _, h := range sent {
			require.Equal(t, []string{"first", value}, h["Baggage"])
			require.NotContains(t, h, "X-Evil")
			for name, values := range h {
				require.NotContains(t, values, "evil", name)
			}
		}
		for _, text := range printed(err) {
			require.NotContains(t, text, value)
		}
	})
}

// The hooks of an exchange and of a flow's requests get the context of the caller who has begun them.
func TestCallHooksOfSharedRuns(t *testing.T) {
	for name, f := range sharedFlows {
		seen := map[string]any{}
		hooks := Hooks{CallStart: func(ctx context.Context, c Call) context.Context {
			seen[c.Operation] = ctx.Value(callKey{})
			return ctx
		}}
		server := []sandbox.Option{sandbox.WithRefreshTime(time.Second)}
		inBubble(t, server, []Option{WithHooks(hooks)}, func(t *testing.T, c *Client, _ *sandbox.Sandbox) {
			require.NoError(t, f.call(context.WithValue(t.Context(), callKey{}, "mine"), c))
			require.Equal(t, "mine", seen[f.look], name)
			require.Equal(t, "mine", seen[f.write], name)
			if f.write == "identity.refresh" {
				require.Equal(t, "mine", seen["auth.token"])
			}
		})
	}
	require.NotErrorIs(t, errPanicked, errors.New("panicked"))
}
