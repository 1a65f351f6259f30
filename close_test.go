package duolink

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// After Close every operation fails, and nothing is sent.
func TestClosedClient(t *testing.T) {
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) {
			requests := 0
			transport := roundTrip(func(*http.Request) (*http.Response, error) {
				requests++
				return reply(200, answers[operation]), nil
			})
			c := clientOf(t, "http://localhost", operation, &http.Client{Transport: transport})
			require.NoError(t, c.Close(t.Context()))
			err := call(t.Context(), c)
			kindIs(t, err, ErrClosed)
			require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
			require.Equal(t, operationOf(operation), asError(t, err).Operation)
			require.ErrorContains(t, err, "client closed: nothing more is sent")
			require.Zero(t, requests)
			require.NoError(t, c.Close(t.Context()), "again")
		})
	}
	for name, f := range sharedFlows {
		inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			require.NoError(t, c.Close(t.Context()))
			kindIs(t, f.call(t.Context(), c), ErrClosed)
			require.Zero(t, s.Count(""), name)
			noRuns(t, c)
		})
	}
}

// A call that waits ends at once when the client closes, whatever it waits for, and sends nothing
// more.
func TestCloseEndsWaits(t *testing.T) {
	limiter := limiterFunc(func(ctx context.Context, _ Group) error {
		<-ctx.Done()
		return ctx.Err()
	})
	provider := BearerTokenFunc(func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	list := func(ctx context.Context, c *Client) error {
		_, err := c.Logins.List(ctx)
		return err
	}
	for name, tc := range map[string]struct {
		script   sandbox.Fault
		opts     []Option
		call     func(context.Context, *Client) error
		requests int
		kind     error // of the latest failure
	}{
		"a repetition": {
			sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"30"}}}, nil, list, 1, ErrServer,
		},
		"a limit": {
			sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"30"}}}, nil, list, 1, ErrRateLimited,
		},
		"a limiter":  {sandbox.Fault{}, []Option{WithLimiter(limiter)}, list, 0, ErrClosed},
		"a provider": {sandbox.Fault{}, []Option{withProvider(provider)}, list, 0, ErrClosed},
		"the next look for a login": {sandbox.Fault{}, nil, func(ctx context.Context, c *Client) error {
			_, err := c.Links.Await(ctx, sandbox.OpenLoginLinkID, AwaitOptions{})
			return err
		}, 1, ErrLoginPending},
		"a refresh": {sandbox.Fault{}, nil, func(ctx context.Context, c *Client) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, RefreshOptions{})
			return err
		}, 4, ErrRefreshPending}, // the token, the link, the refresh, the link again
	} {
		t.Run(name, func(t *testing.T) {
			server := []sandbox.Option{sandbox.WithRefreshTime(time.Hour)}
			inBubble(t, server, tc.opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(tc.script)
				var calls sync.WaitGroup
				calls.Go(func() {
					err := tc.call(t.Context(), c)
					require.ErrorIs(t, err, ErrClosed)
					require.ErrorIs(t, err, tc.kind)
					require.NotErrorIs(t, err, context.Canceled, "that would be the caller")
				})
				time.Sleep(time.Second)
				began := time.Now()
				require.NoError(t, c.Close(t.Context()))
				calls.Wait()
				require.Zero(t, time.Since(began))
				time.Sleep(time.Hour)
				require.Equal(t, tc.requests, s.Count(""))
				noRuns(t, c)
			})
		})
	}
}

// withProvider is Supermetrics' credential from a function, in place of the key.
func withProvider(provider Credentials) Option {
	return func(cfg *config) error {
		cfg.credentials[Supermetrics] = provider
		return nil
	}
}

// What is on its way gets its answer. Close waits for it, and its caller gets the result.
func TestCloseWaitsForAnswers(t *testing.T) {
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) {
			inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				require.NoError(t, linkOf(t.Context(), c)) // for the token
				s.Script(sandbox.Fault{Operation: operationOf(operation), Delay: 20 * time.Second})
				var calls sync.WaitGroup
				calls.Go(func() { require.NoError(t, call(t.Context(), c)) })
				time.Sleep(time.Second)
				began := time.Now()
				require.NoError(t, c.Close(t.Context()))
				require.Equal(t, 19*time.Second, time.Since(began))
				calls.Wait()
			})
		})
	}
}

// A run that nobody waits for ends. Its write gets its answer first. Hooks are told if the run has
// not finished.
func TestCloseEndsRunsForNobody(t *testing.T) {
	for name, f := range sharedFlows {
		for fault, tc := range map[string]struct {
			fault sandbox.Fault
			waits time.Duration
			done  int
			told  bool
		}{
			"the write is on its way": {sandbox.Fault{Delay: 20 * time.Second}, 15 * time.Second, 1, true},
			"the write is lost":       {sandbox.Fault{Drop: sandbox.DropBefore}, 0, 0, true},
			"the answer is lost":      {sandbox.Fault{Drop: sandbox.DropAfter}, 0, 1, true},
		} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				d := &diary{}
				server := []sandbox.Option{sandbox.WithRefreshTime(time.Hour)}
				inBubble(t, server, []Option{WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					require.NoError(t, linkOf(t.Context(), c)) // for the token
					s.Script(sandbox.Fault{Operation: f.look}, sandbox.Fault{
						Operation: f.write, Delay: tc.fault.Delay, Drop: tc.fault.Drop,
					})
					if tc.fault.Drop == sandbox.DropAfter && f.write == "links.create" { // it would be found
						s.Script(sandbox.Fault{Operation: f.look, Delay: 20 * time.Second})
						tc.waits, tc.told = 15*time.Second, false
					}
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					require.ErrorIs(t, f.call(ctx, c), context.DeadlineExceeded)
					synctest.Wait()
					require.Equal(t, 1, c.unattended.Len())

					begin := c.life.begin
					c.life.begin = func() {
						begin()
						synctest.Wait() // runs notice it before Close goes on
					}
					began := time.Now()
					require.NoError(t, c.Close(t.Context()))
					require.Equal(t, tc.waits, time.Since(began))
					noRuns(t, c)
					require.Equal(t, tc.done, f.done(s))
					require.Equal(t, 1, s.Count(f.write))
					if f.write == "links.create" && tc.fault.Delay > 0 {
						tc.told = false // the answer ends the run well
					}
					require.Equal(t, tc.told, len(d.abandoned()) == 1, d.lines)
				})
			})
		}
	}
}

// Close does not wait for longer than its context. What runs for nobody ends then.
func TestCloseGivesUp(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "links.create", Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.ErrorIs(t, sharedFlows["CreateOnce"].call(ctx, c), context.DeadlineExceeded)

		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := c.Close(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "close: something is still under way: the caller's deadline has passed")
		require.Equal(t, 10*time.Second, time.Since(began))
		synctest.Wait()
		noRuns(t, c)
		require.NoError(t, c.Close(t.Context()), "now nothing is left")
	})
	//nolint:staticcheck // a mistake that somebody may make
	err := clientOf(t, "http://localhost", "links.get", http.DefaultClient).Close(nil)
	kindIs(t, err, ErrArgument)
}

// A token that is renewed in the background is waited for.
func TestCloseWaitsForTokens(t *testing.T) {
	server := []sandbox.Option{sandbox.WithTokenLife(time.Hour)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(time.Hour - 30*time.Second)
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: 10 * time.Second})
		require.NoError(t, linkOf(t.Context(), c))
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.Close(t.Context()))
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

// Callers may begin and Close may be called at any time. Each call succeeds or fails with ErrClosed.
func TestCloseAtAnyTime(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, _ *sandbox.Sandbox) {
		var calls sync.WaitGroup
		for i := range 200 {
			calls.Go(func() {
				time.Sleep(time.Duration(i%50) * time.Millisecond)
				if i%20 == 0 {
					require.NoError(t, c.Close(t.Context()))
				}
				for name, f := range sharedFlows {
					if name == "CreateOnce" || i%7 == 0 {
						if err := f.call(t.Context(), c); err != nil {
							require.ErrorIs(t, err, ErrClosed)
						}
					}
				}
				if _, err := c.Logins.List(t.Context()); err != nil {
					require.ErrorIs(t, err, ErrClosed)
				}
			})
		}
		calls.Wait()
		noRuns(t, c)
	})
}

// Close closes the client's own connections, and leaves those of the caller's http.Client alone.
func TestCloseClosesConnections(t *testing.T) {
	closed := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":[]}`))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	opts := []Option{WithSupermetrics(BearerToken(testKey)), WithBaseURL(Supermetrics, server.URL)}
	own, err := New(opts...)
	require.NoError(t, err)
	_, err = own.Logins.List(t.Context())
	require.NoError(t, err)
	require.NoError(t, own.Close(t.Context()))
	<-closed

	callers := &http.Client{Transport: &http.Transport{}}
	theirs, err := New(append(opts, WithHTTPClient(callers))...)
	require.NoError(t, err)
	_, err = theirs.Logins.List(t.Context())
	require.NoError(t, err)
	require.NoError(t, theirs.Close(t.Context()))
	require.Empty(t, closed)
	callers.CloseIdleConnections()
	<-closed
}
