package duolink

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/send"
)

// Retry says how a call is repeated and how long it may wait. Zero members take the default.
type Retry struct {
	// MaxAttempts is how often a request is sent at most, the first time included. Default 4.
	MaxAttempts int
	// MinBackoff and MaxBackoff bound the random wait between attempts if the server asks for none.
	// Before attempt n+1 it is between 0 and MinBackoff*2^(n-1), at most MaxBackoff. Default 500 ms
	// and 15 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxWait is the longest single wait. A call that would have to wait longer fails at once with
	// Error.RetryAfter. Default 60 s. WithMaxWait(0) forbids all waits.
	MaxWait time.Duration
	// AttemptTimeout bounds each attempt, from the connection to the last byte of the answer, so
	// that a stalled attempt is repeated while the caller's context lives. Default 30 s.
	// Logins.QueryAccounts and Logins.StreamAccounts have an hour, because the server may be asking
	// the ad platform. Making a connection is bounded by the same time, but not counted in. The
	// queue for a connection is bounded only by the context. A DialContext of yours without a
	// net.Dialer must bound itself if MaxConnsPerHost is set, or if another transport stands before
	// the http.Transport.
	AttemptTimeout time.Duration
}

// defaultRetry makes a read that keeps failing wait for about two seconds on average.
var defaultRetry = Retry{
	MaxAttempts: 4, MinBackoff: 500 * time.Millisecond, MaxBackoff: 15 * time.Second,
	MaxWait: time.Minute, AttemptTimeout: 30 * time.Second,
}

// withDefaults sets empty members and refuses impossible values.
func (r Retry) withDefaults() (Retry, error) {
	for _, member := range []struct {
		name  string
		value int64
	}{
		{"MaxAttempts", int64(r.MaxAttempts)}, {"MinBackoff", int64(r.MinBackoff)}, {"MaxBackoff", int64(r.MaxBackoff)},
		{"MaxWait", int64(r.MaxWait)}, {"AttemptTimeout", int64(r.AttemptTimeout)},
	} {
		if member.value < 0 {
			return r, argumentError("WithRetry: %s is negative", member.name)
		}
	}
	r.MaxAttempts = cmp.Or(r.MaxAttempts, defaultRetry.MaxAttempts)
	r.MinBackoff = cmp.Or(r.MinBackoff, min(defaultRetry.MinBackoff, cmp.Or(r.MaxBackoff, defaultRetry.MinBackoff)))
	r.MaxBackoff = cmp.Or(r.MaxBackoff, max(defaultRetry.MaxBackoff, r.MinBackoff))
	r.MaxWait = cmp.Or(r.MaxWait, defaultRetry.MaxWait)
	r.AttemptTimeout = cmp.Or(r.AttemptTimeout, defaultRetry.AttemptTimeout)
	if r.MinBackoff > r.MaxBackoff {
		return r, argumentError("WithRetry: MinBackoff exceeds MaxBackoff")
	}
	return r, nil
}

// slowTimeout bounds the query for accounts, as the vendor's own client does.
const slowTimeout = time.Hour

// timeout bounds each attempt.
func (p *prepared) timeout() time.Duration {
	if p.op.slow {
		return slowTimeout
	}
	return p.retry.AttemptTimeout
}

// idempotency says after which failures an operation may be sent again. Zero is the careful value.
type idempotency int

const (
	// notIdempotent: only after 429, or if provably nothing was sent. If a login link is created or
	// a bank link refreshed twice, there are two links or two bills.
	notIdempotent idempotency = iota
	// idempotent: also after 503 and transport errors. Update, close and revoke may be done twice.
	idempotent
	// readOnly: after any transient failure. Reads, and the token exchange.
	readOnly
)

// allows reports whether an operation may be sent again after this failure.
func (i idempotency) allows(e *Error) bool {
	switch {
	case permanent(e):
		return false
	case e.kind() == ErrRateLimited: // with another status only the body says so
		return e.StatusCode == http.StatusTooManyRequests || i == readOnly
	case e.kind() == nil || e.kind() == ErrTimeout: // the connection failed before, during or after the request
		return e.Outcome == OutcomeNotSent || i >= idempotent
	case comesBack[e.StatusCode]: // nothing was processed, and another connection may help
		return i == readOnly
	case e.kind() != ErrServer || e.StatusCode < 500 || e.StatusCode == http.StatusNotImplemented:
		return false
	case e.StatusCode == http.StatusServiceUnavailable:
		return i >= idempotent
	default:
		return i == readOnly
	}
}

// comesBack are statuses that ask for the same request again, later or on another connection.
var comesBack = map[int]bool{
	http.StatusRequestTimeout: true, http.StatusMisdirectedRequest: true, http.StatusTooEarly: true,
}

// permanent reports that no repetition helps: after codes that last, although some come with 500 or
// 429, and after refusals on the way to the server.
func permanent(e *Error) bool {
	return send.IsIncurable(e.Unwrap()) || e.rule() != passing
}

// refusesToken reports whether the server refuses the credential. A link_error is about the bank
// link, and ErrLoginRequired about the login to a data source.
func (e *Error) refusesToken() bool {
	return e.StatusCode == http.StatusUnauthorized && e.kind() != ErrLoginRequired &&
		!strings.HasPrefix(string(folded(e.Code)), "link_error.")
}

// again decides whether there is another attempt. A wait that cannot end in time is not started.
func (a *attempts) again(ctx context.Context, at *attempt) bool {
	e := at.err
	a.wait, a.promised = 0, false
	e.renewable = e.refusesToken() && a.auth.renew(at.header)
	if ctx.Err() != nil {
		e.because(endOf(ctx, nil))
		return false
	}
	if a.begun >= a.retry.MaxAttempts || a.retry.MaxWait == 0 {
		return false
	}
	if e.renewable && a.refusedHeader == nil { // nothing happened, so even a create may be sent again
		a.refusedHeader = at.header
		a.wait, a.promised = e.RetryAfter, true
		return a.inTime(ctx, e, a.wait)
	}
	if !a.op.idempotency.allows(e) {
		return false
	}
	if e.kind() == ErrRateLimited { // admit will wait until the limit group opens
		return a.inTime(ctx, e, e.RetryAfter)
	}
	a.wait = a.retry.backoff(a.begun)
	if e.RetryAfter > 0 {
		a.wait, a.promised = e.RetryAfter, true
	}
	if !a.inTime(ctx, e, a.wait) {
		return false
	}
	// If net/http would have sent the first attempt again by itself, the repetition costs nothing:
	// usually an HTTP/2 server had no room for one more stream.
	free := errors.Is(e, send.ErrSentAgain) && a.begun == 1
	if !free && !a.client.budget.Take(a.budgetKey(), time.Now()) {
		return false
	}
	if a.promised {
		a.wait += a.spread(ctx)
	}
	return true
}

// spread is how long after a promised time a call comes back, so that calls do not all come back at
// once. MaxWait and the context's deadline still bound the wait.
func (a *attempts) spread(ctx context.Context) time.Duration {
	most := min(a.retry.MinBackoff, a.retry.MaxWait-a.wait)
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)-a.wait)
	}
	return pace.Jitter(most)
}

// inTime reports whether a wait fits into MaxWait and ends before the context's deadline.
func (a *attempts) inTime(ctx context.Context, e *Error, wait time.Duration) bool {
	if outlasts(ctx, wait) {
		e.because(a.noTime(ctx, wait))
		return false
	}
	return wait <= a.retry.MaxWait
}

// budgetKey names the credential's budget, which repetitions use up. A repetition after 429 costs
// nothing, because the limit group paces it.
func (p *prepared) budgetKey() string { return string(p.op.api.vendor()) + " " + p.identity() }

// backoff is the random wait after this many attempts, if the server asks for no wait.
func (r Retry) backoff(attempts int) time.Duration {
	return pace.Backoff(r.MinBackoff, min(r.MaxBackoff, r.MaxWait), attempts)
}

// retryAfter is how long an answer asks to wait.
func retryAfter(h http.Header, now time.Time) time.Duration {
	return pace.RetryAfter(h.Values("Retry-After"), h.Values("Retry-After-Ms"), h.Get("Date"), now)
}
