package sandbox

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documented is what the vendors' pages say of the input of an operation.
type documented struct {
	id         string            // for the {id} of the path
	parameters map[string]string // of the query: a good value for each
	body       string            // a good body that has every member
	invalid    []string          // bodies with something that no page documents
}

var input = map[string]documented{
	"logins.query_accounts": {
		parameters: map[string]string{"json": `{"ds_id":"GAWA","cache_minutes":60,"api_key":"x"}`},
	},
	"logins.list": {},
	"logins.get":  {id: LoginID},
	"logins.accounts": {
		id: LoginID, parameters: map[string]string{"offset": "0", "limit": "1"},
	},
	"logins.revoke": {id: LoginID},
	"links.list":    {},
	"links.get":     {id: OpenLoginLinkID},
	"links.close":   {id: OpenLoginLinkID},
	"links.create": {
		body: `{"ds_id":"GAWA","expiry_time":"1 hour","description":"a","require_username":"b",` +
			`"redirect_url":"https://app.example.com"}`,
		invalid: []string{`{"ds_id":"GAWA","nonsense":1}`, `{"DS_ID":"GAWA"}`, `{"ds_id":"GAWA","description":null}`},
	},
	"links.update": {
		id: OpenLoginLinkID, body: `{"description":""}`,
		invalid: []string{`{"description":"a","nonsense":1}`, `{"Description":"a"}`, `{"description":null}`},
	},
	"auth.token": {
		body: "grant_type=client_credentials&client_id=" + ClientID + "&client_secret=" + ClientSecret + "&scope=a",
		invalid: []string{
			"grant_type=client_credentials&client_id=" + ClientID + "&client_secret=" + ClientSecret + "&nonsense=1",
			"grant_type=client_credentials&client_id=" + ClientID + "&client_secret=" + ClientSecret + "&scope=",
		},
	},
	"identity.link": {id: LinkID},
	"identity.get":  {id: LinkID, parameters: map[string]string{"account_ids": JointAccountID}},
	"auth.numbers":  {id: LinkID},
	"identity.refresh": {
		id: LinkID, body: `{"products":["identity"]}`,
		invalid: []string{
			`{"products":["identity"],"nonsense":1}`, `{"Products":["identity"]}`, `{"products":null}`,
			`{"products":["identity"],"":1}`, `{"products":"identity"}`, `null`, `[]`,
		},
	},
	"auth.get": {
		body: `{"client_id":"` + ClientID + `","secret":"` + ClientSecret + `","access_token":"` + AccessToken +
			`","options":{"account_ids":["` + JointAccountID + `"]}}`,
		invalid: []string{
			withMember(`"nonsense":1`),
			withMember(`"options":null`), withMember(`"options":{}`), withMember(`"options":[]`),
			withMember(`"options":{"account_ids":null}`), withMember(`"options":{"nonsense":["a"]}`),
			withMember(`"options":{"account_ids":["` + JointAccountID + `"],"nonsense":1}`),
			withMember(`"client_id":""`), withMember(`"client_id":null`), withMember(`"secret":""`),
			`{"Access_Token":"` + AccessToken + `"}`,
		},
	},
}

// withMember is a body of auth.get with one member more.
func withMember(member string) string { return `{"access_token":"` + AccessToken + `",` + member + `}` }

// dialect is a vendor, with what it says of a request that breaks a rule.
type dialect struct {
	vendor *vendor
	prefix string
	header []string
	status int
	at     []any
	code   string
}

var dialects = []dialect{
	{&supermetrics, "/v2", []string{keyHeader}, 422, []any{"error", "code"}, "UNPROCESSABLE_ENTITY"},
	{&moneykit, "", pair, 422, []any{"error_code"}, "api_error.request.validation_failed"},
	{
		&plaid, "/plaid-compatible", []string{"PLAID-CLIENT-ID: " + ClientID, "PLAID-SECRET: " + ClientSecret}, 400,
		[]any{"error_code"}, "INVALID_FIELD",
	},
}

// What a vendor's pages document passes. Everything else is refused as the vendor refuses it.
func TestOnlyDocumentedInputPasses(t *testing.T) {
	var tested []string
	for _, d := range dialects {
		for _, r := range d.vendor.routes {
			tested = append(tested, r.operation)
			t.Run(r.operation, func(t *testing.T) {
				in, known := input[r.operation]
				require.True(t, known, "write down the input of this operation, above")
				require.ElementsMatch(t, slices.Collect(maps.Keys(in.parameters)), r.query)
				got := d.ask(t, r, in.body, in.query()...)
				require.Less(t, got.status, 300, got.text)
				for _, bad := range []string{"nonsense=1", "nonsense", "=1", "LIMIT=1", "%zz=1", "a;b"} {
					d.refuses(t, d.ask(t, r, in.body, append(in.query(), bad)...), bad)
				}
				for _, body := range in.invalid {
					d.refuses(t, d.ask(t, r, body, in.query()...), body)
				}
			})
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(input)), tested)
	require.ElementsMatch(t, Operations(), tested)
}

// ask sends a request to a new sandbox.
func (d dialect) ask(t *testing.T, r route, body string, query ...string) result {
	t.Helper()
	target := d.prefix + strings.ReplaceAll(r.pattern, "{id}", input[r.operation].id) + "?" + strings.Join(query, "&")
	header := slices.Clone(d.header)
	if r.media != "" {
		header = append(header, "Content-Type: "+r.media)
	}
	return do(t, New(), exchange{r.method, target, header, body})
}

func (d dialect) refuses(t *testing.T, got result, why string) {
	t.Helper()
	require.Equal(t, d.status, got.status, "%s: %s", why, got.text)
	require.Equal(t, d.code, got.at(d.at...), why)
}

// query has every parameter, with its good value.
func (d documented) query() (out []string) {
	for name, value := range d.parameters {
		out = append(out, name+"="+url.QueryEscape(value))
	}
	return out
}
