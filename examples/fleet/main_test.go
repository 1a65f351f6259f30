package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duolink/duolink/duolinktest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The workers of a test are the test's program, started again.
func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(workerVariable); ok {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("REQUIRE_REDIS") == "" {
		t.Skip("redis-server is not installed (Debian: apt-get install redis-server)")
	}
}

// ownRedis starts a Redis for a test.
func ownRedis(t *testing.T) (address string, client *redis.Client) {
	t.Helper()
	needRedis(t)
	address, stop, err := startRedis(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	client = redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = client.Close() })
	return address, client
}

// writer is an output that several goroutines may write to.
type writer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// quiet keeps the Redis client from logging each dial that fails.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// All links are read, although a worker is killed, and the vendor refuses nothing.
func TestFleet(t *testing.T) {
	needRedis(t)
	var out, bar writer
	require.NoError(t, run(t.Context(), []string{"-links", "60", "-workers", "3", "-kill"}, &out, &bar))
	require.Contains(t, out.String(), "60 identities read, 0 failed")
	require.Contains(t, out.String(), "by 3 workers, 0 refused")
	require.Contains(t, out.String(), "worker 0 has ended (signal: killed) after ")
	require.Contains(t, bar.String(), "identities")
	require.NotContains(t, out.String()+bar.String(), "Owner")

	// What the killed worker had taken is read again, and nothing else: an exchange of a token for each
	// process, and at most its five readers' links twice.
	requests := regexp.MustCompile(`(\d+) requests`).FindStringSubmatch(out.String())
	require.Len(t, requests, 2)
	n, err := strconv.Atoi(requests[1])
	require.NoError(t, err)
	require.LessOrEqual(t, n, 60+4+readers)
}

// Each worker shows its metrics.
func TestMetrics(t *testing.T) {
	needRedis(t)
	var out writer
	var metrics string
	const read = `url_template="/links/{bankLinkID}/identity"`
	b := &boss{workers: 1, links: 40, job: "metrics", out: &out, bar: io.Discard}
	b.started = func(_ int, address string) {
		deadline := time.Now().Add(30 * time.Second)
		for !strings.Contains(metrics, read) && time.Now().Before(deadline) {
			resp, err := http.Get(address)
			if err != nil {
				return // it has ended
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			metrics = string(text)
		}
	}
	require.NoError(t, b.run(t.Context()))
	for _, series := range []string{
		"http_client_request_duration_seconds_bucket{", read, `http_response_status_code="200"`,
		"duolink_call_duration_seconds_sum{", "duolink_wait_duration_seconds_count{",
	} {
		require.True(t, strings.Contains(metrics, series), series)
	}
	require.False(t, strings.Contains(metrics, "mk_fleet_"), "an id")
	require.False(t, strings.Contains(metrics, duolinktest.ClientSecret))
}

// The whole program is killed, and goes on where it was when it is started again.
func TestFleetGoesOn(t *testing.T) {
	address, client := ownRedis(t)
	q := queue{client, "identities"}
	args := []string{"-links", "80", "-redis", address, "-workers", "4"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if done, _, err := q.ended(ctx); err == nil && done >= 20 {
				cancel()
			}
		}
	}()
	var first, second writer
	require.Error(t, run(ctx, args, &first, io.Discard))
	before, _, err := q.ended(t.Context())
	require.NoError(t, err)
	require.Less(t, before, int64(80))

	args[len(args)-1] = "2"
	require.NoError(t, run(t.Context(), args, &second, io.Discard))
	require.Contains(t, second.String(), "80 identities read, 0 failed")
	again := regexp.MustCompile(`(\d+) requests`).FindStringSubmatch(second.String())
	require.Len(t, again, 2)
	n, err := strconv.Atoi(again[1])
	require.NoError(t, err)
	require.LessOrEqual(t, n, 80-int(before)+2, "nothing that is done is read again")
}

// A link that cannot be read does not hold the others up.
func TestLinkThatCannotBeRead(t *testing.T) {
	address, client := ownRedis(t)
	q := queue{client, "identities"}
	require.NoError(t, q.fill(t.Context(), []string{"mk_fleet_0", "mk_of_nobody", "mk_fleet_1"}))
	var out writer
	err := run(t.Context(), []string{"-links", "2", "-redis", address}, &out, io.Discard)
	require.EqualError(t, err, "1 bank links could not be read")
	require.Contains(t, out.String(), "2 identities read, 1 failed")
}

// Every key of the work expires.
func TestKeysExpire(t *testing.T) {
	_, client := ownRedis(t)
	q := queue{client, "job"}
	require.NoError(t, q.fill(t.Context(), []string{"a", "b", "c"}))
	link, err := q.take(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "a", link)
	require.NoError(t, q.finish(t.Context(), 1, link, "done"))
	_, err = q.take(t.Context(), 2)
	require.NoError(t, err)
	keys := client.Keys(t.Context(), "*").Val()
	require.Len(t, keys, 4)
	for _, key := range keys {
		require.Positive(t, client.TTL(t.Context(), key).Val(), key)
	}
	given, err := q.giveBack(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, 1, given)
	link, err = q.take(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, "b", link)
}

func TestFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-workers is not 1 to 50":  {"-workers", "0"},
		"-links is not 1 to 10000": {"-links", "20000"},
		"-job is empty":            {"-job", ""},
		"fleet -h lists":           {"more"},
		"no Redis at 127.0.0.1:1":  {"-redis", "127.0.0.1:1"},
	} {
		require.ErrorContains(t, run(t.Context(), args, io.Discard, io.Discard), want)
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, &out, io.Discard))
	require.Contains(t, out.String(), "-workers")
}
