package duolink

import (
	"context"
	"errors"
	"net/http"
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

func refreshIdentity(ctx context.Context, c *Client, o RefreshOptions, opts ...CallOption) error {
	_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, o, opts...)
	return err
}

// Fifty callers want the same data of one link at the same time: there is one refresh, one reading,
// and a copy for each.
func TestRefreshIsShared(t *testing.T) {
	server := []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		answers, told := make([]*Identity, 50), make([]int, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second) // they need not begin together
				var response Response
				var err error
				options := RefreshOptions{Progress: func(p RefreshProgress) {
					told[i]++
					require.Equal(t, ProductIdentity, p.Product)
					require.Positive(t, p.Next)
				}}
				answers[i], err = c.Identity.RefreshAndGet(
					t.Context(), sandbox.LinkID, options, WithResponse(&response),
				)
				require.NoError(t, err)
				require.Equal(t, 200, response.Status)
				require.Equal(t, byte('{'), response.Body()[0])
				// A caller may change its copies.
				answers[i].Accounts[0].Owners[0].Names[0] = NewSensitive("changed by its caller")
				response.Attempts[0].Number = i
				response.Header().Set("X-Mine", "1")
				clear(response.Body())
			})
		}
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
		noneRunning(t, c.refreshes)
		for i, a := range answers {
			require.Len(t, a.Accounts, len(answers[0].Accounts))
			require.Equal(t, "****", a.Accounts[0].Owners[0].Names[0].String())
			require.Positive(t, told[i])
		}
	})
}

// Callers with another tenant, link or product do not share. The same link is refreshed once,
// whatever else differs. If callers want other accounts, there is another reading.
func TestRefreshIsNotShared(t *testing.T) {
	type tenant struct{}
	get := func(
		ctx context.Context, c *Client, bankLinkID string, o RefreshOptions, opts ...CallOption,
	) error {
		_, err := c.Identity.RefreshAndGet(ctx, bankLinkID, o, opts...)
		return err
	}
	for name, tc := range map[string]struct {
		second           func(ctx context.Context, c *Client, token string) error
		refreshes, reads int
	}{
		"another token": {func(ctx context.Context, c *Client, token string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{}, WithToken(token))
		}, 2, 2},
		"another tenant of a function": {func(ctx context.Context, c *Client, token string) error {
			return get(context.WithValue(ctx, tenant{}, token), c, sandbox.LinkID, RefreshOptions{})
		}, 2, 2},
		"another link": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.SecondLinkID, RefreshOptions{})
		}, 2, 2},
		"the numbers": {func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, sandbox.LinkID, RefreshOptions{})
			return err
		}, 2, 2},
		"a tenant's header": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{}, WithTenantHeader("X-Tenant", "2"))
		}, 2, 2},
		"a header": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{}, WithHeader("X-Trace", "2"))
		}, 1, 1},
		"other accounts": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{AccountIDs: []string{sandbox.JointAccountID}})
		}, 1, 2},
		"another age": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{MaxAge: time.Hour})
		}, 1, 1},
		"another timeout": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{Timeout: 9 * time.Minute})
		}, 1, 1},
		"another patience": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{}, WithMaxWait(time.Second))
		}, 1, 1},
		"nothing": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, RefreshOptions{})
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.WithRefreshTime(30*time.Second), sandbox.WithMoneyKitLimits())
				transport := s.Transport()
				defer transport.Close()
				own, other := s.IssueToken(), s.IssueToken()
				c := sandboxClientWith(t, transport,
					WithMoneyKit(BearerTokenFunc(func(ctx context.Context) (string, error) {
						if token, ok := ctx.Value(tenant{}).(string); ok {
							return token, nil
						}
						return own, nil
					})))
				tenants := strings.Contains(name, "token") || strings.Contains(name, "tenant of")
				var wg sync.WaitGroup
				wg.Go(func() {
					require.NoError(t, get(t.Context(), c, sandbox.LinkID, RefreshOptions{}))
				})
				wg.Go(func() {
					time.Sleep(time.Second)
					err := tc.second(t.Context(), c, other)
					if tenants || name == "a tenant's header" { // the server counts by the link
						require.ErrorIs(t, err, ErrRateLimited)
					} else {
						require.NoError(t, err)
					}
				})
				wg.Wait()
				require.Equal(t, tc.refreshes, s.Count("identity.refresh"))
				reads := s.Count("identity.get") + s.Count("auth.numbers")
				if tenants || name == "a tenant's header" {
					reads++
				}
				require.Equal(t, tc.reads, reads)
				sent := slices.ContainsFunc(s.Requests(), func(r sandbox.Request) bool {
					return r.Header.Get("Authorization") == "Bearer "+other
				})
				require.Equal(t, tenants, sent)
			})
		})
	}
}

// A caller who accepts older data, and comes during a refresh for others, waits like them. If the
// refresh fails, this caller gets the older data, if that is not too old now.
func TestRefreshForTheContent(t *testing.T) {
	server := []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.FailRefreshes(sandbox.LinkID, "no_permission")
		var wg sync.WaitGroup
		for _, tc := range []struct {
			age, comes time.Duration
			kind       error
		}{
			{0, 0, ErrRefreshFailed}, {72 * time.Hour, 80 * time.Second, nil},
			{48*time.Hour + 10*time.Second, time.Second, ErrRefreshFailed},
		} {
			wg.Go(func() {
				began := time.Now()
				time.Sleep(tc.comes)
				err := refreshIdentity(t.Context(), c, RefreshOptions{MaxAge: tc.age})
				require.ErrorIs(t, err, tc.kind)
				require.GreaterOrEqual(t, time.Since(began), 90*time.Second)
			})
		}
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Count("identity.refresh"), s.Count("identity.get")})
	})
}

// A refresh that never ends is given up after an hour, even if callers keep coming.
func TestRefreshThatNeverEnds(t *testing.T) {
	server := []sandbox.Option{sandbox.WithRefreshTime(1000 * time.Hour)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		for range 30 {
			err := refreshIdentity(t.Context(), c, RefreshOptions{Timeout: 5 * time.Minute})
			kindIs(t, err, ErrRefreshPending)
		}
		require.Equal(t, 3, s.Count("identity.refresh"), "in two hours and a half")
		time.Sleep(flight.LongestUnattended)
		noneRunning(t, c.refreshes)
	})
}

// A caller who gives up leaves the run to the others. When nobody is left, a requested refresh is
// watched for a while, so that whoever comes back does not pay for another.
func TestRefreshIsGivenUp(t *testing.T) {
	server := []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		impatient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			began := time.Now()
			var response Response
			err := refreshIdentity(impatient, c, RefreshOptions{}, WithResponse(&response))
			require.Equal(t, 10*time.Second, time.Since(began))
			kindIs(t, err, ErrRefreshPending)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
			require.Equal(t, "duolink: identity.refresh_and_get: refresh pending: the refresh was not seen to end; "+
				"the caller's deadline has passed", err.Error())
			response.Status = 1 // it is the caller's again
		})
		wg.Go(func() {
			err := refreshIdentity(t.Context(), c, RefreshOptions{})
			require.NoError(t, err)
		})
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
	})
}

func TestRefreshIsAskedForAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		fault   sandbox.Fault
		timeout time.Duration
		age     time.Duration
	}{
		"while it goes on": {timeout: 20 * time.Second, age: time.Hour},
		"without an age":   {timeout: 20 * time.Second},
		"given up while it was sent": {
			sandbox.Fault{Operation: "identity.refresh", Delay: 5 * time.Second, Drop: sandbox.DropAfter},
			time.Second, time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second), sandbox.WithMoneyKitLimits()}
			inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(tc.fault)
				err := refreshIdentity(t.Context(), c, RefreshOptions{Timeout: tc.timeout})
				kindIs(t, err, ErrRefreshPending)
				err = refreshIdentity(t.Context(), c, RefreshOptions{MaxAge: tc.age})
				require.NoError(t, err)
				require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
				noneRunning(t, c.refreshes)
			})
		})
	}
}

// A requested refresh that nobody comes back for is watched for a while only. If the refresh was
// not requested, the run ends at once.
func TestRefreshIsLeftAlone(t *testing.T) {
	server := []sandbox.Option{sandbox.WithRefreshTime(time.Hour)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		err := refreshIdentity(t.Context(), c, RefreshOptions{Timeout: time.Minute})
		kindIs(t, err, ErrRefreshPending)
		time.Sleep(flight.LongestUnattended)
		asked := s.Count("")
		time.Sleep(time.Hour)
		require.Equal(t, asked, s.Count(""))
		noneRunning(t, c.refreshes)
		require.Zero(t, s.Count("identity.get"), "nobody is there to read it")

		s.ResetRequests()
		s.Script(sandbox.Fault{Operation: "identity.link", Delay: time.Hour})
		err = refreshIdentity(t.Context(), c, RefreshOptions{Timeout: 5 * time.Second})
		kindIs(t, err, ErrRefreshPending)
		synctest.Wait()
		noneRunning(t, c.refreshes)
		time.Sleep(time.Hour)
		require.Equal(t, 1, s.Count("identity.link"))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err = refreshIdentity(ctx, c, RefreshOptions{})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Equal(t, 1, s.Count("identity.link"), "who has given up before asks for nothing")
	})
}

// Each caller has its own Timeout, even if it comes late.
func TestRefreshTimeoutOfEach(t *testing.T) {
	server := []sandbox.Option{sandbox.WithRefreshTime(70 * time.Second)}
	inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var wg sync.WaitGroup
		for _, tc := range []struct {
			starts time.Duration
			kind   error
		}{{0, ErrRefreshPending}, {55 * time.Second, nil}} {
			wg.Go(func() {
				time.Sleep(tc.starts)
				err := refreshIdentity(t.Context(), c, RefreshOptions{Timeout: time.Minute})
				require.ErrorIs(t, err, tc.kind)
			})
		}
		wg.Wait()
		require.Equal(t, 1, s.Refreshes(sandbox.LinkID))
	})
}

// If a hook panics in a shared run, one caller gets the panic, and the others get an error.
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
				err := refreshIdentity(t.Context(), c, RefreshOptions{})
				require.Equal(t, "duolink: identity.refresh_and_get: no answer: "+
					"the run that the call shared did not end well", err.Error())
				require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
				failures.Add(1)
			})
		}
		wg.Wait()
		require.Equal(t, []int32{1, 9}, []int32{panics.Load(), failures.Load()})
		armed.Store(false)
		err := refreshIdentity(t.Context(), c, RefreshOptions{})
		require.NoError(t, err)
	})
}

// The panic of a callback reaches only its own caller.
func TestPanicInProgress(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.link", Delay: time.Second}) // until both are there
		var wg sync.WaitGroup
		wg.Go(func() {
			err := refreshIdentity(t.Context(), c, RefreshOptions{})
			require.NoError(t, err)
		})
		wg.Go(func() {
			require.PanicsWithValue(t, "mine", func() {
				_ = refreshIdentity(t.Context(), c, RefreshOptions{Progress: func(RefreshProgress) { panic("mine") }})
			})
		})
		wg.Wait()
		require.Equal(t, 1, s.Refreshes(sandbox.LinkID))
		noneRunning(t, c.refreshes)
	})
}

// The client holds the keys of runs, which are made from credentials. No verb prints them.
func TestRunningFlightNeverPrints(t *testing.T) {
	const token, link = "tok_canary_KJHGFDSA_zyxwvu_6789", "mk_canary_KJHGFDSA_zyxwvu_6789"
	synctest.Test(t, func(t *testing.T) {
		printed := make(chan struct{})
		c, _ := inMemory(t, func(*http.Request) *http.Response {
			<-printed
			return reply(500, "")
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), link, RefreshOptions{}, WithToken(token))
			kindIs(t, err, ErrServer)
		})
		synctest.Wait() // fmt looks at everything, so all has to stand still
		require.Equal(t, 1, c.refreshes.Running())
		for name, value := range map[string]any{
			"client": c, "hidden": struct{ c *Client }{c}, "by value": struct{ c Client }{*c},
			"runs": struct{ a, b any }{c.refreshes, c.creates},
		} {
			discreet(t, name, value, token, link)
		}
		close(printed)
		wg.Wait()
	})
}
