package duolinkotel

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// Many callers of one client, some of whom are refused, share a token, give up: each has its own
// tree below its own span.
func TestConcurrentCalls(t *testing.T) {
	const callers, each = 16, 12
	synctest.Test(t, func(t *testing.T) {
		o, fake := newTelemetry(), duolinktest.New(t)
		client := fake.Client(duolink.WithHooks(o.hooks(t)), duolink.WithRetry(duolink.Retry{MaxWait: time.Hour}))
		fake.Script(
			duolinktest.Fault{Operation: "links.get", Status: 503, Times: 20},
			duolinktest.Fault{Operation: "links.list", Status: 429, RetryAfter: time.Second, Times: 5},
			duolinktest.Fault{Operation: "identity.get", DropAfter: true, Times: 10},
		)
		var all sync.WaitGroup
		traces := make([]trace.TraceID, callers)
		for i := range callers {
			ctx, parent := o.begin(t.Context())
			traces[i] = parent.SpanContext().TraceID()
			all.Go(func() {
				for n := range each {
					own, cancel := ctx, context.CancelFunc(func() {})
					if n == each-1 {
						own, cancel = context.WithTimeout(ctx, time.Duration(i)*time.Microsecond)
					}
					switch (i + n) % 3 {
					case 0:
						_, _ = client.Links.Get(own, duolinktest.OpenLoginLinkID)
					case 1:
						_, _ = client.Links.List(own)
					default:
						_, _ = client.Identity.Get(own, duolinktest.BankLinkID, duolink.IdentityQuery{})
					}
					cancel()
				}
			})
		}
		all.Wait()
		require.NoError(t, client.Close(t.Context()))
		spans := o.spans(t)
		requireAllowed(t, spans, o.series(t))
		byTrace := map[trace.TraceID]int{}
		for _, c := range callsIn(spans) {
			if c.Name != "auth.token" {
				byTrace[c.SpanContext.TraceID()]++
			}
		}
		for _, id := range traces {
			require.Equal(t, each, byTrace[id])
		}
		require.Len(t, byTrace, callers)
		requireBelow(t, spans)
		require.Greater(t, len(attemptsIn(spans)), len(callsIn(spans)), "some were repeated")
	})
}

// requireBelow fails unless each attempt is below a call of its own operation and trace.
func requireBelow(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	calls := map[trace.SpanID]tracetest.SpanStub{}
	for _, c := range callsIn(spans) {
		calls[c.SpanContext.SpanID()] = c
	}
	for _, a := range attemptsIn(spans) {
		call, ok := calls[a.Parent.SpanID()]
		require.True(t, ok)
		require.Equal(t, call.SpanContext.TraceID(), a.SpanContext.TraceID())
		require.Equal(t, call.Name, tabled(a.Attributes)["duolink.operation"])
	}
}

// The hooks of one call are told in sequence. Should they ever not be, nothing breaks.
func TestConcurrentHooks(t *testing.T) {
	o := newTelemetry()
	h := o.hooks(t)
	ctx := h.CallStart(t.Context(), duolink.Call{Operation: "links.get"})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			attempt := duolink.Attempt{Operation: "links.get", Number: n + 1, Status: 200}
			h.AttemptStart(ctx, attempt)
			h.AttemptHeader(ctx, http.Header{})
			h.Wait(ctx, duolink.Wait{})
			h.AttemptEnd(ctx, attempt)
		})
	}
	all.Wait()
	h.CallEnd(ctx, duolink.Call{Operation: "links.get"})
	require.Len(t, callsIn(o.spans(t)), 1, "and all attempts have ended")
}
