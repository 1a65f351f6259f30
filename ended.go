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
)

// errNoTime is a wait that would outlast the caller's deadline, so that it is not started.
var errNoTime error = &contextEnd{"the caller's deadline comes first", []error{context.DeadlineExceeded}}

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
