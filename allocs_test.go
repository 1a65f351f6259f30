//go:build !race

package duolink

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The small calls have a budget of allocations, without those of net/http's transport: what is over it
// is a step back. Each allocation is explained by a text or a list of the answer, or by a part of the
// call.
func TestAllocationBudgets(t *testing.T) {
	for name, most := range map[string]float64{"auth.get": 103, "identity.get": 124, "links.get": 54} {
		t.Run(name, func(t *testing.T) {
			c := alwaysAnswers(t, benchmarkedAnswer(t, name))
			allocations := testing.AllocsPerRun(200, func() {
				require.NoError(t, benchmarked[name].call(t.Context(), c))
			})
			require.LessOrEqual(t, allocations, most)
		})
	}
}
