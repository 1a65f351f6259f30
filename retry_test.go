package duolink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// refusal is a scripted 429.
func refusal(retryAfter string, times int) sandbox.Fault {
	h := http.Header{}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return sandbox.Fault{Status: 429, Header: h, Body: `{"error":"rate limited"}`, Times: times}
}

// times are when the sandbox saw requests, since the given instant.
func times(s *sandbox.Sandbox, since time.Time) []time.Duration {
	var all []time.Duration
	for _, r := range s.Requests() {
		all = append(all, r.Time.Sub(since))
	}
	return all
}

func TestBackoff(t *testing.T) {
	opts := []Option{WithRetry(Retry{MaxAttempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute})}
	inBubble(t, nil, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Status: 502, Times: -1})
		began := time.Now()
		var resp Response
		_, err := c.Links.Get(t.Context(), "dsll_1", WithResponse(&resp))
		require.ErrorIs(t, err, ErrServer)
		e, _ := errors.AsType[*Error](err)
		require.Equal(t, 3, e.Attempts)
		require.Len(t, resp.Attempts, 3)
		require.Equal(t, 3, s.Count("links.get"))
		require.LessOrEqual(t, resp.Attempts[1].Wait, time.Second, "full jitter: at most the bound")
		require.LessOrEqual(t, resp.Attempts[2].Wait, 2*time.Second)
		waits := resp.Attempts[1].Wait + resp.Attempts[2].Wait
		require.Equal(t, time.Since(began), waits, "nothing but the two waits takes time")
	})
}

// A backoff keeps to MinBackoff, MaxBackoff and MaxWait.
func TestBackoffBounds(t *testing.T) {
	usual := Retry{MinBackoff: 500 * time.Millisecond, MaxBackoff: 15 * time.Second, MaxWait: time.Minute}
	hurried := Retry{MinBackoff: time.Second, MaxBackoff: time.Minute, MaxWait: 3 * time.Second}
	for _, tc := range []struct {
		retry    Retry
		attempts int
		bound    time.Duration
	}{
		{usual, 1, usual.MinBackoff}, {usual, 5, 8 * time.Second}, {usual, 6, usual.MaxBackoff},
		{hurried, 2, 2 * time.Second}, {hurried, 3, hurried.MaxWait}, {hurried, 30, hurried.MaxWait},
	} {
		largest := time.Duration(0)
		for range 2000 {
			wait := tc.retry.backoff(tc.attempts)
			require.Less(t, wait, tc.bound)
			largest = max(largest, wait)
		}
		require.Greater(t, largest, tc.bound/10*9, "%v, %d: the whole range is used", tc.retry, tc.attempts)
	}
}

// A Retry-After within MaxWait is waited for exactly, to the nanosecond.
func TestRetryAfterIsWaitedFor(t *testing.T) {
	inAnHour := func(layout string) func(time.Time) string {
		return func(now time.Time) string { return now.Add(time.Hour).UTC().Format(layout) }
	}
	for name, tc := range map[string]struct {
		value func(now time.Time) string
		want  time.Duration
	}{
		"an hour":            {func(time.Time) string { return "3600" }, time.Hour},
		"padded":             {func(time.Time) string { return " \t90 " }, 90 * time.Second},
		"HTTP-date":          {inAnHour(http.TimeFormat), time.Hour},
		"HTTP-date, RFC 850": {inAnHour("Monday, 02-Jan-06 15:04:05 GMT"), time.Hour},
		"HTTP-date, asctime": {inAnHour(time.ANSIC), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			opts := []Option{WithRetry(Retry{MaxWait: 2 * time.Hour})}
			inBubble(t, nil, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				began := time.Now()
				s.Script(refusal(tc.value(began), 1))
				_, err := c.Links.Get(t.Context(), "dsll_1")
				require.NoError(t, err)
				require.Equal(t, []time.Duration{0, tc.want}, times(s, began))
			})
		})
	}
}

// A 503 that names a time closes the limit group until then. The call itself comes back a little
// later, so that not all come at once.
func TestRetryAfterOf503(t *testing.T) {
	opts := []Option{WithRetry(Retry{MaxWait: 2 * time.Hour, MinBackoff: time.Second})}
	inBubble(t, nil, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		began := time.Now()
		s.Script(sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"3600"}}})
		_, err := c.Links.Close(t.Context(), "dsll_1")
		require.NoError(t, err)
		at := times(s, began)
		require.Len(t, at, 2)
		require.GreaterOrEqual(t, at[1], time.Hour)
		require.Less(t, at[1], time.Hour+time.Second)
	})
}

// A wait that is too long is not started: the error comes at virtual time 0, and says how long the
// wait would be.
func TestRetryAfterTooLong(t *testing.T) {
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		value    string
		maxWait  time.Duration
		deadline time.Duration
		want     time.Duration
	}{
		"beyond the deadline":   {"3600", 2 * time.Hour, 30 * time.Second, time.Hour},
		"beyond MaxWait":        {"61", 0, 0, 61 * time.Second},
		"the year 2099":         {"Thu, 01 Jan 2099 00:00:00 GMT", 0, 0, day},
		"overflows nanoseconds": {"9223372037", 0, 0, day},
		"more than a day":       {"86401", 0, 0, day},
		"without an end":        {"99999999999999999999", 0, 0, day},
	} {
		t.Run(name, func(t *testing.T) {
			opts := []Option{WithRetry(Retry{MaxWait: tc.maxWait})}
			inBubble(t, nil, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				began, ctx := time.Now(), t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				s.Script(refusal(tc.value, 1))
				_, err := c.Links.Get(ctx, "dsll_1")
				require.Zero(t, time.Since(began))
				require.ErrorIs(t, err, ErrRateLimited)
				e, _ := errors.AsType[*Error](err)
				require.Equal(t, tc.want, e.RetryAfter)
				require.Equal(t, tc.deadline > 0, errors.Is(err, context.DeadlineExceeded))
				require.Equal(t, OutcomeRejected, e.Outcome)

				// The next call is not sent at all.
				_, err = c.Links.List(ctx)
				require.ErrorIs(t, err, ErrRateLimited)
				e, _ = errors.AsType[*Error](err)
				require.Equal(t, tc.want, e.RetryAfter)
				require.Equal(t, OutcomeNotSent, e.Outcome)
				require.Zero(t, e.StatusCode)
				require.Zero(t, time.Since(began))
				require.Len(t, s.Requests(), 1)
			})
		})
	}
}

// A Retry-After of more than a day is believed for a day. Then the server is asked again.
func TestRetryAfterForEver(t *testing.T) {
	for _, value := range []string{"99999999999999999999", "Thu, 01 Jan 2099 00:00:00 GMT"} {
		for _, status := range []int{429, 503} {
			opts := []Option{WithRetry(Retry{MaxWait: 25 * time.Hour})}
			inBubble(t, nil, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Status: status, Header: http.Header{"Retry-After": {value}}})
				began := time.Now()
				_, err := c.Links.List(t.Context())
				require.NoError(t, err)
				require.GreaterOrEqual(t, time.Since(began), 24*time.Hour)
				require.Less(t, time.Since(began), 24*time.Hour+time.Minute)
			})
		}
	}
}

// A call that is cancelled while it waits returns in the same instant, and both errors can be
// matched.
func TestCancelInMidWait(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"429": refusal("50", -1),
		"503": {Status: 503, Header: http.Header{"Retry-After": {"50"}}, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(fault)
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(20*time.Second, cancel)
				_, err := c.Links.Get(ctx, "dsll_1")
				require.Equal(t, 20*time.Second, time.Since(began))
				require.ErrorIs(t, err, context.Canceled)
				e, _ := errors.AsType[*Error](err)
				require.Equal(t, fault.Status, e.StatusCode)
				require.Equal(t, 50*time.Second, e.RetryAfter)
				require.Equal(t, 1, s.Count("links.get"))

				// So does a call that waits because another call was refused.
				if fault.Status == 429 {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(5*time.Second, cancel)
					_, err = c.Links.List(ctx)
					require.Equal(t, 25*time.Second, time.Since(began))
					require.ErrorIs(t, err, context.Canceled)
					require.ErrorIs(t, err, ErrRateLimited)
				}
			})
		})
	}
}

// After the time that a 5xx names, callers do not all come back at once. Each comes within
// MinBackoff, MaxWait and its context's deadline. If these leave no room, it comes at the exact
// time.
func TestJitterAfterRetryAfter(t *testing.T) {
	const named = 30 * time.Second
	for name, tc := range map[string]struct {
		minBackoff, maxWait, deadline time.Duration
		within                        time.Duration
	}{
		"MinBackoff":       {4 * time.Second, time.Hour, 0, 4 * time.Second},
		"MaxWait":          {10 * time.Second, named + 3*time.Second, 0, 3 * time.Second},
		"MaxWait, no room": {10 * time.Second, named, 0, 0},
		"the deadline":     {10 * time.Second, time.Hour, named + 2*time.Second, 2 * time.Second},
		"a later deadline": {4 * time.Second, time.Hour, time.Hour, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var later []time.Duration
				for range 100 {
					retry := WithRetry(Retry{MinBackoff: tc.minBackoff, MaxBackoff: time.Minute, MaxWait: tc.maxWait})
					c, s := inTurns(t, "links.get", []Option{retry}, replies(503, "", "Retry-After", "30"))
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if tc.deadline > 0 {
						ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					}
					_, err := c.Links.Get(ctx, "dsll_1")
					cancel()
					require.NoError(t, err)
					require.Len(t, s.at, 2)
					later = append(later, s.at[1]-named)
				}
				require.GreaterOrEqual(t, slices.Min(later), time.Duration(0))
				if tc.within == 0 {
					require.Zero(t, slices.Max(later))
					return
				}
				require.Less(t, slices.Max(later), tc.within)
				require.Greater(t, slices.Max(later), tc.within/2, "the room is used")
				require.Less(t, slices.Min(later), tc.within/2)
			})
		})
	}
}

// A wait may be as long as MaxWait. A wait that ends with the context's deadline is not started,
// because it is of no use.
func TestWaitsAtTheBound(t *testing.T) {
	const named = 30 * time.Second
	for name, tc := range map[string]struct {
		maxWait, deadline time.Duration
		sent              int
		inTime            bool // for the context
	}{
		"as long as MaxWait":           {named, 0, 2, true},
		"longer than MaxWait":          {named - 1, 0, 1, true},
		"until the deadline":           {time.Hour, named, 1, false},
		"beyond the deadline":          {time.Hour, named - 1, 1, false},
		"until before the deadline":    {time.Hour, named + 1, 2, true},
		"too long for both":            {named - 1, named, 1, false},
		"MaxWait, before the deadline": {named, named + 1, 2, true},
	} {
		for _, status := range []int{429, 500, 503, 408} {
			t.Run(fmt.Sprintf("%s/%d", name, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					opts := []Option{WithRetry(Retry{MaxWait: tc.maxWait})}
					c, s := inTurns(t, "links.get", opts, replies(status, "", "Retry-After", "30"))
					ctx := t.Context()
					if tc.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tc.deadline)
						defer cancel()
					}
					_, err := c.Links.Get(ctx, "dsll_1")
					require.Len(t, s.at, tc.sent)
					if tc.sent == 2 {
						require.NoError(t, err)
						require.GreaterOrEqual(t, s.at[1], named)
						return
					}
					require.Equal(t, status, asError(t, err).StatusCode)
					require.Equal(t, named, asError(t, err).RetryAfter)
					require.Equal(t, !tc.inTime, errors.Is(err, context.DeadlineExceeded))
					require.Zero(t, time.Since(s.began), "at once")
				})
			})
		}
	}
}

// If the answer of a good status cannot be used, its Retry-After is kept as well.
func TestRetryAfterOfAnAnswerOfNoUse(t *testing.T) {
	for name, tc := range map[string]struct {
		body io.Reader
		size int64
		sent int
	}{
		"it breaks off":     {io.MultiReader(strings.NewReader(`{"data":`), iotestErr{io.ErrUnexpectedEOF}), 100, 2},
		"it cannot be read": {strings.NewReader(`"x"`), 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				c := clientOf(t, "https://api.example.test", "",
					&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
						if at = append(at, time.Now()); len(at) > 1 {
							return reply(200, `{"data":[]}`), nil
						}
						header := http.Header{"Retry-After": {"30"}}
						return &http.Response{StatusCode: 200, ContentLength: tc.size, Header: header,
							Body: io.NopCloser(tc.body)}, nil
					})})
				_, err := c.Links.List(t.Context())
				require.Len(t, at, tc.sent)
				if tc.sent == 1 {
					require.Equal(t, 30*time.Second, asError(t, err).RetryAfter)
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, at[1].Sub(at[0]), 30*time.Second)
			})
		})
	}
}

// iotestErr is a body that ends with an error.
type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }
