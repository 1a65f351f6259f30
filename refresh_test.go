package duolink

import (
	"context"
	"net/http"
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

// readings are the two flows, which behave in the same way.
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

// The ends of a refresh: how the client learns of them, when, and with which requests.
func TestRefreshEndings(t *testing.T) {
	t.Parallel()
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
			script:  fault(sandbox.Fault{Operation: "identity.refresh", Drop: sandbox.DropBefore}),
			outcome: OutcomeUnknown,
			after:   defaultGrace, within: defaultGrace + time.Second, looks: [2]int{9, 11},
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
			script: fault(sandbox.Fault{Operation: "identity.refresh", Status: 500}), kind: ErrServer,
			outcome: OutcomeUnknown,
			after:   defaultGrace, within: defaultGrace + time.Second, looks: [2]int{9, 11},
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
			kind: ErrUnauthorized, after: 20 * time.Second, within: 45 * time.Second, refreshes: 1,
			looks: [2]int{8, 10},
		},
		"no token for the refresh": {
			script: func(s *sandbox.Sandbox, _ Product) {
				expired := nativeBody("api_error.auth.expired_access_token")
				s.Script(sandbox.Fault{Operation: "identity.refresh", Status: 401, Body: expired},
					sandbox.Fault{Operation: "auth.token", Status: 401,
						Body: nativeBody("api_error.auth.unauthorized")})
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
