package duolink

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/duolink/duolink/internal/wire"
)

// Credentials prove who calls: [BearerToken], [BearerTokenFunc], [ClientCredentials] or [ClientHeaders]. They never print.
type Credentials interface {
	// check refuses what can never work for an API.
	check(API) error
	// bind makes what signs the requests of one client.
	bind(*Client) authorizer
}

// authorizer signs one attempt.
type authorizer interface {
	authorize(ctx context.Context, api API, h http.Header) error
	// renew gives up the token in these headers, which the server has refused. It reports whether
	// another attempt may have another one.
	renew(h http.Header) bool
	// secrets are what no error may quote.
	secrets() []string
	// identity tells one credential from another, for the limits that the server counts by it.
	identity() string
}

// credentialHeaders carry credentials, in their canonical spelling.
var credentialHeaders = []string{
	"Authorization", "Cookie", "Plaid-Client-Id", "Plaid-Secret", "Proxy-Authorization", "X-Client-Id", "X-Client-Secret",
}

// BearerToken is an API key or OAuth token, with or without "Bearer " in front. Supermetrics takes it, and so does
// MoneyKit's native API.
func BearerToken(token string) Credentials {
	clean, err := cleanToken(token)
	return &bearer{token: NewSecret(clean), err: err}
}

// BearerTokenFunc asks for a token before each attempt; the function does its own caching. When the
// server refuses a token with a 401, the function is asked once more: with another token the call
// is repeated once, with the same it ends. Its error ends the call and can be matched in what the
// call returns. For the limits that the server counts, all its tokens are one credential; a flow is
// shared while the function returns the same token.
func BearerTokenFunc(token func(context.Context) (string, error)) Credentials {
	b := &bearer{provide: token}
	if token == nil {
		b.err = argumentError("BearerTokenFunc: the function is nil")
	}
	return b
}

type bearer struct {
	token   Secret
	provide func(context.Context) (string, error)
	err     error
}

func (b *bearer) check(API) error         { return b.err }
func (b *bearer) bind(*Client) authorizer { return b }
func (b *bearer) renew(http.Header) bool  { return b.provide != nil }
func (b *bearer) secrets() []string       { return []string{b.token.Reveal()} }

// identity of a function is one for all of its tokens: they come and go.
func (b *bearer) identity() string { return "bearer " + b.token.Reveal() }

func (b *bearer) authorize(ctx context.Context, api API, h http.Header) error {
	if api == PlaidCompatible {
		return &Error{kind: ErrNotConfigured, Outcome: NotSent, Message: "the Plaid-compatible layer takes a client id and secret, not a bearer token"}
	}
	token := b.token.Reveal()
	if b.provide != nil {
		provided, err := b.provide(ctx)
		if err != nil {
			return err
		}
		if token, err = cleanToken(provided); err != nil {
			return err
		}
	}
	h.Set("Authorization", "Bearer "+token)
	return nil
}

// ClientHeaders is MoneyKit's client id and secret, sent with each request as X-Client-Id and X-Client-Secret.
func ClientHeaders(id, secret string) Credentials { return newPair(id, secret) }

// ClientCredentials is MoneyKit's client id and secret, exchanged for a bearer token. It is kept
// until the server refuses it, and shortly before it expires it is renewed in the background. The
// Plaid-compatible layer gets id and secret themselves.
func ClientCredentials(id, secret string) Credentials { return &exchange{newPair(id, secret)} }

// pair is a client id and its secret.
type pair struct {
	id, secret Secret
	err        error
}

func newPair(id, secret string) *pair {
	p := &pair{}
	for _, part := range []struct {
		what, value string
		to          *Secret
	}{{"client id", id, &p.id}, {"client secret", secret, &p.secret}} {
		clean := strings.TrimSpace(part.value)
		if p.err == nil {
			p.err = checkCredential(part.what, clean)
		}
		*part.to = NewSecret(clean)
	}
	return p
}

func (p *pair) check(api API) error {
	if api == Supermetrics {
		return argumentError("Supermetrics takes a bearer token, not a client id and secret")
	}
	return p.err
}

func (p *pair) bind(*Client) authorizer { return p }
func (p *pair) renew(http.Header) bool  { return false }
func (p *pair) secrets() []string       { return []string{p.id.Reveal(), p.secret.Reveal()} }
func (p *pair) identity() string        { return "client " + p.id.Reveal() }

func (p *pair) authorize(_ context.Context, api API, h http.Header) error {
	if api == PlaidCompatible {
		h.Set("PLAID-CLIENT-ID", p.id.Reveal())
		h.Set("PLAID-SECRET", p.secret.Reveal())
		return nil
	}
	h.Set("X-Client-Id", p.id.Reveal())
	h.Set("X-Client-Secret", p.secret.Reveal())
	return nil
}

// exchange is a pair that is traded for a token.
type exchange struct{ *pair }

func (x *exchange) bind(c *Client) authorizer { return &tokenCache{pair: x.pair, client: c} }

// tokenCache keeps the token of one client. One caller renews it, and those who have no good one
// wait for that, each on its own context.
type tokenCache struct {
	*pair
	client *Client

	mu       sync.Mutex
	token    Secret
	renewAt  time.Time // ahead of its end
	endsAt   time.Time
	renewal  *renewal   // under way, or nil
	untold   []*renewal // have ended, and the hooks and the log do not know
	failed   *renewal   // the latest, if it failed
	failures holdOff    // after a failed exchange no other is tried
	refusals holdOff    // after a refused token was given up, no other one is
}

// renewal is one exchange that any number of callers wait for. It is not a run of internal/flight,
// because none of that machine's rules is its own: it goes on whoever waits, may begin without
// callers, is never found again once it has ended, and its panic may have to wait for a later call.
// On that machine it took 43 lines more.
type renewal struct {
	done     chan struct{}
	token    Secret
	took     time.Duration
	err      error
	until    time.Time // its failure is the answer
	panicked any
}

// holdOff is a time for which something is not tried again: it would fail again, and many callers
// would hammer the server. It is a second, twice as long each time in a row, and half a minute at
// most.
type holdOff struct {
	until  time.Time
	inARow int
}

const (
	shortestHold = time.Second
	longestHold  = 30 * time.Second
)

func (h *holdOff) begin(now time.Time) {
	if now.Sub(h.until) > longestHold { // all was quiet since
		h.inARow = 0
	}
	h.until = now.Add(min(shortestHold<<min(h.inARow, 5), longestHold))
	h.inARow++
}

func (c *tokenCache) authorize(ctx context.Context, api API, h http.Header) error {
	if api == PlaidCompatible {
		return c.pair.authorize(ctx, api, h)
	}
	token, err := c.current(ctx)
	if err != nil {
		return err
	}
	h.Set("Authorization", "Bearer "+token.Reveal())
	return nil
}

// renew gives up the token that was refused, unless somebody has replaced it already. Where the
// server has refused the one before just now, it stays: the server would refuse the next one, too.
func (c *tokenCache) renew(h http.Header) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	used, now := h.Get("Authorization"), time.Now()
	if used != "Bearer "+c.token.Reveal() {
		return used != ""
	}
	if now.Before(c.refusals.until) {
		return false
	}
	c.token = Secret{}
	c.refusals.begin(now)
	return true
}

func (c *tokenCache) secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(c.pair.secrets(), c.token.Reveal())
}

// current returns a token that is good for a while, or waits for one.
func (c *tokenCache) current(ctx context.Context) (Secret, error) {
	c.tell(ctx) // of one that nobody has waited for
	token, r := c.join(ctx)
	if r == nil {
		return token, nil
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return Secret{}, ctx.Err()
	}
	c.tell(ctx)
	if e, ok := errors.AsType[*Error](r.err); ok { // each caller has its own: it is filled in on the way out
		own := *e
		own.RetryAfter = max(own.RetryAfter, time.Until(r.until))
		return Secret{}, &own
	}
	return r.token, r.err
}

// tell tells the hooks and the log of each renewal once, on the goroutine of a call, where hooks
// belong, and the panics of those in the exchange.
func (c *tokenCache) tell(ctx context.Context) {
	for r := c.news(); r != nil; r = c.news() {
		if r.panicked != nil {
			panic(r.panicked)
		}
		c.client.renewed(ctx, r.took, r.err)
	}
}

func (c *tokenCache) news() *renewal {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.untold) == 0 {
		return nil
	}
	r := c.untold[0]
	c.untold = c.untold[1:]
	return r
}

// join returns the token while it is good, and sees to its renewal ahead of its end. Without a good
// one it returns the renewal that is under way, a new one, or the one that has just failed.
func (c *tokenCache) join(ctx context.Context) (Secret, *renewal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	good := !c.token.IsZero() && now.Before(c.endsAt)
	due := !good || !now.Before(c.renewAt)
	if due && c.renewal == nil && !now.Before(c.failures.until) {
		c.renewal = &renewal{done: make(chan struct{})}
		// A caller that gives up must not fail the others: the exchange has a life of its own,
		// bounded by its deadline.
		go c.run(context.WithoutCancel(ctx), c.renewal)
	}
	if good {
		return c.token, nil
	}
	return Secret{}, cmp.Or(c.renewal, c.failed)
}

// exchangeLimit ends an exchange, with its repetitions, that nobody may be waiting for any more.
const exchangeLimit = 2 * time.Minute

func (c *tokenCache) run(ctx context.Context, r *renewal) {
	ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	began := time.Now()
	r.err = &Error{API: MoneyKit, Operation: tokenExchange.name, Outcome: Unknown, Message: "the token exchange did not end well"}
	defer func() {
		r.panicked, r.took = recover(), time.Since(began)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settle(r)
		close(r.done)
	}()
	var t *accessToken
	if t, r.err = c.exchange(ctx); r.err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.token, c.token = t.Token, t.Token
		c.renewAt, c.endsAt = t.renewAt(began)
	}
}

// settle notes how an exchange went. A hook that panics has not failed it, nor has what kept it from being sent.
func (c *tokenCache) settle(r *renewal) {
	c.renewal, c.untold = nil, append(c.untold, r)
	if e, ok := errors.AsType[*Error](r.err); r.panicked != nil || !ok || e.Attempts == 0 {
		c.failed, c.failures = nil, holdOff{}
		return
	}
	c.failures.begin(time.Now())
	c.failed, r.until = r, c.failures.until
}

var tokenExchange = operation{api: MoneyKit, name: "auth.token", method: http.MethodPost, route: "/auth/token", idempotency: readOnly}

func (c *tokenCache) exchange(ctx context.Context) (*accessToken, error) {
	op := tokenExchange
	id, secret := c.id.Reveal(), c.secret.Reveal()
	op.form = url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	op.secrets = []string{id, secret}
	op.items = []string{id}
	return call(ctx, c.client, op, readToken, []CallOption{func(o *callOptions) error { o.token = noCredential{}; return nil }})
}

// noCredential signs the exchange: the form carries id and secret.
type noCredential struct{}

func (noCredential) authorize(context.Context, API, http.Header) error { return nil }
func (noCredential) renew(http.Header) bool                            { return false }
func (noCredential) secrets() []string                                 { return nil }
func (noCredential) identity() string                                  { return "" }

// accessToken is the answer of POST /auth/token.
type accessToken struct {
	Token     Secret `json:"access_token"`
	ExpiresIn int64  `json:"expires_in"` // seconds
}

func readToken(s *wire.Scanner) (*accessToken, error) {
	t := &accessToken{}
	err := byTags.Read(s, t)
	if err == nil && checkCredential("access token", t.Token.Reveal()) != nil {
		err = wire.ErrNoData
	}
	return t, err
}

// renewAt is when the token should be replaced: ahead of its end by a tenth of its life, at most a minute. A life that the
// server does not state is taken for five minutes; a token that is refused earlier is renewed then.
func (t *accessToken) renewAt(now time.Time) (ahead, end time.Time) {
	const unstated, longest = 300, 366 * 24 * 3600
	seconds := t.ExpiresIn
	if seconds <= 0 {
		seconds = unstated
	}
	life := time.Duration(min(seconds, longest)) * time.Second
	return now.Add(life - min(life/10, time.Minute)), now.Add(life)
}

// cleanToken applies the rules for bearer credentials: trimmed, "Bearer " taken off, and nothing that could not stand in
// a header. Errors do not quote it.
func cleanToken(token string) (string, error) {
	const scheme = "bearer"
	token = strings.TrimSpace(token)
	if len(token) >= len(scheme) && strings.EqualFold(token[:len(scheme)], scheme) {
		rest := token[len(scheme):]
		if rest == "" {
			return "", argumentError(`the bearer token is the word "Bearer" alone`)
		}
		if trimmed := strings.TrimLeft(rest, " \t"); trimmed != rest {
			token = trimmed
		}
	}
	return token, checkCredential("bearer token", token)
}

func checkCredential(what, value string) error {
	switch {
	case value == "":
		return argumentError("the %s is empty", what)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return argumentError("the %s has a space, a control character or a character outside ASCII", what)
	}
	return nil
}
