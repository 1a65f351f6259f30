package flight

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// lonely are runs that take an hour, and that nobody waits for after a second.
var lonely = map[string]struct {
	write func(w Write)
	ends  time.Duration   // of the run, after it began
	told  []time.Duration // after which it was said to be abandoned
}{
	"nothing sent": {func(Write) {}, time.Second, nil},
	"a write sent": {
		func(w Write) { w.Commit() },
		time.Second + LongestUnattended, []time.Duration{LongestUnattended},
	},
	"a write refused": {func(w Write) { w.Commit(); w.Uncommit(true) }, time.Second, nil},
	"a write refused later": {
		func(w Write) { w.Commit(); time.AfterFunc(time.Minute, func() { w.Uncommit(true) }) },
		time.Minute, nil,
	},
	"a write to be sent when all have left": {
		func(w Write) { time.AfterFunc(time.Minute, func() { w.Commit() }) },
		time.Second, nil,
	},
	"a second write to be sent when all have left": {
		func(w Write) { w.Commit(); time.AfterFunc(time.Minute, func() { w.Commit() }) },
		time.Minute, []time.Duration{59 * time.Second},
	},
}

// What becomes of a run that takes an hour, when its only caller leaves it after a second.
func TestRunThatNobodyWaitsFor(t *testing.T) {
	for name, tc := range lonely {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *Group[int, int]) {
				began := time.Now()
				var ended, told notes[time.Duration]
				giveUp(t, g, Key{}, time.Second, func(ctx context.Context, r *Run[int, int]) error {
					r.OnAbandoned = func(_ context.Context, after time.Duration) { told.add(after) }
					tc.write(r.Write())
					err := sleep(ctx, time.Hour)
					ended.add(time.Since(began))
					return err
				})
				time.Sleep(2 * time.Hour)
				require.Equal(t, []time.Duration{tc.ends}, ended.list())
				require.Equal(t, tc.told, told.list())
			})
		})
	}
}

// A run that somebody has come back to goes on for as long as ever when it is left again. One that
// ends well meanwhile was not abandoned.
func TestRunThatSomebodyCameBackTo(t *testing.T) {
	for name, takes := range map[string]time.Duration{"too long": time.Hour, "not too long": 20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *Group[int, int]) {
				var runs, told atomic.Int32
				work := func(ctx context.Context, r *Run[int, int]) error {
					runs.Add(1)
					r.OnAbandoned = func(_ context.Context, after time.Duration) {
						told.Add(1)
						require.Equal(t, LongestUnattended, after)
					}
					r.Write().Commit()
					return sleep(ctx, takes)
				}
				giveUp(t, g, Key{}, time.Second, work)
				time.Sleep(LongestUnattended - time.Second)
				giveUp(t, g, Key{}, time.Second, work)
				time.Sleep(LongestUnattended - time.Second)
				require.Zero(t, told.Load())
				time.Sleep(time.Hour)
				require.EqualValues(t, 1, runs.Load())
				require.Equal(t, takes == time.Hour, told.Load() == 1)
			})
		})
	}
}

// Whoever comes back at the moment when a run would be ended keeps it.
func TestRunThatSomebodyComesBackToInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		r, _ := g.enter(t.Context(), Key{}, takes(time.Hour, 7))
		r.expire() // as a timer that was about to when the caller came
		<-r.done
		require.NoError(t, r.Err)
		r.Leave()
	})
}

// A run has the values of the context that began it, and neither its end nor its deadline.
func TestContextOfARun(t *testing.T) {
	type key struct{}
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "a value"), time.Second)
		defer cancel()
		var calls sync.WaitGroup
		calls.Go(func() {
			_, err := g.Join(ctx, Key{}, func(ctx context.Context, _ *Run[int, int]) error {
				require.Equal(t, "a value", ctx.Value(key{}))
				_, ok := ctx.Deadline()
				require.False(t, ok)
				return sleep(ctx, time.Minute)
			}, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		calls.Go(func() {
			time.Sleep(time.Millisecond)
			r, err := g.Join(t.Context(), Key{}, nil, nil)
			require.NoError(t, err)
			require.NoError(t, r.Err)
		})
		calls.Wait()
	})
}

// Each caller hears of the progress from when it has come.
func TestTell(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		work := func(ctx context.Context, r *Run[int, int]) error {
			for i := range 5 {
				if err := sleep(ctx, time.Second); err != nil {
					return err
				}
				r.Tell(i)
			}
			return sleep(ctx, time.Second)
		}
		var calls sync.WaitGroup
		for comes, want := range [][]int{{0, 1, 2, 3, 4}, {1, 2, 3, 4}, {2, 3, 4}} {
			calls.Go(func() {
				time.Sleep(time.Duration(comes) * 1100 * time.Millisecond)
				var heard []int
				_, err := g.Join(t.Context(), Key{}, work, func(news int) { heard = append(heard, news) })
				require.NoError(t, err)
				require.Equal(t, want, heard)
			})
		}
		calls.Wait()
	})
}

// A panic of the work reaches one caller, and the others have an error. The next one begins anew.
func TestPanicOfTheWork(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		var panics, failures atomic.Int32
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				defer func() {
					if r := recover(); r != nil {
						require.Equal(t, errBroken, r)
						panics.Add(1)
					}
				}()
				r, err := g.Join(t.Context(), Key{}, func(ctx context.Context, r *Run[int, int]) error {
					r.Result = 7
					_ = sleep(ctx, time.Second)
					panic(errBroken)
				}, nil)
				require.NoError(t, err)
				require.Equal(t, ErrUnfinished, r.Err)
				require.Equal(t, 7, r.Result, "as far as it came")
				failures.Add(1)
			})
		}
		calls.Wait()
		require.Equal(t, []int32{1, 9}, []int32{panics.Load(), failures.Load()})
		r, err := g.Join(t.Context(), Key{}, takes(time.Second, 8), nil)
		require.NoError(t, err)
		require.Equal(t, 8, r.Result)
	})
}

// A panic of a caller's own progress function is that caller's affair.
func TestPanicOfProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		work := func(ctx context.Context, r *Run[int, int]) error {
			_ = sleep(ctx, time.Second)
			r.Tell(1)
			return sleep(ctx, time.Second)
		}
		var calls sync.WaitGroup
		calls.Go(func() {
			require.PanicsWithValue(t, "mine", func() {
				_, _ = g.Join(t.Context(), Key{}, work, func(int) { panic("mine") })
			})
		})
		calls.Go(func() {
			r, err := g.Join(t.Context(), Key{}, work, nil)
			require.NoError(t, err)
			require.NoError(t, r.Err)
		})
		calls.Wait()
	})
}

// OnAbandoned is called with no lock held and after the run is forgotten, so it may join the same
// key. A panic of it ends there.
func TestOnAbandoned(t *testing.T) {
	inBubble(t, func(t *testing.T, g *Group[int, int]) {
		again := 0
		giveUp(t, g, Key{}, time.Second, func(ctx context.Context, r *Run[int, int]) error {
			r.OnAbandoned = func(ctx context.Context, _ time.Duration) {
				next, err := g.Join(ctx, Key{}, takes(time.Second, 8), nil)
				require.NoError(t, err)
				again = next.Result
				panic(errBroken)
			}
			r.Write().Commit()
			return sleep(ctx, time.Hour)
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 8, again)
	})
}

// After GiveUp, a run that somebody has come back to has told its caller how it ended, so it was not
// abandoned. If the caller leaves before, it was.
func TestRunThatSomebodyComesBackToAfterGiveUp(t *testing.T) {
	for name, waits := range map[string]time.Duration{"until its end": 2 * time.Hour, "not so long": time.Minute} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *Group[int, int]) {
				var told atomic.Int32
				work := func(ctx context.Context, r *Run[int, int]) error {
					r.OnAbandoned = func(context.Context, time.Duration) { told.Add(1) }
					r.Write().Commit()
					_ = sleep(ctx, time.Hour)
					return errBroken
				}
				giveUp(t, g, Key{}, time.Second, work)
				g.unattended.GiveUp()
				ctx, cancel := context.WithTimeout(t.Context(), waits)
				defer cancel()
				r, err := g.Join(ctx, Key{}, work, nil)
				stays := waits > time.Hour
				require.Equal(t, stays, err == nil)
				<-r.done
				synctest.Wait()
				require.ErrorIs(t, r.Err, errBroken)
				require.Equal(t, !stays, told.Load() == 1)
			})
		})
	}
}
