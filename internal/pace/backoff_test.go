package pace

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The bounds of the random wait double, up to the largest, and no number of attempts makes them
// overflow.
func TestBackoff(t *testing.T) {
	const half, most = 500 * time.Millisecond, 15 * time.Second
	for _, tc := range []struct {
		least, most time.Duration
		attempts    int
		bound       time.Duration
	}{
		{half, most, 1, half},
		{half, most, 2, time.Second},
		{half, most, 5, 8 * time.Second},
		{half, most, 6, most},
		{half, most, 40, most},
		{half, most, 1 << 40, most},
		{1, time.Hour, 11, 1 << 10},
		{1, time.Hour, 32, 1 << 31},
		{1, time.Hour, 33, 1 << 32},
		{1, time.Hour, 42, 1 << 41},
		{1, time.Hour, 43, time.Hour},
		{1, time.Hour, 63, time.Hour},
		{1, time.Hour, 64, time.Hour},
		{1, time.Hour, 65, time.Hour},
		{time.Hour, math.MaxInt64, 21, time.Hour << 20},
		{time.Hour, math.MaxInt64, 22, time.Hour << 21},
		{time.Hour, math.MaxInt64, 23, math.MaxInt64},
		{time.Hour, math.MaxInt64, 32, math.MaxInt64},
		{time.Hour, math.MaxInt64, 64, math.MaxInt64},
		{time.Second, 3 * time.Second, 2, 2 * time.Second},
		{time.Second, 3 * time.Second, 3, 3 * time.Second},
		{time.Second, 3 * time.Second, 30, 3 * time.Second},
		{time.Second, time.Second / 10, 1, time.Second / 10},
	} {
		largest := time.Duration(0)
		for range 2000 {
			wait := Backoff(tc.least, tc.most, tc.attempts)
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.Less(t, wait, tc.bound)
			largest = max(largest, wait)
		}
		require.Greater(t, largest, tc.bound/10*9, "%v, %d: the whole range is used", tc.least, tc.attempts)
	}
}

// Without a bound above 0 there is no wait.
func TestBackoffOfNothing(t *testing.T) {
	require.Zero(t, Backoff(time.Second, 0, 1))
	require.Zero(t, Backoff(0, time.Minute, 5))
	require.Zero(t, Jitter(0))
	require.Zero(t, Jitter(-time.Second))
}

// A sleep ends at its time, or as soon as the context does. One of nothing still says that it has
// ended.
func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, Sleep(t.Context(), time.Hour))
		require.Equal(t, time.Hour, time.Since(began))
		require.NoError(t, Sleep(t.Context(), 0))
		require.NoError(t, Sleep(t.Context(), -time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, Sleep(ctx, time.Hour), context.DeadlineExceeded)
		require.ErrorIs(t, Sleep(ctx, 0), context.DeadlineExceeded)
		require.Equal(t, time.Hour+time.Minute, time.Since(began))
	})
}
