package duolink

import (
	"cmp"
	"strings"
)

// Code is a machine-readable error code. The set is open: a code without a constant is kept as it
// is. [Code.Meaning] says what a code means, and [Error.Action] what to do.
type Code string

// Meaning says in a few words what a code means, such as "there is no such login link". The words
// are this package's own and safe to log. The meaning of a code without a constant is empty.
func (c Code) Meaning() string { return (&Error{Code: c}).documented().meaning }

// Codes of Supermetrics.
const (
	// With a 400.
	CodeBadRequest       Code = "BAD_REQUEST"
	CodeInvalidParameter Code = "INVALID_PARAMETER"
	CodeValidationError  Code = "VALIDATION_ERROR"

	// With a 401.
	CodeUnauthorized       Code = "UNAUTHORIZED"
	CodeAccessTokenInvalid Code = "ACCESS_TOKEN_INVALID"
	CodeInvalidAccessToken Code = "INVALID_ACCESS_TOKEN"
	CodeAccessTokenExpired Code = "ACCESS_TOKEN_EXPIRED"
	CodeInvalidToken       Code = "INVALID_TOKEN"
	CodeTokenRevoked       Code = "TOKEN_REVOKED"
	CodeAPIKeyInvalid      Code = "API_KEY_INVALID"
	CodeAPIKeyRequired     Code = "API_KEY_REQUIRED"

	// With a 403.
	CodeForbidden                   Code = "FORBIDDEN"
	CodePermissionError             Code = "PERMISSION_ERROR"
	CodeAccessDenied                Code = "ACCESS_DENIED"
	CodeAccessDeniedIP              Code = "ACCESS_DENIED_IP"
	CodeAccessDeniedPermissions     Code = "ACCESS_DENIED_PERMISSIONS"
	CodeAPIKeyDisabled              Code = "API_KEY_DISABLED"
	CodeLicenseExpired              Code = "LICENSE_EXPIRED"
	CodeLicenseAccountLimitExceeded Code = "LICENSE_ACCOUNT_LIMIT_EXCEEDED"
	CodeLinkLimitExceeded           Code = "LINK_LIMIT_EXCEEDED"

	// With a 404.
	CodeNotFound      Code = "NOT_FOUND"
	CodeLinkNotFound  Code = "LINK_NOT_FOUND"
	CodeLoginNotFound Code = "LOGIN_NOT_FOUND"

	// With a 409.
	CodeConflictError Code = "CONFLICT_ERROR"

	// With a 422.
	CodeUnprocessableEntity  Code = "UNPROCESSABLE_ENTITY"
	CodeUnprocessableContent Code = "UNPROCESSABLE_CONTENT"
	CodeValidationFailed     Code = "VALIDATION_FAILED"

	// With a 429.
	CodeTooManyRequests                Code = "TOO_MANY_REQUESTS"
	CodeRateLimitExceeded              Code = "RATE_LIMIT_EXCEEDED"
	CodeLicenseDailyQueryLimitExceeded Code = "LICENSE_DAILY_QUERY_LIMIT_EXCEEDED"

	// With a 500.
	CodeInternalServerError     Code = "INTERNAL_SERVER_ERROR"
	CodeLoginSearchFailed       Code = "LOGIN_SEARCH_FAILED"
	CodeLinkUpdateFailed        Code = "LINK_UPDATE_FAILED"
	CodeLicenseNotFound         Code = "LICENSE_NOT_FOUND"
	CodeLicenseAccessDataSource Code = "LICENSE_ACCESS_DATA_SOURCE"

	// With various statuses, from Logins.QueryAccounts and Logins.StreamAccounts. The vendor's pages do
	// not list them.
	CodeQueryAuthNotFound    Code = "QUERY_AUTH_NOT_FOUND"
	CodeQueryAuthLoginFailed Code = "QUERY_AUTH_LOGIN_FAILED"
	CodeQueryAuthUnavailable Code = "QUERY_AUTH_UNAVAILABLE"
	CodeQueryError           Code = "QUERY_ERROR"

	// With various statuses.
	CodeLicenseHistoricalRangeExceeded Code = "LICENSE_HISTORICAL_RANGE_EXCEEDED"
	CodeLicenseQueriesSuspended        Code = "LICENSE_QUERIES_SUSPENDED"
	CodeLicenseRowLimitExceeded        Code = "LICENSE_ROW_LIMIT_EXCEEDED"

	// With a 5xx.
	CodeServiceUnavailable Code = "SERVICE_UNAVAILABLE"
	CodeDuplicationFailed  Code = "DUPLICATION_FAILED"

	// With a 401, in the shape of OAuth.
	CodeOAuthInvalidToken Code = "invalid_token"
)

// Codes of MoneyKit's native API.
const (
	// With a 401. CodeAuthUnauthorized comes with a 400 from the token exchange.
	CodeExpiredAccessToken Code = "api_error.auth.expired_access_token"
	CodeAuthUnauthorized   Code = "api_error.auth.unauthorized"
	CodeUnauthorizedAccess Code = "link_error.unauthorized_access"

	// With a 403, 404, 410, 422 and 429.
	CodeForbiddenAction         Code = "link_error.forbidden_action"
	CodeBankLinkNotFound        Code = "link_error.not_found"
	CodeBankLinkDeleted         Code = "link_error.deleted"
	CodeBadLinkState            Code = "link_error.bad_state"
	CodeRequestValidationFailed Code = "api_error.request.validation_failed"
	CodeAPIRateLimitExceeded    Code = "api_error.rate_limit_exceeded"
)

// documentedCode is what is known of a code.
type documentedCode struct {
	kind    error // if the status does not decide: in the Plaid dialect, and for an error in a 2xx
	action  Action
	meaning string
}

// byKind is the action of a code whose kind decides on the action.
const byKind Action = ""

// documentedCodes says all that is known of each code. Whoever adds a constant adds a line here, or
// in plaidCodes. There are more codes that begin with LICENSE_. All of them except limits ask for
// ActionContactSupport.
var documentedCodes = map[Code]documentedCode{
	// Codes of Supermetrics.
	CodeBadRequest:       {ErrBadRequest, byKind, "the request is not one that the API takes"},
	CodeInvalidParameter: {ErrBadRequest, byKind, "a parameter has a value that it cannot have"},
	CodeValidationError:  {ErrBadRequest, byKind, "a value did not pass validation"},

	CodeUnauthorized:       {ErrUnauthorized, byKind, "the credential is missing or wrong"},
	CodeAccessTokenInvalid: {ErrUnauthorized, byKind, "the token is wrong; the same as INVALID_ACCESS_TOKEN"},
	CodeInvalidAccessToken: {ErrUnauthorized, byKind, "the token is wrong"},
	CodeAccessTokenExpired: {ErrUnauthorized, byKind, "the token has expired"},
	CodeInvalidToken:       {ErrUnauthorized, byKind, "the token is wrong"},
	CodeTokenRevoked:       {ErrUnauthorized, byKind, "the token has been revoked"},
	CodeAPIKeyInvalid:      {ErrUnauthorized, byKind, "the API key is wrong"},
	CodeAPIKeyRequired:     {ErrUnauthorized, byKind, "there is no API key in the request"},

	CodeForbidden:                   {ErrForbidden, byKind, "the credential does not allow this"},
	CodePermissionError:             {ErrForbidden, byKind, "the credential does not allow this"},
	CodeAccessDenied:                {ErrForbidden, byKind, "the credential does not allow this"},
	CodeAccessDeniedIP:              {ErrForbidden, byKind, "the address that the request came from is not allowed"},
	CodeAccessDeniedPermissions:     {ErrForbidden, byKind, "the user of the credential lacks a permission"},
	CodeAPIKeyDisabled:              {ErrForbidden, ActionContactSupport, "the API key has been switched off"},
	CodeLicenseExpired:              {ErrForbidden, ActionContactSupport, "the licence has expired"},
	CodeLicenseAccountLimitExceeded: {ErrForbidden, ActionContactSupport, "the licence covers fewer accounts"},

	CodeLinkLimitExceeded: {ErrForbidden, ActionFixRequest, "too many login links are open: close what nobody needs"},

	CodeNotFound:      {ErrNotFound, byKind, "there is no such resource"},
	CodeLinkNotFound:  {ErrNotFound, ActionRecreate, "there is no such login link"},
	CodeLoginNotFound: {ErrNotFound, ActionRecreate, "there is no such login"},
	CodeConflictError: {ErrConflict, byKind, "the request conflicts with the state of the resource"},

	CodeUnprocessableEntity:  {ErrValidation, byKind, "a value is not acceptable"},
	CodeUnprocessableContent: {ErrValidation, byKind, "a value is not acceptable"},
	CodeValidationFailed:     {ErrValidation, byKind, "a value is not acceptable"},

	CodeTooManyRequests:                {ErrRateLimited, byKind, "too many requests"},
	CodeRateLimitExceeded:              {ErrRateLimited, byKind, "too many requests"},
	CodeLicenseDailyQueryLimitExceeded: {ErrRateLimited, byKind, "the daily quota of the data source is used up"},

	CodeInternalServerError:            {ErrServer, byKind, "the server failed"},
	CodeLoginSearchFailed:              {ErrServer, byKind, "the server failed to search the logins"},
	CodeLinkUpdateFailed:               {ErrServer, byKind, "the server failed to change the login link"},
	CodeLicenseNotFound:                {ErrServer, ActionContactSupport, "there is no licence for this"},
	CodeLicenseAccessDataSource:        {ErrServer, ActionContactSupport, "the licence does not cover the data source"},
	CodeQueryAuthNotFound:              {ErrLoginRequired, byKind, "nobody has logged in to the data source"},
	CodeQueryAuthLoginFailed:           {ErrLoginRequired, byKind, "the login to the data source has ended"},
	CodeQueryAuthUnavailable:           {ErrLoginRequired, byKind, "the user's login has expired or is not this key's"},
	CodeQueryError:                     {ErrBadRequest, ActionFixRequest, "the data source refused: see Message"},
	CodeLicenseHistoricalRangeExceeded: {ErrForbidden, ActionContactSupport, "the licence covers a shorter time"},
	CodeLicenseQueriesSuspended:        {ErrForbidden, ActionContactSupport, "the licence's queries are suspended"},
	CodeLicenseRowLimitExceeded:        {ErrForbidden, ActionContactSupport, "the licence covers fewer rows"},
	CodeServiceUnavailable:             {ErrServer, byKind, "the server cannot serve this now"},
	CodeDuplicationFailed:              {ErrServer, byKind, "the server failed to make a copy"},

	CodeOAuthInvalidToken: {ErrUnauthorized, byKind, "the token is wrong"},

	// Codes of MoneyKit's native API.
	CodeExpiredAccessToken:      {ErrUnauthorized, byKind, "the token has expired; a new one cures it"},
	CodeAuthUnauthorized:        {ErrUnauthorized, byKind, "the token, its scope, or the client id or secret is wrong"},
	CodeRequestValidationFailed: {ErrValidation, byKind, "a value is not acceptable; Error.Fields says which"},
	CodeAPIRateLimitExceeded:    {ErrRateLimited, byKind, "too many requests"},

	CodeUnauthorizedAccess: {ErrUnauthorized, ActionFixRequest, "the bank link is somebody else's"},
	CodeForbiddenAction:    {ErrForbidden, byKind, "the user did not permit this data"},
	CodeBankLinkNotFound:   {ErrNotFound, ActionRecreate, "there is no such bank link"},
	CodeBankLinkDeleted:    {ErrDeleted, byKind, "the bank link has been deleted"},
	CodeBadLinkState:       {ErrBankLinkState, byKind, "the bank link cannot serve this now: see BankLinkErrorCode"},
}

// kind returns Kind. If a fake has left it empty, the status and the codes decide, unless there is
// a cause: then there was no answer.
func (e *Error) kind() error {
	switch status := e.StatusCode; {
	case e.Kind != nil || e.Unwrap() != nil:
		return e.Kind
	case status >= 300 && status < 400: // a redirect is never an answer of the API
		return ErrMalformedResponse
	case status >= 400, status >= 200 && e.Code != "":
		return kindOf(status, e)
	}
	kind := cmp.Or(e.documented().kind, e.PlaidType.kind())
	switch {
	case kind != nil:
		return kind
	case e.BankLinkErrorCode != "":
		return ErrBankLinkState
	case e.ProductErrorCode != "":
		return ErrRefreshFailed
	}
	return nil
}

// kindOf decides the kind of an error. Plaid says nearly everything with a 400, so its code and
// type come first. Elsewhere the status decides. The code decides only for an error in a 2xx, for
// MoneyKit's 400 for bad credentials, and if its row says so.
func kindOf(status int, e *Error) error {
	known := e.documented()
	kind := known.kind
	if e.PlaidType != "" {
		if kind = cmp.Or(kind, e.PlaidType.kind()); kind != nil {
			return kind
		}
	}
	switch {
	case e.rule() == firm:
		return kind
	case status < 300:
		return cmp.Or(kind, ErrServer)
	case status == 422 && (same(e.Code, CodeBadLinkState) || e.BankLinkErrorCode != ""):
		return ErrBankLinkState
	case status == 400 && same(e.Code, CodeAuthUnauthorized):
		return ErrUnauthorized
	case status >= 500:
		return ErrServer
	}
	return cmp.Or(statusKinds[status], ErrBadRequest)
}

// documented returns what is known of the error's code. Some codes mean something else in the Plaid
// dialect.
func (e *Error) documented() documentedCode {
	code := folded(e.Code)
	if e.PlaidType != "" || e.API == PlaidCompatible {
		if known, ok := plaidByFolded[code]; ok {
			return known
		}
	}
	if known, ok := documentedByFolded[code]; ok {
		return known
	}
	return plaidByFolded[code]
}

// codeRule says what a code decides besides its action.
type codeRule int

const (
	passing codeRule = iota // the kind decides whether a repetition may help
	lasting                 // no repetition helps, whatever the status
	firm                    // lasting, and the kind is the code's, whatever the status
)

// codeRules has the codes that do not pass, besides those that begin with LICENSE_.
var codeRules = map[Code]codeRule{
	CodeQueryAuthNotFound: firm, CodeQueryAuthLoginFailed: firm, CodeQueryAuthUnavailable: firm,
	CodeQueryError: lasting,

	CodeCreditsExhausted: lasting, "UNSUPPORTED_RESPONSE": lasting,
}

// rule returns what the error's code decides besides its action. There are more codes that begin
// with LICENSE_ than are documented.
func (e *Error) rule() codeRule {
	if strings.HasPrefix(string(folded(e.Code)), "license_") {
		return lasting
	}
	return ruleByFolded[folded(e.Code)]
}

var (
	documentedByFolded, plaidByFolded = foldKeys(documentedCodes), foldKeys(plaidCodes)

	ruleByFolded = foldKeys(codeRules)
)

// folded is a text of a server in the form by which the client looks it up.
func folded[T ~string](said T) T { return T(strings.ToLower(strings.TrimSpace(string(said)))) }

func foldKeys[T ~string, V any](table map[T]V) map[T]V {
	all := make(map[T]V, len(table))
	for key, value := range table {
		all[folded(key)] = value
	}
	return all
}

var statusKinds = map[int]error{
	401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict, 410: ErrDeleted,
	422: ErrValidation, 429: ErrRateLimited,
}

// passes reports whether a link error may pass by itself.
func (c BankLinkErrorCode) passes() bool {
	return same(c, BankLinkErrorSystem) || same(c, BankLinkErrorProvider) || same(c, BankLinkErrorInstitution)
}

// passes reports whether the cause of a failed refresh may pass by itself.
func (c ProductErrorCode) passes() bool {
	return same(c, ProductErrorRateLimit) || same(c, ProductErrorTimeout) || same(c, ProductErrorInstitution) ||
		same(c, ProductErrorUnknown)
}
