package duolink

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/require"
)

// handler calls a sandbox without a connection, because that saves time with ten thousand requests.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// The job of the README's table on retries: a thousand callers make ten calls each against a server
// that takes twenty requests a second, and answers the others with Retry-After: 1. The best
// possible time is 500 seconds.
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
		m.took.Round(time.Second), m.failed, m.calls, m.requests,
		m.refused, m.later, 100*float64(m.refused)/float64(m.later))
}

// firstInstant decides the order of the answers to the requests of one instant: some good answers,
// then the refusals, then the rest.
type firstInstant struct {
	next           http.RoundTripper
	began          time.Time
	good           atomic.Int64
	known          int64
	refusals, rest chan struct{} // closed when it is their turn
}

func newFirstInstant(next http.RoundTripper, known int64) *firstInstant {
	f := &firstInstant{
		next: next, began: time.Now(), known: known,
		refusals: make(chan struct{}), rest: make(chan struct{}),
	}
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

// The number of good answers before the first refusal is all that the client knows of the rate
// then. It depends on chance, so the result must not depend on it.
func TestPaceOfAThousand(t *testing.T) {
	t.Parallel()
	rows := map[string]func(http.RoundTripper) http.RoundTripper{
		"as it comes": func(next http.RoundTripper) http.RoundTripper { return next },
	}
	known, callers := []int64{0, 1, 2, 5, 10, perSecond}, callers
	// The race detector has 256 slots, and may crash if the goroutines of bubbles take them from
	// one another.
	if inShort() {
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
				// The search for the rate takes some seconds. Then the rate is nearly the server's.
				require.Less(t, m.took, time.Duration(m.calls/perSecond)*time.Second+25*time.Second)
				// At a refusal the rate falls by a fifth. It grows in each second by a hundredth of
				// what it was then, so that it takes 25 s to where it was refused. The search
				// overshoots by less than three times in a second. After five refusals the rate is
				// a third.
				require.LessOrEqual(t, m.refused, int(m.took/(25*time.Second))+5)
			})
		})
	}
}

// The same job with go-retryablehttp and its defaults, but without its log. The README compares
// with it.
func TestPaceOfPlainRetryablehttp(t *testing.T) {
	t.Parallel()
	if inShort() {
		t.Skip("a figure to compare with, and nothing of ours")
	}
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.WithRequestsPerSecond(perSecond), sandbox.WithHourlyLimit(0))
		plain := retryablehttp.NewClient()
		plain.Logger = nil
		plain.HTTPClient = &http.Client{Transport: handler{s}}
		m := job(s, callers, func() error {
			url := "http://sandbox.test/v2/ds/login/link/" + sandbox.OpenLoginLinkID
			req, err := retryablehttp.NewRequest(http.MethodGet, url, nil)
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
		require.Equal(t, m.calls, m.failed+m.requests-m.refused-(m.requests-m.later-perSecond),
			"every call ended somehow")
	})
}
