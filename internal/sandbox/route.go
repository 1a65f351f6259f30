package sandbox

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// vendor is one API: its operations and its refusals.
type vendor struct {
	routes          []route
	requestIDHeader string
	// fail makes a refusal that does not depend on the operation: 404, 405 and 429.
	fail func(c *call, status int) answer
	// badQuery refuses a query that has what no page documents.
	badQuery func(c *call, err error) answer
	// admit checks credentials, headers and quotas. It returns false with a refusal.
	admit func(s *Sandbox, c *call) (answer, bool)
}

// route is one operation. Patterns are tried in order, so fixed words come before {id}.
type route struct {
	operation string
	method    string
	pattern   string
	query     []string // the parameters that the vendor's pages document; every other is refused
	media     string   // of the body; empty: the request has none
	handle    func(*Sandbox, *call) answer
}

const (
	mediaJSON = "application/json"
	mediaForm = "application/x-www-form-urlencoded"
)

// call is one request on its way through the sandbox.
type call struct {
	*http.Request

	vendor  *vendor
	prefix  string // the part of the path before the API's own
	pattern string // the first pattern that the path matches, whatever the method
	route   *route // nil: no such operation, and status says why
	status  int
	id      string // the {id} of the path
	body    []byte

	now       time.Time
	requestID string
	header    http.Header // of the answer
	key       string      // the Supermetrics credential
	loginURL  func(token string) string
}

// find returns the operation of the request.
func find(r *http.Request) *call {
	c := &call{Request: r, header: http.Header{}, status: http.StatusNotFound}
	path := r.URL.EscapedPath()
	c.vendor, c.prefix = locate(path)
	path = strings.TrimPrefix(path, c.prefix)
	for i := range c.vendor.routes {
		candidate := &c.vendor.routes[i]
		id, ok := match(candidate.pattern, path)
		if !ok || c.pattern != "" && c.pattern != candidate.pattern {
			continue
		}
		c.pattern, c.status = candidate.pattern, http.StatusMethodNotAllowed
		if candidate.method == r.Method {
			c.route, c.id = candidate, id
			return c
		}
	}
	return c
}

// locate returns the API of a path.
func locate(path string) (*vendor, string) {
	for _, prefix := range []string{"/v2", "/enterprise/v2"} {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return &supermetrics, prefix
		}
	}
	if strings.HasPrefix(path, "/plaid-compatible/") {
		return &plaid, "/plaid-compatible"
	}
	return &moneykit, ""
}

// match compares an escaped path with a pattern and returns the text at {id}.
func match(pattern, path string) (id string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return "", false
	}
	for i, segment := range got {
		text, err := url.PathUnescape(segment)
		switch {
		case err != nil:
			return "", false
		case want[i] == "{id}" && text != "":
			id = text
		case want[i] != text:
			return "", false
		}
	}
	return id, true
}

func (c *call) operation() string {
	if c.route == nil {
		return ""
	}
	return c.route.operation
}

// allowed lists the methods of the path, for the Allow header of a 405.
func (c *call) allowed() string {
	var methods []string
	for _, r := range c.vendor.routes {
		if r.pattern == c.pattern {
			methods = append(methods, r.method)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// bodyProblem returns what is wrong with the way the body is sent, or "". The real servers may
// accept more, but a client has no reason to rely on that.
func (c *call) bodyProblem() string {
	kind := c.Header.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(kind)
	switch {
	case c.route.media == "" && len(c.body) > 0:
		return "This request takes no body"
	case c.route.media == "" && kind != "":
		return "This request takes no Content-Type"
	case c.route.media != media:
		return "The body must be sent as " + c.route.media
	}
	return ""
}

// tooMany is the 429 of the vendor, with the seconds to wait rounded up.
func (c *call) tooMany(wait time.Duration) answer {
	seconds := max(1, int((wait+time.Second-1)/time.Second))
	c.header.Set("Retry-After", strconv.Itoa(seconds))
	return c.vendor.fail(c, http.StatusTooManyRequests)
}
