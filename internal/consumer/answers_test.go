package consumer

import (
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// confidential are texts of the fake's sample data that nothing may show.
var confidential = []string{
	"Avery Sample", "Jordan Example", "avery.sample@example.com", duolinktest.RequiredUsername, "team@example.com",
	"+1 212-555-0142", "1 Example Street", "000123450042", "1111222233330000", "GB29NWBK60161331926819",
	"DE89370400440532013000", duolinktest.AccessToken, duolinktest.APIKey, duolinktest.ClientSecret,
}

// answers are an answer of each kind, and what a user may keep beside them.
func answers(t *testing.T) map[string]any {
	t.Helper()
	fake := duolinktest.New(t)
	client, ctx := fake.Client(), t.Context()
	all := map[string]any{}
	add := func(name string, answer any, err error) {
		t.Helper()
		require.NoError(t, err, name)
		all[name] = answer
	}
	logins, err := client.Logins.List(ctx)
	add("logins", logins, err)
	login, err := client.Logins.Get(ctx, duolinktest.LoginID)
	add("login", login, err)
	queried, err := client.Logins.QueryAccounts(ctx, duolink.AccountsQuery{DataSourceID: "GAWA"})
	add("queried", queried, err)
	links, err := client.Links.List(ctx)
	add("links", links, err)
	link, err := client.Links.Get(ctx, duolinktest.OpenLoginLinkID)
	add("link", link, err)
	who, err := client.Identity.Get(ctx, duolinktest.BankLinkID, duolink.IdentityQuery{})
	add("identity", who, err)
	add("owners", who.Owners(), nil)
	bankLink, err := client.Identity.Link(ctx, duolinktest.BankLinkID)
	add("bank link", bankLink, err)
	plaid, err := client.Auth.Get(ctx, query)
	add("plaid numbers", plaid, err)
	numbers, err := client.Auth.Numbers(ctx, duolinktest.BankLinkID)
	add("numbers", numbers, err)
	_, failed := client.Links.Get(ctx, "dsll_none")
	require.Error(t, failed)
	add("error", failed, nil)
	add("query", query, nil)
	add("a row of the user's", payment{"p1", who.Accounts[0].Owners[0].Names[0], query.AccessToken}, nil)
	return all
}

// payment is a struct of a user's.
type payment struct {
	ID    string
	Payee duolink.Sensitive
	Token duolink.Secret
}

var query = duolink.AuthQuery{AccessToken: duolink.NewSecret(duolinktest.AccessToken)}

// silent expects that a text shows nothing confidential.
func silent(t *testing.T, where, text string) {
	t.Helper()
	for _, needle := range confidential {
		require.NotContains(t, text, needle, where)
	}
}
