package redislimit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var everything = duolink.Group{
	API: duolink.Supermetrics, Scope: duolink.ScopeCredential, Operation: "links.list", Name: "supermetrics/1",
}

// A group that one process has seen refused is closed for all of them. A shorter time changes nothing.
func TestFleetCoolsDownTogether(t *testing.T) {
	t.Parallel()
	f := fleetsOn(t, startRedis(t), 3)
	f[0].Report(everything, duolink.Answer{Refused: true, RetryAfter: 2 * time.Second})
	f[1].Report(everything, duolink.Answer{Refused: true, RetryAfter: 100 * time.Millisecond})
	closed := time.Now()
	var waits sync.WaitGroup
	for _, fleet := range f {
		waits.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := fleet.Wait(ctx, everything)
			require.ErrorIs(t, err, duolink.ErrRateLimited)
			require.ErrorContains(t, err, "try again in 2s")
			require.Less(t, time.Since(closed), time.Second, "the wait is not started")
			require.NoError(t, fleet.Wait(t.Context(), everything))
			require.Greater(t, time.Since(closed), 1900*time.Millisecond)
		})
	}
	waits.Wait()
	other := everything
	other.Name = "supermetrics/2"
	f[0].Report(everything, duolink.Answer{Refused: true, RetryAfter: time.Minute})
	require.NoError(t, f[0].Wait(t.Context(), other), "another credential is not concerned")
}

// A request that waits for its turn does not go if its group closes meanwhile.
func TestFleetClosesBeforeATurn(t *testing.T) {
	t.Parallel()
	budgets := duolink.Budgets{
		{API: duolink.Supermetrics, Scope: duolink.ScopeCredential}: {Requests: 5, Per: time.Second},
	}
	f := fleetsOn(t, startRedis(t), 2, WithBudgets(budgets))
	require.NoError(t, f[0].Wait(t.Context(), everything))
	began := time.Now()
	waited := make(chan time.Duration)
	go func() {
		_ = f[0].Wait(t.Context(), everything)
		waited <- time.Since(began)
	}()
	f[1].Report(everything, duolink.Answer{Refused: true, RetryAfter: time.Second})
	require.GreaterOrEqual(t, <-waited, 900*time.Millisecond)
}

// A call that cannot have a turn in time fails at once and says when. A refresh that the server has rejected
// gives the day's budget back.
func TestFleetDoesNotWaitInVain(t *testing.T) {
	t.Parallel()
	f := fleetsOn(t, startRedis(t), 2)
	refresh := duolink.Group{
		API: duolink.MoneyKit, Operation: "identity.refresh", Scope: duolink.ScopeProduct,
		Product: duolink.ProductIdentity, Name: "identity.refresh/1",
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, f[0].Wait(ctx, refresh))
	began := time.Now()
	err := f[1].Wait(ctx, refresh)
	require.ErrorIs(t, err, duolink.ErrRateLimited)
	e, ok := errors.AsType[*duolink.Error](err)
	require.True(t, ok)
	require.Equal(t, 24*time.Hour, e.RetryAfter.Round(time.Minute))
	require.Less(t, time.Since(began), 10*time.Second)

	f[0].Report(refresh, duolink.Answer{Status: 422, Outcome: duolink.OutcomeRejected})
	require.NoError(t, f[1].Wait(ctx, refresh))
	f[1].Report(refresh, duolink.Answer{Status: 202})
	require.Error(t, f[0].Wait(ctx, refresh))
}

// Callers who wait for a turn end with their contexts, and leave nothing behind.
func TestQueueEnds(t *testing.T) {
	t.Parallel()
	f := fleetsOn(t, startRedis(t), 1)[0]
	var callers sync.WaitGroup
	for i := range 100 {
		callers.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(i)*3*time.Millisecond, cancel)
			defer cancel()
			for f.Wait(ctx, everything) == nil {
			}
			require.ErrorIs(t, ctx.Err(), context.Canceled)
		})
	}
	callers.Wait()
	require.Empty(t, f.queues)
}

// Ten thousand links leave keys that expire, with no id or credential in them.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	const links = 10_000
	s := startRedis(t)
	budgets := duolink.PublishedBudgets()
	for kind, b := range budgets {
		b.Per = 3 * time.Second
		if kind.Scope != duolink.ScopeLink {
			b.Requests, b.Burst = 10*links, links
		}
		budgets[kind] = b
	}
	f := fleetsOn(t, s, 1, WithBudgets(budgets), WithNamespace("billing"))[0]
	server := roundTripper(func(r *http.Request) (*http.Response, error) {
		reply := &http.Response{
			StatusCode: http.StatusNotFound, Header: http.Header{}, Request: r,
			Body: io.NopCloser(strings.NewReader(`{}`)),
		}
		if r.URL.Path[len(r.URL.Path)-1] == '0' { // a sixteenth is refused
			reply.StatusCode = http.StatusTooManyRequests
			reply.Header.Set("Retry-After", "1")
		}
		return reply, nil
	})
	const secret = "s3cr3t-of-a-tenant"
	c, err := duolink.New(
		duolink.WithMoneyKit(duolink.ClientHeaders("id-"+secret, secret)), duolink.WithLimiter(f),
		duolink.WithHTTPClient(&http.Client{Transport: server}),
	)
	require.NoError(t, err)
	var callers sync.WaitGroup
	ids := make(chan string)
	for range 20 {
		callers.Go(func() {
			for id := range ids {
				_, err := c.Identity.Link(t.Context(), id, duolink.WithoutRetry())
				require.Error(t, err)
			}
		})
	}
	for range links {
		id := make([]byte, 8)
		for i := range id {
			id[i] = byte(rand.IntN(256))
		}
		ids <- "link" + hex.EncodeToString(id)
	}
	close(ids)
	callers.Wait()

	client, most := s.client(), 0
	scan := client.Scan(t.Context(), 0, "*", 1000).Iterator()
	for scan.Next(t.Context()) {
		most++
		key := scan.Val()
		require.Regexp(t, `^(rate:)?billing:\{[0-9a-f]{32}\}:(budget|closed)$`, key)
		left := client.PTTL(t.Context(), key).Val()
		require.True(t, left >= 0 || left == -2, "%s does not expire: %v", key, left)
	}
	require.NoError(t, scan.Err())
	t.Logf("%d keys", most)
	require.LessOrEqual(t, most, 2*links+1)
	require.Eventually(t, func() bool { return client.DBSize(t.Context()).Val() == 0 }, soon, often)
	require.Empty(t, f.queues)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What cannot be meant so is refused.
func TestNew(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = client.Close() }()
	fallback := limiterFunc(func(context.Context, duolink.Group) error { return nil })
	for want, opts := range map[string][]Option{
		"an option is nil":                {nil},
		"the namespace is empty":          {WithNamespace("")},
		"has a space, a brace":            {WithNamespace("a{b}")},
		"the limiter is nil":              {WithFallback(nil)},
		"has a member that is negative":   {WithBudgets(duolink.Budgets{{}: {}})},
		"FailClosed and WithFallback exc": {FailClosed(), WithFallback(fallback)},
	} {
		_, err := New(client, opts...)
		require.ErrorIs(t, err, duolink.ErrArgument)
		require.ErrorContains(t, err, want)
	}
	_, err := New(nil)
	require.ErrorIs(t, err, duolink.ErrArgument)
	f, err := New(client, WithBudgets(nil))
	require.NoError(t, err)
	require.Equal(t, duolink.PublishedBudgets(), f.budgets)
	require.NotContains(t, fmt.Sprint(f.key("identity.get/1", "budget")), "identity")
}
