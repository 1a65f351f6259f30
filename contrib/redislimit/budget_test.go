package redislimit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	processes = 3
	limit     = 20 // requests a second, as Supermetrics publishes
)

// Three processes keep to one limit of the vendor, and use it.
func TestFleetKeepsOneBudget(t *testing.T) {
	s := startRedis(t)
	server := newLimitedServer(t, limit)
	const measured = 30 * time.Second
	j := job{
		Do: "list", Redis: []string{s.addr}, Server: server.URL, Key: "key", Callers: 10, For: measured + time.Second,
	}
	workers := j.startAll(t, processes)
	began := time.Now()
	for _, w := range workers {
		r := w.result()
		t.Logf("%d good calls, %d refused", r.Good, r.Refused)
		require.Empty(t, r.Other)
		require.Positive(t, r.Good)
	}
	seen := server.between(began, began.Add(measured))
	used := float64(seen.accepted) / (limit * measured.Seconds())
	t.Logf("%.1f %% of the budget used, %d refused, at most %d in a second", 100*used, seen.refused, seen.mostPerSecond)
	require.GreaterOrEqual(t, used, 0.95)
	require.LessOrEqual(t, float64(seen.refused), 0.01*float64(seen.accepted+seen.refused))
	require.LessOrEqual(t, seen.mostPerSecond, limit+processes)
}
