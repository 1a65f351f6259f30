package duolink

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// Budget is how many requests of a limit group may be sent in a time.
//
// In no time of that length are there more, whenever it begins. Burst of them may go at once. The
// others go evenly, one in each Interval. So a larger Burst makes the others slower: three a minute
// with a Burst of 1 go every 20 seconds; with a Burst of 3 three go at once, and then one a minute.
type Budget struct {
	Requests int
	Per      time.Duration
	Burst    int // at most Requests; 0 is 1
}

// transit is by how much the ways of two requests to the server may differ. Two requests that leave
// evenly do not arrive so.
const transit = 25 * time.Millisecond

// Interval is the time between two requests after the burst.
func (b Budget) Interval() time.Duration {
	if b.Requests <= 0 || b.Per <= 0 {
		return 0
	}
	return (b.Per + transit) / time.Duration(b.Requests-b.burst()+1)
}

func (b Budget) burst() int { return min(max(b.Burst, 1), max(b.Requests, 1)) }

// GroupKind says for which limit groups a budget is. An Operation or a Product that is empty stands
// for each.
type GroupKind struct {
	API       API
	Scope     Scope
	Operation string
	Product   Product
}

// Budgets are budgets by the kind of group. A group that none of them is for has no budget.
type Budgets map[GroupKind]Budget

// PublishedBudgets are the limits that the vendors publish. Change what your contract says otherwise,
// and give the result to [NewLocalLimiter]:
//
//   - Supermetrics: 20 requests a second for a credential. The limit per hour differs by license, and
//     only the answers say it.
//   - MoneyKit, each minute: 300 token exchanges of a client; a link's state 15 times for a link and
//     1,000 times for an application; identity and account numbers 3 and 600 times each.
//   - MoneyKit's refreshes, for a link: accounts once an hour, any other product once a day.
//   - The Plaid-compatible layer, each minute: 15 times for an item, 12,000 times for a client.
//
// See docs.supermetrics.com, docs.moneykit.com/api, and plaid.com/docs/errors/rate-limit-exceeded.
func PublishedBudgets() Budgets {
	read := func(operation string) (link, application GroupKind) {
		return GroupKind{MoneyKit, ScopeLink, operation, ""}, GroupKind{MoneyKit, ScopeApplication, operation, ""}
	}
	state, allStates := read(identityLink.name)
	owners, allOwners := read(identityGet.name)
	numbers, allNumbers := read(authNumbers.name)
	return Budgets{
		{Supermetrics, ScopeCredential, "", ""}: {Requests: 20, Per: time.Second},

		{MoneyKit, ScopeCredential, tokenExchange.name, ""}: {Requests: 300, Per: time.Minute, Burst: 10},

		state:      {Requests: 15, Per: time.Minute, Burst: 5},
		allStates:  {Requests: 1000, Per: time.Minute, Burst: 50},
		owners:     {Requests: 3, Per: time.Minute, Burst: 3},
		allOwners:  {Requests: 600, Per: time.Minute, Burst: 30},
		numbers:    {Requests: 3, Per: time.Minute, Burst: 3},
		allNumbers: {Requests: 600, Per: time.Minute, Burst: 30},

		{MoneyKit, ScopeProduct, "", ProductAccounts}: {Requests: 1, Per: time.Hour},
		{MoneyKit, ScopeProduct, "", ""}:              {Requests: 1, Per: 24 * time.Hour},

		{PlaidCompatible, ScopeLink, authGet.name, ""}:        {Requests: 15, Per: time.Minute, Burst: 5},
		{PlaidCompatible, ScopeApplication, authGet.name, ""}: {Requests: 12000, Per: time.Minute, Burst: 600},
	}
}

// Of returns the budget of a group: that of the kind that says most about it.
func (b Budgets) Of(group Group) (Budget, bool) {
	kind := GroupKind{group.API, group.Scope, group.Operation, group.Product}
	for _, operation := range []string{group.Operation, ""} {
		for _, product := range []Product{group.Product, ""} {
			kind.Operation, kind.Product = operation, product
			if budget, ok := b[kind]; ok {
				return budget, true
			}
		}
	}
	return Budget{}, false
}

// Check returns an error of the kind ErrArgument if a budget cannot be meant so.
func (b Budgets) Check() error {
	for kind, budget := range b {
		if budget.Requests < 1 || budget.Per <= 0 || budget.Burst < 0 || budget.Burst > budget.Requests {
			return argumentError("the budget of %s, %s, has a member that is negative, zero or too large",
				kind.API, kind.Scope)
		}
	}
	return nil
}

// LocalLimiter keeps the requests of one process within budgets. See [NewLocalLimiter].
type LocalLimiter struct {
	budgets Budgets
	buckets pace.Buckets
}

// NewLocalLimiter returns a [Limiter] for one process, also for several clients of it. Without it, a
// client learns a limit only from a refusal. With it, the vendor has nothing to refuse.
//
// Nil stands for [PublishedBudgets]. The error is ErrArgument if a budget has a wrong member.
//
// A call that would have to wait for longer than Retry.MaxWait, or than its context allows, fails
// at once with ErrRateLimited and RetryAfter. A refresh that the server has rejected does not count.
// When a server refuses a group, no client of the limiter sends requests of it until it opens.
//
// Memory is bounded by the groups that cannot be used at the moment. Those are never forgotten.
func NewLocalLimiter(budgets Budgets) (*LocalLimiter, error) {
	if budgets == nil {
		budgets = PublishedBudgets()
	}
	if err := budgets.Check(); err != nil {
		return nil, err
	}
	return &LocalLimiter{budgets: maps.Clone(budgets)}, nil
}

// Wait is for the client. See [Limiter].
func (l *LocalLimiter) Wait(ctx context.Context, group Group) error {
	budget, _ := l.budgets.Of(group)
	err := l.buckets.Wait(ctx, group.Name, pace.Budget{Interval: budget.Interval(), Burst: budget.burst()})
	if long, ok := errors.AsType[pace.TooLong](err); ok {
		return BudgetUsedUp(long.Wait)
	}
	return err
}

// Report is for the client. See [Limiter].
func (l *LocalLimiter) Report(group Group, answer Answer) {
	if budget, _ := l.budgets.Of(group); budget.Spared(answer) {
		l.buckets.Refill(group.Name)
	}
	if answer.Refused && answer.RetryAfter > 0 {
		l.buckets.Close(group.Name, time.Now().Add(answer.RetryAfter))
	}
}

// Spared reports whether an attempt has used nothing of a budget of one request, such as that of a
// refresh. The vendor counts refreshes, and one that it has rejected is none.
func (b Budget) Spared(answer Answer) bool {
	return b.Requests == 1 && (answer.Refused || answer.Outcome == OutcomeNotSent || answer.Outcome == OutcomeRejected)
}

// BudgetUsedUp is the error with which a [Limiter] ends a call that would have to wait for too long.
func BudgetUsedUp(wait time.Duration) *Error {
	return &Error{
		Kind: ErrRateLimited, Outcome: OutcomeNotSent, RetryAfter: wait,
		Message: "the budget is used up; try again in " + max(wait.Round(time.Second), time.Second).String(),
	}
}
