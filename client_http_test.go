package duolink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The caller's http.Client is read, never written. Later changes of it have no effect.
func TestHTTPClientIsCopied(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, `{"data":[]}`)
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	redirects := 0
	own := &http.Client{
		Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { redirects++; return nil },
	}
	before := *own
	unchanged := func() {
		require.Same(t, transport, own.Transport)
		require.Same(t, jar, own.Jar)
		require.Equal(t, reflect.ValueOf(before.CheckRedirect).Pointer(), reflect.ValueOf(own.CheckRedirect).Pointer())
		require.Equal(t, before.Timeout, own.Timeout)
	}
	c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(own), WithBaseURL(Supermetrics, server.URL))
	require.NoError(t, err)
	unchanged()
	_, err = c.Links.List(t.Context())
	require.ErrorIs(t, err, ErrMalformedResponse)
	_, err = c.Links.List(t.Context())
	require.NoError(t, err)
	unchanged()
	require.Zero(t, redirects)
	require.EqualValues(t, 2, asked.Load())
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	require.Len(t, jar.Cookies(base), 1, "its cookie jar is used")

	own.Transport, own.Timeout = roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("not this one")
	}), 1
	_, err = c.Links.List(t.Context())
	require.NoError(t, err)

	empty := &http.Client{}
	_, err = New(WithHTTPClient(empty))
	require.NoError(t, err)
	require.Equal(t, &http.Client{}, empty)
	require.Nil(t, http.DefaultClient.Transport)
	require.Nil(t, http.DefaultClient.CheckRedirect)
}

// An http.Client without a transport means http.DefaultTransport, as it is when the request goes
// out.
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

// Plain http to loopback does not use the proxy of the environment, in any spelling of the host.
func TestLoopbackAndProxies(t *testing.T) {
	spellings := map[string]bool{ // and whether it is one
		"http://127.0.0.1:9": true, "http://localhost:9": true, "http://LOCALHOST:9": true,
		"http://LocalHost:9/v2": true,
		"http://127.9.9.9:9":    true,
		"http://[::1]:9":        true, "http://[::ffff:127.0.0.1]:9": true, "http://[::FFFF:7f00:1]:9": true,
		"http://[::1%25lo]:9": true, "http://[::1]": true,
		"http://127.0.0.1": true, "http://localho\u017ft:9": false, "http://127.0.0.1.:9": false,
		"http://localhost.:9": false, "http://0:9": false,
		"http://127.1:9": false, "http://[::127.0.0.1]:9": false, "http://localhost.example.com:9": false,
		"http://0x7f.1:9": false,
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
	run.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=",
		"no_proxy=")
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Zero(t, seen.Load(), "requests that the proxy saw")
}

// A cookie that the server gave to the client's own credential travels only with that credential.
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
		c, err := New(WithSupermetrics(credentials), WithBaseURL(Supermetrics, server.URL),
			WithHTTPClient(&http.Client{Jar: jar}))
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
