package duolink

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/redact"
	"github.com/duolink/duolink/internal/send"
	"github.com/duolink/duolink/internal/wire"
)

// How an attempt becomes an error. The types of errors are in errors.go.

// newError is the one constructor of the errors of a call.
func (p *prepared) newError(kind error, message string) *Error {
	return &Error{API: p.op.api, Operation: p.op.name, Kind: kind, Message: message}
}

// named puts the operation's name on an error that arose before anything was sent.
func (p *prepared) unsent(err error) *Error { return named(err, p.op.api, p.op.name) }

// answered is an error about an answer. Whether a write was carried out is unknown then.
func (a *attempts) answered(at *attempt, kind error, message string) *Error {
	e := a.newError(kind, message)
	e.StatusCode, e.Outcome, e.RequestID = at.status, OutcomeUnknown, at.statedRequestID()
	e.RetryAfter = retryAfter(at.head, time.Now())
	return e
}

// refusal is an answer in which the server says no. An error in a 2xx, and a redirect, may follow a
// write that is done.
func (a *attempts) refusal(at *attempt) *Error {
	e := a.answered(at, nil, "")
	if at.status >= 400 && at.status < 500 {
		e.Outcome = OutcomeRejected
	}
	if at.status/100 == 3 { // whatever its body says, it is no answer of the API
		e.Kind = ErrMalformedResponse
		e.Message = "redirects are never followed; this one leads to " + brief(send.RedirectHost(at.location))
	} else {
		e.describe(at.body[:min(len(at.body), errorLimit)])
		e.Kind = kindOf(at.status, e)
	}
	e.scrub(a.confidential(at.header))
	return e
}

// malformed is an answer that cannot be used.
func (a *attempts) malformed(at *attempt, kind error, message string) *Error {
	e := a.answered(at, kind, message)
	e.scrub(a.confidential(at.header))
	return e
}

// unreadable is a 2xx whose body is not what was asked for.
func (a *attempts) unreadable(at *attempt, err error) *Error {
	switch {
	case at.unsized && (wire.BrokenOff(err) || len(bytes.TrimSpace(at.body)) == 0):
		// Where the connection's end is the answer's, nothing else tells.
		return a.failure(at, io.ErrUnexpectedEOF)
	case errors.Is(err, wire.ErrTooLarge):
		return a.failure(at, err)
	case errors.Is(err, wire.ErrErrorMember):
		return a.refusal(at)
	case errors.Is(err, wire.ErrNoData):
		return a.malformed(at, ErrMalformedResponse, wire.ErrNoData.Error())
	case errors.Is(err, wire.ErrNoObject):
		return a.malformed(at, ErrMalformedResponse, wire.ErrNoObject.Error())
	default:
		return a.malformed(at, ErrMalformedResponse, "the body is not the JSON that was asked for")
	}
}

// failure is an attempt that the connection did not survive, or that had to be cut short.
func (a *attempts) failure(at *attempt, err error) *Error {
	switch {
	case wire.IsCorrupt(err):
		return a.malformed(at, ErrMalformedResponse, "the body is not the gzip that its header announces")
	case errors.Is(err, wire.ErrTooLarge):
		return a.malformed(at, ErrResponseTooLarge, "there is more of it than the client reads")
	}
	cause := at.sending.Cause(err)
	e := a.newError(nil, transportText(cause))
	e.cause, e.StatusCode, e.Outcome = &cause, at.status, OutcomeUnknown
	e.RetryAfter = retryAfter(at.head, time.Now())
	switch {
	case at.sending == nil || at.sending.NothingLeft(err):
		e.Outcome = OutcomeNotSent
	case at.status != 0 && e.Message == connectionFailed:
		e.Message = "the answer broke off"
	}
	return e
}

// confidential takes what the caller sent, and no error may quote, out of a server's words. The
// headers are those that went with it. It costs something: only what is shown to somebody is worth
// it.
func (p *prepared) confidential(header http.Header) *redact.Redactor {
	private := append(slices.Concat(p.op.args, p.op.private), basePath(p.client.config.base[p.op.api].reveal()))
	for _, values := range p.extra {
		private = append(private, values...)
	}
	secrets := slices.Clone(p.op.secrets)
	// Also the credential that another API of the vendor takes, and a call's own, which a flow
	// never puts into a header.
	for _, c := range []authorizer{p.client.auth[p.op.api.vendor()], p.auth} {
		if c != nil {
			secrets = append(secrets, c.secrets()...)
		}
	}
	for _, name := range credentialHeaders {
		secrets = append(secrets, strings.TrimPrefix(header.Get(name), "Bearer "))
	}
	return redact.New(secrets, private)
}

// basePath is what a base URL has in front of the API's own paths. The layer's default is
// MoneyKit's with a word behind it.
func basePath(base string) string {
	_, rest, _ := strings.Cut(base, "://")
	_, path, _ := strings.Cut(strings.TrimSuffix(rest, plaidPath), "/")
	return path
}

// requestID is what the vendor's support asks for, unless it quotes a secret.
func (a *attempts) requestID(at *attempt) string {
	e := Error{RequestID: at.statedRequestID()}
	if e.RequestID != "" {
		e.scrub(a.confidential(at.header))
	}
	return e.RequestID
}

// statedRequestID is the body's, else the header's. It may quote a secret.
func (at *attempt) statedRequestID() string {
	return cmp.Or(wire.RequestID(at.body), wire.Identifier(at.head.Get("X-Request-Id")))
}

// scrub takes out of the server's words what the caller sent in confidence: servers quote
// credentials and ids in their messages. A request id that quotes any of it is none.
func (e *Error) scrub(confidential *redact.Redactor) {
	words := []*string{
		&e.Message, &e.Description, &e.DisplayMessage, &e.SuggestedAction, &e.DocumentationURL, &e.RequestID,
		(*string)(&e.BankLinkErrorCode), (*string)(&e.ProductErrorCode), (*string)(&e.PlaidType),
	}
	if e.Code.Meaning() == "" { // a documented code gives nothing away, whatever the id that it contains
		words = append(words, (*string)(&e.Code))
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		words = append(words, &f.Location, &f.Message, &f.Type)
	}
	id := e.RequestID
	if confidential.Clean(words...); e.RequestID != id {
		e.RequestID = ""
	}
}
