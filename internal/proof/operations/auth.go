package operations

import (
	"context"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

// calledForToken is the operation whose call needs the token of the exchange.
const calledForToken = "identity.link"

func authQuery(token string, accountIDs ...string) duolink.AuthQuery {
	return duolink.AuthQuery{AccessToken: duolink.NewSecret(token), AccountIDs: accountIDs}
}

var auth = []Operation{
	{
		Name: "auth.get", API: duolink.PlaidCompatible, Method: (*duolink.AuthService).Get,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.PlaidNumbers, error) {
			return c.Auth.Get(ctx, authQuery(sandbox.AccessToken), opts...)
		}),
		On: func(ctx context.Context, c client, token string, opts ...duolink.CallOption) error {
			return failure(c.Auth.Get(ctx, authQuery(token), opts...))
		},
		Private: []string{sandbox.AccessToken},
		Verb:    "POST", Route: "/auth/get", URI: "/auth/get", Body: `{"access_token":"` + sandbox.AccessToken + `"}`,
		Least: `{"accounts":[],"numbers":{}}`, Data: duolink.PlaidNumbers{},
		Groups: []string{"auth.get", "auth.get/all"},
		Examples: []Example{
			{
				Name: "of some accounts",
				Call: func(ctx context.Context, c client) error {
					return failure(c.Auth.Get(ctx, authQuery("access-test-0001", "acc_1", "<acc&2>")))
				},
				Body: `{"access_token":"access-test-0001","options":{"account_ids":["acc_1","<acc&2>"]}}`,
			},
			{
				Name: "with a padded token", Body: `{"access_token":"access-test-0001"}`,
				Call: func(ctx context.Context, c client) error {
					return failure(c.Auth.Get(ctx, authQuery(" access-test-0001\n")))
				},
			},
		},
	},
	{
		Name: "auth.numbers", API: duolink.MoneyKit, Method: (*duolink.AuthService).Numbers,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.BankNumbers, error) {
			return c.Auth.Numbers(ctx, sandbox.LinkID, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Auth.Numbers(ctx, id, opts...))
		},
		Private: []string{sandbox.LinkID},
		Verb:    "GET", Route: "/links/{bankLinkID}/accounts/numbers",
		URI:   "/links/" + sandbox.LinkID + "/accounts/numbers",
		Least: `{"accounts":[]}`, Data: duolink.BankNumbers{}, Groups: []string{"auth.numbers", "auth.numbers/all"},
	},
	{
		Name: Exchange, API: duolink.MoneyKit, Ask: returns(getLink),
		Private: []string{sandbox.ClientID, sandbox.ClientSecret},
		Verb:    "POST", Route: "/auth/token", URI: "/auth/token",
		Body: "client_id=" + sandbox.ClientID + "&client_secret=" + sandbox.ClientSecret +
			"&grant_type=client_credentials",
		Statuses: []int{201, 200}, Least: `{"access_token":"otok_1","expires_in":3600}`,
		Done: (*sandbox.Sandbox).TokensIssued,
	},
}
