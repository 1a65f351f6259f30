package sandbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Drop says when the connection breaks.
type Drop int

// When a connection breaks. If a used connection ends before the first byte of the answer, a plain
// net/http client repeats a GET by itself. This second request takes the next fault.
const (
	// DropNone keeps the connection.
	DropNone Drop = iota
	// DropBefore closes the connection without doing the operation.
	DropBefore
	// DropAfter does the operation, then closes the connection without an answer.
	DropAfter
)

// Fault is something that goes wrong with one request. Its zero value changes nothing.
type Fault struct {
	// Operation is the operation that the fault is for, like "links.get". Empty means any request.
	Operation string
	// Status replaces the answer, together with Body. Unless Perform is set, the operation is not
	// done, and nothing is checked or counted. A Body without a Status is sent with 200.
	Status int
	// Header is added to the answer, also to a replaced one. A replaced answer with a body has
	// Content-Type application/json unless Header names another. A nil value removes a header.
	Header http.Header
	// Body is the exact body of the replaced answer.
	Body string
	// Explain makes the body an error of the operation's API, with this Code or a usual one.
	Explain bool
	Code    string
	// Delay passes before the operation is done and answered. If the request's context ends before,
	// nothing is done. With Perform or DropAfter the operation is done first, and only the answer
	// waits.
	Delay time.Duration
	// Drop closes the connection instead of answering.
	Drop Drop
	// Perform does the operation although Status replaces its answer.
	Perform bool
	// Truncate announces the whole body, sends only this many bytes of it and closes the
	// connection.
	Truncate int
	// Stall sends the header and half of the body, and then nothing until the client goes away.
	Stall bool
	// Times is how many requests the fault applies to: 0 and 1 mean one, and less than 0 means all.
	Times int
}

// Script appends faults. A request takes the first fault for its operation.
func (s *Sandbox) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// ClearScript forgets the faults that are left.
func (s *Sandbox) ClearScript() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Pending returns how many faults are not used up. A fault for all requests counts as one.
func (s *Sandbox) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// takeFault uses one turn of the first fault that fits. The caller holds mu.
func (s *Sandbox) takeFault(operation string) *Fault {
	for i := range s.faults {
		f := s.faults[i]
		if f.Operation != "" && f.Operation != operation {
			continue
		}
		switch {
		case f.Times > 1:
			s.faults[i].Times--
		case f.Times >= 0:
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return &f
	}
	return nil
}

// play answers as the fault says.
func (s *Sandbox) play(w http.ResponseWriter, c *call, entry *Request, f Fault) {
	var a answer
	early := f.Perform || f.Drop == DropAfter
	if early {
		a = s.perform(c)
	}
	if !pause(c.Context(), f.Delay) || f.Drop != DropNone {
		hangUp(w)
		return
	}
	switch {
	case f.Status != 0 || f.Body != "":
		if f.Explain {
			f.Body = errorBody(c, f.Status, f.Code)
		}
		a = f.answer()
	case !early:
		a = s.perform(c)
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	switch {
	case f.Truncate > 0 && f.Truncate < len(a.body):
		s.part(w, entry, a, f.Truncate)
		panic(http.ErrAbortHandler)
	case f.Stall:
		s.part(w, entry, a, len(a.body)/2)
		<-c.Context().Done()
	case f.Status != 0 || f.Body != "":
		s.part(w, entry, a, len(a.body))
	default:
		s.send(w, entry, a)
	}
}

func (f Fault) answer() answer {
	a := answer{status: f.Status, header: http.Header{}, body: []byte(f.Body)}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if f.Body != "" {
		a.header.Set("Content-Type", mediaJSON)
	}
	return a
}

// pause waits. It returns false if the client has gone away.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}

// send writes the whole answer, compressed if the sandbox does that and the client accepts it.
func (s *Sandbox) send(w http.ResponseWriter, entry *Request, a answer) {
	if s.config.gzip && strings.Contains(entry.Header.Get("Accept-Encoding"), "gzip") {
		a.header.Set("Content-Encoding", "gzip")
		a.body = compress(a.body)
	}
	s.part(w, entry, a, len(a.body))
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a bytes.Buffer does not fail
	_ = z.Close()
	return b.Bytes()
}

// part announces the whole body and writes n bytes of it.
func (s *Sandbox) part(w http.ResponseWriter, entry *Request, a answer, n int) {
	s.answered(entry, a.status)
	header := w.Header()
	header.Set("Date", s.clock().UTC().Format(http.TimeFormat))
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	maps.Copy(header, a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:n]) // it does not matter if the client has gone
	if n < len(a.body) {
		_ = http.NewResponseController(w).Flush()
	}
}
