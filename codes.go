package duolink

// Code is a machine-readable error code. The set is open: a code without a constant comes through as it is.
type Code string

// Codes of Supermetrics, with the status that they come with.
const (
	CodeBadRequest       Code = "BAD_REQUEST"       // 400
	CodeInvalidParameter Code = "INVALID_PARAMETER" // 400
	CodeValidationError  Code = "VALIDATION_ERROR"  // 400

	CodeUnauthorized       Code = "UNAUTHORIZED"         // 401
	CodeAccessTokenInvalid Code = "ACCESS_TOKEN_INVALID" // 401, the same as INVALID_ACCESS_TOKEN
	// CodeInvalidAccessToken is Supermetrics' 401 for a bad token, and Plaid's INVALID_INPUT for an access
	// token that is not one of this client's.
	CodeInvalidAccessToken Code = "INVALID_ACCESS_TOKEN"
	CodeAccessTokenExpired Code = "ACCESS_TOKEN_EXPIRED" // 401
	CodeInvalidToken       Code = "INVALID_TOKEN"        // 401
	CodeTokenRevoked       Code = "TOKEN_REVOKED"        // 401
	CodeAPIKeyInvalid      Code = "API_KEY_INVALID"      // 401
	CodeAPIKeyRequired     Code = "API_KEY_REQUIRED"     // 401

	CodeForbidden                   Code = "FORBIDDEN"                      // 403
	CodePermissionError             Code = "PERMISSION_ERROR"               // 403
	CodeAccessDenied                Code = "ACCESS_DENIED"                  // 403
	CodeAccessDeniedIP              Code = "ACCESS_DENIED_IP"               // 403: the caller's address is not allowed
	CodeAccessDeniedPermissions     Code = "ACCESS_DENIED_PERMISSIONS"      // 403
	CodeAPIKeyDisabled              Code = "API_KEY_DISABLED"               // 403
	CodeLicenseExpired              Code = "LICENSE_EXPIRED"                // 403; other LICENSE_ codes exist
	CodeLicenseAccountLimitExceeded Code = "LICENSE_ACCOUNT_LIMIT_EXCEEDED" // 403
	CodeLinkLimitExceeded           Code = "LINK_LIMIT_EXCEEDED"            // 403: a quota of open links, not a permission

	CodeNotFound      Code = "NOT_FOUND"       // 404
	CodeLinkNotFound  Code = "LINK_NOT_FOUND"  // 404: no such login link
	CodeLoginNotFound Code = "LOGIN_NOT_FOUND" // 404: no such login

	CodeConflictError Code = "CONFLICT_ERROR" // 409

	CodeUnprocessableEntity  Code = "UNPROCESSABLE_ENTITY"  // 422
	CodeUnprocessableContent Code = "UNPROCESSABLE_CONTENT" // 422
	CodeValidationFailed     Code = "VALIDATION_FAILED"     // 422

	CodeTooManyRequests                Code = "TOO_MANY_REQUESTS"                  // 429
	CodeRateLimitExceeded              Code = "RATE_LIMIT_EXCEEDED"                // 429
	CodeLicenseDailyQueryLimitExceeded Code = "LICENSE_DAILY_QUERY_LIMIT_EXCEEDED" // 429: a daily quota, not retried

	CodeInternalServerError     Code = "INTERNAL_SERVER_ERROR"      // 500, in both dialects
	CodeLoginSearchFailed       Code = "LOGIN_SEARCH_FAILED"        // 500
	CodeLinkUpdateFailed        Code = "LINK_UPDATE_FAILED"         // 500
	CodeLicenseNotFound         Code = "LICENSE_NOT_FOUND"          // 500, permanent all the same: not retried
	CodeLicenseAccessDataSource Code = "LICENSE_ACCESS_DATA_SOURCE" // 500, permanent all the same: not retried
	CodeServiceUnavailable      Code = "SERVICE_UNAVAILABLE"        // 5xx
	CodeDuplicationFailed       Code = "DUPLICATION_FAILED"         // 5xx
)

// CodeOAuthInvalidToken is the OAuth shape of a bad token (401).
const CodeOAuthInvalidToken Code = "invalid_token"

// Codes of MoneyKit's native API, with the status that they come with.
const (
	CodeExpiredAccessToken      Code = "api_error.auth.expired_access_token" // 401: a new token cures it
	CodeAuthUnauthorized        Code = "api_error.auth.unauthorized"         // 401, and 400 from the token exchange
	CodeRequestValidationFailed Code = "api_error.request.validation_failed" // 422
	CodeAPIRateLimitExceeded    Code = "api_error.rate_limit_exceeded"       // 429
	CodeUnauthorizedAccess      Code = "link_error.unauthorized_access"      // 401: somebody else's link; a new token does not help
	CodeForbiddenAction         Code = "link_error.forbidden_action"         // 403: the user did not permit this data
	CodeBankLinkNotFound        Code = "link_error.not_found"                // 404
	CodeBankLinkDeleted         Code = "link_error.deleted"                  // 410
	CodeBadLinkState            Code = "link_error.bad_state"                // 422, with Error.LinkErrorCode
)

// Codes of the Plaid-compatible layer; nearly all of them come with a 400.
const (
	CodeInvalidAccountID        Code = "INVALID_ACCOUNT_ID"       // INVALID_INPUT: no account of this item
	CodeInvalidAPIKeys          Code = "INVALID_API_KEYS"         // INVALID_INPUT: bad client id or secret
	CodeUnauthorizedEnvironment Code = "UNAUTHORIZED_ENVIRONMENT" // INVALID_INPUT: the client may not use this environment
	CodeInvalidBody             Code = "INVALID_BODY"             // INVALID_REQUEST: the body is not the JSON that is expected
	CodeMissingFields           Code = "MISSING_FIELDS"           // INVALID_REQUEST: a required field is missing
	CodeInvalidField            Code = "INVALID_FIELD"            // INVALID_REQUEST: a field has a value that it cannot have
	CodeIncompatibleAPIVersion  Code = "INCOMPATIBLE_API_VERSION" // INVALID_REQUEST: not with this Plaid-Version
	CodeItemLoginRequired       Code = "ITEM_LOGIN_REQUIRED"      // ITEM_ERROR: the user has to authenticate again
	CodeProductNotReady         Code = "PRODUCT_NOT_READY"        // ITEM_ERROR: the data is still being fetched
	CodeProductsNotSupported    Code = "PRODUCTS_NOT_SUPPORTED"   // ITEM_ERROR: the institution does not have it
	CodeNoAuthAccounts          Code = "NO_AUTH_ACCOUNTS"         // ITEM_ERROR: no account has numbers
	CodeAccessNotGranted        Code = "ACCESS_NOT_GRANTED"       // ITEM_ERROR: the user did not permit this data
	CodeNoAccounts              Code = "NO_ACCOUNTS"              // ITEM_ERROR: the item has no open accounts
	CodeAuthLimit               Code = "AUTH_LIMIT"               // RATE_LIMIT_EXCEEDED, 429: of auth/get
	CodeAccountsLimit           Code = "ACCOUNTS_LIMIT"           // RATE_LIMIT_EXCEEDED, 429: of the accounts
	CodePlannedMaintenance      Code = "PLANNED_MAINTENANCE"      // API_ERROR, 500
)

// PlaidErrorType is the family of a Plaid error code; an open set.
type PlaidErrorType string

// The families that the Plaid-compatible layer documents.
const (
	PlaidInvalidInput      PlaidErrorType = "INVALID_INPUT"
	PlaidInvalidRequest    PlaidErrorType = "INVALID_REQUEST"
	PlaidItemError         PlaidErrorType = "ITEM_ERROR"
	PlaidRateLimitExceeded PlaidErrorType = "RATE_LIMIT_EXCEEDED"
	PlaidAPIError          PlaidErrorType = "API_ERROR"
	PlaidInstitutionError  PlaidErrorType = "INSTITUTION_ERROR"
	PlaidOAuthError        PlaidErrorType = "OAUTH_ERROR"
)

// codeKinds holds every documented code. It is asked where the status does not decide: in the Plaid dialect, and of an
// error in a 2xx.
var codeKinds = map[Code]error{
	CodeBadRequest: ErrBadRequest, CodeInvalidParameter: ErrBadRequest, CodeValidationError: ErrBadRequest,

	CodeUnauthorized: ErrUnauthorized, CodeAccessTokenInvalid: ErrUnauthorized, CodeInvalidAccessToken: ErrUnauthorized,
	CodeAccessTokenExpired: ErrUnauthorized, CodeInvalidToken: ErrUnauthorized, CodeTokenRevoked: ErrUnauthorized,
	CodeAPIKeyInvalid: ErrUnauthorized, CodeAPIKeyRequired: ErrUnauthorized, CodeOAuthInvalidToken: ErrUnauthorized,
	CodeExpiredAccessToken: ErrUnauthorized, CodeAuthUnauthorized: ErrUnauthorized, CodeUnauthorizedAccess: ErrUnauthorized,

	CodeForbidden: ErrForbidden, CodePermissionError: ErrForbidden, CodeAccessDenied: ErrForbidden,
	CodeAccessDeniedIP: ErrForbidden, CodeAccessDeniedPermissions: ErrForbidden, CodeAPIKeyDisabled: ErrForbidden,
	CodeLicenseExpired: ErrForbidden, CodeLicenseAccountLimitExceeded: ErrForbidden, CodeLinkLimitExceeded: ErrForbidden,
	CodeForbiddenAction: ErrForbidden,

	CodeNotFound: ErrNotFound, CodeLinkNotFound: ErrNotFound, CodeLoginNotFound: ErrNotFound, CodeBankLinkNotFound: ErrNotFound,
	CodeConflictError:   ErrConflict,
	CodeBankLinkDeleted: ErrDeleted,

	CodeUnprocessableEntity: ErrValidation, CodeUnprocessableContent: ErrValidation, CodeValidationFailed: ErrValidation,
	CodeRequestValidationFailed: ErrValidation, CodeBadLinkState: ErrLinkState,

	CodeTooManyRequests: ErrRateLimited, CodeRateLimitExceeded: ErrRateLimited,
	CodeLicenseDailyQueryLimitExceeded: ErrRateLimited, CodeAPIRateLimitExceeded: ErrRateLimited,

	CodeInternalServerError: ErrServer, CodeLoginSearchFailed: ErrServer, CodeLinkUpdateFailed: ErrServer,
	CodeLicenseNotFound: ErrServer, CodeLicenseAccessDataSource: ErrServer, CodeServiceUnavailable: ErrServer,
	CodeDuplicationFailed: ErrServer,

	CodeInvalidAPIKeys: ErrUnauthorized, CodeUnauthorizedEnvironment: ErrUnauthorized,
	CodeInvalidAccountID: ErrBadRequest, CodeInvalidBody: ErrBadRequest, CodeMissingFields: ErrBadRequest,
	CodeInvalidField: ErrBadRequest, CodeIncompatibleAPIVersion: ErrBadRequest,
	CodeItemLoginRequired: ErrLinkState, CodeProductNotReady: ErrLinkState, CodeProductsNotSupported: ErrLinkState,
	CodeNoAuthAccounts: ErrLinkState, CodeNoAccounts: ErrLinkState, CodeAccessNotGranted: ErrForbidden,
	CodeAuthLimit: ErrRateLimited, CodeAccountsLimit: ErrRateLimited, CodePlannedMaintenance: ErrServer,
}

// plaidTypeKinds decides for a Plaid code that has no constant.
var plaidTypeKinds = map[PlaidErrorType]error{
	PlaidInvalidInput:      ErrBadRequest,
	PlaidInvalidRequest:    ErrBadRequest,
	PlaidItemError:         ErrLinkState,
	PlaidRateLimitExceeded: ErrRateLimited,
	PlaidAPIError:          ErrServer,
	PlaidInstitutionError:  ErrServer,
}
