package proof

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

var errShutdown = errors.New("words of the caller's own")

// blocked is a body that comes only when the request's context has ended.
type blocked struct{ ctx context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, context.Cause(b.ctx) // as net/http does
}

// endPlaces are the places of a call in which the caller's context can end. Each answers a request.
var endPlaces = map[string]func(r *http.Request) (*http.Response, error){
	"before the call": nil,
	"in the request": func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	},
	"in the body": func(r *http.Request) (*http.Response, error) {
		resp := reply(200, "")
		resp.ContentLength = 1000
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"data":[`), blocked{r.Context()}))
		return resp, nil
	},
	"in a wait after a 503": func(*http.Request) (*http.Response, error) {
		return reply(503, "", "Retry-After", "50"), nil
	},
	"in a wait after a 429": func(*http.Request) (*http.Response, error) {
		return reply(429, "", "Retry-After", "50"), nil
	},
}

// contextEnds are the ways in which a caller's context ends, with what the error says and matches.
var contextEnds = map[string]struct {
	end   func(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc)
	says  string
	match []error
}{
	"canceled": {func(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(after, cancel)
		return ctx, cancel
	}, "canceled by the caller", []error{context.Canceled}},
	"canceled with a cause": {func(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(after, func() { cancel(errShutdown) })
		return ctx, func() { cancel(nil) }
	}, "canceled by the caller", []error{context.Canceled, errShutdown}},
	"a deadline": {context.WithTimeout, "the caller's deadline has passed", []error{context.DeadlineExceeded}},
	"a deadline with a cause": {func(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, after, errShutdown)
	}, "the caller's deadline has passed", []error{context.DeadlineExceeded, errShutdown}},
}

// Wherever the caller's context ends, the error says that it was the caller, and matches the
// context's error and its cause. A wait that would outlast the deadline is not started, so the
// deadline has no cause yet.
func TestTheCallersEnd(t *testing.T) {
	for place, answer := range endPlaces {
		for how, end := range contextEnds {
			for _, op := range operations.All {
				waits := strings.Contains(place, "wait")
				if waits && (op.Name == operations.Exchange || op.Repeat == operations.OnlyRefused) {
					continue // the exchange serves others, too, and such a write is not repeated after a 503
				}
				t.Run(place+"/"+how+"/"+op.Name, func(t *testing.T) {
					says, match := end.says, end.match
					if waits && strings.Contains(how, "deadline") {
						says, match = "the caller's deadline comes first", match[:1]
					}
					synctest.Test(t, func(t *testing.T) { checkCallersEnd(t, op, answer, end.end, says, match) })
				})
			}
		}
	}
}

func checkCallersEnd(
	t *testing.T, op operations.Operation, answer func(*http.Request) (*http.Response, error),
	end func(context.Context, time.Duration) (context.Context, context.CancelFunc), says string, match []error,
) {
	requests := 0
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		requests++
		return answer(r)
	})
	c := clientOf(t, "http://127.0.0.1", op, &http.Client{Transport: transport})
	ctx, cancel := end(t.Context(), time.Second)
	defer cancel()
	if answer == nil {
		time.Sleep(2 * time.Second)
	}
	err := op.Call(ctx, c)
	for _, target := range match {
		require.ErrorIs(t, err, target)
	}
	require.NotErrorIs(t, err, duolink.ErrTimeout)
	require.Contains(t, err.Error(), says)
	for _, blame := range []string{"connection failed", "broke off", errShutdown.Error()} {
		require.NotContains(t, err.Error(), blame)
	}
	oneLine(t, err)
	if answer == nil {
		require.Zero(t, requests)
		require.Equal(t, duolink.OutcomeNotSent, asError(t, err).Outcome)
	}
	time.Sleep(5 * time.Minute) // an exchange goes on for two minutes
}

// A context that has ended comes before a limit that would have made the call wait, and a limit
// comes before a deadline that is too early for it.
func TestTheCallersEndBeforeALimit(t *testing.T) {
	for _, op := range operations.Methods {
		t.Run(op.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clientOf(t, "http://127.0.0.1", op, &http.Client{Transport: roundTrip(
					func(*http.Request) (*http.Response, error) { return reply(429, "", "Retry-After", "3000"), nil },
				)})
				kindIs(t, op.Call(t.Context(), c), duolink.ErrRateLimited)
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(errShutdown)
				err := op.Call(ctx, c)
				require.NotErrorIs(t, err, duolink.ErrRateLimited)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, errShutdown)

				late, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				err = op.Call(late, c)
				require.ErrorIs(t, err, duolink.ErrRateLimited)
			})
		})
	}
}

// An attempt's own end is not the caller's, wherever it comes. Neither is that of an http.Client.
func TestTheAttemptsEnd(t *testing.T) {
	for _, place := range []string{"in the request", "in the body"} {
		for _, timeout := range []string{"Retry.AttemptTimeout", "http.Client"} {
			for _, op := range operations.Methods {
				t.Run(place+"/"+timeout+"/"+op.Name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						client := &http.Client{Transport: roundTrip(endPlaces[place])}
						says := "no whole answer within " + op.Timeout.String()
						if timeout == "http.Client" {
							client.Timeout, says = time.Second, "no whole answer within the http.Client's Timeout"
						}
						c := clientOf(t, "http://127.0.0.1", op, client)
						err := op.Call(t.Context(), c, duolink.WithoutRetry())
						kindIs(t, err, duolink.ErrTimeout)
						require.NotErrorIs(t, err, context.DeadlineExceeded)
						require.NotErrorIs(t, err, context.Canceled)
						require.Contains(t, err.Error(), says)
						require.Equal(t, duolink.ActionRetry, asError(t, err).Action())
					})
				})
			}
		}
	}
}

// The flows say whose end it was, once, and match the cause, too.
func TestTheCallersEndInFlows(t *testing.T) {
	flows := map[string]func(context.Context, *duolink.Client) error{
		"links.await": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Links.Await(ctx, "dsll_1", duolink.AwaitOptions{})
			return err
		},
		"links.create_once": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Links.CreateOnce(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
			return err
		},
		"identity.refresh_and_get": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Identity.RefreshAndGet(ctx, "mk_1", duolink.RefreshOptions{})
			return err
		},
		"auth.refresh_and_numbers": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, "mk_1", duolink.RefreshOptions{})
			return err
		},
	}
	for name, flow := range flows {
		for how, end := range contextEnds {
			for place, after := range map[string]time.Duration{"before the call": 0, "in the request": time.Second} {
				t.Run(name+"/"+how+"/"+place, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c := clientOf(t, "http://127.0.0.1", operations.Named("links.get"),
							&http.Client{Transport: roundTrip(endPlaces["in the request"])})
						ctx, cancel := end.end(t.Context(), after)
						defer cancel()
						if after == 0 {
							time.Sleep(time.Nanosecond)
						}
						err := flow(ctx, c)
						for _, target := range end.match {
							require.ErrorIs(t, err, target)
						}
						require.Equal(t, name, asError(t, err).Operation)
						require.Equal(t, 1, strings.Count(err.Error(), end.says), err.Error())
						require.NotContains(t, err.Error(), errShutdown.Error())
						time.Sleep(2 * time.Hour)
					})
				})
			}
		}
	}
}
