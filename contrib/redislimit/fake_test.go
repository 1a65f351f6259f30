package redislimit

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// limitedServer is a server that counts as the vendor says: so many requests in any second. It refuses what
// is above.
type limitedServer struct {
	*httptest.Server
	limit int

	mu       sync.Mutex
	arrivals []time.Time
	accepted []time.Time
	refused  []time.Time
}

func newLimitedServer(t *testing.T, limit int) *limitedServer {
	t.Helper()
	s := &limitedServer{limit: limit}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *limitedServer) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if !s.accepts(time.Now()) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"error":{"code":"TOO_MANY_REQUESTS","message":"slow down"}}`))
		return
	}
	_, _ = w.Write([]byte(`{"data":[]}`))
}

func (s *limitedServer) accepts(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals = append(s.arrivals, now)
	if n := len(s.accepted); n >= s.limit && now.Sub(s.accepted[n-s.limit]) < time.Second {
		s.refused = append(s.refused, now)
		return false
	}
	s.accepted = append(s.accepted, now)
	return true
}

// tally is what the server has seen in a time.
type tally struct {
	accepted, refused int
	mostPerSecond     int // requests in any second, those that were refused included
}

func (s *limitedServer) between(from, to time.Time) (t tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	within := func(all []time.Time) (some []time.Time) {
		for _, at := range all {
			if !at.Before(from) && at.Before(to) {
				some = append(some, at)
			}
		}
		return some
	}
	t.accepted, t.refused = len(within(s.accepted)), len(within(s.refused))
	all := within(s.arrivals)
	slices.SortFunc(all, time.Time.Compare)
	for first, last := 0, 0; last < len(all); last++ {
		for all[last].Sub(all[first]) >= time.Second {
			first++
		}
		t.mostPerSecond = max(t.mostPerSecond, last-first+1)
	}
	return t
}
