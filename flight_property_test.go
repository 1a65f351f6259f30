package duolink

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

// flightRecord is what the property test knows of one run.
type flightRecord struct {
	ctx      context.Context
	ended    bool
	commits  int  // of how many things had happened when it last sent a write
	wrote    bool // a write was sent
	unclear  bool // and may have been carried out
	finished bool // without an error
	cut      bool // it was stopped before it was finished
	told     int  // how often it was said to be abandoned
}

// flightLog is the property test's own record of all flights, kept apart from what the flights know.
type flightLog struct {
	t       *testing.T
	mu      sync.Mutex
	random  *rand.Rand
	slow    int // milliseconds that a step of a run takes at most
	events  int
	present map[string]int           // callers by key
	current map[string]*flightRecord // the latest run by key
	all     map[any]*flightRecord    // by flight
	rest    []func()                 // to be looked at when all is over
}

func (a *flightLog) roll(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.random.IntN(n)
}

func (a *flightLog) while(n int) time.Duration { return time.Duration(a.roll(n)) * time.Millisecond }

// note writes something down.
func (a *flightLog) note(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	do()
}

// lonely is how many runs go on while nobody waits.
func (a *flightLog) lonely() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, v := range a.current {
		if !v.ended && v.ctx.Err() == nil && a.present[key] == 0 {
			n++
		}
	}
	return n
}

// fly is a run that does anything that a run may do.
func fly(a *flightLog, key string) run[string, int] {
	return func(ctx context.Context, f *flight[string, int]) (_ string, err error) {
		v := &flightRecord{ctx: ctx}
		a.note(func() {
			before := a.current[key]
			require.True(a.t, before == nil || before.ended || before.ctx.Err() != nil, "two runs at a time")
			a.current[key], a.all[f] = v, v
		})
		defer a.note(func() { v.ended, v.finished, v.cut = true, err == nil, err != nil && ctx.Err() != nil })
		f.lost = func(lost context.Context, after time.Duration) {
			require.NoError(a.t, lost.Err())
			require.Positive(a.t, after)
			f.all.mu.Lock() // nobody holds it
			require.False(a.t, slices.Contains(f.all.runs, interface{ abandon() }(f)))
			f.all.mu.Unlock()
			a.note(func() { v.told++ })
			if a.roll(2) == 0 {
				panic("a hook's, that nobody gets")
			}
		}
		for i := range a.roll(6) {
			most := a.slow
			if i == 0 {
				most = 10_000
			}
			if err := sleep(ctx, a.while(most)); err != nil {
				return "", err
			}
			f.tell(i)
			if a.roll(2) == 0 {
				continue
			}
			if again, err := write(a, f, v, key); !again {
				return key, err
			}
		}
		switch a.roll(8) {
		case 0:
			err = errBroken
			panic("a hook's, that one caller gets")
		case 1:
			return "", errors.New("failed")
		}
		return key, nil
	}
}

// write is a call of a run, with all its attempts.
func write(a *flightLog, f *flight[string, int], v *flightRecord, key string) (again bool, err error) {
	var o callOptions
	require.NoError(a.t, f.write()(&o))
	for {
		if v.ctx.Err() != nil { // as before each attempt
			o.write.uncommit(NotSent)
			return false, v.ctx.Err()
		}
		sent := o.write.commit()
		a.note(func() {
			if sent {
				require.Positive(a.t, a.present[key], "sent although everybody had left")
				require.NoError(a.t, v.ctx.Err(), "sent although it was stopped")
				v.commits, v.wrote = a.events, true
			}
		})
		if !sent {
			require.Error(a.t, v.ctx.Err(), "it ends")
			o.write.uncommit(NotSent)
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
			o.write.uncommit(Rejected)
			return a.roll(2) == 0, errors.New("refused")
		}
		o.write.uncommit(Rejected)
		if err := sleep(v.ctx, a.while(60_000)); err != nil {
			return false, err
		}
	}
}

// call is a caller who may give up, be slow, or panic.
func (a *flightLog) call(fs *flights[string, int], key string) {
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
	join := fs.join
	holds := a.roll(3) == 0
	if holds {
		join = fs.hold
	}
	f, err := join(ctx, shared("t", key), fly(a, key), progress)
	require.LessOrEqual(a.t, time.Since(began), patience)
	if err == nil {
		if f.err == nil {
			require.Equal(a.t, key, f.result)
		}
		if holds {
			time.Sleep(a.while(5000))
			f.leave()
		}
		return
	}
	outcome, at := f.outcome(), 0
	a.note(func() {
		at = a.events
		a.rest = append(a.rest, func() {
			v := a.all[f]
			if v == nil || outcome == Unknown {
				return
			}
			require.Less(a.t, v.commits, at, "sent after a caller was told %q", outcome)
			require.False(a.t, v.unclear, "a caller was told %q", outcome)
			require.Equal(a.t, outcome == Rejected, v.wrote)
		})
	})
}

// Random callers of a few keys, or of many, come, leave and come back; runs send, are refused,
// tell, fail and panic.
func TestFlightsProperty(t *testing.T) {
	seeds := uint64(300)
	if inShort() {
		seeds = 60
	}
	told, most := 0, 0
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			a := &flightLog{
				t: t, random: rand.New(rand.NewPCG(seed, 7)),
				present: map[string]int{}, current: map[string]*flightRecord{}, all: map[any]*flightRecord{},
			}
			kinds := []*flights[string, int]{newFlights[string, int](), newFlights[string, int]()}
			kinds[1].unattended = kinds[0].unattended
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
			over := make(chan struct{})
			go func() {
				wg.Wait()
				close(over)
			}()
			for going := true; going; {
				select {
				case <-over:
					going = false
				case <-time.After(time.Second):
					synctest.Wait()
					lonely := a.lonely()
					require.LessOrEqual(t, lonely, mostAlone)
					most = max(most, lonely)
				}
			}
			time.Sleep(2 * alone)
			for _, fs := range kinds {
				grounded(t, fs)
			}
			require.Empty(t, kinds[0].runs)
			for _, check := range a.rest {
				check()
			}
			for v := range maps.Values(a.all) {
				require.True(t, v.ended)
				require.LessOrEqual(t, v.told, 1)
				if v.told > 0 {
					require.True(t, v.wrote && !v.finished)
				}
				if v.unclear && v.cut {
					require.Equal(t, 1, v.told)
				}
				told += v.told
			}
		})
	}
	require.Positive(t, told)
	require.Equal(t, mostAlone, most, "in none of the seeds it was close")
	t.Logf("%d seeds: %d runs were abandoned, and %d were alone at most", seeds, told, most)
}
