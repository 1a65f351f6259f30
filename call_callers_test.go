package duolink

import (
	"context"
	"errors"
	"fmt"
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

// All callers share the connections: a caller that gives up does not close another caller's
// connection.
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
		"exhausted": {script: []sandbox.Fault{{Status: 503, Times: 3}}, call: list},
		"truncated": {script: []sandbox.Fault{{Truncate: 20}}, call: once, lost: 1},
		"denied":    {script: []sandbox.Fault{{Status: 403}}, call: list},
		"malformed": {script: []sandbox.Fault{{Body: "{"}}, call: list},
		"not waited for": {
			script: []sandbox.Fault{{Status: 503, Header: http.Header{"Retry-After": {"86400"}}}}, call: list,
		},
		"canceled in mid-wait": {script: []sandbox.Fault{{Status: 503, Header: retryLater}},
			call: until(time.Second, list)},
		"canceled in mid-body": {script: []sandbox.Fault{{Stall: true}}, call: until(time.Second, list), lost: 1},
		"canceled at once": {
			call: until(0, func(ctx context.Context, c *Client) error { <-ctx.Done(); return list(ctx, c) }),
		},
		"attempt timeout": {script: []sandbox.Fault{{Delay: time.Minute}}, call: once, lost: 1},
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
				s.Script(sandbox.Fault{Operation: "links.get", Delay: time.Millisecond,
					Times: -1}) // so that they overlap
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

// Sixty-four callers of two tenants call everything at the same time. Some of them give up, and the
// server fails now and then. Each caller gets its own answers, and each request has its caller's
// credential.
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
			{Delay: 50 * time.Millisecond, Times: 10}, {Status: 503}, {Truncate: 20},
			{Delay: 5 * time.Millisecond, Times: 10},
			{Status: 500}, {Operation: "auth.token", Status: 500}, {Stall: true}, {Drop: sandbox.DropAfter},
			{Status: 429, Header: http.Header{"Retry-After": {"1"}}},
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
			bank := strings.Contains(r.Path, "/links/mk_") || strings.Contains(r.Path, "plaid")
			if from := r.Header.Get("X-Caller"); from != "" && !bank {
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

// caller is one of many callers, with a login link of its own.
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
		if l, err = k.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA", Description: k.text},
			mine...); err == nil {
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
		query := AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}
		if l, err = k.Logins.QueryAccounts(ctx, query, mine...); err == nil {
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

// judge accepts right answers, and failures that cannot be repeated.
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
