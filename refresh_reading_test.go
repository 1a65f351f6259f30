package duolink

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// With the ids of some accounts the answer has only these. MoneyKit sends all numbers at once, so
// callers share one reading of the numbers, whichever accounts they want.
func TestRefreshOfSomeAccounts(t *testing.T) {
	for flow, reading := range readings {
		t.Run(flow, func(t *testing.T) {
			server := []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}
			inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				var wg sync.WaitGroup
				all, err := reading.call(t.Context(), c, sandbox.LinkID, RefreshOptions{})
				require.NoError(t, err)
				require.Greater(t, all, 1)
				s.ResetRequests()
				for _, tc := range []struct {
					ids  []string
					want int
				}{{nil, all}, {[]string{sandbox.JointAccountID}, 1}, {[]string{sandbox.JointAccountID}, 1}} {
					wg.Go(func() {
						options := RefreshOptions{AccountIDs: tc.ids}
						accounts, err := reading.call(t.Context(), c, sandbox.LinkID, options)
						require.NoError(t, err)
						require.Equal(t, tc.want, accounts)
					})
				}
				wg.Wait()
				require.Equal(t, 1, s.Count("identity.refresh"))
				if flow == "numbers" {
					require.Equal(t, 1, s.Count(reading.read))
					none, err := c.Auth.RefreshAndNumbers(t.Context(), sandbox.LinkID, RefreshOptions{
						MaxAge: time.Hour, AccountIDs: []string{sandbox.ClosedAccountID},
					})
					require.NoError(t, err)
					require.Empty(t, none.Accounts)
				}
			})
		})
	}
}

// Without a MaxAge there is always a refresh, also of data that seems to come from the future.
func TestRefreshEachTime(t *testing.T) {
	for flow, reading := range readings {
		t.Run(flow, func(t *testing.T) {
			server := []sandbox.Option{sandbox.WithRefreshTime(time.Nanosecond)}
			inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				past := http.Header{"Date": {time.Now().AddDate(-1, 0, 0).UTC().Format(http.TimeFormat)}}
				s.Script(sandbox.Fault{Operation: "identity.link", Header: past, Times: -1})
				for range 3 {
					_, err := reading.call(t.Context(), c, sandbox.LinkID, RefreshOptions{})
					require.NoError(t, err)
				}
				require.Equal(t, 3, s.Count("identity.refresh"))
			})
		})
	}
}

// If a caller gives up while the data is read, the error says whether there was a refresh.
func TestRefreshGivenUpWhileItIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		age     time.Duration
		outcome Outcome
	}{"refreshed": {0, OutcomeUnknown}, "fresh enough": {72 * time.Hour, OutcomeNotSent}} {
		for flow, reading := range readings {
			t.Run(name+"/"+flow, func(t *testing.T) {
				server := []sandbox.Option{sandbox.WithRefreshTime(time.Second)}
				inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					s.Script(sandbox.Fault{Operation: reading.read, Delay: time.Hour})
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() {
							_, err := reading.call(t.Context(), c, sandbox.LinkID,
								RefreshOptions{MaxAge: tc.age, Timeout: 10 * time.Second})
							kindIs(t, err, ErrRefreshPending)
							require.Equal(t, tc.outcome, asError(t, err).Outcome)
						})
					}
					wg.Wait()
					noRuns(t, c)
				})
			})
		}
	}
}

// The run decides once for all of its callers whether there is a refresh, whatever the MaxAge of
// each. The data is two days old, a refresh takes 30 s, and an answer to a look is on its way for 5
// s.
func TestRefreshIsDecidedOnce(t *testing.T) {
	type caller struct {
		comes, age    time.Duration
		after, within time.Duration // of its coming
	}
	day := 24 * time.Hour
	var crowd []caller // that keeps coming, content with what is there; one among them is not
	for i := range 300 {
		crowd = append(crowd, caller{time.Duration(i) * 500 * time.Millisecond, 3 * day, 0, time.Minute})
	}
	crowd[17].age = 0
	slow := []sandbox.Fault{
		{Operation: "identity.get", Delay: 20 * time.Second}, {Operation: "auth.numbers", Delay: 20 * time.Second},
	}
	for name, tc := range map[string]struct {
		callers          []caller
		refreshes, reads int
		script           []sandbox.Fault
	}{
		"all are content": {callers: []caller{
			{0, 3 * day, 5 * time.Second, 5 * time.Second}, {time.Second, 4 * day, 4 * time.Second, 4 * time.Second},
		}, reads: 1},
		"a second is not content": {callers: []caller{
			{0, 3 * day, 5 * time.Second, 5 * time.Second}, {time.Second, day, 44 * time.Second, time.Minute},
			{2 * time.Second, 0, 43 * time.Second, time.Minute},
			{3 * time.Second, 3 * day, 2 * time.Second, 2 * time.Second},
		}, refreshes: 1, reads: 2},
		"the first is not content": {callers: []caller{
			{0, day, 40 * time.Second, 55 * time.Second}, {time.Second, 3 * day, 39 * time.Second, 54 * time.Second},
			{20 * time.Second, 0, 20 * time.Second, 35 * time.Second},
		}, refreshes: 1, reads: 1},
		"one comes just before the end": {callers: []caller{
			{0, 0, 40 * time.Second, 55 * time.Second},
			{34900 * time.Millisecond, 3 * day, 5 * time.Second, 20 * time.Second},
		}, refreshes: 1, reads: 1},
		"some come while it is read": {callers: []caller{
			{0, 0, time.Minute, 75 * time.Second}, {57 * time.Second, 0, time.Second, 20 * time.Second},
			{57 * time.Second, 3 * day, time.Second, 20 * time.Second},
		}, refreshes: 1, reads: 1, script: slow},
		"one comes while older data is read": {callers: []caller{
			{0, 3 * day, 25 * time.Second, 25 * time.Second}, {10 * time.Second, 0, 40 * time.Second, 55 * time.Second},
			{11 * time.Second, 3 * day, 39 * time.Second, 54 * time.Second},
		}, refreshes: 1, reads: 2, script: slow},
		"a crowd": {callers: crowd, refreshes: 1},
	} {
		for flow, reading := range readings {
			t.Run(name+"/"+flow, func(t *testing.T) {
				server := []sandbox.Option{sandbox.WithRefreshTime(30 * time.Second)}
				inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					require.NoError(t, linkOf(t.Context(), c)) // for the token
					s.Script(tc.script...)
					s.Script(sandbox.Fault{Operation: "identity.link", Perform: true, Delay: 5 * time.Second,
						Times: -1})
					var wg sync.WaitGroup
					for i, caller := range tc.callers {
						wg.Go(func() {
							time.Sleep(caller.comes)
							began := time.Now()
							_, err := reading.call(t.Context(), c, sandbox.LinkID, RefreshOptions{MaxAge: caller.age})
							require.NoError(t, err)
							require.GreaterOrEqual(t, time.Since(began), caller.after, i)
							require.LessOrEqual(t, time.Since(began), caller.within, i)
						})
					}
					wg.Wait()
					require.Equal(t, tc.refreshes, s.Count("identity.refresh"))
					if tc.reads > 0 {
						require.Equal(t, tc.reads, s.Count(reading.read))
					}
					noRuns(t, c)
				})
			})
		}
	}
}

// The looks keep to MoneyKit's 15 requests a minute for a link, even if each of them fails.
func TestRefreshLooksSeldom(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.link"},
			sandbox.Fault{Operation: "identity.link", Status: 502, Times: -1})
		var inAMinute atomic.Int64
		told := 0
		later(time.Minute, func() { inAMinute.Store(int64(s.Count("identity.link"))) })
		err := refreshIdentity(t.Context(), c, RefreshOptions{Progress: func(p RefreshProgress) { told = p.Requests }})
		kindIs(t, err, ErrRefreshPending)
		require.LessOrEqual(t, inAMinute.Load(), int64(15))
		require.InDelta(t, s.Count("identity.link"), told, 1)
		s.ClearScript()
		time.Sleep(flight.LongestUnattended)
	})
}
