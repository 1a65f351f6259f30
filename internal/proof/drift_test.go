package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// drifting is a client in memory whose answers are all the same, and what it tells of them.
func drifting(t *testing.T, op operations.Operation, body func() string) (*duolink.Client, *[]string) {
	t.Helper()
	var told []string
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/auth/token") == (op.Name == operations.Exchange) {
			return reply(200, body()), nil
		}
		if op.Name == operations.Exchange {
			return reply(200, `{"link_id":"mk_1","institution_id":"a","institution_name":"a","state":"connected",`+
				`"products":{}}`), nil
		}
		return reply(200, `{"access_token":"otok_1","expires_in":3600}`), nil
	})
	c, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken("sm-key-0001")),
		duolink.WithMoneyKit(duolink.ClientCredentials("mk-id-0001", "mk-secret-0001")),
		duolink.WithHTTPClient(&http.Client{Transport: transport}),
		duolink.WithHooks(duolink.Hooks{Drift: func(_ context.Context, d duolink.Drift) {
			if d.Operation == op.Operation() {
				require.Equal(t, op.API, d.API)
				require.Equal(t, op.Route, d.Route)
				told = append(told, d.Path+": "+string(d.Kind))
			}
		}}),
	)
	require.NoError(t, err)
	return c, &told
}

// An answer as the vendor documents it does not drift, except for times without a zone.
func TestDocumentedAnswersDoNotDrift(t *testing.T) {
	for _, op := range operations.All {
		t.Run(op.Name, func(t *testing.T) {
			c, told := drifting(t, op, func() string { return golden(t, op.Sample) })
			require.NoError(t, op.Call(t.Context(), c))
			require.Empty(t, slices.DeleteFunc(*told, func(line string) bool {
				return strings.HasSuffix(line, string(duolink.DriftKindNoZone))
			}))
		})
	}
}

// grown adds an unknown member to every object of a document, and returns the paths of all of them.
// It does not look into the members of a map, or into what the client does not keep.
func grown(value any, path string, paths map[string]bool) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			at := strings.TrimPrefix(path+"."+name, ".")
			if strings.HasSuffix(path, "products") {
				at = path + ".*"
			}
			if name != "settings" {
				v[name] = grown(inner, at, paths)
			}
		}
		if !strings.HasSuffix(path, "products") {
			v["a_new_member"] = map[string]any{"id": 7}
			paths[strings.TrimPrefix(path+".a_new_member", ".")] = true
		}
	case []any:
		for i := range v {
			v[i] = grown(v[i], path+"[]", paths)
		}
	}
	return value
}

// A thousand answers with an unknown member in each object: each place is told once.
func TestUnknownMembersAreToldOnce(t *testing.T) {
	for _, op := range operations.All {
		t.Run(op.Name, func(t *testing.T) {
			var document any
			require.NoError(t, json.Unmarshal([]byte(golden(t, op.Sample)), &document))
			paths := map[string]bool{}
			body := mustJSON(grown(document, "", paths))
			c, told := drifting(t, op, func() string { return body })
			times := 1000
			if op.Name == operations.Exchange { // a token is kept
				times = 1
			}
			for range times {
				require.NoError(t, op.Call(t.Context(), c))
			}
			var unknown []string
			for _, line := range *told {
				if path, ok := strings.CutSuffix(line, ": "+string(duolink.DriftKindUnknownMember)); ok {
					unknown = append(unknown, path)
				}
			}
			require.Len(t, unknown, len(paths), "%q", unknown)
			for _, path := range unknown {
				require.Contains(t, paths, path)
			}
		})
	}
}

// Each kind of drift, on the way to an answer that is read as well as it can be.
func TestKindsOfDrift(t *testing.T) {
	for name, tc := range map[string]struct {
		operation, body string
		want            []string
	}{
		"a new status": {
			"links.list", `{"data":[{"link_id":"dsll_1","status_code":"PAUSED"}]}`,
			[]string{"data[].status_code: unknown value"},
		},
		"a status in another case": {
			"links.get", `{"data":{"link_id":"dsll_1","status_code":"open"}}`,
			[]string{"data.status_code: unknown value"},
		},
		"a number for a text": {
			"logins.get", `{"data":{"login_id":7,"username":"a"}}`, []string{"data.login_id: other type"},
		},
		"a text for a flag": {
			"logins.get", `{"data":{"login_id":"7","username":"a","is_shared":"yes"}}`,
			[]string{"data.is_shared: other type"},
		},
		"a text for an amount": {
			"auth.get", `{"accounts":[{"account_id":"a","name":"a","type":"loan","balances":{"current":"12.5"}}],
				"numbers":{},"item":{"item_id":"i","available_products":[],"billed_products":["auth","cards"]},
				"request_id":"r"}`,
			[]string{"accounts[].balances.current: other type", "item.billed_products[]: unknown value"},
		},
		"a text that is no time, and one without a zone": {
			"links.get", `{"data":{"link_id":"a","status_code":"OPEN","created_time":"soon",
				"expiry_time":"2026-01-01 00:00:00","login_time":"2026-01-01"}}`,
			[]string{"data.created_time: other type", "data.expiry_time: time without a zone"},
		},
		"an object with numbers for a list": {
			"links.list", `{"data":{"0":{"link_id":"a","status_code":"OPEN"}}}`, []string{"data: other type"},
		},
		"a list of one for a resource": {
			"links.get", `{"data":[{"link_id":"a","status_code":"OPEN"}]}`, []string{"data: other type"},
		},
		"items that are no objects": {
			"logins.list", `{"data":[{"login_id":"a","username":"a"},null,7]}`, []string{"data[]: other type"},
		},
		"required members": {
			"identity.link", `{"link_id":"mk_1","institution_id":null,"state":"connected","products":{}}`,
			[]string{"institution_id: missing member", "institution_name: missing member"},
		},
		"members of items, streamed": {
			"logins.query_accounts, streamed",
			`{"data":[{"ds_user":"a","display_name":"b","cache_time":null,"accounts":[{"name":"x"}],"new":1}]}`,
			[]string{"data[].accounts[].account_id: missing member", "data[].new: unknown member"},
		},
		"a new product": {
			"identity.link", `{"link_id":"mk_1","institution_id":"a","institution_name":"a","state":"connected",
				"products":{"crypto":{"refreshed_at":"2026-01-01T00:00:00"},"identity":7}}`,
			[]string{
				"products.*.refreshed_at: time without a zone", "products.*: other type", "products.*: unknown value",
			},
		},
		"members beside the data": {
			"logins.accounts", `{"data":[],"warnings":["w"],"meta":{"paginate":{"total":"0","next":1}}}`,
			[]string{
				"meta.paginate.next: unknown member", "meta.paginate.total: other type", "warnings: unknown member",
			},
		},
		"names that may not be safe": {
			"logins.list", `{"data":[{"login_id":"a","username":"a","avery@example.com":1,"4111111":1,"":1}]}`,
			[]string{"data[].?: unknown member"},
		},
		"a name that the caller has sent": {
			"logins.get", `{"data":{"login_id":"a","username":"a","dsl_1":1,"sm-key-0001":1,"new":1}}`,
			[]string{"data.?: unknown member", "data.new: unknown member"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			op := operations.Named(tc.operation)
			c, told := drifting(t, op, func() string { return tc.body })
			require.NoError(t, op.Call(t.Context(), c))
			slices.Sort(*told)
			require.Equal(t, tc.want, *told)
		})
	}
}

// An answer that turns out to be an error or broken is not told.
func TestErrorsDoNotDrift(t *testing.T) {
	for _, body := range []string{
		`{"data":[],"new":1,"error":{"code":"FORBIDDEN"}}`, `{"new":1}`, `{"new":1,"data":[`, `{"new":1,"data":7}`,
	} {
		op := operations.Named("links.list")
		c, told := drifting(t, op, func() string { return body })
		require.Error(t, op.Call(t.Context(), c))
		require.Empty(t, *told, body)
	}
}

// A server that makes up names without an end is told of a thousand times at most.
func TestDriftIsBounded(t *testing.T) {
	op, n := operations.Named("links.list"), 0
	name := func() string { // in letters, because names with many digits are not shown
		n++
		return strings.NewReplacer("0", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f", "6", "g", "7", "h",
			"8", "i", "9", "j").Replace(fmt.Sprint(n))
	}
	c, told := drifting(t, op, func() string {
		var members strings.Builder
		for range 500 {
			members.WriteString(`,"` + name() + `":1`)
		}
		return `{"data":[]` + members.String() + `}`
	})
	for range 20 {
		require.NoError(t, op.Call(t.Context(), c))
	}
	require.Len(t, *told, 1000)
}
