package duolink

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What a stranger found in the code. Each was red before it was mended.

// overProvider is a client of a transport, with a token from a function.
func overProvider(
	t *testing.T, answer func(*http.Request) (*http.Response, error), provide func(context.Context) (string, error),
) *Client {
	t.Helper()
	client := &http.Client{Transport: roundTrip(answer)}
	c, err := New(WithHTTPClient(client), WithSupermetrics(BearerTokenFunc(provide)))
	require.NoError(t, err)
	return c
}

// An error is never its own cause, because errors.Is would not end. Here the context ends while the
// provider returns the token that was refused.
func TestNoErrorIsItsOwnCause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	c := overProvider(t, func(*http.Request) (*http.Response, error) { return reply(401, `{}`), nil },
		func(context.Context) (string, error) {
			if asked++; asked == 2 {
				cancel()
			}
			return "token-0001", nil
		})
	_, err := c.Links.Get(ctx, "dsll_1")
	require.False(t, errors.Is(err, ErrNotFound))
	kindIs(t, err, ErrUnauthorized)
	require.ErrorIs(t, err, context.Canceled)
	require.NotEmpty(t, logged(err))

	e := &Error{Kind: ErrServer}
	e.because(e)
	e.because(errors.Join(io.EOF, e))
	require.NoError(t, e.Unwrap())
}

// A provider may give the same error to many calls, so none of them changes it.
func TestProvidersErrorIsNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &Error{Operation: "vault.get", Kind: ErrServer, Outcome: OutcomeRejected}
		asked := 0
		c := overProvider(t, func(*http.Request) (*http.Response, error) { return reply(503, `{}`), nil },
			func(context.Context) (string, error) {
				if asked++; asked > 1 {
					return "", shared
				}
				return "token-0001", nil
			})
		_, err := c.Links.Get(t.Context(), "dsll_1")
		require.Error(t, err)
		require.Equal(t, OutcomeRejected, shared.Outcome)
		require.Equal(t, Error{Operation: "vault.get", Kind: ErrServer, Outcome: OutcomeRejected}, *shared)
	})
}

// Errors of CreateOnce quote neither the marker nor the description.
func TestCreateOnceKeepsItsArguments(t *testing.T) {
	c := overAll(t, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return reply(200, `{"data":[]}`), nil
		}
		said := `"code":"VALIDATION_FAILED","message":"no link for customer-4711, Payout of Jane Roe"`
		return reply(422, `{"error":{`+said+`}}`), nil
	})
	link := LoginLinkCreate{DataSourceID: "GAWA", Description: "Payout of Jane Roe"}
	_, err := c.Links.CreateOnce(t.Context(), link, "customer-4711")
	kindIs(t, err, ErrValidation)
	for _, text := range append(printed(err), logged(err)...) {
		require.NotContains(t, text, "Jane Roe")
		require.NotContains(t, text, "customer-4711")
	}
}

// A caller without a deadline is never told of one, and the error does not match it.
func TestLimitsOfOursAreNotTheCallers(t *testing.T) {
	refresh := func(c *Client, timeout time.Duration) error {
		_, err := c.Identity.RefreshAndGet(context.Background(), "mk_1", RefreshOptions{Timeout: timeout})
		return err
	}
	read := func(c *Client) error {
		_, err := c.Identity.Link(context.Background(), "mk_1")
		return err
	}
	link := `{"link_id":"mk_1","state":"connected","products":{}}`
	for name, tc := range map[string]struct {
		get, post func() *http.Response
		call      func(*Client) error
		says      string
		matches   error
	}{
		"a refresh that is refused for a day": {
			func() *http.Response { return reply(200, link) },
			func() *http.Response { return reply(429, `{}`, "Retry-After", "80000") },
			func(c *Client) error { return refresh(c, 0) }, "hour at most", ErrRateLimited,
		},
		"an exchange with a pause of five minutes": {
			nil, func() *http.Response { return reply(429, `{}`, "Retry-After", "300") },
			read, "two minutes at most", ErrRateLimited,
		},
		"an exchange with pauses of fifty seconds": {
			nil, func() *http.Response { return reply(503, `{}`, "Retry-After", "50") },
			read, "two minutes at most", ErrServer,
		},
		"a refresh that is watched for an hour": {
			func() *http.Response { return reply(200, link) }, func() *http.Response { return reply(202, link) },
			func(c *Client) error { return refresh(c, 3*time.Hour) }, "hour at most", ErrRefreshPending,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				credentials := ClientHeaders(testID, testSecret)
				if tc.get == nil {
					credentials = ClientCredentials(testID, testSecret)
				}
				transport := roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet {
						return tc.get(), nil
					}
					return tc.post(), nil
				})
				c, err := New(WithMoneyKit(credentials), WithHTTPClient(&http.Client{Transport: transport}))
				require.NoError(t, err)
				err = tc.call(c)
				kindIs(t, err, tc.matches)
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				require.NotContains(t, err.Error(), "caller")
				require.ErrorContains(t, err, tc.says)
				require.NoError(t, c.Close(t.Context()))
			})
		})
	}
}

// A caller of a refresh who cannot wait for the next look learns at once when it would be.
func TestRefreshTellsTheRetryTime(t *testing.T) {
	for name, tc := range map[string]struct {
		pause    string
		deadline time.Duration
		options  RefreshOptions
	}{
		"longer than the timeout":  {"1800", 0, RefreshOptions{}},
		"longer than the deadline": {"300", 20 * time.Second, RefreshOptions{}},
		"longer than an option":    {"300", 0, RefreshOptions{Timeout: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := false
				transport := roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet && asked {
						return reply(429, `{}`, "Retry-After", tc.pause), nil
					}
					asked = asked || r.Method == http.MethodPost
					return reply(200, `{"link_id":"mk_1","state":"connected","products":{}}`), nil
				})
				c, err := New(WithMoneyKit(ClientHeaders(testID, testSecret)),
					WithHTTPClient(&http.Client{Transport: transport}))
				require.NoError(t, err)
				ctx, began := t.Context(), time.Now()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				_, err = c.Identity.RefreshAndGet(ctx, "mk_1", tc.options)
				require.Less(t, time.Since(began), 5*time.Second)
				require.Equal(t, ErrRefreshPending, asError(t, err).Kind)
				require.ErrorIs(t, err, ErrRateLimited)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				e := asError(t, err)
				require.Equal(t, ActionWaitUntil, e.Action())
				want, err := time.ParseDuration(tc.pause + "s")
				require.NoError(t, err)
				require.InDelta(t, want.Seconds(), e.RetryAfter.Seconds(), 5)
				require.Equal(t, OutcomeUnknown, e.Outcome)
				require.NoError(t, c.Close(t.Context()))
			})
		})
	}
}

// The words of an error are told, also if they stand in a list.
func TestWordsInAList(t *testing.T) {
	for _, body := range []string{
		`{"detail":["Not allowed here"]}`, `{"error":["Not allowed here"]}`, `{"errors":["Not allowed here"]}`,
		`{"detail":[null,"Not allowed here"]}`, `{"detail":[{"msg":"Not allowed here"}]}`,
	} {
		c := replying(t, 403, body)
		_, err := c.Links.Get(t.Context(), "dsll_1")
		kindIs(t, err, ErrForbidden)
		require.ErrorContains(t, err, "Not allowed here", body)
	}
}

// A member that is there under one of its two names is not told as missing.
func TestDriftKnowsBothNames(t *testing.T) {
	var told []Drift
	hooks := Hooks{Drift: func(_ context.Context, d Drift) { told = append(told, d) }}
	for _, ach := range []string{
		`{"account_id":"a","account_number":"1","account":null,"routing":"2"}`,
		`{"account_id":"a","account":"1","account_number":null,"routing":"2"}`,
	} {
		c := overAll(t, func(*http.Request) (*http.Response, error) {
			body := `{"accounts":[],"numbers":{"ach":[` + ach + `]},"item":{"item_id":"i"},"request_id":"r"}`
			return reply(200, body), nil
		}, WithHooks(hooks))
		_, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret("access-token-1")})
		require.NoError(t, err)
		for _, d := range told {
			require.False(t, d.Kind == DriftKindMissing && strings.Contains(d.Path, "ach"), "%+v", d)
		}
	}
}

// A list of one stands for its item, also where a write is confirmed. A longer list confirms nothing.
func TestConfirmedByAListOfOne(t *testing.T) {
	link := `{"link_id":"dsll_1","status_code":"CLOSED"}`
	login := `{"login_id":"dsl_1","revoked_time":"2026-01-01T00:00:00Z"}`
	for data, good := range map[string]bool{"[%]": true, "%": true, "[%,%]": false, "[]": false, "[[%]]": false} {
		c := replying(t, 200, `{"data":`+strings.ReplaceAll(data, "%", link)+`}`)
		_, err := c.Links.Close(t.Context(), "dsll_1")
		require.Equal(t, good, err == nil, "%s: %v", data, err)
		c = replying(t, 200, `{"data":`+strings.ReplaceAll(data, "%", login)+`}`)
		_, err = c.Logins.Revoke(t.Context(), "dsl_1")
		require.Equal(t, good, err == nil, "%s: %v", data, err)
	}
}
