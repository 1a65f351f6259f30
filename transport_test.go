package duolink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/proof/pipes"
	"github.com/duolink/duolink/internal/send"
	"github.com/stretchr/testify/require"
)

// A write is OutcomeNotSent only where that is proved. A transport of the caller's that tries another way after a failed dial, and
// tells nothing of it, may have sent it.
func TestNotSentIsProved(t *testing.T) {
	dead := errors.New("this way is closed")
	dialing := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, dead }}
	unreachable := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: dead}
	}}
	nameless := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}}
	wrapping := func(next http.RoundTripper) http.RoundTripper { return roundTrip(next.RoundTrip) }
	failover := func(end error) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if _, err := dialing.RoundTrip(r.Clone(r.Context())); err == nil {
				return nil, errors.New("the dial has not failed")
			}
			return nil, end // the other way has sent it, and has lost the answer
		})
	}
	for name, tc := range map[string]struct {
		transport http.RoundTripper
		proved    bool
	}{
		"net/http, a dial that fails":                {dialing, true},
		"net/http, an unknown host":                  {nameless, true},
		"behind another, the dial's error":           {wrapping(unreachable), true},
		"behind another, the resolver's error":       {wrapping(nameless), true},
		"behind another, an error that tells little": {wrapping(dialing), false},
		"another way, which breaks":                  {failover(io.ErrUnexpectedEOF), false},
		"another way, whose connection is reset":     {failover(&net.OpError{Op: "read", Err: dead}), false},
		"a transport that tells nothing":             {roundTrip(func(*http.Request) (*http.Response, error) { return nil, dead }), false},
	} {
		for operation, call := range map[string]func(context.Context, *Client) error{
			"links.create":     create(LoginLinkCreate{DataSourceID: "GAWA"}),
			"identity.refresh": refresh(ProductIdentity),
		} {
			t.Run(name+"/"+operation, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var tries atomic.Int32
					c := clientOf(t, "https://api.example.test", operation, &http.Client{Transport: tc.transport},
						WithHooks(Hooks{AttemptStart: func(context.Context, Attempt) { tries.Add(1) }}))
					e := asError(t, call(t.Context(), c))
					if tc.proved {
						require.Equal(t, OutcomeNotSent, e.Outcome)
						require.EqualValues(t, 4, tries.Load(), "what was not sent goes again")
						return
					}
					require.Equal(t, OutcomeUnknown, e.Outcome)
					require.EqualValues(t, 1, tries.Load(), "what may have been sent does not go again")
				})
			})
		}
	}
}

// closeCounter counts how often a body is closed.
type closeCounter struct {
	io.Reader
	closed *atomic.Int32
}

func (c closeCounter) Close() error { c.closed.Add(1); return nil }

// Transports with a bug: what they leave out is an error, never a panic, and what they open is closed.
func TestTransportsThatAnswerOddly(t *testing.T) {
	for name, answer := range map[string]func(closed *atomic.Int32) (*http.Response, error){
		"neither an answer nor an error": func(*atomic.Int32) (*http.Response, error) { return nil, nil },
		"both": func(closed *atomic.Int32) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: closeCounter{strings.NewReader("{}"), closed}}, io.ErrUnexpectedEOF
		},
		"both, without a body": func(*atomic.Int32) (*http.Response, error) {
			return &http.Response{StatusCode: 200}, io.ErrUnexpectedEOF
		},
		"a zero answer": func(*atomic.Int32) (*http.Response, error) { return &http.Response{}, nil },
		"a 429 without a header": func(*atomic.Int32) (*http.Response, error) {
			return &http.Response{StatusCode: 429}, nil
		},
		"a 302 without a header": func(*atomic.Int32) (*http.Response, error) {
			return &http.Response{StatusCode: 302}, nil
		},
	} {
		for operation, call := range callsAndExchange() {
			t.Run(name+"/"+operation, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var opened, closed atomic.Int32
					c := clientOf(t, "https://api.example.test", operation, &http.Client{Transport: roundTrip(
						func(*http.Request) (*http.Response, error) {
							if name == "both" {
								opened.Add(1)
							}
							return answer(&closed)
						})})
					e := asError(t, call(t.Context(), c))
					require.NotEqual(t, OutcomeNotSent, e.Outcome)
					if strings.HasPrefix(name, "neither") {
						require.Contains(t, e.Error(), "neither an answer nor an error")
					}
					require.Equal(t, opened.Load(), closed.Load())
					oneLine(t, e)
					time.Sleep(exchangeLimit)
				})
			})
		}
	}
}

const answerTime = 10 * time.Millisecond

// groupsOf are the limit groups of an operation with the client's own credential.
func groupsOf(c *Client, op operation) []limitGroup {
	p := &prepared{auth: c.auth[op.api.vendor()]}
	return op.groups(p.identity())
}

// slowDials is a server on pipes whose connections come about one after the other, a second apart.
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

// A request that gets its connection while its limit group is closed does not go out: it waits for the group's time.
func TestGateAtTheConnection(t *testing.T) {
	const refused = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n"
	for operation, call := range callsAndExchange() {
		for name, connections := range map[string]int{"as many connections as callers": 0, "four connections": 4} {
			t.Run(operation+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSlowDials(refused)
					s.MaxConnsPerHost = connections
					defer s.CloseIdleConnections()
					c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: &s.Transport}, WithRetry(Retry{MaxWait: time.Minute}))
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
					for _, at := range s.arrivals { // at that very instant, another may have had the connection that got free
						require.LessOrEqual(t, at.Sub(s.arrivals[0]), answerTime, "nothing goes out after the first refusal")
					}
					require.Equal(t, starts.Load(), ends.Load())
				})
			})
		}
	}
}

// What was held back at its connection goes out when the group opens, as the same attempt, and the wait is told.
func TestGateAtTheConnectionOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowDials("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + `{"data":[]}`)
		defer s.CloseIdleConnections()
		var waits []Wait
		c := clientOf(t, "http://127.0.0.1", "links.list", &http.Client{Transport: &s.Transport},
			WithHooks(Hooks{Wait: func(_ context.Context, w Wait) { waits = append(waits, w) }}))
		began := time.Now()
		time.AfterFunc(500*time.Millisecond, func() {
			c.pace.Refuse(groupsOf(c, linksList)[0].key, pace.Permit{}, time.Now(), 10*time.Second)
		})
		var r Response
		_, err := c.Links.List(t.Context(), WithoutRetry(), WithResponse(&r))
		require.NoError(t, err)
		require.Len(t, r.Attempts, 1)
		require.Equal(t, []time.Time{began.Add(12500 * time.Millisecond)}, s.arrivals, "10.5 s, and a second dial of 2 s")
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

// The same over real sockets, and for each way that net/http speaks: a connection that comes too late carries nothing.
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

// A group that closes after a request got its connection, and before HTTP/1 has written to it, still lets nothing out. The
// goroutine that writes may have waited for a core in between.
func TestGateAtTheFirstByte(t *testing.T) {
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

// HTTP/2 tells of its header after it has written it. That request counts as sent, on the first connection to a host as well.
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
			c.pace.Refuse(groupsOf(c, linksList)[0].key, pace.Permit{}, time.Now(), 10*time.Second)
		})
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { refuse() }})
		var r Response
		_, err := c.Links.List(ctx, WithoutRetry(), WithResponse(&r))
		require.NoError(t, err)
		require.Len(t, r.Attempts, 1)
		require.Equal(t, []time.Time{began.Add(13 * time.Second)}, s.arrivals, "1 s, 10 s, and a second dial of 2 s")
	})
}

// oddConn is what a transport of the caller's shows of a QUIC connection: an address, and nothing that may be used.
type oddConn struct{ net.Conn }

func (oddConn) LocalAddr() net.Addr { return &net.UDPAddr{} }
func (oddConn) Close() error        { panic("other requests use it") }

// HTTP/3 shows a connection that nobody may close, and other transports show none. There the context alone holds a request
// back, and one that went out all the same is not called unsent.
func TestGateWithoutAConnectionToClose(t *testing.T) {
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

// Where many requests share a connection, one that is held back takes nothing away from the others.
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

// Time in the queue for a connection is not an attempt's: of many callers on one connection, nobody fails by AttemptTimeout.
func TestQueueIsNotAttemptTime(t *testing.T) {
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				callers := 300
				if inShort() {
					callers = 30
				}
				head := "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(answers[operation])) + "\r\n\r\n"
				base := pipes.New(func(p pipes.Peer) {
					for pipes.Request(p) {
						time.Sleep(400 * time.Millisecond)
						if _, err := io.WriteString(p, head+answers[operation]); err != nil {
							return
						}
					}
				})
				base.MaxConnsPerHost = 1
				defer base.CloseIdleConnections()
				through := roundTrip(base.RoundTrip) // a transport of the caller's, which may queue as well
				for _, transport := range []http.RoundTripper{&base.Transport, through} {
					began := time.Now()
					c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: transport},
						WithRetry(Retry{AttemptTimeout: 500 * time.Millisecond}))
					var wg sync.WaitGroup
					for range callers {
						wg.Go(func() { require.NoError(t, call(t.Context(), c)) })
					}
					wg.Wait()
					require.Equal(t, time.Duration(callers)*400*time.Millisecond, time.Since(began))
				}
			})
		})
	}
}

// The context bounds the queue, and what gives up there was not sent.
func TestContextBoundsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := pipes.New(pipes.Halting(""))
		base.MaxConnsPerHost = 1
		defer base.CloseIdleConnections()
		c := clientOf(t, "http://127.0.0.1", "links.create", &http.Client{Transport: &base.Transport}, WithRetry(Retry{AttemptTimeout: time.Hour}))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Links.Get(ctx, "dsll_1")
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		began := time.Now()
		waiting, giveUp := context.WithTimeout(t.Context(), 10*time.Minute)
		defer giveUp()
		_, err := c.Links.Create(waiting, LoginLinkCreate{DataSourceID: "GAWA"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Equal(t, 10*time.Minute, time.Since(began))
		cancel()
		wg.Wait()
	})
}

// An attempt's time begins with its connection; to dial has the same bound, and does not count.
func TestAttemptTimeBeginsWithTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		dial, answer time.Duration
		want         error
	}{
		"both within":            {29 * time.Second, 29 * time.Second, nil},
		"the dial is too slow":   {31 * time.Second, 0, context.DeadlineExceeded},
		"the answer is too slow": {29 * time.Second, 31 * time.Second, context.DeadlineExceeded},
	} {
		for queues, most := range map[string]int{"": 0, ", with a bounded pool": 5} {
			t.Run(name+queues, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := pipes.New(func(p pipes.Peer) {
						if pipes.Request(p) {
							time.Sleep(tc.answer)
							_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"+`{"data":[]}`)
						}
					})
					connect := base.DialContext
					base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
						httptrace.ContextClientTrace(ctx).ConnectStart(network, address) // as a net.Dialer does
						if err := pace.Sleep(ctx, tc.dial); err != nil {
							return nil, err
						}
						return connect(ctx, network, address)
					}
					base.MaxConnsPerHost = most
					defer base.CloseIdleConnections()
					began := time.Now()
					c := clientOf(t, "http://127.0.0.1", "links.list", &http.Client{Transport: &base.Transport})
					_, err := c.Links.List(t.Context(), WithoutRetry())
					require.ErrorIs(t, err, tc.want)
					switch tc.want {
					case nil:
						require.Equal(t, tc.dial+tc.answer, time.Since(began))
					default:
						require.Equal(t, tc.dial > defaultRetry.AttemptTimeout, asError(t, err).Outcome == OutcomeNotSent)
					}
					time.Sleep(time.Minute)
				})
			})
		}
	}
}

// hopelessWay is a way to a server that no repetition opens.
type hopelessWay struct {
	setUp func(t *testing.T) (base string, transport *http.Transport)
	text  string
	cause func(error) bool
	sent  bool // the request may have left
}

// What no repetition cures is tried once, is named, and asks for another set-up. Its cause is there to be looked at.
func TestWhatNoRepetitionCures(t *testing.T) {
	pin := errors.New("the pin of " + testSecret)
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":[]}`) })
	for name, tc := range map[string]hopelessWay{
		"a certificate that nobody knows": {
			setUp: func(t *testing.T) (string, *http.Transport) {
				s, _ := speaking(t, "HTTP/1 over TLS", served)
				return s.URL, nil
			},
			text:  "certificate not trusted",
			cause: func(err error) bool { return errors.As(err, new(*tls.CertificateVerificationError)) },
		},
		"a pin that does not fit": {
			setUp: func(t *testing.T) (string, *http.Transport) {
				s, base := speaking(t, "HTTP/1 over TLS", served)
				base.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { return pin }
				return s.URL, base
			},
			text:  "the TLS handshake was refused here",
			cause: func(err error) bool { return errors.Is(err, pin) },
		},
		"another host's certificate, by a check of the caller's": {
			setUp: func(t *testing.T) (string, *http.Transport) {
				s, base := speaking(t, "HTTP/2", served)
				base.TLSClientConfig.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {
					return x509.HostnameError{Certificate: s.Certificate(), Host: "pinned.example"}
				}
				return s.URL, base
			},
			text:  "certificate not trusted",
			cause: func(err error) bool { return errors.As(err, new(x509.HostnameError)) },
		},
		"a client certificate that is missing, TLS 1.2": {
			setUp: func(t *testing.T) (string, *http.Transport) { return demanding(t, served, tls.VersionTLS12) },
			text:  "the server refused the TLS connection: tls: handshake failure",
			cause: func(err error) bool { return errors.As(err, new(*net.OpError)) },
		},
		"a client certificate that is missing, TLS 1.3": { // which the server says after the handshake
			setUp: func(t *testing.T) (string, *http.Transport) { return demanding(t, served, tls.VersionTLS13) },
			text:  "the server refused the TLS connection: tls: certificate required",
			cause: func(err error) bool { return errors.As(err, new(*net.OpError)) },
			sent:  true,
		},
		"http behind https": {
			setUp: func(t *testing.T) (string, *http.Transport) {
				s, base := speaking(t, "HTTP/1", served)
				return "https" + strings.TrimPrefix(s.URL, "http"), base
			},
			text:  "the server does not speak TLS",
			cause: func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) },
		},
		"something else behind https": {
			setUp: func(t *testing.T) (string, *http.Transport) {
				return "https://" + greeting(t, "220 mail.example.com ready, and other words\r\n"), nil
			},
			text:  "the server does not speak TLS",
			cause: func(err error) bool { return errors.As(err, new(tls.RecordHeaderError)) },
		},
		"a proxy that wants another password":         tunnel(http.StatusProxyAuthRequired, false),
		"a proxy that forbids the host":               tunnel(http.StatusForbidden, false),
		"a proxy that forbids, and our own transport": tunnel(http.StatusForbidden, true),
	} {
		for operation, call := range callsAndExchange() {
			t.Run(name+"/"+operation, func(t *testing.T) {
				base, transport := tc.setUp(t)
				client := &http.Client{Transport: transport}
				if transport == nil {
					client.Transport = send.DefaultTransport()
				}
				c := clientOf(t, base, operation, client, WithRetry(Retry{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}))
				e := asError(t, call(t.Context(), c))
				require.Equal(t, 1, e.Attempts, "%v", e)
				require.Contains(t, e.Error(), tc.text)
				require.NotContains(t, e.Error(), testSecret)
				require.Equal(t, ActionFixRequest, e.Action())
				require.True(t, tc.cause(e), "%v", e.Unwrap())
				require.Equal(t, tc.sent, e.Outcome == OutcomeUnknown, e.Outcome)
			})
		}
	}
}

// demanding is a server that wants a certificate of the client's.
func demanding(t *testing.T, h http.Handler, version uint16) (string, *http.Transport) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version}
	s.StartTLS()
	base := s.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(s.Close)
	t.Cleanup(base.CloseIdleConnections)
	return s.URL, base
}

// greeting is a server that speaks first, and is none of HTTP.
func greeting(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// tunnel is the way through a proxy that refuses it.
func tunnel(status int, own bool) hopelessWay {
	return hopelessWay{
		setUp: func(t *testing.T) (string, *http.Transport) {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
			t.Cleanup(proxy.Close)
			u, err := url.Parse(proxy.URL)
			require.NoError(t, err)
			u.User = url.UserPassword("proxy", testSecret)
			base := &http.Transport{}
			if own {
				base = send.DefaultTransport()
			}
			base.Proxy = http.ProxyURL(u)
			t.Cleanup(base.CloseIdleConnections)
			return "https://api.example.test", base
		},
		text:  fmt.Sprintf("the proxy refused the tunnel: %d %s", status, http.StatusText(status)),
		cause: func(err error) bool { return err != nil },
	}
}

// A proxy that cannot reach the server now is another matter.
func TestProxyThatFailsIsAskedAgain(t *testing.T) {
	for _, own := range []bool{false, true} {
		base, transport := tunnel(http.StatusBadGateway, own).setUp(t)
		c := clientOf(t, base, "", &http.Client{Transport: transport}, WithRetry(Retry{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}))
		_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
		e := asError(t, err)
		require.Equal(t, 4, e.Attempts)
		require.Equal(t, OutcomeNotSent, e.Outcome)
		require.Equal(t, ActionRetry, e.Action())
	}
}

// An http.Client without a transport means http.DefaultTransport, whatever that is when the request goes out.
func TestClientWithoutTransport(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	for name, client := range map[string]*http.Client{"the default": http.DefaultClient, "an empty one": {}} {
		http.DefaultTransport = before
		c := clientOf(t, "https://api.example.test", "", client)
		asked := 0
		http.DefaultTransport = roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			return reply(200, `{"data":[]}`), nil
		})
		_, err := c.Links.List(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, 1, asked, name)
	}
}

// Plain http to loopback goes past the proxy of the environment, however the host is written.
func TestLoopbackAndProxies(t *testing.T) {
	spellings := map[string]bool{ // and whether it is one
		"http://127.0.0.1:9": true, "http://localhost:9": true, "http://LOCALHOST:9": true, "http://LocalHost:9/v2": true, "http://127.9.9.9:9": true,
		"http://[::1]:9": true, "http://[::ffff:127.0.0.1]:9": true, "http://[::FFFF:7f00:1]:9": true, "http://[::1%25lo]:9": true, "http://[::1]": true,
		"http://127.0.0.1": true, "http://localho\u017ft:9": false, "http://127.0.0.1.:9": false, "http://localhost.:9": false, "http://0:9": false,
		"http://127.1:9": false, "http://[::127.0.0.1]:9": false, "http://localhost.example.com:9": false, "http://0x7f.1:9": false,
	}
	const child = "DUOLINK_TEST_PROXY"
	if os.Getenv(child) != "" { // net/http reads the environment once
		for base := range spellings {
			c, err := New(WithSupermetrics(BearerToken(testKey)), WithBaseURL(Supermetrics, base))
			if err != nil {
				continue
			}
			_, err = c.Links.List(t.Context(), WithoutRetry())
			require.Error(t, err)
		}
		return
	}
	for base, is := range spellings {
		_, err := New(WithBaseURL(Supermetrics, base))
		require.Equal(t, is, err == nil, "%s: %v", base, err)
	}
	var seen atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer proxy.Close()
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoopbackAndProxies$")
	run.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Zero(t, seen.Load(), "requests that the proxy saw")
}

// A cookie that the server gave to the client's own credential travels with that credential alone.
func TestCookiesOfTenants(t *testing.T) {
	var crossed, kept atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch cookie, err := r.Cookie("session"); {
		case err != nil:
		case cookie.Value == own:
			kept.Add(1)
		default:
			crossed.Add(1)
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: own, Path: "/"})
		_, _ = io.WriteString(w, `{"data":[]}`)
	}))
	defer server.Close()
	tenant := 0
	for name, credentials := range map[string]Credentials{
		"one token": BearerToken("tenant_own"),
		"a function": BearerTokenFunc(func(context.Context) (string, error) {
			tenant++
			return fmt.Sprintf("tenant_%d", tenant), nil
		}),
	} {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		c, err := New(WithSupermetrics(credentials), WithBaseURL(Supermetrics, server.URL), WithHTTPClient(&http.Client{Jar: jar}))
		require.NoError(t, err)
		for range 3 {
			_, err = c.Links.List(t.Context())
			require.NoError(t, err, name)
			_, err = c.Links.List(t.Context(), WithToken("tenant_other"))
			require.NoError(t, err, name)
		}
	}
	require.Zero(t, crossed.Load(), "sessions that came with another's token")
	require.EqualValues(t, 2, kept.Load(), "the client's own")
}

// A transport, or a dialer, may ask for something else on the way with the request's context, such as a token. That is not
// the request, and does not end it.
func TestRequestOfTheTransportsOwn(t *testing.T) {
	var creations atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			creations.Add(1)
		}
		_, _ = io.WriteString(w, answers[map[bool]string{true: "links.create", false: "links.list"}[r.Method == http.MethodPost]])
	}))
	defer api.Close()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a token") }))
	defer tokens.Close()
	side := &http.Transport{DisableKeepAlives: true}
	ask := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, tokens.URL, nil)
		if err != nil {
			return err
		}
		resp, err := side.RoundTrip(r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	base := &http.Transport{DisableKeepAlives: true}
	for name, transport := range map[string]http.RoundTripper{
		"a transport": roundTrip(func(r *http.Request) (*http.Response, error) {
			if err := ask(r.Context()); err != nil {
				return nil, err
			}
			return base.RoundTrip(r)
		}),
		"a dialer": &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if err := ask(ctx); err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			creations.Store(0)
			c := clientOf(t, api.URL, "", &http.Client{Transport: transport})
			_, err := c.Links.List(t.Context(), WithoutRetry())
			require.NoError(t, err)
			_, err = c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, WithoutRetry())
			require.NoError(t, err)
			require.EqualValues(t, 1, creations.Load())
		})
	}
}

// slowClose is a connection that takes its time to close, as one through a tunnel does.
type slowClose struct{ net.Conn }

func (c slowClose) Close() error {
	time.Sleep(5 * time.Millisecond)
	return c.Conn.Close()
}

// Where one host speaks HTTP/2 without TLS and another HTTP/1, a request to the second that is held back is sent once.
func TestProtocolsOfTwoHosts(t *testing.T) {
	for range 20 {
		modern, modernBase := speaking(t, "HTTP/2 without TLS", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"link_id":"mk_1"}`)
		}))
		var arrived atomic.Int32
		old, oldBase := speaking(t, "HTTP/1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			arrived.Add(1)
			_, _ = io.WriteString(w, answers["links.create"])
		}))
		asked, release := make(chan struct{}), make(chan struct{})
		var dials atomic.Int32
		oldBase.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				close(asked)
				<-release
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return slowClose{conn}, err
		}
		c, err := New(WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)),
			WithBaseURL(Supermetrics, old.URL), WithBaseURL(MoneyKit, modern.URL),
			WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if "http://"+r.URL.Host == modern.URL {
					return modernBase.RoundTrip(r)
				}
				return oldBase.RoundTrip(r)
			})}))
		require.NoError(t, err)
		_, err = c.Identity.Link(t.Context(), "mk_1")
		require.NoError(t, err)
		result := make(chan error, 1)
		go func() {
			_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
			result <- err
		}()
		<-asked
		for _, g := range groupsOf(c, linksCreate) {
			c.pace.Refuse(g.key, pace.Permit{}, time.Now(), time.Millisecond)
		}
		close(release)
		require.NoError(t, <-result)
		require.EqualValues(t, 1, arrived.Load())
	}
}

// A good status whose answer is of no use keeps its Retry-After as well.
func TestRetryAfterOfAnAnswerOfNoUse(t *testing.T) {
	for name, tc := range map[string]struct {
		body io.Reader
		size int64
		sent int
	}{
		"it breaks off":     {io.MultiReader(strings.NewReader(`{"data":`), iotestErr{io.ErrUnexpectedEOF}), 100, 2},
		"it cannot be read": {strings.NewReader(`"x"`), 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				c := clientOf(t, "https://api.example.test", "", &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
					if at = append(at, time.Now()); len(at) > 1 {
						return reply(200, `{"data":[]}`), nil
					}
					header := http.Header{"Retry-After": {"30"}}
					return &http.Response{StatusCode: 200, ContentLength: tc.size, Header: header, Body: io.NopCloser(tc.body)}, nil
				})})
				_, err := c.Links.List(t.Context())
				require.Len(t, at, tc.sent)
				if tc.sent == 1 {
					require.Equal(t, 30*time.Second, asError(t, err).RetryAfter)
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, at[1].Sub(at[0]), 30*time.Second)
			})
		})
	}
}

// iotestErr is a body that ends with an error.
type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

// A transport that has answered, while the request that it began goes on, sends nothing more. For the race detector, the next
// attempt begins meanwhile.
func TestTransportThatGoesOn(t *testing.T) {
	var arrived atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	defer api.Close()
	asked, release := make(chan struct{}, 8), make(chan struct{})
	base := &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		asked <- struct{}{}
		<-release
		return net.Dial(network, address)
	}}
	var under sync.WaitGroup
	through := roundTrip(func(r *http.Request) (*http.Response, error) {
		under.Go(func() {
			if resp, err := base.RoundTrip(r.WithContext(context.WithoutCancel(r.Context()))); err == nil {
				_ = resp.Body.Close()
			}
		})
		<-asked
		return nil, &net.OpError{Op: "dial", Err: errors.New("it takes too long")}
	})
	c := clientOf(t, api.URL, "", &http.Client{Transport: through}, WithRetry(Retry{MinBackoff: 1, MaxBackoff: 1}))
	_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
	require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
	close(release)
	under.Wait()
	require.Zero(t, arrived.Load())
}

// A transport that panics leaves nothing behind.
func TestTransportThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ctx context.Context
		c := clientOf(t, "https://api.example.test", "", &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			ctx = r.Context()
			panic("the transport's own")
		})})
		require.PanicsWithValue(t, "the transport's own", func() { _, _ = c.Links.List(t.Context()) })
		require.Error(t, ctx.Err(), "the attempt's context has ended")
	})
}

// A server that has failed inside says so with a TLS alert, too. That may be over the next time.
func TestAlertThatPasses(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":[]}`) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	base := s.Client().Transport.(*http.Transport).Clone()
	defer base.CloseIdleConnections()
	var conns atomic.Int32
	good := s.TLS.Certificates[0]
	s.TLS.Certificates = nil
	s.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if conns.Add(1) == 1 {
			return nil, errors.New("the store of certificates is busy")
		}
		return &good, nil
	}
	c := clientOf(t, s.URL, "", &http.Client{Transport: base}, WithRetry(Retry{MinBackoff: 1, MaxBackoff: 1}))
	_, err := c.Links.List(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, conns.Load())
}
