package send

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// What no repetition cures is named, and anything else is left as it is, without the URL around it.
func TestCause(t *testing.T) {
	alert := func(op string, n uint8) error { return &net.OpError{Op: op, Err: tls.AlertError(n)} }
	for name, tc := range map[string]struct {
		err  error
		what string
	}{
		"an authority that is not known": {
			x509.UnknownAuthorityError{}, "certificate not trusted: its authority is not known",
		},
		"another host's certificate": {x509.HostnameError{Certificate: &x509.Certificate{}},
			"certificate not trusted: it is for another host"},
		"a certificate that has expired": {
			x509.CertificateInvalidError{Reason: x509.Expired},
			"certificate not trusted: it has expired, or is not valid yet",
		},
		"a certificate for another use": {
			x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, "certificate not trusted",
		},
		"http behind https":        {http.ErrSchemeMismatch, "the server does not speak TLS"},
		"an answer that is no TLS": {tls.RecordHeaderError{Msg: "x"}, "the server does not speak TLS"},
		"an alert of the server": {
			alert("remote error", 42), "the server refused the TLS connection: tls: bad certificate",
		},
		"an alert of our own": {
			alert("local error", 70), "the TLS connection was refused here: tls: protocol version not supported",
		},
		"a proxy that asks who we are": {
			&tunnelError{407}, "the proxy refused the tunnel: 407 Proxy Authentication Required",
		},

		"a proxy that has failed":  {&tunnelError{502}, ""},
		"a record that is damaged": {alert("remote error", 20), ""},
		"a server that has failed": {alert("remote error", 80), ""},
		"a reset":                  {&net.OpError{Op: "read", Err: errors.New("reset")}, ""},
		"an end":                   {io.ErrUnexpectedEOF, ""},
	} {
		t.Run(name, func(t *testing.T) {
			around := &url.Error{Op: "Get", URL: "https://api.example/?secret",
				Err: fmt.Errorf("on the way: %w", tc.err)}
			got := (&Sending{ctx: t.Context()}).Cause(around)
			require.NotContains(t, got.Error(), "secret")
			require.ErrorIs(t, got, tc.err)
			require.Equal(t, tc.what != "", IsIncurable(got))
			if tc.what != "" {
				require.Equal(t, tc.what, got.Error())
			}
		})
	}
	require.Equal(t, io.EOF, (*Sending)(nil).Cause(&url.Error{Err: io.EOF}), "of one that never began")
}

// What this package has ended a request for says more than what the transport made of it.
func TestCauseOfOurOwn(t *testing.T) {
	for _, own := range []error{ErrSentAgain, ErrNotNow, ErrNobodyWaits, ErrAttemptEnded} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(own)
		require.Equal(t, own, (&Sending{ctx: ctx}).Cause(context.Canceled))
	}
	require.ErrorIs(t, ErrNobodyWaits, context.Canceled)
	require.NotErrorIs(t, ErrAttemptEnded, context.DeadlineExceeded, "it is not the caller's deadline")
}
