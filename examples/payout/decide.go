package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/duolink/duolink"
)

// verdict is what a decision says. Only match pays.
type verdict string

const (
	match      verdict = "match"
	noMatch    verdict = "no_match"
	cannotTell verdict = "cannot_tell"
	closed     verdict = "closed" // only for an account: it is skipped, whoever owns it
)

// exitCode is 0 only for match.
func (v verdict) exitCode() int {
	switch v {
	case match:
		return 0
	case noMatch:
		return 1
	}
	return 2
}

// question is the person to pay, and the credentials with which we ask.
type question struct {
	link    string
	token   duolink.Secret
	name    string
	account string // empty: any account of the link
	refresh duolink.RefreshOptions
	sandbox bool // the sandbox's answer counts
}

// decision is the answer. Write it with duolink.RevealJSON: json.Marshal refuses its personal data.
type decision struct {
	Verdict           verdict           `json:"decision"`
	Reason            string            `json:"reason"`
	Action            duolink.Action    `json:"action,omitempty"`              // what to do after an error
	RetryAfterSeconds int64             `json:"retry_after_seconds,omitempty"` // when to do it
	Sandbox           bool              `json:"sandbox"`                       // nothing here is real
	Checked           string            `json:"checked"`                       // whom, in initials
	RefreshedAt       duolink.Timestamp `json:"identity_refreshed_at"`
	Accounts          []accountDecision `json:"accounts"`
}

// accountDecision is the answer for one account. Numbers has numbers to pay to. Only a matching
// account has them, so that no program pays to a wrong account by mistake.
type accountDecision struct {
	ID         string                  `json:"account_id"`
	Name       string                  `json:"name"`
	Mask       string                  `json:"mask"`
	Owners     []duolink.Sensitive     `json:"owners"`
	Joint      bool                    `json:"joint"`
	Comparison comparison              `json:"comparison"`
	Verdict    verdict                 `json:"decision"`
	Reason     string                  `json:"reason"`
	Numbers    duolink.NumbersByScheme `json:"numbers"`
}

// decide asks for the owners. It asks for the numbers only if an owner matches.
func decide(ctx context.Context, client *duolink.Client, q question) decision {
	if q.account != "" {
		q.refresh.AccountIDs = []string{q.account}
	}
	who, err := client.Identity.RefreshAndGet(ctx, q.link, q.refresh)
	if err != nil {
		return failed(decision{}, err)
	}
	d := decision{RefreshedAt: who.Link.Products[duolink.ProductIdentity].RefreshedAt, Accounts: judgeOwners(who, q)}
	if state := who.Link.State; state != duolink.BankLinkConnected {
		return d.unclear("the link is not connected: " + string(state) + " " + string(who.Link.ErrorCode))
	}
	if !slices.ContainsFunc(d.Accounts, accountDecision.matches) {
		return conclude(d)
	}
	// Ask for all accounts of the link: with a list of ids, one account without numbers would fail
	// the whole answer.
	numbers, err := client.Auth.Get(ctx, duolink.AuthQuery{AccessToken: q.token})
	if err != nil {
		return failed(d, err)
	}
	if code := numbers.Item.Error.Code; code != "" {
		return d.unclear("the item is in error: " + string(code))
	}
	if !slices.ContainsFunc(d.Accounts, func(a accountDecision) bool { _, ok := numbers.ForAccount(a.ID); return ok }) {
		return d.unclear(
			"the access token leads to no numbers of these accounts: they have none, or it is another link's",
		)
	}
	d.addNumbers(numbers)
	return conclude(d)
}

// judgeOwners compares the names of all accounts, even if something else is wrong with them.
func judgeOwners(who *duolink.Identity, q question) []accountDecision {
	var all []accountDecision
	for _, a := range who.Accounts {
		if q.account == "" || a.ID == q.account {
			all = append(all, judgeAccount(a, q.name))
		}
	}
	return all
}

func judgeAccount(a duolink.BankAccountWithOwners, expected string) accountDecision {
	d := accountDecision{ID: a.ID, Name: a.Name, Mask: a.Mask, Joint: len(a.Owners) > 1}
	for _, owner := range a.Owners {
		d.Owners = append(d.Owners, owner.Names...)
	}
	d.Comparison = compareOwners(a.Owners, expected)
	switch {
	case a.Closed:
		d.Verdict, d.Reason = closed, "it is passed over"
	case d.Comparison.Level == unknown:
		d.Verdict, d.Reason = cannotTell, "the bank does not name all owners"
	case d.ID == "":
		d.Verdict, d.Reason = cannotTell, "the account has no id to find its numbers by"
	case d.Comparison.Level == partial:
		d.Verdict, d.Reason = cannotTell, "a similar name is not enough"
	case d.Comparison.Level == different:
		d.Verdict, d.Reason = noMatch, "no owner has the name"
	case d.Joint:
		d.Verdict, d.Reason = match, fmt.Sprintf("one of %d owners of a joint account has the name", len(a.Owners))
	default:
		d.Verdict, d.Reason = match, "the owner has the name"
	}
	return d
}

func (d accountDecision) matches() bool { return d.Verdict == match }

// compareOwners compares a name with each owner. One matching owner is enough. For "no match" the
// names of all owners must be known.
func compareOwners(owners []duolink.Owner, expected string) comparison {
	best := comparison{unknown, "the bank names no owner"}
	for i, owner := range owners {
		if c := compareOwner(owner, expected); i == 0 || c.Level.better(best.Level) {
			best = c
		}
	}
	return best
}

// compareOwner compares a name with each name of an owner.
func compareOwner(owner duolink.Owner, expected string) comparison {
	best := comparison{unknown, "the bank names an owner without a name"}
	for _, name := range owner.Names {
		c := compareNames(expected, name.Reveal())
		if c.Level != unknown && (best.Level == unknown || c.Level.better(best.Level)) {
			best = c
		}
	}
	return best
}

// addNumbers adds the numbers of matching accounts. An account without numbers is no longer a
// match.
func (d *decision) addNumbers(numbers *duolink.PlaidNumbers) {
	for i := range d.Accounts {
		a := &d.Accounts[i]
		if !a.matches() {
			continue
		}
		found, _ := numbers.ForAccount(a.ID)
		if a.Numbers = payable(found.Numbers); count(a.Numbers) == 0 {
			a.Verdict, a.Reason = cannotTell, a.Reason+", and the account no number that money can be sent to"
		}
	}
}

// payable returns the complete numbers.
func payable(n duolink.NumbersByScheme) duolink.NumbersByScheme {
	return duolink.NumbersByScheme{
		ACH: keep(n.ACH, func(a duolink.ACHNumber) bool { return !a.AccountNumber.IsZero() && a.RoutingNumber != "" }),
		EFT: keep(n.EFT, func(e duolink.EFTNumber) bool {
			return !e.AccountNumber.IsZero() && e.InstitutionNumber != "" && e.BranchNumber != ""
		}),
		BACS: keep(
			n.BACS,
			func(b duolink.BACSNumber) bool { return !b.AccountNumber.IsZero() && b.SortCode != "" },
		),
		International: keep(n.International, func(i duolink.InternationalNumber) bool { return !i.IBAN.IsZero() }),
	}
}

func keep[T any](all []T, good func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(n T) bool { return !good(n) })
}

func count(n duolink.NumbersByScheme) int {
	return len(n.ACH) + len(n.EFT) + len(n.BACS) + len(n.International)
}

// conclude makes one answer from the answers for the accounts. One match is enough, and a doubt is
// stronger than a no.
func conclude(d decision) decision {
	matching, open := 0, 0
	var doubt *accountDecision
	for i, a := range d.Accounts {
		if a.Verdict == closed {
			continue
		}
		open++
		if a.matches() {
			matching++
		}
		if a.Verdict == cannotTell && (doubt == nil || a.Comparison.Level.better(doubt.Comparison.Level)) {
			doubt = &d.Accounts[i]
		}
	}
	switch {
	case matching > 0:
		d.Verdict, d.Reason = match, fmt.Sprintf("%d of %d open accounts can be paid", matching, open)
	case open == 0 && len(d.Accounts) > 0:
		return d.unclear("no account is open")
	case open == 0:
		return d.unclear("there is no such account")
	case doubt != nil:
		return d.unclear(doubt.Reason)
	default:
		d.Verdict, d.Reason = noMatch, fmt.Sprintf("none of the owners of %d open accounts has the name", open)
	}
	return d
}

// unclear is the answer if nothing can be decided. Then no account is to be paid, whatever its
// owner's name.
func (d decision) unclear(reason string) decision {
	d.Verdict, d.Reason = cannotTell, reason
	for i := range d.Accounts {
		if a := &d.Accounts[i]; a.matches() {
			a.Verdict, a.Reason, a.Numbers = cannotTell, a.Reason+", and its numbers are not known",
				duolink.NumbersByScheme{}
		}
	}
	return d
}

// failed is the answer after an error. The text of a duolink.Error has no id, name or number in it.
func failed(d decision, err error) decision {
	d = d.unclear(err.Error())
	if e, ok := errors.AsType[*duolink.Error](err); ok {
		d.Action, d.RetryAfterSeconds = e.Action(), int64(math.Ceil(e.RetryAfter.Seconds()))
	}
	if errors.Is(err, context.Canceled) {
		d.Reason = "interrupted: " + d.Reason
	}
	return d
}
