package proof

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

const (
	testKey    = "sm-test-key-0001"
	testID     = "mk-test-client-0001"
	testSecret = "mk-test-secret-0001"
)

// clientOf calls a server on loopback for both APIs. For the token exchange its credential is one
// that is traded.
func clientOf(
	t *testing.T, base string, op operations.Operation, client *http.Client, opts ...duolink.Option,
) *duolink.Client {
	t.Helper()
	moneyKit := duolink.ClientHeaders(testID, testSecret)
	if op.Name == operations.Exchange {
		moneyKit = duolink.ClientCredentials(testID, testSecret)
	}
	c, err := duolink.New(append([]duolink.Option{
		duolink.WithSupermetrics(duolink.BearerToken(testKey)),
		duolink.WithMoneyKit(moneyKit), duolink.WithHTTPClient(client),
		duolink.WithBaseURL(duolink.Supermetrics, base+"/v2"), duolink.WithBaseURL(duolink.MoneyKit, base),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

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

// reply is an answer with a body; header holds names and values in turn.
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode:    status,
		Header:        h,
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}

// inMemory is a client of both APIs that sends each request once, to a server in memory.
func inMemory(
	t *testing.T, answer func(*http.Request) *http.Response, opts ...duolink.Option,
) (*duolink.Client, *memory) {
	t.Helper()
	m := &memory{answer: answer}
	if len(opts) == 0 {
		opts = []duolink.Option{
			duolink.WithSupermetrics(duolink.BearerToken(testKey)),
			duolink.WithMoneyKit(duolink.ClientHeaders(testID, testSecret)),
		}
	}
	opts = append(
		slices.Clone(opts), duolink.WithHTTPClient(&http.Client{Transport: m}),
		duolink.WithRetry(duolink.Retry{MaxAttempts: 1}),
	)
	c, err := duolink.New(opts...)
	require.NoError(t, err)
	return c, m
}

// golden returns a file under testdata.
func golden(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", filepath.FromSlash(file)))
	require.NoError(t, err)
	return string(b)
}

// replying is a client that gets the same body as the answer to everything.
func replying(t *testing.T, status int, body string, header ...string) *duolink.Client {
	t.Helper()
	c, _ := inMemory(t, func(*http.Request) *http.Response { return reply(status, body, header...) })
	return c
}

// collect ranges over an iterator to its end. The error has to be the last step, and without a
// value.
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

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inBubble runs a test in virtual time, with a client of a sandbox over an in-memory connection. At
// its end no goroutine may be left: synctest fails the test otherwise.
func inBubble(
	t *testing.T, server []sandbox.Option, opts []duolink.Option,
	test func(t *testing.T, c *duolink.Client, s *sandbox.Sandbox),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(server...)
		transport := s.Transport()
		defer transport.Close()
		test(t, sandboxClient(t, transport, opts...), s)
	})
}

func sandboxClient(t *testing.T, transport http.RoundTripper, opts ...duolink.Option) *duolink.Client {
	t.Helper()
	c, err := duolink.New(append([]duolink.Option{
		duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)),
		duolink.WithMoneyKit(duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)),
		duolink.WithBaseURL(duolink.Supermetrics, "http://sandbox.test/v2"),
		duolink.WithBaseURL(duolink.MoneyKit, "http://sandbox.test"),
		duolink.WithInsecureHTTP(),
		duolink.WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// handler is a server's handler as a transport.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// The bodies of an error with a code, in each dialect.
func envelopeBody(code string) string {
	return fmt.Sprintf(
		`{"meta":{"request_id":"req-body-0001"},"error":{"code":%q,"message":"It went wrong","description":"And how"}}`,
		code,
	)
}

func flatBody(code string) string { return fmt.Sprintf(`{"error":%q,"message":"It went wrong"}`, code) }

func nativeBody(code string) string {
	return fmt.Sprintf(
		`{"error_code":%q,"error_message":"It went wrong","documentation_url":"https://docs.example.com/e"}`,
		code,
	)
}

func plaidBody(family, code string) string {
	return fmt.Sprintf(
		`{"error_type":%q,"error_code":%q,"error_message":"It went wrong","display_message":null,`+
			`"request_id":"req-body-0001"}`,
		family, code,
	)
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
