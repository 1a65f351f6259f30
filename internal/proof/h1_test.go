package proof

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// What becomes of each operation where a connection ends that HTTP/1 has kept for it, over real
// sockets. Such a connection is where net/http sends a request once more by itself.

// h1Server answers the first request of each connection.
type h1Server struct {
	handler  http.Handler
	hangsUp  atomic.Bool // it carries out the second one, and closes the connection instead of an answer
	listener net.Listener
	running  sync.WaitGroup
	received atomic.Int32

	mu   sync.Mutex
	open []*net.TCPConn
}

func newH1Server(t *testing.T, handler http.Handler) *h1Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &h1Server{handler: handler, listener: listener}
	s.running.Go(s.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		s.closeAll(false)
		s.running.Wait()
	})
	return s
}

func (s *h1Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open = append(s.open, conn.(*net.TCPConn))
		s.mu.Unlock()
		s.running.Go(func() { s.serve(conn) })
	}
}

func (s *h1Server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for n := 1; ; n++ {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		s.received.Add(1)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if n > 1 && s.hangsUp.Load() || w.Result().Write(conn) != nil {
			return
		}
	}
}

// closeAll ends the connections that are open, in order or with a reset.
func (s *h1Server) closeAll(reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.open {
		if reset {
			_ = conn.SetLinger(0)
		}
		_ = conn.Close()
	}
	s.open = nil
}

// h1Dialer is a client's way to the server. It counts the requests of which something was written.
type h1Dialer struct {
	deaf   bool // the client does not learn that a connection has ended before it writes its next request
	begun  atomic.Int32
	latest atomic.Pointer[h1Conn]
}

func (d *h1Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &h1Conn{Conn: conn, of: d, heard: make(chan struct{}), ended: make(chan struct{})}
	c.hear, c.end = sync.OnceFunc(func() { close(c.heard) }), sync.OnceFunc(func() { close(c.ended) })
	d.latest.Store(c)
	return c, nil
}

// warm has the client keep a connection that has served. It asks again where net/http gives up the
// one that it has had, which it does where a busy machine keeps it from noticing that the request
// was written.
func (d *h1Dialer) warm(t *testing.T, c *duolink.Client) {
	t.Helper()
	var kept atomic.Bool
	for !kept.Load() {
		trace := &httptrace.ClientTrace{PutIdleConn: func(err error) { kept.Store(err == nil) }}
		_, err := c.Links.List(httptrace.WithClientTrace(t.Context(), trace))
		require.NoError(t, err)
	}
}

// h1Conn is a client's end of a connection.
type h1Conn struct {
	net.Conn
	of           *h1Dialer
	written      atomic.Int32
	hear, end    func()
	heard, ended chan struct{} // ended: by the server, which the client knows, or would, if it were not deaf
}

func (c *h1Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.of.deaf {
		c.end()
		<-c.heard
	}
	return n, err
}

func (c *h1Conn) Write(p []byte) (int, error) {
	if p[0] < 'A' || p[0] > 'Z' { // not a method: our bodies begin with a brace or a small letter
		return c.Conn.Write(p)
	}
	c.of.begun.Add(1) // the answer may be there before Write returns
	n, err := c.Conn.Write(p)
	if n == 0 {
		c.of.begun.Add(-1)
	}
	if c.written.Add(1) > 1 {
		c.hear()
	}
	return n, err
}

func (c *h1Conn) Close() error {
	err := c.Conn.Close()
	c.hear()
	c.end()
	return err
}

// h1Ending is how a connection ends that has served once.
type h1Ending struct {
	hangsUp bool // when the second request has been carried out; if not, before it is written
	reset   bool
	deaf    bool // the client writes it all the same
}

var h1Endings = map[string]h1Ending{
	"lost after":              {hangsUp: true},
	"closed while idle":       {},
	"closed, and not noticed": {deaf: true},
	"reset, and not noticed":  {deaf: true, reset: true},
}

// Over HTTP/1, an attempt is one request as well, also on a connection that has served before.
func TestMatrixOfReusedConnections(t *testing.T) {
	var cells, requests atomic.Int32
	t.Run("cells", func(t *testing.T) {
		for name, ending := range h1Endings {
			for _, op := range operations.All {
				for rules, once := range map[string]bool{"by the rules": false, "without retry": true} {
					t.Run(fmt.Sprintf("%s/%s/%s", rules, op.Name, name), func(t *testing.T) {
						t.Parallel()
						requests.Add(int32(checkReusedConnection(t, wireCell{op: op, once: once}, ending)))
						cells.Add(1)
					})
				}
			}
		}
	})
	t.Logf("HTTP/1: %d ways to lose a connection that has served, %d cells, %d requests",
		len(h1Endings), cells.Load(), requests.Load())
}

func checkReusedConnection(t *testing.T, cell wireCell, ending h1Ending) int {
	s, told := sandbox.New(), newAttemptCount()
	dialer := &h1Dialer{deaf: ending.deaf}
	server := newH1Server(t, s)
	transport := &http.Transport{DialContext: dialer.dial}
	t.Cleanup(transport.CloseIdleConnections)
	c := wireClient(t, cell.op, "http://"+server.listener.Addr().String(), transport, told)
	dialer.warm(t, c)
	server.hangsUp.Store(ending.hangsUp)
	if !ending.hangsUp {
		server.closeAll(ending.reset)
		<-dialer.latest.Load().ended
	}
	told.reset()
	dialer.begun.Store(0)
	server.received.Store(0)
	ctx, cancel := context.WithTimeout(t.Context(), wireTime)
	defer cancel()
	var response duolink.Response

	err := cell.op.Call(ctx, c, append(cell.options(), duolink.WithResponse(&response))...)

	begun, received := int(dialer.begun.Load()), int(server.received.Load())
	checkAttempts(t, cell.op, err, &response, told)
	cell.fault.carriedOut = ending.hangsUp
	operation := cell.op.Operation()
	done := 1 // of a read there is nothing to see
	if cell.op.Done != nil {
		done = cell.op.Done(s)
	}
	switch {
	case ending.reset: // not a byte got out the first time, so it is all the same whether that was an attempt
		require.Equal(t, begun, received)
		require.LessOrEqual(t, begun, told.total())
		require.LessOrEqual(t, told.started[operation], cell.sent())
		require.True(t, cell.op.Done == nil || (done == 1) == (err == nil), "what the server has really done")
	case ending.deaf: // it was written for nobody the first time
		require.Equal(t, begun-1, received)
		require.Equal(t, begun, told.total())
		cell.check(t, s, err, told)
	case !ending.hangsUp: // the client takes another connection, and nothing goes wrong
		require.NoError(t, err)
		require.Equal(t, []int{begun, begun, 1, 1}, []int{received, told.total(), told.started[operation], done})
	case cell.op.Name == operations.Exchange: // what follows the exchange is lost as well
		require.Equal(t, cell.once, err != nil, "%v", err)
		require.Equal(t, []int{begun, begun, 2, 2}, []int{received, told.total(), told.started[operation], done})
	default:
		require.Equal(t, []int{begun, begun}, []int{received, told.total()})
		cell.check(t, s, err, told)
	}
	return received
}
