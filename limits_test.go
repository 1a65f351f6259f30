package duolink

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// askedGroups are the limit groups of a call, as a caller's Limiter gets them.
func askedGroups(t *testing.T, call func(context.Context, *Client) error, opts ...Option) []string {
	t.Helper()
	l, s := &recordingLimiter{}, &answerer{}
	s.answering(func(*http.Request) *http.Response { return reply(http.StatusBadRequest, "{}") })
	c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, append(opts, WithLimiter(l))...)
	require.ErrorIs(t, call(t.Context(), c), ErrBadRequest)
	return l.groups
}

// What is counted together. At Supermetrics: a credential, and its queries to a data source. At
// MoneyKit: an operation on a link, or a refresh of a product of a link, and all requests of an
// application for an operation.
func TestGroupsOfCalls(t *testing.T) {
	for operation, call := range calls {
		var names []string
		for _, key := range askedGroups(t, func(ctx context.Context, c *Client) error { return call(ctx, c) }) {
			names = append(names, key[:strings.LastIndex(key, "/")])
		}
		require.Equal(t, rows[operation].Groups, names, operation)
	}

	products := func(products ...Product) []string { return askedGroups(t, refresh(products...)) }
	identity, numbers := products(ProductIdentity), products(ProductAccountNumbers)
	require.NotEqual(t, identity, numbers)
	require.Equal(t, slices.Concat(numbers, identity), products(ProductIdentity, ProductAccountNumbers))
	require.Equal(t, slices.Concat(numbers, identity), products(ProductAccountNumbers, ProductIdentity), "in one order")

	query := func(id string, opts ...CallOption) []string {
		return askedGroups(t, func(ctx context.Context, c *Client) error {
			_, err := c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: id}, opts...)
			return err
		})
	}
	require.NotEqual(t, query("GAWA")[0], query("FA")[0])
	require.Equal(t, query("GAWA")[1], query("FA")[1])
	require.NotEqual(t, query("GAWA")[0], query("GAWA", WithToken("another"))[0])
	require.NotEqual(t, query("GAWA")[1], query("GAWA", WithToken("another"))[1])
	require.Len(t, perLink(), 4)
	for _, row := range perLink() {
		link := func(id string, opts ...Option) []string {
			return askedGroups(t, func(ctx context.Context, c *Client) error { return row.On(ctx, c, id) }, opts...)
		}
		require.NotEqual(t, link("a")[0], link("b")[0])
		require.Equal(t, link("a")[1], link("b")[1])
	}
}

// Groups are separate: another tenant, another operation on a MoneyKit link and another link are
// not held up.
func TestGroupsAreApart(t *testing.T) {
	server := []sandbox.Option{sandbox.WithAPIKey("api_tenant_2")}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		began := time.Now()
		s.Script(refusal("3600", 1))
		_, err := c.Logins.List(t.Context())
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Logins.List(t.Context(), WithToken("api_tenant_2"))
		require.NoError(t, err)

		_, err = c.Identity.Link(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		s.Script(refusal("3600", 1))
		_, err = c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{})
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{})
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Identity.Get(t.Context(), sandbox.SecondLinkID, IdentityQuery{})
		require.NoError(t, err)
		_, err = c.Auth.Numbers(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		_, err = c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret(sandbox.AccessToken)})
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		require.Equal(t, 1, s.Count("identity.get")-1, "refused once, and the other link's")
	})
}

// held reports whether a call would have to wait for its limit group.
func held(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	e := asError(t, err)
	require.ErrorIs(t, e, ErrRateLimited)
	return e.Outcome == OutcomeNotSent
}

// The daily quota is for one data source: only its queries are held. Any other limit is for the
// credential.
func TestDailyQuota(t *testing.T) {
	for name, tc := range map[string]struct {
		code    Code
		wait    string
		queries bool // the data source's queries are held
		all     bool // and so is all else of the credential
	}{
		"the quota, for an hour":          {CodeLicenseDailyQueryLimitExceeded, "3600", true, false},
		"the quota, nobody knows for how": {CodeLicenseDailyQueryLimitExceeded, "", false, false},
		"another limit":                   {CodeRateLimitExceeded, "3600", true, true},
		"another quota":                   {"LICENSE_QUERIES_SUSPENDED", "3600", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{began: time.Now()}
				refuse := func(*http.Request) *http.Response {
					return reply(429, envelopeBody(string(tc.code)), "Retry-After", tc.wait)
				}
				s.answering(refuse)
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				query := func(id string, opts ...CallOption) error {
					_, err := c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: id}, opts...)
					return err
				}
				require.False(t, held(t, query("GAWA")))
				for operation, call := range calls {
					s.answering(func(*http.Request) *http.Response { return reply(200, answers[operation]) })
					ours := ofSupermetrics(operation)
					want := tc.all && ours
					if strings.HasPrefix(operation, "logins.query_accounts") {
						want = tc.queries
					}
					require.Equal(t, want, held(t, call(t.Context(), c)), operation)
					if ours {
						require.False(t, held(t, call(t.Context(), c, WithToken("another"))), operation)
					}
				}
				s.answering(func(*http.Request) *http.Response { return reply(200, answers["logins.query_accounts"]) })
				require.Equal(t, tc.all, held(t, query("FA")))
				time.Sleep(time.Hour)
				require.False(t, held(t, query("GAWA")))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // any other call has no such group, and is not held
		s := &answerer{began: time.Now()}
		s.answering(func(*http.Request) *http.Response {
			return reply(429, envelopeBody(string(CodeLicenseDailyQueryLimitExceeded)), "Retry-After", "3600")
		})
		cooled := 0
		hooks := WithHooks(Hooks{Cooldown: func(context.Context, Cooldown) { cooled++ }})
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, hooks)
		require.False(t, held(t, calls["links.list"](t.Context(), c)))
		require.False(t, held(t, calls["links.list"](t.Context(), c)))
		require.Zero(t, cooled)
		require.Zero(t, c.RateLimit(Supermetrics).CooldownUntil)
	})
}

// A refresh is counted for each of its products, per link: a refusal holds these products of that
// link.
func TestRefreshesPerProduct(t *testing.T) {
	const identity, numbers, transactions = ProductIdentity, ProductAccountNumbers, ProductTransactions
	for name, tc := range map[string]struct {
		refused, asked []Product
		link           string
		held           bool
	}{
		"the same":                      {[]Product{identity}, []Product{identity}, bankLink, true},
		"another product":               {[]Product{identity}, []Product{numbers}, bankLink, false},
		"another link":                  {[]Product{identity}, []Product{identity}, "another", false},
		"both, and the same in between": {[]Product{identity}, []Product{numbers, identity}, bankLink, true},
		"each of two, the first":        {[]Product{identity, numbers}, []Product{identity}, bankLink, true},
		"each of two, the second":       {[]Product{identity, numbers}, []Product{numbers}, bankLink, true},
		"neither of two":                {[]Product{identity, numbers}, []Product{transactions}, bankLink, false},
		"in another order":              {[]Product{identity, numbers}, []Product{numbers, identity}, bankLink, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{good: answers["identity.refresh"], began: time.Now()}
				s.answering(refusing("3600"))
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				_, err := c.Identity.Refresh(t.Context(), bankLink, tc.refused)
				require.False(t, held(t, err))
				s.answering(nil)
				_, err = c.Identity.Refresh(t.Context(), tc.link, tc.asked)
				require.Equal(t, tc.held, held(t, err))
				_, err = c.Identity.Link(t.Context(), bankLink)
				require.NoError(t, err)
			})
		})
	}
}

// closedFor is how long a limit group of a client is closed, 0 if it is open.
func closedFor(t *testing.T, c *Client, key string) time.Duration {
	t.Helper()
	permit, err := c.pace.Admit(t.Context(), key, 0, func(pace.Reason, time.Duration) {})
	if err == nil {
		permit.Release()
		return 0
	}
	long, ok := errors.AsType[pace.TooLong](err)
	require.True(t, ok)
	return long.Wait
}

// A 429 closes a group, and so does a server that is down and says until when. No other answer
// does.
func TestWhatClosesAGroup(t *testing.T) {
	plaid, other := plaidBody("RATE_LIMIT_EXCEEDED", "AUTH_LIMIT"), plaidBody("INVALID_INPUT", "INVALID_ACCESS_TOKEN")
	for name, tc := range map[string]struct {
		operation string
		status    int
		body      string
		wait      string
		closes    bool
	}{
		"429":                          {"links.list", 429, "{}", "", true},
		"429, and a time":              {"links.list", 429, "{}", "60", true},
		"429 of a licence":             {"links.list", 429, envelopeBody("LICENSE_EXPIRED"), "", false},
		"429 of a licence, and a time": {"links.list", 429, envelopeBody("LICENSE_EXPIRED"), "60", true},
		"503":                          {"links.list", 503, "{}", "", false},
		"503, and a time":              {"links.list", 503, "{}", "60", true},
		"500, and a time":              {"links.list", 500, "{}", "60", true},
		"599, and a time":              {"identity.link", 599, "{}", "60", true},
		"499, and a time":              {"links.list", 499, "{}", "60", false},
		"408, and a time":              {"links.list", 408, "{}", "60", false},
		"302, and a time":              {"links.list", 302, "{}", "60", false},
		"200, and a time":              {"links.list", 200, answers["links.list"], "60", false},
		"a 400 that says the same":     {"auth.get", 400, plaid, "", true},
		"with a time":                  {"auth.get", 400, plaid, "60", true},
		"another 400":                  {"auth.get", 400, other, "60", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{began: time.Now()}
				s.answering(func(*http.Request) *http.Response {
					return reply(tc.status, tc.body, "Retry-After", tc.wait)
				})
				var cooled []time.Duration
				l := &recordingLimiter{}
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, WithLimiter(l), WithHooks(Hooks{
					Cooldown: func(_ context.Context, cd Cooldown) { cooled = append(cooled, cd.Duration) },
				}))
				_ = calls[tc.operation](t.Context(), c, WithoutRetry())
				require.Equal(t, tc.closes, len(cooled) == 1)
				var closed []time.Duration
				for _, key := range l.groups {
					if wait := closedFor(t, c, key); wait > 0 {
						closed = append(closed, wait)
					}
				}
				require.Equal(t, cooled, closed, "one group, if any")
				told := false
				for _, api := range []API{Supermetrics, MoneyKit, PlaidCompatible} {
					told = told || !c.RateLimit(api).CooldownUntil.IsZero()
				}
				require.Equal(t, tc.closes, told)
				if tc.closes && tc.wait != "" {
					require.Equal(t, time.Minute, cooled[0])
				}
			})
		})
	}
}
