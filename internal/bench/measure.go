package bench

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// Cost is what calls cost.
type Cost struct {
	Time, CPU     time.Duration
	Bytes, Allocs uint64
}

// Measure measures so many calls of a client, after a few that warm it up.
func Measure(ctx context.Context, client Client, calls, callers int) (Cost, error) {
	const warm = 10 // of each hundred calls
	if err := Run(ctx, client.Call, calls*warm/100+1, callers); err != nil {
		return Cost{}, err
	}
	runtime.GC() // what another client left behind is not this one's to collect
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := cpuTime(syscall.RUSAGE_SELF), time.Now()
	if err := Run(ctx, client.Call, calls, callers); err != nil {
		return Cost{}, err
	}
	cost := Cost{Time: time.Since(began), CPU: cpuTime(syscall.RUSAGE_SELF) - cpu}
	runtime.ReadMemStats(&after)
	cost.Bytes, cost.Allocs = after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
	return cost, nil
}

// Run makes calls, several at a time.
func Run(ctx context.Context, call func(context.Context) (any, error), calls, callers int) error {
	var left atomic.Int64
	left.Store(int64(calls))
	failed := make(chan error, callers)
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if _, err := call(ctx); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var first error
	for range callers {
		if err := <-failed; first == nil {
			first = err
		}
	}
	return first
}

// cpuTime is the CPU time of this process, or of its children that have ended.
func cpuTime(of int) time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(of, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Ratio is the median of the ratios of several rounds. With 95 % certainty the true median is
// between Low and High, whatever the distribution.
type Ratio struct{ Median, Low, High float64 }

// RatioOf is the Ratio of one ratio for each round.
func RatioOf(rounds []float64) Ratio {
	all := slices.Sorted(slices.Values(rounds))
	n := len(all)
	median := all[n/2]
	if n%2 == 0 {
		median = (all[n/2-1] + all[n/2]) / 2
	}
	out := outside(n)
	return Ratio{median, all[out], all[n-1-out]}
}

// outside is how many of n values lie outside of the interval at each end. The number of values below
// the true median is like the number of heads of n coins, so the value with k others below it is in the
// interval's end if k or fewer heads are rarer than 2.5 %.
func outside(n int) int {
	const rare = 0.025
	chance := math.Pow(0.5, float64(n)) // of no heads
	k := 0
	for sum := chance; ; k++ {
		chance *= float64(n-k) / float64(k+1)
		if sum += chance; sum > rare || k >= (n-1)/2 {
			return k
		}
	}
}
