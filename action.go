package duolink

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/duolink/duolink/internal/send"
)

// Action is what to do about an error.
type Action string

const (
	// ActionRetry: it may pass by itself; try again, after a backoff of yours. Of a Create or a
	// Refresh whose Outcome is OutcomeUnknown, look first; of a context that you have ended, it is
	// yours to decide.
	ActionRetry Action = "retry"
	// ActionWaitUntil: a limit; try again when Error.RetryAfter is over, or where that is 0, a good
	// while later.
	ActionWaitUntil Action = "wait until"
	// ActionReauthenticate: proof is needed again: a new credential of yours with ErrUnauthorized;
	// with ErrBankLinkState and ErrRefreshFailed the person has to link the bank again. (A link
	// that is somebody else's is ErrUnauthorized too, and ActionFixRequest: no credential of yours
	// cures that.)
	ActionReauthenticate Action = "reauthenticate"
	// ActionAskPermission: somebody has to allow it: the administrator of the account, or the
	// person whose data it is.
	ActionAskPermission Action = "ask permission"
	// ActionFixRequest: the same call fails again; an argument, an option or the set-up is wrong.
	// Of ErrRedirectMismatch the browser's request is: refuse it, and where that happens to
	// everybody, look at WithRedirectParameter.
	ActionFixRequest Action = "fix request"
	// ActionRecreate: it is gone, or not what is needed; make a new one, with another account or
	// bank where this one does not do.
	ActionRecreate Action = "recreate"
	// ActionContactSupport: the vendor's support, or a contract with it, is what helps. Have
	// Error.RequestID ready.
	ActionContactSupport Action = "contact support"
)

// Action names what to do next. There is one for every error of this package, also for codes that
// are new.
func (e *Error) Action() Action {
	switch kind := e.kind(); {
	case errors.Is(kind, ErrRateLimited):
		return ActionWaitUntil
	case strings.HasPrefix(string(e.Code), "LICENSE_"):
		return ActionContactSupport
	case errors.Is(kind, ErrServer) && e.RetryAfter > 0:
		return ActionWaitUntil
	case comesBack[e.StatusCode]:
		return ActionRetry
	case send.IsIncurable(e.Unwrap()) || e.StatusCode == http.StatusNotImplemented:
		return ActionFixRequest
	}
	return cmp.Or(
		documentedCodes[e.Code].action, bankLinkActions[e.BankLinkErrorCode], productActions[e.ProductErrorCode],
		actionOfKind(e.kind()), ActionRetry,
	)
}

// actionOfKind is the action of a kind, or of the kind that a fake has wrapped.
func actionOfKind(kind error) Action {
	for known, action := range kindActions {
		if errors.Is(kind, known) {
			return action
		}
	}
	return ""
}

// kindActions hold where neither a code nor the rest says more. What has no kind did not get an
// answer: it may next time.
var kindActions = map[error]Action{
	ErrBadRequest: ActionFixRequest, ErrUnauthorized: ActionReauthenticate, ErrForbidden: ActionAskPermission,
	ErrNotFound: ActionFixRequest, ErrDeleted: ActionRecreate, ErrConflict: ActionFixRequest,
	ErrValidation:    ActionFixRequest,
	ErrBankLinkState: ActionReauthenticate, ErrServer: ActionRetry,

	ErrArgument: ActionFixRequest, ErrNotConfigured: ActionFixRequest, ErrMalformedResponse: ActionContactSupport,
	ErrResponseTooLarge: ActionFixRequest,

	ErrLoginLinkClosed: ActionRecreate, ErrLoginLinkExpired: ActionRecreate, ErrLoginPending: ActionRetry,
	ErrRedirectMismatch: ActionFixRequest,
	ErrRefreshPending:   ActionRetry, ErrRefreshFailed: ActionReauthenticate, ErrProductUnavailable: ActionRetry,
}

var bankLinkActions = map[BankLinkErrorCode]Action{
	BankLinkErrorSystem: ActionRetry, BankLinkErrorProvider: ActionRetry, BankLinkErrorInstitution: ActionRetry,
	BankLinkErrorNoAccounts: ActionRecreate, BankLinkErrorUserOAuthDenied: ActionAskPermission,
}

var productActions = map[ProductErrorCode]Action{
	ProductErrorRateLimit: ActionRetry, ProductErrorTimeout: ActionRetry, ProductErrorInstitution: ActionRetry,
	ProductErrorUnknown: ActionRetry, ProductErrorNotSupported: ActionRecreate, ProductErrorNoAccounts: ActionRecreate,
	ProductErrorNoPermission: ActionAskPermission,
}
