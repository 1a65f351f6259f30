package duolink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asError is the package's error in err, which has to be one.
func asError(t *testing.T, err error) *Error {
	t.Helper()
	require.Error(t, err)
	e, ok := errors.AsType[*Error](err)
	require.Truef(t, ok, "%T is no *Error", err)
	return e
}

var kinds = []error{
	ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrDeleted, ErrConflict, ErrValidation, ErrBankLinkState, ErrRateLimited,
	ErrServer, ErrArgument, ErrNotConfigured, ErrMalformedResponse, ErrResponseTooLarge,
	ErrLoginLinkClosed, ErrLoginLinkExpired, ErrLoginPending, ErrRedirectMismatch, ErrRefreshPending, ErrRefreshFailed, ErrProductUnavailable,
}

// wrapper is somebody else's error.
type wrapper struct{ inner error }

func (w wrapper) Error() string { return "wrapped" }
func (w wrapper) Unwrap() error { return w.inner }

// kindIs expects one kind and no other, at the surface and under three layers.
func kindIs(t *testing.T, err, kind error) {
	t.Helper()
	wrapped := error(wrapper{errors.Join(errors.New("another"), fmt.Errorf("context: %w", err))})
	for _, k := range kinds {
		require.Equalf(t, k == kind, errors.Is(err, k), "%v: is it %v?", err, k)
		require.Equalf(t, k == kind, errors.Is(wrapped, k), "%v, wrapped: is it %v?", err, k)
	}
	require.Same(t, asError(t, err), asError(t, wrapped))
}

// The bodies of an error with a code, in each dialect.
func envelopeBody(code string) string {
	return fmt.Sprintf(`{"meta":{"request_id":"req-body-0001"},"error":{"code":%q,"message":"It went wrong","description":"And how"}}`, code)
}

func flatBody(code string) string { return fmt.Sprintf(`{"error":%q,"message":"It went wrong"}`, code) }

func nativeBody(code string) string {
	return fmt.Sprintf(`{"error_code":%q,"error_message":"It went wrong","documentation_url":"https://docs.example.com/e"}`, code)
}

func plaidBody(family, code string) string {
	return fmt.Sprintf(`{"error_type":%q,"error_code":%q,"error_message":"It went wrong","display_message":null,"request_id":"req-body-0001"}`, family, code)
}

// A link error says what a 422 is about, also beside a code that nobody knows.
func TestLinkErrorCode(t *testing.T) {
	const body = `{"error_code":"link_error.new","error_message":"It went wrong","link_error_code":"auth_expired"}`
	err := calls["identity.get"](t.Context(), replying(t, 422, body))
	kindIs(t, err, ErrBankLinkState)
	require.Equal(t, BankLinkErrorAuthExpired, asError(t, err).BankLinkErrorCode)
	require.EqualValues(t, "link_error.new", asError(t, err).Code)
}

// plain is what an error says, without what it is about.
type plain struct {
	kind                          error
	code                          Code
	message, description, request string
	fields                        []FieldError
	plaid                         PlaidErrorType
	link                          BankLinkErrorCode
	display, action, docs         string
}

func plainOf(e *Error) plain {
	return plain{
		e.kind(), e.Code, e.Message, e.Description, e.RequestID, e.Fields, e.PlaidType, e.BankLinkErrorCode, e.DisplayMessage, e.SuggestedAction,
		e.DocumentationURL,
	}
}

func TestErrorShapes(t *testing.T) {
	const header = "req-header-0001" // where the body has none
	refused := []FieldError{
		{Location: "body.products.0", Message: "value is not a valid enumeration member", Type: "type_error.enum"},
		{Location: "query.account_ids", Message: "field required", Type: "value_error.missing"},
	}
	shapes := map[string]struct {
		operation string
		status    int
		want      plain
	}{
		"array.json":         {"links.get", 503, plain{kind: ErrServer, request: header}},
		"detail_list.json":   {"identity.get", 422, plain{kind: ErrValidation, message: "value is not a valid enumeration member", request: header, fields: refused}},
		"detail_object.json": {"identity.get", 503, plain{kind: ErrServer, message: "The service is being upgraded", request: header}},
		"detail_string.json": {"identity.get", 404, plain{kind: ErrNotFound, message: "Not Found", request: header}},
		"empty.json":         {"links.get", 502, plain{kind: ErrServer, request: header}},
		"free_text.json":     {"links.get", 429, plain{kind: ErrRateLimited, message: "rate limited", request: header}},
		"html.html":          {"links.get", 502, plain{kind: ErrServer, request: header}},
		"invalid_utf8.json": {"links.get", 400, plain{
			kind: ErrBadRequest, code: CodeBadRequest, message: "Unexpected bytes \ufffd\ufffd\ufffd( in the parameter", request: "EXAMPLEREQ_error_0007",
		}},
		"moneykit_link_state.json": {"identity.get", 422, plain{
			kind: ErrBankLinkState, code: CodeBadLinkState, message: "The link is in an error state and cannot serve this request.",
			link: BankLinkErrorAuthExpired, docs: "https://docs.example.com/errors#link_error-bad_state", request: header,
		}},
		"moneykit_native.json": {"identity.get", 404, plain{
			kind: ErrNotFound, code: CodeBankLinkNotFound, message: "The link was not found.",
			docs: "https://docs.example.com/errors#link_error-not_found", request: header,
		}},
		"moneykit_validation.json": {"identity.refresh", 422, plain{
			kind: ErrValidation, code: CodeRequestValidationFailed, message: "The request failed validation.", fields: refused, request: header,
		}},
		"oauth.json": {"links.get", 401, plain{
			kind: ErrUnauthorized, code: CodeOAuthInvalidToken, description: "The access token is expired, revoked or malformed", request: header,
		}},
		"plaid.json": {"auth.get", 400, plain{
			kind: ErrBankLinkState, code: CodeItemLoginRequired, plaid: PlaidErrorTypeItemError,
			message: "the login details of this item have changed and a user login is required to update this information",
			display: "Please sign in to your bank again.", action: "Send the user through the update flow.",
			docs: "https://docs.example.com/errors/item/#item_login_required", request: "example-req-plaid-0001",
		}},
		"plaid_nulls.json": {"auth.get", 400, plain{
			kind: ErrUnauthorized, code: CodeInvalidAPIKeys, plaid: PlaidErrorTypeInvalidInput, message: "invalid client_id or secret provided", request: header,
		}},
		"plaid_status_float.json": {"auth.get", 429, plain{
			kind: ErrRateLimited, code: CodeAuthLimit, plaid: PlaidErrorTypeRateLimitExceeded,
			message: "rate limit exceeded for attempts to access this item, please try again later",
			docs:    "https://docs.example.com/errors/rate-limit-exceeded/", request: "example-req-plaid-0002",
		}},
		"problem.json": {"identity.get", 429, plain{
			kind: ErrRateLimited, message: "The limit of 15 requests per minute for this link was reached.", request: header,
		}},
		"scalar.json":                   {"links.get", 503, plain{kind: ErrServer, request: header}},
		"supermetrics_code_number.json": {"links.get", 429, plain{kind: ErrRateLimited, code: "42901", message: "Too many requests", request: "EXAMPLEREQ_error_0003"}},
		"supermetrics_envelope.json": {"links.get", 403, plain{
			kind: ErrForbidden, code: CodeForbidden, message: "Access to this resource is forbidden",
			description: "The credential is missing the scope ds_logins_read.", request: "EXAMPLEREQ_error_0001",
		}},
		"supermetrics_envelope_details.json": {"links.create", 422, plain{
			kind: ErrValidation, code: CodeUnprocessableEntity, message: "The request could not be processed",
			description: "One or more parameters are not valid.", request: "EXAMPLEREQ_error_0002",
			fields: []FieldError{
				{Location: "ds_id", Message: "This value should not be blank."},
				{Location: "expiry_time", Message: "This value is not a valid date-time."},
			},
		}},
		"supermetrics_envelope_no_meta.json": {"links.get", 401, plain{
			kind: ErrUnauthorized, code: CodeUnauthorized, message: "Authentication is required", request: header,
		}},
		"supermetrics_error_list.json": {"links.create", 400, plain{
			kind: ErrBadRequest, code: CodeValidationError, message: "ds_id is required", request: "EXAMPLEREQ_error_0005",
			fields: []FieldError{
				{Message: "ds_id is required", Type: "VALIDATION_ERROR"},
				{Message: "expiry_time is not a date-time", Type: "INVALID_PARAMETER"},
			},
		}},
		"supermetrics_flat.json": {"links.get", 404, plain{
			kind: ErrNotFound, code: CodeLinkNotFound, message: "Login link not found", request: header,
		}},
		"supermetrics_message_null.json": {"links.get", 500, plain{kind: ErrServer, code: CodeInternalServerError, request: "EXAMPLEREQ_error_0004"}},
		"text.txt":                       {"links.get", 503, plain{kind: ErrServer, request: header}},
		"truncated.json":                 {"links.get", 500, plain{kind: ErrServer, code: CodeInternalServerError, request: "EXAMPLEREQ_error_0006"}},
	}
	files, err := os.ReadDir("testdata/errors")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			tc, ok := shapes[file.Name()]
			require.True(t, ok, "no expectation")
			err := calls[tc.operation](t.Context(), replying(t, tc.status, golden(t, "errors/"+file.Name()), "X-Request-Id", header))
			require.Equal(t, tc.want, plainOf(asError(t, err)))
			kindIs(t, err, tc.want.kind)
		})
	}
}

// oneLine expects the text of an error to be short, on one line, and without anything of where it came from.
func oneLine(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.LessOrEqual(t, len(text), 300)
	require.NotContains(t, text, "\n")
	for _, never := range []string{"http://", "https://", "api.supermetrics.com", "api.moneykit.com", "/ds/", "/links/", "<html", "{", "?"} {
		require.NotContains(t, text, never)
	}
	for _, r := range text {
		require.Truef(t, r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0), "%q in %q", r, text)
	}
}

func TestErrorTextIsShort(t *testing.T) {
	mega := strings.Repeat("It went wrong. ", 70_000)
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		return string(b)
	}
	for name, body := range map[string]string{
		"a megabyte":         `{"meta":{"request_id":"EXAMPLEREQ_0001"},"error":{"code":"INTERNAL_SERVER_ERROR","message":` + quoted(mega) + `}}`,
		"more than is read":  `{"error":{"code":"INTERNAL_SERVER_ERROR","message":` + quoted(mega+mega) + `}}`,
		"multi-byte":         `{"error":{"code":"INTERNAL_SERVER_ERROR","message":` + quoted(strings.Repeat("ключ", 9999)) + `}}`,
		"many lines":         `{"message":"one\r\ntwo\n\n\tthree\u0000\u001b[31mfour\u0085\u2028five\u2029"}`,
		"a long code":        `{"error":` + quoted(strings.Repeat("CODE_", 50_000)) + `}`,
		"a long request id":  `{"meta":{"request_id":` + quoted(strings.Repeat("x", 50_000)) + `}}`,
		"a request id's end": `{"meta":{"request_id":"a\nb c"},"error":"NOT_FOUND"}`,
		"a megabyte of HTML": "<html>" + mega + "</html>",
		"many fields":        `{"detail":[` + strings.Repeat(`{"loc":["body"],"msg":"m"},`, 10_000) + `{}]}`,
		"deep":               strings.Repeat(`{"detail":`, 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			operations := []string{"identity.refresh", "logins.query_accounts", "auth.get"}
			if inShort() {
				operations = operations[:1]
			}
			for _, operation := range operations {
				err := calls[operation](t.Context(), replying(t, 500, body))
				require.ErrorIs(t, err, ErrServer)
				oneLine(t, err)
				for _, text := range printed(err)[:12] {
					require.LessOrEqual(t, len(text), 1000) // %x doubles, a struct adds braces
				}
			}
		})
	}
}

// A status without any words has net/http's.
func TestErrorTextWithoutMessage(t *testing.T) {
	for status, want := range map[int]string{
		404: "duolink: links.get: 404: Not Found", 502: "duolink: links.get: 502: Bad Gateway", 499: "duolink: links.get: 499",
	} {
		require.EqualError(t, calls["links.get"](t.Context(), replying(t, status, "")), want)
	}
	require.EqualError(t, calls["links.get"](t.Context(), unasked(t, WithMoneyKit(ClientHeaders(testID, testSecret)))),
		"duolink: links.get: not configured: the client has no credential for this API")
	require.EqualError(t, calls["links.get"](t.Context(), replying(t, 200, "[]")),
		"duolink: links.get: 200: malformed response: the answer is not a JSON object")
}

// Servers quote what they were sent. It stays out of every field and every printed form.
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
		"bearer and id": {both, dropped(func(ctx context.Context, c *Client) (*Login, error) { return c.Logins.Get(ctx, loginID) }), []string{testKey, loginID}},
		"bearer of a call": {both, dropped(func(ctx context.Context, c *Client) (*Login, error) {
			return c.Logins.Get(ctx, loginID, WithToken("tenant-confidential-1"))
		}), []string{"tenant-confidential-1", loginID}},
		"header of a call": {both, with(WithHeader("X-Trace", "trace-confidential-1")), []string{"trace-confidential-1", testKey}},
		"user":             {both, queryAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}), []string{user, testKey}},
		"user, streamed":   {both, streamAccounts(AccountsQuery{DataSourceID: "GAWA", Users: []string{user}}), []string{user, testKey}},
		"login link": {both, create(LoginLinkCreate{RequireUsername: user, RedirectURL: redirect, Description: "Project Confidential"}), []string{
			user, redirect, "Project Confidential",
		}},
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
				"message": "Invalid: " + quoted + "!", "description": quoted + " is " + quoted, "display_message": quoted, "suggested_action": quoted,
				"documentation_url": "https://docs.example.com/" + quoted, "error_type": quoted, "link_error_code": quoted, "request_id": quoted,
				"code": quoted, "validation_errors": []any{map[string]any{"location": []any{quoted}, "message": quoted, "type": quoted}},
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

// A refused exchange is an error of its own operation, and quotes neither id nor secret.
func TestExchangeRefused(t *testing.T) {
	for _, status := range []int{400, 401} {
		body := `{"error_code":"api_error.auth.unauthorized","error_message":"No client ` + testID + ` with ` + testSecret + `"}`
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(status, body) }, WithMoneyKit(ClientCredentials(testID, testSecret)))
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

// What a code's constant says stays readable although an argument happens to be a part of it.
func TestCodesSurviveScrubbing(t *testing.T) {
	c := replying(t, 404, `{"error":"LOGIN_NOT_FOUND","message":"No LOGIN here"}`)
	_, err := c.Logins.Get(t.Context(), "LOGIN")
	require.Equal(t, CodeLoginNotFound, asError(t, err).Code)
	require.NotContains(t, asError(t, err).Message, "LOGIN")
}

func TestRetryAfterOfAnError(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 0, "30": 30 * time.Second, " 86400 ": 24 * time.Hour, "soon": 0} {
		err := calls["links.get"](t.Context(), replying(t, 429, "", "Retry-After", value))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, want, asError(t, err).RetryAfter, "%q", value)
	}
}

// A connection that fails is no kind; it keeps its cause and loses its URL.
func TestTransportError(t *testing.T) {
	cause := errors.New("dial https://user:pa55word@proxy.example.com/?x=1")
	failing := roundTrip(func(*http.Request) (*http.Response, error) { return nil, cause })
	c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(&http.Client{Transport: failing}), withoutRetries())
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
		require.Equal(t, OutcomeUnknown, e.Outcome, "a transport that tells nothing of its connections may have sent it")
		oneLine(t, err)
		for _, form := range append(printed(err), logged(err)...) {
			require.NotContains(t, form, "pa55word")
			require.NotContains(t, form, "api.supermetrics.com")
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The text says how often the request was sent, if that is more than once.
func TestErrorTextOfAttempts(t *testing.T) {
	for attempts, more := range map[int]string{0: "", 1: "", 2: " after 2 attempts", 120: " after 120 attempts"} {
		e := &Error{Operation: "links.get", StatusCode: 404, RequestID: "req-1", Attempts: attempts}
		require.EqualError(t, e, "duolink: links.get: 404: Not Found (request req-1)"+more)
	}
}

// Every verb prints the text of the error, and %q quotes it.
func TestErrorUnderEveryVerb(t *testing.T) {
	e := &Error{Operation: "links.get", StatusCode: 404, Code: CodeLinkNotFound, Message: `no "such" link`}
	const text = `duolink: links.get: 404 LINK_NOT_FOUND: no "such" link`
	require.EqualError(t, e, text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%t", "%e"} {
		require.Equal(t, text, fmt.Sprintf(verb, e), verb)
	}
	require.Equal(t, `"duolink: links.get: 404 LINK_NOT_FOUND: no \"such\" link"`, fmt.Sprintf("%q", e))
}

// A message of 200 bytes is whole. A longer one is cut there, or before the character that stands
// there.
func TestBriefIsCutBetweenCharacters(t *testing.T) {
	for length := range 200 {
		s := strings.Repeat("a", length)
		require.Equal(t, s, brief(s))
	}
	long := strings.Repeat("a", 200)
	for _, whole := range []string{long, strings.Repeat("é", 100), long[:196] + "😀"} {
		require.Len(t, whole, 200)
		require.Equal(t, whole, brief(whole))
		require.Equal(t, whole+"...", brief(whole+"a"))
	}
	for _, character := range []string{"a", "é", "€", "😀"} {
		for before := range len(character) {
			whole := long[:200-before]
			require.Equal(t, whole+"...", brief(whole+character+"b"), "%d bytes of %s fit", before, character)
		}
	}
}

// What stands where a code may stand is one if it looks like one, and a message otherwise.
func TestWhatLooksLikeACode(t *testing.T) {
	codes := []string{
		"NOT_FOUND", "N", "N1", "OAUTH2_ERROR", "A_", "A__B", "invalid_token", "n1",
		"link_error.not_found", "a.", "a.b.c", "42", "0", strings.Repeat("A", 100),
	}
	messages := []string{
		"_NOT_FOUND", "_", "_a", ".not_found", ".", "1_A", "4XX", "4xx", "1.5", "1_000", "Not_Found", "A.B", "A-B",
		"not found", "é", "-1", strings.Repeat("A", 101), strings.Repeat("1", 101),
	}
	for _, text := range slices.Concat(codes, messages) {
		for _, member := range []string{"error", "code", "error_code"} {
			body, err := json.Marshal(map[string]string{member: text})
			require.NoError(t, err)
			e := asError(t, calls["links.get"](t.Context(), replying(t, 400, string(body))))
			if slices.Contains(codes, text) {
				require.Equal(t, Code(text), e.Code, member)
				require.Empty(t, e.Message, member)
			} else {
				require.Empty(t, e.Code, "%s: %q", member, text)
				require.Equal(t, text, e.Message, member)
			}
		}
	}
}

// A code that is empty, null or no text takes nothing away from the one that another member has
// brought.
func TestAnEmptyCodeErasesNone(t *testing.T) {
	for _, empty := range []string{`""`, `null`, `{}`, `[]`, `true`} {
		for _, body := range []string{
			`{"error_code":"NOT_FOUND","code":` + empty + `}`, `{"code":` + empty + `,"error_code":"NOT_FOUND"}`,
			`{"error":{"code":"NOT_FOUND","error_code":` + empty + `}}`,
		} {
			e := asError(t, calls["links.get"](t.Context(), replying(t, 400, body)))
			require.Equal(t, CodeNotFound, e.Code, body)
		}
	}
}

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

// Of an error in a 2xx the code decides, whichever 2xx it is. From 400 on the status does.
func TestCodeDecidesBelow300(t *testing.T) {
	for status, kind := range map[int]error{
		200: ErrForbidden, 201: ErrForbidden, 202: ErrForbidden, 206: ErrForbidden, 299: ErrForbidden,
		300: ErrMalformedResponse, 399: ErrMalformedResponse, // no answer of the API
		400: ErrBadRequest, 403: ErrForbidden, 499: ErrBadRequest, 500: ErrServer, 599: ErrServer,
	} {
		kindIs(t, calls["links.get"](t.Context(), replying(t, status, envelopeBody("FORBIDDEN"))), kind)
	}
}
