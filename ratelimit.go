package duolink

import (
	"cmp"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// RateLimit is what is known of an API's limit. Supermetrics sends its hourly limit in
// X-RateLimit-Limit and X-RateLimit-Remaining. MoneyKit sends nothing.
type RateLimit struct {
	// Limit is the number of requests per hour, or 0 if it is not known.
	Limit int
	// Remaining is how many requests are left, if Known is true. 0 means that none is left.
	Remaining int
	// Known reports whether an answer has said how many are left.
	Known bool
	// SeenAt is when Remaining was read.
	SeenAt time.Time
	// CooldownUntil is when the last closed limit group opens again. If it is zero or past, no
	// group is closed. It is not set in Response.RateLimit.
	CooldownUntil time.Time
}

// RateLimit returns what the latest answers said of an API's limit for the client's own credential.
func (c *Client) RateLimit(api API) RateLimit { return c.state.get(api) }

func rateLimit(h http.Header, now time.Time) RateLimit {
	var r RateLimit
	if n, ok := pace.Count(h.Get("X-Ratelimit-Limit")); ok {
		r.Limit = n
	}
	if r.Remaining, r.Known = pace.Count(h.Get("X-Ratelimit-Remaining")); r.Known {
		r.SeenAt = now
	}
	return r
}

// limitState is the latest RateLimit of each API. Calls take no lock of it.
type limitState map[API]*atomic.Pointer[RateLimit]

func newLimitState() limitState {
	return limitState{Supermetrics: {}, MoneyKit: {}, PlaidCompatible: {}}
}

func (s limitState) get(api API) RateLimit {
	if latest, ok := s[api]; ok {
		if r := latest.Load(); r != nil {
			return *r
		}
	}
	return RateLimit{}
}

// update changes the RateLimit of an API.
func (s limitState) update(api API, change func(*RateLimit)) {
	for {
		before := s[api].Load()
		var r RateLimit
		if before != nil {
			r = *before
		}
		if change(&r); s[api].CompareAndSwap(before, &r) {
			return
		}
	}
}

func (s limitState) note(api API, h http.Header, now time.Time) {
	seen := rateLimit(h, now)
	if seen == (RateLimit{}) {
		return
	}
	s.update(api, func(r *RateLimit) {
		r.Limit = cmp.Or(seen.Limit, r.Limit)
		if seen.Known {
			r.Remaining, r.Known, r.SeenAt = seen.Remaining, true, seen.SeenAt
		}
	})
}

func (s limitState) cool(api API, until time.Time) {
	s.update(api, func(r *RateLimit) {
		if until.After(r.CooldownUntil) {
			r.CooldownUntil = until
		}
	})
}
