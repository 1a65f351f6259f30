package flight

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// runRecord is what the property test knows of one run.
type runRecord struct {
	ctx      context.Context
	ended    bool
	commits  int  // of how many things had happened when it last sent a write
	wrote    bool // a write was sent
	unclear  bool // and may have been carried out
	finished bool // without an error
	cut      bool // it was stopped before it was finished
	told     int  // how often it was said to be abandoned
}

var errBroken = errors.New("broken")

// sleep makes no timer for a wait of nothing.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// observer is the property test's own record of all runs, kept apart from what the runs know.
type observer struct {
	t       *testing.T
	mu      sync.Mutex
	random  *rand.Rand
	slow    int // milliseconds that a step of a run takes at most
	events  int
	present map[string]int        // callers by key
	current map[string]*runRecord // the latest run by key
	all     map[any]*runRecord    // by run
	checks  []func()              // to be made when all is over
}

func (a *observer) roll(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.random.IntN(n)
}

func (a *observer) while(n int) time.Duration { return time.Duration(a.roll(n)) * time.Millisecond }

// note writes something down.
func (a *observer) note(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	do()
}

// lonely is how many runs go on while nobody waits.
func (a *observer) lonely() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, v := range a.current {
		if !v.ended && v.ctx.Err() == nil && a.present[key] == 0 {
			n++
		}
	}
	return n
}

// anything is work that does anything that work may do.
func anything(a *observer, key string) Work[string, int] {
	return func(ctx context.Context, r *Run[string, int]) (err error) {
		v := &runRecord{ctx: ctx}
		a.note(func() {
			before := a.current[key]
			require.True(a.t, before == nil || before.ended || before.ctx.Err() != nil, "two runs at a time")
			a.current[key], a.all[r] = v, v
		})
		defer a.note(func() { v.ended, v.finished, v.cut = true, err == nil, err != nil && ctx.Err() != nil })
		r.Result, r.OnAbandoned = key, a.abandoned(r, v)
		most := 10_000
		for i := range a.roll(6) {
			if err := sleep(ctx, a.while(most)); err != nil {
				return err
			}
			most = a.slow
			r.Tell(i)
			if a.roll(2) == 0 {
				continue
			}
			if again, err := write(a, r, v, key); !again {
				return err
			}
		}
		switch a.roll(8) {
		case 0:
			err = errBroken
			panic("one caller gets this")
		case 1:
			return errBroken
		}
		return nil
	}
}

// abandoned is called if a run was ended that may have written something.
func (a *observer) abandoned(r *Run[string, int], v *runRecord) func(context.Context, time.Duration) {
	return func(ctx context.Context, after time.Duration) {
		require.NoError(a.t, ctx.Err())
		require.Positive(a.t, after)
		r.lock() // nobody holds it
		require.False(a.t, slices.Contains(r.group.unattended.runs, abandoner(r)))
		r.unlock()
		a.note(func() { v.told++ })
		if a.roll(2) == 0 {
			panic("nobody gets this")
		}
	}
}

// write is a write with all its attempts.
func write(a *observer, r *Run[string, int], v *runRecord, key string) (again bool, err error) {
	w := r.Write()
	for {
		if v.ctx.Err() != nil { // as before each attempt
			w.Uncommit(false)
			return false, v.ctx.Err()
		}
		sent := w.Commit()
		a.note(func() {
			if sent {
				require.Positive(a.t, a.present[key], "sent although everybody had left")
				require.NoError(a.t, v.ctx.Err(), "sent although it was stopped")
				v.commits, v.wrote = a.events, true
			}
		})
		if !sent {
			require.Error(a.t, v.ctx.Err(), "it ends")
			w.Uncommit(false)
			return false, context.Canceled
		}
		if sleep(v.ctx, a.while(a.slow)) != nil || a.roll(3) == 0 {
			a.note(func() { v.unclear = true })
			return a.roll(2) == 0, errors.New("no answer")
		}
		switch a.roll(3) {
		case 0: // it has come about
			a.note(func() { v.unclear = true })
			return false, nil
		case 1: // refused, and not tried again
			w.Uncommit(true)
			return a.roll(2) == 0, errors.New("refused")
		}
		w.Uncommit(true)
		if err := sleep(v.ctx, a.while(60_000)); err != nil {
			return false, err
		}
	}
}

// call is a caller who may give up, be slow, or panic.
func (a *observer) call(group *Group[string, int], key string) {
	patience := a.while(60_000)
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	a.note(func() { a.present[key]++ })
	defer a.note(func() { a.present[key]-- })
	defer func() { _ = recover() }()
	began := time.Now()
	progress := func(int) {
		if a.roll(60) == 0 {
			panic("progress")
		}
	}
	join, holds := group.Join, a.roll(3) == 0
	if holds {
		join = group.Hold
	}
	r, err := join(ctx, KeyOf(key), anything(a, key), progress)
	require.LessOrEqual(a.t, time.Since(began), patience)
	if err != nil {
		a.gaveUp(r)
		return
	}
	if r.Err == nil {
		require.Equal(a.t, key, r.Result)
	}
	if holds {
		time.Sleep(a.while(5000))
		r.Leave()
	}
}

// gaveUp notes what a caller is told who has given up. Whether it holds will be seen.
func (a *observer) gaveUp(r *Run[string, int]) {
	outcome := r.Outcome()
	a.note(func() {
		at := a.events
		a.checks = append(a.checks, func() {
			v := a.all[r]
			if v == nil || outcome == Unknown {
				return
			}
			require.Less(a.t, v.commits, at, "sent after a caller was told %d", outcome)
			require.False(a.t, v.unclear, "a caller was told %d", outcome)
			require.Equal(a.t, outcome == Rejected, v.wrote)
		})
	})
}

// mostLonely is how many runs went on while nobody waited, at most, until all callers are gone.
func (a *observer) mostLonely(callers *sync.WaitGroup) (most int) {
	over := make(chan struct{})
	go func() {
		callers.Wait()
		close(over)
	}()
	for {
		select {
		case <-over:
			return most
		case <-time.After(time.Second):
			synctest.Wait()
			most = max(most, a.lonely())
			require.LessOrEqual(a.t, most, MostUnattended)
		}
	}
}

// verdict looks at what was noted of all runs, and returns how many were said to be abandoned.
func (a *observer) verdict() (told int) {
	for _, check := range a.checks {
		check()
	}
	for v := range maps.Values(a.all) {
		require.True(a.t, v.ended)
		require.LessOrEqual(a.t, v.told, 1)
		if v.told > 0 {
			require.True(a.t, v.wrote && !v.finished)
		}
		if v.unclear && v.cut {
			require.Equal(a.t, 1, v.told)
		}
		told += v.told
	}
	return told
}

// Random callers of a few keys, or of many, come, leave and come back; runs send, are refused,
// tell, fail and panic.
func TestRunsProperty(t *testing.T) {
	seeds := uint64(300)
	if inShort() {
		seeds = 60
	}
	told, most := 0, 0
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			a := &observer{
				t: t, random: rand.New(rand.NewPCG(seed, 7)),
				present: map[string]int{}, current: map[string]*runRecord{}, all: map[any]*runRecord{},
			}
			list := &Unattended{}
			kinds := []*Group[string, int]{NewGroup[string, int](list), NewGroup[string, int](list)}
			keys, callers := 3, 60
			a.slow = 40_000
			if seed%10 == 0 {
				keys, callers, a.slow = 400, 400, 600_000
			}
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range 3 {
						time.Sleep(a.while(60_000))
						kind := a.roll(2)
						a.call(kinds[kind], strconv.Itoa(2*a.roll(keys)+kind))
					}
				})
			}
			most = max(most, a.mostLonely(&wg))
			time.Sleep(2 * LongestUnattended)
			synctest.Wait()
			require.Zero(t, kinds[0].Running()+kinds[1].Running()+list.Len())
			told += a.verdict()
		})
	}
	require.Positive(t, told)
	require.Equal(t, MostUnattended, most, "in none of the seeds it was close")
	t.Logf("%d seeds: %d runs were abandoned, and %d were alone at most", seeds, told, most)
}
