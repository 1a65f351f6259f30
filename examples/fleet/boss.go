package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/redis/go-redis/v9"
	"github.com/schollz/progressbar/v3"
)

// boss starts the fake, Redis and the workers, and shows how far they are.
type boss struct {
	workers, links int
	kill           bool
	redis, job     string
	out, bar       io.Writer

	fake *duolinktest.Server
	// started is told of each worker that has said where its metrics are. A test sets it.
	started func(worker int, metrics string)
}

// event is what a worker has done: it says where its metrics are, or it has ended.
type event struct {
	worker  int
	metrics string
	err     error
}

// mostRestarts bounds how often workers are started again, because they may never get far.
const mostRestarts = 20

func (b *boss) run(ctx context.Context) error {
	if b.redis == "" {
		address, stop, err := startRedis(ctx)
		if err != nil {
			return err
		}
		defer stop()
		b.redis = address
	}
	store := redis.NewClient(&redis.Options{Addr: b.redis})
	defer func() { _ = store.Close() }()
	if err := store.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("no Redis at %s: %w", b.redis, err)
	}
	q := queue{store, b.job}
	ids := b.startFake()
	defer b.fake.Close()
	if err := q.fill(ctx, ids); err != nil {
		return err
	}
	for worker := range mostWorkers { // of an earlier run, which may have had more
		if _, err := q.giveBack(ctx, worker); err != nil {
			return err
		}
	}
	if err := b.watch(ctx, q); err != nil {
		return err
	}
	return b.report(ctx, q)
}

// startFake starts the fake of MoneyKit, with the vendor's limits and many bank links.
func (b *boss) startFake() (ids []string) {
	b.fake = duolinktest.Start(duolinktest.WithMoneyKitLimits())
	for i := range b.links {
		link := b.fake.AddBankLink(duolinktest.BankLink{
			ID: fmt.Sprintf("mk_fleet_%d", i),
			Accounts: []duolinktest.BankAccount{{
				ID: "acc_1", Owners: []duolinktest.Owner{{Names: []string{fmt.Sprintf("Owner %d", i)}}},
			}},
		})
		ids = append(ids, link.ID)
	}
	return ids
}

// watch starts the workers, and those that are killed again, until everything is read.
func (b *boss) watch(ctx context.Context, q queue) error {
	ctx, cancel := context.WithCancel(ctx)
	events := make(chan event)
	processes := make([]*exec.Cmd, b.workers)
	running, restarts := 0, 0
	start := func(worker int) (err error) {
		if processes[worker], err = b.start(ctx, worker, events); err == nil {
			running++
		}
		return err
	}
	defer func() {
		for cancel(); running > 0; {
			if e := <-events; e.metrics == "" {
				running--
			}
		}
	}()
	for worker := range b.workers {
		if err := start(worker); err != nil {
			return err
		}
	}
	bar := progressbar.NewOptions(b.links, progressbar.OptionSetWriter(b.bar), progressbar.OptionShowCount(),
		progressbar.OptionSetDescription("identities"), progressbar.OptionClearOnFinish())
	defer func() { _ = bar.Close() }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for running > 0 {
		var e event
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e = <-events:
		case <-ticker.C:
		}
		done, failed, err := q.ended(ctx)
		if err != nil {
			return err
		}
		_ = bar.Set64(done + failed)
		switch {
		case e.metrics != "":
			fmt.Fprintf(b.out, "worker %d: %s\n", e.worker, e.metrics)
			if b.started != nil {
				b.started(e.worker, e.metrics)
			}
		case e.err == errEnded:
			running--
		case e.err != nil:
			running--
			if restarts++; restarts > mostRestarts {
				return fmt.Errorf("worker %d has ended: %w", e.worker, e.err)
			}
			fmt.Fprintf(b.out, "worker %d has ended (%v) after %d of %d links, and is started again\n",
				e.worker, e.err, done+failed, b.links)
			if err := start(e.worker); err != nil {
				return err
			}
		}
		if b.kill && 2*(done+failed) >= int64(b.links) {
			b.kill = false
			_ = processes[0].Process.Kill()
		}
	}
	return nil
}

// errEnded is the end of a worker that found nothing left to do.
var errEnded = errors.New("ended")

// start starts a worker: this program again, with orders.
func (b *boss) start(ctx context.Context, worker int, events chan<- event) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(orders{
		Worker: worker, Job: b.job, Redis: b.redis, Server: b.fake.URL(duolink.MoneyKit),
	})
	if err != nil {
		return nil, err
	}
	process := exec.CommandContext(ctx, program) //nolint:gosec // this program
	process.Env = append(os.Environ(), workerVariable+"="+string(text))
	process.Stderr = os.Stderr
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	process.WaitDelay = 10 * time.Second
	said, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewScanner(said)
		if lines.Scan() {
			events <- event{worker: worker, metrics: lines.Text()}
		}
		err := process.Wait()
		if err == nil {
			err = errEnded
		}
		events <- event{worker: worker, err: err}
	}()
	return process, nil
}

// report says what was read, and what the vendor would have seen.
func (b *boss) report(ctx context.Context, q queue) error {
	done, failed, err := q.ended(ctx)
	if err != nil {
		return err
	}
	requests, refused := 0, 0
	for _, r := range b.fake.Requests() {
		if requests++; r.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	fmt.Fprintf(b.out, "%d identities read, %d failed; %d requests by %d workers, %d refused\n",
		done, failed, requests, b.workers, refused)
	if left := int64(b.links) - done - failed; left > 0 {
		return fmt.Errorf("%d bank links are left", left)
	}
	if failed > 0 {
		return fmt.Errorf("%d bank links could not be read", failed)
	}
	return nil
}

// startRedis starts a redis-server on a free loopback port.
func startRedis(ctx context.Context) (address string, stop func(), err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, errors.New("there is no redis-server: install Debian's package, or name a Redis with -redis")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = listener.Addr().String()
	_ = listener.Close()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	args := []string{"--bind", "127.0.0.1", "--port", port, "--save", ""}
	server := exec.CommandContext(context.WithoutCancel(ctx), program, args...) //nolint:gosec // of the path
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = client.Close() }()
	for range 100 {
		if client.Ping(ctx).Err() == nil {
			return address, stop, nil
		}
		select {
		case <-ctx.Done():
			stop()
			return "", nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return "", nil, errors.New("the redis-server did not start")
}
