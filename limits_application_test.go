package duolink

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// strikes is how many links are refused in a row before the application pauses.
const strikes = 5

// perLink are the operations that MoneyKit counts by link and by application. At the Plaid-
// compatible layer the access token is the link.
func perLink() map[string]Row {
	some := maps.Clone(rows)
	maps.DeleteFunc(some, func(name string, row Row) bool { return !slices.Contains(row.Groups, name+"/all") })
	return some
}

// linkCall calls one of these operations for a link.
type linkCall func(link string, opts ...CallOption) error

// eachPerLink runs a test in virtual time for each of these operations, with a function as the
// server.
func eachPerLink(t *testing.T, test func(t *testing.T, s *answerer, call linkCall), opts ...Option) {
	t.Helper()
	for operation, row := range perLink() {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &answerer{good: answers[operation], began: time.Now()}
				c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: s}, opts...)
				test(t, s, func(link string, opts ...CallOption) error { return row.On(t.Context(), c, link, opts...) })
			})
		})
	}
}

// fleet calls once for each of many links, at regular times, and returns the results of the calls.
func fleet(links int, every time.Duration, call linkCall) (ended []error) {
	ended = make([]error, links)
	var wg sync.WaitGroup
	for i := range links {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * every)
			ended[i] = call(strconv.Itoa(i))
		})
	}
	wg.Wait()
	return ended
}

// 2,000 links with a caller each, a new one every 10 ms, and an application that may make 600
// requests a minute: few are refused, because five refused links show that it is the application.
// Then all calls wait and go at its rate.
func TestApplicationLimit(t *testing.T) {
	t.Parallel()
	servers := map[string]func(rest time.Duration) time.Duration{
		"it always says fifty seconds": func(time.Duration) time.Duration { return 50 * time.Second },
	}
	if !inShort() {
		servers["the server tells the time that is left"] = func(rest time.Duration) time.Duration { return rest }
		servers["it says nothing"] = func(time.Duration) time.Duration { return 0 }
	}
	for name, wait := range servers {
		t.Run(name, func(t *testing.T) {
			eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
				const perMinute = 600
				links := 2000
				if inShort() {
					links = 800
				}
				var window time.Time
				var taken, refused, later int
				s.answering(func(*http.Request) *http.Response {
					s.mu.Lock()
					defer s.mu.Unlock()
					now := time.Now()
					if now.Sub(window) >= time.Minute {
						window, taken = now, 0
					}
					if now.Sub(s.began) > time.Second {
						later++
					}
					if taken++; taken <= perMinute {
						return nil
					}
					refused++
					resp := reply(http.StatusTooManyRequests, "{}")
					if w := wait(window.Add(time.Minute).Sub(now)); w > 0 {
						resp.Header.Set("Retry-After", strconv.Itoa(int((w+time.Second-1)/time.Second)))
					}
					return resp
				})
				for _, err := range fleet(links, 10*time.Millisecond, call) {
					require.NoError(t, err)
				}
				share := float64(refused) / float64(later)
				t.Logf("%s: %d links: %d requests, %d of %d refused after the first second (%.1f %%), in %v",
					name, links, len(s.at), refused, later, 100*share, time.Since(s.began).Round(time.Second))
				require.LessOrEqual(t, share, 0.05)
			}, WithRetry(Retry{MaxWait: time.Hour, MaxAttempts: 20}))
		})
	}
}

// An application is held back for a minute at most, even if its links wait longer, because its
// limits are per minute.
func TestApplicationIsHeldForAMinute(t *testing.T) {
	for told, application := range map[string]time.Duration{
		"3600": time.Minute, "61": time.Minute, "60": time.Minute, "59": 59 * time.Second, "1": time.Second,
	} {
		eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
			s.answering(refusing(told))
			for i := range strikes {
				require.ErrorIs(t, call(strconv.Itoa(i), WithoutRetry()), ErrRateLimited)
			}
			s.answering(nil)
			require.NoError(t, call("another", WithMaxWait(time.Hour)))
			require.Equal(t, application, time.Since(s.began))
			require.NoError(t, call("0", WithMaxWait(time.Hour)))
			link := time.Since(s.began)
			require.Equal(t, told, strconv.Itoa(int(link.Seconds())), "the link itself waits as it was told")
		})
	}
}

// If one link is refused again and again, it holds up no other link, because that is its own limit.
func TestOneLinkHoldsNoOther(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
		for range 20 {
			s.answering(refusing("1"))
			require.ErrorIs(t, call("one", WithoutRetry()), ErrRateLimited)
			s.answering(nil)
			before := time.Now()
			require.NoError(t, call("another"))
			require.Zero(t, time.Since(before))
			time.Sleep(time.Second)
		}
		s.answering(refusing("1"))
		for range 20 { // and no other link is accepted meanwhile
			require.ErrorIs(t, call("one", WithoutRetry()), ErrRateLimited)
		}
		s.answering(nil)
		before := time.Now()
		require.NoError(t, call("another"))
		require.Zero(t, time.Since(before))
	})
}

// If some links are refused by their own limits while others are accepted, the application is not
// held up.
func TestLinksThatAreRefusedForThemselves(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
		for i := range 20 {
			time.Sleep(10 * time.Millisecond)
			s.answering(refusing("100"))
			require.ErrorIs(t, call(strconv.Itoa(i)), ErrRateLimited)
			time.Sleep(10 * time.Millisecond)
			s.answering(nil)
			before := time.Now()
			require.NoError(t, call("another"))
			require.Zero(t, time.Since(before))
		}
	})
}

// An answer to a request from before the first of the refusals tells nothing: the application's
// limit may have been reached since.
func TestAnswersFromBeforeTheFirstStrike(t *testing.T) {
	eachPerLink(t, func(t *testing.T, s *answerer, call linkCall) {
		var wg sync.WaitGroup
		s.slowly(2 * time.Second)
		for i := range 3 {
			wg.Go(func() { require.NoError(t, call("slow"+strconv.Itoa(i))) })
			time.Sleep(time.Second / 2)
		}
		s.slowly(0)
		s.answering(refusing("100"))
		for i := range strikes {
			require.ErrorIs(t, call(strconv.Itoa(i)), ErrRateLimited)
			if i == 1 {
				wg.Wait()
			}
		}
		require.ErrorIs(t, call("another", WithMaxWait(0)), ErrRateLimited)
		require.Len(t, s.at, 3+strikes, "it is not sent")
	})
}

// Refreshes are not counted for the application: each link waits only for itself.
func TestRefreshesAreNotHeldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{good: answers["identity.refresh"], began: time.Now()}
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
		s.answering(refusing("100"))
		for i := range 4 * strikes {
			_, err := c.Identity.Refresh(t.Context(), strconv.Itoa(i), []Product{ProductIdentity})
			require.ErrorIs(t, err, ErrRateLimited)
		}
		require.Len(t, s.at, 4*strikes)
		s.answering(nil)
		_, err := c.Identity.Refresh(t.Context(), "another", []Product{ProductIdentity})
		require.NoError(t, err)
		require.Zero(t, time.Since(s.began))
	})
}
