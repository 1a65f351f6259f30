package duolink

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A server quotes a text as it saw it, in a URL or in JSON, and as it writes texts itself.
func TestQuotedInOtherForms(t *testing.T) {
	const text = `Söhne & "Blake+ads" <at>/example\com, 100% O'Neil`
	jsonText := func(s string) string {
		b, err := compactJSON(s)
		require.NoError(t, err)
		return string(b)
	}
	for name, form := range map[string]func(string) string{
		"itself":           func(s string) string { return s },
		"lower case":       strings.ToLower,
		"a query":          url.QueryEscape,
		"our own query":    func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") },
		"a path":           url.PathEscape,
		"a path, twice":    func(s string) string { return url.PathEscape(url.PathEscape(s)) },
		"JSON":             jsonText,
		"JSON for HTML":    func(s string) string { return mustJSON(s) },
		"JSON in ASCII":    func(s string) string { return fmt.Sprintf("%+q", s) },
		"JSON in JSON":     func(s string) string { return jsonText(jsonText(s)) },
		"JSON in our URL":  func(s string) string { return url.QueryEscape(jsonText(s)) },
		"HTML":             html.EscapeString,
		"HTML, twice":      func(s string) string { return html.EscapeString(html.EscapeString(s)) },
		"HTML with names":  strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&apos;", "<", "&lt;", ">", "&gt;").Replace,
		"HTML with points": strings.NewReplacer("&", "&#38;", `"`, "&#x22;", "'", "&#x0027;", "ö", "&#246;").Replace,
	} {
		t.Run(name, func(t *testing.T) {
			body := mustJSON(map[string]string{"error": "BAD_REQUEST", "message": "Not " + form(text) + "!"})
			_, err := replying(t, 400, body).Links.Update(t.Context(), "dsll_1", LinkUpdate{Description: text})
			require.Contains(t, asError(t, err).Message, "[redacted]")
			require.LessOrEqual(t, len(asError(t, err).Message), len(`Not "\"[redacted]\""!`))
		})
	}
	t.Run("control characters", func(t *testing.T) {
		body := mustJSON(map[string]string{"message": "Not " + jsonText("two\nlines\tand\r𝄞") + `, not two\nlines\tand\r\ud834\udd1e`})
		_, err := replying(t, 400, body).Links.Update(t.Context(), "dsll_1", LinkUpdate{Description: "two\nlines\tand\r𝄞"})
		require.NotContains(t, asError(t, err).Message, "lines")
	})
	t.Run("what is not quoted stays", func(t *testing.T) {
		_, err := replying(t, 400, `{"message":"The description is too long"}`).Links.Update(t.Context(), "dsll_1", LinkUpdate{Description: text})
		require.Equal(t, "The description is too long", asError(t, err).Message)
	})
}

// Every text that the caller sent is his, except for the words of the vendor's own.
func TestQuotedArguments(t *testing.T) {
	createOf := func(l LinkCreate) func(context.Context, *Client) error {
		return dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Create(ctx, l) })
	}
	for name, tc := range map[string]struct {
		call   func(context.Context, *Client) error
		quoted string
		want   string
	}{
		"data source of a link":   {createOf(LinkCreate{DataSourceID: "ACME_SOURCE"}), "ACME_SOURCE", "[redacted]"},
		"expiry of a link":        {createOf(LinkCreate{DataSourceID: "GAWA", Expires: "ten o'clock"}), "ten o'clock", "[redacted]"},
		"data source of accounts": {listAccounts(AccountsQuery{DataSourceID: "ACME_SOURCE"}), "ACME_SOURCE", "[redacted]"},
		"a product of nobody":     {refresh("acme_product"), "acme_product", "[redacted]"},
		"a documented product":    {refresh(ProductIdentity), "identity", "identity"},
		"the base's path":         {getLink, "/gateway-key-0001/v2/ds/login", "/[redacted]/ds/login"},
	} {
		t.Run(name, func(t *testing.T) {
			body := mustJSON(map[string]string{"message": "Not " + tc.quoted})
			c, _ := inMemory(t, func(*http.Request) *http.Response { return reply(400, body) },
				WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)),
				WithBaseURL(Supermetrics, "https://host.test/gateway-key-0001/v2/"))
			require.Equal(t, "Not "+tc.want, asError(t, tc.call(t.Context(), c)).Message)
		})
	}
}

// A request id that is a quotation is none, in whatever form.
func TestQuotedRequestIDs(t *testing.T) {
	const user = "Avery Sample+ads@example.com"
	for _, id := range []string{
		strings.ToUpper(testKey), strings.ToLower(user), strings.ReplaceAll(user, " ", "+"), url.QueryEscape(user), url.PathEscape(user), html.EscapeString(user + "&"),
		`a\u002bb`, "req-" + strings.ToUpper(testKey) + "-1",
	} {
		for _, status := range []int{200, 400} {
			var r Response
			c := replying(t, status, `{"data":[],"meta":{"request_id":`+mustJSON(id)+`}}`, "X-Request-Id", id)
			_, err := c.Logins.ListAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}, WithResponse(&r))
			require.Equal(t, status == 200, err == nil)
			require.Empty(t, r.RequestID, id)
			require.Empty(t, r.Attempts[0].RequestID, id)
		}
	}
	for _, id := range []string{"BXaE0001", "1-67891233-abcdef012345678912345678", "Root=1-6789;Self=1-2", "|a.b_c+d/e=="} {
		var r Response
		_, err := replying(t, 200, `{"data":[]}`, "X-Request-Id", id).Logins.List(t.Context(), WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, id, r.RequestID)
	}
}

// What a link says of its refresh is a server's word too, and a flow has no request of its own whose header would tell what
// the credential was.
func TestQuotedInAFlow(t *testing.T) {
	for name, tc := range map[string]struct {
		credentials Credentials
		call        []CallOption
	}{
		"a token of the call": {ClientHeaders(testID, testSecret), []CallOption{WithToken(canaryTenant)}},
		"a token function":    {BearerTokenFunc(func(context.Context) (string, error) { return canaryTenant, nil }), nil},
		"a token":             {BearerToken(canaryTenant), nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := inMemory(t, func(r *http.Request) *http.Response {
					return reply(200, `{"link_id":"`+bankLink+`","state":"connected","products":{"identity":{"last_attempted_at":"`+time.Now().Format(time.RFC3339)+
						`","error_code":"no_permission","error_message":"Not for `+r.Header.Get("Authorization")+`"}}}`)
				}, WithMoneyKit(tc.credentials))
				_, err := c.Identity.RefreshAndGet(t.Context(), bankLink, IdentityQuery{}, RefreshOptions{}, tc.call...)
				require.ErrorIs(t, err, ErrRefreshFailed)
				require.Equal(t, "Not for Bearer [redacted]", asError(t, err).Description)
			})
		})
	}
}

// What fmt asks no method of, it prints from the inside: the context of a request, a client that is hidden in another value,
// and an error by value.
func TestInsides(t *testing.T) {
	var ctx context.Context
	gateway := "gateway-key-with-6789"
	failing := roundTrip(func(r *http.Request) (*http.Response, error) {
		ctx = r.Context()
		return nil, carrier[string]{r.URL.String()}
	})
	c, err := New(WithMoneyKit(ClientHeaders(canaryID, canarySecret)), WithBaseURL(MoneyKit, "https://host.test/"+gateway), WithHTTPClient(&http.Client{Transport: failing}), withoutRetries())
	require.NoError(t, err)
	_, err = c.Identity.Get(t.Context(), canaryAccess, IdentityQuery{AccountIDs: []string{canaryTenant}}, WithHeader("X-Trace", canaryKey))
	texts := append([]string{gateway}, canaries...)
	discreet(t, "context", ctx, texts...)
	discreet(t, "hidden client", struct{ c *Client }{c}, texts...)
	discreet(t, "service", c.Identity, texts...)
	discreet(t, "error", err, texts...)
	discreet(t, "error by value", *asError(t, err), texts...)
	discreet(t, "errors by value", []Error{*asError(t, err)}, texts...)
	b, err := json.Marshal(asError(t, err))
	require.NoError(t, err)
	require.NotContains(t, string(b), gateway)
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A server that quotes much of a long text in a script without spaces costs no minutes: what it said is dropped then.
func TestScrubIsBounded(t *testing.T) {
	text := strings.Repeat("日", 990)
	c := replying(t, 422, `{"error":{"code":"X","message":"`+strings.Repeat("日", 300_000)+`"}}`)
	_, err := c.Links.Create(t.Context(), LinkCreate{DataSourceID: "GAWA", Description: text})
	kindIs(t, err, ErrValidation)
	require.Equal(t, "[redacted]", asError(t, err).Message)
	c = replying(t, 422, `{"error":{"code":"X","message":"`+text+` is too long"}}`)
	_, err = c.Links.Create(t.Context(), LinkCreate{DataSourceID: "GAWA", Description: text})
	require.Equal(t, "[redacted] is too long", asError(t, err).Message)
}
