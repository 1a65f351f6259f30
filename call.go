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

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/send"
	"github.com/duolink/duolink/internal/wire"
	"github.com/hashicorp/go-retryablehttp"
)

// How a call happens, in reading order.
//
// A service method names an operation. prepare checks and encodes it once, and the result never
// changes. Then go-retryablehttp runs the attempts. It is made for this one call, and its functions
// are methods of attempts. Each attempt is a fresh value: ready waits for the limit groups and adds
// a credential, RoundTrip sends it once, receive reads and classifies the answer, and settle tells
// the limit groups, the budget of repetitions and the hooks. checkRetry decides whether there is
// another attempt, by the rules in retry.go. Then readyNext waits and makes the next attempt
// ready. The call returns the answer or one *Error (result).

// operation is what a call asks for. The variables of service files are operations without
// arguments.
type operation struct {
	api         API
	name        string // "links.get": for errors and logs
	method      string
	route       string // "/ds/login/link/{loginLinkID}": a constant, safe to print
	idempotency idempotency
	limit       int64 // bytes of answer that are read; 0 means defaultLimit
	stream      bool  // the caller reads the answer as it arrives
	slow        bool  // the server may take long: slowTimeout
	perApp      bool  // the vendor also counts all requests of an application together

	args    []string // for the route's placeholders, in order
	query   any      // a struct with url tags
	body    any      // sent as JSON
	form    url.Values
	private []string // texts that errors must not quote, besides args and credentials
	secrets []string // credentials among the arguments: errors must not quote even a part of them
	items   []string // the vendor counts requests by each of them, besides args
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

// do prepares an operation and attempts it until it is done. It decodes each answer inside the
// loop, so that an unusable answer is a failed attempt. The caller of do decodes a stream.
func (c *Client) do(
	ctx context.Context, op operation, opts []CallOption, decode func(*wire.Scanner) error,
) (*attempts, error) {
	p, err := c.prepare(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	if !c.life.enter() {
		return nil, p.unsent(&Error{Kind: ErrClosed, Message: nothingMoreIsSent})
	}
	defer c.life.leave()
	waiting, cancel := c.life.untilClosed(ctx)
	defer cancel()
	a := &attempts{prepared: p, decode: decode, waiting: waiting}
	a.latest, a.next, a.endedAt = &attempt{}, &attempt{}, time.Now()
	return a, a.result(waiting, a.run(ctx))
}

// prepared is a call's operation and options, checked and encoded. It never changes. A flow has
// one, too.
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

// prepare checks everything that can be checked before anything is sent.
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
	decode  func(*wire.Scanner) error // reads the answer
	waiting context.Context           //nolint:containedctx // of all waits: it ends when the client closes, too

	history       []Attempt     // as hooks and Response see them
	latest        *attempt      // the one that has begun
	next          *attempt      // the one that ready works on
	endedAt       time.Time     // when the latest ended, or the call began
	lastError     *Error        // what the latest failed with
	wait          time.Duration // before the next one
	reason        WaitReason
	refusedHeader http.Header // has the refused token, which is not sent again
	unclear       bool        // some attempt may have been carried out
}

// attempt is one time that the request is sent, and the result.
type attempt struct {
	number  int // from 1
	began   time.Time
	header  http.Header   // with the credential
	groups  []limitGroup  // with its permits
	sending *send.Sending // nil if net/http was not called
	held    error         // why it was not sent after it was held back at its connection

	status   int // 0: no answer
	head     http.Header
	location string // of a redirect
	unsized  bool   // the answer names no length
	body     []byte
	stream   io.ReadCloser
	err      *Error // what is wrong with the answer, or why there is none
}

// run attempts the call until checkRetry says that it is done.
func (a *attempts) run(ctx context.Context) error {
	defer a.release() // others wait for the permits, even if a hook panics
	var payload any
	if a.payload != nil {
		payload = a.payload
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, a.op.method, a.url, payload)
	if err != nil {
		return a.unsent(argumentError("the request cannot be built"))
	}
	if err = a.ready(req.Request); err != nil {
		return a.unsent(err)
	}
	req.SetResponseHandler(func(resp *http.Response) error { return a.receive(ctx, resp) })
	loop := retryablehttp.Client{
		HTTPClient:   a.client.sender(a),
		RetryMax:     math.MaxInt32, // checkRetry counts
		CheckRetry:   a.checkRetry,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 }, // readyNext waits
		PrepareRetry: a.readyNext,
		ErrorHandler: func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err },
	}
	_, err = loop.Do(req) //nolint:bodyclose // receive has closed it, or keeps it open as a stream
	return err
}

// ready asks the caller's Limiter, and gets permits of the limit groups and a credential.
func (a *attempts) ready(req *http.Request) error {
	a.next = &attempt{number: len(a.history) + 1}
	err := a.askLimiter(a.waiting)
	if err == nil {
		err = a.admitAndSign(a.waiting, req, a.next)
	}
	return a.notReady(a.waiting, err)
}

// readyNext waits, and makes another attempt ready. If that fails, the call ends with the last
// attempt's error, which tells more, or with that of a token exchange, which names the cause.
func (a *attempts) readyNext(req *http.Request) error {
	if a.wait > 0 {
		a.waits(a.waiting, len(a.history)+1, a.reason, a.wait)
	}
	err := endOf(a.waiting, pace.Sleep(a.waiting, a.wait))
	if err == nil {
		err = a.ready(req)
	}
	e, ours := err.(*Error) //nolint:errorlint // an error that a provider of tokens wraps is the provider's
	switch {
	case err == nil:
		return nil
	case ours && e.Operation != "":
		own := *e // a provider may give the same error to many calls
		return &own
	}
	a.lastError.because(err)
	return a.lastError
}

// admitAndSign gets permits and then a credential, again if a limit group has closed meanwhile.
func (a *attempts) admitAndSign(ctx context.Context, req *http.Request, at *attempt) error {
	for {
		if err := a.admit(ctx, at); err != nil {
			return err
		}
		if err := a.sign(ctx, req, at); err != nil {
			return err
		}
		if a.allOpen(at) {
			return nil
		}
		a.release()
	}
}

// sign sets the headers of an attempt. Each attempt has its own map, because a connection may still
// be writing the map of the attempt before.
func (a *attempts) sign(ctx context.Context, req *http.Request, at *attempt) error {
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
		h.Set("MoneyKit-Version", a.client.config.moneyKitVersion)
	case PlaidCompatible:
		h.Set("Plaid-Version", plaidVersion)
	}
	err := a.auth.authorize(ctx, a.op.api, h)
	req.Header, at.header = h, h
	if err == nil && a.refusedHeader != nil && h.Get("Authorization") == a.refusedHeader.Get("Authorization") {
		a.lastError.renewable = false
		return a.lastError // the server would say the same again
	}
	return err
}

// RoundTrip sends an attempt, once. If the attempt is held back at its connection, it waits for its
// limit groups again and is still the same attempt.
func (a *attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, at := req.Context(), a.next
	at.began, a.latest = time.Now(), at
	a.started(ctx, at)
	if req.Body != nil {
		_ = req.Body.Close() // transport.Send makes a body for each request
	}
	userAgent := a.client.config.userAgent
	rules := send.Rules{Body: a.payload, UserAgent: userAgent, Limit: a.timeout(), Commit: a.commitWrite}
	for {
		admitted := attempt{groups: at.groups} // a transport may ask later, on another goroutine
		rules.MayGo = func() bool { return a.waiting.Err() == nil && a.allOpen(&admitted) }
		if ctx.Err() != nil || a.waiting.Err() != nil { // net/http would not ask for a connection
			return nil, endOf(ctx, endOf(a.waiting, nil))
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
		if at.held = a.readyAgain(ctx, req, at); at.held != nil {
			return nil, at.held
		}
		if cookies != nil { // http.Client had set them
			req.Header["Cookie"] = cookies
		}
	}
}

// receive reads, classifies and settles an answer inside the loop. It closes the body, but a stream's.
func (a *attempts) receive(ctx context.Context, resp *http.Response) error {
	at, kept := a.latest, false
	defer func() {
		if !kept { // the body or a hook has panicked
			_ = resp.Body.Close()
		}
	}()
	at.status, at.head, at.unsized = resp.StatusCode, resp.Header, resp.ContentLength < 0
	if at.location != "" {
		at.head.Set("Location", at.location)
	}
	at.err = a.classify(ctx, at, resp)
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

// classify reads an answer and returns what is wrong with it.
func (a *attempts) classify(ctx context.Context, at *attempt, resp *http.Response) *Error {
	ok, limit := at.status/100 == 2, a.limit
	if !ok {
		limit = min(limit, errorLimit)
	}
	// The transport decompresses only if it has asked for gzip itself.
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
	case !ok: // the status decides, however much of the body arrived
		return a.refusal(at)
	case err != nil:
		return a.failure(ctx, at, err)
	}
	document := wire.Document(at.body, a.limit)
	tellDrift := a.watchDrift(ctx, document, at.header)
	if err := a.decode(document); err != nil {
		return a.unreadable(ctx, at, err)
	}
	tellDrift()
	return nil
}

// settle tells the result of an attempt, once, to the limit groups, the budget of repetitions, the
// client's RateLimit, a run that callers share, and the hooks.
func (a *attempts) settle(ctx context.Context) {
	defer a.release()
	c, at, now := a.client, a.latest, time.Now()
	if a.token == nil {
		c.state.note(a.op.api, at.head, now)
	}
	switch {
	case at.status == 0: // without an answer the limits are not known
	case at.err != nil && at.err.closesGroup():
		a.closeGroups(ctx, at, now)
	default: // any other answer: the request was within the limits
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

// checkRetry decides whether there is another attempt. The library calls it twice: when an answer
// has begun, and when receive has read it. If no answer came, receive was not called, so the
// attempt is settled here.
func (a *attempts) checkRetry(ctx context.Context, _ *http.Response, err error) (bool, error) {
	at := a.latest
	switch {
	case err == nil: // the answer is good, or was not read yet
		return false, nil
	case at.held != nil:
		at.err = a.unsent(at.held)
		a.settle(ctx)
		return false, at.err
	case at.err == nil: // no answer was received
		at.err = a.failure(ctx, at, err)
		a.settle(ctx)
	}
	a.lastError = at.err
	again := a.again(a.waiting, at)
	return again, at.err
}

// result returns the call's error after the loop, or nil. It fills in the caller's Response.
func (a *attempts) result(ctx context.Context, err error) error {
	if err == nil {
		a.report()
		return nil
	}
	e, ours := errors.AsType[*Error](err)
	if !ours { // the context ended between two attempts: the error says that and why the last one failed
		if e = a.lastError; e == nil {
			e = a.failure(ctx, a.latest, err)
		}
		e.because(endOf(ctx, err))
	}
	return a.fail(e)
}

// fail completes the error of a call, and fills in the caller's Response.
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
