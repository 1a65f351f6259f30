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
	empty          bool
	loginPages     bool
	loginBase      string
}

// Option changes what a Sandbox accepts, how fast it is, and its limits.
type Option func(*config)

// WithAPIKey makes Supermetrics accept one more credential beside [APIKey]. The credential has the
// same data and its own hourly limit.
func WithAPIKey(key string) Option {
	return func(c *config) { c.keys[key] = true }
}

// WithHourlyLimit sets how many Supermetrics requests a credential may make in an hour, from the
// first request on. Without the option it is 5000. Zero switches the limit and the X-RateLimit
// headers off.
func WithHourlyLimit(n int) Option {
	return func(c *config) { c.hourlyLimit = n }
}

// WithRequestsPerSecond puts a token bucket before both APIs. It holds n requests, and gets n more
// each second. If it is empty, a request is answered with 429 and Retry-After: 1. A full bucket
// lets n requests pass at once.
func WithRequestsPerSecond(n int) Option {
	return func(c *config) { c.perSecond = n }
}

// WithLinkLimit sets how many login links may be open at a time. Creating one more is a 403
// LINK_LIMIT_EXCEEDED.
func WithLinkLimit(n int) Option {
	return func(c *config) { c.linkLimit = n }
}

// WithMoneyKitLimits turns on MoneyKit's limits: per minute for each link and each client, and the
// hour or day between two refreshes of a product. A window begins with its first request.
func WithMoneyKitLimits() Option {
	return func(c *config) { c.moneyKitLimits = true }
}

// WithTokenLife sets how long a token of the exchange lives. Without the option it is an hour.
func WithTokenLife(d time.Duration) Option {
	return func(c *config) { c.tokenLife = d }
}

// WithRefreshTime sets how long a refresh of a product takes. Without the option it is two seconds.
func WithRefreshTime(d time.Duration) Option {
	return func(c *config) { c.refreshTime = d }
}

// WithDocumentationPlaceholders lets the printed request of MoneyKit's documentation for auth/get
// work as it is. <api-key> and <string> stand for the client id. <string> also stands for the
// secret, the access token and, among the account ids, for all accounts. The real values still
// work.
func WithDocumentationPlaceholders() Option {
	return func(c *config) { c.placeholders = true }
}

// WithLoginPages makes the login URLs lead to the sandbox's own login page under /login/, which
// plays the data source. The base is the sandbox's address for a browser, like
// "http://127.0.0.1:8080". If it is empty, a login URL has the scheme and the host of the request
// that asks for it. Without the option login URLs lead nowhere.
func WithLoginPages(base string) Option {
	return func(c *config) { c.loginPages, c.loginBase = true, strings.TrimSuffix(base, "/") }
}

// WithoutSamples starts without logins, login links and bank links. The credentials work.
func WithoutSamples() Option {
	return func(c *config) { c.empty = true }
}

// WithGzip compresses the answers for clients that accept gzip, except answers that a fault
// truncates, stalls or replaces.
func WithGzip() Option {
	return func(c *config) { c.gzip = true }
}

// WithClockSkew sets the server's clock ahead of the machine's clock, or behind it if d is below 0.
// The Date of its answers shows it.
func WithClockSkew(d time.Duration) Option {
	return func(c *config) { c.skew = d }
}
