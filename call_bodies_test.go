package duolink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// bodies is a transport that counts how often the body of each answer is closed.
type bodies struct {
	next http.RoundTripper

	mu     sync.Mutex
	opened []*countedBody
}

type countedBody struct {
	io.ReadCloser
	of     *bodies
	closed int
}

func (b *bodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	body := &countedBody{ReadCloser: resp.Body, of: b}
	b.opened = append(b.opened, body)
	resp.Body = body
	return resp, nil
}

func (b *countedBody) Close() error {
	b.of.mu.Lock()
	b.closed++
	b.of.mu.Unlock()
	return b.ReadCloser.Close()
}

// closedOnce checks how many bodies were opened, and that each was closed exactly once.
func (b *bodies) closedOnce(t *testing.T, opened int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.opened, opened, "answers with a body")
	for i, body := range b.opened {
		require.Equal(t, 1, body.closed, "closes of body %d of %d", i+1, opened)
	}
}

// leakTest is a situation of a call. At its end every body is closed, and no goroutine is left, as
// the end of the bubble proves.
type leakTest struct {
	opts   []Option
	server []sandbox.Option
	script []sandbox.Fault
	call   func(context.Context, *Client) error // links.get, where there is none
	fails  error                                // what the error matches; nil for success
	panics bool
	bodies int
}

var (
	getLink = func(ctx context.Context, c *Client) error {
		_, err := c.Links.Get(ctx, sandbox.OpenLoginLinkID)
		return err
	}
	eachOfMany = func(ctx context.Context, c *Client) error {
		return last(c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "AW"}))
	}
	errBroken = errors.New("broken")
)

// leaving reads n accounts and leaves the loop.
func leaving(n int) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		for _, err := range c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "AW"}) {
			if n--; err != nil || n == 0 {
				return err
			}
		}
		return errors.New("there were fewer")
	}
}

// until calls with a context that is canceled after a while.
func until(d time.Duration, call func(context.Context, *Client) error) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(d, cancel).Stop()
		return call(ctx, c)
	}
}

func panicAt[T any](context.Context, T) { panic(errBroken) }

func TestEveryBodyIsClosedOnce(t *testing.T) {
	always := func(f sandbox.Fault) []sandbox.Fault {
		f.Times = -1
		return []sandbox.Fault{f}
	}
	three := WithRetry(Retry{MaxAttempts: 3})
	tests := map[string]leakTest{
		"success":         {bodies: 1},
		"success, gzip":   {server: []sandbox.Option{sandbox.WithGzip()}, bodies: 1},
		"after a failure": {script: []sandbox.Fault{{Status: 503}}, bodies: 2},
		"after 429": {script: []sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"5"}}}},
			bodies: 2},
		"no content": {script: []sandbox.Fault{{Status: 204}}, fails: ErrMalformedResponse, bodies: 1},
		"redirect": {
			script: []sandbox.Fault{{Status: 302, Header: http.Header{"Location": {"https://elsewhere.test/"}}}},
			fails:  ErrMalformedResponse, bodies: 1,
		},
		"malformed": {script: []sandbox.Fault{{Body: `{"data":`}}, fails: ErrMalformedResponse, bodies: 1},
		"no gzip": {
			opts:   []Option{three},
			script: always(sandbox.Fault{Body: `{}`, Header: http.Header{"Content-Encoding": {"gzip"}}}),
			fails:  errAny, bodies: 3,
		},
		"error in 200": {
			script: []sandbox.Fault{{Body: `{"error":{"code":"NOT_FOUND","message":"No"}}`}}, fails: ErrNotFound,
			bodies: 1,
		},
		"too large": {opts: []Option{WithMaxResponseBytes(50)}, fails: ErrResponseTooLarge, bodies: 1},
		"large error": {
			script: []sandbox.Fault{{Status: 400, Body: strings.Repeat("x", 2<<20)}}, fails: ErrBadRequest, bodies: 1,
		},
		"truncated, once": {script: []sandbox.Fault{{Truncate: 20}}, bodies: 2},
		"truncated": {
			opts: []Option{three}, script: always(sandbox.Fault{Truncate: 20}), fails: io.ErrUnexpectedEOF, bodies: 3,
		},
		"stalled, once": {script: []sandbox.Fault{{Stall: true}}, bodies: 2},
		"stalled": {
			opts: []Option{three}, script: always(sandbox.Fault{Stall: true}), fails: ErrTimeout,
			bodies: 3,
		},
		"attempt timeout": {
			opts: []Option{three}, script: always(sandbox.Fault{Delay: time.Hour}), fails: ErrTimeout,
		},
		"dropped": {opts: []Option{three}, script: always(sandbox.Fault{Drop: sandbox.DropAfter}), fails: io.EOF},
		"exhausted": {
			opts: []Option{three}, script: always(sandbox.Fault{Status: 502, Body: "<html>"}), fails: ErrServer,
			bodies: 3,
		},
		"refused": {opts: []Option{three}, script: always(sandbox.Fault{Status: 429}), fails: ErrRateLimited,
			bodies: 3},
		"canceled before the answer": {
			script: []sandbox.Fault{{Delay: time.Hour}}, call: until(time.Second, getLink), fails: context.Canceled,
		},
		"canceled in mid-body": {
			script: []sandbox.Fault{{Stall: true}}, call: until(time.Second, getLink), fails: context.Canceled,
			bodies: 1,
		},
		"canceled in mid-wait": {
			script: []sandbox.Fault{{Status: 503, Header: http.Header{"Retry-After": {"30"}}}},
			call:   until(time.Second, getLink),
			fails:  context.Canceled, bodies: 1,
		},
		"canceled in the cooldown": {
			script: []sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"30"}}}},
			call:   until(time.Second, getLink),
			fails:  context.Canceled, bodies: 1,
		},
		"no time to wait": {
			script: []sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"86400"}}}},
			fails:  ErrRateLimited,
			bodies: 1,
		},
		"a token first": {call: getBankLink, bodies: 2},
		"a token, in the second attempt": {
			script: []sandbox.Fault{{Operation: "auth.token", Status: 500}}, call: getBankLink, bodies: 3,
		},
		"an expired token": {
			script: []sandbox.Fault{expired("identity.link")}, call: getBankLink, bodies: 4,
		},
		"no token": {
			opts: []Option{three}, script: always(sandbox.Fault{Operation: "auth.token", Status: 500}),
			call:  getBankLink,
			fails: ErrServer, bodies: 3,
		},
		"canceled in the exchange": {
			script: []sandbox.Fault{{Operation: "auth.token", Delay: 10 * time.Second}},
			call: func(ctx context.Context, c *Client) error {
				err := until(time.Second, getBankLink)(ctx, c)
				time.Sleep(time.Minute) // the exchange goes on, for others
				return err
			},
			fails: context.Canceled, bodies: 1,
		},

		"panic in AttemptStart": {opts: []Option{WithHooks(Hooks{AttemptStart: panicAt[Attempt]})}, panics: true},
		"panic in AttemptEnd": {opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, panics: true,
			bodies: 1},
		"panic in AttemptEnd of an error": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, script: []sandbox.Fault{{Status: 503}},
			panics: true,
			bodies: 1,
		},
		"panic in AttemptEnd of a stalled body": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, script: []sandbox.Fault{{Stall: true}},
			panics: true,
			bodies: 1,
		},
		"panic in Wait": {
			opts: []Option{WithHooks(Hooks{Wait: panicAt[Wait]})}, script: []sandbox.Fault{{Status: 503}}, panics: true,
			bodies: 1,
		},
		"panic in Cooldown": {
			opts: []Option{WithHooks(Hooks{Cooldown: panicAt[Cooldown]})}, script: []sandbox.Fault{{Status: 429}},
			panics: true,
			bodies: 1,
		},
		"panic in TokenRenewal": {
			opts: []Option{WithHooks(Hooks{TokenRenewal: panicAt[TokenRenewal]})}, call: getBankLink, panics: true,
			bodies: 1,
		},
		"panic in AttemptEnd of the exchange": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, call: getBankLink, panics: true, bodies: 1,
		},

		"stream":                 {call: eachOfMany, bodies: 1},
		"stream, gzip":           {server: []sandbox.Option{sandbox.WithGzip()}, call: eachOfMany, bodies: 1},
		"stream, after an error": {script: []sandbox.Fault{{Status: 500}}, call: eachOfMany, bodies: 2},
		"stream, refused": {
			script: []sandbox.Fault{{Status: 403}}, call: eachOfMany, fails: ErrForbidden, bodies: 1,
		},
		"stream, left early":       {call: leaving(3), bodies: 1},
		"stream, gzip, left early": {server: []sandbox.Option{sandbox.WithGzip()}, call: leaving(3), bodies: 1},
		"stream, left at once":     {call: leaving(1), bodies: 1},
		"stream, truncated": {
			script: []sandbox.Fault{{Truncate: 2000}}, call: eachOfMany, fails: io.ErrUnexpectedEOF, bodies: 1,
		},
		"stream, stalled": {
			script: []sandbox.Fault{{Stall: true}}, call: eachOfMany, fails: ErrTimeout, bodies: 1,
		},
		"stream, canceled": {
			script: []sandbox.Fault{{Stall: true}}, call: until(time.Second, eachOfMany), fails: context.Canceled,
			bodies: 1,
		},
		"stream, malformed": {
			script: []sandbox.Fault{{Body: `{"data":[{"accounts":[{"account_id":"a"},]}]}`}}, call: eachOfMany,
			fails: ErrMalformedResponse, bodies: 1,
		},
		"stream, error in 200": {
			script: []sandbox.Fault{{Body: `{"error":{"code":"NOT_FOUND","message":"No"}}`}}, call: eachOfMany,
			fails: ErrNotFound, bodies: 1,
		},
		"stream, too large": {
			opts: []Option{WithMaxResponseBytes(50)}, call: eachOfMany, fails: ErrResponseTooLarge, bodies: 1,
		},
		"stream, panic in the loop": {
			call: func(ctx context.Context, c *Client) error {
				for range c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "AW"}) {
					panic(errBroken)
				}
				return nil
			},
			panics: true, bodies: 1,
		},
		"stream, panic in AttemptEnd": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, call: eachOfMany, panics: true, bodies: 1,
		},
		"stream, panic in AttemptEnd of an error": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, script: []sandbox.Fault{{Status: 500}},
			call:   eachOfMany,
			panics: true, bodies: 1,
		},
		"pages": {call: func(ctx context.Context, c *Client) error {
			return last(c.Logins.Accounts(ctx, sandbox.ManyAccountsLoginID, PageOptions{PageSize: 50}))
		}, bodies: 6},
	}
	for status, kind := range map[int]error{
		400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict,
		410: ErrDeleted,
		418: ErrBadRequest,
		422: ErrValidation, 429: ErrRateLimited, 500: ErrServer, 501: ErrServer, 502: ErrServer, 503: ErrServer,
		504: ErrServer,
	} {
		tests[fmt.Sprint(status)] = leakTest{
			opts: []Option{WithRetry(Retry{MaxAttempts: 1})}, script: always(sandbox.Fault{Status: status}),
			fails:  kind,
			bodies: 1,
		}
		tests[fmt.Sprintf("%d, stalled", status)] = leakTest{
			opts:   []Option{WithRetry(Retry{MaxAttempts: 1})},
			script: always(sandbox.Fault{Status: status, Body: `{"error":{"code":"X_Y","message":"No"}}`, Stall: true}),
			fails:  kind, bodies: 1,
		}
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(tc.server...)
				transport := s.Transport()
				defer transport.Close()
				b := &bodies{next: transport}
				c := sandboxClient(t, b, tc.opts...)
				s.Script(tc.script...)
				call := tc.call
				if call == nil {
					call = getLink
				}
				if tc.panics {
					require.PanicsWithValue(t, errBroken, func() { _ = call(t.Context(), c) })
				} else {
					checkLeakTestError(t, tc.fails, call(t.Context(), c))
				}
				synctest.Wait()
				b.closedOnce(t, tc.bodies)
			})
		})
	}
}

// errAny stands for an error that no test needs to tell from another.
var errAny = errors.New("any")

func checkLeakTestError(t *testing.T, want, err error) {
	t.Helper()
	switch want {
	case nil:
		require.NoError(t, err)
	case errAny:
		require.Error(t, err)
	default:
		require.ErrorIs(t, err, want)
	}
}

func getBankLink(ctx context.Context, c *Client) error {
	_, err := c.Identity.Link(ctx, sandbox.LinkID)
	return err
}

// expired makes the server refuse a token as expired.
func expired(operation string) sandbox.Fault {
	const code = "api_error.auth.expired_access_token"
	return sandbox.Fault{Operation: operation, Status: http.StatusUnauthorized, Body: nativeBody(code)}
}
