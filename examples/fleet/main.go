// Command fleet reads the identities of many bank links with several processes that share one budget.
//
//	go -C examples/fleet run .
//	go -C examples/fleet run . -workers 5 -links 500 -kill
//
// It starts a fake of MoneyKit, which counts requests as the vendor does, and a redis-server (Debian's
// package redis-server), both on loopback ports. -redis uses a Redis of yours. Each worker is a process
// of its own, and shows its metrics for Prometheus at /metrics.
//
// The work is in Redis: a list of links to do, a list of what each worker has taken, and a set of what
// is done. So a worker that is killed goes on where it was when it is started again. -kill kills one
// halfway. If the whole program is killed, start it again with the same -redis and -job.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// workerVariable holds the orders of a process that is a worker.
const workerVariable = "DUOLINK_FLEET_WORKER"

func run(ctx context.Context, args []string, out, bar io.Writer) error {
	if text, ok := os.LookupEnv(workerVariable); ok {
		var o orders
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return fmt.Errorf("%s is not JSON: %w", workerVariable, err)
		}
		return o.work(ctx, out)
	}
	b := &boss{out: out, bar: bar}
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&b.workers, "workers", 3, "processes that read, 1 to 50")
	flags.IntVar(&b.links, "links", 200, "bank links to read, 1 to 10000")
	flags.BoolVar(&b.kill, "kill", false, "kill a worker halfway, to see it go on where it was")
	flags.StringVar(&b.redis, "redis", "", "the address of a Redis, instead of one that is started here")
	flags.StringVar(&b.job, "job", "identities", "the name of the work in Redis")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil || flags.NArg() > 0:
		return errors.New("fleet -h lists the flags")
	case b.workers < 1 || b.workers > mostWorkers:
		return fmt.Errorf("-workers is not 1 to %d", mostWorkers)
	case b.links < 1 || b.links > 10000:
		return errors.New("-links is not 1 to 10000")
	case b.job == "":
		return errors.New("-job is empty")
	}
	return b.run(ctx)
}
