package duolink

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/send"
)

// CallOption changes one call. Every method takes any number of them as its last arguments.
type CallOption func(*callOptions) error

type callOptions struct {
	token    authorizer
	extra    http.Header
	tenants  []string // names of the headers that say who calls
	maxWait  *time.Duration
	once     bool
	response *Response
	write    *flight.Write // the write of a run that callers share
}

// WithToken sends this call with another bearer token, say another tenant's, over the same
// connections. The Plaid-compatible layer takes no bearer token: with WithToken its calls are
// ErrNotConfigured.
func WithToken(token string) CallOption {
	return func(o *callOptions) error {
		b := BearerToken(token).(*bearer)
		o.token = b
		return ofOption("WithToken", b.err)
	}
}

// WithHeader adds a header to this call.
//
// Headers that this package sets itself and headers that carry credentials are refused. So is
// Idempotency-Key: neither API knows it, and net/http would silently resend a write that has it.
//
// Use it for a header that does not say who calls, such as a trace id. Callers share a run of a
// flow whatever their headers, and the first caller's headers are sent. For a header that says who
// calls there is [WithTenantHeader].
func WithHeader(name, value string) CallOption { return header("WithHeader", name, value) }

func header(option, name, value string) CallOption {
	name = http.CanonicalHeaderKey(name)
	return func(o *callOptions) error {
		if err := checkHeader(option, name, value); err != nil {
			return err
		}
		if o.extra == nil {
			o.extra = http.Header{}
		}
		o.extra.Add(name, value)
		return nil
	}
}

// checkHeader refuses a header that is not the caller's to set, or that is none.
func checkHeader(option, name, value string) error {
	if slices.Contains(ownHeaders, name) || slices.Contains(credentialHeaders, name) {
		return argumentError("%s: %s is not the caller's to set", option, name)
	}
	if !send.IsHeaderName(name) || !send.IsHeaderText(value) {
		return argumentError("%s: not a header", option)
	}
	return nil
}

// WithTenantHeader adds a header that tells a gateway of many tenants who calls. It refuses what
// [WithHeader] refuses. Only callers with equal values share runs of flows, limit groups and a
// retry budget.
func WithTenantHeader(name, value string) CallOption {
	add := header("WithTenantHeader", name, value)
	return func(o *callOptions) error {
		o.tenants = append(o.tenants, http.CanonicalHeaderKey(name))
		return add(o)
	}
}

// WithMaxWait replaces Retry.MaxWait for this call. With 0 the call never waits and is never
// repeated, not even with a new token after a 401. If it needs a token exchange, the exchange keeps
// to the client's rules, because it serves other calls too.
func WithMaxWait(d time.Duration) CallOption {
	return func(o *callOptions) error {
		if d < 0 {
			return argumentError("WithMaxWait: the wait is negative")
		}
		o.maxWait = &d
		return nil
	}
}

// WithoutRetry sends this call at most once. The call may still wait before it is sent, if an
// earlier call was refused. WithMaxWait(0) forbids that too.
func WithoutRetry() CallOption {
	return func(o *callOptions) error {
		o.once = true
		return nil
	}
}

// WithResponse fills in what came with the answer, also if the call fails. For an iterator, or a
// flow of several requests, r describes the latest request.
func WithResponse(r *Response) CallOption {
	return func(o *callOptions) error {
		if r == nil {
			return argumentError("WithResponse: the response is nil")
		}
		*r = Response{}
		o.response = r
		return nil
	}
}

// Response is what came with an answer. It prints its status, request id and number of attempts.
type Response struct {
	Status    int // 0 if no answer arrived
	RequestID string
	Attempts  []Attempt // what was tried, and how long the client waited before
	RateLimit RateLimit

	// These are functions, so that no verb of fmt prints what they return.
	header func() http.Header
	body   func() []byte
}

// Header returns the answer's header, confidential parts included. It is nil if no answer arrived.
func (r *Response) Header() http.Header {
	if r.header == nil {
		return nil
	}
	return r.header()
}

// Body returns the answer as it came, decompressed, bounded, and with everything confidential in
// it. For a stream it is nil, or the beginning if the stream failed.
func (r *Response) Body() []byte {
	if r.body == nil {
		return nil
	}
	return r.body()
}

// String shows no more than Status, RequestID and the number of attempts.
func (r Response) String() string {
	return fmt.Sprintf("status %d, request %s, attempts %d", r.Status, r.RequestID, len(r.Attempts))
}

// Format writes String, whatever the verb.
func (r Response) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// report fills in the caller's Response.
func (a *attempts) report() {
	if a.response == nil {
		return
	}
	head, body := a.latest.head.Clone(), a.latest.body
	*a.response = Response{
		Status: a.latest.status, RequestID: a.requestID(a.latest), Attempts: slices.Clone(a.history),
		RateLimit: rateLimit(a.latest.head, time.Now()),
		header:    func() http.Header { return head }, body: func() []byte { return body },
	}
}

// ownHeaders are set by this package or by net/http.
var ownHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host",
	"Idempotency-Key", "Moneykit-Version", "Plaid-Version", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "X-Idempotency-Key",
}
