package duolink

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

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
	return dropped(func(ctx context.Context, c *Client) (*LoginLink,
		error) {
		return c.Links.Get(ctx, "dsll_1", opts...)
	})
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
		"cache minutes below": {
			"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 59}), "",
		},
		"cache minutes above": {
			"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 1441}), "1441",
		},
		"negative minutes": {
			"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: -60}), "-60",
		},
		"101 users": {
			"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: users(101)}), "user-100@",
		},
		"user of 256": {
			"logins.query_accounts",
			queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{"a", long(256)}}),
			"ééé",
		},
		"empty user": {
			"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{"avery", ""}}),
			"avery",
		},
		"user with NUL": {
			"logins.query_accounts", queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{"avery\x00"}}),
			"avery",
		},
		"stream, cache": {
			"logins.query_accounts", streamAccounts(AccountsQuery{DataSourceID: "GAWA", CacheMinutes: 59}), "",
		},
		"stream, empty user": {
			"logins.query_accounts", streamAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{""}}), "",
		},
		"limit above":         {"logins.accounts", accounts(PageOptions{PageSize: 1001}), "1001"},
		"limit below":         {"logins.accounts", accounts(PageOptions{PageSize: -1}), ""},
		"offset below":        {"logins.accounts", accounts(PageOptions{Offset: -1}), ""},
		"offset above":        {"logins.accounts", accounts(PageOptions{Offset: 1_000_001}), "1000001"},
		"description of 1001": {"links.create", create(LoginLinkCreate{Description: long(1001)}), "ééé"},
		"description no UTF-8": {"links.create", create(LoginLinkCreate{Description: "secret plan \xff"}),
			"secret plan"},
		"username of 256": {"links.create", create(LoginLinkCreate{RequireUsername: long(256)}), "ééé"},
		"redirect of 501": {
			"links.create",
			create(LoginLinkCreate{RedirectURL: "https://app.example.com/" + strings.Repeat("x", 477)}),
			"example.com",
		},
		"expires of 51":     {"links.create", create(LoginLinkCreate{Expires: long(51)}), "ééé"},
		"expires at and in": {"links.create", create(LoginLinkCreate{ExpiresAt: at, ExpiresIn: time.Hour}), "2026"},
		"expires in and words": {
			"links.create", create(LoginLinkCreate{ExpiresIn: time.Hour, Expires: "10 hours"}), "10 hours",
		},
		"expires at and words": {"links.create", create(LoginLinkCreate{ExpiresAt: at, Expires: "10 hours"}),
			"10 hours"},
		"three expiries": {
			"links.create", create(LoginLinkCreate{ExpiresAt: at, ExpiresIn: time.Hour, Expires: "10 hours"}),
			"10 hours",
		},
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

		"Authorization":         {"links.get", with(WithHeader("authorization", header)), header},
		"PLAID-SECRET":          {"links.get", with(WithHeader("PLAID-SECRET", header)), header},
		"PLAID-CLIENT-ID":       {"links.get", with(WithHeader("plaid-client-id", header)), header},
		"X-Client-Id":           {"links.get", with(WithHeader("X-CLIENT-ID", header)), header},
		"X-Client-Secret":       {"links.get", with(WithHeader("X-Client-Secret", header)), header},
		"Cookie":                {"links.get", with(WithHeader("Cookie", header)), header},
		"Idempotency-Key":       {"links.get", with(WithHeader("Idempotency-Key", header)), header},
		"X-Idempotency-Key":     {"links.get", with(WithHeader("x-idempotency-key", header)), header},
		"MoneyKit-Version":      {"links.get", with(WithHeader("MoneyKit-Version", header)), header},
		"Plaid-Version":         {"links.get", with(WithHeader("Plaid-Version", header)), header},
		"Host":                  {"links.get", with(WithHeader("Host", header)), header},
		"Content-Type":          {"links.get", with(WithHeader("Content-Type", header)), header},
		"User-Agent":            {"links.get", with(WithHeader("User-Agent", header)), header},
		"a header's new line":   {"links.get", with(WithHeader("X-Trace", header+"\r\nX-Evil: 1")), header},
		"a header's name":       {"links.get", with(WithHeader("X Trace", header)), header},
		"no header's name":      {"links.get", with(WithHeader("", header)), header},
		"token of a call":       {"links.get", with(WithToken("tenant\n0001")), "tenant"},
		"no token of a call":    {"links.get", with(WithToken(" ")), ""},
		"an expiry in the past": {"links.create", create(LoginLinkCreate{ExpiresAt: time.Now().Add(-time.Second)}), ""},
		"an expiry long past":   {"links.create", create(LoginLinkCreate{ExpiresAt: time.Unix(1, 0)}), "1970"},
		"an expiry of a text":   {"links.create", create(LoginLinkCreate{Expires: "2020-01-01T00:00:00Z"}), "2020"},
		"an expiry of a day":    {"links.create", create(LoginLinkCreate{Expires: "2020-01-01"}), "2020"},
		"a relative redirect":   {"links.create", create(LoginLinkCreate{RedirectURL: "/redirect-canary"}), "canary"},
		"a redirect of a host":  {"links.create", create(LoginLinkCreate{RedirectURL: "canary.example/x"}), "canary"},
		"no redirect":           {"links.create", create(LoginLinkCreate{RedirectURL: "https:///canary"}), "canary"},
		"another scheme":        {"links.create", create(LoginLinkCreate{RedirectURL: "javascript:canary"}), "canary"},
		"a custom scheme":       {"links.create", create(LoginLinkCreate{RedirectURL: "myapp://canary/x"}), "canary"},
		"a broken redirect":     {"links.create", create(LoginLinkCreate{RedirectURL: "https://canary\x7f"}), "canary"},
		"negative wait":         {"links.get", with(WithMaxWait(-time.Second)), "-1s"},
		"nil response":          {"links.get", with(WithResponse(nil)), ""},
		"nil option":            {"links.get", with(nil), ""},
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
			Description: long(1000), RequireUsername: long(255), RedirectURL: "https://a.example/" + long(482),
			Expires: long(50),
		}),
		"a redirect in capitals":      create(LoginLinkCreate{RedirectURL: "HTTPS://A.EXAMPLE"}),
		"a redirect to this machine":  create(LoginLinkCreate{RedirectURL: "http://localhost:8080/a?b=c#d"}),
		"an expiry in a second":       create(LoginLinkCreate{ExpiresAt: time.Now().Add(time.Minute)}),
		"an expiry in words":          create(LoginLinkCreate{Expires: "10 hours"}),
		"an expiry in our own format": create(LoginLinkCreate{Expires: "2199-01-01T00:00:00Z"}),
		"update of 1000":              update(long(1000)),
		"an unknown product":          refresh("crypto"),
		"no account ids":              identityOf(),
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
		"nil option":                 {noOption, ""},
		"nil credentials":            {WithSupermetrics(nil), ""},
		"nil credentials, MoneyKit":  {WithMoneyKit(nil), ""},
		"nil token function":         {WithSupermetrics(BearerTokenFunc(nil)), ""},
		"nil HTTP client":            {WithHTTPClient(nil), ""},
		"empty token":                {WithSupermetrics(BearerToken("")), ""},
		"blank token":                {WithSupermetrics(BearerToken(" \t\r\n")), ""},
		"scheme alone":               {WithSupermetrics(BearerToken("Bearer")), ""},
		"scheme alone, padded":       {WithSupermetrics(BearerToken(" bearer  ")), ""},
		"token with a new line":      {WithSupermetrics(BearerToken("api_key\n0001")), "api_key"},
		"token with a space":         {WithSupermetrics(BearerToken("api_key 0001")), "api_key"},
		"token with NUL":             {WithMoneyKit(BearerToken("api_key\x000001")), "api_key"},
		"token outside ASCII":        {WithMoneyKit(BearerToken("ключ")), "ключ"},
		"Supermetrics, headers":      {WithSupermetrics(ClientHeaders(testID, testSecret)), testSecret},
		"Supermetrics, credentials":  {WithSupermetrics(ClientCredentials(testID, testSecret)), testSecret},
		"headers without id":         {WithMoneyKit(ClientHeaders("", testSecret)), testSecret},
		"headers without secret":     {WithMoneyKit(ClientHeaders(testID, " ")), testID},
		"credentials without id":     {WithMoneyKit(ClientCredentials("\n", testSecret)), testSecret},
		"credentials without secret": {WithMoneyKit(ClientCredentials(testID, "")), testID},
		"secret with a new line":     {WithMoneyKit(ClientHeaders(testID, "mk_secret\r\nX-Evil: 1")), "mk_secret"},
		"secret outside ASCII":       {WithMoneyKit(ClientCredentials(testID, "ключ")), "ключ"},
		"base URL, empty":            {WithBaseURL(Supermetrics, ""), ""},
		"base URL, no scheme":        {WithBaseURL(Supermetrics, "api.example.com/v2"), "api.example.com"},
		"base URL, other scheme":     {WithBaseURL(Supermetrics, "ftp://api.example.com"), "api.example.com"},
		"base URL, opaque":           {WithBaseURL(Supermetrics, "https:api.example.com"), "api.example.com"},
		"base URL, no host":          {WithBaseURL(MoneyKit, "https:///v2"), "https:"},
		"base URL, port alone":       {WithBaseURL(MoneyKit, "https://:8080"), "8080"},
		"base URL, user info":        {WithBaseURL(MoneyKit, "https://user:pa55word@api.example.com"), "pa55word"},
		"base URL, query":            {WithBaseURL(MoneyKit, "https://api.example.com/?key=pa55word"), "pa55word"},
		"base URL, empty query":      {WithBaseURL(MoneyKit, "https://api.example.com/?"), "api.example.com"},
		"base URL, fragment":         {WithBaseURL(PlaidCompatible, "https://api.example.com/#pa55word"), "pa55word"},
		"base URL, empty fragment":   {WithBaseURL(PlaidCompatible, "https://api.example.com/#"), "api.example.com"},
		"base URL, unreadable": {
			WithBaseURL(PlaidCompatible, "https://user:pa55word@api.example.com:port"), "pa55word",
		},
		"base URL, control character": {WithBaseURL(PlaidCompatible, "https://api.example.com/\n"), "api.example.com"},
		"base URL, no TLS":            {WithBaseURL(Supermetrics, "http://api.example.com"), "api.example.com"},
		"base URL, no TLS, alike": {WithBaseURL(Supermetrics, "http://localhost.example.com"),
			"localhost.example.com"},
		"base URL, no such API":   {WithBaseURL("plaid", "https://api.example.com"), "api.example.com"},
		"response bytes":          {WithMaxResponseBytes(0), ""},
		"negative response bytes": {WithMaxResponseBytes(-1), ""},
		"user agent":              {WithUserAgent("billing\r\nX-Evil: 1"), "billing"},
		"empty user agent":        {WithUserAgent(" "), ""},
		"negative attempts":       {WithRetry(Retry{MaxAttempts: -1}), ""},
		"negative wait":           {WithRetry(Retry{MaxWait: -time.Second}), ""},
		"backoff upside down":     {WithRetry(Retry{MinBackoff: time.Minute, MaxBackoff: time.Second}), ""},
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

func TestExpiry(t *testing.T) {
	zone := time.FixedZone("UTC+5:30", 5*3600+1800)
	for name, tc := range map[string]struct {
		link LoginLinkCreate
		want string
	}{
		"at, in another zone": {
			LoginLinkCreate{ExpiresAt: time.Date(2026, 4, 7, 3, 4, 5, 0, zone)},
			`,"expiry_time":"2026-04-06T21:34:05Z"`,
		},
		"at, with a fraction": {
			LoginLinkCreate{ExpiresAt: time.Date(2026, 4, 7, 3, 4, 5, 999_999_999, time.UTC)},
			`,"expiry_time":"2026-04-07T03:04:05Z"`,
		},
		"in, from now": {LoginLinkCreate{ExpiresIn: 10 * time.Hour}, `,"expiry_time":"2000-01-01T10:00:00Z"`},
		"in, across a leap day": {LoginLinkCreate{ExpiresIn: 60 * 24 * time.Hour},
			`,"expiry_time":"2000-03-01T00:00:00Z"`},
		"in the vendor's words": {LoginLinkCreate{Expires: "10 hours"}, `,"expiry_time":"10 hours"`},
		"in the vendor's format": {
			LoginLinkCreate{Expires: "2026-04-07T03:04:05+05:30"}, `,"expiry_time":"2026-04-07T03:04:05+05:30"`,
		},
		"none": {LoginLinkCreate{}, ""},
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

// The arguments belong to the caller: nothing of them is changed.
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
