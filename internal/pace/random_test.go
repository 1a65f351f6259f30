package pace

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// moodyServer takes its time, accepts, refuses and loses requests at random, and watches whether
// its word is kept.
type moodyServer struct {
	groups *Groups

	mu     sync.Mutex
	random *rand.Rand
	words  map[string]*word
	broken []string // what was not kept
	taken  int      // requests
}

// word is what the server has last said of a group, and what came of the requests that left since.
type word struct {
	until    time.Time
	refusals int
	first    time.Time // the first that left since the group has opened
	ended    bool      // one of them has
}

func (m *moodyServer) roll(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

func (m *moodyServer) upTo(most time.Duration) time.Duration {
	return time.Duration(m.roll(1000)) * most / 1000
}

// leaves reports whether a request may still leave, and looks whether it should. It returns how
// often the group was refused by then.
func (m *moodyServer) leaves(key string, permit Permit) (refusals int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if !m.groups.StillOpen(key, permit, now) {
		return 0, false
	}
	m.taken++
	w := m.words[key]
	switch {
	case now.Before(w.until):
		m.broken = append(m.broken, fmt.Sprintf("%s: a request leaves %v too early", key, w.until.Sub(now)))
	case w.refusals == 0 || w.ended:
	case w.first.IsZero():
		w.first = now
	case now.Sub(w.until) < probeLimit:
		m.broken = append(m.broken, fmt.Sprintf("%s: %v after the probe another leaves", key, now.Sub(w.first)))
	}
	return w.refusals, true
}

// answers has a request end, somehow.
func (m *moodyServer) answers(key string, permit Permit, refusals int) {
	mood, wait := m.roll(12), time.Duration(m.roll(20))*time.Second
	m.mu.Lock()
	defer m.mu.Unlock()
	w, now := m.words[key], time.Now()
	w.ended = w.ended || w.refusals == refusals
	switch mood {
	case 0, 1: // lost
	case 2, 3, 4:
		m.groups.Refuse(key, permit, now, wait)
		w.refusals++
		w.first, w.ended = time.Time{}, false
		if until := now.Add(wait); until.After(w.until) {
			w.until = until
		}
	default:
		m.groups.Accept(key, permit, now)
	}
}

// call asks for a permit, under a context that may end at some time, and sends a request if it gets
// one. What it has to do before may take so long that the group is closed by then.
func (m *moodyServer) call(ctx context.Context, key string) {
	cancel := func() {}
	switch m.roll(4) {
	case 0:
		ctx, cancel = context.WithTimeout(ctx, m.upTo(90*time.Second))
	case 1:
		ctx, cancel = context.WithCancel(ctx)
		defer time.AfterFunc(m.upTo(90*time.Second), cancel).Stop()
	}
	defer cancel()
	patience := patient
	if m.roll(3) == 0 {
		patience = m.upTo(30 * time.Second)
	}
	permit, err := m.groups.Admit(ctx, key, patience, func(Reason, time.Duration) {})
	if err != nil {
		return
	}
	defer permit.Release()
	time.Sleep(m.upTo(5*time.Second) * time.Duration(m.roll(2)))
	refusals, ok := m.leaves(key, permit)
	if !ok {
		return
	}
	time.Sleep(m.upTo(3 * time.Second))
	if m.roll(50) == 0 {
		time.Sleep(10 * time.Minute) // by then nobody waits for it
	}
	m.answers(key, permit, refusals)
}

// Random callers, who give up, have deadlines and little patience, of a moody server: no request
// leaves before the time that the server named; when a group has opened, one goes ahead alone; and
// in the end nobody is left behind, and every group is as it should be.
func TestRandomCallers(t *testing.T) {
	seeds, taken := 300, 0
	if testing.Short() {
		seeds = 30
	}
	keys := []string{"a", "b", "c"}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			m := &moodyServer{groups: NewGroups(), random: rand.New(rand.NewPCG(seed, 2)), words: map[string]*word{}}
			for _, key := range keys {
				m.words[key] = &word{}
			}
			var wg sync.WaitGroup
			for range 60 {
				wg.Go(func() {
					time.Sleep(m.upTo(time.Minute))
					for range 1 + m.roll(4) {
						m.call(t.Context(), keys[m.roll(len(keys))])
					}
				})
			}
			wg.Wait()
			require.Empty(t, m.broken, "seed %d", seed)
			require.Zero(t, m.groups.Busy(), "seed %d", seed)
			wellKept(t, m.groups)
			taken += m.taken
			for _, key := range keys {
				last := time.Now()
				permit, err := m.groups.Admit(t.Context(), key, patient, func(Reason, time.Duration) {})
				require.NoError(t, err)
				permit.Release()
				require.Less(t, time.Since(last), 30*time.Second, "seed %d: nobody is in the way", seed)
			}
		})
	}
	t.Logf("%d seeds, %d requests", seeds, taken)
}

// wellKept checks what holds for every group when nobody is under way.
func wellKept(t *testing.T, gs *Groups) {
	t.Helper()
	gs.mu.Lock()
	defer gs.mu.Unlock()
	epochs := map[int]bool{}
	for key, g := range gs.groups {
		require.Zero(t, g.queued, key)
		require.Empty(t, g.turn, key)
		require.GreaterOrEqual(t, g.limiter.Limit(), lowestRate, key)
		require.Greater(t, g.step, rate.Limit(0), key)
		require.False(t, g.waitedAt.Before(g.opensAt), key)
		require.Equal(t, g.refusals > 0, g.refusals > 0 && g.probing, "%s: after an answer nothing is in a row", key)
		require.LessOrEqual(t, g.epoch, gs.epochs, key)
		require.False(t, epochs[g.epoch], key)
		epochs[g.epoch] = true
		require.NotContains(t, gs.closed, hashOf(key))
	}
	for key, s := range gs.strikes {
		require.Less(t, len(s), enoughStrikes, key)
	}
}
