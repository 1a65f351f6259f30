// Command report measures all clients and prints the tables of docs/performance.md.
//
//	go run ./report                 all tables: about ten minutes on two cores
//	go run ./report -rounds 2 -check   fails if bytes or allocations are beyond their goals
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/duolink/duolink/internal/bench"
)

func main() {
	bench.ServeIfAsked()
	bench.StreamIfAsked()
	rounds := flag.Int("rounds", 20, "how often each client is measured")
	check := flag.Bool("check", false, "fail if bytes or allocations are beyond their goals; without the slow tables")
	only := flag.String("only", "", "measure only the cases whose name has this text, and print no other tables")
	flag.Parse()
	if err := report(*rounds, *check, *only); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(rounds int, check bool, only string) error {
	server, err := bench.StartServer()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	ctx := context.Background()
	fmt.Printf("%s, %s/%s, %d cores. Each client: %d rounds.\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), rounds)
	missed, err := clients(ctx, server, rounds, only)
	if err != nil || only != "" {
		return err
	}
	if err := memory(server); err != nil {
		return err
	}
	if check {
		if len(missed) > 0 {
			return fmt.Errorf("beyond the goals:\n%s", strings.Join(missed, "\n"))
		}
		return nil
	}
	if err := load(ctx, server, rounds); err != nil {
		return err
	}
	return weight()
}

// clients prints the table of all cases, and returns which goals were missed.
func clients(ctx context.Context, server *bench.Server, rounds int, only string) (missed []string, err error) {
	table("payload", "client", "time", "CPU", "bytes", "allocations", "goals")
	for _, c := range bench.Cases(server.URL) {
		if !strings.Contains(c.Name, only) {
			continue
		}
		if err := c.Check(ctx); err != nil {
			return nil, err
		}
		results, err := measure(ctx, c, rounds)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		for i, r := range results {
			g, _ := goalOf(c.Name, c.Clients[i].Name)
			row(c.Name, c.Clients[i].Name, r.time, r.cpu, r.bytes, r.allocs, g)
			missed = append(missed, g.missed(r)...)
		}
	}
	fmt.Println()
	return missed, nil
}

// result is what a client costs, as ratios to the floor.
type result struct{ time, cpu, bytes, allocs bench.Ratio }

// measure measures the clients of a case in turn. Each ratio is to the floor of the same round.
func measure(ctx context.Context, c bench.Case, rounds int) ([]result, error) {
	type figures struct{ time, cpu, bytes, allocs []float64 }
	all := make([]figures, len(c.Clients))
	for round := range rounds {
		costs := make([]bench.Cost, len(c.Clients))
		for _, i := range c.Rotated(round) {
			var err error
			if costs[i], err = bench.Measure(ctx, c.Clients[i], c.Calls, c.Callers); err != nil {
				return nil, fmt.Errorf("%s: %w", c.Clients[i].Name, err)
			}
		}
		for i, own := range costs {
			f, floor := &all[i], costs[0]
			f.time = append(f.time, float64(own.Time)/float64(floor.Time))
			f.cpu = append(f.cpu, float64(own.CPU)/float64(floor.CPU))
			f.bytes = append(f.bytes, float64(own.Bytes)/float64(floor.Bytes))
			f.allocs = append(f.allocs, float64(own.Allocs)/float64(floor.Allocs))
		}
	}
	var results []result
	for _, f := range all {
		results = append(results, result{
			bench.RatioOf(f.time), bench.RatioOf(f.cpu), bench.RatioOf(f.bytes), bench.RatioOf(f.allocs),
		})
	}
	return results, nil
}
