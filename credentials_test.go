package duolink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// world is a sandbox in a bubble: waits cost nothing there, and connections are pipes.
type world struct {
	*sandbox.Sandbox
	transport *sandbox.Transport
}

// inWorld runs a test in a bubble with a sandbox.
func inWorld(t *testing.T, test func(t *testing.T, w world), opts ...sandbox.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(opts...)
		w := world{s, s.Transport()}
		defer w.transport.Close()
		test(t, w)
	})
}

// client is a client of the sandbox, under the vendors' own URLs.
func (w world) client(t *testing.T, opts ...Option) *Client {
	t.Helper()
	c, err := New(append([]Option{WithHTTPClient(&http.Client{Transport: w.transport})}, opts...)...)
	require.NoError(t, err)
	return c
}

// exchanging are the credentials that are exchanged for a token.
func exchanging() Option {
	return WithMoneyKit(ClientCredentials(sandbox.ClientID, sandbox.ClientSecret))
}

func linkOf(ctx context.Context, c *Client, opts ...CallOption) error {
	_, err := c.Identity.Link(ctx, sandbox.LinkID, opts...)
	return err
}

func TestCleanToken(t *testing.T) {
	for _, tc := range []struct{ token, want string }{
		{"api_1", "api_1"},
		{" api_1 ", "api_1"},
		{"\t\r\napi_1\n", "api_1"},
		{"Bearer api_1", "api_1"},
		{"bearer api_1", "api_1"},
		{"BEARER   api_1", "api_1"},
		{"bEaReR\tapi_1", "api_1"},
		{"Bearer \t api_1", "api_1"},
		{"  Bearer api_1\n", "api_1"},
		{"bearerish-token", "bearerish-token"},
		{"BearerToken", "BearerToken"},
		{"bearer_1", "bearer_1"},
		{"Bearer bearer", "bearer"},
		{"bear", "bear"},
		{"Basic", "Basic"},
		{"a", "a"},
		{"!~", "!~"},
		{"abc=/+._-~", "abc=/+._-~"},
		{"\u00a0api_1\u00a0", "api_1"}, // a copied no-break space is a space
		{strings.Repeat("x", 10_000), strings.Repeat("x", 10_000)},
	} {
		got, err := cleanToken(tc.token)
		require.NoError(t, err, "%q", tc.token)
		require.Equal(t, tc.want, got, "%q", tc.token)
	}
	for _, token := range []string{
		"", " ", "\t\r\n", "Bearer", "bearer", "BEARER ", " bearer\t", "Bearer  \n", "Bearer Bearer CANARY",
		"CANARY CANARY",
		"CANARY\tCANARY", "CANARY\nCANARY",
		"CANARY\r\nX-Evil: 1", "CANARY\x00", "CANARY\x7f", "\x1bCANARY", "CANARYé", "ключ", "CANARY\u200b",
		"\ufeffCANARY",
		"CANARY\u00a0CANARY", "CANARY\xff",
		"Bearer\u00a0CANARY", "Bearer \nCANARY", "Basic CANARY",
	} {
		_, err := cleanToken(token)
		require.ErrorIs(t, err, ErrArgument, "%q", token)
		for _, text := range printed(err) {
			require.NotContains(t, text, "CANARY", "%q", token)
			require.NotContains(t, text, "ключ", "%q", token)
		}
	}
}

// The server gets the trimmed token, and the scheme is never there twice.
func TestBearerOnTheWire(t *testing.T) {
	for _, token := range []string{"api_1", " api_1\n", "Bearer api_1", "bearer  api_1", "BEARER\tapi_1"} {
		for name, credentials := range map[string]Credentials{
			"token":    BearerToken(token),
			"function": BearerTokenFunc(func(context.Context) (string, error) { return token, nil }),
		} {
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, `{"data":[]}`) },
				WithSupermetrics(credentials))
			_, err := c.Links.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"Bearer api_1"}, m.requests[0].Header["Authorization"], "%s %q", name, token)
			_, err = c.Links.List(t.Context(), WithToken(token))
			require.NoError(t, err)
			require.Equal(t, []string{"Bearer api_1"}, m.requests[1].Header["Authorization"], "%s %q", name, token)
		}
	}
}

func TestBearerTokenFuncBeforeEachAttempt(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		asked := 0
		c := w.client(t, WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
			require.NoError(t, ctx.Err())
			asked++
			return fmt.Sprintf("%s-%d", sandbox.APIKey, asked), nil
		})))
		w.Script(sandbox.Fault{Status: 503}, sandbox.Fault{Status: 503}, sandbox.Fault{Body: `{"data":[]}`, Times: 2})
		for range 2 {
			_, err := c.Links.List(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, 4, asked)
		for i, r := range w.Requests() {
			require.Equal(t, []string{fmt.Sprintf("Bearer %s-%d", sandbox.APIKey, i+1)}, r.Header["Authorization"])
		}
	})
}

// vaultError is an error of the caller's own.
type vaultError struct{ secret string }

func (e *vaultError) Error() string { return "vault: " + e.secret }

func TestBearerTokenFuncFails(t *testing.T) {
	cause := &vaultError{"pa55word-of-the-vault"}
	for name, err := range map[string]error{
		"plain": cause, "wrapped": fmt.Errorf("provider: %w", cause),
		"context": errors.Join(context.DeadlineExceeded, cause),
	} {
		t.Run(name, func(t *testing.T) {
			credentials := BearerTokenFunc(func(context.Context) (string, error) { return "api_1", err })
			for operation, call := range calls {
				if operation == "auth.get" { // takes no bearer token
					continue
				}
				got := call(t.Context(), unasked(t, WithSupermetrics(credentials), WithMoneyKit(credentials)))
				require.ErrorIs(t, got, err, operation)
				found, ok := errors.AsType[*vaultError](got)
				require.True(t, ok)
				require.Same(t, cause, found)
				e := asError(t, got)
				require.Zero(t, e.StatusCode)
				require.Zero(t, e.Attempts)
				require.Equal(t, OutcomeNotSent, e.Outcome)
				require.Equal(t, operationOf(operation), e.Operation)
				for _, k := range kinds {
					require.NotErrorIs(t, got, k)
				}
				require.NotContains(t, got.Error(), "pa55word")
				require.NotContains(t, fmt.Sprintf("%+v", got), "pa55word")
			}
		})
	}
}

// If a credential fails between two attempts, the call ends. The Outcome still says what the first
// attempt may have done.
func TestBearerTokenFuncFailsLater(t *testing.T) {
	cause := errors.New("the vault is closed")
	inWorld(t, func(t *testing.T, w world) {
		asked := 0
		c := w.client(t, WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
			if asked++; asked > 1 {
				return "", cause
			}
			return sandbox.APIKey, nil
		})))
		w.Script(sandbox.Fault{Status: 503, Perform: true})
		_, err := c.Links.Update(t.Context(), sandbox.OpenLoginLinkID, LoginLinkUpdate{Description: "done"})
		require.ErrorIs(t, err, cause)
		require.Equal(t, 2, asked)
		require.Len(t, w.Requests(), 1)
		e := asError(t, err)
		require.Equal(t, "links.update", e.Operation)
		require.Equal(t, 1, e.Attempts)
		require.Equal(t, "done", w.Links()[0].Description)
		require.Equal(t, OutcomeUnknown, e.Outcome, "the first attempt was carried out")
	})
}

func TestBearerTokenFuncReturnsNone(t *testing.T) {
	for _, token := range []string{"", " ", "Bearer", "CANARY with spaces", "CANARY\nX-Evil: 1", "CANARYé"} {
		c := unasked(t, WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) { return token, nil })))
		_, err := c.Links.Get(t.Context(), "dsll_1")
		refused(t, err, ErrArgument, "links.get", "CANARY")
	}
	_, err := New(WithSupermetrics(BearerTokenFunc(nil)))
	refused(t, err, ErrArgument, "new", "")
}

// A function may be slow: it gets the call's context, and the call ends with the context.
func TestBearerTokenFuncIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := unasked(t, WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Links.Get(ctx, "dsll_1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}

// A call keeps its own token through retries, while other calls use the client's credential.
func TestTokensDoNotCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		attempts := map[string]int{}
		server := roundTrip(func(r *http.Request) (*http.Response, error) {
			id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
			want := "Bearer otok_" + id
			if strings.HasPrefix(id, "own") {
				want = "Bearer " + testKey
			}
			if got := r.Header["Authorization"]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s came with %q", id, got)
			}
			mu.Lock()
			attempts[id]++
			again := attempts[id] == 1 && len(attempts)%8 == 0 // few enough for all to be repeated
			mu.Unlock()
			time.Sleep(time.Millisecond)
			if again {
				return reply(503, ""), nil
			}
			return reply(200, `{"data":{"link_id":"`+id+`"}}`), nil
		})
		c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(&http.Client{Transport: server}))
		require.NoError(t, err)
		var group sync.WaitGroup
		for i := range 64 {
			group.Go(func() {
				for range 3 {
					id, opts := fmt.Sprintf("own_%d", i), []CallOption(nil)
					if i%4 != 0 {
						id = fmt.Sprintf("tenant_%d", i)
						opts = []CallOption{WithToken("otok_" + id)}
					}
					link, err := c.Links.Get(t.Context(), id, opts...)
					if err != nil || link.ID != id {
						t.Errorf("%s: %v, %v", id, link, err)
					}
				}
			})
		}
		group.Wait()
	})
}

// credentialModes are the sets of credential headers that one request may have.
var credentialModes = [][]string{
	{"Authorization"}, {"X-Client-Id", "X-Client-Secret"}, {"Plaid-Client-Id", "Plaid-Secret"}, {},
}

func TestCredentialModesAreNotMixed(t *testing.T) {
	for name, credentials := range map[string]Credentials{
		"exchange": ClientCredentials(sandbox.ClientID, sandbox.ClientSecret),
		"headers":  ClientHeaders(sandbox.ClientID, sandbox.ClientSecret),
		"bearer":   BearerToken("otok_1"),
		"function": BearerTokenFunc(func(context.Context) (string, error) { return "otok_2", nil }),
	} {
		for _, opts := range [][]CallOption{nil, {WithToken("otok_3")}} {
			t.Run(fmt.Sprintf("%s %d", name, len(opts)), func(t *testing.T) {
				inWorld(t, func(t *testing.T, w world) {
					c := w.client(t, WithSupermetrics(BearerToken(sandbox.APIKey)), WithMoneyKit(credentials),
						withoutRetries())
					w.Script(sandbox.Fault{Operation: "identity.link", Status: 503,
						Times: 2}) // repetitions are signed anew
					for _, call := range calls {
						_ = call(t.Context(), c, opts...)
					}
					_ = linkOf(t.Context(), w.client(t, WithMoneyKit(credentials)), opts...)
					require.NotEmpty(t, w.Requests())
					for _, r := range w.Requests() {
						var there []string
						for _, header := range credentialHeaders {
							if values, ok := r.Header[header]; ok {
								require.Len(t, values, 1, header)
								there = append(there, header)
							}
						}
						one := slices.ContainsFunc(credentialModes,
							func(mode []string) bool { return slices.Equal(mode, there) })
						require.True(t, one, "%s: %v", r.Operation, there)
						require.Equal(t, r.Operation == "auth.token", len(there) == 0, r.Operation)
						switch {
						case r.Operation == "auth.get":
							require.Equal(t, credentialModes[2], there)
						case len(opts) > 0 && r.Operation != "auth.token":
							require.Equal(t, "Bearer otok_3", r.Header.Get("Authorization"), r.Operation)
						}
						everything := r.Path + "?" + r.RawQuery
						for _, secret := range []string{sandbox.APIKey, sandbox.ClientID, sandbox.ClientSecret,
							"otok_"} {
							unescaped, err := url.QueryUnescape(everything)
							require.NoError(t, err)
							require.NotContains(t, everything, secret)
							require.NotContains(t, unescaped, secret)
							require.Equal(t, r.Operation == "auth.token" && strings.HasPrefix(secret, "sandbox-"),
								strings.Contains(string(r.Body), secret), r.Operation)
						}
						require.False(t, r.KeyInQuery)
					}
				})
			})
		}
	}
}

// An error of this package that a provider of tokens has wrapped is the cause, whenever it comes,
// and is left as it is.
func TestErrorThatAProviderWraps(t *testing.T) {
	for name, answers := range map[string][]string{"at first": {""}, "after a refusal": {"t1", ""}} {
		t.Run(name, func(t *testing.T) {
			others := &Error{API: MoneyKit, Operation: "auth.token", StatusCode: 503, Kind: ErrServer}
			before, asked := *others, 0
			credentials := BearerTokenFunc(func(context.Context) (string, error) {
				token := answers[asked]
				if asked++; token == "" {
					return "", fmt.Errorf("the vault: %w", others)
				}
				return token, nil
			})
			c, err := New(WithSupermetrics(credentials), WithHTTPClient(&http.Client{
				Transport: &memory{answer: func(*http.Request) *http.Response { return reply(401, "") }},
			}))
			require.NoError(t, err)
			_, err = c.Links.Get(t.Context(), "dsll_1")
			e := asError(t, err)
			require.Equal(t, "links.get", e.Operation)
			require.ErrorIs(t, e, ErrServer, "it can be matched")
			require.Equal(t, len(answers)-1, e.Attempts)
			require.Equal(t, before, *others)
		})
	}
}
