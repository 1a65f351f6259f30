package duolink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// refusedAs are the codes of a 401 that is not about a link. With any of them the token is refused.
var refusedAs = []Code{
	CodeExpiredAccessToken, CodeAuthUnauthorized, CodeUnauthorized, CodeInvalidToken, CodeTokenRevoked,
	CodeAccessTokenExpired,
	"", "something.new",
}

// If the server refuses a token, the token is replaced once and the call is repeated once. This
// holds for every operation with a token, also for a write, and for every code.
func TestRefusedTokenIsReplaced(t *testing.T) {
	for name, row := range rows {
		operation := operationOf(name)
		if operation == "auth.token" || operation == "auth.get" {
			continue
		}
		for _, code := range refusedAs {
			t.Run(fmt.Sprintf("%s %q", name, code), func(t *testing.T) {
				inWorld(t, func(t *testing.T, w world) {
					asked := 0
					function := func(context.Context) (string, error) {
						if asked++; asked == 1 {
							return "api_yesterday", nil
						}
						return sandbox.APIKey, nil
					}
					c := w.client(t, WithSupermetrics(BearerTokenFunc(function)), exchanging())
					w.Script(sandbox.Fault{Operation: operation, Status: 401, Body: nativeBody(string(code))})
					require.NoError(t, row.Call(t.Context(), c))
					require.Equal(t, 2, w.Count(operation))
					require.Equal(t, 2, asked+w.TokensIssued())
					sent := map[string]bool{}
					for _, r := range w.Requests() {
						if r.Operation == operation {
							sent[r.Header.Get("Authorization")] = true
						}
					}
					require.Len(t, sent, 2, "each attempt has a token of its own")
					if row.Done != nil {
						require.Equal(t, 1, row.Done(w.Sandbox))
					}

					// A new token that is refused too is the end.
					w.ResetRequests()
					time.Sleep(time.Hour)
					asked = 0
					w.Script(sandbox.Fault{Operation: operation, Status: 401, Body: nativeBody(string(code)),
						Times: -1})
					err := row.Call(t.Context(), c)
					kindIs(t, err, ErrUnauthorized)
					require.Equal(t, operation, asError(t, err).Operation)
					require.Equal(t, OutcomeRejected, asError(t, err).Outcome)
					require.Equal(t, 2, w.Count(operation))
				}, sandbox.WithTokenLife(100*time.Hour))
			})
		}
	}
}

// A 401 that says that the link belongs to somebody else is not about the token.
func TestRefusedLinkIsNotTheTokens(t *testing.T) {
	for _, code := range []Code{CodeUnauthorizedAccess, "link_error.something_new"} {
		for _, name := range []string{"identity.get", "identity.link", "identity.refresh", "auth.numbers"} {
			inWorld(t, func(t *testing.T, w world) {
				asked := 0
				function := BearerTokenFunc(
					func(context.Context) (string, error) { asked++; return fmt.Sprint("api_", asked), nil })
				w.Script(sandbox.Fault{Operation: name, Status: 401, Body: nativeBody(string(code)), Times: -1})
				for _, c := range []*Client{w.client(t, exchanging()), w.client(t, WithMoneyKit(function))} {
					for range 2 {
						require.ErrorIs(t, rows[name].Call(t.Context(), c), ErrUnauthorized)
					}
				}
				require.Equal(t, 4, w.Count(name))
				require.Equal(t, 1, w.TokensIssued())
				require.Equal(t, 2, asked)
			})
		}
	}
}

// A credential that cannot change is not sent again: a fixed token, a client id and secret.
func TestRefusedCredentialsThatAreFixed(t *testing.T) {
	for name, row := range rows {
		operation := operationOf(name)
		for how, moneyKit := range map[string]Credentials{
			"token": BearerToken("api_1"), "pair": ClientHeaders(sandbox.ClientID, sandbox.ClientSecret),
			"exchange": ClientCredentials(sandbox.ClientID, sandbox.ClientSecret),
		} {
			plaid := operation == "auth.get"
			if operation == "auth.token" || how == "exchange" && !plaid || how == "token" && plaid {
				continue
			}
			t.Run(name+", "+how, func(t *testing.T) {
				inWorld(t, func(t *testing.T, w world) {
					c := w.client(t, WithSupermetrics(BearerToken("api_2")), WithMoneyKit(moneyKit))
					for _, code := range refusedAs {
						w.ResetRequests()
						w.Script(sandbox.Fault{Operation: operation, Status: 401, Body: nativeBody(string(code))})
						require.ErrorIs(t, row.Call(t.Context(), c), ErrUnauthorized)
						require.Equal(t, 1, w.Count(""), "no exchange either")
					}
				})
			})
		}
	}
	inWorld(t, func(t *testing.T, w world) { // and the client's own token is not given up for a call's
		c := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), c))
		require.ErrorIs(t, linkOf(t.Context(), c, WithToken("otok_1")), ErrUnauthorized)
		require.NoError(t, linkOf(t.Context(), c))
		require.Equal(t, 3, w.Count("identity.link"))
		require.Equal(t, 1, w.TokensIssued())
	})
}

// A call that may not be repeated is not repeated, even if there could be another token. The next
// call uses it.
func TestRefusedTokenWithoutRepetition(t *testing.T) {
	for how, opt := range map[string]CallOption{"WithMaxWait(0)": WithMaxWait(0), "WithoutRetry": WithoutRetry()} {
		for name, call := range calls {
			operation := operationOf(name)
			if operation == "auth.get" {
				continue
			}
			t.Run(name+", "+how, func(t *testing.T) {
				inWorld(t, func(t *testing.T, w world) {
					asked := 0
					c := w.client(t, exchanging(),
						WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
							asked++
							return fmt.Sprint("api_", asked), nil
						})))
					w.Script(sandbox.Fault{Operation: operation, Status: 401})
					require.ErrorIs(t, call(t.Context(), c, opt), ErrUnauthorized)
					require.Equal(t, 1, w.Count(operation))
					require.Equal(t, 1, asked+w.TokensIssued())
					_ = call(t.Context(), c, opt)
					require.Equal(t, 2, w.Count(operation))
					require.Equal(t, 2, asked+w.TokensIssued())
				})
			})
		}
	}
}

// A call whose context has ended by the time of the 401 gives the token up all the same.
func TestRefusedTokenOfACallThatIsOver(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		ctx, cancel := context.WithCancel(t.Context())
		c := w.client(t, exchanging(), WithHooks(Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
			if a.Status == 401 {
				cancel()
			}
		}}))
		w.Script(sandbox.Fault{Operation: "identity.link", Status: 401})
		require.ErrorIs(t, linkOf(ctx, c), context.Canceled)
		require.NoError(t, linkOf(t.Context(), c))
		require.Equal(t, 2, w.TokensIssued())
	})
}

// vendor is a server in memory that issues tokens and takes some of them.
type vendor struct {
	issues    func(n int) string             // the nth token
	takes     func(n int, token string) bool // the nth request
	exchange  time.Duration                  // how long one takes
	exchanges atomic.Int32
	requests  atomic.Int32
}

func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/auth/token") {
		n := int(v.exchanges.Add(1))
		time.Sleep(v.exchange)
		return reply(201, `{"access_token":"`+v.issues(n)+`","expires_in":86400}`), nil
	}
	n := int(v.requests.Add(1))
	time.Sleep(300 * time.Millisecond)
	if v.takes(n, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		return reply(200, `{"link_id":"mk_1"}`), nil
	}
	return reply(401, nativeBody("api_error.auth.unauthorized")), nil
}

func (v *vendor) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(exchanging(), WithHTTPClient(&http.Client{Transport: v}))
	require.NoError(t, err)
	return c
}

// tokens are what an exchange may hand out: a new one each time, or the one that was refused.
var tokens = map[string]func(n int) string{
	"new ones":       func(n int) string { return fmt.Sprint("mk_", n) },
	"the same again": func(int) string { return "mk_same" },
}

// If the server refuses all tokens that it issues, the client does not ask for tokens in a loop.
func TestExchangesOfRefusedTokens(t *testing.T) {
	t.Parallel()
	none := func(int, string) bool { return false }
	for name, issues := range tokens {
		t.Run(name+", at once", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vendor{issues: issues, takes: none, exchange: 100 * time.Millisecond}
				c := v.client(t)
				atOnce(t, 200, func() error {
					if err := linkOf(t.Context(), c); !errors.Is(err, ErrUnauthorized) {
						return fmt.Errorf("got %w", err)
					}
					return nil
				})
				require.EqualValues(t, 2, v.exchanges.Load())
				require.EqualValues(t, map[string]int{"new ones": 400, "the same again": 200}[name], v.requests.Load())
			})
		})
		t.Run(name+", in a row", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vendor{issues: issues, takes: none}
				c := v.client(t)
				var at []time.Duration
				began := time.Now()
				for time.Since(began) < 5*time.Minute {
					before := v.exchanges.Load()
					err := linkOf(t.Context(), c)
					kindIs(t, err, ErrUnauthorized)
					require.Equal(t, "identity.link", asError(t, err).Operation, "it is the server's 401")
					require.LessOrEqual(t, v.exchanges.Load()-before, int32(2))
					if v.exchanges.Load() > before {
						at = append(at, time.Since(began).Round(time.Second))
					}
				}
				for i, want := range []time.Duration{2, 4, 8, 16, 32} {
					require.Equal(t, want*time.Second, at[1+i])
				}
				require.Len(t, at, 14, "then one in half a minute")
			})
		})
	}
	t.Run("a while later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			refused := false
			v := &vendor{issues: tokens["new ones"], takes: func(int, string) bool { return !refused }}
			c := v.client(t)
			for range 10 { // minutes
				refused = true
				require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
				time.Sleep(flight.ShortestHold)
				require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
				refused = false
				for range 200 {
					require.NoError(t, linkOf(t.Context(), c))
				}
			}
			require.EqualValues(t, 1+2*10, v.exchanges.Load(), "after a minute without a refusal it begins anew")
		})
	})
}

// A late refusal of the old token does not give up the new token, and starts no renewal.
func TestLateRefusalOfAnOldToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{issues: tokens["new ones"]}
		v.takes = func(n int, token string) bool {
			if n%2 == 0 && token == "mk_1" {
				time.Sleep(time.Duration(n) * time.Second)
			}
			return token == "mk_2"
		}
		c := v.client(t)
		atOnce(t, 100, func() error { return linkOf(t.Context(), c) })
		require.EqualValues(t, 2, v.exchanges.Load())
		require.EqualValues(t, 200, v.requests.Load())
	})
}

// A function is asked once more for a token. The refused token is not sent again.
func TestRefusedTokenOfAFunction(t *testing.T) {
	later := errors.New("the vault is closed")
	for name, tc := range map[string]struct {
		tokens []string // "" is an error
		sent   int
		kind   error
		also   error
	}{
		"another":           {tokens: []string{"api_1", sandbox.APIKey}, sent: 2},
		"the same":          {tokens: []string{"api_1", "api_1"}, sent: 1, kind: ErrUnauthorized},
		"the same, dressed": {tokens: []string{"api_1", " Bearer api_1\n"}, sent: 1, kind: ErrUnauthorized},
		"another bad one":   {tokens: []string{"api_1", "api_2"}, sent: 2, kind: ErrUnauthorized},
		"an error":          {tokens: []string{"api_1", ""}, sent: 1, kind: ErrUnauthorized, also: later},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				asked := 0
				c := w.client(t, WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
					asked++
					if tc.tokens[asked-1] == "" {
						return "", later
					}
					return tc.tokens[asked-1], nil
				})))
				_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
				require.Equal(t, 2, asked)
				require.Equal(t, tc.sent, w.Count("links.create"))
				if tc.kind == nil {
					require.NoError(t, err)
					return
				}
				kindIs(t, err, tc.kind)
				e := asError(t, err)
				require.Equal(t, 401, e.StatusCode)
				require.Equal(t, CodeAPIKeyInvalid, e.Code)
				require.Equal(t, tc.sent, e.Attempts)
				require.Equal(t, OutcomeRejected, e.Outcome)
				require.NotContains(t, err.Error(), "api_1")
				if tc.also != nil {
					require.ErrorIs(t, err, tc.also)
				}
			})
		})
	}
	t.Run("held up by the limit group", func(t *testing.T) { // so that it is signed twice
		inWorld(t, func(t *testing.T, w world) {
			asked := 0
			var c *Client
			c = w.client(t, WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
				if asked++; asked == 2 {
					w.Script(refusal("5", 1))
					_, err := c.Links.List(t.Context(), WithoutRetry())
					require.ErrorIs(t, err, ErrRateLimited)
				}
				return map[bool]string{true: "api_1", false: sandbox.APIKey}[asked == 1], nil
			})))
			_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID)
			require.NoError(t, err)
			require.Equal(t, 2, w.Count("links.get"))
		})
	})
}
