package pace

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Buckets are the token buckets of limit groups whose budget is known. The zero value is ready. They
// are safe for concurrent use.
type Buckets struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	closed  map[keyHash]time.Time // closed groups that have no bucket
}

type bucket struct {
	limiter *rate.Limiter
	opensAt time.Time // no request before
}

// Budget is how often requests of a group may go: one in each interval, and so many at once at first.
// Without an interval the group is held up only while it is closed.
type Budget struct {
	Interval time.Duration
	Burst    int
}

// Wait returns when a request of the group may go. Callers go in the order in which they came. A wait
// that would outlast the context is not started: the error is a [TooLong].
func (bs *Buckets) Wait(ctx context.Context, key string, budget Budget) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := time.Now()
		wait, turn := bs.reserve(key, budget, now)
		if wait <= 0 {
			return nil
		}
		err := error(TooLong{wait})
		if !outlasts(ctx, wait) {
			err = Sleep(ctx, wait)
		}
		if err != nil {
			if turn != nil {
				turn.Cancel()
			}
			return err
		}
		if turn != nil && !bs.isClosed(key, time.Now()) {
			return nil
		}
	}
}

// reserve returns how long to wait, and the turn that the caller has then. A closed group gives no
// turns.
func (bs *Buckets) reserve(key string, budget Budget, now time.Time) (time.Duration, *rate.Reservation) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if opens := bs.opensAt(key); opens.After(now) {
		return opens.Sub(now), nil
	}
	if budget.Interval <= 0 {
		return 0, nil
	}
	turn := bs.bucket(key, budget, now).limiter.ReserveN(now, 1)
	return turn.DelayFrom(now), turn
}

func (bs *Buckets) isClosed(key string, now time.Time) bool {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return bs.opensAt(key).After(now)
}

// opensAt returns when a group opens. The mutex is held, as in the methods below.
func (bs *Buckets) opensAt(key string) time.Time {
	if b := bs.buckets[key]; b != nil {
		return b.opensAt
	}
	if len(bs.closed) == 0 {
		return time.Time{}
	}
	return bs.closed[hashOf(key)]
}

// Close lets no request of a group go before a time. A shorter time that comes later changes nothing.
func (bs *Buckets) Close(key string, until time.Time) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b := bs.buckets[key]; b != nil {
		if until.After(b.opensAt) {
			b.opensAt = until
		}
		return
	}
	bs.keepClosed(key, until, time.Now())
}

// Refill fills the bucket of a group, because what was taken was not used. A closed group stays closed.
func (bs *Buckets) Refill(key string) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b := bs.buckets[key]; b != nil {
		b.limiter = rate.NewLimiter(b.limiter.Limit(), b.limiter.Burst())
	}
}

// Len returns how many groups have a bucket, and how many closed ones have none.
func (bs *Buckets) Len() (buckets, closed int) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return len(bs.buckets), len(bs.closed)
}

func (bs *Buckets) bucket(key string, budget Budget, now time.Time) *bucket {
	b := bs.buckets[key]
	if b == nil {
		bs.forget(now)
		b = &bucket{limiter: rate.NewLimiter(rate.Every(budget.Interval), max(budget.Burst, 1))}
		if bs.buckets == nil {
			bs.buckets = map[string]*bucket{}
		}
		bs.buckets[key] = b
		delete(bs.closed, hashOf(key)) // it is open
	}
	return b
}

// forget bounds the memory of the buckets. It looks at a few at a time, and a map gives them at random.
// A bucket that is full is as good as none. Of one that is empty the time stays.
func (bs *Buckets) forget(now time.Time) {
	looked := 0
	for key, b := range bs.buckets {
		if looked++; len(bs.buckets) < mostGroups || looked > sweep {
			break
		}
		opens := b.opensAt
		if missing := 1 - b.limiter.TokensAt(now); missing > 0 {
			wait := time.Duration(missing / float64(b.limiter.Limit()) * float64(time.Second))
			if again := now.Add(wait); again.After(opens) {
				opens = again
			}
		}
		delete(bs.buckets, key)
		bs.keepClosed(key, opens, now)
	}
}

func (bs *Buckets) keepClosed(key string, until, now time.Time) {
	if !until.After(now) {
		return
	}
	if bs.closed == nil {
		bs.closed = map[keyHash]time.Time{}
	}
	looked := 0
	for hash, opens := range bs.closed {
		if looked++; len(bs.closed) < mostGroups || looked > sweep {
			break
		}
		if !opens.After(now) {
			delete(bs.closed, hash)
		}
	}
	if hash := hashOf(key); until.After(bs.closed[hash]) {
		bs.closed[hash] = until
	}
}
