package duolink

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/send"
)

// Version is the version of this package, as the User-Agent names it.
const Version = "0.1.0"

// API names one of the wire interfaces.
type API string

const (
	// Supermetrics serves logins and login links, at https://api.supermetrics.com/v2.
	Supermetrics API = "supermetrics"
	// MoneyKit serves identity and account numbers, at https://api.moneykit.com.
	MoneyKit API = "moneykit"
	// PlaidCompatible is MoneyKit's Plaid-compatible layer: its base is MoneyKit's with
	// /plaid-compatible behind it, unless WithBaseURL says otherwise.
	PlaidCompatible API = "plaid-compatible"
)

// vendor is the API whose credential this one takes.
func (a API) vendor() API {
	if a == PlaidCompatible {
		return MoneyKit
	}
	return a
}

const (
	supermetricsURL = "https://api.supermetrics.com/v2"
	moneyKitURL     = "https://api.moneykit.com"
	plaidPath       = "/plaid-compatible"

	moneyKitVersion = "2023-02-18"
	plaidVersion    = "2020-09-14"
)

// Client calls both APIs. It is safe for concurrent use; make one and keep it. Printing it shows no
// credentials.
type Client struct {
	// Logins are the data source logins at Supermetrics, and the accounts that they reach.
	Logins *LoginsService
	// Links are the login links at Supermetrics.
	Links *LinksService
	// Identity reads who owns the accounts of a bank link, at MoneyKit.
	Identity *IdentityService
	// Auth reads the account numbers of a bank link, at MoneyKit.
	Auth *AuthService

	config    config
	http      *http.Client // the caller's, or our own, without a transport
	transport *send.Transport
	auth      map[API]authorizer
	pace      *pace.Groups
	budget    *pace.Budgets
	state     *limitState

	// What callers share while it is under way.
	unattended *flight.Unattended // of both kinds together
	creates    *flight.Group[creation, struct{}]
	refreshes  *flight.Group[refreshResult, RefreshProgress]
}

// config is what the options write into.
type config struct {
	credentials  map[API]Credentials
	base         map[API]hidden // a gateway's key may stand in its path
	insecureHTTP bool
	httpClient   *http.Client
	retry        Retry
	limit        int64
	userAgent    string
	hooks        Hooks
	logger       *slog.Logger
	limiter      Limiter

	redirectParameter string
}

// Option sets up a [Client].
type Option func(*config) error

// New returns a client for the APIs that it is given credentials for. One of the two is enough, or
// none where every call has [WithToken]; a call without any credential is ErrNotConfigured. An
// option that cannot be right is ErrArgument.
func New(opts ...Option) (*Client, error) {
	c := &Client{
		config: config{
			credentials: map[API]Credentials{}, base: map[API]hidden{}, userAgent: "duolink-go/" + Version,
			redirectParameter: defaultRedirectParameter,
		},
		auth:   map[API]authorizer{},
		pace:   pace.NewGroups(),
		budget: pace.NewBudgets(),
		state:  &limitState{latest: map[API]RateLimit{}},

		unattended: &flight.Unattended{},
	}
	c.creates = flight.NewGroup[creation, struct{}](c.unattended)
	c.refreshes = flight.NewGroup[refreshResult, RefreshProgress](c.unattended)
	if err := c.config.apply(opts); err != nil {
		return nil, named(err, "", "new")
	}
	c.http, c.transport = c.config.sender()
	for api, credentials := range c.config.credentials {
		c.auth[api] = credentials.bind(c)
	}
	c.Logins = &LoginsService{c}
	c.Links = &LinksService{c}
	c.Identity = &IdentityService{c}
	c.Auth = &AuthService{c}
	return c, nil
}

func (cfg *config) apply(opts []Option) (err error) {
	for _, opt := range opts {
		if opt == nil {
			return argumentError("an option is nil")
		}
		if err := opt(cfg); err != nil {
			return err
		}
	}
	if cfg.retry, err = cfg.retry.withDefaults(); err != nil {
		return err
	}
	cfg.setDefaultURLs()
	for _, base := range cfg.base {
		if err := cfg.checkScheme(base.reveal()); err != nil {
			return err
		}
	}
	return nil
}

func (cfg *config) setDefaultURLs() {
	for api, base := range map[API]string{Supermetrics: supermetricsURL, MoneyKit: moneyKitURL} {
		if cfg.base[api] == (hidden{}) {
			cfg.base[api] = hide(base)
		}
	}
	if cfg.base[PlaidCompatible] == (hidden{}) {
		cfg.base[PlaidCompatible] = hide(cfg.base[MoneyKit].reveal() + plaidPath)
	}
}

// checkScheme lets a credential travel in the clear only where it does not leave the machine, or by
// request.
func (cfg *config) checkScheme(base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return argumentError("a base URL cannot be read")
	}
	if u.Scheme == "https" || cfg.insecureHTTP || send.LoopbackName(u.Hostname()) != "" {
		return nil
	}
	return argumentError("a base URL is plain http to a host that is not loopback; see WithInsecureHTTP")
}

// sender is the caller's http.Client, or our own, and the transport that every attempt goes
// through. The caller's is copied.
func (cfg *config) sender() (*http.Client, *send.Transport) {
	sender := http.Client{Transport: send.DefaultTransport()}
	if cfg.httpClient != nil {
		sender = *cfg.httpClient
	}
	transport := &send.Transport{Next: sender.Transport}
	// net/http would carry X-Client-Secret and PLAID-SECRET to wherever a redirect leads, and
	// resend the body.
	sender.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sender, transport
}

// sender is the http.Client of one call. A cookie that the server gave to one credential does not
// travel with another. retryablehttp closes all idle connections of its http.Client if it gives up.
// The pool is shared with other calls, so attempts have no method for that.
func (c *Client) sender(a *attempts) *http.Client {
	sender := *c.http
	sender.Transport = a
	if b, ok := a.auth.(*bearer); a.token != nil || ok && b.provide != nil {
		sender.Jar = nil
	}
	return &sender
}

// String names the client and nothing that it holds.
func (c Client) String() string { return "duolink.Client" }

// Format writes String, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// WithSupermetrics sets the credential for Supermetrics: [BearerToken] or [BearerTokenFunc].
func WithSupermetrics(credentials Credentials) Option {
	return withCredentials(Supermetrics, credentials)
}

// WithMoneyKit sets the credential for MoneyKit and its Plaid-compatible layer: [ClientCredentials]
// or [ClientHeaders], or a bearer token, with which the Plaid-compatible layer is not available.
func WithMoneyKit(credentials Credentials) Option {
	return withCredentials(MoneyKit, credentials)
}

func withCredentials(api API, credentials Credentials) Option {
	return func(cfg *config) error {
		if credentials == nil {
			return argumentError("the credentials for %s are nil", api)
		}
		if _, twice := cfg.credentials[api]; twice {
			return argumentError("%s has two credentials", api)
		}
		cfg.credentials[api] = credentials
		return credentials.check(api)
	}
}

// WithBaseURL sends an API's calls elsewhere: to a test server, a proxy, or another path of the
// vendor's. The URL may have a path, with or without a slash at its end; user info, a query and a
// fragment are refused, and so is plain http unless the host is loopback or WithInsecureHTTP allows
// it.
func WithBaseURL(api API, base string) Option {
	return func(cfg *config) error {
		if api != Supermetrics && api != MoneyKit && api != PlaidCompatible {
			return argumentError("WithBaseURL: the API is none of Supermetrics, MoneyKit and PlaidCompatible")
		}
		u, err := url.Parse(base)
		switch {
		case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
			return argumentError("the base URL for %s is not an http or https URL", api)
		case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(base, "#"):
			return argumentError("the base URL for %s has user info, a query or a fragment", api)
		}
		if name := send.LoopbackName(u.Hostname()); name != "" {
			u.Host = send.HostPort(name, u.Port())
		}
		cfg.base[api] = hide(strings.TrimRight(u.String(), "/"))
		return nil
	}
}

// WithInsecureHTTP allows plain http to any host: credentials and bank details travel readable for
// everybody in between.
func WithInsecureHTTP() Option {
	return func(cfg *config) error {
		cfg.insecureHTTP = true
		return nil
	}
}

// WithHTTPClient takes the transport (nil is http.DefaultTransport), timeout and cookie jar of an
// http.Client. It is copied, never changed. CheckRedirect is not used, because redirects are never
// followed. The jar is not used for calls with WithToken or BearerTokenFunc, because it would carry one
// tenant's session to another. The Timeout bounds the wait of a request at its connection, too.
//
// A transport that sends a request again by itself is stopped before the second one goes out. A
// request of its own, say for a token, needs another User-Agent. If the transport is not an
// *http.Transport, Outcome is OutcomeNotSent only if its error says that there was no connection, or
// if this package stopped the request at its connection. RegisterProtocol hides such a transport in an
// *http.Transport: put a transport of yours before it. With HTTP2.StrictMaxConcurrentRequests a
// request waits once more when it has its connection, and nobody looks at its limit group after that.
func WithHTTPClient(client *http.Client) Option {
	return func(cfg *config) error {
		if client == nil {
			return argumentError("WithHTTPClient: the client is nil")
		}
		cfg.httpClient = client
		return nil
	}
}

// WithRetry says how calls are repeated and how long they may wait.
func WithRetry(retry Retry) Option {
	return func(cfg *config) error {
		cfg.retry = retry
		return nil
	}
}

// WithMaxResponseBytes bounds how much of an answer is read, after decompression. Beyond it the
// call is ErrResponseTooLarge. The default is 64 MiB for Logins.QueryAccounts and 8 MiB for
// everything else. For Logins.StreamAccounts it bounds the largest single item, not the length. Of
// the body of an error no more than 1 MiB is read, and the status speaks for the rest.
//
// What is made of an answer may take six times the limit in memory. An answer that would take more,
// such as one of millions of empty objects, is ErrResponseTooLarge as well.
func WithMaxResponseBytes(n int64) Option {
	return func(cfg *config) error {
		if n <= 0 {
			return argumentError("WithMaxResponseBytes: %d is not a number of bytes", n)
		}
		cfg.limit = n
		return nil
	}
}

// WithUserAgent puts a product in front of the User-Agent, such as "billing/1.4".
func WithUserAgent(product string) Option {
	product = strings.TrimSpace(product)
	return func(cfg *config) error {
		if product == "" || !send.IsHeaderText(product) {
			return argumentError("WithUserAgent: not the text of a header")
		}
		cfg.userAgent = product + " " + cfg.userAgent
		return nil
	}
}
