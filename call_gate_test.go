package duolink

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/proof/pipes"
	"github.com/stretchr/testify/require"
)

const answerTime = 10 * time.Millisecond

// groupsOf are the limit groups of an operation with the client's own credential.
func groupsOf(c *Client, op operation) []limitGroup {
	p := &prepared{auth: c.auth[op.api.vendor()]}
	return op.groups(p.identity())
}

// slowDials is a server on pipes. Its connections are made one after the other, a second apart.
type slowDials struct {
	http.Transport
	mu       sync.Mutex
	dials    int
	arrivals []time.Time
	answer   string
}

func newSlowDials(answer string) *slowDials {
	s := &slowDials{answer: answer}
	s.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		s.dials++
		wait := time.Duration(s.dials) * time.Second
		s.mu.Unlock()
		if err := pace.Sleep(ctx, wait); err != nil {
			return nil, err
		}
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			for pipes.Request(server) {
				s.mu.Lock()
				s.arrivals = append(s.arrivals, time.Now())
				s.mu.Unlock()
				time.Sleep(answerTime)
				if _, err := io.WriteString(server, s.answer); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
	return s
}

// If a request gets its connection while its limit group is closed, it does not go out but waits
// until the group opens.
func TestGateAtTheConnection(t *testing.T) {
	const refused = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n"
	for operation, call := range callsAndExchange() {
		for name, connections := range map[string]int{"as many connections as callers": 0, "four connections": 4} {
			t.Run(operation+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSlowDials(refused)
					s.MaxConnsPerHost = connections
					defer s.CloseIdleConnections()
					c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: &s.Transport},
						WithRetry(Retry{MaxWait: time.Minute}))
					var wg sync.WaitGroup
					var starts, ends atomic.Int32
					c.config.hooks.AttemptStart = func(context.Context, Attempt) { starts.Add(1) }
					c.config.hooks.AttemptEnd = func(context.Context, Attempt) { ends.Add(1) }
					for range 20 {
						wg.Go(func() {
							e := asError(t, call(t.Context(), c, WithoutRetry()))
							require.ErrorIs(t, e, ErrRateLimited)
							if e.StatusCode == 0 {
								require.Equal(t, OutcomeNotSent, e.Outcome)
							}
						})
					}
					wg.Wait()
					// At that very instant, another may have had the connection that got free.
					for _, at := range s.arrivals {
						require.LessOrEqual(t, at.Sub(s.arrivals[0]), answerTime,
							"nothing goes out after the first refusal")
					}
					require.Equal(t, starts.Load(), ends.Load())
				})
			})
		}
	}
}

// A request that was held back at its connection goes out when the group opens. It is the same
// attempt, and the wait is reported.
func TestGateAtTheConnectionOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowDials("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + `{"data":[]}`)
		defer s.CloseIdleConnections()
		var waits []Wait
		c := clientOf(t, "http://127.0.0.1", "links.list", &http.Client{Transport: &s.Transport},
			WithHooks(Hooks{Wait: func(_ context.Context, w Wait) { waits = append(waits, w) }}))
		began := time.Now()
		time.AfterFunc(500*time.Millisecond, func() {
			c.pace.Refuse(groupsOf(c, linksList)[0].Name, pace.Permit{}, time.Now(), 10*time.Second)
		})
		var r Response
		_, err := c.Links.List(t.Context(), WithoutRetry(), WithResponse(&r))
		require.NoError(t, err)
		require.Len(t, r.Attempts, 1)
		require.Equal(t, []time.Time{began.Add(12500 * time.Millisecond)}, s.arrivals,
			"10.5 s, and a second dial of 2 s")
		require.Len(t, waits, 1)
		require.Equal(t, WaitReasonCooldown, waits[0].Reason)
		require.Equal(t, 1, waits[0].Attempt)
		require.Equal(t, 9500*time.Millisecond, waits[0].Duration)
	})
}

// protocols are the ways that net/http speaks over real sockets.
var protocols = []string{"HTTP/1", "HTTP/1 over TLS", "HTTP/2", "HTTP/2 without TLS"}

// speaking starts a server on loopback, and a transport to it, that speak one protocol.
func speaking(t *testing.T, protocol string, h http.Handler) (*httptest.Server, *http.Transport) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	base := &http.Transport{}
	switch protocol {
	case "HTTP/1":
		s.Start()
	case "HTTP/2 without TLS":
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		base.Protocols = s.Config.Protocols
		s.Start()
	default:
		s.EnableHTTP2 = protocol == "HTTP/2"
		s.StartTLS()
		base = s.Client().Transport.(*http.Transport).Clone()
	}
	t.Cleanup(s.Close)
	t.Cleanup(base.CloseIdleConnections)
	return s, base
}

// The same over real sockets, and for each protocol of net/http: nothing is sent on a connection
// that comes too late.
func TestGateOverRealSockets(t *testing.T) {
	for _, protocol := range protocols {
		var arrived atomic.Int32
		s, base := speaking(t, protocol, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
		for operation, call := range callsAndExchange() {
			t.Run(protocol+"/"+operation, func(t *testing.T) {
				base := base.Clone()
				defer base.CloseIdleConnections()
				asked, release := make(chan struct{}), make(chan struct{})
				var dials atomic.Int32
				base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					if dials.Add(1) == 1 {
						close(asked)
						<-release
					}
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}
				l := &recordingLimiter{}
				c := clientOf(t, s.URL, operation, &http.Client{Transport: base}, WithLimiter(l))
				result := make(chan error, 1)
				go func() { result <- call(t.Context(), c, WithoutRetry()) }()
				<-asked
				for _, key := range l.groups {
					c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Hour)
				}
				close(release)
				e := asError(t, <-result)
				require.ErrorIs(t, e, ErrRateLimited)
				require.Equal(t, OutcomeNotSent, e.Outcome)
				require.Zero(t, arrived.Load())
			})
		}
	}
}

// A group that closes after a request got its connection, and before HTTP/1 has written to it,
// still lets nothing out. The goroutine that writes may have waited for a core in between.
func TestGateAtTheFirstByte(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1", "HTTP/1 over TLS"} {
		var arrived atomic.Int32
		s, base := speaking(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			arrived.Add(1)
			_, _ = io.WriteString(w, `{"data":[]}`)
		}))
		for operation, call := range callsAndExchange() {
			for name, kept := range map[string]bool{"a new connection": false, "a kept connection": true} {
				t.Run(protocol+"/"+operation+"/"+name, func(t *testing.T) {
					base := base.Clone()
					defer base.CloseIdleConnections()
					if kept {
						resp, err := (&http.Client{Transport: base}).Get(s.URL)
						require.NoError(t, err)
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					before := arrived.Load()
					l := &recordingLimiter{}
					c := clientOf(t, s.URL, operation, &http.Client{Transport: base}, WithLimiter(l))
					var looked atomic.Int32
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
						GotConn: func(info httptrace.GotConnInfo) { // after the client's own look
							looked.Add(1)
							require.Equal(t, kept, info.Reused)
							for _, key := range l.groups {
								c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Hour)
							}
						},
					})
					e := asError(t, call(ctx, c, WithoutRetry()))
					require.ErrorIs(t, e, ErrRateLimited)
					require.Equal(t, OutcomeNotSent, e.Outcome)
					require.EqualValues(t, 1, looked.Load())
					require.Equal(t, before, arrived.Load())
				})
			}
		}
	}
}

// HTTP/2 reports its header after it has written it. Such a request counts as sent, also on the
// first connection to a host.
func TestGateAfterHTTP2HasWritten(t *testing.T) {
	for _, protocol := range []string{"HTTP/2", "HTTP/2 without TLS"} {
		for operation, call := range callsAndExchange() {
			t.Run(protocol+"/"+operation, func(t *testing.T) {
				var arrived atomic.Int32
				s, base := speaking(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					arrived.Add(1)
					w.WriteHeader(http.StatusTeapot)
				}))
				l := &recordingLimiter{}
				c := clientOf(t, s.URL, operation, &http.Client{Transport: base}, WithLimiter(l))
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(httptrace.GotConnInfo) {
						for _, key := range l.groups {
							c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Hour)
						}
					},
				})
				e := asError(t, call(ctx, c, WithoutRetry()))
				require.Equal(t, http.StatusTeapot, e.StatusCode)
				require.EqualValues(t, 1, arrived.Load())
			})
		}
	}
}

// It goes out when the group opens, as the same attempt.
func TestGateAtTheFirstByteOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowDials("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + `{"data":[]}`)
		defer s.CloseIdleConnections()
		c := clientOf(t, "http://127.0.0.1", "links.list", &http.Client{Transport: &s.Transport})
		began := time.Now()
		refuse := sync.OnceFunc(func() {
			c.pace.Refuse(groupsOf(c, linksList)[0].Name, pace.Permit{}, time.Now(), 10*time.Second)
		})
		ctx := httptrace.WithClientTrace(t.Context(),
			&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { refuse() }})
		var r Response
		_, err := c.Links.List(ctx, WithoutRetry(), WithResponse(&r))
		require.NoError(t, err)
		require.Len(t, r.Attempts, 1)
		require.Equal(t, []time.Time{began.Add(13 * time.Second)}, s.arrivals, "1 s, 10 s, and a second dial of 2 s")
	})
}

// oddConn is how a caller's transport shows a QUIC connection: it has an address, and nothing else
// may be used.
type oddConn struct{ net.Conn }

func (oddConn) LocalAddr() net.Addr { return &net.UDPAddr{} }
func (oddConn) Close() error        { panic("other requests use it") }

// HTTP/3 shows a connection that nobody may close, and other transports show none. There only the
// context holds a request back. If the request went out all the same, it does not count as unsent.
func TestGateWithoutAConnectionToClose(t *testing.T) {
	t.Parallel()
	for name, conn := range map[string]net.Conn{"HTTP/3": oddConn{}, "none": nil} {
		for end, writes := range map[string]bool{"it obeys": false, "it writes all the same": true} {
			for operation, call := range callsAndExchange() {
				t.Run(name+"/"+end+"/"+operation, func(t *testing.T) {
					l := &recordingLimiter{}
					var c *Client
					c = clientOf(t, "https://api.example.test", operation, &http.Client{Transport: roundTrip(
						func(r *http.Request) (*http.Response, error) {
							trace := httptrace.ContextClientTrace(r.Context())
							trace.GetConn("api.example.test:443")
							for _, key := range l.groups {
								c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Hour)
							}
							trace.GotConn(httptrace.GotConnInfo{Conn: conn})
							if writes {
								trace.WroteHeaders()
								return nil, io.ErrUnexpectedEOF
							}
							return nil, context.Cause(r.Context())
						})}, WithLimiter(l))
					e := asError(t, call(t.Context(), c, WithoutRetry()))
					if !writes {
						require.ErrorIs(t, e, ErrRateLimited)
						require.Equal(t, OutcomeNotSent, e.Outcome)
						return
					}
					require.NotEqual(t, OutcomeNotSent, e.Outcome)
				})
			}
		}
	}
}

// If many requests share a connection, a request that is held back does not harm the others.
func TestGateLeavesOthersAlone(t *testing.T) {
	for _, protocol := range []string{"HTTP/2", "HTTP/2 without TLS"} {
		t.Run(protocol, func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			var arrived atomic.Int32
			s, base := speaking(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if arrived.Add(1) == 2 {
					close(entered)
					<-leave
				}
				_, _ = io.WriteString(w, `{"link_id":"mk_1"}`)
			}))
			var mu sync.Mutex
			var between func() // is called between the limit group's leave and the connection
			through := roundTrip(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				do := between
				between = nil
				mu.Unlock()
				if do != nil {
					do()
				}
				return base.RoundTrip(r)
			})
			var conns atomic.Int32
			trace := &httptrace.ClientTrace{ConnectDone: func(string, string, error) { conns.Add(1) }}
			ctx := httptrace.WithClientTrace(t.Context(), trace)
			l := &recordingLimiter{}
			c := clientOf(t, s.URL, "identity.link", &http.Client{Transport: through}, WithLimiter(l))
			_, err := c.Identity.Link(ctx, "mk_1") // and the client knows what is spoken
			require.NoError(t, err)
			result := make(chan error, 1)
			go func() {
				_, err := c.Identity.Link(ctx, "mk_1")
				result <- err
			}()
			<-entered
			between = func() {
				for _, key := range l.groups {
					c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Hour)
				}
			}
			_, err = c.Identity.Link(ctx, "mk_1")
			require.ErrorIs(t, err, ErrRateLimited)
			require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
			close(leave)
			require.NoError(t, <-result, "the request that shares the connection")
			require.EqualValues(t, 2, arrived.Load())
			require.EqualValues(t, 1, conns.Load())
		})
	}
}

// A transport that has two requests under way asks about one of them after the other was held back.
func TestGateOfATransportThatHedges(t *testing.T) {
	var calls atomic.Int32
	var late sync.WaitGroup
	var c *Client
	c = clientOf(t, "https://api.example.test", "links.get", &http.Client{Transport: roundTrip(
		func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			switch calls.Add(1) {
			case 1:
				trace.GetConn("api.example.test:443")
				_, err := c.Links.Get(t.Context(), "dsll_2", WithoutRetry())
				require.ErrorIs(t, err, ErrRateLimited)
				late.Go(func() {
					for range 300 {
						trace.GotConn(httptrace.GotConnInfo{})
					}
				})
				trace.GotConn(httptrace.GotConnInfo{})
				return nil, &net.OpError{Op: "dial", Err: io.EOF}
			case 2:
				return &http.Response{
					StatusCode: 429, Header: http.Header{"Retry-After-Ms": {"1"}}, Body: http.NoBody,
				}, nil
			}
			return reply(200, `{"data":{"link_id":"dsll_1"}}`), nil
		})})
	link, err := c.Links.Get(t.Context(), "dsll_1")
	late.Wait()
	require.NoError(t, err)
	require.Equal(t, "dsll_1", link.ID)
}
