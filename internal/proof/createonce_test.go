package proof

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// mishaps are what can go wrong with one request; those of a creation may have made the link all
// the same.
func mishaps(operation string) []sandbox.Fault {
	faults := []sandbox.Fault{
		{}, {Status: 502}, {Status: 502, Perform: true}, {Status: 500, Perform: true},
		{Status: 503, Perform: true, Header: http.Header{"Retry-After": {"3"}}},
		{Drop: sandbox.DropBefore}, {Drop: sandbox.DropAfter}, {Truncate: 20}, {Stall: true},
		{Delay: 40 * time.Second, Drop: sandbox.DropAfter},
		{Delay: 40 * time.Second}, {Status: 429, Header: http.Header{"Retry-After": {"2"}}},
		{Status: 429, Header: http.Header{"Retry-After": {"3600"}}},
		{Status: 201, Body: "<html>", Perform: true}, {Status: 302, Perform: true},
		{Status: 200, Body: `{"error":"busy"}`, Perform: true}, {Status: 401, Body: `{"error":"invalid_token"}`},
	}
	if operation == "links.create" { // of a list it would say that there is no link
		faults = append(faults, sandbox.Fault{Status: 201, Body: `{"data":null}`, Perform: true})
	}
	for i := range faults {
		faults[i].Operation = operation
	}
	return faults
}

// Whatever goes wrong, and however often the caller has to call again, there is one link for a
// marker.
func TestCreateOnceUnderFaults(t *testing.T) {
	seeds := uint64(1000)
	if inShort() {
		seeds = 100
	}
	creates, lists, calls := mishaps("links.create"), mishaps("links.list"), 0
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			s := sandbox.New(sandbox.WithHourlyLimit(0))
			transport := s.Transport()
			defer transport.Close()
			for range random.IntN(6) {
				s.Script(creates[random.IntN(len(creates))])
			}
			for range random.IntN(6) {
				s.Script(lists[random.IntN(len(lists))])
			}
			var link *duolink.LoginLink
			for {
				c := sandboxClient(t, transport) // as if the process had begun anew
				var err error
				calls++
				wanted := duolink.LoginLinkCreate{DataSourceID: "GAWA", Description: "Q4"}
				link, err = c.Links.CreateOnce(t.Context(), wanted, "job-7")
				if err == nil {
					break
				}
				time.Sleep(10 * time.Second)
			}
			var marked []string
			for _, l := range s.Links() {
				if strings.Contains(l.Description, "[ref:job-7]") {
					require.Equal(t, "OPEN", l.Status)
					marked = append(marked, l.ID)
				}
			}
			require.Equal(t, []string{link.ID}, marked, "seed %d", seed)
		})
	}
	t.Logf("%d seeds, %d calls, one link each", seeds, calls)
}
