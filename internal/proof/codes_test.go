package proof

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// codeRow is a row of a vendor's table: a status, what it means, and the codes that come with it.
type codeRow struct {
	status int
	kind   error
	codes  map[string]duolink.Code // by the text on the wire
}

var supermetricsCodes = []codeRow{
	{
		400, duolink.ErrBadRequest,
		map[string]duolink.Code{
			"BAD_REQUEST":       duolink.CodeBadRequest,
			"INVALID_PARAMETER": duolink.CodeInvalidParameter,
			"VALIDATION_ERROR":  duolink.CodeValidationError,
		},
	},
	{
		401, duolink.ErrUnauthorized,
		map[string]duolink.Code{
			"UNAUTHORIZED":         duolink.CodeUnauthorized,
			"ACCESS_TOKEN_INVALID": duolink.CodeAccessTokenInvalid,
			"INVALID_ACCESS_TOKEN": duolink.CodeInvalidAccessToken,
			"ACCESS_TOKEN_EXPIRED": duolink.CodeAccessTokenExpired,
			"INVALID_TOKEN":        duolink.CodeInvalidToken,
			"TOKEN_REVOKED":        duolink.CodeTokenRevoked,
			"API_KEY_INVALID":      duolink.CodeAPIKeyInvalid,
			"API_KEY_REQUIRED":     duolink.CodeAPIKeyRequired,
			"invalid_token":        duolink.CodeOAuthInvalidToken,
		},
	},
	{
		403, duolink.ErrForbidden,
		map[string]duolink.Code{
			"FORBIDDEN":                      duolink.CodeForbidden,
			"PERMISSION_ERROR":               duolink.CodePermissionError,
			"ACCESS_DENIED":                  duolink.CodeAccessDenied,
			"ACCESS_DENIED_IP":               duolink.CodeAccessDeniedIP,
			"ACCESS_DENIED_PERMISSIONS":      duolink.CodeAccessDeniedPermissions,
			"API_KEY_DISABLED":               duolink.CodeAPIKeyDisabled,
			"LICENSE_EXPIRED":                duolink.CodeLicenseExpired,
			"LICENSE_ACCOUNT_LIMIT_EXCEEDED": duolink.CodeLicenseAccountLimitExceeded,
			"LINK_LIMIT_EXCEEDED":            duolink.CodeLinkLimitExceeded,
		},
	},
	{
		404, duolink.ErrNotFound,
		map[string]duolink.Code{
			"NOT_FOUND":       duolink.CodeNotFound,
			"LINK_NOT_FOUND":  duolink.CodeLinkNotFound,
			"LOGIN_NOT_FOUND": duolink.CodeLoginNotFound,
		},
	},
	{409, duolink.ErrConflict, map[string]duolink.Code{"CONFLICT_ERROR": duolink.CodeConflictError}},
	{422, duolink.ErrValidation, map[string]duolink.Code{
		"UNPROCESSABLE_ENTITY":  duolink.CodeUnprocessableEntity,
		"UNPROCESSABLE_CONTENT": duolink.CodeUnprocessableContent,
		"VALIDATION_FAILED":     duolink.CodeValidationFailed,
	}},
	{429, duolink.ErrRateLimited, map[string]duolink.Code{
		"TOO_MANY_REQUESTS": duolink.CodeTooManyRequests, "RATE_LIMIT_EXCEEDED": duolink.CodeRateLimitExceeded,
		"LICENSE_DAILY_QUERY_LIMIT_EXCEEDED": duolink.CodeLicenseDailyQueryLimitExceeded,
	}},
	{500, duolink.ErrServer, map[string]duolink.Code{
		"INTERNAL_SERVER_ERROR": duolink.CodeInternalServerError, "LOGIN_SEARCH_FAILED": duolink.CodeLoginSearchFailed,
		"LINK_UPDATE_FAILED": duolink.CodeLinkUpdateFailed, "LICENSE_NOT_FOUND": duolink.CodeLicenseNotFound,
		"LICENSE_ACCESS_DATA_SOURCE": duolink.CodeLicenseAccessDataSource,
	}},
	{
		502, duolink.ErrServer,
		map[string]duolink.Code{
			"SERVICE_UNAVAILABLE": duolink.CodeServiceUnavailable,
			"DUPLICATION_FAILED":  duolink.CodeDuplicationFailed,
		},
	},
	{
		503, duolink.ErrServer,
		map[string]duolink.Code{
			"SERVICE_UNAVAILABLE": duolink.CodeServiceUnavailable,
			"DUPLICATION_FAILED":  duolink.CodeDuplicationFailed,
		},
	},
}

var moneyKitCodes = []codeRow{
	{400, duolink.ErrUnauthorized,
		map[string]duolink.Code{"api_error.auth.unauthorized": duolink.CodeAuthUnauthorized}},
	{
		401, duolink.ErrUnauthorized,
		map[string]duolink.Code{
			"api_error.auth.expired_access_token": duolink.CodeExpiredAccessToken,
			"api_error.auth.unauthorized":         duolink.CodeAuthUnauthorized,
			"link_error.unauthorized_access":      duolink.CodeUnauthorizedAccess,
		},
	},
	{403, duolink.ErrForbidden, map[string]duolink.Code{"link_error.forbidden_action": duolink.CodeForbiddenAction}},
	{404, duolink.ErrNotFound, map[string]duolink.Code{"link_error.not_found": duolink.CodeBankLinkNotFound}},
	{410, duolink.ErrDeleted, map[string]duolink.Code{"link_error.deleted": duolink.CodeBankLinkDeleted}},
	{422, duolink.ErrBankLinkState, map[string]duolink.Code{"link_error.bad_state": duolink.CodeBadLinkState}},
	{
		422, duolink.ErrValidation,
		map[string]duolink.Code{"api_error.request.validation_failed": duolink.CodeRequestValidationFailed},
	},
	{
		429, duolink.ErrRateLimited,
		map[string]duolink.Code{"api_error.rate_limit_exceeded": duolink.CodeAPIRateLimitExceeded},
	},
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
					err := operations.Named(table.operation).Call(
						t.Context(), replying(t, row.status, body, "X-Request-Id", "req-header-0001"),
					)
					kindIs(t, err, row.kind)
					e := asError(t, err)
					require.Equal(t, code, e.Code)
					require.Equal(t, "It went wrong", e.Message)
					require.Equal(t, table.requestID, e.RequestID)
					require.Equal(t, row.status, e.StatusCode)
					require.Equal(t, table.operation, e.Operation)
					require.Equal(t, 1, e.Attempts)
					require.Equal(t, row.status >= 500, e.Outcome == duolink.OutcomeUnknown)
					require.Equal(t, row.status < 500, e.Outcome == duolink.OutcomeRejected)
					want := fmt.Sprintf(
						"duolink: %s: %d %s: It went wrong (request %s)", table.operation, row.status, text,
						table.requestID,
					)
					require.Equal(t, want, err.Error())
				})
			}
		}
	}
}

// plaidFamilies is the table of the Plaid-compatible layer, with the kind of each code. The status
// says little there.
var plaidFamilies = []struct {
	family duolink.PlaidErrorType
	wire   string
	status int
	kind   error // of the family, for a code that nobody knows
	codes  map[string]error
}{
	{
		duolink.PlaidErrorTypeInvalidInput, "INVALID_INPUT", 400, duolink.ErrBadRequest,
		map[string]error{
			"INVALID_ACCESS_TOKEN":     duolink.ErrUnauthorized,
			"INVALID_ACCOUNT_ID":       duolink.ErrBadRequest,
			"INVALID_API_KEYS":         duolink.ErrUnauthorized,
			"UNAUTHORIZED_ENVIRONMENT": duolink.ErrUnauthorized,
		},
	},
	{
		duolink.PlaidErrorTypeInvalidRequest, "INVALID_REQUEST", 400, duolink.ErrBadRequest,
		map[string]error{
			"INVALID_BODY":             duolink.ErrBadRequest,
			"MISSING_FIELDS":           duolink.ErrBadRequest,
			"INVALID_FIELD":            duolink.ErrBadRequest,
			"INCOMPATIBLE_API_VERSION": duolink.ErrBadRequest,
		},
	},
	{
		duolink.PlaidErrorTypeItemError, "ITEM_ERROR", 400, duolink.ErrBankLinkState,
		map[string]error{
			"ITEM_LOGIN_REQUIRED":    duolink.ErrBankLinkState,
			"PRODUCT_NOT_READY":      duolink.ErrBankLinkState,
			"PRODUCTS_NOT_SUPPORTED": duolink.ErrBankLinkState,
			"NO_AUTH_ACCOUNTS":       duolink.ErrBankLinkState,
			"ACCESS_NOT_GRANTED":     duolink.ErrForbidden,
			"NO_ACCOUNTS":            duolink.ErrBankLinkState,
		},
	},
	{duolink.PlaidErrorTypeRateLimitExceeded, "RATE_LIMIT_EXCEEDED", 429, duolink.ErrRateLimited, map[string]error{
		"AUTH_LIMIT": duolink.ErrRateLimited, "ACCOUNTS_LIMIT": duolink.ErrRateLimited,
	}},
	{duolink.PlaidErrorTypeAPIError, "API_ERROR", 500, duolink.ErrServer, map[string]error{
		"INTERNAL_SERVER_ERROR": duolink.ErrServer, "PLANNED_MAINTENANCE": duolink.ErrServer,
	}},
	{
		duolink.PlaidErrorTypeInstitutionError, "INSTITUTION_ERROR", 400, duolink.ErrServer,
		map[string]error{"INSTITUTION_DOWN": duolink.ErrServer},
	},
	{
		duolink.PlaidErrorTypeOAuthError, "OAUTH_ERROR", 400, duolink.ErrBadRequest,
		map[string]error{"INCORRECT_OAUTH_NONCE": duolink.ErrBadRequest},
	},
	{"NEW_ERROR", "NEW_ERROR", 400, duolink.ErrBadRequest, map[string]error{"NEW_CODE": duolink.ErrBadRequest}},
}

// plaidConstants are the constants of the codes, by the text on the wire.
var plaidConstants = map[string]duolink.Code{
	"INVALID_ACCESS_TOKEN":     duolink.CodeInvalidAccessToken,
	"INVALID_ACCOUNT_ID":       duolink.CodeInvalidAccountID,
	"INVALID_API_KEYS":         duolink.CodeInvalidAPIKeys,
	"UNAUTHORIZED_ENVIRONMENT": duolink.CodeUnauthorizedEnvironment,
	"INVALID_BODY":             duolink.CodeInvalidBody,
	"MISSING_FIELDS":           duolink.CodeMissingFields,
	"INVALID_FIELD":            duolink.CodeInvalidField,
	"INCOMPATIBLE_API_VERSION": duolink.CodeIncompatibleAPIVersion,
	"ITEM_LOGIN_REQUIRED":      duolink.CodeItemLoginRequired,
	"PRODUCT_NOT_READY":        duolink.CodeProductNotReady,
	"PRODUCTS_NOT_SUPPORTED":   duolink.CodeProductsNotSupported,
	"NO_AUTH_ACCOUNTS":         duolink.CodeNoAuthAccounts,
	"ACCESS_NOT_GRANTED":       duolink.CodeAccessNotGranted,
	"NO_ACCOUNTS":              duolink.CodeNoAccounts,
	"AUTH_LIMIT":               duolink.CodeAuthLimit,
	"ACCOUNTS_LIMIT":           duolink.CodeAccountsLimit,
	"INTERNAL_SERVER_ERROR":    duolink.CodeInternalServerError,
	"PLANNED_MAINTENANCE":      duolink.CodePlannedMaintenance,
	"INSTITUTION_DOWN":         "INSTITUTION_DOWN",
	"INCORRECT_OAUTH_NONCE":    "INCORRECT_OAUTH_NONCE",
	"NEW_CODE":                 "NEW_CODE",
}

func TestPlaidCodes(t *testing.T) {
	for _, row := range plaidFamilies {
		codes := maps.Clone(row.codes)
		codes["SOMETHING_NEW"] = row.kind
		for text, kind := range codes {
			// As documented, as everything comes that is not documented, and in a 2xx: the type and the code
			// say more.
			statuses := []int{row.status, 400, 200}
			for _, status := range statuses {
				t.Run(fmt.Sprintf("%s/%s/%d", row.wire, text, status), func(t *testing.T) {
					err := operations.Named("auth.get").Call(
						t.Context(), replying(t, status, plaidBody(row.wire, text), "X-Request-Id", "req-header-0001"),
					)
					want := kind
					if status == 200 && duolink.Code(text).Meaning() == "" && kind == duolink.ErrBadRequest &&
						!slices.Contains([]string{"INVALID_INPUT", "INVALID_REQUEST"}, row.wire) {
						want = duolink.ErrServer // neither type, code nor status say anything
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
	400: duolink.ErrBadRequest,
	401: duolink.ErrUnauthorized,
	403: duolink.ErrForbidden,
	404: duolink.ErrNotFound,
	405: duolink.ErrBadRequest,
	409: duolink.ErrConflict,
	410: duolink.ErrDeleted,
	418: duolink.ErrBadRequest,
	422: duolink.ErrValidation,
	429: duolink.ErrRateLimited,
	500: duolink.ErrServer,
	501: duolink.ErrServer,
	502: duolink.ErrServer,
	503: duolink.ErrServer,
	504: duolink.ErrServer,
}

// The status decides, whatever the code says: with each status comes each code of either vendor
// once.
func TestStatusDecides(t *testing.T) {
	for _, table := range []struct {
		operation string
		rows      []codeRow
		body      func(string) string
	}{
		{"links.get", supermetricsCodes, envelopeBody},
		{"links.get", []codeRow{{codes: map[string]duolink.Code{"SOMETHING_NEW": "SOMETHING_NEW", "42": "42"}}},
			flatBody},
		{"identity.get", moneyKitCodes, nativeBody},
	} {
		for _, row := range table.rows {
			for text, code := range row.codes {
				for status, kind := range byStatus {
					switch {
					case code == duolink.CodeAuthUnauthorized && status == 400:
						kind = duolink.ErrUnauthorized // a bad grant in the token exchange
					case code == duolink.CodeBadLinkState && status == 422:
						kind = duolink.ErrBankLinkState
					}
					t.Run(fmt.Sprintf("%s/%s/%d", table.operation, text, status), func(t *testing.T) {
						err := operations.Named(table.operation).Call(t.Context(),
							replying(t, status, table.body(text)))
						kindIs(t, err, kind)
						require.Equal(t, code, asError(t, err).Code)
						require.Equal(t, status, asError(t, err).StatusCode)
					})
				}
			}
		}
	}
}

// In a 2xx it is the code that decides, and an unknown one is the server's fault.
func TestErrorsOnSuccess(t *testing.T) {
	rows := append(
		slices.Clone(supermetricsCodes),
		codeRow{kind: duolink.ErrServer, codes: map[string]duolink.Code{"SOMETHING_NEW": "SOMETHING_NEW"}},
	)
	for _, row := range rows {
		for text, code := range row.codes {
			for shape, body := range map[string]string{"envelope": envelopeBody(text), "flat": flatBody(text)} {
				t.Run(text+"/"+shape, func(t *testing.T) {
					err := operations.Named("links.get").Call(t.Context(), replying(t, 200, body))
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
		`{"data":{"link_id":"dsll_1"},"error":{"code":"FORBIDDEN","message":"m"}}`: duolink.ErrForbidden,
		`{"error":"NOT_FOUND","message":"m","data":{"link_id":"dsll_1"}}`:          duolink.ErrNotFound,
		`{"error":[]}`:   duolink.ErrServer,
		`{"error":true}`: duolink.ErrServer,
	} {
		for _, operation := range []string{"links.get", "links.update", "links.create", "links.close"} {
			t.Run(operation+" "+body, func(t *testing.T) {
				require.ErrorIs(t, operations.Named(operation).Call(t.Context(), replying(t, 200, body)), kind)
			})
		}
	}
	// Every operation of Supermetrics sees it.
	for _, op := range operations.All {
		if op.API != duolink.Supermetrics {
			continue
		}
		t.Run(op.Name, func(t *testing.T) {
			kindIs(t, op.Call(t.Context(), replying(t, 200, envelopeBody("FORBIDDEN"))), duolink.ErrForbidden)
		})
	}
}

// A body that says nothing, or something that cannot be read, never hides the status.
func TestBodiesTypedByStatus(t *testing.T) {
	files := map[string]string{ // and their content types
		"html.html":          "text/html",
		"text.txt":           "text/plain",
		"empty.json":         "",
		"truncated.json":     "application/json",
		"scalar.json":        "application/json",
		"array.json":         "application/json",
		"invalid_utf8.json":  "application/json",
		"problem.json":       "application/problem+json",
		"free_text.json":     "application/json; charset=utf-8",
		"detail_string.json": "",
	}
	for file, contentType := range files {
		for status, kind := range byStatus {
			for _, operation := range []string{"links.get", "logins.query_accounts, streamed", "identity.get",
				"auth.get"} {
				t.Run(fmt.Sprintf("%s/%d/%s", file, status, operation), func(t *testing.T) {
					err := operations.Named(operation).Call(
						t.Context(), replying(t, status, golden(t, "errors/"+file), "Content-Type", contentType),
					)
					kindIs(t, err, kind)
					e := asError(t, err)
					require.Equal(t, status, e.StatusCode)
					require.Equal(t, operations.Named(operation).Operation(), e.Operation)
					oneLine(t, err)
				})
			}
		}
	}
}
