package pace

import (
	"sync"
	"time"
)

const (
	budgetFull    = 100
	budgetRefund  = 0.2     // for each success
	budgetPerHour = 360     // a token in ten seconds
	mostBudgets   = 1 << 12 // with more budgets, forgetFull runs
)

// Budgets stop storms of repetitions. Each repetition after a failure costs a token of its key's
// budget, and each success gives back a part of a token. So if all calls of a client fail, it soon
// sends each of them only once. Time gives tokens back as well, because some clients call seldom.
// Budgets are safe for concurrent use.
type Budgets struct {
	mu    sync.Mutex
	spent map[keyHash]*budget // a full budget has no entry
	known tally               // counts the entries
}

// NewBudgets returns full budgets.
func NewBudgets() *Budgets { return &Budgets{spent: map[keyHash]*budget{}} }

type budget struct {
	spent float64
	at    time.Time // when the level was so
	slot  slot
}

// Take takes a token for a repetition, or returns false if there is none.
func (b *Budgets) Take(key string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := hashOf(key)
	own := b.spent[k]
	if own == nil {
		b.forgetFull(now)
		own = &budget{at: now, slot: slotOf(key)}
		b.spent[k] = own
		b.known.add(own.slot)
	}
	if own.refill(now); own.spent+1 > budgetFull {
		return false
	}
	own.spent++
	return true
}

// Full reports whether all budgets are full, so that there is nothing to give back.
func (b *Budgets) Full() bool { return b.known.isEmpty() }

// Refund gives back a part of a token after a success.
func (b *Budgets) Refund(key string, now time.Time) {
	if !b.known.has(key) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := hashOf(key)
	own := b.spent[k]
	if own == nil {
		return
	}
	own.refill(now)
	if own.spent -= budgetRefund; own.spent <= 0 {
		b.forget(k, own)
	}
}

func (b *Budgets) forget(k keyHash, own *budget) {
	delete(b.spent, k)
	b.known.drop(own.slot)
}

func (b *budget) refill(now time.Time) {
	b.spent = max(0, b.spent-budgetPerHour*now.Sub(b.at).Hours())
	b.at = now
}

// forgetFull bounds how many budgets are kept. It forgets the budgets that time has filled. If that
// is not enough, it forgets all: a client with so many failing credentials repeats a little more.
func (b *Budgets) forgetFull(now time.Time) {
	if len(b.spent) < mostBudgets {
		return
	}
	for key, own := range b.spent {
		if own.refill(now); own.spent == 0 {
			b.forget(key, own)
		}
	}
	if len(b.spent) >= mostBudgets {
		for key, own := range b.spent {
			b.forget(key, own)
		}
	}
}
