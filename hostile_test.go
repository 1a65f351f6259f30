package duolink

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

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
		"a million brackets": strings.Repeat("[", 10*depth),
	} {
		if testing.Short() && name != "lists" && name != "objects, open" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for place, body := range map[string]string{
				"top": deep, "unknown member": `{"x":` + deep + `}`, "data": `{"data":` + deep + `}`, "data, in a list": `{"data":[` + deep + `]}`, "link": `{"link":` + deep + `}`,
				"accounts": `{"accounts":` + deep + `}`, "in an account": `{"accounts":[{"account_id":"1","x":` + deep + `}]}`, "products": `{"link_id":"1","products":{"identity":` + deep + `}}`,
				"in a stream": `{"data":[{"accounts":[` + deep + `]}]}`, "meta": `{"meta":` + deep + `,"data":[]}`,
			} {
				for _, operation := range []string{"logins.get", "logins.list_accounts, streamed", "identity.get", "auth.get"} {
					err := calls[operation](t.Context(), replying(t, 200, body))
					require.ErrorIs(t, err, ErrMalformedResponse, "%s, %s", operation, place)
				}
				require.ErrorIs(t, calls["links.get"](t.Context(), replying(t, 500, body)), ErrServer, place)
			}
			require.Error(t, new(Timestamp).UnmarshalJSON([]byte(deep)))
			require.Error(t, new(Decimal).UnmarshalJSON([]byte(deep)))
			require.Error(t, new(Sensitive).UnmarshalJSON([]byte(deep)))
		})
	}
}

// However long a stream is, it takes no more memory than its largest item.
func TestEachAccountInBoundedMemory(t *testing.T) {
	millions := 10
	if testing.Short() {
		millions = 1
	}
	const login = `{"ds_user":"avery@example.com","display_name":"Avery Sample","cache_time":null,"accounts":[`
	for name, tc := range map[string]struct {
		body *repeated
		want int
	}{
		"accounts": {&repeated{head: `{"data":[` + login, piece: "{},", tail: "{}]}]}", n: millions*1_000_000 - 1}, millions * 1_000_000},
		"logins":   {&repeated{head: `{"data":[`, piece: "{},", tail: "{}]}", n: millions*100_000 - 1}, 0},
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
			for account, err := range c.Logins.EachAccount(t.Context(), AccountsQuery{DataSourceID: "GAWA"}) {
				if err != nil || account.Account != (Account{}) {
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
