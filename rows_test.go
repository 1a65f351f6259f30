package duolink

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Row is what the tests of this package know of an operation. It comes from the registry in
// internal/proof/operations, which explains each member.
type Row struct {
	Call     func(context.Context, *Client, ...CallOption) error
	On       func(ctx context.Context, c *Client, id string, opts ...CallOption) error
	Answer   func(context.Context, *Client, ...CallOption) (any, error)
	Done     func(*sandbox.Sandbox) int
	Private  []string
	Route    string
	Groups   []string
	Least    string
	Wordless bool
	Settles  bool // a write that ends in the same state however often it is sent
	Costly   bool // a write that is done twice if it is sent twice
}

var (
	// rows are all operations, by name, and the token exchange. A stream has a row of its own.
	rows = map[string]Row{}
	// calls are their calls, without the exchange.
	calls = map[string]func(context.Context, *Client, ...CallOption) error{}
	// answers are the smallest answers that each operation can use.
	answers = map[string]string{}
)

// Register adds a row, before the first test runs.
func Register(name string, row Row) {
	rows[name], answers[name] = row, row.Least
	if name != "auth.token" {
		calls[name] = row.Call
	}
}

// callsAndExchange are all operations, and the token exchange, which a call of another begins with.
func callsAndExchange() map[string]func(context.Context, *Client, ...CallOption) error {
	all := maps.Clone(calls)
	all["auth.token"] = rows["auth.token"].Call
	return all
}

// operationOf is the operation of a row's name.
func operationOf(name string) string {
	operation, _, _ := strings.Cut(name, ",")
	return operation
}

// ofSupermetrics reports whether an operation belongs to Supermetrics.
func ofSupermetrics(name string) bool {
	return strings.HasPrefix(name, "logins.") || strings.HasPrefix(name, "links.")
}

// clientOf calls a server on loopback for both APIs. For the token exchange its credential is
// ClientCredentials.
func clientOf(t *testing.T, base, operation string, client *http.Client, opts ...Option) *Client {
	t.Helper()
	moneyKit := ClientHeaders(testID, testSecret)
	if operation == "auth.token" {
		moneyKit = ClientCredentials(testID, testSecret)
	}
	c, err := New(append([]Option{
		WithSupermetrics(BearerToken(testKey)), WithMoneyKit(moneyKit), WithHTTPClient(client),
		WithBaseURL(Supermetrics, base+"/v2"), WithBaseURL(MoneyKit, base),
	}, opts...)...)
	require.NoError(t, err)
	return c
}
