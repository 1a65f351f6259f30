package duolink

import "cmp"

// Code is a machine-readable error code. The set is open: a code without a constant is kept as it
// is. [Code.Meaning] says what a code means, and [Error.Action] what to do.
type Code string

// Meaning says in a few words what a code means, such as "there is no such login link". The words
// are this package's own and safe to log. The meaning of a code without a constant is empty.
func (c Code) Meaning() string { return documentedCodes[c].meaning }

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

// Codes of the Plaid-compatible layer. Nearly all of them come with a 400.
const (
	// Of the type INVALID_INPUT.
	CodeInvalidAccountID        Code = "INVALID_ACCOUNT_ID"
	CodeInvalidAPIKeys          Code = "INVALID_API_KEYS"
	CodeUnauthorizedEnvironment Code = "UNAUTHORIZED_ENVIRONMENT"

	// Of the type INVALID_REQUEST.
	CodeInvalidBody            Code = "INVALID_BODY"
	CodeMissingFields          Code = "MISSING_FIELDS"
	CodeInvalidField           Code = "INVALID_FIELD"
	CodeIncompatibleAPIVersion Code = "INCOMPATIBLE_API_VERSION"

	// Of the type ITEM_ERROR.
	CodeItemLoginRequired    Code = "ITEM_LOGIN_REQUIRED"
	CodeProductNotReady      Code = "PRODUCT_NOT_READY"
	CodeProductsNotSupported Code = "PRODUCTS_NOT_SUPPORTED"
	CodeNoAuthAccounts       Code = "NO_AUTH_ACCOUNTS"
	CodeAccessNotGranted     Code = "ACCESS_NOT_GRANTED"
	CodeNoAccounts           Code = "NO_ACCOUNTS"

	// Of the type RATE_LIMIT_EXCEEDED.
	CodeAuthLimit     Code = "AUTH_LIMIT"
	CodeAccountsLimit Code = "ACCOUNTS_LIMIT"

	// Of the type API_ERROR.
	CodePlannedMaintenance Code = "PLANNED_MAINTENANCE"
)

// PlaidErrorType is the family of a Plaid error code. The set is open.
type PlaidErrorType string

// The families that the Plaid-compatible layer documents.
const (
	PlaidErrorTypeInvalidInput      PlaidErrorType = "INVALID_INPUT"
	PlaidErrorTypeInvalidRequest    PlaidErrorType = "INVALID_REQUEST"
	PlaidErrorTypeItemError         PlaidErrorType = "ITEM_ERROR"
	PlaidErrorTypeRateLimitExceeded PlaidErrorType = "RATE_LIMIT_EXCEEDED"
	PlaidErrorTypeAPIError          PlaidErrorType = "API_ERROR"
	PlaidErrorTypeInstitutionError  PlaidErrorType = "INSTITUTION_ERROR"
	PlaidErrorTypeOAuthError        PlaidErrorType = "OAUTH_ERROR"
)

// documentedCode is what is known of a code.
type documentedCode struct {
	kind    error // if the status does not decide: in the Plaid dialect, and for an error in a 2xx
	action  Action
	meaning string
}

// byKind is the action of a code whose kind decides on the action.
const byKind Action = ""

// documentedCodes says all that is known of each code. Whoever adds a constant adds a line here.
// There are more codes that begin with LICENSE_. None is retried, whatever its status, and all of
// them except limits ask for ActionContactSupport.
var documentedCodes = map[Code]documentedCode{
	// Codes of Supermetrics.
	CodeBadRequest:       {ErrBadRequest, byKind, "the request is not one that the API takes"},
	CodeInvalidParameter: {ErrBadRequest, byKind, "a parameter has a value that it cannot have"},
	CodeValidationError:  {ErrBadRequest, byKind, "a value did not pass validation"},

	CodeUnauthorized:       {ErrUnauthorized, byKind, "the credential is missing or wrong"},
	CodeAccessTokenInvalid: {ErrUnauthorized, byKind, "the token is wrong; the same as INVALID_ACCESS_TOKEN"},
	CodeInvalidAccessToken: {ErrUnauthorized, byKind, "the token is wrong, or, at Plaid, no item's of yours"},
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

	CodeInternalServerError:     {ErrServer, byKind, "the server failed"},
	CodeLoginSearchFailed:       {ErrServer, byKind, "the server failed to search the logins"},
	CodeLinkUpdateFailed:        {ErrServer, byKind, "the server failed to change the login link"},
	CodeLicenseNotFound:         {ErrServer, ActionContactSupport, "there is no licence for this"},
	CodeLicenseAccessDataSource: {ErrServer, ActionContactSupport, "the licence does not cover this data source"},
	CodeServiceUnavailable:      {ErrServer, byKind, "the server cannot serve this now"},
	CodeDuplicationFailed:       {ErrServer, byKind, "the server failed to make a copy"},

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

	// Codes of the Plaid-compatible layer.
	CodeInvalidAccountID:        {ErrBadRequest, byKind, "the item has no such account"},
	CodeInvalidAPIKeys:          {ErrUnauthorized, byKind, "the client id or the secret is wrong"},
	CodeUnauthorizedEnvironment: {ErrUnauthorized, ActionContactSupport, "the client may not use this environment"},

	CodeInvalidBody:            {ErrBadRequest, byKind, "the body is not the JSON that is expected"},
	CodeMissingFields:          {ErrBadRequest, byKind, "a required field is missing"},
	CodeInvalidField:           {ErrBadRequest, byKind, "a field has a value that it cannot have"},
	CodeIncompatibleAPIVersion: {ErrBadRequest, byKind, "this version of the API does not have the request"},

	CodeItemLoginRequired:    {ErrBankLinkState, ActionReauthenticate, "the user has to authenticate again"},
	CodeProductNotReady:      {ErrBankLinkState, ActionRetry, "the data is still being fetched"},
	CodeProductsNotSupported: {ErrBankLinkState, ActionRecreate, "the institution does not have the product"},
	CodeNoAuthAccounts:       {ErrBankLinkState, ActionRecreate, "no account of the item has numbers"},
	CodeAccessNotGranted:     {ErrForbidden, ActionAskPermission, "the user did not permit this data"},
	CodeNoAccounts:           {ErrBankLinkState, ActionRecreate, "the item has no open accounts"},

	CodeAuthLimit:          {ErrRateLimited, byKind, "too many requests for account numbers"},
	CodeAccountsLimit:      {ErrRateLimited, byKind, "too many requests for accounts"},
	CodePlannedMaintenance: {ErrServer, byKind, "the server is down for maintenance"},
}

// plaidTypeKinds has the kind of a Plaid code that has no constant.
var plaidTypeKinds = map[PlaidErrorType]error{
	PlaidErrorTypeInvalidInput:      ErrBadRequest,
	PlaidErrorTypeInvalidRequest:    ErrBadRequest,
	PlaidErrorTypeItemError:         ErrBankLinkState,
	PlaidErrorTypeRateLimitExceeded: ErrRateLimited,
	PlaidErrorTypeAPIError:          ErrServer,
	PlaidErrorTypeInstitutionError:  ErrServer,
}

// kind returns Kind. If a fake has left it empty, the status and the codes decide, unless there is
// a cause: then there was no answer.
func (e *Error) kind() error {
	switch status := e.StatusCode; {
	case e.Kind != nil || e.cause != nil:
		return e.Kind
	case status >= 300 && status < 400: // a redirect is never an answer of the API
		return ErrMalformedResponse
	case status >= 400, status >= 200 && e.Code != "":
		return kindOf(status, e)
	}
	kind := cmp.Or(documentedCodes[e.Code].kind, plaidTypeKinds[e.PlaidType])
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
// type come first. Elsewhere the status decides. The code decides only for an error in a 2xx and
// for MoneyKit's 400 for bad credentials.
func kindOf(status int, e *Error) error {
	kind := documentedCodes[e.Code].kind
	if e.PlaidType != "" {
		if kind = cmp.Or(kind, plaidTypeKinds[e.PlaidType]); kind != nil {
			return kind
		}
	}
	switch {
	case status < 300:
		return cmp.Or(kind, ErrServer)
	case status == 422 && (e.Code == CodeBadLinkState || e.BankLinkErrorCode != ""):
		return ErrBankLinkState
	case status == 400 && e.Code == CodeAuthUnauthorized:
		return ErrUnauthorized
	case status >= 500:
		return ErrServer
	}
	return cmp.Or(statusKinds[status], ErrBadRequest)
}

var statusKinds = map[int]error{
	401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict, 410: ErrDeleted,
	422: ErrValidation, 429: ErrRateLimited,
}
