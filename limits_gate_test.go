package duolink

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// probeLimit is how long a probe that gets no answer holds the others up.
const probeLimit = 10 * time.Second

// A hundred callers, and one 429 that asks for ten seconds: until then nothing is sent, and then
// only one request.
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

// The same, with all hundred requests under way before the refusal arrives: nothing follows them.
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

// A refused probe closes the group again. After a lost probe the next probe goes.
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

// A probe without an answer holds the others up for a while, not for its whole time.
func TestProbeThatStalls(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(refusal("10", 1), sandbox.Fault{Delay: 50 * time.Minute})
		began := time.Now()
		_, _ = c.Logins.List(t.Context(), WithoutRetry())
		go func() { _, _ = c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}) }()
		time.Sleep(time.Second)
		_, err := c.Logins.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, 20*time.Second, time.Since(began))
		time.Sleep(time.Hour)
	})
}

// The probe goes alone even if others got a permit before the refusal and were held up by a slow
// credential or at their connection. They ask again.
func TestNobodyPassesTheProbe(t *testing.T) {
	for name, slow := range map[string]func(s *answerer, d time.Duration) []Option{
		"a slow credential": func(s *answerer, d time.Duration) []Option {
			s.mute = true
			return []Option{WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
				return testKey, pace.Sleep(ctx, d)
			}))}
		},
		"a slow connection": func(s *answerer, d time.Duration) []Option {
			s.dial = d
			return []Option{WithSupermetrics(BearerToken(testKey))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers = 20
				s := &answerer{good: answers["links.list"], began: time.Now()}
				c, err := New(append(slow(s, 3*time.Second), WithHTTPClient(&http.Client{Transport: s}))...)
				require.NoError(t, err)
				key := groupsOf(c, linksList)[0].Name
				time.AfterFunc(time.Second, func() { c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Second) })
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() { require.NoError(t, calls["links.list"](t.Context(), c)) })
				}
				wg.Wait()
				require.Len(t, s.at, callers)
				require.Equal(t, 6*time.Second, s.at[0], "after 3 s it was held back, and began anew")
				require.GreaterOrEqual(t, s.at[1], 9*time.Second, "it waits for the probe's answer, and takes its time")
			})
		})
	}
}

// A probe may have to ask again, because its group closed while it waited for a credential. It does
// not wait for itself.
func TestProbeThatAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{good: answers["links.list"], began: time.Now()}
		slow := BearerTokenFunc(func(ctx context.Context) (string, error) {
			return testKey,
				pace.Sleep(ctx, 3*time.Second)
		})
		c, err := New(WithSupermetrics(slow), WithHTTPClient(&http.Client{Transport: s}))
		require.NoError(t, err)
		key := groupsOf(c, linksList)[0].Name
		c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Second)
		time.AfterFunc(2*time.Second, func() { c.pace.Refuse(key, pace.Permit{}, time.Now(), time.Second) })
		require.NoError(t, calls["links.list"](t.Context(), c))
		require.Equal(t, []time.Duration{7 * time.Second}, s.at, "it was let out after 1 s, and after 4 s again")
	})
}

// A closed group also lets nothing out on a second connection, which net/http looks for if the
// first connection is full.
func TestSecondConnectionOfAClosedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{good: answers["links.list"], began: time.Now(), dial: time.Second}
		twice := roundTrip(func(r *http.Request) (*http.Response, error) {
			if err := connected(r, s.dial); err != nil {
				return nil, err
			}
			return s.RoundTrip(r)
		})
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: twice})
		key := groupsOf(c, linksList)[0].Name
		time.AfterFunc(1500*time.Millisecond, func() { c.pace.Refuse(key, pace.Permit{}, time.Now(), 30*time.Second) })
		var r Response
		require.NoError(t, calls["links.list"](t.Context(), c, WithResponse(&r)))
		require.Equal(t, []time.Duration{33500 * time.Millisecond}, s.at, "two seconds after it has opened")
		require.Len(t, r.Attempts, 1)
	})
}

// After a refusal without Retry-After the wait doubles with each refusal in a row, of any caller,
// and with each attempt of a call. Any other answer ends that.
func TestWaitWithoutRetryAfterGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const repetitions = 500
		longest := map[string]time.Duration{}
		for range repetitions {
			s := &answerer{began: time.Now(), good: answers["links.list"]}
			var cooled time.Duration
			c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s}, WithHooks(Hooks{
				Cooldown: func(_ context.Context, cd Cooldown) { cooled = cd.Duration },
			}), WithRetry(Retry{MinBackoff: time.Second, MaxBackoff: 5 * time.Second}))
			refused := func(name string, opts ...CallOption) {
				_ = calls["links.list"](t.Context(), c, opts...)
				longest[name] = max(longest[name], cooled)
				time.Sleep(cooled)
			}
			for _, name := range []string{"1", "2", "3", "4", "5"} {
				s.answering(refusing(""))
				refused(name, WithoutRetry())
			}
			s.answering(nil)
			require.NoError(t, calls["links.list"](t.Context(), c))
			s.answering(refusing(""))
			refused("1 after an answer", WithoutRetry())
			s.answering(nil)
			require.NoError(t, calls["links.list"](t.Context(), c))
			n := 0
			s.answering(func(*http.Request) *http.Response {
				if n++; n == 3 {
					return reply(429, "{}")
				}
				return reply(502, "{}")
			})
			refused("third attempt")
		}
		for name, bound := range map[string]time.Duration{
			"1": time.Second, "2": 2 * time.Second, "3": 4 * time.Second, "4": 5 * time.Second, "5": 5 * time.Second,
			"1 after an answer": time.Second, "third attempt": 4 * time.Second,
		} {
			require.Less(t, longest[name], bound, name)
			require.Greater(t, longest[name], bound*9/10, name)
		}
	})
}

// A server that refuses without a time is asked less and less often, by all callers together. The
// wait of the group doubles with each refusal in a row, up to MaxBackoff. The MaxWait of one caller
// does not shorten it for the others. On average the wait is half of MaxBackoff, so some eighty
// probes go out in ten minutes.
func TestRefusalsWithoutRetryAfter(t *testing.T) {
	t.Parallel()
	rows := map[string][]CallOption{"for a second": {WithMaxWait(time.Second)}, "impatient": {WithMaxWait(0)}}
	if !inShort() {
		rows["patient"] = []CallOption{WithMaxWait(time.Hour)}
		rows["by default"] = nil
		rows["once"] = []CallOption{WithoutRetry()}
	}
	for name, opts := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, most = 50, 50 + 150 // those of the first instant, and nearly twice the average
				s := &answerer{began: time.Now()}
				s.answering(refusing(""))
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for ctx.Err() == nil {
							require.Error(t, calls["links.list"](ctx, c, opts...))
							_ = pace.Sleep(ctx, time.Second)
						}
					})
				}
				wg.Wait()
				t.Logf("%d callers, who call again and again for ten minutes: %d requests", callers, len(s.at))
				require.Less(t, len(s.at), most)
			})
		})
	}
}
