package duolink

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/stretchr/testify/require"
)

// An Error of a user's fake has a kind, an action and a text, whichever fields the fake has set. An
// Error that this package makes from an answer has the same kind in its field.
func TestKindOfAFake(t *testing.T) {
	for name, tc := range map[string]struct {
		fake   Error
		kind   error // nil for none
		action Action
	}{
		"nothing": {Error{}, nil, ActionRetry},
		"200":     {Error{StatusCode: 200}, nil, ActionRetry},
		"302":     {Error{StatusCode: 302}, ErrMalformedResponse, ActionContactSupport},
		"400":     {Error{StatusCode: 400}, ErrBadRequest, ActionFixRequest},
		"401":     {Error{StatusCode: 401}, ErrUnauthorized, ActionReauthenticate},
		"403":     {Error{StatusCode: 403}, ErrForbidden, ActionAskPermission},
		"404":     {Error{StatusCode: 404}, ErrNotFound, ActionFixRequest},
		"409":     {Error{StatusCode: 409}, ErrConflict, ActionFixRequest},
		"410":     {Error{StatusCode: 410}, ErrDeleted, ActionRecreate},
		"418":     {Error{StatusCode: 418}, ErrBadRequest, ActionFixRequest},
		"422":     {Error{StatusCode: 422}, ErrValidation, ActionFixRequest},
		"429":     {Error{StatusCode: 429}, ErrRateLimited, ActionWaitUntil},
		"500":     {Error{StatusCode: 500}, ErrServer, ActionRetry},
		"503":     {Error{StatusCode: 503}, ErrServer, ActionRetry},
		"503, with a time": {
			Error{StatusCode: 503, RetryAfter: 60e9}, ErrServer, ActionWaitUntil,
		},

		"a code":          {Error{Code: CodeRateLimitExceeded}, ErrRateLimited, ActionWaitUntil},
		"a link's code":   {Error{Code: CodeLinkNotFound}, ErrNotFound, ActionRecreate},
		"a Plaid code":    {Error{Code: CodeItemLoginRequired}, ErrBankLinkState, ActionReauthenticate},
		"a native code":   {Error{Code: CodeBadLinkState}, ErrBankLinkState, ActionReauthenticate},
		"an unknown code": {Error{Code: "BRAND_NEW"}, nil, ActionRetry},
		"a licence code":  {Error{Code: "LICENSE_BRAND_NEW"}, nil, ActionContactSupport},
		"a code in a 200": {Error{StatusCode: 200, Code: CodeLinkNotFound}, ErrNotFound, ActionRecreate},
		"an unknown code in a 200": {
			Error{StatusCode: 200, Code: "BRAND_NEW"}, ErrServer, ActionRetry,
		},
		"a status and a code": {
			Error{StatusCode: 404, Code: CodeLinkNotFound}, ErrNotFound, ActionRecreate,
		},
		"a status and another's code": {
			Error{StatusCode: 422, Code: CodeLinkNotFound}, ErrValidation, ActionRecreate,
		},

		"a Plaid type": {Error{PlaidType: "RATE_LIMIT_EXCEEDED"}, ErrRateLimited, ActionWaitUntil},
		"a Plaid type with its 400": {
			Error{StatusCode: 400, PlaidType: "RATE_LIMIT_EXCEEDED", Code: "BRAND_NEW"},
			ErrRateLimited, ActionWaitUntil,
		},
		"an item's error": {Error{PlaidType: "ITEM_ERROR"}, ErrBankLinkState, ActionReauthenticate},
		"a Plaid type and a code": {
			Error{PlaidType: "ITEM_ERROR", Code: CodeProductNotReady}, ErrBankLinkState, ActionRetry,
		},
		"an unknown Plaid type": {Error{PlaidType: "BRAND_NEW"}, nil, ActionRetry},

		"a link error": {Error{BankLinkErrorCode: BankLinkErrorProvider}, ErrBankLinkState, ActionRetry},
		"a link error with 422": {
			Error{StatusCode: 422, BankLinkErrorCode: BankLinkErrorNoAccounts}, ErrBankLinkState, ActionRecreate,
		},
		"a product error": {
			Error{ProductErrorCode: ProductErrorNoPermission}, ErrRefreshFailed, ActionAskPermission,
		},

		"a kind": {Error{Kind: ErrLoginPending}, ErrLoginPending, ActionRetry},
		"a kind before the status": {
			Error{Kind: ErrConflict, StatusCode: 404}, ErrConflict, ActionFixRequest,
		},
		"a kind in other words": {
			Error{Kind: fmt.Errorf("%w: in the fake", ErrDeleted)}, ErrDeleted, ActionRecreate,
		},
		"a kind of the fake's own": {Error{Kind: errors.New("odd")}, nil, ActionRetry},
		"a kind that is no key":    {Error{Kind: unhashable{"odd"}}, nil, ActionRetry},
	} {
		t.Run(name, func(t *testing.T) {
			e := &tc.fake
			wrapped := fmt.Errorf("wrapped: %w", e)
			for _, kind := range kinds {
				require.Equal(t, kind == tc.kind, errors.Is(wrapped, kind), "%v", kind)
			}
			require.Equal(t, tc.action, e.Action())
			require.True(t, strings.HasPrefix(e.Error(), "duolink: "), e.Error())
			require.NotContains(t, e.Error(), ": :")
			require.False(t, strings.HasSuffix(e.Error(), " "), e.Error())
			require.Equal(t, slog.KindGroup, e.LogValue().Kind())
			require.NotEmpty(t, logged(e))
			require.NoError(t, errors.Unwrap(e))
		})
	}
}

// unhashable is an error that cannot be the key of a map.
type unhashable []string

func (unhashable) Error() string { return "odd" }

// Empty fields of a fake are not in the text.
func TestTextOfAFake(t *testing.T) {
	for want, fake := range map[string]*Error{
		"duolink: no answer":              {},
		"duolink: links.get: no answer":   {Operation: "links.get"},
		"duolink: rate limited":           {Kind: ErrRateLimited},
		"duolink: 429: Too Many Requests": {StatusCode: 429},
		"duolink: LINK_NOT_FOUND":         {Code: CodeLinkNotFound},
		"duolink: rate limited: wait":     {PlaidType: "RATE_LIMIT_EXCEEDED", Message: "wait"},
		"duolink: links.get: 404 LINK_NOT_FOUND: no": {
			Operation: "links.get", StatusCode: 404, Code: CodeLinkNotFound, Message: "no",
		},
		"duolink: links.await: login pending: not me": {Operation: "links.await", Kind: ErrLoginPending,
			Message: "not me"},
	} {
		require.Equal(t, want, fake.Error())
	}
}

// After a failed connection there is no kind, whatever the status. Only the kind of a fake is
// derived.
func TestNoKindOfWhatFailedUnderneath(t *testing.T) {
	reset := errors.New("connection reset")
	e := &Error{StatusCode: 503, cause: conceal.ValueOf(reset)}
	require.False(t, slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(e, kind) }))
	require.ErrorIs(t, e, reset)
}
