package duolink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// sharedFlow is a flow whose runs callers share, with the operations that it begins with and that
// should not be done twice.
type sharedFlow struct {
	look, write string
	call        func(ctx context.Context, c *Client, opts ...CallOption) error
	done        func(*sandbox.Sandbox) int // how often it was done
}

var sharedFlows = map[string]sharedFlow{
	"CreateOnce": {
		"links.list", "links.create",
		func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Links.CreateOnce(ctx, LinkCreate{DataSourceID: "GAWA"}, "job-7", opts...)
			return err
		},
		func(s *sandbox.Sandbox) int {
			all, _ := withMarker(s, "job-7")
			return len(all)
		},
	},
	"RefreshAndGet": {
		"identity.link", "identity.refresh",
		func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, opts...)
			return err
		},
		func(s *sandbox.Sandbox) int { return s.Refreshes(sandbox.LinkID) },
	},
	"RefreshAndNumbers": {
		"identity.link", "identity.refresh",
		func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, sandbox.LinkID, RefreshOptions{}, opts...)
			return err
		},
		func(s *sandbox.Sandbox) int { return s.Refreshes(sandbox.LinkID) },
	},
}

// noRuns expects that no run is under way, attended or not.
func noRuns(t *testing.T, c *Client) {
	t.Helper()
	grounded(t, c.creates)
	grounded(t, c.refreshes)
	require.Zero(t, runsAlone(c))
}

// runsAlone is how many runs of a client nobody waits for.
func runsAlone(c *Client) int {
	synctest.Wait()
	c.creates.mu.Lock()
	defer c.creates.mu.Unlock()
	return len(c.creates.runs)
}

// What was not sent when the last caller left is never sent; what is known then is what the caller
// is told.
func TestNothingIsSentForNobody(t *testing.T) {
	refused := func(f sharedFlow, after time.Duration) sandbox.Fault {
		return sandbox.Fault{Operation: f.write, Delay: after, Status: 429, Header: http.Header{"Retry-After": {"30"}}}
	}
	// closed has the group of the write closed when the first look is over.
	closed := func(t *testing.T, c *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(sandbox.Fault{Operation: f.look, Delay: time.Second})
		later(500*time.Millisecond, func() {
			if f.write == "links.create" {
				s.Script(sandbox.Fault{Operation: "logins.list", Status: 429, Header: http.Header{"Retry-After": {"30"}}})
				_, err := c.Logins.List(t.Context(), WithoutRetry())
				kindIs(t, err, ErrRateLimited)
				return
			}
			s.Script(refused(f, 0))
			products := []Product{ProductIdentity, ProductAccountNumbers} // each of which is counted
			_, err := c.Identity.Refresh(t.Context(), sandbox.LinkID, products, WithoutRetry())
			kindIs(t, err, ErrRateLimited)
		})
	}
	for name, tc := range map[string]struct {
		script   func(t *testing.T, c *Client, s *sandbox.Sandbox, f sharedFlow)
		outcome  Outcome
		done     int
		requests int  // of the write, from the flow or not
		told     bool // that it was abandoned
	}{
		"while it looks": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
			s.Script(sandbox.Fault{Operation: f.look, Delay: 20 * time.Second})
		}, NotSent, 0, 0, false},
		"while the write waits for its limit group": {closed, NotSent, 0, 0, false},
		"while it waits because the write was refused": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
			s.Script(refused(f, 0))
		}, Rejected, 0, 1, false},
		"while the write is being refused": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
			s.Script(refused(f, 20*time.Second))
		}, Unknown, 0, 1, false},
		"while the write is being done": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
			s.Script(sandbox.Fault{Operation: f.write, Delay: 20 * time.Second})
		}, Unknown, 1, 1, false},
		"while the write is lost": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
			s.Script(sandbox.Fault{Operation: f.write, Delay: 20 * time.Second, Drop: sandbox.DropBefore})
		}, Unknown, 0, 1, true},
		"while a lost write is looked for": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
			s.Script(sandbox.Fault{Operation: f.write, Drop: sandbox.DropBefore})
		}, Unknown, 0, 1, true},
	} {
		for flow, f := range sharedFlows {
			for _, callers := range []int{1, 3} {
				t.Run(name+"/"+flow+"/"+strconv.Itoa(callers), func(t *testing.T) {
					d := &diary{}
					opts := []Option{WithHooks(d.hooks())}
					server := []sandbox.Option{sandbox.WithRefreshTime(time.Minute)}
					inBubble(t, server, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
						require.NoError(t, linkOf(t.Context(), c)) // for the token
						tc.script(t, c, s, f)
						var wg sync.WaitGroup
						for i := range callers {
							wg.Go(func() {
								ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+i)*time.Second)
								defer cancel()
								err := f.call(ctx, c)
								require.ErrorIs(t, err, context.DeadlineExceeded)
								outcome := tc.outcome
								if i < callers-1 { // it may be sent for the others yet
									outcome = Unknown
								}
								require.Equal(t, outcome, asError(t, err).Outcome)
							})
						}
						wg.Wait()
						synctest.Wait()
						if tc.outcome != Unknown {
							noRuns(t, c)
						}
						time.Sleep(time.Hour)
						require.Equal(t, tc.done, f.done(s))
						writes := s.Count(f.write)
						if strings.Contains(name, "limit group") && f.write == "identity.refresh" {
							writes-- // of another call
						}
						require.Equal(t, tc.requests, writes)
						// Of a refresh it turns out that it has not begun; a link would have to be
						// made again.
						require.Equal(t, tc.told && f.write == "links.create", len(d.abandoned()) > 0, d.lines)
						noRuns(t, c)
						require.NoError(t, f.call(t.Context(), c), "whoever calls again has it")
						done := 1
						if f.write == "identity.refresh" { // an hour is too old
							done += tc.done
						}
						require.Equal(t, done, f.done(s))
					})
				})
			}
		}
	}
}

// Callers who send headers of their own share a run, and the first one's headers are sent. What
// selects a tenant is a part of who calls.
func TestHeadersOfSharedRuns(t *testing.T) {
	header := func(name string) func(i int) []CallOption {
		return func(i int) []CallOption { return []CallOption{WithHeader(name, strconv.Itoa(i))} }
	}
	for name, tc := range map[string]struct {
		opts func(i int) []CallOption
		runs int // of ten callers
	}{
		"a trace": {header("Traceparent"), 1},
		"the same tenant": {func(i int) []CallOption {
			return []CallOption{WithTenantHeader("x-tenant", "7"), WithHeader("Traceparent", strconv.Itoa(i))}
		}, 1},
		"tenants": {func(i int) []CallOption {
			return []CallOption{WithTenantHeader("x-tenant", strconv.Itoa(i%2))}
		}, 2},
		"tenants by another header": {func(i int) []CallOption {
			return []CallOption{WithTenantHeader([]string{"X-Tenant", "X-Customer"}[i%2], "7")}
		}, 2},
		"tenants by two values": {func(i int) []CallOption {
			return append(header("X-Tenant")(i%2), WithTenantHeader("X-Tenant", "7"))
		}, 2},
		"tenants and none": {func(i int) []CallOption {
			if i == 0 {
				return nil
			}
			return []CallOption{WithTenantHeader("X-Tenant", "")}
		}, 2},
	} {
		for flow, f := range sharedFlows {
			t.Run(name+"/"+flow, func(t *testing.T) {
				inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					s.Script(sandbox.Fault{Operation: f.look, Perform: true, Delay: time.Second, Times: -1}) // nobody sees another's write
					var wg sync.WaitGroup
					for i := range 10 {
						wg.Go(func() {
							time.Sleep(time.Duration(i) * time.Millisecond) // so that the first one is known
							require.NoError(t, f.call(t.Context(), c, tc.opts(i)...))
						})
					}
					wg.Wait()
					var first callOptions
					for _, opt := range tc.opts(0) {
						require.NoError(t, opt(&first))
					}
					writes := 0
					for _, r := range s.Requests() {
						if r.Operation != f.write {
							continue
						}
						writes++
						for header, values := range first.extra {
							if tc.runs == 1 {
								require.Equal(t, values, r.Header[header])
							}
						}
					}
					require.Equal(t, tc.runs, writes)
				})
			})
		}
	}
}

// A tenant's header is a header like any other of a call, for one call, and no error quotes it.
func TestTenantHeader(t *testing.T) {
	const tenant = "tenant-confidential-1"
	c, m := inMemory(t, func(r *http.Request) *http.Response {
		return reply(403, `{"error":{"code":"NOT_ALLOWED","message":"not for `+r.Header.Get("X-Tenant")+`"}}`)
	})
	_, err := c.Links.Get(t.Context(), "dsll_1", WithTenantHeader("x-tenant", tenant), WithHeader("X-Trace", "1"))
	kindIs(t, err, ErrForbidden)
	for _, text := range append(printed(err), logged(err)...) {
		require.NotContains(t, text, tenant)
	}
	require.Equal(t, []string{tenant}, m.requests[0].Header["X-Tenant"])
	_, err = c.Links.Get(t.Context(), "dsll_1")
	kindIs(t, err, ErrForbidden)
	require.NotContains(t, m.requests[1].Header, "X-Tenant")
	for _, name := range slices.Concat(ownHeaders, credentialHeaders, []string{"", "X Tenant"}) {
		_, err := c.Links.Get(t.Context(), "dsll_1", WithTenantHeader(name, tenant))
		refused(t, err, ErrArgument, "links.get", tenant)
	}
	_, err = c.Links.Get(t.Context(), "dsll_1", WithTenantHeader("X-Tenant", tenant+"\n"))
	refused(t, err, ErrArgument, "links.get", tenant)
	require.Len(t, m.requests, 2)
}

// Each caller of a shared run has copies of its own of what the run has brought: also if it failed.
func TestEachCallerHasCopies(t *testing.T) {
	envelope := `{"error":{"code":"VALIDATION_FAILED","message":"No","details":[{"field":"a","message":"original"}]}}`
	native := `{"error_code":"api_error.validation","validation_errors":[{"loc":"a","msg":"original"}]}`
	for flow, f := range sharedFlows {
		t.Run(flow, func(t *testing.T) {
			inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				body := native
				if f.write == "links.create" {
					body = envelope
				}
				s.Script(sandbox.Fault{Operation: f.write, Delay: time.Second, Status: 422, Body: body})
				errs, responses := make([]*Error, 5), make([]Response, 5)
				var wg sync.WaitGroup
				for i := range errs {
					wg.Go(func() {
						err := f.call(t.Context(), c, WithResponse(&responses[i]))
						kindIs(t, err, ErrValidation)
						errs[i] = asError(t, err)
					})
				}
				wg.Wait()
				require.Equal(t, 1, s.Count(f.write))
				for i, e := range errs { // nobody notices what another does
					require.Equal(t, "original", e.Fields[0].Message)
					require.Equal(t, f.write, responses[i].Attempts[0].Operation)
					require.Equal(t, body, string(responses[i].Body()))
					require.Empty(t, responses[i].Header().Get("X-Mine"))
					e.Fields[0].Message, responses[i].Attempts[0].Operation = "changed", "changed"
					clear(responses[i].Body())
					responses[i].Header().Set("X-Mine", "1")
				}
			})
		})
	}
}

// A run that somebody has come back to goes on for as long as ever when it is left again, and one
// that has ended is not among those that nobody waits for.
func TestRunThatSomebodyCameBackTo(t *testing.T) {
	for flow, f := range sharedFlows {
		t.Run(flow, func(t *testing.T) {
			d := &diary{}
			opts := []Option{WithHooks(d.hooks()), WithRetry(Retry{AttemptTimeout: time.Hour})}
			server := []sandbox.Option{sandbox.WithRefreshTime(time.Hour)}
			inBubble(t, server, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				if f.write == "links.create" {
					s.Script(sandbox.Fault{Operation: f.write, Delay: time.Hour})
				}
				began := time.Now()
				for _, at := range []time.Duration{0, 5 * time.Minute, 14 * time.Minute} {
					time.Sleep(time.Until(began.Add(at)))
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					require.ErrorIs(t, f.call(ctx, c), context.DeadlineExceeded)
					cancel()
				}
				require.Equal(t, 1, s.Count(f.write))
				time.Sleep(time.Until(began.Add(25*time.Minute - time.Second)))
				require.Empty(t, d.abandoned())
				require.Equal(t, 1, runsAlone(c))
				time.Sleep(2 * time.Second)
				require.Len(t, d.abandoned(), 1)
				require.Equal(t, 10*time.Minute, d.abandoned()[0].After)
				noRuns(t, c)
			})

			d = &diary{}
			server, opts = []sandbox.Option{sandbox.WithRefreshTime(5 * time.Minute)}, []Option{WithHooks(d.hooks())}
			inBubble(t, server, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: f.write, Delay: 20 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				require.ErrorIs(t, f.call(ctx, c), context.DeadlineExceeded)
				require.Equal(t, 1, runsAlone(c))
				time.Sleep(6 * time.Minute)
				noRuns(t, c)
				require.Equal(t, 1, f.done(s))
				time.Sleep(alone)
				require.Empty(t, d.abandoned(), "it has ended well")
			})
		})
	}
}

// A write that its run refuses to send is not handed to the transport, also not to one that does not
// care whether its context has ended.
func TestWriteThatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, "") })
		ctx, cancel := context.WithCancel(t.Context())
		var undone []Outcome
		_, err := c.Links.Create(ctx, LinkCreate{DataSourceID: "GAWA"}, func(o *callOptions) error {
			o.write = &sharedWrite{
				commit:   func() bool { cancel(); return false },
				uncommit: func(outcome Outcome) { undone = append(undone, outcome) },
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, NotSent, asError(t, err).Outcome)
		require.Equal(t, 1, asError(t, err).Attempts)
		require.Equal(t, []Outcome{NotSent}, undone)
		require.Empty(t, m.requests)

		// The second creation of a run whose first one was not clear.
		creates := 0
		d := &diary{}
		c = overAll(t, func(r *http.Request) (*http.Response, error) {
			if r.Method == "POST" {
				creates++
				return nil, errBroken
			}
			return reply(200, `{"data":[]}`), nil
		}, WithHooks(d.hooks()))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Links.CreateOnce(ctx, LinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Hour)
		require.Equal(t, []Abandoned{{Supermetrics, "links.create_once", grace - time.Second}}, d.abandoned())
		require.Equal(t, 1, creates)
	})
}

// Whoever comes back at the moment when a run would be ended keeps it.
func TestRunThatSomebodyComesBackToInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlights[int, int]()
		f, _ := fs.enter(t.Context(), shared("t", "k"), func(ctx context.Context, _ *flight[int, int]) (int, error) {
			return 7, sleep(ctx, time.Hour)
		})
		f.expire() // as a timer that was about to when the caller came
		<-f.done
		require.NoError(t, f.err)
		f.leave()
		grounded(t, fs)
	})
}

// abandoning is a client of a server at which no link is made and no refresh ends, and the flows
// that are given up there.
func abandoning(t *testing.T, opts ...Option) (*Client, []func(ctx context.Context, id string) error) {
	t.Helper()
	c, err := New(append([]Option{
		WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)),
		WithRetry(Retry{AttemptTimeout: time.Hour}),
		WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			switch {
			case strings.Contains(r.URL.Path, "/ds/login/link") && r.Method == "POST":
				<-r.Context().Done()
				return nil, r.Context().Err()
			case strings.Contains(r.URL.Path, "/ds/login/link"):
				return reply(200, `{"data":[]}`), nil
			}
			return reply(200, `{"link_id":"mk_1","state":"connected","products":{}}`), nil
		})}),
	}, opts...)...)
	require.NoError(t, err)
	return c, []func(ctx context.Context, id string) error{
		func(ctx context.Context, id string) error {
			_, err := c.Links.CreateOnce(ctx, LinkCreate{DataSourceID: "GAWA"}, id)
			return err
		},
		func(ctx context.Context, id string) error {
			_, err := c.Identity.RefreshAndGet(ctx, id, IdentityQuery{}, RefreshOptions{})
			return err
		},
		func(ctx context.Context, id string) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, id, RefreshOptions{})
			return err
		},
	}
}

// Of all flows together, a hundred go on when nobody waits for them. Each one more ends the one
// that was left first, and who looks after the client is told. One that somebody has come back to
// is not among them.
func TestAbandonedRunsAreBounded(t *testing.T) {
	const mark, given = "canary_KJHGFDSA_zyxwvu_6789", 150
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		c, flows := abandoning(t, WithHooks(d.hooks()), WithLogger(logger))
		giveUp := func(i int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, flows[i%3](ctx, mark+strconv.Itoa(i)), context.DeadlineExceeded)
		}
		running := func() int {
			synctest.Wait()
			c.creates.mu.Lock()
			defer c.creates.mu.Unlock()
			require.Len(t, c.creates.runs, len(c.creates.running)+len(c.refreshes.running))
			return len(c.creates.runs)
		}
		var names []string
		for i := range given {
			giveUp(i)
			names = append(names, []string{"links.create_once", "identity.refresh_and_get", "auth.refresh_and_numbers"}[i%3])
			require.Equal(t, min(i+1, mostAlone), running())
			require.Len(t, d.abandoned(), max(0, i+1-mostAlone))
			if i == mostAlone-1 { // somebody comes back to the first, which is the last then
				giveUp(0)
				names = append(names[1:], names[0])
			}
		}
		time.Sleep(alone + time.Second)
		require.Zero(t, running())
		require.Len(t, d.abandoned(), given)
		for i, a := range d.abandoned() {
			api := MoneyKit
			if names[i] == "links.create_once" {
				api = Supermetrics
			}
			after := mostAlone * time.Second // as many were left after it, one each second
			if i >= given-mostAlone {
				after = alone
			}
			require.Equal(t, Abandoned{API: api, Operation: names[i], After: after}, a, i)
		}
		require.Equal(t, given, strings.Count(log.String(), "level=WARN msg=\"duolink: abandoned\""))
		require.Contains(t, log.String(), "api=supermetrics operation=links.create_once after=10m0s\n")
		require.NotContains(t, log.String(), mark)
	})
}

// The hook is called when the run has ended, with no lock held, and a panic in it ends there.
func TestAbandonedIsTold(t *testing.T) {
	for i, flow := range []string{"CreateOnce", "RefreshAndGet", "RefreshAndNumbers"} {
		t.Run(flow, func(t *testing.T) {
			type key struct{}
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Int32
				var again func(ctx context.Context) error
				c, flows := abandoning(t, WithHooks(Hooks{Abandoned: func(ctx context.Context, a Abandoned) {
					require.NoError(t, ctx.Err())
					require.Equal(t, "a value", ctx.Value(key{}))
					if told.Add(1) == 1 {
						ctx, cancel := context.WithTimeout(ctx, time.Minute)
						defer cancel()
						require.ErrorIs(t, again(ctx), context.DeadlineExceeded, "the same flow, which begins anew")
					}
					panic(errBroken)
				}}))
				again = func(ctx context.Context) error { return flows[i](ctx, "job-7") }
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "a value"), time.Second)
				defer cancel()
				require.ErrorIs(t, again(ctx), context.DeadlineExceeded)
				time.Sleep(alone + time.Second)
				require.Equal(t, int32(1), told.Load())
				time.Sleep(2 * alone)
				require.Equal(t, int32(2), told.Load())
				noRuns(t, c)
			})
		})
	}
}

// Fifty callers want the same of the same link at the same time: one refresh, one reading, and a copy for each.
func TestRefreshIsShared(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		answers, told := make([]*Identity, 50), make([]int, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second) // they need not begin together
				var response Response
				var err error
				answers[i], err = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Progress: func(p RefreshProgress) {
					told[i]++
					require.Equal(t, ProductIdentity, p.Product)
					require.Positive(t, p.Next)
				}}, WithResponse(&response))
				require.NoError(t, err)
				require.Equal(t, 200, response.Status)
				require.Equal(t, byte('{'), response.Body()[0])
				// What a caller does to its copies is its own affair.
				answers[i].Accounts[0].Owners[0].Names[0] = NewSensitive("changed by its caller")
				response.Attempts[0].Number = i
				response.Header().Set("X-Mine", "1")
				clear(response.Body())
			})
		}
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
		grounded(t, c.refreshes)
		for i, a := range answers {
			require.Len(t, a.Accounts, len(answers[0].Accounts))
			require.Equal(t, "****", a.Accounts[0].Owners[0].Names[0].String())
			require.Positive(t, told[i])
		}
	})
}

// What is not the same is not shared: another tenant, link or product. The same link is refreshed
// once, whatever else differs, and if other accounts are wanted, they are read.
func TestRefreshIsNotShared(t *testing.T) {
	type tenant struct{}
	get := func(ctx context.Context, c *Client, linkID string, query IdentityQuery, o RefreshOptions, opts ...CallOption) error {
		_, err := c.Identity.RefreshAndGet(ctx, linkID, query, o, opts...)
		return err
	}
	for name, tc := range map[string]struct {
		second           func(ctx context.Context, c *Client, token string) error
		refreshes, reads int
	}{
		"another token": {func(ctx context.Context, c *Client, token string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithToken(token))
		}, 2, 2},
		"another tenant of a function": {func(ctx context.Context, c *Client, token string) error {
			return get(context.WithValue(ctx, tenant{}, token), c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
		}, 2, 2},
		"another link": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.SecondLinkID, IdentityQuery{}, RefreshOptions{})
		}, 2, 2},
		"the numbers": {func(ctx context.Context, c *Client, _ string) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, sandbox.LinkID, RefreshOptions{})
			return err
		}, 2, 2},
		"a tenant's header": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithTenantHeader("X-Tenant", "2"))
		}, 2, 2},
		"a header": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithHeader("X-Trace", "2"))
		}, 1, 1},
		"other accounts": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{AccountIDs: []string{sandbox.JointAccountID}}, RefreshOptions{})
		}, 1, 2},
		"another age": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{MaxAge: time.Hour})
		}, 1, 1},
		"another timeout": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{Timeout: 9 * time.Minute})
		}, 1, 1},
		"another patience": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithMaxWait(time.Second))
		}, 1, 1},
		"nothing": {func(ctx context.Context, c *Client, _ string) error {
			return get(ctx, c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.WithRefreshTime(30*time.Second), sandbox.WithMoneyKitLimits())
				transport := s.Transport()
				defer transport.Close()
				own, other := s.IssueToken(), s.IssueToken()
				c := sandboxClientWith(t, transport, WithMoneyKit(BearerTokenFunc(func(ctx context.Context) (string, error) {
					if token, ok := ctx.Value(tenant{}).(string); ok {
						return token, nil
					}
					return own, nil
				})))
				tenants := strings.Contains(name, "token") || strings.Contains(name, "tenant of")
				var wg sync.WaitGroup
				wg.Go(func() {
					require.NoError(t, get(t.Context(), c, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}))
				})
				wg.Go(func() {
					time.Sleep(time.Second)
					if err := tc.second(t.Context(), c, other); tenants || name == "a tenant's header" { // the server counts by the link
						require.ErrorIs(t, err, ErrRateLimited)
					} else {
						require.NoError(t, err)
					}
				})
				wg.Wait()
				require.Equal(t, tc.refreshes, s.Count("identity.refresh"))
				reads := s.Count("identity.get") + s.Count("auth.numbers")
				if tenants || name == "a tenant's header" {
					reads++
				}
				require.Equal(t, tc.reads, reads)
				sent := slices.ContainsFunc(s.Requests(), func(r sandbox.Request) bool { return r.Header.Get("Authorization") == "Bearer "+other })
				require.Equal(t, tenants, sent)
			})
		})
	}
}

// A caller who is content with older data, and comes while it is refreshed for others, waits like
// them. If that fails, it has the data that is there, and nothing older than it wants: the time
// that has passed counts.
func TestRefreshForTheContent(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.FailRefreshes(sandbox.LinkID, "no_permission")
		var wg sync.WaitGroup
		for _, tc := range []struct {
			age, comes time.Duration
			kind       error
		}{
			{0, 0, ErrRefreshFailed}, {72 * time.Hour, 80 * time.Second, nil},
			{48*time.Hour + 10*time.Second, time.Second, ErrRefreshFailed},
		} {
			wg.Go(func() {
				began := time.Now()
				time.Sleep(tc.comes)
				_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{MaxAge: tc.age})
				require.ErrorIs(t, err, tc.kind)
				require.GreaterOrEqual(t, time.Since(began), 90*time.Second)
			})
		}
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Count("identity.refresh"), s.Count("identity.get")})
	})
}

// A refresh that never ends is given up after an hour, also where callers keep coming.
func TestRefreshThatNeverEnds(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(1000 * time.Hour)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		for range 30 {
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Timeout: 5 * time.Minute})
			kindIs(t, err, ErrRefreshPending)
		}
		require.Equal(t, 3, s.Count("identity.refresh"), "in two hours and a half")
		time.Sleep(alone)
		grounded(t, c.refreshes)
	})
}

// A caller who gives up leaves the run to the others. When nobody is left, a refresh that was asked for is watched a while, so
// that who comes back does not pay for another.
func TestRefreshIsGivenUp(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		impatient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			began := time.Now()
			var response Response
			_, err := c.Identity.RefreshAndGet(impatient, sandbox.LinkID, IdentityQuery{}, RefreshOptions{}, WithResponse(&response))
			require.Equal(t, 10*time.Second, time.Since(began))
			kindIs(t, err, ErrRefreshPending)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, Unknown, asError(t, err).Outcome)
			require.Equal(t, "duolink: identity.refresh_and_get: refresh pending: the refresh was not seen to end", err.Error())
			response.Status = 1 // it is the caller's again
		})
		wg.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
			require.NoError(t, err)
		})
		wg.Wait()
		require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
	})
}

func TestRefreshIsAskedForAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		fault   sandbox.Fault
		timeout time.Duration
		age     time.Duration
	}{
		"while it goes on":           {timeout: 20 * time.Second, age: time.Hour},
		"without an age":             {timeout: 20 * time.Second},
		"given up while it was sent": {sandbox.Fault{Operation: "identity.refresh", Delay: 5 * time.Second, Drop: sandbox.DropAfter}, time.Second, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(90 * time.Second), sandbox.WithMoneyKitLimits()}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(tc.fault)
				_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Timeout: tc.timeout})
				kindIs(t, err, ErrRefreshPending)
				_, err = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{MaxAge: tc.age})
				require.NoError(t, err)
				require.Equal(t, []int{1, 1}, []int{s.Refreshes(sandbox.LinkID), s.Count("identity.get")})
				grounded(t, c.refreshes)
			})
		})
	}
}

// A refresh that nobody has come back for is left after a while, and one that was not asked for at once.
func TestRefreshIsLeftAlone(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(time.Hour)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Timeout: time.Minute})
		kindIs(t, err, ErrRefreshPending)
		time.Sleep(alone)
		asked := s.Count("")
		time.Sleep(time.Hour)
		require.Equal(t, asked, s.Count(""))
		grounded(t, c.refreshes)
		require.Zero(t, s.Count("identity.get"), "nobody is there to read it")

		s.ResetRequests()
		s.Script(sandbox.Fault{Operation: "identity.link", Delay: time.Hour})
		_, err = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Timeout: 5 * time.Second})
		kindIs(t, err, ErrRefreshPending)
		synctest.Wait()
		grounded(t, c.refreshes)
		time.Sleep(time.Hour)
		require.Equal(t, 1, s.Count("identity.link"))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Identity.RefreshAndGet(ctx, sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, NotSent, asError(t, err).Outcome)
		require.Equal(t, 1, s.Count("identity.link"), "who has given up before asks for nothing")
	})
}

// Each caller has the time that it gives itself, also one who comes late.
func TestRefreshTimeoutOfEach(t *testing.T) {
	inBubble(t, []sandbox.Option{sandbox.WithRefreshTime(70 * time.Second)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var wg sync.WaitGroup
		for _, tc := range []struct {
			starts time.Duration
			kind   error
		}{{0, ErrRefreshPending}, {55 * time.Second, nil}} {
			wg.Go(func() {
				time.Sleep(tc.starts)
				_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Timeout: time.Minute})
				require.ErrorIs(t, err, tc.kind)
			})
		}
		wg.Wait()
		require.Equal(t, 1, s.Refreshes(sandbox.LinkID))
	})
}

// A hook that panics in a run that many share does so at one of them; the others have an error.
func TestPanicInASharedRun(t *testing.T) {
	broken := errors.New("a hook of the caller's")
	var armed atomic.Bool
	hooks := Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
		if a.Operation == "identity.refresh" && armed.Load() {
			panic(broken)
		}
	}}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		armed.Store(true)
		s.Script(sandbox.Fault{Operation: "identity.link", Delay: time.Second}) // until all are there
		var wg sync.WaitGroup
		var panics, failures atomic.Int32
		for range 10 {
			wg.Go(func() {
				defer func() {
					if r := recover(); r != nil {
						require.Equal(t, broken, r)
						panics.Add(1)
					}
				}()
				_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
				require.Equal(t, "duolink: identity.refresh_and_get: no answer: the run that the call shared did not end well", err.Error())
				require.Equal(t, Unknown, asError(t, err).Outcome)
				failures.Add(1)
			})
		}
		wg.Wait()
		require.Equal(t, []int32{1, 9}, []int32{panics.Load(), failures.Load()})
		armed.Store(false)
		_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
		require.NoError(t, err)
	})
}

// A callback that panics is its caller's affair.
func TestPanicInProgress(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.link", Delay: time.Second}) // until both are there
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{})
			require.NoError(t, err)
		})
		wg.Go(func() {
			require.PanicsWithValue(t, "mine", func() {
				_, _ = c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, IdentityQuery{}, RefreshOptions{Progress: func(RefreshProgress) { panic("mine") }})
			})
		})
		wg.Wait()
		require.Equal(t, 1, s.Refreshes(sandbox.LinkID))
		grounded(t, c.refreshes)
	})
}

// grounded expects that no run is under way.
func grounded[T, P any](t *testing.T, fs *flights[T, P]) {
	t.Helper()
	synctest.Wait()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	require.Empty(t, fs.running)
}

// A run under way is known by what proves whose it is; no verb brings that out of the client, however it is held.
func TestRunningFlightNeverPrints(t *testing.T) {
	const token, link = "tok_canary_KJHGFDSA_zyxwvu_6789", "mk_canary_KJHGFDSA_zyxwvu_6789"
	synctest.Test(t, func(t *testing.T) {
		printed := make(chan struct{})
		c, _ := inMemory(t, func(*http.Request) *http.Response {
			<-printed
			return reply(500, "")
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), link, IdentityQuery{}, RefreshOptions{}, WithToken(token))
			kindIs(t, err, ErrServer)
		})
		synctest.Wait() // fmt looks at everything, so all has to stand still
		require.Len(t, c.refreshes.running, 1)
		for name, value := range map[string]any{
			"client": c, "hidden": struct{ c *Client }{c}, "by value": struct{ c Client }{*c}, "flights": struct{ a, b any }{c.refreshes, c.creates},
		} {
			discreet(t, name, value, token, link)
		}
		close(printed)
		wg.Wait()
	})
}
