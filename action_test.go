package duolink

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/stretchr/testify/require"
)

// Every code of both vendors has the action that helps. The table is written by hand, from the
// vendors' pages.
func TestActionOfEveryCode(t *testing.T) {
	want := map[Action][]Code{
		ActionFixRequest: {
			CodeBadRequest, CodeInvalidParameter, CodeValidationError, CodeNotFound, CodeConflictError,
			CodeUnprocessableEntity,
			CodeUnprocessableContent, CodeValidationFailed, CodeRequestValidationFailed, CodeLinkLimitExceeded,
			CodeUnauthorizedAccess,
			CodeInvalidAccountID, CodeInvalidBody, CodeMissingFields, CodeInvalidField, CodeIncompatibleAPIVersion,
			CodeQueryError,
		},
		ActionReauthenticate: {
			CodeUnauthorized, CodeAccessTokenInvalid, CodeInvalidAccessToken, CodeAccessTokenExpired, CodeInvalidToken,
			CodeTokenRevoked,
			CodeAPIKeyInvalid, CodeAPIKeyRequired, CodeOAuthInvalidToken, CodeExpiredAccessToken, CodeAuthUnauthorized,
			CodeInvalidAPIKeys,
			CodeBadLinkState, CodeItemLoginRequired, CodeItemLocked,
			CodeQueryAuthNotFound, CodeQueryAuthLoginFailed, CodeQueryAuthUnavailable,
		},
		ActionAskPermission: {
			CodeForbidden, CodePermissionError, CodeAccessDenied, CodeAccessDeniedIP, CodeAccessDeniedPermissions,
			CodeForbiddenAction,
			CodeAccessNotGranted, CodeAdditionalConsentRequired,
		},
		ActionContactSupport: {
			CodeAPIKeyDisabled, CodeLicenseExpired, CodeLicenseAccountLimitExceeded, CodeLicenseNotFound,
			CodeLicenseAccessDataSource,
			CodeUnauthorizedEnvironment, CodeLicenseHistoricalRangeExceeded, CodeLicenseQueriesSuspended,
			CodeLicenseRowLimitExceeded, CodeCreditsExhausted,
		},
		ActionRecreate: {
			CodeLinkNotFound, CodeLoginNotFound, CodeBankLinkNotFound, CodeBankLinkDeleted, CodeProductsNotSupported,
			CodeNoAuthAccounts,
			CodeNoAccounts, CodeItemNotFound, CodeUserPermissionRevoked, CodeProductNotEnabled,
		},
		ActionWaitUntil: {
			CodeTooManyRequests, CodeRateLimitExceeded, CodeLicenseDailyQueryLimitExceeded, CodeAPIRateLimitExceeded,
			CodeAuthLimit, CodeAccountsLimit, CodeRateLimit, CodeInstitutionRateLimit,
		},
		ActionRetry: {
			CodeInternalServerError, CodeLoginSearchFailed, CodeLinkUpdateFailed, CodeServiceUnavailable,
			CodeDuplicationFailed,
			CodePlannedMaintenance, CodeProductNotReady, CodeInstitutionDown, CodeInstitutionNotAvailable,
			CodeInstitutionNotResponding,
		},
	}
	seen := map[Code]bool{}
	for action, codes := range want {
		for _, code := range codes {
			require.False(t, seen[code], code)
			seen[code] = true
			e := &Error{Code: code}
			e.Kind = e.documented().kind
			require.Equal(t, action, e.Action(), code)
		}
	}
	for name, code := range constantsOf(t, "Code") {
		require.Truef(t, seen[Code(code)], "%s has no action in this table", name)
	}
}

// The error code of the link or product decides. Without a code the kind decides.
func TestActionOfTheRest(t *testing.T) {
	reset := errors.New("connection reset")
	for want, errs := range map[Action][]*Error{
		ActionRetry: {
			{}, {Kind: ErrServer, StatusCode: 502}, {cause: conceal.ValueOf(reset)},
			{Kind: ErrServer, Code: "BRAND_NEW"},
			{Kind: ErrBankLinkState, Code: CodeBadLinkState, BankLinkErrorCode: BankLinkErrorProvider},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorSystem},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorInstitution},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorTimeout},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorRateLimit},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorInstitution},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorUnknown},
			{Kind: ErrRefreshPending}, {Kind: ErrProductUnavailable}, {Kind: ErrLoginPending},
		},
		ActionWaitUntil: {
			{Kind: ErrRateLimited}, {Kind: ErrRateLimited, RetryAfter: 60e9},
			{Kind: ErrServer, StatusCode: 503, RetryAfter: 60e9},
		},
		ActionReauthenticate: {
			{Kind: ErrUnauthorized}, {Kind: ErrBankLinkState},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorAuthExpired},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorUser},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorInvalidCredentials},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorUserInputIncorrect},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorIncomplete},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorUserSetupRequired},
			{Kind: ErrBankLinkState, BankLinkErrorCode: "brand_new"},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorAuthExpired}, {Kind: ErrRefreshFailed},
		},
		ActionAskPermission: {
			{Kind: ErrForbidden}, {Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorUserOAuthDenied},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorNoPermission},
		},
		ActionRecreate: {
			{Kind: ErrDeleted}, {Kind: ErrLoginLinkClosed}, {Kind: ErrLoginLinkExpired},
			{Kind: ErrBankLinkState, BankLinkErrorCode: BankLinkErrorNoAccounts},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorNotSupported},
			{Kind: ErrRefreshFailed, ProductErrorCode: ProductErrorNoAccounts},
		},
		ActionFixRequest: {
			{Kind: ErrArgument}, {Kind: ErrNotConfigured}, {Kind: ErrBadRequest}, {Kind: ErrValidation},
			{Kind: ErrNotFound},
			{Kind: ErrConflict},
			{Kind: ErrResponseTooLarge}, {Kind: ErrRedirectMismatch},
		},
		ActionContactSupport: {
			{Kind: ErrMalformedResponse}, {Kind: ErrForbidden, Code: "LICENSE_BRAND_NEW"},
			{Kind: ErrServer, Code: "LICENSE_BRAND_NEW"},
		},
	} {
		for _, e := range errs {
			require.Equal(t, want, e.Action(), "%v %s %s %s", e.kind(), e.Code, e.BankLinkErrorCode, e.ProductErrorCode)
		}
	}
	for _, kind := range kinds {
		require.Truef(t, kindActions[kind] != "" || kind == ErrRateLimited, "%v has no action", kind)
	}
	// Through a client, so that Action sees what the client decodes.
	c, _ := inMemory(t, func(*http.Request) *http.Response {
		return reply(422, `{"error_code":"link_error.bad_state","error_message":"No",`+
			`"link_error_code":"provider_error"}`)
	})
	_, err := c.Identity.Get(t.Context(), "mk_1", IdentityQuery{})
	require.Equal(t, ActionRetry, asError(t, fmt.Errorf("wrapped: %w", err)).Action())
}
