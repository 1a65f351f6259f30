package duolink

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Retry says how a call is repeated and how long it may wait. Zero members take the default.
type Retry struct {
	// MaxAttempts is how often a request is sent at most, the first time included; default 4.
	MaxAttempts int
	// MinBackoff and MaxBackoff bound the random wait between attempts where the server asks for none: before
	// attempt n+1 it is between 0 and MinBackoff*2^(n-1), at most MaxBackoff. Defaults 500 ms and 15 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxWait is the longest single wait; a call that would have to wait longer fails at once with
	// Error.RetryAfter. Default 60 s.
	MaxWait time.Duration
}

// defaultRetry bounds a failing read to about four seconds of waiting on average.
var defaultRetry = Retry{MaxAttempts: 4, MinBackoff: 500 * time.Millisecond, MaxBackoff: 15 * time.Second, MaxWait: time.Minute}

// withDefaults fills what the caller left open and refuses what cannot be meant.
func (r Retry) withDefaults() (Retry, error) {
	if r.MaxAttempts < 0 || r.MinBackoff < 0 || r.MaxBackoff < 0 || r.MaxWait < 0 {
		return r, argumentError("a Retry member is negative")
	}
	if r.MaxAttempts == 0 {
		r.MaxAttempts = defaultRetry.MaxAttempts
	}
	if r.MinBackoff == 0 {
		r.MinBackoff = defaultRetry.MinBackoff
	}
	if r.MaxBackoff == 0 {
		r.MaxBackoff = max(defaultRetry.MaxBackoff, r.MinBackoff)
	}
	if r.MaxWait == 0 {
		r.MaxWait = defaultRetry.MaxWait
	}
	if r.MinBackoff > r.MaxBackoff {
		return r, argumentError("Retry.MinBackoff exceeds Retry.MaxBackoff")
	}
	return r, nil
}

// repeat says after which failures an operation may be sent again. The zero value is the careful one.
type repeat int

const (
	// repeatRefused: only after the server said 429, or when provably nothing was sent. Creating a login link and
	// refreshing a bank link: done twice, they leave two links or are billed twice.
	repeatRefused repeat = iota
	// repeatSettling: also after 503 and transport errors. Update, close and revoke end in the same state
	// however often they are done.
	repeatSettling
	// repeatAlways: after any transient failure. Reads, and the token exchange.
	repeatAlways
)

// allows reports whether an operation may be sent again after this failure.
func (r repeat) allows(e *Error) bool {
	switch {
	case permanent(e):
		return false
	case e.kind == ErrRateLimited:
		return true
	case e.kind == nil: // the connection failed, before, during or after the request
		return e.Outcome == NotSent || r >= repeatSettling
	case e.kind != ErrServer || e.StatusCode < 500 || e.StatusCode == http.StatusNotImplemented:
		return false
	case e.StatusCode == http.StatusServiceUnavailable:
		return r >= repeatSettling
	default:
		return r == repeatAlways
	}
}

// permanent names what no repetition changes: licence codes, although some come with a 500 or a 429, and a
// certificate that does not verify.
func permanent(e *Error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](e.cause)
	return certificate || strings.HasPrefix(string(e.Code), "LICENSE_")
}

// next decides what follows a failed attempt: how long to wait for another one, or that this is the end.
// A wait that cannot end in time is not started.
func (t *trip) next(ctx context.Context, e *Error) (wait time.Duration, again bool) {
	if err := ctx.Err(); err != nil {
		e.because(err)
		return 0, false
	}
	if t.attempts >= t.retry.MaxAttempts || !t.op.repeat.allows(e) {
		return 0, false
	}
	wait = backoff(t.retry, t.attempts)
	hinted := e.RetryAfter > 0 && (e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusServiceUnavailable)
	if hinted {
		wait = e.RetryAfter
	}
	if wait > t.retry.MaxWait || t.retry.MaxWait == 0 {
		return 0, false
	}
	if hinted { // after the promised time, and not all callers at the same instant
		wait = saturatingAdd(wait, jitter(t.retry.MinBackoff))
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		e.because(context.DeadlineExceeded)
		return 0, false
	}
	return wait, true
}

// because adds a context's end to what the error matches.
func (e *Error) because(err error) {
	switch {
	case e.cause == nil:
		e.cause = err
	case !errors.Is(e.cause, err):
		e.cause = errors.Join(err, e.cause)
	}
}

// backoff is full jitter under an exponential bound.
func backoff(r Retry, attempts int) time.Duration {
	bound := r.MaxBackoff
	if shift := attempts - 1; shift < 32 && r.MinBackoff<<shift>>shift == r.MinBackoff {
		bound = min(bound, r.MinBackoff<<shift)
	}
	return jitter(min(bound, r.MaxWait))
}

func jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most) //nolint:gosec // spreads callers in time; nothing is kept secret by it
}

// sleep waits, or returns the context's error as soon as it ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// RateLimit is what Supermetrics says of the hourly limit in X-RateLimit-Limit and X-RateLimit-Remaining.
// MoneyKit says nothing.
type RateLimit struct {
	// Limit is the number of requests per hour, 0 where the answer did not say.
	Limit int
	// Remaining is what is left of it; it means something only with Known, for 0 is a value of its own.
	Remaining int
	Known     bool
}

func rateLimit(h http.Header) RateLimit {
	var r RateLimit
	if n, ok := count(h.Get("X-RateLimit-Limit")); ok {
		r.Limit = n
	}
	r.Remaining, r.Known = count(h.Get("X-RateLimit-Remaining"))
	return r
}

func count(s string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}

// retryAfter reads Retry-After: whole seconds or an HTTP-date in any of its three forms. A date is measured
// against the answer's own Date where it has one, so that the two clocks need not agree. What cannot be read
// is 0, what is too large saturates.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.Trim(h.Get("Retry-After"), " \t")
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(math.MaxInt64/time.Second) {
			return math.MaxInt64
		}
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, until.Sub(now))
}

func saturatingAdd(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
