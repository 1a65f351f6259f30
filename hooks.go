package duolink

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Hooks are told what the client does. Any of them may be nil. They must be safe for concurrent
// use, and hold the call up while they run; no lock is held meanwhile, and a panic in one is the
// caller's. They are called on the goroutine of the call, and those of what serves many calls, a
// token exchange or a shared flow, on one of its own: a panic there reaches one of the calls that
// wait, or, of an exchange, the next one that asks for a token, and one that calls the same flow
// would wait for itself. Abandoned is told when nobody waits: its panic is dropped. What they are
// told is what may be logged: no id, query, header or body.
type Hooks struct {
	AttemptStart func(context.Context, Attempt) // Number, and Wait, are known
	AttemptEnd   func(context.Context, Attempt)
	Wait         func(context.Context, Wait)     // before it starts
	Cooldown     func(context.Context, Cooldown) // a limit group was closed
	TokenRenewal func(context.Context, TokenRenewal)
	Abandoned    func(context.Context, Abandoned) // a flow was ended unfinished, long after its callers had left
}

// Attempt is one time that a request was sent.
type Attempt struct {
	API       API
	Operation string        // such as "links.get"
	Route     string        // such as "/ds/login/link/{link_id}"
	Number    int           // from 1
	Wait      time.Duration // since the previous attempt ended, or the call began
	Duration  time.Duration // until the answer was read, or, of a stream, began; the queue for a connection is in it
	Status    int           // 0 where no answer arrived
	Code      Code
	RequestID string
	Failure   string // what went wrong, in a word or two; "" for a good answer
}

// WaitReason is why a call waits.
type WaitReason string

const (
	WaitBackoff    WaitReason = "backoff"     // before a repetition, at random
	WaitRetryAfter WaitReason = "retry-after" // before a repetition after anything but a 429, as the server asked
	WaitCooldown   WaitReason = "cooldown"    // the limit group is closed: see Cooldown
	WaitPace       WaitReason = "pace"        // the limit group has just been reopened
)

// Wait is a wait that is about to start.
type Wait struct {
	API       API
	Operation string
	Route     string
	Attempt   int // the attempt that it comes before, or, at its connection, belongs to
	Reason    WaitReason
	Duration  time.Duration // an estimate, where others wait as well
}

// Cooldown is a limit group that was closed: by a 429, or by a 5xx that says when to come back.
type Cooldown struct {
	API       API
	Operation string
	Route     string
	Duration  time.Duration
}

// TokenRenewal is a token exchange that has ended. One in the background, ahead of the token's end,
// is told of by the next call that asks for a token.
type TokenRenewal struct {
	API      API
	Duration time.Duration
	Status   int // 0 where it succeeded, or no answer arrived
	Code     Code
	Failure  string // "" for success
}

// Abandoned is a flow that was ended unfinished: it has sent a write, what came of that is not
// known, and its callers had given up. Nobody came back for ten minutes, or too many other flows
// were given up after it, or it would have had to send another write. The next call looks anew.
type Abandoned struct {
	API       API
	Operation string        // such as "links.create_once"
	After     time.Duration // since the last caller left
}

// WithHooks registers functions that are called for what the client does.
func WithHooks(hooks Hooks) Option {
	return func(cfg *config) error {
		cfg.hooks = hooks
		return nil
	}
}

// WithLogger has the client log: each attempt and renewal at debug level, each wait, cooldown and
// abandoned flow as a warning. Without it the client is silent. What is logged is what [Hooks] are
// told, and nothing else.
func WithLogger(logger *slog.Logger) Option {
	return func(cfg *config) error {
		if logger == nil {
			return argumentError("WithLogger: the logger is nil")
		}
		cfg.logger = logger
		return nil
	}
}

func (t *trip) attemptStarts(ctx context.Context) {
	t.started = time.Now()
	a := Attempt{
		API: t.op.api, Operation: t.op.name, Route: t.op.route,
		Number: len(t.attempts) + 1, Wait: t.started.Sub(t.ended),
	}
	t.attempts = append(t.attempts, a)
	t.underWay = true
	if h := t.client.config.hooks.AttemptStart; h != nil {
		h(ctx, a)
	}
}

// attemptEnds puts the attempt into the history, the log and the hooks.
func (t *trip) attemptEnds(ctx context.Context, e *Error) {
	t.ended, t.underWay = time.Now(), false
	if len(t.attempts) == 0 { // net/http has refused the request before the transport saw it
		return
	}
	a := &t.attempts[len(t.attempts)-1]
	l := t.client.config.logger
	logged := l != nil && l.Enabled(ctx, slog.LevelDebug)
	a.Duration, a.Status = t.ended.Sub(t.started), t.status
	switch {
	case e != nil:
		a.Code, a.Failure, a.RequestID = e.Code, e.class(), e.RequestID
	case t.response != nil || logged || t.client.config.hooks.AttemptEnd != nil:
		a.RequestID = t.requestID() // to read it is work, so only for those whom it is shown to
	}
	if logged {
		l.LogAttrs(ctx, slog.LevelDebug, "duolink: attempt", append(t.attrs(), slog.Int("attempt", a.Number),
			slog.Int("status", a.Status), slog.String("code", string(a.Code)), slog.String("request_id", a.RequestID),
			slog.Duration("duration", a.Duration), slog.String("failure", a.Failure))...)
	}
	if h := t.client.config.hooks.AttemptEnd; h != nil {
		h(ctx, *a)
	}
}

func (t *trip) waits(ctx context.Context, reason WaitReason, d time.Duration) {
	attempt := len(t.attempts) + 1
	if t.underWay { // it waits at its connection
		attempt--
	}
	if l := t.client.config.logger; l != nil {
		l.LogAttrs(ctx, slog.LevelWarn, "duolink: wait", append(t.attrs(), slog.Int("attempt", attempt),
			slog.String("reason", string(reason)), slog.Duration("wait", d))...)
	}
	if h := t.client.config.hooks.Wait; h != nil {
		h(ctx, Wait{API: t.op.api, Operation: t.op.name, Route: t.op.route, Attempt: attempt, Reason: reason, Duration: d})
	}
}

func (t *trip) coolsDown(ctx context.Context, d time.Duration) {
	if l := t.client.config.logger; l != nil {
		l.LogAttrs(ctx, slog.LevelWarn, "duolink: cooldown", append(t.attrs(), slog.Duration("wait", d))...)
	}
	if h := t.client.config.hooks.Cooldown; h != nil {
		h(ctx, Cooldown{API: t.op.api, Operation: t.op.name, Route: t.op.route, Duration: d})
	}
}

// abandoned tells of a run that nobody waits for.
func (t *trip) abandoned(ctx context.Context, after time.Duration) {
	if l := t.client.config.logger; l != nil {
		l.LogAttrs(ctx, slog.LevelWarn, "duolink: abandoned", slog.String("api", string(t.op.api)),
			slog.String("operation", t.op.name), slog.Duration("after", after))
	}
	if h := t.client.config.hooks.Abandoned; h != nil {
		h(ctx, Abandoned{API: t.op.api, Operation: t.op.name, After: after})
	}
}

func (t *trip) attrs() []slog.Attr {
	return []slog.Attr{slog.String("api", string(t.op.api)), slog.String("operation", t.op.name), slog.String("route", t.op.route)}
}

// renewed tells of a token exchange, on the goroutine of a call that waited for it.
func (c *Client) renewed(ctx context.Context, d time.Duration, err error) {
	r := TokenRenewal{API: MoneyKit, Duration: d}
	if e, ok := errors.AsType[*Error](err); ok {
		r.Status, r.Code, r.Failure = e.StatusCode, e.Code, e.class()
	}
	if l := c.config.logger; l != nil {
		l.LogAttrs(ctx, slog.LevelDebug, "duolink: token renewal", slog.String("api", string(r.API)), slog.Duration("duration", d),
			slog.Int("status", r.Status), slog.String("code", string(r.Code)), slog.String("failure", r.Failure))
	}
	if h := c.config.hooks.TokenRenewal; h != nil {
		h(ctx, r)
	}
}
