package pace

import (
	"sync"
	"time"
)

const (
	budgetFull    = 100
	budgetRefund  = 0.2     // for each success
	budgetPerHour = 360     // a token in ten seconds
	mostBudgets   = 1 << 12 // then those that time has filled are looked for
)

// Budgets stop storms of repetitions. Each repetition after a failure costs a token of its key's
// budget, and each success brings back a part of one, so that a client whose calls all fail soon
// sends each of them once. Time brings tokens back as well, for those who call seldom. Budgets are
// safe for concurrent use.
type Budgets struct {
	mu    sync.Mutex
	spent map[keyHash]*budget // one of which nothing is spent has no entry
}

// NewBudgets returns budgets of which nothing is spent.
func NewBudgets() *Budgets { return &Budgets{spent: map[keyHash]*budget{}} }

type budget struct {
	spent float64
	at    time.Time // when that was so
}

// Take reports whether a repetition may be made, and has it cost a token.
func (b *Budgets) Take(key string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := hashOf(key)
	own := b.spent[k]
	if own == nil {
		b.forgetFull(now)
		own = &budget{at: now}
		b.spent[k] = own
	}
	if own.refill(now); own.spent+1 > budgetFull {
		return false
	}
	own.spent++
	return true
}

// Refund brings back what a success is worth.
func (b *Budgets) Refund(key string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spent) == 0 {
		return
	}
	k := hashOf(key)
	own := b.spent[k]
	if own == nil {
		return
	}
	own.refill(now)
	if own.spent -= budgetRefund; own.spent <= 0 {
		delete(b.spent, k)
	}
}

func (b *budget) refill(now time.Time) {
	b.spent = max(0, b.spent-budgetPerHour*now.Sub(b.at).Hours())
	b.at = now
}

// forgetFull bounds how many budgets are kept. It forgets those that time has filled. If that is
// not enough, it forgets all: a client with so many failing credentials repeats a little more.
func (b *Budgets) forgetFull(now time.Time) {
	if len(b.spent) < mostBudgets {
		return
	}
	for key, own := range b.spent {
		if own.refill(now); own.spent == 0 {
			delete(b.spent, key)
		}
	}
	if len(b.spent) >= mostBudgets {
		clear(b.spent)
	}
}
