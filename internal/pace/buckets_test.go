package pace

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Callers go at once until the burst is used up, and then evenly, in the order in which they came.
func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bs Buckets
		var mu sync.Mutex
		var order []int
		var times []time.Duration
		var calls sync.WaitGroup
		began := time.Now()
		for i := range 6 {
			calls.Go(func() {
				time.Sleep(time.Duration(i)) // one after the other
				require.NoError(t, bs.Wait(t.Context(), "a", Budget{time.Second, 3}))
				mu.Lock()
				defer mu.Unlock()
				order, times = append(order, i), append(times, time.Since(began).Round(time.Millisecond))
			})
		}
		calls.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4, 5}, order)
		require.Equal(t, []time.Duration{0, 0, 0, time.Second, 2 * time.Second, 3 * time.Second}, times)
		require.NoError(t, bs.Wait(t.Context(), "b", Budget{time.Second, 3}), "another group is not concerned")
		require.Equal(t, 3*time.Second, time.Since(began).Round(time.Millisecond))
	})
}

// A wait that would outlast the context is not started, and takes nothing. Neither does one that is
// given up.
func TestBucketsGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bs Buckets
		budget := Budget{time.Minute, 1}
		require.NoError(t, bs.Wait(t.Context(), "a", budget))
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		require.Equal(t, TooLong{time.Minute}, bs.Wait(ctx, "a", budget))
		require.Zero(t, time.Since(began))
		cancel()
		require.ErrorIs(t, bs.Wait(ctx, "a", budget), context.Canceled)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, bs.Wait(ctx, "a", budget), context.Canceled)
		require.Equal(t, time.Second, time.Since(began))
		require.NoError(t, bs.Wait(t.Context(), "a", budget))
		require.Equal(t, time.Minute, time.Since(began))
		bs.Refill("a")
		require.NoError(t, bs.Wait(t.Context(), "a", budget))
		require.Equal(t, time.Minute, time.Since(began))
	})
}

// Nothing goes while a group is closed, also what already had its turn. After it, the budget holds.
func TestBucketsClose(t *testing.T) {
	for name, budget := range map[string]Budget{"a budget": {time.Second, 2}, "no budget": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bs Buckets
				began := time.Now()
				var calls sync.WaitGroup
				var mu sync.Mutex
				var gone []time.Duration
				for i := range 5 {
					calls.Go(func() {
						time.Sleep(time.Duration(i) * 10 * time.Millisecond)
						require.NoError(t, bs.Wait(t.Context(), "a", budget))
						mu.Lock()
						defer mu.Unlock()
						gone = append(gone, time.Since(began).Round(time.Second))
					})
				}
				time.Sleep(15 * time.Millisecond) // two have gone
				bs.Close("a", began.Add(time.Minute))
				bs.Close("a", began.Add(time.Second))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.IsType(t, TooLong{}, bs.Wait(ctx, "a", budget))
				calls.Wait()
				want := []time.Duration{0, 0, time.Minute, time.Minute, time.Minute}
				if budget.Burst > 0 {
					want[4] += time.Second
				}
				require.Equal(t, want, gone)
			})
		})
	}
}

// A million groups leave bounded memory. A group that cannot be used yet is never forgotten.
func TestBucketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bs Buckets
		const all = 3 * mostGroups
		used := Budget{24 * time.Hour, 1}
		began := time.Now()
		for i := range all {
			require.NoError(t, bs.Wait(t.Context(), strconv.Itoa(i), used))
		}
		buckets, closed := bs.Len()
		require.LessOrEqual(t, buckets, mostGroups)
		require.Equal(t, all, buckets+closed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for i := range all {
			require.IsType(t, TooLong{}, bs.Wait(ctx, strconv.Itoa(i), used))
		}
		require.Zero(t, time.Since(began))

		time.Sleep(25 * time.Hour)
		for i := range all { // others, each of which is full again soon
			time.Sleep(time.Millisecond)
			require.NoError(t, bs.Wait(t.Context(), "b"+strconv.Itoa(i), Budget{time.Second, 5}))
			bs.Close("c"+strconv.Itoa(i), time.Now().Add(time.Second))
		}
		buckets, closed = bs.Len()
		require.LessOrEqual(t, buckets, mostGroups)
		require.LessOrEqual(t, closed, mostGroups)
	})
}
