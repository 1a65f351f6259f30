package duolinkotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"github.com/duolink/duolink"
)

// instruments are the metrics.
type instruments struct {
	request          httpconv.ClientRequestDuration
	callDuration     metric.Float64Histogram
	callAttempts     metric.Int64Histogram
	waitDuration     metric.Float64Histogram
	cooldowns        metric.Int64Counter
	cooldownDuration metric.Float64Histogram
	remaining        metric.Int64Gauge
	renewals         metric.Int64Counter
	flowsAbandoned   metric.Int64Counter
	drift            metric.Int64Counter
}

// The boundaries of the buckets. A request has those of the semantic conventions. A call has the
// same and longer ones, because it may wait and be repeated.
var (
	callSeconds     = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300}
	waitSeconds     = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	cooldownSeconds = []float64{1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400} // a day is the longest
	attemptCounts   = []float64{0, 1, 2, 3, 4, 5, 10, 20}
)

func newInstruments(meter metric.Meter) (*instruments, error) {
	m := maker{meter: meter}
	i := &instruments{
		callDuration: m.seconds("duolink.call.duration", "Duration of calls, with attempts and waits.", callSeconds),
		waitDuration: m.seconds("duolink.wait.duration", "How long calls wait before an attempt.", waitSeconds),
		cooldownDuration: m.seconds("duolink.cooldown.duration", "How long limit groups are closed.",
			cooldownSeconds),
		cooldowns:      m.counter("duolink.cooldowns", "{cooldown}", "Limit groups that a server has closed."),
		renewals:       m.counter("duolink.token.renewals", "{renewal}", "Token exchanges that have ended."),
		flowsAbandoned: m.counter("duolink.flows.abandoned", "{flow}", "Flows that were ended unfinished."),
		drift:          m.counter("duolink.drift", "{difference}", "Differences of answers from their documentation."),
	}
	var err [3]error
	i.callAttempts, err[0] = meter.Int64Histogram("duolink.call.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("How often the request of a call was sent."),
		metric.WithExplicitBucketBoundaries(attemptCounts...))
	i.remaining, err[1] = meter.Int64Gauge("duolink.rate_limit.remaining", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that are left, as the latest answer says."))
	i.request, err[2] = httpconv.NewClientRequestDuration(meter)
	return i, errors.Join(append(m.errs, err[:]...)...)
}

// maker makes instruments, and collects the errors.
type maker struct {
	meter metric.Meter
	errs  []error
}

func (m *maker) seconds(name, description string, boundaries []float64) metric.Float64Histogram {
	i, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(boundaries...))
	m.errs = append(m.errs, err)
	return i
}

func (m *maker) counter(name, unit, description string) metric.Int64Counter {
	i, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.errs = append(m.errs, err)
	return i
}

// of makes the option of a measurement from its attributes.
func of(attrs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attrs...))
}

func (i *instruments) called(ctx context.Context, c duolink.Call, failure []attribute.KeyValue) {
	what := names(c.API, c.Operation)
	i.callAttempts.Record(ctx, int64(c.Attempts), of(what...))
	i.callDuration.Record(ctx, c.Duration.Seconds(), of(append(what, failure...)...))
}

func (i *instruments) attempted(ctx context.Context, a duolink.Attempt, result []attribute.KeyValue) {
	i.request.RecordSet(ctx, a.Duration.Seconds(), attribute.NewSet(append(request(a), result...)...))
	if a.RateLimit.Known {
		i.remaining.Record(ctx, int64(a.RateLimit.Remaining), of(apiKey.String(string(a.API))))
	}
}

func (i *instruments) waited(ctx context.Context, w duolink.Wait, reason attribute.KeyValue) {
	i.waitDuration.Record(ctx, w.Duration.Seconds(), of(append(names(w.API, w.Operation), reason)...))
}

func (i *instruments) cooledDown(ctx context.Context, c duolink.Cooldown) {
	what := of(names(c.API, c.Operation)...)
	i.cooldowns.Add(ctx, 1, what)
	i.cooldownDuration.Record(ctx, c.Duration.Seconds(), what)
}

func (i *instruments) renewed(ctx context.Context, t duolink.TokenRenewal) {
	attrs := []attribute.KeyValue{apiKey.String(string(t.API))}
	if t.Failure != "" || t.Status != 0 {
		attrs = append(attrs, errorType(t.Status, t.Failure))
	}
	i.renewals.Add(ctx, 1, of(attrs...))
}

func (i *instruments) abandoned(ctx context.Context, a duolink.Abandoned) {
	i.flowsAbandoned.Add(ctx, 1, of(names(a.API, a.Operation)...))
}

func (i *instruments) drifted(ctx context.Context, d duolink.Drift, kind attribute.KeyValue) {
	i.drift.Add(ctx, 1, of(append(names(d.API, d.Operation), kind)...))
}
