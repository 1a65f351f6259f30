package duolink

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

// Answers as the APIs write them, read through the real client: the connection is in memory, all above it is what users run.

const (
	testKey    = "sm-test-key-0001"
	testID     = "mk-test-client-0001"
	testSecret = "mk-test-secret-0001"
)

// memory is a server in memory. It keeps what it was asked.
type memory struct {
	answer   func(*http.Request) *http.Response
	requests []*http.Request
	bodies   []string
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	m.requests, m.bodies = append(m.requests, r), append(m.bodies, string(body))
	return m.answer(r), nil
}

// queries are the raw queries of all requests, in order.
func (m *memory) queries() []string {
	all := []string{}
	for _, r := range m.requests {
		all = append(all, r.URL.RawQuery)
	}
	return all
}

// reply is an answer with a body; header holds names and values in turn.
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// inMemory is a client of both APIs that sends each request once, to a server in memory.
func inMemory(t *testing.T, answer func(*http.Request) *http.Response, opts ...Option) (*Client, *memory) {
	t.Helper()
	m := &memory{answer: answer}
	if len(opts) == 0 {
		opts = []Option{WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret))}
	}
	opts = append(slices.Clone(opts), WithHTTPClient(&http.Client{Transport: m}), WithRetry(Retry{MaxAttempts: 1}))
	c, err := New(opts...)
	require.NoError(t, err)
	return c, m
}

// golden returns a file under testdata.
func golden(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(file)))
	require.NoError(t, err)
	return string(b)
}

// answering is a client that gets the same file, a path under testdata, as the answer to everything.
func answering(t *testing.T, status int, file string) *Client {
	t.Helper()
	return replying(t, status, golden(t, file))
}

// replying is a client that gets the same body as the answer to everything.
func replying(t *testing.T, status int, body string, header ...string) *Client {
	t.Helper()
	c, _ := inMemory(t, func(*http.Request) *http.Response { return reply(status, body, header...) })
	return c
}

// check judges what a call returned for one file.
type check[T any] = func(t *testing.T, got T, err error)

// goldens calls an operation with each of its files as the answer. A file that has no check fails the test.
func goldens[T any](t *testing.T, operation string, call func(context.Context, *Client) (T, error), checks map[string]check[T]) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", operation))
	require.NoError(t, err)
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	require.Equal(t, files, slices.Sorted(maps.Keys(checks)), "the files of %s and the checks", operation)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			got, err := call(t.Context(), answering(t, 200, operation+"/"+file))
			checks[file](t, got, err)
		})
	}
}

// Every operation has tests here that read its golden files.
func TestEveryOperationIsReadFromGoldenFiles(t *testing.T) {
	source, err := os.ReadFile("golden_test.go")
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	for name := range rows {
		require.Regexp(t, `goldens\(t, "`+operationOf(name)+`"|golden\(t, "`+operationOf(name)+`/`, string(source))
	}
}

// is expects exactly this answer: nil and empty lists are told apart, and so are the texts of one instant.
func is[T any](want T) check[T] {
	return func(t *testing.T, got T, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// malformed expects an answer that is refused, with what can be said of it.
func malformed[T any](requestID string) check[T] {
	return func(t *testing.T, got T, err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrMalformedResponse)
		require.Zero(t, got)
		e := asError(t, err)
		require.Equal(t, 200, e.StatusCode)
		require.Equal(t, requestID, e.RequestID)
		require.Equal(t, 1, e.Attempts)
	}
}

// stamp is the timestamp that a text stands for; the instant, in RFC 3339, is left out where the text says the same.
func stamp(text string, instant ...string) Timestamp {
	at, err := time.Parse(time.RFC3339Nano, append(instant, text)[0])
	if err != nil {
		panic(err)
	}
	return Timestamp{Time: at.UTC(), text: text}
}

// unreadable is a timestamp of which there is the text alone.
func unreadable(text string) Timestamp { return Timestamp{text: text} }

// notations are the timestamps of the lists in logins.list, logins.query_accounts and links.list, by the item's name.
var notations = map[string]Timestamp{
	"offset":            stamp("2021-10-22T11:47:16+00:00"),
	"offset_not_utc":    stamp("2021-10-22T13:47:16+02:00", "2021-10-22T11:47:16Z"),
	"z":                 stamp("2026-01-01T00:00:00Z"),
	"fraction_z":        stamp("2026-01-01T00:00:00.123Z"),
	"fraction_offset":   stamp("2026-01-01T00:00:00.123456+00:00"),
	"offset_no_colon":   stamp("2026-04-06T10:59:04+0000", "2026-04-06T10:59:04Z"),
	"zoneless":          stamp("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
	"zoneless_space":    stamp("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
	"date_only":         stamp("2026-01-01", "2026-01-01T00:00:00Z"),
	"empty":             {},
	"null":              {},
	"absent":            {},
	"unreadable_zeroes": unreadable("0000-00-00 00:00:00"),
	"unreadable_number": unreadable("1767225600"),
}

// bankNotations are those of identity.get and auth.numbers.
var bankNotations = map[string]Timestamp{
	"zoneless":                stamp("2023-02-16T09:14:11", "2023-02-16T09:14:11Z"),
	"z":                       stamp("2021-08-12T15:23:00Z"),
	"fraction_offset":         stamp("2023-02-16T09:14:11.123456+00:00"),
	"fraction_offset_not_utc": stamp("2023-02-16T04:14:11.123456-05:00", "2023-02-16T09:14:11.123456Z"),
	"fraction_zoneless":       stamp("2023-02-16T09:14:11.123456", "2023-02-16T09:14:11.123456Z"),
	"offset_no_colon":         stamp("2023-02-16T09:14:11+0000", "2023-02-16T09:14:11Z"),
	"date_only":               stamp("2023-02-16", "2023-02-16T00:00:00Z"),
	"null":                    {},
	"absent":                  {},
	"empty":                   {},
	"unreadable_zeroes":       unreadable("0000-00-00"),
	"unreadable_number":       unreadable("1676538851"),
}

// sameStamps compares instants as users should, and the text that they came as.
func sameStamps(t *testing.T, want Timestamp, got ...Timestamp) {
	t.Helper()
	for _, g := range got {
		require.Truef(t, g.Equal(want.Time), "%q is %v, not %v", g.Text(), g.Time, want.Time)
		require.Equal(t, want.Text(), g.Text())
		require.Equal(t, want.IsZero(), g.IsZero())
		require.Equal(t, want.Text() == "2026-01-01" || want.Text() == "2023-02-16", g.DateOnly())
	}
}

var (
	avery  = NewSensitive("avery.sample@example.com")
	blake  = NewSensitive("blake.example@example.com")
	casey  = NewSensitive("casey.placeholder@example.com")
	blakes = NewSensitive("100000000000001") // Blake's username at Facebook
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
		"sample.json":      is([]Login{first, blake2, store}),
		"absent.json":      is([]Login{{ID: "dsl_1"}, {ID: "dsl_2"}, {}}),
		"null.json":        is([]Login{{ID: "dsl_1"}, {ID: "dsl_2", DataSource: DataSource{ID: "GAWA"}, AuthUser: User{ID: "usr_1"}}}),
		"data_absent.json": noItems[Login],
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
			{ID: "dsl_3", Type: LoginTypeOAuth, Username: casey, DisplayName: NewSensitive("Casey Placeholder"), Refreshable: true},
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
				User: casey, DisplayName: NewSensitive("Casey Placeholder"), CacheTime: stamp("2026-04-06T11:02:31+00:00"),
				Accounts: []Account{{ID: "casey-1", Name: "Casey One"}},
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

// collect ranges over an iterator to its end. The error has to be the last step, and without a value.
func collect[T any](t *testing.T, seq iter.Seq2[T, error]) (all []T, failure error) {
	t.Helper()
	for v, err := range seq {
		require.NoError(t, failure, "a step after the error")
		if err != nil {
			require.Zero(t, v)
			failure = err
			continue
		}
		all = append(all, v)
	}
	return all, failure
}

func TestGoldenStreamAccounts(t *testing.T) {
	files, err := os.ReadDir("testdata/logins.query_accounts")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			c, query := answering(t, 200, "logins.query_accounts/"+file.Name()), AccountsQuery{DataSourceID: "GAWA"}
			list, err := c.Logins.QueryAccounts(t.Context(), query)
			require.NoError(t, err)
			var want []LoginAccount
			for _, l := range list.Logins {
				for _, a := range l.Accounts {
					want = append(want, LoginAccount{User: l.User, DisplayName: l.DisplayName, CacheTime: l.CacheTime, Account: a})
				}
			}
			got, err := collect(t, c.Logins.StreamAccounts(t.Context(), query))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// The API writes accounts last in a login. Where it does not, an account still comes with the whole of its login.
func TestStreamAccountsMemberOrder(t *testing.T) {
	const accounts, cached = `"accounts":[{"account_id":"1"},7,{"account_id":"2"}]`, `"cache_time":"2026-01-01T00:00:00Z"`
	const person = `"display_name":"Avery Sample","ds_user":"avery.sample@example.com"`
	login := LoginAccount{User: avery, DisplayName: NewSensitive("Avery Sample"), CacheTime: stamp("2026-01-01T00:00:00Z")}
	one, two := login, login
	one.ID, two.ID = "1", "2"
	for name, members := range map[string][]string{
		"first": {accounts, cached, person}, "in the middle": {person, accounts, cached}, "last": {cached, person, accounts},
	} {
		t.Run(name, func(t *testing.T) {
			c := replying(t, 200, `{"data":[{`+strings.Join(members, ",")+`}]}`)
			got, err := collect(t, c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
			require.NoError(t, err)
			require.Equal(t, []LoginAccount{one, two}, got)
		})
	}
}

// A step is an account that knows its login: it is used, and stored, like one.
func TestAStepIsAnAccount(t *testing.T) {
	step := LoginAccount{Account: Account{ID: "1", Name: "One"}, User: avery, CacheTime: stamp("2026-01-01T00:00:00Z")}
	require.Equal(t, "1", step.ID)
	stored, err := RevealJSON(step)
	require.NoError(t, err)
	require.JSONEq(t, `{"account_id":"1","name":"One","group":"","ds_user":"avery.sample@example.com","display_name":null,
		"cache_time":"2026-01-01T00:00:00Z"}`, string(stored))
	var again LoginAccount
	require.NoError(t, json.Unmarshal(stored, &again))
	require.Equal(t, step, again)
}

func TestStreamAccountsLazyAndEarly(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response {
		return reply(200, golden(t, "logins.query_accounts/sample.json"))
	})
	seq := c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"})
	require.Empty(t, m.requests, "nothing is asked before the loop")
	for range 2 {
		for a, err := range seq {
			require.NoError(t, err)
			require.Equal(t, "1234567890", a.ID)
			break
		}
	}
	require.Len(t, m.requests, 2, "each loop asks anew")
}

// What breaks off in the middle yields what was there before, and one error.
func TestStreamAccountsTruncated(t *testing.T) {
	whole := golden(t, "logins.query_accounts/sample.json")
	cut := strings.Index(whole, `"https://www.example.com/"`)
	got, err := collect(t, replying(t, 200, whole[:cut]).Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
	require.ErrorIs(t, err, ErrMalformedResponse)
	require.Len(t, got, 2)
}

// A stream has the same errors as the list: kind, code, message and request id.
func TestStreamAccountsErrors(t *testing.T) {
	for name, body := range map[string]string{
		"error on 200":       golden(t, "errors/supermetrics_envelope.json"),
		"flat error on 200":  golden(t, "errors/supermetrics_flat.json"),
		"empty":              "",
		"html":               golden(t, "errors/html.html"),
		"array":              golden(t, "errors/array.json"),
		"text after the end": `{"data":[]} and more`,
	} {
		t.Run(name, func(t *testing.T) {
			c, query := replying(t, 200, body), AccountsQuery{DataSourceID: "GAWA"}
			_, err := c.Logins.QueryAccounts(t.Context(), query)
			want := asError(t, err)
			got, err := collect(t, c.Logins.StreamAccounts(t.Context(), query))
			require.Empty(t, got)
			e := asError(t, err)
			require.ErrorIs(t, err, want.Kind)
			require.Equal(t, want.Code, e.Code)
			require.Equal(t, want.Message, e.Message)
			require.Equal(t, want.Description, e.Description)
			require.Equal(t, want.StatusCode, e.StatusCode)
			require.Equal(t, want.RequestID, e.RequestID)
			require.Equal(t, want.Attempts, e.Attempts)
		})
	}
}

func TestGoldenLoginsRevoke(t *testing.T) {
	goldens(t, "logins.revoke", func(ctx context.Context, c *Client) (bool, error) {
		return c.Logins.Revoke(ctx, "dsl_1")
	}, map[string]check[bool]{
		"sample.json":  is(true),
		"absent.json":  is(true),
		"false.json":   is(false),
		"null.json":    is(true), // nothing says that there was nothing to revoke
		"unknown.json": is(true),
	})
}

func TestGoldenLoginsAccounts(t *testing.T) {
	page := func(from, to int) (accounts []Account) {
		for i := from; i <= to; i++ {
			accounts = append(accounts, Account{ID: fmt.Sprintf("account-%d", i), Name: fmt.Sprintf("Sample Account %d", i), Group: "Sample Group"})
		}
		return accounts
	}
	for name, tc := range map[string]struct {
		page  PageOptions
		files []string // answered in turn
		asked []string // the raw queries
		want  []Account
	}{
		"sample": {
			files: []string{"sample.json"}, asked: []string{""},
			want: []Account{
				{ID: "1234567890", Name: "Sample Store", Group: "Sample Group"},
				{ID: "act_1002", Name: "Sample Store – Düsseldorf", Group: "Sample Group"},
				{ID: "https://www.example.com/", Name: "www.example.com", Group: "Websites"},
			},
		},
		"absent":       {files: []string{"absent.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}, {}}},
		"null":         {files: []string{"null.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}, {ID: "act_1002"}}},
		"null page":    {files: []string{"null_paginate.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}}},
		"null members": {files: []string{"null_paginate_members.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}}},
		"large ids":    {files: []string{"large_ids.json"}, asked: []string{""}, want: largeIDs()},
		"unknown": {
			files: []string{"unknown.json"}, asked: []string{""},
			want: []Account{
				{ID: "1234567890", Name: "Sample Store", Group: "Sample Group"}, {ID: "9876543210", Name: "2026"},
				{ID: "act_1002"}, {ID: "casey-1", Name: "Casey One"},
			},
		},
		"three pages": {
			files: []string{"page1.json", "page2.json", "page_last.json"},
			asked: []string{"", "offset=3", "offset=6"}, want: page(1, 8),
		},
		"three pages with a limit": {
			page:  PageOptions{PageSize: 3},
			files: []string{"page1.json", "page2.json", "page_last.json"},
			asked: []string{"limit=3", "limit=3&offset=3", "limit=3&offset=6"}, want: page(1, 8),
		},
		"from the second page": {
			page:  PageOptions{Offset: 3},
			files: []string{"page2.json", "page_last.json"}, asked: []string{"offset=3", "offset=6"}, want: page(4, 8),
		},
		"quoted numbers": {
			files: []string{"quoted_paginate.json", "page2.json", "page_last.json"},
			asked: []string{"", "offset=3", "offset=6"}, want: page(1, 8),
		},
		"no total, a short page": {
			files: []string{"no_total.json", "no_total_last.json"}, asked: []string{"", "offset=3"}, want: page(1, 4),
		},
		"no total, an empty page": {
			files: []string{"no_total.json", "page_empty.json"}, asked: []string{"", "offset=3"}, want: page(1, 3),
		},
		"an empty page before the total": {
			files: []string{"page1.json", "page_empty.json"}, asked: []string{"", "offset=3"}, want: page(1, 3),
		},
		"an empty page": {page: PageOptions{Offset: 8}, files: []string{"page_empty.json"}, asked: []string{"offset=8"}},
	} {
		t.Run(name, func(t *testing.T) {
			var n int
			c, m := inMemory(t, func(*http.Request) *http.Response {
				file := tc.files[n%len(tc.files)]
				n++
				return reply(200, golden(t, "logins.accounts/"+file))
			})
			seq := c.Logins.Accounts(t.Context(), "dsl_1", tc.page)
			for range 2 { // ranging again starts anew
				m.requests = nil
				got, err := collect(t, seq)
				require.NoError(t, err)
				require.Equal(t, tc.want, got)
				require.Equal(t, tc.asked, m.queries())
			}
		})
	}
}

// No list at all is an empty one, as in the other lists.
func TestAccountsWithoutData(t *testing.T) {
	for _, body := range []string{`{}`, `{"data":null}`, `{"data":[]}`, `{"meta":{"paginate":{"total":8}},"data":null}`} {
		got, err := collect(t, replying(t, 200, body).Logins.Accounts(t.Context(), "dsl_1", PageOptions{}))
		require.NoError(t, err, body)
		require.Empty(t, got, body)
	}
}

func TestAccountsRepeatedPage(t *testing.T) {
	for _, file := range []string{"no_total.json", "page1.json"} {
		t.Run(file, func(t *testing.T) {
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, golden(t, "logins.accounts/"+file)) })
			got, err := collect(t, c.Logins.Accounts(t.Context(), "dsl_1", PageOptions{}))
			require.ErrorIs(t, err, ErrMalformedResponse)
			require.Equal(t, "logins.accounts", asError(t, err).Operation)
			require.Len(t, got, 3, "no account comes twice")
			require.Len(t, m.requests, 2)
		})
	}
}

func TestAccountsLazy(t *testing.T) {
	c, m := inMemory(t, func(r *http.Request) *http.Response {
		if r.URL.RawQuery == "" {
			return reply(200, golden(t, "logins.accounts/page1.json"))
		}
		return reply(403, golden(t, "errors/supermetrics_envelope.json"))
	})
	seq := c.Logins.Accounts(t.Context(), "dsl_1", PageOptions{})
	require.Empty(t, m.requests, "nothing is asked before the loop")

	steps := 0
	for _, err := range seq {
		require.NoError(t, err)
		require.Len(t, m.requests, 1, "nothing is asked before the first page is used up")
		if steps++; steps == 3 {
			break
		}
	}
	require.Len(t, m.requests, 1, "a loop that was left asks nothing more")

	got, err := collect(t, seq)
	require.ErrorIs(t, err, ErrForbidden)
	require.Len(t, got, 3, "the accounts before the error")
	require.Len(t, m.requests, 3)
}

func sampleLoginLink() LoginLink {
	return LoginLink{
		ID:               "dsll_1",
		Status:           LoginLinkClosed,
		Description:      "Onboarding of Sample Store",
		DataSourceID:     "GAWA",
		DataSourceName:   "Google Analytics 4",
		RequireUsername:  avery,
		RedirectURL:      "https://app.example.com/connected",
		RedirectVerifier: NewSensitive("example-verifier-0001"),
		UserID:           "usr_1",
		UserEmail:        blake,
		LoginURL:         NewSensitive("https://login.example.com/link/example-login-url-0001"),
		CreatedTime:      stamp("2026-04-06T10:59:04+00:00"),
		ExpiryTime:       stamp("2026-04-07T10:59:04+00:00"),
		LoginID:          "dsl_1",
		LoginTime:        stamp("2026-04-06T11:07:42+00:00"),
		LoginUsername:    avery,
	}
}

// linkChecks are those of the four operations that answer one login link; more adds and replaces.
func linkChecks(status LoginLinkStatus, description string, more map[string]check[*LoginLink]) map[string]check[*LoginLink] {
	sample := sampleLoginLink()
	sample.Status, sample.Description = status, description
	all := map[string]check[*LoginLink]{
		"sample.json": func(t *testing.T, got *LoginLink, err error) {
			is(&sample)(t, got, err)
			require.Equal(t, "https://login.example.com/link/example-login-url-0001", got.LoginURL.Reveal())
			require.Equal(t, "example-verifier-0001", got.RedirectVerifier.Reveal())
			require.Equal(t, "blake.example@example.com", got.UserEmail.Reveal())
			require.Equal(t, "avery.sample@example.com", got.LoginUsername.Reveal())
		},
		"absent.json":      is(&LoginLink{ID: "dsll_1"}),
		"null.json":        is(&LoginLink{ID: "dsll_1", Status: status, DataSourceID: "GAWA", UserID: "usr_1"}),
		"data_absent.json": malformed[*LoginLink]("EXAMPLEREQ_data_absent_0001"),
		"data_null.json":   malformed[*LoginLink]("EXAMPLEREQ_data_null_0001"),
		"timestamps_fraction.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: stamp("2026-01-01T00:00:00.123Z"),
			ExpiryTime:  stamp("2026-01-01T00:00:00.123456+00:00"),
			LoginTime:   stamp("2026-01-01T02:00:00.5+02:00", "2026-01-01T00:00:00.5Z"),
		}),
		"timestamps_offset.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: stamp("2021-10-22T11:47:16+00:00"),
			ExpiryTime:  stamp("2026-04-06T10:59:04+0000", "2026-04-06T10:59:04Z"),
			LoginTime:   stamp("2026-01-01T00:00:00Z"),
		}),
		"timestamps_zoneless.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: stamp("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
			ExpiryTime:  stamp("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
			LoginTime:   stamp("2026-01-01", "2026-01-01T00:00:00Z"),
		}),
		"timestamps_unreadable.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: unreadable("0000-00-00 00:00:00"),
			ExpiryTime:  unreadable("1767225600"),
		}),
		"unknown.json": is(&LoginLink{
			ID:               "dsll_1",
			Status:           "PAUSED",
			Description:      "7",
			DataSourceID:     "GAWA",
			RedirectURL:      "https://app.example.com/connected",
			RedirectVerifier: NewSensitive("example-verifier-0001"),
			UserID:           "usr_1",
			LoginURL:         NewSensitive("https://login.example.com/link/example-login-url-0001"),
			CreatedTime:      stamp("2026-04-06T10:59:04+00:00"),
			LoginUsername:    blakes,
		}),
	}
	maps.Copy(all, more)
	return all
}

func TestGoldenLinksCreate(t *testing.T) {
	fresh := sampleLoginLink()
	fresh.Status, fresh.RequireUsername = LoginLinkOpen, Sensitive{}
	fresh.LoginID, fresh.LoginTime, fresh.LoginUsername = "", Timestamp{}, Sensitive{}
	goldens(t, "links.create", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA"})
	}, linkChecks(LoginLinkOpen, "Onboarding of Sample Store", map[string]check[*LoginLink]{"fresh.json": is(&fresh)}))
}

func TestGoldenLinksGet(t *testing.T) {
	checks := linkChecks(LoginLinkClosed, "Onboarding of Sample Store", map[string]check[*LoginLink]{
		"null.json": is(&LoginLink{ID: "dsll_1", Status: LoginLinkOpen, DataSourceID: "GAWA", UserID: "usr_1"}),
		"error_on_200.json": func(t *testing.T, got *LoginLink, err error) {
			require.Nil(t, got)
			require.ErrorIs(t, err, ErrServer)
			e := asError(t, err)
			require.Equal(t, CodeInternalServerError, e.Code)
			require.Equal(t, "Something went wrong", e.Message)
			require.Equal(t, "The link could not be read. Try again later.", e.Description)
			require.Equal(t, "EXAMPLEREQ_links_get_0002", e.RequestID)
			require.Equal(t, 200, e.StatusCode)
		},
		"error_flat_on_200.json": func(t *testing.T, got *LoginLink, err error) {
			require.Nil(t, got)
			require.ErrorIs(t, err, ErrNotFound)
			e := asError(t, err)
			require.Equal(t, CodeLinkNotFound, e.Code)
			require.Equal(t, "Login link not found", e.Message)
			require.Equal(t, 200, e.StatusCode)
		},
	})
	goldens(t, "links.get", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Get(ctx, "dsll_1")
	}, checks)
}

func TestGoldenLinksUpdate(t *testing.T) {
	goldens(t, "links.update", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Update(ctx, "dsll_1", LoginLinkUpdate{Description: "A new description"})
	}, linkChecks(LoginLinkOpen, "A new description", map[string]check[*LoginLink]{
		"cleared.json": is(&LoginLink{ID: "dsll_1", Status: LoginLinkOpen, DataSourceID: "GAWA", DataSourceName: "Google Analytics 4"}),
	}))
}

func TestGoldenLinksClose(t *testing.T) {
	confirmed := is(&LoginLink{ID: "dsll_1"})
	checks := linkChecks(LoginLinkClosed, "Onboarding of Sample Store", map[string]check[*LoginLink]{
		"data_absent.json": confirmed,
		"empty.json":       confirmed,
		"result.json":      confirmed,
	})
	delete(checks, "data_null.json")
	goldens(t, "links.close", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Close(ctx, "dsll_1")
	}, checks)
}

func TestGoldenLinksList(t *testing.T) {
	second := LoginLink{
		ID: "dsll_2", Status: LoginLinkOpen, DataSourceID: "FA", DataSourceName: "Facebook Ads",
		RedirectURL: "https://app.example.com/connected?tenant=7", RedirectVerifier: NewSensitive("example-verifier-0002"),
		UserID: "usr_1", UserEmail: blake, LoginURL: NewSensitive("https://login.example.com/link/example-login-url-0002"),
		CreatedTime: stamp("2026-04-06T12:00:00+00:00"), ExpiryTime: stamp("2026-04-06T22:00:00+00:00"),
	}
	third := LoginLink{
		ID: "dsll_3", Status: LoginLinkExpired, Description: "Never used", DataSourceID: "AW", DataSourceName: "Google Ads",
		RedirectVerifier: NewSensitive("example-verifier-0003"),
		UserID:           "usr_2", UserEmail: casey, LoginURL: NewSensitive("https://login.example.com/link/example-login-url-0003"),
		CreatedTime: stamp("2021-10-22T11:47:16+00:00"), ExpiryTime: stamp("2021-10-23T11:47:16+00:00"),
	}
	paused := sampleLoginLink()
	paused.Status, paused.RequireUsername = "PAUSED", Sensitive{}
	paused.LoginID, paused.LoginTime, paused.LoginUsername = "", Timestamp{}, Sensitive{}
	goldens(t, "links.list", func(ctx context.Context, c *Client) ([]LoginLink, error) {
		return c.Links.List(ctx)
	}, map[string]check[[]LoginLink]{
		"sample.json":      is([]LoginLink{sampleLoginLink(), second, third}),
		"absent.json":      is([]LoginLink{{ID: "dsll_1"}, {}}),
		"null.json":        is([]LoginLink{{ID: "dsll_1", Status: LoginLinkOpen, DataSourceID: "GAWA", UserID: "usr_1"}, {ID: "dsll_2"}}),
		"data_absent.json": noItems[LoginLink],
		"data_null.json":   noItems[LoginLink],
		"timestamps.json": func(t *testing.T, got []LoginLink, err error) {
			require.NoError(t, err)
			require.Len(t, got, len(notations))
			for _, l := range got {
				require.Contains(t, notations, l.ID)
				sameStamps(t, notations[l.ID], l.CreatedTime, l.ExpiryTime, l.LoginTime)
			}
		},
		"unknown.json": is([]LoginLink{
			paused,
			{ID: "dsll_2", Status: LoginLinkOpen, Description: "7", DataSourceID: "FA", UserID: "1", LoginUsername: blakes},
			{ID: "dsll_3", Status: LoginLinkExpired, Description: "Never used", DataSourceID: "AW", DataSourceName: "Google Ads"},
		}),
	})
}

const bankLink = "mk_example_link_0001"

// synced is the timestamp that most of MoneyKit's samples have: without a zone.
var synced = stamp("2023-02-16T09:14:11", "2023-02-16T09:14:11Z")

// chase is the link of the samples of identity.get and auth.numbers.
func chase() BankLink {
	return BankLink{
		ID:                bankLink,
		InstitutionID:     "chase",
		InstitutionName:   "Chase",
		InstitutionAvatar: "iVBORw0KGgoAAAANSUhEUg==",
		State:             BankLinkConnected,
		LastSyncedAt:      synced,
		Provider:          ProviderMoneyKit,
		LinkTags:          []string{"customer:1001"},
		Tags:              []string{"customer:1001"},
		Webhook:           "https://app.example.com/hooks/moneykit",
		Products: map[Product]ProductStatus{
			ProductAccounts:       {RefreshedAt: synced, LastAttemptedAt: synced},
			ProductAccountNumbers: refreshed("2023-02-16T09:15:02"),
			ProductIdentity:       refreshed("2023-02-16T09:16:03"),
		},
		AvailableProducts: []Product{ProductAccounts, ProductAccountNumbers, ProductIdentity},
	}
}

// refreshed is a product whose only attempt, at a time without a zone, was a success.
func refreshed(at string) ProductStatus {
	return ProductStatus{RefreshedAt: stamp(at, at+"Z"), LastAttemptedAt: stamp(at, at+"Z")}
}

// plainLink is the link of the shorter files.
func plainLink(change ...func(*BankLink)) BankLink {
	l := BankLink{ID: bankLink, InstitutionID: "chase", InstitutionName: "Chase", State: BankLinkConnected, Products: map[Product]ProductStatus{}}
	for _, f := range change {
		f(&l)
	}
	return l
}

func sampleLink() BankLink {
	link := chase()
	link.ErrorCode = BankLinkErrorInstitution
	link.LinkTags = []string{"customer:1001", "cohort:sample"}
	status := func(at string, code ProductErrorCode, message, unavailable string) ProductStatus {
		s := refreshed(at)
		s.ErrorCode, s.ErrorMessage, s.Unavailable = code, message, unavailable
		return s
	}
	identity := status("2023-02-16T09:16:03", ProductErrorRateLimit, "The institution limited the requests.", "Identity is offered only at certain hours.")
	identity.LastAttemptedAt = stamp("2023-02-17T10:00:00", "2023-02-17T10:00:00Z")
	transactions := status("2023-02-16T09:17:04", ProductErrorInstitution, "The institution answered with an error.", "Transactions are not available now.")
	transactions.HasHistory = true
	link.Products = map[Product]ProductStatus{
		ProductAccounts:       status("2023-02-16T09:14:11", ProductErrorTimeout, "The institution took too long to answer.", "The institution is under maintenance."),
		ProductAccountNumbers: status("2023-02-16T09:15:02", ProductErrorNotSupported, "The institution does not offer account numbers.", "Account numbers are not offered."),
		ProductIdentity:       identity,
		ProductTransactions:   transactions,
		ProductInvestments:    status("2023-02-16T09:18:05", ProductErrorNoAccounts, "There is no investment account.", "There is no investment account."),
		ProductEnrichment:     status("2023-02-16T09:19:06", ProductErrorUnknown, "Something went wrong.", "Enrichment is not available now."),
	}
	return link
}

// bankLinkChecks are those of the two operations that answer a link.
func bankLinkChecks(more map[string]check[*BankLink]) map[string]check[*BankLink] {
	sample := sampleLink()
	absent, nulls := plainLink(), plainLink(func(l *BankLink) { l.Products = nil })
	null := plainLink(func(l *BankLink) {
		l.InstitutionName = ""
		l.Products = map[Product]ProductStatus{ProductIdentity: {}, ProductTransactions: {}} // the others were null: not granted
	})
	timestamps := plainLink(func(l *BankLink) {
		l.LastSyncedAt = synced
		l.Products = map[Product]ProductStatus{
			ProductAccounts: {RefreshedAt: synced, LastAttemptedAt: stamp("2021-08-12T15:23:00Z")},
			ProductAccountNumbers: {
				RefreshedAt:     stamp("2023-02-16T09:14:11.123456+00:00"),
				LastAttemptedAt: stamp("2023-02-16T04:14:11.123456-05:00"),
			},
			ProductIdentity: {
				RefreshedAt:     stamp("2023-02-16T09:14:11.123456", "2023-02-16T09:14:11.123456Z"),
				LastAttemptedAt: stamp("2023-02-16T09:14:11+0000", "2023-02-16T09:14:11Z"),
			},
			ProductTransactions: {
				RefreshedAt:     stamp("2023-02-16T04:14:11-0500", "2023-02-16T09:14:11Z"),
				LastAttemptedAt: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
				HasHistory:      true,
			},
			ProductInvestments: {LastAttemptedAt: stamp("2023-02-16 09:14:11", "2023-02-16T09:14:11Z")},
			ProductEnrichment:  {},
		}
	})
	odd := plainLink(func(l *BankLink) {
		l.LastSyncedAt = unreadable("yesterday")
		l.Products = map[Product]ProductStatus{
			ProductAccounts:     {RefreshedAt: unreadable("0000-00-00 00:00:00"), LastAttemptedAt: unreadable("0000-00-00T00:00:00")},
			ProductIdentity:     {RefreshedAt: unreadable("1676538851"), LastAttemptedAt: unreadable("1676538851.123456")},
			ProductTransactions: {RefreshedAt: unreadable("2023-02-30T09:14:11"), LastAttemptedAt: unreadable("n/a")},
		}
	})
	unknown := plainLink(func(l *BankLink) {
		l.State, l.ErrorCode, l.Provider = "hibernating", "spaceship_error", "acme"
		l.LinkTags = []string{"customer:1001", "7", "cohort:sample"}
		identity := ProductStatus{
			RefreshedAt:     stamp("2023-02-16T09:16:03", "2023-02-16T09:16:03Z"),
			LastAttemptedAt: stamp("2023-02-17T10:00:00", "2023-02-17T10:00:00Z"),
			ErrorCode:       "solar_flare",
		}
		l.Products = map[Product]ProductStatus{
			ProductIdentity:     identity,
			ProductTransactions: {ErrorCode: "429", ErrorMessage: "429", HasHistory: true},
			"crypto":            refreshed("2023-02-16T09:18:05"),
			"x_object":          {},
		}
		l.AvailableProducts = []Product{ProductIdentity, "crypto", "7", ProductAccountNumbers}
	})
	all := map[string]check[*BankLink]{
		"sample.json":                is(&sample),
		"absent.json":                is(&absent),
		"null.json":                  is(&null),
		"null_products.json":         is(&nulls),
		"timestamps.json":            is(&timestamps),
		"timestamps_unreadable.json": is(&odd),
		"unknown.json":               is(&unknown),
	}
	maps.Copy(all, more)
	return all
}

func TestGoldenIdentityLink(t *testing.T) {
	expired := func(at string) ProductStatus {
		return ProductStatus{
			RefreshedAt: stamp(at, at+"Z"), LastAttemptedAt: stamp("2023-02-18T12:00:00", "2023-02-18T12:00:00Z"),
			ErrorCode: ProductErrorAuthExpired, ErrorMessage: "The user has to sign in again.",
		}
	}
	bad := plainLink(func(l *BankLink) {
		l.State, l.ErrorCode, l.LastSyncedAt, l.Provider, l.LinkTags = BankLinkInError, BankLinkErrorAuthExpired, synced, ProviderMoneyKit, []string{}
		l.Products = map[Product]ProductStatus{
			ProductAccounts: expired("2023-02-16T09:14:11"), ProductIdentity: expired("2023-02-16T09:16:03"),
		}
		l.AvailableProducts = []Product{ProductAccounts, ProductIdentity}
	})
	deleted := plainLink(func(l *BankLink) { l.State, l.AvailableProducts = BankLinkDeleted, []Product{} })
	old := plainLink(func(l *BankLink) { l.ID, l.Tags = "f2f5b4c0-0000-4000-8000-000000000001", []string{"customer:1001"} })
	goldens(t, "identity.link", func(ctx context.Context, c *Client) (*BankLink, error) {
		return c.Identity.Link(ctx, bankLink)
	}, bankLinkChecks(map[string]check[*BankLink]{
		"bad_state.json": is(&bad), // data, not an error
		"deleted.json":   is(&deleted),
		"old_tags.json":  is(&old),
	}))
}

func TestGoldenIdentityRefresh(t *testing.T) {
	sample := chase()
	identity, transactions := refreshed("2023-02-16T09:16:03"), refreshed("2023-02-16T09:17:04")
	identity.LastAttemptedAt = stamp("2023-02-18T12:00:00", "2023-02-18T12:00:00Z") // under way
	transactions.HasHistory = true
	sample.Products = map[Product]ProductStatus{
		ProductAccounts: refreshed("2023-02-16T09:14:11"), ProductIdentity: identity, ProductTransactions: transactions,
	}
	sample.AvailableProducts = []Product{ProductAccounts, ProductIdentity, ProductTransactions}
	goldens(t, "identity.refresh", func(ctx context.Context, c *Client) (*BankLink, error) {
		return c.Identity.Refresh(ctx, bankLink, []Product{ProductIdentity})
	}, bankLinkChecks(map[string]check[*BankLink]{
		"sample.json": is(&sample),
		"empty.json":  is(&BankLink{ID: bankLink}),
	}))
}

func TestGoldenIdentityGet(t *testing.T) {
	names := func(all ...string) (names []Sensitive) {
		for _, n := range all {
			names = append(names, NewSensitive(n))
		}
		return names
	}
	springfield := Address{
		Street: NewSensitive("100 Example Street, Apt. 2"), City: "Springfield", Region: "IL",
		PostalCode: NewSensitive("01234"), Country: "US", Primary: true,
	}
	sample := &Identity{
		Link: chase(),
		Accounts: []BankAccountWithOwners{
			{
				BankAccount: BankAccount{
					ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking", Nickname: "Household", Mask: "0047",
					Balances: Balances{
						Currency: "USD", Available: "340.12", Current: "445.89", Limit: "500",
						BalanceDate: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
					},
					OriginalID: "original-0001",
				},
				Owners: []Owner{
					{
						Names: names("Avery Sample", "A. Sample"),
						Addresses: []Address{springfield, {
							Street: NewSensitive("7 Placeholder Lane"), City: "Shelbyville", Region: "IL",
							PostalCode: NewSensitive("04321"), Country: "US",
						}},
						PhoneNumbers: []PhoneNumber{
							{Number: NewSensitive("+12025550143"), Type: PhoneTypeMobile, Primary: true},
							{Number: NewSensitive("202-555-0199"), Type: PhoneTypeHome},
						},
						Emails: []Email{{Address: avery, Primary: true}, {Address: NewSensitive("avery.work@example.com")}},
					},
					{
						Names:        names("Blake Example"),
						Addresses:    []Address{springfield},
						PhoneNumbers: []PhoneNumber{{Number: NewSensitive("(202) 555-0110"), Type: PhoneTypeWork, Primary: true}},
						Emails:       []Email{{Address: blake, Primary: true}},
					},
				},
			},
			{
				BankAccount: BankAccount{
					ID: "acc_example_0002", Type: "liability.credit_card", Name: "Sample Rewards Card", Nickname: "Card", Mask: "X9B2",
					Balances:   Balances{Currency: "USD", Available: "4500", Current: "1200.50", Limit: "5700.50", BalanceDate: synced},
					OriginalID: "original-0002", Closed: true,
				},
				Owners: []Owner{{
					Names: names("Avery Sample"), Addresses: []Address{},
					PhoneNumbers: []PhoneNumber{{Number: NewSensitive("+12025550111"), Type: PhoneTypeOther, Primary: true}},
					Emails:       []Email{},
				}},
			},
		},
	}
	goldens(t, "identity.get", func(ctx context.Context, c *Client) (*Identity, error) {
		return c.Identity.Get(ctx, bankLink, IdentityQuery{})
	}, map[string]check[*Identity]{
		"sample.json": func(t *testing.T, got *Identity, err error) {
			is(sample)(t, got, err)
			owner := got.Accounts[0].Owners[0]
			require.Equal(t, "Avery Sample", owner.Names[0].Reveal())
			require.Equal(t, "100 Example Street, Apt. 2", owner.Addresses[0].Street.Reveal())
			require.Equal(t, "01234", owner.Addresses[0].PostalCode.Reveal())
			require.Equal(t, "+12025550143", owner.PhoneNumbers[0].Number.Reveal())
			require.Equal(t, "avery.sample@example.com", owner.Emails[0].Address.Reveal())
		},
		"absent.json": is(&Identity{Link: plainLink(), Accounts: []BankAccountWithOwners{
			{
				BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking"},
				Owners: []Owner{
					{Names: []Sensitive{}, Addresses: []Address{}, PhoneNumbers: []PhoneNumber{}, Emails: []Email{}},
					{
						Names: names("Avery Sample"), Addresses: []Address{{}},
						PhoneNumbers: []PhoneNumber{{Number: NewSensitive("+12025550143"), Type: PhoneTypeMobile}},
						Emails:       []Email{{Address: avery}},
					},
				},
			},
			{BankAccount: BankAccount{ID: "acc_example_0002"}},
		}}),
		"null.json": is(&Identity{
			Link: BankLink{ID: bankLink, InstitutionID: "chase", State: BankLinkConnected},
			Accounts: []BankAccountWithOwners{
				{
					BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking"},
					Owners: []Owner{{}, {
						Names: []Sensitive{}, Addresses: []Address{{}}, PhoneNumbers: []PhoneNumber{{}}, Emails: []Email{{}},
					}},
				},
				{BankAccount: BankAccount{ID: "acc_example_0002"}},
			},
		}),
		"null_lists.json": malformed[*Identity](""), // nothing of what was asked for
		"money.json": func(t *testing.T, got *Identity, err error) {
			require.NoError(t, err)
			want := map[string]Decimal{
				"decimal": "340.12", "integer": "500", "exponent": "1e-05", "large": "12345678901234567.89", "string": "1200.50",
				"null": "", "not_a_number": "", "minus_zero": "-0.00",
			}
			require.Len(t, got.Accounts, len(want))
			for _, a := range got.Accounts {
				require.Contains(t, want, a.ID)
				for _, d := range []Decimal{a.Balances.Available, a.Balances.Current, a.Balances.Limit} {
					require.Equal(t, want[a.ID], d, a.ID)
				}
			}
		},
		"timestamps.json": func(t *testing.T, got *Identity, err error) {
			require.NoError(t, err)
			require.Len(t, got.Accounts, len(bankNotations))
			for _, a := range got.Accounts {
				require.Contains(t, bankNotations, a.ID)
				sameStamps(t, bankNotations[a.ID], a.Balances.BalanceDate)
				require.Equal(t, []Owner{}, a.Owners)
			}
			require.Equal(t, notedLink(), got.Link)
		},
		"unknown.json": is(&Identity{
			Link: plainLink(func(l *BankLink) {
				l.State, l.ErrorCode, l.Provider, l.LinkTags = "hibernating", "spaceship_error", "acme", []string{"customer:1001", "7"}
				l.Products = map[Product]ProductStatus{
					ProductIdentity: {RefreshedAt: stamp("2023-02-16T09:16:03", "2023-02-16T09:16:03Z"), ErrorCode: "solar_flare"},
					"crypto":        {RefreshedAt: stamp("2023-02-16T09:18:05", "2023-02-16T09:18:05Z")},
					"x_object":      {},
				}
				l.AvailableProducts = []Product{ProductIdentity, "crypto", "7"}
			}),
			Accounts: []BankAccountWithOwners{
				{
					BankAccount: BankAccount{
						ID: "acc_example_0001", Type: "depository.spaceship", Name: "Premier Checking", Nickname: "7", Mask: "47",
						Balances: Balances{Currency: "USD", Available: "340.12"}, OriginalID: "1001",
					},
					Owners: []Owner{
						{
							Names: names("Avery Sample", "7", "A. Sample"),
							Addresses: []Address{
								{City: "Springfield", Country: "US", PostalCode: NewSensitive("62701"), Primary: true},
								{City: "Shelbyville", Country: "US"},
							},
							PhoneNumbers: []PhoneNumber{
								{Number: NewSensitive("+12025550143"), Type: "satellite", Primary: true},
								{Number: NewSensitive("2025550199")},
							},
							Emails: []Email{{Address: avery, Primary: true}, {}},
						},
						{},
					},
				},
				{BankAccount: BankAccount{ID: "1002"}},
				{
					BankAccount: BankAccount{
						ID: "acc_example_0003", Type: "depository.savings", Name: "Sample Savings",
						Balances: Balances{Currency: "USD", Available: "500", Current: "500", BalanceDate: stamp("2023-02-16", "2023-02-16T00:00:00Z")},
					},
					Owners: []Owner{},
				},
			},
		}),
	})
}

// notedLink is the link of the timestamps of identity.get and auth.numbers.
func notedLink() BankLink {
	return plainLink(func(l *BankLink) {
		l.LastSyncedAt = synced
		l.Products = map[Product]ProductStatus{
			ProductAccounts: {RefreshedAt: synced, LastAttemptedAt: stamp("2021-08-12T15:23:00Z")},
			ProductAccountNumbers: {
				RefreshedAt:     stamp("2023-02-16T09:14:11.123456+00:00"),
				LastAttemptedAt: stamp("2023-02-16T04:14:11.123456-05:00"),
			},
			ProductIdentity: {
				RefreshedAt:     stamp("2023-02-16T09:14:11+0000", "2023-02-16T09:14:11Z"),
				LastAttemptedAt: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
			},
			ProductTransactions: {LastAttemptedAt: unreadable("0000-00-00 00:00:00")},
		}
	})
}

// The numbers of the samples.
var (
	ach  = ACHNumber{AccountNumber: NewSensitive("000011112222"), RoutingNumber: "111222333", WireRoutingNumber: "011222333"}
	eft  = EFTNumber{AccountNumber: NewSensitive("0011223"), InstitutionNumber: "021", BranchNumber: "01140"}
	bacs = BACSNumber{AccountNumber: NewSensitive("55555555"), SortCode: "201555"}
	gb   = InternationalNumber{IBAN: NewSensitive("GB33BUKB20201555555555"), BIC: "BUKBGB22XXX"}
	de   = InternationalNumber{IBAN: NewSensitive("DE89370400440532013000"), BIC: "COBADEFFXXX"}
)

// of puts an account id on a number, as /auth/get has it.
func of[N ACHNumber | EFTNumber | BACSNumber | InternationalNumber](id string, n N) N {
	switch n := any(&n).(type) {
	case *ACHNumber:
		n.AccountID = id
	case *EFTNumber:
		n.AccountID = id
	case *BACSNumber:
		n.AccountID = id
	case *InternationalNumber:
		n.AccountID = id
	}
	return n
}

func TestGoldenAuthGet(t *testing.T) {
	const (
		one, two  = "acc_example_0001", "acc_example_0002"
		plaid     = "exampleAccountId0000000000000000000001"
		item      = "mk_example_item_0001"
		relogin   = "the login details of this item have changed and a user login is required to update this information"
		something = "<string>"
	)
	premier := PlaidAccount{
		ID: one, Balances: Balances{Currency: "USD", Available: "340.12", Current: "445.89", Limit: "500"},
		Mask: "0047", Name: "Premier Checking", Type: AccountTypeDepository, Subtype: "checking",
	}
	inError := premier
	inError.Balances.Limit = ""
	goldens(t, "auth.get", func(ctx context.Context, c *Client) (*PlaidNumbers, error) {
		return c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret("access-test-0001")})
	}, map[string]check[*PlaidNumbers]{
		"sample.json": func(t *testing.T, got *PlaidNumbers, err error) {
			is(&PlaidNumbers{
				Accounts: []PlaidAccount{premier, {
					ID: two, Balances: Balances{Currency: "GBP", Available: "1000", Current: "1200.50", Limit: "2000.00"},
					Mask: "X9B2", Name: "Sample Savings", Type: AccountTypeDepository, Subtype: "savings",
				}},
				Numbers: NumbersByScheme{
					ACH: []ACHNumber{of(one, ach)}, EFT: []EFTNumber{of(one, eft)}, BACS: []BACSNumber{of(two, bacs)},
					International: []InternationalNumber{of(one, de), of(two, gb)},
				},
				Item: Item{
					ID: item, InstitutionID: "chase", Webhook: "https://app.example.com/hooks/plaid",
					Error: ItemError{
						Type: PlaidErrorTypeItemError, Code: CodeItemLoginRequired, Message: relogin,
						DisplayMessage: "Please sign in to your bank again.", RequestID: "example-req-plaid-0001", Status: 400,
						DocumentationURL: "https://docs.example.com/errors/item/#item_login_required",
						SuggestedAction:  "Send the user through the update flow.",
					},
					AvailableProducts: []PlaidProduct{PlaidProductBalance, PlaidProductIdentity},
					BilledProducts:    []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
					Products:          []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
					ConsentedProducts: []PlaidProduct{PlaidProductAuth, PlaidProductBalance, PlaidProductIdentity, PlaidProductTransactions},
				},
				RequestID: "example-req-auth-get-0001",
			})(t, got, err)
			require.Equal(t, "000011112222", got.Numbers.ACH[0].AccountNumber.Reveal())
			require.Equal(t, "0011223", got.Numbers.EFT[0].AccountNumber.Reveal())
			require.Equal(t, "55555555", got.Numbers.BACS[0].AccountNumber.Reveal())
			require.Equal(t, "DE89370400440532013000", got.Numbers.International[0].IBAN.Reveal())
		},
		"absent.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{{ID: one, Name: "Premier Checking", Type: AccountTypeDepository}, {ID: two}},
			Numbers:  NumbersByScheme{ACH: []ACHNumber{{AccountID: one, AccountNumber: NewSensitive("000011112222"), RoutingNumber: "111222333"}}},
			Item:     Item{ID: item},
		}),
		"absent_all.json": is(&PlaidNumbers{Accounts: []PlaidAccount{}}),
		"error_on_200.json": func(t *testing.T, got *PlaidNumbers, err error) {
			require.Nil(t, got)
			require.ErrorIs(t, err, ErrBankLinkState)
			e := asError(t, err)
			require.Equal(t, PlaidErrorTypeItemError, e.PlaidType)
			require.Equal(t, CodeProductNotReady, e.Code)
			require.Equal(t, "the requested product is not yet ready. please provide a webhook or try the request again later", e.Message)
			require.Equal(t, "example-req-auth-get-0003", e.RequestID)
			require.Equal(t, "https://docs.example.com/errors/item/#product_not_ready", e.DocumentationURL)
			require.Equal(t, 200, e.StatusCode)
		},
		"item_error.json": is(&PlaidNumbers{ // data, not an error
			Accounts: []PlaidAccount{inError},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{AccountID: one, AccountNumber: NewSensitive("000011112222"), RoutingNumber: "111222333"}},
				EFT: []EFTNumber{}, BACS: []BACSNumber{}, International: []InternationalNumber{},
			},
			Item: Item{
				ID: item, InstitutionID: "chase",
				Error:             ItemError{Type: PlaidErrorTypeItemError, Code: CodeItemLoginRequired, Message: relogin, Status: 400},
				AvailableProducts: []PlaidProduct{PlaidProductBalance}, BilledProducts: []PlaidProduct{PlaidProductAuth},
			},
			RequestID: "example-req-auth-get-0004",
		}),
		"null.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{{ID: one, Type: AccountTypeDepository}, {ID: two}},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{AccountID: one}}, EFT: []EFTNumber{{AccountID: one}}, BACS: []BACSNumber{{AccountID: one}},
				International: []InternationalNumber{{AccountID: one}},
			},
			Item: Item{ID: item},
		}),
		"null_error_members.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{},
			Item:     Item{ID: item, Error: ItemError{Type: PlaidErrorTypeItemError, Code: CodeItemLoginRequired}},
		}),
		"null_objects.json": is(&PlaidNumbers{Accounts: []PlaidAccount{{ID: one, Name: "Premier Checking", Type: AccountTypeDepository}}}),
		"placeholder_sample.json": is(&PlaidNumbers{ // as published: an object stands where the subtype should
			Accounts: []PlaidAccount{{
				ID: something, Balances: Balances{Currency: something, Available: "123", Current: "123", Limit: "123"},
				Mask: something, Name: something, Type: something,
			}},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{
					AccountID: something, AccountNumber: NewSensitive(something), RoutingNumber: something, WireRoutingNumber: something,
				}},
				EFT: []EFTNumber{{
					AccountID: something, AccountNumber: NewSensitive(something), InstitutionNumber: something, BranchNumber: something,
				}},
				BACS:          []BACSNumber{{AccountID: something, AccountNumber: NewSensitive(something), SortCode: something}},
				International: []InternationalNumber{{AccountID: something, IBAN: NewSensitive(something), BIC: something}},
			},
			Item: Item{
				ID: something, InstitutionID: something, Webhook: something,
				Error: ItemError{
					Type: something, Code: something, Message: something, DisplayMessage: something, RequestID: something, Status: 123,
					DocumentationURL: something, SuggestedAction: something,
				},
				AvailableProducts: []PlaidProduct{something}, BilledProducts: []PlaidProduct{something},
				Products: []PlaidProduct{something}, ConsentedProducts: []PlaidProduct{something},
			},
			RequestID: something,
		}),
		"plaid_sample.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{
				{
					ID: plaid, Balances: Balances{Currency: "USD", Available: "100", Current: "110"}, Mask: "9606",
					Name: "Sample Checking", OfficialName: "Sample Gold Standard 0% Interest Checking",
					Type: AccountTypeDepository, Subtype: "checking",
					PersistentAccountID: "example-persistent-account-id-0001", VerificationStatus: "automatically_verified",
				},
				{
					ID:       "exampleAccountId0000000000000000000002",
					Balances: Balances{Current: "23631.9805"}, Name: "Sample 401k", Type: AccountTypeInvestment, Subtype: "401k",
				},
			},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{of(plaid, ach)}, EFT: []EFTNumber{of(plaid, eft)}, BACS: []BACSNumber{of(plaid, bacs)},
				International: []InternationalNumber{of(plaid, gb)},
			},
			Item: Item{
				ID: "exampleItemId00000000000000000000000001", InstitutionID: "ins_example_1", Webhook: "https://app.example.com/hooks/plaid",
				AvailableProducts: []PlaidProduct{PlaidProductBalance, PlaidProductIdentity, "investments"},
				BilledProducts:    []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
				Products:          []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
				ConsentedProducts: []PlaidProduct{PlaidProductAuth, PlaidProductIdentity},
			},
			RequestID: "example-req-auth-get-0002",
		}),
		"unknown.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{
				{
					ID: one, Balances: Balances{Currency: "840", Available: "340.12"}, Mask: "47", Name: "Premier Checking",
					Type: "depository.spaceship",
				},
				{ID: "1002"},
				{
					ID: "acc_example_0003", Balances: Balances{Currency: "USD", Available: "500", Current: "500"}, Mask: "0099",
					Name: "Sample Savings", Type: AccountTypeDepository, Subtype: "moon savings",
				},
			},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{
					{AccountID: one, AccountNumber: NewSensitive("000011112222"), RoutingNumber: "111222333"},
					{AccountID: "1002", AccountNumber: NewSensitive("11112222")},
				},
				EFT:           []EFTNumber{of(one, eft)},
				International: []InternationalNumber{{AccountID: "acc_example_0003", IBAN: de.IBAN}},
			},
			Item: Item{
				ID: item, InstitutionID: "7",
				AvailableProducts: []PlaidProduct{PlaidProductBalance, "crypto", PlaidProductIdentity},
				BilledProducts:    []PlaidProduct{PlaidProductAuth, "7"},
			},
			RequestID: "1001",
		}),
	})
}

func TestGoldenAuthNumbers(t *testing.T) {
	none := NumbersByScheme{ACH: []ACHNumber{}, EFT: []EFTNumber{}, BACS: []BACSNumber{}, International: []InternationalNumber{}}
	savings, checking := none, none
	savings.BACS, savings.International = []BACSNumber{bacs}, []InternationalNumber{gb}
	checking.ACH, checking.EFT, checking.International = []ACHNumber{ach}, []EFTNumber{eft}, []InternationalNumber{de}
	goldens(t, "auth.numbers", func(ctx context.Context, c *Client) (*BankNumbers, error) {
		return c.Auth.Numbers(ctx, bankLink)
	}, map[string]check[*BankNumbers]{
		"sample.json": is(&BankNumbers{Link: chase(), Accounts: []BankAccountWithNumbers{
			{
				BankAccount: BankAccount{
					ID: "acc_example_0002", Type: "depository.savings", Name: "Sample Savings", Nickname: "Rainy days", Mask: "X9B2",
					Balances: Balances{
						Currency: "GBP", Available: "500", Current: "500", Limit: "1000.00",
						BalanceDate: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
					},
					OriginalID: "original-0002",
				},
				Numbers: savings,
			},
			{
				BankAccount: BankAccount{
					ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking", Nickname: "Household", Mask: "0047",
					Balances:   Balances{Currency: "USD", Available: "340.12", Current: "445.89", Limit: "500", BalanceDate: synced},
					OriginalID: "original-0001",
				},
				Numbers: checking,
			},
		}}),
		"absent.json": is(&BankNumbers{Link: plainLink(), Accounts: []BankAccountWithNumbers{
			{
				BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking"},
				Numbers: NumbersByScheme{
					ACH:           []ACHNumber{{AccountNumber: ach.AccountNumber, RoutingNumber: "111222333"}},
					International: []InternationalNumber{{IBAN: de.IBAN}},
				},
			},
			{BankAccount: BankAccount{ID: "acc_example_0002", Type: "depository.savings", Name: "Sample Savings"}},
			{BankAccount: BankAccount{ID: "acc_example_0003"}},
		}}),
		"null.json": is(&BankNumbers{
			Link: BankLink{ID: bankLink, InstitutionID: "chase", State: BankLinkConnected},
			Accounts: []BankAccountWithNumbers{
				{
					BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking"},
					Numbers:     NumbersByScheme{ACH: []ACHNumber{{}}, EFT: []EFTNumber{{}}, BACS: []BACSNumber{{}}, International: []InternationalNumber{{}}},
				},
				{BankAccount: BankAccount{ID: "acc_example_0002"}},
				{BankAccount: BankAccount{ID: "acc_example_0003"}},
			},
		}),
		"null_lists.json": malformed[*BankNumbers](""), // nothing of what was asked for
		"timestamps.json": func(t *testing.T, got *BankNumbers, err error) {
			require.NoError(t, err)
			require.Len(t, got.Accounts, len(bankNotations))
			for _, a := range got.Accounts {
				require.Contains(t, bankNotations, a.ID)
				sameStamps(t, bankNotations[a.ID], a.Balances.BalanceDate)
			}
			require.Equal(t, notedLink(), got.Link)
		},
		"unknown.json": is(&BankNumbers{
			Link: plainLink(func(l *BankLink) {
				l.State, l.ErrorCode, l.Provider, l.LinkTags = "hibernating", "spaceship_error", "acme", []string{"customer:1001", "7"}
				l.Products = map[Product]ProductStatus{
					ProductAccountNumbers: {RefreshedAt: stamp("2023-02-16T09:15:02", "2023-02-16T09:15:02Z"), ErrorCode: "solar_flare"},
					"crypto":              {RefreshedAt: stamp("2023-02-16T09:18:05", "2023-02-16T09:18:05Z")},
					"x_object":            {},
				}
				l.AvailableProducts = []Product{ProductIdentity, "crypto"}
			}),
			Accounts: []BankAccountWithNumbers{
				{
					BankAccount: BankAccount{
						ID: "acc_example_0001", Type: "depository.spaceship", Name: "Premier Checking", Nickname: "7", Mask: "47",
						Balances: Balances{Currency: "USD", Available: "340.12"}, OriginalID: "1001",
					},
					Numbers: NumbersByScheme{
						ACH:           []ACHNumber{{AccountNumber: ach.AccountNumber, RoutingNumber: "111222333"}},
						EFT:           []EFTNumber{{AccountNumber: eft.AccountNumber, InstitutionNumber: "021"}},
						BACS:          []BACSNumber{bacs},
						International: []InternationalNumber{{IBAN: gb.IBAN}},
					},
				},
				{BankAccount: BankAccount{ID: "1002"}},
				{BankAccount: BankAccount{ID: "acc_example_0003", Type: "depository.savings", Name: "Sample Savings"}},
				{
					BankAccount: BankAccount{
						ID: "acc_example_0004", Type: "depository.checking", Name: "Sample Checking",
						Balances: Balances{Currency: "EUR", Available: "500", Current: "500"},
					},
					Numbers: NumbersByScheme{International: []InternationalNumber{de}},
				},
			},
		}),
	})
}

func TestGoldenAuthToken(t *testing.T) {
	for file, seconds := range map[string]int64{
		"sample.json": 3600, "float.json": 3600, "unknown.json": 3600, "absent.json": 0, "null.json": 0,
	} {
		t.Run(file, func(t *testing.T) {
			c, m := inMemory(t, func(r *http.Request) *http.Response {
				if r.URL.Path == "/auth/token" {
					return reply(201, golden(t, "auth.token/"+file))
				}
				return reply(200, golden(t, "identity.link/sample.json"))
			}, WithMoneyKit(ClientCredentials(testID, testSecret)))
			for range 2 {
				_, err := c.Identity.Link(t.Context(), bankLink)
				require.NoError(t, err)
			}
			require.Len(t, m.requests, 3, "one exchange and two calls")
			for _, r := range m.requests[1:] {
				require.Equal(t, "Bearer example-access-token-0001", r.Header.Get("Authorization"))
			}
			token, err := wire.Whole(wire.Document([]byte(golden(t, "auth.token/"+file)), 0), readToken)
			require.NoError(t, err)
			require.Equal(t, "example-access-token-0001", token.Token.Reveal())
			require.Equal(t, seconds, token.ExpiresIn)
		})
	}
}

// What becomes of texts that are no valid UTF-8, and of escapes that are none, encoding/json says.
func TestInvalidUTF8(t *testing.T) {
	for _, raw := range []string{
		"a\xffb", "\xff\xff\xff", "tail\xe2\x82", "\xed\xa0\x80 surrogate", "\xc0\xaf overlong", "\xf5\x80\x80\x80", "\xe2\x28\xa1",
		`\ud83d`, `\ud83d\ude00`, `\ude00\ud83d`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, "ok \xf0\x9f\x98\x80 \xf0\x9f",
	} {
		t.Run(fmt.Sprintf("%q", raw), func(t *testing.T) {
			var want string
			require.NoError(t, json.Unmarshal([]byte(`"`+raw+`"`), &want))
			c := replying(t, 200, `{"data":{"link_id":"dsll_1","description":"`+raw+`","user_email":"`+raw+`"}}`)
			link, err := c.Links.Get(t.Context(), "dsll_1")
			require.NoError(t, err)
			require.Equal(t, want, link.Description)
			require.Equal(t, want, link.UserEmail.Reveal())
		})
	}
}

// A byte order mark is passed over in every kind of answer, however small the pieces are in which it arrives.
func TestByteOrderMark(t *testing.T) {
	const bom = "\xef\xbb\xbf"
	in := func(status int, file string, slow bool) *Client {
		c, _ := inMemory(t, func(*http.Request) *http.Response {
			r := reply(status, bom+golden(t, file))
			if slow {
				r.Body = io.NopCloser(iotest.OneByteReader(r.Body))
			}
			return r
		})
		return c
	}
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("slow=%v", slow), func(t *testing.T) {
			link, err := in(200, "links.get/sample.json", slow).Links.Get(t.Context(), "dsll_1")
			require.NoError(t, err)
			require.Equal(t, "dsll_1", link.ID)

			_, err = in(403, "errors/supermetrics_envelope.json", slow).Links.Get(t.Context(), "dsll_1")
			require.Equal(t, CodeForbidden, asError(t, err).Code)
			require.Equal(t, "EXAMPLEREQ_error_0001", asError(t, err).RequestID)

			all, err := collect(t, in(200, "logins.query_accounts/sample.json", slow).Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
			require.NoError(t, err)
			require.Len(t, all, 3)
		})
	}
}

// A proxy may compress although the transport, which somebody else configured, did not ask for it and does not undo it.
func TestGzip(t *testing.T) {
	in := func(status int, body string) *Client {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write([]byte(body))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return replying(t, status, b.String(), "Content-Encoding", "gzip")
	}
	logins, err := in(200, golden(t, "logins.list/bom.json")).Logins.List(t.Context())
	require.NoError(t, err)
	require.Len(t, logins, 1)

	all, err := collect(t, in(200, golden(t, "logins.query_accounts/sample.json")).Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
	require.NoError(t, err)
	require.Len(t, all, 3)

	_, err = in(404, golden(t, "errors/supermetrics_flat.json")).Links.Get(t.Context(), "dsll_1")
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, CodeLinkNotFound, asError(t, err).Code)
}

// Some servers label even an answer without content as compressed. There is nothing in it to undo.
func TestGzipWithoutContent(t *testing.T) {
	for _, status := range []int{200, 202, 204} {
		c := replying(t, status, "", "Content-Encoding", "gzip")
		_, err := c.Links.Close(t.Context(), "dsll_1")
		require.NoError(t, err, "close %d", status)
		_, err = c.Logins.Revoke(t.Context(), "dsl_1")
		require.NoError(t, err, "revoke %d", status)
		_, err = c.Identity.Refresh(t.Context(), bankLink, []Product{ProductIdentity})
		require.NoError(t, err, "refresh %d", status)
		_, err = c.Links.Get(t.Context(), "dsll_1")
		require.ErrorIs(t, err, ErrMalformedResponse, "get %d", status)
	}
}

// last is the error that an iterator ends with.
func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, err = range seq {
		continue
	}
	return err
}

// Nothing, or something that is no JSON, is an answer for those alone who need none.
func TestBodiesThatAreNoAnswer(t *testing.T) {
	bodies := map[string]string{
		"empty": "", "white space": " \r\n\t ", "html": golden(t, "errors/html.html"), "scalar": "503", "null": "null", "array": "[]",
		"string": `"done"`, "truncated": `{"data":{"link_id":"dsll`, "two documents": `{"link_id":"a","accounts":[],"data":[]}{}`,
	}
	for operation, call := range calls {
		for name, body := range bodies {
			t.Run(operation+"/"+name, func(t *testing.T) {
				err := call(t.Context(), replying(t, 200, body, "X-Request-Id", "req-0001"))
				blank := name == "empty" || name == "white space"
				if operation == "links.close" && name != "truncated" || blank && rows[operation].Wordless {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, ErrMalformedResponse)
				e := asError(t, err)
				require.Equal(t, operationOf(operation), e.Operation)
				require.Equal(t, 200, e.StatusCode)
				require.Equal(t, "req-0001", e.RequestID)
				require.Equal(t, OutcomeUnknown, e.Outcome)
				require.Equal(t, 1, e.Attempts)
			})
		}
	}
}

// An object in which nothing stands that was asked for is no answer either: never a zero value without an error.
func TestEmptyObjects(t *testing.T) {
	for _, operation := range []string{"logins.get", "links.get", "links.create", "links.update"} {
		for _, body := range []string{`{}`, `{"data":{}}`, `{"data":{"result":true}}`, `{"data":[]}`, `{"data":[{}]}`, `{"data":"dsll_1"}`, `{"data":[{"link_id":"a","login_id":"a"},{"link_id":"b","login_id":"b"}]}`} {
			t.Run(operation+" "+body, func(t *testing.T) {
				require.ErrorIs(t, calls[operation](t.Context(), replying(t, 200, body)), ErrMalformedResponse)
			})
		}
	}
	// A link has an error_code too, but also an id: MoneyKit's native error is not a link.
	for _, operation := range []string{"identity.get", "identity.link", "identity.refresh", "auth.numbers"} {
		t.Run(operation+" native error", func(t *testing.T) {
			require.ErrorIs(t, calls[operation](t.Context(), replying(t, 200, golden(t, "errors/moneykit_native.json"))), ErrMalformedResponse)
		})
	}
	for _, operation := range []string{"identity.get", "identity.link", "auth.get", "auth.numbers"} {
		for _, body := range []string{`{}`, `{"link":{}}`, `{"accounts":null}`, `{"data":{}}`} {
			t.Run(operation+" "+body, func(t *testing.T) {
				require.ErrorIs(t, calls[operation](t.Context(), replying(t, 200, body)), ErrMalformedResponse)
			})
		}
	}
}
