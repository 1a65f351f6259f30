package send

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// DefaultTransport is net/http's transport with more idle connections to a host and bounded
// headers.
func DefaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    100,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		OnProxyConnectResponse: refuseTunnel,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// LoopbackName returns a loopback host in the spelling for which net/http uses no proxy. It returns
// "" for any other host.
func LoopbackName(host string) string {
	if strings.ToLower(host) == "localhost" { // EqualFold would fold letters outside ASCII as well
		return "localhost"
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return ip.WithZone("").Unmap().String()
	}
	return ""
}

// HostPort joins a host and a port, which may be empty.
func HostPort(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// IsHeaderName reports whether a text is a token of RFC 9110.
func IsHeaderName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// IsHeaderText reports whether a text may stand in a header: visible ASCII, spaces and tabs.
func IsHeaderText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') })
}

// RedirectHost names the host that a redirect leads to, in words.
func RedirectHost(location string) string {
	u, err := url.Parse(location)
	switch {
	case err != nil || location == "" || u.Scheme != "" && u.Hostname() == "":
		return "nowhere that can be read"
	case u.Host == "":
		return "the same host"
	}
	return u.Host
}
