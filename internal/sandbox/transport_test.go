package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// rig is a sandbox with a client.
type rig struct {
	*Sandbox
	base   string
	client *http.Client
}

// over runs a test twice: on a real socket, and on pipes inside a bubble.
func over(t *testing.T, test func(t *testing.T, r rig), opts ...Option) {
	t.Run("httptest", func(t *testing.T) {
		s := New(opts...)
		server := httptest.NewServer(s)
		defer server.Close()
		test(t, rig{s, server.URL, server.Client()})
	})
	t.Run("transport", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := New(opts...)
			transport := s.Transport()
			defer transport.Close()
			test(t, rig{s, "http://sandbox.test", &http.Client{Transport: transport}})
		})
	})
}

func (r rig) request(ctx context.Context, method, path, body string) (*http.Response, error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+APIKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return r.client.Do(req)
}

func (r rig) must(t *testing.T, method, path, body string) result {
	t.Helper()
	resp, err := r.request(t.Context(), method, path, body)
	require.NoError(t, err)
	return read(t, resp)
}

func TestFaultReplacesTheAnswer(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.Script(
			Fault{Operation: "links.create", Status: 503, Header: http.Header{"retry-after": {"7"}},
				Body: `{"error":"down"}`},
			Fault{Operation: "links.create", Status: 500, Perform: true},
			Fault{Operation: "logins.list", Body: `{"data":null}`, Times: 2},
		)
		got := r.must(t, "POST", "/v2/ds/login/link", `{"ds_id":"FB"}`)
		require.Equal(t, 503, got.status)
		require.Equal(t, "7", got.header.Get("Retry-After"))
		require.Equal(t, "down", got.at("error"))
		require.Len(t, r.Links(), 4, "nothing was done")

		got = r.must(t, "POST", "/v2/ds/login/link", `{"ds_id":"FB"}`)
		require.Equal(t, 500, got.status)
		require.Empty(t, got.text)
		require.Len(t, r.Links(), 5, "it was done all the same")

		require.Equal(t, 1, r.Pending())
		require.Equal(t, `{"data":null}`, r.must(t, "GET", "/v2/ds/logins", "").text)
		require.Equal(t, 1, r.Pending())
		require.Equal(t, `{"data":null}`, r.must(t, "GET", "/v2/ds/logins", "").text)
		require.Zero(t, r.Pending())
		require.Equal(t, 200, r.must(t, "GET", "/v2/ds/logins", "").status)
		require.Equal(t, 503, r.Requests()[0].Status)
	})
}

func TestFaultForEverything(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.Script(Fault{Status: 204, Header: http.Header{"Content-Type": nil}, Times: -1})
		for _, path := range []string{"/v2/ds/logins", "/nothing", "/links/" + LinkID} {
			got := r.must(t, "GET", path, "")
			require.Equal(t, 204, got.status)
			require.NotContains(t, got.header, "Content-Type")
		}
		require.Equal(t, 1, r.Pending())
		r.ClearScript()
		require.Equal(t, 200, r.must(t, "GET", "/v2/ds/logins", "").status)
	})
}

func TestFaultAddsHeaders(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.Script(Fault{Header: http.Header{"X-RateLimit-Remaining": {"17"}, "Content-Type": {"text/html"}}})
		got := r.must(t, "GET", "/v2/ds/logins", "")
		require.Equal(t, []string{"17"}, got.header.Values("X-RateLimit-Remaining"))
		require.Equal(t, "text/html", got.header.Get("Content-Type"))
		require.Len(t, got.at("data"), 6)
	})
}

func TestFaultDrops(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.Script(Fault{Drop: DropBefore})
		_, err := r.request(t.Context(), "POST", "/v2/ds/login/link", `{"ds_id":"FB"}`)
		require.Error(t, err)
		require.Len(t, r.Links(), 4)

		r.Script(Fault{Drop: DropAfter})
		_, err = r.request(t.Context(), "POST", "/v2/ds/login/link", `{"ds_id":"FB"}`)
		require.Error(t, err)
		require.Len(t, r.Links(), 5)
		require.Equal(t, 2, r.Count("links.create"))
		require.Zero(t, r.Requests()[0].Status)
	})
}

func TestNetHTTPRepeatsADroppedGetOnAnOldConnection(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.must(t, "GET", "/v2/ds/logins", "")
		r.Script(Fault{Drop: DropBefore})
		require.Equal(t, 200, r.must(t, "GET", "/v2/ds/logins", "").status)
		require.Equal(t, 3, r.Count("logins.list"))
	})
}

func TestFaultTruncates(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.Script(Fault{Truncate: 10})
		resp, err := r.request(t.Context(), "GET", "/v2/ds/logins", "")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, body, 10)
		require.Greater(t, resp.ContentLength, int64(10))
		require.NoError(t, resp.Body.Close())
	})
}

func TestFaultStalls(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		r.Script(Fault{Stall: true, Body: `{"data":[]}`})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp, err := r.request(ctx, "GET", "/v2/ds/logins", "")
		require.NoError(t, err)
		half := make([]byte, 5)
		_, err = io.ReadFull(resp.Body, half)
		require.NoError(t, err)
		cancel()
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, resp.Body.Close())
	})
}

func TestGzip(t *testing.T) {
	over(t, func(t *testing.T, r rig) {
		resp, err := r.request(t.Context(), "GET", "/v2/ds/logins", "")
		require.NoError(t, err)
		require.True(t, resp.Uncompressed)
		require.Len(t, read(t, resp).at("data"), 6)
	}, WithGzip())
}

func inBubble(t *testing.T, test func(t *testing.T, r rig, transport *Transport)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New()
		transport := s.Transport()
		defer transport.Close()
		test(t, rig{s, "http://sandbox.test", &http.Client{Transport: transport}}, transport)
	})
}

func TestDelayIsVirtual(t *testing.T) {
	inBubble(t, func(t *testing.T, r rig, _ *Transport) {
		r.Script(Fault{Delay: time.Hour})
		start := time.Now()
		require.Equal(t, 201, r.must(t, "POST", "/v2/ds/login/link", `{"ds_id":"FB"}`).status)
		require.Equal(t, time.Hour, time.Since(start))
	})
}

func TestDelayEndsWithTheClient(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		links int
	}{
		"before the operation": {Fault{Delay: time.Hour}, 4},
		"after the operation":  {Fault{Delay: time.Hour, Perform: true}, 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r rig, _ *Transport) {
				r.Script(tt.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				_, err := r.request(ctx, "POST", "/v2/ds/login/link", `{"ds_id":"FB"}`)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, time.Minute, time.Since(start))
				synctest.Wait()
				require.Len(t, r.Links(), tt.links)
			})
		})
	}
}

func TestManyGoroutines(t *testing.T) {
	inBubble(t, func(t *testing.T, r rig, transport *Transport) {
		r.Script(Fault{Operation: "logins.get", Delay: time.Minute, Times: -1})
		start := time.Now()
		var group sync.WaitGroup
		var good atomic.Int64
		for range 200 {
			group.Go(func() {
				resp, err := r.request(t.Context(), "GET", "/v2/ds/login/dsl_1", "")
				if err == nil && resp.StatusCode == 200 && resp.Body.Close() == nil {
					good.Add(1)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 200, good.Load())
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, 200, transport.Conns())
		require.Equal(t, 200, r.Count("logins.get"))
	})
}

// A connection that is forgotten is closed: else Close could return while it is still open.
func TestForgottenConnectionIsClosed(t *testing.T) {
	client, server := net.Pipe()
	defer func() { require.NoError(t, server.Close()) }()
	require.NoError(t, client.SetReadDeadline(time.Unix(0, 0))) // reading would wait
	forgotten := false
	conn := &trackedConn{client, func() {
		forgotten = true
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}}
	require.NoError(t, conn.Close())
	require.True(t, forgotten)
}

func TestConnectionsAreKept(t *testing.T) {
	inBubble(t, func(t *testing.T, r rig, transport *Transport) {
		var reused bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		for i := range 3 {
			resp, err := r.request(ctx, "GET", "/v2/ds/logins", "")
			require.NoError(t, err)
			read(t, resp)
			require.Equal(t, i > 0, reused)
		}
		require.Equal(t, 1, transport.Conns())
		r.base = "https://api.example.com"
		require.Equal(t, 200, r.must(t, "GET", "/v2/ds/logins", "").status)
		require.Equal(t, 2, transport.Conns())
	})
}

func TestRefuseDials(t *testing.T) {
	inBubble(t, func(t *testing.T, r rig, transport *Transport) {
		transport.RefuseDials(1)
		_, err := r.request(t.Context(), "GET", "/v2/ds/logins", "")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		var dial *net.OpError
		require.True(t, errors.As(err, &dial))
		require.Equal(t, "dial", dial.Op)
		require.Zero(t, transport.Conns())
		require.Equal(t, 200, r.must(t, "GET", "/v2/ds/logins", "").status)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, r rig, transport *Transport) {
		r.must(t, "GET", "/v2/ds/logins", "") // leaves an idle connection
		r.Script(Fault{Delay: time.Hour}, Fault{Stall: true})
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				resp, err := r.request(t.Context(), "GET", "/v2/ds/logins", "")
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				}
				if err == nil {
					t.Error("the request should have failed")
				}
			})
		}
		synctest.Wait()
		transport.Close()
		group.Wait()
		_, err := r.request(t.Context(), "GET", "/v2/ds/logins", "")
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
