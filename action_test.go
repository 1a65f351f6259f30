package duolink

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every code of both vendors has an action, and it is the one that helps. The table is written by hand, from their pages.
func TestActionOfEveryCode(t *testing.T) {
	want := map[Action][]Code{
		ActionFixRequest: {
			CodeBadRequest, CodeInvalidParameter, CodeValidationError, CodeNotFound, CodeConflictError, CodeUnprocessableEntity,
			CodeUnprocessableContent, CodeValidationFailed, CodeRequestValidationFailed, CodeLinkLimitExceeded, CodeUnauthorizedAccess,
			CodeInvalidAccountID, CodeInvalidBody, CodeMissingFields, CodeInvalidField, CodeIncompatibleAPIVersion,
		},
		ActionReauthenticate: {
			CodeUnauthorized, CodeAccessTokenInvalid, CodeInvalidAccessToken, CodeAccessTokenExpired, CodeInvalidToken, CodeTokenRevoked,
			CodeAPIKeyInvalid, CodeAPIKeyRequired, CodeOAuthInvalidToken, CodeExpiredAccessToken, CodeAuthUnauthorized, CodeInvalidAPIKeys,
			CodeBadLinkState, CodeItemLoginRequired,
		},
		ActionAskPermission: {
			CodeForbidden, CodePermissionError, CodeAccessDenied, CodeAccessDeniedIP, CodeAccessDeniedPermissions, CodeForbiddenAction,
			CodeAccessNotGranted,
		},
		ActionContactSupport: {
			CodeAPIKeyDisabled, CodeLicenseExpired, CodeLicenseAccountLimitExceeded, CodeLicenseNotFound, CodeLicenseAccessDataSource,
			CodeUnauthorizedEnvironment,
		},
		ActionRecreate: {
			CodeLinkNotFound, CodeLoginNotFound, CodeBankLinkNotFound, CodeBankLinkDeleted, CodeProductsNotSupported, CodeNoAuthAccounts,
			CodeNoAccounts,
		},
		ActionWaitUntil: {
			CodeTooManyRequests, CodeRateLimitExceeded, CodeLicenseDailyQueryLimitExceeded, CodeAPIRateLimitExceeded, CodeAuthLimit, CodeAccountsLimit,
		},
		ActionRetry: {
			CodeInternalServerError, CodeLoginSearchFailed, CodeLinkUpdateFailed, CodeServiceUnavailable, CodeDuplicationFailed,
			CodePlannedMaintenance, CodeProductNotReady,
		},
	}
	seen := map[Code]bool{}
	for action, codes := range want {
		for _, code := range codes {
			require.False(t, seen[code], code)
			seen[code] = true
			e := &Error{Code: code, kind: documentedCodes[code].kind}
			require.Equal(t, action, e.Action(), code)
		}
	}
	for code := range documentedCodes {
		require.Truef(t, seen[code], "%s has no action in this table", code)
	}
}

// What the link or its product says decides, and where there is no code, the kind does.
func TestActionOfTheRest(t *testing.T) {
	reset := errors.New("connection reset")
	for want, errs := range map[Action][]*Error{
		ActionRetry: {
			{}, {kind: ErrServer, StatusCode: 502}, {cause: &reset}, {kind: ErrServer, Code: "BRAND_NEW"},
			{kind: ErrLinkState, Code: CodeBadLinkState, LinkErrorCode: LinkProviderError},
			{kind: ErrLinkState, LinkErrorCode: LinkSystemError}, {kind: ErrLinkState, LinkErrorCode: LinkInstitutionError},
			{kind: ErrRefreshFailed, ProductErrorCode: ProductTimeout}, {kind: ErrRefreshFailed, ProductErrorCode: ProductRateLimit},
			{kind: ErrRefreshFailed, ProductErrorCode: ProductInstitutionError}, {kind: ErrRefreshFailed, ProductErrorCode: ProductUnknownError},
			{kind: ErrRefreshPending}, {kind: ErrUnavailable}, {kind: ErrLoginPending},
		},
		ActionWaitUntil: {{kind: ErrRateLimited}, {kind: ErrRateLimited, RetryAfter: 60e9}, {kind: ErrServer, StatusCode: 503, RetryAfter: 60e9}},
		ActionReauthenticate: {
			{kind: ErrUnauthorized}, {kind: ErrLinkState}, {kind: ErrLinkState, LinkErrorCode: LinkAuthExpired}, {kind: ErrLinkState, LinkErrorCode: LinkUserError},
			{kind: ErrLinkState, LinkErrorCode: LinkInvalidCredentials}, {kind: ErrLinkState, LinkErrorCode: LinkUserInputIncorrect},
			{kind: ErrLinkState, LinkErrorCode: LinkIncomplete}, {kind: ErrLinkState, LinkErrorCode: LinkUserSetupRequired},
			{kind: ErrLinkState, LinkErrorCode: "brand_new"}, {kind: ErrRefreshFailed, ProductErrorCode: ProductAuthExpired}, {kind: ErrRefreshFailed},
		},
		ActionAskPermission: {
			{kind: ErrForbidden}, {kind: ErrLinkState, LinkErrorCode: LinkUserOAuthDenied}, {kind: ErrRefreshFailed, ProductErrorCode: ProductNoPermission},
		},
		ActionRecreate: {
			{kind: ErrDeleted}, {kind: ErrLinkClosed}, {kind: ErrLinkExpired}, {kind: ErrLinkState, LinkErrorCode: LinkNoAccounts},
			{kind: ErrRefreshFailed, ProductErrorCode: ProductNotSupported}, {kind: ErrRefreshFailed, ProductErrorCode: ProductNoAccounts},
		},
		ActionFixRequest: {
			{kind: ErrArgument}, {kind: ErrNotConfigured}, {kind: ErrBadRequest}, {kind: ErrValidation}, {kind: ErrNotFound}, {kind: ErrConflict},
			{kind: ErrResponseTooLarge}, {kind: ErrRedirectMismatch},
		},
		ActionContactSupport: {{kind: ErrMalformedResponse}, {kind: ErrForbidden, Code: "LICENSE_BRAND_NEW"}, {kind: ErrServer, Code: "LICENSE_BRAND_NEW"}},
	} {
		for _, e := range errs {
			require.Equal(t, want, e.Action(), "%v %s %s %s", e.kind, e.Code, e.LinkErrorCode, e.ProductErrorCode)
		}
	}
	for _, kind := range kinds {
		require.Truef(t, kindActions[kind] != "" || kind == ErrRateLimited, "%v has no action", kind)
	}
	// Through a client, so that what it decodes is what Action looks at.
	c, _ := inMemory(t, func(*http.Request) *http.Response {
		return reply(422, `{"error_code":"link_error.bad_state","error_message":"No","link_error_code":"provider_error"}`)
	})
	_, err := c.Identity.Get(t.Context(), "mk_1", IdentityQuery{})
	require.Equal(t, ActionRetry, asError(t, fmt.Errorf("wrapped: %w", err)).Action())
}
