package flight

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The time for which nothing is tried grows, and begins anew when all was quiet for as long as the
// longest.
func TestHoldOff(t *testing.T) {
	now, h := time.Now(), HoldOff{}
	for i := range 200 {
		want := []time.Duration{1, 2, 4, 8, 16, 30}[min(i, 5)]
		h.Begin(now)
		require.Equal(t, want*time.Second, h.Until.Sub(now))
		now = h.Until.Add(LongestHold)
	}
	now = now.Add(1)
	h.Begin(now)
	require.Equal(t, ShortestHold, h.Until.Sub(now))
}

// renewals is a value that is counted: each renewal takes a second and lives for a hundred.
func renewals(renew func(n int) error) (r *Renewed[int], made, told *int) {
	made, told = new(int), new(int)
	return &Renewed[int]{
		Limit: time.Minute,
		Tell:  func(context.Context, time.Duration, error) { *told++ },
		Renew: func(ctx context.Context) (int, time.Duration, bool, error) {
			*made++
			n := *made
			time.Sleep(time.Second)
			return n, 100 * time.Second, true, renew(n)
		},
	}, made, told
}

func TestRenewalAheadOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, made, told := renewals(func(int) error { return nil })
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {88 * time.Second, 1}, {time.Second, 1}, {2 * time.Second, 2}, {200 * time.Second, 3}} {
			time.Sleep(step.after)
			v, _, err := r.Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, step.want, v, "after another %s", step.after)
		}
		require.Equal(t, 3, *made)
		require.Equal(t, 3, *told, "each is told of once, that in the background by the next call")
	})
}

func TestRenewalThatFails(t *testing.T) {
	lost := errors.New("lost")
	synctest.Test(t, func(t *testing.T) {
		r, made, _ := renewals(func(int) error { return lost })
		for range 10 {
			_, until, err := r.Get(t.Context())
			require.ErrorIs(t, err, lost)
			require.Equal(t, ShortestHold, time.Until(until), "it is the answer for so long")
		}
		require.Equal(t, 1, *made)
		time.Sleep(ShortestHold)
		_, until, err := r.Get(t.Context())
		require.ErrorIs(t, err, lost)
		require.Equal(t, 2*ShortestHold, time.Until(until))
		require.Equal(t, 2, *made)
	})
}

// What came before anything was tried holds nothing off.
func TestRenewalThatWasNotTried(t *testing.T) {
	r := &Renewed[int]{Limit: time.Minute, Tell: func(context.Context, time.Duration, error) {}}
	made := 0
	r.Renew = func(context.Context) (int, time.Duration, bool, error) {
		made++
		return 0, 0, false, context.Canceled
	}
	for range 3 {
		_, _, err := r.Get(t.Context())
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, 3, made)
}

// A caller who gives up leaves the renewal to the others, and a panic is raised on one of their
// goroutines.
func TestRenewalGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, made, _ := renewals(func(n int) error {
			if n == 2 {
				panic("a hook's own words")
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _, err := r.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		v, _, err := r.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, v)
		time.Sleep(time.Hour)
		require.PanicsWithValue(t, "a hook's own words", func() { _, _, _ = r.Get(t.Context()) })
		v, _, err = r.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, v, "a panic is no failure")
		require.Equal(t, 3, *made)
	})
}

func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := renewals(func(int) error { return nil })
		is := func(want int) func(int) bool { return func(v int) bool { return v == want } }
		v, _, err := r.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, v)
		require.True(t, r.GiveUp(is(7)), "somebody has another value already")
		require.Equal(t, 1, r.Latest())
		require.True(t, r.GiveUp(is(1)))
		require.Zero(t, r.Latest())
		v, _, err = r.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, v)
		require.True(t, r.GiveUp(is(2)), "a second has passed")
		v, _, err = r.Get(t.Context())
		require.NoError(t, err)
		require.False(t, r.GiveUp(is(3)), "one was refused just now")
		require.Equal(t, v, r.Latest())
	})
}

// A value that is good is returned without a lock, until it is due. What is given up is never returned
// again.
func TestGoodValueWithoutALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := Renewed[int]{Limit: time.Minute, Tell: func(context.Context, time.Duration, error) {}}
		r.Renew = func(context.Context) (int, time.Duration, bool, error) {
			n++
			return n, time.Hour, true, nil
		}
		get := func() int {
			value, _, err := r.Get(t.Context())
			require.NoError(t, err)
			return value
		}
		require.Equal(t, 1, get())
		require.Equal(t, 1, get(), "the first caller after a renewal looks whether there is news")
		r.mu.Lock()
		require.Equal(t, 1, get())
		r.mu.Unlock()
		require.True(t, r.GiveUp(func(v int) bool { return v == 1 }))
		require.Equal(t, 2, get())
		require.Equal(t, 2, get())
		time.Sleep(time.Hour - time.Minute)
		require.Equal(t, 2, get(), "it is due, and renewed meanwhile")
		synctest.Wait()
		require.Equal(t, 3, get())
	})
}
