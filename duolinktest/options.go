package duolinktest

import (
	"time"

	"github.com/duolink/duolink/internal/sandbox"
)

// Option changes what a [Server] has, accepts and allows.
type Option func(*settings)

type settings struct {
	server  *Server
	options []sandbox.Option
}

func with(option sandbox.Option) Option {
	return func(s *settings) { s.options = append(s.options, option) }
}

// WithoutSamples starts without logins, login links and bank links.
func WithoutSamples() Option { return with(sandbox.WithoutSamples()) }

// WithHTTP2 lets [Server.URL] speak only HTTP/2, without TLS. The client needs an http.Client whose
// http.Transport has Protocols with UnencryptedHTTP2.
func WithHTTP2() Option { return func(s *settings) { s.server.http2 = true } }

// WithAPIKey accepts one more Supermetrics key. It has the same data and its own hourly limit.
func WithAPIKey(key string) Option { return with(sandbox.WithAPIKey(key)) }

// WithHourlyLimit sets how many Supermetrics requests a key may make in an hour, from its first
// request on. Without the option it is 5000. Zero switches the limit and its headers off.
func WithHourlyLimit(requests int) Option { return with(sandbox.WithHourlyLimit(requests)) }

// WithRequestsPerSecond lets only so many requests a second pass, for both APIs. The others get a 429
// with Retry-After: 1. A second's worth may come at once.
func WithRequestsPerSecond(requests int) Option { return with(sandbox.WithRequestsPerSecond(requests)) }

// WithLinkLimit sets how many login links may be open at a time. One more is a 403 with
// LINK_LIMIT_EXCEEDED.
func WithLinkLimit(links int) Option { return with(sandbox.WithLinkLimit(links)) }

// WithMoneyKitLimits turns on MoneyKit's limits: per minute for each link and each client, and an hour
// or a day between two refreshes of a product.
func WithMoneyKitLimits() Option { return with(sandbox.WithMoneyKitLimits()) }

// WithRefreshTime sets how long a refresh of a bank link takes. Without the option it is two seconds.
func WithRefreshTime(d time.Duration) Option { return with(sandbox.WithRefreshTime(d)) }

// WithTokenLife sets how long a MoneyKit token lives. Without the option it is an hour.
func WithTokenLife(d time.Duration) Option { return with(sandbox.WithTokenLife(d)) }

// WithClockSkew sets the server's clock ahead of the machine's, or behind it if d is negative.
func WithClockSkew(d time.Duration) Option { return with(sandbox.WithClockSkew(d)) }

// WithGzip compresses answers for clients that accept it.
func WithGzip() Option { return with(sandbox.WithGzip()) }

// WithLoginPages makes the URLs of login links lead to a page of the fake, which plays the data source
// for a person with a browser. The base is the address of the fake for the browser, such as
// "http://127.0.0.1:8081". Without it, the page is at the host of the request that asks for the link.
func WithLoginPages(base string) Option { return with(sandbox.WithLoginPages(base)) }

// WithDocumentationPlaceholders lets the printed example of MoneyKit's documentation for auth/get work
// as it is: <api-key> and <string> stand for the credentials, and <string> for all accounts.
func WithDocumentationPlaceholders() Option { return with(sandbox.WithDocumentationPlaceholders()) }
