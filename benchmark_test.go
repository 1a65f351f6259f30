package duolink

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// repeated is a golden answer whose list has so many items: those of the file again and again.
func repeated(t testing.TB, file, list string, items int) []byte {
	t.Helper()
	var answer map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(golden(t, file)), &answer))
	var few, all []json.RawMessage
	require.NoError(t, json.Unmarshal(answer[list], &few))
	for i := range items {
		all = append(all, few[i%len(few)])
	}
	answer[list] = json.RawMessage(mustJSON(all))
	return []byte(mustJSON(answer))
}

// benchmarked are calls whose time a user may want to know.
var benchmarked = map[string]struct {
	file, list string
	items      int
	call       func(context.Context, *Client) error
}{
	"auth.get": {"auth.get/sample.json", "accounts", 3, func(ctx context.Context, c *Client) error {
		_, err := c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret("token")})
		return err
	}},
	"identity.get": {"identity.get/sample.json", "accounts", 2, func(ctx context.Context, c *Client) error {
		_, err := c.Identity.Get(ctx, sandbox.LinkID, IdentityQuery{})
		return err
	}},
	"links.get": {"links.get/sample.json", "", 0, func(ctx context.Context, c *Client) error {
		_, err := c.Links.Get(ctx, "dsll_1")
		return err
	}},
	"links.list of 1,000": {"links.list/sample.json", "data", 1000, func(ctx context.Context, c *Client) error {
		_, err := c.Links.List(ctx)
		return err
	}},
	"logins.query_accounts of 5,000 logins": {
		"logins.query_accounts/sample.json", "data", 5000, func(ctx context.Context, c *Client) error {
			_, err := c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: "GAWA"})
			return err
		},
	},
	"the same as a stream": {
		"logins.query_accounts/sample.json", "data", 5000, func(ctx context.Context, c *Client) error {
			for _, err := range c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "GAWA"}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	},
}

func benchmarkedAnswer(t testing.TB, name string) []byte {
	b := benchmarked[name]
	if b.list == "" {
		return []byte(golden(t, b.file))
	}
	return repeated(t, b.file, b.list, b.items)
}

// BenchmarkCalls makes calls over loopback. Beside each is a floor: net/http, io.ReadAll, and
// encoding/json into a map of the members.
func BenchmarkCalls(b *testing.B) {
	for name, call := range benchmarked {
		body := benchmarkedAnswer(b, name)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(body)
		}))
		c := benchmarkClient(b, server.URL)
		b.Run(name+"/duolink", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, call.call(b.Context(), c))
			}
		})
		b.Run(name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := http.Get(server.URL)
				require.NoError(b, err)
				text, err := io.ReadAll(resp.Body)
				require.NoError(b, err)
				require.NoError(b, resp.Body.Close())
				var answer map[string]any
				require.NoError(b, json.Unmarshal(text, &answer))
			}
		})
		server.Close()
	}
}

func benchmarkClient(t testing.TB, base string) *Client {
	c, err := New(WithSupermetrics(BearerToken("token")), WithMoneyKit(ClientHeaders("id", "secret")),
		WithBaseURL(Supermetrics, base), WithBaseURL(MoneyKit, base), WithBaseURL(PlaidCompatible, base))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return c
}

// alwaysAnswers makes a client with its own transport reach no network: each call gets this answer.
func alwaysAnswers(t testing.TB, body []byte) *Client {
	c := benchmarkClient(t, "http://localhost")
	answer := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: int64(len(body)),
			Body: io.NopCloser(bytes.NewReader(body)),
		}, nil
	})
	c.transport.Next = answer
	return c
}
