package duolinkotel

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
)

// ScopeName is the name of the tracer and of the meter.
const ScopeName = "github.com/duolink/duolink/contrib/otel"

// Option changes what the hooks of [New] write to.
type Option func(*config) error

type config struct {
	traces     trace.TracerProvider
	metrics    metric.MeterProvider
	propagator propagation.TextMapPropagator
}

// WithTracerProvider replaces the global provider of tracers.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(cfg *config) error {
		if provider == nil {
			return argumentError("WithTracerProvider: the provider is nil")
		}
		cfg.traces = provider
		return nil
	}
}

// WithMeterProvider replaces the global provider of meters.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(cfg *config) error {
		if provider == nil {
			return argumentError("WithMeterProvider: the provider is nil")
		}
		cfg.metrics = provider
		return nil
	}
}

// WithPropagator replaces the global propagator, which writes the headers of each attempt. They go
// to the vendor.
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return func(cfg *config) error {
		if propagator == nil {
			return argumentError("WithPropagator: the propagator is nil")
		}
		cfg.propagator = propagator
		return nil
	}
}

// argumentError refuses an option as duolink refuses its own.
func argumentError(message string) error {
	return &duolink.Error{Kind: duolink.ErrArgument, Outcome: duolink.OutcomeNotSent, Message: message}
}

// New returns hooks for duolink.WithHooks that write spans and metrics. They may serve several
// clients. A nil or wrong option is a duolink.ErrArgument. An instrument that the provider refuses
// is its error.
func New(opts ...Option) (duolink.Hooks, error) {
	cfg := config{
		traces: otel.GetTracerProvider(), metrics: otel.GetMeterProvider(), propagator: otel.GetTextMapPropagator(),
	}
	for _, opt := range opts {
		if opt == nil {
			return duolink.Hooks{}, argumentError("an option is nil")
		}
		if err := opt(&cfg); err != nil {
			return duolink.Hooks{}, err
		}
	}
	meter := cfg.metrics.Meter(ScopeName, metric.WithSchemaURL(semconv.SchemaURL))
	metrics, err := newInstruments(meter)
	if err != nil {
		return duolink.Hooks{}, err
	}
	tracer := cfg.traces.Tracer(ScopeName, trace.WithSchemaURL(semconv.SchemaURL))
	r := &recorder{tracer: tracer, propagator: cfg.propagator, metrics: metrics}
	return duolink.Hooks{
		CallStart: r.callStart, CallEnd: r.callEnd,
		AttemptStart: r.attemptStart, AttemptEnd: r.attemptEnd, AttemptHeader: r.attemptHeader,
		Wait: r.waits, Cooldown: r.coolsDown, TokenRenewal: r.renewed, Abandoned: r.abandoned, Drift: r.drifts,
	}, nil
}

// recorder is what the hooks of one New write to.
type recorder struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	metrics    *instruments
}

// callKey finds the call of a recorder in a context. Two recorders have a call each.
type callKey struct{ of *recorder }

// call is the state of a call, from its start to its end.
type call struct {
	span trace.Span

	mu      sync.Mutex
	attempt trace.Span // the open one, or nil
}

// callOf returns the call of a context, or nil if CallStart was not called with it.
func (r *recorder) callOf(ctx context.Context) *call {
	own, _ := ctx.Value(callKey{r}).(*call)
	return own
}

// take returns the open attempt, which is not open any more, or nil.
func (c *call) take() trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := c.attempt
	c.attempt = nil
	return open
}

// open makes an attempt the open one, and returns the one before if that is still open.
func (c *call) open(attempt trace.Span) trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.attempt
	c.attempt = attempt
	return before
}

// current returns the span of the open attempt, or else that of the call.
func (c *call) current() trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempt != nil {
		return c.attempt
	}
	return c.span
}
