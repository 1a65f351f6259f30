package duolink

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// A token is renewed before it expires, by a tenth of its life, at most a minute.
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
					w.Script(sandbox.Fault{
						Operation: "auth.token",
						Body: `{"access_token":"` + w.IssueToken() + `","token_type":"bearer","expires_in":` +
							tc.answer + `}`,
					})
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

// The waits for a login and for a refresh outlast a token, with any code of the refusal. They end
// if a new token is refused at once, or if there is only the same token.
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
			later(time.Minute, func() {
				require.NoError(t,
					w.CompleteLogin(sandbox.OpenLoginLinkID, "avery@example.com"))
			})
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
		c := w.client(t,
			WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) { return sandbox.APIKey, nil })))
		w.Script(sandbox.Fault{Operation: "links.create", Drop: sandbox.DropAfter},
			sandbox.Fault{Operation: "links.list"},
			sandbox.Fault{Operation: "links.list", Status: 401, Times: -1})
		_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.ErrorIs(t, err, ErrUnauthorized)
		require.Equal(t, 2, w.Count("links.list"))
	})
}

// Nobody waits for a renewal before the token expires, because the old token is still good.
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

// If a token is refused while it is being renewed, all calls wait for the renewal under way.
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

// The panic of a hook in a renewal that nobody waits for reaches the next call, once.
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

// If a renewal fails before the token expires, the token is used until it expires.
func TestRenewalThatFailsAheadOfTheEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, exchanging())
		require.NoError(t, linkOf(t.Context(), c))
		time.Sleep(59*time.Minute + 10*time.Second)
		w.Script(sandbox.Fault{
			Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Times: -1,
		})
		for range 10 {
			require.NoError(t, linkOf(t.Context(), c))
			time.Sleep(4 * time.Second)
		}
		require.Less(t, w.Count("auth.token"), 8)
		time.Sleep(time.Minute)
		require.ErrorIs(t, linkOf(t.Context(), c), ErrUnauthorized)
	}, sandbox.WithTokenLife(time.Hour))
}

// If a renewal fails, all who waited for it get an error, each in its own copy.
func TestFailedRenewalOfMany(t *testing.T) {
	for name, warm := range map[string]bool{"first exchange": false, "renewal after an expiry": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, []Option{WithRetry(Retry{MaxAttempts: 2})},
				func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					if warm {
						require.NoError(t, getBankLink(t.Context(), c))
						s.ExpireTokens()
					}
					s.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Delay: time.Second, Times: -1})
					errs := make([]*Error, 64)
					var wg sync.WaitGroup
					for i := range errs {
						wg.Go(func() { errs[i], _ = errors.AsType[*Error](getBankLink(context.Background(), c)) })
					}
					wg.Wait()
					own := map[*Error]bool{}
					for _, e := range errs {
						require.ErrorIs(t, e, ErrUnauthorized)
						require.Equal(t, "auth.token", e.Operation)
						require.Equal(t, 1, e.Attempts)
						own[e] = true
					}
					require.Len(t, own, len(errs))
				})
		})
	}
}
