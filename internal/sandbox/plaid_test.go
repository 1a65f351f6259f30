package sandbox

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// authGet is a request with the headers' credentials.
func authGet(body string) exchange {
	header := []string{jsonHeader, "PLAID-CLIENT-ID: " + ClientID, "PLAID-SECRET: " + ClientSecret}
	return exchange{"POST", "/plaid-compatible/auth/get", header, body}
}

func withToken(token string) string { return `{"access_token":"` + token + `"}` }

func TestAuthGet(t *testing.T) {
	s := New()
	got := do(t, s, authGet(withToken(AccessToken)))
	require.Equal(t, 200, got.status)
	require.Len(t, got.at("accounts"), 4)
	require.NotContains(t, got.text, ClosedAccountID)
	require.Equal(t, "depository", got.at("accounts", 0, "type"))
	require.Equal(t, "checking", got.at("accounts", 0, "subtype"))
	require.Equal(t, "0042", got.at("accounts", 0, "mask"))
	require.Equal(t,
		obj{"account_id": JointAccountID, "account": "000123450042", "routing": "111222333", "wire_routing": nil},
		got.at("numbers", "ach", 0))
	require.Len(t, got.at("numbers", "eft"), 1)
	require.Len(t, got.at("numbers", "bacs"), 1)
	require.Len(t, got.at("numbers", "international"), 2)
	require.Equal(t, LinkID, got.at("item", "item_id"))
	require.NotEmpty(t, got.at("request_id"))

	got = do(t, s, authGet(`{"access_token":"`+AccessToken+`","options":{"account_ids":["`+JointAccountID+`"]}}`))
	require.Len(t, got.at("accounts"), 1)
	require.Equal(t, []any{}, got.at("numbers", "bacs"))

	inBody := authGet(`{"client_id":"` + ClientID + `","secret":"` + ClientSecret + `","access_token":"` +
		SecondAccessToken + `"}`)
	inBody.header = inBody.header[:1]
	require.Equal(t, 200, do(t, s, inBody).status)
}

func TestAuthGetErrors(t *testing.T) {
	s := New()
	s.SetLinkState(SecondLinkID, "connecting", "")
	good := func() exchange { return authGet(withToken(AccessToken)) }
	noSecret, noType, bearer := good(), good(), good()
	noSecret.header = noSecret.header[:2]
	noType.header = noType.header[1:]
	bearer.header = []string{jsonHeader, "Authorization: Bearer " + s.IssueToken()}
	tests := map[string]struct {
		request    exchange
		kind, code string
	}{
		"no secret":  {noSecret, "INVALID_INPUT", "INVALID_API_KEYS"},
		"bearer":     {bearer, "INVALID_INPUT", "INVALID_API_KEYS"},
		"no type":    {noType, "INVALID_REQUEST", "INVALID_BODY"},
		"no JSON":    {authGet(`{`), "INVALID_REQUEST", "INVALID_BODY"},
		"a list":     {authGet(`[]`), "INVALID_REQUEST", "INVALID_BODY"},
		"wrong type": {authGet(`{"access_token":7}`), "INVALID_REQUEST", "INVALID_FIELD"},
		"no ids": {authGet(`{"access_token":"x","options":{"account_ids":[]}}`), "INVALID_REQUEST",
			"INVALID_FIELD"},
		"no token":    {authGet(`{}`), "INVALID_REQUEST", "MISSING_FIELDS"},
		"wrong token": {authGet(withToken("access-sandbox-x")), "INVALID_INPUT", "INVALID_ACCESS_TOKEN"},
		"empty token": {authGet(withToken("")), "INVALID_INPUT", "INVALID_ACCESS_TOKEN"},
		"placeholder": {authGet(withToken(placeholder)), "INVALID_INPUT", "INVALID_ACCESS_TOKEN"},
		"expired":     {authGet(withToken(AuthExpiredAccessToken)), "ITEM_ERROR", "ITEM_LOGIN_REQUIRED"},
		"not ready":   {authGet(withToken(SecondAccessToken)), "ITEM_ERROR", "PRODUCT_NOT_READY"},
		"closed account": {
			authGet(strings.Replace(withToken(AccessToken), "}", `,"options":{"account_ids":["`+ClosedAccountID+`"]}}`,
				1)),
			"INVALID_INPUT", "INVALID_ACCOUNT_ID",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := do(t, s, tt.request)
			require.Equal(t, 400, got.status)
			require.Equal(t, tt.kind, got.at("error_type"))
			require.Equal(t, tt.code, got.at("error_code"))
			require.Nil(t, got.at("display_message"))
			require.NotEmpty(t, got.at("request_id"))
		})
	}
}

func TestDocumentationPlaceholders(t *testing.T) {
	printed := exchange{"POST", "/plaid-compatible/auth/get",
		[]string{"Content-Type: application/json", "PLAID-CLIENT-ID: <api-key>"},
		`{"client_id":"<string>","secret":"<string>","access_token":"<string>","options":{"account_ids":["<string>"]}}`}
	got := do(t, New(WithDocumentationPlaceholders()), printed)
	require.Equal(t, 200, got.status)
	require.Len(t, got.at("accounts"), 4)

	require.Equal(t, "INVALID_API_KEYS", do(t, New(), printed).at("error_code"))
	printed.body = `{"client_id":"<string>","access_token":"<string>"}`
	got = do(t, New(WithDocumentationPlaceholders()), printed)
	require.Equal(t, 400, got.status)
	require.Equal(t, "INVALID_API_KEYS", got.at("error_code"))
}
