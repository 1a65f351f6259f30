package duolink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/send"
	"github.com/stretchr/testify/require"
)

// hopelessWay is a connection to a server that always fails in the same way.
type hopelessWay struct {
	setUp func(t *testing.T) (base string, transport *http.Transport)
	text  string
	cause func(error) bool
	sent  bool // the request may have left
}

// If no repetition helps, a call is tried once. The error names the reason and asks for another
// set-up. It keeps its cause.
func TestWhatNoRepetitionCures(t *testing.T) {
	t.Parallel()
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
				c := clientOf(t, base, operation, client,
					WithRetry(Retry{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}))
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

// demanding is a server that wants a certificate of the client.
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

// greeting is a server that speaks first, and does not speak HTTP.
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

// tunnel is a connection through a proxy that refuses it.
func tunnel(status int, own bool) hopelessWay {
	return hopelessWay{
		setUp: func(t *testing.T) (string, *http.Transport) {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
				_ *http.Request) {
				w.WriteHeader(status)
			}))
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

// If a proxy cannot reach the server now, the call is repeated.
func TestProxyThatFailsIsAskedAgain(t *testing.T) {
	for _, own := range []bool{false, true} {
		base, transport := tunnel(http.StatusBadGateway, own).setUp(t)
		c := clientOf(t, base, "", &http.Client{Transport: transport},
			WithRetry(Retry{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}))
		_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
		e := asError(t, err)
		require.Equal(t, 4, e.Attempts)
		require.Equal(t, OutcomeNotSent, e.Outcome)
		require.Equal(t, ActionRetry, e.Action())
	}
}

// A server with an internal error also sends a TLS alert. That may pass, so the call is repeated.
func TestAlertThatPasses(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":[]}`)
	}))
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
