package duolink

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/wire"
)

// Credentials prove who calls: [BearerToken], [BearerTokenFunc], [ClientCredentials] or
// [ClientHeaders]. They never print.
type Credentials interface {
	// check refuses what can never work for an API.
	check(API) error
	// bind makes what signs the requests of one client.
	bind(*Client) authorizer
}

// authorizer signs the attempts of one client or call.
type authorizer interface {
	authorize(ctx context.Context, api API, h *headers) error
	// renew gives up the token in these headers, because the server has refused it. It reports
	// whether another attempt may have another token.
	renew(h http.Header) bool
	// secrets returns the texts that no error may quote.
	secrets() []string
	// identity names the credential, because the server counts limits by credential.
	identity() string
}

// credentialHeaders carry credentials, in their canonical spelling.
var credentialHeaders = []string{
	"Authorization", "Cookie", "Plaid-Client-Id", "Plaid-Secret", "Proxy-Authorization", "X-Client-Id",
	"X-Client-Secret",
}

// BearerToken is an API key or OAuth token, with or without "Bearer " in front. Supermetrics and
// MoneyKit's native API take it.
func BearerToken(token string) Credentials {
	clean, err := cleanToken(token)
	return &bearer{token: NewSecret(clean), err: err}
}

// BearerTokenFunc asks a function for a token before each attempt. The client does not cache the
// tokens, so the function should.
//
// If the server refuses a token with a 401, the function is asked once more. With another token the
// call is repeated once. With the same token it ends. An error of the function ends the call, and
// errors.Is and errors.AsType find it. Limits treat all tokens of the function as one credential.
// Callers share a flow while the function returns the same token.
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

// A function has one identity for all of its tokens, because they come and go.
func (b *bearer) identity() string { return "bearer " + b.token.Reveal() }

func (b *bearer) authorize(ctx context.Context, api API, h *headers) error {
	if api == PlaidCompatible {
		return &Error{
			Kind: ErrNotConfigured, Outcome: OutcomeNotSent,
			Message: "the Plaid-compatible layer takes a client id and secret, not a bearer token",
		}
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
	h.set("Authorization", "Bearer "+token)
	return nil
}

// ClientHeaders is MoneyKit's client id and secret, sent with each request as X-Client-Id and
// X-Client-Secret.
func ClientHeaders(id, secret string) Credentials { return newPair(id, secret) }

// ClientCredentials is MoneyKit's client id and secret, exchanged for a bearer token. The token is
// kept until the server refuses it, and is renewed in the background shortly before it expires. The
// Plaid-compatible layer gets the id and secret instead.
//
// The scopes bound what the token allows. Without scopes it allows what the client may do. See
// docs.moneykit.com/api, "Authentication".
func ClientCredentials(id, secret string, scopes ...string) Credentials {
	x := &exchange{pair: newPair(id, secret), scope: strings.Join(scopes, " ")}
	for _, scope := range scopes {
		if x.err == nil {
			x.err = checkCredential("scope", scope)
		}
	}
	return x
}

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

func (p *pair) authorize(_ context.Context, api API, h *headers) error {
	if api == PlaidCompatible {
		h.set("Plaid-Client-Id", p.id.Reveal())
		h.set("Plaid-Secret", p.secret.Reveal())
		return nil
	}
	h.set("X-Client-Id", p.id.Reveal())
	h.set("X-Client-Secret", p.secret.Reveal())
	return nil
}

// exchange is a pair that is traded for a token.
type exchange struct {
	*pair
	scope string
}

func (x *exchange) bind(c *Client) authorizer { return newTokenCache(x, c) }

// tokenCache keeps the token of one client.
type tokenCache struct {
	*pair
	scope  string
	client *Client
	tokens flight.Renewed[Secret]
}

// exchangeLimit bounds an exchange with its repetitions, even if nobody waits for it any more.
const exchangeLimit = 2 * time.Minute

// exchangeError is an exchange's error. If a hook has ended the exchange, another call has its panic.
func exchangeError(err error) error {
	if err != flight.ErrUnfinished {
		return err
	}
	e := &Error{API: MoneyKit, Operation: tokenExchange.name, Outcome: OutcomeUnknown}
	e.Message = "the token exchange did not end well"
	return e
}

func newTokenCache(x *exchange, client *Client) *tokenCache {
	c := &tokenCache{pair: x.pair, scope: x.scope, client: client}
	c.tokens.Renew, c.tokens.Limit, c.tokens.Go = c.exchange, exchangeLimit, client.life.start
	c.tokens.Tell = func(ctx context.Context, d time.Duration, err error) { client.renewed(ctx, d, exchangeError(err)) }
	return c
}

func (c *tokenCache) authorize(ctx context.Context, api API, h *headers) error {
	if api == PlaidCompatible {
		return c.pair.authorize(ctx, api, h)
	}
	token, until, err := c.tokens.Get(ctx)
	if e, ok := errors.AsType[*Error](exchangeError(err)); ok { // a copy for each caller, because do fills it in
		own := *e
		own.RetryAfter = max(own.RetryAfter, time.Until(until))
		return &own
	}
	if err == nil {
		h.set("Authorization", "Bearer "+token.Reveal())
	}
	return err
}

// renew gives up the refused token.
func (c *tokenCache) renew(h http.Header) bool {
	used := h.Get("Authorization")
	return used != "" && c.tokens.GiveUp(func(token Secret) bool { return used == "Bearer "+token.Reveal() })
}

func (c *tokenCache) secrets() []string {
	return append(c.pair.secrets(), c.tokens.Latest().Reveal())
}

var tokenExchange = endpoint(MoneyKit, "auth.token", "POST /auth/token", readOnly)

// exchange trades id and secret for a token. It reports whether it made an attempt.
func (c *tokenCache) exchange(ctx context.Context) (token Secret, life time.Duration, tried bool, err error) {
	op := tokenExchange
	id, secret := c.id.Reveal(), c.secret.Reveal()
	op.form = url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	if c.scope != "" {
		op.form.Set("scope", c.scope)
	}
	op.secrets = []string{id, secret}
	op.items = []string{id}
	t, err := call(limited(ctx, errExchangeLimit), c.client, op, readToken, []CallOption{func(o *callOptions) error {
		o.token = noCredential{}
		return nil
	}})
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		return token, 0, ok && e.Attempts > 0, err
	}
	return t.Token, t.life(), true, nil
}

// noCredential signs the exchange: the form carries id and secret.
type noCredential struct{}

func (noCredential) authorize(context.Context, API, *headers) error { return nil }
func (noCredential) renew(http.Header) bool                         { return false }
func (noCredential) secrets() []string                              { return nil }
func (noCredential) identity() string                               { return "" }

// accessToken is the answer of POST /auth/token.
type accessToken struct {
	Token     Secret `json:"access_token" wire:"required"`
	ExpiresIn int64  `json:"expires_in" wire:"required"` // seconds
}

func readToken(s *wire.Scanner) (*accessToken, error) {
	t, err := wire.Bare[accessToken](byTags, s, "access_token")
	if err == nil && checkCredential("access token", t.Token.Reveal()) != nil {
		err = wire.Unfit("access_token in the answer is not a token")
	}
	return t, err
}

// life is how long the token is good: five minutes if the server does not say.
func (t *accessToken) life() time.Duration {
	const unstated, longest = 300, 366 * 24 * 3600
	seconds := t.ExpiresIn
	if seconds <= 0 {
		seconds = unstated
	}
	return time.Duration(min(seconds, longest)) * time.Second
}

// cleanToken trims a bearer token, takes "Bearer " off, and refuses what cannot stand in a header.
// Its errors do not quote the token.
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
