package pace

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A group that is closed again, after its earlier time has passed, counts once.
func TestTallyCountsOnce(t *testing.T) {
	gs := NewGroups()
	now := time.Now()
	closeAt := func(at time.Time) {
		gs.Refuse("key", Permit{}, at, time.Minute)
		gs.mu.Lock()
		gs.forget("key", gs.groups["key"], at) // as forgetGroups does
		gs.mu.Unlock()
	}
	closeAt(now)
	closeAt(now.Add(2 * time.Minute)) // the first time has passed
	gs.mu.Lock()
	entries := len(gs.groups) + len(gs.closed) + len(gs.strikes)
	gs.mu.Unlock()
	require.EqualValues(t, entries, gs.refused.entries.Load())
}
