package duolinkotel

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// The names of series, without their ends.
const (
	getLinkAttrs = "duolink.api=supermetrics,duolink.operation=links.get"
	requestAttrs = "http.request.method=GET"
	serverAttrs  = "server.address=duolink.test,server.port=443,url.template=" + linkRoute
)

// A story in virtual time: a 503, a 429 with 20 seconds, and an answer after 3 seconds.
func TestMetricsOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, fake := newTelemetry(), duolinktest.New(t)
		var backoff, took time.Duration
		mine := duolink.Hooks{
			Wait: func(_ context.Context, w duolink.Wait) {
				if w.Reason == duolink.WaitReasonBackoff {
					backoff += w.Duration
				}
			},
			CallEnd: func(_ context.Context, c duolink.Call) { took = c.Duration },
		}
		client := fake.Client(duolink.WithHooks(Join(o.hooks(t), mine)))
		fake.Script(
			duolinktest.Fault{Operation: "links.get", Status: 503, Delay: 250 * time.Millisecond},
			duolinktest.Fault{Operation: "links.get", Status: 429, RetryAfter: 20 * time.Second},
			duolinktest.Fault{Operation: "links.get", Delay: 3 * time.Second},
		)
		_, err := client.Links.Get(t.Context(), duolinktest.OpenLoginLinkID)
		require.NoError(t, err)
		require.Equal(t, 250*time.Millisecond+backoff+20*time.Second+3*time.Second, took)

		series := o.series(t)
		requireAllowed(t, nil, series)
		require.Equal(t, map[string]point{
			"http.client.request.duration{error.type=503," + requestAttrs + ",http.response.status_code=503," +
				serverAttrs + "}": {count: 1, sum: 0.25},
			"http.client.request.duration{error.type=429," + requestAttrs + ",http.response.status_code=429," +
				serverAttrs + "}": {count: 1, sum: 0},
			"http.client.request.duration{" + requestAttrs + ",http.response.status_code=200," + serverAttrs +
				"}": {count: 1, sum: 3},
			"duolink.call.duration{" + getLinkAttrs + "}": {count: 1, sum: took.Seconds()},
			"duolink.call.attempts{" + getLinkAttrs + "}": {count: 1, sum: 3},
			"duolink.wait.duration{" + getLinkAttrs + ",duolink.wait.reason=backoff}": {
				count: 1, sum: backoff.Seconds(),
			},
			"duolink.wait.duration{" + getLinkAttrs + ",duolink.wait.reason=cooldown}": {count: 1, sum: 20},
			"duolink.cooldowns{" + getLinkAttrs + "}":                                  {sum: 1},
			"duolink.cooldown.duration{" + getLinkAttrs + "}":                          {count: 1, sum: 20},
			"duolink.rate_limit.remaining{duolink.api=supermetrics}":                   {sum: 4999},
		}, withoutAttrs(series))
	})
}

// A story of MoneyKit: a failed and a good exchange, a good answer with something new in it, and a
// refresh that nobody waits for when the client ends. MoneyKit tells no rate limit.
func TestMetricsOfTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, fake := newTelemetry(), duolinktest.New(t, duolinktest.WithRefreshTime(time.Hour))
		client := fake.Client(duolink.WithHooks(o.hooks(t)))
		fake.Script(
			duolinktest.Fault{Operation: "auth.token", Status: 403},
			duolinktest.Fault{Operation: "identity.get", Body: `{"accounts":[],"new_member":1,"newer":2}`},
		)
		get := func() error {
			_, err := client.Identity.Get(t.Context(), duolinktest.BankLinkID, duolink.IdentityQuery{})
			return err
		}
		require.ErrorIs(t, get(), duolink.ErrForbidden)
		time.Sleep(time.Minute)
		require.NoError(t, get())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.Identity.RefreshAndGet(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
		require.ErrorIs(t, err, duolink.ErrRefreshPending)
		require.NoError(t, client.Close(t.Context()))

		o.spans(t) // all have ended
		series := withoutAttrs(o.series(t))
		const ofMoneyKit = "{duolink.api=moneykit"
		const ofGet = ofMoneyKit + ",duolink.operation=identity.get"
		for name, want := range map[string]point{
			"duolink.token.renewals" + ofMoneyKit + ",error.type=403}":                              {sum: 1},
			"duolink.token.renewals" + ofMoneyKit + "}":                                             {sum: 1},
			"duolink.flows.abandoned" + ofMoneyKit + ",duolink.operation=identity.refresh_and_get}": {sum: 1},
			"duolink.drift" + ofMoneyKit + ",duolink.drift.kind=unknown member,duolink.operation=identity.get}": {
				sum: 2,
			},
			"duolink.call.attempts" + ofGet + "}":                      {count: 2, sum: 1},
			"duolink.call.duration" + ofGet + ",error.type=forbidden}": {count: 1},
			"duolink.call.duration" + ofGet + "}":                      {count: 1},
		} {
			require.Contains(t, series, name)
			require.Equal(t, want, series[name], name)
		}
		for name := range series {
			require.NotContains(t, name, "duolink.rate_limit")
		}
	})
}

// The gauge has what the latest answer says. An answer that says nothing changes nothing.
func TestRemaining(t *testing.T) {
	o := newTelemetry()
	end := o.hooks(t).AttemptEnd
	const name = "duolink.rate_limit.remaining{duolink.api=supermetrics}"
	tell := func(limit duolink.RateLimit) {
		end(t.Context(), duolink.Attempt{API: duolink.Supermetrics, Status: 200, RateLimit: limit})
	}
	tell(duolink.RateLimit{Limit: 5000, Remaining: 9})
	require.NotContains(t, o.series(t), name)
	tell(duolink.RateLimit{Limit: 5000, Remaining: 7, Known: true})
	require.Equal(t, 7.0, o.series(t)[name].sum)
	tell(duolink.RateLimit{Known: true})
	require.Equal(t, 0.0, o.series(t)[name].sum)
	tell(duolink.RateLimit{})
	require.Equal(t, 0.0, o.series(t)[name].sum)
	tell(duolink.RateLimit{Remaining: 4, Known: true})
	require.Equal(t, 4.0, o.series(t)[name].sum)
}

// form is what a metric is, besides its name.
type form struct {
	kind, unit string
	bounds     int
}

// instrumentsOf are all metrics, each after one measurement.
func instrumentsOf(t *testing.T) map[string]form {
	t.Helper()
	o, ctx := newTelemetry(), t.Context()
	h := o.hooks(t)
	h.CallEnd(ctx, duolink.Call{})
	h.AttemptEnd(ctx, duolink.Attempt{RateLimit: duolink.RateLimit{Known: true}})
	h.Wait(ctx, duolink.Wait{})
	h.Cooldown(ctx, duolink.Cooldown{})
	h.TokenRenewal(ctx, duolink.TokenRenewal{})
	h.Abandoned(ctx, duolink.Abandoned{})
	h.Drift(ctx, duolink.Drift{})
	all := map[string]form{}
	for _, scope := range o.collect(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			require.NotEmpty(t, m.Description, m.Name)
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				all[m.Name] = form{"histogram", m.Unit, len(data.DataPoints[0].Bounds)}
			case metricdata.Histogram[int64]:
				all[m.Name] = form{"histogram", m.Unit, len(data.DataPoints[0].Bounds)}
			case metricdata.Sum[int64]:
				require.True(t, data.IsMonotonic)
				all[m.Name] = form{"counter", m.Unit, 0}
			case metricdata.Gauge[int64]:
				all[m.Name] = form{"gauge", m.Unit, 0}
			}
		}
	}
	return all
}

func TestInstruments(t *testing.T) {
	require.Equal(t, map[string]form{
		"http.client.request.duration": {"histogram", "s", 14}, // as the conventions say
		"duolink.call.duration":        {"histogram", "s", len(callSeconds)},
		"duolink.call.attempts":        {"histogram", "{attempt}", len(attemptCounts)},
		"duolink.wait.duration":        {"histogram", "s", len(waitSeconds)},
		"duolink.cooldown.duration":    {"histogram", "s", len(cooldownSeconds)},
		"duolink.cooldowns":            {"counter", "{cooldown}", 0},
		"duolink.rate_limit.remaining": {"gauge", "{request}", 0},
		"duolink.token.renewals":       {"counter", "{renewal}", 0},
		"duolink.flows.abandoned":      {"counter", "{flow}", 0},
		"duolink.drift":                {"counter", "{difference}", 0},
	}, instrumentsOf(t))
}

// Hooks without a CallStart before them, such as those of a test, measure and make no spans.
func TestWithoutACall(t *testing.T) {
	o := newTelemetry()
	h := o.hooks(t)
	ctx, _ := o.begin(t.Context())
	attempt, header := duolink.Attempt{Method: "GET", Route: linkRoute, Number: 1, Status: 200}, http.Header{}
	h.AttemptStart(ctx, attempt)
	h.AttemptHeader(ctx, header)
	h.AttemptEnd(ctx, attempt)
	h.Wait(ctx, duolink.Wait{})
	h.CallEnd(ctx, duolink.Call{})
	require.Empty(t, o.spans(t))
	require.Contains(t, header.Get("Traceparent"), trace.SpanContextFromContext(ctx).SpanID().String())
	require.NotEmpty(t, o.series(t))
}

// Every instrument's error is the error of New.
func TestInstrumentsThatAreRefused(t *testing.T) {
	for name := range instrumentsOf(t) {
		_, err := New(WithMeterProvider(refusingProvider{name: name}))
		require.ErrorIs(t, err, errRefused, name)
	}
}

var errRefused = errors.New("refused")

// refusingProvider has meters that refuse one instrument.
type refusingProvider struct {
	noop.MeterProvider
	name string
}

type refusingMeter struct {
	noop.Meter
	name string
}

func (p refusingProvider) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{name: p.name}
}

func (m refusingMeter) refuses(name string) error {
	if name == m.name {
		return errRefused
	}
	return nil
}

func (m refusingMeter) Float64Histogram(
	name string, _ ...metric.Float64HistogramOption,
) (metric.Float64Histogram, error) {
	return noop.Float64Histogram{}, m.refuses(name)
}

func (m refusingMeter) Int64Histogram(name string, _ ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return noop.Int64Histogram{}, m.refuses(name)
}

func (m refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, m.refuses(name)
}

func (m refusingMeter) Int64Gauge(name string, _ ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	return noop.Int64Gauge{}, m.refuses(name)
}
