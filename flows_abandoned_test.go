package duolink

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/stretchr/testify/require"
)

// If a run refuses to send a write, the transport does not get it, not even a transport that
// ignores the end of its context.
func TestWriteThatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, "") })
		ctx, cancel := context.WithCancel(t.Context())
		var refused []bool
		_, err := c.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA"}, func(o *callOptions) error {
			o.write = &flight.Write{
				Commit:   func() bool { cancel(); return false },
				Uncommit: func(r bool) { refused = append(refused, r) },
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Equal(t, 1, asError(t, err).Attempts)
		require.Equal(t, []bool{false}, refused)
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
		_, err = c.Links.CreateOnce(ctx, LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Hour)
		require.Equal(t, []Abandoned{{Supermetrics, "links.create_once", defaultGrace - time.Second}}, d.abandoned())
		require.Equal(t, 1, creates)
	})
}

// abandoning is a client of a server at which no link is made and no refresh ends, and the flows
// that callers give up there.
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
			_, err := c.Links.CreateOnce(ctx, LoginLinkCreate{DataSourceID: "GAWA"}, id)
			return err
		},
		func(ctx context.Context, id string) error {
			_, err := c.Identity.RefreshAndGet(ctx, id, RefreshOptions{})
			return err
		},
		func(ctx context.Context, id string) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, id, RefreshOptions{})
			return err
		},
	}
}

// Of all flows together, a hundred go on without callers. One more flow ends the flow that was left
// first, and the hook and the log tell it. A flow that somebody has come back to does not count.
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
			require.Equal(t, c.unattended.Len(), c.creates.Running()+c.refreshes.Running())
			return c.unattended.Len()
		}
		var names []string
		for i := range given {
			giveUp(i)
			names = append(names,
				[]string{"links.create_once", "identity.refresh_and_get", "auth.refresh_and_numbers"}[i%3])
			require.Equal(t, min(i+1, flight.MostUnattended), running())
			require.Len(t, d.abandoned(), max(0, i+1-flight.MostUnattended))
			if i == flight.MostUnattended-1 { // somebody comes back to the first, which is the last then
				giveUp(0)
				names = append(names[1:], names[0])
			}
		}
		time.Sleep(flight.LongestUnattended + time.Second)
		require.Zero(t, running())
		require.Len(t, d.abandoned(), given)
		for i, a := range d.abandoned() {
			api := MoneyKit
			if names[i] == "links.create_once" {
				api = Supermetrics
			}
			after := flight.MostUnattended * time.Second // as many were left after it, one each second
			if i >= given-flight.MostUnattended {
				after = flight.LongestUnattended
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
				time.Sleep(flight.LongestUnattended + time.Second)
				require.Equal(t, int32(1), told.Load())
				time.Sleep(2 * flight.LongestUnattended)
				require.Equal(t, int32(2), told.Load())
				noRuns(t, c)
			})
		})
	}
}
