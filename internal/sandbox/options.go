package sandbox

import (
	"strings"
	"time"
)

// config is what the options write into.
type config struct {
	keys           map[string]bool
	hourlyLimit    int
	perSecond      int
	linkLimit      int
	moneyKitLimits bool
	tokenLife      time.Duration
	refreshTime    time.Duration
	placeholders   bool
	gzip           bool
	skew           time.Duration
	loginPages     bool
	loginBase      string
}

// Option changes what a Sandbox accepts, how fast it is and how much it bears.
type Option func(*config)

// WithAPIKey makes Supermetrics accept one more credential beside [APIKey]. It sees the same data
// and has an hourly limit of its own.
func WithAPIKey(key string) Option {
	return func(c *config) { c.keys[key] = true }
}

// WithHourlyLimit sets how many Supermetrics requests a credential may make in an hour, counted
// from its first one; 5000 without the option. Zero switches the limit off, and with it the
// X-RateLimit headers.
func WithHourlyLimit(n int) Option {
	return func(c *config) { c.hourlyLimit = n }
}

// WithRequestsPerSecond makes a token bucket stand before both APIs: it holds n requests and n flow
// in a second. A request that finds it empty is answered with 429 and Retry-After: 1. A bucket that
// has rested lets n pass at once.
func WithRequestsPerSecond(n int) Option {
	return func(c *config) { c.perSecond = n }
}

// WithLinkLimit sets how many login links may be open at a time; creating one more is a 403
// LINK_LIMIT_EXCEEDED.
func WithLinkLimit(n int) Option {
	return func(c *config) { c.linkLimit = n }
}

// WithMoneyKitLimits turns on MoneyKit's limits: per minute for each link and each client, and the
// hour or day between two refreshes of a product. A window begins with the first request that falls
// into it.
func WithMoneyKitLimits() Option {
	return func(c *config) { c.moneyKitLimits = true }
}

// WithTokenLife sets how long a token from the exchange lives; an hour without the option.
func WithTokenLife(d time.Duration) Option {
	return func(c *config) { c.tokenLife = d }
}

// WithRefreshTime sets how long a refresh of a product takes; two seconds without the option.
func WithRefreshTime(d time.Duration) Option {
	return func(c *config) { c.refreshTime = d }
}

// WithDocumentationPlaceholders lets the request of MoneyKit's documentation for auth/get work
// exactly as it is printed: <api-key> and <string> stand for the client id, <string> for the
// secret, for the access token, and, among the account ids, for all accounts. The real values keep
// working.
func WithDocumentationPlaceholders() Option {
	return func(c *config) { c.placeholders = true }
}

// WithLoginPages makes the login URLs lead to the sandbox itself: to its stand-in for a data
// source's login page, which is under /login/. The base is how a browser gets to the sandbox, like
// "http://127.0.0.1:8080"; where it is empty, a login URL has the scheme and the host of the
// request that asks for it. Without the option login URLs lead nowhere.
func WithLoginPages(base string) Option {
	return func(c *config) { c.loginPages, c.loginBase = true, strings.TrimSuffix(base, "/") }
}

// WithGzip compresses the answers for clients that accept gzip, except those that a fault
// truncates, stalls or replaces.
func WithGzip() Option {
	return func(c *config) { c.gzip = true }
}

// WithClockSkew sets the server's clock ahead of the machine's, or with less than 0 behind it. The
// Date of its answers says so.
func WithClockSkew(d time.Duration) Option {
	return func(c *config) { c.skew = d }
}
