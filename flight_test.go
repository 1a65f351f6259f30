package duolink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Fifty callers want the same of the same link at the same time: one refresh, one reading, and a copy for each.
func TestRefreshIsShared(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		answers, told := make([]*Identity, 50), make([]int, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second) // they need not begin together
				var response Response
				var err error
				answers[i], err = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Progress: func(p RefreshProgress) {
					told[i]++
					require.Equal(t, ProductIdentity, p.Product)
					require.Positive(t, p.Next)
				}}, WithResponse(&response))
				require.NoError(t, err)
				require.Equal(t, 200, response.Status)
				require.NotEmpty(t, response.Body())
				answers[i].Accounts[0].Owners[0].Names[0] = NewSensitive("changed by its caller")
				response.Attempts[0].Number = i
			})
		}
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
		require.Empty(t, c.refreshes.running)
		for i, a := range answers {
			require.Len(t, a.Accounts, len(answers[0].Accounts))
			require.Equal(t, "****", a.Accounts[0].Owners[0].Names[0].String())
			require.Positive(t, told[i])
		}
	})
}

// What is not the same is not shared: another tenant, link, product, account, age or header.
func TestRefreshIsNotShared(t *testing.T) {
	type tenant struct{}
	for name, second := range map[string]func(ctx context.Context, c *Client, token string) error{
		"another token": func(ctx context.Context, c *Client, token string) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithToken(token))
			return err
		},
		"another tenant of a function": func(ctx context.Context, c *Client, token string) error {
			_, err := c.Identity.RefreshAndGet(context.WithValue(ctx, tenant{}, token), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
			return err
		},
		"another link": func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.SecondLinkID, IdentityQuery{}, RefreshOptions{})
			return err
		},
		"other accounts": func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{AccountIDs: []string{sandbox.JointAccountID}}, RefreshOptions{})
			return err
		},
		"the numbers": func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, sandbox.LinkID, RefreshOptions{})
			return err
		},
		"another age": func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{}, RefreshOptions{MaxAge: time.Hour})
			return err
		},
		"a header": func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithHeader("X-Tenant", "2"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.WithRefreshTime(30 * time.Second))
				transport := s.Transport()
				defer transport.Close()
				own, other := s.IssueToken(), s.IssueToken()
				c := sandboxClientWith(t, transport, WithMoneyKit(BearerTokenFunc(func(ctx context.Context) (string, error) {
					if token, ok := ctx.Value(tenant{}).(string); ok {
						return token, nil
					}
					return own, nil
				})))
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
					require.NoError(t, err)
				})
				wg.Go(func() { require.NoError(t, second(t.Context(), c, other)) })
				wg.Wait()
				require.Equal(t, 2, s.Count("identity.refresh"))
				require.Equal(t, 2, s.Count("identity.get")+s.Count("auth.numbers"))
				for _, r := range s.Requests() {
					token := r.Header.Get("Authorization")
					require.Contains(t, []string{"Bearer " + own, "Bearer " + other}, token)
				}
				sent := slices.ContainsFunc(s.Requests(), func(r sandbox.Request) bool { return r.Header.Get("Authorization") == "Bearer "+other })
				require.Equal(t, name == "another token" || name == "another tenant of a function", sent)
			})
		})
	}
}

// A caller who gives up leaves the run to the others; when nobody is left, it ends, and the next caller begins anew.
func TestRefreshIsGivenUp(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		impatient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			began := time.Now()
			var response Response
			_, err := c.Identity.RefreshAndGet(impatient, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithResponse(&response))
			require.Equal(t, 10*time.Second, time.Since(began))
			kindIs(t, err, ErrRefreshPending)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, Unknown, asError(t, err).Outcome)
			require.Equal(t, "duolink: identity.refresh_and_get: refresh pending: the refresh was not seen to end", err.Error())
			response.Status = 1 // it is the caller's again
		})
		wg.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
			require.NoError(t, err)
		})
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})

		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
		require.ErrorIs(t, err, ErrRefreshPending)
		synctest.Wait()
		asked := s.Count("")
		time.Sleep(time.Hour)
		require.Equal(t, asked, s.Count(""), "nobody waits, so nobody asks")
		_, err = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{MaxAge: 2 * time.Hour})
		require.NoError(t, err, "what was refreshed meanwhile is there")
		require.Equal(t, 2, s.Refreshes(sandbox.LinkID))
	})
}

// A hook that panics in a run that many share does so at one of them; the others have an error.
func TestPanicInASharedRun(t *testing.T) {
	broken := errors.New("a hook of the caller's")
	var armed atomic.Bool
	hooks := Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
		if a.Operation == "identity.refresh" && armed.Load() {
			panic(broken)
		}
	}}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		armed.Store(true)
		s.Script(sandbox.Fault{Operation: "identity.link", Delay: time.Second}) // until all are there
		var wg sync.WaitGroup
		var panics, failures atomic.Int32
		for range 10 {
			wg.Go(func() {
				defer func() {
					if r := recover(); r != nil {
						require.Equal(t, broken, r)
						panics.Add(1)
					}
				}()
				_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
				require.Equal(t, "duolink: identity.refresh_and_get: no answer: the run that the call shared did not end well", err.Error())
				require.Equal(t, Unknown, asError(t, err).Outcome)
				failures.Add(1)
			})
		}
		wg.Wait()
		require.Equal(t, []int32{1, 9}, []int32{panics.Load(), failures.Load()})
		armed.Store(false)
		_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
		require.NoError(t, err)
	})
}

// A callback that panics is its caller's affair.
func TestPanicInProgress(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
			require.NoError(t, err)
		})
		wg.Go(func() {
			require.PanicsWithValue(t, "mine", func() {
				_, _ = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Progress: func(RefreshProgress) { panic("mine") }})
			})
		})
		wg.Wait()
		require.Equal(t, 1, s.Refreshes(sandbox.LinkID))
		require.Empty(t, c.refreshes.running)
	})
}
