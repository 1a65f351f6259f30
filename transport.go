package duolink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// What lies beneath an attempt: net/http, with its pool of connections. One attempt is one request
// on the wire. net/http by itself would send a request again: without an end if an HTTP/2 server
// resets the stream with PROTOCOL_ERROR, and once more if a kept connection has ended. A request
// may also wait for a connection for so long that its limit group is closed by then. So the client
// looks at each connection before a byte is written to it.

// transport is what each attempt goes through.
//
// retryablehttp closes all idle connections of its http.Client whenever it gives up; the pool is
// shared with other calls, so the method that it asks for stays hidden here.
type transport struct {
	next http.RoundTripper // nil is http.DefaultTransport, whatever that is at the time
	h2c  sync.Map          // the hosts with which it speaks HTTP/2 without TLS
}

var (
	errNoAnswer     = errors.New("the transport returned neither an answer nor an error")
	errSentAgain    = errors.New("net/http was about to send the request a second time")
	errGroupClosed  = errors.New("the limit group was closed while the request waited for a connection")
	errNobodyWaits  = fmt.Errorf("everybody who waited has given up: %w", context.Canceled)
	errAttemptEnded = fmt.Errorf("the attempt took too long: %w", context.DeadlineExceeded)
)

func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	t := tripOf(ctx)
	t.attemptStarts(ctx)
	t.status, t.head, t.body, t.location, t.verdict, t.sending = 0, nil, nil, "", nil, nil
	if req.Body != nil {
		_ = req.Body.Close() // each request that goes out has a body of its own
	}
	for {
		if err := ctx.Err(); err != nil { // net/http would not even ask for a connection
			return nil, err
		}
		t.sending = newSending(ctx, t, tr, req.URL.Host)
		resp, err := tr.send(t, req)
		if err == nil || !t.sending.held(err) {
			return resp, err
		}
		t.nothingWritten(NotSent)
		t.releasePermits()
		if err := t.readyAgain(req); err != nil {
			t.notReady = err
			return nil, err
		}
	}
}

// send puts the request on the wire, once.
func (tr *transport) send(t *trip, req *http.Request) (*http.Response, error) {
	s := t.sending
	if !s.plain && !t.mayWrite() { // of such a transport nobody knows when the first byte leaves
		s.note(func() { s.stop(errNobodyWaits) })
		s.end()
		return nil, errNobodyWaits
	}
	s.note(s.run) // until net/http tells more
	out := req.WithContext(httptrace.WithClientTrace(s.ctx, s.trace()))
	out.Body, out.GetBody = nil, nil // with GetBody, net/http would send the body again
	if t.payload != nil {
		out.Body = io.NopCloser(bytes.NewReader(t.payload))
	}
	answered := false
	defer func() {
		if !answered { // or the caller's transport has panicked
			s.end()
		}
	}()
	resp, err := tr.roundTripper().RoundTrip(out)
	switch {
	case err != nil && resp != nil && resp.Body != nil:
		_ = resp.Body.Close()
	case err == nil && resp == nil:
		err = errNoAnswer
	}
	if err != nil {
		return nil, err
	}
	answered = true
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	resp.Body = timedBody{resp.Body, s}
	if resp.StatusCode/100 == 3 { // kept from http.Client, which reads it, and fails where it cannot
		t.location = resp.Header.Get("Location")
		resp.Header.Del("Location")
	}
	return resp, nil
}

func (tr *transport) roundTripper() http.RoundTripper {
	if tr.next == nil {
		return http.DefaultTransport
	}
	return tr.next
}

// readyAgain readies a request anew that was held back. It keeps the cookies that http.Client has
// put there.
func (t *trip) readyAgain(req *http.Request) error {
	cookies := req.Header["Cookie"]
	if err := t.admitAndSign(req); err != nil {
		return err
	}
	if cookies != nil {
		req.Header["Cookie"] = cookies
	}
	return nil
}

// mayWrite asks the run that the call belongs to whether somebody still waits for what is sent now.
func (t *trip) mayWrite() bool { return t.write == nil || t.write.Commit() }

// nothingWritten tells that run that nothing has come of it.
func (t *trip) nothingWritten(outcome Outcome) {
	if t.write != nil {
		t.write.Uncommit(outcome == Rejected)
	}
}

// timedBody ends an attempt's time with its body.
type timedBody struct {
	io.ReadCloser
	of *sending
}

func (b timedBody) Close() error {
	defer b.of.end()
	return b.ReadCloser.Close()
}

// sending is one request on its way. net/http tells it how far it is, from several goroutines. Of a
// dial it tells also after the request has ended.
type sending struct {
	trip      *trip
	transport *transport
	host      string          // of the URL
	groups    []limitGroup    // as they were when the request went out
	ctx       context.Context //nolint:containedctx // it is this request's, and ends with it
	cancel    context.CancelCauseFunc
	limit     time.Duration // from the connection to the last byte of the answer, and for dialing
	plain     bool          // nothing stands between the client and net/http, which tells of all that it does
	queues    bool          // a request may wait for another one's connection

	mu        sync.Mutex
	timer     *time.Timer
	ended     bool
	asked     bool                  // net/http was asked for a connection
	dialed    bool                  // and made one, or found out that it cannot
	encrypts  bool                  // and began to encrypt it
	connected bool                  // and had one that the request may use: bytes may have left
	wrote     bool                  // the header, at least into a buffer
	foreign   bool                  // the header that is being written is another request's
	conn      httptrace.GotConnInfo // its connection, unless others may be on it
	stopped   error                 // why the client let the request go no further
	handshake error                 // what a TLS handshake failed with
}

func newSending(ctx context.Context, t *trip, tr *transport, host string) *sending {
	s := &sending{trip: t, transport: tr, host: host, groups: slices.Clone(t.groups), limit: t.timeout(), queues: true}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if base, ok := tr.roundTripper().(*http.Transport); ok {
		s.plain, s.queues = true, base.MaxConnsPerHost > 0
	}
	return s
}

func (s *sending) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:           s.getConn,
		DNSStart:          func(httptrace.DNSStartInfo) { s.note(s.run) },
		ConnectStart:      func(_, _ string) { s.note(s.run) },
		ConnectDone:       func(_, _ string, _ error) { s.note(func() { s.dialed = true }) },
		TLSHandshakeStart: func() { s.note(func() { s.encrypts = true; s.run() }) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { s.note(func() { s.handshake = err }) },
		GotConn:           s.gotConn,
		WroteHeaderField:  s.wroteField,
		WroteHeaders:      s.wroteHeaders,
	}
}

// wroteField is told of each header. A transport of the caller may ask for something else on the
// way, with the context of this request: a token, or a signature. That request has another
// User-Agent. A name that begins with a colon is one of HTTP/2, and of HTTP/3.
func (s *sending) wroteField(name string, values []string) {
	switch {
	case strings.EqualFold(name, "User-Agent"):
		s.note(func() { s.foreign = !slices.Equal(values, []string{s.trip.client.config.userAgent}) })
	case strings.HasPrefix(name, ":"):
		s.note(func() {
			if s.conn.Conn != nil { // nothing else tells of HTTP/2 without TLS
				s.transport.h2c.Store(s.host, true)
				s.conn.Conn = nil
			}
		})
	}
}

func (s *sending) note(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

// run begins the attempt's time, unless it runs. The mutex is held.
func (s *sending) run() {
	if s.timer == nil && !s.ended {
		s.timer = time.AfterFunc(s.limit, func() { s.cancel(errAttemptEnded) })
	}
}

// halt stops the attempt's time. The mutex is held.
func (s *sending) halt() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

func (s *sending) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.halt()
	s.cancel(nil)
}

// getConn is told that net/http looks for a connection. The time in the queue for a connection that
// others have is not the attempt's: the context bounds it. The time to make one has a bound of its
// own.
func (s *sending) getConn(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	if s.wrote { // it has lost the connection that it had, and would send the request again
		s.stop(errSentAgain)
	} else if s.queues {
		s.halt()
	}
}

// gotConn is told of a connection before anything is written to it.
func (s *sending) gotConn(info httptrace.GotConnInfo) {
	why := s.connect(s.trip.client.allOpen(s.groups))
	if s.transport.shared(info.Conn, s.host) {
		info.Conn = nil
	}
	s.note(func() { s.conn = info })
	if why != nil {
		s.turnBack(why, info)
	}
}

// wroteHeaders is told that the header is complete. Over HTTP/1, net/http tells it while the end of
// the header is still in its buffer, and the goroutine that writes may have waited for a core since
// gotConn. In a test with a thousand TLS handshakes at once, every fourth request was written after
// another one had been refused. HTTP/2 tells it afterwards, and of other transports nobody knows.
func (s *sending) wroteHeaders() {
	s.mu.Lock()
	conn, closed := s.conn, s.stopped != nil && s.conn.Conn != nil
	s.wrote, s.foreign = s.wrote || !s.foreign && !closed, false
	look := s.wrote && s.plain
	s.mu.Unlock()
	if look && conn.Conn != nil && !s.trip.client.allOpen(s.groups) {
		s.turnBack(errGroupClosed, conn)
	}
}

// turnBack ends the request at its connection. HTTP/2 looks at the context before it writes.
// HTTP/1 does not, so its connection is closed.
func (s *sending) turnBack(why error, conn httptrace.GotConnInfo) {
	if conn.Conn != nil && conn.Reused {
		// net/http gives a connection to the next request before the last one has its answer. If
		// the connection were closed at once, that answer would be lost: in a test it was, once or
		// twice in a thousand calls.
		time.Sleep(handover)
	}
	s.note(func() {
		if why == errGroupClosed {
			s.connected, s.wrote = false, false
		}
		s.stop(why)
	})
	if conn.Conn != nil {
		_ = conn.Conn.Close()
	}
}

// handover is what a connection that was in use is given before it is closed.
const handover = 10 * time.Millisecond

// connect takes a connection, or says why the request must not use it. A second one is fine if
// nothing was written to the first: HTTP/2 may find its connection full.
func (s *sending) connect(open bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped != nil:
		return s.stopped
	case s.ended: // a transport of the caller's has answered, and still goes on
		return errAttemptEnded
	case s.wrote:
		return errSentAgain
	case !open:
		return errGroupClosed
	case s.plain && !s.trip.mayWrite():
		return errNobodyWaits
	}
	s.connected = true
	s.halt()
	s.run() // its whole time begins here
	return nil
}

// shared reports that other requests may be on a connection: HTTP/2, or HTTP/3, which net/http does
// not speak, but a transport of the caller's may. Such a one may also show none at all.
func (tr *transport) shared(conn net.Conn, host string) bool {
	if conn == nil {
		return true
	}
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return c.ConnectionState().NegotiatedProtocol == "h2"
	}
	if _, udp := conn.LocalAddr().(*net.UDPAddr); udp {
		return true
	}
	_, known := tr.h2c.Load(host)
	return known
}

// stop lets the request go no further. The mutex is held.
func (s *sending) stop(why error) {
	if s.stopped == nil {
		s.stopped = why
		s.cancel(why)
	}
}

// held reports that the request was held back, and nothing of it has left.
func (s *sending) held(err error) bool {
	return context.Cause(s.ctx) == errGroupClosed && s.nothingLeft(err)
}

// cause is why the client itself ended the request, or the error that came of it.
func (s *sending) cause(err error) error {
	switch own := context.Cause(s.ctx); own {
	case errSentAgain, errGroupClosed, errNobodyWaits, errAttemptEnded:
		return own
	}
	return err
}

// nothingLeft reports that provably no byte of the request left. net/http tells when it has a
// connection. A transport of the caller may have gone another way and told nothing, so the error
// has to say it as well. A request that was stopped at its connection has an ended context from
// then on.
func (s *sending) nothingLeft(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.connected && !s.wrote && (s.stopped != nil || s.asked && (s.plain || isDialError(err)))
}

// isDialError reports that an error says of itself that there was no connection.
func isDialError(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect")
}

// incurable is a failure that no repetition cures. What it is, its type says.
type incurable struct {
	what string
	err  error
}

func (e *incurable) Error() string { return e.what }
func (e *incurable) Unwrap() error { return e.err }

func isIncurable(err error) bool {
	_, ok := errors.AsType[*incurable](err)
	return ok
}

// diagnose names what no repetition cures: a certificate, another protocol, a refusal on the way.
// Anything else it leaves alone.
func (s *sending) diagnose(err error) error {
	var (
		op      *net.OpError
		record  tls.RecordHeaderError
		what    string
		refused *tunnelError
	)
	switch {
	case isCertificateError(err):
		what = "certificate not trusted"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		what = "the server does not speak TLS"
	case errors.As(err, &op) && passingAlert(op):
		return err
	case errors.As(err, &op) && op.Op == "remote error":
		what = "the server refused the TLS connection: " + alertText(op.Err)
	case errors.As(err, &op) && op.Op == "local error":
		what = "the TLS connection was refused here: " + alertText(op.Err)
	case errors.As(err, &refused) || s != nil && s.tunnelRefused(err, &refused):
		if refused.status >= 500 { // the way behind the proxy may be free again
			return err
		}
		what = refused.Error()
	case s != nil && s.handshakeRefused():
		what = "the TLS handshake was refused here"
	default:
		return err
	}
	return &incurable{what, err}
}

// passingAlert reports that a TLS alert speaks of trouble that may be over the next time: a damaged
// record (20), or a server that has failed inside (80).
func passingAlert(op *net.OpError) bool {
	v := reflect.ValueOf(op.Err)
	return (op.Op == "remote error" || op.Op == "local error") && v.Kind() == reflect.Uint8 && (v.Uint() == 20 || v.Uint() == 80)
}

// alertText is what a TLS alert says, by its number. A text of somebody else's is not printed.
func alertText(err error) string {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Uint8 { // crypto/tls keeps its type to itself
		return tls.AlertError(uint8(v.Uint())).Error() //nolint:gosec // the kind says that it fits
	}
	return "a TLS alert"
}

func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}

// handshakeRefused reports that a TLS handshake failed for another reason than the network: a check
// of the caller, such as a pin, said no.
func (s *sending) handshakeRefused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var network net.Error
	return s.handshake != nil && !s.connected && !errors.As(s.handshake, &network) &&
		!errors.Is(s.handshake, io.EOF) && !errors.Is(s.handshake, io.ErrUnexpectedEOF) &&
		!errors.Is(s.handshake, net.ErrClosed) && !errors.Is(s.handshake, context.Canceled)
}

// tunnelError is a proxy's refusal to let the client through.
type tunnelError struct{ status int }

func (e *tunnelError) Error() string {
	return fmt.Sprintf("the proxy refused the tunnel: %d %s", e.status, http.StatusText(e.status))
}

// tunnelRefused finds the refusal of a proxy in a transport of the caller. net/http says it with
// the text of the status alone, after it has reached the proxy and before it encrypts.
func (s *sending) tunnelRefused(err error, refused **tunnelError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dialed || s.encrypts || s.connected {
		return false
	}
	for status := 300; status < 600; status++ {
		if text := http.StatusText(status); text != "" && transportCause(err).Error() == text {
			*refused = &tunnelError{status}
			return true
		}
	}
	return false
}

// refuseTunnel makes a typed error of a proxy's refusal.
func refuseTunnel(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &tunnelError{answer.StatusCode}
}
