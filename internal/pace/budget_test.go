package pace

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spend takes as much as there is.
func (b *Budgets) spend(key string, now time.Time) (taken int) {
	for taken < 2*budgetFull && b.Take(key, now) {
		taken++
	}
	return taken
}

// There are a hundred repetitions; a success brings back a fifth of one, and ten seconds a whole
// one.
func TestBudget(t *testing.T) {
	const key = "moneykit client 1"
	for name, tc := range map[string]struct {
		successes int
		after     time.Duration
		more      int
	}{
		"at once":                         {0, 0, 0},
		"after four successes":            {4, 0, 0},
		"after five successes":            {5, 0, 1},
		"after nine":                      {9, 0, 1},
		"after fifty":                     {50, 0, 10},
		"after more than are needed":      {5000, 0, budgetFull},
		"a little less than ten seconds":  {0, 10*time.Second - time.Millisecond, 0},
		"a little more than ten seconds":  {0, 10*time.Second + time.Millisecond, 1},
		"a minute":                        {0, time.Minute + time.Millisecond, 6},
		"a day":                           {0, 24 * time.Hour, budgetFull},
		"four successes, and two seconds": {4, 2*time.Second + time.Millisecond, 1},
		"four successes, and less":        {4, 2*time.Second - time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, now := NewBudgets(), time.Now()
			b.Refund(key, now) // what is not spent cannot be brought back
			require.Empty(t, b.spent)
			require.Equal(t, budgetFull, b.spend(key, now))
			for range tc.successes {
				b.Refund(key, now)
			}
			require.Equal(t, tc.more, b.spend(key, now.Add(tc.after)))
		})
	}
}

// Time counts once, however often anybody looks.
func TestBudgetOverTime(t *testing.T) {
	b, now := NewBudgets(), time.Now()
	require.Equal(t, budgetFull, b.spend("a", now))
	taken := 0
	for range 1000 { // for a hundred seconds
		now = now.Add(time.Second / 10)
		taken += b.spend("a", now)
	}
	require.InDelta(t, 10, taken, 1)
	for range 500 { // and for fifty, with a success in each of them
		now = now.Add(time.Second / 10)
		if now.Nanosecond() < 1e8 {
			b.Refund("a", now)
		}
		taken += b.spend("a", now)
	}
	require.InDelta(t, 10+5+10, taken, 2)
}

// Of those of which nothing is spent, nothing is kept.
func TestBudgetIsForgotten(t *testing.T) {
	b, now := NewBudgets(), time.Now()
	require.True(t, b.Take("a", now))
	for range 4 {
		b.Refund("a", now)
		require.Len(t, b.spent, 1)
	}
	b.Refund("a", now)
	b.Refund("a", now) // five fifths may be a little less than one
	require.Empty(t, b.spent)
	require.True(t, b.Take("a", now))
	b.Refund("a", now.Add(9*time.Second)) // a tenth is left, and this is more
	require.Empty(t, b.spent)
	require.True(t, b.Take("a", now))
	b.Refund("b", now)
	require.Len(t, b.spent, 1, "another's")
}

// However many credentials there are, few are kept: those that time has filled go first, and where
// there are none, all.
func TestBudgetsAreBounded(t *testing.T) {
	b, now := NewBudgets(), time.Now()
	require.Equal(t, budgetFull, b.spend("old", now.Add(-time.Minute)))
	for i := range mostBudgets - 2 {
		require.True(t, b.Take(strconv.Itoa(i), now.Add(-10*time.Second)))
	}
	require.Equal(t, budgetFull, b.spend("spent", now))
	require.Equal(t, mostBudgets, len(b.spent))
	require.Equal(t, budgetFull, b.spend("new", now))
	require.Equal(t, 3, len(b.spent))
	require.Zero(t, b.spend("spent", now))
	require.Equal(t, 6, b.spend("old", now.Add(time.Millisecond)))

	for i := range mostBudgets - 3 {
		require.True(t, b.Take(strconv.Itoa(i), now))
	}
	require.Equal(t, mostBudgets, len(b.spent))
	require.Zero(t, b.spend("spent", now), "it is there, and takes no room")
	require.Equal(t, mostBudgets, len(b.spent))
	require.True(t, b.Take("one more", now))
	require.Equal(t, 1, len(b.spent), "none could go first")
}

// The numbers that the documentation states.
func TestNumbersOfTheBudget(t *testing.T) {
	require.Equal(t, 100, budgetFull)
	require.Equal(t, 1.0/5, budgetRefund)
	require.Equal(t, time.Hour/(10*time.Second), time.Duration(budgetPerHour))
}
