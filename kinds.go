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
	case e.LinkErrorCode != "":
		return ErrLinkState
	case e.ProductErrorCode != "":
		return ErrRefreshFailed
	}
	return nil
}
