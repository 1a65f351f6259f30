package duolink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

func TestGoldenAuthToken(t *testing.T) {
	for file, seconds := range map[string]int64{
		"sample.json": 3600, "float.json": 3600, "unknown.json": 3600, "absent.json": 0, "null.json": 0,
	} {
		t.Run(file, func(t *testing.T) {
			c, m := inMemory(t, func(r *http.Request) *http.Response {
				if r.URL.Path == "/auth/token" {
					return reply(201, golden(t, "auth.token/"+file))
				}
				return reply(200, golden(t, "identity.link/sample.json"))
			}, WithMoneyKit(ClientCredentials(testID, testSecret)))
			for range 2 {
				_, err := c.Identity.Link(t.Context(), bankLink)
				require.NoError(t, err)
			}
			require.Len(t, m.requests, 3, "one exchange and two calls")
			for _, r := range m.requests[1:] {
				require.Equal(t, "Bearer example-access-token-0001", r.Header.Get("Authorization"))
			}
			token, err := wire.Whole(wire.Document([]byte(golden(t, "auth.token/"+file)), 0), readToken)
			require.NoError(t, err)
			require.Equal(t, "example-access-token-0001", token.Token.Reveal())
			require.Equal(t, seconds, token.ExpiresIn)
		})
	}
}

// The exchange is documented with 201. Any other 2xx is accepted.
func TestTokenExchangeStatuses(t *testing.T) {
	for _, status := range []int{200, 201} {
		c, m := inMemory(t, func(r *http.Request) *http.Response {
			if r.URL.Path == "/auth/token" {
				return reply(status, golden(t, "auth.token/sample.json"))
			}
			return reply(200, golden(t, "identity.link/sample.json"))
		}, WithMoneyKit(ClientCredentials(testID, testSecret)))
		_, err := c.Identity.Link(t.Context(), bankLink)
		require.NoError(t, err, status)
		require.Len(t, m.requests, 2)
	}
}

// Credentials are escaped in the form, whatever they are made of.
func TestExchangeForm(t *testing.T) {
	const id, secret = "id&client_secret=x", "a+b%20c=d&e;f/\"~"
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(401, "") },
		WithMoneyKit(ClientCredentials(id, secret)))
	require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
	require.Equal(t, http.MethodPost, m.requests[0].Method)
	require.Empty(t, m.requests[0].URL.RawQuery)
	form, err := url.ParseQuery(m.bodies[0])
	require.NoError(t, err)
	require.Equal(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}},
		form)
}

// The scopes are sent with the exchange. What cannot be a scope is refused.
func TestExchangeScope(t *testing.T) {
	for _, scopes := range [][]string{{"links:read"}, {"links:read", "identity:read"}} {
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(401, "") },
			WithMoneyKit(ClientCredentials(testID, testSecret, scopes...)))
		require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
		form, err := url.ParseQuery(m.bodies[0])
		require.NoError(t, err)
		require.Equal(t, strings.Join(scopes, " "), form.Get("scope"))
	}
	for _, scope := range []string{"", " ", "a b", "a\n", "é"} {
		_, err := New(WithMoneyKit(ClientCredentials(testID, testSecret, "links:read", scope)))
		kindIs(t, err, ErrArgument)
	}
}

// Another version of the API is sent with every native call, and with no other.
func TestWithMoneyKitVersion(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(403, "") },
		WithMoneyKit(ClientHeaders(testID, testSecret)), WithSupermetrics(BearerToken(testKey)),
		WithMoneyKitVersion("2025-01-31"))
	for operation, call := range calls {
		m.requests = nil
		require.ErrorIs(t, call(t.Context(), c), ErrForbidden)
		want := ""
		if strings.HasPrefix(operation, "identity.") || operation == "auth.numbers" {
			want = "2025-01-31"
		}
		require.Equal(t, want, m.requests[0].Header.Get("MoneyKit-Version"), operation)
	}
	for _, version := range []string{"", "latest", "2025-1-31", "2025-02-30", "2025-01-31 ", "20250131"} {
		_, err := New(WithMoneyKitVersion(version))
		kindIs(t, err, ErrArgument)
	}
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

// A caller who gives up returns at once, and the others go on, even if that caller began the
// exchange.
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
				if err := linkOf(ctx, c); !errors.Is(err, context.DeadlineExceeded) ||
					time.Since(start) > 5*time.Second {
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

// All waiting calls get the error of a refused exchange, with the name of the exchange. The next
// call tries again.
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
			for _, body := range []string{
				`{}`, `{"access_token":""}`, `{"access_token":null,"expires_in":3600}`, `[]`, `null`, `<html>`,
			} {
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
			w.Script(sandbox.Fault{
				Operation: "auth.token", Status: 201, Body: `{"access_token":"CANARY\r\nX-Evil: 1","expires_in":3600}`,
			})
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

// A failed exchange is not tried again at once. Calls right after it get its error, each in its own
// copy. If it keeps failing, there is one exchange a second at most, and later one in half a
// minute.
func TestFailedExchangeIsNotHammered(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		w.Script(sandbox.Fault{
			Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Times: -1,
		})
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
		require.Equal(t,
			[]time.Duration{600 * time.Millisecond, 2600 * time.Millisecond, 6600 * time.Millisecond,
				14600 * time.Millisecond,
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

// stubborn is a limiter that refuses the first token exchange.
type stubborn struct{ asked int }

func (l *stubborn) Report(Group, Answer) {}

func (l *stubborn) Wait(_ context.Context, group Group) error {
	if group.Operation == "auth.token" {
		if l.asked++; l.asked == 1 {
			return context.DeadlineExceeded
		}
	}
	return nil
}

// If an exchange was not sent, the next one may be tried at once.
func TestExchangeThatWasNotSent(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging(), WithLimiter(&stubborn{}))
		require.ErrorIs(t, linkOf(t.Context(), c), context.DeadlineExceeded)
		require.Zero(t, w.Count("auth.token"))
		require.NoError(t, linkOf(t.Context(), c))
	})
}

// The exchange that fails before a repetition gives each caller an error of its own to keep and to
// change.
func TestFailedExchangeBeforeARepetition(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(80 * time.Second)
		const callers = 20
		w.Script(sandbox.Fault{
			Operation: "identity.link", Status: 503, Header: http.Header{"Retry-After": {"25"}}, Delay: time.Second,
			Times: callers,
		})
		w.Script(sandbox.Fault{
			Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"),
			Delay: 5 * time.Second,
			Times: -1,
		})
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

// The exchange is repeated like a read, and ends even if nobody waits any more.
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

// The Plaid-compatible layer gets id and secret, without an exchange.
func TestAuthGetNeedsNoExchange(t *testing.T) {
	for name, credentials := range map[string]Credentials{
		"exchange": ClientCredentials(sandbox.ClientID, sandbox.ClientSecret),
		"headers":  ClientHeaders(sandbox.ClientID, sandbox.ClientSecret),
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
