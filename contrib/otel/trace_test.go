package duolinkotel

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

const linkRoute = "/ds/login/link/{loginLinkID}"

// ofLink are the attributes of an attempt at links.get at the fake.
func ofLink(more table) table {
	all := table{
		"duolink.api": "supermetrics", "duolink.operation": "links.get", "http.request.method": "GET",
		"server.address": "duolink.test", "server.port": int64(443), "url.template": linkRoute,
	}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// A call that succeeds with its second attempt: the tree, the attributes, the states, the events,
// and the headers.
func TestTraceOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, fake := newTelemetry(), duolinktest.New(t)
		var wait time.Duration
		mine := duolink.Hooks{Wait: func(_ context.Context, w duolink.Wait) { wait = w.Duration }}
		client := fake.Client(duolink.WithHooks(Join(o.hooks(t), mine)))
		fake.Script(duolinktest.Fault{Operation: "links.get", Status: 503, Delay: time.Second})
		ctx, parent := o.begin(t.Context())
		_, err := client.Links.Get(ctx, duolinktest.OpenLoginLinkID)
		require.NoError(t, err)

		spans := o.spans(t)
		require.Len(t, spans, 3)
		first, second, call := spans[0], spans[1], spans[2]
		for _, s := range spans {
			require.Equal(t, parent.SpanContext().TraceID(), s.SpanContext.TraceID())
			require.Equal(t, ScopeName, s.InstrumentationScope.Name)
		}

		require.Equal(t, "links.get", call.Name)
		require.Equal(t, trace.SpanKindInternal, call.SpanKind)
		require.Equal(t, parent.SpanContext().SpanID(), call.Parent.SpanID())
		require.Equal(t, table{"duolink.api": "supermetrics", "duolink.operation": "links.get"},
			tabled(call.Attributes))
		require.Equal(t, sdktrace.Status{}, call.Status)
		require.Equal(t, time.Second+wait, call.EndTime.Sub(call.StartTime))
		require.Len(t, call.Events, 1)
		require.Equal(t, "duolink.wait", call.Events[0].Name)
		require.Equal(t, table{"duolink.wait.reason": "backoff", "duolink.wait.duration": wait.Seconds()},
			tabled(call.Events[0].Attributes))

		require.Equal(t, ofLink(table{"http.response.status_code": int64(503), "error.type": "503"}),
			tabled(first.Attributes))
		require.Equal(t, sdktrace.Status{Code: codes.Error}, first.Status)
		require.Equal(t, time.Second, first.EndTime.Sub(first.StartTime))
		require.Equal(t, ofLink(table{"http.response.status_code": int64(200), "http.request.resend_count": int64(1)}),
			tabled(second.Attributes))
		require.Equal(t, sdktrace.Status{}, second.Status)
		require.Equal(t, wait, second.StartTime.Sub(first.EndTime))

		requests := fake.Requests()
		require.Len(t, requests, 2)
		for i, attempt := range spans[:2] {
			require.Equal(t, "GET "+linkRoute, attempt.Name)
			require.Equal(t, trace.SpanKindClient, attempt.SpanKind)
			require.Equal(t, call.SpanContext.SpanID(), attempt.Parent.SpanID())
			require.Empty(t, attempt.Events)
			require.Equal(t, traceparent(attempt), requests[i].Header["Traceparent"])
		}
	})
}

// How a failed call and its attempt are shown.
func TestTraceOfAFailure(t *testing.T) {
	answered := func(status int) table { return table{"http.response.status_code": int64(status)} }
	for name, tc := range map[string]struct {
		fault   duolinktest.Fault
		attempt table // besides error.type
		failure string
		outcome string
		events  []string
	}{
		"404":      {duolinktest.Fault{Status: 404}, answered(404), "404", "rejected", nil},
		"429":      {duolinktest.Fault{Status: 429, RetryAfter: time.Minute}, answered(429), "429", "rejected", cooled},
		"503":      {duolinktest.Fault{Status: 503}, answered(503), "503", "unknown", nil},
		"redirect": {duolinktest.Fault{Status: 302}, answered(302), "malformed response", "unknown", nil},
		"no JSON":  {duolinktest.Fault{Body: "<html>"}, answered(200), "malformed response", "unknown", nil},
		"an error in a 200": {
			duolinktest.Fault{Body: `{"error":{"code":"SOMETHING"}}`}, answered(200), "server error", "unknown", nil,
		},
		"no answer": {duolinktest.Fault{DropAfter: true}, nil, "connection failed", "unknown", nil},
		"stalled":   {duolinktest.Fault{Stall: true}, answered(200), "attempt timed out", "unknown", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, fake := newTelemetry(), duolinktest.New(t)
				client := fake.Client(duolink.WithHooks(o.hooks(t)), duolink.WithRetry(duolink.Retry{MaxAttempts: 1}))
				tc.fault.Operation = "links.get"
				fake.Script(tc.fault)
				_, err := client.Links.Get(t.Context(), duolinktest.OpenLoginLinkID)
				require.Error(t, err)
				spans := o.spans(t)
				require.Len(t, spans, 2)
				attempt := ofLink(tc.attempt)
				attempt["error.type"] = tc.failure
				require.Equal(t, attempt, tabled(spans[0].Attributes))
				require.Equal(t, table{
					"duolink.api": "supermetrics", "duolink.operation": "links.get", "error.type": tc.failure,
					"duolink.outcome": tc.outcome,
				}, tabled(spans[1].Attributes))
				var events []string
				for _, e := range spans[1].Events {
					events = append(events, e.Name)
				}
				require.Equal(t, tc.events, events)
				for _, s := range spans {
					require.Equal(t, sdktrace.Status{Code: codes.Error}, s.Status)
				}
			})
		})
	}
}

var cooled = []string{"duolink.cooldown"}

// A refusal closes the limit group. The wait of the call and the cooldown are on its span.
func TestTraceOfACooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, fake := newTelemetry(), duolinktest.New(t)
		fake.Script(duolinktest.Fault{Operation: "links.get", Status: 429, RetryAfter: 20 * time.Second})
		_, err := fake.Client(duolink.WithHooks(o.hooks(t))).Links.Get(t.Context(), duolinktest.OpenLoginLinkID)
		require.NoError(t, err)
		call := callsIn(o.spans(t))[0]
		require.Len(t, call.Events, 2)
		require.Equal(t, "duolink.cooldown", call.Events[0].Name)
		require.Equal(t, table{"duolink.cooldown.duration": 20.0}, tabled(call.Events[0].Attributes))
		require.Equal(t, "duolink.wait", call.Events[1].Name)
		require.Equal(t, table{"duolink.wait.reason": "cooldown", "duolink.wait.duration": 20.0},
			tabled(call.Events[1].Attributes))
		require.Equal(t, sdktrace.Status{}, call.Status)
	})
}

// A token exchange is a call below the call that needs the token.
func TestTraceOfAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, fake := newTelemetry(), duolinktest.New(t)
		client := fake.Client(duolink.WithHooks(o.hooks(t)))
		_, err := client.Identity.Get(t.Context(), duolinktest.BankLinkID, duolink.IdentityQuery{})
		require.NoError(t, err)
		spans := o.spans(t)
		calls, attempts := callsIn(spans), attemptsIn(spans)
		require.Len(t, calls, 2)
		exchange, call := calls[0], calls[1] // in the order of their ends
		require.Equal(t, "auth.token", exchange.Name)
		require.Equal(t, "identity.get", call.Name)
		require.Len(t, attempts, 2)
		require.Equal(t, "POST /auth/token", attempts[0].Name)
		require.Equal(t, call.SpanContext.SpanID(), exchange.Parent.SpanID())
		require.Equal(t, exchange.SpanContext.SpanID(), attempts[0].Parent.SpanID())
		require.Equal(t, call.SpanContext.SpanID(), attempts[1].Parent.SpanID())
		for i, r := range fake.Requests() {
			require.Equal(t, traceparent(attempts[i]), r.Header["Traceparent"])
		}
	})
}

// The spans of a stream end when it begins, and not when it was read.
func TestTraceOfAStream(t *testing.T) {
	o, fake := newTelemetry(), duolinktest.New(t)
	client, items := fake.Client(duolink.WithHooks(o.hooks(t))), 0
	query := duolink.AccountsQuery{DataSourceID: "AW"}
	for _, err := range client.Logins.StreamAccounts(t.Context(), query) {
		require.NoError(t, err)
		require.Len(t, o.spans(t), 2)
		items++
	}
	require.Positive(t, items)
	require.Len(t, o.spans(t), 2)
}

// A panic of another hook may skip AttemptEnd. Then the end of the call ends the attempt.
func TestTraceOfAPanic(t *testing.T) {
	fake := duolinktest.New(t)
	for name, tc := range map[string]struct {
		mine    duolink.Hooks
		attempt table // nil if it has ended well
	}{
		"in AttemptHeader": {
			duolink.Hooks{AttemptHeader: func(context.Context, http.Header) { panic("mine") }},
			ofLink(table{"error.type": "_OTHER"}),
		},
		"in AttemptStart": {
			duolink.Hooks{AttemptStart: func(context.Context, duolink.Attempt) { panic("mine") }},
			ofLink(table{"error.type": "_OTHER"}),
		},
		"in AttemptEnd": {duolink.Hooks{AttemptEnd: func(context.Context, duolink.Attempt) { panic("mine") }}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := newTelemetry()
			client := fake.Client(duolink.WithHooks(Join(o.hooks(t), tc.mine)))
			require.PanicsWithValue(t, "mine", func() {
				_, _ = client.Links.Get(t.Context(), duolinktest.OpenLoginLinkID)
			})
			spans := o.spans(t)
			require.Len(t, spans, 2)
			if tc.attempt != nil {
				require.Equal(t, tc.attempt, tabled(spans[0].Attributes))
				require.Equal(t, sdktrace.Status{Code: codes.Error}, spans[0].Status)
			} else {
				require.Equal(t, sdktrace.Status{}, spans[0].Status)
			}
			require.Equal(t, "panicked", tabled(spans[1].Attributes)["error.type"])
			require.Equal(t, "unknown", tabled(spans[1].Attributes)["duolink.outcome"])
			require.Equal(t, sdktrace.Status{Code: codes.Error}, spans[1].Status)
		})
	}
}

// If an end is skipped and the call goes on, the next attempt ends the one before.
func TestTraceOfASkippedEnd(t *testing.T) {
	o := newTelemetry()
	h := o.hooks(t)
	ctx := h.CallStart(t.Context(), duolink.Call{})
	h.AttemptStart(ctx, duolink.Attempt{Number: 1})
	h.AttemptStart(ctx, duolink.Attempt{Number: 2})
	h.AttemptEnd(ctx, duolink.Attempt{Number: 2, Status: 200})
	h.CallEnd(ctx, duolink.Call{Attempts: 2, Status: 200})
	spans := o.spans(t)
	require.Len(t, spans, 3)
	for i, want := range []codes.Code{codes.Error, codes.Unset, codes.Unset} {
		require.Equal(t, want, spans[i].Status.Code)
	}
	require.Equal(t, "_OTHER", tabled(spans[0].Attributes)["error.type"])
}

// A drift is told by its kind. The name of the member could be anybody's words.
func TestTraceOfADrift(t *testing.T) {
	o, fake := newTelemetry(), duolinktest.New(t)
	fake.Script(duolinktest.Fault{Operation: "links.list", Body: `{"data":[],"their_words":1}`})
	_, err := fake.Client(duolink.WithHooks(o.hooks(t))).Links.List(t.Context())
	require.NoError(t, err)
	call := callsIn(o.spans(t))[0]
	require.NotEmpty(t, call.Events)
	for _, e := range call.Events {
		require.Equal(t, "duolink.drift", e.Name)
		require.Equal(t, table{"duolink.drift.kind": "unknown member"}, tabled(e.Attributes))
	}
}

// The error of a caller's provider of tokens may have no words, or somebody else's.
func TestTraceOfAProvidersError(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want table
	}{
		"nothing": {&duolink.Error{}, table{"error.type": "_OTHER", "duolink.outcome": "not sent"}},
		"anything": {
			&duolink.Error{Operation: "theirs", Message: "their words", Outcome: "their outcome"},
			table{"error.type": "_OTHER"},
		},
		"a kind": {
			&duolink.Error{Kind: duolink.ErrForbidden}, table{"error.type": "forbidden", "duolink.outcome": "not sent"},
		},
		"an error": {
			context.DeadlineExceeded, table{"error.type": "no credential could be had", "duolink.outcome": "not sent"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, fake := newTelemetry(), duolinktest.New(t)
			provider := duolink.BearerTokenFunc(func(context.Context) (string, error) { return "", tc.err })
			client, err := duolink.New(duolink.WithSupermetrics(provider), duolink.WithHooks(o.hooks(t)),
				duolink.WithHTTPClient(&http.Client{Transport: fake.Transport()}))
			require.NoError(t, err)
			_, err = client.Links.List(t.Context())
			require.Error(t, err)
			spans := o.spans(t)
			require.Len(t, spans, 1)
			tc.want["duolink.api"], tc.want["duolink.operation"] = "supermetrics", "links.list"
			require.Equal(t, tc.want, tabled(spans[0].Attributes))
			require.Equal(t, codes.Error, spans[0].Status.Code)
		})
	}
}
