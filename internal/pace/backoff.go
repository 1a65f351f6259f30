package pace

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff returns a random wait after this many attempts. Its bound is first after one attempt,
// doubles with each further attempt, and is never above last.
func Backoff(first, last time.Duration, attempts int) time.Duration {
	bound := last
	if shift := max(attempts-1, 0); first<<shift>>shift == first { // no overflow
		bound = min(bound, first<<shift)
	}
	return Jitter(bound)
}

// Jitter returns a random time below a bound.
func Jitter(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	return rand.N(bound) //nolint:gosec // spreads callers in time; nothing is kept secret by it
}

// Sleep waits, or returns the context's error as soon as it ends.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
