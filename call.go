package duolink

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/send"
	"github.com/duolink/duolink/internal/wire"
	"github.com/hashicorp/go-retryablehttp"
)

// How a call happens, in reading order.
//
// A service method says what it wants: an operation. It is checked and encoded once, into prepared,
// which never changes. Then go-retryablehttp runs the attempts. It is made for this one call, and
// its slots are methods of attempts. Each attempt is a fresh value: ready has the pace and a
// credential let it out, RoundTrip sends it once, receive reads the answer and classifies it, and
// settle draws the conclusions, for the pace, the budget of repetitions and the hooks. checkRetry
// says whether there is another attempt, by the rules in retry.go. Then backoff says how long to
// wait before, and readyNext readies it. What comes out is the answer, or one *Error (result).

// operation is what one call wants. The rows of a service file are operations without arguments.
type operation struct {
	api         API
	name        string // "links.get": for errors and logs
	method      string
	route       string // "/ds/login/link/{loginLinkID}": a constant, safe to print
	idempotency idempotency
	limit       int64 // bytes of answer that are read; 0 means defaultLimit
	stream      bool  // the answer is read as it arrives, by the caller
	slow        bool  // the server may take its time: slowTimeout
	perApp      bool  // the vendor counts all of an application's requests together, too

	args    []string // for the route's placeholders, in order
	query   any      // a struct with url tags
	body    any      // sent as JSON
	form    url.Values
	private []string // what errors must not quote, besides args and credentials
	secrets []string // credentials that it carries itself: what errors must not quote, not even in part
	items   []string // what the vendor counts requests by, besides the arguments: one for each of them
	invalid error    // what is wrong with the arguments; nothing is sent then
}

const (
	defaultLimit = 8 << 20
	errorLimit   = 1 << 20
)

// call sends an operation and reads its answer.
func call[T any](
	ctx context.Context, c *Client, op operation, answer func(*wire.Scanner) (T, error), opts []CallOption,
) (T, error) {
	var v, none T
	_, err := c.do(ctx, op, opts, func(s *wire.Scanner) (err error) {
		v, err = wire.Whole(s, answer)
		return err
	})
	if err != nil {
		return none, err
	}
	return v, nil
}

// do prepares an operation, attempts it until it is done, and has each answer decoded, so that one
// which cannot be used is a failed attempt. An operation that streams decodes by itself.
func (c *Client) do(
	ctx context.Context, op operation, opts []CallOption, decode func(*wire.Scanner) error,
) (*attempts, error) {
	p, err := c.prepare(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	a := &attempts{prepared: p, decode: decode, latest: &attempt{}, next: &attempt{}, endedAt: time.Now()}
	return a, a.result(ctx, a.run(ctx))
}

// prepared is what a call asks, checked and encoded. A flow has one too, for all of its calls. It
// never changes.
type prepared struct {
	callOptions
	client      *Client
	op          operation
	auth        authorizer
	retry       Retry
	limit       int64 // bytes of answer
	url         string
	payload     []byte
	contentType string
	groups      []limitGroup
}

// prepare finds everything that can be wrong before anything is sent.
func (c *Client) prepare(ctx context.Context, op operation, opts []CallOption) (*prepared, error) {
	p := &prepared{client: c, op: op, retry: c.config.retry, limit: cmp.Or(c.config.limit, op.limit, defaultLimit)}
	if ctx == nil {
		return nil, p.unsent(argumentError("the context is nil"))
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, p.unsent(argumentError("a call option is nil"))
		}
		if err := opt(&p.callOptions); err != nil {
			return nil, p.unsent(err)
		}
	}
	if p.maxWait != nil {
		p.retry.MaxWait = *p.maxWait
	}
	if p.once {
		p.retry.MaxAttempts = 1
	}
	if p.auth = c.auth[op.api.vendor()]; p.token != nil {
		p.auth = p.token
	}
	err := op.invalid
	if err == nil && p.auth == nil {
		err = &Error{Kind: ErrNotConfigured, Message: "the client has no credential for this API"}
	}
	if err == nil {
		p.groups = op.groups(p.identity())
		err = p.encode()
	}
	if err != nil {
		return nil, p.unsent(err)
	}
	return p, nil
}

// attempts are a call under way.
type attempts struct {
	*prepared
	decode func(*wire.Scanner) error // reads the answer

	history       []Attempt     // as hooks and Response see them
	latest        *attempt      // that has begun
	next          *attempt      // that is being readied
	endedAt       time.Time     // of the latest, or when the call began
	lastError     *Error        // what the latest failed with
	wait          time.Duration // before the next one
	reason        WaitReason
	refusedHeader http.Header // carried the token that was refused: it is not sent again
	unclear       bool        // an attempt may have been carried out, whatever became of the later ones
}

// attempt is one time that the request is sent, and what came of it.
type attempt struct {
	number  int // from 1
	began   time.Time
	header  http.Header   // as it was signed
	groups  []limitGroup  // with its permits
	sending *send.Sending // nil if it did not get as far as to net/http
	held    error         // it was held back at its connection, and this is why it does not go out any more

	status   int // 0: no answer
	head     http.Header
	location string // of a redirect
	unsized  bool   // the answer does not say how long it is
	body     []byte
	stream   io.ReadCloser
	err      *Error // what is wrong with the answer, or with its absence
}

// run attempts the call until CheckRetry says that it is done.
func (a *attempts) run(ctx context.Context) error {
	defer a.release() // for those who wait behind it, should a hook panic
	var payload any
	if a.payload != nil {
		payload = a.payload
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, a.op.method, a.url, payload)
	if err != nil {
		return a.unsent(argumentError("the request cannot be built"))
	}
	if err := a.ready(req.Request); err != nil {
		return a.unsent(err)
	}
	req.SetResponseHandler(func(resp *http.Response) error { return a.receive(ctx, resp) })
	loop := retryablehttp.Client{
		HTTPClient:   a.client.sender(a),
		RetryMax:     math.MaxInt32, // CheckRetry counts
		CheckRetry:   a.checkRetry,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return a.backoff(ctx) },
		PrepareRetry: a.readyNext,
		ErrorHandler: func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err },
	}
	_, err = loop.Do(req) //nolint:bodyclose // receive has read and closed it, or keeps it open as a stream
	return err
}

// ready is what comes before every attempt: the caller's own Limiter, the permits of the limit
// groups, and a credential.
func (a *attempts) ready(req *http.Request) error {
	ctx := req.Context()
	a.next = &attempt{number: len(a.history) + 1}
	if l := a.client.config.limiter; l != nil {
		for _, g := range a.groups {
			if err := l.Wait(ctx, g.key); err != nil {
				return &Error{Outcome: OutcomeNotSent, Message: "the limiter let nothing out", cause: &err}
			}
		}
	}
	return a.admitAndSign(req, a.next)
}

// readyNext readies another attempt. If it cannot, the call ends with what the server said last,
// which tells more. The error of a token exchange is the exception: it names what has to be mended.
func (a *attempts) readyNext(req *http.Request) error {
	err := a.ready(req)
	e, ours := err.(*Error) //nolint:errorlint // one that a provider of tokens wraps is its own affair
	if err == nil || ours && e.Operation != "" {
		return err
	}
	a.lastError.because(err)
	return a.lastError
}

// admitAndSign has the limit groups' permits, and then a credential. That may take its time, so the
// groups are asked again: they may be closed by then.
func (a *attempts) admitAndSign(req *http.Request, at *attempt) error {
	for {
		if err := a.admit(req.Context(), at); err != nil {
			return err
		}
		if err := a.sign(req, at); err != nil {
			return err
		}
		if a.allOpen(at) {
			return nil
		}
		a.release()
	}
}

// sign sets the headers of an attempt, credentials last. The map is its own, because the connection
// that writes it may still use the one of the attempt before.
func (a *attempts) sign(req *http.Request, at *attempt) error {
	h := http.Header{}
	for name, values := range a.extra {
		h[name] = slices.Clone(values)
	}
	h.Set("Accept", "application/json")
	h.Set("User-Agent", a.client.config.userAgent)
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	switch a.op.api {
	case MoneyKit:
		h.Set("MoneyKit-Version", moneyKitVersion)
	case PlaidCompatible:
		h.Set("Plaid-Version", plaidVersion)
	}
	err := a.auth.authorize(req.Context(), a.op.api, h)
	req.Header, at.header = h, h
	if err == nil && a.refusedHeader != nil && h.Get("Authorization") == a.refusedHeader.Get("Authorization") {
		a.lastError.renewable = false
		return a.lastError // it says already what the server would say
	}
	return err
}

// RoundTrip sends an attempt, once. One that is held back at its connection waits for its limit
// groups again, and is still the same attempt.
func (a *attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, at := req.Context(), a.next
	at.began, a.latest = time.Now(), at
	a.started(ctx, at)
	if req.Body != nil {
		_ = req.Body.Close() // each request that goes out has a body of its own
	}
	rules := send.Rules{
		Body: a.payload, UserAgent: a.client.config.userAgent, Limit: a.timeout(), Commit: a.commitWrite,
		MayGo: func() bool { return a.allOpen(at) },
	}
	for {
		if err := ctx.Err(); err != nil { // net/http would not even ask for a connection
			return nil, err
		}
		var resp *http.Response
		var err error
		at.sending, resp, err = a.client.transport.Send(req, rules)
		if err == nil || !at.sending.HeldBack(err) {
			at.takeLocation(resp)
			return resp, err
		}
		a.nothingHappened(OutcomeNotSent)
		a.release()
		cookies := req.Header["Cookie"]
		if at.held = a.admitAndSign(req, at); at.held != nil {
			return nil, at.held
		}
		if cookies != nil { // http.Client has put them there
			req.Header["Cookie"] = cookies
		}
	}
}

// takeLocation keeps a redirect's goal from http.Client, which reads it, and fails where it cannot.
func (at *attempt) takeLocation(resp *http.Response) {
	if resp != nil && resp.StatusCode/100 == 3 {
		at.location = resp.Header.Get("Location")
		resp.Header.Del("Location")
	}
}

// receive reads an answer, classifies it and draws the conclusions, inside the loop: one that
// breaks off is a failed attempt like any other. It leaves the body closed, except for a stream.
func (a *attempts) receive(ctx context.Context, resp *http.Response) error {
	at, kept := a.latest, false
	defer func() {
		if !kept { // the body, or a hook, has panicked
			_ = resp.Body.Close()
		}
	}()
	at.status, at.head, at.unsized = resp.StatusCode, resp.Header, resp.ContentLength < 0
	if at.location != "" {
		at.head.Set("Location", at.location)
	}
	at.err = a.classify(at, resp)
	if at.stream == nil {
		kept = true
		_ = resp.Body.Close()
		resp.Body = http.NoBody // retryablehttp would close it again
	}
	a.settle(ctx)
	kept = true
	if at.err == nil {
		return nil
	}
	return at.err
}

// classify reads an answer and says what is wrong with it.
func (a *attempts) classify(at *attempt, resp *http.Response) *Error {
	ok, limit := at.status/100 == 2, a.limit
	if !ok {
		limit = min(limit, errorLimit)
	}
	// A gzip that the transport did not ask for, it did not undo.
	zipped := !resp.Uncompressed && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip")
	body, err := wire.Unzipped(resp.Body, zipped)
	if err == nil && ok && a.op.stream {
		at.stream = body
		return nil
	}
	if err == nil {
		at.body, err = wire.ReadBody(body, limit)
	}
	switch {
	case !ok: // the status speaks, however much of the body arrived
		return a.refusal(at)
	case err != nil:
		return a.failure(at, err)
	}
	if err := a.decode(wire.Document(at.body, a.limit)); err != nil {
		return a.unreadable(at, err)
	}
	return nil
}

// settle draws the conclusions of an attempt, once: for the limit groups, the budget of
// repetitions, the state, a run that callers share, and the hooks.
func (a *attempts) settle(ctx context.Context) {
	defer a.release()
	c, at, now := a.client, a.latest, time.Now()
	if a.token == nil {
		c.state.note(a.op.api, at.head, now)
	}
	switch {
	case at.status == 0: // no answer says nothing of the limits
	case at.err != nil && at.err.closesGroup():
		a.closeGroups(ctx, at, now)
	default: // whatever it says, the limits had nothing against it
		for _, g := range at.groups {
			c.pace.Accept(g.key, g.permit, now)
		}
	}
	if at.err == nil {
		c.budget.Refund(a.budgetKey(), now)
	} else if at.err.Outcome != OutcomeUnknown {
		a.nothingHappened(at.err.Outcome)
	}
	a.unclear = a.unclear || at.err != nil && at.err.Outcome == OutcomeUnknown
	a.endedAt = now
	a.finished(ctx, at)
}

// checkRetry decides, after a failed attempt, whether there will be another. The library asks
// twice: when an answer has begun, and when receive has read it. If no answer came, receive was not
// called, so the attempt is settled here.
func (a *attempts) checkRetry(ctx context.Context, _ *http.Response, err error) (bool, error) {
	at := a.latest
	switch {
	case err == nil: // it is good, or was not read yet
		return false, nil
	case at.held != nil:
		at.err = a.unsent(at.held)
		a.settle(ctx)
		return false, at.err
	case at.err == nil: // no answer was received
		at.err = a.failure(at, err)
		a.settle(ctx)
	}
	a.lastError = at.err
	again := a.again(ctx, at)
	return again, at.err
}

// backoff is how long to wait before the next attempt. The library waits.
func (a *attempts) backoff(ctx context.Context) time.Duration {
	if a.wait > 0 {
		a.waits(ctx, len(a.history)+1, a.reason, a.wait)
	}
	return a.wait
}

// result is the call's error once the loop has ended, or nil. It fills in the caller's Response.
func (a *attempts) result(ctx context.Context, err error) error {
	if err == nil {
		a.report()
		return nil
	}
	e, ours := errors.AsType[*Error](err)
	if !ours { // the context ended between two attempts: say both, that and why there was to be another
		if e = a.lastError; e == nil {
			e = a.failure(a.latest, err)
		}
		e.because(cmp.Or(ctx.Err(), err))
	}
	return a.fail(e)
}

// fail closes the books on a call that failed.
func (a *attempts) fail(e *Error) error {
	if e.Operation == a.op.name {
		e.Attempts = len(a.history)
	}
	if a.unclear {
		e.Outcome = OutcomeUnknown
	}
	a.report()
	return e
}
