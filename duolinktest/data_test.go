package duolinktest_test

import (
	"testing"
	"time"

	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// RefreshedAt is the time of every product, also of those that a link does not have by itself.
func TestRefreshedAtIsOfAllProducts(t *testing.T) {
	fake := duolinktest.New(t)
	client, at := fake.Client(), time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	for _, products := range [][]string{
		nil, {"identity"}, {"investments"}, {"investments", "enrichment"}, {"investments", "identity"},
	} {
		put := fake.AddBankLink(duolinktest.BankLink{Products: products, RefreshedAt: at})
		require.Equal(t, at, put.RefreshedAt, "%v", products)
		link, err := client.Identity.Link(t.Context(), put.ID)
		require.NoError(t, err)
		require.Equal(t, at, link.LastSyncedAt.Time, "%v", products)
		for name, product := range link.Products {
			require.Equal(t, at, product.RefreshedAt.Time, name)
			require.Equal(t, at, product.LastAttemptedAt.Time, name)
		}
		require.Len(t, link.Products, len(put.Products))
	}
	old := fake.AddBankLink(duolinktest.BankLink{Products: []string{"investments"}})
	require.WithinDuration(t, time.Now().Add(-48*time.Hour), old.RefreshedAt, time.Minute, "the default")
}

// An invented id is not the id of another account, wherever that one stands.
func TestInventedAccountIDsAreFree(t *testing.T) {
	fake := duolinktest.New(t)
	for _, given := range [][]string{{"acc_2", ""}, {"", "acc_1"}, {"", "acc_2", "", "acc_3", ""}, {"", "", ""}} {
		link := duolinktest.BankLink{}
		for _, id := range given {
			link.Accounts = append(link.Accounts, duolinktest.BankAccount{ID: id})
		}
		seen := map[string]bool{}
		for i, account := range fake.AddBankLink(link).Accounts {
			require.NotEmpty(t, account.ID)
			require.False(t, seen[account.ID], "%q: %s twice", given, account.ID)
			seen[account.ID] = true
			if given[i] != "" {
				require.Equal(t, given[i], account.ID)
			}
		}
	}
}
