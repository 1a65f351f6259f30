package duolink

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// refreshCall calls one of the flows, and returns how many accounts it has read.
type refreshCall func(
	ctx context.Context, c *Client, bankLinkID string, o RefreshOptions, opts ...CallOption,
) (accounts int, err error)

// readings are the two flows, which behave alike.
var readings = map[string]struct {
	read    string  // the operation that shows what is confidential
	product Product // that is refreshed
	call    refreshCall
}{
	"identity": {"identity.get", ProductIdentity, func(
		ctx context.Context, c *Client, bankLinkID string, o RefreshOptions, opts ...CallOption,
	) (int, error) {
		who, err := c.Identity.RefreshAndGet(ctx, bankLinkID, o, opts...)
		if err != nil {
			return 0, err
		}
		return len(who.Accounts), nil
	}},
	"numbers": {"auth.numbers", ProductAccountNumbers, func(
		ctx context.Context, c *Client, bankLinkID string, o RefreshOptions, opts ...CallOption,
	) (int, error) {
		numbers, err := c.Auth.RefreshAndNumbers(ctx, bankLinkID, o, opts...)
		if err != nil {
			return 0, err
		}
		return len(numbers.Accounts), nil
	}},
}

// The endings of a refresh: how it is found out, when, and with which requests.
func TestRefreshEndings(t *testing.T) {
	const id = sandbox.LinkID
	state := func(state, code string) func(*sandbox.Sandbox, Product) {
		return func(s *sandbox.Sandbox, _ Product) { s.SetLinkState(id, state, code) }
	}
	soon := func(do func(*sandbox.Sandbox, Product)) func(*sandbox.Sandbox, Product) {
		return func(s *sandbox.Sandbox, p Product) { later(20*time.Second, func() { do(s, p) }) }
	}
	fails := func(code string) func(*sandbox.Sandbox, Product) {
		return func(s *sandbox.Sandbox, _ Product) { s.FailRefreshes(id, code) }
	}
	fault := func(f sandbox.Fault) func(*sandbox.Sandbox, Product) {
		return func(s *sandbox.Sandbox, _ Product) { s.Script(f) }
	}
	for name, tc := range map[string]struct {
		id        string // sandbox.LinkID without it
		options   RefreshOptions
		skew      time.Duration
		takes     time.Duration // the refresh; 90 s without it
		script    func(*sandbox.Sandbox, Product)
		kind      error // nil for success
		also      error
		link      BankLinkErrorCode
		product   ProductErrorCode
		outcome   Outcome
		after     time.Duration // at least
		within    time.Duration // and at most
		refreshes int           // accepted, and perhaps billed
		reads     int           // of what is confidential
		looks     [2]int        // least and most requests for the link, the first one included
	}{
		"90 seconds": {
			after: 90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1,
			looks: [2]int{12, 14},
		},
		"at once": {
			takes: time.Millisecond, within: 2200 * time.Millisecond, refreshes: 1, reads: 1,
			looks: [2]int{3, 3},
		},
		"never refreshed before": {
			id: sandbox.SecondLinkID, takes: time.Second, after: time.Second,
			within: 3 * time.Second, refreshes: 1, reads: 1, looks: [2]int{3, 3},
		},
		"the clock is a day ahead": {
			skew: 24 * time.Hour, after: 90 * time.Second, within: 107 * time.Second, refreshes: 1,
			reads: 1, looks: [2]int{12, 14},
		},
		"the clock is a day behind": {
			skew: -24 * time.Hour, after: 90 * time.Second, within: 107 * time.Second, refreshes: 1,
			reads: 1, looks: [2]int{12, 14},
		},
		"fresh enough": {options: RefreshOptions{MaxAge: 49 * time.Hour}, reads: 1, looks: [2]int{1, 1}},
		"fresh, and a day ahead": {
			options: RefreshOptions{MaxAge: 49 * time.Hour}, skew: 24 * time.Hour, reads: 1,
			looks: [2]int{1, 1},
		},
		"fresh, and a day behind": {
			options: RefreshOptions{MaxAge: 49 * time.Hour}, skew: -24 * time.Hour, reads: 1,
			looks: [2]int{1, 1},
		},
		"fresh, and the bank refuses": {
			options: RefreshOptions{MaxAge: 49 * time.Hour}, script: state("error", "user_error"),
			kind: ErrBankLinkState, link: BankLinkErrorUser, reads: 1, looks: [2]int{1, 1},
		},
		"too old": {
			options: RefreshOptions{MaxAge: 47 * time.Hour}, takes: time.Second,
			within: 3 * time.Second, refreshes: 1, reads: 1, looks: [2]int{3, 3},
		},
		"too old, and a day behind": {
			options: RefreshOptions{MaxAge: 47 * time.Hour}, skew: -24 * time.Hour,
			takes: time.Second, within: 3 * time.Second, refreshes: 1, reads: 1,
			looks: [2]int{3, 3},
		},
		"fresh, and no date": {
			options: RefreshOptions{MaxAge: 49 * time.Hour}, takes: time.Second,
			within: 3 * time.Second, refreshes: 1, reads: 1, looks: [2]int{3, 3},
			script: fault(sandbox.Fault{Operation: "identity.link", Header: http.Header{"Date": nil}}),
		},

		"a deleted link":  {id: sandbox.DeletedLinkID, kind: ErrDeleted, looks: [2]int{1, 1}},
		"no such link":    {id: "mk_none", kind: ErrNotFound, looks: [2]int{1, 1}},
		"somebody else's": {id: sandbox.ForeignLinkID, kind: ErrUnauthorized, looks: [2]int{1, 1}},
		"re-link first": {
			id: sandbox.AuthExpiredLinkID, kind: ErrBankLinkState, link: BankLinkErrorAuthExpired,
			looks: [2]int{1, 1},
		},
		"unavailable": {
			script: func(s *sandbox.Sandbox, p Product) { s.SetUnavailable(id, string(p), "between 22:00 and 6:00") },
			kind:   ErrProductUnavailable, looks: [2]int{1, 1},
		},
		"an error that is new": {
			script: state("error", "brand_new"), kind: ErrBankLinkState, link: "brand_new",
			looks: [2]int{1, 1},
		},
		"refused as too soon": {
			script: fault(sandbox.Fault{
				Operation: "identity.refresh", Status: 429, Header: http.Header{"Retry-After": {"86400"}},
			}),
			kind: ErrRateLimited, outcome: OutcomeRejected, looks: [2]int{1, 1},
		},
		"deleted meanwhile": {
			script: soon(state("deleted", "")), kind: ErrDeleted, after: 20 * time.Second,
			within: 30 * time.Second, refreshes: 1, looks: [2]int{7, 9},
		},
		"expired meanwhile": {
			script: soon(state("error", "auth_expired")), kind: ErrBankLinkState, link: BankLinkErrorAuthExpired,
			after: 20 * time.Second, within: 30 * time.Second, refreshes: 1, looks: [2]int{7, 9},
		},
		"unavailable meanwhile": {
			script: soon(func(s *sandbox.Sandbox, p Product) { s.SetUnavailable(id, string(p), "night") }),
			kind:   ErrProductUnavailable, after: 20 * time.Second, within: 30 * time.Second, refreshes: 1,
			looks: [2]int{7, 9},
		},
		"forbidden meanwhile": {
			script: soon(fault(sandbox.Fault{
				Operation: "identity.link", Status: 403, Body: nativeBody("link_error.forbidden_action"),
			})),
			kind: ErrForbidden, after: 20 * time.Second, within: 30 * time.Second, refreshes: 1,
			looks: [2]int{7, 9},
		},
		"not permitted": {
			script: fails("no_permission"), kind: ErrRefreshFailed, product: ProductErrorNoPermission,
			after: 90 * time.Second, within: 107 * time.Second, refreshes: 1, looks: [2]int{12, 14},
		},
		"a failure that is new": {
			script: fails("brand_new"), kind: ErrRefreshFailed, product: "brand_new",
			after: 90 * time.Second, within: 107 * time.Second, refreshes: 1, looks: [2]int{12, 14},
		},
		"failed, but may pass": {
			script: fails("timeout"), kind: ErrRefreshFailed, product: ProductErrorTimeout,
			after: 120 * time.Second, within: 137 * time.Second, refreshes: 1,
			looks: [2]int{14, 18},
		},
		"a transient link error": {
			script: soon(state("error", "provider_error")), kind: ErrRefreshFailed,
			product: ProductErrorUnknown, after: 120 * time.Second, within: 137 * time.Second,
			refreshes: 1, looks: [2]int{14, 18},
		},
		"and it has passed": {
			script: soon(func(s *sandbox.Sandbox, _ Product) {
				s.SetLinkState(id, "error", "provider_error")
				later(time.Minute, func() { s.SetLinkState(id, "connected", "") })
			}), after: 90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1, looks: [2]int{12, 14},
		},
		"never": {
			takes: time.Hour, kind: ErrRefreshPending, also: context.DeadlineExceeded, outcome: OutcomeUnknown,
			after: 10*time.Minute - 2*time.Second, within: 10 * time.Minute, refreshes: 1, looks: [2]int{40, 50},
		},
		"not in time": {
			options: RefreshOptions{Timeout: time.Minute}, kind: ErrRefreshPending,
			also: context.DeadlineExceeded, outcome: OutcomeUnknown,
			after: time.Minute - 2*time.Second, within: time.Minute, refreshes: 1, looks: [2]int{10, 12},
		},

		"the looks fail now and then": {
			script: soon(fault(sandbox.Fault{Operation: "identity.link", Status: 502, Times: 3})),
			after:  90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1, looks: [2]int{12, 14},
		},
		"a refresh that was lost on the way there": {
			script: fault(sandbox.Fault{Operation: "identity.refresh", Drop: sandbox.DropBefore}), outcome: OutcomeUnknown,
			after: defaultGrace, within: defaultGrace + time.Second, looks: [2]int{9, 11},
		},
		"a refresh whose answer was lost": {
			script: fault(sandbox.Fault{Operation: "identity.refresh", Drop: sandbox.DropAfter}),
			after:  90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1, looks: [2]int{12, 14},
		},
		"a 500, and it was refreshed": {
			script: fault(sandbox.Fault{Operation: "identity.refresh", Status: 500, Perform: true}),
			after:  90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1, looks: [2]int{12, 14},
		},
		"a 500, and it was not": {
			script: fault(sandbox.Fault{Operation: "identity.refresh", Status: 500}), kind: ErrServer, outcome: OutcomeUnknown,
			after: defaultGrace, within: defaultGrace + time.Second, looks: [2]int{9, 11},
		},
		"the token runs out meanwhile": {
			script: soon(func(s *sandbox.Sandbox, _ Product) { s.ExpireTokens() }),
			after:  90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1, looks: [2]int{13, 15},
		},
		"a 502, and the token has run out": {
			script: soon(func(s *sandbox.Sandbox, _ Product) {
				s.ExpireTokens()
				s.Script(sandbox.Fault{Operation: "identity.link", Status: 502})
			}), after: 90 * time.Second, within: 107 * time.Second, refreshes: 1, reads: 1, looks: [2]int{13, 15},
		},
		"a deleted link, and an age": {
			id: sandbox.DeletedLinkID, options: RefreshOptions{MaxAge: time.Hour}, kind: ErrDeleted,
			looks: [2]int{1, 1},
		},
		"a token that is never good": {
			script: soon(fault(sandbox.Fault{
				Operation: "identity.link", Status: 401, Times: -1,
				Body: nativeBody("api_error.auth.expired_access_token"),
			})),
			kind: ErrUnauthorized, after: 20 * time.Second, within: 45 * time.Second, refreshes: 1, looks: [2]int{8, 10},
		},
		"no token for the refresh": {
			script: func(s *sandbox.Sandbox, _ Product) {
				expired := nativeBody("api_error.auth.expired_access_token")
				s.Script(sandbox.Fault{Operation: "identity.refresh", Status: 401, Body: expired},
					sandbox.Fault{Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized")})
			}, kind: ErrUnauthorized, outcome: OutcomeRejected, looks: [2]int{1, 1},
		},
		"an id that is none": {id: "../x", kind: ErrArgument, outcome: OutcomeNotSent},
		"a negative age":     {options: RefreshOptions{MaxAge: -1}, kind: ErrArgument, outcome: OutcomeNotSent},
		"a negative timeout": {options: RefreshOptions{Timeout: -1}, kind: ErrArgument, outcome: OutcomeNotSent},
		"an empty account": {
			options: RefreshOptions{AccountIDs: []string{"acc_1", ""}}, kind: ErrArgument, outcome: OutcomeNotSent,
		},
	} {
		for flow, reading := range readings {
			t.Run(name+"/"+flow, func(t *testing.T) {
				if tc.takes == 0 {
					tc.takes = 90 * time.Second
				}
				if tc.id == "" {
					tc.id = id
				}
				server := []sandbox.Option{sandbox.WithRefreshTime(tc.takes), sandbox.WithClockSkew(tc.skew)}
				inBubble(t, server, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					require.NoError(t, linkOf(t.Context(), c)) // for the token
					s.ResetRequests()
					if tc.script != nil {
						tc.script(s, reading.product)
					}
					began := time.Now()
					accounts, err := reading.call(t.Context(), c, tc.id, tc.options)
					took := time.Since(began)
					require.GreaterOrEqual(t, took, tc.after)
					require.LessOrEqual(t, took, tc.within)
					require.Equal(t, tc.reads, s.Count("identity.get")+s.Count("auth.numbers"))
					require.Equal(t, tc.reads, s.Count(reading.read))
					if tc.refreshes > 0 {
						require.Equal(t, tc.refreshes, s.Refreshes(tc.id))
						require.Equal(t, tc.refreshes, s.Count("identity.refresh"))
					}
					require.GreaterOrEqual(t, s.Count("identity.link"), tc.looks[0])
					require.LessOrEqual(t, s.Count("identity.link"), tc.looks[1])
					time.Sleep(flight.LongestUnattended) // for which a refresh is watched when its callers have left
					noneRunning(t, c.refreshes)
					if tc.reads > 0 && tc.kind == nil {
						require.NoError(t, err)
						require.Positive(t, accounts)
						return
					}
					if tc.kind != nil {
						kindIs(t, err, tc.kind)
					}
					e := asError(t, err)
					if tc.also == context.DeadlineExceeded {
						require.ErrorIs(t, err, tc.also)
					}
					require.Equal(t, tc.link, e.BankLinkErrorCode)
					require.Equal(t, tc.product, e.ProductErrorCode)
					if tc.outcome != "" {
						require.Equal(t, tc.outcome, e.Outcome)
					}
					for _, text := range append(printed(err), logged(err)...) {
						require.NotContains(t, text, id)
					}
				})
			})
		}
	}
}

// With the ids of some accounts the answer has these alone. Of the numbers, all of which MoneyKit
// sends at once, callers share one reading, whichever they want.
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

// Without a MaxAge there is a refresh each time, also of data that seems to come from the future.
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

// A caller who gives up while the data is read is told whether there was a refresh.
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
							_, err := reading.call(t.Context(), c, sandbox.LinkID, RefreshOptions{MaxAge: tc.age, Timeout: 10 * time.Second})
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

// Whether there is a refresh is decided once for all callers who are there, whatever the age that
// would do for each. The data is two days old, a refresh takes 30 s, and an answer to a look is on
// its way for 5 s.
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
			{2 * time.Second, 0, 43 * time.Second, time.Minute}, {3 * time.Second, 3 * day, 2 * time.Second, 2 * time.Second},
		}, refreshes: 1, reads: 2},
		"the first is not content": {callers: []caller{
			{0, day, 40 * time.Second, 55 * time.Second}, {time.Second, 3 * day, 39 * time.Second, 54 * time.Second},
			{20 * time.Second, 0, 20 * time.Second, 35 * time.Second},
		}, refreshes: 1, reads: 1},
		"one comes just before the end": {callers: []caller{
			{0, 0, 40 * time.Second, 55 * time.Second}, {34900 * time.Millisecond, 3 * day, 5 * time.Second, 20 * time.Second},
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
					s.Script(sandbox.Fault{Operation: "identity.link", Perform: true, Delay: 5 * time.Second, Times: -1})
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

// The looks keep to MoneyKit's 15 requests a minute for a link, also where each of them fails.
func TestRefreshLooksSeldom(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.link"}, sandbox.Fault{Operation: "identity.link", Status: 502, Times: -1})
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
