package duolink

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Servers that take their time, each in its own way, over real HTTP connections on pipes: all waiting is virtual.

// pipes are connections that lead to a function instead of a server.
type pipes struct {
	http.Transport
	open  atomic.Int32 // connections that one end still has
	wrote atomic.Int64 // by the server
}

// peer is the server's end of a connection.
type peer struct {
	net.Conn
	of   *pipes
	gone <-chan struct{} // when the client has closed its end
}

func (p peer) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.of.wrote.Add(int64(n))
	return n, err
}

// callersEnd tells the other end that it is closed, also one that does not read.
type callersEnd struct {
	net.Conn
	tell func()
}

func (c callersEnd) Close() error {
	err := c.Conn.Close()
	c.tell()
	return err
}

func newPipes(serve func(peer)) *pipes {
	p := &pipes{}
	p.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if serve == nil { // nobody accepts
			<-ctx.Done()
			return nil, ctx.Err()
		}
		client, server := net.Pipe()
		gone, closed := context.WithCancel(context.Background())
		p.open.Add(1)
		go func() {
			defer p.open.Add(-1)
			defer func() { _ = server.Close() }()
			serve(peer{server, p, gone.Done()})
		}()
		return callersEnd{client, closed}, nil
	}
	return p
}

// halting reads a request, answers with a head and then with nothing more.
func halting(head string) func(peer) {
	return func(p peer) {
		if p.request() {
			_, _ = io.WriteString(p, head)
		}
		<-p.gone
	}
}

// dripping reads a request and answers with a head at once, and a piece every second for as long as somebody listens.
func dripping(head, piece string) func(peer) {
	return func(p peer) {
		if !p.request() {
			return
		}
		_, err := io.WriteString(p, head)
		for i := 0; err == nil; i = (i + 1) % len(piece) {
			time.Sleep(time.Second)
			_, err = io.WriteString(p, piece[i:i+1])
		}
	}
}

// linewise is dripping with a whole piece every second.
func linewise(head, piece string) func(peer) {
	return func(p peer) {
		if !p.request() {
			return
		}
		_, err := io.WriteString(p, head)
		for err == nil {
			time.Sleep(time.Second)
			_, err = io.WriteString(p, piece)
		}
	}
}

// request reads one request to its end.
func (p peer) request() bool {
	r, err := http.ReadRequest(bufio.NewReader(p))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

const (
	ok200   = "HTTP/1.1 200 OK\r\n"
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
	gzipped = "Content-Encoding: gzip\r\n\r\n" + "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + "\x00\xff\xff\x00\x00" // and 65,535 bytes as they are
)

// slowServer is one that does not come to an end, and how far it gets.
type slowServer struct {
	serve  func(peer)
	gets   progress
	status int // of the answer that it begins, if it is not 200
	setup  func(*pipes)
	https  bool
}

type progress int

const (
	toNothing progress = iota // nothing was sent
	toRequest                 // which may have arrived
	toAnswer                  // of which the head arrived
)

func slowServers() map[string]slowServer {
	plain := func(p *pipes) { p.DisableCompression = true } // as it is where a caller's transport was told so
	return map[string]slowServer{
		"nobody accepts":       {gets: toNothing},
		"no TLS handshake":     {gets: toNothing, https: true, serve: func(p peer) { <-p.gone }},
		"half a TLS handshake": {gets: toNothing, https: true, serve: func(p peer) { _, _ = io.CopyN(io.Discard, p, 100); dripFrom(p, "\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb") }},
		"reads nothing":        {gets: toRequest, serve: func(p peer) { <-p.gone }},
		"never answers":        {gets: toRequest, serve: halting("")},
		"status line":          {gets: toRequest, serve: dripping("HTTP/1.1 200 ", "x")},
		"a header's bytes":     {gets: toRequest, serve: dripping(ok200+"X-Slow: ", "x")},
		"headers":              {gets: toRequest, serve: linewise(ok200, "X-Slow: 1\r\n")},
		"100 Continue":         {gets: toRequest, serve: linewise("", "HTTP/1.1 100 Continue\r\n\r\n")},
		"102 Processing":       {gets: toRequest, serve: linewise("", "HTTP/1.1 102 Processing\r\n\r\n")},
		"103 Early Hints":      {gets: toRequest, serve: linewise("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")},
		"body":                 {gets: toAnswer, serve: dripping(ok200+"Content-Length: 1000000\r\n\r\n", " ")},
		"body without length":  {gets: toAnswer, serve: dripping(ok200+"\r\n", " ")},
		"chunks":               {gets: toAnswer, serve: linewise(ok200+chunked, "1\r\n \r\n")},
		"chunk extension":      {gets: toAnswer, serve: dripping(ok200+chunked+"1;x=", "y")},
		"trailers":             {gets: toAnswer, serve: dripping(ok200+chunked+"1\r\n \r\n0\r\n", "X-Slow: 1\r\n")},
		"gzip, net/http's":     {gets: toAnswer, serve: dripping(ok200+gzipped, " ")},
		"gzip, ours":           {gets: toAnswer, serve: dripping(ok200+gzipped, " "), setup: plain},
		"half a gzip's head":   {gets: toAnswer, serve: halting(ok200 + "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08")},
		"half a body":          {gets: toAnswer, serve: halting(ok200 + "Content-Length: 9\r\n\r\n{\"data\"")},
		"body of a 403":        {gets: toAnswer, status: 403, serve: dripping("HTTP/1.1 403 Forbidden\r\n\r\n", "<")},
		"body of a 500":        {gets: toAnswer, status: 500, serve: dripping("HTTP/1.1 500 Oh\r\n\r\n", "<")},
		"gzip of a 500":        {gets: toAnswer, status: 500, serve: dripping("HTTP/1.1 500 Oh\r\n"+gzipped, " "), setup: plain},
		"body of a 302":        {gets: toAnswer, status: 302, serve: dripping("HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n", "<")},
	}
}

// dripFrom is dripping without a request before it.
func dripFrom(p peer, head string) {
	_, err := io.WriteString(p, head)
	for err == nil {
		time.Sleep(time.Second)
		_, err = p.Write([]byte{0})
	}
}

// attempts is how often an operation is sent to such a server, of three times that it may.
func (s slowServer) attempts(operation string) int {
	always := !strings.HasPrefix(operation, "links.c") && operation != "links.update" && operation != "identity.refresh" && operation != "logins.revoke"
	settling := operation == "links.close" || operation == "links.update" || operation == "logins.revoke"
	switch {
	case s.gets == toNothing:
		return 3
	case s.status == 500 && always:
		return 3
	case s.status != 0:
		return 1
	case s.gets == toAnswer && operation == "logins.query_accounts, streamed": // which is the caller's by then
		return 1
	case always || settling:
		return 3
	}
	return 1
}

// inSlowBubble makes one call to a slow server, and expects no connection and no goroutine to be left of it.
func inSlowBubble(t *testing.T, server slowServer, operation string, test func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes(server.serve)
		if server.setup != nil {
			server.setup(p)
		}
		base := "http://127.0.0.1"
		if server.https {
			base = "https://127.0.0.1"
		}
		defer func() {
			if operation == "auth.token" {
				time.Sleep(exchangeLimit) // it goes on, for others
			}
			p.CloseIdleConnections()
			time.Sleep(time.Second) // until the next write shows the server that nobody listens
			synctest.Wait()
			require.Zero(t, p.open.Load(), "open connections")
		}()
		test(t, clientOf(t, base, operation, &http.Client{Transport: &p.Transport}, WithRetry(Retry{MaxAttempts: 3})))
	})
}

// Whoever is told that the other end is closed finds it closed. If it were told earlier, a server could hang up on a client that
// still reads, and what breaks off then is the answer, not the caller's patience.
func TestPeerIsGoneWhenItIsToldSo(t *testing.T) {
	client, server := net.Pipe()
	defer func() { require.NoError(t, server.Close()) }()
	require.NoError(t, client.SetReadDeadline(time.Unix(0, 0))) // reading would wait
	told := false
	require.NoError(t, callersEnd{client, func() {
		told = true
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}}.Close())
	require.True(t, told)
}

// Whatever a server is slow at, an attempt ends at its timeout, to the nanosecond.
func TestSlowServers(t *testing.T) {
	ended := 0
	for name, server := range slowServers() {
		for operation, call := range callsAndExchange() {
			t.Run(name+"/"+operation, func(t *testing.T) {
				inSlowBubble(t, server, operation, func(t *testing.T, c *Client) {
					var r Response
					began := time.Now()
					err := call(t.Context(), c, WithResponse(&r))
					took := time.Since(began)
					e := slowError(t, server, err)
					require.Equal(t, server.attempts(operation), e.Attempts)
					timeout := 30 * time.Second
					if operationOf(operation) == "logins.query_accounts" {
						timeout = time.Hour
					}
					ended++
					if operation == "auth.token" { // whose attempts are not the call's
						require.GreaterOrEqual(t, took, timeout*time.Duration(e.Attempts))
						require.Less(t, took, timeout*time.Duration(e.Attempts)+2*time.Second)
						return
					}
					for _, a := range r.Attempts {
						if a.Failure != "" { // of a stream that was opened, its caller reads the rest
							require.Equal(t, timeout, a.Duration)
							took -= a.Duration
						}
						took -= a.Wait
					}
					if server.attempts(operation) == 1 && strings.HasSuffix(operation, "streamed") && server.status == 0 {
						took -= timeout
					}
					require.Zero(t, took, "time that is neither an attempt's nor a wait")
				})
			})
		}
	}
	t.Logf("slow servers: %d calls to %d servers, all ended at their timeouts", ended, len(slowServers()))
}

// slowError expects what such a server makes of a call.
func slowError(t *testing.T, server slowServer, err error) *Error {
	t.Helper()
	e := asError(t, err)
	switch {
	case server.status != 0: // the status speaks, however much of the body arrived
		kindIs(t, err, map[int]error{302: ErrMalformedResponse, 403: ErrForbidden, 500: ErrServer}[server.status])
		require.Equal(t, server.status, e.StatusCode)
	default:
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for _, k := range kinds {
			require.NotErrorIs(t, err, k)
		}
		require.Equal(t, server.gets == toAnswer, e.StatusCode == 200)
	}
	switch {
	case server.gets == toNothing:
		require.Equal(t, OutcomeNotSent, e.Outcome)
	case server.status == 403:
		require.Equal(t, OutcomeRejected, e.Outcome)
	default:
		require.Equal(t, OutcomeUnknown, e.Outcome)
	}
	oneLine(t, err)
	return e
}

// A caller who has no more time, or who gives up, waits for no server, not even for that of a stream, which has an hour.
func TestSlowServersAndTheCallersContext(t *testing.T) {
	const patience = 7*time.Second + 1
	ended := 0
	for name, server := range slowServers() {
		for operation, call := range callsAndExchange() {
			for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
				t.Run(name+"/"+operation+"/"+end.Error(), func(t *testing.T) {
					inSlowBubble(t, server, operation, func(t *testing.T, c *Client) {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						if errors.Is(end, context.Canceled) {
							ctx, cancel = context.WithCancel(t.Context())
							defer time.AfterFunc(patience, cancel).Stop()
						}
						defer cancel()
						began := time.Now()
						err := call(ctx, c)
						require.Equal(t, patience, time.Since(began))
						require.ErrorIs(t, err, end)
						ended++
					})
				})
			}
		}
	}
	t.Logf("slow servers: %d calls given up, all ended at once", ended)
}
