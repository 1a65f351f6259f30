package duolink

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/duolink/duolink/internal/wire"
	"github.com/google/go-querystring/query"
)

// How operations are made, and how their arguments are checked and encoded.

// operation is what a call asks for. The variables of service files are operations without
// arguments.
type operation struct {
	api         API
	name        string // "links.get": for errors and logs
	method      string
	route       string // "/ds/login/link/{loginLinkID}": a constant, safe to print
	idempotency idempotency
	limit       int64 // bytes of answer that are read; 0 means defaultLimit
	stream      bool  // the caller reads the answer as it arrives
	slow        bool  // the server may take long: slowTimeout
	perApp      bool  // the vendor also counts all requests of an application together

	args    []string // for the route's placeholders, in order
	query   any      // a struct with url tags
	body    any      // sent as JSON
	form    url.Values
	private []string // texts that errors must not quote, besides args and credentials
	secrets []string // credentials among the arguments: errors must not quote even a part of them
	items   []string // the vendor counts requests by each of them, besides args
	invalid error    // what is wrong with the arguments; nothing is sent then
}

const (
	defaultLimit = 8 << 20
	errorLimit   = 1 << 20
)

// Format prints only the operation's name, because its arguments are confidential.
func (op operation) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, op.name) }

// endpoint makes an operation without arguments. The pattern is a method and a route.
func endpoint(api API, name, pattern string, repeated idempotency) operation {
	method, route, _ := strings.Cut(pattern, " ")
	return operation{api: api, name: name, method: method, route: route, idempotency: repeated}
}

// countedByApp marks an operation that the vendor counts for the whole application, too.
func countedByApp(op operation) operation {
	op.perApp = true
	return op
}

// fullList marks a list of a thousand items with long texts. The longest texts that the vendor
// documents make 21 MiB of logins and 12 MiB of login links.
func fullList(op operation) operation {
	op.limit = 32 << 20
	return op
}

// on returns the operation for one resource.
func (op operation) on(id string) operation {
	op.args = []string{id}
	return op
}

// encode turns the operation's arguments into a URL and a payload.
func (p *prepared) encode() (err error) {
	if p.url, err = p.client.urlOf(p.op); err != nil {
		return err
	}
	switch {
	case p.op.form != nil:
		p.payload, p.contentType = []byte(p.op.form.Encode()), "application/x-www-form-urlencoded"
	case p.op.body != nil:
		p.payload, err = compactJSON(p.op.body)
		p.contentType = "application/json"
	}
	return err
}

// urlOf makes the URL of an operation. Without arguments and a query it is made once. A transport of
// the caller may change the URL, so then each call has its own.
func (c *Client) urlOf(op operation) (*url.URL, error) {
	fixed := len(op.args) == 0 && op.query == nil && c.transport.Own
	if fixed {
		if known, ok := c.urls.Load(op.name); ok {
			return known.(conceal.Value[*url.URL]).Get(), nil
		}
	}
	path, err := op.path()
	if err != nil {
		return nil, err
	}
	if op.query != nil {
		values, err := query.Values(op.query)
		if err != nil {
			return nil, argumentError("the query cannot be encoded")
		}
		// Servers disagree on whether a plus sign is a space. %20 is a space for all of them.
		if q := strings.ReplaceAll(values.Encode(), "+", "%20"); q != "" {
			path += "?" + q
		}
	}
	u, err := url.Parse(c.config.base[op.api].reveal() + path)
	if err != nil {
		return nil, argumentError("the request cannot be built")
	}
	if fixed {
		c.urls.Store(op.name, conceal.ValueOf(u))
	}
	return u, nil
}

// path fills the route's placeholders with the arguments.
func (op operation) path() (string, error) {
	segments := strings.Split(op.route, "/")
	args := op.args
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		if err := op.api.checkID(strings.Trim(s, "{}"), args[0]); err != nil {
			return "", err
		}
		segments[i] = url.PathEscape(args[0])
		args = args[1:]
	}
	return strings.Join(segments, "/"), nil
}

// checkID refuses an impossible id before it becomes a part of a URL. Supermetrics documents the
// alphabet and length of its ids. MoneyKit does not, so visible ASCII is allowed there, except for
// characters with a meaning in a path.
func (a API) checkID(name, id string) error {
	most, fits := 128, func(r rune) bool { return r > ' ' && r <= '~' && !strings.ContainsRune(`/\?#%`, r) }
	if a == Supermetrics {
		most, fits = 50, func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
		}
	}
	switch {
	case id == "":
		return argumentError("%s is empty", name)
	case len(id) > most:
		return argumentError("%s is longer than %d characters", name, most)
	case id == "." || id == "..":
		return argumentError("%s is a path, not an id", name)
	}
	if strings.ContainsFunc(id, func(r rune) bool { return !fits(r) }) {
		return argumentError("%s has a character that no id has", name)
	}
	return nil
}

// checkText refuses a text that is too long for the API, or is not text.
func checkText(name, s string, most int) error {
	switch {
	case utf8.RuneCountInString(s) > most:
		return argumentError("%s is longer than %d characters", name, most)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return argumentError("%s is not text", name)
	}
	return nil
}

// checkRedirectURL refuses what no browser can follow.
func checkRedirectURL(redirectURL string) error {
	u, err := url.Parse(redirectURL)
	switch {
	case redirectURL == "":
		return nil
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return argumentError("RedirectURL is not an absolute http or https URL")
	}
	return nil
}

// compactJSON encodes a value without HTML escapes.
func compactJSON(v any) ([]byte, error) {
	text, err := wire.Compact(v)
	if err != nil {
		return nil, argumentError("the body cannot be encoded")
	}
	return text, nil
}

// jsonParam is a query parameter that holds JSON.
type jsonParam struct{ value any }

// EncodeValues implements go-querystring's Encoder.
func (p jsonParam) EncodeValues(key string, v *url.Values) error {
	b, err := compactJSON(p.value)
	v.Set(key, string(b))
	return err
}
