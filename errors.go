package duolink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/duolink/duolink/internal/send"
	"github.com/duolink/duolink/internal/wire"
)

// The kinds of failure. Ask with errors.Is, through any wrapping; the details are in [Error].
var (
	// ErrBadRequest: the server refuses the request as it stands (400, and 4xx without a kind of
	// its own).
	ErrBadRequest = errors.New("bad request")
	// ErrUnauthorized: the credential is missing, wrong, expired or not meant for this resource
	// (401).
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: the credential is good and does not allow this (403).
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound: there is no such resource (404). Error.Code is empty where the 404 is not the
	// API's own: a proxy's, or that of a wrong base URL.
	ErrNotFound = errors.New("not found")
	// ErrDeleted: the resource existed and has been deleted (410).
	ErrDeleted = errors.New("deleted")
	// ErrConflict: the request conflicts with the state of the resource (409); from
	// Links.CreateOnce, with what the marker stands in.
	ErrConflict = errors.New("conflict")
	// ErrValidation: a value is not acceptable; Error.Fields may say which (422).
	ErrValidation = errors.New("validation failed")
	// ErrBankLinkState: the bank link cannot serve this now; Error.BankLinkErrorCode or Error.Code
	// says why (MoneyKit's 422 link_error.bad_state, Plaid's ITEM_ERROR).
	ErrBankLinkState = errors.New("bank link in a bad state")
	// ErrRateLimited: too many requests (429). Error.RetryAfter says when to come back, if the
	// server did. With OutcomeNotSent an earlier call was refused, and this one could not wait so
	// long.
	ErrRateLimited = errors.New("rate limited")
	// ErrServer: the server, or what stands before it, failed (5xx).
	ErrServer = errors.New("server error")

	// ErrArgument: an argument or option cannot be right; nothing was sent.
	ErrArgument = errors.New("invalid argument")
	// ErrNotConfigured: the client has no credential for this API; nothing was sent.
	ErrNotConfigured = errors.New("not configured")
	// ErrMalformedResponse: the server answered, and the answer is not what the API documents.
	ErrMalformedResponse = errors.New("malformed response")
	// ErrResponseTooLarge: the answer is larger than the client is willing to read.
	ErrResponseTooLarge = errors.New("response too large")

	// ErrLoginLinkClosed and ErrLoginLinkExpired: the login link has ended, and nobody has logged
	// in through it.
	ErrLoginLinkClosed  = errors.New("login link closed")
	ErrLoginLinkExpired = errors.New("login link expired")
	// ErrLoginPending: nobody has logged in through the login link yet.
	ErrLoginPending = errors.New("login pending")
	// ErrRedirectMismatch: a browser's request does not carry the login link's verifier; it may be
	// forged.
	ErrRedirectMismatch = errors.New("redirect mismatch")
	// ErrRefreshPending: the wait ended before the refresh of the bank link was seen to end.
	ErrRefreshPending = errors.New("refresh pending")
	// ErrRefreshFailed: the refresh of the bank link has failed; Error.ProductErrorCode says why.
	ErrRefreshFailed = errors.New("refresh failed")
	// ErrProductUnavailable: the bank cannot be asked for the product now; Error.Description may
	// say why.
	ErrProductUnavailable = errors.New("product unavailable")
)

// Error is every error that New or a call returns. Its text names the operation, the status, the
// code, the server's message and the request id; never an id that was passed in, a query, a body or
// a credential.
type Error struct {
	// Kind is what errors.Is tells: one of the errors above, such as ErrRateLimited. Where it is
	// empty, as a fake of yours may leave it, StatusCode and Code decide; a failure without an
	// answer has none.
	Kind       error
	API        API
	Operation  string // such as "links.get"
	StatusCode int    // 0 where no answer arrived
	Code       Code   // the machine-readable code of either dialect, "" if the answer had none
	Message    string
	// Description is the second, longer text of Supermetrics' envelope and of OAuth errors.
	Description string
	RequestID   string // what the vendor's support asks for
	// RetryAfter is how long to wait: the server's word, which is believed for a day at most, or,
	// of a call that was not sent because an earlier one was refused, what is left of it. After a
	// failed token exchange it is at least the time for which none is tried. 0 where nobody asked
	// for a wait.
	RetryAfter       time.Duration
	DocumentationURL string
	// BankLinkErrorCode is what is wrong with the bank link, with ErrBankLinkState from MoneyKit.
	BankLinkErrorCode BankLinkErrorCode
	// ProductErrorCode is why a product could not be refreshed, with ErrRefreshFailed.
	ProductErrorCode ProductErrorCode
	// Fields lists what failed validation, with ErrValidation.
	Fields []FieldError
	// PlaidType, DisplayMessage and SuggestedAction come from the Plaid-compatible layer alone.
	PlaidType       PlaidErrorType
	DisplayMessage  string // meant for the end user
	SuggestedAction string
	// Attempts is how many times the request was sent or tried to be.
	Attempts int
	// Outcome says what is known of a write that failed. It speaks of the operation that the error
	// names: with "auth.token", the token exchange, the call itself was not sent.
	Outcome Outcome

	cause     *error // a pointer, for fmt shows the inside of what it asks no method of, such as an Error by value
	renewable bool   // the token was refused, and the next request may have another one
}

// Outcome says what is known of the server's side of a failed call.
type Outcome string

const (
	// OutcomeNotSent: no byte of the request left; nothing happened.
	OutcomeNotSent Outcome = "not sent"
	// OutcomeRejected: the server said no, with a 4xx; nothing happened.
	OutcomeRejected Outcome = "rejected"
	// OutcomeUnknown: the request left and no usable answer came; it may have been carried out.
	OutcomeUnknown Outcome = "unknown"
)

// FieldError is one value that the server refused.
type FieldError struct {
	Location string // a dotted path, such as "body.products.0"
	Message  string
	Type     string // such as "value_error.missing"
}

// Error returns, for example, "duolink: links.get: 404 LINK_NOT_FOUND: Link not found (request
// BXaE...)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("duolink: ")
	if e.Operation != "" {
		b.WriteString(e.Operation + ": ")
	}
	switch kind := e.kind(); {
	case e.StatusCode != 0:
		b.WriteString(strings.TrimSpace(strconv.Itoa(e.StatusCode) + " " + string(e.Code)))
		if kind == ErrMalformedResponse || kind == ErrResponseTooLarge {
			b.WriteString(": " + kind.Error())
		}
	case e.Code != "":
		b.WriteString(string(e.Code))
	case kind != nil:
		b.WriteString(kind.Error())
	default:
		b.WriteString("no answer")
	}
	if message := cmp.Or(brief(e.Message), http.StatusText(e.StatusCode)); message != "" {
		b.WriteString(": " + message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	if e.Attempts > 1 {
		b.WriteString(" after " + strconv.Itoa(e.Attempts) + " attempts")
	}
	return b.String()
}

// Format keeps every verb, also %+v, %#v and %d, as discreet as Error.
func (e *Error) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		_, _ = io.WriteString(f, strconv.Quote(e.Error()))
		return
	}
	_, _ = io.WriteString(f, e.Error())
}

// Is reports whether target names this error's kind.
func (e *Error) Is(target error) bool { return errors.Is(e.kind(), target) }

// Unwrap returns what caused the failure where it was not the server: a network error, a context's
// error.
func (e *Error) Unwrap() error {
	if e.cause == nil {
		return nil
	}
	return *e.cause
}

// class says what went wrong without a server's word in it.
func (e *Error) class() string {
	if kind := e.kind(); kind != nil {
		return kind.Error()
	}
	return e.Message
}

// LogValue gives slog the parts that are safe to log.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("api", string(e.API)),
		slog.String("operation", e.Operation),
		slog.Int("status", e.StatusCode),
		slog.String("code", string(e.Code)),
		slog.String("request_id", e.RequestID),
		slog.Duration("retry_after", e.RetryAfter),
		slog.Int("attempts", e.Attempts),
		slog.String("outcome", string(e.Outcome)),
	)
}

// brief makes one short line of a server's message.
func brief(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(printable(s)), " ")
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "..."
}

// argumentError is a refusal of our own, before anything is sent. The text names the argument,
// never its value.
func argumentError(format string, args ...any) error {
	return &Error{Kind: ErrArgument, Outcome: OutcomeNotSent, Message: fmt.Sprintf(format, args...)}
}

// named puts an operation's name on an error that arose before it was sent. The error is copied: it
// may be shared, as that of an option is which serves many calls. One of another operation, the
// token exchange, keeps its name; one from a provider of credentials is kept as the cause.
func named(err error, api API, operation string) *Error {
	own := Error{Message: "no credential could be had", cause: &err}
	if e, ok := err.(*Error); ok { //nolint:errorlint // one that a provider wraps is the cause, not the error
		own = *e
		own.Kind = e.kind() // before it gets a cause
	}
	if own.Operation == "" {
		own.API, own.Operation, own.Outcome = api, operation, OutcomeNotSent
	}
	return &own
}

// because adds to what the error matches why there was no other attempt: a context's end, a
// limiter, a credential.
func (e *Error) because(err error) {
	switch cause := e.Unwrap(); {
	case err == nil:
	case cause == nil:
		e.cause = &err
	case !errors.Is(cause, err):
		both := errors.Join(err, cause)
		e.cause = &both
	}
}

// transportText describes a network error from what we know of its type: its own text may name
// hosts, proxies and whatever a caller's transport put there.
func transportText(err error) string {
	var (
		dns   *net.DNSError
		errno syscall.Errno
		timed net.Error
		cured *send.Incurable
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.As(err, &cured):
		return cured.What
	case errors.Is(err, send.ErrNoAnswer):
		return send.ErrNoAnswer.Error()
	case errors.Is(err, send.ErrSentAgain):
		return "the connection ended, or the server reset the request"
	case errors.As(err, &dns):
		return "host not found"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &timed) && timed.Timeout():
		return "timeout"
	default:
		return connectionFailed
	}
}

const connectionFailed = "connection failed"

// describe fills in what the body of an error says.
func (e *Error) describe(body []byte) {
	p := wire.ReadProblem(body, errorLimit, func(code string) bool { return Code(code).Meaning() != "" })
	e.Code, e.Message, e.Description, e.DocumentationURL = Code(p.Code), p.Message, p.Description, p.DocumentationURL
	e.BankLinkErrorCode, e.PlaidType = BankLinkErrorCode(p.LinkErrorCode), PlaidErrorType(p.Type)
	e.DisplayMessage, e.SuggestedAction = p.DisplayMessage, p.SuggestedAction
	for _, f := range p.Fields {
		e.Fields = append(e.Fields, FieldError(f))
	}
}
