package duolink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

func TestNewWithNothing(t *testing.T) {
	c, err := New()
	require.NoError(t, err)
	require.Equal(t, map[API]string{
		Supermetrics: "https://api.supermetrics.com/v2", MoneyKit: "https://api.moneykit.com", PlaidCompatible: "https://api.moneykit.com/plaid-compatible",
	}, bases(c))
	for operation, call := range calls {
		refused(t, call(t.Context(), c), ErrNotConfigured, operationOf(operation), "")
	}
	require.Equal(t, "duolink.Client", c.String())
}

func bases(c *Client) map[API]string {
	all := map[API]string{}
	for api, base := range c.config.base {
		all[api] = base.reveal()
	}
	return all
}

func TestBaseURLs(t *testing.T) {
	const moneyKit = "https://api.moneykit.com"
	for name, tc := range map[string]struct {
		opts []Option
		want map[API]string // what differs from the defaults
	}{
		"a slash at the end":     {[]Option{WithBaseURL(Supermetrics, "https://a.example.com/v2/")}, map[API]string{Supermetrics: "https://a.example.com/v2"}},
		"slashes at the end":     {[]Option{WithBaseURL(Supermetrics, "https://a.example.com/v2///")}, map[API]string{Supermetrics: "https://a.example.com/v2"}},
		"a slash alone":          {[]Option{WithBaseURL(Supermetrics, "https://a.example.com/")}, map[API]string{Supermetrics: "https://a.example.com"}},
		"the older prefix":       {[]Option{WithBaseURL(Supermetrics, "https://a.example.com/enterprise/v2")}, map[API]string{Supermetrics: "https://a.example.com/enterprise/v2"}},
		"an escaped prefix":      {[]Option{WithBaseURL(Supermetrics, "https://a.example.com/a%2Fb/%20c/")}, map[API]string{Supermetrics: "https://a.example.com/a%2Fb/%20c"}},
		"a port":                 {[]Option{WithBaseURL(Supermetrics, "https://a.example.com:8443")}, map[API]string{Supermetrics: "https://a.example.com:8443"}},
		"capitals in the scheme": {[]Option{WithBaseURL(Supermetrics, "HTTPS://a.example.com")}, map[API]string{Supermetrics: "https://a.example.com"}},
		"the last one counts":    {[]Option{WithBaseURL(Supermetrics, "https://a.example.com"), WithBaseURL(Supermetrics, "https://b.example.com")}, map[API]string{Supermetrics: "https://b.example.com"}},
		"MoneyKit and its layer": {[]Option{WithBaseURL(MoneyKit, "https://b.example.com/mk/")}, map[API]string{
			MoneyKit: "https://b.example.com/mk", PlaidCompatible: "https://b.example.com/mk/plaid-compatible",
		}},
		"the layer alone": {[]Option{WithBaseURL(PlaidCompatible, "https://c.example.com/pc/")}, map[API]string{MoneyKit: moneyKit, PlaidCompatible: "https://c.example.com/pc"}},
		"both, the layer first": {[]Option{WithBaseURL(PlaidCompatible, "https://c.example.com"), WithBaseURL(MoneyKit, "https://b.example.com")}, map[API]string{
			MoneyKit: "https://b.example.com", PlaidCompatible: "https://c.example.com",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tc.opts...)
			require.NoError(t, err)
			want := map[API]string{Supermetrics: supermetricsURL, MoneyKit: moneyKit, PlaidCompatible: moneyKit + plaidPath}
			maps.Copy(want, tc.want)
			require.Equal(t, want, bases(c))
		})
	}
}

func TestPlainHTTP(t *testing.T) {
	for host, loopback := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8080": true, "127.1.2.3": true, "[::1]": true, "[::1]:8080": true, "localhost": true, "localhost:8080": true,
		"[::ffff:127.0.0.1]": true,
		"api.example.com":    false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false, "[::]": false, "10.0.0.1": false,
		"192.168.1.1": false, "[fe80::1]": false, "2130706433": false, "128.0.0.1": false, "xn--localhost-.example": false, "notlocalhost": false,
	} {
		for _, api := range []API{Supermetrics, MoneyKit, PlaidCompatible} {
			for _, scheme := range []string{"http", "HTTP"} {
				base := scheme + "://" + host + "/prefix"
				_, err := New(WithBaseURL(api, base))
				if loopback {
					require.NoError(t, err, base)
				} else {
					refused(t, err, ErrArgument, "new", host)
				}
				for _, opts := range [][]Option{{WithInsecureHTTP(), WithBaseURL(api, base)}, {WithBaseURL(api, base), WithInsecureHTTP()}} {
					_, err = New(opts...)
					require.NoError(t, err, base)
				}
			}
		}
		_, err := New(WithBaseURL(MoneyKit, "https://"+host))
		require.NoError(t, err, host)
	}
	// What no option allows.
	for _, base := range []string{
		"https://user@a.example.com", "https://user:CANARY@a.example.com", "https://:CANARY@a.example.com", "http://CANARY@localhost", "https://@a.example.com",
		"https://a.example.com?key=CANARY", "https://a.example.com/v2?", "https://a.example.com#CANARY", "https://a.example.com/#", "https://", "https:///CANARY",
		"https://:443", "https:CANARY", "//a.example.com", "a.example.com", "/v2", "ftp://a.example.com", "file:///CANARY", "ws://a.example.com", "unix://CANARY",
		"https://a.example.com:CANARY", "https://a b.example.com", "https://a.example.com/%zz", "https://a.example.com/\x7f", " https://a.example.com", "https://[::1", "",
	} {
		_, err := New(WithBaseURL(Supermetrics, base), WithInsecureHTTP())
		refused(t, err, ErrArgument, "new", "CANARY")
	}
}

// The caller's http.Client is read, never written, and what it becomes later is no concern of ours.
func TestHTTPClientIsCopied(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, `{"data":[]}`)
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	redirects := 0
	own := &http.Client{
		Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { redirects++; return nil },
	}
	before := *own
	unchanged := func() {
		require.Same(t, transport, own.Transport)
		require.Same(t, jar, own.Jar)
		require.Equal(t, reflect.ValueOf(before.CheckRedirect).Pointer(), reflect.ValueOf(own.CheckRedirect).Pointer())
		require.Equal(t, before.Timeout, own.Timeout)
	}
	c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(own), WithBaseURL(Supermetrics, server.URL))
	require.NoError(t, err)
	unchanged()
	_, err = c.Links.List(t.Context())
	require.ErrorIs(t, err, ErrMalformedResponse)
	_, err = c.Links.List(t.Context())
	require.NoError(t, err)
	unchanged()
	require.Zero(t, redirects)
	require.EqualValues(t, 2, asked.Load())
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	require.Len(t, jar.Cookies(base), 1, "its cookie jar is used")

	own.Transport, own.Timeout = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("not this one") }), 1
	_, err = c.Links.List(t.Context())
	require.NoError(t, err)

	empty := &http.Client{}
	_, err = New(WithHTTPClient(empty))
	require.NoError(t, err)
	require.Equal(t, &http.Client{}, empty)
	require.Nil(t, http.DefaultClient.Transport)
	require.Nil(t, http.DefaultClient.CheckRedirect)
}

func TestWithResponse(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, WithSupermetrics(BearerToken(sandbox.APIKey)), exchanging())
		r := Response{Status: 1, RequestID: "old"}
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, 200, r.Status)
		require.Equal(t, "application/json", r.Header().Get("Content-Type"))
		require.Len(t, r.RequestID, 24)
		require.Len(t, r.Attempts, 1)
		require.Equal(t, 5000, r.RateLimit.Limit)
		require.Equal(t, 4999, r.RateLimit.Remaining)
		require.True(t, r.RateLimit.Known)
		require.Contains(t, string(r.Body()), `"link_id":"dsll_1"`)

		// An error, after two other attempts.
		w.Script(sandbox.Fault{Status: 503}, sandbox.Fault{Status: 502, Body: "gone"})
		_, err = c.Links.Get(t.Context(), "dsll_404", WithResponse(&r))
		require.ErrorIs(t, err, ErrNotFound)
		require.Equal(t, 404, r.Status)
		require.Len(t, r.Attempts, 3)
		require.Equal(t, 3, asError(t, err).Attempts)
		require.Equal(t, 4998, r.RateLimit.Remaining)
		require.Equal(t, asError(t, err).RequestID, r.RequestID)
		require.Contains(t, string(r.Body()), "LINK_NOT_FOUND")

		// An answer that is none.
		w.Script(sandbox.Fault{Body: `{"data":`, Header: http.Header{"X-Request-Id": {"req-0001"}}})
		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrMalformedResponse)
		require.Equal(t, 200, r.Status)
		require.Equal(t, "req-0001", r.RequestID)
		require.JSONEq(t, `"{\"data\":"`, fmt.Sprintf("%q", r.Body()))

		// No answer at all.
		w.transport.RefuseDials(10)
		w.transport.CloseIdleConnections()
		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.Error(t, err)
		require.Zero(t, r.Status)
		require.Empty(t, r.Header())
		require.Empty(t, r.RequestID)
		require.Empty(t, r.Body())
		require.False(t, r.RateLimit.Known)
		require.Len(t, r.Attempts, asError(t, err).Attempts)
		require.Len(t, r.Attempts, 4)
		w.transport.RefuseDials(0)

		// Nothing sent: what was there of an earlier call is gone.
		r = Response{Status: 1, RequestID: "old"}
		_, err = c.Links.Get(t.Context(), "..", WithResponse(&r))
		require.ErrorIs(t, err, ErrArgument)
		require.Zero(t, r.Status)
		require.Empty(t, r.RequestID)
		require.Empty(t, r.Attempts)

		// MoneyKit says nothing of its limits. The exchange before the call is not the call's answer.
		_, err = c.Identity.Link(t.Context(), sandbox.LinkID, WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, 1, w.Count("auth.token"))
		require.Len(t, r.Attempts, 1)
		require.False(t, r.RateLimit.Known)
		require.NotContains(t, string(r.Body()), "mk_token_sandbox")
		require.Contains(t, string(r.Body()), sandbox.LinkID)
		// nor is one that fails
		w.ExpireTokens()
		w.Script(sandbox.Fault{Operation: "auth.token", Status: 201, Body: `{"access_token":null,"echo":"` + sandbox.ClientSecret + `"}`})
		_, _ = w.client(t, exchanging()).Identity.Link(t.Context(), sandbox.LinkID, WithResponse(&r))
		require.NotContains(t, string(r.Body()), sandbox.ClientSecret)
		require.Zero(t, r.Status)

		// Of an iterator, the latest request's.
		n := 0
		for _, err := range c.Logins.Accounts(t.Context(), sandbox.ManyAccountsLoginID, PageOptions{}, WithResponse(&r)) {
			require.NoError(t, err)
			if n++; n == 1 {
				require.Contains(t, string(r.Body()), "100-000-0001")
			}
		}
		require.Equal(t, 260, n)
		require.Contains(t, string(r.Body()), "100-000-0260")
		require.NotContains(t, string(r.Body()), "100-000-0001")

		// Of a stream there is all but the body.
		for _, err := range c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}, WithResponse(&r)) {
			require.NoError(t, err)
			require.Equal(t, 200, r.Status)
			require.Len(t, r.RequestID, 24, "of the header: the body has not been read yet")
			require.True(t, r.RateLimit.Known)
			require.Nil(t, r.Body())
		}

		// It is the caller's own.
		_, err = c.Links.List(t.Context(), WithResponse(&r))
		require.NoError(t, err)
		first := string(r.Body())
		r.Header().Set("Content-Type", "changed")
		var second Response
		_, err = c.Links.List(t.Context(), WithResponse(&second))
		require.NoError(t, err)
		require.Equal(t, first[:20], string(r.Body())[:20])
		require.Equal(t, "application/json", second.Header().Get("Content-Type"))
	})
}

func TestRateLimitHeaders(t *testing.T) {
	for _, tc := range []struct {
		limit, remaining string // "-" stands for no header
		want             RateLimit
	}{
		{"-", "-", RateLimit{}},
		{"5000", "4999", RateLimit{Limit: 5000, Remaining: 4999, Known: true}},
		{"5000", "0", RateLimit{Limit: 5000, Remaining: 0, Known: true}},
		{"5000", "-", RateLimit{Limit: 5000}},
		{"-", "17", RateLimit{Remaining: 17, Known: true}},
		{"-", "0", RateLimit{Remaining: 0, Known: true}},
		{" 5000\t", " 17 ", RateLimit{Limit: 5000, Remaining: 17, Known: true}},
		{"", "", RateLimit{}},
		{"many", "few", RateLimit{}},
		{"5000", "few", RateLimit{Limit: 5000}},
		{"many", "17", RateLimit{Remaining: 17, Known: true}},
		{"-1", "-1", RateLimit{}},
		{"5e3", "1.0", RateLimit{}},
		{"5000/h", "17;w=3600", RateLimit{}},
		{"5000, 5000", "17, 17", RateLimit{}},
		{"99999999999999999999", "99999999999999999999", RateLimit{}},
		{"0x10", "1_000", RateLimit{}},
	} {
		for _, status := range []int{200, 404, 429} {
			var pairs []string
			for name, value := range map[string]string{"X-RateLimit-Limit": tc.limit, "x-ratelimit-remaining": tc.remaining} {
				if value != "-" {
					pairs = append(pairs, name, value)
				}
			}
			var r Response
			_, err := replying(t, status, `{"data":[]}`, pairs...).Links.List(t.Context(), WithResponse(&r))
			require.Equal(t, status == 200, err == nil)
			got := RateLimit{Limit: r.RateLimit.Limit, Remaining: r.RateLimit.Remaining, Known: r.RateLimit.Known}
			require.Equal(t, tc.want, got, "%q %q", tc.limit, tc.remaining)
		}
	}
}

func TestUserAgentAndHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		products []string
		want     string
	}{
		"default":  {nil, "duolink-go/" + Version},
		"one":      {[]string{"billing/1.4"}, "billing/1.4 duolink-go/" + Version},
		"comment":  {[]string{"billing/1.4 (team; eu)"}, "billing/1.4 (team; eu) duolink-go/" + Version},
		"two":      {[]string{"library/2", "program/1"}, "program/1 library/2 duolink-go/" + Version},
		"trimmed":  {[]string{"\tbilling/1.4 "}, "billing/1.4 duolink-go/" + Version},
		"long one": {[]string{strings.Repeat("x", 300)}, strings.Repeat("x", 300) + " duolink-go/" + Version},
	} {
		t.Run(name, func(t *testing.T) {
			opts := []Option{WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret))}
			for _, p := range tc.products {
				opts = append(opts, WithUserAgent(p))
			}
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(403, "") }, opts...)
			for _, call := range calls {
				require.ErrorIs(t, call(t.Context(), c, WithHeader("x-trace", "a"), WithHeader("X-Trace", "b"), WithHeader("X-Empty", "")), ErrForbidden)
			}
			for _, r := range m.requests {
				require.Equal(t, []string{tc.want}, r.Header["User-Agent"])
				require.Equal(t, []string{"a", "b"}, r.Header["X-Trace"])
				require.Equal(t, []string{""}, r.Header["X-Empty"])
			}
			m.requests = nil
			require.ErrorIs(t, calls["links.get"](t.Context(), c), ErrForbidden)
			require.NotContains(t, m.requests[0].Header, "X-Trace", "a header is one call's")
		})
	}
	for _, product := range []string{"", " ", "a\nb", "a\r\nX-Evil: 1", "billing/é", "a\x00"} {
		_, err := New(WithUserAgent(product))
		refused(t, err, ErrArgument, "new", "Evil")
	}
	for _, name := range ownHeaders {
		err := calls["links.get"](t.Context(), unasked(t), WithHeader(strings.ToLower(name), "value-0001"))
		refused(t, err, ErrArgument, "links.get", "value-0001")
	}
	for _, name := range credentialHeaders {
		err := calls["links.get"](t.Context(), unasked(t), WithHeader(strings.ToUpper(name), "value-0001"))
		refused(t, err, ErrArgument, "links.get", "value-0001")
	}
}

// A call that is given up leaves the connections of the others alone.
func TestExhaustedCallKeepsConnections(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, WithSupermetrics(BearerToken(sandbox.APIKey)), exchanging())
		w.Script(sandbox.Fault{Operation: "links.list", Delay: time.Second, Times: 8})
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := c.Links.List(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		idle := w.transport.Conns()
		require.Positive(t, idle)
		for _, fault := range []sandbox.Fault{
			{Operation: "links.get", Status: 500, Times: 4},
			{Operation: "links.get", Status: 501},
			{Operation: "links.get", Status: 404, Body: strings.Repeat(" ", 100_000)},
			{Operation: "links.get", Body: `{"data":`},
		} {
			w.Script(fault)
			_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID)
			require.Error(t, err)
			require.Zero(t, w.Pending())
			_, err = c.Links.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, idle, w.transport.Conns(), "%+v", fault)
		}
		// One more, while they are in use.
		w.Script(sandbox.Fault{Operation: "links.list", Delay: time.Minute, Times: 2}, sandbox.Fault{Operation: "links.get", Status: 500, Times: 4})
		for range 2 {
			group.Go(func() {
				if _, err := c.Links.List(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID)
		require.ErrorIs(t, err, ErrServer)
		group.Wait()
	})
}

// ledger is a transport that knows of each body how often it was closed.
type ledger struct {
	next   http.RoundTripper
	mu     sync.Mutex
	bodies []*entry
}

type entry struct {
	io.ReadCloser
	closed atomic.Int32
}

func (e *entry) Close() error {
	e.closed.Add(1)
	return e.ReadCloser.Close()
}

func (l *ledger) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		e := &entry{ReadCloser: resp.Body}
		resp.Body = e
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bodies = append(l.bodies, e)
	}
	return resp, err
}

func TestBodiesAreClosedOnce(t *testing.T) {
	gzipped := http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"application/json"}}
	query := AccountsQuery{DataSourceID: "AW"}
	get := func(ctx context.Context, c *Client) error {
		_, err := c.Links.Get(ctx, sandbox.OpenLoginLinkID)
		return err
	}
	each := func(ctx context.Context, c *Client) error { return last(c.Logins.StreamAccounts(ctx, query)) }
	for name, tc := range map[string]struct {
		faults []sandbox.Fault
		call   func(context.Context, *Client) error
		bodies int
		opts   []Option
	}{
		"success":         {nil, get, 1, nil},
		"no content":      {[]sandbox.Fault{{Status: 204}}, dropped(func(ctx context.Context, c *Client) (bool, error) { return c.Logins.Revoke(ctx, "dsl_1") }), 1, nil},
		"not found":       {nil, dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Get(ctx, "dsll_404") }), 1, nil},
		"repeated":        {[]sandbox.Fault{{Status: 503}, {Status: 429, Header: http.Header{"Retry-After": {"1"}}}}, get, 3, nil},
		"given up":        {[]sandbox.Fault{{Status: 500, Times: 4}}, get, 4, nil},
		"too long a wait": {[]sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"86400"}}}}, get, 1, nil},
		"not repeatable":  {[]sandbox.Fault{{Operation: "links.create", Status: 503}}, create(LoginLinkCreate{}), 1, nil},
		"redirect":        {[]sandbox.Fault{{Status: 307, Header: http.Header{"Location": {"https://other.example.com"}}, Body: "moved"}}, get, 1, nil},
		"malformed":       {[]sandbox.Fault{{Body: `{"data":`}}, get, 1, nil},
		"error on 200":    {[]sandbox.Fault{{Body: `{"error":"LINK_NOT_FOUND"}`}}, get, 1, nil},
		"too large":       {nil, get, 1, []Option{WithMaxResponseBytes(10)}},
		"truncated":       {[]sandbox.Fault{{Truncate: 20, Times: 2}}, get, 3, nil},
		"truncated error": {[]sandbox.Fault{{Status: 404, Body: strings.Repeat("x", 100), Truncate: 20}}, get, 1, nil},
		"no gzip":         {[]sandbox.Fault{{Body: "no gzip at all", Header: gzipped, Times: 1}}, get, 1, nil},
		"empty gzip":      {[]sandbox.Fault{{Status: 200, Header: gzipped}}, get, 1, nil},
		"gzip":            {nil, get, 1, nil},
		"stalled":         {[]sandbox.Fault{{Stall: true}}, within5s(get), 1, nil},
		"stalled error":   {[]sandbox.Fault{{Status: 500, Body: strings.Repeat("x", 100), Stall: true}}, within5s(get), 1, nil},
		"wait canceled":   {[]sandbox.Fault{{Status: 503, Header: http.Header{"Retry-After": {"30"}}}}, canceledAfter5s(get), 1, nil},
		"pages": {nil, func(ctx context.Context, c *Client) error {
			return last(c.Logins.Accounts(ctx, "dsl_2", PageOptions{}))
		}, 3, nil},
		"exchange":          {nil, func(ctx context.Context, c *Client) error { return linkOf(ctx, c) }, 2, nil},
		"exchange refused":  {[]sandbox.Fault{{Operation: "auth.token", Status: 401}}, func(ctx context.Context, c *Client) error { return linkOf(ctx, c) }, 1, nil},
		"stream":            {nil, each, 1, nil},
		"stream, repeated":  {[]sandbox.Fault{{Status: 503}, {Drop: sandbox.DropBefore}}, each, 2, nil},
		"stream, refused":   {[]sandbox.Fault{{Status: 403}}, each, 1, nil},
		"stream, cut":       {[]sandbox.Fault{{Truncate: 2000}}, each, 1, nil},
		"stream, malformed": {[]sandbox.Fault{{Body: `{"data":[{"accounts":[{}]`}}, each, 1, nil},
		"stream, error":     {[]sandbox.Fault{{Body: `{"error":"FORBIDDEN"}`}}, each, 1, nil},
		"stream, no gzip":   {[]sandbox.Fault{{Body: "no gzip at all", Header: gzipped}}, each, 1, nil},
		"stream, too large": {nil, each, 1, []Option{WithMaxResponseBytes(10)}},
		"stream, stalled":   {[]sandbox.Fault{{Stall: true}}, within5s(each), 1, nil},
		"stream, left": {nil, func(ctx context.Context, c *Client) error {
			for range c.Logins.StreamAccounts(ctx, query) {
				break
			}
			return nil
		}, 1, nil},
		"stream, panic": {nil, func(ctx context.Context, c *Client) error {
			defer func() { _ = recover() }()
			for range c.Logins.StreamAccounts(ctx, query) {
				panic("in the loop")
			}
			return nil
		}, 1, nil},
		"stream, ranged over twice": {nil, func(ctx context.Context, c *Client) error {
			seq := c.Logins.StreamAccounts(ctx, query)
			return errors.Join(last(seq), last(seq))
		}, 2, nil},
		"stream, never ranged over": {nil, func(ctx context.Context, c *Client) error {
			c.Logins.StreamAccounts(ctx, query)
			return nil
		}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				l := &ledger{next: w.transport}
				c := w.client(t, append([]Option{
					WithSupermetrics(BearerToken(sandbox.APIKey)), exchanging(), WithHTTPClient(&http.Client{Transport: l}),
				}, tc.opts...)...)
				w.Script(tc.faults...)
				err := tc.call(t.Context(), c)
				require.Zero(t, w.Pending(), "%v", err)
				l.mu.Lock()
				defer l.mu.Unlock()
				require.Len(t, l.bodies, tc.bodies)
				for i, b := range l.bodies {
					require.EqualValues(t, 1, b.closed.Load(), "body %d", i)
				}
			})
		})
	}
}

// The same where it is this package that decompresses.
func TestBodiesAreClosedOnceOfGzip(t *testing.T) {
	for _, operation := range []string{"links.get", "logins.query_accounts, streamed"} {
		for body, bodies := range map[string]int{"no gzip at all": 1, "": 1, "\x1f\x8b\x08": 3} {
			l := &ledger{next: roundTrip(func(*http.Request) (*http.Response, error) { return reply(200, body, "Content-Encoding", "gzip"), nil })}
			c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(&http.Client{Transport: l}), WithRetry(Retry{MaxAttempts: 3, MinBackoff: 1, MaxBackoff: 1}))
			require.NoError(t, err)
			require.Error(t, calls[operation](t.Context(), c))
			require.Len(t, l.bodies, bodies, "%s %q", operation, body)
			for _, b := range l.bodies {
				require.EqualValues(t, 1, b.closed.Load(), "%s %q", operation, body)
			}
		}
	}
}

func within5s(call func(context.Context, *Client) error) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return call(ctx, c)
	}
}

func canceledAfter5s(call func(context.Context, *Client) error) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		ctx, cancel := context.WithCancel(ctx)
		defer time.AfterFunc(5*time.Second, cancel).Stop()
		defer cancel()
		return call(ctx, c)
	}
}
