package redislimit

import (
	"context"
	"time"

	"github.com/duolink/duolink"
	"github.com/go-redis/redis_rate/v10"
)

// How a request gets its turn.

// ahead is how far in the future a turn may be. The requests of the fleet then follow each other evenly,
// although processes wake up late: whoever has a turn only has to come in time for it.
const ahead = 250 * time.Millisecond

// queue is for the callers of a process that wait for one group. The first of them asks Redis.
type queue struct {
	turn    chan struct{} // one slot
	waiting int
}

// turn takes the next turn of a group, and returns how long it is until then.
func (f *Fleet) turn(ctx context.Context, group duolink.Group, budget duolink.Budget) (time.Duration, error) {
	interval := budget.Interval()
	if interval <= 0 {
		return 0, ctx.Err()
	}
	q, before := f.enter(group.Name)
	defer f.leave(group.Name, q)
	if wait := time.Duration(before) * interval; wait > ahead && outlasts(ctx, wait) {
		return 0, duolink.BudgetUsedUp(wait)
	}
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		wait, again, err := f.take(ctx, group, budget, interval)
		if err != nil || !again {
			return wait, err
		}
		if outlasts(ctx, wait) {
			return 0, duolink.BudgetUsedUp(wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// take asks Redis for a turn. If the next one is too far away, it says when to ask again.
func (f *Fleet) take(
	ctx context.Context, group duolink.Group, budget duolink.Budget, interval time.Duration,
) (wait time.Duration, again bool, err error) {
	burst := max(budget.Burst, 1)
	limit := redis_rate.Limit{Rate: 1, Period: interval, Burst: burst + int(ahead/interval)}
	key := f.key(group.Name, "budget")
	result, err := ask(ctx, f, key, func(ctx context.Context) (*redis_rate.Result, error) {
		return f.rate.Allow(ctx, key, limit)
	}, nil)
	switch {
	case err != nil:
		return 0, false, err
	case result.Allowed == 0:
		return result.RetryAfter, true, nil
	}
	// ResetAfter counts from now to the end of this turn. So many turns may be open at once.
	return max(result.ResetAfter-time.Duration(burst)*interval, 0), false, nil
}

// enter joins the queue of a group, and returns how many wait in it.
func (f *Fleet) enter(name string) (*queue, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queues[name]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		f.queues[name] = q
	}
	q.waiting++
	return q, q.waiting - 1
}

func (f *Fleet) leave(name string, q *queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.waiting--; q.waiting == 0 {
		delete(f.queues, name)
	}
}
