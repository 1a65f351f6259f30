package redislimit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

// What happens if Redis is away.

const (
	patience = 40 * time.Millisecond  // how long one question may take
	pause    = 250 * time.Millisecond // between two looks whether a node is there again
)

// node is a Redis, or a master of a cluster.
type node struct {
	awayUntil atomic.Int64 // Unix time in nanoseconds; 0: it is there
}

// mayAsk reports whether the node is there, or whether it is time to look. One caller looks.
func (n *node) mayAsk(now time.Time) bool {
	until := n.awayUntil.Load()
	return until == 0 || until <= now.UnixNano() && n.awayUntil.CompareAndSwap(until, now.Add(pause).UnixNano())
}

func (n *node) isThere() { n.awayUntil.Store(0) }
func (n *node) isAway()  { n.awayUntil.Store(time.Now().Add(pause).UnixNano()) }

// nodes are the nodes by their address. A fleet without a cluster has one, without an address.
type nodes struct {
	mu  sync.Mutex
	all map[string]*node
}

// mostNodes bounds the memory, because the nodes of a cluster may change their addresses.
const mostNodes = 1024

func (ns *nodes) at(address string) *node {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.all[address]
	if n == nil {
		if len(ns.all) >= mostNodes || ns.all == nil {
			ns.all = map[string]*node{}
		}
		n = &node{}
		ns.all[address] = n
	}
	return n
}

// ask asks Redis something, and waits for it no longer than patience. Redis is away if it does not answer
// in time, or with an error that says so. Then the error is ErrAway, without a wait for most callers. An
// answer that comes when nobody waits any more is given to late.
func ask[T any](
	ctx context.Context, f *Fleet, key string, question func(context.Context) (T, error), late func(T),
) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	began := time.Now()
	var asked atomic.Pointer[node]
	asked.Store(f.nodes.at("")) // until it is known
	// A client of Redis may wait for longer than its context. So nobody waits for the client.
	go func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		n := f.nodeOf(bounded, key)
		asked.Store(n)
		if !n.mayAsk(time.Now()) {
			answers <- answer{err: ErrAway}
			return
		}
		value, err := question(bounded)
		switch {
		case !isAnswer(err):
			f.lost(ctx, n)
			err = ErrAway
		case time.Since(began) < patience: // a later answer is of no use
			n.isThere()
		}
		answers <- answer{value, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	err := ErrAway
	select {
	case a := <-answers:
		return a.value, a.err
	case <-timer.C:
		if time.Since(began) < 2*patience { // otherwise this process was held up, and not Redis
			f.lost(ctx, asked.Load())
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	if late != nil {
		go func() {
			if a := <-answers; a.err == nil {
				late(a.value)
			}
		}()
	}
	return none, err
}

// lost notes that a node is away. In a cluster another node may have its keys now. The client of Redis
// would find that out by itself only after a minute.
func (f *Fleet) lost(ctx context.Context, n *node) {
	n.isAway()
	if cluster, ok := f.redis.(*redis.ClusterClient); ok {
		cluster.ReloadState(context.WithoutCancel(ctx)) // in the background
	}
}

// isAnswer reports whether Redis has answered the question. Other errors, such as that it loads its data
// or has no memory left, are as good as no answer.
func isAnswer(err error) bool {
	return err == nil || errors.Is(err, redis.Nil) ||
		errors.Is(err, redislock.ErrNotObtained) || errors.Is(err, redislock.ErrLockNotHeld)
}

// nodeOf is the node that has a key.
func (f *Fleet) nodeOf(ctx context.Context, key string) *node {
	cluster, ok := f.redis.(*redis.ClusterClient)
	if !ok {
		return f.nodes.at("")
	}
	master, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return f.nodes.at("")
	}
	return f.nodes.at(master.Options().Addr)
}
