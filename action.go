package duolink

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/duolink/duolink/internal/send"
)

// Action is what to do about an error.
type Action string

const (
	// ActionRetry: the failure may pass by itself. Try again after a wait. If a Create or a Refresh
	// has OutcomeUnknown, look first. If you have ended the context, decide for yourself.
	ActionRetry Action = "retry"
	// ActionWaitUntil: there is a limit. Try again after Error.RetryAfter. If that is 0, try again
	// much later.
	ActionWaitUntil Action = "wait until"
	// ActionReauthenticate: with ErrUnauthorized you need a new credential. With ErrLoginRequired a
	// person has to log in to the data source: Links.Create makes the link. With ErrBankLinkState and
	// ErrRefreshFailed the person has to link the bank again. (A bank link of somebody else is
	// ErrUnauthorized with ActionFixRequest, because no credential of yours helps.)
	ActionReauthenticate Action = "reauthenticate"
	// ActionAskPermission: the administrator of the account, or the person whose data it is, has to
	// allow the call.
	ActionAskPermission Action = "ask permission"
	// ActionFixRequest: an argument, an option or the set-up is wrong, and the same call fails
	// again. With ErrRedirectMismatch, refuse the browser's request. If everybody gets that error,
	// look at WithRedirectParameter.
	ActionFixRequest Action = "fix request"
	// ActionRecreate: the resource is gone or does not fit. Make a new one, with another account or
	// bank if this account or bank does not fit.
	ActionRecreate Action = "recreate"
	// ActionContactSupport: only the vendor's support, or another contract with it, helps. Have
	// Error.RequestID ready.
	ActionContactSupport Action = "contact support"
)

// Action names what to do next. Every error of this package has an action, also with a new code.
func (e *Error) Action() Action {
	known := e.documented()
	switch kind := e.kind(); {
	case e.rule() != passing && known.action != byKind:
		return known.action
	case errors.Is(kind, ErrRateLimited):
		return ActionWaitUntil
	case strings.HasPrefix(string(folded(e.Code)), "license_"):
		return ActionContactSupport
	case e.RetryAfter > 0 && slices.ContainsFunc(atTheirTime, func(k error) bool { return errors.Is(kind, k) }):
		return ActionWaitUntil
	case comesBack[e.StatusCode]:
		return ActionRetry
	case send.IsIncurable(e.Unwrap()) || e.StatusCode == http.StatusNotImplemented:
		return ActionFixRequest
	}
	return cmp.Or(
		known.action, bankLinkActions[folded(e.BankLinkErrorCode)], productActions[folded(e.ProductErrorCode)],
		actionOfKind(e.kind()), ActionRetry,
	)
}

// atTheirTime are kinds that pass at the time that the server has named, if it has.
var atTheirTime = []error{ErrServer, ErrRefreshPending, ErrLoginPending}

// actionOfKind is the action of a kind, which a fake may have wrapped.
func actionOfKind(kind error) Action {
	for known, action := range kindActions {
		if errors.Is(kind, known) {
			return action
		}
	}
	return ""
}

// kindActions decide if no code does. An error without a kind is ActionRetry: it got no answer.
var kindActions = map[error]Action{
	ErrBadRequest: ActionFixRequest, ErrUnauthorized: ActionReauthenticate, ErrForbidden: ActionAskPermission,
	ErrNotFound: ActionFixRequest, ErrDeleted: ActionRecreate, ErrConflict: ActionFixRequest,
	ErrValidation:    ActionFixRequest,
	ErrLoginRequired: ActionReauthenticate, ErrBankLinkState: ActionReauthenticate,
	ErrServer: ActionRetry, ErrTimeout: ActionRetry,

	ErrArgument: ActionFixRequest, ErrNotConfigured: ActionFixRequest, ErrMalformedResponse: ActionContactSupport,
	ErrResponseTooLarge: ActionFixRequest, ErrClosed: ActionRetry, // by the next process

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
