package proof

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// seen is a request as the server sees it.
type seen struct {
	method string
	uri    string // path and query, as they came
	header http.Header
	body   string
}

// recorder is a server on loopback that keeps what it was asked. It gives out tokens, and one
// answer to all else.
func recorder(t *testing.T, status int, body string) (*httptest.Server, *[]seen) {
	t.Helper()
	requests, token := &[]seen{}, golden(t, "auth.token/sample.json")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(b)) || len(r.TransferEncoding) > 0 {
			t.Errorf("body: %v, %d bytes, announced %d, %v", err, len(b), r.ContentLength, r.TransferEncoding)
		}
		h := r.Header.Clone()
		h.Del("Accept-Encoding") // net/http's own
		h.Del("Content-Length")
		*requests = append(*requests, seen{r.Method, r.RequestURI, h, string(b)})
		if strings.HasSuffix(r.URL.Path, "/auth/token") {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, token)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server, requests
}

// headers is a set of headers: names and values in turn, added to what every request has.
func headers(pairs ...string) http.Header {
	h := http.Header{"Accept": {"application/json"}, "User-Agent": {"duolink-go/" + duolink.Version}}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// headersOf are the headers of a request to an API, with a key or a client id and secret.
func headersOf(api duolink.API, contentType string) http.Header {
	var h http.Header
	switch api {
	case duolink.Supermetrics:
		h = headers("Authorization", "Bearer "+testKey)
	case duolink.MoneyKit:
		h = headers("MoneyKit-Version", "2023-02-18", "X-Client-Id", testID, "X-Client-Secret", testSecret)
	case duolink.PlaidCompatible:
		h = headers("Plaid-Version", "2020-09-14", "PLAID-CLIENT-ID", testID, "PLAID-SECRET", testSecret)
	}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return h
}

// jsonType is the Content-Type of a request with a body.
func jsonType(body string) string {
	if body == "" {
		return ""
	}
	return "application/json"
}

// examplesOf are the calls of a row: its own, and what its examples leave out filled in.
func examplesOf(op operations.Operation) []operations.Example {
	own := operations.Example{Call: func(ctx context.Context, c *duolink.Client) error { return op.Call(ctx, c) }}
	all := append([]operations.Example{own}, op.Examples...)
	for i := range all {
		e := &all[i]
		if e.URI == "" {
			e.URI = op.URI
		}
		if e.Body == "" {
			e.Body = op.Body
		}
		if e.Answer == "" {
			e.Answer = op.Sample
		}
		if e.Statuses == nil {
			e.Statuses = op.Statuses
		}
	}
	return all
}

// basePath is a base URL's path, and where requests arrive.
type basePath struct {
	option  duolink.API
	path    string
	arrives string
}

var basePaths = map[duolink.API][]basePath{
	duolink.Supermetrics: {
		{duolink.Supermetrics, "/prefix/v2", "/prefix/v2"},
		{duolink.Supermetrics, "/prefix/v2/", "/prefix/v2"},
		{duolink.Supermetrics, "", ""},
	},
	duolink.MoneyKit: {
		{duolink.MoneyKit, "/prefix/mk", "/prefix/mk"},
		{duolink.MoneyKit, "/", ""},
	},
	duolink.PlaidCompatible: {
		{duolink.MoneyKit, "/prefix/mk/", "/prefix/mk/plaid-compatible"},
		{duolink.PlaidCompatible, "/else/where/", "/else/where"},
		{duolink.PlaidCompatible, "", ""},
	},
}

// Each call is one request, to the letter, whatever the base URL is.
func TestRequests(t *testing.T) {
	for _, op := range operations.Methods {
		for _, base := range basePaths[op.API] {
			for _, e := range examplesOf(op) {
				for _, status := range e.Statuses {
					t.Run(fmt.Sprintf("%s/%s/%s%s/%d", op.Name, e.Name, base.option, base.path, status),
						func(t *testing.T) {
							checkRequest(t, op, base, e, status)
						})
				}
			}
		}
	}
}

func checkRequest(t *testing.T, op operations.Operation, base basePath, e operations.Example, status int) {
	body := golden(t, e.Answer)
	if status == http.StatusNoContent {
		body = ""
	}
	server, requests := recorder(t, status, body)
	c, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(testKey)),
		duolink.WithMoneyKit(duolink.ClientHeaders(testID, testSecret)),
		duolink.WithBaseURL(base.option, server.URL+base.path), duolink.WithRetry(duolink.Retry{MaxAttempts: 1}),
	)
	require.NoError(t, err)
	require.NoError(t, e.Call(t.Context(), c))
	want := seen{op.Verb, base.arrives + e.URI, headersOf(op.API, jsonType(e.Body)), e.Body}
	require.Equal(t, []seen{want}, *requests)
}

// The ways to prove who calls, by what arrives. A token exchange precedes the call.
func TestRequestsOfCredentials(t *testing.T) {
	native := func(pairs ...string) http.Header { return headers(append(pairs, "MoneyKit-Version", "2023-02-18")...) }
	link, numbers := operations.Named("identity.link"), operations.Named("auth.get")
	exchange := seen{
		"POST", "/mk/auth/token", native("Content-Type", "application/x-www-form-urlencoded"),
		"client_id=" + testID + "&client_secret=" + testSecret + "&grant_type=client_credentials",
	}
	get := func(pairs ...string) seen { return seen{link.Verb, "/mk" + link.URI, native(pairs...), ""} }
	traced := get("Authorization", "Bearer otok_1")
	traced.header["X-Trace"] = []string{"a", "b"}
	plaid := seen{
		numbers.Verb, "/mk/plaid-compatible" + numbers.URI,
		headersOf(duolink.PlaidCompatible, "application/json"), numbers.Body,
	}
	pair := get("X-Client-Id", testID, "X-Client-Secret", testSecret)
	function := func(context.Context) (string, error) { return " otok_2\n", nil }
	for name, tc := range map[string]struct {
		credentials duolink.Credentials
		op          operations.Operation
		opts        []duolink.CallOption
		want        []seen
	}{
		"client headers": {duolink.ClientHeaders(testID, testSecret), link, nil, []seen{pair}},
		"client headers, padded": {duolink.ClientHeaders(" "+testID+"\n", "\t"+testSecret+" "), link, nil,
			[]seen{pair}},
		"client headers, compatible layer": {
			duolink.ClientHeaders(testID, testSecret), numbers, nil, []seen{plaid},
		},
		"client credentials": {
			duolink.ClientCredentials(testID, testSecret), link, nil,
			[]seen{exchange, get("Authorization", "Bearer example-access-token-0001")},
		},
		"client credentials, compatible layer": {
			duolink.ClientCredentials(testID, testSecret), numbers, nil, []seen{plaid},
		},
		"bearer token": {
			duolink.BearerToken("otok_1"), link, nil, []seen{get("Authorization", "Bearer otok_1")},
		},
		"bearer token with its scheme": {
			duolink.BearerToken("bEaReR  otok_1 "), link, nil, []seen{get("Authorization", "Bearer otok_1")},
		},
		"bearer token of a function": {
			duolink.BearerTokenFunc(function), link, nil, []seen{get("Authorization", "Bearer otok_2")},
		},
		"another token for a call": {
			duolink.ClientHeaders(testID, testSecret), link,
			[]duolink.CallOption{duolink.WithToken("Bearer tenant-2")}, []seen{get("Authorization", "Bearer tenant-2")},
		},
		"another header for a call": {
			duolink.BearerToken("otok_1"), link,
			[]duolink.CallOption{duolink.WithHeader("x-trace", "a"), duolink.WithHeader("X-Trace", "b")},
			[]seen{traced},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, requests := recorder(t, 200, golden(t, tc.op.Sample))
			c, err := duolink.New(duolink.WithMoneyKit(tc.credentials),
				duolink.WithBaseURL(duolink.MoneyKit, server.URL+"/mk/"))
			require.NoError(t, err)
			require.NoError(t, tc.op.Call(t.Context(), c, tc.opts...))
			require.Equal(t, tc.want, *requests)
		})
	}
}

// The exchange sends what its row says.
func TestRequestOfTheExchange(t *testing.T) {
	op := operations.Named(operations.Exchange)
	server, requests := recorder(t, 200, golden(t, "identity.link/sample.json"))
	credentials := duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)
	c, err := duolink.New(duolink.WithMoneyKit(credentials), duolink.WithBaseURL(duolink.MoneyKit, server.URL))
	require.NoError(t, err)
	require.NoError(t, op.Call(t.Context(), c))
	h := headers("MoneyKit-Version", "2023-02-18", "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, seen{op.Verb, op.URI, h, op.Body}, (*requests)[0])
}
