package duolinkotel

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
)

// telemetry is what an application exports, in memory.
type telemetry struct {
	exporter *tracetest.InMemoryExporter // has the spans that have ended
	recorder *tracetest.SpanRecorder     // knows the others, too
	reader   *sdkmetric.ManualReader

	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
}

// newTelemetry exports every span, and every series: the SDK's own bound on series is off.
func newTelemetry() *telemetry {
	o := &telemetry{
		exporter: tracetest.NewInMemoryExporter(), recorder: tracetest.NewSpanRecorder(),
		reader: sdkmetric.NewManualReader(),
	}
	o.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.exporter), sdktrace.WithSpanProcessor(o.recorder))
	o.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader), sdkmetric.WithCardinalityLimit(0))
	return o
}

// hooks are hooks that write to o, and the W3C trace context into headers.
func (o *telemetry) hooks(t testing.TB, opts ...Option) duolink.Hooks {
	t.Helper()
	hooks, err := New(append([]Option{
		WithTracerProvider(o.traces), WithMeterProvider(o.metrics), WithPropagator(propagation.TraceContext{}),
	}, opts...)...)
	require.NoError(t, err)
	return hooks
}

// begin starts a span of the application, which calls may be below.
func (o *telemetry) begin(ctx context.Context) (context.Context, trace.Span) {
	return o.traces.Tracer("application").Start(ctx, "application")
}

// spans are the spans of the hooks that have ended, in the order of their ends. It fails if one has
// not ended.
func (o *telemetry) spans(t testing.TB) tracetest.SpanStubs {
	t.Helper()
	ended := map[trace.SpanID]bool{}
	for _, s := range o.recorder.Ended() {
		id := s.SpanContext().SpanID()
		require.False(t, ended[id], "%s ends twice", s.Name())
		ended[id] = true
	}
	for _, s := range o.recorder.Started() {
		if !ended[s.SpanContext().SpanID()] && s.Name() != "application" {
			require.Failf(t, "no end", "%s does not end", s.Name())
		}
	}
	return slices.DeleteFunc(o.exporter.GetSpans(), func(s tracetest.SpanStub) bool { return s.Name == "application" })
}

// ofKind are the spans of a kind, in the order of their ends.
func ofKind(spans tracetest.SpanStubs, kind trace.SpanKind) (found tracetest.SpanStubs) {
	for _, s := range spans {
		if s.SpanKind == kind {
			found = append(found, s)
		}
	}
	return found
}

// callsIn and attemptsIn are the spans of calls and of attempts.
func callsIn(spans tracetest.SpanStubs) tracetest.SpanStubs {
	return ofKind(spans, trace.SpanKindInternal)
}

func attemptsIn(spans tracetest.SpanStubs) tracetest.SpanStubs {
	return ofKind(spans, trace.SpanKindClient)
}

// table is a list of attributes by their names.
type table map[string]any

func tabled(attrs []attribute.KeyValue) table {
	all := table{}
	for _, a := range attrs {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

// The allow-list of the README. No span and no metric has another attribute.
var (
	allowedInMetrics = []string{
		"duolink.api", "duolink.operation", "url.template", "http.request.method", "http.response.status_code",
		"error.type", "server.address", "server.port", "duolink.wait.reason", "duolink.drift.kind",
	}
	allowedInSpans = append(slices.Clone(allowedInMetrics), "duolink.outcome", "http.request.resend_count",
		"duolink.wait.duration", "duolink.cooldown.duration")
)

// requireAllowed fails if something is exported that is not on the allow-list.
func requireAllowed(t testing.TB, spans tracetest.SpanStubs, series map[string]point) {
	t.Helper()
	for _, s := range spans {
		require.Empty(t, s.Status.Description)
		require.Empty(t, s.Links)
		all := slices.Clone(s.Attributes)
		for _, e := range s.Events {
			require.Contains(t, []string{"duolink.wait", "duolink.cooldown", "duolink.drift"}, e.Name)
			all = append(all, e.Attributes...)
		}
		for _, a := range all {
			require.Contains(t, allowedInSpans, string(a.Key), s.Name)
		}
	}
	for name, p := range series {
		for _, a := range p.attrs {
			require.Contains(t, allowedInMetrics, string(a.Key), name)
		}
	}
}

// point is a series of a metric. Of a histogram it has the count and the sum, of a counter and a
// gauge only the sum.
type point struct {
	count uint64
	sum   float64
	attrs []attribute.KeyValue
}

func (o *telemetry) collect(t testing.TB) *metricdata.ResourceMetrics {
	t.Helper()
	all := &metricdata.ResourceMetrics{}
	require.NoError(t, o.reader.Collect(context.Background(), all))
	return all
}

// series are all series, with names such as "duolink.drift{duolink.api=moneykit,...}".
func (o *telemetry) series(t testing.TB) map[string]point {
	t.Helper()
	all := map[string]point{}
	for _, scope := range o.collect(t).ScopeMetrics {
		require.Equal(t, ScopeName, scope.Scope.Name)
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				addHistogram(all, m.Name, data)
			case metricdata.Histogram[int64]:
				addHistogram(all, m.Name, data)
			case metricdata.Sum[int64]:
				add(all, m.Name, data.DataPoints)
			case metricdata.Gauge[int64]:
				add(all, m.Name, data.DataPoints)
			default:
				require.Failf(t, "unknown data", "%s: %T", m.Name, data)
			}
		}
	}
	return all
}

func addHistogram[N int64 | float64](all map[string]point, name string, data metricdata.Histogram[N]) {
	for _, p := range data.DataPoints {
		all[seriesOf(name, p.Attributes)] = point{p.Count, float64(p.Sum), p.Attributes.ToSlice()}
	}
}

func add(all map[string]point, name string, points []metricdata.DataPoint[int64]) {
	for _, p := range points {
		all[seriesOf(name, p.Attributes)] = point{0, float64(p.Value), p.Attributes.ToSlice()}
	}
}

// seriesOf is the name of a series. Its attributes are in the order of their names.
func seriesOf(name string, attrs attribute.Set) string {
	var parts []string
	for _, a := range attrs.ToSlice() {
		parts = append(parts, fmt.Sprintf("%s=%v", a.Key, a.Value.AsInterface()))
	}
	return name + "{" + strings.Join(parts, ",") + "}"
}

// withoutAttrs are the series without the attributes, which their names have already.
func withoutAttrs(all map[string]point) map[string]point {
	plain := map[string]point{}
	for name, p := range all {
		plain[name] = point{count: p.count, sum: p.sum}
	}
	return plain
}

// traceparent is the header of an attempt.
func traceparent(s tracetest.SpanStub) []string {
	return []string{fmt.Sprintf("00-%s-%s-01", s.SpanContext.TraceID(), s.SpanContext.SpanID())}
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
