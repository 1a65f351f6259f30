package duolink

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
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

// call sends an operation and reads its answer.
func call[T any](
	ctx context.Context, c *Client, op operation, answer func(*wire.Scanner) (T, error), opts []CallOption,
) (T, error) {
	d, none := &decoder[T]{read: answer}, *new(T)
	if _, err := c.do(ctx, op, opts, d); err != nil {
		return none, err
	}
	return d.value, nil
}

// decoder reads an answer.
type decoder[T any] struct {
	read  func(*wire.Scanner) (T, error)
	value T
}

func (d *decoder[T]) decode(s *wire.Scanner) (err error) {
	d.value, err = wire.Whole(s, d.read)
	return err
}

// do prepares an operation and attempts it until it is done. It decodes each answer inside the
// loop, so that an unusable answer is a failed attempt. The caller of do decodes a stream.
func (c *Client) do(
	ctx context.Context, op operation, opts []CallOption, answer interface{ decode(*wire.Scanner) error },
) (*attempts, error) {
	a := &attempts{answer: answer, endedAt: time.Now()}
	a.prepared, a.latest, a.next = &a.own, &a.first, &a.first
	if err := a.own.prepare(ctx, c, op, opts); err != nil {
		return nil, err
	}
	if !c.life.enter() {
		return nil, a.closed()
	}
	defer c.life.leave()
	ctx, err := a.callStarts(ctx), errPanicked
	defer func(began time.Time) { a.callEnds(ctx, began, err) }(a.endedAt)
	a.waiting.Context, a.waiting.closing = ctx, c.life.closing
	defer a.waiting.release()
	err = a.result(&a.waiting, a.run(ctx))
	return a, err
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
	url         *url.URL
	payload     []byte
	contentType string
}

// prepare is prepared.prepare for a flow. A flow would join a run that goes on while the client closes.
func (c *Client) prepare(ctx context.Context, op operation, opts []CallOption) (*prepared, error) {
	p := &prepared{}
	if err := p.prepare(ctx, c, op, opts); err != nil {
		return nil, err
	}
	if c.life.closing.Err() != nil {
		return nil, p.closed()
	}
	return p, nil
}

// prepare checks everything that can be checked before anything is sent.
func (p *prepared) prepare(ctx context.Context, c *Client, op operation, opts []CallOption) error {
	p.client, p.op, p.retry, p.limit = c, op, c.config.retry, cmp.Or(c.config.limit, op.limit, defaultLimit)
	if ctx == nil {
		return p.unsent(argumentError("the context is nil"))
	}
	for _, opt := range opts {
		if opt == nil {
			return p.unsent(argumentError("a call option is nil"))
		}
		if err := opt(&p.callOptions); err != nil {
			return p.unsent(err)
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
		err = p.encode()
	}
	if err != nil {
		return p.unsent(err)
	}
	return nil
}

// attempts are a call under way.
type attempts struct {
	*prepared
	own     prepared
	answer  interface{ decode(*wire.Scanner) error }
	waiting untilClosed // the context of all waits

	first   attempt
	loop    retryablehttp.Client
	request retryablehttp.Request
	sender  http.Client

	begun         int           // attempts
	history       []Attempt     // as hooks and Response see them, if there are any
	latest        *attempt      // the one that has begun
	next          *attempt      // the one that ready works on
	endedAt       time.Time     // when the latest ended, or the call began
	lastError     *Error        // what the latest failed with
	wait          time.Duration // before the next one
	refusedHeader http.Header   // has the refused token, which is not sent again
	promised      bool          // the server has asked for the wait
	unclear       bool          // some attempt may have been carried out
}

// attempt is one time that the request is sent, and the result.
type attempt struct {
	number   int // from 1
	began    time.Time
	header   http.Header // with the credential
	admitted time.Time
	groups   []limitGroup  // with its permits; nil if nothing was refused anywhere
	sending  *send.Sending // nil if net/http was not called
	held     error         // why it was not sent after it was held back at its connection

	status   int // 0: no answer
	head     http.Header
	location string // of a redirect
	unsized  bool   // the answer names no length
	let      int32  // groups for which the Limiter has let it out and was not told of it yet
	buffer   *wire.Buffer
	body     []byte // in the buffer
	stream   io.ReadCloser
	err      *Error // what is wrong with the answer, or why there is none
}

// run attempts the call until checkRetry says that it is done.
func (a *attempts) run(ctx context.Context) error {
	defer a.release() // others wait for the permits, even if a hook panics
	defer a.tellUnsent()
	req := http.Request{
		Method: a.op.method, URL: a.url, Host: a.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	a.request.Request = req.WithContext(ctx) // transport.Send adds the body
	if err := a.ready(a.request.Request); err != nil {
		return a.unsent(err)
	}
	a.request.SetResponseHandler(func(resp *http.Response) error { return a.receive(ctx, resp) })
	a.sender = a.client.sender(a)
	a.loop = retryablehttp.Client{
		HTTPClient:   &a.sender,
		RetryMax:     math.MaxInt32, // checkRetry counts
		CheckRetry:   a.checkRetry,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 }, // readyNext waits
		PrepareRetry: a.readyNext,
		ErrorHandler: func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err },
	}
	_, err := a.loop.Do(&a.request) //nolint:bodyclose // receive has closed it, or keeps it open as a stream
	return err
}

// ready asks the caller's Limiter, and gets permits of the limit groups and a credential.
func (a *attempts) ready(req *http.Request) error {
	if a.next.number > 0 {
		a.next = &attempt{}
	}
	a.next.number, req.Header = a.begun+1, http.Header{} // only http.Client writes into it: cookies
	err := a.askLimiter(&a.waiting, a.next)
	if err == nil {
		err = a.admitAndSign(&a.waiting, a.next)
	}
	return a.notReady(&a.waiting, err)
}

// readyNext waits, and makes another attempt ready. If that fails, the call ends with the last
// attempt's error, which tells more, or with that of a token exchange, which names the cause.
func (a *attempts) readyNext(req *http.Request) error {
	if a.wait > 0 {
		reason := WaitReasonBackoff
		if a.promised {
			reason = WaitReasonRetryAfter
		}
		a.waits(&a.waiting, a.begun+1, reason, a.wait)
	}
	err := endOf(&a.waiting, pace.Sleep(&a.waiting, a.wait))
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
func (a *attempts) admitAndSign(ctx context.Context, at *attempt) error {
	for {
		if err := a.admit(ctx, at); err != nil {
			return err
		}
		if err := a.sign(ctx, at); err != nil {
			return err
		}
		if a.allOpen(at.groups, at.admitted) {
			return nil
		}
		a.release()
	}
}

// RoundTrip sends an attempt, once. If the attempt is held back at its connection, it waits for its
// limit groups again and is still the same attempt.
func (a *attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, at := req.Context(), a.next
	at.began, a.latest = time.Now(), at
	a.started(ctx, at)
	var added http.Header
	rules := send.Rules{Body: a.payload, UserAgent: a.client.config.userAgent, Limit: a.timeout()}
	for {
		if cookies := req.Header["Cookie"]; cookies != nil { // http.Client has set them
			at.header["Cookie"] = cookies
		}
		added = a.addHeaders(ctx, at, added)
		rules.Header, rules.Gate = at.header, &gate{a, at.groups, at.admitted}
		if ctx.Err() != nil || a.waiting.Err() != nil { // net/http would not ask for a connection
			return nil, endOf(ctx, endOf(&a.waiting, nil))
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
		if at.held = a.readyAgain(ctx, at); at.held != nil {
			return nil, at.held
		}
	}
}

// gate lets one sending of an attempt out.
type gate struct {
	of       *attempts
	groups   []limitGroup
	admitted time.Time
}

func (g *gate) MayGo() bool  { return g.of.waiting.Err() == nil && g.of.allOpen(g.groups, g.admitted) }
func (g *gate) Commit() bool { return g.of.commitWrite() }

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
		at.reuse(a.response)
		return nil
	}
	return at.err
}

// reuse lets another call have the room of a good answer, unless the caller wants to see the answer.
func (at *attempt) reuse(wanted *Response) {
	if wanted == nil {
		at.buffer.Reuse()
		at.buffer, at.body = nil, nil
	}
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
		length := resp.ContentLength
		if zipped {
			length = -1
		}
		at.buffer, err = wire.ReadBody(body, length, limit)
		at.body = at.buffer.Bytes()
	}
	switch {
	case !ok: // the status decides, however much of the body arrived
		return a.refusal(at)
	case err != nil:
		return a.failure(ctx, at, err)
	}
	document := at.buffer.Document(a.limit)
	tellDrift := a.watchDrift(ctx, document, at.header)
	if err := a.answer.decode(document); err != nil {
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
	var refused []limitGroup
	switch {
	case at.status == 0: // without an answer the limits are not known
	case at.err != nil && at.err.closesGroup():
		refused = a.closeGroups(ctx, at, now)
	default: // any other answer: the request was within the limits
		a.accepted(at, now)
	}
	a.tellLimiter(at, refused, now)
	if at.err == nil {
		if !c.budget.Full() {
			c.budget.Refund(a.budgetKey(), now)
		}
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
	again := a.again(&a.waiting, at)
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
		e.Attempts = a.begun
	}
	if a.unclear {
		e.Outcome = OutcomeUnknown
	}
	a.report()
	return e
}
