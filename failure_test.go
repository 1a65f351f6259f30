package duolink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Servers quote requests. The quotation is in no field and in no printed form of an error.
func TestNothingConfidentialIsPrinted(t *testing.T) {
	const (
		loginID, token, account = "dsl_confidential_1", "access-confidential-1", "acc_confidential_1"
		user, redirect          = "avery.confidential@example.com", "https://app.example.com/confidential"
		// One credential may begin with the other.
		id, secret = "mk-confidential", "mk-confidential-secret-0001"
	)
	both := []Option{WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(id, secret))}
	traded := []Option{WithMoneyKit(ClientCredentials(id, secret))}
	for name, tc := range map[string]struct {
		options []Option
		call    func(context.Context, *Client) error
		quoted  []string
	}{
		"bearer and id": {
			both, dropped(func(ctx context.Context, c *Client) (*Login, error) { return c.Logins.Get(ctx, loginID) }),
			[]string{testKey, loginID},
		},
		"bearer of a call": {both, dropped(func(ctx context.Context, c *Client) (*Login, error) {
			return c.Logins.Get(ctx, loginID, WithToken("tenant-confidential-1"))
		}), []string{"tenant-confidential-1", loginID}},
		"header of a call": {
			both, with(WithHeader("X-Trace", "trace-confidential-1")), []string{"trace-confidential-1", testKey},
		},
		"user": {
			both, queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}), []string{user, testKey},
		},
		"user, streamed": {
			both, streamAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}), []string{user, testKey},
		},
		"login link": {
			both,
			create(LoginLinkCreate{RequireUsername: user, RedirectURL: redirect, Description: "Project Confidential"}),
			[]string{user, redirect, "Project Confidential"},
		},
		"description":          {both, update("Project Confidential"), []string{"Project Confidential", "dsll_1"}},
		"page":                 {both, accounts(PageOptions{Offset: 1}), []string{"dsl_1", testKey}},
		"client id and secret": {both, identityOf(account), []string{id, secret, bankLink, account}},
		"refresh":              {both, refresh(ProductIdentity), []string{id, secret, bankLink}},
		"access token":         {both, numbersOf(token, account), []string{token, account, id, secret}},
		"padded access token":  {both, numbersOf(" " + token + " "), []string{token}},
		"traded access token":  {traded, refresh(ProductIdentity), []string{"example-access-token-0001", bankLink}},
	} {
		for _, quoted := range tc.quoted {
			body := map[string]any{
				"message": "Invalid: " + quoted + "!", "description": quoted + " is " + quoted,
				"display_message":   quoted,
				"suggested_action":  quoted,
				"documentation_url": "https://docs.example.com/" + quoted, "error_type": quoted,
				"link_error_code": quoted,
				"request_id":      quoted,
				"code":            quoted,
				"validation_errors": []any{map[string]any{"location": []any{quoted}, "message": quoted,
					"type": quoted}},
			}
			text, err := json.Marshal(body)
			require.NoError(t, err)
			for _, status := range []int{400, 422, 429, 500} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, quoted, status), func(t *testing.T) {
					c, _ := inMemory(t, func(r *http.Request) *http.Response {
						if r.URL.Path == "/auth/token" {
							return reply(201, golden(t, "auth.token/sample.json"))
						}
						return reply(status, string(text), "X-Request-Id", quoted)
					}, tc.options...)
					err := tc.call(t.Context(), c)
					e := asError(t, err)
					require.Equal(t, status, e.StatusCode)
					require.NotEmpty(t, e.Message)
					for _, form := range append(printed(err), logged(err)...) {
						require.NotContains(t, form, quoted)
						if quoted == secret {
							require.NotContains(t, form, "secret-0001", "the rest of a secret that begins like the id")
						}
					}
				})
			}
		}
	}
}

// logged are the forms in which slog writes an error.
func logged(err error) []string {
	var text, jsonText strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Error("failed", "err", err)
	slog.New(slog.NewJSONHandler(&jsonText, nil)).Error("failed", "err", err, "wrapped", fmt.Errorf("context: %w", err))
	return []string{text.String(), jsonText.String()}
}

// The error of a refused exchange names its own operation, and quotes neither id nor secret.
func TestExchangeRefused(t *testing.T) {
	for _, status := range []int{400, 401} {
		body := `{"error_code":"api_error.auth.unauthorized","error_message":"No client ` + testID + ` with ` +
			testSecret +
			`"}`
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(status, body) },
			WithMoneyKit(ClientCredentials(testID, testSecret)))
		err := calls["identity.link"](t.Context(), c)
		kindIs(t, err, ErrUnauthorized)
		e := asError(t, err)
		require.Equal(t, "auth.token", e.Operation)
		require.Equal(t, CodeAuthUnauthorized, e.Code)
		require.Equal(t, status, e.StatusCode)
		require.Len(t, m.requests, 1)
		for _, form := range append(printed(err), logged(err)...) {
			require.NotContains(t, form, testID)
			require.NotContains(t, form, testSecret)
		}
	}
}

// A documented code stays readable even if an argument is a part of it.
func TestCodesSurviveScrubbing(t *testing.T) {
	c := replying(t, 404, `{"error":"LOGIN_NOT_FOUND","message":"No LOGIN here"}`)
	_, err := c.Logins.Get(t.Context(), "LOGIN")
	require.Equal(t, CodeLoginNotFound, asError(t, err).Code)
	require.NotContains(t, asError(t, err).Message, "LOGIN")
}

// The error of a failed connection has no kind. It keeps its cause and loses its URL.
func TestTransportError(t *testing.T) {
	cause := errors.New("dial https://user:pa55word@proxy.example.com/?x=1")
	failing := roundTrip(func(*http.Request) (*http.Response, error) { return nil, cause })
	c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(&http.Client{Transport: failing}),
		withoutRetries())
	require.NoError(t, err)
	for _, operation := range []string{"links.get", "links.create", "logins.query_accounts, streamed"} {
		err = calls[operation](t.Context(), c)
		require.ErrorIs(t, err, cause)
		_, located := errors.AsType[*url.Error](err)
		require.False(t, located, "what wraps the cause prints its URL")
		for _, k := range kinds {
			require.NotErrorIs(t, err, k)
		}
		e := asError(t, err)
		require.Equal(t, operationOf(operation), e.Operation)
		require.Zero(t, e.StatusCode)
		require.Equal(t, OutcomeUnknown, e.Outcome,
			"a transport that tells nothing of its connections may have sent it")
		oneLine(t, err)
		for _, form := range append(printed(err), logged(err)...) {
			require.NotContains(t, form, "pa55word")
			require.NotContains(t, form, "api.supermetrics.com")
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The request id is the first of the body that says something and can be printed, else the
// header's.
func TestWhichRequestID(t *testing.T) {
	const header = "req-header-0001"
	of := func(id string) string { return fmt.Sprintf(`{"meta":{"request_id":%q}}`, id) }
	for body, want := range map[string]string{
		`{"meta":{"request_id":"a1"},"request_id":"b2"}`: "a1",
		`{"request_id":"b2","meta":{"request_id":"a1"}}`: "b2",
		`{"request_id":"b2","request_id":"c3"}`:          "b2",
		`{"meta":{"request_id":""},"request_id":"b2"}`:   "b2",
		`{"meta":{"request_id":null},"request_id":"b2"}`: "b2",
		`{"request_id":[],"meta":{"request_id":"a1"}}`:   "a1",
		`{"meta":{"request_id":"a1"},"rest":`:            "a1",
		`{"meta":{"request_id":"a1"},}`:                  "a1",
		`{"request_id":42}`:                              "42",
		`{"request_id":"b`:                               header,
		`{"data":{"request_id":"d4"}}`:                   header,
		`[]`:                                             header,
		of("a~1!#"):                                      "a~1!#",
		of("a 1"):                                        header,
		of("a\t1"):                                       header,
		of("a\x7f1"):                                     header,
		of("a%31"):                                       header,
		of("a&1"):                                        header,
		of("a'1"):                                        header,
		of("a<1"):                                        header,
		of("a>1"):                                        header,
		`{"request_id":"a\\1"}`:                          header,
		`{"request_id":"a\"1"}`:                          header,
		of(strings.Repeat("x", 128)):                     strings.Repeat("x", 128),
		of(strings.Repeat("x", 129)):                     header,
		`{"pad":"` + strings.Repeat("x", 64<<10) + `",` + of("a1"): header, // too far from the beginning
	} {
		for _, status := range []int{200, 404} {
			e := asError(t, calls["auth.get"](t.Context(), replying(t, status, body, "X-Request-Id", header)))
			require.Equal(t, want, e.RequestID, "%.60s", body)
		}
	}
	for id, want := range map[string]string{"a~1": "a~1", "a 1": "", "": "", strings.Repeat("x", 129): ""} {
		e := asError(t, calls["auth.get"](t.Context(), replying(t, 404, `{}`, "X-Request-Id", id)))
		require.Equal(t, want, e.RequestID)
	}
}
