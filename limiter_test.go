package duolink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// recordingLimiter notes what it is asked and told. It lets everything out, or nothing.
type recordingLimiter struct {
	groups  []string // their names
	asked   []Group
	answers []Answer
	told    []Group
	err     error
}

func (l *recordingLimiter) Wait(_ context.Context, group Group) error {
	l.groups, l.asked = append(l.groups, group.Name), append(l.asked, group)
	return l.err
}

func (l *recordingLimiter) Report(group Group, answer Answer) {
	l.told, l.answers = append(l.told, group), append(l.answers, answer)
}

// The client asks a caller's Limiter before each attempt, with a name that shows no id or
// credential, and tells it each answer.
func TestLimiter(t *testing.T) {
	l := &recordingLimiter{}
	inBubble(t, nil, []Option{WithLimiter(l)}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Status: 502})
		_, err := c.Links.Get(t.Context(), "dsll_1")
		require.NoError(t, err)
		require.Len(t, l.groups, 2)
		require.Equal(t, l.groups[0], l.groups[1])
		require.NotContains(t, l.groups[0], sandbox.APIKey)
		require.Equal(t, l.asked, l.told)
		require.Equal(t, []int{502, 200}, []int{l.answers[0].Status, l.answers[1].Status})

		l.err = errors.New("no room")
		_, err = c.Links.Get(t.Context(), "dsll_1")
		require.ErrorIs(t, err, l.err)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Equal(t, 2, s.Count(""))
		require.Len(t, l.told, 2, "nothing was let out")
	})
}

// What an answer says of each limit group of each operation.
func TestLimiterIsTold(t *testing.T) {
	later := errors.New("later")
	for name, tc := range map[string]struct {
		answer  func(*http.Request) (*http.Response, error)
		status  int
		outcome Outcome
		refused bool
		wait    time.Duration
		left    int
	}{
		"accepted": {
			answer: func(r *http.Request) (*http.Response, error) {
				return reply(http.StatusBadRequest, "{}", "X-RateLimit-Remaining", "7"), nil
			}, status: 400, outcome: OutcomeRejected, left: 7,
		},
		"refused": {
			answer: func(r *http.Request) (*http.Response, error) {
				return reply(http.StatusTooManyRequests, "{}", "Retry-After", "30"), nil
			}, status: 429, outcome: OutcomeRejected, refused: true, wait: 30 * time.Second,
		},
		"busy": {
			answer: func(r *http.Request) (*http.Response, error) {
				return reply(http.StatusServiceUnavailable, "{}", "Retry-After", "30"), nil
			}, status: 503, outcome: OutcomeUnknown, refused: true, wait: 30 * time.Second,
		},
		"no answer": {
			answer: func(*http.Request) (*http.Response, error) { return nil, later }, outcome: OutcomeUnknown,
		},
	} {
		for operation, call := range calls {
			t.Run(name+"/"+operation, func(t *testing.T) {
				l := &recordingLimiter{}
				c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: roundTrip(tc.answer)}, WithLimiter(l))
				require.Error(t, call(t.Context(), c, WithoutRetry()))
				require.NotEmpty(t, l.asked)
				require.Equal(t, l.asked, l.told)
				refused := 0
				for i, a := range l.answers {
					require.Equal(t, tc.status, a.Status)
					require.Equal(t, tc.outcome, a.Outcome)
					if a.Refused {
						refused++
						require.Equal(t, tc.wait, a.RetryAfter)
					}
					if l.told[i].Scope == ScopeCredential {
						require.Equal(t, tc.left, a.RateLimit.Remaining)
					}
				}
				require.Equal(t, tc.refused, refused == 1, "one group, and not all that the request belongs to")
			})
		}
	}
}

// A limiter that has let an attempt out is told, also if the attempt does not begin.
func TestLimiterIsToldOfWhatIsNotSent(t *testing.T) {
	broken := errors.New("broken")
	for name, opts := range map[string][]Option{
		"no token": {WithSupermetrics(BearerTokenFunc(func(context.Context) (string, error) { return "", broken }))},
		"a panic": {
			WithSupermetrics(BearerToken("key")),
			WithHooks(Hooks{AttemptStart: func(context.Context, Attempt) { panic(broken) }}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &recordingLimiter{}
			c, err := New(append(opts, WithLimiter(l))...)
			require.NoError(t, err)
			func() {
				defer func() { _ = recover() }()
				_, err = c.Links.List(t.Context())
				require.ErrorIs(t, err, broken)
			}()
			require.Equal(t, l.asked, l.told)
			require.Equal(t, []Answer{{Outcome: OutcomeNotSent}}, l.answers)
		})
	}
}

// The vendor counts what a group says, and the group shows no id.
func TestScopesOfGroups(t *testing.T) {
	scopes := map[string]string{
		"logins.query_accounts": "data source, credential", "auth.get": "link, application",
		"auth.numbers": "link, application", "identity.get": "link, application", "identity.link": "link, application",
		"identity.refresh": "link product",
	}
	for operation, call := range calls {
		l := &recordingLimiter{}
		bad := roundTrip(func(*http.Request) (*http.Response, error) { return reply(http.StatusBadRequest, "{}"), nil })
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: bad}, WithLimiter(l))
		require.Error(t, call(t.Context(), c))
		var got []string
		for _, g := range l.asked {
			got = append(got, string(g.Scope))
			require.Equal(t, operationOf(operation), g.Operation)
			require.Equal(t, operation == "identity.refresh", g.Product != "")
			for _, id := range []string{"dsll_1", "dsl_1", sandbox.LinkID, "GAWA", testKey} {
				require.NotContains(t, fmt.Sprintf("%+v", g), id)
			}
		}
		want := scopes[operationOf(operation)]
		if want == "" && ofSupermetrics(operation) {
			want = "credential"
		}
		require.Equal(t, want, strings.Join(got, ", "), operation)
	}
	// A product that the vendor does not document may be anything.
	l := &recordingLimiter{}
	c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: &answerer{}}, WithLimiter(l))
	_ = refresh("somebody's words")(t.Context(), c)
	require.NotContains(t, fmt.Sprintf("%+v", l.asked), "words")
}

// An error of a limiter may say the kind and the time of the call's error.
func TestErrorsOfLimiters(t *testing.T) {
	full := &Error{Kind: ErrRateLimited, Message: "the day's refresh is used up", RetryAfter: time.Hour}
	c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: &answerer{}},
		WithLimiter(&recordingLimiter{err: full}))
	_, err := c.Identity.Refresh(t.Context(), sandbox.LinkID, []Product{ProductIdentity})
	e := asError(t, err)
	require.ErrorIs(t, e, ErrRateLimited)
	require.Equal(t, time.Hour, e.RetryAfter)
	require.Equal(t, OutcomeNotSent, e.Outcome)
	require.Equal(t, "identity.refresh", e.Operation)
	require.ErrorContains(t, e, "the limiter let nothing out: the day's refresh is used up")
	require.Equal(t, ActionWaitUntil, e.Action())
	require.Empty(t, full.Operation, "a limiter may give the same error to many calls")
}

// A limiter may not hold a call for longer than MaxWait. That is not the caller's deadline.
func TestLimiterThatTakesTooLong(t *testing.T) {
	for maxWait, want := range map[time.Duration]time.Duration{0: leastLimiterWait, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var waits []Wait
			stuck := limiterFunc(func(ctx context.Context, _ Group) error {
				<-ctx.Done()
				return ctx.Err()
			})
			c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: &answerer{}}, WithLimiter(stuck),
				WithHooks(Hooks{Wait: func(_ context.Context, w Wait) { waits = append(waits, w) }}))
			began := time.Now()
			_, err := c.Links.Get(t.Context(), "dsll_1", WithMaxWait(maxWait))
			require.Equal(t, want, time.Since(began))
			kindIs(t, err, ErrRateLimited)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "Retry.MaxWait")

			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = c.Links.Get(ctx, "dsll_1", WithMaxWait(maxWait))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Empty(t, waits)
		})
	}
}

// Hooks are told how long a limiter took, if it took any time.
func TestWaitsForLimiters(t *testing.T) {
	var waits []Wait
	takes := time.Duration(0)
	l := limiterFunc(func(context.Context, Group) error { time.Sleep(takes); return nil })
	hooks := Hooks{Wait: func(_ context.Context, w Wait) { waits = append(waits, w) }}
	var logged bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logged, nil))
	opts := []Option{WithLimiter(l), WithHooks(hooks), WithLogger(logger)}
	inBubble(t, nil, opts, func(t *testing.T, c *Client, _ *sandbox.Sandbox) {
		_, err := c.Links.Get(t.Context(), "dsll_1")
		require.NoError(t, err)
		require.Empty(t, waits)
		takes = 3 * time.Second
		_, err = c.Links.Get(t.Context(), "dsll_1")
		require.NoError(t, err)
		require.Equal(t, []Wait{{
			API: Supermetrics, Operation: "links.get", Route: "/ds/login/link/{loginLinkID}", Attempt: 1,
			Reason: WaitReasonLimiter, Duration: takes,
		}}, waits)
		require.Empty(t, logged.String(), "no warning: the limiter does what it is for")
	})
}
