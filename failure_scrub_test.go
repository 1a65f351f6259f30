package duolink

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Every text that the caller sent is confidential, except the vendor's own words.
func TestQuotedArguments(t *testing.T) {
	createOf := func(l LoginLinkCreate) func(context.Context, *Client) error {
		return dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Create(ctx, l) })
	}
	for name, tc := range map[string]struct {
		call   func(context.Context, *Client) error
		quoted string
		want   string
	}{
		"data source of a link": {createOf(LoginLinkCreate{DataSourceID: "ACME_SOURCE"}), "ACME_SOURCE", "[redacted]"},
		"expiry of a link": {
			createOf(LoginLinkCreate{DataSourceID: "GAWA", Expires: "ten o'clock"}), "ten o'clock", "[redacted]",
		},
		"data source of accounts": {queryAccounts(AccountsQuery{DataSourceID: "ACME_SOURCE"}), "ACME_SOURCE",
			"[redacted]"},
		"a product of nobody":  {refresh("acme_product"), "acme_product", "[redacted]"},
		"a documented product": {refresh(ProductIdentity), "identity", "identity"},
		"the base's path":      {getLink, "/gateway-key-0001/v2/ds/login", "/[redacted]/ds/login"},
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

// A part of a credential is confidential, too, wherever it was in the request. Of other texts only
// the whole is private.
func TestQuotedInPart(t *testing.T) {
	const token = "access-sandbox-8ab976e6-64bc"
	half := func(s string) string { return s[:len(s)*2/3] + "..." }
	coded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte("x:" + s)) }
	supermetrics, headers := WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret))
	for name, tc := range map[string]struct {
		option Option
		call   func(context.Context, *Client) error
		quoted string
		want   string
	}{
		"key":                 {supermetrics, getLink, half(testKey), "[redacted]..."},
		"key, coded":          {supermetrics, getLink, coded(testKey), "[redacted]"},
		"token of a call":     {supermetrics, with(WithToken(token)), half(token), "[redacted]..."},
		"secret":              {headers, getBankLink, half(testSecret), "[redacted]..."},
		"access token":        {headers, numbersOf(token), half(token), "[redacted]..."},
		"access token, coded": {headers, numbersOf(token), coded(token), "[redacted]"},
		"very short secret":   {WithMoneyKit(ClientHeaders(testID, "pw1")), getBankLink, "pw1", "[redacted]"},
		"exchanged secret": {
			WithMoneyKit(ClientCredentials(testID, testSecret)), getBankLink, coded(testSecret), "[redacted]",
		},
		"description": {supermetrics, update("Project Confidential"), "Project Conf...", "Project Conf..."},
	} {
		t.Run(name, func(t *testing.T) {
			id := "r-" + tc.quoted
			body := mustJSON(map[string]any{
				"message": "Not " + tc.quoted, "description": "No " + tc.quoted, "code": tc.quoted, "request_id": id,
			})
			c, _ := inMemory(t, func(*http.Request) *http.Response { return reply(400, body, "X-Request-Id", id) },
				tc.option)
			e := asError(t, tc.call(t.Context(), c))
			require.Equal(t, []string{"Not " + tc.want, "No " + tc.want}, []string{e.Message, e.Description})
			if tc.want != tc.quoted {
				require.Empty(t, e.RequestID)
			}
		})
	}
}

// The search for secrets costs time, so the request id of a good answer is read only if it is
// shown.
func TestGoodCallsAreNotSearched(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	loud := slog.New(slog.NewTextHandler(new(strings.Builder), &slog.HandlerOptions{Level: slog.LevelDebug}))
	hook := func(context.Context, Attempt) {}
	for name, tc := range map[string]struct {
		option Option
		call   []CallOption
		status int
		looked bool
	}{
		"nobody asks":         {status: 200},
		"a hook of the start": {option: WithHooks(Hooks{AttemptStart: hook}), status: 200},
		"a quiet logger":      {option: WithLogger(quiet), status: 200},
		"a logger":            {option: WithLogger(loud), status: 200, looked: true},
		"a hook":              {option: WithHooks(Hooks{AttemptEnd: hook}), status: 200, looked: true},
		"a response":          {call: []CallOption{WithResponse(new(Response))}, status: 200, looked: true},
		"an error":            {status: 400, looked: true},
	} {
		t.Run(name, func(t *testing.T) {
			options := []Option{WithSupermetrics(BearerToken(testKey))}
			if tc.option != nil {
				options = append(options, tc.option)
			}
			c, _ := inMemory(t, func(*http.Request) *http.Response {
				return reply(tc.status, `{"data":[],"meta":{"request_id":"req-1"}}`)
			}, options...)
			asked := &askedForSecrets{authorizer: c.auth[Supermetrics]}
			c.auth[Supermetrics] = asked
			_, err := c.Logins.List(t.Context(), tc.call...)
			require.Equal(t, tc.status == 200, err == nil)
			require.Equal(t, tc.looked, asked.times > 0)
		})
	}
}

type askedForSecrets struct {
	authorizer
	times int
}

func (a *askedForSecrets) secrets() []string {
	a.times++
	return a.authorizer.secrets()
}

// A request id that quotes something is dropped, in any form.
func TestQuotedRequestIDs(t *testing.T) {
	const user = "Avery Sample+ads@example.com"
	for _, id := range []string{
		strings.ToUpper(testKey), strings.ToLower(user), strings.ReplaceAll(user, " ", "+"),
		url.QueryEscape(user), url.PathEscape(user), html.EscapeString(user + "&"),
		`a\u002bb`, "req-" + strings.ToUpper(testKey) + "-1",
	} {
		for _, status := range []int{200, 400} {
			var r Response
			c := replying(t, status, `{"data":[],"meta":{"request_id":`+mustJSON(id)+`}}`, "X-Request-Id", id)
			query := AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}
			_, err := c.Logins.QueryAccounts(t.Context(), query, WithResponse(&r))
			require.Equal(t, status == 200, err == nil)
			require.Empty(t, r.RequestID, id)
			require.Empty(t, r.Attempts[0].RequestID, id)
		}
	}
	for _, id := range []string{
		"BXaE0001", "1-67891233-abcdef012345678912345678", "Root=1-6789;Self=1-2", "|a.b_c+d/e==",
	} {
		var r Response
		_, err := replying(t, 200, `{"data":[]}`, "X-Request-Id", id).Logins.List(t.Context(), WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, id, r.RequestID)
	}
}

// The server may also quote a credential in the link's text about a refresh. A flow has no request
// of its own whose header would have the credential.
func TestQuotedInAFlow(t *testing.T) {
	for name, tc := range map[string]struct {
		credentials Credentials
		call        []CallOption
	}{
		"a token of the call": {ClientHeaders(testID, testSecret), []CallOption{WithToken(canaryTenant)}},
		"a token function": {BearerTokenFunc(func(context.Context) (string, error) { return canaryTenant, nil }),
			nil},
		"a token": {BearerToken(canaryTenant), nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := inMemory(t, func(r *http.Request) *http.Response {
					return reply(200, `{"link_id":"`+bankLink+`","state":"connected","products":{"identity":{
						"last_attempted_at":"`+time.Now().Format(time.RFC3339)+`","error_code":"no_permission",
						"error_message":"Not for `+r.Header.Get("Authorization")+`"}}}`)
				}, WithMoneyKit(tc.credentials))
				_, err := c.Identity.RefreshAndGet(t.Context(), bankLink, RefreshOptions{}, tc.call...)
				require.ErrorIs(t, err, ErrRefreshFailed)
				require.Equal(t, "Not for Bearer [redacted]", asError(t, err).Description)
			})
		})
	}
}

// fmt prints some values from the inside, without their methods: the context of a request, a client
// inside another value, and an error by value.
func TestInsides(t *testing.T) {
	var ctx context.Context
	gateway := "gateway-key-with-6789"
	failing := roundTrip(func(r *http.Request) (*http.Response, error) {
		ctx = r.Context()
		return nil, carrier[string]{r.URL.String()}
	})
	c, err := New(
		WithMoneyKit(ClientHeaders(canaryID, canarySecret)), WithBaseURL(MoneyKit, "https://host.test/"+gateway),
		WithHTTPClient(&http.Client{Transport: failing}), withoutRetries(),
	)
	require.NoError(t, err)
	query := IdentityQuery{AccountIDs: []string{canaryTenant}}
	_, err = c.Identity.Get(t.Context(), canaryAccess, query, WithHeader("X-Trace", canaryKey))
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
