package duolink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/duolink/duolink/internal/redact"
	"github.com/duolink/duolink/internal/send"
	"github.com/duolink/duolink/internal/wire"
)

// How a failed attempt becomes an error. The types of errors are in errors.go.

// newError makes all errors of a call.
func (p *prepared) newError(kind error, message string) *Error {
	return &Error{API: p.op.api, Operation: p.op.name, Kind: kind, Message: message}
}

// unsent puts the operation's name on an error that arose before anything was sent.
func (p *prepared) unsent(err error) *Error { return named(err, p.op.api, p.op.name) }

// closed is the error of a call after the end of its client.
func (p *prepared) closed() *Error {
	return p.unsent(&Error{Kind: ErrClosed, Message: nothingMoreIsSent})
}

// answered is an error about an answer. It is not known whether a write was carried out.
func (a *attempts) answered(at *attempt, kind error, message string) *Error {
	e := a.newError(kind, message)
	e.StatusCode, e.Outcome, e.RequestID = at.status, OutcomeUnknown, at.statedRequestID()
	e.RetryAfter = retryAfter(at.head, time.Now())
	return e
}

// refusal is the error for an answer that refuses. The server may still have done a write before it
// sends an error in a 2xx or a redirect.
func (a *attempts) refusal(at *attempt) *Error {
	e := a.answered(at, nil, "")
	if at.status >= 400 && at.status < 500 {
		e.Outcome = OutcomeRejected
	}
	switch {
	case at.status == http.StatusNotModified:
		e.Kind, e.Message = ErrMalformedResponse, "a 304 has no body, and the request had no condition"
	case at.status/100 == 3: // the API never redirects, whatever the body says
		e.Kind = ErrMalformedResponse
		e.Message = "redirects are never followed; this one leads to " + brief(send.RedirectHost(at.location))
	default:
		e.describe(at.body[:min(len(at.body), errorLimit)])
		e.Kind = kindOf(at.status, e)
		if wantsHTTPS(at.body) && a.url.Scheme == "http" {
			e.Message = "the server speaks https, and the base URL says http (" + a.host() + ")"
		}
	}
	e.scrub(a.confidential(at.header))
	return e
}

// takeLocation hides a redirect's goal from http.Client, which fails if it cannot parse it.
func (at *attempt) takeLocation(resp *http.Response) {
	if resp != nil && resp.StatusCode/100 == 3 {
		at.location = resp.Header.Get("Location")
		resp.Header.Del("Location")
	}
}

// malformed is the error for an answer that cannot be used.
func (a *attempts) malformed(at *attempt, kind error, message string) *Error {
	e := a.answered(at, kind, message)
	e.scrub(a.confidential(at.header))
	return e
}

// unreadable is the error for a 2xx with the wrong body.
func (a *attempts) unreadable(ctx context.Context, at *attempt, err error) *Error {
	switch {
	case at.unsized && (wire.BrokenOff(err) || len(bytes.TrimSpace(at.body)) == 0):
		// If only the connection's end ends the answer, nothing else shows that it broke off.
		return a.failure(ctx, at, io.ErrUnexpectedEOF)
	case errors.Is(err, wire.ErrTooLarge):
		return a.failure(ctx, at, err)
	case errors.Is(err, wire.ErrErrorMember):
		return a.refusal(at)
	}
	unfit, ok := errors.AsType[wire.Unfit](err)
	if !ok || unfit == wire.ErrNoObject {
		unfit = cmp.Or(wire.Unfit(notJSON(at)), unfit, "the body is not valid JSON")
	}
	return a.malformed(at, ErrMalformedResponse, unfit.Error())
}

// notJSON says what a body is that cannot be JSON, or "".
func notJSON(at *attempt) string {
	body := bytes.TrimSpace(at.body)
	encoding := at.head.Get("Content-Encoding")
	switch {
	case len(body) == 0:
		return "the body is empty"
	case encoding != "" && !strings.EqualFold(encoding, "gzip") && !strings.EqualFold(encoding, "identity"):
		return "the body has an encoding that was not asked for: " + brief(encoding)
	case body[0] == '<':
		return "the body is HTML or XML, not JSON"
	case !bytes.ContainsAny(body[:1], `{["-0123456789tfn`+"\xef"):
		return "the body is text, not JSON"
	}
	return ""
}

// wantsHTTPS reports whether a server that speaks https has got plain http. Go's server and nginx say
// so in these words.
func wantsHTTPS(body []byte) bool {
	return bytes.Contains(body, []byte("HTTP request to an HTTPS server")) ||
		bytes.Contains(body, []byte("plain HTTP request was sent to HTTPS port"))
}

// host is the host of the request, with its port.
func (p *prepared) host() string { return p.url.Host }

// failure is the error of an attempt whose connection failed, or that was cut short.
func (a *attempts) failure(ctx context.Context, at *attempt, err error) *Error {
	switch {
	case wire.IsCorrupt(err):
		return a.malformed(at, ErrMalformedResponse, "the body is not the gzip that its header announces")
	case errors.Is(err, wire.ErrTooLarge):
		return a.malformed(at, ErrResponseTooLarge, "there is more of it than the client reads")
	}
	cause := endOf(ctx, at.sending.Cause(err))
	e := a.newError(nil, "")
	switch {
	case ctx.Err() != nil:
	case errors.Is(cause, ErrClosed):
		e.Kind, e.Message = ErrClosed, nothingMoreIsSent
	case cause == send.ErrAttemptEnded:
		e.Kind, e.Message = ErrTimeout, "no whole answer within "+a.timeout().String()
	case isContextEnd(cause) && !errors.Is(cause, send.ErrNobodyWaits):
		if a.client.http.Timeout > 0 && errors.Is(cause, context.DeadlineExceeded) && !send.IsDialError(cause) {
			e.Kind, e.Message = ErrTimeout, "no whole answer within the http.Client's Timeout"
		}
		cause = notTheCallers{cause}
	}
	e.Message = cmp.Or(e.Message, transportText(cause))
	if send.IsDialError(cause) && !send.IsProxyError(cause) && ctx.Err() == nil { // the host is the problem
		e.Message += " (" + a.host() + ")"
	}
	e.cause, e.StatusCode, e.Outcome = conceal.ValueOf(cause), at.status, OutcomeUnknown
	e.RetryAfter = retryAfter(at.head, time.Now())
	switch {
	case at.sending == nil || at.sending.NothingLeft(err):
		e.Outcome = OutcomeNotSent
	case at.status != 0 && e.Message == connectionFailed:
		e.Message = "the answer broke off"
	}
	return e
}

func isContextEnd(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// notReady is the error of an attempt that did not get ready. If the context has ended, that is why.
func (a *attempts) notReady(ctx context.Context, err error) error {
	e, ours := err.(*Error) //nolint:errorlint // one that a provider wraps is the provider's
	_, said := errors.AsType[*contextEnd](err)
	if err == nil || ctx.Err() == nil || ours && said {
		return err
	}
	ended := endOf(ctx, nil)
	if ours && e == a.lastError { // it is the call's error already
		e.because(ended)
		return e
	}
	if errors.Is(ended, ErrClosed) {
		cause := conceal.ValueOf(errors.Join(ended, notTheCallers{err}))
		return &Error{Kind: ErrClosed, Outcome: OutcomeNotSent, Message: nothingMoreIsSent, cause: cause}
	}
	both := errors.Join(ended, err)
	return &Error{Outcome: OutcomeNotSent, Message: transportText(both), cause: conceal.ValueOf(both)}
}

// confidential returns a redactor for what the caller sent with this header and no error may quote.
// It costs time, so use it only for texts that somebody sees.
func (p *prepared) confidential(header http.Header) *redact.Redactor {
	private := append(slices.Concat(p.op.args, p.op.private), basePath(p.client.config.base[p.op.api].reveal()))
	for _, values := range p.extra {
		private = append(private, values...)
	}
	for name, values := range header { // those of a hook
		if !slices.Contains(ownHeaders, name) && !slices.Contains(credentialHeaders, name) {
			private = append(private, values...)
		}
	}
	secrets := slices.Clone(p.op.secrets)
	// The vendor's credential, and the call's own, which a flow never puts into a header.
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

// basePath is the path of a base URL, without the path that the Plaid-compatible layer adds.
func basePath(base string) string {
	_, rest, _ := strings.Cut(base, "://")
	_, path, _ := strings.Cut(strings.TrimSuffix(rest, plaidPath), "/")
	return path
}

// requestID is the id that the vendor's support asks for, or "" if it quotes a secret.
func (a *attempts) requestID(at *attempt) string {
	e := Error{RequestID: at.statedRequestID()}
	if e.RequestID != "" {
		e.scrub(a.confidential(at.header))
	}
	return e.RequestID
}

// statedRequestID is the id in the body, or else in the header. It may quote a secret.
func (at *attempt) statedRequestID() string {
	return cmp.Or(wire.RequestID(at.body), wire.Identifier(at.head.Get("X-Request-Id")))
}

// scrub takes what the caller sent in confidence out of the server's words, because servers quote
// credentials and ids. A request id that quotes any of them is dropped.
func (e *Error) scrub(confidential *redact.Redactor) {
	words := []*string{
		&e.Message, &e.Description, &e.DisplayMessage, &e.SuggestedAction, &e.DocumentationURL, &e.RequestID,
		(*string)(&e.BankLinkErrorCode), (*string)(&e.ProductErrorCode), (*string)(&e.PlaidType),
	}
	if e.Code.Meaning() == "" { // a documented code is safe, even if it contains an id
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
