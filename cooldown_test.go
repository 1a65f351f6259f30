package duolink

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// The rules of the pace, as they stand on top of cooldown.go, each shown by itself and in virtual time.

// free is a request's leave from a group in which nothing was refused yet.
func free() *pass { return &pass{release: func() {}} }

// acceptEvery has n answers accepted at the beginning of each second.
func acceptEvery(p *pace, began time.Time, seconds, n int) {
	for i := range seconds {
		for range n {
			p.accept("g", free(), began.Add(time.Duration(i)*time.Second))
		}
	}
}

// The rate that a group begins with is what was accepted in the last minute or two. The wait that the server asks for is a part
// of that time. Where it is less than a request a second, it is searched for from there.
func TestRateIsLearned(t *testing.T) {
	const second = time.Second
	for name, tc := range map[string]struct {
		seconds, n    int // so many are accepted at the beginning of each of these seconds
		refused, wait time.Duration
		want          rate.Limit
		search        bool
	}{
		"nothing":                 {0, 0, 10 * second, 10 * second, 1, true},
		"an application's minute": {6, 100, 6 * second, 54 * second, 10, false},
		"one a second":            {10, 2, 10 * second, 10 * second, 1, false},
		"a little less":           {10, 2, 10 * second, 10*second + 1, 1, true},
		"in less than no time":    {1, 1, 0, 0, 1000, false},
		"for a minute":            {60, 10, 60 * second, second, 600.0 / 61, false},
		"for a minute and more":   {61, 10, 61 * second, second, 610.0 / 62, false},
		"for two minutes":         {120, 10, 120 * second, second, 1200.0 / 121, false},
		"for three minutes":       {180, 10, 180 * second, second, 10, false},
		"for an hour":             {3600, 10, 3600 * second, second, 10, false},
		"up to a minute ago":      {60, 10, 119 * second, second, 600.0 / 120, false},
		"up to two minutes ago":   {1, 600, 120 * second, second, 600.0 / 121, false},
		"before that":             {1, 600, 120*second + 1, second, 1, true},
		"for ever":                {60, 10, 60 * second, 1<<63 - 1, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, began := newPace(), time.Now()
			acceptEvery(p, began, tc.seconds, tc.n)
			p.refuse("g", free(), began.Add(tc.refused), tc.wait)
			g := p.groups["g"]
			require.InEpsilon(t, float64(tc.want), float64(g.limiter.Limit()), 0.02)
			require.Equal(t, tc.search, g.search)
		})
	}
}

// A closed group that was kept as a hash and a time comes back with a rate that is searched for, as one of which nothing is known.
func TestRateOfAShutGroupIsSearchedFor(t *testing.T) {
	p, now := newPace(), time.Now()
	for i := range mostGroups + 1 {
		p.refuse(strconv.Itoa(i), free(), now, time.Minute)
	}
	require.NotContains(t, p.groups, "0")
	g, wait, reason := p.enter("0", now)
	require.Equal(t, time.Minute, wait)
	require.Equal(t, WaitCooldown, reason)
	require.True(t, g.search)
	require.Equal(t, searchRate, g.limiter.Limit())
	require.True(t, g.proving)
}

// An answer to a request from before a refusal tells nothing of the time after it, whatever has become of its group: it is not
// the probe's, and the rate and the count of refusals stay.
func TestAnswersFromBeforeARefusal(t *testing.T) {
	crowd := func(p *pace, now time.Time) {
		for i := range mostGroups {
			p.refuse(strconv.Itoa(i), free(), now, time.Minute)
		}
	}
	for name, meanwhile := range map[string]func(p *pace, same *pass, now time.Time) time.Time{
		"one of the same time is refused": func(p *pace, same *pass, now time.Time) time.Time {
			p.refuse("g", same, now, time.Minute)
			return now
		},
		"one from before is refused": func(p *pace, _ *pass, now time.Time) time.Time {
			p.refuse("g", free(), now, time.Minute)
			return now
		},
		"the group is forgotten, and made anew": func(p *pace, _ *pass, now time.Time) time.Time {
			now = now.Add(paceEnds + 2)
			g, _, _ := p.enter("g", now)
			require.Nil(t, g)
			p.refuse("g", free(), now, time.Minute)
			return now
		},
		"the group is thrown out, and made anew": func(p *pace, _ *pass, now time.Time) time.Time {
			crowd(p, now)
			require.NotContains(t, p.groups, "g")
			p.refuse("g", free(), now, time.Minute)
			return now
		},
		"the group is kept as a hash and a time, and comes back": func(p *pace, same *pass, now time.Time) time.Time {
			p.refuse("g", same, now, time.Minute)
			crowd(p, now)
			require.NotContains(t, p.groups, "g")
			g, _, _ := p.enter("g", now)
			p.leave(g)
			return now
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, now := newPace(), time.Now()
			p.refuse("g", free(), now, time.Second)
			now = now.Add(time.Second)
			_, epoch, probe := p.next(p.groups["g"], now)
			require.True(t, probe)
			p.accept("g", &pass{epoch: epoch}, now)
			now = now.Add(time.Second)
			_, epoch, probe = p.next(p.groups["g"], now)
			require.False(t, probe)

			now = meanwhile(p, &pass{epoch: epoch}, now)
			g := p.groups["g"]
			limit, streak := g.limiter.Limit(), g.streak
			require.True(t, g.proving)
			p.accept("g", &pass{epoch: epoch}, now)
			require.True(t, g.proving)
			require.Equal(t, limit, g.limiter.Limit())
			p.refuse("g", &pass{epoch: epoch}, now, time.Hour)
			require.Equal(t, limit, g.limiter.Limit())
			require.Equal(t, streak, g.streak)
			require.Equal(t, now.Add(time.Hour), g.openAt, "but it closes the group")
		})
	}
}

// perLink are the operations that MoneyKit counts by link and by application. At the Plaid-compatible layer the access token is
// the link.
var perLink = map[string]func(ctx context.Context, c *Client, link string, opts ...CallOption) error{
	"identity.get": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Identity.Get(ctx, link, IdentityQuery{}, opts...)
		return err
	},
	"identity.link": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Identity.Link(ctx, link, opts...)
		return err
	},
	"auth.numbers": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Auth.Numbers(ctx, link, opts...)
		return err
	},
	"auth.get": func(ctx context.Context, c *Client, link string, opts ...CallOption) error {
		_, err := c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret(link)}, opts...)
		return err
	},
}

// eachPerLink runs a test in virtual time for each of them, with a client whose server is a function.
func eachPerLink(t *testing.T, test func(t *testing.T, s *answerer, call func(link string, opts ...CallOption) error), opts ...Option) {
	t.Helper()
	for operation, call := range perLink {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{good: answers[operation], began: time.Now()}
				c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: s}, opts...)
				test(t, s, func(link string, opts ...CallOption) error { return call(t.Context(), c, link, opts...) })
			})
		})
	}
}

// answerer is a server in memory, which answers at once, or after a while. It notes when requests come.
type answerer struct {
	good  string // the body of an answer that is good
	began time.Time

	mu    sync.Mutex
	next  func(r *http.Request) *http.Response // nil, or where it returns nil: a good answer
	delay time.Duration
	dial  time.Duration // until a request has its connection
	at    []time.Duration
}

func (s *answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := connected(r, s.dial); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.at = append(s.at, time.Since(s.began))
	answer, delay := s.next, s.delay
	s.mu.Unlock()
	if err := sleep(r.Context(), delay); err != nil {
		return nil, err
	}
	if answer != nil {
		if resp := answer(r); resp != nil {
			return resp, nil
		}
	}
	return reply(http.StatusOK, s.good), nil
}

// connected is what net/http tells of a connection: that it looks for one, and then that it has one, which may be too late.
func connected(r *http.Request, after time.Duration) error {
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GetConn("")
	if err := sleep(r.Context(), after); err != nil {
		return err
	}
	conn, _ := net.Pipe()
	trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	return context.Cause(r.Context())
}

// answering has the server answer otherwise from now on.
func (s *answerer) answering(answer func(r *http.Request) *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = answer
}

// refusing is a server that refuses everything.
func refusing(retryAfter string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		return reply(http.StatusTooManyRequests, "{}", "Retry-After", retryAfter)
	}
}

// An application is held back for a minute at most, whatever its links were told: its limits are per minute.
func TestApplicationIsHeldForAMinute(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call func(string, ...CallOption) error) {
		s.answering(refusing("3600"))
		for i := range mostStrikes {
			require.ErrorIs(t, call(strconv.Itoa(i)), ErrRateLimited)
		}
		s.answering(nil)
		require.NoError(t, call("another", WithMaxWait(time.Hour)))
		require.Equal(t, time.Minute, time.Since(s.began))
		require.NoError(t, call("0", WithMaxWait(time.Hour)))
		require.Equal(t, time.Hour, time.Since(s.began), "the link itself was told an hour")
	})
}

// A server that refuses without saying for how long is asked less and less, by whoever calls: the wait of the group doubles with
// each refusal that follows another, up to MaxBackoff, and what one caller would wait at most does not shorten it for the others.
// On average that is half of MaxBackoff, so in ten minutes a probe goes out some eighty times.
func TestRefusalsWithoutRetryAfter(t *testing.T) {
	for name, opts := range map[string][]CallOption{
		"patient": {WithMaxWait(time.Hour)}, "by default": nil, "for a second": {WithMaxWait(time.Second)},
		"impatient": {WithMaxWait(0)}, "once": {WithoutRetry()},
	} {
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
							_ = sleep(ctx, time.Second/2)
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

// The probe goes alone also where others had the group's leave before the refusal, and were held up on their way: by a credential
// that takes its time, or at their connection. They ask again.
func TestNobodyPassesTheProbe(t *testing.T) {
	for name, slow := range map[string]func(s *answerer, d time.Duration) []Option{
		"a slow credential": func(_ *answerer, d time.Duration) []Option {
			return []Option{WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) { return testKey, sleep(ctx, d) }))}
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
				key := groupsOf(c, linksList)[0].key
				time.AfterFunc(time.Second, func() { c.pace.refuse(key, free(), time.Now(), time.Second) })
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() { require.NoError(t, calls["links.list"](t.Context(), c)) })
				}
				wg.Wait()
				require.Len(t, s.at, callers)
				require.Equal(t, 6*time.Second, s.at[0], "after 3 s it was held back, and began anew")
				require.GreaterOrEqual(t, s.at[1], 9*time.Second, "it waits for the probe's answer, and takes its time as well")
			})
		})
	}
}

// A group that somebody waits for is never thrown out. Where all are such groups, they are not looked through again before there
// are twice as many.
func TestGroupsWithCallersStay(t *testing.T) {
	p, now := newPace(), time.Now()
	var groups []*group
	for i := range mostGroups + 1 {
		key := strconv.Itoa(i)
		p.refuse(key, free(), now, time.Minute)
		g, _, _ := p.enter(key, now)
		groups = append(groups, g)
	}
	require.Equal(t, 2*mostGroups, p.roomAt)
	require.Empty(t, p.shut)
	for i, g := range groups {
		require.Same(t, g, p.groups[strconv.Itoa(i)])
		if i > 0 {
			p.leave(g)
		}
	}
	for i := range mostGroups {
		p.refuse("later "+strconv.Itoa(i), free(), now, time.Minute)
	}
	require.Same(t, groups[0], p.groups["0"], "its caller still waits")
	require.Less(t, len(p.groups), mostGroups, "the others have gone")
	require.Equal(t, 2*mostGroups+1, len(p.groups)+len(p.shut), "but are still closed")
	require.Equal(t, mostGroups, p.roomAt)
}

// A closed group lets nothing out by a second connection either, as net/http looks for one where
// the first has no room for the request.
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
		key := groupsOf(c, linksList)[0].key
		time.AfterFunc(1500*time.Millisecond, func() { c.pace.refuse(key, free(), time.Now(), 30*time.Second) })
		var r Response
		require.NoError(t, calls["links.list"](t.Context(), c, WithResponse(&r)))
		require.Equal(t, []time.Duration{33500 * time.Millisecond}, s.at, "two seconds after it has opened")
		require.Len(t, r.Attempts, 1)
	})
}
