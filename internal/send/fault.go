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
	"reflect"
	"strings"
)

// Cause returns why the request failed: the reason for which this package has ended it, or else the
// error without the URL that net/http writes into it. If no repetition helps, it is an [Incurable].
// A nil Sending is a request that was never begun.
func (s *Sending) Cause(err error) error {
	if s == nil {
		return withoutURL(err)
	}
	switch own := context.Cause(s.ctx); own {
	case ErrSentAgain, ErrNotNow, ErrNobodyWaits, ErrAttemptEnded:
		err = own
	}
	return s.diagnose(withoutURL(err))
}

// withoutURL takes the URL off a network error, because *url.Error prints the URL with its query.
func withoutURL(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}

// IsDialError reports whether an error says that there was no connection.
func IsDialError(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect")
}

// IsProxyError reports whether an error is about the connection to a proxy.
func IsProxyError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "proxyconnect" || op.Op == "socks connect")
}

// Incurable is a failure that no repetition cures.
type Incurable struct {
	What string // in our own words
	err  error
}

func (e *Incurable) Error() string { return e.What }
func (e *Incurable) Unwrap() error { return e.err }

// IsIncurable reports whether an error is an [Incurable].
func IsIncurable(err error) bool {
	_, ok := errors.AsType[*Incurable](err)
	return ok
}

// diagnose names a failure that no repetition cures: a certificate, another protocol, a proxy's
// refusal. It returns any other error as it is.
func (s *Sending) diagnose(err error) error {
	var (
		op      *net.OpError
		record  tls.RecordHeaderError
		what    string
		refused *tunnelError
	)
	switch {
	case isCertificateError(err):
		what = "certificate not trusted" + certificateFault(err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		what = "the server does not speak TLS"
	case errors.As(err, &op) && passingAlert(op):
		return err
	case errors.As(err, &op) && op.Op == "remote error":
		what = "the server refused the TLS connection: " + alertText(op.Err)
	case errors.As(err, &op) && op.Op == "local error":
		what = "the TLS connection was refused here: " + alertText(op.Err)
	case errors.As(err, &refused) || s.tunnelRefused(err, &refused):
		if refused.status >= 500 { // the proxy may succeed the next time
			return err
		}
		what = refused.Error()
	case s.handshakeRefused():
		what = "the TLS handshake was refused here"
	default:
		return err
	}
	return &Incurable{what, err}
}

// passingAlert reports whether a TLS alert may pass: a damaged record (20) or an internal error
// (80).
func passingAlert(op *net.OpError) bool {
	v := reflect.ValueOf(op.Err)
	alert := op.Op == "remote error" || op.Op == "local error"
	return alert && v.Kind() == reflect.Uint8 && (v.Uint() == 20 || v.Uint() == 80)
}

// alertText is our own text for a TLS alert, by its number.
func alertText(err error) string {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Uint8 { // crypto/tls does not export its type
		return tls.AlertError(uint8(v.Uint())).Error() //nolint:gosec // the kind says that it fits
	}
	return "a TLS alert"
}

func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &invalid)
}

// certificateFault says what is wrong with a certificate.
func certificateFault(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &hostname):
		return ": it is for another host"
	case errors.As(err, &authority):
		return ": its authority is not known"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": it has expired, or is not valid yet"
	}
	return ""
}

// IsNotHTTP reports whether what came is not HTTP. net/http has no type for that.
func IsNotHTTP(err error) bool {
	return err != nil && strings.Contains(err.Error(), "malformed HTTP")
}

// handshakeRefused reports whether a TLS handshake failed for another reason than the network, for
// example because a check of the caller, such as a pin, refused it.
func (s *Sending) handshakeRefused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var network net.Error
	return s.handshake != nil && !s.connected && !errors.As(s.handshake, &network) &&
		!errors.Is(s.handshake, io.EOF) && !errors.Is(s.handshake, io.ErrUnexpectedEOF) &&
		!errors.Is(s.handshake, net.ErrClosed) && !errors.Is(s.handshake, context.Canceled)
}

// tunnelError is a proxy's refusal to open a tunnel.
type tunnelError struct{ status int }

func (e *tunnelError) Error() string {
	return fmt.Sprintf("the proxy refused the tunnel: %d %s", e.status, http.StatusText(e.status))
}

// tunnelRefused finds a proxy's refusal if the transport is the caller's. Then net/http returns
// only the text of the status, after it has reached the proxy and before it encrypts.
func (s *Sending) tunnelRefused(err error, refused **tunnelError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dialed || s.encrypts || s.connected {
		return false
	}
	for status := 300; status < 600; status++ {
		if text := http.StatusText(status); text != "" && withoutURL(err).Error() == text {
			*refused = &tunnelError{status}
			return true
		}
	}
	return false
}

// refuseTunnel makes a typed error of a proxy's refusal.
func refuseTunnel(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &tunnelError{answer.StatusCode}
}
