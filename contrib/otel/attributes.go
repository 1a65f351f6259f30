package duolinkotel

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/duolink/duolink"
)

// The attributes. All of them are here and in the README, and a test knows no others.

// The names of the attributes that are not from the semantic conventions.
const (
	apiKey       = attribute.Key("duolink.api")
	operationKey = attribute.Key("duolink.operation")
	outcomeKey   = attribute.Key("duolink.outcome") // only of spans
	reasonKey    = attribute.Key("duolink.wait.reason")
	driftKindKey = attribute.Key("duolink.drift.kind")

	// Only of events, in seconds.
	waitDurationKey     = attribute.Key("duolink.wait.duration")
	cooldownDurationKey = attribute.Key("duolink.cooldown.duration")
)

// names are the attributes that say what is called. The client takes both from a table of its own.
func names(api duolink.API, operation string) []attribute.KeyValue {
	return []attribute.KeyValue{apiKey.String(string(api)), operationKey.String(operation)}
}

// request are the attributes of an attempt that are known when it starts.
func request(a duolink.Attempt) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(a.Method), semconv.ServerAddress(a.Host), semconv.ServerPort(a.Port),
		semconv.URLTemplate(a.Route),
	}
}

// result are the attributes of an attempt that has ended, and whether it has failed. The
// conventions count every status from 400 on as a failure, also if the client takes it for success,
// such as a 404 after a repeated revocation.
func result(a duolink.Attempt) (attrs []attribute.KeyValue, failed bool) {
	if isStatus(a.Status) {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.Status))
	}
	if failed = a.Failure != "" || a.Status == 0 || a.Status >= http.StatusBadRequest; failed {
		attrs = append(attrs, errorType(a.Status, a.Failure))
	}
	return attrs, failed
}

// outcome is the attribute of a call that has failed, if its outcome is one of the known ones. The
// error of a caller's provider of tokens may say anything.
func outcome(o duolink.Outcome) []attribute.KeyValue {
	switch o {
	case duolink.OutcomeNotSent, duolink.OutcomeRejected, duolink.OutcomeUnknown:
		return []attribute.KeyValue{outcomeKey.String(string(o))}
	}
	return nil
}

// isStatus reports whether a status is one of HTTP. net/http takes any three digits from a server.
func isStatus(status int) bool { return status >= 100 && status <= 599 }

// errorType says what went wrong: the status of an answer that refuses, or a word of the list.
func errorType(status int, failure string) attribute.KeyValue {
	if isStatus(status) && status >= http.StatusBadRequest {
		return semconv.ErrorTypeKey.String(strconv.Itoa(status))
	}
	word, _, _ := strings.Cut(failure, " (") // the host that could not be reached
	word, _, _ = strings.Cut(word, ": ")     // such as the fault of a certificate
	if words[word] {
		return semconv.ErrorTypeKey.String(word)
	}
	return semconv.ErrorTypeOther
}

// words are what error.type may be besides a status. They are the beginnings of the texts that
// duolink itself gives to a failure. Any other text may be somebody else's.
var words = func() map[string]bool {
	all := make(map[string]bool, len(kinds)+len(errnos)+len(transportWords)+len(callWords))
	for _, kind := range kinds {
		all[kind.Error()] = true
	}
	for _, errno := range errnos {
		all[errno.Error()] = true
	}
	for _, word := range slices.Concat(transportWords, callWords) {
		all[word] = true
	}
	return all
}()

// kinds are all kinds of a duolink.Error.
var kinds = []error{
	duolink.ErrBadRequest, duolink.ErrUnauthorized, duolink.ErrForbidden, duolink.ErrLoginRequired, duolink.ErrNotFound,
	duolink.ErrDeleted, duolink.ErrConflict, duolink.ErrValidation, duolink.ErrBankLinkState, duolink.ErrRateLimited,
	duolink.ErrServer, duolink.ErrTimeout, duolink.ErrArgument, duolink.ErrClosed, duolink.ErrNotConfigured,
	duolink.ErrMalformedResponse, duolink.ErrResponseTooLarge, duolink.ErrLoginLinkClosed, duolink.ErrLoginLinkExpired,
	duolink.ErrLoginPending, duolink.ErrRedirectMismatch, duolink.ErrRefreshPending, duolink.ErrRefreshFailed,
	duolink.ErrProductUnavailable,
}

// errnos are the errors of the operating system that a connection usually fails with.
var errnos = []syscall.Errno{
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
	syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EMFILE,
}

// transportWords are the failures of a connection.
var transportWords = []string{
	"connection failed", "timeout", "no connection in time", "host not found",
	"the search for the host took too long", "the proxy's host was not found", "no connection to the proxy",
	"the proxy refused the tunnel", "certificate not trusted", "the server does not speak TLS",
	"the server refused the TLS connection", "the TLS connection was refused here",
	"the TLS handshake was refused here", "the answer is not HTTP", "the answer broke off",
	"the connection ended, or the server reset the request",
	"the transport returned neither an answer nor an error",
}

// callWords are the other ends of a call without a kind.
var callWords = []string{
	"canceled by the caller", "the caller's deadline has passed", "the caller's deadline comes first",
	"everybody who waited has given up", "the next look would come too late", "RefreshOptions.Timeout has passed",
	"a refresh is watched for an hour at most", "a token exchange takes two minutes at most",
	"the renewal took too long", "the token exchange did not end well", "no credential could be had",
	"the limiter let nothing out", "panicked",
}
