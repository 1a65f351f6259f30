package proof

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// Answers that nobody means.

// Nesting that no answer has is an error, wherever it stands, and never the end of the program.
func TestDeepNesting(t *testing.T) {
	const depth = 100_000
	for name, deep := range map[string]string{
		"lists":              strings.Repeat("[", depth) + strings.Repeat("]", depth),
		"objects":            strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth),
		"lists, open":        strings.Repeat("[", depth),
		"objects, open":      strings.Repeat(`{"a":`, depth),
		"data":               strings.Repeat(`{"data":`, depth) + "1" + strings.Repeat("}", depth),
		"accounts":           strings.Repeat(`{"accounts":[`, depth) + strings.Repeat("]}", depth),
		"meta":               strings.Repeat(`{"meta":`, depth) + "1" + strings.Repeat("}", depth),
		"a million brackets": strings.Repeat("[", 1_000_000),
	} {
		if inShort() && name != "objects, open" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for place, body := range map[string]string{
				"top":             deep,
				"unknown member":  `{"x":` + deep + `}`,
				"data":            `{"data":` + deep + `}`,
				"data, in a list": `{"data":[` + deep + `]}`,
				"link":            `{"link":` + deep + `}`,
				"accounts":        `{"accounts":` + deep + `}`,
				"in an account":   `{"accounts":[{"account_id":"1","x":` + deep + `}]}`,
				"products":        `{"link_id":"1","products":{"identity":` + deep + `}}`,
				"in a stream":     `{"data":[{"accounts":[` + deep + `]}]}`, "meta": `{"meta":` + deep + `,"data":[]}`,
			} {
				for _, operation := range []string{"logins.query_accounts, streamed", "identity.get", "auth.get"} {
					err := operations.Named(operation).Call(t.Context(), replying(t, 200, body))
					require.ErrorIs(t, err, duolink.ErrMalformedResponse, "%s, %s", operation, place)
				}
				require.ErrorIs(
					t, operations.Named("links.get").Call(t.Context(), replying(t, 500, body)), duolink.ErrServer,
					place,
				)
			}
			require.Error(t, new(duolink.Timestamp).UnmarshalJSON([]byte(deep)))
			require.Error(t, new(duolink.Decimal).UnmarshalJSON([]byte(deep)))
			require.Error(t, new(duolink.Sensitive).UnmarshalJSON([]byte(deep)))
		})
	}
}

// However long a stream is, it takes no more memory than its largest item.
func TestStreamAccountsInBoundedMemory(t *testing.T) {
	millions := 10
	if inShort() {
		millions = 1
	}
	const login = `{"ds_user":"avery@example.com","display_name":"Avery Sample","cache_time":null,"accounts":[`
	for name, tc := range map[string]struct {
		body *repeated
		want int
	}{
		"accounts": {
			&repeated{head: `{"data":[` + login, piece: "{},", tail: "{}]}]}", n: millions*1_000_000 - 1},
			millions * 1_000_000,
		},
		"logins": {
			&repeated{head: `{"data":[`, piece: login + "]},", tail: login + "]}]}", n: millions*100_000 - 1}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := inMemory(t, func(*http.Request) *http.Response {
				r := reply(200, "")
				r.Body, r.ContentLength = tc.body, -1
				return r
			})
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			before, n := stats.HeapAlloc, 0
			for account, err := range c.Logins.StreamAccounts(t.Context(),
				duolink.AccountsQuery{DataSourceID: "GAWA"}) {
				if err != nil || account.Account != (duolink.Account{}) {
					t.Fatalf("%d: %v, %v", n, account, err)
				}
				if n++; n%1_000_000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&stats)
					require.Less(t, int64(stats.HeapAlloc)-int64(before), int64(8<<20))
				}
			}
			require.Equal(t, tc.want, n)
		})
	}
}

// tiny are members of an answer that take more memory than bytes, each with the operations that
// read it.
func tiny() map[string]*repeated {
	all := map[string]*repeated{}
	for name, piece := range map[string]string{
		"empty objects": "{},", "objects": `{"a":1},`, "longer objects": `{"ds_id":"a","account_id":"a","":0},`,
	} {
		for place, around := range map[string][2]string{
			"data":             {`{"data":[`, `{}]}`},
			"accounts":         {`{"accounts":[`, `{}]}`},
			"accounts of data": {`{"data":[{"accounts":[`, `{}]}]}`},
			"owners":           {`{"accounts":[{"owners":[`, `{}]}]}`},
			"numbers":          {`{"accounts":[],"numbers":{"ach":[`, `{}]}}`},
			"emails":           {`{"accounts":[{"owners":[{"email_addresses":[`, `{}]}]}]}`},
			"unknown":          {`{"x":[`, `{}]}`}, "an error": {`{"error":[`, `{}]}`},
		} {
			all[name+" in "+place] = &repeated{head: around[0], piece: piece, tail: around[1]}
		}
	}
	return all
}

// Millions of objects of three bytes each do not take gigabytes, in whatever an operation reads
// them.
func TestTinyObjects(t *testing.T) {
	if inShort() {
		t.Skip("a matter of memory, of which the race detector takes its own")
	}
	const limit = int64(1 << 20)
	bodies, refused, most := 0, 0, int64(0)
	for name, body := range tiny() {
		for _, op := range operations.All {
			t.Run(name+"/"+op.Name, func(t *testing.T) {
				b := *body
				b.n = (int(limit) - 100) / len(b.piece)
				c := fromMemory(
					t, op, func(*http.Request) *http.Response { return unlimited(200, &b) },
					duolink.WithMaxResponseBytes(limit),
				)
				var err error
				took := allocated(func() { err = op.Call(t.Context(), c) })
				if op.Streamed() { // of which nothing is kept
					return
				}
				require.Less(t, took, 48*limit)
				bodies, most = bodies+1, max(most, took)
				if errors.Is(err, duolink.ErrResponseTooLarge) {
					refused++
				}
			})
		}
	}
	require.NotZero(t, refused)
	t.Logf(
		"tiny objects: %d answers full of them, %d refused, at most %d times the limit allocated", bodies, refused,
		most/limit,
	)
}

// A number, or a text, as long as an answer may be is nothing but its bytes.
func TestHugeValues(t *testing.T) {
	const limit = 128 << 20
	size := 100 << 20
	if inShort() {
		size = 1 << 20
	}
	digits := strings.Repeat("7", 1<<20)
	for name, tc := range map[string]struct{ operation, head, tail string }{
		"timestamp":      {"logins.get", `{"data":{"login_id":"dsl_1","auth_time":`, `}}`},
		"text":           {"logins.get", `{"data":{"login_id":`, `}}`},
		"flag":           {"logins.get", `{"data":{"login_id":"dsl_1","is_shared":`, `}}`},
		"integer":        {"logins.query_accounts", `{"data":[],"meta":{"query":{"cache_minutes":`, `}}}`},
		"unknown member": {"links.get", `{"data":{"link_id":"dsll_1"},"x":`, `}`},
		"decimal":        {"auth.get", `{"numbers":{},"accounts":[{"account_id":"1","balances":{"current":`, `}}]}`},
		"timestamp, streamed": {
			"logins.query_accounts, streamed",
			`{"data":[{"ds_user":"","display_name":"","cache_time":`, `,"accounts":[{}]}]}`,
		},
		"account id, streamed": {"logins.query_accounts, streamed", `{"data":[{"accounts":[{"account_id":`, `}]}]}`},
		"an expiry":            {"auth.token", `{"access_token":"otok_1","expires_in":`, `}`},
	} {
		for _, quote := range []string{"", `"`} {
			t.Run(name+quote, func(t *testing.T) {
				in := func(limit int64) (took int64, err error) {
					op := operations.Named(tc.operation)
					c := fromMemory(t, op, func(r *http.Request) *http.Response {
						if op.Name == operations.Exchange && r.URL.Path != "/auth/token" {
							return reply(200, operations.Named("identity.link").Least)
						}
						return unlimited(200,
							&repeated{head: tc.head + quote, piece: digits, n: size >> 20, tail: quote + tc.tail})
					}, limited(limit)...)
					took = allocated(func() { err = op.Call(t.Context(), c) })
					return took, err
				}
				took, err := in(limit)
				require.NoError(t, err)
				require.Less(t, took, int64(max(8*size, 2*limit)))
				if !inShort() {
					_, err = in(0)
					kindIs(t, err, duolink.ErrResponseTooLarge)
				}
			})
		}
	}
}

// Members that nobody knows, each with another name, take nothing but their bytes.
func TestUnknownMembers(t *testing.T) {
	if inShort() {
		t.Skip("a matter of memory, of which the race detector takes its own")
	}
	const limit = int64(1 << 20)
	var members strings.Builder
	for i := 0; members.Len() < int(limit)-200; i++ {
		fmt.Fprintf(&members, `"%x":0,`, i)
	}
	for place, body := range map[string]string{
		"the answer": `{` + members.String() + `"data":[],"accounts":[]}`,
		"an item":    `{"data":[{` + members.String() + `"a":0}],"accounts":[{` + `"account_id":"a"}]}`,
		"an account": `{"accounts":[{` + members.String() + `"account_id":"a"}],"data":[]}`,
		"a product":  `{"link_id":"a","products":{"identity":{` + members.String() + `"error_code":"a"}}}`,
	} {
		for _, op := range operations.All {
			t.Run(place+"/"+op.Name, func(t *testing.T) {
				c := fromMemory(
					t, op, func(*http.Request) *http.Response { return reply(200, body) },
					duolink.WithMaxResponseBytes(2*limit),
				)
				require.Less(t, allocated(func() { _ = op.Call(t.Context(), c) }), 8*limit)
			})
		}
	}
}
