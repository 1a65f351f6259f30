package duolink

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/duolink/duolink/internal/conceal"
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
	// PlaidCompatible is MoneyKit's Plaid-compatible layer. Its base URL is MoneyKit's with
	// /plaid-compatible at the end, unless WithBaseURL says otherwise.
	PlaidCompatible API = "plaid-compatible"
)

// vendor is the API whose credential this API takes.
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

// Client calls both APIs. It is safe for concurrent use: make one and keep it. It prints no
// secrets.
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
	http      *http.Client // the caller's or our own client, without a transport
	transport *send.Transport
	auth      map[API]authorizer
	pace      *pace.Groups
	budget    *pace.Budgets
	state     limitState
	drifts    *drifts
	life      *lifetime
	urls      *sync.Map // by operation, a conceal.Value[*url.URL]: of operations without arguments

	// The runs that callers share while they are under way.
	unattended *flight.Unattended // counts both kinds of runs together
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
	locker       Locker

	redirectParameter string
	moneyKitVersion   string
}

// Option sets up a [Client].
type Option func(*config) error

// New returns a client for the APIs that it is given credentials for.
//
// One of the two APIs is enough, or none if every call has [WithToken]. A call without any
// credential is ErrNotConfigured. An option that cannot be right is ErrArgument.
func New(opts ...Option) (*Client, error) {
	c := &Client{
		config: config{
			credentials: map[API]Credentials{}, base: map[API]hidden{}, userAgent: "duolink-go/" + Version,
			redirectParameter: defaultRedirectParameter, moneyKitVersion: moneyKitVersion,
		},
		auth:   map[API]authorizer{},
		pace:   pace.NewGroups(),
		budget: pace.NewBudgets(),
		state:  newLimitState(),
		drifts: &drifts{told: map[Drift]bool{}},
		life:   newLifetime(),
		urls:   &sync.Map{},
	}
	c.unattended = &flight.Unattended{Go: c.life.start}
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

// apply applies the options. Its error names all that are wrong.
func (cfg *config) apply(opts []Option) error {
	var wrong []error
	check := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	for i, opt := range opts {
		if opt == nil {
			check(argumentError("option %d is nil", i+1))
			continue
		}
		check(opt(cfg))
	}
	var err error
	cfg.retry, err = cfg.retry.withDefaults()
	check(err)
	cfg.setDefaultURLs()
	for _, api := range []API{Supermetrics, MoneyKit, PlaidCompatible} {
		check(cfg.checkScheme(api))
	}
	return allWrong(wrong)
}

// allWrong is one error for all options that are wrong, or nil.
func allWrong(wrong []error) error {
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return wrong[0]
	}
	var messages []string
	for _, err := range wrong {
		if e, ok := errors.AsType[*Error](err); ok {
			messages = append(messages, e.Message)
		}
	}
	all := conceal.ValueOf(errors.Join(wrong...))
	return &Error{Kind: ErrArgument, Outcome: OutcomeNotSent, Message: strings.Join(messages, "; "), cause: all}
}

func (cfg *config) setDefaultURLs() {
	for api, base := range map[API]string{Supermetrics: supermetricsURL, MoneyKit: moneyKitURL} {
		if cfg.base[api].isZero() {
			cfg.base[api] = hide(base)
		}
	}
	if cfg.base[PlaidCompatible].isZero() {
		cfg.base[PlaidCompatible] = hide(cfg.base[MoneyKit].reveal() + plaidPath)
	}
}

// checkScheme lets a credential travel unencrypted only on this machine, or if the caller asked for
// it.
func (cfg *config) checkScheme(api API) error {
	u, err := url.Parse(cfg.base[api].reveal())
	if err != nil {
		return argumentError("WithBaseURL: the URL of %s cannot be read", api)
	}
	if u.Scheme == "https" || cfg.insecureHTTP || send.LoopbackName(u.Hostname()) != "" {
		return nil
	}
	return argumentError("WithBaseURL: the URL of %s is plain http to another machine; see WithInsecureHTTP", api)
}

// sender is a copy of the caller's http.Client, or our own, and the transport of every attempt.
func (cfg *config) sender() (*http.Client, *send.Transport) {
	sender := http.Client{Transport: send.DefaultTransport()}
	if cfg.httpClient != nil {
		sender = *cfg.httpClient
	}
	transport := &send.Transport{Next: sender.Transport, Own: cfg.httpClient == nil}
	// net/http would carry X-Client-Secret, PLAID-SECRET and the body to wherever a redirect leads.
	sender.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sender, transport
}

// sender is the http.Client of one call. A cookie that the server gave to one credential does not
// travel with another. If retryablehttp gives up, it closes all idle connections of its
// http.Client. The pool is shared with other calls, so attempts have no method for that.
func (c *Client) sender(a *attempts) http.Client {
	sender := *c.http
	sender.Transport = a
	if b, ok := a.auth.(*bearer); a.token != nil || ok && b.provide != nil {
		sender.Jar = nil
	}
	return sender
}

// String returns a name and nothing that the client holds.
func (c Client) String() string { return "duolink.Client" }

// Format writes String, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// WithSupermetrics sets the credential for Supermetrics: [BearerToken] or [BearerTokenFunc].
func WithSupermetrics(credentials Credentials) Option {
	return withCredentials(Supermetrics, credentials)
}

// WithMoneyKit sets the credential for MoneyKit and its Plaid-compatible layer: [ClientCredentials]
// or [ClientHeaders], or a bearer token. The Plaid-compatible layer does not take a bearer token.
func WithMoneyKit(credentials Credentials) Option {
	return withCredentials(MoneyKit, credentials)
}

func withCredentials(api API, credentials Credentials) Option {
	option := map[API]string{Supermetrics: "WithSupermetrics", MoneyKit: "WithMoneyKit"}[api]
	return func(cfg *config) error {
		if credentials == nil {
			return argumentError("%s: the credentials are nil", option)
		}
		if _, twice := cfg.credentials[api]; twice {
			return argumentError("%s: %s has credentials already", option, api)
		}
		cfg.credentials[api] = credentials
		return ofOption(option, credentials.check(api))
	}
}

// ofOption puts an option's name on an error about its argument.
func ofOption(option string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	own := *e
	own.Message = option + ": " + e.Message
	return &own
}

// WithBaseURL sends an API's calls elsewhere, such as to a test server or a proxy.
//
// The URL may have a path, with or without a slash at its end. User info, a query and a fragment
// are refused. Plain http is refused unless the host is loopback or WithInsecureHTTP allows it.
func WithBaseURL(api API, base string) Option {
	return func(cfg *config) error {
		if api != Supermetrics && api != MoneyKit && api != PlaidCompatible {
			return argumentError("WithBaseURL: the API is none of Supermetrics, MoneyKit and PlaidCompatible")
		}
		u, err := url.Parse(base)
		switch {
		case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
			return argumentError("WithBaseURL: the URL of %s is not an http or https URL", api)
		case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(base, "#"):
			return argumentError("WithBaseURL: the URL of %s has user info, a query or a fragment", api)
		}
		if name := send.LoopbackName(u.Hostname()); name != "" {
			u.Host = send.HostPort(name, u.Port())
		}
		u.Host = strings.TrimSuffix(u.Host, ":") // a port that is empty
		cfg.base[api] = hide(strings.TrimRight(u.String(), "/"))
		return nil
	}
}

// WithMoneyKitVersion sends another MoneyKit-Version than "2023-02-18". The version is a day, and this
// package reads the answers of the default.
func WithMoneyKitVersion(version string) Option {
	return func(cfg *config) error {
		if _, err := time.Parse(time.DateOnly, version); err != nil {
			return argumentError("WithMoneyKitVersion: the version is not a day such as %s", moneyKitVersion)
		}
		cfg.moneyKitVersion = version
		return nil
	}
}

// WithInsecureHTTP allows plain http to any host. Everybody on the way can then read credentials
// and bank details.
func WithInsecureHTTP() Option {
	return func(cfg *config) error {
		cfg.insecureHTTP = true
		return nil
	}
}

// WithHTTPClient takes the transport (nil: http.DefaultTransport), timeout and jar of an
// http.Client.
//
// The http.Client is copied, never changed. CheckRedirect is not used, because redirects are never
// followed. The jar is not used for calls with WithToken or BearerTokenFunc, because it would carry
// one tenant's session to another. The Timeout also bounds the wait at a connection.
//
// If the transport sends a request again by itself, the client stops the second request before it
// goes out. A request of the transport's own, say for a token, needs another User-Agent.
//
// If the transport is not an *http.Transport, Outcome is OutcomeNotSent only if its error says that
// there was no connection, or if this package stopped the request at its connection.
// RegisterProtocol would hide such a transport: put it before the *http.Transport instead.
//
// With HTTP2.StrictMaxConcurrentRequests a request waits once more after it has got its connection.
// Its limit group is not checked again after that wait.
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

// WithMaxResponseBytes bounds how much of an answer is read, after decompression. A longer answer
// is ErrResponseTooLarge.
//
// The default is 64 MiB for Logins.QueryAccounts, 32 MiB for Logins.List and Links.List, and 8 MiB
// for everything else, which is more than the vendors document. For
// Logins.StreamAccounts the bound holds for each item, not for the whole answer. The body of an
// error is cut off after 1 MiB.
//
// A decoded answer may take six times the limit in memory. An answer that would take more, such as
// millions of empty objects, is ErrResponseTooLarge as well.
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
