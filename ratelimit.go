package duolink

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// RateLimit is what is known of an API's limit. Supermetrics tells of its hourly limit in
// X-RateLimit-Limit and X-RateLimit-Remaining; MoneyKit tells nothing.
type RateLimit struct {
	// Limit is the number of requests per hour, 0 where no answer has said.
	Limit int
	// Remaining is what is left of it, if Known: 0 is a value of its own.
	Remaining int
	// Known reports that an answer has said what is left.
	Known bool
	// SeenAt is when Remaining was read.
	SeenAt time.Time
	// CooldownUntil is when the last limit group that was closed opens again; if it is zero or
	// past, none is closed. It is not set in Response.RateLimit.
	CooldownUntil time.Time
}

// RateLimit returns what the latest answers have said of an API's limit, to the client's own
// credential. An answer that said nothing changes nothing.
func (c *Client) RateLimit(api API) RateLimit { return c.state.get(api) }

func rateLimit(h http.Header, now time.Time) RateLimit {
	var r RateLimit
	if n, ok := pace.Count(h.Get("X-RateLimit-Limit")); ok {
		r.Limit = n
	}
	if r.Remaining, r.Known = pace.Count(h.Get("X-RateLimit-Remaining")); r.Known {
		r.SeenAt = now
	}
	return r
}

// limitState is the latest RateLimit of each API.
type limitState struct {
	mu     sync.Mutex
	latest map[API]RateLimit
}

func (s *limitState) get(api API) RateLimit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest[api]
}

// update changes what is known of an API.
func (s *limitState) update(api API, change func(*RateLimit)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.latest[api]
	change(&r)
	s.latest[api] = r
}

func (s *limitState) note(api API, h http.Header, now time.Time) {
	seen := rateLimit(h, now)
	s.update(api, func(r *RateLimit) {
		r.Limit = cmp.Or(seen.Limit, r.Limit)
		if seen.Known {
			r.Remaining, r.Known, r.SeenAt = seen.Remaining, true, seen.SeenAt
		}
	})
}

func (s *limitState) cool(api API, until time.Time) {
	s.update(api, func(r *RateLimit) {
		if until.After(r.CooldownUntil) {
			r.CooldownUntil = until
		}
	})
}

// Limiter can hold requests back, in addition to the client's own pace: one that processes share,
// for example.
type Limiter interface {
	// Wait returns when a request of the limit group may go, or an error when the context ends or
	// the wait is not worth starting. A group's name is the same in every process and tells nothing
	// of the ids and credentials behind it.
	Wait(ctx context.Context, group string) error
}

// WithLimiter asks a limiter before each attempt, for each of the limit groups that the call
// belongs to: a refresh of two products is counted twice.
func WithLimiter(limiter Limiter) Option {
	return func(cfg *config) error {
		if limiter == nil {
			return argumentError("WithLimiter: the limiter is nil")
		}
		cfg.limiter = limiter
		return nil
	}
}
