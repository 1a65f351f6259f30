package duolink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/duolink/duolink/internal/flight"
)

// What the flows have in common that are made of several calls and shared by their callers: who may
// share a run, what its calls inherit from the flow's, and what each caller gets of it.

// identity says who calls, to everybody who is counted, held up or served together.
func (t *trip) identity() string {
	selects := http.Header{}
	for _, name := range t.tenants {
		selects[name] = t.extra[name]
	}
	return fmt.Sprintf("%q %q", t.auth.identity(), selects) // a map prints in the order of its keys
}

// tenant says as whom a flow is called, to everybody who would share its run.
func (t *trip) tenant(ctx context.Context) (string, error) {
	token := ""
	// One function may serve many tenants: ask whose call this is.
	if b, ok := t.auth.(*bearer); ok && b.provide != nil {
		h := http.Header{}
		if err := b.authorize(ctx, t.op.api, h); err != nil {
			return "", t.blame(err)
		}
		token = h.Get("Authorization")
		t.header = h // what no error may quote
	}
	return fmt.Sprintf("%s %q", t.identity(), token), nil
}

// sharedWrite is the option of a call that sends what its run should not send twice.
func sharedWrite(w flight.Write) CallOption {
	return func(o *callOptions) error {
		o.write = &w
		return nil
	}
}

// writeOutcome is what a caller who has given up can know of a run's writes.
func writeOutcome(o flight.Outcome) Outcome {
	return [...]Outcome{flight.NotSent: NotSent, flight.Rejected: Rejected, flight.Unknown: Unknown}[o]
}

// inherit is the call options of a flow for the calls that it is made of, with a response that is
// the run's own: the caller's may be read by then.
func (t *trip) inherit(response *Response) CallOption {
	all := t.callOptions
	all.response = response
	return func(o *callOptions) error {
		*o = all
		return nil
	}
}

// patience is how long a flow waits at once if the server asks for it: what the call says, or an
// hour.
func (t *trip) patience() time.Duration {
	if t.maxWait != nil {
		return *t.maxWait
	}
	return max(t.retry.MaxWait, time.Hour)
}

// handOver is what a caller gets of a run: copies of its own of the response and the error, to
// keep, to change and to wipe.
func (t *trip) handOver(response *Response, err error) error {
	if t.response != nil {
		head, body := response.Header().Clone(), bytes.Clone(response.Body())
		*t.response = *response
		t.response.Attempts = slices.Clone(response.Attempts)
		t.response.header = func() http.Header { return head }
		t.response.body = func() []byte { return body }
	}
	if err == flight.ErrUnfinished { // another caller has the panic of a hook
		err = &Error{Outcome: Unknown, Message: "the run that the call shared did not end well"}
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	own := *e
	own.API, own.Operation = cmp.Or(own.API, t.op.api), cmp.Or(own.Operation, t.op.name)
	own.Fields = slices.Clone(own.Fields)
	return &own
}
