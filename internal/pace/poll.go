package pace

import (
	"cmp"
	"context"
	"time"
)

// The time between two looks is short at first, then longer. There are nine or ten looks in the
// first minute, and 267 at most in each later hour.
const (
	FirstPause = 2 * time.Second
	LaterPause = 15 * time.Second
)

// Poll looks again and again until somebody else has finished something, such as a person at a
// login page, or a bank. Its user says what to look for, and when the wait is over.
type Poll struct {
	Look     func() (Look, error)                                    // looks once, without repetitions
	Passes   func(err error) (passes bool, retryAfter time.Duration) // whether a failure may pass
	Tell     func(err error, next time.Duration)                     // after each look that does not end the wait
	Patience time.Duration                                           // the longest pause that the server may ask for
	Pause    time.Duration                                           // that an answer before the first look asked for
	First    time.Duration                                           // FirstPause if 0; Longest at most
	Longest  time.Duration                                           // LaterPause if 0

	pause time.Duration
}

// Look is the result of one look.
type Look struct {
	Over     bool          // the wait has ended
	End      error         // the error with which it ended, or would end if nothing changed
	Most     time.Duration // bounds the wait for the next look, if not 0
	Promised time.Duration // the shortest wait, because a good answer asked for it
}

// Lapsed is the error of a wait that ended too early.
type Lapsed struct {
	Ended      error         // the context's error, or nil if the server asked for more than Patience
	Latest     error         // the error of the latest look
	RetryAfter time.Duration // how long the server asked to wait
}

func (*Lapsed) Error() string { return "the wait ended before its time" }

// Until looks until the wait is over, or until a look fails in a way that does not pass. It returns
// the End of the look, the failure, or a [*Lapsed].
func (p *Poll) Until(ctx context.Context) error {
	if p.Pause > 0 {
		if lapsed := p.wait(ctx, Look{Promised: p.Pause}, nil); lapsed != nil {
			return lapsed
		}
	}
	for {
		seen, err := p.Look()
		switch {
		case err == nil && seen.Over:
			return seen.End
		case err != nil && ctx.Err() != nil:
			return &Lapsed{Ended: ctx.Err(), Latest: err}
		case err != nil:
			passes, promised := p.Passes(err)
			if !passes {
				return err
			}
			seen.Promised = promised
		}
		if lapsed := p.wait(ctx, seen, err); lapsed != nil {
			return lapsed
		}
	}
}

// wait waits until the next look, or returns why it cannot.
func (p *Poll) wait(ctx context.Context, seen Look, err error) error {
	wait := p.next()
	if seen.Most > 0 {
		wait = min(wait, seen.Most)
	}
	if seen.Promised > p.Patience {
		return &Lapsed{nil, err, seen.Promised}
	}
	if wait = fitWait(ctx, wait, seen.Promised, min(p.first(), FirstPause)); wait == 0 {
		return &Lapsed{context.DeadlineExceeded, err, seen.Promised}
	}
	p.Tell(err, wait)
	if ended := Sleep(ctx, wait); ended != nil {
		return &Lapsed{Ended: ended, Latest: err}
	}
	return nil
}

// next returns how long to wait before the next look. It varies by a tenth, so that callers who
// began together do not look together.
func (p *Poll) next() time.Duration {
	d := cmp.Or(p.pause, p.first())
	p.pause = min(d*13/10, p.longest())
	return d - d/10 + Jitter(d/5)
}

func (p *Poll) first() time.Duration   { return min(cmp.Or(p.First, FirstPause), p.longest()) }
func (p *Poll) longest() time.Duration { return cmp.Or(p.Longest, LaterPause) }

// fitWait fits a wait into the context's time, or returns 0 if none fits. A wait that the server
// asked for is kept in full or not started. A wait of our own leaves time for a last look, half of
// first.
func fitWait(ctx context.Context, wait, promised, first time.Duration) time.Duration {
	wait = max(wait, promised)
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline)
	switch {
	case !ok || wait < left:
		return wait
	case promised < left-first/2 && left > first:
		return left - first/2
	}
	return 0
}
