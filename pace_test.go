package duolink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/hashicorp/go-retryablehttp"
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
	return sandboxClientWith(t, transport, append([]Option{WithMoneyKit(ClientCredentials(sandbox.ClientID, sandbox.ClientSecret))}, opts...)...)
}

// sandboxClientWith is a client that has MoneyKit's credential among its options.
func sandboxClientWith(t *testing.T, transport http.RoundTripper, opts ...Option) *Client {
	t.Helper()
	c, err := New(append([]Option{
		WithSupermetrics(BearerToken(sandbox.APIKey)),
		WithBaseURL(Supermetrics, "http://sandbox.test/v2"), WithBaseURL(MoneyKit, "http://sandbox.test"), WithInsecureHTTP(),
		WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// A hundred callers, and one 429 that asks for ten seconds: until then nothing is sent, and then one request alone.
func TestOneRefusalForAll(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(refusal("10", 1))
		began := time.Now()
		_, err := c.Links.Get(t.Context(), "dsll_1", WithoutRetry())
		require.ErrorIs(t, err, ErrRateLimited)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := c.Logins.List(t.Context())
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, 101, s.Count(""))
		at := times(s, began)
		require.Zero(t, at[0])
		require.Equal(t, 10*time.Second, at[1], "the probe, at the very instant")
		require.Greater(t, at[2], 10*time.Second)
	})
}

// The same, with all hundred under way before the refusal arrives: what was in flight is in flight, nothing follows it.
func TestOneRefusalInFlight(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		slow := refusal("10", 1)
		slow.Delay = time.Second
		s.Script(slow, sandbox.Fault{Delay: 2 * time.Second, Times: 49})
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i/50) * 1500 * time.Millisecond) // fifty at once, fifty after the refusal
				_, err := c.Logins.List(t.Context())
				require.NoError(t, err)
			})
		}
		wg.Wait()
		at := times(s, began)
		require.Len(t, at, 101)
		require.Equal(t, time.Duration(0), at[49])
		require.Equal(t, 11*time.Second, at[50], "ten seconds after the refusal")
		require.Greater(t, at[51], 11*time.Second)
	})
}

// A probe that is refused closes the group again; one that is lost lets the next probe go.
func TestProbeThatFails(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(refusal("10", 1), refusal("20", 1), sandbox.Fault{Drop: sandbox.DropBefore})
		began := time.Now()
		var wg sync.WaitGroup
		_, _ = c.Logins.List(t.Context(), WithoutRetry())
		for range 20 {
			wg.Go(func() {
				_, err := c.Logins.List(t.Context())
				require.NoError(t, err)
			})
		}
		wg.Wait()
		at := times(s, began)
		require.Equal(t, []time.Duration{0, 10 * time.Second, 30 * time.Second}, at[:3])
		require.Len(t, at, 23)
	})
}

// A probe that gets no answer holds the others up for a while, not for its whole time.
func TestProbeThatStalls(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(refusal("10", 1), sandbox.Fault{Delay: 50 * time.Minute})
		began := time.Now()
		_, _ = c.Logins.List(t.Context(), WithoutRetry())
		go func() { _, _ = c.Logins.ListAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}) }()
		time.Sleep(time.Second)
		_, err := c.Logins.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, 20*time.Second, time.Since(began))
		time.Sleep(time.Hour)
	})
}

// Groups are apart: another tenant, another operation on a MoneyKit link and another link are not held up.
func TestGroupsAreApart(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithAPIKey("api_tenant_2")}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		began := time.Now()
		s.Script(refusal("3600", 1))
		_, err := c.Logins.List(t.Context())
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Logins.List(t.Context(), WithToken("api_tenant_2"))
		require.NoError(t, err)

		_, err = c.Identity.Link(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		s.Script(refusal("3600", 1))
		_, err = c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{})
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{})
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Identity.Get(t.Context(), sandbox.SecondLinkID, IdentityQuery{})
		require.NoError(t, err)
		_, err = c.Auth.Numbers(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		_, err = c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret(sandbox.AccessToken)})
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		require.Equal(t, 1, s.Count("identity.get")-1, "refused once, and the other link's")
	})
}

// Pacing ends when nobody has had to wait for a minute, and the group is forgotten.
func TestPacingEnds(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(refusal("10", 1))
		_, err := c.Logins.List(t.Context())
		require.NoError(t, err)
		require.Len(t, c.pace.groups, 1)
		time.Sleep(2 * paceEnds)
		_, err = c.Logins.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, c.pace.groups)
	})
}

// Memory stays bounded under a million links that are each refused: of a closed group a few bytes
// are kept, because it must not be forgotten.
func TestPaceIsBounded(t *testing.T) {
	links := 1_000_000
	if inShort() {
		links = 4 * mostGroups
	}
	inUse := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, p, now := inUse(), newPace(), time.Now()
	for i := range links {
		key := groupKey("identity.get", strconv.Itoa(i))
		p.accept(key, &pass{}, now)
		p.refuse(key, &pass{}, now, time.Minute+time.Duration(i))
	}
	took := inUse() - before
	require.LessOrEqual(t, len(p.groups), mostGroups)
	require.Equal(t, links, len(p.groups)+len(p.shut), "all of them are closed")
	t.Logf("%d closed groups take %.0f bytes each: %d of them are kept whole", links, took/float64(links), len(p.groups))
	require.Less(t, took/float64(links), 300.0)

	p.groups = nil
	perGroup := (inUse() - before) / float64(len(p.shut))
	t.Logf("the others take %.0f bytes each", perGroup)
	require.Less(t, perGroup, 150.0)
	runtime.KeepAlive(p)
}

// The client asks a caller's Limiter before each attempt, by a name that tells nothing.
func TestLimiter(t *testing.T) {
	l := &recordingLimiter{}
	inBubble(t, nil, []Option{WithLimiter(l)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Status: 502})
		_, err := c.Links.Get(t.Context(), "dsll_1")
		require.NoError(t, err)
		require.Len(t, l.groups, 2)
		require.Equal(t, l.groups[0], l.groups[1])
		require.NotContains(t, l.groups[0], sandbox.APIKey)

		l.err = errors.New("no room")
		_, err = c.Links.Get(t.Context(), "dsll_1")
		require.ErrorIs(t, err, l.err)
		e, _ := errors.AsType[*Error](err)
		require.Equal(t, NotSent, e.Outcome)
		require.Equal(t, 2, s.Count(""))
	})
}

type recordingLimiter struct {
	groups []string
	err    error
}

func (l *recordingLimiter) Wait(_ context.Context, group string) error {
	l.groups = append(l.groups, group)
	return l.err
}

// handler is a connection to a sandbox without one: for ten thousand requests it matters.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// The job that the README's table on retries measures: a thousand callers make ten calls each against a server that takes
// twenty requests a second, and says Retry-After: 1 to the others. At best it takes 500 seconds.
const callers, each, perSecond = 1000, 10, 20

type measured struct {
	took                     time.Duration
	calls, failed            int
	requests, later, refused int // later and refused are those after the first instant
}

func job(s *sandbox.Sandbox, callers int, do func() error) measured {
	var failed atomic.Int32
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for range each {
				if do() != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	m := measured{took: time.Since(began), calls: callers * each, failed: int(failed.Load())}
	for _, r := range s.Requests() {
		m.requests++
		if r.Time.After(began) {
			m.later++
			if r.Status == http.StatusTooManyRequests {
				m.refused++
			}
		}
	}
	return m
}

func (m measured) String() string {
	return fmt.Sprintf("%v, %d of %d calls failed, %d requests, %d of %d refused after the first instant (%.1f %%)",
		m.took.Round(time.Second), m.failed, m.calls, m.requests, m.refused, m.later, 100*float64(m.refused)/float64(m.later))
}

// firstInstant decides in which order the answers to what is sent at one instant arrive: so many of the good ones, then the
// refusals, then the rest.
type firstInstant struct {
	next           http.RoundTripper
	began          time.Time
	good           atomic.Int64
	known          int64
	refusals, rest chan struct{} // closed when it is their turn
}

func newFirstInstant(next http.RoundTripper, known int64) *firstInstant {
	f := &firstInstant{next: next, began: time.Now(), known: known, refusals: make(chan struct{}), rest: make(chan struct{})}
	time.AfterFunc(time.Millisecond, func() { close(f.refusals) })
	time.AfterFunc(2*time.Millisecond, func() { close(f.rest) })
	return f
}

func (f *firstInstant) RoundTrip(r *http.Request) (*http.Response, error) {
	first := time.Now().Equal(f.began)
	resp, err := f.next.RoundTrip(r)
	switch {
	case err != nil || !first:
	case resp.StatusCode == http.StatusTooManyRequests:
		<-f.refusals
	case f.good.Add(1) > f.known:
		<-f.rest
	}
	return resp, err
}

// How many answers have arrived before the first refusal is what the client knows of the rate by then. That is a matter of chance,
// so what comes of it must not be.
func TestPaceOfAThousand(t *testing.T) {
	rows := map[string]func(http.RoundTripper) http.RoundTripper{
		"as it comes": func(next http.RoundTripper) http.RoundTripper { return next },
	}
	known, callers := []int64{0, 1, 2, 5, 10, perSecond}, callers
	if inShort() { // the race detector has 256 slots, and may crash if the goroutines of bubbles take them from one another
		known, callers = []int64{2}, 100
	}
	for _, n := range known {
		rows[fmt.Sprint(n, " known")] = func(next http.RoundTripper) http.RoundTripper {
			return newFirstInstant(next, n)
		}
	}
	for name, transport := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.WithRequestsPerSecond(perSecond), sandbox.WithHourlyLimit(0))
				c := sandboxClient(t, transport(handler{s}), WithRetry(Retry{MaxWait: time.Hour}))
				m := job(s, callers, func() error {
					_, err := c.Links.Get(context.Background(), sandbox.OpenLoginLinkID)
					return err
				})
				t.Log("duolink:", m)
				require.Zero(t, m.failed)
				// The search for the rate takes some seconds. Then the rate is the server's but for a little.
				require.Less(t, m.took, time.Duration(m.calls/perSecond)*time.Second+25*time.Second)
				// At a refusal the rate falls by a fifth. It grows in each second by a hundredth of what it was then, so
				// that it takes 25 s to where it was refused. The search overshoots by less than three times in a
				// second. After five refusals the rate is a third.
				require.LessOrEqual(t, m.refused, int(m.took/(25*time.Second))+5)
			})
		})
	}
}

// The same job by go-retryablehttp as it comes, but for its log: what the README compares with.
func TestPaceOfPlainRetryablehttp(t *testing.T) {
	if inShort() {
		t.Skip("a figure to compare with, and nothing of ours")
	}
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.WithRequestsPerSecond(perSecond), sandbox.WithHourlyLimit(0))
		plain := retryablehttp.NewClient()
		plain.Logger = nil
		plain.HTTPClient = &http.Client{Transport: handler{s}}
		m := job(s, callers, func() error {
			req, err := retryablehttp.NewRequest(http.MethodGet, "http://sandbox.test/v2/ds/login/link/"+sandbox.OpenLoginLinkID, nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+sandbox.APIKey)
			resp, err := plain.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		})
		t.Log("go-retryablehttp:", m)
		require.Equal(t, m.calls, m.failed+m.requests-m.refused-(m.requests-m.later-perSecond), "every call ended somehow")
	})
}
