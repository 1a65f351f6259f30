package duolink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// codeRow is a row of a vendor's table: a status, what it means, and the codes that come with it.
type codeRow struct {
	status int
	kind   error
	codes  map[string]Code // by the text on the wire
}

var supermetricsCodes = []codeRow{
	{400, ErrBadRequest, map[string]Code{
		"BAD_REQUEST": CodeBadRequest, "INVALID_PARAMETER": CodeInvalidParameter, "VALIDATION_ERROR": CodeValidationError,
	}},
	{401, ErrUnauthorized, map[string]Code{
		"UNAUTHORIZED": CodeUnauthorized, "ACCESS_TOKEN_INVALID": CodeAccessTokenInvalid,
		"INVALID_ACCESS_TOKEN": CodeInvalidAccessToken, "ACCESS_TOKEN_EXPIRED": CodeAccessTokenExpired,
		"INVALID_TOKEN": CodeInvalidToken, "TOKEN_REVOKED": CodeTokenRevoked, "API_KEY_INVALID": CodeAPIKeyInvalid,
		"API_KEY_REQUIRED": CodeAPIKeyRequired, "invalid_token": CodeOAuthInvalidToken,
	}},
	{403, ErrForbidden, map[string]Code{
		"FORBIDDEN": CodeForbidden, "PERMISSION_ERROR": CodePermissionError, "ACCESS_DENIED": CodeAccessDenied,
		"ACCESS_DENIED_IP": CodeAccessDeniedIP, "ACCESS_DENIED_PERMISSIONS": CodeAccessDeniedPermissions,
		"API_KEY_DISABLED": CodeAPIKeyDisabled, "LICENSE_EXPIRED": CodeLicenseExpired,
		"LICENSE_ACCOUNT_LIMIT_EXCEEDED": CodeLicenseAccountLimitExceeded, "LINK_LIMIT_EXCEEDED": CodeLinkLimitExceeded,
	}},
	{404, ErrNotFound, map[string]Code{
		"NOT_FOUND": CodeNotFound, "LINK_NOT_FOUND": CodeLinkNotFound, "LOGIN_NOT_FOUND": CodeLoginNotFound,
	}},
	{409, ErrConflict, map[string]Code{"CONFLICT_ERROR": CodeConflictError}},
	{422, ErrValidation, map[string]Code{
		"UNPROCESSABLE_ENTITY": CodeUnprocessableEntity, "UNPROCESSABLE_CONTENT": CodeUnprocessableContent,
		"VALIDATION_FAILED": CodeValidationFailed,
	}},
	{429, ErrRateLimited, map[string]Code{
		"TOO_MANY_REQUESTS": CodeTooManyRequests, "RATE_LIMIT_EXCEEDED": CodeRateLimitExceeded,
		"LICENSE_DAILY_QUERY_LIMIT_EXCEEDED": CodeLicenseDailyQueryLimitExceeded,
	}},
	{500, ErrServer, map[string]Code{
		"INTERNAL_SERVER_ERROR": CodeInternalServerError, "LOGIN_SEARCH_FAILED": CodeLoginSearchFailed,
		"LINK_UPDATE_FAILED": CodeLinkUpdateFailed, "LICENSE_NOT_FOUND": CodeLicenseNotFound,
		"LICENSE_ACCESS_DATA_SOURCE": CodeLicenseAccessDataSource,
	}},
	{502, ErrServer, map[string]Code{"SERVICE_UNAVAILABLE": CodeServiceUnavailable, "DUPLICATION_FAILED": CodeDuplicationFailed}},
	{503, ErrServer, map[string]Code{"SERVICE_UNAVAILABLE": CodeServiceUnavailable, "DUPLICATION_FAILED": CodeDuplicationFailed}},
}

var moneyKitCodes = []codeRow{
	{400, ErrUnauthorized, map[string]Code{"api_error.auth.unauthorized": CodeAuthUnauthorized}},
	{401, ErrUnauthorized, map[string]Code{
		"api_error.auth.expired_access_token": CodeExpiredAccessToken, "api_error.auth.unauthorized": CodeAuthUnauthorized,
		"link_error.unauthorized_access": CodeUnauthorizedAccess,
	}},
	{403, ErrForbidden, map[string]Code{"link_error.forbidden_action": CodeForbiddenAction}},
	{404, ErrNotFound, map[string]Code{"link_error.not_found": CodeBankLinkNotFound}},
	{410, ErrDeleted, map[string]Code{"link_error.deleted": CodeBankLinkDeleted}},
	{422, ErrBankLinkState, map[string]Code{"link_error.bad_state": CodeBadLinkState}},
	{422, ErrValidation, map[string]Code{"api_error.request.validation_failed": CodeRequestValidationFailed}},
	{429, ErrRateLimited, map[string]Code{"api_error.rate_limit_exceeded": CodeAPIRateLimitExceeded}},
}

func TestCodes(t *testing.T) {
	for _, table := range []struct {
		operation string
		rows      []codeRow
		body      func(string) string
		requestID string // the body's, else the header's
	}{
		{"links.get", supermetricsCodes, envelopeBody, "req-body-0001"},
		{"links.get", supermetricsCodes, flatBody, "req-header-0001"},
		{"identity.get", moneyKitCodes, nativeBody, "req-header-0001"},
		{"auth.get", moneyKitCodes, nativeBody, "req-header-0001"}, // may appear there too
	} {
		for _, row := range table.rows {
			for text, code := range row.codes {
				t.Run(fmt.Sprintf("%s/%d/%s", table.operation, row.status, text), func(t *testing.T) {
					body := table.body(text)
					err := calls[table.operation](t.Context(), replying(t, row.status, body, "X-Request-Id", "req-header-0001"))
					kindIs(t, err, row.kind)
					e := asError(t, err)
					require.Equal(t, code, e.Code)
					require.Equal(t, "It went wrong", e.Message)
					require.Equal(t, table.requestID, e.RequestID)
					require.Equal(t, row.status, e.StatusCode)
					require.Equal(t, table.operation, e.Operation)
					require.Equal(t, 1, e.Attempts)
					require.Equal(t, row.status >= 500, e.Outcome == OutcomeUnknown)
					require.Equal(t, row.status < 500, e.Outcome == OutcomeRejected)
					want := fmt.Sprintf("duolink: %s: %d %s: It went wrong (request %s)", table.operation, row.status, text, table.requestID)
					require.Equal(t, want, err.Error())
				})
			}
		}
	}
}

// plaidFamilies is the table of the Plaid-compatible layer, with the kind of each code. The status says little there.
var plaidFamilies = []struct {
	family PlaidErrorType
	wire   string
	status int
	kind   error // of the family, for a code that nobody knows
	codes  map[string]error
}{
	{PlaidErrorTypeInvalidInput, "INVALID_INPUT", 400, ErrBadRequest, map[string]error{
		"INVALID_ACCESS_TOKEN": ErrUnauthorized, "INVALID_ACCOUNT_ID": ErrBadRequest, "INVALID_API_KEYS": ErrUnauthorized,
		"UNAUTHORIZED_ENVIRONMENT": ErrUnauthorized,
	}},
	{PlaidErrorTypeInvalidRequest, "INVALID_REQUEST", 400, ErrBadRequest, map[string]error{
		"INVALID_BODY": ErrBadRequest, "MISSING_FIELDS": ErrBadRequest, "INVALID_FIELD": ErrBadRequest,
		"INCOMPATIBLE_API_VERSION": ErrBadRequest,
	}},
	{PlaidErrorTypeItemError, "ITEM_ERROR", 400, ErrBankLinkState, map[string]error{
		"ITEM_LOGIN_REQUIRED": ErrBankLinkState, "PRODUCT_NOT_READY": ErrBankLinkState, "PRODUCTS_NOT_SUPPORTED": ErrBankLinkState,
		"NO_AUTH_ACCOUNTS": ErrBankLinkState, "ACCESS_NOT_GRANTED": ErrForbidden, "NO_ACCOUNTS": ErrBankLinkState,
	}},
	{PlaidErrorTypeRateLimitExceeded, "RATE_LIMIT_EXCEEDED", 429, ErrRateLimited, map[string]error{
		"AUTH_LIMIT": ErrRateLimited, "ACCOUNTS_LIMIT": ErrRateLimited,
	}},
	{PlaidErrorTypeAPIError, "API_ERROR", 500, ErrServer, map[string]error{
		"INTERNAL_SERVER_ERROR": ErrServer, "PLANNED_MAINTENANCE": ErrServer,
	}},
	{PlaidErrorTypeInstitutionError, "INSTITUTION_ERROR", 400, ErrServer, map[string]error{"INSTITUTION_DOWN": ErrServer}},
	{PlaidErrorTypeOAuthError, "OAUTH_ERROR", 400, ErrBadRequest, map[string]error{"INCORRECT_OAUTH_NONCE": ErrBadRequest}},
	{"NEW_ERROR", "NEW_ERROR", 400, ErrBadRequest, map[string]error{"NEW_CODE": ErrBadRequest}},
}

// plaidConstants are the constants of the codes, by the text on the wire.
var plaidConstants = map[string]Code{
	"INVALID_ACCESS_TOKEN": CodeInvalidAccessToken, "INVALID_ACCOUNT_ID": CodeInvalidAccountID, "INVALID_API_KEYS": CodeInvalidAPIKeys,
	"UNAUTHORIZED_ENVIRONMENT": CodeUnauthorizedEnvironment, "INVALID_BODY": CodeInvalidBody, "MISSING_FIELDS": CodeMissingFields,
	"INVALID_FIELD": CodeInvalidField, "INCOMPATIBLE_API_VERSION": CodeIncompatibleAPIVersion, "ITEM_LOGIN_REQUIRED": CodeItemLoginRequired,
	"PRODUCT_NOT_READY": CodeProductNotReady, "PRODUCTS_NOT_SUPPORTED": CodeProductsNotSupported, "NO_AUTH_ACCOUNTS": CodeNoAuthAccounts,
	"ACCESS_NOT_GRANTED": CodeAccessNotGranted, "NO_ACCOUNTS": CodeNoAccounts, "AUTH_LIMIT": CodeAuthLimit,
	"ACCOUNTS_LIMIT": CodeAccountsLimit, "INTERNAL_SERVER_ERROR": CodeInternalServerError, "PLANNED_MAINTENANCE": CodePlannedMaintenance,
	"INSTITUTION_DOWN": "INSTITUTION_DOWN", "INCORRECT_OAUTH_NONCE": "INCORRECT_OAUTH_NONCE", "NEW_CODE": "NEW_CODE",
}

func TestPlaidCodes(t *testing.T) {
	for _, row := range plaidFamilies {
		codes := maps.Clone(row.codes)
		codes["SOMETHING_NEW"] = row.kind
		for text, kind := range codes {
			// As documented, as everything comes that is not documented, and in a 2xx: the type and the code say more.
			statuses := []int{row.status, 400, 200}
			for _, status := range statuses {
				t.Run(fmt.Sprintf("%s/%s/%d", row.wire, text, status), func(t *testing.T) {
					err := calls["auth.get"](t.Context(), replying(t, status, plaidBody(row.wire, text), "X-Request-Id", "req-header-0001"))
					want := kind
					if status == 200 && kind == ErrBadRequest && row.kind == ErrBadRequest && !slices.Contains([]string{"INVALID_INPUT", "INVALID_REQUEST"}, row.wire) {
						want = ErrServer // neither type, code nor status say anything
					}
					kindIs(t, err, want)
					e := asError(t, err)
					require.Equal(t, row.family, e.PlaidType)
					require.Equal(t, "It went wrong", e.Message)
					require.Equal(t, "req-body-0001", e.RequestID)
					require.Equal(t, status, e.StatusCode)
					if text != "SOMETHING_NEW" {
						require.Equal(t, plaidConstants[text], e.Code)
					}
				})
			}
		}
	}
}

// byStatus is the kind of a status that speaks for itself.
var byStatus = map[int]error{
	400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 405: ErrBadRequest, 409: ErrConflict, 410: ErrDeleted,
	418: ErrBadRequest, 422: ErrValidation, 429: ErrRateLimited, 500: ErrServer, 501: ErrServer, 502: ErrServer, 503: ErrServer, 504: ErrServer,
}

// The status decides, whatever the code says: with each status comes each code of either vendor once.
func TestStatusDecides(t *testing.T) {
	for _, table := range []struct {
		operation string
		rows      []codeRow
		body      func(string) string
	}{
		{"links.get", supermetricsCodes, envelopeBody},
		{"links.get", []codeRow{{codes: map[string]Code{"SOMETHING_NEW": "SOMETHING_NEW", "42": "42"}}}, flatBody},
		{"identity.get", moneyKitCodes, nativeBody},
	} {
		for _, row := range table.rows {
			for text, code := range row.codes {
				for status, kind := range byStatus {
					switch {
					case code == CodeAuthUnauthorized && status == 400:
						kind = ErrUnauthorized // a bad grant in the token exchange
					case code == CodeBadLinkState && status == 422:
						kind = ErrBankLinkState
					}
					t.Run(fmt.Sprintf("%s/%s/%d", table.operation, text, status), func(t *testing.T) {
						err := calls[table.operation](t.Context(), replying(t, status, table.body(text)))
						kindIs(t, err, kind)
						require.Equal(t, code, asError(t, err).Code)
						require.Equal(t, status, asError(t, err).StatusCode)
					})
				}
			}
		}
	}
}

// A link error says what a 422 is about, also beside a code that nobody knows.
func TestLinkErrorCode(t *testing.T) {
	const body = `{"error_code":"link_error.new","error_message":"It went wrong","link_error_code":"auth_expired"}`
	err := calls["identity.get"](t.Context(), replying(t, 422, body))
	kindIs(t, err, ErrBankLinkState)
	require.Equal(t, BankLinkErrorAuthExpired, asError(t, err).BankLinkErrorCode)
	require.EqualValues(t, "link_error.new", asError(t, err).Code)
}

// In a 2xx it is the code that decides, and an unknown one is the server's fault.
func TestErrorsOnSuccess(t *testing.T) {
	rows := append(slices.Clone(supermetricsCodes), codeRow{kind: ErrServer, codes: map[string]Code{"SOMETHING_NEW": "SOMETHING_NEW"}})
	for _, row := range rows {
		for text, code := range row.codes {
			for shape, body := range map[string]string{"envelope": envelopeBody(text), "flat": flatBody(text)} {
				t.Run(text+"/"+shape, func(t *testing.T) {
					err := calls["links.get"](t.Context(), replying(t, 200, body))
					kindIs(t, err, row.kind)
					require.Equal(t, code, asError(t, err).Code)
					require.Equal(t, "It went wrong", asError(t, err).Message)
					require.Equal(t, 200, asError(t, err).StatusCode)
				})
			}
		}
	}
	// Data beside the error makes it no success; a null is no error.
	for body, kind := range map[string]error{
		`{"data":{"link_id":"dsll_1"},"error":{"code":"FORBIDDEN","message":"m"}}`: ErrForbidden,
		`{"error":"NOT_FOUND","message":"m","data":{"link_id":"dsll_1"}}`:          ErrNotFound,
		`{"error":[]}`:   ErrServer,
		`{"error":true}`: ErrServer,
		`{"data":{"link_id":"dsll_1"},"error":null}`: nil,
	} {
		for _, operation := range []string{"links.get", "links.update", "links.create", "links.close"} {
			t.Run(operation+" "+body, func(t *testing.T) { require.ErrorIs(t, calls[operation](t.Context(), replying(t, 200, body)), kind) })
		}
	}
	// Every operation of Supermetrics sees it.
	for name, call := range calls {
		if !strings.HasPrefix(name, "lo") && !strings.HasPrefix(name, "links") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			kindIs(t, call(t.Context(), replying(t, 200, envelopeBody("FORBIDDEN"))), ErrForbidden)
		})
	}
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

// A body that says nothing, or something that cannot be read, never hides the status.
func TestBodiesTypedByStatus(t *testing.T) {
	files := map[string]string{ // and their content types
		"html.html": "text/html", "text.txt": "text/plain", "empty.json": "", "truncated.json": "application/json", "scalar.json": "application/json",
		"array.json": "application/json", "invalid_utf8.json": "application/json", "problem.json": "application/problem+json",
		"free_text.json": "application/json; charset=utf-8", "detail_string.json": "",
	}
	for file, contentType := range files {
		for status, kind := range byStatus {
			for _, operation := range []string{"links.get", "logins.query_accounts, streamed", "identity.get", "auth.get"} {
				t.Run(fmt.Sprintf("%s/%d/%s", file, status, operation), func(t *testing.T) {
					err := calls[operation](t.Context(), replying(t, status, golden(t, "errors/"+file), "Content-Type", contentType))
					kindIs(t, err, kind)
					e := asError(t, err)
					require.Equal(t, status, e.StatusCode)
					require.Equal(t, operationOf(operation), e.Operation)
					oneLine(t, err)
				})
			}
		}
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
