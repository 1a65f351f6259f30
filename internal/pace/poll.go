package pace

import (
	"cmp"
	"context"
	"time"
)

// The time between two looks at something that somebody else has to finish: short at first, for
// those who are quick, then longer. In the first minute it makes nine or ten looks, in each later
// hour 267 at most.
const (
	FirstPause = 2 * time.Second
	LaterPause = 15 * time.Second
)

// Poll is the time between looks. The zero Poll begins with [FirstPause].
type Poll struct{ pause time.Duration }

// Next returns how long to wait before the next look. It is spread by a tenth to either side, so that
// many who began together do not look together.
func (p *Poll) Next() time.Duration {
	d := cmp.Or(p.pause, FirstPause)
	p.pause = min(d*13/10, LaterPause)
	return d - d/10 + Jitter(d/5)
}

// FitWait fits a wait into the context's time, or returns 0 if none fits. A wait that was promised to
// the server is kept or not started. Our own leaves time for a last look.
func FitWait(ctx context.Context, wait, promised time.Duration) time.Duration {
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
