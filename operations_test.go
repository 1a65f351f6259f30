package duolink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// asBit is 1 for yes.
func asBit(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// dropped makes a call that drops its result.
func dropped[T any](call func(context.Context, *Client) (T, error)) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := call(ctx, c)
		return err
	}
}

// withoutRetries makes each call one request.
func withoutRetries() Option { return WithRetry(Retry{MaxAttempts: 1}) }

func TestDefaultURLs(t *testing.T) {
	for operation, want := range map[string]string{
		"links.get":     "https://api.supermetrics.com/v2/ds/login/link/dsll_1",
		"identity.link": "https://api.moneykit.com/links/" + sandbox.LinkID,
		"auth.get":      "https://api.moneykit.com/plaid-compatible/auth/get",
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

// printed returns the forms in which an error may be logged.
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

// unasked is a client whose server must not get a request.
func unasked(t *testing.T, opts ...Option) *Client {
	t.Helper()
	c, _ := inMemory(t, func(r *http.Request) *http.Response {
		t.Errorf("%s %s was sent", r.Method, r.URL)
		return reply(500, "")
	}, opts...)
	return c
}

func TestIDs(t *testing.T) {
	byID := map[string]func(context.Context, *Client, string, ...CallOption) error{
		"links.await": func(ctx context.Context, c *Client, id string, opts ...CallOption) error {
			_, err := c.Links.Await(ctx, id, AwaitOptions{}, opts...)
			return err
		},
		"identity.refresh_and_get": func(ctx context.Context, c *Client, id string, opts ...CallOption) error {
			_, err := c.Identity.RefreshAndGet(ctx, id, RefreshOptions{}, opts...)
			return err
		},
		"auth.refresh_and_numbers": func(ctx context.Context, c *Client, id string, opts ...CallOption) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, id, RefreshOptions{}, opts...)
			return err
		},
	}
	for name, row := range rows {
		if row.On != nil && name != "auth.get" { // which has a token for an id
			byID[name] = row.On
		}
	}
	bad := []string{
		"", ".", "..", "../admin", "a/b", "a?x=1", "a#x", "a%2fb", "%2e%2e", "a\\b", "a\x00b", "a\r\nX-Evil: 1",
		"a b", " dsl_1", "dsl_1\n", "ключ", "dsl_\xff", strings.Repeat("x", 129),
	}
	supermetricsToo := []string{strings.Repeat("x", 51), "a.b", "a~b", "a;b", "a:b", "a@b", "a+b"}
	for name, call := range byID {
		all, longest := bad, 128
		if ofSupermetrics(name) {
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

// MoneyKit's ids are opaque: they are escaped as one segment, and not checked further.
func TestOpaqueIDs(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(404, "") })
	_, err := c.Identity.Link(t.Context(), "mk_a;b:c=d,e~f")
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, "/links/mk_a%3Bb:c=d%2Ce~f", m.requests[0].URL.EscapedPath())
}

// An API without a credential gets no request, and neither does an API whose credential does not
// fit.
func TestNotConfigured(t *testing.T) {
	supermetrics := []Option{WithSupermetrics(BearerToken(testKey))}
	moneyKit := []Option{WithMoneyKit(ClientHeaders(testID, testSecret))}
	for name, call := range calls {
		opts := supermetrics
		if ofSupermetrics(name) {
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
		good := func(*http.Request) *http.Response { return reply(200, golden(t, "links.get/sample.json")) }
		c, m := inMemory(t, good, moneyKit...)
		require.NoError(t, calls["links.get"](t.Context(), c, WithToken("otok_0001")))
		require.Equal(t, "Bearer otok_0001", m.requests[0].Header.Get("Authorization"))
	})
}
