package duolink

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/redact"
	"github.com/duolink/duolink/internal/wire"
)

// receive is given each answer inside the retry loop, so that one which breaks off is a failed attempt like any other. It
// leaves the body closed, except for a stream.
func (t *trip) receive(ctx context.Context, resp *http.Response) error {
	t.status, t.head, t.unsized = resp.StatusCode, resp.Header, resp.ContentLength < 0
	if t.location != "" {
		t.head.Set("Location", t.location)
	}
	kept := false
	defer func() {
		if !kept { // the body, or a hook, has panicked
			_ = resp.Body.Close()
		}
	}()
	e := t.judge(resp)
	if t.stream == nil {
		kept = true
		_ = resp.Body.Close()
		resp.Body = http.NoBody // retryablehttp would close it again
	}
	t.verdict = e
	t.settle(ctx, e)
	kept = true
	if e == nil {
		return nil
	}
	return e
}

// judge reads an answer and says what is wrong with it.
func (t *trip) judge(resp *http.Response) *Error {
	ok, limit := resp.StatusCode/100 == 2, t.limit
	if !ok {
		limit = min(limit, errorLimit)
	}
	body, err := decompressed(resp)
	if err == nil && ok && t.op.stream {
		t.stream = body
		return nil
	}
	if err == nil {
		t.body, err = readBounded(body, limit)
	}
	switch {
	case !ok: // the status speaks, however much of the body arrived
		return t.refusal(t.status, t.body)
	case err != nil:
		return t.failure(err)
	}
	if err := t.decode(wire.Document(t.body, t.limit)); err != nil {
		return t.unreadable(err)
	}
	return nil
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

// readBounded reads a body up to a limit, and says so when there is more. Each buffer is four times the one before and the
// last is the limit, so that all of them together are a third more than that: io.ReadAll asks for more than twice as much.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	size := limit
	for size > 16<<10 {
		size = size/4 + 1
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, err
		case len(body) < cap(body):
			continue
		case int64(len(body)) == limit:
			return body, nothingMore(r)
		}
		body = append(make([]byte, 0, min(limit, 4*int64(cap(body)))), body...)
	}
}

// nothingMore returns nil at the end of a body.
func nothingMore(r io.Reader) error {
	_, err := io.ReadFull(r, make([]byte, 1))
	switch err {
	case nil:
		return ErrResponseTooLarge
	case io.EOF:
		return nil
	}
	return err
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
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || isCorrupt(err) {
		return t.malformed(ErrMalformedResponse, "the body is not the gzip that its header announces")
	}
	if errors.Is(err, ErrResponseTooLarge) {
		return t.malformed(ErrResponseTooLarge, "there is more of it than the client reads")
	}
	cause := t.causeOf(err)
	e := t.error(nil)
	e.cause, e.Message, e.StatusCode = &cause, transportText(cause), t.status
	e.RetryAfter = retryAfter(t.head, time.Now())
	e.Outcome = Unknown
	switch {
	case t.sending == nil || t.sending.nothingLeft(err):
		e.Outcome = NotSent
	case t.status != 0 && e.Message == connectionFailed:
		e.Message = "the answer broke off"
	}
	return e
}

// causeOf is what an attempt failed of, without the URL that net/http writes into it.
func (t *trip) causeOf(err error) error {
	if t.sending == nil {
		return transportCause(err)
	}
	return t.sending.diagnose(transportCause(t.sending.cause(err)))
}

func isCorrupt(err error) bool {
	_, ok := errors.AsType[flate.CorruptInputError](err)
	return ok
}

// refusal is an answer in which the server says no.
func (t *trip) refusal(status int, body []byte) *Error {
	e := t.error(nil)
	e.StatusCode, e.Outcome = status, Rejected
	if status >= 500 || status < 400 { // an error in a 2xx, or a redirect, may follow a write that is done
		e.Outcome = Unknown
	}
	e.RequestID = t.statedRequestID()
	if status >= 300 && status < 400 { // whatever its body says, it is no answer of the API
		e.kind, e.Message = ErrMalformedResponse, "redirects are never followed; this one leads to "+redirectHost(t.location)
	} else {
		e.describe(body[:min(len(body), errorLimit)])
		e.kind = kindOf(status, e)
	}
	e.RetryAfter = retryAfter(t.head, time.Now())
	e.scrub(t.confidential())
	return e
}

// unreadable is a 2xx whose body is not what was asked for.
func (t *trip) unreadable(err error) *Error {
	switch {
	case t.unsized && (wire.BrokenOff(err) || len(bytes.TrimSpace(t.body)) == 0):
		return t.failure(io.ErrUnexpectedEOF) // where the connection's end is the answer's, nothing else tells
	case errors.Is(err, wire.ErrTooLarge):
		return t.failure(ErrResponseTooLarge)
	case errors.Is(err, wire.ErrErrorMember):
		return t.refusal(t.status, t.body)
	case errors.Is(err, wire.ErrNoData):
		return t.malformed(ErrMalformedResponse, wire.ErrNoData.Error())
	case errors.Is(err, wire.ErrNoObject):
		return t.malformed(ErrMalformedResponse, wire.ErrNoObject.Error())
	default:
		return t.malformed(ErrMalformedResponse, "the body is not the JSON that was asked for")
	}
}

// end closes the books on a call that failed.
func (t *trip) end(e *Error) error {
	if e.Operation == t.op.name {
		e.Attempts = len(t.attempts)
	}
	if t.unclear {
		e.Outcome = Unknown
	}
	t.report()
	return e
}

// malformed is an answer that cannot be used. Whether a write was carried out is unknown then.
func (t *trip) malformed(kind error, message string) *Error {
	e := t.error(kind)
	e.StatusCode, e.Outcome, e.Message, e.RequestID = t.status, Unknown, message, t.statedRequestID()
	e.RetryAfter = retryAfter(t.head, time.Now())
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

// confidential takes what the caller sent, and no error may quote, out of a server's words. It costs something: only what
// is shown to somebody is worth it.
func (t *trip) confidential() *redact.Redactor {
	private := append(slices.Concat(t.op.args, t.op.private), basePath(t.client.config.base[t.op.api].reveal()))
	for _, values := range t.extra {
		private = append(private, values...)
	}
	secrets := slices.Clone(t.op.secrets)
	if c := t.client.auth[t.op.api.vendor()]; c != nil { // also those that another API of the vendor takes
		secrets = append(secrets, c.secrets()...)
	}
	if t.auth != nil { // a call's own, which a flow never puts into a header
		secrets = append(secrets, t.auth.secrets()...)
	}
	for _, name := range credentialHeaders {
		secrets = append(secrets, strings.TrimPrefix(t.header.Get(name), "Bearer "))
	}
	return redact.New(secrets, private)
}

// basePath is what a base URL has in front of the API's own paths. The layer's default is MoneyKit's with a word behind it.
func basePath(base string) string {
	_, rest, _ := strings.Cut(base, "://")
	_, path, _ := strings.Cut(strings.TrimSuffix(rest, plaidPath), "/")
	return path
}

func redirectHost(location string) string {
	u, err := url.Parse(location)
	switch {
	case err != nil || location == "" || u.Scheme != "" && u.Hostname() == "":
		return "nowhere that can be read"
	case u.Host == "":
		return "the same host"
	}
	return brief(u.Host)
}

// requestID is what the vendor's support asks for, unless it quotes a secret.
func (t *trip) requestID() string {
	e := Error{RequestID: t.statedRequestID()}
	if e.RequestID != "" {
		e.scrub(t.confidential())
	}
	return e.RequestID
}

// statedRequestID is the body's, else the header's. It may quote a secret.
func (t *trip) statedRequestID() string {
	return cmp.Or(identifier(bodyRequestID(t.body)), identifier(t.head.Get("X-Request-Id")))
}

// report fills in the caller's Response.
func (t *trip) report() {
	if t.response == nil {
		return
	}
	head, body := t.head.Clone(), t.body
	*t.response = Response{
		Status: t.status, RequestID: t.requestID(), Attempts: slices.Clone(t.attempts),
		RateLimit: rateLimit(t.head, time.Now()), header: func() http.Header { return head }, body: func() []byte { return body },
	}
}
