package duolink

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// collect ranges over an iterator to its end. The error must be the last step, and without a value.
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
					want = append(want, LoginAccount{User: l.User, DisplayName: l.DisplayName, CacheTime: l.CacheTime,
						Account: a})
				}
			}
			got, err := collect(t, c.Logins.StreamAccounts(t.Context(), query))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// The API writes the accounts of a login last. If it does not, an account still comes with its
// whole login.
func TestStreamAccountsMemberOrder(t *testing.T) {
	const accounts, cached = `"accounts":[{"account_id":"1"},7,{"account_id":"2"}]`,
		`"cache_time":"2026-01-01T00:00:00Z"`
	const person = `"display_name":"Avery Sample","ds_user":"avery.sample@example.com"`
	login := LoginAccount{User: avery, DisplayName: NewSensitive("Avery Sample"),
		CacheTime: stamp("2026-01-01T00:00:00Z")}
	one, two := login, login
	one.ID, two.ID = "1", "2"
	for name, members := range map[string][]string{
		"first": {accounts, cached, person}, "in the middle": {person, accounts, cached},
		"last": {cached, person, accounts},
	} {
		t.Run(name, func(t *testing.T) {
			c := replying(t, 200, `{"data":[{`+strings.Join(members, ",")+`}]}`)
			got, err := collect(t, c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
			require.NoError(t, err)
			require.Equal(t, []LoginAccount{one, two}, got)
		})
	}
}

// A login without its cache_time is streamed as well, whatever the order of its members, and with
// any number of accounts. At most a thousand are kept.
func TestStreamAccountsWithoutCacheTime(t *testing.T) {
	const n = 20_000
	var accounts strings.Builder
	for i := range n {
		_, _ = fmt.Fprintf(&accounts, `,{"account_id":"%d","account_name":"An account with a name of its own"}`, i)
	}
	list := `"accounts":[` + accounts.String()[1:] + `]`
	for name, tc := range map[string]struct {
		login      string
		user, name bool // are known when the first account is yielded
	}{
		"all":                {`"ds_user":"a","display_name":"b","cache_time":null,` + list, true, true},
		"no cache time":      {`"ds_user":"a","display_name":"b",` + list, true, true},
		"no name":            {`"ds_user":"a","cache_time":null,` + list, true, false},
		"nothing":            {list, false, false},
		"the name at last":   {`"ds_user":"a",` + list + `,"display_name":"b"`, true, false},
		"everything at last": {list + `,"ds_user":"a","display_name":"b"`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.NewReader(`{"data":[{` + tc.login + `}]}`)
			whole := body.Len()
			m := &memory{answer: func(*http.Request) *http.Response {
				r := reply(200, "")
				r.Body, r.ContentLength = io.NopCloser(body), int64(whole)
				return r
			}}
			c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(&http.Client{Transport: m}),
				WithMaxResponseBytes(4<<10))
			require.NoError(t, err)
			seen := 0
			for a, err := range c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}) {
				require.NoError(t, err)
				if seen == 0 {
					require.Greater(t, body.Len(), whole/2, "most of the answer is not read yet")
				}
				require.Equal(t, fmt.Sprint(seen), a.ID)
				require.Equal(t, tc.user, a.User.Equal(NewSensitive("a")))
				require.Equal(t, tc.name, a.DisplayName.Equal(NewSensitive("b")))
				seen++
			}
			require.Equal(t, n, seen)
		})
	}
}

// A LoginAccount is an Account with its login, and can be used and stored like an Account.
func TestAStepIsAnAccount(t *testing.T) {
	step := LoginAccount{Account: Account{ID: "1", Name: "One"}, User: avery, CacheTime: stamp("2026-01-01T00:00:00Z")}
	require.Equal(t, "1", step.ID)
	stored, err := RevealJSON(step)
	require.NoError(t, err)
	require.JSONEq(t, `{"account_id":"1","name":"One","group":"","ds_user":"avery.sample@example.com",
		"display_name":null,
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

// A stream that breaks off yields the items before, and one error.
func TestStreamAccountsTruncated(t *testing.T) {
	whole := golden(t, "logins.query_accounts/sample.json")
	cut := strings.Index(whole, `"https://www.example.com/"`)
	got, err := collect(t,
		replying(t, 200, whole[:cut]).Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
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

func TestGoldenLoginsAccounts(t *testing.T) {
	page := func(from, to int) (accounts []Account) {
		for i := from; i <= to; i++ {
			accounts = append(accounts,
				Account{ID: fmt.Sprintf("account-%d", i), Name: fmt.Sprintf("Sample Account %d", i),
					Group: "Sample Group"})
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
		"absent": {files: []string{"absent.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}, {}}},
		"null": {
			files: []string{"null.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}, {ID: "act_1002"}},
		},
		"null page": {files: []string{"null_paginate.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}}},
		"null members": {
			files: []string{"null_paginate_members.json"}, asked: []string{""}, want: []Account{{ID: "1234567890"}},
		},
		"large ids": {files: []string{"large_ids.json"}, asked: []string{""}, want: largeIDs()},
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
			files: []string{"no_total.json", "no_total_empty.json"}, asked: []string{"", "offset=3"}, want: page(1, 3),
		},
		"an empty page": {page: PageOptions{Offset: 8}, files: []string{"page_empty.json"},
			asked: []string{"offset=8"}},
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

// The end of the pages is said by the total, or by a page that is empty or short. Anything else may
// leave accounts out, so it is an error after the accounts that came.
func TestTheEndOfPages(t *testing.T) {
	const full = `{"meta":{"paginate":{"limit":2,"total":%d}},"data":[{"account_id":"1"},{"account_id":"2"}]}`
	three, before := fmt.Sprintf(full, 3), `{"meta":{"paginate":{"total":3}},"data":`
	none := `{"meta":{"paginate":{"total":0}},"data":`
	page := func(items string) string { return `{"data":[` + items + `]}` }
	for name, tc := range map[string]struct {
		pages []string
		want  int
		fails bool
	}{
		"an empty list":                      {[]string{`{"data":[]}`}, 0, false},
		"a total of none":                    {[]string{none + `[]}`}, 0, false},
		"null and a total of none":           {[]string{none + `null}`}, 0, false},
		"null":                               {[]string{`{"data":null}`}, 0, true},
		"null before the total":              {[]string{three, before + `null}`}, 2, true},
		"an empty page before the total":     {[]string{three, before + `[]}`}, 2, true},
		"an empty page and no total at last": {[]string{three, `{"data":[]}`}, 2, false},
		"a page without data":                {[]string{three, `{}`}, 2, true},
		"a page that is no list":             {[]string{three, `{"data":"moved"}`}, 2, true},
		"a total that is too small":          {[]string{fmt.Sprintf(full, 1), page(`{"account_id":"3"}`)}, 3, false},
		"a total that is met":                {[]string{fmt.Sprintf(full, 2)}, 2, false},
		"items that are no accounts count":   {[]string{page(`{"account_id":"1"},null,7`)}, 1, false},
		"a page of something else":           {[]string{before + `[null,{}]}`}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c, m := inMemory(t, func(*http.Request) *http.Response {
				n++
				return reply(200, tc.pages[n-1])
			})
			got, err := collect(t, c.Logins.Accounts(t.Context(), "dsl_1", PageOptions{}))
			require.Len(t, got, tc.want)
			require.Len(t, m.requests, len(tc.pages))
			if tc.fails {
				require.ErrorIs(t, err, ErrMalformedResponse)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestAccountsRepeatedPage(t *testing.T) {
	for _, file := range []string{"no_total.json", "page1.json"} {
		t.Run(file, func(t *testing.T) {
			c, m := inMemory(t, func(*http.Request) *http.Response {
				return reply(200,
					golden(t, "logins.accounts/"+file))
			})
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

// last is the error at the end of an iterator.
func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, err = range seq {
		continue
	}
	return err
}
