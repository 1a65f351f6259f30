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
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
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

// exchanging are the credentials that are traded for a token.
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
		"", " ", "\t\r\n", "Bearer", "bearer", "BEARER ", " bearer\t", "Bearer  \n", "Bearer Bearer CANARY", "CANARY CANARY", "CANARY\tCANARY", "CANARY\nCANARY",
		"CANARY\r\nX-Evil: 1", "CANARY\x00", "CANARY\x7f", "\x1bCANARY", "CANARYé", "ключ", "CANARY\u200b", "\ufeffCANARY", "CANARY\u00a0CANARY", "CANARY\xff",
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

// What arrives of a token, and that the scheme is never there twice.
func TestBearerOnTheWire(t *testing.T) {
	for _, token := range []string{"api_1", " api_1\n", "Bearer api_1", "bearer  api_1", "BEARER\tapi_1"} {
		for name, credentials := range map[string]Credentials{
			"token":    BearerToken(token),
			"function": BearerTokenFunc(func(context.Context) (string, error) { return token, nil }),
		} {
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, `{"data":[]}`) }, WithSupermetrics(credentials))
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
	for name, err := range map[string]error{"plain": cause, "wrapped": fmt.Errorf("provider: %w", cause), "context": errors.Join(context.DeadlineExceeded, cause)} {
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

// A credential that fails between two attempts ends the call, and takes nothing back of what the first attempt may have done.
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

// A function may be slow: it is given the call's context, and its end is the call's.
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

// Each call's token stays with it, through retries, while others with the client's own credential run beside it.
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

func TestExchangeIsCached(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		require.Zero(t, w.Count(""), "nothing is sent before the first call")
		for range 3 {
			require.NoError(t, linkOf(t.Context(), c))
			_, err := c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{})
			require.NoError(t, err)
		}
		require.Equal(t, 1, w.TokensIssued())
		require.Equal(t, 1, w.Count("auth.token"))
		require.Equal(t, 7, w.Count(""))

		another := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), another))
		require.Equal(t, 2, w.TokensIssued(), "a client keeps its own token")
	})
}

// A token is renewed ahead of its end by a tenth of its life, at most a minute.
func TestTokenIsRenewedAhead(t *testing.T) {
	for name, tc := range map[string]struct {
		life, until time.Duration // of the token, and how long it is used
		answer      string        // expires_in as it is written; the sandbox's own without it
	}{
		"an hour":            {time.Hour, 59 * time.Minute, ""},
		"a day":              {24 * time.Hour, 24*time.Hour - time.Minute, ""},
		"ten minutes":        {10 * time.Minute, 9 * time.Minute, ""},
		"a hundred seconds":  {100 * time.Second, 90 * time.Second, ""},
		"ten seconds":        {10 * time.Second, 9 * time.Second, ""},
		"a number":           {time.Hour, 59 * time.Minute, `3600`},
		"with a fraction":    {time.Hour, 59 * time.Minute, `3600.0`},
		"quoted":             {time.Hour, 59 * time.Minute, `"3600"`},
		"quoted, fraction":   {time.Hour, 59 * time.Minute, `"3600.0"`},
		"missing":            {time.Hour, 270 * time.Second, `absent`},
		"null":               {time.Hour, 270 * time.Second, `null`},
		"zero":               {time.Hour, 270 * time.Second, `0`},
		"negative":           {time.Hour, 270 * time.Second, `-1`},
		"no number":          {time.Hour, 270 * time.Second, `"soon"`},
		"longer than a year": {400 * 24 * time.Hour, 366*24*time.Hour - time.Minute, `9223372036854775807`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				c := w.client(t, exchanging())
				switch tc.answer {
				case "":
				case "absent":
					w.Script(sandbox.Fault{Operation: "auth.token", Body: `{"access_token":"` + w.IssueToken() + `"}`})
				default:
					w.Script(sandbox.Fault{Operation: "auth.token", Body: `{"access_token":"` + w.IssueToken() + `","token_type":"bearer","expires_in":` + tc.answer + `}`})
				}
				start := time.Now()
				require.NoError(t, linkOf(t.Context(), c))
				time.Sleep(tc.until - time.Since(start) - time.Millisecond)
				require.NoError(t, linkOf(t.Context(), c))
				require.Equal(t, 1, w.Count("auth.token"), "renewed too early")
				time.Sleep(2 * time.Millisecond)
				require.NoError(t, linkOf(t.Context(), c))
				synctest.Wait()
				require.Equal(t, 2, w.Count("auth.token"), "renewed too late")
				require.NoError(t, linkOf(t.Context(), c))
				require.Equal(t, 2, w.Count("auth.token"))
				tokens := map[string]int{}
				for _, r := range w.Requests() {
					if r.Operation != "auth.token" {
						require.Equal(t, 200, r.Status)
						tokens[r.Header.Get("Authorization")]++
					}
				}
				require.Len(t, tokens, 2)
			}, sandbox.WithTokenLife(tc.life))
		})
	}
}

// refusedAs are the codes of a 401 that says nothing of a link: whatever it is called, the token is
// not taken.
var refusedAs = []Code{
	CodeExpiredAccessToken, CodeAuthUnauthorized, CodeUnauthorized, CodeInvalidToken, CodeTokenRevoked, CodeAccessTokenExpired,
	"", "something.new",
}

// A token that the server does not take is replaced once, and the call repeated once: by every
// operation that sends one, also a write, which was refused, and whatever the server calls it.
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
					w.Script(sandbox.Fault{Operation: operation, Status: 401, Body: nativeBody(string(code)), Times: -1})
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

// A 401 that says that the link is somebody else's is not the token's fault.
func TestRefusedLinkIsNotTheTokens(t *testing.T) {
	for _, code := range []Code{CodeUnauthorizedAccess, "link_error.something_new"} {
		for _, name := range []string{"identity.get", "identity.link", "identity.refresh", "auth.numbers"} {
			inWorld(t, func(t *testing.T, w world) {
				asked := 0
				function := BearerTokenFunc(func(context.Context) (string, error) { asked++; return fmt.Sprint("api_", asked), nil })
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

// What cannot be another one is not sent again: a token that was handed over, a client id and
// secret.
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

// A call that is not to be repeated is not, also where another token could be had. The next call
// has it.
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
					c := w.client(t, exchanging(), WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
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

// Where the server takes none of the tokens that it issues, they are not asked for in a loop.
func TestExchangesOfRefusedTokens(t *testing.T) {
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

// Late news of the old token does not take the new one away, and is no reason for another.
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

// A function is asked once more for its token. The one that was refused is not sent again.
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

// The waits for a login and for a refresh outlast a token, whatever the server calls that. A new
// one that is refused at once is the end, and so is the same one.
func TestWaitsOutlastAToken(t *testing.T) {
	for _, code := range refusedAs {
		inWorld(t, func(t *testing.T, w world) {
			c := w.client(t, exchanging())
			later(20*time.Second, func() {
				w.Script(sandbox.Fault{Operation: "identity.link", Status: 401, Body: nativeBody(string(code))})
			})
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, RefreshOptions{})
			require.NoError(t, err)
			require.Zero(t, w.Pending())
			require.Equal(t, 2, w.TokensIssued())
		}, sandbox.WithRefreshTime(time.Minute))
	}
	for name, next := range map[string]string{"another": sandbox.APIKey, "the same": "api_1"} {
		inWorld(t, func(t *testing.T, w world) {
			began, token, refused := time.Now(), sandbox.APIKey, 0
			c := w.client(t, WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) {
				switch {
				case refused > 0:
					token = next
				case time.Since(began) >= 20*time.Second:
					token = "api_1"
				}
				return token, nil
			})), WithHooks(Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
				if a.Status == 401 {
					refused++
				}
			}}))
			later(time.Minute, func() { require.NoError(t, w.CompleteLogin(sandbox.OpenLoginLinkID, "avery@example.com")) })
			_, err := c.Links.Await(t.Context(), sandbox.OpenLoginLinkID, AwaitOptions{})
			if name == "another" {
				require.NoError(t, err)
				require.Equal(t, 1, refused)
				return
			}
			require.ErrorIs(t, err, ErrUnauthorized)
			require.Equal(t, 2, refused)
			time.Sleep(time.Minute)
		})
	}
}

// The search for a link that may have been made is over with a token that cannot be replaced.
func TestCreateOnceEndsWithItsToken(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) { return sandbox.APIKey, nil })))
		w.Script(sandbox.Fault{Operation: "links.create", Drop: sandbox.DropAfter}, sandbox.Fault{Operation: "links.list"},
			sandbox.Fault{Operation: "links.list", Status: 401, Times: -1})
		_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.ErrorIs(t, err, ErrUnauthorized)
		require.Equal(t, 2, w.Count("links.list"))
	})
}

// A renewal ahead of the token's end keeps nobody waiting: the old token is good until then.
func TestRenewalInTheBackground(t *testing.T) {
	for name, tc := range map[string]struct {
		fault sandbox.Fault
		fails bool
	}{
		"slow":        {fault: sandbox.Fault{Delay: 25 * time.Second}},
		"slow, fails": {fault: sandbox.Fault{Delay: 25 * time.Second, Status: 401}, fails: true},
		"stalls":      {fault: sandbox.Fault{Stall: true, Times: -1}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			inWorld(t, func(t *testing.T, w world) {
				c := w.client(t, exchanging(), WithHooks(Hooks{TokenRenewal: d.hooks().TokenRenewal}))
				require.NoError(t, linkOf(t.Context(), c))
				require.Len(t, d.renewals, 1)
				time.Sleep(59*time.Minute + time.Second)
				tc.fault.Operation = "auth.token"
				w.Script(tc.fault)
				began := time.Now()
				atOnce(t, 50, func() error { return linkOf(t.Context(), c) })
				require.Zero(t, time.Since(began), "nobody waits")
				require.Len(t, d.renewals, 1, "it has not ended")
				time.Sleep(26 * time.Second)
				require.NoError(t, linkOf(t.Context(), c))
				require.Equal(t, 26*time.Second, time.Since(began))
				require.LessOrEqual(t, w.Count("auth.token"), 3, "one, and its repetitions")
				if name != "stalls" {
					require.Len(t, d.renewals, 2, "the next call tells of it")
					require.Equal(t, 25*time.Second, d.renewals[1].Duration)
					require.Equal(t, tc.fails, d.renewals[1].Failure != "")
				}
				seen := map[string]int{}
				for _, r := range w.Requests() {
					if r.Operation == "identity.link" {
						seen[r.Header.Get("Authorization")]++
					}
				}
				if tc.fails {
					require.Len(t, seen, 1, "the old token serves until its end")
					time.Sleep(33*time.Second - time.Millisecond)
					require.NoError(t, linkOf(t.Context(), c))
					w.ClearScript()
					time.Sleep(exchangeLimit)
					require.NoError(t, linkOf(t.Context(), c))
					return
				}
				require.Len(t, seen, 2)
				require.Equal(t, 2, w.TokensIssued())
				atOnce(t, 50, func() error { return linkOf(t.Context(), c) })
				require.Len(t, d.renewals, 2, "once")
				require.Equal(t, 2, w.Count("auth.token"))
			}, sandbox.WithTokenLife(time.Hour))
		})
	}
}

// A token that is refused while it is being renewed is not waited with: the renewal under way is
// everybody's.
func TestRefusalDuringARenewal(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(59*time.Minute + time.Second)
		w.Script(sandbox.Fault{Operation: "auth.token", Delay: 10 * time.Second})
		require.NoError(t, linkOf(t.Context(), c))
		w.Script(sandbox.Fault{Operation: "identity.link", Status: 401, Delay: time.Second, Times: 20})
		began := time.Now()
		atOnce(t, 20, func() error { return linkOf(t.Context(), c) })
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, 2, w.Count("auth.token"))
		require.Equal(t, 42, w.Count("identity.link"))
	}, sandbox.WithTokenLife(time.Hour))
}

// What a hook panics with in a renewal that nobody waits for reaches the next call, once.
func TestPanicOfARenewalInTheBackground(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		armed := false
		c := w.client(t, exchanging(), WithHooks(Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
			if armed && a.Operation == "auth.token" {
				panic(errBroken)
			}
		}}))
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(59*time.Minute + time.Second)
		armed = true
		require.NoError(t, linkOf(t.Context(), c))
		synctest.Wait()
		armed = false
		require.PanicsWithValue(t, errBroken, func() { _ = linkOf(t.Context(), c) })
		require.NoError(t, linkOf(t.Context(), c))
		synctest.Wait()
		require.NoError(t, linkOf(t.Context(), c))
		require.Equal(t, 3, w.TokensIssued())
	}, sandbox.WithTokenLife(time.Hour))
}

// Of any number of callers, one asks for the token.
func TestOneExchangeForAll(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		w.Script(sandbox.Fault{Operation: "auth.token", Delay: 3 * time.Second})
		start := time.Now()
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() {
				if err := linkOf(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, 1, w.Count("auth.token"))
		require.Equal(t, 200, w.Count("identity.link"))
	})
}

// Who gives up does so at once, and alone; also when it is the one that began the exchange.
func TestWaitersGiveUpAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		w.Script(sandbox.Fault{Operation: "auth.token", Delay: 10 * time.Second})
		start := time.Now()
		var group sync.WaitGroup
		impatient := func(after time.Duration) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(after, cancel)
			err := linkOf(ctx, c)
			if took := time.Since(start); !errors.Is(err, context.Canceled) || took != after {
				t.Errorf("after %v, not %v: %v", took, after, err)
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Operation != "identity.link" || e.Outcome != OutcomeNotSent || e.StatusCode != 0 {
				t.Errorf("%+v", e)
			}
		}
		group.Go(func() { impatient(time.Second) })
		synctest.Wait() // it has begun the exchange
		for i := range 20 {
			group.Go(func() { impatient(time.Duration(i+2) * 100 * time.Millisecond) })
			group.Go(func() {
				if err := linkOf(t.Context(), c); err != nil || time.Since(start) != 10*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if err := linkOf(ctx, c); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		}
		group.Wait()
		require.Equal(t, 1, w.Count("auth.token"))
		require.Equal(t, 20, w.Count("identity.link"))
		require.NoError(t, linkOf(t.Context(), c))
		require.Equal(t, 1, w.Count("auth.token"))
	})
}

// A refused exchange is everybody's error, under its own name; the next call tries again.
func TestFailedExchange(t *testing.T) {
	for status, body := range map[int]string{
		400: nativeBody("api_error.auth.unauthorized"),
		401: nativeBody("api_error.auth.unauthorized"),
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				c := w.client(t, exchanging())
				w.Script(sandbox.Fault{Operation: "auth.token", Status: status, Body: body, Delay: time.Second})
				errs := make([]error, 50)
				var group sync.WaitGroup
				for i := range errs {
					group.Go(func() { errs[i] = linkOf(t.Context(), c) })
				}
				group.Wait()
				for _, err := range errs {
					kindIs(t, err, ErrUnauthorized)
					e := asError(t, err)
					require.Equal(t, "auth.token", e.Operation)
					require.Equal(t, MoneyKit, e.API)
					require.Equal(t, status, e.StatusCode)
					require.Equal(t, CodeAuthUnauthorized, e.Code)
					require.Contains(t, err.Error(), "duolink: auth.token: ")
				}
				require.Equal(t, 1, w.Count(""))
				time.Sleep(flight.ShortestHold)
				require.NoError(t, linkOf(t.Context(), c))
				require.Equal(t, 2, w.Count("auth.token"))
			})
		})
	}
	t.Run("wrong secret", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w world) {
			c := w.client(t, WithMoneyKit(ClientCredentials(sandbox.ClientID, testSecret)))
			err := linkOf(t.Context(), c)
			kindIs(t, err, ErrUnauthorized)
			require.Equal(t, "auth.token", asError(t, err).Operation)
			require.Equal(t, 1, w.Count(""))
		})
	})
	t.Run("no token in the answer", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w world) {
			c := w.client(t, exchanging())
			for _, body := range []string{`{}`, `{"access_token":""}`, `{"access_token":null,"expires_in":3600}`, `[]`, `null`, `<html>`} {
				w.Script(sandbox.Fault{Operation: "auth.token", Status: 201, Body: body})
				err := linkOf(t.Context(), c)
				require.ErrorIs(t, err, ErrMalformedResponse, body)
				require.Equal(t, "auth.token", asError(t, err).Operation)
				time.Sleep(flight.LongestHold)
			}
			require.Zero(t, w.Pending())
			require.Zero(t, w.Count("identity.link"))
		})
	})
	t.Run("a token that no header takes", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w world) {
			c := w.client(t, exchanging())
			w.Script(sandbox.Fault{Operation: "auth.token", Status: 201, Body: `{"access_token":"CANARY\r\nX-Evil: 1","expires_in":3600}`})
			err := linkOf(t.Context(), c)
			require.Error(t, err)
			for _, text := range append(printed(err), logged(err)...) {
				require.NotContains(t, text, "CANARY")
			}
			require.Zero(t, w.Count("identity.link"))
			require.ErrorIs(t, err, ErrMalformedResponse)
			time.Sleep(flight.ShortestHold)
			require.NoError(t, linkOf(t.Context(), c), "it is not kept")
		})
	})
}

// A failed exchange is not hammered: those who come right after it have its error, each in a copy of its own, and of those
// that keep failing there is one a second at most, then one in half a minute.
func TestFailedExchangeIsNotHammered(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		w.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Times: -1})
		first := linkOf(t.Context(), c)
		time.Sleep(400 * time.Millisecond)
		again := linkOf(t.Context(), c)
		kindIs(t, again, ErrUnauthorized)
		require.Equal(t, 600*time.Millisecond, asError(t, again).RetryAfter)
		require.NotSame(t, asError(t, first), asError(t, again))
		require.Equal(t, 1, w.Count(""))

		var after []time.Duration // the time of each exchange
		began := time.Now()
		for seen := w.Count(""); time.Since(began) < 5*time.Minute; time.Sleep(100 * time.Millisecond) {
			require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
			if n := w.Count(""); n > seen {
				after, seen = append(after, time.Since(began)), n
			}
		}
		require.Equal(t, []time.Duration{600 * time.Millisecond, 2600 * time.Millisecond, 6600 * time.Millisecond, 14600 * time.Millisecond,
			30600 * time.Millisecond}, after[:5])
		require.Len(t, after, 13, "one in half a minute, of %d calls", 3000)

		w.ClearScript()
		time.Sleep(flight.LongestHold)
		require.NoError(t, linkOf(t.Context(), c))
		w.ExpireTokens()
		w.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized")})
		require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
		time.Sleep(flight.ShortestHold)
		require.NoError(t, linkOf(t.Context(), c), "after a success it begins with a second")
	})
}

// stubborn lets the first token exchange not out.
type stubborn struct{ asked int }

func (l *stubborn) Wait(_ context.Context, group string) error {
	if strings.HasPrefix(group, "auth.token") {
		if l.asked++; l.asked == 1 {
			return context.DeadlineExceeded
		}
	}
	return nil
}

// An exchange that was not sent has told nothing about the next one.
func TestExchangeThatWasNotSent(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging(), WithLimiter(&stubborn{}))
		require.ErrorIs(t, linkOf(t.Context(), c), context.DeadlineExceeded)
		require.Zero(t, w.Count("auth.token"))
		require.NoError(t, linkOf(t.Context(), c))
	})
}

// Where a renewal ahead of the token's end fails, the token is good until then.
func TestRenewalThatFailsAheadOfTheEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(59*time.Minute + 10*time.Second)
		w.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Times: -1})
		for range 10 {
			require.NoError(t, linkOf(t.Context(), c))
			time.Sleep(4 * time.Second)
		}
		require.Less(t, w.Count("auth.token"), 8)
		time.Sleep(time.Minute)
		require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
	}, sandbox.WithTokenLife(time.Hour))
}

// The exchange that fails before a repetition gives each caller an error of its own to keep and to change.
func TestFailedExchangeBeforeARepetition(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(80 * time.Second)
		const callers = 20
		w.Script(sandbox.Fault{Operation: "identity.link", Status: 503, Header: http.Header{"Retry-After": {"25"}}, Delay: time.Second, Times: callers})
		w.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Delay: 5 * time.Second, Times: -1})
		errs := make([]error, callers)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() { errs[i] = linkOf(t.Context(), c) })
		}
		group.Wait()
		for _, err := range errs {
			kindIs(t, err, ErrUnauthorized)
			require.Equal(t, "auth.token", asError(t, err).Operation)
		}
		require.Equal(t, 2, w.Count("auth.token"))
		require.Equal(t, callers+1, w.Count("identity.link"))
	}, sandbox.WithTokenLife(100*time.Second))
}

// The exchange is repeated like a read, and ends although nobody waits any more.
func TestExchangeIsRepeated(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		w.Script(
			sandbox.Fault{Operation: "auth.token", Status: 502},
			sandbox.Fault{Operation: "auth.token", Drop: sandbox.DropBefore},
			sandbox.Fault{Operation: "auth.token", Status: 429, Header: http.Header{"Retry-After": {"2"}}},
		)
		require.NoError(t, linkOf(t.Context(), c))
		require.Equal(t, 4, w.Count("auth.token"))
	})
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		w.Script(sandbox.Fault{Operation: "auth.token", Delay: time.Hour, Times: -1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, linkOf(ctx, c), context.DeadlineExceeded)
		time.Sleep(10 * time.Minute) // the bubble does not end before the exchange does
		synctest.Wait()
		w.ClearScript()
		require.NoError(t, linkOf(t.Context(), c))
	})
}

// The Plaid-compatible layer is given id and secret; nothing is traded for it.
func TestAuthGetNeedsNoExchange(t *testing.T) {
	for name, credentials := range map[string]Credentials{
		"exchange": ClientCredentials(sandbox.ClientID, sandbox.ClientSecret), "headers": ClientHeaders(sandbox.ClientID, sandbox.ClientSecret),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				c := w.client(t, WithMoneyKit(credentials))
				numbers, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret(sandbox.AccessToken)})
				require.NoError(t, err)
				require.NotEmpty(t, numbers.Numbers.ACH)
				all := w.Requests()
				require.Len(t, all, 1)
				require.Equal(t, "/plaid-compatible/auth/get", all[0].Path)
				require.Equal(t, []string{sandbox.ClientID}, all[0].Header["Plaid-Client-Id"])
				require.Equal(t, []string{sandbox.ClientSecret}, all[0].Header["Plaid-Secret"])
				require.Zero(t, w.TokensIssued())
			})
		})
	}
}

// credentialModes are the sets of credential headers that may stand in one request.
var credentialModes = [][]string{{"Authorization"}, {"X-Client-Id", "X-Client-Secret"}, {"Plaid-Client-Id", "Plaid-Secret"}, {}}

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
					c := w.client(t, WithSupermetrics(BearerToken(sandbox.APIKey)), WithMoneyKit(credentials), withoutRetries())
					w.Script(sandbox.Fault{Operation: "identity.link", Status: 503, Times: 2}) // repetitions are signed anew
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
						require.True(t, slices.ContainsFunc(credentialModes, func(mode []string) bool { return slices.Equal(mode, there) }), "%s: %v", r.Operation, there)
						require.Equal(t, r.Operation == "auth.token", len(there) == 0, r.Operation)
						switch {
						case r.Operation == "auth.get":
							require.Equal(t, credentialModes[2], there)
						case len(opts) > 0 && r.Operation != "auth.token":
							require.Equal(t, "Bearer otok_3", r.Header.Get("Authorization"), r.Operation)
						}
						everything := r.Path + "?" + r.RawQuery
						for _, secret := range []string{sandbox.APIKey, sandbox.ClientID, sandbox.ClientSecret, "otok_"} {
							unescaped, err := url.QueryUnescape(everything)
							require.NoError(t, err)
							require.NotContains(t, everything, secret)
							require.NotContains(t, unescaped, secret)
							require.Equal(t, r.Operation == "auth.token" && strings.HasPrefix(secret, "sandbox-"), strings.Contains(string(r.Body), secret), r.Operation)
						}
						require.False(t, r.KeyInQuery)
					}
				})
			})
		}
	}
}

// Credentials are escaped in the form, whatever they are made of.
func TestExchangeForm(t *testing.T) {
	const id, secret = "id&client_secret=x", "a+b%20c=d&e;f/\"~"
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(401, "") }, WithMoneyKit(ClientCredentials(id, secret)))
	require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
	require.Equal(t, http.MethodPost, m.requests[0].Method)
	require.Empty(t, m.requests[0].URL.RawQuery)
	form, err := url.ParseQuery(m.bodies[0])
	require.NoError(t, err)
	require.Equal(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}, form)
}
