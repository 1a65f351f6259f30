package duolink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// bodies is a transport that counts how often each answer's body is closed.
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

// closedOnce checks that so many bodies were opened, and each was closed exactly once.
func (b *bodies) closedOnce(t *testing.T, opened int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.opened, opened, "answers with a body")
	for i, body := range b.opened {
		require.Equal(t, 1, body.closed, "closes of body %d of %d", i+1, opened)
	}
}

// leakTest is what a call goes through. At its end every body is closed and, as the bubble's end proves, no goroutine left.
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
		"after 429":       {script: []sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"5"}}}}, bodies: 2},
		"no content":      {script: []sandbox.Fault{{Status: 204}}, fails: ErrMalformedResponse, bodies: 1},
		"redirect":        {script: []sandbox.Fault{{Status: 302, Header: http.Header{"Location": {"https://elsewhere.test/"}}}}, fails: ErrMalformedResponse, bodies: 1},
		"malformed":       {script: []sandbox.Fault{{Body: `{"data":`}}, fails: ErrMalformedResponse, bodies: 1},
		"no gzip":         {opts: []Option{three}, script: always(sandbox.Fault{Body: `{}`, Header: http.Header{"Content-Encoding": {"gzip"}}}), fails: errAny, bodies: 3},
		"error in 200":    {script: []sandbox.Fault{{Body: `{"error":{"code":"NOT_FOUND","message":"No"}}`}}, fails: ErrNotFound, bodies: 1},
		"too large":       {opts: []Option{WithMaxResponseBytes(50)}, fails: ErrResponseTooLarge, bodies: 1},
		"large error":     {script: []sandbox.Fault{{Status: 400, Body: strings.Repeat("x", 2<<20)}}, fails: ErrBadRequest, bodies: 1},
		"truncated, once": {script: []sandbox.Fault{{Truncate: 20}}, bodies: 2},
		"truncated":       {opts: []Option{three}, script: always(sandbox.Fault{Truncate: 20}), fails: io.ErrUnexpectedEOF, bodies: 3},
		"stalled, once":   {script: []sandbox.Fault{{Stall: true}}, bodies: 2},
		"stalled":         {opts: []Option{three}, script: always(sandbox.Fault{Stall: true}), fails: context.DeadlineExceeded, bodies: 3},
		"attempt timeout": {opts: []Option{three}, script: always(sandbox.Fault{Delay: time.Hour}), fails: context.DeadlineExceeded},
		"dropped":         {opts: []Option{three}, script: always(sandbox.Fault{Drop: sandbox.DropAfter}), fails: io.EOF},
		"exhausted":       {opts: []Option{three}, script: always(sandbox.Fault{Status: 502, Body: "<html>"}), fails: ErrServer, bodies: 3},
		"refused":         {opts: []Option{three}, script: always(sandbox.Fault{Status: 429}), fails: ErrRateLimited, bodies: 3},
		"canceled before the answer": {
			script: []sandbox.Fault{{Delay: time.Hour}}, call: until(time.Second, getLink), fails: context.Canceled,
		},
		"canceled in mid-body": {
			script: []sandbox.Fault{{Stall: true}}, call: until(time.Second, getLink), fails: context.Canceled, bodies: 1,
		},
		"canceled in mid-wait": {
			script: []sandbox.Fault{{Status: 503, Header: http.Header{"Retry-After": {"30"}}}}, call: until(time.Second, getLink),
			fails: context.Canceled, bodies: 1,
		},
		"canceled in the cooldown": {
			script: []sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"30"}}}}, call: until(time.Second, getLink),
			fails: context.Canceled, bodies: 1,
		},
		"no time to wait": {
			script: []sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"86400"}}}}, fails: ErrRateLimited, bodies: 1,
		},
		"a token first": {call: getBankLink, bodies: 2},
		"a token, in the second attempt": {
			script: []sandbox.Fault{{Operation: "auth.token", Status: 500}}, call: getBankLink, bodies: 3,
		},
		"an expired token": {
			script: []sandbox.Fault{expired("identity.link")}, call: getBankLink, bodies: 4,
		},
		"no token": {
			opts: []Option{three}, script: always(sandbox.Fault{Operation: "auth.token", Status: 500}), call: getBankLink, fails: ErrServer, bodies: 3,
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
		"panic in AttemptEnd":   {opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, panics: true, bodies: 1},
		"panic in AttemptEnd of an error": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, script: []sandbox.Fault{{Status: 503}}, panics: true, bodies: 1,
		},
		"panic in AttemptEnd of a stalled body": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, script: []sandbox.Fault{{Stall: true}}, panics: true, bodies: 1,
		},
		"panic in Wait": {
			opts: []Option{WithHooks(Hooks{Wait: panicAt[Wait]})}, script: []sandbox.Fault{{Status: 503}}, panics: true, bodies: 1,
		},
		"panic in Cooldown": {
			opts: []Option{WithHooks(Hooks{Cooldown: panicAt[Cooldown]})}, script: []sandbox.Fault{{Status: 429}}, panics: true, bodies: 1,
		},
		"panic in TokenRenewal": {
			opts: []Option{WithHooks(Hooks{TokenRenewal: panicAt[TokenRenewal]})}, call: getBankLink, panics: true, bodies: 1,
		},
		"panic in AttemptEnd of the exchange": {
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, call: getBankLink, panics: true, bodies: 1,
		},

		"stream":                   {call: eachOfMany, bodies: 1},
		"stream, gzip":             {server: []sandbox.Option{sandbox.WithGzip()}, call: eachOfMany, bodies: 1},
		"stream, after an error":   {script: []sandbox.Fault{{Status: 500}}, call: eachOfMany, bodies: 2},
		"stream, refused":          {script: []sandbox.Fault{{Status: 403}}, call: eachOfMany, fails: ErrForbidden, bodies: 1},
		"stream, left early":       {call: leaving(3), bodies: 1},
		"stream, gzip, left early": {server: []sandbox.Option{sandbox.WithGzip()}, call: leaving(3), bodies: 1},
		"stream, left at once":     {call: leaving(1), bodies: 1},
		"stream, truncated":        {script: []sandbox.Fault{{Truncate: 2000}}, call: eachOfMany, fails: io.ErrUnexpectedEOF, bodies: 1},
		"stream, stalled":          {script: []sandbox.Fault{{Stall: true}}, call: eachOfMany, fails: context.DeadlineExceeded, bodies: 1},
		"stream, canceled":         {script: []sandbox.Fault{{Stall: true}}, call: until(time.Second, eachOfMany), fails: context.Canceled, bodies: 1},
		"stream, malformed":        {script: []sandbox.Fault{{Body: `{"data":[{"accounts":[{"account_id":"a"},]}]}`}}, call: eachOfMany, fails: ErrMalformedResponse, bodies: 1},
		"stream, error in 200":     {script: []sandbox.Fault{{Body: `{"error":{"code":"NOT_FOUND","message":"No"}}`}}, call: eachOfMany, fails: ErrNotFound, bodies: 1},
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
			opts: []Option{WithHooks(Hooks{AttemptEnd: panicAt[Attempt]})}, script: []sandbox.Fault{{Status: 500}}, call: eachOfMany,
			panics: true, bodies: 1,
		},
		"pages": {call: func(ctx context.Context, c *Client) error {
			return last(c.Logins.Accounts(ctx, sandbox.ManyAccountsLoginID, PageOptions{PageSize: 50}))
		}, bodies: 6},
	}
	for status, kind := range map[int]error{
		400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict, 410: ErrDeleted, 418: ErrBadRequest,
		422: ErrValidation, 429: ErrRateLimited, 500: ErrServer, 501: ErrServer, 502: ErrServer, 503: ErrServer, 504: ErrServer,
	} {
		tests[fmt.Sprint(status)] = leakTest{
			opts: []Option{WithRetry(Retry{MaxAttempts: 1})}, script: always(sandbox.Fault{Status: status}), fails: kind, bodies: 1,
		}
		tests[fmt.Sprintf("%d, stalled", status)] = leakTest{
			opts:   []Option{WithRetry(Retry{MaxAttempts: 1})},
			script: always(sandbox.Fault{Status: status, Body: `{"error":{"code":"X_Y","message":"No"}}`, Stall: true}), fails: kind, bodies: 1,
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

// expired has a token refused as expired.
func expired(operation string) sandbox.Fault {
	const code = "api_error.auth.expired_access_token"
	return sandbox.Fault{Operation: operation, Status: http.StatusUnauthorized, Body: nativeBody(code)}
}

// The connections belong to all callers: one that gives up, or is given up, takes no other's away.
func TestIdleConnectionsSurvive(t *testing.T) {
	const idle = 2                // what net/http keeps for one host
	const tenant = "api_tenant_2" // whose refusals are not the others'
	list := func(ctx context.Context, c *Client) error {
		_, err := c.Logins.List(ctx, WithToken(tenant))
		return err
	}
	once := func(ctx context.Context, c *Client) error {
		_, err := c.Logins.List(ctx, WithToken(tenant), WithoutRetry())
		return err
	}
	retryLater := http.Header{"Retry-After": {"30"}}
	for name, tc := range map[string]struct {
		script []sandbox.Fault
		call   func(context.Context, *Client) error
		lost   int // connections that the call itself broke
	}{
		"exhausted":            {script: []sandbox.Fault{{Status: 503, Times: 3}}, call: list},
		"truncated":            {script: []sandbox.Fault{{Truncate: 20}}, call: once, lost: 1},
		"denied":               {script: []sandbox.Fault{{Status: 403}}, call: list},
		"malformed":            {script: []sandbox.Fault{{Body: "{"}}, call: list},
		"not waited for":       {script: []sandbox.Fault{{Status: 503, Header: http.Header{"Retry-After": {"86400"}}}}, call: list},
		"canceled in mid-wait": {script: []sandbox.Fault{{Status: 503, Header: retryLater}}, call: until(time.Second, list)},
		"canceled in mid-body": {script: []sandbox.Fault{{Stall: true}}, call: until(time.Second, list), lost: 1},
		"canceled at once":     {call: until(0, func(ctx context.Context, c *Client) error { <-ctx.Done(); return list(ctx, c) })},
		"attempt timeout":      {script: []sandbox.Fault{{Delay: time.Minute}}, call: once, lost: 1},
		"deadline before the wait": {
			script: []sandbox.Fault{{Status: 503, Header: retryLater}},
			call: func(ctx context.Context, c *Client) error {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return list(ctx, c)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.WithAPIKey(tenant))
				transport := s.Transport()
				defer transport.Close()
				c := sandboxClient(t, transport, WithRetry(Retry{MaxAttempts: 3}))
				s.Script(sandbox.Fault{Operation: "links.get", Delay: time.Millisecond, Times: -1}) // so that they overlap
				atOnce(t, idle, func() error { return getLink(t.Context(), c) })
				require.Equal(t, idle, transport.Conns())
				s.ClearScript()

				s.Script(tc.script...)
				require.Error(t, tc.call(t.Context(), c))
				require.Zero(t, s.Pending())
				synctest.Wait()

				s.Script(sandbox.Fault{Operation: "links.get", Delay: time.Millisecond, Times: -1})
				atOnce(t, idle-tc.lost, func() error { return getLink(t.Context(), c) })
				require.Equal(t, idle, transport.Conns(), "the others' connections were there still")
			})
		})
	}
}

// atOnce makes n calls at the same time, which succeed.
func atOnce(t *testing.T, n int, call func() error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call() })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// Sixty-four callers of everything at the same time, of two tenants, some of them called off, on a server that fails now and
// then. What comes back is each caller's own, and what was sent has each caller's credential.
func TestManyCallers(t *testing.T) {
	const (
		callers = 64
		rounds  = 10
		tenant  = "api_sandbox_second_tenant"
	)
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.WithAPIKey(tenant))
		transport := s.Transport()
		defer transport.Close()
		b := &bodies{next: transport}
		c := sandboxClient(t, b, WithRetry(Retry{MaxAttempts: 12, MaxWait: 1000 * time.Hour}))
		faults := []sandbox.Fault{
			{Delay: 50 * time.Millisecond, Times: 10}, {Status: 503}, {Truncate: 20}, {Delay: 5 * time.Millisecond, Times: 10},
			{Status: 500}, {Operation: "auth.token", Status: 500}, {Stall: true}, {Drop: sandbox.DropAfter}, {Status: 429, Header: http.Header{"Retry-After": {"1"}}},
		}
		s.Script(expired("identity.link")) // once: a call is repeated with another token once
		for range 6 {
			s.Script(faults...)
		}
		failures := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				k := &caller{Client: c, name: fmt.Sprintf("caller-%d", i), random: rand.New(rand.NewPCG(7, uint64(i)))}
				if i%2 == 1 {
					k.token = tenant
				}
				for range rounds {
					if failures[i] = k.round(t.Context()); failures[i] != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		for i, err := range failures {
			require.NoError(t, err, "caller %d", i)
		}
		time.Sleep(time.Hour) // an exchange that nobody waits for any more ends by itself
		synctest.Wait()
		b.closedOnce(t, len(b.opened))
		keys := map[string]int{}
		for _, r := range s.Requests() {
			if from := r.Header.Get("X-Caller"); from != "" && !strings.Contains(r.Path, "/links/mk_") && !strings.Contains(r.Path, "plaid") {
				var i int
				_, err := fmt.Sscanf(from, "caller-%d", &i)
				require.NoError(t, err)
				key := []string{sandbox.APIKey, tenant}[i%2]
				require.Equal(t, "Bearer "+key, r.Header.Get("Authorization"), "a request of %s", from)
				keys[key]++
			}
		}
		require.Greater(t, keys[sandbox.APIKey], callers)
		require.Greater(t, keys[tenant], callers)
	})
}

// caller is one of many, with a login link of its own.
type caller struct {
	*Client
	name, token string
	random      *rand.Rand
	link, text  string
	calls       int
}

// round makes one call and judges what came back.
func (k *caller) round(ctx context.Context) error {
	k.calls++
	var r Response
	opts := []CallOption{WithHeader("X-Caller", k.name), WithResponse(&r)}
	mine := opts
	if k.token != "" {
		mine = append(mine, WithToken(k.token))
	}
	var (
		operation string
		got, want any
		err       error
	)
	switch n := k.random.IntN(10); {
	case k.link == "" || n == 0:
		operation, want = "links.create", k.sign()
		var l *LoginLink
		if l, err = k.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA", Description: k.text}, mine...); err == nil {
			k.link, got = l.ID, l.Description
		}
	case n == 1:
		operation, want = "links.get", k.link
		var l *LoginLink
		if l, err = k.Links.Get(ctx, k.link, mine...); err == nil {
			got = l.ID
			if !strings.HasPrefix(l.Description, k.name+" ") {
				return fmt.Errorf("another's link: %s", l.Description)
			}
		}
	case n == 2:
		operation, want = "links.update", k.sign()
		var l *LoginLink
		if l, err = k.Links.Update(ctx, k.link, LoginLinkUpdate{Description: k.text}, mine...); err == nil {
			got = l.Description
		}
	case n == 3:
		user := []string{sandbox.RequiredUsername, "reports@example.com"}[k.random.IntN(2)]
		operation, want = "logins.query_accounts", user
		var l *AccountList
		if l, err = k.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}, mine...); err == nil {
			if len(l.Logins) != 1 {
				return fmt.Errorf("%d logins for one user", len(l.Logins))
			}
			got = l.Logins[0].User.Reveal()
		}
	case n == 4:
		operation, want, got = "logins.query_accounts", "jordan@example.com", "jordan@example.com"
		left := 1 + k.random.IntN(300)
		for a, e := range k.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "AW"}, mine...) {
			if err = e; err == nil {
				got = a.User.Reveal()
			}
			if left--; left == 0 {
				break
			}
		}
	case n == 5:
		operation, want = "logins.accounts", 260
		all := 0
		for _, e := range k.Logins.Accounts(ctx, sandbox.ManyAccountsLoginID, PageOptions{}, mine...) {
			if err = e; err == nil {
				all++
			}
		}
		got = all
	case n == 6:
		id := []string{sandbox.LinkID, sandbox.SecondLinkID}[k.random.IntN(2)]
		operation, want = "identity.link", id
		var l *BankLink
		if l, err = k.Identity.Link(ctx, id, opts...); err == nil {
			got = l.ID
		}
	case n == 7:
		item := k.random.IntN(2)
		operation, want = "auth.get", []string{sandbox.LinkID, sandbox.SecondLinkID}[item]
		token := NewSecret([]string{sandbox.AccessToken, sandbox.SecondAccessToken}[item])
		var a *PlaidNumbers
		if a, err = k.Auth.Get(ctx, AuthQuery{AccessToken: token}, opts...); err == nil {
			got = a.Item.ID
		}
	case n == 8:
		operation, want = "identity.refresh", sandbox.SecondLinkID
		var l *BankLink
		if l, err = k.Identity.Refresh(ctx, sandbox.SecondLinkID, []Product{ProductAccounts}, opts...); err == nil {
			got = l.ID
		}
	default: // called off, or done just in time
		ctx, cancel := context.WithTimeout(ctx, time.Duration(1+k.random.IntN(60))*time.Millisecond)
		defer cancel()
		operation, want = "links.get", k.link
		var l *LoginLink
		if l, err = k.Links.Get(ctx, k.link, mine...); err == nil {
			got = l.ID
		} else if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
	}
	return k.judge(operation, got, want, err, &r)
}

// sign is the next text of the caller's own.
func (k *caller) sign() string {
	k.text = fmt.Sprintf("%s %d", k.name, k.calls)
	return k.text
}

// judge lets pass what came back right, and the failures that cannot be repeated.
func (k *caller) judge(operation string, got, want any, err error, r *Response) error {
	for _, a := range r.Attempts {
		if a.Operation != operation {
			return fmt.Errorf("%s has an attempt of %s in its history", operation, a.Operation)
		}
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Outcome == OutcomeUnknown && e.Operation == operation {
		switch operation {
		case "links.create", "links.update", "identity.refresh": // not repeated, or not after a 500
			return nil
		case "logins.query_accounts": // a stream that broke off
			return nil
		}
	}
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s returned %v, not %v", operation, got, want)
	}
	if len(r.Attempts) == 0 || r.Attempts[len(r.Attempts)-1].Failure != "" {
		return fmt.Errorf("the history of %s ends badly", operation)
	}
	return nil
}

// A renewal that fails does so for all who waited for it, and each of them has an error of its own to keep and to change.
func TestFailedRenewalOfMany(t *testing.T) {
	for name, warm := range map[string]bool{"first exchange": false, "renewal after an expiry": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, []Option{WithRetry(Retry{MaxAttempts: 2})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				if warm {
					require.NoError(t, getBankLink(t.Context(), c))
					s.ExpireTokens()
				}
				s.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Delay: time.Second, Times: -1})
				errs := make([]*Error, 64)
				var wg sync.WaitGroup
				for i := range errs {
					wg.Go(func() { errs[i], _ = errors.AsType[*Error](getBankLink(context.Background(), c)) })
				}
				wg.Wait()
				own := map[*Error]bool{}
				for _, e := range errs {
					require.ErrorIs(t, e, ErrUnauthorized)
					require.Equal(t, "auth.token", e.Operation)
					require.Equal(t, 1, e.Attempts)
					own[e] = true
				}
				require.Len(t, own, len(errs))
			})
		})
	}
}
