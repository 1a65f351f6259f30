package sandbox

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// Transport is an http.RoundTripper that talks to the sandbox without a socket. It has a real
// http.Transport, a real http.Server, and pipes between them. So net/http handles connections as it
// always does. Inside a testing/synctest bubble all waiting is virtual.
type Transport struct {
	base     *http.Transport
	server   *http.Server
	listener *pipeListener

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	opened int
	refuse int
	closed bool
}

// Transport starts a server for the sandbox and returns a transport to it. Every host leads there,
// with http and with https (nothing is encrypted). Call it inside the bubble that uses it, and
// Close it there.
func (s *Sandbox) Transport() *Transport {
	t := &Transport{
		server:   &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)},
		listener: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})},
		open:     map[net.Conn]struct{}{},
	}
	t.base = &http.Transport{
		DialContext:     t.dial,
		DialTLSContext:  t.dial,
		MaxIdleConns:    100,
		IdleConnTimeout: 90 * time.Second,
	}
	go func() { _ = t.server.Serve(t.listener) }() // ends with Close, always with ErrServerClosed
	return t
}

// RoundTrip sends one request to the sandbox.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.base.RoundTrip(r)
}

// CloseIdleConnections does what http.Transport does; http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	t.base.CloseIdleConnections()
}

// Close ends the server and every connection. Requests under way and later requests fail.
func (t *Transport) Close() {
	_ = t.server.Close()
	t.mu.Lock()
	t.closed = true
	for conn := range t.open {
		_ = conn.Close()
	}
	t.mu.Unlock()
	t.base.CloseIdleConnections()
}

// Conns returns how many connections have been opened so far.
func (t *Transport) Conns() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.opened
}

// RefuseDials makes the next n attempts to connect fail, as if nobody listened on the port.
func (t *Transport) RefuseDials(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refuse = n
}

func (t *Transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if t.refused() {
		err := os.NewSyscallError("connect", syscall.ECONNREFUSED)
		return nil, &net.OpError{Op: "dial", Net: network, Addr: hostAddr(address), Err: err}
	}
	client, server := net.Pipe()
	select {
	case t.listener.conns <- server:
		return t.track(client), nil
	case <-t.listener.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Addr: hostAddr(address), Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Addr: hostAddr(address), Err: ctx.Err()}
	}
}

func (t *Transport) refused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refuse <= 0 {
		return false
	}
	t.refuse--
	return true
}

// track remembers the connection until it closes, because a server that ends forgets connections
// that it has not begun to serve.
func (t *Transport) track(conn net.Conn) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened++
	t.open[conn] = struct{}{}
	if t.closed {
		_ = conn.Close()
	}
	return &trackedConn{Conn: conn, forget: func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, conn)
	}}
}

type trackedConn struct {
	net.Conn
	forget func()
}

func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.forget()
	return err
}

// pipeListener passes the server's ends of the pipes to the server.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return hostAddr("sandbox.test:80") }

// hostAddr is the address as it is in the URL.
type hostAddr string

func (hostAddr) Network() string  { return "tcp" }
func (a hostAddr) String() string { return string(a) }
