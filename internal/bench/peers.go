package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/duolink/duolink/internal/bench/answers"
	"github.com/duolink/duolink/internal/bench/gen/oapi"
	"github.com/duolink/duolink/internal/bench/gen/ogen"
	"github.com/plaid/plaid-go/v20/plaid"
)

// accountsJSON is the query of GET /query/accounts. It is the same for all clients.
const accountsJSON = `{"ds_id":"GAWA"}`

// authorize sets the header that all Supermetrics calls have. It is an editor of both generated
// clients.
func authorize(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", "Bearer example-token")
	return nil
}

// converted turns an answer into the floor's type by way of the JSON that its own client writes.
func converted[T any](answer any) (any, error) {
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	to := new(T)
	return to, json.Unmarshal(text, to)
}

func plaidAuth(base, payload string) Client {
	config := plaid.NewConfiguration()
	config.Servers = plaid.ServerConfigurations{{URL: base + payload}}
	config.HTTPClient = newHTTPClient()
	config.AddDefaultHeader("PLAID-CLIENT-ID", "example-client-id")
	config.AddDefaultHeader("PLAID-SECRET", "example-secret")
	api := plaid.NewAPIClient(config).PlaidApi
	return Client{
		Name: "plaid-go",
		Call: func(ctx context.Context) (any, error) {
			query := plaid.NewAuthGetRequest(accessToken)
			//nolint:bodyclose // plaid-go has read and closed the body
			answer, _, err := api.AuthGet(ctx).AuthGetRequest(*query).Execute()
			return answer, err
		},
		Plain: plainPlaid,
	}
}

// plainPlaid puts back the digits that plaid-go does not keep: it reads amounts as float64, so
// 445.50 becomes 445.5. All amounts of these payloads have two decimals, so two decimals are what
// was sent. An amount that two decimals do not tell exactly stays as it is, and differs from the
// floor's.
func plainPlaid(answer any) (any, error) {
	plain, err := converted[answers.AuthAnswer](answer)
	if err != nil {
		return nil, err
	}
	accounts := plain.(*answers.AuthAnswer).Accounts
	for i := range accounts {
		balances := &accounts[i].Balances
		for _, amount := range []*json.Number{&balances.Available, &balances.Current, &balances.Limit} {
			if err := putTwoDecimals(amount); err != nil {
				return nil, err
			}
		}
	}
	return plain, nil
}

// putTwoDecimals writes an amount with two decimals if that does not change its value.
func putTwoDecimals(amount *json.Number) error {
	if *amount == "" { // it was null
		return nil
	}
	value, err := amount.Float64()
	if err != nil {
		return err
	}
	text := strconv.FormatFloat(value, 'f', 2, 64)
	if again, err := strconv.ParseFloat(text, 64); err == nil && again == value {
		*amount = json.Number(text)
	}
	return nil
}

// newOapi is a client of oapi-codegen.
func newOapi(url string) *oapi.ClientWithResponses {
	client, err := oapi.NewClientWithResponses(url,
		oapi.WithHTTPClient(newHTTPClient()), oapi.WithRequestEditorFn(authorize))
	if err != nil {
		panic(err) // these options are right
	}
	return client
}

func oapiLinks(base, suffix string) Client {
	client := newOapi(base + Links1000 + suffix)
	return Client{
		Name: "oapi-codegen",
		Call: func(ctx context.Context) (any, error) {
			answer, err := client.ListLoginLinksWithResponse(ctx)
			switch {
			case err != nil:
				return nil, err
			case answer.JSON200 == nil:
				return nil, fmt.Errorf("status %d", answer.StatusCode())
			}
			return answer.JSON200, nil
		},
		Plain: converted[answers.LinksAnswer],
	}
}

func oapiAccounts(base string) Client {
	client := newOapi(base + Accounts100k)
	return Client{
		Name: "oapi-codegen",
		Call: func(ctx context.Context) (any, error) {
			answer, err := client.QueryAccountsWithResponse(ctx, &oapi.QueryAccountsParams{Json: accountsJSON})
			switch {
			case err != nil:
				return nil, err
			case answer.JSON200 == nil:
				return nil, fmt.Errorf("status %d", answer.StatusCode())
			}
			return answer.JSON200, nil
		},
		Plain: converted[answers.AccountsAnswer],
	}
}

// newOgen is a client of ogen.
func newOgen(url string) *ogen.Client {
	client, err := ogen.NewClient(url, ogen.WithClient(newHTTPClient()), ogen.WithRequestEditor(authorize))
	if err != nil {
		panic(err) // these options are right
	}
	return client
}

func ogenLinks(base, suffix string) Client {
	client := newOgen(base + Links1000 + suffix)
	return Client{
		Name:  "ogen",
		Call:  func(ctx context.Context) (any, error) { return client.ListLoginLinks(ctx) },
		Plain: converted[answers.LinksAnswer],
	}
}

func ogenAccounts(base string) Client {
	client := newOgen(base + Accounts100k)
	return Client{
		Name: "ogen",
		Call: func(ctx context.Context) (any, error) {
			return client.QueryAccounts(ctx, ogen.QueryAccountsParams{JSON: accountsJSON})
		},
		Plain: converted[answers.AccountsAnswer],
	}
}
