package pace

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the random wait after so many attempts. It is below a bound, which is first after one
// attempt, doubles with each more, and is never above last.
func Backoff(first, last time.Duration, attempts int) time.Duration {
	bound := last
	if shift := max(attempts-1, 0); first<<shift>>shift == first { // it does not overflow
		bound = min(bound, first<<shift)
	}
	return Jitter(bound)
}

// Jitter is a random time below a bound.
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
