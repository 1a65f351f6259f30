package duolink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// seen is a request as the server sees it.
type seen struct {
	method string
	uri    string // path and query, as they came
	header http.Header
	body   string
}

// recorder is a server on loopback that keeps what it was asked. It gives out tokens, and one answer to all else.
func recorder(t *testing.T, status int, body string) (*httptest.Server, *[]seen) {
	t.Helper()
	requests, token := &[]seen{}, golden(t, "auth.token/sample.json")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(b)) || len(r.TransferEncoding) > 0 {
			t.Errorf("body: %v, %d bytes, announced %d, %v", err, len(b), r.ContentLength, r.TransferEncoding)
		}
		h := r.Header.Clone()
		h.Del("Accept-Encoding") // net/http's own
		h.Del("Content-Length")
		*requests = append(*requests, seen{r.Method, r.RequestURI, h, string(b)})
		if strings.HasSuffix(r.URL.Path, "/auth/token") {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, token)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server, requests
}

// headers is a set of headers: names and values in turn, added to what every request has.
func headers(pairs ...string) http.Header {
	h := http.Header{"Accept": {"application/json"}, "User-Agent": {"duolink-go/0.1.0"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func supermetricsHeaders(pairs ...string) http.Header {
	return headers(append(pairs, "Authorization", "Bearer "+testKey)...)
}

func moneyKitHeaders(pairs ...string) http.Header {
	return headers(append(pairs, "MoneyKit-Version", "2023-02-18", "X-Client-Id", testID, "X-Client-Secret", testSecret)...)
}

func plaidHeaders(pairs ...string) http.Header {
	return headers(append(pairs, "Plaid-Version", "2020-09-14", "PLAID-CLIENT-ID", testID, "PLAID-SECRET", testSecret)...)
}

// jsonBody are the headers of a request with a JSON body.
var jsonBody = []string{"Content-Type", "application/json"}

// wireTest is one call and what it puts on the wire.
type wireTest struct {
	name     string
	call     func(context.Context, *Client) error
	method   string
	uri      string // behind the API's base
	header   http.Header
	body     string
	file     string // the answer, under testdata
	statuses []int  // success, documented and accepted
}

// dropped makes a call of one that has a result.
func dropped[T any](call func(context.Context, *Client) (T, error)) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := call(ctx, c)
		return err
	}
}

var supermetricsWire = []wireTest{
	{
		name: "logins.query_accounts", file: "logins.query_accounts/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*AccountList, error) {
			return c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: "GAWA"})
		}),
		method: "GET", uri: "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%7D", header: supermetricsHeaders(),
	},
	{
		name: "logins.query_accounts with everything", file: "logins.query_accounts/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*AccountList, error) {
			return c.Logins.QueryAccounts(ctx, AccountsQuery{
				DataSourceID: "GAWA", Users: []string{"avery+ads@example.com", "Blake & <Example>"}, CacheMinutes: 60,
			})
		}),
		method: "GET", header: supermetricsHeaders(),
		uri: "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%2C%22ds_users%22%3A%5B%22avery%2Bads%40example.com%22%2C" +
			"%22Blake%20%26%20%3CExample%3E%22%5D%2C%22cache_minutes%22%3A60%7D",
	},
	{
		name: "logins.query_accounts, streamed", file: "logins.query_accounts/sample.json", statuses: []int{200},
		call: func(ctx context.Context, c *Client) error {
			return last(c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "GAWA", Users: []string{"Düsseldorf"}, CacheMinutes: 1440}))
		},
		method: "GET", header: supermetricsHeaders(),
		uri: "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%2C%22ds_users%22%3A%5B%22D%C3%BCsseldorf%22%5D%2C%22cache_minutes%22%3A1440%7D",
	},
	{
		name: "logins.list", file: "logins.list/sample.json", statuses: []int{200},
		call:   dropped(func(ctx context.Context, c *Client) ([]Login, error) { return c.Logins.List(ctx) }),
		method: "GET", uri: "/ds/logins", header: supermetricsHeaders(),
	},
	{
		name: "logins.get", file: "logins.get/sample.json", statuses: []int{200},
		call:   dropped(func(ctx context.Context, c *Client) (*Login, error) { return c.Logins.Get(ctx, "dsl_1-A") }),
		method: "GET", uri: "/ds/login/dsl_1-A", header: supermetricsHeaders(),
	},
	{
		name: "logins.revoke", file: "logins.revoke/sample.json", statuses: []int{200, 202},
		call:   dropped(func(ctx context.Context, c *Client) (bool, error) { return c.Logins.Revoke(ctx, "dsl_1") }),
		method: "DELETE", uri: "/ds/login/dsl_1", header: supermetricsHeaders(),
	},
	{
		name: "logins.revoke without content", file: "links.close/empty.json", statuses: []int{200, 204},
		call:   dropped(func(ctx context.Context, c *Client) (bool, error) { return c.Logins.Revoke(ctx, "dsl_1") }),
		method: "DELETE", uri: "/ds/login/dsl_1", header: supermetricsHeaders(),
	},
	{
		name: "logins.accounts", file: "logins.accounts/sample.json", statuses: []int{200},
		call: func(ctx context.Context, c *Client) error {
			return last(c.Logins.Accounts(ctx, "dsl_1", PageOptions{}))
		},
		method: "GET", uri: "/ds/login/dsl_1/accounts", header: supermetricsHeaders(),
	},
	{
		name: "logins.accounts with a page", file: "logins.accounts/page_empty.json", statuses: []int{200},
		call: func(ctx context.Context, c *Client) error {
			return last(c.Logins.Accounts(ctx, "dsl_1", PageOptions{Offset: 1_000_000, PageSize: 1000}))
		},
		method: "GET", uri: "/ds/login/dsl_1/accounts?limit=1000&offset=1000000", header: supermetricsHeaders(),
	},
	{
		name: "links.list", file: "links.list/sample.json", statuses: []int{200},
		call:   dropped(func(ctx context.Context, c *Client) ([]LoginLink, error) { return c.Links.List(ctx) }),
		method: "GET", uri: "/ds/login/links", header: supermetricsHeaders(),
	},
	{
		name: "links.create", file: "links.create/sample.json", statuses: []int{201, 200},
		call: dropped(func(ctx context.Context, c *Client) (*LoginLink, error) {
			return c.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA"})
		}),
		method: "POST", uri: "/ds/login/link", header: supermetricsHeaders(jsonBody...), body: `{"ds_id":"GAWA"}`,
	},
	{
		name: "links.create with everything", file: "links.create/sample.json", statuses: []int{201, 200},
		call: dropped(func(ctx context.Context, c *Client) (*LoginLink, error) {
			return c.Links.Create(ctx, LoginLinkCreate{
				DataSourceID: "GAWA", Expires: "10 hours", Description: `Onboarding of "Söhne" & <Co>`,
				RequireUsername: "avery+ads@example.com", RedirectURL: "https://app.example.com/connected?tenant=7&x=1",
			})
		}),
		method: "POST", uri: "/ds/login/link", header: supermetricsHeaders(jsonBody...),
		body: `{"ds_id":"GAWA","expiry_time":"10 hours","description":"Onboarding of \"Söhne\" & <Co>",` +
			`"require_username":"avery+ads@example.com","redirect_url":"https://app.example.com/connected?tenant=7&x=1"}`,
	},
	{
		name: "links.get", file: "links.get/sample.json", statuses: []int{200},
		call:   dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Get(ctx, "dsll_1") }),
		method: "GET", uri: "/ds/login/link/dsll_1", header: supermetricsHeaders(),
	},
	{
		name: "links.update", file: "links.update/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*LoginLink, error) {
			return c.Links.Update(ctx, "dsll_1", LoginLinkUpdate{Description: "A new description"})
		}),
		method: "PATCH", uri: "/ds/login/link/dsll_1", header: supermetricsHeaders(jsonBody...), body: `{"description":"A new description"}`,
	},
	{
		name: "links.update to nothing", file: "links.update/cleared.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*LoginLink, error) {
			return c.Links.Update(ctx, "dsll_1", LoginLinkUpdate{})
		}),
		method: "PATCH", uri: "/ds/login/link/dsll_1", header: supermetricsHeaders(jsonBody...), body: `{"description":""}`,
	},
	{
		name: "links.close", file: "links.close/sample.json", statuses: []int{200, 201, 202, 299},
		call:   dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Close(ctx, "dsll_1") }),
		method: "PUT", uri: "/ds/login/link/dsll_1/close", header: supermetricsHeaders(),
	},
	{
		name: "links.close without content", file: "links.close/empty.json", statuses: []int{200, 202, 204},
		call:   dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Close(ctx, "dsll_1") }),
		method: "PUT", uri: "/ds/login/link/dsll_1/close", header: supermetricsHeaders(),
	},
	{
		name: "links.close with something else", file: "errors/html.html", statuses: []int{200, 202},
		call:   dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Close(ctx, "dsll_1") }),
		method: "PUT", uri: "/ds/login/link/dsll_1/close", header: supermetricsHeaders(),
	},
}

var moneyKitWire = []wireTest{
	{
		name: "identity.get", file: "identity.get/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*Identity, error) {
			return c.Identity.Get(ctx, bankLink, IdentityQuery{})
		}),
		method: "GET", uri: "/links/mk_example_link_0001/identity", header: moneyKitHeaders(),
	},
	{
		name: "identity.get of some accounts", file: "identity.get/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*Identity, error) {
			return c.Identity.Get(ctx, bankLink, IdentityQuery{AccountIDs: []string{"acc_1", "a+b c", "x,y&z"}})
		}),
		method: "GET", header: moneyKitHeaders(),
		uri: "/links/mk_example_link_0001/identity?account_ids=acc_1&account_ids=a%2Bb%20c&account_ids=x%2Cy%26z",
	},
	{
		name: "identity.link", file: "identity.link/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*BankLink, error) {
			return c.Identity.Link(ctx, "MK_Case-Sensitive.0~1")
		}),
		method: "GET", uri: "/links/MK_Case-Sensitive.0~1", header: moneyKitHeaders(),
	},
	{
		name: "identity.refresh", file: "identity.refresh/sample.json", statuses: []int{202, 200},
		call: dropped(func(ctx context.Context, c *Client) (*BankLink, error) {
			return c.Identity.Refresh(ctx, bankLink, []Product{ProductIdentity, "crypto"})
		}),
		method: "POST", uri: "/links/mk_example_link_0001/products", header: moneyKitHeaders(jsonBody...),
		body: `{"products":["identity","crypto"]}`,
	},
	{
		name: "identity.refresh without content", file: "identity.refresh/empty.json", statuses: []int{202, 200, 204},
		call: dropped(func(ctx context.Context, c *Client) (*BankLink, error) {
			return c.Identity.Refresh(ctx, bankLink, []Product{ProductIdentity})
		}),
		method: "POST", uri: "/links/mk_example_link_0001/products", header: moneyKitHeaders(jsonBody...), body: `{"products":["identity"]}`,
	},
	{
		name: "auth.numbers", file: "auth.numbers/sample.json", statuses: []int{200},
		call:   dropped(func(ctx context.Context, c *Client) (*BankNumbers, error) { return c.Auth.Numbers(ctx, bankLink) }),
		method: "GET", uri: "/links/mk_example_link_0001/accounts/numbers", header: moneyKitHeaders(),
	},
}

var plaidWire = []wireTest{
	{
		name: "auth.get", file: "auth.get/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*PlaidNumbers, error) {
			return c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret("access-test-0001")})
		}),
		method: "POST", uri: "/auth/get", header: plaidHeaders(jsonBody...), body: `{"access_token":"access-test-0001"}`,
	},
	{
		name: "auth.get of some accounts", file: "auth.get/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*PlaidNumbers, error) {
			return c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret("access-test-0001"), AccountIDs: []string{"acc_1", "<acc&2>"}})
		}),
		method: "POST", uri: "/auth/get", header: plaidHeaders(jsonBody...),
		body: `{"access_token":"access-test-0001","options":{"account_ids":["acc_1","<acc&2>"]}}`,
	},
	{
		name: "auth.get with a padded token", file: "auth.get/sample.json", statuses: []int{200},
		call: dropped(func(ctx context.Context, c *Client) (*PlaidNumbers, error) {
			return c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret(" access-test-0001\n")})
		}),
		method: "POST", uri: "/auth/get", header: plaidHeaders(jsonBody...), body: `{"access_token":"access-test-0001"}`,
	},
}

func TestWire(t *testing.T) {
	for _, group := range []struct {
		api   API
		base  string // option's path, with which the server's URL is continued
		path  string // where requests arrive
		tests []wireTest
	}{
		{Supermetrics, "/prefix/v2", "/prefix/v2", supermetricsWire},
		{Supermetrics, "/prefix/v2/", "/prefix/v2", supermetricsWire},
		{Supermetrics, "", "", supermetricsWire},
		{MoneyKit, "/prefix/mk", "/prefix/mk", moneyKitWire},
		{MoneyKit, "/", "", moneyKitWire},
		{MoneyKit, "/prefix/mk/", "/prefix/mk/plaid-compatible", plaidWire},
		{PlaidCompatible, "/else/where/", "/else/where", plaidWire},
		{PlaidCompatible, "", "", plaidWire},
	} {
		for _, tc := range group.tests {
			for _, status := range tc.statuses {
				t.Run(fmt.Sprintf("%s%s/%s/%d", group.api, group.base, tc.name, status), func(t *testing.T) {
					body := golden(t, tc.file)
					if status == 204 {
						body = ""
					}
					server, requests := recorder(t, status, body)
					c, err := New(
						WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)),
						WithBaseURL(group.api, server.URL+group.base), withoutRetries(),
					)
					require.NoError(t, err)
					require.NoError(t, tc.call(t.Context(), c))
					require.Equal(t, []seen{{tc.method, group.path + tc.uri, tc.header, tc.body}}, *requests)
				})
			}
		}
	}
}

// withoutRetries makes each call one request.
func withoutRetries() Option { return WithRetry(Retry{MaxAttempts: 1}) }

// Every operation is in the table of requests.
func TestWireIsComplete(t *testing.T) {
	var tested []string
	for _, tc := range slices.Concat(supermetricsWire, moneyKitWire, plaidWire) {
		tested = append(tested, tc.name)
	}
	for name := range calls {
		require.Contains(t, tested, name)
	}
}

// The ways to prove who calls, by what arrives. A token exchange precedes the call.
func TestWireCredentials(t *testing.T) {
	native := func(pairs ...string) http.Header { return headers(append(pairs, "MoneyKit-Version", "2023-02-18")...) }
	exchange := seen{
		"POST", "/mk/auth/token", native("Content-Type", "application/x-www-form-urlencoded"),
		"client_id=" + testID + "&client_secret=" + testSecret + "&grant_type=client_credentials",
	}
	link := func(pairs ...string) seen { return seen{"GET", "/mk/links/" + bankLink, native(pairs...), ""} }
	numbers := seen{"POST", "/mk/plaid-compatible/auth/get", plaidHeaders(jsonBody...), `{"access_token":"access-test-0001"}`}
	for name, tc := range map[string]struct {
		credentials Credentials
		call        string
		opts        []CallOption
		want        []seen
	}{
		"client headers": {ClientHeaders(testID, testSecret), "identity.link", nil, []seen{
			link("X-Client-Id", testID, "X-Client-Secret", testSecret),
		}},
		"client headers, padded": {ClientHeaders(" "+testID+"\n", "\t"+testSecret+" "), "identity.link", nil, []seen{
			link("X-Client-Id", testID, "X-Client-Secret", testSecret),
		}},
		"client headers, compatible layer": {ClientHeaders(testID, testSecret), "auth.get", nil, []seen{numbers}},
		"client credentials": {ClientCredentials(testID, testSecret), "identity.link", nil, []seen{
			exchange, link("Authorization", "Bearer example-access-token-0001"),
		}},
		"client credentials, compatible layer": {ClientCredentials(testID, testSecret), "auth.get", nil, []seen{numbers}},
		"bearer token":                         {BearerToken("otok_1"), "identity.link", nil, []seen{link("Authorization", "Bearer otok_1")}},
		"bearer token with its scheme":         {BearerToken("bEaReR  otok_1 "), "identity.link", nil, []seen{link("Authorization", "Bearer otok_1")}},
		"bearer token of a function": {
			BearerTokenFunc(func(context.Context) (string, error) { return " otok_2\n", nil }),
			"identity.link", nil, []seen{link("Authorization", "Bearer otok_2")},
		},
		"another token for a call": {
			ClientHeaders(testID, testSecret), "identity.link",
			[]CallOption{WithToken("Bearer tenant-2")}, []seen{link("Authorization", "Bearer tenant-2")},
		},
		"another header for a call": {
			BearerToken("otok_1"), "identity.link",
			[]CallOption{WithHeader("x-trace", "a"), WithHeader("X-Trace", "b")},
			[]seen{{"GET", "/mk/links/" + bankLink, func() http.Header {
				h := native("Authorization", "Bearer otok_1")
				h["X-Trace"] = []string{"a", "b"}
				return h
			}(), ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := golden(t, "identity.link/sample.json")
			if tc.call == "auth.get" {
				body = golden(t, "auth.get/sample.json")
			}
			server, requests := recorder(t, 200, body)
			c, err := New(WithMoneyKit(tc.credentials), WithBaseURL(MoneyKit, server.URL+"/mk/"))
			require.NoError(t, err)
			require.NoError(t, calls[tc.call](t.Context(), c, tc.opts...))
			require.Equal(t, tc.want, *requests)
		})
	}
}

// The exchange is documented as 201; other 2xx will do.
func TestTokenExchangeStatuses(t *testing.T) {
	for _, status := range []int{200, 201} {
		c, m := inMemory(t, func(r *http.Request) *http.Response {
			if r.URL.Path == "/auth/token" {
				return reply(status, golden(t, "auth.token/sample.json"))
			}
			return reply(200, golden(t, "identity.link/sample.json"))
		}, WithMoneyKit(ClientCredentials(testID, testSecret)))
		_, err := c.Identity.Link(t.Context(), bankLink)
		require.NoError(t, err, status)
		require.Len(t, m.requests, 2)
	}
}

func TestDefaultURLs(t *testing.T) {
	for operation, want := range map[string]string{
		"links.get":    "https://api.supermetrics.com/v2/ds/login/link/dsll_1",
		"identity.get": "https://api.moneykit.com/links/mk_example_link_0001/identity",
		"auth.get":     "https://api.moneykit.com/plaid-compatible/auth/get",
	} {
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(500, "") })
		require.ErrorIs(t, calls[operation](t.Context(), c), ErrServer)
		require.Len(t, m.requests, 1)
		require.Equal(t, want, m.requests[0].URL.String())
	}
}

func TestUserAgent(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, `{"data":[]}`) },
		WithSupermetrics(BearerToken(testKey)), WithUserAgent(" billing/1.4 "))
	_, err := c.Links.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, "billing/1.4 duolink-go/0.1.0", m.requests[0].Header.Get("User-Agent"))
}

// refused expects an error about the arguments that names the operation and quotes nothing.
func refused(t *testing.T, err error, kind error, operation, value string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	e := asError(t, err)
	require.Equal(t, operation, e.Operation)
	require.Equal(t, OutcomeNotSent, e.Outcome)
	require.Zero(t, e.StatusCode)
	require.Zero(t, e.Attempts)
	if len(value) < 3 { // "." and "a" stand in any text
		return
	}
	for _, text := range printed(err) {
		require.NotContains(t, text, value)
	}
}

// printed are the forms in which an error may get into a log.
func printed(err error) []string {
	all := []string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		all = append(all, fmt.Sprintf(verb, err), fmt.Sprintf(verb, struct{ Err error }{err}))
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // what is wrapped prints itself
		all = append(all, fmt.Sprintf("%+v", *e), e.LogValue().String())
	}
	j, _ := json.Marshal(err)
	return append(all, string(j))
}

// unasked is a client whose server must not be asked.
func unasked(t *testing.T, opts ...Option) *Client {
	t.Helper()
	c, _ := inMemory(t, func(r *http.Request) *http.Response {
		t.Errorf("%s %s was sent", r.Method, r.URL)
		return reply(500, "")
	}, opts...)
	return c
}

func TestIDs(t *testing.T) {
	byID := map[string]func(context.Context, *Client, string) error{
		"logins.get": func(ctx context.Context, c *Client, id string) error { _, err := c.Logins.Get(ctx, id); return err },
		"logins.revoke": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Logins.Revoke(ctx, id)
			return err
		},
		"logins.accounts": func(ctx context.Context, c *Client, id string) error {
			return last(c.Logins.Accounts(ctx, id, PageOptions{}))
		},
		"logins.query_accounts": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: id})
			return err
		},
		"logins.query_accounts, streamed": func(ctx context.Context, c *Client, id string) error {
			return last(c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: id}))
		},
		"links.create": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Links.Create(ctx, LoginLinkCreate{DataSourceID: id})
			return err
		},
		"links.get": func(ctx context.Context, c *Client, id string) error { _, err := c.Links.Get(ctx, id); return err },
		"links.update": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Links.Update(ctx, id, LoginLinkUpdate{Description: "Q4"})
			return err
		},
		"links.close": func(ctx context.Context, c *Client, id string) error { _, err := c.Links.Close(ctx, id); return err },
		"identity.get": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Identity.Get(ctx, id, IdentityQuery{})
			return err
		},
		"identity.link": func(ctx context.Context, c *Client, id string) error { _, err := c.Identity.Link(ctx, id); return err },
		"identity.refresh": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Identity.Refresh(ctx, id, []Product{ProductIdentity})
			return err
		},
		"auth.numbers": func(ctx context.Context, c *Client, id string) error { _, err := c.Auth.Numbers(ctx, id); return err },
		"links.await": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Links.Await(ctx, id, AwaitOptions{})
			return err
		},
		"identity.refresh_and_get": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Identity.RefreshAndGet(ctx, id, RefreshOptions{})
			return err
		},
		"auth.refresh_and_numbers": func(ctx context.Context, c *Client, id string) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, id, RefreshOptions{})
			return err
		},
	}
	bad := []string{
		"", ".", "..", "../admin", "a/b", "a?x=1", "a#x", "a%2fb", "%2e%2e", "a\\b", "a\x00b", "a\r\nX-Evil: 1", "a b", " dsl_1", "dsl_1\n",
		"ключ", "dsl_\xff", strings.Repeat("x", 129),
	}
	supermetricsToo := []string{strings.Repeat("x", 51), "a.b", "a~b", "a;b", "a:b", "a@b", "a+b"}
	for name, call := range byID {
		all, longest := bad, 128
		if strings.HasPrefix(name, "lo") || strings.HasPrefix(name, "links") {
			all, longest = slices.Concat(bad, supermetricsToo), 50
		}
		for _, id := range all {
			t.Run(fmt.Sprintf("%s/%.60q", name, id), func(t *testing.T) {
				refused(t, call(t.Context(), unasked(t), id), ErrArgument, operationOf(name), id)
			})
		}
		t.Run(name+"/the longest", func(t *testing.T) {
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(404, "") })
			require.ErrorIs(t, call(t.Context(), c, strings.Repeat("x", longest)), ErrNotFound)
			require.Len(t, m.requests, 1)
		})
	}
}

// MoneyKit's ids are opaque: they are escaped as one segment, and not judged.
func TestOpaqueIDs(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(404, "") })
	_, err := c.Identity.Link(t.Context(), "mk_a;b:c=d,e~f")
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, "/links/mk_a%3Bb:c=d%2Ce~f", m.requests[0].URL.EscapedPath())
}

// argumentTest is a call whose arguments are refused, or would be if they were a little larger.
type argumentTest struct {
	operation string
	call      func(context.Context, *Client) error
	value     string // stands in no error
}

func queryAccounts(q AccountsQuery) func(context.Context, *Client) error {
	return dropped(func(ctx context.Context, c *Client) (*AccountList, error) { return c.Logins.QueryAccounts(ctx, q) })
}

func streamAccounts(q AccountsQuery) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error { return last(c.Logins.StreamAccounts(ctx, q)) }
}

func accounts(p PageOptions) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error { return last(c.Logins.Accounts(ctx, "dsl_1", p)) }
}

func create(l LoginLinkCreate) func(context.Context, *Client) error {
	l.DataSourceID = "GAWA"
	return dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Create(ctx, l) })
}

func update(description string) func(context.Context, *Client) error {
	return dropped(func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Update(ctx, "dsll_1", LoginLinkUpdate{Description: description})
	})
}

func refresh(products ...Product) func(context.Context, *Client) error {
	return dropped(func(ctx context.Context, c *Client) (*BankLink, error) {
		return c.Identity.Refresh(ctx, bankLink, products)
	})
}

func identityOf(ids ...string) func(context.Context, *Client) error {
	return dropped(func(ctx context.Context, c *Client) (*Identity, error) {
		return c.Identity.Get(ctx, bankLink, IdentityQuery{AccountIDs: ids})
	})
}

func numbersOf(token string, ids ...string) func(context.Context, *Client) error {
	return dropped(func(ctx context.Context, c *Client) (*PlaidNumbers, error) {
		return c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret(token), AccountIDs: ids})
	})
}

func with(opts ...CallOption) func(context.Context, *Client) error {
	return dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Get(ctx, "dsll_1", opts...) })
}

func TestArguments(t *testing.T) {
	const header = "header-value-0001"
	long := func(n int) string { return strings.Repeat("é", n) } // the API counts characters, not bytes
	users := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("user-%d@example.com", i))
		}
		return all
	}
	at := time.Date(2026, 4, 7, 12, 0, 0, 0, time.UTC)
	bad := map[string]argumentTest{
		"cache minutes below":  {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 59}), ""},
		"cache minutes above":  {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 1441}), "1441"},
		"negative minutes":     {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: -60}), "-60"},
		"101 users":            {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: users(101)}), "user-100@"},
		"user of 256":          {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{"a", long(256)}}), "ééé"},
		"empty user":           {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{"avery", ""}}), "avery"},
		"user with NUL":        {"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{"avery\x00"}}), "avery"},
		"stream, cache":        {"logins.query_accounts", streamAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 59}), ""},
		"stream, empty user":   {"logins.query_accounts", streamAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{""}}), ""},
		"limit above":          {"logins.accounts", accounts(PageOptions{PageSize: 1001}), "1001"},
		"limit below":          {"logins.accounts", accounts(PageOptions{PageSize: -1}), ""},
		"offset below":         {"logins.accounts", accounts(PageOptions{Offset: -1}), ""},
		"offset above":         {"logins.accounts", accounts(PageOptions{Offset: 1_000_001}), "1000001"},
		"description of 1001":  {"links.create", create(LoginLinkCreate{Description: long(1001)}), "ééé"},
		"description no UTF-8": {"links.create", create(LoginLinkCreate{Description: "secret plan \xff"}), "secret plan"},
		"username of 256":      {"links.create", create(LoginLinkCreate{RequireUsername: long(256)}), "ééé"},
		"redirect of 501":      {"links.create", create(LoginLinkCreate{RedirectURL: "https://app.example.com/" + strings.Repeat("x", 477)}), "example.com"},
		"expires of 51":        {"links.create", create(LoginLinkCreate{Expires: long(51)}), "ééé"},
		"expires at and in":    {"links.create", create(LoginLinkCreate{ExpiresAt: at, ExpiresIn: time.Hour}), "2026"},
		"expires in and words": {"links.create", create(LoginLinkCreate{ExpiresIn: time.Hour, Expires: "10 hours"}), "10 hours"},
		"expires at and words": {"links.create", create(LoginLinkCreate{ExpiresAt: at, Expires: "10 hours"}), "10 hours"},
		"three expiries":       {"links.create", create(LoginLinkCreate{ExpiresAt: at, ExpiresIn: time.Hour, Expires: "10 hours"}), "10 hours"},
		"expires in the past":  {"links.create", create(LoginLinkCreate{ExpiresIn: -time.Hour}), "-1h"},
		"year 10000":           {"links.create", create(LoginLinkCreate{ExpiresAt: at.AddDate(8000, 0, 0)}), "10026"},
		"update of 1001":       {"links.update", update(long(1001)), "ééé"},
		"no products":          {"identity.refresh", refresh(), ""},
		"repeated product":     {"identity.refresh", refresh("identity", "accounts", "identity"), "identity,"},
		"empty product":        {"identity.refresh", refresh("identity", ""), ""},
		"empty account id":     {"identity.get", identityOf("acc_0001", ""), "acc_0001"},
		"empty access token":   {"auth.get", numbersOf(""), ""},
		"blank access token":   {"auth.get", numbersOf(" \t\n"), ""},
		"broken access token":  {"auth.get", numbersOf("access-test\n0001"), "access-test"},
		"foreign access token": {"auth.get", numbersOf("ключ"), "ключ"},
		"empty id for numbers": {"auth.get", numbersOf("access-test-0001", "acc_0001", ""), "acc_0001"},

		"Authorization":       {"links.get", with(WithHeader("authorization", header)), header},
		"PLAID-SECRET":        {"links.get", with(WithHeader("PLAID-SECRET", header)), header},
		"PLAID-CLIENT-ID":     {"links.get", with(WithHeader("plaid-client-id", header)), header},
		"X-Client-Id":         {"links.get", with(WithHeader("X-CLIENT-ID", header)), header},
		"X-Client-Secret":     {"links.get", with(WithHeader("X-Client-Secret", header)), header},
		"Cookie":              {"links.get", with(WithHeader("Cookie", header)), header},
		"Idempotency-Key":     {"links.get", with(WithHeader("Idempotency-Key", header)), header},
		"X-Idempotency-Key":   {"links.get", with(WithHeader("x-idempotency-key", header)), header},
		"MoneyKit-Version":    {"links.get", with(WithHeader("MoneyKit-Version", header)), header},
		"Plaid-Version":       {"links.get", with(WithHeader("Plaid-Version", header)), header},
		"Host":                {"links.get", with(WithHeader("Host", header)), header},
		"Content-Type":        {"links.get", with(WithHeader("Content-Type", header)), header},
		"User-Agent":          {"links.get", with(WithHeader("User-Agent", header)), header},
		"a header's new line": {"links.get", with(WithHeader("X-Trace", header+"\r\nX-Evil: 1")), header},
		"a header's name":     {"links.get", with(WithHeader("X Trace", header)), header},
		"no header's name":    {"links.get", with(WithHeader("", header)), header},
		"token of a call":     {"links.get", with(WithToken("tenant\n0001")), "tenant"},
		"no token of a call":  {"links.get", with(WithToken(" ")), ""},
		"negative wait":       {"links.get", with(WithMaxWait(-time.Second)), "-1s"},
		"nil response":        {"links.get", with(WithResponse(nil)), ""},
		"nil option":          {"links.get", with(nil), ""},
	}
	for name, tc := range bad {
		t.Run(name, func(t *testing.T) {
			refused(t, tc.call(t.Context(), unasked(t)), ErrArgument, tc.operation, tc.value)
		})
	}

	good := map[string]func(context.Context, *Client) error{
		"cache minutes, least": queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 60}),
		"cache minutes, most":  queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 1440}),
		"100 users":            queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: users(100)}),
		"user of 255":          queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{long(255)}}),
		"limit, least":         accounts(PageOptions{PageSize: 1}),
		"limit, most":          accounts(PageOptions{PageSize: 1000}),
		"offset, most":         accounts(PageOptions{Offset: 1_000_000}),
		"the longest texts": create(LoginLinkCreate{
			Description: long(1000), RequireUsername: long(255), RedirectURL: long(500), Expires: long(50),
		}),
		"update of 1000":     update(long(1000)),
		"an unknown product": refresh("crypto"),
		"no account ids":     identityOf(),
	}
	for name, call := range good {
		t.Run(name, func(t *testing.T) {
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(403, "") })
			require.ErrorIs(t, call(t.Context(), c), ErrForbidden)
			require.Len(t, m.requests, 1)
		})
	}
}

func TestOptions(t *testing.T) {
	var noOption Option
	for name, tc := range map[string]struct {
		option Option
		value  string
	}{
		"nil option":                  {noOption, ""},
		"nil credentials":             {WithSupermetrics(nil), ""},
		"nil credentials, MoneyKit":   {WithMoneyKit(nil), ""},
		"nil token function":          {WithSupermetrics(BearerTokenFunc(nil)), ""},
		"nil HTTP client":             {WithHTTPClient(nil), ""},
		"empty token":                 {WithSupermetrics(BearerToken("")), ""},
		"blank token":                 {WithSupermetrics(BearerToken(" \t\r\n")), ""},
		"scheme alone":                {WithSupermetrics(BearerToken("Bearer")), ""},
		"scheme alone, padded":        {WithSupermetrics(BearerToken(" bearer  ")), ""},
		"token with a new line":       {WithSupermetrics(BearerToken("api_key\n0001")), "api_key"},
		"token with a space":          {WithSupermetrics(BearerToken("api_key 0001")), "api_key"},
		"token with NUL":              {WithMoneyKit(BearerToken("api_key\x000001")), "api_key"},
		"token outside ASCII":         {WithMoneyKit(BearerToken("ключ")), "ключ"},
		"Supermetrics, headers":       {WithSupermetrics(ClientHeaders(testID, testSecret)), testSecret},
		"Supermetrics, credentials":   {WithSupermetrics(ClientCredentials(testID, testSecret)), testSecret},
		"headers without id":          {WithMoneyKit(ClientHeaders("", testSecret)), testSecret},
		"headers without secret":      {WithMoneyKit(ClientHeaders(testID, " ")), testID},
		"credentials without id":      {WithMoneyKit(ClientCredentials("\n", testSecret)), testSecret},
		"credentials without secret":  {WithMoneyKit(ClientCredentials(testID, "")), testID},
		"secret with a new line":      {WithMoneyKit(ClientHeaders(testID, "mk_secret\r\nX-Evil: 1")), "mk_secret"},
		"secret outside ASCII":        {WithMoneyKit(ClientCredentials(testID, "ключ")), "ключ"},
		"base URL, empty":             {WithBaseURL(Supermetrics, ""), ""},
		"base URL, no scheme":         {WithBaseURL(Supermetrics, "api.example.com/v2"), "api.example.com"},
		"base URL, other scheme":      {WithBaseURL(Supermetrics, "ftp://api.example.com"), "api.example.com"},
		"base URL, opaque":            {WithBaseURL(Supermetrics, "https:api.example.com"), "api.example.com"},
		"base URL, no host":           {WithBaseURL(MoneyKit, "https:///v2"), "https:"},
		"base URL, port alone":        {WithBaseURL(MoneyKit, "https://:8080"), "8080"},
		"base URL, user info":         {WithBaseURL(MoneyKit, "https://user:pa55word@api.example.com"), "pa55word"},
		"base URL, query":             {WithBaseURL(MoneyKit, "https://api.example.com/?key=pa55word"), "pa55word"},
		"base URL, empty query":       {WithBaseURL(MoneyKit, "https://api.example.com/?"), "api.example.com"},
		"base URL, fragment":          {WithBaseURL(PlaidCompatible, "https://api.example.com/#pa55word"), "pa55word"},
		"base URL, empty fragment":    {WithBaseURL(PlaidCompatible, "https://api.example.com/#"), "api.example.com"},
		"base URL, unreadable":        {WithBaseURL(PlaidCompatible, "https://user:pa55word@api.example.com:port"), "pa55word"},
		"base URL, control character": {WithBaseURL(PlaidCompatible, "https://api.example.com/\n"), "api.example.com"},
		"base URL, no TLS":            {WithBaseURL(Supermetrics, "http://api.example.com"), "api.example.com"},
		"base URL, no TLS, alike":     {WithBaseURL(Supermetrics, "http://localhost.example.com"), "localhost.example.com"},
		"base URL, no such API":       {WithBaseURL("plaid", "https://api.example.com"), "api.example.com"},
		"response bytes":              {WithMaxResponseBytes(0), ""},
		"negative response bytes":     {WithMaxResponseBytes(-1), ""},
		"user agent":                  {WithUserAgent("billing\r\nX-Evil: 1"), "billing"},
		"empty user agent":            {WithUserAgent(" "), ""},
		"negative attempts":           {WithRetry(Retry{MaxAttempts: -1}), ""},
		"negative wait":               {WithRetry(Retry{MaxWait: -time.Second}), ""},
		"backoff upside down":         {WithRetry(Retry{MinBackoff: time.Minute, MaxBackoff: time.Second}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tc.option)
			require.Nil(t, c)
			refused(t, err, ErrArgument, "new", tc.value)
		})
	}
	t.Run("two credentials", func(t *testing.T) {
		_, err := New(WithSupermetrics(BearerToken(testKey)), WithSupermetrics(BearerToken(testKey)))
		refused(t, err, ErrArgument, "new", testKey)
	})
	for name, option := range map[string]Option{
		"loopback":           WithBaseURL(MoneyKit, "http://127.0.0.1:8080/mk"),
		"loopback, IPv6":     WithBaseURL(MoneyKit, "http://[::1]:8080"),
		"loopback, by name":  WithBaseURL(Supermetrics, "http://localhost/"),
		"TLS":                WithBaseURL(PlaidCompatible, "https://proxy.example.com/a/b/"),
		"a MoneyKit bearer":  WithMoneyKit(BearerToken("otok_1")),
		"a padded client id": WithMoneyKit(ClientHeaders(" "+testID+" ", testSecret)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(option)
			require.NoError(t, err)
		})
	}
	t.Run("no TLS by request", func(t *testing.T) {
		_, err := New(WithBaseURL(Supermetrics, "http://api.example.com"), WithInsecureHTTP())
		require.NoError(t, err)
	})
}

// An API that has no credential is not asked, and neither is one whose kind of credential does not fit.
func TestNotConfigured(t *testing.T) {
	supermetrics := []Option{WithSupermetrics(BearerToken(testKey))}
	moneyKit := []Option{WithMoneyKit(ClientHeaders(testID, testSecret))}
	for name, call := range calls {
		opts := supermetrics
		if strings.HasPrefix(name, "lo") || strings.HasPrefix(name, "links") {
			opts = moneyKit
		}
		t.Run(name, func(t *testing.T) {
			refused(t, call(t.Context(), unasked(t, opts...)), ErrNotConfigured, operationOf(name), "")
		})
	}
	t.Run("auth.get with a bearer token", func(t *testing.T) {
		c := unasked(t, WithMoneyKit(BearerToken("otok_0001")))
		refused(t, calls["auth.get"](t.Context(), c), ErrNotConfigured, "auth.get", "otok_0001")
	})
	t.Run("auth.get with a call's token", func(t *testing.T) {
		err := calls["auth.get"](t.Context(), unasked(t, moneyKit...), WithToken("otok_0001"))
		refused(t, err, ErrNotConfigured, "auth.get", "otok_0001")
	})
	t.Run("a call's token is a credential", func(t *testing.T) {
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, golden(t, "links.get/sample.json")) }, moneyKit...)
		require.NoError(t, calls["links.get"](t.Context(), c, WithToken("otok_0001")))
		require.Equal(t, "Bearer otok_0001", m.requests[0].Header.Get("Authorization"))
	})
}

func TestExpiry(t *testing.T) {
	zone := time.FixedZone("UTC+5:30", 5*3600+1800)
	for name, tc := range map[string]struct {
		link LoginLinkCreate
		want string
	}{
		"at, in another zone":    {LoginLinkCreate{ExpiresAt: time.Date(2026, 4, 7, 3, 4, 5, 0, zone)}, `,"expiry_time":"2026-04-06T21:34:05Z"`},
		"at, with a fraction":    {LoginLinkCreate{ExpiresAt: time.Date(2026, 4, 7, 3, 4, 5, 999_999_999, time.UTC)}, `,"expiry_time":"2026-04-07T03:04:05Z"`},
		"in, from now":           {LoginLinkCreate{ExpiresIn: 10 * time.Hour}, `,"expiry_time":"2000-01-01T10:00:00Z"`},
		"in, across a leap day":  {LoginLinkCreate{ExpiresIn: 60 * 24 * time.Hour}, `,"expiry_time":"2000-03-01T00:00:00Z"`},
		"in the vendor's words":  {LoginLinkCreate{Expires: "10 hours"}, `,"expiry_time":"10 hours"`},
		"in the vendor's format": {LoginLinkCreate{Expires: "2026-04-07T03:04:05+05:30"}, `,"expiry_time":"2026-04-07T03:04:05+05:30"`},
		"none":                   {LoginLinkCreate{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the clock stands at 2000-01-01T00:00:00Z
				body := golden(t, "links.create/fresh.json")
				c, m := inMemory(t, func(*http.Request) *http.Response { return reply(201, body) })
				tc.link.DataSourceID = "GAWA"
				_, err := c.Links.Create(t.Context(), tc.link)
				require.NoError(t, err)
				require.Equal(t, []string{`{"ds_id":"GAWA"` + tc.want + `}`}, m.bodies)
			})
		})
	}
}

// What the caller handed in is his: nothing of it is changed.
func TestArgumentsAreNotChanged(t *testing.T) {
	c := replying(t, 403, "")
	ids, users, products := []string{"b", "a"}, []string{"y", "x"}, []Product{ProductIdentity, ProductAccounts}
	ids, users = slices.Grow(ids, 8), slices.Grow(users, 8) // room that an append would write to
	_, _ = c.Identity.Get(t.Context(), bankLink, IdentityQuery{AccountIDs: ids})
	_, _ = c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret("access-test-0001"), AccountIDs: ids})
	_, _ = c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA", Users: users})
	_, _ = c.Identity.Refresh(t.Context(), bankLink, products)
	require.Equal(t, []string{"b", "a", "", "", "", ""}, ids[:6])
	require.Equal(t, []string{"y", "x", "", "", "", ""}, users[:6])
	require.Equal(t, []Product{ProductIdentity, ProductAccounts}, products)
}

// The query of logins.query_accounts decodes to the JSON that was meant, whatever stands in a username.
func TestAccountsQueryRoundTrip(t *testing.T) {
	users := []string{"a+b c", "%2B", `"quoted" \ back`, "ключ & 字", "tab\tnew\nline", "</script>", "\u2028"}
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, `{"data":[]}`) })
	_, err := c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA", Users: users})
	require.NoError(t, err)
	raw := m.queries()[0]
	require.NotContains(t, raw, "+")
	values, err := url.ParseQuery(raw)
	require.NoError(t, err)
	require.Equal(t, []string{"json"}, slices.Collect(maps.Keys(values)))
	var got struct {
		Users []string `json:"ds_users"`
	}
	require.NoError(t, json.Unmarshal([]byte(values.Get("json")), &got))
	require.Equal(t, users, got.Users)
}
