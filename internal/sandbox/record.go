package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxRecords bounds the memory of a sandbox that runs for a long time.
const maxRecords = 100_000

// Request is one request as it arrived.
type Request struct {
	// Operation is the name that faults use too, like "links.get". It is empty if there is no such
	// path or method.
	Operation string
	// Method, Path (as escaped on the wire), RawQuery, Header and Body are what the client sent.
	Method, Path, RawQuery string
	Header                 http.Header
	Body                   []byte
	// Time is when the request arrived.
	Time time.Time
	// Status is the status of the answer. It is 0 before the answer, and if the connection was
	// dropped.
	Status int
	// KeyInQuery says that the JSON parameter of logins.query_accounts had an api_key in it. That
	// is accepted, but it puts a secret into a URL.
	KeyInQuery bool
}

// records keeps the last requests, and counts all of them.
type records struct {
	list   []*Request
	counts map[string]int
	total  int
}

func (l *records) add(c *call) *Request {
	entry := &Request{
		Operation:  c.operation(),
		Method:     c.Method,
		Path:       c.URL.EscapedPath(),
		RawQuery:   c.URL.RawQuery,
		Header:     c.Header.Clone(),
		Body:       c.body,
		Time:       time.Now(),
		KeyInQuery: strings.Contains(c.URL.Query().Get("json"), `"api_key"`),
	}
	if len(l.list) == maxRecords {
		l.list[0] = nil
		l.list = l.list[1:]
	}
	l.list = append(l.list, entry)
	l.counts[entry.Operation]++
	l.total++
	return entry
}

// Requests returns the requests so far in the order of their arrival, but only the last 100,000.
func (s *Sandbox) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.records.list))
	for i, entry := range s.records.list {
		out[i] = *entry
		out[i].Header = entry.Header.Clone()
		out[i].Body = slices.Clone(entry.Body)
	}
	return out
}

// Count returns how many requests there were for the operation, whatever the answer. For "" it
// counts all requests.
func (s *Sandbox) Count(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if operation == "" {
		return s.records.total
	}
	return s.records.counts[operation]
}

// ResetRequests forgets the requests so far. The state stays.
func (s *Sandbox) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records{counts: map[string]int{}}
}

// answered records the status. It is called before the first byte of the answer, so that whoever
// has the answer sees the record.
func (s *Sandbox) answered(entry *Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Status = status
}
