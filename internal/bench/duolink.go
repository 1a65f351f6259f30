package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/bench/answers"
)

// Own is the name of duolink.
const Own = "duolink"

// newDuolink is a client with the default configuration.
func newDuolink(base, payload string, more ...duolink.Option) *duolink.Client {
	client, err := duolink.New(append(more,
		duolink.WithSupermetrics(duolink.BearerToken("example-token")),
		duolink.WithMoneyKit(duolink.ClientHeaders("example-client-id", "example-secret")),
		duolink.WithBaseURL(duolink.Supermetrics, base+payload),
		duolink.WithBaseURL(duolink.MoneyKit, base+payload),
		duolink.WithBaseURL(duolink.PlaidCompatible, base+payload),
	)...)
	if err != nil {
		panic(err) // these options are right
	}
	return client
}

// revealed turns an answer of duolink into the floor's type, with some names changed.
func revealed[T any](answer any, names ...string) (any, error) {
	text, err := duolink.RevealJSON(answer)
	if err != nil {
		return nil, err
	}
	to := new(T)
	err = json.Unmarshal([]byte(strings.NewReplacer(names...).Replace(string(text))), to)
	return to, err
}

func duolinkAuth(base, payload string) Client { return authOf(newDuolink(base, payload)) }

func authOf(client *duolink.Client) Client {
	query := duolink.AuthQuery{AccessToken: duolink.NewSecret(accessToken)}
	return Client{
		Name: Own,
		Call: func(ctx context.Context) (any, error) { return client.Auth.Get(ctx, query) },
		Plain: func(answer any) (any, error) {
			return revealed[answers.AuthAnswer](answer,
				`"account_number"`, `"account"`, `"routing_number"`, `"routing"`,
				`"wire_routing_number"`, `"wire_routing"`, `"currency"`, `"iso_currency_code"`)
		},
	}
}

func duolinkIdentity(base string) Client {
	client := newDuolink(base, Identity2)
	return Client{
		Name: Own,
		Call: func(ctx context.Context) (any, error) {
			return client.Identity.Get(ctx, "mk_example_link_0001", duolink.IdentityQuery{})
		},
		Plain: func(answer any) (any, error) { return revealed[answers.IdentityAnswer](answer) },
	}
}

func duolinkLinks(base, suffix string) Client {
	client := newDuolink(base, Links1000+suffix)
	return Client{
		Name: Own,
		Call: func(ctx context.Context) (any, error) { return client.Links.List(ctx) },
		Plain: func(answer any) (any, error) {
			return revealed[answers.LinksAnswer](map[string]any{
				"meta": map[string]string{"request_id": "EXAMPLEREQ_links_list_0001"}, "data": answer,
			})
		},
	}
}

var accountsQuery = duolink.AccountsQuery{DataSourceID: "GAWA"}

func duolinkAccounts(base string) Client {
	client := newDuolink(base, Accounts100k)
	return Client{
		Name: Own,
		Call: func(ctx context.Context) (any, error) { return client.Logins.QueryAccounts(ctx, accountsQuery) },
		Plain: func(answer any) (any, error) {
			list := answer.(*duolink.AccountList)
			return plainAccounts(list.CacheMinutes, list.Logins)
		},
	}
}

func plainAccounts(cacheMinutes int64, logins []duolink.LoginAccounts) (any, error) {
	return revealed[answers.AccountsAnswer](map[string]any{
		"meta": map[string]any{
			"request_id": "EXAMPLEREQ_query_accounts_0001", "query": map[string]int64{"cache_minutes": cacheMinutes},
		},
		"data": logins,
	}, `"name":`, `"account_name":`, `"group":`, `"group_name":`)
}

// Streamed is the name of duolink's stream.
const Streamed = "duolink, streamed"

// duolinkStream reads the accounts as they arrive, and keeps none. What Plain returns, it reads
// again.
func duolinkStream(base, payload string) Client {
	client := newDuolink(base, payload)
	return Client{
		Name: Streamed,
		Call: func(ctx context.Context) (any, error) {
			n := 0
			for _, err := range client.Logins.StreamAccounts(ctx, accountsQuery) {
				if err != nil {
					return nil, err
				}
				n++
			}
			return n, nil
		},
		Plain: func(answer any) (any, error) {
			var logins []duolink.LoginAccounts
			n := 0
			for a, err := range client.Logins.StreamAccounts(context.Background(), accountsQuery) {
				if err != nil {
					return nil, err
				}
				if last := len(logins) - 1; last < 0 || !logins[last].User.Equal(a.User) {
					logins = append(logins, duolink.LoginAccounts{
						User: a.User, DisplayName: a.DisplayName, CacheTime: a.CacheTime,
					})
				}
				last := &logins[len(logins)-1]
				last.Accounts = append(last.Accounts, a.Account)
				n++
			}
			if n != answer {
				return nil, fmt.Errorf("there are %d accounts, and then %d", answer, n)
			}
			return plainAccounts(60, logins) // a stream does not tell the age
		},
	}
}
