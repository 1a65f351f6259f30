package duolink

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func sampleLogin() Login {
	return Login{
		ID:               "dsl_1",
		Type:             LoginTypeOAuth,
		Username:         avery,
		DisplayName:      NewSensitive("Avery Sample"),
		DataSource:       DataSource{ID: "GAWA", Name: "Google Analytics 4"},
		DefaultScopes:    []string{"email", "analytics.readonly"},
		AdditionalScopes: []string{"adwords"},
		AuthTime:         stamp("2021-10-22T11:47:16+00:00"),
		AuthUser:         User{ID: "usr_1", Email: avery},
		ExpiryTime:       stamp("2026-12-31T23:59:59+00:00"),
		RevokedTime:      stamp("2026-02-01T08:30:00+00:00"),
		Refreshable:      true,
		Shared:           true,
	}
}

func TestGoldenLoginsGet(t *testing.T) {
	ofOne := sampleLogin()
	ofOne.DefaultScopes, ofOne.AdditionalScopes = []string{"email"}, []string{}
	ofOne.ExpiryTime, ofOne.RevokedTime, ofOne.Shared = Timestamp{}, Timestamp{}, false
	sample := sampleLogin()
	goldens(t, "logins.get", func(ctx context.Context, c *Client) (*Login, error) {
		return c.Logins.Get(ctx, "dsl_1")
	}, map[string]check[*Login]{
		"sample.json": func(t *testing.T, got *Login, err error) {
			is(&sample)(t, got, err)
			require.Equal(t, "avery.sample@example.com", got.Username.Reveal())
			require.Equal(t, "Avery Sample", got.DisplayName.Reveal())
			require.Equal(t, "avery.sample@example.com", got.AuthUser.Email.Reveal())
		},
		"absent.json":       is(&Login{ID: "dsl_1"}),
		"null.json":         is(&Login{ID: "dsl_1", DataSource: DataSource{ID: "GAWA"}, AuthUser: User{ID: "usr_1"}}),
		"null_objects.json": is(&Login{ID: "dsl_1", DefaultScopes: []string{}, AdditionalScopes: []string{}}),
		"list_of_one.json":  is(&ofOne),
		"data_absent.json":  malformed[*Login]("EXAMPLEREQ_data_absent_0001"),
		"data_null.json":    malformed[*Login]("EXAMPLEREQ_data_null_0001"),
		"timestamps_fraction.json": is(&Login{
			ID:          "dsl_1",
			AuthTime:    stamp("2026-01-01T00:00:00.123Z"),
			ExpiryTime:  stamp("2026-01-01T00:00:00.123456+00:00"),
			RevokedTime: stamp("2026-01-01T02:00:00.5+02:00", "2026-01-01T00:00:00.5Z"),
		}),
		"timestamps_offset.json": is(&Login{
			ID:          "dsl_1",
			AuthTime:    stamp("2021-10-22T11:47:16+00:00"),
			ExpiryTime:  stamp("2026-04-06T10:59:04+0000", "2026-04-06T10:59:04Z"),
			RevokedTime: stamp("2026-01-01T00:00:00Z"),
		}),
		"timestamps_zoneless.json": is(&Login{
			ID:          "dsl_1",
			AuthTime:    stamp("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
			ExpiryTime:  stamp("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
			RevokedTime: stamp("2026-01-01", "2026-01-01T00:00:00Z"),
		}),
		"timestamps_unreadable.json": is(&Login{
			ID:         "dsl_1",
			AuthTime:   unreadable("0000-00-00 00:00:00"),
			ExpiryTime: unreadable("1767225600"),
		}),
		"unknown.json": is(&Login{
			ID:            "dsl_1",
			Type:          "passkey",
			Username:      blakes,
			DisplayName:   NewSensitive("Avery Sample"),
			DataSource:    DataSource{ID: "GAWA"},
			DefaultScopes: []string{"email", "analytics.readonly"},
			AuthTime:      stamp("2021-10-22T11:47:16+00:00"),
			Refreshable:   true,
		}),
	})
}

func TestGoldenLoginsList(t *testing.T) {
	first := sampleLogin()
	blake2 := Login{
		ID: "dsl_2", Type: LoginTypeOAuth, Username: blakes, DisplayName: NewSensitive("Blake Example"),
		DataSource: DataSource{ID: "FA", Name: "Facebook Ads"},
		AuthTime:   stamp("2026-01-15T09:00:00+00:00"),
		AuthUser:   User{ID: "usr_2", Email: blake},
		ExpiryTime: stamp("2026-03-16T09:00:00+00:00"),
	}
	store := Login{
		ID: "dsl_3", Type: "api_key", Username: NewSensitive("sample-store"), DisplayName: NewSensitive("Sample Store"),
		DataSource:    DataSource{ID: "SHP", Name: "Shopify"},
		DefaultScopes: []string{}, AdditionalScopes: []string{}, // sent and empty, which is not the same as left out
		AuthTime:    stamp("2026-02-20T16:45:10+00:00"),
		AuthUser:    User{ID: "usr_1", Email: avery},
		Refreshable: true,
	}
	goldens(t, "logins.list", func(ctx context.Context, c *Client) ([]Login, error) {
		return c.Logins.List(ctx)
	}, map[string]check[[]Login]{
		"sample.json": is([]Login{first, blake2, store}),
		"absent.json": is([]Login{{ID: "dsl_1"}, {ID: "dsl_2"}, {}}),
		"null.json": is([]Login{
			{ID: "dsl_1"}, {ID: "dsl_2", DataSource: DataSource{ID: "GAWA"}, AuthUser: User{ID: "usr_1"}},
		}),
		"data_absent.json": malformed[[]Login]("EXAMPLEREQ_logins_list_0005"),
		"data_null.json":   noItems[Login],
		"bom.json": is([]Login{{
			ID: "dsl_1", Type: LoginTypeOAuth, Username: avery, DisplayName: NewSensitive("Avery Sample"),
		}}),
		"invalid_utf8.json": func(t *testing.T, got []Login, err error) {
			require.NoError(t, err)
			var std struct {
				Data []struct {
					ID   string `json:"login_id"`
					Name string `json:"display_name"`
				}
			}
			require.NoError(t, json.Unmarshal([]byte(golden(t, "logins.list/invalid_utf8.json")), &std))
			require.Len(t, got, 2)
			for i, login := range got {
				require.Equal(t, std.Data[i].ID, login.ID)
				require.Equal(t, std.Data[i].Name, login.DisplayName.Reveal())
			}
			require.Contains(t, got[0].DisplayName.Reveal(), "\ufffd")
		},
		"timestamps.json": func(t *testing.T, got []Login, err error) {
			require.NoError(t, err)
			require.Len(t, got, len(notations))
			for _, l := range got {
				require.Contains(t, notations, l.ID)
				sameStamps(t, notations[l.ID], l.AuthTime, l.ExpiryTime, l.RevokedTime)
			}
		},
		"unknown.json": is([]Login{
			{
				ID: "dsl_1", Type: "passkey", Username: avery, DisplayName: NewSensitive("Avery Sample"),
				DataSource:    DataSource{ID: "GAWA", Name: "Google Analytics 4"},
				DefaultScopes: []string{"email", "7", "analytics.readonly"}, AdditionalScopes: []string{"adwords"},
				AuthTime: stamp("2021-10-22T11:47:16+00:00"), AuthUser: User{ID: "usr_1", Email: avery},
				Refreshable: true,
			},
			{ID: "dsl_2", Type: "3", Username: blakes, Refreshable: true},
			{
				ID: "dsl_3", Type: LoginTypeOAuth, Username: casey, DisplayName: NewSensitive("Casey Placeholder"),
				Refreshable: true,
			},
		}),
	})
}

// noItems expects an empty list and no error.
func noItems[T any](t *testing.T, got []T, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestGoldenLoginsQueryAccounts(t *testing.T) {
	goldens(t, "logins.query_accounts", func(ctx context.Context, c *Client) (*AccountList, error) {
		return c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: "GAWA"})
	}, map[string]check[*AccountList]{
		"sample.json": is(&AccountList{CacheMinutes: 60, Logins: []LoginAccounts{
			{
				User: avery, DisplayName: NewSensitive("Avery Sample"), CacheTime: stamp("2026-04-06T10:59:04+00:00"),
				Accounts: []Account{
					{ID: "1234567890", Name: "Sample Store", Group: "Sample Group"},
					{ID: "act_1002", Name: "Sample Store – Düsseldorf"},
				},
			},
			{
				User: blakes, DisplayName: NewSensitive("Blake Example"), CacheTime: stamp("2026-04-06T11:02:31+00:00"),
				Accounts: []Account{{ID: "https://www.example.com/", Name: "www.example.com", Group: "Websites"}},
			},
		}}),
		"absent.json": is(&AccountList{Logins: []LoginAccounts{
			{User: avery}, {User: blake, Accounts: []Account{{ID: "1234567890"}}}, {},
		}}),
		"null.json": is(&AccountList{Logins: []LoginAccounts{
			{User: avery}, {User: blake, Accounts: []Account{{ID: "1234567890"}}},
		}}),
		"null_meta_members.json": is(&AccountList{Logins: []LoginAccounts{}}),
		"large_ids.json": is(&AccountList{CacheMinutes: 60, Logins: []LoginAccounts{{
			User: avery, DisplayName: NewSensitive("Avery Sample"), CacheTime: stamp("2026-04-06T10:59:04+00:00"),
			Accounts: largeIDs(),
		}}}),
		"timestamps.json": func(t *testing.T, got *AccountList, err error) {
			require.NoError(t, err)
			require.EqualValues(t, 1440, got.CacheMinutes)
			require.Len(t, got.Logins, len(notations))
			for _, l := range got.Logins {
				require.Contains(t, notations, l.User.Reveal())
				sameStamps(t, notations[l.User.Reveal()], l.CacheTime)
				require.Equal(t, []Account{}, l.Accounts)
			}
		},
		"unknown.json": is(&AccountList{CacheMinutes: 60, Logins: []LoginAccounts{
			{
				User: avery, DisplayName: NewSensitive("Avery Sample"), CacheTime: stamp("2026-04-06T10:59:04+00:00"),
				Accounts: []Account{
					{ID: "1234567890", Name: "Sample Store", Group: "Sample Group"},
					{ID: "act_1002", Name: "2026"},
				},
			},
			{User: blakes},
			{
				User: casey, DisplayName: NewSensitive("Casey Placeholder"),
				CacheTime: stamp("2026-04-06T11:02:31+00:00"),
				Accounts:  []Account{{ID: "casey-1", Name: "Casey One"}},
			},
		}}),
	})
}

// largeIDs are the accounts of large_ids.json: an id is any text, and a number is its literal.
func largeIDs() []Account {
	long := "sc-domain:long.example.com/" + strings.Repeat("0123456789", 30)
	return []Account{
		{ID: "act_1:2", Name: "Colon"},
		{ID: "https://www.example.com/", Name: "Address"},
		{ID: "sc-domain:example.com", Name: "Domain"},
		{ID: long[:300], Name: "300 characters"},
		{ID: "12345678901234567890", Name: "JSON number"},
	}
}

func TestGoldenLoginsRevoke(t *testing.T) {
	goldens(t, "logins.revoke", func(ctx context.Context, c *Client) (bool, error) {
		return c.Logins.Revoke(ctx, "dsl_1")
	}, map[string]check[bool]{
		"sample.json":  is(true),
		"absent.json":  is(true),
		"false.json":   is(false),
		"null.json":    malformed[bool](""), // it says neither yes nor no
		"unknown.json": is(true),
	})
}

// The query of logins.query_accounts decodes to the right JSON, whatever characters a username has.
func TestAccountsQueryRoundTrip(t *testing.T) {
	users := []string{"a+b c", "%2B", `"quoted" \ back`, "ключ & 字", "tab\tnew\nline", "</script>", "\u2028"}
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, `{"data":[]}`) })
	_, err := c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA", Users: users})
	require.NoError(t, err)
	raw := m.queries()[0]
	require.NotContains(t, raw, "+")
	values, err := url.ParseQuery(raw)
	require.NoError(t, err)
	require.Equal(t, []string{"json"}, slices.Collect(maps.Keys(values)))
	var got struct {
		Users []string `json:"ds_users"`
	}
	require.NoError(t, json.Unmarshal([]byte(values.Get("json")), &got))
	require.Equal(t, users, got.Users)
}

// Revoke says yes or no only if the server has said so. Close takes no for an error.
func TestOddResults(t *testing.T) {
	yes, no := true, false
	for result, want := range map[string]*bool{
		"true": &yes, `"true"`: &yes, "1": &yes,
		"false": &no, `"false"`: &no, "0": &no,
		"null": nil, `""`: nil, `"failed"`: nil, "2": nil, "[]": nil, "{}": nil,
	} {
		c := replying(t, 200, `{"data":{"result":`+result+`}}`)
		revoked, err := c.Logins.Revoke(t.Context(), "dsl_1")
		if want == nil {
			require.ErrorIs(t, err, ErrMalformedResponse, result)
			require.Equal(t, OutcomeUnknown, asError(t, err).Outcome, result)
		} else {
			require.NoError(t, err, result)
			require.Equal(t, *want, revoked, result)
		}
		link, err := c.Links.Close(t.Context(), "dsll_1")
		if want == &yes {
			require.NoError(t, err, result)
			require.Equal(t, &LoginLink{ID: "dsll_1"}, link)
			continue
		}
		require.ErrorIs(t, err, ErrMalformedResponse, result)
		require.Equal(t, OutcomeUnknown, asError(t, err).Outcome, result)
	}
}
