package duolink

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/hashicorp/go-retryablehttp"
)

// retryClient is go-retryablehttp with its defaults replaced: no log, no repetition or wait but by
// our own rules, and the last error, not a summary, at the end.
func retryClient(httpClient *http.Client) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: httpClient,
		RetryMax:   1 << 30, // trip.next counts
		CheckRetry: func(ctx context.Context, _ *http.Response, err error) (bool, error) {
			if err == nil { // not received yet, or good
				return false, nil
			}
			return tripOf(ctx).again(ctx, err)
		},
		// Backoff is given no context after a transport error, so the wait is in PrepareRetry.
		Backoff: func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 },
		PrepareRetry: func(req *http.Request) error {
			return tripOf(req.Context()).repeat(req)
		},
		ErrorHandler: func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err },
	}
}

// again decides, after a failed attempt, whether there will be another.
func (t *trip) again(ctx context.Context, err error) (bool, error) {
	if t.notReady != nil { // it was held back, and could not be readied anew
		e := named(t.notReady, t.op.api, t.op.name)
		t.settle(ctx, e)
		return false, e
	}
	e := t.verdict
	if e == nil { // no answer was received
		e = t.failure(err)
		t.settle(ctx, e)
	}
	t.last = e
	again := t.next(ctx, e)
	return again, e
}

// repeat waits for the time of the next attempt and readies it.
func (t *trip) repeat(req *http.Request) error {
	if t.wait > 0 {
		t.waits(req.Context(), t.reason, t.wait)
		if err := sleep(req.Context(), t.wait); err != nil {
			return err
		}
	}
	err := t.ready(req)
	e, ours := errors.AsType[*Error](err)
	if err == nil || ours && e.Operation != "" { // of this call, or of the token exchange
		return err
	}
	t.last.because(err) // what the server said tells more than why it could not be asked again
	return t.last
}

// slowTimeout is what the vendor's own client allows the query for accounts, which may ask the ad
// platform live.
const slowTimeout = time.Hour

func (t *trip) timeout() time.Duration {
	if t.op.slow {
		return slowTimeout
	}
	return t.retry.AttemptTimeout
}

// ready is what comes before every attempt: the caller's own Limiter, the limit groups' permits, and
// a credential.
func (t *trip) ready(req *http.Request) error {
	ctx := req.Context()
	if l := t.client.config.limiter; l != nil {
		for _, g := range t.groups {
			if err := l.Wait(ctx, g.key); err != nil {
				return &Error{Outcome: NotSent, Message: "the limiter let nothing out", cause: &err}
			}
		}
	}
	return t.admitAndSign(req)
}

// admitAndSign has the limit groups' permits, and then a credential. That may take its time, so the
// groups are asked again: they may be closed by then.
func (t *trip) admitAndSign(req *http.Request) error {
	ctx := req.Context()
	for {
		if err := t.admit(ctx); err != nil {
			return err
		}
		if err := t.sign(req); err != nil {
			return err
		}
		if t.client.allOpen(t.groups) {
			return nil
		}
		t.releasePermits()
	}
}

// admit waits until all of the call's limit groups let it out.
func (t *trip) admit(ctx context.Context) error {
	waiting := func(reason pace.Reason, d time.Duration) { t.waits(ctx, WaitReason(reason), d) }
	for i := range t.groups {
		g := &t.groups[i]
		permit, err := t.client.pace.Admit(ctx, g.key, t.retry.MaxWait, waiting)
		if err != nil {
			return t.notAdmitted(ctx, err)
		}
		g.permit = permit
	}
	return nil
}

// allOpen reports that none of these limit groups was closed since the call was admitted.
func (c *Client) allOpen(groups []limitGroup) bool {
	now := time.Now()
	return !slices.ContainsFunc(groups, func(g limitGroup) bool { return !c.pace.StillOpen(g.key, g.permit, now) })
}

// notAdmitted is a call that would have to wait too long, or that was given up while it waited.
// After an attempt it is that one's error, which says more.
func (t *trip) notAdmitted(ctx context.Context, err error) error {
	e := &Error{kind: ErrRateLimited, Outcome: NotSent, Message: "not sent, for an earlier call was refused"}
	if t.last != nil {
		e = t.last
	}
	if long, ok := errors.AsType[pace.TooLong](err); ok {
		e.RetryAfter = max(e.RetryAfter, long.Wait)
		if e.StatusCode == 0 {
			e.Message += "; try again in " + max(e.RetryAfter.Round(time.Second), time.Second).String()
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= long.Wait {
			e.because(context.DeadlineExceeded)
		}
	} else {
		e.because(err)
	}
	return e
}

// settle draws the conclusions of an attempt, once: for the limit groups, the retry budget, the
// state and the hooks.
func (t *trip) settle(ctx context.Context, e *Error) {
	defer t.releasePermits()
	c, now := t.client, time.Now()
	if t.token == nil {
		c.state.note(t.op.api, t.head, now)
	}
	switch {
	case t.status == 0:
	case e != nil && e.closesGroup():
		t.refused(ctx, e, now)
	default:
		for _, g := range t.groups {
			c.pace.Accept(g.key, g.permit, now)
		}
	}
	if e == nil {
		c.budget.Refund(t.budgetKey(), now)
	}
	if e != nil && e.Outcome != Unknown {
		t.nothingWritten(e.Outcome)
	}
	t.unclear = t.unclear || e != nil && e.Outcome == Unknown
	t.attemptEnds(ctx, e)
}

// closesGroup reports that an answer speaks of more than the request that it answers: too many
// requests, or a server that names the time when it is back.
func (e *Error) closesGroup() bool {
	return e.kind == ErrRateLimited || e.StatusCode >= 500 && e.RetryAfter > 0
}

// longestWhole is how long a MoneyKit application is held back at most: its limits are per minute.
const longestWhole = time.Minute

// refused closes the limit groups of which the refusal speaks: for as long as the server says, or,
// where it does not, for a backoff, which grows while it keeps refusing.
func (t *trip) refused(ctx context.Context, e *Error, now time.Time) {
	wait := e.RetryAfter
	if wait == 0 && permanent(e) { // a quota without a time is not a matter of pace
		return
	}
	c, groups := t.client, t.closedBy(e, now)
	if wait == 0 {
		tries := len(t.attempts)
		for _, g := range groups {
			tries = max(tries, c.pace.Refusals(g.key)+1)
		}
		wait = c.config.retry.backoff(tries) // the group is not this call's alone, whatever its patience
	}
	for _, g := range groups {
		closed := wait
		if g.whole && t.op.api.vendor() == MoneyKit {
			closed = min(closed, longestWhole)
		}
		c.pace.Refuse(g.key, g.permit, now, closed)
	}
	if len(groups) == 0 {
		return
	}
	if t.token == nil {
		c.state.cool(t.op.api, now.Add(wait))
	}
	t.coolsDown(ctx, wait)
}

// closedBy are the limit groups that a refusal closes. None is wider than the refusal shows.
func (t *trip) closedBy(e *Error, now time.Time) []limitGroup {
	if t.op.api == Supermetrics {
		// The daily quota is one data source's, every other limit the credential's.
		daily := e.Code == CodeLicenseDailyQueryLimitExceeded
		return having(t.groups, func(g limitGroup) bool { return g.whole != daily })
	}
	narrow := t.groups[0].key
	return having(t.groups, func(g limitGroup) bool {
		return !g.whole || t.client.pace.RefusesWhole(g.key, narrow, g.permit, now)
	})
}

func (t *trip) releasePermits() {
	for _, g := range t.groups {
		g.permit.Release()
	}
}
