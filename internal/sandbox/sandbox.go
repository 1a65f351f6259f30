// Package sandbox imitates the servers of Supermetrics and MoneyKit in memory, for tests and
// examples.
//
// A Sandbox is an http.Handler with state. Links are created, logged in to, closed and expire.
// Tokens are issued and expire. Refreshes take time. It checks what the real servers check, and its
// errors have their words. Supermetrics answers under /v2 and /enterprise/v2, the Plaid-compatible
// layer under /plaid-compatible, and MoneyKit everywhere else. A page under /login/ plays the data
// source's login for people and their browsers: see [WithLoginPages].
//
// [Sandbox.Transport] connects a client to it without a socket, also inside a testing/synctest
// bubble. [Sandbox.Script] makes it misbehave, and [Sandbox.Requests] returns the requests that it
// got.
package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxBody is larger than the body of any request of the two APIs.
const maxBody = 10 << 20

// Sandbox is both vendors' servers in memory. It is an http.Handler and is safe for concurrent use.
type Sandbox struct {
	config config

	mu        sync.Mutex // guards what follows
	random    *rand.Rand
	limits    limits
	logins    []*login
	links     []*loginLink
	bankLinks map[string]*bankLink
	tokens    map[string]time.Time // bearer token to the instant it expires
	issued    int
	faults    []Fault
	records   records
}

// New returns a Sandbox with the sample data. Its clock is time.Now. If a test uses a
// testing/synctest bubble, call New inside the bubble, so that the sample data has the right age.
func New(opts ...Option) *Sandbox {
	s := &Sandbox{
		config: config{
			keys:        map[string]bool{APIKey: true},
			hourlyLimit: 5000,
			tokenLife:   time.Hour,
			refreshTime: 2 * time.Second,
		},
		// The seed is fixed, so that two runs of a test see the same ids.
		random:  rand.New(rand.NewPCG(2023, 218)),
		limits:  limits{windows: map[window]*usage{}},
		tokens:  map[string]time.Time{},
		records: records{counts: map[string]int{}},
	}
	for _, opt := range opts {
		opt(&s.config)
	}
	if s.bankLinks = map[string]*bankLink{}; !s.config.empty {
		s.fill(s.clock())
	}
	return s
}

// ServeHTTP answers one request, or does what a scripted fault says.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, loginPath) {
		s.serveLogin(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		hangUp(w)
		return
	}
	c := find(r)
	c.body = body
	entry, fault := s.arrive(c)
	if fault == nil {
		s.send(w, entry, s.perform(c))
		return
	}
	s.play(w, c, entry, *fault)
}

// arrive records the request and takes its fault in one step, so that records and faults have the
// same order.
func (s *Sandbox) arrive(c *call) (*Request, *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records.add(c), s.takeFault(c.operation())
}

// perform does what the request asks for: first the checks of its API, then the operation.
func (s *Sandbox) perform(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now, c.requestID, c.header = s.clock(), s.text(24), http.Header{}
	c.header.Set("Content-Type", mediaJSON)
	c.loginURL = func(token string) string { return s.config.loginURL(c.Request, token) }
	if name := c.vendor.requestIDHeader; name != "" {
		c.header.Set(name, c.requestID)
	}
	a := s.decide(c)
	a.header = c.header
	return a
}

func (s *Sandbox) decide(c *call) answer {
	if c.route == nil {
		return c.vendor.fail(c, c.status)
	}
	if !s.limits.bucket.take(c.now, s.config.perSecond) {
		return c.tooMany(time.Second)
	}
	if refusal, ok := c.vendor.admit(s, c); !ok {
		return refusal
	}
	if err := c.queryProblem(); err != nil {
		return c.vendor.badQuery(c, err)
	}
	return c.route.handle(s, c)
}

// clock is the server's time.
func (s *Sandbox) clock() time.Time { return time.Now().Add(s.config.skew) }

// text returns n random-looking letters and digits. The caller holds mu.
func (s *Sandbox) text(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[s.random.IntN(len(alphabet))]
	}
	return string(b)
}

// obj is a JSON object.
type obj = map[string]any

// answer is what goes back to the client.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// reply is an answer with v as its JSON body.
func reply(status int, v any) answer {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // our own sample data: a mistake in this package
	}
	return answer{status: status, body: b.Bytes()}
}
