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
	// MaxAttempts is how often a request is sent at most, the first time included; default 4.
	MaxAttempts int
	// MinBackoff and MaxBackoff bound the random wait between attempts where the server asks for
	// none: before attempt n+1 it is between 0 and MinBackoff*2^(n-1), at most MaxBackoff. Defaults
	// 500 ms and 15 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxWait is the longest single wait; a call that would have to wait longer fails at once with
	// Error.RetryAfter. Default 60 s; for no wait at all there is WithMaxWait(0).
	MaxWait time.Duration
	// AttemptTimeout bounds each attempt, from the connection to the last byte of the answer, so
	// that one which stalls is repeated while the caller's context lives. Default 30 s.
	// Logins.QueryAccounts and Logins.StreamAccounts have an hour: the server may be asking the ad
	// platform meanwhile. The time to make a connection has the same bound, and is not counted in.
	// Nor is the time in the queue for a connection that others have: the context bounds it. A
	// DialContext of yours that does not dial with a net.Dialer must bound itself if
	// MaxConnsPerHost is set, or if another transport stands before the http.Transport.
	AttemptTimeout time.Duration
}

// defaultRetry bounds a failing read to about four seconds of waiting on average.
var defaultRetry = Retry{
	MaxAttempts: 4, MinBackoff: 500 * time.Millisecond, MaxBackoff: 15 * time.Second,
	MaxWait: time.Minute, AttemptTimeout: 30 * time.Second,
}

// withDefaults fills what the caller left open and refuses what cannot be meant.
func (r Retry) withDefaults() (Retry, error) {
	if r.MaxAttempts < 0 || r.MinBackoff < 0 || r.MaxBackoff < 0 || r.MaxWait < 0 || r.AttemptTimeout < 0 {
		return r, argumentError("a Retry member is negative")
	}
	r.MaxAttempts = cmp.Or(r.MaxAttempts, defaultRetry.MaxAttempts)
	r.MinBackoff = cmp.Or(r.MinBackoff, min(defaultRetry.MinBackoff, cmp.Or(r.MaxBackoff, defaultRetry.MinBackoff)))
	r.MaxBackoff = cmp.Or(r.MaxBackoff, max(defaultRetry.MaxBackoff, r.MinBackoff))
	r.MaxWait = cmp.Or(r.MaxWait, defaultRetry.MaxWait)
	r.AttemptTimeout = cmp.Or(r.AttemptTimeout, defaultRetry.AttemptTimeout)
	if r.MinBackoff > r.MaxBackoff {
		return r, argumentError("Retry.MinBackoff exceeds Retry.MaxBackoff")
	}
	return r, nil
}

// slowTimeout is what the vendor's own client allows the query for accounts, which may ask the ad
// platform live.
const slowTimeout = time.Hour

// timeout bounds each attempt.
func (p *prepared) timeout() time.Duration {
	if p.op.slow {
		return slowTimeout
	}
	return p.retry.AttemptTimeout
}

// idempotency says after which failures an operation may be sent again. The zero value is the
// careful one.
type idempotency int

const (
	// notIdempotent: only after the server said 429, or when provably nothing was sent. Creating a
	// login link and refreshing a bank link: done twice, they leave two links or are billed twice.
	notIdempotent idempotency = iota
	// idempotent: also after 503 and transport errors. Update, close and revoke end in the same
	// state however often they are done.
	idempotent
	// readOnly: after any transient failure. Reads, and the token exchange.
	readOnly
)

// allows reports whether an operation may be sent again after this failure.
func (i idempotency) allows(e *Error) bool {
	switch {
	case permanent(e):
		return false
	case e.kind() == ErrRateLimited: // a 429 was refused for sure; of another status only the body says so
		return e.StatusCode == http.StatusTooManyRequests || i == readOnly
	case e.kind() == nil: // the connection failed, before, during or after the request
		return e.Outcome == OutcomeNotSent || i >= idempotent
	case comesBack[e.StatusCode]: // nothing was processed, and another connection may do
		return i == readOnly
	case e.kind() != ErrServer || e.StatusCode < 500 || e.StatusCode == http.StatusNotImplemented:
		return false
	case e.StatusCode == http.StatusServiceUnavailable:
		return i >= idempotent
	default:
		return i == readOnly
	}
}

// comesBack are the statuses with which a server asks for the same request again, on another
// connection or later: 408 Request Timeout, 421 Misdirected Request, 425 Too Early.
var comesBack = map[int]bool{
	http.StatusRequestTimeout: true, http.StatusMisdirectedRequest: true, http.StatusTooEarly: true,
}

// permanent names what no repetition changes: licence codes, although some come with a 500 or a
// 429, and refusals on the way to the server.
func permanent(e *Error) bool {
	return send.IsIncurable(e.Unwrap()) || strings.HasPrefix(string(e.Code), "LICENSE_")
}

// refusesToken reports that the server does not take the credential, whatever it calls that. A code
// of a link is a matter of the link.
func (e *Error) refusesToken() bool {
	return e.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(string(e.Code), "link_error.")
}

// again decides whether there is another attempt, after a wait, or the end. A wait that cannot end
// in time is not started.
func (a *attempts) again(ctx context.Context, at *attempt) bool {
	e := at.err
	a.wait, a.reason = 0, ""
	e.renewable = e.refusesToken() && a.auth.renew(at.header)
	if err := ctx.Err(); err != nil {
		e.because(err)
		return false
	}
	if len(a.history) >= a.retry.MaxAttempts || a.retry.MaxWait == 0 {
		return false
	}
	if e.renewable && a.refusedHeader == nil { // refused, so nothing happened: also a create may go again
		a.refusedHeader = at.header
		a.wait, a.reason = e.RetryAfter, WaitReasonRetryAfter
		return a.inTime(ctx, e, a.wait)
	}
	if !a.op.idempotency.allows(e) {
		return false
	}
	if e.kind() == ErrRateLimited { // readyNext waits, in admit, until the limit group opens for all
		return a.inTime(ctx, e, e.RetryAfter)
	}
	a.wait, a.reason = a.retry.backoff(len(a.history)), WaitReasonBackoff
	if e.RetryAfter > 0 {
		a.wait, a.reason = e.RetryAfter, WaitReasonRetryAfter
	}
	if !a.inTime(ctx, e, a.wait) {
		return false
	}
	// A first attempt that net/http would have sent again by itself costs nothing: most often an
	// HTTP/2 server had no room for one more stream.
	free := errors.Is(e, send.ErrSentAgain) && len(a.history) == 1
	if !free && !a.client.budget.Take(a.budgetKey(), time.Now()) {
		return false
	}
	if a.reason == WaitReasonRetryAfter {
		a.wait += a.spread(ctx)
	}
	return true
}

// spread is how long after a promised time a call comes back, so that not all come at the same
// instant. The patience and the context's time still bound the wait.
func (a *attempts) spread(ctx context.Context) time.Duration {
	most := min(a.retry.MinBackoff, a.retry.MaxWait-a.wait)
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)-a.wait)
	}
	return pace.Jitter(most)
}

// inTime reports whether a wait ends before the caller's patience and the context do.
func (a *attempts) inTime(ctx context.Context, e *Error, wait time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		e.because(context.DeadlineExceeded)
		return false
	}
	return wait <= a.retry.MaxWait
}

// budgetKey is whose budget of repetitions a call draws on: its credential's. A repetition after
// 429 costs nothing, because it is paced anyway.
func (p *prepared) budgetKey() string { return string(p.op.api.vendor()) + " " + p.identity() }

// backoff is the random wait after so many attempts, if the server asks for none.
func (r Retry) backoff(attempts int) time.Duration {
	return pace.Backoff(r.MinBackoff, min(r.MaxBackoff, r.MaxWait), attempts)
}

// retryAfter is how long an answer asks to be left alone.
func retryAfter(h http.Header, now time.Time) time.Duration {
	return pace.RetryAfter(h.Values("Retry-After"), h.Values("Retry-After-Ms"), h.Get("Date"), now)
}
