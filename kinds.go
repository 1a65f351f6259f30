package duolink

import "cmp"

// kind is the Kind, or where a fake has left it empty, what the status and the codes say. A failure
// that has a cause was no answer: it has no kind but the one that it was given.
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

// kindOf decides what an error is. Plaid says nearly everything with a 400, so there its code and
// type come first. Elsewhere the status decides, and the code only of an error that hides in a 2xx
// and of MoneyKit's 400 for bad credentials.
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
