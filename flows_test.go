package duolink

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// sharedFlow is a flow whose runs callers share, with its first operation and the operation that
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
			_, err := c.Links.CreateOnce(ctx, LoginLinkCreate{DataSourceID: "GAWA"}, "job-7", opts...)
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
			_, err := c.Identity.RefreshAndGet(ctx, sandbox.LinkID, RefreshOptions{}, opts...)
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
	noneRunning(t, c.creates)
	noneRunning(t, c.refreshes)
	require.Zero(t, c.unattended.Len())
}

// noneRunning expects that no run of a kind is under way.
func noneRunning(t *testing.T, group interface{ Running() int }) {
	t.Helper()
	synctest.Wait()
	require.Zero(t, group.Running())
}

// refuses makes the server refuse the write.
func refuses(f sharedFlow, after time.Duration) sandbox.Fault {
	return sandbox.Fault{Operation: f.write, Delay: after, Status: 429, Header: http.Header{"Retry-After": {"30"}}}
}

// closes closes the limit group of the write after the first look.
func closes(t *testing.T, c *Client, s *sandbox.Sandbox, f sharedFlow) {
	s.Script(sandbox.Fault{Operation: f.look, Delay: time.Second})
	later(500*time.Millisecond, func() {
		if f.write == "links.create" {
			s.Script(sandbox.Fault{Operation: "logins.list", Status: 429, Header: http.Header{"Retry-After": {"30"}}})
			_, err := c.Logins.List(t.Context(), WithoutRetry())
			kindIs(t, err, ErrRateLimited)
			return
		}
		s.Script(refuses(f, 0))
		products := []Product{ProductIdentity, ProductAccountNumbers} // each of which is counted
		_, err := c.Identity.Refresh(t.Context(), sandbox.LinkID, products, WithoutRetry())
		kindIs(t, err, ErrRateLimited)
	})
}

// abandonment says when the last caller leaves a run, and what is known and done then.
type abandonment struct {
	script   func(t *testing.T, c *Client, s *sandbox.Sandbox, f sharedFlow)
	outcome  Outcome
	done     int
	requests int  // of the write, from the flow or not
	told     bool // that it was abandoned
}

var abandonments = map[string]abandonment{
	"while it looks": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(sandbox.Fault{Operation: f.look, Delay: 20 * time.Second})
	}, OutcomeNotSent, 0, 0, false},
	"while the write waits for its limit group": {closes, OutcomeNotSent, 0, 0, false},
	"while it waits because the write was refused": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(refuses(f, 0))
	}, OutcomeRejected, 0, 1, false},
	"while the write is being refused": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(refuses(f, 20*time.Second))
	}, OutcomeUnknown, 0, 1, false},
	"while the write is being done": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(sandbox.Fault{Operation: f.write, Delay: 20 * time.Second})
	}, OutcomeUnknown, 1, 1, false},
	"while the write is lost": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(sandbox.Fault{Operation: f.write, Delay: 20 * time.Second, Drop: sandbox.DropBefore})
	}, OutcomeUnknown, 0, 1, true},
	"while a lost write is looked for": {func(_ *testing.T, _ *Client, s *sandbox.Sandbox, f sharedFlow) {
		s.Script(sandbox.Fault{Operation: f.write, Drop: sandbox.DropBefore})
	}, OutcomeUnknown, 0, 1, true},
}

// A write that was not sent when the last caller left is never sent. The caller's error says what
// was known then.
func TestNothingIsSentForNobody(t *testing.T) {
	t.Parallel()
	for name, l := range abandonments {
		for flow, f := range sharedFlows {
			for _, callers := range []int{1, 3} {
				t.Run(name+"/"+flow+"/"+strconv.Itoa(callers), func(t *testing.T) {
					d := &diary{}
					server := []sandbox.Option{sandbox.WithRefreshTime(time.Minute)}
					opts := []Option{WithHooks(d.hooks())}
					inBubble(t, server, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
						require.NoError(t, linkOf(t.Context(), c)) // for the token
						l.script(t, c, s, f)
						l.leave(t, c, f, callers)
						time.Sleep(time.Hour)
						require.Equal(t, l.done, f.done(s))
						writes := s.Count(f.write)
						if strings.Contains(name, "limit group") && f.write == "identity.refresh" {
							writes-- // of another call
						}
						require.Equal(t, l.requests, writes)
						// For a refresh the link shows that it has not begun. A link would have to
						// be made again.
						require.Equal(t, l.told && f.write == "links.create", len(d.abandoned()) > 0, d.lines)
						l.comeBack(t, c, s, f)
					})
				})
			}
		}
	}
}

// leave makes some callers give up, one after the other.
func (l abandonment) leave(t *testing.T, c *Client, f sharedFlow, callers int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+i)*time.Second)
			defer cancel()
			err := f.call(ctx, c)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			outcome := l.outcome
			if i < callers-1 { // it may be sent for the others yet
				outcome = OutcomeUnknown
			}
			require.Equal(t, outcome, asError(t, err).Outcome)
		})
	}
	wg.Wait()
	synctest.Wait()
	if l.outcome != OutcomeUnknown {
		noRuns(t, c)
	}
}

// comeBack calls again.
func (l abandonment) comeBack(t *testing.T, c *Client, s *sandbox.Sandbox, f sharedFlow) {
	t.Helper()
	noRuns(t, c)
	require.NoError(t, f.call(t.Context(), c), "whoever calls again has it")
	done := 1
	if f.write == "identity.refresh" { // an hour is too old
		done += l.done
	}
	require.Equal(t, done, f.done(s))
}

// varying sends each caller's number in a header.
func varying(name string) func(i int) []CallOption {
	return func(i int) []CallOption { return []CallOption{WithHeader(name, strconv.Itoa(i))} }
}

// varyingHeaders are what callers may send, and how many runs ten of them have.
var varyingHeaders = map[string]struct {
	opts func(i int) []CallOption
	runs int // of ten callers
}{
	"a trace": {varying("Traceparent"), 1},
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
		return append(varying("X-Tenant")(i%2), WithTenantHeader("X-Tenant", "7"))
	}, 2},
	"tenants and none": {func(i int) []CallOption {
		if i == 0 {
			return nil
		}
		return []CallOption{WithTenantHeader("X-Tenant", "")}
	}, 2},
}

// Callers with different headers share a run, and the first caller's headers are sent. A tenant's
// header separates callers.
func TestHeadersOfSharedRuns(t *testing.T) {
	for name, tc := range varyingHeaders {
		for flow, f := range sharedFlows {
			t.Run(name+"/"+flow, func(t *testing.T) {
				inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					// Nobody sees another's write.
					s.Script(sandbox.Fault{Operation: f.look, Perform: true, Delay: time.Second, Times: -1})
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

// A tenant's header is sent for one call, like any other header, and no error quotes it.
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

// Each caller of a shared run has its own copy of the result, even if the run failed.
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

// If somebody comes back to a run and leaves it again, it goes on for the full time again.
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
				require.Equal(t, 1, c.unattended.Len())
				time.Sleep(2 * time.Second)
				require.Len(t, d.abandoned(), 1)
				require.Equal(t, 10*time.Minute, d.abandoned()[0].After)
				noRuns(t, c)
			})
		})
	}
}

// A run that has ended does not count as a run that nobody waits for.
func TestRunThatEndsUnattended(t *testing.T) {
	for flow, f := range sharedFlows {
		t.Run(flow, func(t *testing.T) {
			d := &diary{}
			server, opts := []sandbox.Option{sandbox.WithRefreshTime(5 * time.Minute)}, []Option{WithHooks(d.hooks())}
			inBubble(t, server, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: f.write, Delay: 20 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				require.ErrorIs(t, f.call(ctx, c), context.DeadlineExceeded)
				require.Equal(t, 1, c.unattended.Len())
				time.Sleep(6 * time.Minute)
				noRuns(t, c)
				require.Equal(t, 1, f.done(s))
				time.Sleep(flight.LongestUnattended)
				require.Empty(t, d.abandoned(), "it has ended well")
			})
		})
	}
}
