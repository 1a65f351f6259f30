package redislimit

import (
	"context"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A cluster of three masters loses the one that has the budget. Within the cluster's own failover time the
// budget holds again. Nothing hangs meanwhile.
func TestClusterLosesAMaster(t *testing.T) {
	t.Parallel()
	addresses, servers := startCluster(t)
	server := newLimitedServer(t, limit)
	groups := &watching{}
	j := job{Do: "list", Redis: addresses, Server: server.URL, Key: "key", Callers: 5, For: 24 * time.Second}

	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses})
	defer func() { _ = cluster.Close() }()
	fleet, err := New(cluster)
	require.NoError(t, err)
	groups.find(t, j)
	key := fleet.key(groups.name, "budget")
	master, err := cluster.MasterForKey(t.Context(), key)
	require.NoError(t, err)
	require.Contains(t, servers, master.Options().Addr)

	workers := j.startAll(t, processes)
	began := time.Now()
	time.Sleep(time.Until(began.Add(5 * time.Second)))
	servers[master.Options().Addr].kill()
	killed := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		require.NoError(t, ctx.Err(), "the cluster has not recovered")
		if cluster.Set(ctx, "probe:{"+tagOf(key)+"}", "", time.Minute).Err() == nil {
			break
		}
		cluster.ReloadState(ctx)
		time.Sleep(10 * time.Millisecond)
	}
	recovered := time.Now()
	var long, all int
	longest := time.Duration(0)
	for _, w := range workers {
		r := w.result()
		require.Empty(t, r.Other)
		require.Zero(t, r.Away)
		for _, wait := range r.Waits {
			// The nodes need a second to miss the master, and half a second to choose another one. After
			// that, turns are given again, and they are waited for.
			if wait.Began.After(killed.Add(ahead)) && wait.Began.Before(killed.Add(1500*time.Millisecond)) {
				all++
				if longest = max(longest, wait.Took); wait.Took > 50*time.Millisecond {
					long++
				}
			}
		}
	}
	end := began.Add(j.For)
	t.Logf("failover in %v; %d waits meanwhile, %d of more than 50 ms, the longest %v",
		recovered.Sub(killed), all, long, longest)
	require.LessOrEqual(t, float64(long), 0.01*float64(all)+1)
	require.Less(t, longest, time.Second, "nothing hangs")
	for what, part := range map[string][2]time.Time{
		"before": {began, killed}, "failover": {killed, recovered}, "after": {recovered.Add(2 * time.Second), end},
	} {
		seen := server.between(part[0], part[1])
		t.Logf("%s: %+v in %v", what, seen, part[1].Sub(part[0]))
		if what != "failover" {
			require.LessOrEqual(t, seen.mostPerSecond, limit+processes, what)
		}
		require.Positive(t, seen.accepted, what)
	}
	after := server.between(recovered.Add(2*time.Second), end)
	require.LessOrEqual(t, float64(after.refused), 0.01*float64(after.accepted)+1)
}

// watching finds the name of the limit group that a job's calls belong to.
type watching struct{ name string }

func (w *watching) Wait(_ context.Context, g duolink.Group) error {
	w.name = g.Name
	return duolink.BudgetUsedUp(time.Hour)
}

func (w *watching) Report(duolink.Group, duolink.Answer) {}

func (w *watching) find(t *testing.T, j job) {
	t.Helper()
	c, err := duolink.New(duolink.WithSupermetrics(duolink.BearerToken(j.Key)), duolink.WithLimiter(w))
	require.NoError(t, err)
	require.ErrorIs(t, j.call(t.Context(), c), duolink.ErrRateLimited)
}
