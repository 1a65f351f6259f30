package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// queue is the work of a fleet, in Redis. Its keys are in one slot of a cluster, and expire a day after
// the last change.
type queue struct {
	redis redis.UniversalClient
	job   string
}

const (
	mostWorkers = 50
	keptFor     = 24 * time.Hour
)

func (q queue) key(what string) string  { return "duolink-fleet:{" + q.job + "}:" + what }
func (q queue) taken(worker int) string { return q.key(fmt.Sprintf("taken:%d", worker)) }
func (q queue) fill(ctx context.Context, links []string) error {
	// Of a job that was begun before, the rest is done.
	begun, err := q.redis.SetNX(ctx, q.key("begun"), len(links), keptFor).Result()
	if err != nil || !begun {
		return err
	}
	_, err = q.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, link := range links {
			p.RPush(ctx, q.key("todo"), link)
		}
		p.Expire(ctx, q.key("todo"), keptFor)
		return nil
	})
	return err
}

// giveBack puts what a worker has taken back to what there is to do. A worker that starts has taken
// nothing yet, so it was taken before somebody killed it.
func (q queue) giveBack(ctx context.Context, worker int) (links int, err error) {
	for ; ; links++ {
		err := q.redis.LMove(ctx, q.taken(worker), q.key("todo"), "RIGHT", "LEFT").Err()
		if errors.Is(err, redis.Nil) {
			return links, nil
		}
		if err != nil {
			return links, err
		}
	}
}

// take takes a link for a worker. It returns none if nothing is left.
func (q queue) take(ctx context.Context, worker int) (link string, err error) {
	link, err = q.redis.LMove(ctx, q.key("todo"), q.taken(worker), "LEFT", "RIGHT").Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err == nil {
		err = q.redis.Expire(ctx, q.taken(worker), keptFor).Err()
	}
	return link, err
}

// finish notes the end of a link, in the set "done" or "failed".
func (q queue) finish(ctx context.Context, worker int, link, end string) error {
	_, err := q.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, q.key(end), link)
		p.Expire(ctx, q.key(end), keptFor)
		p.LRem(ctx, q.taken(worker), 1, link)
		return nil
	})
	return err
}

// ended returns how many links have ended, and how.
func (q queue) ended(ctx context.Context) (done, failed int64, err error) {
	if done, err = q.redis.SCard(ctx, q.key("done")).Result(); err != nil {
		return 0, 0, err
	}
	failed, err = q.redis.SCard(ctx, q.key("failed")).Result()
	return done, failed, err
}
