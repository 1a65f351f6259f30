package duolinktest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

// Server is a fake of both APIs. It is safe for concurrent use, and it is an http.Handler.
type Server struct {
	sandbox *sandbox.Sandbox
	t       runner
	http2   bool

	mu        sync.Mutex
	transport *sandbox.Transport
	server    *http.Server
	address   string
}

// New starts a Server for a test. It is closed when the test ends. A wrong argument of a method, such
// as an id that does not exist, fails the test.
func New(t testing.TB, opts ...Option) *Server {
	s := start(opts)
	s.t = t
	t.Cleanup(s.Close)
	return s
}

// Start starts a Server for a program, such as an example or a demonstration. Call Close at the end.
// A wrong argument of a method panics.
func Start(opts ...Option) *Server { return start(opts) }

func start(opts []Option) *Server {
	s := &Server{t: program{}}
	set := settings{server: s}
	for _, opt := range opts {
		opt(&set)
	}
	s.sandbox = sandbox.New(set.options...)
	return s
}

// Client returns a client of this server, over connections in memory. It has credentials for both
// APIs. The options come after those of [Server.Options]. In a test it is closed when the test ends,
// and does not wait for flows that still run.
func (s *Server) Client(opts ...duolink.Option) *duolink.Client {
	s.t.Helper()
	client, err := duolink.New(append(s.Options(), opts...)...)
	s.must(err)
	s.t.Cleanup(func() { // a flow that a test leaves behind ends with the test
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = client.Close(now)
	})
	return client
}

// Options are the options of duolink.New that point a client at this server, over connections in
// memory: the base URLs, credentials for both APIs, and an http.Client.
func (s *Server) Options() []duolink.Option {
	return []duolink.Option{
		duolink.WithSupermetrics(duolink.BearerToken(APIKey)),
		duolink.WithMoneyKit(duolink.ClientCredentials(ClientID, ClientSecret)),
		duolink.WithBaseURL(duolink.Supermetrics, "https://duolink.test/v2"),
		duolink.WithBaseURL(duolink.MoneyKit, "https://duolink.test"),
		duolink.WithHTTPClient(&http.Client{Transport: s.Transport()}),
	}
}

// Transport returns an http.RoundTripper that leads to this server from every host, in memory. There
// is a real http.Transport and a real http.Server behind it, so connections end and are used again
// as they are in production. It works in a bubble of testing/synctest.
func (s *Server) Transport() http.RoundTripper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport == nil {
		s.transport = s.sandbox.Transport()
	}
	return s.transport
}

// URL serves the fake on a port of the loopback interface, and returns the base URL of an API for
// duolink.WithBaseURL. The credentials are [APIKey], and [ClientID] with [ClientSecret].
func (s *Server) URL(api duolink.API) string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		s.must(s.listen())
	}
	switch api {
	case duolink.Supermetrics:
		return s.address + "/v2"
	case duolink.PlaidCompatible:
		return s.address + "/plaid-compatible"
	}
	return s.address
}

func (s *Server) listen() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.server = &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		Protocols: new(http.Protocols),
	}
	s.server.Protocols.SetHTTP1(!s.http2)
	s.server.Protocols.SetUnencryptedHTTP2(s.http2)
	s.address = "http://" + listener.Addr().String()
	go func() { _ = s.server.Serve(listener) }() // ends with Close
	return nil
}

// ServeHTTP answers one request. Use it to put the fake behind a server of your own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.sandbox.ServeHTTP(w, r) }

// Close ends the server and all of its connections.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport != nil {
		s.transport.Close()
	}
	if s.server != nil {
		_ = s.server.Close()
	}
}

// must ends the test, or panics, because a test that went on would prove nothing.
func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("duolinktest: %s", strings.TrimPrefix(err.Error(), "sandbox: "))
	}
}

// runner is what a Server needs of a test.
type runner interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// program stands in the place of a test.
type program struct{}

func (program) Helper()                           {}
func (program) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (program) Cleanup(func())                    {}
