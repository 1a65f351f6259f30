package sandbox

import "time"

// limits knows how much of every quota has been used. The number of windows is bounded by the
// credentials, links and products.
type limits struct {
	bucket  bucket
	windows map[window]*usage
}

// window is a quota: a number of requests for one subject in one period.
type window struct {
	subject string
	limit   int
	period  time.Duration
}

type usage struct {
	start time.Time
	used  int
}

// take counts one request in all of the windows, or in none of them. Then it returns how long it
// takes until there is room.
func (l *limits) take(now time.Time, windows ...window) (wait time.Duration, ok bool) {
	for _, w := range windows {
		if u := l.usage(w, now); u.used >= w.limit {
			wait = max(wait, u.start.Add(w.period).Sub(now))
		}
	}
	if wait > 0 {
		return wait, false
	}
	for _, w := range windows {
		l.usage(w, now).used++
	}
	return 0, true
}

func (l *limits) remaining(now time.Time, w window) int {
	return max(0, w.limit-l.usage(w, now).used)
}

// usage returns the current window's count. A window that has ended starts again. So does a window
// from a later clock than the bubble's.
func (l *limits) usage(w window, now time.Time) *usage {
	u := l.windows[w]
	if u == nil || now.Before(u.start) || !now.Before(u.start.Add(w.period)) {
		u = &usage{start: now}
		l.windows[w] = u
	}
	return u
}

// bucket is a token bucket. It begins full.
type bucket struct {
	level float64
	last  time.Time
}

// take takes one request from the bucket, which holds n and gets n a second. It returns false if
// the bucket is empty. If n is 0, there is no bucket.
func (b *bucket) take(now time.Time, n int) bool {
	if n <= 0 {
		return true
	}
	if b.last.IsZero() {
		b.level = float64(n)
	} else {
		b.level = min(float64(n), b.level+now.Sub(b.last).Seconds()*float64(n))
	}
	b.last = now
	if b.level < 1-1e-9 { // a thousand small refills may add up to a little less than one
		return false
	}
	b.level--
	return true
}
