package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"
)

// The reasons for which this package ends a request. None of them is the end of the caller's
// context.
var (
	ErrNoAnswer     = errors.New("the transport returned neither an answer nor an error")
	ErrSentAgain    = errors.New("net/http was about to send the request a second time")
	ErrNotNow       = errors.New("the request must not go out now")
	ErrNobodyWaits  = fmt.Errorf("everybody who waited has given up: %w", context.Canceled)
	ErrAttemptEnded = errors.New("the attempt took too long")
)

// Transport sends requests through another transport. Make it once, because it remembers which
// hosts speak HTTP/2 without TLS.
type Transport struct {
	Next http.RoundTripper // nil is http.DefaultTransport, as it is at the time
	Own  bool              // Next is a DefaultTransport that nobody has changed

	h2c sync.Map
}

// Rules say how one request is sent.
type Rules struct {
	Header    http.Header // all headers of the request
	Body      []byte
	UserAgent string        // a request that a transport sends for itself has another one
	Limit     time.Duration // from the connection to the end of the answer; the same again for dialing
	Gate      Gate
}

// Gate lets a request out. Its methods are called on any goroutine, maybe after the request has ended.
type Gate interface {
	// MayGo is called at the connection and, over HTTP/1, at the first byte. If it returns false,
	// the request is held back, and may be sent later.
	MayGo() bool
	// Commit is called last, before the first byte can leave. If it returns true, the request
	// counts as sent. It returns false if nobody waits for the request any more.
	Commit() bool
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() {
	if next, ok := t.Next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// Send sends a request. It always returns a Sending, which tells how far the request got.
func (t *Transport) Send(req *http.Request, rules Rules) (*Sending, *http.Response, error) {
	s := &Sending{rules: rules, transport: t, host: req.URL.Host, encrypted: req.URL.Scheme == "https", queues: true}
	s.ctx, s.cancel = context.WithCancelCause(req.Context())
	next := t.Next
	if next == nil {
		next = http.DefaultTransport
	}
	if base, ok := next.(*http.Transport); ok {
		s.plain, s.queues = true, base.MaxConnsPerHost > 0
	}
	resp, err := s.send(next, req)
	return s, resp, err
}

func (s *Sending) send(next http.RoundTripper, req *http.Request) (*http.Response, error) {
	if !s.plain && !s.rules.Gate.Commit() { // nobody knows when such a transport sends the first byte
		s.note(func() { s.stop(ErrNobodyWaits) })
		s.end()
		return nil, ErrNobodyWaits
	}
	s.note(s.run) // until a trace function knows more
	out := req.WithContext(httptrace.WithClientTrace(s.ctx, s.trace()))
	out.Header = s.rules.Header
	if s.rules.Body != nil { // there is no GetBody, because net/http would send the body again
		s.body.Reset(s.rules.Body)
		// For a type that net/http does not know, it would write the header and the body one by one.
		out.Body, out.ContentLength = io.NopCloser(&s.body), int64(len(s.rules.Body))
	}
	answered := false
	defer func() {
		if !answered { // the caller's transport may have panicked
			s.end()
		}
	}()
	resp, err := next.RoundTrip(out)
	switch {
	case err != nil && resp != nil && resp.Body != nil:
		_ = resp.Body.Close()
	case err == nil && resp == nil:
		err = ErrNoAnswer
	}
	if err != nil {
		return nil, err
	}
	answered = true
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	s.answer = resp.Body
	resp.Body = (*timedBody)(s)
	return resp, nil
}

// timedBody is the body of an answer. It ends an attempt's time with it.
type timedBody Sending

func (b *timedBody) Read(p []byte) (int, error) { return b.answer.Read(p) }

func (b *timedBody) Close() error {
	defer (*Sending)(b).end()
	return b.answer.Close()
}

// Sending is one request on its way. net/http calls its trace functions from several goroutines.
// For a dial it calls them even after the request has ended.
type Sending struct {
	rules     Rules
	transport *Transport
	host      string          // of the URL
	ctx       context.Context //nolint:containedctx // it is this request's, and ends with it
	cancel    context.CancelCauseFunc
	plain     bool // the transport is net/http's own, which calls all trace functions
	queues    bool // a request may wait for the connection of another
	encrypted bool // the URL is https
	tracer    httptrace.ClientTrace
	body      bytes.Reader
	answer    io.ReadCloser

	mu        sync.Mutex
	timer     *time.Timer
	running   bool                  // the timer
	ended     bool                  // the answer was read, or there is none
	asked     bool                  // net/http was asked for a connection
	dialed    bool                  // net/http made a connection, or could not
	encrypts  bool                  // net/http began to encrypt it
	connected bool                  // the request has a connection, so bytes may have left
	wrote     bool                  // the header was written, at least into a buffer
	foreign   bool                  // another request's header is being written
	conn      httptrace.GotConnInfo // its connection, unless other requests may be on it
	stopped   error                 // why the request goes no further
	handshake error                 // the error of a TLS handshake
}

// trace returns the functions that net/http calls. Each costs an allocation in each attempt. Most of
// them have nothing to tell if the transport is our own: it sends no requests of its own, queues none,
// speaks HTTP/2 only with TLS, and names a proxy's refusal.
func (s *Sending) trace() *httptrace.ClientTrace {
	t := &s.tracer
	t.GetConn, t.GotConn, t.WroteHeaders = s.getConn, s.gotConn, s.wroteHeaders
	if s.encrypted {
		t.TLSHandshakeDone = func(_ tls.ConnectionState, err error) { s.note(func() { s.handshake = err }) }
	}
	if !s.transport.Own {
		t.DNSStart = func(httptrace.DNSStartInfo) { s.note(s.run) }
		t.ConnectStart = func(_, _ string) { s.note(s.run) }
		t.ConnectDone = func(_, _ string, _ error) { s.note(func() { s.dialed = true }) }
		t.TLSHandshakeStart = func() { s.note(func() { s.encrypts = true; s.run() }) }
		t.WroteHeaderField = s.wroteField
	}
	return t
}

func (s *Sending) note(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

// run starts the attempt's timer, unless it runs. The mutex is held.
func (s *Sending) run() {
	switch {
	case s.ended || s.running:
	case s.timer == nil:
		s.timer = time.AfterFunc(s.rules.Limit, func() { s.cancel(ErrAttemptEnded) })
	default:
		s.timer.Reset(s.rules.Limit)
	}
	s.running = !s.ended
}

// halt stops the attempt's timer. The mutex is held.
func (s *Sending) halt() {
	if s.running {
		s.timer.Stop()
		s.running = false
	}
}

func (s *Sending) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.halt()
	s.cancel(nil)
}

// getConn is called when net/http looks for a connection. The attempt's time does not include the
// queue for a connection that others use: the context bounds that. Dialing has a bound of its own.
func (s *Sending) getConn(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	if s.wrote { // it has lost a connection, and would send the request again
		s.stop(ErrSentAgain)
	} else if s.queues {
		s.halt()
	}
}

// gotConn is called with a connection before anything is written to it.
func (s *Sending) gotConn(info httptrace.GotConnInfo) {
	why := s.connect(s.rules.Gate.MayGo())
	if s.transport.shared(info.Conn, s.host) {
		info.Conn = nil
	}
	s.note(func() { s.conn = info })
	if why != nil {
		s.turnBack(why, info)
	}
}

// connect takes a connection, or returns why the request must not use it. A second connection is
// fine if nothing was written to the first: an HTTP/2 connection may be full.
func (s *Sending) connect(mayGo bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped != nil:
		return s.stopped
	case s.ended: // the caller's transport has answered, and still goes on
		return ErrAttemptEnded
	case s.wrote:
		return ErrSentAgain
	case !mayGo:
		return ErrNotNow
	case s.plain && !s.rules.Gate.Commit():
		return ErrNobodyWaits
	}
	s.connected = true
	s.halt()
	s.run() // the attempt's time begins here
	return nil
}

// wroteField is called with each header. A caller's transport may send another request with the
// same context, for a token or a signature. That request has another User-Agent. Only HTTP/2 and
// HTTP/3 have names that begin with a colon.
func (s *Sending) wroteField(name string, values []string) {
	switch {
	case strings.EqualFold(name, "User-Agent"):
		s.note(func() { s.foreign = !slices.Equal(values, []string{s.rules.UserAgent}) })
	case strings.HasPrefix(name, ":"):
		s.note(func() {
			if s.conn.Conn != nil { // nothing else shows HTTP/2 without TLS
				s.transport.h2c.Store(s.host, true)
				s.conn.Conn = nil
			}
		})
	}
}

// wroteHeaders is called when the header is complete. Over HTTP/1 the end of the header is still in
// a buffer then, and the writing goroutine may have waited for a core since gotConn. In a test with
// a thousand TLS handshakes at once, every fourth request was written after another request had
// been refused. HTTP/2 calls it after the header has left. For other transports the order is not
// known.
func (s *Sending) wroteHeaders() {
	s.mu.Lock()
	conn, closed := s.conn, s.stopped != nil && s.conn.Conn != nil
	s.wrote, s.foreign = s.wrote || !s.foreign && !closed, false
	look := s.wrote && s.plain
	s.mu.Unlock()
	if look && conn.Conn != nil && !s.rules.Gate.MayGo() {
		s.turnBack(ErrNotNow, conn)
	}
}

// turnBack ends the request at its connection. HTTP/2 checks the context before it writes. HTTP/1
// does not, so its connection is closed.
func (s *Sending) turnBack(why error, conn httptrace.GotConnInfo) {
	if conn.Conn != nil && conn.Reused {
		// net/http gives a connection to the next request before the last request has its answer.
		// If the connection were closed at once, that answer could be lost: in a test it was, once
		// or twice in a thousand calls.
		time.Sleep(handover)
	}
	s.note(func() {
		if why == ErrNotNow {
			s.connected, s.wrote = false, false
		}
		s.stop(why)
	})
	if conn.Conn != nil {
		_ = conn.Conn.Close()
	}
}

// handover is how long a used connection stays open before it is closed.
const handover = 10 * time.Millisecond

// shared reports whether other requests may be on a connection: HTTP/2, or HTTP/3 in a transport of
// the caller. Such a transport may also show no connection at all.
func (t *Transport) shared(conn net.Conn, host string) bool {
	if conn == nil {
		return true
	}
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return c.ConnectionState().NegotiatedProtocol == "h2"
	}
	if _, udp := conn.LocalAddr().(*net.UDPAddr); udp {
		return true
	}
	_, known := t.h2c.Load(host)
	return known
}

// stop ends the request before it goes further. The mutex is held.
func (s *Sending) stop(why error) {
	if s.stopped == nil {
		s.stopped = why
		s.cancel(why)
	}
}

// HeldBack reports whether MayGo held the request back and nothing of it has left. Then it may be
// sent later.
func (s *Sending) HeldBack(err error) bool {
	return context.Cause(s.ctx) == ErrNotNow && s.NothingLeft(err)
}

// NothingLeft reports whether provably no byte of the request left, because it never had a
// connection that it might use. Either this package has stopped it before, or net/http found no
// connection. If the transport is not net/http's own, the error must say so as well, because that
// transport may call no trace functions.
func (s *Sending) NothingLeft(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.connected && !s.wrote && (s.stopped != nil || s.asked && (s.plain || IsDialError(err)))
}
