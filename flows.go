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

// What the flows have in common: who shares a run, what its calls inherit, what a caller gets.

// same compares a text of the server with one that the vendor documents, when the client decides
// something by it. Case and white space do not count.
func same[T ~string](said, documented T) bool {
	return strings.EqualFold(strings.TrimSpace(string(said)), string(documented))
}

// identity names who calls. Calls with the same identity share limits and runs.
func (p *prepared) identity() string {
	own := p.auth.identity()
	if len(p.tenants) == 0 {
		return own
	}
	selects := http.Header{}
	for _, name := range p.tenants {
		selects[name] = p.extra[name]
	}
	return fmt.Sprintf("%q %q", own, selects) // fmt sorts a map by its keys
}

// tenant names who calls a flow, so that only the same tenant shares its run. A BearerTokenFunc may
// serve many tenants, so it is asked for the token. No error may quote that token.
func (p *prepared) tenant(ctx context.Context) (string, *prepared, error) {
	b, ok := p.auth.(*bearer)
	if !ok || b.provide == nil {
		return p.identity(), p, nil
	}
	h := &headers{Header: http.Header{}}
	if err := b.authorize(ctx, p.op.api, h); err != nil {
		return "", nil, p.unsent(err)
	}
	token := h.Get("Authorization")
	own := *p
	own.op.secrets = append(slices.Clone(p.op.secrets), strings.TrimPrefix(token, "Bearer "))
	return fmt.Sprintf("%s %q", p.identity(), token), &own, nil
}

// sharedWrite is the option of a call whose run must not send it twice.
func sharedWrite(w flight.Write) CallOption {
	return func(o *callOptions) error {
		o.write = &w
		return nil
	}
}

// commitWrite tells the call's run that the write is sent now, or returns false if nobody waits.
func (p *prepared) commitWrite() bool { return p.write == nil || p.write.Commit() }

// nothingHappened tells the call's run that the write was not carried out.
func (p *prepared) nothingHappened(outcome Outcome) {
	if p.write != nil {
		p.write.Uncommit(outcome == OutcomeRejected)
	}
}

// writeOutcome is the Outcome of a run's writes for a caller who has given up.
func writeOutcome(o flight.Outcome) Outcome {
	return [...]Outcome{
		flight.NotSent: OutcomeNotSent, flight.Rejected: OutcomeRejected, flight.Unknown: OutcomeUnknown,
	}[o]
}

// inherit gives the call options of a flow to its requests, with a Response of the run, because the
// caller may be reading the caller's own.
func (p *prepared) inherit(response *Response) CallOption {
	all := p.callOptions
	all.response = response
	return func(o *callOptions) error {
		*o = all
		return nil
	}
}

// patience is the longest single wait of a flow: what WithMaxWait says, or an hour.
func (p *prepared) patience() time.Duration {
	if p.maxWait != nil {
		return *p.maxWait
	}
	return max(p.retry.MaxWait, time.Hour)
}

// handOver gives a caller copies of a run's response and error, which the caller may change.
func (p *prepared) handOver(response *Response, err error) error {
	if p.response != nil {
		head, body := response.Header().Clone(), bytes.Clone(response.Body())
		*p.response = *response
		p.response.Attempts = slices.Clone(response.Attempts)
		p.response.header = func() http.Header { return head }
		p.response.body = func() []byte { return body }
	}
	if err == flight.ErrUnfinished { // a hook's panic went to another caller
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

// defaultGrace is how long a flow goes on after an end that may still change.
const defaultGrace = 30 * time.Second

// poll looks until what a flow waits for has ended. A failure of the server that passes (a 502, a
// 429) does not end the wait. A failure of a token provider or a limiter, before any attempt, ends
// it. After a 401 the next look renews the token, once.
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
	waiting := p.client.life.waits(ctx) // the looks have their own context
	defer waiting.release()
	ctx = waiting
	err := w.Until(ctx)
	l, ok := errors.AsType[*pace.Lapsed](err)
	if !ok {
		return err
	}
	var ended error
	if l.Ended != nil {
		ended = endOf(ctx, noTime(ctx))
	}
	// The error tells the failure of the latest look, but has its own kind.
	e := lapsed(ended, "")
	if last, failed := errors.AsType[*Error](l.Latest); failed && (ended == nil || !errors.Is(last, l.Ended)) {
		e = lapsed(errors.Join(ended, last.Unwrap()), "; the latest look failed: "+last.class())
	}
	e.RetryAfter = l.RetryAfter
	return e
}

// promisedPause is the pause that a good answer asks for.
func promisedPause(r *Response) time.Duration {
	if r.Status/100 != 2 {
		return 0
	}
	return retryAfter(r.Header(), time.Now())
}
