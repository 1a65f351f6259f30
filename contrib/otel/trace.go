package duolinkotel

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
)

// What each hook does. What it writes into metrics is in metrics.go.

func (r *recorder) callStart(ctx context.Context, c duolink.Call) context.Context {
	own := &call{}
	ctx, own.span = r.tracer.Start(ctx, c.Operation, trace.WithSpanKind(trace.SpanKindInternal),
		trace.WithAttributes(names(c.API, c.Operation)...))
	return context.WithValue(ctx, callKey{r}, own)
}

func (r *recorder) callEnd(ctx context.Context, c duolink.Call) {
	var failure []attribute.KeyValue
	if c.Failure != "" || c.Outcome != "" { // the error of a caller's provider of tokens may have no words
		failure = append(failure, errorType(c.Status, c.Failure))
	}
	r.metrics.called(ctx, c, failure)
	own := r.callOf(ctx)
	if own == nil {
		return
	}
	cutShort(own.take())
	if failure != nil {
		fail(own.span, append(failure, outcome(c.Outcome)...)...)
	}
	own.span.End()
}

// fail marks a span as failed, without a description, which could have a server's words in it.
func fail(span trace.Span, attrs ...attribute.KeyValue) {
	span.SetAttributes(attrs...)
	span.SetStatus(codes.Error, "")
}

// cutShort ends the span of an attempt, if there is one, whose AttemptEnd a panic has skipped.
func cutShort(attempt trace.Span) {
	if attempt != nil {
		fail(attempt, semconv.ErrorTypeOther)
		attempt.End()
	}
}

func (r *recorder) attemptStart(ctx context.Context, a duolink.Attempt) {
	own := r.callOf(ctx)
	if own == nil {
		return
	}
	attrs := append(request(a), names(a.API, a.Operation)...)
	if a.Number > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(a.Number-1))
	}
	// Another hook may have put a span of its own into the context.
	_, span := r.tracer.Start(trace.ContextWithSpan(ctx, own.span), a.Method+" "+a.Route,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	cutShort(own.open(span))
}

func (r *recorder) attemptHeader(ctx context.Context, header http.Header) {
	if own := r.callOf(ctx); own != nil {
		ctx = trace.ContextWithSpan(ctx, own.current())
	}
	r.propagator.Inject(ctx, propagation.HeaderCarrier(header))
}

func (r *recorder) attemptEnd(ctx context.Context, a duolink.Attempt) {
	var open trace.Span
	if own := r.callOf(ctx); own != nil {
		open = own.take()
	}
	if open != nil { // an exemplar names the attempt
		ctx = trace.ContextWithSpan(ctx, open)
	}
	attrs, failed := result(a)
	r.metrics.attempted(ctx, a, attrs)
	if open == nil {
		return
	}
	if failed {
		fail(open)
	}
	open.SetAttributes(attrs...)
	open.End()
}

func (r *recorder) waits(ctx context.Context, w duolink.Wait) {
	reason := reasonKey.String(string(w.Reason))
	r.metrics.waited(ctx, w, reason)
	r.event(ctx, "duolink.wait", reason, waitDurationKey.Float64(w.Duration.Seconds()))
}

func (r *recorder) coolsDown(ctx context.Context, c duolink.Cooldown) {
	r.metrics.cooledDown(ctx, c)
	r.event(ctx, "duolink.cooldown", cooldownDurationKey.Float64(c.Duration.Seconds()))
}

// drifts counts a difference by its kind. Its place is an open set, because a server may name a
// member anything.
func (r *recorder) drifts(ctx context.Context, d duolink.Drift) {
	kind := driftKindKey.String(string(d.Kind))
	r.metrics.drifted(ctx, d, kind)
	r.event(ctx, "duolink.drift", kind)
}

// event adds an event to the span of the call. Without a call there is no span of ours.
func (r *recorder) event(ctx context.Context, name string, attrs ...attribute.KeyValue) {
	if own := r.callOf(ctx); own != nil {
		own.span.AddEvent(name, trace.WithAttributes(attrs...))
	}
}

func (r *recorder) renewed(ctx context.Context, t duolink.TokenRenewal) { r.metrics.renewed(ctx, t) }

func (r *recorder) abandoned(ctx context.Context, a duolink.Abandoned) { r.metrics.abandoned(ctx, a) }
