package duolinkotel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/contrib/otel"
	"github.com/duolink/duolink/duolinktest"
)

// In a service the providers are the global ones, and New needs no options.
func Example() {
	fake := duolinktest.Start()
	defer fake.Close()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))

	hooks, err := duolinkotel.New(duolinkotel.WithTracerProvider(provider))
	if err != nil {
		fmt.Println(err)
		return
	}
	client := fake.Client(duolink.WithHooks(hooks))
	_, err = client.Links.Get(context.Background(), "dsll_none")
	fmt.Println(errors.Is(err, duolink.ErrNotFound))
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.SpanKind, span.Name)
		for _, a := range span.Attributes {
			fmt.Println("  ", a.Key, a.Value.AsInterface())
		}
	}
	// Output:
	// true
	// client GET /ds/login/link/{loginLinkID}
	//    http.request.method GET
	//    server.address duolink.test
	//    server.port 443
	//    url.template /ds/login/link/{loginLinkID}
	//    duolink.api supermetrics
	//    duolink.operation links.get
	//    http.response.status_code 404
	//    error.type 404
	// internal links.get
	//    duolink.api supermetrics
	//    duolink.operation links.get
	//    error.type 404
	//    duolink.outcome rejected
}

// Hooks of your own stay. They get the span of the call in their context.
func ExampleJoin() {
	fake := duolinktest.Start()
	defer fake.Close()
	fake.Script(duolinktest.Fault{Operation: "links.get", Status: http.StatusTooManyRequests, RetryAfter: time.Minute})

	hooks, err := duolinkotel.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	mine := duolink.Hooks{Cooldown: func(_ context.Context, c duolink.Cooldown) {
		fmt.Println("closed:", c.Operation, c.Duration)
	}}
	client := fake.Client(duolink.WithHooks(duolinkotel.Join(hooks, mine)))
	_, err = client.Links.Get(context.Background(), duolinktest.OpenLoginLinkID, duolink.WithMaxWait(0))
	fmt.Println(err != nil)
	// Output:
	// closed: links.get 1m0s
	// true
}
