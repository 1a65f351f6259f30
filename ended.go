package duolink

import (
	"context"
	"errors"
	"time"

	"github.com/duolink/duolink/internal/flight"
)

// Whose end it was: the caller's context, or a limit of ours.

// contextEnd is why a context has ended. It matches the context's error and its cause. Its text is
// our own, because the text of the cause may have anything in it.
type contextEnd struct {
	text  string
	match []error
}

func (e *contextEnd) Error() string   { return e.text }
func (e *contextEnd) Unwrap() []error { return e.match }

// ownTimeout is the cause of a context that a timeout of a flow has ended.
type ownTimeout string

func (o ownTimeout) Error() string { return string(o) }

const (
	errRefreshTimeout = ownTimeout("RefreshOptions.Timeout has passed")
	errWatchedEnough  = ownTimeout("a refresh is watched for an hour at most")
	errExchangeLimit  = ownTimeout("a token exchange takes two minutes at most")
)

// errNoTime is a wait that would outlast the caller's deadline, so that it is not started.
var errNoTime error = &contextEnd{"the caller's deadline comes first", []error{context.DeadlineExceeded}}

// errNextLook ends the wait of a caller of a refresh whose next look would come too late.
const errNextLook = ownTimeout("the next look would come too late")

// limitKey marks a context whose deadline is a limit of ours. Its value is an ownTimeout.
type limitKey struct{}

func limited(ctx context.Context, limit ownTimeout) context.Context {
	return context.WithValue(ctx, limitKey{}, limit)
}

// noTime says whose deadline would come before the end of a wait.
func noTime(ctx context.Context) error {
	if limit, ok := ctx.Value(limitKey{}).(ownTimeout); ok {
		return &contextEnd{text: string(limit)}
	}
	return errNoTime
}

// noTime says it of a wait of a call. In the request's context is the Timeout of an http.Client, too.
func (a *attempts) noTime(ctx context.Context, wait time.Duration) error {
	if !outlasts(&a.waiting, wait) {
		return &contextEnd{text: "the http.Client's Timeout comes first"}
	}
	return noTime(ctx)
}

// endOf returns why a context has ended, or err if it has not.
func endOf(ctx context.Context, err error) error {
	ended, cause := ctx.Err(), context.Cause(ctx)
	own, isOwn := cause.(ownTimeout) //nolint:errorlint // it is the cause itself
	switch {
	case ended == nil:
		return err
	case cause == ErrClosed:
		return &contextEnd{"the client was closed", []error{ErrClosed}}
	case cause == flight.ErrTooLong: // a limit of ours, which is no deadline of the caller's
		return cause
	case own == errNextLook:
		return &contextEnd{string(own), []error{context.DeadlineExceeded}}
	case isOwn:
		return &contextEnd{string(own), []error{ended}}
	case errors.Is(ended, context.DeadlineExceeded):
		return &contextEnd{"the caller's deadline has passed", []error{ended, cause}}
	}
	return &contextEnd{"canceled by the caller", []error{ended, cause}}
}

// outlasts reports whether a wait would not end before the context's deadline.
func outlasts(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) <= wait
}

// notTheCallers is a failure that looks like the end of a context, although the caller's goes on: a
// dial or an http.Client that took too long. It matches all that the failure does, but no end of a
// context.
type notTheCallers struct{ failure error }

func (n notTheCallers) Error() string { return n.failure.Error() }

// Is hides the end of a context.
func (n notTheCallers) Is(target error) bool {
	return target != context.DeadlineExceeded && target != context.Canceled && errors.Is(n.failure, target)
}

// As finds what the failure is.
func (n notTheCallers) As(target any) bool { return errors.As(n.failure, target) }
