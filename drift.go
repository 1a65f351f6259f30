package duolink

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/duolink/duolink/internal/wire"
)

// Drift tells that a good answer differs from what the vendor documents. The client reads such an
// answer as well as it can.
type Drift struct {
	API       API
	Operation string // such as "links.list"
	Route     string // such as "/ds/login/links"
	// Path is the place in the answer, such as "data[].status_code". "[]" is any item of a list, "*"
	// any member of a map, and "?" a name that may not be safe to print.
	Path string
	Kind DriftKind
}

// DriftKind is how an answer differs from what is documented.
type DriftKind string

const (
	DriftKindUnknownMember DriftKind = "unknown member"      // a member that is not documented
	DriftKindUnknownValue  DriftKind = "unknown value"       // of a set of documented values, such as a status
	DriftKindOtherType     DriftKind = "other type"          // such as a number for a text, or a text that is no time
	DriftKindMissing       DriftKind = "missing member"      // it is required, and absent or null
	DriftKindNoZone        DriftKind = "time without a zone" // which is read as UTC
)

var driftKinds = map[wire.Difference]DriftKind{
	wire.UnknownMember: DriftKindUnknownMember, wire.UnknownValue: DriftKindUnknownValue,
	wire.OtherType: DriftKindOtherType, wire.MissingMember: DriftKindMissing, wire.NoZone: DriftKindNoZone,
}

// drifts remembers what the hook was told, so that it is told once. An endless number of new names
// must not take endless memory.
type drifts struct {
	mu   sync.Mutex
	told map[Drift]bool
}

const mostDrifts = 1000

// isNew reports whether the hook was not told yet, and remembers that it is.
func (d *drifts) isNew(found Drift) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told[found] || len(d.told) >= mostDrifts {
		return false
	}
	d.told[found] = true
	return true
}

// watchDrift notes how a document differs from what is documented, if there is a hook. The function
// that it returns tells the hook.
func (p *prepared) watchDrift(ctx context.Context, s *wire.Scanner, header http.Header) func() {
	hook := p.client.config.hooks.Drift
	if hook == nil {
		return func() {}
	}
	var found []Drift // not told yet, because the answer may turn out to be none
	seen := map[Drift]bool{}
	s.Watch(func(path string, what wire.Difference) {
		drift := Drift{p.op.api, p.op.name, p.op.route, path, driftKinds[what]}
		if !seen[drift] && len(seen) < mostDrifts {
			seen[drift], found = true, append(found, drift)
		}
	})
	return func() {
		for _, drift := range found {
			if !p.client.drifts.isNew(drift) {
				continue
			}
			if safe := p.safePath(drift, header); safe != drift.Path {
				if drift.Path = safe; !p.client.drifts.isNew(drift) {
					continue
				}
			}
			hook(ctx, drift)
		}
		found = found[:0]
	}
}

// safePath hides the name of an unknown member if it quotes something confidential. The other names
// in a path are documented.
func (p *prepared) safePath(drift Drift, header http.Header) string {
	path := drift.Path
	if drift.Kind != DriftKindUnknownMember {
		return path
	}
	at := strings.LastIndex(path, ".") + 1
	name := path[at:]
	if p.confidential(header).Clean(&name); name != path[at:] {
		return path[:at] + "?"
	}
	return path
}

// documentedTypes say what is documented of the types of answers, besides their tags.
var documentedTypes = []wire.Type{
	wire.Unusual(wire.String, oddTime), wire.Unusual(wire.Number, func(Decimal) wire.Difference { return 0 }),
	wire.Unusual(wire.Bool, func(OptionalBool) wire.Difference { return 0 }),

	wire.Enum(LoginLinkOpen, LoginLinkClosed, LoginLinkExpired),
	wire.Enum(BankLinkConnecting, BankLinkAwaitingTokenExchange, BankLinkConnected, BankLinkDeleted, BankLinkInError),
	wire.Enum(BankLinkErrorSystem, BankLinkErrorProvider, BankLinkErrorInstitution, BankLinkErrorUser,
		BankLinkErrorAuthExpired, BankLinkErrorNoAccounts, BankLinkErrorUserSetupRequired,
		BankLinkErrorInvalidCredentials, BankLinkErrorUserOAuthDenied, BankLinkErrorUserInputIncorrect,
		BankLinkErrorIncomplete),
	wire.Enum(ProductErrorRateLimit, ProductErrorTimeout, ProductErrorInstitution, ProductErrorUnknown,
		ProductErrorAuthExpired, ProductErrorNotSupported, ProductErrorNoAccounts, ProductErrorNoPermission),
	wire.Enum(documentedProducts...),
	wire.Enum(ProviderMoneyKit, ProviderFinicity, ProviderPlaid, ProviderYodlee, ProviderMX, ProviderAkoya),
	wire.Enum(PhoneTypeHome, PhoneTypeWork, PhoneTypeMobile, PhoneTypeOther),
	wire.Enum(AuthMethodInstantAuth, AuthMethodInstantMatch, AuthMethodAutomatedMicrodeposits,
		AuthMethodSameDayMicrodeposits, AuthMethodInstantMicrodeposits, AuthMethodDatabaseMatch,
		AuthMethodDatabaseInsights, AuthMethodTransferMigrated, AuthMethodInvestmentsFallback),
	wire.Enum(UpdateTypeBackground, UpdateTypeUserPresentRequired),
	wire.Enum(PlaidProductTransactions, PlaidProductAuth, PlaidProductBalance, PlaidProductIdentity),
	wire.Enum(AccountTypeDepository, AccountTypeCredit, AccountTypeInvestment, AccountTypeLoan, AccountTypeBrokerage,
		AccountTypeOther, AccountTypeUnknown, "checking", "credit_card", "depository.checking", "depository.savings",
		"liability.credit_card"),
	wire.Unusual(wire.String, oddAccountType), // in place of what Enum says of it
	wire.Unusual(wire.String, func(c Code) wire.Difference {
		if c == "" || c.Meaning() != "" {
			return 0
		}
		return wire.UnknownValue
	}),

	wire.Ignored[Login]("@type"), wire.Ignored[DataSource]("@type"), wire.Ignored[User]("@type"),
	wire.Ignored[Account]("@type"), wire.Ignored[LoginLink]("@type"), wire.Ignored[ProductStatus]("settings"),
	wire.Ignored[accessToken]("token_type,scope"),
}

// oddTime looks at a text that is no time, or a time without a zone. A day needs no zone.
func oddTime(t Timestamp) wire.Difference {
	switch {
	case t.text == "" || t.DateOnly():
		return 0
	case t.IsZero():
		return wire.OtherType
	case !parseTimestamp(t.text + "Z").IsZero():
		return wire.NoZone // with a zone of its own, it could not be read with another
	}
	return 0
}

// oddAccountType looks at the type of an account. MoneyKit's native types continue after a dot.
func oddAccountType(a AccountType) wire.Difference {
	switch a {
	case "", AccountTypeInvestment, AccountTypeCredit, AccountTypeDepository, AccountTypeLoan, AccountTypeBrokerage,
		AccountTypeOther, AccountTypeUnknown, "checking", "credit_card":
		return 0
	}
	switch group, _, _ := strings.Cut(string(a), "."); group {
	case "depository", "investment", "liability", "other":
		return 0
	}
	return wire.UnknownValue
}
