package duolink

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// What the vendors count together, and whom a refusal holds up.

// limitGroup is what a server counts together, and the permit of an attempt to go out within it. A
// request may belong to several groups.
type limitGroup struct {
	key    string
	whole  bool // all requests of a credential, or all of its requests of one operation
	permit pace.Permit
}

// groups names the limit groups of a call, the smallest first.
//
//   - Supermetrics counts the queries to a data source, and all requests of a credential.
//   - MoneyKit counts an operation on a link, and a refresh of each product of a link. Some
//     operations it counts for the whole application, too.
func (op operation) groups(caller string) (all []limitGroup) {
	own := append([]string{caller}, op.args...)
	for _, item := range slices.Sorted(slices.Values(op.items)) { // in one order, whatever the caller's
		all = append(all, limitGroup{key: pace.Key(op.name, slices.Concat(own, []string{item})...)})
	}
	switch {
	case op.api == Supermetrics:
		return append(all, limitGroup{key: pace.Key(string(op.api), caller), whole: true})
	case len(op.items) == 0:
		all = append(all, limitGroup{key: pace.Key(op.name, own...)})
	}
	if op.perApp {
		all = append(all, limitGroup{key: pace.Key(op.name+"/all", caller), whole: true})
	}
	return all
}

// admit waits until all of the call's limit groups let the attempt out.
func (a *attempts) admit(ctx context.Context, at *attempt) error {
	at.groups = slices.Clone(a.groups)
	for i := range at.groups {
		g := &at.groups[i]
		permit, err := a.client.pace.Admit(ctx, g.key, a.retry.MaxWait, func(reason pace.Reason, d time.Duration) {
			a.waits(ctx, at.number, WaitReason(reason), d)
		})
		if err != nil {
			return a.notAdmitted(ctx, err)
		}
		g.permit = permit
	}
	return nil
}

// allOpen reports that none of its limit groups was closed since the attempt was admitted.
func (a *attempts) allOpen(at *attempt) bool {
	now := time.Now()
	return !slices.ContainsFunc(at.groups, func(g limitGroup) bool {
		return !a.client.pace.StillOpen(g.key, g.permit, now)
	})
}

// release gives the permits back, those of an attempt that is not sent too. To do so twice is fine.
func (a *attempts) release() {
	for _, at := range []*attempt{a.latest, a.next} {
		for _, g := range at.groups {
			g.permit.Release()
		}
	}
}

// notAdmitted is a call that would have to wait too long, or that was given up while it waited.
// After an attempt it is that one's error, which says more.
func (a *attempts) notAdmitted(ctx context.Context, err error) error {
	e := &Error{Kind: ErrRateLimited, Outcome: OutcomeNotSent, Message: "not sent, for an earlier call was refused"}
	if a.lastError != nil {
		e = a.lastError
	}
	if long, ok := errors.AsType[pace.TooLong](err); ok {
		e.RetryAfter = max(e.RetryAfter, long.Wait)
		if e.StatusCode == 0 {
			e.Message += "; try again in " + max(e.RetryAfter.Round(time.Second), time.Second).String()
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= long.Wait {
			e.because(context.DeadlineExceeded)
		}
	} else {
		e.because(err)
	}
	return e
}

// closesGroup reports that an answer speaks of more than the request that it answers: too many
// requests, or a server that names the time when it is back.
func (e *Error) closesGroup() bool {
	return e.kind() == ErrRateLimited || e.StatusCode >= 500 && e.RetryAfter > 0
}

// longestWhole is how long a MoneyKit application is held back at most: its limits are per minute.
const longestWhole = time.Minute

// refused closes the limit groups of which the refusal speaks: for as long as the server says, or,
// where it does not, for a backoff, which grows while it keeps refusing.
func (a *attempts) closeGroups(ctx context.Context, at *attempt, now time.Time) {
	e, wait := at.err, at.err.RetryAfter
	if wait == 0 && permanent(e) { // a quota without a time is not a matter of pace
		return
	}
	c, groups := a.client, a.closedBy(at, now)
	if wait == 0 {
		tries := at.number
		for _, g := range groups {
			tries = max(tries, c.pace.Refusals(g.key)+1)
		}
		wait = c.config.retry.backoff(tries) // the group is not this call's alone, whatever its patience
	}
	for _, g := range groups {
		closed := wait
		if g.whole && a.op.api.vendor() == MoneyKit {
			closed = min(closed, longestWhole)
		}
		c.pace.Refuse(g.key, g.permit, now, closed)
	}
	if len(groups) == 0 {
		return
	}
	if a.token == nil {
		c.state.cool(a.op.api, now.Add(wait))
	}
	a.coolsDown(ctx, wait)
}

// closedBy are the limit groups that a refusal closes. None is wider than the refusal shows.
func (a *attempts) closedBy(at *attempt, now time.Time) []limitGroup {
	if a.op.api == Supermetrics {
		// The daily quota is one data source's, every other limit the credential's.
		daily := at.err.Code == CodeLicenseDailyQueryLimitExceeded
		return having(at.groups, func(g limitGroup) bool { return g.whole != daily })
	}
	narrow := at.groups[0].key
	return having(at.groups, func(g limitGroup) bool {
		return !g.whole || a.client.pace.RefusesWhole(g.key, narrow, g.permit, now)
	})
}
