package operations

import (
	"context"
	"iter"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

// someAccounts is a query that the sandbox answers.
var someAccounts = duolink.AccountsQuery{DataSourceID: "GAWA", Users: []string{sandbox.RequiredUsername}}

const someAccountsURI = "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%2C" +
	"%22ds_users%22%3A%5B%22avery%2Bads%40example.com%22%5D%7D"

// What both ways to query accounts have in common.
const (
	queryLimit   = 64 << 20
	queryTimeout = time.Hour
)

var queryGroups = []string{"logins.query_accounts", "supermetrics"}

var supermetricsGroups = []string{"supermetrics"}

var logins = []Operation{
	{
		Name: "logins.query_accounts", API: duolink.Supermetrics, Method: (*duolink.LoginsService).QueryAccounts,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.AccountList, error) {
			return c.Logins.QueryAccounts(ctx, someAccounts, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Logins.QueryAccounts(ctx, duolink.AccountsQuery{DataSourceID: id}, opts...))
		},
		Private: []string{sandbox.RequiredUsername},
		Verb:    "GET", Route: "/query/accounts", URI: someAccountsURI,
		Least: `{"data":[]}`, Data: []duolink.LoginAccounts{},
		Limit: queryLimit, Timeout: queryTimeout, Groups: queryGroups,
		Examples: []Example{
			{
				Name: "of all users", URI: "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%7D",
				Call: func(ctx context.Context, c client) error {
					return failure(c.Logins.QueryAccounts(ctx, duolink.AccountsQuery{DataSourceID: "GAWA"}))
				},
			},
			{
				Name: "with everything",
				Call: func(ctx context.Context, c client) error {
					return failure(c.Logins.QueryAccounts(ctx, duolink.AccountsQuery{
						DataSourceID: "GAWA", Users: []string{"avery+ads@example.com", "Blake & <Example>"},
						CacheMinutes: 60,
					}))
				},
				URI: "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%2C%22ds_users%22%3A%5B" +
					"%22avery%2Bads%40example.com%22%2C%22Blake%20%26%20%3CExample%3E%22%5D%2C" +
					"%22cache_minutes%22%3A60%7D",
			},
		},
	},
	{
		Name: "logins.query_accounts, streamed", API: duolink.Supermetrics,
		Method: (*duolink.LoginsService).StreamAccounts,
		Ask: yields(func(ctx context.Context, c client, opts options) iter.Seq2[duolink.LoginAccount, error] {
			return c.Logins.StreamAccounts(ctx, someAccounts, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return drained(c.Logins.StreamAccounts(ctx, duolink.AccountsQuery{DataSourceID: id}, opts...))
		},
		Private: []string{sandbox.RequiredUsername},
		Verb:    "GET", Route: "/query/accounts", URI: someAccountsURI,
		Least: `{"data":[{"accounts":[{"account_id":"1"}]}]}`, Data: []duolink.LoginAccounts{},
		Repeat: Opened, Limit: queryLimit, Timeout: queryTimeout, Groups: queryGroups,
		Examples: []Example{
			{
				Name: "with everything",
				Call: func(ctx context.Context, c client) error {
					return drained(c.Logins.StreamAccounts(ctx, duolink.AccountsQuery{
						DataSourceID: "GAWA", Users: []string{"Düsseldorf"}, CacheMinutes: 1440,
					}))
				},
				URI: "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%2C" +
					"%22ds_users%22%3A%5B%22D%C3%BCsseldorf%22%5D%2C%22cache_minutes%22%3A1440%7D",
			},
		},
	},
	{
		Name: "logins.list", API: duolink.Supermetrics, Method: (*duolink.LoginsService).List,
		Ask: returns(func(ctx context.Context, c client, opts options) ([]duolink.Login, error) {
			return c.Logins.List(ctx, opts...)
		}),
		Verb: "GET", Route: "/ds/logins", URI: "/ds/logins",
		Least: `{"data":[]}`, Data: []duolink.Login{}, Limit: listLimit, Groups: supermetricsGroups,
	},
	{
		Name: "logins.get", API: duolink.Supermetrics, Method: (*duolink.LoginsService).Get,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.Login, error) {
			return c.Logins.Get(ctx, sandbox.LoginID, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Logins.Get(ctx, id, opts...))
		},
		Private: []string{sandbox.LoginID},
		Verb:    "GET", Route: "/ds/login/{loginID}", URI: "/ds/login/dsl_1",
		Least: `{"data":{"login_id":"dsl_1"}}`, Data: duolink.Login{}, Groups: supermetricsGroups,
		Examples: []Example{{
			Name: "of an id with all sorts of characters", URI: "/ds/login/dsl_1-A",
			Call: func(ctx context.Context, c client) error { return failure(c.Logins.Get(ctx, "dsl_1-A")) },
		}},
	},
	{
		Name: "logins.revoke", API: duolink.Supermetrics, Method: (*duolink.LoginsService).Revoke,
		Ask: returns(func(ctx context.Context, c client, opts options) (bool, error) {
			return c.Logins.Revoke(ctx, sandbox.LoginID, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Logins.Revoke(ctx, id, opts...))
		},
		Private: []string{sandbox.LoginID},
		Verb:    "DELETE", Route: "/ds/login/{loginID}", URI: "/ds/login/dsl_1",
		Statuses: []int{200, 202}, Least: `{"data":{"result":true}}`, Wordless: true,
		Repeat: Settling, Groups: supermetricsGroups,
		Done: func(s *sandbox.Sandbox) int { return asBit(s.Logins()[0].Revoked) },
		Examples: []Example{{
			Name: "without content", Answer: "links.close/empty.json", Statuses: []int{200, 204},
			Call: func(ctx context.Context, c client) error {
				return failure(c.Logins.Revoke(ctx, sandbox.LoginID))
			},
		}},
	},
	{
		Name: "logins.accounts", API: duolink.Supermetrics, Method: (*duolink.LoginsService).Accounts,
		Ask: yields(func(ctx context.Context, c client, opts options) iter.Seq2[duolink.Account, error] {
			return c.Logins.Accounts(ctx, sandbox.LoginID, duolink.PageOptions{}, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return drained(c.Logins.Accounts(ctx, id, duolink.PageOptions{}, opts...))
		},
		Private: []string{sandbox.LoginID},
		Verb:    "GET", Route: "/ds/login/{loginID}/accounts", URI: "/ds/login/dsl_1/accounts",
		Least: `{"data":[]}`, Data: []duolink.Account{}, Groups: supermetricsGroups,
		Examples: []Example{{
			Name: "with a page", URI: "/ds/login/dsl_1/accounts?limit=1000&offset=1000000",
			Answer: "logins.accounts/page_empty.json",
			Call: func(ctx context.Context, c client) error {
				page := duolink.PageOptions{Offset: 1_000_000, PageSize: 1000}
				return drained(c.Logins.Accounts(ctx, sandbox.LoginID, page))
			},
		}},
	},
}
