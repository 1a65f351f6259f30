package duolink

import (
	"context"
	"errors"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// watch asks again and again for something that somebody else has to finish: a person at a login
// page, a bank. One way for all of the flows; what they look for, and when it is over, they say
// themselves.

// defaultGrace is what an end that may not be the last word is given.
const defaultGrace = 30 * time.Second

// watching is a flow that waits.
type watching struct {
	poll     func() (pollResult, error)            // one request: the next look is its repetition
	tell     func(err error, next time.Duration)   // after each look that does not end the wait
	lapsed   func(ended error, more string) *Error // the error where the wait ends before what was waited for has
	patience time.Duration                         // the longest wait that a server may ask for
	pause    time.Duration                         // what the answer before the first look asks for

	pauses  pace.Poll
	renewed bool // the token was refused, and nothing has been seen since
}

// pollResult is what one look has brought.
type pollResult struct {
	over bool          // the wait has ended
	end  error         // and how, if not well
	most time.Duration // how long to wait at most for the next look, if not 0

	promised time.Duration // how long the server asks to wait at least, although all is well
}

// promisedPause is what an answer that is good asks for.
func promisedPause(r *Response) time.Duration {
	if r.Status/100 != 2 {
		return 0
	}
	return retryAfter(r.Header(), time.Now())
}

// watch looks until it is over, or a look fails in a way that no time cures. A look that fails in a
// way that passes (a 502, a 429) is made again later.
func (w *watching) watch(ctx context.Context) error {
	if w.pause > 0 {
		if ended := w.wait(ctx, pollResult{promised: w.pause}, nil); ended != nil {
			return ended
		}
	}
	for {
		seen, err := w.poll()
		switch {
		case err == nil && seen.over:
			return seen.end
		case err != nil && ctx.Err() != nil:
			return w.lapse(ctx.Err(), err)
		case err != nil && !w.passes(err):
			return err
		}
		failed, _ := errors.AsType[*Error](err)
		w.renewed = failed != nil && (w.renewed || failed.renewable)
		if failed != nil {
			seen.promised = failed.RetryAfter
		}
		if ended := w.wait(ctx, seen, err); ended != nil {
			return ended
		}
	}
}

// wait lets the time to the next look pass, and returns an error if it cannot.
func (w *watching) wait(ctx context.Context, seen pollResult, err error) error {
	wait := w.pauses.Next()
	if seen.most > 0 {
		wait = min(wait, seen.most)
	}
	if seen.promised > w.patience {
		return w.tooLong(nil, err, seen.promised)
	}
	if wait = pace.FitWait(ctx, wait, seen.promised); wait == 0 {
		return w.tooLong(context.DeadlineExceeded, err, seen.promised)
	}
	w.tell(err, wait)
	if ended := pace.Sleep(ctx, wait); ended != nil {
		return w.lapse(ended, err)
	}
	return nil
}

// tooLong is a wait that is not started.
func (w *watching) tooLong(ended, err error, promised time.Duration) error {
	e := w.lapse(ended, err)
	e.RetryAfter = promised
	return e
}

// lapse is the end of a wait before its time. What the latest look failed with is told, and is not
// what kind of error this is.
func (w *watching) lapse(ended, err error) *Error {
	last, ok := errors.AsType[*Error](err)
	if !ok || ended != nil && errors.Is(err, ended) {
		return w.lapsed(ended, "")
	}
	return w.lapsed(errors.Join(ended, last.Unwrap()), "; the latest look failed: "+last.class())
}

// passes reports that a failure may be over by the next look. One of a credential's provider or a
// limiter, that came before any attempt, is not the server's, and ends the wait. A token that was
// refused is renewed by the next look, once.
func (w *watching) passes(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.renewable:
		return !w.renewed
	}
	return readOnly.allows(e) && (e.kind() != nil || e.Attempts > 0)
}
