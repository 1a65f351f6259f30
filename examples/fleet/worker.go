package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// orders are what a worker is told by the process that starts it.
type orders struct {
	Worker int
	Job    string
	Redis  string
	Server string // the fake, which takes the credentials of the fake
}

// readers is how many identities a worker reads at a time.
const readers = 5

// work reads identities until none is left. First it says where its metrics are.
func (o orders) work(ctx context.Context, out io.Writer) error {
	metrics, err := serveMetrics(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, metrics)
	store := redis.NewClient(&redis.Options{Addr: o.Redis})
	defer func() { _ = store.Close() }()
	client, err := newClient(store,
		duolink.WithMoneyKit(duolink.ClientCredentials(duolinktest.ClientID, duolinktest.ClientSecret)),
		duolink.WithBaseURL(duolink.MoneyKit, o.Server), duolink.WithInsecureHTTP(),
	)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }()

	q := queue{store, o.Job}
	if _, err := q.giveBack(ctx, o.Worker); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, readers)
	for i := range readers {
		all.Go(func() { errs[i] = o.read(ctx, client, q) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return errors.New("stopped")
	}
	return errors.Join(errs...)
}

// read reads one identity after the other.
func (o orders) read(ctx context.Context, client *duolink.Client, q queue) error {
	for {
		link, err := q.take(ctx, o.Worker)
		if link == "" || err != nil {
			return err
		}
		end, err := "done", readIdentity(ctx, client, link)
		if ctx.Err() != nil { // somebody stops the worker: the link stays taken, and is read next time
			return ctx.Err()
		}
		if err != nil {
			end = "failed"
		}
		if err := q.finish(ctx, o.Worker, link, end); err != nil {
			return err
		}
	}
}

// readIdentity reads an identity. A real program would compare the owners with its own records.
func readIdentity(ctx context.Context, client *duolink.Client, link string) error {
	for {
		_, err := client.Identity.Get(ctx, link, duolink.IdentityQuery{})
		e, ok := errors.AsType[*duolink.Error](err)
		if !ok || !errors.Is(err, duolink.ErrRateLimited) || e.RetryAfter == 0 {
			return err
		}
		select { // the wait is longer than the client's Retry.MaxWait
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(e.RetryAfter):
		}
	}
}

// serveMetrics shows the metrics of the process, and returns the address.
func serveMetrics(ctx context.Context) (string, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return "", err
	}
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String() + "/metrics", nil
}
