package duolinktest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
)

// Fault is what happens to a request. Set Status, or Body, or one of DropBefore, DropAfter and Stall,
// or only Delay.
type Fault struct {
	// Operation is the name of the operation in the client's errors and hooks, such as "links.create".
	// "auth.token" is the exchange of a token. Empty means the next request, whatever it is.
	Operation string
	// Status is the status of an answer that replaces the real one. The operation is not done. Without
	// a Body, the answer is an error in the shape of the API.
	Status int
	// Code is the code in the error, such as "LICENSE_EXPIRED" or "link_error.deleted". Without it the
	// error has a code that is documented for the Status. A code without a dot at MoneyKit is that of
	// the link: {Status: 422, Code: "auth_expired"}.
	Code string
	// RetryAfter is the Retry-After of the answer, in whole seconds.
	RetryAfter time.Duration
	// Header is added to the answer.
	Header http.Header
	// Body replaces the body. Without a Status it is sent with 200.
	Body string
	// Delay passes before the operation is done and answered. If the client goes away before, the
	// operation is not done. With DropAfter the operation is done at once, and Delay passes before
	// the connection closes.
	Delay time.Duration
	// DropBefore closes the connection, and the operation is not done.
	DropBefore bool
	// DropAfter does the operation, and closes the connection without an answer. So the client cannot
	// know whether it was done.
	DropAfter bool
	// Stall sends half of the answer, and then nothing more.
	Stall bool
	// Times is how many requests the fault is for. 0 means one, and a negative number means all.
	Times int
}

// Operations returns the names of all operations, such as "links.create".
func Operations() []string { return sandbox.Operations() }

// Script adds faults. A request takes the first fault that is for it. A fault that contradicts itself,
// or an operation that does not exist, fails the test.
func (s *Server) Script(faults ...Fault) {
	s.t.Helper()
	for _, f := range faults {
		s.must(f.check())
		s.sandbox.Script(f.sandbox())
	}
}

// ClearScript forgets the faults that were not used.
func (s *Server) ClearScript() { s.sandbox.ClearScript() }

// Pending returns how many faults were not used up. A fault for all requests counts as one.
func (s *Server) Pending() int { return s.sandbox.Pending() }

func (f Fault) check() error {
	ways := 0
	for _, way := range []bool{f.Status != 0 || f.Body != "", f.DropBefore, f.DropAfter, f.Stall} {
		if way {
			ways++
		}
	}
	switch {
	case checkOperation(f.Operation) != nil:
		return checkOperation(f.Operation)
	case ways > 1:
		return fmt.Errorf("a fault for %q has several of Status or Body, DropBefore, DropAfter and Stall", f.Operation)
	case ways == 0 && f.Delay == 0 && len(f.Header) == 0:
		return fmt.Errorf("a fault for %q does nothing", f.Operation)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("the status %d is not one from 200 to 599", f.Status)
	case f.Status != 0 && f.Status < 400 && f.Code != "":
		return fmt.Errorf("the status %d is no error, and has no Code", f.Status)
	case f.Status == 0 && (f.Code != "" || f.RetryAfter != 0):
		return fmt.Errorf("a fault for %q has a Code or RetryAfter without a Status", f.Operation)
	case f.Code != "" && f.Body != "":
		return fmt.Errorf("a fault for %q has a Code and a Body", f.Operation)
	case f.Code != "" && f.Operation == "":
		return fmt.Errorf("the Code %q needs an Operation, because the APIs write errors differently", f.Code)
	case f.Delay < 0 || f.RetryAfter < 0:
		return fmt.Errorf("a fault for %q has a negative Delay or RetryAfter", f.Operation)
	}
	return nil
}

// checkOperation refuses an operation that does not exist. "" is any operation.
func checkOperation(name string) error {
	if known := sandbox.Operations(); name != "" && !slices.Contains(known, name) {
		return fmt.Errorf("no operation %q, only %s", name, strings.Join(known, ", "))
	}
	return nil
}

func (f Fault) sandbox() sandbox.Fault {
	out := sandbox.Fault{
		Operation: f.Operation, Status: f.Status, Header: maps.Clone(f.Header), Body: f.Body, Delay: f.Delay,
		Stall: f.Stall, Times: f.Times, Explain: f.Status >= 400 && f.Body == "", Code: f.Code,
	}
	switch {
	case f.DropBefore:
		out.Drop = sandbox.DropBefore
	case f.DropAfter:
		out.Drop = sandbox.DropAfter
	}
	if f.RetryAfter > 0 {
		if out.Header == nil {
			out.Header = http.Header{}
		}
		seconds := (f.RetryAfter + time.Second - 1) / time.Second
		out.Header.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	return out
}
