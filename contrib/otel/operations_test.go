package duolinkotel

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/duolink/duolink/internal/proof/operations"
)

// fates are what happens to every operation.
var fates = map[string]struct {
	fault *duolinktest.Fault
	fails bool
}{
	"success": {},
	"404":     {&duolinktest.Fault{Status: 404}, true},
	"429":     {&duolinktest.Fault{Status: 429, RetryAfter: time.Second}, false},
	"503":     {&duolinktest.Fault{Status: 503}, false}, // but for what is not repeated
	"broken":  {&duolinktest.Fault{DropAfter: true, Times: -1}, true},
}

// Every operation, whatever becomes of it: one span for the call, one below it for each request,
// which carries it. All end, and nothing is exported that is not on the allow-list.
func TestEveryOperation(t *testing.T) {
	for _, op := range operations.All {
		for fate, tc := range fates {
			t.Run(op.Name+"/"+fate, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o, fake := newTelemetry(), duolinktest.New(t)
					client := fake.Client(duolink.WithHooks(o.hooks(t)))
					fails := tc.fails || fate == "503" && op.Repeat == operations.OnlyRefused
					if tc.fault != nil {
						fault := *tc.fault
						fault.Operation = op.Operation()
						fake.Script(fault)
					}
					err := op.Call(t.Context(), client)
					require.Equal(t, fails, err != nil, "%v", err)

					spans := o.spans(t)
					requireAllowed(t, spans, o.series(t))
					requireTree(t, spans, fake.Requests())
					found := 0
					for _, c := range callsIn(spans) {
						if c.Name == op.Operation() {
							found++
							requireCall(t, op, c, fails)
							continue
						}
						require.Contains(t, []string{operations.Exchange, op.CalledAs()}, c.Name)
					}
					require.Equal(t, 1, found)
				})
			})
		}
	}
}

func requireCall(t *testing.T, op operations.Operation, call tracetest.SpanStub, fails bool) {
	t.Helper()
	attrs := tabled(call.Attributes)
	require.Equal(t, string(op.API), attrs["duolink.api"])
	require.Equal(t, fails, call.Status.Code == codes.Error)
	for _, name := range []string{"error.type", "duolink.outcome"} {
		require.Equal(t, fails, attrs[name] != nil, name)
	}
}

// requireTree fails unless there is one span of an attempt for each request, below the span of its
// call.
func requireTree(t *testing.T, spans tracetest.SpanStubs, requests []duolinktest.Request) {
	t.Helper()
	calls := map[trace.SpanID]tracetest.SpanStub{}
	for _, c := range callsIn(spans) {
		calls[c.SpanContext.SpanID()] = c
	}
	attempts, number := map[string]tracetest.SpanStub{}, map[trace.SpanID]int64{}
	for _, a := range attemptsIn(spans) {
		attempts[traceparent(a)[0]] = a
		call, ok := calls[a.Parent.SpanID()]
		require.True(t, ok, "%s is below a call", a.Name)
		require.Equal(t, call.SpanContext.TraceID(), a.SpanContext.TraceID())
		require.False(t, a.StartTime.Before(call.StartTime) || a.EndTime.After(call.EndTime), a.Name)
		attrs := tabled(a.Attributes)
		require.Equal(t, call.Name, attrs["duolink.operation"])
		require.Equal(t, a.Name, attrs["http.request.method"].(string)+" "+attrs["url.template"].(string))
		count, _ := attrs["http.request.resend_count"].(int64)
		require.Equal(t, number[a.Parent.SpanID()], count)
		number[a.Parent.SpanID()]++
	}
	require.Len(t, requests, len(attempts))
	for _, r := range requests {
		require.Len(t, r.Header["Traceparent"], 1)
		a, ok := attempts[r.Header.Get("Traceparent")]
		require.True(t, ok, "%v carries the span of an attempt", r)
		require.Equal(t, r.Operation, tabled(a.Attributes)["duolink.operation"])
		require.Equal(t, r.Method, tabled(a.Attributes)["http.request.method"])
	}
}

// A flow makes calls. It has no span of its own: they are below that of its caller.
func TestEveryFlow(t *testing.T) {
	link := duolink.LoginLinkCreate{DataSourceID: "GAWA"}
	flows := map[string]func(context.Context, *duolink.Client) error{
		"LinksService.CreateOnce": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Links.CreateOnce(ctx, link, "job-7")
			return err
		},
		"LinksService.Await": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Links.Await(ctx, duolinktest.ClosedLoginLinkID, duolink.AwaitOptions{})
			return err
		},
		"IdentityService.RefreshAndGet": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Identity.RefreshAndGet(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
			return err
		},
		"AuthService.RefreshAndNumbers": func(ctx context.Context, c *duolink.Client) error {
			_, err := c.Auth.RefreshAndNumbers(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
			return err
		},
		"LinksService.ConfirmRedirect": func(ctx context.Context, c *duolink.Client) error {
			made, err := c.Links.Get(ctx, duolinktest.ClosedLoginLinkID)
			if err != nil {
				return err
			}
			back, err := http.NewRequestWithContext(ctx, http.MethodGet,
				"https://app.test/?redirect_verifier="+made.RedirectVerifier.Reveal(), nil)
			if err != nil {
				return err
			}
			_, err = c.Links.ConfirmRedirect(ctx, *made, back)
			return err
		},
	}
	for _, f := range operations.Flows {
		name := operations.MethodName(f.Method)
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				require.Contains(t, flows, name)
				o, fake := newTelemetry(), duolinktest.New(t)
				client := fake.Client(duolink.WithHooks(o.hooks(t)))
				ctx, parent := o.begin(t.Context())
				require.NoError(t, flows[name](ctx, client))
				require.NoError(t, client.Close(t.Context()))
				spans := o.spans(t)
				requireAllowed(t, spans, o.series(t))
				requireTree(t, spans, fake.Requests())
				for _, c := range callsIn(spans) {
					require.Equal(t, parent.SpanContext().TraceID(), c.SpanContext.TraceID())
					if c.Name != operations.Exchange {
						require.Equal(t, parent.SpanContext().SpanID(), c.Parent.SpanID(), c.Name)
					}
				}
			})
		})
	}
}
