package duolink

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/stretchr/testify/require"
)

// A write is OutcomeNotSent only if that is proved. A caller's transport may try another way after
// a failed dial without reporting it, and so may have sent the write.
func TestNotSentIsProved(t *testing.T) {
	dead := errors.New("this way is closed")
	dialing := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil,
			dead
	}}
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
		"a transport that tells nothing": {
			roundTrip(func(*http.Request) (*http.Response, error) { return nil, dead }), false,
		},
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

// Transports with a bug: whatever they leave out, there is an error and no panic. Every body that
// they open is closed.
func TestTransportsThatAnswerOddly(t *testing.T) {
	for name, answer := range map[string]func(closed *atomic.Int32) (*http.Response, error){
		"neither an answer nor an error": func(*atomic.Int32) (*http.Response, error) { return nil, nil },
		"both": func(closed *atomic.Int32) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: closeCounter{strings.NewReader("{}"), closed}},
				io.ErrUnexpectedEOF
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

// A transport or a dialer may send another request with the same context, such as for a token. The
// client does not take it for the request, and does not end it.
func TestRequestOfTheTransportsOwn(t *testing.T) {
	var creations atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			creations.Add(1)
		}
		_, _ = io.WriteString(w,
			answers[map[bool]string{true: "links.create", false: "links.list"}[r.Method == http.MethodPost]])
	}))
	defer api.Close()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a token")
	}))
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
		"a dialer": &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
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

// slowClose is a connection that is slow to close, like a connection through a tunnel.
type slowClose struct{ net.Conn }

func (c slowClose) Close() error {
	time.Sleep(5 * time.Millisecond)
	return c.Conn.Close()
}

// One host speaks HTTP/2 without TLS and another host HTTP/1. A request to the second that is held
// back is sent once.
func TestProtocolsOfTwoHosts(t *testing.T) {
	t.Parallel()
	for range 20 {
		modern, modernBase := speaking(t, "HTTP/2 without TLS",
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
			c.pace.Refuse(g.Name, pace.Permit{}, time.Now(), time.Millisecond)
		}
		close(release)
		require.NoError(t, <-result)
		require.EqualValues(t, 1, arrived.Load())
	}
}

// If a transport has answered while its request still goes on, the request sends nothing more. The
// next attempt begins at the same time, for the race detector.
func TestTransportThatGoesOn(t *testing.T) {
	var arrived atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	defer api.Close()
	asked, release := make(chan struct{}, 8), make(chan struct{})
	base := &http.Transport{DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
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
		c := clientOf(t, "https://api.example.test", "",
			&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				ctx = r.Context()
				panic("the transport's own")
			})})
		require.PanicsWithValue(t, "the transport's own", func() { _, _ = c.Links.List(t.Context()) })
		require.Error(t, ctx.Err(), "the attempt's context has ended")
	})
}
