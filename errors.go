package duolink

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/send"
	"github.com/duolink/duolink/internal/wire"
)

// The kinds of failure. errors.Is finds them through any wrapping. The details are in [Error].
var (
	// ErrBadRequest: the server refuses the request as it stands (400, and 4xx without a kind of
	// its own).
	ErrBadRequest = errors.New("bad request")
	// ErrUnauthorized: the credential is missing, wrong, expired or not for this resource (401).
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: the credential is good and does not allow this (403).
	ErrForbidden = errors.New("forbidden")
	// ErrLoginRequired: nobody has logged in to the data source, or the login does not work any more.
	// Make a login link with Links.Create (Supermetrics' QUERY_AUTH codes, with any status).
	ErrLoginRequired = errors.New("login required")
	// ErrNotFound: there is no such resource (404). Error.Code is empty if the 404 does not come
	// from the API but from a proxy or a wrong base URL.
	ErrNotFound = errors.New("not found")
	// ErrDeleted: the resource existed and has been deleted (410). MoneyKit forgets a deleted bank link
	// after 90 days, and then it is ErrNotFound.
	ErrDeleted = errors.New("deleted")
	// ErrConflict: the request conflicts with the state of the resource (409), or Links.CreateOnce
	// found another link with the marker or a full list.
	ErrConflict = errors.New("conflict")
	// ErrValidation: a value is not acceptable; Error.Fields may say which (422).
	ErrValidation = errors.New("validation failed")
	// ErrBankLinkState: the bank link cannot serve this now; Error.BankLinkErrorCode or Error.Code
	// says why (MoneyKit's 422 link_error.bad_state, Plaid's ITEM_ERROR).
	ErrBankLinkState = errors.New("bank link in a bad state")
	// ErrRateLimited: too many requests (429). Error.RetryAfter says when to come back, if the
	// server said so. OutcomeNotSent means that an earlier call was refused, and that this call
	// could not wait so long.
	ErrRateLimited = errors.New("rate limited")
	// ErrServer: the server, or a proxy before it, failed (5xx).
	ErrServer = errors.New("server error")
	// ErrTimeout: no whole answer came within Retry.AttemptTimeout, or within the Timeout of your
	// http.Client. The end of your own context is not ErrTimeout.
	ErrTimeout = errors.New("attempt timed out")

	// ErrArgument: an argument or option cannot be right; nothing was sent.
	ErrArgument = errors.New("invalid argument")
	// ErrClosed: the client was closed with Client.Close; nothing more is sent.
	ErrClosed = errors.New("client closed")
	// ErrNotConfigured: the client has no credential for this API; nothing was sent.
	ErrNotConfigured = errors.New("not configured")
	// ErrMalformedResponse: the server's answer is not what the API documents.
	ErrMalformedResponse = errors.New("malformed response")
	// ErrResponseTooLarge: the answer is larger than the client is willing to read.
	ErrResponseTooLarge = errors.New("response too large")

	// ErrLoginLinkClosed and ErrLoginLinkExpired: the login link ended without a login.
	ErrLoginLinkClosed  = errors.New("login link closed")
	ErrLoginLinkExpired = errors.New("login link expired")
	// ErrLoginPending: nobody has logged in through the login link yet.
	ErrLoginPending = errors.New("login pending")
	// ErrRedirectMismatch: a browser's request lacks the login link's verifier, and may be forged.
	ErrRedirectMismatch = errors.New("redirect mismatch")
	// ErrRefreshPending: the wait ended before the refresh of the bank link was seen to end.
	ErrRefreshPending = errors.New("refresh pending")
	// ErrRefreshFailed: the refresh of the bank link has failed; Error.ProductErrorCode says why.
	ErrRefreshFailed = errors.New("refresh failed")
	// ErrProductUnavailable: the bank cannot be asked now; Error.Description may say why.
	ErrProductUnavailable = errors.New("product unavailable")
)

// Error is every error that New or a call returns. Its text has the operation, the status, the
// code, the server's message and the request id. It never has an id that was passed in, a query, a
// body or a credential.
type Error struct {
	// Kind is one of the errors above, such as ErrRateLimited: errors.Is compares with it. If it is
	// nil, as in a fake of yours, StatusCode and Code decide. Without an answer there is no kind.
	Kind       error
	API        API
	Operation  string // such as "links.get"
	StatusCode int    // 0 if no answer arrived
	Code       Code   // the machine-readable code of either dialect, "" if the answer had none
	Message    string
	// Description is the second, longer text of Supermetrics' envelope and of OAuth errors.
	Description string
	RequestID   string // what the vendor's support asks for
	// RetryAfter is how long to wait: as long as the server says, but at most a day. If an earlier
	// call was refused and this call was not sent, it is the rest of that time. After a failed
	// token exchange it lasts at least until the next exchange. 0: nobody asked for it.
	RetryAfter       time.Duration
	DocumentationURL string
	// BankLinkErrorCode is what is wrong with the bank link, with ErrBankLinkState from MoneyKit.
	BankLinkErrorCode BankLinkErrorCode
	// ProductErrorCode is why a product could not be refreshed, with ErrRefreshFailed.
	ProductErrorCode ProductErrorCode
	// Fields lists what failed validation, with ErrValidation.
	Fields []FieldError
	// PlaidType, DisplayMessage and SuggestedAction come only from the Plaid-compatible layer.
	PlaidType       PlaidErrorType
	DisplayMessage  string // meant for the end user
	SuggestedAction string
	// Attempts is how many times the client sent the request or tried to.
	Attempts int
	// Outcome says what is known of a write that failed. It is about the operation that the error
	// names: after a failed token exchange ("auth.token") the call itself was not sent.
	Outcome Outcome

	cause     conceal.Value[error] // a transport's error may quote what was sent
	renewable bool                 // the token was refused, and the next request may have another one
}

// Outcome says what is known of the server's side of a failed call.
type Outcome string

const (
	// OutcomeNotSent: no byte of the request was sent, so nothing happened.
	OutcomeNotSent Outcome = "not sent"
	// OutcomeRejected: the server refused with a 4xx, so nothing happened.
	OutcomeRejected Outcome = "rejected"
	// OutcomeUnknown: the request was sent and no usable answer came. It may have been carried out.
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
	kind, message := e.kind(), e.words()
	switch {
	case e.StatusCode != 0:
		b.WriteString(strings.TrimSpace(strconv.Itoa(e.StatusCode) + " " + string(e.Code)))
		if kind != nil && (e.StatusCode < 300 && message+string(e.Code) == "" || isOwnKind(kind)) {
			b.WriteString(": " + kind.Error())
		}
	case e.Code != "":
		b.WriteString(string(e.Code))
	case kind != nil:
		b.WriteString(kind.Error())
	default:
		b.WriteString("no answer")
	}
	if message == "" && e.StatusCode >= 300 {
		message = http.StatusText(e.StatusCode)
	}
	if message != "" {
		b.WriteString(": " + message)
	}
	if end, ok := errors.AsType[*contextEnd](e.Unwrap()); ok && !strings.Contains(e.Message, end.text) {
		b.WriteString("; " + end.text)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	if e.Attempts > 1 {
		b.WriteString(" after " + strconv.Itoa(e.Attempts) + " attempts")
	}
	return b.String()
}

// isOwnKind reports whether the status of an answer does not tell its kind.
func isOwnKind(kind error) bool {
	return kind == ErrMalformedResponse || kind == ErrResponseTooLarge || kind == ErrTimeout
}

// words is the message, with the failed field or the link's error that says what is behind it.
func (e *Error) words() string {
	message := e.message()
	if len(e.Fields) > 0 {
		f := e.Fields[0]
		field := brief(strings.Trim(f.Location+": "+f.Message, ": "))
		switch {
		case strings.Contains(message, brief(f.Message)) && f.Location != "" && f.Message != "":
			message = strings.Replace(message, brief(f.Message), field, 1)
		case message == "":
			message = field
		case field != "":
			message += " (" + field + ")"
		}
	}
	for _, code := range []string{string(e.BankLinkErrorCode), string(e.ProductErrorCode)} {
		if code = brief(code); code != "" && !strings.Contains(message, code) {
			message = strings.TrimSpace(message + " (" + code + ")")
		}
	}
	return message
}

// Format prints the text of Error for every verb, also %+v, %#v and %d.
func (e *Error) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		_, _ = io.WriteString(f, strconv.Quote(e.Error()))
		return
	}
	_, _ = io.WriteString(f, e.Error())
}

// Is reports whether target names this error's kind.
func (e *Error) Is(target error) bool { return errors.Is(e.kind(), target) }

// Unwrap returns the cause if it was not the server, such as a network error or a context's error.
func (e *Error) Unwrap() error { return e.cause.Get() }

// class says what went wrong without any of the server's words.
func (e *Error) class() string {
	return cmp.Or(kindText(e.kind()), e.Message)
}

// message is the message of the server, or our own, which is longer if New names several options.
func (e *Error) message() string {
	if e.StatusCode == 0 {
		return shorten(e.Message, 1000)
	}
	return cmp.Or(brief(e.Message), brief(e.Description))
}

// LogValue gives slog what is safe to log: what Error says, and what to do. What is empty is left out.
func (e *Error) LogValue() slog.Value {
	var field, cause string
	if len(e.Fields) > 0 {
		field = brief(strings.Trim(e.Fields[0].Location+": "+e.Fields[0].Message, ": "))
	}
	if e.Unwrap() != nil {
		cause = transportText(e.Unwrap())
	}
	if cause == e.Message || cause == connectionFailed { // it is said already, or not known
		cause = ""
	}
	return slog.GroupValue(filled(
		slog.String("message", cmp.Or(e.message(), e.class())),
		slog.String("kind", kindText(e.kind())),
		slog.String("action", string(e.Action())),
		slog.String("api", string(e.API)),
		slog.String("operation", e.Operation),
		slog.Int("status", e.StatusCode),
		slog.String("code", string(e.Code)),
		slog.String("bank_link_error", brief(string(e.BankLinkErrorCode))),
		slog.String("product_error", brief(string(e.ProductErrorCode))),
		slog.String("field", field),
		slog.String("cause", cause),
		slog.String("request_id", e.RequestID),
		slog.String("retry_after", strings.TrimPrefix(e.RetryAfter.String(), "0s")),
		slog.Int("attempts", e.Attempts),
		slog.String("outcome", string(e.Outcome)),
	)...)
}

// filled leaves out the attributes that are empty.
func filled(attrs ...slog.Attr) []slog.Attr {
	return slices.DeleteFunc(attrs, func(a slog.Attr) bool {
		return a.Value.Kind() == slog.KindString && a.Value.String() == "" ||
			a.Value.Kind() == slog.KindInt64 && a.Value.Int64() == 0
	})
}

// readable is a duration as a text, such as "30s", because slog's JSON would have nanoseconds.
func readable(name string, d time.Duration) slog.Attr { return slog.String(name, d.String()) }

func kindText(kind error) string {
	if kind == nil {
		return ""
	}
	return kind.Error()
}

// brief makes one short line of a server's message.
func brief(s string) string { return shorten(s, 200) }

func shorten(s string, most int) string {
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

// argumentError refuses an argument before anything is sent. Its text never quotes the value.
func argumentError(format string, args ...any) error {
	return &Error{Kind: ErrArgument, Outcome: OutcomeNotSent, Message: fmt.Sprintf(format, args...)}
}

// named puts an operation's name on an error that arose before the operation was sent. It copies
// the error, because many calls may share an option's error. An error of the token exchange keeps
// its name. An error of a provider of credentials becomes the cause.
func named(err error, api API, operation string) *Error {
	own := Error{Message: "no credential could be had", cause: conceal.ValueOf(err)}
	if e, ok := err.(*Error); ok { //nolint:errorlint // one that a provider wraps is the cause, not the error
		own = *e
		own.Kind = e.kind() // before it gets a cause
	}
	if own.Operation == "" {
		own.API, own.Operation, own.Outcome = api, operation, OutcomeNotSent
	}
	return &own
}

// because makes the error match a second cause: why there was no other attempt, such as a context's
// end or a limiter's or credential's error.
func (e *Error) because(err error) {
	switch cause := e.Unwrap(); {
	case err == nil || errors.Is(err, error(e)): // an error is not its own cause
	case cause == nil:
		e.cause = conceal.ValueOf(err)
	case !errors.Is(cause, err):
		e.cause = conceal.ValueOf(errors.Join(err, cause))
	}
}

// transportText describes a network error by its type. The error's own text may have anything from a
// caller's transport in it.
func transportText(err error) string {
	var (
		dns   *net.DNSError
		errno syscall.Errno
		timed net.Error
		cured *send.Incurable
	)
	if end, ok := errors.AsType[*contextEnd](err); ok {
		return end.text
	}
	byProxy := send.IsProxyError(err)
	switch {
	case errors.Is(err, flight.ErrTooLong):
		return flight.ErrTooLong.Error()
	case errors.Is(err, send.ErrNobodyWaits):
		return "everybody who waited has given up"
	case errors.As(err, &cured):
		return cured.What
	case errors.Is(err, send.ErrNoAnswer):
		return send.ErrNoAnswer.Error()
	case errors.Is(err, send.ErrSentAgain):
		return "the connection ended, or the server reset the request"
	case errors.As(err, &dns) && byProxy:
		return "the proxy's host was not found"
	case errors.As(err, &dns) && dns.IsTimeout:
		return "the search for the host took too long"
	case errors.As(err, &dns):
		return "host not found"
	case byProxy:
		return "no connection to the proxy"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &timed) && timed.Timeout() && send.IsDialError(err):
		return "no connection in time"
	case errors.As(err, &timed) && timed.Timeout():
		return "timeout"
	case send.IsNotHTTP(err):
		return "the answer is not HTTP"
	default:
		return connectionFailed
	}
}

const connectionFailed = "connection failed"

// describe fills in what the body of an error answer says.
func (e *Error) describe(body []byte) {
	p := wire.ReadProblem(body, errorLimit, func(code string) bool { return Code(code).Meaning() != "" })
	e.Code, e.Message, e.Description, e.DocumentationURL = Code(p.Code), p.Message, p.Description, p.DocumentationURL
	e.BankLinkErrorCode, e.PlaidType = BankLinkErrorCode(p.LinkErrorCode), PlaidErrorType(p.Type)
	e.DisplayMessage, e.SuggestedAction = p.DisplayMessage, p.SuggestedAction
	for _, f := range p.Fields {
		e.Fields = append(e.Fields, FieldError(f))
	}
}
