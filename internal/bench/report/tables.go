package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/duolink/duolink/internal/bench"
)

func table(columns ...string) {
	fmt.Printf("| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
}

func row(cells ...any) {
	var texts []string
	for _, cell := range cells {
		texts = append(texts, text(cell))
	}
	fmt.Printf("| %s |\n", strings.Join(texts, " | "))
}

func text(cell any) string {
	const mebibyte = 1 << 20
	switch v := cell.(type) {
	case bench.Ratio:
		if v.Low == v.High {
			return fmt.Sprintf("%.2f", v.Median)
		}
		return fmt.Sprintf("%.2f (%.2f–%.2f)", v.Median, v.Low, v.High)
	case goal:
		return v.String()
	case int64:
		return fmt.Sprintf("%.1f MiB", float64(v)/mebibyte)
	}
	return fmt.Sprint(cell)
}

// String is the goals for CPU, bytes and allocations.
func (g goal) String() string {
	var parts []string
	for _, most := range []float64{g.cpu, g.bytes, g.allocs} {
		if most > 0 {
			parts = append(parts, fmt.Sprintf("%.2f", most))
		} else {
			parts = append(parts, "-")
		}
	}
	if g.client == "" {
		return ""
	}
	return strings.Join(parts, " / ")
}

// memory prints how much memory a stream takes.
func memory(server *bench.Server) error {
	table("stream", "peak memory over the idle process")
	for _, c := range []struct{ name, payload string }{
		{"100,000 accounts, 9.7 MB", bench.Accounts100k}, {"1,030,000 accounts, 100 MB", bench.Accounts1M},
	} {
		peak, err := bench.Peak(server.URL, c.payload)
		if err != nil {
			return err
		}
		row(c.name, peak)
	}
	fmt.Println()
	return nil
}

// load prints what many callers of one client get.
func load(ctx context.Context, server *bench.Server, rounds int) error {
	const callers, calls = 64, 6000
	clients := bench.AsTheyAre(server.URL)
	var faster []float64
	var dials [2]int
	for round := range rounds {
		var got [2]bench.Load
		for i := range clients {
			at := (i + round) % len(clients)
			var err error
			if got[at], err = bench.MeasureLoad(ctx, server, clients[at], calls, callers); err != nil {
				return err
			}
			dials[at] = max(dials[at], got[at].Dials)
		}
		faster = append(faster, got[1].PerSecond/got[0].PerSecond)
	}
	table("64 goroutines, each client as it is by default", "floor", "duolink")
	row("calls a second", "1", bench.RatioOf(faster))
	row("connections for 6,000 calls, at most", dials[0], dials[1])
	fmt.Println()
	return crowd(ctx, rounds)
}

// crowd prints what a call of duolink costs among few and among very many, as a ratio to the floor's.
func crowd(ctx context.Context, rounds int) error {
	const calls = 100_000
	clients := bench.InMemory()
	table("small calls without a network, from", "CPU of duolink's calls, ratio to the floor's")
	for _, callers := range []int{16, 10_000} {
		var ratios []float64
		for range rounds {
			var costs [2]bench.Cost
			for i, client := range clients {
				var err error
				if costs[i], err = bench.Measure(ctx, client, calls, callers); err != nil {
					return err
				}
			}
			ratios = append(ratios, float64(costs[1].CPU)/float64(costs[0].CPU))
		}
		row(fmt.Sprintf("%d goroutines", callers), bench.RatioOf(ratios))
	}
	fmt.Println()
	return nil
}

// weight prints what importing duolink costs.
func weight() error {
	w, err := bench.MeasureWeight()
	if err != nil {
		return err
	}
	table("importing duolink", "")
	count := fmt.Sprintf("%d / %d", w.Packages, w.Modules)
	row("packages / modules outside of the standard library, with its own", count)
	row("CPU to compile, with the standard library compiled", fmt.Sprintf("%.1f s", w.Compile.Seconds()))
	row("stripped program, over one with net/http and encoding/json", w.Binary)
	return nil
}
