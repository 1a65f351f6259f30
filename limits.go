package duolink

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// Which requests the vendors count together, and which ones a refusal holds up.

// limitGroup names requests that a server counts together, and has an attempt's permit for them. A
// request may belong to several groups.
type limitGroup struct {
	Group

	whole  bool // all requests of a credential, or all of its requests of one operation
	permit pace.Permit
	closed time.Duration // for how long, by a refusal
}

// groups names the limit groups of a call, the smallest first.
//
//   - Supermetrics counts the queries to a data source, and all requests of a credential.
//   - MoneyKit counts an operation on a link, and a refresh of each product of a link. It also
//     counts some operations for the whole application.
func (op operation) groups(caller string) []limitGroup {
	all := make([]limitGroup, 0, len(op.items)+2)
	add := func(scope Scope, whole bool, name string, parts ...string) *limitGroup {
		g := Group{API: op.api, Operation: op.name, Scope: scope, Name: pace.Key(name, parts...)}
		all = append(all, limitGroup{Group: g, whole: whole})
		return &all[len(all)-1]
	}
	own := append(append(make([]string, 0, len(op.args)+2), caller), op.args...)
	items := op.items
	if len(items) > 1 {
		items = slices.Sorted(slices.Values(items)) // always in the same order
	}
	for _, item := range items {
		g := add(op.itemScope(), false, op.name, append(own, item)...)
		if p := Product(item); g.Scope == ScopeProduct && slices.Contains(documentedProducts, p) {
			g.Product = p
		}
	}
	switch {
	case op.api == Supermetrics:
		add(ScopeCredential, true, string(op.api), caller)
		return all
	case len(op.items) == 0:
		add(ScopeLink, false, op.name, own...)
	}
	if op.perApp {
		add(ScopeApplication, true, op.name+"/all", caller)
	}
	return all
}

// itemScope says what an operation's items are.
func (op operation) itemScope() Scope {
	switch {
	case op.api == Supermetrics:
		return ScopeDataSource
	case op.api == PlaidCompatible:
		return ScopeLink
	case op.name == tokenExchange.name:
		return ScopeCredential
	}
	return ScopeProduct
}

// admit waits until all limit groups of the call admit the attempt.
func (a *attempts) admit(ctx context.Context, at *attempt) error {
	if ctx.Err() != nil { // it comes before a limit that would have made it wait
		return endOf(ctx, nil)
	}
	at.admitted, at.groups = time.Now(), nil
	if a.client.pace.Quiet() {
		return nil
	}
	at.groups = a.op.groups(a.identity())
	for i := range at.groups {
		g := &at.groups[i]
		permit, err := a.client.pace.Admit(ctx, g.Name, a.retry.MaxWait, func(reason pace.Reason, d time.Duration) {
			a.waits(ctx, at.number, WaitReason(reason), d)
		})
		if err != nil {
			return a.notAdmitted(ctx, err)
		}
		g.permit = permit
	}
	return nil
}

// groupsOf returns the limit groups of an attempt. If nothing was refused anywhere when the attempt
// was admitted, they were not looked at. Their names take time, so they are made only when asked for.
func (a *attempts) groupsOf(groups []limitGroup, admitted time.Time) []limitGroup {
	if groups != nil {
		return groups
	}
	groups = a.op.groups(a.identity())
	for i := range groups {
		groups[i].permit = pace.PermitSince(admitted)
	}
	return groups
}

// readyAgain makes an attempt ready that was held back at its connection. The Timeout of an
// http.Client, which is in the request's context, bounds these waits, too.
func (a *attempts) readyAgain(ctx context.Context, at *attempt) error {
	waiting := a.client.life.waits(ctx)
	defer waiting.release()
	return a.notReady(waiting, a.admitAndSign(waiting, at))
}

// allOpen reports whether all limit groups have stayed open since the attempt was admitted. It is also
// called on other goroutines.
func (a *attempts) allOpen(groups []limitGroup, admitted time.Time) bool {
	if a.client.pace.Quiet() {
		return true
	}
	now := time.Now()
	return !slices.ContainsFunc(a.groupsOf(groups, admitted), func(g limitGroup) bool {
		return !a.client.pace.StillOpen(g.Name, g.permit, now)
	})
}

// accepted tells the limit groups that the server has accepted a request.
func (a *attempts) accepted(at *attempt, now time.Time) {
	if a.client.pace.Quiet() {
		return
	}
	for _, g := range a.groupsOf(at.groups, at.admitted) {
		a.client.pace.Accept(g.Name, g.permit, now)
	}
}

// release gives back all permits, also those of an attempt that is not sent. It may be called
// twice.
func (a *attempts) release() {
	for _, at := range [...]*attempt{a.latest, a.next} {
		for _, g := range at.groups {
			g.permit.Release()
		}
	}
}

// notAdmitted is the error of a call that would have to wait too long, or whose context ended.
// After an attempt it is the attempt's error, which says more.
func (a *attempts) notAdmitted(ctx context.Context, err error) error {
	e := &Error{Kind: ErrRateLimited, Outcome: OutcomeNotSent, Message: "not sent, because an earlier call was refused"}
	if a.lastError != nil {
		e = a.lastError
	}
	if long, ok := errors.AsType[pace.TooLong](err); ok {
		e.RetryAfter = max(e.RetryAfter, long.Wait)
		if e.StatusCode == 0 {
			e.Message += "; try again in " + max(e.RetryAfter.Round(time.Second), time.Second).String()
		}
		if outlasts(ctx, long.Wait) {
			e.because(a.noTime(ctx, long.Wait))
		}
	} else {
		e.because(endOf(ctx, err))
	}
	return e
}

// closesGroup reports whether an answer closes limit groups: there are too many requests, or the
// server says when it is back.
func (e *Error) closesGroup() bool {
	return e.kind() == ErrRateLimited || e.StatusCode >= 500 && e.RetryAfter > 0
}

// longestWhole bounds how long a MoneyKit application is held back: its limits are per minute.
const longestWhole = time.Minute

// closeGroups closes limit groups for as long as the server says, and returns the groups that were
// refused. If the server does not say, it closes them for a backoff that grows with each refusal.
func (a *attempts) closeGroups(ctx context.Context, at *attempt, now time.Time) []limitGroup {
	c, groups, wait := a.client, a.closedBy(at, now), at.err.RetryAfter
	if wait == 0 && permanent(at.err) { // a quota that names no time
		return groups
	}
	if wait == 0 {
		tries := at.number
		for _, g := range groups {
			tries = max(tries, c.pace.Refusals(g.Name)+1)
		}
		wait = c.config.retry.backoff(tries) // by the client's rules, because other calls wait, too
	}
	for i := range groups {
		g := &groups[i]
		if g.closed = wait; g.whole && a.op.api.vendor() == MoneyKit {
			g.closed = min(wait, longestWhole)
		}
		c.pace.Refuse(g.Name, g.permit, now, g.closed)
	}
	if len(groups) == 0 {
		return nil
	}
	if a.token == nil {
		c.state.cool(a.op.api, now.Add(wait))
	}
	a.coolsDown(ctx, wait)
	return groups
}

// closedBy returns the limit groups that a refusal closes, and none that it does not concern.
func (a *attempts) closedBy(at *attempt, now time.Time) []limitGroup {
	at.groups = a.groupsOf(at.groups, at.admitted)
	if a.op.api == Supermetrics {
		// The daily quota is for one data source. Every other limit is for the credential.
		daily := same(at.err.Code, CodeLicenseDailyQueryLimitExceeded)
		return having(at.groups, func(g limitGroup) bool { return g.whole != daily })
	}
	narrow := at.groups[0].Name
	return having(at.groups, func(g limitGroup) bool {
		return !g.whole || a.client.pace.RefusesWhole(g.Name, narrow, g.permit, now)
	})
}
