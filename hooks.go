package duolink

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Hooks are functions that are told what the client does. Any of them may be nil. It is safe to log
// what they get: it has no id, query, header or body.
//
// Hooks must be safe for concurrent use. A hook runs on the goroutine of the call, without a lock.
// The call waits for it, and a panic in it reaches the caller.
//
// A token exchange and a shared flow serve many calls, so their hooks run on a goroutine of their
// own. A panic there reaches one of the waiting calls. If nobody waits for an exchange, its panic
// reaches the next call that asks for a token. A panic in Abandoned is dropped, because nobody
// waits. A hook must not call the flow that it is told of, because the flow would wait for itself. Neither
// must it call [Client.Close], which waits for the call of the hook.
type Hooks struct {
	// CallStart is called before a request of a call. It returns the context that the call goes on
	// with, derived from the one that it gets: with a span, for example. CallEnd gets it back.
	CallStart func(context.Context, Call) context.Context // only names are set
	CallEnd   func(context.Context, Call)

	AttemptStart func(context.Context, Attempt) // only names, Number and Wait are set
	AttemptEnd   func(context.Context, Attempt)
	// AttemptHeader adds headers to an attempt that has started, such as those of a trace. What
	// WithHeader refuses is left out.
	AttemptHeader func(context.Context, http.Header)

	Wait         func(context.Context, Wait)     // before it starts
	Cooldown     func(context.Context, Cooldown) // a limit group was closed
	TokenRenewal func(context.Context, TokenRenewal)
	Abandoned    func(context.Context, Abandoned) // a flow was ended unfinished
	Drift        func(context.Context, Drift)     // an answer differs from its documentation; once per place
}

// Call is one call of an operation, with all of its attempts. A flow makes several. What is refused
// before anything is sent, such as a wrong argument, is no call.
type Call struct {
	API       API
	Operation string        // such as "links.get"
	Method    string        // such as "GET"
	Route     string        // such as "/ds/login/link/{loginLinkID}"
	Attempts  int           // how often a request was sent
	Duration  time.Duration // until the answer was read (of a stream: began)
	Status    int           // of the latest attempt; 0 if no answer arrived
	Code      Code
	Failure   string  // what went wrong, in a word or two; "" for a good answer
	Outcome   Outcome // of a call that failed
}

// Attempt is one time that a request was sent.
type Attempt struct {
	API       API
	Operation string        // such as "links.get"
	Method    string        // such as "GET"
	Route     string        // such as "/ds/login/link/{loginLinkID}"
	Host      string        // of the server, or of the gateway before it, such as "api.moneykit.com"
	Port      int           // 443, unless the base URL names another
	Number    int           // from 1
	Wait      time.Duration // since the previous attempt ended, or the call began
	Duration  time.Duration // until the answer was read (of a stream: began), with the queue for a connection
	Status    int           // 0 if no answer arrived
	Code      Code
	RequestID string
	RateLimit RateLimit // what the answer says
	Failure   string    // what went wrong, in a word or two; "" for a good answer
}

// WaitReason is why a call waits.
type WaitReason string

const (
	WaitReasonBackoff    WaitReason = "backoff"     // before a repetition, at random
	WaitReasonRetryAfter WaitReason = "retry-after" // the server asked for it, with another status than 429
	WaitReasonCooldown   WaitReason = "cooldown"    // the limit group is closed: see Cooldown
	WaitReasonPace       WaitReason = "pace"        // the limit group has just been reopened
	WaitReasonLimiter    WaitReason = "limiter"     // the Limiter held the request; told after the wait
)

// Wait is a wait that is about to start. Only that of a Limiter is over, because nobody knows before
// how long it takes.
type Wait struct {
	API       API
	Operation string
	Route     string
	Attempt   int // the attempt that waits, or that comes next
	Reason    WaitReason
	Duration  time.Duration // an estimate if others wait, too
}

// Cooldown tells that a limit group was closed, by a 429 or by a 5xx with Retry-After.
type Cooldown struct {
	API       API
	Operation string
	Route     string
	Duration  time.Duration
}

// TokenRenewal is a token exchange that has ended. The hook for an exchange in the background runs
// in the next call that asks for a token.
type TokenRenewal struct {
	API      API
	Duration time.Duration
	Status   int // 0 if the exchange succeeded, or no answer arrived
	Code     Code
	Failure  string // "" for success
}

// Abandoned is a flow that was ended unfinished. It has sent a write with an unknown outcome, and
// its callers had given up. Then nobody came back for ten minutes, or callers gave up too many
// other flows, or the flow needed another write. The next call starts a new run.
type Abandoned struct {
	API       API
	Operation string        // such as "links.create_once"
	After     time.Duration // since the last caller left
}

// WithHooks registers functions that are told what the client does.
func WithHooks(hooks Hooks) Option {
	return func(cfg *config) error {
		cfg.hooks = hooks
		return nil
	}
}

// WithLogger logs each attempt, token renewal and wait for a [Limiter] at debug level, and each other
// wait, cooldown and abandoned flow as a warning. The log has what [Hooks] are told, except for drift, and nothing
// else.
func WithLogger(logger *slog.Logger) Option {
	return func(cfg *config) error {
		if logger == nil {
			return argumentError("WithLogger: the logger is nil")
		}
		cfg.logger = logger
		return nil
	}
}

// callStarts tells the hook that a call begins, and returns the context that the call goes on with.
func (p *prepared) callStarts(ctx context.Context) context.Context {
	if h := p.client.config.hooks.CallStart; h != nil {
		if own := h(ctx, p.publicCall()); own != nil {
			return own
		}
	}
	return ctx
}

func (p *prepared) publicCall() Call {
	return Call{API: p.op.api, Operation: p.op.name, Method: p.op.method, Route: p.op.route}
}

// errPanicked is the error of a call that another hook, or a function of the caller's, has ended.
var errPanicked error = &Error{Outcome: OutcomeUnknown, Message: "panicked"}

// callEnds tells the hook that a call has ended.
func (a *attempts) callEnds(ctx context.Context, began time.Time, err error) {
	h := a.client.config.hooks.CallEnd
	if h == nil {
		return
	}
	public := a.publicCall()
	public.Attempts, public.Duration, public.Status = a.begun, time.Since(began), a.latest.status
	if e, ok := errors.AsType[*Error](err); ok {
		public.Code, public.Failure, public.Outcome = e.Code, e.class(), e.Outcome
	}
	h(ctx, public)
}

// portOf is the port of a URL, also if the URL does not name it.
func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// addHeaders adds the headers of the hook to an attempt.
func (a *attempts) addHeaders(ctx context.Context, at *attempt, added http.Header) http.Header {
	h := a.client.config.hooks.AttemptHeader
	if h == nil {
		return nil
	}
	if added == nil {
		added = http.Header{}
		h(ctx, added)
	}
	for name, values := range added {
		name = http.CanonicalHeaderKey(name)
		for _, value := range values {
			if checkHeader("", name, value) == nil {
				at.header[name] = append(at.header[name], value)
			}
		}
	}
	return added
}

// started counts an attempt and tells the hook. If nobody is told of attempts, there is no history.
func (a *attempts) started(ctx context.Context, at *attempt) {
	a.begun++
	hooks := &a.client.config.hooks
	if a.response == nil && a.client.config.logger == nil && hooks.AttemptStart == nil && hooks.AttemptEnd == nil {
		return
	}
	public := Attempt{
		API: a.op.api, Operation: a.op.name, Method: a.op.method, Route: a.op.route,
		Host: a.url.Hostname(), Port: portOf(a.url), Number: at.number, Wait: at.began.Sub(a.endedAt),
	}
	a.history = append(a.history, public)
	if h := hooks.AttemptStart; h != nil {
		h(ctx, public)
	}
}

// finished gives the result of an attempt to the history, the log and the hooks.
func (a *attempts) finished(ctx context.Context, at *attempt) {
	if len(a.history) < at.number { // nobody is told, or net/http refused the request before the transport saw it
		return
	}
	public, log := &a.history[at.number-1], a.client.config.logger
	logged := log != nil && log.Enabled(ctx, slog.LevelDebug)
	public.Duration, public.Status = a.endedAt.Sub(at.began), at.status
	public.RateLimit = rateLimit(at.head, a.endedAt)
	switch {
	case at.err != nil:
		public.Code, public.Failure, public.RequestID = at.err.Code, at.err.class(), at.err.RequestID
	case a.response != nil || logged || a.client.config.hooks.AttemptEnd != nil:
		public.RequestID = a.requestID(at) // it costs time to read, so only if it is shown
	}
	if logged {
		log.LogAttrs(ctx, slog.LevelDebug, "duolink: attempt", filled(append(a.attrs(), slog.Int("attempt", at.number),
			slog.Int("status", at.status), slog.String("code", string(public.Code)),
			slog.String("request_id", public.RequestID), readable("duration", public.Duration),
			slog.String("failure", public.Failure))...)...)
	}
	if h := a.client.config.hooks.AttemptEnd; h != nil {
		h(ctx, *public)
	}
}

// waits tells the hook and the log of a wait before an attempt, or at its connection.
func (p *prepared) waits(ctx context.Context, attempt int, reason WaitReason, d time.Duration) {
	level := slog.LevelWarn
	if reason == WaitReasonLimiter { // it is there to make requests wait
		level = slog.LevelDebug
	}
	p.log(ctx, level, "wait", slog.Int("attempt", attempt), slog.String("reason", string(reason)), readable("wait", d))
	if h := p.client.config.hooks.Wait; h != nil {
		h(ctx, Wait{
			API: p.op.api, Operation: p.op.name, Route: p.op.route, Attempt: attempt, Reason: reason, Duration: d,
		})
	}
}

func (p *prepared) coolsDown(ctx context.Context, d time.Duration) {
	p.log(ctx, slog.LevelWarn, "cooldown", readable("wait", d))
	if h := p.client.config.hooks.Cooldown; h != nil {
		h(ctx, Cooldown{API: p.op.api, Operation: p.op.name, Route: p.op.route, Duration: d})
	}
}

// abandoned tells the hook and the log of a run that was ended unfinished.
func (p *prepared) abandoned(ctx context.Context, after time.Duration) {
	if l := p.client.config.logger; l != nil {
		l.LogAttrs(ctx, slog.LevelWarn, "duolink: abandoned", slog.String("api", string(p.op.api)),
			slog.String("operation", p.op.name), readable("after", after))
	}
	if h := p.client.config.hooks.Abandoned; h != nil {
		h(ctx, Abandoned{API: p.op.api, Operation: p.op.name, After: after})
	}
}

func (p *prepared) log(ctx context.Context, level slog.Level, what string, attrs ...slog.Attr) {
	if l := p.client.config.logger; l != nil {
		l.LogAttrs(ctx, level, "duolink: "+what, filled(append(p.attrs(), attrs...)...)...)
	}
}

func (p *prepared) attrs() []slog.Attr {
	api, operation := slog.String("api", string(p.op.api)), slog.String("operation", p.op.name)
	return []slog.Attr{api, operation, slog.String("route", p.op.route)}
}

// renewed tells the hook and the log of a token exchange.
func (c *Client) renewed(ctx context.Context, d time.Duration, err error) {
	r := TokenRenewal{API: MoneyKit, Duration: d}
	if e, ok := errors.AsType[*Error](err); ok {
		r.Status, r.Code, r.Failure = e.StatusCode, e.Code, e.class()
	}
	if l := c.config.logger; l != nil {
		l.LogAttrs(ctx, slog.LevelDebug, "duolink: token renewal", filled(slog.String("api", string(r.API)),
			readable("duration", d), slog.Int("status", r.Status), slog.String("code", string(r.Code)),
			slog.String("failure", r.Failure))...)
	}
	if h := c.config.hooks.TokenRenewal; h != nil {
		h(ctx, r)
	}
}
