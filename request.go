package duolink

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/wire"
	"github.com/google/go-querystring/query"
	"github.com/hashicorp/go-retryablehttp"
)

// The way of a call: a service method says what it wants (an operation), call tells the story, send puts it
// on the wire, retryablehttp tries and waits under the rules in ratelimit.go.

// operation is what one call wants. It rides in the context, so that the retry policy, which sees no
// request after a transport error, and the errors know it too.
type operation struct {
	api    API
	name   string // "links.get": for errors and logs
	method string
	route  string // "/ds/login/link/{link_id}": a constant, safe to print
	repeat repeat
	limit  int64 // bytes of answer that are read; 0 means defaultLimit
	stream bool  // the answer is read as it arrives, by the caller
	slow   bool  // the server may take its time: slowTimeout

	args    []string   // for the route's placeholders, in order
	query   any        // a struct with url tags
	body    any        // sent as JSON
	form    url.Values // sent as a form
	private []string   // what errors must not quote, besides args and credentials
	secrets []string   // credentials that it carries itself: what errors must not quote, not even in part
	items   []string   // what the vendor counts requests by, besides the arguments: a request counts for each of them
	perApp  bool       // the vendor counts all of an application's requests together, too
	invalid error      // what is wrong with the arguments; nothing is sent then
}

// Format keeps an operation that is printed by mistake from telling more than its name.
func (op operation) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, op.name) }

// on names the resource that the operation is about.
func (op operation) on(id string) operation {
	op.args = []string{id}
	return op
}

const (
	defaultLimit = 8 << 20
	errorLimit   = 1 << 20
)

// call sends an operation and reads its answer.
func call[T any](ctx context.Context, c *Client, op operation, answer func(*wire.Scanner) (T, error), opts []CallOption) (T, error) {
	var v, none T
	_, err := c.send(ctx, op, opts, func(s *wire.Scanner) (err error) {
		v, err = wire.Whole(s, answer)
		return err
	})
	if err != nil {
		return none, err
	}
	return v, nil
}

// send puts a request on the wire, again and again while the retry rules say so, and has each answer decoded, so that one
// which cannot be used is a failed attempt. An operation that streams decodes by itself, from the trip.
func (c *Client) send(ctx context.Context, op operation, opts []CallOption, decode func(*wire.Scanner) error) (*trip, error) {
	t, err := c.checked(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	t.decode = decode
	defer t.releasePermits() // for those who wait behind it, should a hook panic
	req, err := t.request(ctx)
	if err != nil {
		return nil, t.blame(err)
	}
	_, err = c.sender(t).Do(req) //nolint:bodyclose // receive has read and closed it, or keeps it open as t.stream
	return t, t.finish(ctx, err)
}

// trip is one call under way: what it wants, what its options say, and what has come of it so far.
type trip struct {
	client *Client
	op     operation
	callOptions
	auth    authorizer
	groups  []limitGroup
	retry   Retry
	limit   int64 // bytes of answer
	url     string
	payload []byte
	content string // Content-Type of the payload
	header  http.Header
	decode  func(*wire.Scanner) error // reads the answer

	attempts []Attempt
	started  time.Time   // the latest attempt
	ended    time.Time   // the one before, or when the call began
	underWay bool        // an attempt has begun and not ended
	denied   http.Header // carried the token that was refused: it is not sent again
	unclear  bool        // an attempt may have been carried out, whatever became of the later ones
	last     *Error      // what the latest attempt failed with
	reason   WaitReason  // of the wait before the next one
	wait     time.Duration

	// What the latest attempt brought.
	sending  *sending // nil where it did not get as far as to net/http
	notReady error    // it was held back, and this is why it does not go out any more
	status   int
	head     http.Header
	location string // of a redirect
	unsized  bool   // the answer does not say how long it is
	body     []byte
	stream   io.ReadCloser // the body of a stream
	verdict  *Error        // what is wrong with the answer
}

// tripKey finds the trip in the context of its requests, as a function: a caller's hooks and transport may print the context,
// and of a pointer in it fmt shows all under a verb that does not fit.
type tripKey struct{}

func tripOf(ctx context.Context) *trip {
	t, _ := ctx.Value(tripKey{}).(func() *trip)
	if t == nil {
		return nil
	}
	return t()
}

func newTrip(c *Client, op operation) *trip {
	return &trip{client: c, op: op, retry: c.config.retry, limit: cmp.Or(c.config.limit, op.limit, defaultLimit), ended: time.Now()}
}

// checked finds everything that can be wrong before anything is sent: for a call, and for a flow before the first of its calls.
func (c *Client) checked(ctx context.Context, op operation, opts []CallOption) (*trip, error) {
	t := newTrip(c, op)
	if ctx == nil {
		return nil, t.blame(argumentError("the context is nil"))
	}
	if err := t.prepare(opts); err != nil {
		return nil, t.blame(err)
	}
	return t, nil
}

// request builds the request, which serves for repetitions too, and waits until the limit group is open.
func (t *trip) request(ctx context.Context) (*retryablehttp.Request, error) {
	var payload any
	if t.payload != nil {
		payload = t.payload
	}
	req, err := retryablehttp.NewRequestWithContext(context.WithValue(ctx, tripKey{}, func() *trip { return t }), t.op.method, t.url, payload)
	if err != nil {
		return nil, argumentError("the request cannot be built")
	}
	req.SetResponseHandler(func(resp *http.Response) error { return t.receive(req.Context(), resp) })
	return req, t.ready(req.Request)
}

func (t *trip) prepare(opts []CallOption) error {
	for _, opt := range opts {
		if opt == nil {
			return argumentError("a call option is nil")
		}
		if err := opt(&t.callOptions); err != nil {
			return err
		}
	}
	if t.op.invalid != nil {
		return t.op.invalid
	}
	if t.maxWait != nil {
		t.retry.MaxWait = *t.maxWait
	}
	if t.once {
		t.retry.MaxAttempts = 1
	}
	t.auth = t.client.auth[t.op.api.vendor()]
	if t.token != nil {
		t.auth = t.token
	}
	if t.auth == nil {
		return &Error{kind: ErrNotConfigured, Outcome: NotSent, Message: "the client has no credential for this API"}
	}
	t.groups = t.op.groups(t.identity())
	return t.encode()
}

// limitGroup is what a server counts together, and a call's leave to go out within it.
type limitGroup struct {
	key    string
	whole  bool // all requests of a credential, or all of its requests of an operation
	permit pace.Permit
}

// groups names the limit groups of a call, the narrow ones first. At Supermetrics a credential is counted, and the queries to a
// data source; at MoneyKit an operation on a link, or what it asks for there, and the operation.
func (op operation) groups(caller string) (all []limitGroup) {
	own := append([]string{caller}, op.args...)
	for _, item := range slices.Sorted(slices.Values(op.items)) { // in one order, whatever the caller's
		all = append(all, limitGroup{key: pace.Key(op.name, slices.Concat(own, []string{item})...)})
	}
	switch {
	case op.api == Supermetrics:
		return append(all, limitGroup{key: pace.Key(string(op.api), caller), whole: true})
	case len(op.items) == 0:
		all = append(all, limitGroup{key: pace.Key(op.name, own...)})
	}
	if op.perApp {
		all = append(all, limitGroup{key: pace.Key(op.name+"/all", caller), whole: true})
	}
	return all
}

// encode turns the operation's arguments into a URL and a payload.
func (t *trip) encode() error {
	path, err := t.op.path()
	if err != nil {
		return err
	}
	t.url = t.client.config.base[t.op.api].reveal() + path
	if t.op.query != nil {
		values, err := query.Values(t.op.query)
		if err != nil {
			return argumentError("the query cannot be encoded")
		}
		// Servers disagree on whether a plus sign is a space; %20 is one for all of them.
		if q := strings.ReplaceAll(values.Encode(), "+", "%20"); q != "" {
			t.url += "?" + q
		}
	}
	switch {
	case t.op.form != nil:
		t.payload, t.content = []byte(t.op.form.Encode()), "application/x-www-form-urlencoded"
	case t.op.body != nil:
		t.payload, err = compactJSON(t.op.body)
		t.content = "application/json"
	}
	return err
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

// checkID refuses an id that is none before it becomes a part of a URL. Supermetrics documents its alphabet and length;
// MoneyKit's ids are opaque, so there it is visible ASCII, without what has a meaning in a path.
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

// checkText refuses a text that is longer than the API takes, or that cannot be meant as one.
func checkText(name, s string, most int) error {
	switch {
	case utf8.RuneCountInString(s) > most:
		return argumentError("%s is longer than %d characters", name, most)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return argumentError("%s is not text", name)
	}
	return nil
}

// compactJSON encodes without HTML escapes and without the newline that an Encoder adds.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, argumentError("the body cannot be encoded")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// jsonParam is a query parameter that holds JSON.
type jsonParam struct{ value any }

// EncodeValues implements go-querystring's Encoder.
func (p jsonParam) EncodeValues(key string, v *url.Values) error {
	b, err := compactJSON(p.value)
	v.Set(key, string(b))
	return err
}

// sign sets the headers of an attempt, credentials last. A map of its own: the previous attempt's may still
// be in use by the connection that writes it.
func (t *trip) sign(req *http.Request) error {
	h := http.Header{}
	for name, values := range t.extra {
		h[name] = slices.Clone(values)
	}
	h.Set("Accept", "application/json")
	h.Set("User-Agent", t.client.config.userAgent)
	if t.content != "" {
		h.Set("Content-Type", t.content)
	}
	switch t.op.api {
	case MoneyKit:
		h.Set("MoneyKit-Version", moneyKitVersion)
	case PlaidCompatible:
		h.Set("Plaid-Version", plaidVersion)
	}
	err := t.auth.authorize(req.Context(), t.op.api, h)
	req.Header, t.header = h, h
	if err == nil && t.denied != nil && h.Get("Authorization") == t.denied.Get("Authorization") {
		t.last.renewable = false
		return t.last // it says already what the server would say
	}
	return err
}
