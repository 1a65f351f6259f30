package duolink

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-faster/jx"
	"github.com/google/go-querystring/query"
	"github.com/hashicorp/go-retryablehttp"
)

// The way of a call: a service method says what it wants (an operation), call tells the story, send puts it
// on the wire, retryablehttp tries and waits under the rules in ratelimit.go.

// operation is what one call wants. It rides in the context, so that the retry policy, which sees no
// request after a transport error, and the errors know it too.
type operation struct {
	api    API
	name   string // "links.get": for errors and logs
	method string
	route  string // "/ds/login/link/{link_id}": a constant, safe to print
	repeat repeat
	limit  int64 // bytes of answer that are read; 0 means defaultLimit
	stream bool  // the answer is read as it arrives, by the caller

	args    []string   // for the route's placeholders, in order
	query   any        // a struct with url tags
	body    any        // sent as JSON
	form    url.Values // sent as a form
	private []string   // what errors must not quote, besides args and credentials
	invalid error      // what is wrong with the arguments; nothing is sent then
}

// on names the resource that the operation is about.
func (op operation) on(id string) operation {
	op.args = []string{id}
	return op
}

const (
	defaultLimit = 8 << 20
	errorLimit   = 1 << 20
)

// call sends an operation and reads its answer.
func call[T any](ctx context.Context, c *Client, op operation, answer func(*jx.Decoder) (T, error), opts []CallOption) (T, error) {
	var none T
	t, err := c.send(ctx, op, opts)
	if err != nil {
		return none, err
	}
	v, err := read(t.body, answer)
	if err != nil {
		return none, t.end(t.unreadable(err))
	}
	return v, nil
}

// stream sends an operation and yields its answer item by item, as it arrives. Leaving the loop closes the
// connection; an error is yielded once, last.
func stream[T any](ctx context.Context, c *Client, op operation, each func(*jx.Decoder, func(T) error) error, opts []CallOption) iter.Seq2[T, error] {
	op.stream = true
	return func(yield func(T, error) bool) {
		var none T
		t, err := c.send(ctx, op, opts)
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = t.open.Close() }()
		m := newMeter(t.open, t.limit)
		err = each(jx.Decode(m, 64<<10), func(v T) error {
			m.left = m.limit
			if !yield(v, nil) {
				return errLeft
			}
			return nil
		})
		if err == nil || errors.Is(err, errLeft) {
			return
		}
		t.body = m.head
		if m.err != nil {
			yield(none, t.end(t.failure(m.err)))
			return
		}
		yield(none, t.end(t.unreadable(err)))
	}
}

// errLeft ends the reading of a stream that nobody listens to any more.
var errLeft = errors.New("the loop was left")

// send builds the request, sends it until the retry rules are satisfied, and returns the trip with its answer.
func (c *Client) send(ctx context.Context, op operation, opts []CallOption) (*trip, error) {
	t, err := c.prepare(op, opts)
	if err != nil {
		return nil, t.blame(err)
	}
	req, err := t.request(ctx)
	if err != nil {
		return nil, t.blame(err)
	}
	req.SetResponseHandler(t.receive)
	_, err = c.retry.Do(req) //nolint:bodyclose // receive has read and closed it, or keeps it open as t.open
	return t, t.finish(ctx, err)
}

// trip is one call under way: what it wants, what its options say, and what has come of it so far.
type trip struct {
	client *Client
	op     operation
	callOptions
	auth    authorizer
	retry   Retry
	limit   int64
	url     string
	payload []byte
	content string // Content-Type of the payload
	header  http.Header

	attempts int
	wait     time.Duration // before the next attempt
	sent     atomic.Bool   // a connection was there for the latest attempt, so bytes may have left
	last     *Error        // what the latest attempt failed with

	status int
	head   http.Header
	body   []byte
	open   io.ReadCloser // the body of a stream
}

type tripKey struct{}

func tripOf(ctx context.Context) *trip {
	t, _ := ctx.Value(tripKey{}).(*trip)
	return t
}

// prepare checks everything that can be wrong before anything is sent.
func (c *Client) prepare(op operation, opts []CallOption) (*trip, error) {
	t := &trip{client: c, op: op, retry: c.config.retry, limit: cmp.Or(c.config.limit, op.limit, defaultLimit)}
	for _, opt := range opts {
		if opt == nil {
			return t, argumentError("a call option is nil")
		}
		if err := opt(&t.callOptions); err != nil {
			return t, err
		}
	}
	if op.invalid != nil {
		return t, op.invalid
	}
	if t.maxWait != nil {
		t.retry.MaxWait = *t.maxWait
	}
	if t.once {
		t.retry.MaxAttempts = 1
	}
	t.auth = c.auth[op.api.vendor()]
	if t.token != nil {
		t.auth = *t.token
	}
	if t.auth == nil {
		return t, &Error{kind: ErrNotConfigured, Outcome: NotSent, Message: "the client has no credential for this API"}
	}
	return t, t.encode()
}

// encode turns the operation's arguments into a URL and a payload.
func (t *trip) encode() error {
	path, err := t.op.path()
	if err != nil {
		return err
	}
	t.url = t.client.config.base[t.op.api] + path
	if t.op.query != nil {
		values, err := query.Values(t.op.query)
		if err != nil {
			return argumentError("the query cannot be encoded")
		}
		// Servers disagree on whether a plus sign is a space; %20 is one for all of them.
		if q := strings.ReplaceAll(values.Encode(), "+", "%20"); q != "" {
			t.url += "?" + q
		}
	}
	switch {
	case t.op.form != nil:
		t.payload, t.content = []byte(t.op.form.Encode()), "application/x-www-form-urlencoded"
	case t.op.body != nil:
		t.payload, err = compactJSON(t.op.body)
		t.content = "application/json"
	}
	return err
}

// path fills the route's placeholders with the arguments.
func (op operation) path() (string, error) {
	segments := strings.Split(op.route, "/")
	args := op.args
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		if err := op.api.checkID(strings.Trim(s, "{}"), args[0]); err != nil {
			return "", err
		}
		segments[i] = url.PathEscape(args[0])
		args = args[1:]
	}
	return strings.Join(segments, "/"), nil
}

// checkID refuses an id that is none before it becomes a part of a URL. Supermetrics documents its alphabet and
// length; MoneyKit's ids are opaque, so there it is whatever stands in a URL as itself.
func (a API) checkID(name, id string) error {
	most, extra := 128, "-_.~"
	if a == Supermetrics {
		most, extra = 50, "-_"
	}
	switch {
	case id == "":
		return argumentError("%s is empty", name)
	case len(id) > most:
		return argumentError("%s is longer than %d characters", name, most)
	case id == "." || id == "..":
		return argumentError("%s is a path, not an id", name)
	}
	for _, r := range []byte(id) {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(extra, rune(r)) {
			return argumentError("%s has a character that no id has", name)
		}
	}
	return nil
}

// compactJSON encodes without HTML escapes and without the newline that an Encoder adds.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, argumentError("the body cannot be encoded")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// jsonParam is a query parameter that holds JSON.
type jsonParam struct{ value any }

// EncodeValues implements go-querystring's Encoder.
func (p jsonParam) EncodeValues(key string, v *url.Values) error {
	b, err := compactJSON(p.value)
	v.Set(key, string(b))
	return err
}

// request builds the request; the first one of the trip, for a repetition reuses it.
func (t *trip) request(ctx context.Context) (*retryablehttp.Request, error) {
	var payload any
	if t.payload != nil {
		payload = t.payload
	}
	req, err := retryablehttp.NewRequestWithContext(context.WithValue(ctx, tripKey{}, t), t.op.method, t.url, payload)
	if err != nil {
		return nil, argumentError("the request cannot be built")
	}
	return req, t.sign(req.Request)
}

// sign sets the headers of an attempt, credentials last. A map of its own: the previous attempt's may still
// be in use by the connection that writes it.
func (t *trip) sign(req *http.Request) error {
	h := http.Header{}
	for name, values := range t.extra {
		h[name] = slices.Clone(values)
	}
	h.Set("Accept", "application/json")
	h.Set("User-Agent", t.client.config.userAgent)
	if t.content != "" {
		h.Set("Content-Type", t.content)
	}
	switch t.op.api {
	case MoneyKit:
		h.Set("MoneyKit-Version", moneyKitVersion)
	case PlaidCompatible:
		h.Set("Plaid-Version", plaidVersion)
	}
	err := t.auth.authorize(req.Context(), t.op.api, h)
	req.Header, t.header = h, h
	return err
}

// receive judges an answer inside the retry loop, so that one which breaks off is a failed attempt like any
// other. It leaves the body closed, except for a stream.
func (t *trip) receive(resp *http.Response) error {
	t.status, t.head = resp.StatusCode, resp.Header
	ok, limit := resp.StatusCode/100 == 2, t.limit
	if !ok {
		limit = errorLimit
	}
	body, err := decompressed(resp)
	if err == nil && ok && t.op.stream {
		t.open = body
		return nil
	}
	if err == nil {
		t.body, err = readBounded(body, limit)
	}
	switch {
	case !ok: // the status speaks, however much of the body arrived
		return t.closing(resp, t.refusal(t.status, t.body))
	case err != nil:
		return t.closing(resp, t.failure(err))
	}
	return t.closing(resp, nil)
}

// closing closes the body once and for all, whatever retryablehttp does with the response afterwards.
func (t *trip) closing(resp *http.Response, e *Error) error {
	_ = resp.Body.Close()
	resp.Body = http.NoBody
	if e == nil {
		return nil
	}
	return e
}

// decompressed undoes a gzip that the transport did not ask for, and so did not undo.
func decompressed(resp *http.Response) (io.ReadCloser, error) {
	if resp.Uncompressed || !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return resp.Body, nil
	}
	var content io.Reader = http.NoBody
	z, err := gzip.NewReader(resp.Body)
	switch {
	case err == nil:
		content = z
	case err != io.EOF: // at once, it is no content, and so nothing that is compressed
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{content, resp.Body}, nil
}

// readBounded reads a body up to a limit, and says so when there is more.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(body)) > limit {
		return body[:limit], ErrResponseTooLarge
	}
	return body, err
}

// meter bounds how much of a stream is read between two items: memory depends on the largest item alone. It keeps the
// beginning of the answer, in case that it is an error, and the connection's own error, which the JSON reader's would hide.
type meter struct {
	r           io.Reader
	left, limit int64
	head        []byte
	err         error
}

const meterHead = 64 << 10

func newMeter(r io.Reader, limit int64) *meter {
	b := bufio.NewReaderSize(r, meterHead)
	if mark, _ := b.Peek(len(byteOrderMark)); bytes.Equal(mark, byteOrderMark) {
		_, _ = b.Discard(len(byteOrderMark))
	}
	return &meter{r: b, left: limit, limit: limit}
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		m.err = ErrResponseTooLarge
		return 0, m.err
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.head = append(m.head, p[:min(n, meterHead-len(m.head))]...)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

// finish turns what retryablehttp returned into the call's result.
func (t *trip) finish(ctx context.Context, err error) error {
	if err == nil {
		t.report()
		return nil
	}
	e, judged := errors.AsType[*Error](err)
	if !judged { // the context ended between two attempts: say both, that and why there was to be another
		if e = t.last; e == nil {
			e = t.failure(err)
		}
		e.because(cmp.Or(ctx.Err(), err))
	}
	return t.end(e)
}

// failure is an attempt that the connection did not survive, or that had to be cut short.
func (t *trip) failure(err error) *Error {
	if errors.Is(err, ErrResponseTooLarge) {
		return t.malformed(ErrResponseTooLarge, "there is more of it than the client reads")
	}
	cause := transportCause(err)
	e := t.error(nil)
	e.cause, e.Message, e.StatusCode = cause, transportText(cause), t.status
	e.Outcome = Unknown
	if !t.sent.Load() {
		e.Outcome = NotSent
	}
	return e
}

// refusal is an answer in which the server says no.
func (t *trip) refusal(status int, body []byte) *Error {
	e := t.error(nil)
	e.StatusCode, e.Outcome = status, Rejected
	if status >= 500 {
		e.Outcome = Unknown
	}
	e.describe(body)
	e.kind = kindOf(status, e)
	e.RetryAfter = retryAfter(t.head, time.Now())
	e.RequestID = t.requestID()
	if status >= 300 && status < 400 {
		e.Code, e.Message = "", "redirects are never followed; this one leads to "+redirectHost(t.head.Get("Location"))
	}
	e.scrub(t.confidential())
	return e
}

// unreadable is a 2xx whose body is not what was asked for.
func (t *trip) unreadable(err error) *Error {
	switch {
	case errors.Is(err, errErrorMember):
		return t.refusal(t.status, t.body)
	case errors.Is(err, errNoData):
		return t.malformed(ErrMalformedResponse, errNoData.Error())
	default:
		return t.malformed(ErrMalformedResponse, "the body is not the JSON that was asked for")
	}
}

// end closes the books on a call that failed after its answer began to arrive.
func (t *trip) end(e *Error) error {
	e.Attempts = t.attempts
	t.report()
	return e
}

// malformed is an answer that cannot be used. Whether a write was carried out is unknown then.
func (t *trip) malformed(kind error, message string) *Error {
	e := t.error(kind)
	e.StatusCode, e.Outcome, e.Message, e.RequestID = t.status, Unknown, message, t.requestID()
	e.scrub(t.confidential())
	return e
}

func (t *trip) error(kind error) *Error {
	return &Error{API: t.op.api, Operation: t.op.name, kind: kind}
}

// blame puts the operation's name on an error that arose before anything was sent.
func (t *trip) blame(err error) error {
	t.report()
	return named(err, t.op.api, t.op.name)
}

// confidential is what the caller sent and no error may quote.
func (t *trip) confidential() []string {
	all := slices.Concat(t.op.args, t.op.private)
	if c := t.client.auth[t.op.api.vendor()]; c != nil { // also those that another API of the vendor takes
		all = append(all, c.secrets()...)
	}
	for _, name := range credentialHeaders {
		all = append(all, strings.TrimPrefix(t.header.Get(name), "Bearer "))
	}
	for _, values := range t.extra {
		all = append(all, values...)
	}
	return all
}

func redirectHost(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return "the same host"
	}
	return brief(u.Host)
}

// requestID is what the vendor's support asks for: the body's, else the header's.
func (t *trip) requestID() string {
	return cmp.Or(identifier(bodyRequestID(t.body)), identifier(t.head.Get("X-Request-Id")))
}

// report fills in the caller's Response.
func (t *trip) report() {
	if t.response == nil {
		return
	}
	*t.response = Response{
		Status: t.status, Header: t.head.Clone(), RequestID: t.requestID(), Attempts: t.attempts,
		RateLimit: rateLimit(t.head), body: &t.body,
	}
}

// transport is what each attempt goes through: it notes whether bytes may have left.
//
// retryablehttp closes all idle connections of its http.Client whenever it gives up; the pool is shared with
// other calls, so the method that it asks for stays hidden here.
type transport struct{ next http.RoundTripper }

func (tr transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t := tripOf(req.Context())
	t.attempts++
	t.sent.Store(false)
	t.status, t.head, t.body = 0, nil, nil
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { t.sent.Store(true) }}
	return tr.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}

// retryClient is go-retryablehttp with its defaults replaced: no log, no repetition or wait but by our own
// rules, and the last error, not a summary, at the end.
func retryClient(httpClient *http.Client) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: httpClient,
		RetryMax:   1 << 30, // trip.next counts
		CheckRetry: func(ctx context.Context, _ *http.Response, err error) (bool, error) {
			if err == nil { // not judged yet, or good
				return false, nil
			}
			t := tripOf(ctx)
			e, judged := errors.AsType[*Error](err)
			if !judged {
				e = t.failure(err)
			}
			t.last = e
			var again bool
			t.wait, again = t.next(ctx, e)
			return again, e
		},
		// Backoff has no context; the wait is in PrepareRetry.
		Backoff: func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 },
		PrepareRetry: func(req *http.Request) error {
			t := tripOf(req.Context())
			if err := sleep(req.Context(), t.wait); err != nil {
				return err
			}
			if err := t.sign(req); err != nil {
				return t.blame(err)
			}
			return nil
		},
		ErrorHandler: func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err },
	}
}
