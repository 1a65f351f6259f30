package duolink

import (
	"context"
	"errors"
	"time"

	"github.com/duolink/duolink/internal/conceal"
)

// What holds requests back beside the client's own pace.

// Limiter can hold requests back, in addition to the client's own pace. The limits belong to the
// account, and not to the process, so several clients and processes may share a limiter. See
// [NewLocalLimiter], and contrib/redislimit for a fleet.
//
// A limiter is called on the goroutine of the call, by many calls at once.
type Limiter interface {
	// Wait returns when a request of the limit group may be sent. It is called before each attempt,
	// once for each limit group of the request, the smallest first.
	//
	// The context ends with the call's, when the client closes, and after Retry.MaxWait. An error
	// ends the call before the request is sent. An *Error may say the Kind, the Message and
	// RetryAfter of the call's error: ErrRateLimited if the wait would be too long.
	Wait(ctx context.Context, group Group) error

	// Report tells what became of an attempt, once for each group whose Wait returned nil. It
	// should not wait.
	Report(group Group, answer Answer)
}

// Group is a limit group of a request: what a vendor counts together. It has no id and no
// credential, so it is safe to print.
type Group struct {
	API       API
	Operation string // of the request, such as "identity.get"
	Scope     Scope
	Product   Product // that is refreshed, if the vendor documents it
	// Name is the same in every process, and different for each credential, link and so on, which
	// it has as a hash. Whoever keeps something by group needs no more than Name.
	Name string
}

// Scope is what a vendor counts together.
type Scope string

// The scopes.
const (
	ScopeCredential  Scope = "credential"   // all requests of a credential
	ScopeApplication Scope = "application"  // all requests of a credential for an operation
	ScopeLink        Scope = "link"         // the requests of an operation on a bank link, or on its item
	ScopeProduct     Scope = "link product" // the refreshes of a product of a bank link
	ScopeDataSource  Scope = "data source"  // the queries of a credential to a data source
)

// Answer is what became of an attempt, as far as a limit group is concerned. If Status is set and
// Refused is not, the request was within the limit.
type Answer struct {
	Status     int           // 0 if no answer arrived
	Outcome    Outcome       // of an attempt that failed; OutcomeNotSent also if it was never begun
	Refused    bool          // the server has refused a request because of this group
	RetryAfter time.Duration // how long the group is closed if it was refused; 0 if it is not known
	RateLimit  RateLimit     // what the answer says of the credential's limit; mostly nothing
}

// WithLimiter asks a limiter before each attempt. See [Limiter].
func WithLimiter(limiter Limiter) Option {
	return func(cfg *config) error {
		if limiter == nil {
			return argumentError("WithLimiter: the limiter is nil")
		}
		cfg.limiter = limiter
		return nil
	}
}

// leastLimiterWait is how long a limiter may take at least, because it may have to ask somebody.
const leastLimiterWait = 100 * time.Millisecond

// askLimiter waits for the caller's Limiter.
func (a *attempts) askLimiter(ctx context.Context, at *attempt) error {
	limiter := a.client.config.limiter
	if limiter == nil {
		return nil
	}
	began := time.Now()
	bounded, cancel := context.WithTimeoutCause(ctx, max(a.retry.MaxWait, leastLimiterWait), errLimiterWait)
	defer cancel()
	for _, g := range a.op.groups(a.identity()) {
		if err := limiter.Wait(bounded, g.Group); err != nil {
			return a.limiterError(ctx, bounded, err)
		}
		at.let++
	}
	if waited := time.Since(began); waited >= time.Millisecond {
		a.waits(ctx, at.number, WaitReasonLimiter, waited)
	}
	return nil
}

var errLimiterWait = errors.New("the limiter has held the request for longer than Retry.MaxWait")

// limiterError is the error of a call that a limiter does not let out.
func (a *attempts) limiterError(ctx, bounded context.Context, err error) error {
	if ctx.Err() == nil && context.Cause(bounded) == errLimiterWait && errors.Is(err, context.DeadlineExceeded) {
		return &Error{Kind: ErrRateLimited, Outcome: OutcomeNotSent, Message: errLimiterWait.Error()}
	}
	e := &Error{Outcome: OutcomeNotSent, Message: "the limiter let nothing out", cause: conceal.ValueOf(err)}
	if said, ok := errors.AsType[*Error](err); ok {
		e.Kind, e.RetryAfter = said.Kind, said.RetryAfter
		if said.Message != "" {
			e.Message += ": " + said.Message
		}
		if said.RetryAfter > 0 && outlasts(ctx, said.RetryAfter) {
			e.because(a.noTime(ctx, said.RetryAfter))
		}
	}
	return e
}

// tellLimiter tells the caller's Limiter what became of an attempt. The server has refused these
// groups.
func (a *attempts) tellLimiter(at *attempt, refused []limitGroup, now time.Time) {
	if at.let == 0 {
		return
	}
	asked := a.op.groups(a.identity())[:at.let]
	at.let = 0
	for _, g := range asked {
		answer := Answer{Status: at.status, Outcome: OutcomeNotSent}
		switch {
		case at.err != nil:
			answer.Outcome = at.err.Outcome
		case at.status != 0:
			answer.Outcome = ""
		}
		if g.Scope == ScopeCredential {
			answer.RateLimit = rateLimit(at.head, now)
		}
		for _, r := range refused {
			if r.Name == g.Name {
				answer.Refused, answer.RetryAfter = true, r.closed
			}
		}
		a.client.config.limiter.Report(g.Group, answer)
	}
}

// tellUnsent tells the caller's Limiter of an attempt that it let out and that never began.
func (a *attempts) tellUnsent() {
	for _, at := range [...]*attempt{a.latest, a.next} {
		a.tellLimiter(at, nil, time.Time{})
	}
}
