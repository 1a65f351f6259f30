package duolink

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// watch asks again and again for something that somebody else has to finish: a person at a login page, a bank. One way for all of
// the flows; what they look for, and when it is over, they say themselves.

// The time between two looks: short at first, for those who are quick, then longer. Each is spread by a tenth to either
// side, so that many who began together do not ask together. In the first minute it makes nine or ten requests, in each
// later hour 267 at most.
const (
	firstLook = 2 * time.Second
	laterLook = 15 * time.Second
)

// grace is what an end that may not be the last word is given.
const grace = 30 * time.Second

// spacing is the time between two looks.
type spacing struct{ d time.Duration }

func (s *spacing) next() time.Duration {
	d := cmp.Or(s.d, firstLook)
	s.d = min(d*13/10, laterLook)
	return d - d/10 + jitter(d/5)
}

// look is what one look has brought.
type look struct {
	over bool          // the wait has ended
	end  error         // and how, if not well
	most time.Duration // how long the next look may take at most, if not 0
}

// watch looks until it is over, or a look fails in a way that no time cures. A look that fails in a way that passes (a 502, a 429) is
// made again later. The context ends it with lapsed, an error of the flow's.
func watch(ctx context.Context, see func() (look, error), tell func(err error, next time.Duration), lapsed func(error) *Error) error {
	var pause spacing
	for {
		seen, err := see()
		switch {
		case err == nil && seen.over:
			return seen.end
		case err != nil && ctx != nil && ctx.Err() != nil:
			return lapse(lapsed, ctx.Err(), err)
		case err != nil && !passes(err):
			return err
		}
		wait, promised := pause.next(), time.Duration(0)
		if seen.most > 0 {
			wait = min(wait, seen.most)
		}
		if e, ok := errors.AsType[*Error](err); ok {
			promised = e.RetryAfter
		}
		if wait = fitted(ctx, wait, promised); wait == 0 {
			e := lapse(lapsed, context.DeadlineExceeded, err)
			e.RetryAfter = promised
			return e
		}
		tell(err, wait)
		if ended := sleep(ctx, wait); ended != nil {
			return lapse(lapsed, ended, err)
		}
	}
}

// fitted fits a wait into the context's time, or returns 0 where none does: a promise to the server is kept or not started;
// our own spacing leaves room for a last look.
func fitted(ctx context.Context, wait, promised time.Duration) time.Duration {
	wait = max(wait, promised)
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline)
	switch {
	case !ok || wait < left:
		return wait
	case promised < left-firstLook/2 && left > firstLook:
		return left - firstLook/2
	}
	return 0
}

// lapse is the end of a wait whose context has ended. What the latest look failed with is told, and is not what kind of
// error this is.
func lapse(lapsed func(error) *Error, ended, err error) *Error {
	e := lapsed(ended)
	if last, ok := errors.AsType[*Error](err); ok && !errors.Is(err, ended) {
		e.Message += "; the latest look failed: " + last.class()
		both := errors.Join(ended, last.Unwrap())
		e.cause = &both
	}
	return e
}

// passes reports that a failure may be over by the next look. One of a credential's provider or a limiter, that came before any
// attempt, is not the server's, and ends the wait.
func passes(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && repeatAlways.allows(e) && (e.kind != nil || e.Attempts > 0)
}
