package duolink

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// A panic in a hook reaches the caller. It leaves nothing locked and nothing open: the next call of
// the same limit group goes out.
func TestPanicInAHook(t *testing.T) {
	armed := true
	disarm := func() {
		if armed {
			armed = false
			panic(errBroken)
		}
	}
	is := func(operation string) func(string) {
		return func(o string) {
			if o == operation {
				disarm()
			}
		}
	}
	link, token := is("identity.link"), is("auth.token")
	limited := sandbox.Fault{Operation: "identity.link", Status: 429, Header: http.Header{"Retry-After": {"1"}}}
	for name, tc := range map[string]struct {
		hooks  Hooks
		script []sandbox.Fault
	}{
		"AttemptStart": {Hooks{AttemptStart: func(_ context.Context, a Attempt) { link(a.Operation) }}, nil},
		"AttemptEnd":   {Hooks{AttemptEnd: func(_ context.Context, a Attempt) { link(a.Operation) }}, nil},
		"AttemptEnd of a failure": {
			Hooks{AttemptEnd: func(_ context.Context, a Attempt) { link(a.Operation) }},
			[]sandbox.Fault{{Operation: "identity.link", Drop: sandbox.DropAfter}},
		},
		"AttemptEnd of a refusal": {
			Hooks{AttemptEnd: func(_ context.Context, a Attempt) { link(a.Operation) }}, []sandbox.Fault{limited},
		},
		"Wait, backoff": {
			Hooks{Wait: func(_ context.Context, w Wait) { link(w.Operation) }},
			[]sandbox.Fault{{Operation: "identity.link", Status: 503}},
		},
		"Wait, cooldown": {
			Hooks{Wait: func(_ context.Context, w Wait) { link(w.Operation) }}, []sandbox.Fault{limited},
		},
		"Cooldown": {
			Hooks{Cooldown: func(_ context.Context, c Cooldown) { link(c.Operation) }}, []sandbox.Fault{limited},
		},
		"Drift": {
			Hooks{Drift: func(_ context.Context, d Drift) { link(d.Operation) }},
			[]sandbox.Fault{{Operation: "identity.link", Body: `{"link_id":"mk_1","a_new_member":1}`}},
		},
		"TokenRenewal": {Hooks{TokenRenewal: func(context.Context, TokenRenewal) { disarm() }}, nil},
		"TokenRenewal of a failure": {
			Hooks{TokenRenewal: func(context.Context, TokenRenewal) { disarm() }},
			[]sandbox.Fault{{Operation: "auth.token", Status: 401}},
		},
		"exchange, AttemptStart": {Hooks{AttemptStart: func(_ context.Context, a Attempt) { token(a.Operation) }}, nil},
		"exchange, AttemptEnd":   {Hooks{AttemptEnd: func(_ context.Context, a Attempt) { token(a.Operation) }}, nil},
		"exchange, Wait": {
			Hooks{Wait: func(_ context.Context, w Wait) { token(w.Operation) }},
			[]sandbox.Fault{{Operation: "auth.token", Status: 503}},
		},
		"exchange, Cooldown": {
			Hooks{Cooldown: func(_ context.Context, c Cooldown) { token(c.Operation) }},
			[]sandbox.Fault{{Operation: "auth.token", Status: 429}},
		},
		"AttemptStart of the probe": {Hooks{AttemptStart: func(_ context.Context, a Attempt) {
			if a.Number == 2 {
				link(a.Operation)
			}
		}}, []sandbox.Fault{limited}},
		"AttemptEnd of the probe": {Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
			if a.Number == 2 {
				link(a.Operation)
			}
		}}, []sandbox.Fault{limited}},
		"AttemptEnd of a refused probe": {Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
			if a.Number == 2 {
				link(a.Operation)
			}
		}}, []sandbox.Fault{limited, limited}},
		"Cooldown of a refused probe": {Hooks{Cooldown: func() func(context.Context, Cooldown) {
			n := 0
			return func(context.Context, Cooldown) {
				if n++; n == 2 {
					disarm()
				}
			}
		}()}, []sandbox.Fault{limited, limited}},
	} {
		t.Run(name, func(t *testing.T) {
			armed = false
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New()
				transport := s.Transport()
				defer transport.Close()
				b := &bodies{next: transport}
				c := sandboxClient(t, b, WithHooks(tc.hooks))
				if !strings.Contains(name, "exchange") && !strings.Contains(name, "TokenRenewal") {
					// So that the group, once refused, is paced at twenty a second and not at the slowest rate.
					for range 20 {
						require.NoError(t, getBankLink(t.Context(), c))
					}
				}
				armed = true
				s.Script(tc.script...)
				require.PanicsWithValue(t, errBroken, func() { _ = getBankLink(t.Context(), c) })
				require.False(t, armed)
				synctest.Wait()
				b.closedOnce(t, len(b.opened))

				s.ClearScript()
				if strings.Contains(name, "failure") {
					time.Sleep(flight.ShortestHold) // for which a failed exchange answers
				}
				began := time.Now()
				atOnce(t, 20, func() error { return getBankLink(context.Background(), c) })
				require.Less(t, time.Since(began), probeLimit, "no one waits for the call that panicked")
				synctest.Wait()
				b.closedOnce(t, len(b.opened))
			})
		})
	}
}

// Two hundred callers wait for a token when a hook panics. One of them gets the panic, and all of
// them return.
func TestPanicWhileOthersWaitForAToken(t *testing.T) {
	for name, tc := range map[string]struct {
		hooks  Hooks
		others error // what the others' errors match
	}{
		"TokenRenewal": {hooks: Hooks{TokenRenewal: panicAt[TokenRenewal]}},
		"AttemptEnd of the exchange": {
			hooks: Hooks{AttemptEnd: func(_ context.Context, a Attempt) {
				if a.Operation == "auth.token" {
					panic(errBroken)
				}
			}},
			others: errAny,
		},
		"AttemptStart of the exchange": {
			hooks: Hooks{AttemptStart: func(_ context.Context, a Attempt) {
				if a.Operation == "auth.token" {
					panic(errBroken)
				}
			}},
			others: errAny,
		},
	} {
		t.Run(name, func(t *testing.T) {
			const callers = 200
			inBubble(t, nil, []Option{WithHooks(tc.hooks)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: "auth.token", Delay: time.Second})
				var (
					wg       sync.WaitGroup
					panicked [callers]any
					errs     [callers]error
				)
				for i := range callers {
					wg.Go(func() {
						defer func() { panicked[i] = recover() }()
						errs[i] = getBankLink(context.Background(), c)
					})
				}
				wg.Wait()
				panics := 0
				for i := range callers {
					if panicked[i] != nil {
						panics++
						require.Equal(t, errBroken, panicked[i])
						continue
					}
					checkLeakTestError(t, tc.others, errs[i])
				}
				require.GreaterOrEqual(t, panics, 1)
				if tc.others == nil {
					require.Equal(t, 1, panics)
					require.Equal(t, 1, s.TokensIssued())
				}
			})
		})
	}
}

// An exchange that a hook has ended without a panic, as t.FailNow does, is not told as a success.
func TestExchangeThatAHookEnds(t *testing.T) {
	var told []TokenRenewal
	ended := false
	c, err := New(
		WithMoneyKit(ClientCredentials(testID, testSecret)),
		WithHTTPClient(&http.Client{Transport: &memory{answer: func(r *http.Request) *http.Response {
			if r.URL.Path == "/auth/token" {
				return reply(200, golden(t, "auth.token/sample.json"))
			}
			return reply(200, golden(t, "identity.link/sample.json"))
		}}}),
		WithHooks(Hooks{
			AttemptEnd: func(_ context.Context, a Attempt) {
				if a.Operation == tokenExchange.name && !ended {
					ended = true
					runtime.Goexit()
				}
			},
			TokenRenewal: func(_ context.Context, r TokenRenewal) { told = append(told, r) },
		}),
	)
	require.NoError(t, err)
	_, err = c.Identity.Link(t.Context(), bankLink)
	require.Equal(t, tokenExchange.name, asError(t, err).Operation)
	require.Len(t, told, 1)
	require.Contains(t, told[0].Failure, "did not end well")
}
