package duolink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/pace"
)

// What the flows have in common: who shares a run, what its calls inherit, what each caller gets.

// identity says who calls, to everybody who is counted, held up or served together.
func (p *prepared) identity() string {
	selects := http.Header{}
	for _, name := range p.tenants {
		selects[name] = p.extra[name]
	}
	return fmt.Sprintf("%q %q", p.auth.identity(), selects) // a map prints in the order of its keys
}

// tenant says as whom a flow is called, to everybody who would share its run. One function may
// serve many tenants: it is asked whose call this is, and then no error may quote that token.
func (p *prepared) tenant(ctx context.Context) (string, *prepared, error) {
	b, ok := p.auth.(*bearer)
	if !ok || b.provide == nil {
		return p.identity(), p, nil
	}
	h := http.Header{}
	if err := b.authorize(ctx, p.op.api, h); err != nil {
		return "", nil, p.unsent(err)
	}
	token := h.Get("Authorization")
	own := *p
	own.op.secrets = append(slices.Clone(p.op.secrets), strings.TrimPrefix(token, "Bearer "))
	return fmt.Sprintf("%s %q", p.identity(), token), &own, nil
}

// sharedWrite is the option of a call that sends what its run should not send twice.
func sharedWrite(w flight.Write) CallOption {
	return func(o *callOptions) error {
		o.write = &w
		return nil
	}
}

// commitWrite tells the run that the call belongs to that its write is sent now. It reports false
// if nobody waits for that any more.
func (p *prepared) commitWrite() bool { return p.write == nil || p.write.Commit() }

// nothingHappened tells that run that nothing has come of it.
func (p *prepared) nothingHappened(outcome Outcome) {
	if p.write != nil {
		p.write.Uncommit(outcome == OutcomeRejected)
	}
}

// writeOutcome is what a caller who has given up can know of a run's writes.
func writeOutcome(o flight.Outcome) Outcome {
	return [...]Outcome{
		flight.NotSent: OutcomeNotSent, flight.Rejected: OutcomeRejected, flight.Unknown: OutcomeUnknown,
	}[o]
}

// inherit is the call options of a flow for the calls that it is made of, with a response that is
// the run's own: the caller's may be read by then.
func (p *prepared) inherit(response *Response) CallOption {
	all := p.callOptions
	all.response = response
	return func(o *callOptions) error {
		*o = all
		return nil
	}
}

// patience is how long a flow waits at once if the server asks for it: what the call says, or an
// hour.
func (p *prepared) patience() time.Duration {
	if p.maxWait != nil {
		return *p.maxWait
	}
	return max(p.retry.MaxWait, time.Hour)
}

// handOver is what a caller gets of a run: copies of its own of the response and the error, to
// keep, to change and to wipe.
func (p *prepared) handOver(response *Response, err error) error {
	if p.response != nil {
		head, body := response.Header().Clone(), bytes.Clone(response.Body())
		*p.response = *response
		p.response.Attempts = slices.Clone(response.Attempts)
		p.response.header = func() http.Header { return head }
		p.response.body = func() []byte { return body }
	}
	if err == flight.ErrUnfinished { // another caller has the panic of a hook
		err = &Error{Outcome: OutcomeUnknown, Message: "the run that the call shared did not end well"}
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	own := *e
	own.API, own.Operation = cmp.Or(own.API, p.op.api), cmp.Or(own.Operation, p.op.name)
	own.Fields = slices.Clone(own.Fields)
	return &own
}

// defaultGrace is what an end that may not be the last word is given.
const defaultGrace = 30 * time.Second

// poll looks until what a flow waits for has ended. A failure that passes (a 502, a 429) does not
// end the wait. One of a credential's provider or a limiter, that came before any attempt, is not
// the server's, and does. A token that was refused is renewed by the next look, once.
func (p *prepared) poll(ctx context.Context, w pace.Poll, lapsed func(ended error, more string) *Error) error {
	look, renewed := w.Look, false
	w.Patience = p.patience()
	w.Look = func() (pace.Look, error) {
		seen, err := look()
		renewed = renewed && err != nil
		return seen, err
	}
	w.Passes = func(err error) (bool, time.Duration) {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return false, 0
		}
		passes := readOnly.allows(e) && (e.kind() != nil || e.Attempts > 0)
		if e.renewable {
			passes, renewed = !renewed, true
		}
		return passes, e.RetryAfter
	}
	err := w.Until(ctx)
	l, ok := errors.AsType[*pace.Lapsed](err)
	if !ok {
		return err
	}
	// What the latest look failed with is told, and is not what kind of error this is.
	e := lapsed(l.Ended, "")
	if last, failed := errors.AsType[*Error](l.Latest); failed && (l.Ended == nil || !errors.Is(last, l.Ended)) {
		e = lapsed(errors.Join(l.Ended, last.Unwrap()), "; the latest look failed: "+last.class())
	}
	e.RetryAfter = l.RetryAfter
	return e
}

// promisedPause is what an answer that is good asks for.
func promisedPause(r *Response) time.Duration {
	if r.Status/100 != 2 {
		return 0
	}
	return retryAfter(r.Header(), time.Now())
}
