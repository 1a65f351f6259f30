// Package redislimit keeps a fleet of processes within one budget, and makes them share the flows that
// write. The vendors count requests by account. So ten processes that each behave well would together
// break a limit.
//
//	fleet, err := redislimit.New(redis.NewClient(&redis.Options{Addr: "redis:6379"}))
//	client, err := duolink.New(credentials, duolink.WithLimiter(fleet), duolink.WithLocker(fleet))
//
// # Budgets
//
// A [Fleet] spends the budgets of [duolink.PublishedBudgets] for all processes together, by the clock
// of Redis (GCRA, from redis_rate). A request gets a turn up to a quarter of a second ahead and waits
// for it, so the turns follow each other evenly, and none is lost because a process wakes up late.
// In each process the callers of a limit group go in the order in which they came.
//
// If the server refuses a request of any process, its limit group closes for all of them: each request
// looks for that right before it goes.
//
// # Flows
//
// CreateOnce, RefreshAndGet and RefreshAndNumbers take a lock before they write (from redislock). It
// is renewed every five seconds. What happens if a process or the lock is lost is said at
// [duolink.WithLocker]. A process that takes a lock again that Redis has lost, before another process
// does, goes on with it.
//
// # If Redis is away
//
// A request waits for Redis for 40 ms at most. After that the process goes on without it, and looks
// four times a second whether it is there again. Without it, requests go out and flows run unshared
// (by default), or they end with [ErrAway] ([FailClosed]). With [WithFallback] another limiter is asked
// meanwhile. The client's own pace still keeps to what the server says.
//
// In a cluster each node may be away alone. What Redis forgets, such as when it starts again without its
// data, the fleet has to learn anew: a budget is full then, and nothing is closed.
//
// # Keys
//
// A key has a namespace, a hash as its hash tag for the cluster, and no id or credential. Every key
// expires: a budget's when it is full again, a closed group's when it opens, a lock's as
// [duolink.WithLocker] says. The script of redis_rate puts "rate:" before the keys of budgets.
package redislimit
