package duolink

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// retryClient is go-retryablehttp with its defaults replaced: no log, no repetition or wait but by our own rules, and the
// last error, not a summary, at the end.
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

// transport is what each attempt goes through: it bounds its time and notes whether bytes may have left.
//
// retryablehttp closes all idle connections of its http.Client whenever it gives up; the pool is shared with other calls,
// so the method that it asks for stays hidden here.
type transport struct{ next http.RoundTripper }

func (tr transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	t := tripOf(ctx)
	t.attemptStarts(ctx)
	t.dialing.Store(false)
	t.connected.Store(false)
	t.status, t.head, t.body, t.location, t.verdict = 0, nil, nil, "", nil
	if err := ctx.Err(); err != nil { // net/http would not even ask for a connection, and that is what it would say
		t.dialing.Store(true)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout())
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { t.dialing.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	}
	resp, err := tr.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	resp.Body = timedBody{resp.Body, cancel}
	if resp.StatusCode/100 == 3 { // kept from http.Client, which reads it, and fails where it cannot
		t.location = resp.Header.Get("Location")
		resp.Header.Del("Location")
	}
	return resp, nil
}

// nothingSent reports that no byte of the latest attempt left: net/http asked for a connection and never had one. A
// transport that tells nothing of its connections may have sent everything.
func (t *trip) nothingSent() bool { return t.dialing.Load() && !t.connected.Load() }

// timedBody ends an attempt's time with its body.
type timedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// slowTimeout is what the vendor's own client allows the query for accounts, which may ask the ad platform live.
const slowTimeout = time.Hour

func (t *trip) timeout() time.Duration {
	if t.op.slow {
		return slowTimeout
	}
	return t.retry.AttemptTimeout
}

// ready is what comes before every attempt: the caller's own Limiter, the limit group's leave, and a credential. A credential
// may take its time, so the group is asked again: it may be closed by then.
func (t *trip) ready(req *http.Request) error {
	ctx := req.Context()
	if l := t.client.config.limiter; l != nil {
		if err := l.Wait(ctx, t.group); err != nil {
			return &Error{Outcome: NotSent, Message: "the limiter let nothing out", cause: &err}
		}
	}
	for {
		if err := t.admit(ctx); err != nil {
			return err
		}
		if err := t.sign(req); err != nil {
			return err
		}
		if t.client.pace.open(t.group, time.Now()) {
			return nil
		}
		t.releasePass()
	}
}

// admit waits until the limit group lets the call out.
func (t *trip) admit(ctx context.Context) error {
	p, err := t.client.pace.admit(ctx, t.group, t.retry.MaxWait, func(reason WaitReason, d time.Duration) { t.waits(ctx, reason, d) })
	if err != nil {
		return t.notAdmitted(ctx, err)
	}
	t.pass = p
	return nil
}

// notAdmitted is a call that would have to wait too long, or that was given up while it waited. After an attempt it is
// that one's error, which says more.
func (t *trip) notAdmitted(ctx context.Context, err error) error {
	e := &Error{kind: ErrRateLimited, Outcome: NotSent, Message: "not sent, for an earlier call was refused"}
	if t.last != nil {
		e = t.last
	}
	if long, ok := errors.AsType[tooLong](err); ok {
		e.RetryAfter = max(e.RetryAfter, long.wait)
		if e.StatusCode == 0 {
			e.Message += "; try again in " + max(e.RetryAfter.Round(time.Second), time.Second).String()
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= long.wait {
			e.because(context.DeadlineExceeded)
		}
	} else {
		e.because(err)
	}
	return e
}

// settle draws the conclusions of an attempt, once: for the limit group, the retry budget, the state and the hooks.
func (t *trip) settle(ctx context.Context, e *Error) {
	defer t.releasePass()
	c, now := t.client, time.Now()
	if t.token == nil {
		c.state.note(t.op.api, t.head, now)
	}
	switch {
	case e != nil && e.kind == ErrRateLimited:
		t.refused(ctx, e, now)
	case t.status != 0:
		c.pace.accept(t.group, t.pass, now)
	}
	if e == nil {
		c.budget.refund()
	}
	t.unclear = t.unclear || e != nil && e.Outcome == Unknown
	t.attemptEnds(ctx, e)
}

// refused closes the limit group for as long as the server says, or a backoff where it does not.
func (t *trip) refused(ctx context.Context, e *Error, now time.Time) {
	wait := e.RetryAfter
	if wait == 0 {
		if permanent(e) { // a quota without a time is not a matter of pace
			return
		}
		wait = backoff(t.retry, len(t.attempts))
	}
	t.client.pace.refuse(t.group, t.pass, now, wait)
	if t.token == nil {
		t.client.state.cool(t.op.api, now.Add(wait))
	}
	t.coolsDown(ctx, wait)
}

func (t *trip) releasePass() {
	if t.pass != nil {
		t.pass.release()
	}
}
