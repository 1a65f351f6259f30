// Package pipes is HTTP over connections that lead to a function instead of a server. net/http uses
// them like real connections. They are made for testing/synctest: all waiting on them is virtual.
//
// It does not import package duolink, so that the tests inside that package can use it, too.
package pipes

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// OK is the beginning of a good answer.
const OK = "HTTP/1.1 200 OK\r\n"

// Transport makes the connections, and counts them and their bytes.
type Transport struct {
	http.Transport
	Open  atomic.Int32 // connections whose server function runs
	Wrote atomic.Int64 // bytes that servers wrote
}

// Peer is the server's end of a connection.
type Peer struct {
	net.Conn
	Gone <-chan struct{} // closed when the client has closed its end
	of   *Transport
}

// New returns a transport whose connections lead to a function. If it is nil, nobody accepts them.
func New(serve func(Peer)) *Transport {
	t := &Transport{}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if serve == nil {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		client, server := net.Pipe()
		gone, closed := context.WithCancel(context.Background())
		t.Open.Add(1)
		go func() {
			defer t.Open.Add(-1)
			defer func() { _ = server.Close() }()
			serve(Peer{server, gone.Done(), t})
		}()
		return callersEnd{client, closed}, nil
	}
	return t
}

// Write writes, and counts the bytes.
func (p Peer) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.of.Wrote.Add(int64(n))
	return n, err
}

// Request reads one request to its end, and reports whether there was one.
func Request(conn io.Reader) bool {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// Halting reads a request, answers with a head, and then sends nothing more.
func Halting(head string) func(Peer) {
	return func(p Peer) {
		if Request(p) {
			_, _ = io.WriteString(p, head) // it does not matter if the client has gone
		}
		<-p.Gone
	}
}

// callersEnd tells the other end when it is closed, even if that end does not read.
type callersEnd struct {
	net.Conn
	tell func()
}

func (c callersEnd) Close() error {
	err := c.Conn.Close()
	c.tell()
	return err
}
