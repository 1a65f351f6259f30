package redislimit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/duolink/duolink"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// Fleet is a [duolink.Limiter] and a [duolink.Locker] on Redis. It is safe for concurrent use. Make one
// for all clients of a process.
type Fleet struct {
	redis     redis.UniversalClient
	rate      *redis_rate.Limiter
	locks     *redislock.Client
	budgets   duolink.Budgets
	namespace string
	closed    bool // requests end if Redis is away
	fallback  duolink.Limiter
	renewal   time.Duration

	nodes  nodes
	mu     sync.Mutex
	queues map[string]*queue // of groups that somebody waits for
}

// Option changes a Fleet.
type Option func(*Fleet) error

// WithBudgets replaces the published budgets, which nil stands for. All processes of a fleet must have
// the same.
func WithBudgets(budgets duolink.Budgets) Option {
	return func(f *Fleet) error {
		if budgets != nil {
			f.budgets = maps.Clone(budgets)
		}
		return budgets.Check()
	}
}

// WithNamespace is what the keys begin with, "duolink" by default. Fleets with different namespaces know
// nothing of each other.
func WithNamespace(namespace string) Option {
	return func(f *Fleet) error {
		if namespace == "" {
			return argumentError("WithNamespace: the namespace is empty")
		}
		for _, c := range namespace {
			if c <= ' ' || c > '~' || c == '{' || c == '}' {
				return argumentError("WithNamespace: the namespace has a space, a brace or no ASCII")
			}
		}
		f.namespace = namespace
		return nil
	}
}

// FailClosed ends requests and flows with ErrAway while Redis is away. By default they go on without it.
func FailClosed() Option {
	return func(f *Fleet) error {
		f.closed = true
		return nil
	}
}

// WithFallback asks another limiter while Redis is away, such as a [duolink.LocalLimiter] with this
// process's share of the budgets. That limiter is told of all answers.
func WithFallback(limiter duolink.Limiter) Option {
	return func(f *Fleet) error {
		if limiter == nil {
			return argumentError("WithFallback: the limiter is nil")
		}
		f.fallback = limiter
		return nil
	}
}

// New returns a fleet on a client of a single Redis, of a Redis Cluster, or of Redis with Sentinel. The
// fleet does not close the client. An error is ErrArgument.
func New(client redis.UniversalClient, opts ...Option) (*Fleet, error) {
	if client == nil {
		return nil, argumentError("New: the Redis client is nil")
	}
	f := &Fleet{
		redis: client, rate: redis_rate.NewLimiter(client), locks: redislock.New(client),
		budgets: duolink.PublishedBudgets(), namespace: "duolink", renewal: longestRenewal,
		queues: map[string]*queue{},
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, argumentError("New: an option is nil")
		}
		if err := opt(f); err != nil {
			return nil, err
		}
	}
	if f.closed && f.fallback != nil {
		return nil, argumentError("New: FailClosed and WithFallback exclude each other")
	}
	return f, nil
}

func argumentError(message string) error {
	return &duolink.Error{
		Kind: duolink.ErrArgument, Outcome: duolink.OutcomeNotSent, Message: "redislimit: " + message,
	}
}

// ErrAway is the error of a request or a flow that was not sent because Redis is away, with FailClosed.
var ErrAway = errors.New("redislimit: Redis is away")

// key is a key of Redis. The hash is its tag, so it says in which slot of a cluster the key is.
func (f *Fleet) key(name, what string) string {
	sum := sha256.Sum256([]byte(name))
	return f.namespace + ":{" + hex.EncodeToString(sum[:16]) + "}:" + what
}

// Wait is for the client. See [duolink.Limiter].
func (f *Fleet) Wait(ctx context.Context, group duolink.Group) error {
	budget, _ := f.budgets.Of(group)
	for {
		wait, err := f.turn(ctx, group, budget)
		if err == nil {
			err = sleep(ctx, wait)
		}
		if err != nil {
			return f.without(ctx, group, err)
		}
		// The group may have closed while the request waited, also for another process.
		closed, err := f.closedFor(ctx, group)
		if err != nil {
			return f.without(ctx, group, err)
		}
		if closed <= 0 {
			return nil
		}
		if outlasts(ctx, closed) {
			return duolink.BudgetUsedUp(closed)
		}
		if err := sleep(ctx, closed); err != nil {
			return err
		}
	}
}

// without goes on without Redis, if that is why there is no turn.
func (f *Fleet) without(ctx context.Context, group duolink.Group, err error) error {
	switch {
	case !errors.Is(err, ErrAway):
		return err
	case f.closed:
		return ErrAway
	case f.fallback != nil:
		return f.fallback.Wait(ctx, group)
	}
	return nil
}

// Report is for the client. See [duolink.Limiter].
func (f *Fleet) Report(group duolink.Group, answer duolink.Answer) {
	if f.fallback != nil {
		f.fallback.Report(group, answer)
	}
	ctx := context.Background()
	if budget, ok := f.budgets.Of(group); ok && budget.Spared(answer) {
		key := f.key(group.Name, "budget")
		_, _ = ask(ctx, f, key, func(ctx context.Context) (any, error) { return nil, f.rate.Reset(ctx, key) }, nil)
	}
	if answer.Refused && answer.RetryAfter > 0 {
		key := f.key(group.Name, "closed")
		_, _ = ask(ctx, f, key, func(ctx context.Context) (any, error) {
			return closeGroup.Run(ctx, f.redis, []string{key}, max(answer.RetryAfter.Milliseconds(), 1)).Result()
		}, nil)
	}
}

// closeGroup closes a group, for no shorter time than it is closed already.
var closeGroup = redis.NewScript(`
if redis.call("PTTL", KEYS[1]) < tonumber(ARGV[1]) then
	redis.call("SET", KEYS[1], "", "PX", ARGV[1])
end
return 0`)

// closedFor is how long a group is closed.
func (f *Fleet) closedFor(ctx context.Context, group duolink.Group) (time.Duration, error) {
	key := f.key(group.Name, "closed")
	return ask(ctx, f, key, func(ctx context.Context) (time.Duration, error) {
		return f.redis.PTTL(ctx, key).Result()
	}, nil)
}

func outlasts(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) <= wait
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
