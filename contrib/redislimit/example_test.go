package redislimit_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/contrib/redislimit"
	"github.com/redis/go-redis/v9"
)

// A fleet that would rather not call the vendor at all than call it without the common budget.
func ExampleFailClosed() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}) // nobody is there
	defer func() { _ = client.Close() }()
	fleet, err := redislimit.New(client, redislimit.FailClosed())
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := duolink.New(duolink.WithSupermetrics(duolink.BearerToken("key")), duolink.WithLimiter(fleet))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Logins.List(context.Background())
	fmt.Println(errors.Is(err, redislimit.ErrAway))
	fmt.Println(err)
	// Output:
	// true
	// duolink: logins.list: no answer: the limiter let nothing out
}

// While Redis is away, each of four processes keeps to a quarter of the budget.
func ExampleWithFallback() {
	budgets := duolink.PublishedBudgets()
	for kind, b := range budgets {
		b.Per *= 4
		budgets[kind] = b
	}
	own, err := duolink.NewLocalLimiter(budgets)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer func() { _ = client.Close() }()
	fleet, err := redislimit.New(client, redislimit.WithFallback(own))
	fmt.Println(fleet != nil, err)
	// Output: true <nil>
}
