package duolink

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewWithNothing(t *testing.T) {
	c, err := New()
	require.NoError(t, err)
	require.Equal(t, map[API]string{
		Supermetrics:    "https://api.supermetrics.com/v2",
		MoneyKit:        "https://api.moneykit.com",
		PlaidCompatible: "https://api.moneykit.com/plaid-compatible",
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
		"a slash at the end": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com/v2/")},
			map[API]string{Supermetrics: "https://a.example.com/v2"},
		},
		"slashes at the end": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com/v2///")},
			map[API]string{Supermetrics: "https://a.example.com/v2"},
		},
		"a slash alone": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com/")},
			map[API]string{Supermetrics: "https://a.example.com"},
		},
		"the older prefix": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com/enterprise/v2")},
			map[API]string{Supermetrics: "https://a.example.com/enterprise/v2"},
		},
		"an escaped prefix": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com/a%2Fb/%20c/")},
			map[API]string{Supermetrics: "https://a.example.com/a%2Fb/%20c"},
		},
		"a port": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com:8443")},
			map[API]string{Supermetrics: "https://a.example.com:8443"},
		},
		"an empty port": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com:/v2")},
			map[API]string{Supermetrics: "https://a.example.com/v2"},
		},
		"capitals in the scheme": {
			[]Option{WithBaseURL(Supermetrics, "HTTPS://a.example.com")},
			map[API]string{Supermetrics: "https://a.example.com"},
		},
		"the last one counts": {
			[]Option{WithBaseURL(Supermetrics, "https://a.example.com"),
				WithBaseURL(Supermetrics, "https://b.example.com")},
			map[API]string{Supermetrics: "https://b.example.com"},
		},
		"MoneyKit and its layer": {[]Option{WithBaseURL(MoneyKit, "https://b.example.com/mk/")}, map[API]string{
			MoneyKit: "https://b.example.com/mk", PlaidCompatible: "https://b.example.com/mk/plaid-compatible",
		}},
		"the layer alone": {
			[]Option{WithBaseURL(PlaidCompatible, "https://c.example.com/pc/")},
			map[API]string{MoneyKit: moneyKit, PlaidCompatible: "https://c.example.com/pc"},
		},
		"both, the layer first": {
			[]Option{WithBaseURL(PlaidCompatible, "https://c.example.com"),
				WithBaseURL(MoneyKit, "https://b.example.com")},
			map[API]string{MoneyKit: "https://b.example.com", PlaidCompatible: "https://c.example.com"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tc.opts...)
			require.NoError(t, err)
			want := map[API]string{Supermetrics: supermetricsURL, MoneyKit: moneyKit,
				PlaidCompatible: moneyKit + plaidPath}
			maps.Copy(want, tc.want)
			require.Equal(t, want, bases(c))
		})
	}
}

func TestPlainHTTP(t *testing.T) {
	for host, loopback := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8080": true, "127.1.2.3": true, "[::1]": true, "[::1]:8080": true,
		"localhost":          true,
		"localhost:8080":     true,
		"[::ffff:127.0.0.1]": true,
		"api.example.com":    false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false,
		"[::]": false, "10.0.0.1": false,
		"192.168.1.1": false, "[fe80::1]": false, "2130706433": false, "128.0.0.1": false,
		"xn--localhost-.example": false,
		"notlocalhost":           false,
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
				for _, opts := range [][]Option{
					{WithInsecureHTTP(), WithBaseURL(api, base)}, {WithBaseURL(api, base), WithInsecureHTTP()},
				} {
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
		"https://user@a.example.com", "https://user:CANARY@a.example.com", "https://:CANARY@a.example.com",
		"http://CANARY@localhost", "https://@a.example.com",
		"https://a.example.com?key=CANARY", "https://a.example.com/v2?", "https://a.example.com#CANARY",
		"https://a.example.com/#", "https://", "https:///CANARY",
		"https://:443", "https:CANARY", "//a.example.com", "a.example.com", "/v2", "ftp://a.example.com",
		"file:///CANARY",
		"ws://a.example.com", "unix://CANARY",
		"https://a.example.com:CANARY", "https://a b.example.com", "https://a.example.com/%zz",
		"https://a.example.com/\x7f",
		" https://a.example.com", "https://[::1", "",
	} {
		_, err := New(WithBaseURL(Supermetrics, base), WithInsecureHTTP())
		refused(t, err, ErrArgument, "new", "CANARY")
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
				err := call(t.Context(), c,
					WithHeader("x-trace", "a"), WithHeader("X-Trace", "b"), WithHeader("X-Empty", ""))
				require.ErrorIs(t, err, ErrForbidden)
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

// Each wrong option is named with its API, and New names all of them at once.
func TestNewNamesWrongOptions(t *testing.T) {
	negative := func(change func(*Retry)) Option {
		var r Retry
		change(&r)
		return WithRetry(r)
	}
	wrong := map[string]Option{
		"WithSupermetrics: the credentials are nil":          WithSupermetrics(nil),
		"WithMoneyKit: the credentials are nil":              WithMoneyKit(nil),
		"WithSupermetrics: the bearer token is empty":        WithSupermetrics(BearerToken("")),
		"WithMoneyKit: the client secret is empty":           WithMoneyKit(ClientHeaders("id", "")),
		"WithMoneyKit: the scope is empty":                   WithMoneyKit(ClientCredentials("id", "secret", "")),
		"WithMoneyKit: BearerTokenFunc: the function is nil": WithMoneyKit(BearerTokenFunc(nil)),
		"WithBaseURL: the URL of moneykit is not":            WithBaseURL(MoneyKit, "ftp://x"),
		"WithBaseURL: the URL of supermetrics has user info": WithBaseURL(Supermetrics, "https://a@b"),
		"WithBaseURL: the URL of plaid-compatible is plain":  WithBaseURL(PlaidCompatible, "http://a.example"),
		"WithBaseURL: the API is none of":                    WithBaseURL("other", "https://x"),
		"WithHTTPClient: the client is nil":                  WithHTTPClient(nil),
		"WithMaxResponseBytes: -1 is not":                    WithMaxResponseBytes(-1),
		"WithUserAgent: not the text":                        WithUserAgent("a\x00b"),
		"WithLogger: the logger is nil":                      WithLogger(nil),
		"WithLimiter: the limiter is nil":                    WithLimiter(nil),
		"WithRedirectParameter: the name is empty":           WithRedirectParameter(""),
		"WithMoneyKitVersion: the version is not a day":      WithMoneyKitVersion("latest"),
		"WithRetry: MaxAttempts is negative":                 negative(func(r *Retry) { r.MaxAttempts = -1 }),
		"WithRetry: MinBackoff is negative":                  negative(func(r *Retry) { r.MinBackoff = -1 }),
		"WithRetry: MaxBackoff is negative":                  negative(func(r *Retry) { r.MaxBackoff = -1 }),
		"WithRetry: MaxWait is negative":                     negative(func(r *Retry) { r.MaxWait = -1 }),
		"WithRetry: AttemptTimeout is negative":              negative(func(r *Retry) { r.AttemptTimeout = -1 }),
		"WithRetry: MinBackoff exceeds MaxBackoff": negative(func(r *Retry) {
			r.MinBackoff,
				r.MaxBackoff = 2, 1
		}),
		"option 1 is nil": nil,
		"WithSupermetrics: Supermetrics takes a bearer token": WithSupermetrics(ClientHeaders("id", "secret")),
	}
	for text, option := range wrong {
		_, err := New(option)
		require.ErrorIs(t, err, ErrArgument, text)
		require.True(t, strings.HasPrefix(err.Error(), "duolink: new: invalid argument: "+text), err.Error())
	}
	_, err := New(
		WithSupermetrics(BearerToken(" ")), nil, WithBaseURL(MoneyKit, "http://a.example"), WithUserAgent(""),
		WithRetry(Retry{MaxWait: -1}),
	)
	kindIs(t, err, ErrArgument)
	for _, text := range []string{
		"WithSupermetrics: the bearer token is empty", "option 2 is nil", "WithUserAgent: ",
		"WithRetry: MaxWait is negative",
		"WithBaseURL: the URL of moneykit is plain http", "WithBaseURL: the URL of plaid-compatible is plain http",
	} {
		require.Contains(t, err.Error(), text)
	}
	require.NotContains(t, err.Error(), "\n")
}
