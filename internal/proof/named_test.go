package proof

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// What failed underneath is named by what it is, over real sockets, for every operation.
func TestWhatFailedIsNamed(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := closed.Addr().String()
	require.NoError(t, closed.Close())
	good := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) })
	// Go's server says this to a client that speaks http to its https port.
	wrongPort := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Client sent an HTTP request to an HTTPS server.", http.StatusBadRequest)
	})
	plain, wrong := httptest.NewServer(good), httptest.NewServer(wrongPort)
	encrypted := httptest.NewUnstartedServer(good)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of each handshake
	encrypted.StartTLS()
	for _, s := range []*httptest.Server{plain, encrypted, wrong} {
		defer s.Close()
	}
	host := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = mute.Close() }()
	go func() {
		for {
			conn, err := mute.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.6\r\n"))
			_ = conn.Close()
		}
	}()
	unknown := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}}
	}}
	proxied := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: gone})}
	for name, tc := range map[string]struct {
		base      string
		transport *http.Transport
		want      string
		kind      error
	}{
		"nobody listens":       {"http://" + gone, &http.Transport{}, "connection refused (" + gone + ")", nil},
		"no such host":         {"https://nowhere", unknown, "host not found (nowhere)", nil},
		"a proxy that is gone": {"https://api.example", proxied, "no connection to the proxy", nil},
		"https to http":        {"https://" + host(plain), &http.Transport{}, "the server does not speak TLS", nil},
		"an unknown authority": {
			"https://" + host(encrypted), &http.Transport{}, "certificate not trusted: its authority is not known", nil,
		},
		"not HTTP": {"http://" + mute.Addr().String(), &http.Transport{}, "the answer is not HTTP", nil},
		"http to https": {"http://" + host(wrong), &http.Transport{},
			"the server speaks https, and the base URL says http (" + host(wrong) + ")", duolink.ErrBadRequest},
	} {
		defer tc.transport.CloseIdleConnections()
		for _, op := range operations.Methods {
			t.Run(name+"/"+op.Name, func(t *testing.T) {
				c := clientOf(t, tc.base, op, &http.Client{Transport: tc.transport})
				err := op.Call(t.Context(), c, duolink.WithoutRetry())
				e := asError(t, err)
				require.Equal(t, tc.want, e.Message)
				require.Contains(t, err.Error(), tc.want)
				require.Equal(t, tc.kind, e.Kind)
				oneLine(t, err)
			})
		}
	}
}
