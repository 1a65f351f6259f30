// Package duolinkotel gives the spans and metrics of a duolink.Client to OpenTelemetry.
//
//	hooks, err := duolinkotel.New()
//	if err != nil {
//		return err
//	}
//	client, err := duolink.New(duolink.WithHooks(hooks), ...)
//
// [New] makes hooks that use the global providers and the global propagator, or those of its
// options. [Join] puts them together with hooks of your own.
//
// # Spans
//
// Each call is a span, named after its operation, such as "links.get". The span that is in the
// context of the call is its parent. Each attempt is a span below it, of the kind client, named
// after its method and route, such as "GET /ds/login/link/{loginLinkID}". Its attributes follow the
// semantic conventions for HTTP clients. Waits, cooldowns and drift are events of the span of the
// call. A token exchange is a call, too. It is below the call that has begun it, and may end later.
//
// The context of a request has the span of the call, because hooks cannot give an attempt a context
// of its own. An instrumented http.Transport, such as otelhttp's, would add a second span for
// each attempt, and its own headers would go out in place of those of the attempt. Do not use both.
//
// # Headers
//
// Each attempt carries what the propagator writes, which with the W3C trace context is the header
// traceparent with the span of the attempt. It goes to the vendor. If the propagator writes
// baggage, the vendor gets the baggage, too, whatever is in it. To send the trace alone, use
// WithPropagator(propagation.TraceContext{}). To send nothing, use a propagator without parts:
// WithPropagator(propagation.NewCompositeTextMapPropagator()).
//
// # What is never exported
//
// No span and no metric has a URL, a query, a header, a body, an id, a code or a request id,
// because they are private or an open set. The attributes are those of an allow-list, which the
// README has. The attribute error.type is the status of the answer or one of a fixed list of words,
// and "_OTHER" for everything else. So neither a server nor an id can add a series to a metric.
package duolinkotel
