package duolink

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// inBubble runs a test in virtual time, with a client of a sandbox over an in-memory connection. At its end no goroutine
// may be left: synctest fails the test otherwise.
func inBubble(t *testing.T, server []sandbox.Option, opts []Option, test func(t *testing.T, c *Client, s *sandbox.Sandbox)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(server...)
		transport := s.Transport()
		defer transport.Close()
		test(t, sandboxClient(t, transport, opts...), s)
	})
}

func sandboxClient(t *testing.T, transport http.RoundTripper, opts ...Option) *Client {
	t.Helper()
	c, err := New(append([]Option{
		WithSupermetrics(BearerToken(sandbox.APIKey)),
		WithMoneyKit(ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)),
		WithBaseURL(Supermetrics, "http://sandbox.test/v2"), WithBaseURL(MoneyKit, "http://sandbox.test"), WithInsecureHTTP(),
		WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// A thousand callers against twenty requests a second: all succeed, near the ideal time, and few requests are refused.
func TestPaceOfAThousand(t *testing.T) {
	const (
		callers, each, perSecond = 1000, 10, 20
	)
	inBubble(t, []sandbox.Option{sandbox.WithRequestsPerSecond(perSecond), sandbox.WithHourlyLimit(0)},
		[]Option{WithRetry(Retry{MaxWait: time.Hour, MaxAttempts: 10})},
		func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			began := time.Now()
			var failed atomic.Int32
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range each {
						if _, err := c.Links.Get(context.Background(), sandbox.OpenLoginLinkID); err != nil {
							failed.Add(1)
						}
					}
				})
			}
			wg.Wait()
			took := time.Since(began)
			refused := 0
			for _, r := range s.Requests() {
				if r.Status == http.StatusTooManyRequests && r.Time.After(began) {
					refused++
				}
			}
			later := len(s.Requests()) - callers
			t.Logf("%d calls in %v (ideal 500 s), %d requests, %d refused after the first burst (%.2f %%)",
				callers*each, took, len(s.Requests()), refused, 100*float64(refused)/float64(later))
			require.Zero(t, failed.Load())
			require.Less(t, took, 625*time.Second)
			require.LessOrEqual(t, float64(refused), 0.03*float64(later))
		})
}
