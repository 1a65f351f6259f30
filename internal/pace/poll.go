package pace

import (
	"cmp"
	"context"
	"time"
)

// The time between two looks: short at first, for those who are quick, then longer. In the first
// minute it makes nine or ten looks, in each later hour 267 at most.
const (
	FirstPause = 2 * time.Second
	LaterPause = 15 * time.Second
)

// Poll looks again and again for something that somebody else has to finish: a person at a login
// page, a bank. What it looks for, and when it is over, its user says.
type Poll struct {
	Look     func() (Look, error)                                    // the next look is its repetition
	Passes   func(err error) (passes bool, retryAfter time.Duration) // may a failure be over by the next look?
	Tell     func(err error, next time.Duration)                     // after each look that does not end the wait
	Patience time.Duration                                           // the longest wait that a server may ask for
	Pause    time.Duration                                           // what the answer before the first look asks for

	pause time.Duration
}

// Look is what one look has brought.
type Look struct {
	Over     bool          // the wait has ended
	End      error         // and how, if not well
	Most     time.Duration // how long to wait at most for the next look, if not 0
	Promised time.Duration // how long the server asks to wait at least, although all is well
}

// Lapsed is a wait that ended before what was waited for did.
type Lapsed struct {
	Ended      error         // the context's error, or nil if the server asks for more than the patience
	Latest     error         // what the latest look failed with
	RetryAfter time.Duration // how long the server asks to wait
}

func (*Lapsed) Error() string { return "the wait ended before its time" }

// Until looks until it is over, or a look fails in a way that no time cures. It returns how it has
// ended, the failure, or a [*Lapsed].
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

// wait lets the time to the next look pass, or says why it cannot.
func (p *Poll) wait(ctx context.Context, seen Look, err error) error {
	wait := p.next()
	if seen.Most > 0 {
		wait = min(wait, seen.Most)
	}
	if seen.Promised > p.Patience {
		return &Lapsed{nil, err, seen.Promised}
	}
	if wait = fitWait(ctx, wait, seen.Promised); wait == 0 {
		return &Lapsed{context.DeadlineExceeded, err, seen.Promised}
	}
	p.Tell(err, wait)
	if ended := Sleep(ctx, wait); ended != nil {
		return &Lapsed{Ended: ended, Latest: err}
	}
	return nil
}

// next is how long to wait before the next look. It is spread by a tenth to either side, so that
// many who began together do not look together.
func (p *Poll) next() time.Duration {
	d := cmp.Or(p.pause, FirstPause)
	p.pause = min(d*13/10, LaterPause)
	return d - d/10 + Jitter(d/5)
}

// fitWait fits a wait into the context's time, or returns 0 if none fits. A wait that was promised
// to the server is kept or not started. Our own leaves time for a last look.
func fitWait(ctx context.Context, wait, promised time.Duration) time.Duration {
	wait = max(wait, promised)
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline)
	switch {
	case !ok || wait < left:
		return wait
	case promised < left-FirstPause/2 && left > FirstPause:
		return left - FirstPause/2
	}
	return 0
}
