package pace

import (
	"hash/maphash"
	"sync/atomic"
)

// tally knows without a lock which keys have no entry, so that a call of a group that was never
// refused waits for no other call. Each entry counts in a slot, which other keys may share. So has
// may be wrong about a key without an entry, and then the caller looks it up.
type tally struct {
	entries atomic.Int64
	slots   atomic.Pointer[[slots]atomic.Int32] // nil until the first entry
}

const slots = 1 << 14

// slot is where a key counts.
type slot uint16

var slotSeed = maphash.MakeSeed()

func slotOf(key string) slot { return slot(maphash.String(slotSeed, key) % slots) }

func (t *tally) isEmpty() bool { return t.entries.Load() == 0 }

func (t *tally) has(key string) bool {
	return !t.isEmpty() && t.slots.Load()[slotOf(key)].Load() > 0
}

// add counts an entry. Only one goroutine at a time may add.
func (t *tally) add(at slot) {
	all := t.slots.Load()
	if all == nil {
		all = &[slots]atomic.Int32{}
		t.slots.Store(all)
	}
	all[at].Add(1)
	t.entries.Add(1)
}

func (t *tally) drop(at slot) {
	t.entries.Add(-1)
	t.slots.Load()[at].Add(-1)
}
