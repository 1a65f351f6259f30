package duolink

import (
	"context"
	"maps"
	"testing"
)

const bankLink = "mk_example_link_0001"

// synced is the timestamp that most of MoneyKit's samples have: without a zone.
var synced = stamp("2023-02-16T09:14:11", "2023-02-16T09:14:11Z")

// chase is the link of the samples of identity.get and auth.numbers.
func chase() BankLink {
	return BankLink{
		ID:                bankLink,
		InstitutionID:     "chase",
		InstitutionName:   "Chase",
		InstitutionAvatar: "iVBORw0KGgoAAAANSUhEUg==",
		State:             BankLinkConnected,
		LastSyncedAt:      synced,
		Provider:          ProviderMoneyKit,
		LinkTags:          []string{"customer:1001"},
		Tags:              []string{"customer:1001"},
		Webhook:           "https://app.example.com/hooks/moneykit",
		Products: map[Product]ProductStatus{
			ProductAccounts:       {RefreshedAt: synced, LastAttemptedAt: synced},
			ProductAccountNumbers: refreshed("2023-02-16T09:15:02"),
			ProductIdentity:       refreshed("2023-02-16T09:16:03"),
		},
		AvailableProducts: []Product{ProductAccounts, ProductAccountNumbers, ProductIdentity},
	}
}

// refreshed is a product whose only attempt, at a time without a zone, was a success.
func refreshed(at string) ProductStatus {
	return ProductStatus{RefreshedAt: stamp(at, at+"Z"), LastAttemptedAt: stamp(at, at+"Z")}
}

// plainLink is the link of the shorter files.
func plainLink(change ...func(*BankLink)) BankLink {
	l := BankLink{
		ID: bankLink, InstitutionID: "chase", InstitutionName: "Chase", State: BankLinkConnected,
		Products: map[Product]ProductStatus{},
	}
	for _, f := range change {
		f(&l)
	}
	return l
}

func sampleLink() BankLink {
	link := chase()
	link.ErrorCode = BankLinkErrorInstitution
	link.LinkTags = []string{"customer:1001", "cohort:sample"}
	status := func(at string, code ProductErrorCode, message, unavailable string) ProductStatus {
		s := refreshed(at)
		s.ErrorCode, s.ErrorMessage, s.Unavailable = code, message, unavailable
		return s
	}
	identity := status("2023-02-16T09:16:03", ProductErrorRateLimit, "The institution limited the requests.",
		"Identity is offered only at certain hours.")
	identity.LastAttemptedAt = stamp("2023-02-17T10:00:00", "2023-02-17T10:00:00Z")
	transactions := status("2023-02-16T09:17:04", ProductErrorInstitution, "The institution answered with an error.",
		"Transactions are not available now.")
	transactions.HasHistory = true
	link.Products = map[Product]ProductStatus{
		ProductAccounts: status("2023-02-16T09:14:11", ProductErrorTimeout, "The institution took too long to answer.",
			"The institution is under maintenance."),
		ProductAccountNumbers: status("2023-02-16T09:15:02", ProductErrorNotSupported,
			"The institution does not offer account numbers.", "Account numbers are not offered."),
		ProductIdentity:     identity,
		ProductTransactions: transactions,
		ProductInvestments: status("2023-02-16T09:18:05", ProductErrorNoAccounts, "There is no investment account.",
			"There is no investment account."),
		ProductEnrichment: status("2023-02-16T09:19:06", ProductErrorUnknown, "Something went wrong.",
			"Enrichment is not available now."),
	}
	return link
}

// bankLinkChecks are the checks of the two operations that return a link.
func bankLinkChecks(more map[string]check[*BankLink]) map[string]check[*BankLink] {
	sample := sampleLink()
	absent, nulls := plainLink(), plainLink(func(l *BankLink) { l.Products = nil })
	null := plainLink(func(l *BankLink) {
		l.InstitutionName = ""
		// The other products were null: not granted.
		l.Products = map[Product]ProductStatus{ProductIdentity: {}, ProductTransactions: {}}
	})
	timestamps := plainLink(func(l *BankLink) {
		l.LastSyncedAt = synced
		l.Products = map[Product]ProductStatus{
			ProductAccounts: {RefreshedAt: synced, LastAttemptedAt: stamp("2021-08-12T15:23:00Z")},
			ProductAccountNumbers: {
				RefreshedAt:     stamp("2023-02-16T09:14:11.123456+00:00"),
				LastAttemptedAt: stamp("2023-02-16T04:14:11.123456-05:00"),
			},
			ProductIdentity: {
				RefreshedAt:     stamp("2023-02-16T09:14:11.123456", "2023-02-16T09:14:11.123456Z"),
				LastAttemptedAt: stamp("2023-02-16T09:14:11+0000", "2023-02-16T09:14:11Z"),
			},
			ProductTransactions: {
				RefreshedAt:     stamp("2023-02-16T04:14:11-0500", "2023-02-16T09:14:11Z"),
				LastAttemptedAt: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
				HasHistory:      true,
			},
			ProductInvestments: {LastAttemptedAt: stamp("2023-02-16 09:14:11", "2023-02-16T09:14:11Z")},
			ProductEnrichment:  {},
		}
	})
	odd := plainLink(func(l *BankLink) {
		l.LastSyncedAt = unreadable("yesterday")
		l.Products = map[Product]ProductStatus{
			ProductAccounts: {
				RefreshedAt: unreadable("0000-00-00 00:00:00"), LastAttemptedAt: unreadable("0000-00-00T00:00:00"),
			},
			ProductIdentity: {RefreshedAt: unreadable("1676538851"),
				LastAttemptedAt: unreadable("1676538851.123456")},
			ProductTransactions: {RefreshedAt: unreadable("2023-02-30T09:14:11"), LastAttemptedAt: unreadable("n/a")},
		}
	})
	unknown := plainLink(func(l *BankLink) {
		l.State, l.ErrorCode, l.Provider = "hibernating", "spaceship_error", "acme"
		l.LinkTags = []string{"customer:1001", "7", "cohort:sample"}
		identity := ProductStatus{
			RefreshedAt:     stamp("2023-02-16T09:16:03", "2023-02-16T09:16:03Z"),
			LastAttemptedAt: stamp("2023-02-17T10:00:00", "2023-02-17T10:00:00Z"),
			ErrorCode:       "solar_flare",
		}
		l.Products = map[Product]ProductStatus{
			ProductIdentity:     identity,
			ProductTransactions: {ErrorCode: "429", ErrorMessage: "429", HasHistory: true},
			"crypto":            refreshed("2023-02-16T09:18:05"),
			"x_object":          {},
		}
		l.AvailableProducts = []Product{ProductIdentity, "crypto", "7", ProductAccountNumbers}
	})
	all := map[string]check[*BankLink]{
		"sample.json":                is(&sample),
		"absent.json":                is(&absent),
		"null.json":                  is(&null),
		"null_products.json":         is(&nulls),
		"timestamps.json":            is(&timestamps),
		"timestamps_unreadable.json": is(&odd),
		"unknown.json":               is(&unknown),
	}
	maps.Copy(all, more)
	return all
}

func TestGoldenIdentityLink(t *testing.T) {
	expired := func(at string) ProductStatus {
		return ProductStatus{
			RefreshedAt: stamp(at, at+"Z"), LastAttemptedAt: stamp("2023-02-18T12:00:00", "2023-02-18T12:00:00Z"),
			ErrorCode: ProductErrorAuthExpired, ErrorMessage: "The user has to sign in again.",
		}
	}
	bad := plainLink(func(l *BankLink) {
		l.State, l.ErrorCode = BankLinkInError, BankLinkErrorAuthExpired
		l.LastSyncedAt, l.Provider, l.LinkTags = synced, ProviderMoneyKit, []string{}
		l.Products = map[Product]ProductStatus{
			ProductAccounts: expired("2023-02-16T09:14:11"), ProductIdentity: expired("2023-02-16T09:16:03"),
		}
		l.AvailableProducts = []Product{ProductAccounts, ProductIdentity}
	})
	deleted := plainLink(func(l *BankLink) { l.State, l.AvailableProducts = BankLinkDeleted, []Product{} })
	old := plainLink(
		func(l *BankLink) { l.ID, l.Tags = "f2f5b4c0-0000-4000-8000-000000000001", []string{"customer:1001"} })
	goldens(t, "identity.link", func(ctx context.Context, c *Client) (*BankLink, error) {
		return c.Identity.Link(ctx, bankLink)
	}, bankLinkChecks(map[string]check[*BankLink]{
		"bad_state.json": is(&bad), // data, not an error
		"deleted.json":   is(&deleted),
		"old_tags.json":  is(&old),
	}))
}

func TestGoldenIdentityRefresh(t *testing.T) {
	sample := chase()
	identity, transactions := refreshed("2023-02-16T09:16:03"), refreshed("2023-02-16T09:17:04")
	identity.LastAttemptedAt = stamp("2023-02-18T12:00:00", "2023-02-18T12:00:00Z") // under way
	transactions.HasHistory = true
	sample.Products = map[Product]ProductStatus{
		ProductAccounts: refreshed("2023-02-16T09:14:11"), ProductIdentity: identity, ProductTransactions: transactions,
	}
	sample.AvailableProducts = []Product{ProductAccounts, ProductIdentity, ProductTransactions}
	goldens(t, "identity.refresh", func(ctx context.Context, c *Client) (*BankLink, error) {
		return c.Identity.Refresh(ctx, bankLink, []Product{ProductIdentity})
	}, bankLinkChecks(map[string]check[*BankLink]{
		"sample.json": is(&sample),
		"empty.json":  is(&BankLink{ID: bankLink}),
	}))
}

// notedLink is the link of the timestamps of identity.get and auth.numbers.
func notedLink() BankLink {
	return plainLink(func(l *BankLink) {
		l.LastSyncedAt = synced
		l.Products = map[Product]ProductStatus{
			ProductAccounts: {RefreshedAt: synced, LastAttemptedAt: stamp("2021-08-12T15:23:00Z")},
			ProductAccountNumbers: {
				RefreshedAt:     stamp("2023-02-16T09:14:11.123456+00:00"),
				LastAttemptedAt: stamp("2023-02-16T04:14:11.123456-05:00"),
			},
			ProductIdentity: {
				RefreshedAt:     stamp("2023-02-16T09:14:11+0000", "2023-02-16T09:14:11Z"),
				LastAttemptedAt: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
			},
			ProductTransactions: {LastAttemptedAt: unreadable("0000-00-00 00:00:00")},
		}
	})
}
