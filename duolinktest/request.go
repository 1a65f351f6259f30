package duolinktest

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// Request is a request that the server got. Its header and query have what the client sent,
// credentials too. It prints without them.
type Request struct {
	Operation string // such as "links.create"; empty if there is no such path or method
	Method    string
	Path      string // as it was sent, with escapes
	RawQuery  string
	Header    http.Header
	Body      []byte
	Time      time.Time
	Status    int // of the answer; 0 if there was none
}

// String returns the operation and the status, such as "links.create: 201".
func (r Request) String() string {
	if r.Operation == "" {
		return fmt.Sprintf("%s, no operation: %d", r.Method, r.Status)
	}
	return fmt.Sprintf("%s: %d", r.Operation, r.Status)
}

// Format writes String, whatever the verb.
func (r Request) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// Requests returns the requests so far, in the order in which they came. It keeps the last 100,000.
func (s *Server) Requests() []Request {
	var out []Request
	for _, r := range s.sandbox.Requests() {
		out = append(out, Request{
			Operation: r.Operation, Method: r.Method, Path: r.Path, RawQuery: r.RawQuery, Header: r.Header,
			Body: r.Body, Time: r.Time, Status: r.Status,
		})
	}
	return out
}

// Count returns how many requests of an operation there were, whatever the answer. "" counts all.
func (s *Server) Count(operation string) int {
	s.t.Helper()
	s.must(checkOperation(operation))
	return s.sandbox.Count(operation)
}
