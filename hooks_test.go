package duolink

import (
	"bytes"
	"context"

	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// diary writes down what the hooks are told, in order.
type diary struct {
	mu       sync.Mutex
	lines    []string
	starts   []Attempt
	ends     []Attempt
	waits    []Wait
	cooling  []Cooldown
	renewals []TokenRenewal
	lost     []Abandoned
}

func (d *diary) hooks() Hooks {
	return Hooks{
		AttemptStart: func(_ context.Context, a Attempt) {
			d.note(func() { d.starts = append(d.starts, a) }, "start %s %d", a.Operation, a.Number)
		},
		AttemptEnd: func(_ context.Context, a Attempt) {
			d.note(func() { d.ends = append(d.ends, a) }, "end %s %d: %d %s", a.Operation, a.Number, a.Status, a.Failure)
		},
		Wait: func(_ context.Context, w Wait) {
			d.note(func() { d.waits = append(d.waits, w) }, "wait %s before %d: %s", w.Operation, w.Attempt, w.Reason)
		},
		Cooldown: func(_ context.Context, c Cooldown) {
			d.note(func() { d.cooling = append(d.cooling, c) }, "cooldown %s %v", c.Operation, c.Duration)
		},
		TokenRenewal: func(_ context.Context, r TokenRenewal) {
			d.note(func() { d.renewals = append(d.renewals, r) }, "renewal: %d %s", r.Status, r.Failure)
		},
		Abandoned: func(_ context.Context, a Abandoned) {
			d.note(func() { d.lost = append(d.lost, a) }, "abandoned %s after %v", a.Operation, a.After)
		},
	}
}

// abandoned is what was told so far of runs that nobody waited for.
func (d *diary) abandoned() []Abandoned {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lost)
}

func (d *diary) note(keep func(), format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keep()
	d.lines = append(d.lines, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// unavailable is a 503 in the vendor's words, after a while.
func unavailable(after time.Duration, header http.Header) sandbox.Fault {
	header.Set("X-Request-Id", "req-503")
	return sandbox.Fault{Status: 503, Delay: after, Header: header, Body: `{"error":{"code":"SERVICE_UNAVAILABLE","message":"Later"}}`}
}

// One call that meets everything: what the hooks are told of it, in which order, and that the Response tells the same.
func TestHooksTellTheStory(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 9})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(
			sandbox.Fault{Drop: sandbox.DropBefore, Delay: 2 * time.Second},
			unavailable(250*time.Millisecond, http.Header{}),
			unavailable(time.Second, http.Header{"Retry-After": {"7"}}),
			sandbox.Fault{Truncate: 20, Delay: 2 * time.Second}, // so that the pace after the 503 asks for no wait
			sandbox.Fault{Stall: true},
			sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"20"}}}, // last: it is paced from then on
			sandbox.Fault{Delay: 3 * time.Second},
		)
		var r Response
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.NoError(t, err)
		require.Zero(t, s.Pending())

		require.Equal(t, []string{
			"start links.get 1", "end links.get 1: 0 connection failed", "wait links.get before 2: backoff",
			"start links.get 2", "end links.get 2: 503 server error", "wait links.get before 3: backoff",
			"start links.get 3", "cooldown links.get 7s", "end links.get 3: 503 server error", "wait links.get before 4: retry-after",
			"start links.get 4", "end links.get 4: 200 the answer broke off", "wait links.get before 5: backoff",
			"start links.get 5", "end links.get 5: 200 deadline exceeded", "wait links.get before 6: backoff",
			"start links.get 6", "cooldown links.get 20s", "end links.get 6: 429 rate limited", "wait links.get before 7: cooldown",
			"start links.get 7", "end links.get 7: 200",
		}, d.lines)

		require.Len(t, d.ends, 7)
		for i, a := range d.ends {
			require.Equal(t, Supermetrics, a.API)
			require.Equal(t, "/ds/login/link/{loginLinkID}", a.Route)
			require.Equal(t, i+1, a.Number)
			require.Equal(t, Attempt{API: a.API, Operation: a.Operation, Route: a.Route, Number: a.Number, Wait: a.Wait}, d.starts[i],
				"the start knows the number and the wait, and nothing of the end")
		}
		require.Empty(t, d.ends[0].Code)
		require.Empty(t, d.ends[0].RequestID)
		require.Equal(t, CodeServiceUnavailable, d.ends[1].Code)
		require.Equal(t, "req-503", d.ends[1].RequestID)
		require.NotEmpty(t, d.ends[6].RequestID)
		require.Equal(t, r.RequestID, d.ends[6].RequestID)

		// Durations, to the nanosecond.
		for i, want := range []time.Duration{2 * time.Second, 250 * time.Millisecond, time.Second, 2 * time.Second, 30 * time.Second, 0, 3 * time.Second} {
			require.Equal(t, want, d.ends[i].Duration, "attempt %d", i+1)
		}
		require.Zero(t, d.ends[0].Wait)
		for i, w := range d.waits {
			require.Equal(t, d.ends[w.Attempt-1].Wait, w.Duration, "wait %d was as long as was said", i+1)
			require.Equal(t, "/ds/login/link/{loginLinkID}", w.Route)
			require.Equal(t, Supermetrics, w.API)
		}
		require.GreaterOrEqual(t, d.waits[2].Duration, 7*time.Second)
		require.Equal(t, 20*time.Second, d.waits[5].Duration)
		cooldown := Cooldown{API: Supermetrics, Operation: "links.get", Route: "/ds/login/link/{loginLinkID}", Duration: 7 * time.Second}
		refused := cooldown
		refused.Duration = 20 * time.Second
		require.Equal(t, []Cooldown{cooldown, refused}, d.cooling)

		require.Equal(t, d.ends, r.Attempts, "the Response tells the same")
	})
}

// A call that fails, also before anything is sent, has its history in the Response too.
func TestResponseTellsTheSame(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 3})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var r Response
		s.Script(sandbox.Fault{Status: 502, Times: -1})
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrServer)
		require.Equal(t, 3, asError(t, err).Attempts)
		require.Len(t, d.ends, 3)
		require.Equal(t, d.ends, r.Attempts)
		require.Equal(t, 502, r.Status)

		s.ClearScript()
		s.Script(sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, d.ends[3:], r.Attempts)

		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Empty(t, r.Attempts)
		require.Len(t, d.ends, 4, "nothing was sent")
	})
}

// Hooks get the caller's context.
func TestHooksHaveTheContext(t *testing.T) {
	type key struct{}
	var seen []any
	see := func(ctx context.Context) { seen = append(seen, ctx.Value(key{})) }
	hooks := Hooks{
		AttemptStart: func(ctx context.Context, _ Attempt) { see(ctx) },
		AttemptEnd:   func(ctx context.Context, _ Attempt) { see(ctx) },
		Wait:         func(ctx context.Context, _ Wait) { see(ctx) },
		Cooldown:     func(ctx context.Context, _ Cooldown) { see(ctx) },
		TokenRenewal: func(ctx context.Context, _ TokenRenewal) { see(ctx) },
	}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.link", Status: 503}, sandbox.Fault{Operation: "identity.link", Status: 429, Header: http.Header{"Retry-After": {"1"}}})
		require.NoError(t, getBankLink(context.WithValue(t.Context(), key{}, "caller"), c))
		require.Equal(t, slices.Repeat([]any{"caller"}, 2+1+3*2+1+2), seen, "exchange, renewal, three attempts, a cooldown, two waits")
	})
}

// A wait for the pace of a reopened group is told as any other, whoever waits: nobody stands still unseen.
func TestPaceIsTold(t *testing.T) {
	for name, callers := range map[string]int{"one caller": 1, "three callers": 3} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			inBubble(t, nil, []Option{WithHooks(d.hooks()), WithRetry(Retry{MaxWait: time.Hour})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				require.NoError(t, getLink(t.Context(), c))
				s.Script(sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"10"}}})
				for range 4 {
					atOnce(t, callers, func() error { return getLink(t.Context(), c) })
				}
				require.Equal(t, time.Second*10, d.cooling[0].Duration)
				paced := 0
				for _, w := range d.waits {
					if w.Reason == WaitReasonPace {
						paced++
						require.Positive(t, w.Duration)
					}
				}
				stood := 0
				for _, a := range d.starts {
					if a.Wait > 0 {
						stood++
					}
				}
				require.Positive(t, stood)
				require.Positive(t, paced, "%d attempts were held up, none of them for the pace", stood)
				require.GreaterOrEqual(t, len(d.waits), stood, "each attempt that was held up was told of")
			})
		})
	}
}

func TestTokenRenewalIsTold(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 1})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		unauthorized := `{"error_code":"api_error.auth.unauthorized","error_message":"The client credentials are not valid"}`
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: time.Second, Status: 400, Body: unauthorized})
		require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized)
		require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized, "of the same exchange, which is told once")
		time.Sleep(flight.LongestHold)
		s.Script(sandbox.Fault{Operation: "auth.token", Drop: sandbox.DropAfter})
		require.Error(t, getBankLink(t.Context(), c))
		time.Sleep(flight.LongestHold)
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: 2 * time.Second})
		require.NoError(t, getBankLink(t.Context(), c))
		require.NoError(t, getBankLink(t.Context(), c), "with the token that is there")
		require.Equal(t, []TokenRenewal{
			{API: MoneyKit, Duration: time.Second, Status: 400, Code: CodeAuthUnauthorized, Failure: "unauthorized"},
			{API: MoneyKit, Failure: "connection failed"},
			{API: MoneyKit, Duration: 2 * time.Second},
		}, d.renewals)
	})
	d = &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		require.NoError(t, getBankLink(t.Context(), c))
		s.ExpireTokens()
		require.NoError(t, getBankLink(t.Context(), c))
		require.Equal(t, []string{
			"start auth.token 1", "end auth.token 1: 201", "renewal: 0",
			"start identity.link 1", "end identity.link 1: 200",
			"start identity.link 1", "end identity.link 1: 401 unauthorized",
			"start auth.token 1", "end auth.token 1: 201", "renewal: 0",
			"start identity.link 2", "end identity.link 2: 200",
		}, d.lines)
	})
}

// A renewal is told once, also when the call that began it has been given up.
func TestTokenRenewalOfOthersIsTold(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "auth.token", Delay: time.Second})
		var wg sync.WaitGroup
		wg.Go(func() { _ = until(10*time.Millisecond, getBankLink)(context.Background(), c) })
		synctest.Wait()
		for range 10 {
			wg.Go(func() { _ = getBankLink(context.Background(), c) })
		}
		wg.Wait()
		require.Equal(t, 1, s.TokensIssued())
		require.Equal(t, []TokenRenewal{{API: MoneyKit, Duration: time.Second}}, d.renewals)
	})
}

// someHooks are clients' hooks, each with one of them alone.
func someHooks(all Hooks) map[string]Hooks {
	return map[string]Hooks{
		"none":         {},
		"AttemptStart": {AttemptStart: all.AttemptStart},
		"AttemptEnd":   {AttemptEnd: all.AttemptEnd},
		"Wait":         {Wait: all.Wait},
		"Cooldown":     {Cooldown: all.Cooldown},
		"TokenRenewal": {TokenRenewal: all.TokenRenewal},
	}
}

// trouble is a script in which every hook is called, by a call of identity.link.
func trouble() []sandbox.Fault {
	return []sandbox.Fault{
		{Operation: "identity.link", Status: 503},
		{Operation: "identity.link", Status: 429, Header: http.Header{"Retry-After": {"1"}}},
		{Operation: "identity.link", Drop: sandbox.DropBefore},
		expired("identity.link"),
	}
}

func TestAnyHookMayBeNil(t *testing.T) {
	d := &diary{}
	for name, hooks := range someHooks(d.hooks()) {
		t.Run(name, func(t *testing.T) {
			d.lines = nil
			inBubble(t, nil, []Option{WithHooks(hooks), WithRetry(Retry{MaxAttempts: 9})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(trouble()...)
				require.NoError(t, getBankLink(t.Context(), c))
				require.Zero(t, s.Pending())
			})
			require.Equal(t, name == "none", len(d.lines) == 0)
		})
	}
}

// A panic in a hook is the caller's. It leaves nothing locked and nothing open: the next call of the same limit group goes.
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
		"AttemptStart":              {Hooks{AttemptStart: func(_ context.Context, a Attempt) { link(a.Operation) }}, nil},
		"AttemptEnd":                {Hooks{AttemptEnd: func(_ context.Context, a Attempt) { link(a.Operation) }}, nil},
		"AttemptEnd of a failure":   {Hooks{AttemptEnd: func(_ context.Context, a Attempt) { link(a.Operation) }}, []sandbox.Fault{{Operation: "identity.link", Drop: sandbox.DropAfter}}},
		"AttemptEnd of a refusal":   {Hooks{AttemptEnd: func(_ context.Context, a Attempt) { link(a.Operation) }}, []sandbox.Fault{limited}},
		"Wait, backoff":             {Hooks{Wait: func(_ context.Context, w Wait) { link(w.Operation) }}, []sandbox.Fault{{Operation: "identity.link", Status: 503}}},
		"Wait, cooldown":            {Hooks{Wait: func(_ context.Context, w Wait) { link(w.Operation) }}, []sandbox.Fault{limited}},
		"Cooldown":                  {Hooks{Cooldown: func(_ context.Context, c Cooldown) { link(c.Operation) }}, []sandbox.Fault{limited}},
		"TokenRenewal":              {Hooks{TokenRenewal: func(context.Context, TokenRenewal) { disarm() }}, nil},
		"TokenRenewal of a failure": {Hooks{TokenRenewal: func(context.Context, TokenRenewal) { disarm() }}, []sandbox.Fault{{Operation: "auth.token", Status: 401}}},
		"exchange, AttemptStart":    {Hooks{AttemptStart: func(_ context.Context, a Attempt) { token(a.Operation) }}, nil},
		"exchange, AttemptEnd":      {Hooks{AttemptEnd: func(_ context.Context, a Attempt) { token(a.Operation) }}, nil},
		"exchange, Wait":            {Hooks{Wait: func(_ context.Context, w Wait) { token(w.Operation) }}, []sandbox.Fault{{Operation: "auth.token", Status: 503}}},
		"exchange, Cooldown":        {Hooks{Cooldown: func(_ context.Context, c Cooldown) { token(c.Operation) }}, []sandbox.Fault{{Operation: "auth.token", Status: 429}}},
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
					for range 20 { // so that the group, once refused, is paced at twenty a second and not at the slowest rate
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

// Two hundred callers wait for a token when a hook panics: one of them has the panic, all of them return.
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

// Without a logger nothing is written anywhere, whatever happens.
func TestSilentByDefault(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var logged bytes.Buffer
	stderr, stdout, standard, flags := os.Stderr, os.Stdout, slog.Default(), log.Flags()
	defer func() {
		os.Stderr, os.Stdout = stderr, stdout
		slog.SetDefault(standard)
		log.SetOutput(stderr)
		log.SetFlags(flags)
	}()
	os.Stderr, os.Stdout = file, file
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.SetOutput(&logged)
	inBubble(t, nil, []Option{WithRetry(Retry{MaxAttempts: 9})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		everything(t, c, s)
	})
	info, err := file.Stat()
	require.NoError(t, err)
	require.Zero(t, info.Size())
	require.Empty(t, logged.String())
}

// everything is calls of all services with everything that can happen to them.
func everything(t *testing.T, c *Client, s *sandbox.Sandbox) {
	t.Helper()
	s.Script(sandbox.Fault{Operation: "auth.token", Status: 500})
	s.Script(trouble()...)
	require.NoError(t, getBankLink(t.Context(), c))
	for name, row := range rows {
		operation := operationOf(name)
		s.Script(sandbox.Fault{Operation: operation, Truncate: 10}, sandbox.Fault{Operation: operation, Status: 429})
		_ = row.Call(t.Context(), c)
		s.ClearScript()
		// The server quotes what it was sent, wherever it can.
		for _, secret := range confidentialIn(s, operation) {
			s.Script(sandbox.Fault{
				Operation: operation, Status: 400, Header: http.Header{"X-Request-Id": {secret}},
				Body: fmt.Sprintf(`{"error":{"code":%q,"message":"%s %s"},"meta":{"request_id":%q}}`, secret, secret, secret, secret),
			})
			_ = row.Call(t.Context(), c)
			s.ClearScript()
		}
	}
	_, err := c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA", Users: []string{sandbox.RequiredUsername}})
	require.NoError(t, err)
	_, err = c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{AccountIDs: []string{sandbox.JointAccountID}})
	require.NoError(t, err)
	_, err = c.Links.Get(t.Context(), "dsll_none")
	require.ErrorIs(t, err, ErrNotFound)
	s.Script(sandbox.Fault{Operation: "auth.token", Status: 401})
	s.ExpireTokens()
	require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized)
	require.ErrorIs(t, until(0, func(ctx context.Context, c *Client) error { <-ctx.Done(); return getLink(ctx, c) })(t.Context(), c), context.Canceled)
}

// confidentialTexts are what the calls of everything hand in.
func confidentialTexts() []string {
	all := []string{sandbox.APIKey}
	for _, row := range rows {
		all = append(all, row.Private...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// confidentialIn are those of them that the latest request of an operation had in it, and its bearer token.
func confidentialIn(s *sandbox.Sandbox, operation string) (found []string) {
	for _, r := range slices.Backward(s.Requests()) {
		if r.Operation != operation {
			continue
		}
		text := fmt.Sprint(r.Path, r.RawQuery, r.Header, string(r.Body))
		for _, secret := range confidentialTexts() {
			if strings.Contains(text, secret) {
				found = append(found, secret)
			}
		}
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			found = append(found, token)
		}
		return found
	}
	return nil
}

// recordKeeper is a slog.Handler that keeps every record.
type recordKeeper struct {
	mu      *sync.Mutex
	records *[]slog.Record
}

func (recordKeeper) Enabled(context.Context, slog.Level) bool { return true }
func (k recordKeeper) WithAttrs([]slog.Attr) slog.Handler {
	panic("nobody adds attributes for all records")
}
func (k recordKeeper) WithGroup(string) slog.Handler { panic("nobody groups") }
func (k recordKeeper) Handle(_ context.Context, r slog.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	*k.records = append(*k.records, r.Clone())
	return nil
}

func keepRecords() (*slog.Logger, *[]slog.Record) {
	records := &[]slog.Record{}
	return slog.New(recordKeeper{&sync.Mutex{}, records}), records
}

// What is logged is on a list, by level and key, and nothing that was handed in is in it.
func TestLoggerKeepsToTheList(t *testing.T) {
	logger, records := keepRecords()
	inBubble(t, nil, []Option{WithLogger(logger), WithRetry(Retry{MaxAttempts: 9})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		everything(t, c, s)
	})
	type kind struct {
		level   slog.Level
		message string
	}
	seen := map[kind][]string{}
	for _, r := range *records {
		var keys []string
		r.Attrs(func(a slog.Attr) bool {
			keys = append(keys, a.Key)
			require.Contains(t, []slog.Kind{slog.KindString, slog.KindInt64, slog.KindDuration}, a.Value.Kind(), "%s: nothing that formats itself", a.Key)
			for _, secret := range append(confidentialTexts(), "mk_token_sandbox_") {
				require.NotContains(t, a.Value.String(), secret, "%s: %s", r.Message, a.Key)
			}
			return true
		})
		k := kind{r.Level, r.Message}
		slices.Sort(keys)
		if had, ok := seen[k]; ok {
			require.Equal(t, had, keys, "%s has the same keys each time", r.Message)
		}
		seen[k] = keys
	}
	require.Equal(t, map[kind][]string{
		{slog.LevelDebug, "duolink: attempt"}:       {"api", "attempt", "code", "duration", "failure", "operation", "request_id", "route", "status"},
		{slog.LevelWarn, "duolink: wait"}:           {"api", "attempt", "operation", "reason", "route", "wait"},
		{slog.LevelWarn, "duolink: cooldown"}:       {"api", "operation", "route", "wait"},
		{slog.LevelDebug, "duolink: token renewal"}: {"api", "code", "duration", "failure", "status"},
	}, seen)
}

// One record for each attempt, wait, cooldown and renewal, with what the hooks are told.
func TestLoggerTellsWhatHooksTell(t *testing.T) {
	logger, records := keepRecords()
	d := &diary{}
	inBubble(t, nil, []Option{WithLogger(logger), WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 9})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(trouble()...)
		require.NoError(t, getBankLink(t.Context(), c))
	})
	var lines []string
	for _, r := range *records {
		a := map[string]slog.Value{}
		r.Attrs(func(attr slog.Attr) bool { a[attr.Key] = attr.Value; return true })
		var line string
		switch r.Message {
		case "duolink: attempt":
			line = fmt.Sprintf("end %s %s: %s %s", a["operation"], a["attempt"], a["status"], a["failure"])
		case "duolink: wait":
			line = fmt.Sprintf("wait %s before %s: %s", a["operation"], a["attempt"], a["reason"])
		case "duolink: cooldown":
			line = fmt.Sprintf("cooldown %s %s", a["operation"], a["wait"])
		case "duolink: token renewal":
			line = fmt.Sprintf("renewal: %s %s", a["status"], a["failure"])
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	want := slices.DeleteFunc(slices.Clone(d.lines), func(line string) bool { return strings.HasPrefix(line, "start") })
	require.Equal(t, want, lines)
}

// A server may hand back in a header what it was sent; that is printed no more than any other secret.
func TestEchoedRequestIDs(t *testing.T) {
	for _, secret := range []string{sandbox.APIKey, sandbox.OpenLoginLinkID} {
		logger, records := keepRecords()
		d := &diary{}
		inBubble(t, nil, []Option{WithLogger(logger), WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			body := fmt.Sprintf(`{"meta":{"request_id":%q},"data":{"link_id":"dsll_1"}}`, secret)
			s.Script(sandbox.Fault{Body: body, Header: http.Header{"X-Request-Id": {secret}}})
			var r Response
			_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
			require.NoError(t, err)
			require.NotContains(t, fmt.Sprint(r), secret)
			require.NotContains(t, d.ends[0].RequestID, secret)
			for _, record := range *records {
				record.Attrs(func(a slog.Attr) bool {
					require.NotContains(t, a.Value.String(), secret, a.Key)
					return true
				})
			}
		})
	}
}

// A hook may use the client, also the one that is told of a failed exchange.
func TestTokenRenewalHookThatCalls(t *testing.T) {
	var c *Client
	calls := 0
	hooks := Hooks{TokenRenewal: func(ctx context.Context, r TokenRenewal) {
		if calls++; calls == 1 {
			require.ErrorIs(t, getBankLink(ctx, c), ErrUnauthorized)
		}
	}}
	inBubble(t, nil, []Option{WithHooks(hooks)}, func(t *testing.T, client *Client, s *sandbox.Sandbox) {
		c = client
		s.Script(sandbox.Fault{Operation: "auth.token", Status: 401, Body: nativeBody("api_error.auth.unauthorized"), Times: -1})
		require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized)
		require.Equal(t, 1, calls)
	})
}
