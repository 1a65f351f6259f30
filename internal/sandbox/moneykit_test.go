package sandbox

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// token is a token exchange with other values than the good ones, where given.
func token(changes ...string) exchange {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {ClientID}, "client_secret": {ClientSecret}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return exchange{
		"POST", "/auth/token", []string{version, "Content-Type: application/x-www-form-urlencoded"}, form.Encode(),
	}
}

func TestTokenExchange(t *testing.T) {
	s := New(WithTokenLife(30 * time.Minute))
	got := do(t, s, token("scope", "a b"))
	require.Equal(t, 201, got.status)
	require.Equal(t, "bearer", got.at("token_type"))
	require.Equal(t, 1800.0, got.at("expires_in"))
	require.Equal(t, 1, s.TokensIssued())

	asJSON := token()
	asJSON.header[1] = jsonHeader
	tests := map[string]struct {
		request exchange
		status  int
	}{
		"wrong secret": {token("client_secret", "x"), 401},
		"wrong client": {token("client_id", "x"), 401},
		"wrong grant":  {token("grant_type", "password"), 400},
		"as JSON":      {asJSON, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := do(t, s, tt.request)
			require.Equal(t, tt.status, got.status)
			require.Equal(t, "api_error.auth.unauthorized", got.at("error_code"))
		})
	}
	require.Equal(t, 1, s.TokensIssued())
}

func TestMoneyKitCredentials(t *testing.T) {
	s := New()
	good := "Authorization: Bearer " + s.IssueToken()
	tests := map[string]struct {
		header []string
		status int
		code   any
	}{
		"pair":        {pair, 200, nil},
		"token":       {[]string{version, good}, 200, nil},
		"none":        {[]string{version}, 401, "api_error.auth.unauthorized"},
		"both":        {append([]string{good}, pair...), 401, "api_error.auth.unauthorized"},
		"half a pair": {pair[:2], 401, "api_error.auth.unauthorized"},
		"half both":   {append([]string{good}, pair[:2]...), 401, "api_error.auth.unauthorized"},
		"wrong token": {[]string{version, "Authorization: Bearer x"}, 401, "api_error.auth.unauthorized"},
		"raw token":   {[]string{version, "Authorization: x"}, 401, "api_error.auth.unauthorized"},
		"no version":  {pair[1:], 200, nil}, // the default
		"old version": {
			append([]string{"MoneyKit-Version: 2022-01-01"}, pair[1:]...), 422, "api_error.request.validation_failed",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := do(t, s, exchange{method: "GET", target: "/links/" + LinkID, header: tt.header})
			require.Equal(t, tt.status, got.status)
			require.Equal(t, tt.code, got.at("error_code"))
		})
	}
	s.ExpireTokens()
	got := do(t, s, exchange{method: "GET", target: "/links/" + LinkID, header: []string{version, good}})
	require.Equal(t, 401, got.status)
	require.Equal(t, "api_error.auth.expired_access_token", got.at("error_code"))
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		bearer := do(t, s, token()).at("access_token").(string)
		get := exchange{
			method: "GET", target: "/links/" + LinkID, header: []string{version, "Authorization: Bearer " + bearer},
		}
		time.Sleep(time.Hour - time.Nanosecond)
		require.Equal(t, 200, do(t, s, get).status)
		time.Sleep(time.Nanosecond)
		require.Equal(t, "api_error.auth.expired_access_token", do(t, s, get).at("error_code"))
	})
}

func TestLinkStates(t *testing.T) {
	s := New()
	tests := []struct {
		path   string
		status int
		code   any
	}{
		{"/links/" + LinkID, 200, nil},
		{"/links/" + AuthExpiredLinkID, 200, "auth_expired"}, // a member of the link
		{"/links/" + AuthExpiredLinkID + "/identity", 422, "link_error.bad_state"},
		{"/links/" + AuthExpiredLinkID + "/accounts/numbers", 422, "link_error.bad_state"},
		{"/links/" + DeletedLinkID, 410, "link_error.deleted"},
		{"/links/" + DeletedLinkID + "/identity", 410, "link_error.deleted"},
		{"/links/" + ForbiddenLinkID, 200, nil},
		{"/links/" + ForbiddenLinkID + "/identity", 403, "link_error.forbidden_action"},
		{"/links/" + ForbiddenLinkID + "/accounts/numbers", 200, nil},
		{"/links/" + ForeignLinkID, 401, "link_error.unauthorized_access"},
		{"/links/mk_unknown/identity", 404, "link_error.not_found"},
	}
	for _, tt := range tests {
		got := do(t, s, mk("GET", tt.path, ""))
		require.Equal(t, tt.status, got.status, tt.path)
		require.Equal(t, tt.code, got.at("error_code"), tt.path)
	}
	s.SetLinkState(LinkID, "error", "institution_error")
	got := do(t, s, mk("GET", "/links/"+LinkID+"/identity", ""))
	require.Equal(t, "institution_error", got.at("link_error_code"))
	require.Panics(t, func() { s.SetLinkState("mk_unknown", "error", "") })
}

func TestIdentity(t *testing.T) {
	s := New()
	path := "/links/" + LinkID + "/identity"
	got := do(t, s, mk("GET", path, ""))
	require.Equal(t, 200, got.status)
	require.Len(t, got.at("accounts"), 6)
	require.Equal(t, LinkID, got.at("link", "link_id"))
	require.Equal(t, JointAccountID, got.at("accounts", 0, "account_id"))
	require.Len(t, got.at("accounts", 0, "owners"), 2)
	require.NotContains(t, got.text, "routing_number")
	require.Contains(t, got.text, `"available":1e-05,"current":12345678901234567.89`)

	got = do(t, s, mk("GET", path+"?account_ids="+ClosedAccountID+"&account_ids="+JointAccountID, ""))
	require.Len(t, got.at("accounts"), 2)
	require.Empty(t, do(t, s, mk("GET", path+"?account_ids=acc_none", "")).at("accounts"))
	for _, query := range []string{"?account_ids%5B%5D=a", "?account_ids=a,b", "?account_ids=", "?accounts=a"} {
		got = do(t, s, mk("GET", path+query, ""))
		require.Equal(t, 422, got.status, query)
		require.Equal(t, "query", got.at("validation_errors", 0, "location", 0))
	}
	require.Equal(t, 422, do(t, s, mk("GET", path, "{}")).status)
}

func TestNumbers(t *testing.T) {
	got := do(t, New(), mk("GET", "/links/"+LinkID+"/accounts/numbers", ""))
	require.Len(t, got.at("accounts"), 5)
	require.NotContains(t, got.text, ClosedAccountID)
	require.NotContains(t, got.text, "owners")
	require.Equal(t, JointAccountID, got.at("accounts", 4, "account_id"))
	require.Equal(t, "111222333", got.at("accounts", 4, "numbers", "ach", 0, "routing_number"))
	require.Equal(t, []any{}, got.at("accounts", 0, "numbers", "ach"))
}

func TestRefreshTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithRefreshTime(5 * time.Second))
		identity := func() obj {
			return do(t, s, mk("GET", "/links/"+LinkID, "")).at("products", "identity").(obj)
		}
		before := identity()["refreshed_at"]
		got := do(t, s, mk("POST", "/links/"+LinkID+"/products", `{"products":["identity","accounts"]}`))
		require.Equal(t, 202, got.status)
		require.Equal(t, before, got.at("products", "identity", "refreshed_at"))
		require.Equal(t, "2000-01-01T00:00:00.000000+00:00", got.at("products", "identity", "last_attempted_at"))

		time.Sleep(5*time.Second - time.Nanosecond)
		require.Equal(t, before, identity()["refreshed_at"])
		time.Sleep(time.Nanosecond)
		require.Equal(t, "2000-01-01T00:00:05.000000", identity()["refreshed_at"])
		require.Equal(t, 1, s.Refreshes(LinkID))
	})
}

func TestRefreshFails(t *testing.T) {
	s := New(WithRefreshTime(0))
	s.FailRefreshes(SecondLinkID, "timeout")
	got := do(t, s, mk("POST", "/links/"+SecondLinkID+"/products", `{"products":["identity"]}`))
	require.Equal(t, 202, got.status)
	require.Equal(t, "timeout", got.at("products", "identity", "error_code"))
	require.Nil(t, got.at("products", "identity", "refreshed_at"))
	s.FailRefreshes(SecondLinkID, "")
	got = do(t, s, mk("POST", "/links/"+SecondLinkID+"/products", `{"products":["identity"]}`))
	require.NotNil(t, got.at("products", "identity", "refreshed_at"))
	require.Nil(t, got.at("products", "identity", "error_code"))
}

func TestRefreshFailsWithItsLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		do(t, s, mk("POST", "/links/"+LinkID+"/products", `{"products":["identity"]}`))
		s.SetLinkState(LinkID, "error", "auth_expired")
		time.Sleep(2 * time.Second)
		got := do(t, s, mk("GET", "/links/"+LinkID, ""))
		require.Equal(t, "auth_expired", got.at("error_code"))
		require.Equal(t, "auth_expired", got.at("products", "identity", "error_code"))
	})
}

func TestRefreshBody(t *testing.T) {
	s := New()
	tests := map[string]struct {
		path, body string
		status     int
		code       string
	}{
		"no JSON":       {LinkID, `{`, 422, "api_error.request.validation_failed"},
		"none":          {LinkID, `{"products":[]}`, 422, "api_error.request.validation_failed"},
		"missing":       {LinkID, `{}`, 422, "api_error.request.validation_failed"},
		"unknown":       {LinkID, `{"products":["identities"]}`, 422, "api_error.request.validation_failed"},
		"repeated":      {LinkID, `{"products":["identity","identity"]}`, 422, "api_error.request.validation_failed"},
		"not permitted": {LinkID, `{"products":["investments"]}`, 403, "link_error.forbidden_action"},
		"bad state":     {AuthExpiredLinkID, `{"products":["identity"]}`, 422, "link_error.bad_state"},
		"deleted":       {DeletedLinkID, `{"products":["identity"]}`, 410, "link_error.deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := do(t, s, mk("POST", "/links/"+tt.path+"/products", tt.body))
			require.Equal(t, tt.status, got.status)
			require.Equal(t, tt.code, got.at("error_code"))
		})
	}
	require.Zero(t, s.Refreshes(LinkID))
}

func TestMoneyKitLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithMoneyKitLimits())
		identity := mk("GET", "/links/"+LinkID+"/identity", "")
		for range 3 {
			require.Equal(t, 200, do(t, s, identity).status)
		}
		got := do(t, s, identity)
		require.Equal(t, 429, got.status)
		require.Equal(t, "60", got.header.Get("Retry-After"))
		require.Equal(t, 200, do(t, s, mk("GET", "/links/"+SecondLinkID+"/identity", "")).status, "another link")
		require.Equal(t, 200, do(t, s, mk("GET", "/links/"+LinkID, "")).status, "another operation")
		time.Sleep(time.Minute)
		require.Equal(t, 200, do(t, s, identity).status)

		refresh := func(body string) result { return do(t, s, mk("POST", "/links/"+LinkID+"/products", body)) }
		require.Equal(t, 202, refresh(`{"products":["identity","accounts"]}`).status)
		time.Sleep(time.Hour)
		require.Equal(t, 202, refresh(`{"products":["accounts"]}`).status)
		got = refresh(`{"products":["transactions","identity"]}`)
		require.Equal(t, 429, got.status)
		require.Equal(t, "82800", got.header.Get("Retry-After"))
		require.Equal(t, 202, refresh(`{"products":["transactions"]}`).status, "a refusal uses nothing up")
		require.Equal(t, 3, s.Refreshes(LinkID))
	})
}
