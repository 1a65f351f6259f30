package sandbox

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSupermetricsCredentials(t *testing.T) {
	s := New(WithAPIKey("otok_sandbox_2"))
	tests := map[string]struct {
		header []string
		status int
		code   any
	}{
		"key":       {[]string{keyHeader}, 200, nil},
		"other key": {[]string{"Authorization: Bearer otok_sandbox_2"}, 200, nil},
		"none":      {nil, 401, "API_KEY_REQUIRED"},
		"raw":       {[]string{"Authorization: " + APIKey}, 401, "API_KEY_INVALID"},
		"wrong":     {[]string{"Authorization: Bearer api_x"}, 401, "API_KEY_INVALID"},
		"twice":     {[]string{keyHeader, keyHeader}, 401, "API_KEY_INVALID"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := do(t, s, exchange{method: "GET", target: "/enterprise/v2/ds/logins", header: tt.header})
			require.Equal(t, tt.status, got.status)
			require.Equal(t, tt.code, got.at("error", "code"))
			require.NotEmpty(t, got.at("meta", "request_id"))
			require.Equal(t, got.at("meta", "request_id"), got.header.Get("X-Request-Id"))
		})
	}
}

func TestSupermetricsErrors(t *testing.T) {
	s := New()
	long := strings.Repeat("a", 51)
	tests := map[string]struct {
		request exchange
		status  int
		body    string
	}{
		"login flat":        {sm("GET", "/ds/login/dsl_99", ""), 404, `{"error":"LOGIN_NOT_FOUND",`},
		"link flat":         {sm("GET", "/ds/login/link/dsll_99", ""), 404, `{"error":"LINK_NOT_FOUND",`},
		"close flat":        {sm("PUT", "/ds/login/link/dsll_99/close", ""), 404, `{"error":"LINK_NOT_FOUND",`},
		"update envelope":   {sm("PATCH", "/ds/login/link/dsll_99", `{"description":""}`), 404, `"code":"NOT_FOUND"`},
		"revoke envelope":   {sm("DELETE", "/ds/login/dsl_99", ""), 404, `"code":"NOT_FOUND"`},
		"accounts envelope": {sm("GET", "/ds/login/dsl_99/accounts", ""), 404, `"code":"NOT_FOUND"`},
		"accounts revoked":  {sm("GET", "/ds/login/dsl_5/accounts", ""), 403, `"code":"ACCESS_DENIED"`},
		"id pattern":        {sm("GET", "/ds/login/a.b", ""), 422, `The id in the path`},
		"id escaped":        {sm("GET", "/ds/login/a%2Fb", ""), 422, `The id in the path`},
		"id long":           {sm("GET", "/ds/login/"+long, ""), 422, `The id in the path`},
		"body on get":       {sm("GET", "/ds/logins", "{}"), 400, `takes no body`},
		"body on delete":    {sm("DELETE", "/ds/login/dsl_1", "null"), 400, `takes no body`},
		"type on close": {exchange{"PUT", "/v2/ds/login/link/dsll_1/close", []string{keyHeader, jsonHeader}, ""},
			400, `takes no Content-Type`},
		"create without type": {
			exchange{"POST", "/v2/ds/login/link", []string{keyHeader}, `{"ds_id":"FB"}`}, 400, `must be sent as`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := do(t, s, tt.request)
			require.Equal(t, tt.status, got.status, got.text)
			require.Contains(t, got.text, tt.body)
			require.NotEmpty(t, got.header.Get("X-Request-Id"))
		})
	}
}

func TestQueryAccounts(t *testing.T) {
	s := New()
	ask := func(query string) result {
		return do(t, s, sm("GET", "/query/accounts?json="+url.QueryEscape(query), ""))
	}
	many := `"` + strings.Repeat(`x","`, 100) + `x"`
	refused := map[string]int{
		``: 400, `[]`: 400, `null`: 400, `{"ds_id":"FB"`: 400,
		`{}`: 422, `{"ds_id":""}`: 422, `{"ds_id":null}`: 422, `{"ds_id":7}`: 422, `{"ds_id":"a b"}`: 422,
		`{"ds_id":"FB","cache_minutes":59}`: 422, `{"ds_id":"FB","cache_minutes":1441}`: 422,
		`{"ds_id":"FB","cache_minutes":"60"}`: 422, `{"ds_id":"FB","cache_minutes":null}`: 422,
		`{"ds_id":"FB","ds_users":[]}`: 422, `{"ds_id":"FB","ds_users":""}`: 422, `{"ds_id":"FB","ds_users":[1]}`: 422,
		`{"ds_id":"FB","ds_users":[` + many + `]}`:                             422,
		`{"ds_id":"FB","ds_users":["` + strings.Repeat("ä", 256) + `"]}`:       422,
		`{"ds_id":"FB","dsusers":"x"}`:                                         422,
		`{"ds_id":"` + strings.Repeat("A", 51) + `"}`:                          422,
		`{"ds_id":"FB","ds_users":["` + strings.Repeat("x", 255) + `"],"a":1}`: 422,
	}
	for query, status := range refused {
		require.Equal(t, status, ask(query).status, query)
	}
	require.Equal(t, 422, do(t, s, sm("GET", "/query/accounts", "")).status)

	got := ask(`{"ds_id":"GAWA"}`)
	require.Equal(t, 200, got.status)
	require.Len(t, got.at("data"), 2)
	require.Nil(t, got.at("data", 0, "cache_time"))
	require.Equal(t, "Example Store", got.at("data", 0, "accounts", 0, "account_name"))
	require.Equal(t, "", got.at("data", 0, "accounts", 2, "group_name"))
	require.True(t, strings.HasPrefix(got.text, `{"meta":`))

	got = ask(`{"ds_id":"GAWA","ds_users":["AVERY+ads@example.com"],"cache_minutes":60}`)
	require.Len(t, got.at("data"), 1)
	require.NotNil(t, got.at("data", 0, "cache_time"))
	require.Equal(t, 60.0, got.at("meta", "query", "cache_minutes"))
	got = ask(`{"ds_id":"GAWA","ds_users":"nobody@example.com"}`)
	require.Equal(t, 403, got.status)
	require.Equal(t, "QUERY_AUTH_UNAVAILABLE", got.at("error", "code"))
	got = ask(`{"ds_id":"UNKNOWN"}`)
	require.Equal(t, 500, got.status)
	require.Equal(t, "QUERY_AUTH_NOT_FOUND", got.at("error", "code"))

	// A plus sign that is not escaped is a space, and matches nobody.
	got = do(t, s, sm("GET", `/query/accounts?json={"ds_id":"GAWA","ds_users":"avery+ads@example.com"}`, ""))
	require.Equal(t, "QUERY_AUTH_UNAVAILABLE", got.at("error", "code"))
}

func TestLogins(t *testing.T) {
	s := New()
	got := do(t, s, sm("GET", "/ds/logins", ""))
	require.Len(t, got.at("data"), 6)
	require.NotContains(t, got.text, "default_scopes")
	require.Nil(t, got.at("data", 0, "revoked_time"))
	require.NotNil(t, got.at("data", 4, "revoked_time"))

	got = do(t, s, sm("GET", "/ds/login/"+LoginID, ""))
	require.Equal(t, "Google Analytics 4", got.at("data", "ds_info", "name"))
	require.Equal(t, []any{}, got.at("data", "additional_scopes"))

	require.Equal(t, true, do(t, s, sm("DELETE", "/ds/login/"+LoginID, "")).at("data", "result"))
	require.Equal(t, false, do(t, s, sm("DELETE", "/ds/login/"+LoginID, "")).at("data", "result"))
	require.True(t, s.Logins()[0].Revoked)
}

func TestLoginAccountPages(t *testing.T) {
	s := New()
	page := func(query string) result {
		return do(t, s, sm("GET", "/ds/login/"+ManyAccountsLoginID+"/accounts"+query, ""))
	}
	seen := map[any]bool{}
	for offset := 0; offset < 260; offset += 100 {
		got := page("?offset=" + strconv.Itoa(offset))
		require.Equal(t, obj{"offset": float64(offset), "limit": 100.0, "total": 260.0}, got.at("meta", "paginate"))
		for _, item := range got.at("data").([]any) {
			seen[item.(obj)["account_id"]] = true
		}
	}
	require.Len(t, seen, 260)
	require.Equal(t, []any{}, page("?offset=1000000&limit=1000").at("data"))
	require.Len(t, page("?limit=1").at("data"), 1)
	for _, query := range []string{"?offset=-1", "?offset=1000001", "?limit=0", "?limit=1001", "?limit=x", "?limit="} {
		require.Equal(t, 422, page(query).status, query)
	}
	got := do(t, s, sm("GET", "/ds/login/"+OddAccountsLoginID+"/accounts", ""))
	require.Equal(t, obj{"@type": "ds_account", "account_id": "act_1:2", "name": "Example Ads", "group": ""},
		got.at("data", 0))
}

func TestCreateLinkRefuses(t *testing.T) {
	s := New()
	long := func(n int) string { return strings.Repeat("ä", n) }
	tests := map[string]int{
		``: 400, `[]`: 400, `null`: 400, `{}`: 422, `{"ds_id":null}`: 422, `{"ds_id":"a.b"}`: 422,
		`{"ds_id":"FB","more":1}`:           422,
		`{"ds_id":"FB","description":null}`: 422, `{"ds_id":"FB","description":""}`: 422,
		`{"ds_id":"FB","description":7}`:                                            422,
		`{"ds_id":"FB","description":"` + long(1001) + `"}`:                         422,
		`{"ds_id":"FB","require_username":"` + long(256) + `"}`:                     422,
		`{"ds_id":"FB","redirect_url":"/relative"}`:                                 422,
		`{"ds_id":"FB","redirect_url":"ftp://example.com/"}`:                        422,
		`{"ds_id":"FB","redirect_url":"https://example.com/` + long(500) + `"}`:     422,
		`{"ds_id":"FB","expiry_time":"2000-01-01T00:00:00Z"}`:                       422,
		`{"ds_id":"FB","expiry_time":"2999-01-01T00:00:00"}`:                        422,
		`{"ds_id":"FB","expiry_time":"soon"}`:                                       422,
		`{"ds_id":"FB","expiry_time":"0 hours"}`:                                    422,
		`{"ds_id":"FB","expiry_time":"10 hours` + strings.Repeat(" ", 50) + `"}`:    422,
		`{"ds_id":"FB","description":"` + long(1000) + `"}`:                         201,
		`{"ds_id":"FB","expiry_time":"2999-01-01T00:00:00+02:00"}`:                  201,
		`{"ds_id":"FB","expiry_time":"2999-01-01T00:00:00+0200"}`:                   201,
		`{"ds_id":"FB","expiry_time":"2 weeks"}`:                                    201,
		`{"ds_id":"FB","redirect_url":"https://app.example.com/done?x=1#fragment"}`: 201,
	}
	for body, status := range tests {
		e := sm("POST", "/ds/login/link", body)
		if body == "" {
			e.header = append(e.header, jsonHeader)
		}
		got := do(t, s, e)
		require.Equal(t, status, got.status, "%s\n%s", body, got.text)
	}
}

func TestLinkLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		got := do(t, s,
			sm("POST", "/ds/login/link", `{"ds_id":"AW","expiry_time":"10 hours","require_username":"a@example.com"}`))
		require.Equal(t, 201, got.status)
		require.Equal(t, "/v2/ds/login/link/dsll_5", got.header.Get("Location"))
		require.Equal(t, "OPEN", got.at("data", "status_code"))
		require.Equal(t, "2000-01-01T10:00:00Z", got.at("data", "expiry_time"))
		require.Nil(t, got.at("data", "login_id"))
		require.NotEmpty(t, got.at("data", "redirect_verifier"))

		get := func(id string) result { return do(t, s, sm("GET", "/ds/login/link/"+id, "")) }
		require.Error(t, s.CompleteLogin("dsll_5", "b@example.com"))
		require.Error(t, s.CompleteLogin("dsll_99", "b@example.com"))
		time.Sleep(10*time.Hour - time.Nanosecond)
		require.Equal(t, "OPEN", get("dsll_5").at("data", "status_code"))
		require.NoError(t, s.CompleteLogin("dsll_5", "A@example.com"))
		require.Error(t, s.CompleteLogin("dsll_5", "a@example.com"))
		got = get("dsll_5")
		require.Equal(t, "CLOSED", got.at("data", "status_code"))
		require.Equal(t, "dsl_7", got.at("data", "login_id"))
		require.Equal(t, LoginLinkState{"dsll_5", "CLOSED", "", "AW", "dsl_7"}, s.Links()[4])
		require.Equal(t, LoginState{"dsl_7", "AW", "A@example.com", false, 3}, s.Logins()[6])

		time.Sleep(13*time.Hour + time.Nanosecond)
		require.Equal(t, "EXPIRED", get(OpenLoginLinkID).at("data", "status_code"))
		require.Error(t, s.CompleteLogin(OpenLoginLinkID, "x"))
	})
}

func TestUpdateAndCloseLink(t *testing.T) {
	s := New()
	update := func(body string) result { return do(t, s, sm("PATCH", "/ds/login/link/dsll_1", body)) }
	require.Equal(t, "new", update(`{"description":"new"}`).at("data", "description"))
	require.Equal(t, "", update(`{"description":""}`).at("data", "description"))
	for _, body := range []string{
		`{}`, `{"description":null}`, `{"description":1}`, `{"description":"x","ds_id":"FB"}`, `{"Description":"x"}`,
	} {
		require.Equal(t, 422, update(body).status, body)
	}
	require.Equal(t, 400, update(`[`).status)

	shut := func(id string) any {
		return do(t, s, sm("PUT", "/ds/login/link/"+id+"/close", "")).at("data", "status_code")
	}
	require.Equal(t, "CLOSED", shut(OpenLoginLinkID))
	require.Equal(t, "CLOSED", shut(OpenLoginLinkID))
	require.Equal(t, "EXPIRED", shut(ExpiredLoginLinkID))
	require.NoError(t, s.CompleteLogin(OpenLoginLinkID, "late@example.com"), "an attempt that had begun")

	s.ExpireLink(NamedLoginLinkID)
	require.Equal(t, "EXPIRED", s.Links()[3].Status)
	require.Len(t, do(t, s, sm("GET", "/ds/login/links", "")).at("data"), 4)
}

func TestLinkLimit(t *testing.T) {
	s := New(WithLinkLimit(3)) // two of the sample links are open
	require.Equal(t, 201, do(t, s, sm("POST", "/ds/login/link", `{"ds_id":"FB"}`)).status)
	got := do(t, s, sm("POST", "/ds/login/link", `{"ds_id":"FB"}`))
	require.Equal(t, 403, got.status)
	require.Equal(t, "LINK_LIMIT_EXCEEDED", got.at("error"))
	require.Len(t, s.Links(), 5)
}

func TestHourlyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithHourlyLimit(2), WithAPIKey("api_other"))
		list := func() result { return do(t, s, sm("GET", "/ds/logins", "")) }
		require.Equal(t, "1", list().header.Get("X-RateLimit-Remaining"))
		time.Sleep(20*time.Minute + time.Millisecond)
		require.Equal(t, "0", list().header.Get("X-RateLimit-Remaining"))
		got := list()
		require.Equal(t, 429, got.status)
		require.Equal(t, "TOO_MANY_REQUESTS", got.at("error", "code"))
		require.Equal(t, "2400", got.header.Get("Retry-After"))
		require.Equal(t, "2", got.header.Get("X-RateLimit-Limit"))
		other := exchange{method: "GET", target: "/v2/ds/logins", header: []string{"Authorization: Bearer api_other"}}
		require.Equal(t, 200, do(t, s, other).status)
		time.Sleep(40 * time.Minute)
		require.Equal(t, 200, list().status)
	})
	got := do(t, New(WithHourlyLimit(0)), sm("GET", "/ds/logins", ""))
	require.Equal(t, 200, got.status)
	require.NotContains(t, got.header, "X-Ratelimit-Limit")
}

func TestRequestsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithRequestsPerSecond(2))
		require.Equal(t, 200, do(t, s, sm("GET", "/ds/logins", "")).status)
		require.Equal(t, 200, do(t, s, mk("GET", "/links/"+LinkID, "")).status)
		got := do(t, s, sm("GET", "/ds/logins", ""))
		require.Equal(t, 429, got.status)
		require.Equal(t, "1", got.header.Get("Retry-After"))
		require.Equal(t, "api_error.rate_limit_exceeded", do(t, s, mk("GET", "/links/"+LinkID, "")).at("error_code"))
		require.Equal(t, "RATE_LIMIT_EXCEEDED", do(t, s, authGet(`{}`)).at("error_type"))
		time.Sleep(time.Second)
		require.Equal(t, 200, do(t, s, sm("GET", "/ds/logins", "")).status)
		require.Equal(t, 200, do(t, s, sm("GET", "/ds/logins", "")).status)
		require.Equal(t, 429, do(t, s, sm("GET", "/ds/logins", "")).status)
		time.Sleep(500 * time.Millisecond)
		require.Equal(t, 200, do(t, s, sm("GET", "/ds/logins", "")).status)
	})
}

func TestRelativeExpiry(t *testing.T) {
	now := time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC)
	tests := map[string]time.Time{
		"30 seconds": now.Add(30 * time.Second),
		"1 minute":   now.Add(time.Minute),
		"+2 Hours":   now.Add(2 * time.Hour),
		"3 days":     now.AddDate(0, 0, 3),
		"1 week":     now.AddDate(0, 0, 7),
		"2 months":   now.AddDate(0, 2, 0),
	}
	for text, want := range tests {
		got, ok := parseExpiry(text, now)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"hours", "-1 hours", "1hour", "99999 days", "1 hour 5 minutes"} {
		_, ok := parseExpiry(text, now)
		require.False(t, ok, text)
	}
}

func TestAddLogin(t *testing.T) {
	s := New()
	id := s.AddLogin("LIA", "many@example.com", 1500)
	require.Equal(t, 1500.0, do(t, s, sm("GET", "/ds/login/"+id+"/accounts", "")).at("meta", "paginate", "total"))
	got := do(t, s, sm("GET", `/query/accounts?json=%7B%22ds_id%22%3A%22LIA%22%7D`, ""))
	require.Len(t, got.at("data", 0, "accounts"), 1000, "the most that one login has in this answer")
}
