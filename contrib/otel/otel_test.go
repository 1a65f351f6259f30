package duolinkotel

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// Options that cannot be right are refused.
func TestWrongOptions(t *testing.T) {
	for want, opt := range map[string]Option{
		"an option is nil":                        nil,
		"WithTracerProvider: the provider is nil": WithTracerProvider(nil),
		"WithMeterProvider: the provider is nil":  WithMeterProvider(nil),
		"WithPropagator: the propagator is nil":   WithPropagator(nil),
	} {
		hooks, err := New(opt)
		require.ErrorIs(t, err, duolink.ErrArgument)
		require.ErrorContains(t, err, want)
		require.Nil(t, hooks.CallStart)
	}
}

// Without options, the globals count.
func TestGlobals(t *testing.T) {
	traces, metrics, propagator := otel.GetTracerProvider(), otel.GetMeterProvider(), otel.GetTextMapPropagator()
	t.Cleanup(func() {
		otel.SetTracerProvider(traces)
		otel.SetMeterProvider(metrics)
		otel.SetTextMapPropagator(propagator)
	})
	o, fake := newTelemetry(), duolinktest.New(t)
	otel.SetTracerProvider(o.traces)
	otel.SetMeterProvider(o.metrics)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	hooks, err := New()
	require.NoError(t, err)
	_, err = fake.Client(duolink.WithHooks(hooks)).Links.List(t.Context())
	require.NoError(t, err)
	spans := o.spans(t)
	require.Len(t, spans, 2)
	require.Equal(t, semconv.SchemaURL, spans[0].InstrumentationScope.SchemaURL)
	require.NotEmpty(t, o.series(t))
	require.Equal(t, traceparent(spans[0]), fake.Requests()[0].Header["Traceparent"])
}

// What each propagator sends to the vendor. The doc comment of the package says so.
func TestPropagators(t *testing.T) {
	trace := propagation.TraceContext{}
	for name, tc := range map[string]struct {
		propagator     propagation.TextMapPropagator
		trace, baggage bool
	}{
		"the trace":   {trace, true, false},
		"and baggage": {propagation.NewCompositeTextMapPropagator(trace, propagation.Baggage{}), true, true},
		"nothing":     {propagation.NewCompositeTextMapPropagator(), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			o, fake := newTelemetry(), duolinktest.New(t)
			member, err := baggage.NewMember("user", "7")
			require.NoError(t, err)
			bag, err := baggage.New(member)
			require.NoError(t, err)
			client := fake.Client(duolink.WithHooks(o.hooks(t, WithPropagator(tc.propagator))))
			_, err = client.Links.List(baggage.ContextWithBaggage(t.Context(), bag))
			require.NoError(t, err)
			header := fake.Requests()[0].Header
			require.Equal(t, tc.trace, header.Get("Traceparent") != "")
			require.Equal(t, tc.baggage, header.Get("Baggage") == "user=7")
		})
	}
}

// The trace goes on if nothing is recorded: the vendor gets the span of the caller.
func TestWithoutATracer(t *testing.T) {
	o, fake := newTelemetry(), duolinktest.New(t)
	hooks, err := New(WithTracerProvider(noop.NewTracerProvider()), WithPropagator(propagation.TraceContext{}))
	require.NoError(t, err)
	ctx, parent := o.begin(t.Context())
	_, err = fake.Client(duolink.WithHooks(hooks)).Links.List(ctx)
	require.NoError(t, err)
	require.Contains(t, fake.Requests()[0].Header.Get("Traceparent"), parent.SpanContext().SpanID().String())
}

// What the hooks cost a call, with providers that export nothing.
func BenchmarkCall(b *testing.B) {
	sampled := func(sampler sdktrace.Sampler) duolink.Hooks {
		o := newTelemetry()
		o.traces = sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(dropped{}))
		return o.hooks(b)
	}
	for name, hooks := range map[string]duolink.Hooks{
		"without": {}, "not sampled": sampled(sdktrace.NeverSample()), "sampled": sampled(sdktrace.AlwaysSample()),
	} {
		b.Run(name, func(b *testing.B) {
			fake := duolinktest.New(b)
			client := fake.Client(duolink.WithHooks(hooks))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Links.Get(context.Background(), duolinktest.OpenLoginLinkID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// dropped is a processor of spans that drops them.
type dropped struct{}

func (dropped) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (dropped) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (dropped) Shutdown(context.Context) error                  { return nil }
func (dropped) ForceFlush(context.Context) error                { return nil }
