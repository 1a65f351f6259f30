package main

import (
	"github.com/duolink/duolink"
	duolinkotel "github.com/duolink/duolink/contrib/otel"
	"github.com/duolink/duolink/contrib/redislimit"
	"github.com/redis/go-redis/v9"
)

// newClient makes the client of one instance.
func newClient(client redis.UniversalClient, opts ...duolink.Option) (*duolink.Client, error) {
	fleet, err := redislimit.New(client) // a redis.Client, a redis.ClusterClient, or one with Sentinel
	if err != nil {
		return nil, err
	}
	hooks, err := duolinkotel.New() // for the global providers
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		duolink.WithLimiter(fleet), // all instances together keep to the vendors' limits
		duolink.WithLocker(fleet),  // one link for a marker, one refresh of a bank link
		duolink.WithHooks(hooks))   // spans and metrics
	return duolink.New(opts...)
}
