// Package pipes is HTTP over connections that lead to a function instead of a server. What net/http
// does on them is real, and all waiting on them is virtual: they are made for testing/synctest.
//
// It knows nothing of package duolink, so that the tests inside that package use it too.
package pipes

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// OK is how an answer begins with which nothing is wrong.
const OK = "HTTP/1.1 200 OK\r\n"

// Transport makes the connections, and counts.
type Transport struct {
	http.Transport
	Open  atomic.Int32 // connections that one end still has
	Wrote atomic.Int64 // bytes that servers wrote
}

// Peer is the server's end of a connection.
type Peer struct {
	net.Conn
	Gone <-chan struct{} // closed when the client has closed its end
	of   *Transport
}

// New is a transport whose connections lead to a function. If there is none, nobody accepts them.
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

// Write counts what it writes.
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

// Halting reads a request, answers with a head and then with nothing more.
func Halting(head string) func(Peer) {
	return func(p Peer) {
		if Request(p) {
			_, _ = io.WriteString(p, head) // a client that has gone is no concern of the server's
		}
		<-p.Gone
	}
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
