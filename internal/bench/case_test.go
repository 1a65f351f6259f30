package bench

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	ServeIfAsked()
	StreamIfAsked()
	os.Exit(m.Run())
}

// startServer starts the server until the test ends.
func startServer(t testing.TB) *Server {
	server, err := StartServer()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

func TestAllClientsGiveTheFloorsAnswer(t *testing.T) {
	for _, c := range Cases(startServer(t).URL) {
		t.Run(c.Name, func(t *testing.T) { require.NoError(t, c.Check(t.Context())) })
	}
}

// The order of the clients rotates, and each client is in each round.
func TestRotated(t *testing.T) {
	c := Case{Clients: make([]Client, 3)}
	first := map[int]int{}
	for round := range 12 {
		order := c.Rotated(round)
		require.ElementsMatch(t, []int{0, 1, 2}, order)
		first[order[0]]++
	}
	require.Equal(t, map[int]int{0: 4, 1: 4, 2: 4}, first)
}

// The interval leaves out as many values at each end as its certainty allows.
func TestRatioOf(t *testing.T) {
	require.Equal(t, Ratio{2, 1, 3}, RatioOf([]float64{3, 1, 2}))
	require.Equal(t, Ratio{2.5, 1, 4}, RatioOf([]float64{4, 3, 1, 2}))
	var all []float64
	for i := range 14 {
		all = append(all, float64(i))
	}
	require.Equal(t, Ratio{6.5, 2, 11}, RatioOf(all)) // the ranks 3 and 12 of 14: 98.7 %
}

// BenchmarkClients is for a profile of one client: -bench 'Clients/identity.*/duolink'.
func BenchmarkClients(b *testing.B) {
	for _, c := range Cases(startServer(b).URL) {
		for _, client := range c.Clients {
			b.Run(c.Name+"/"+client.Name, func(b *testing.B) {
				b.ReportAllocs()
				require.NoError(b, Run(b.Context(), client.Call, b.N, c.Callers))
			})
		}
	}
}
