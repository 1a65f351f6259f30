package redislimit

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// flowJob is a flow at a fake of both APIs.
func flowJob(t *testing.T, do string, s *redisServer, opts ...duolinktest.Option) (job, *duolinktest.Server) {
	t.Helper()
	fake := duolinktest.Start(opts...)
	t.Cleanup(fake.Close)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return job{
		Do: do, Redis: []string{s.addr}, Key: duolinktest.APIKey, ID: duolinktest.ClientID,
		Secret: duolinktest.ClientSecret, Server: server.URL, LinkID: duolinktest.BankLinkID, Callers: 1,
	}, fake
}

// Callers of three processes get one link.
func TestFleetMakesOneLink(t *testing.T) {
	t.Parallel()
	j, fake := flowJob(t, "create", startRedis(t))
	fake.Script(duolinktest.Fault{Operation: "links.create", Delay: 2 * time.Second})
	j.Callers = 67
	before := len(fake.LoginLinks())
	good := 0
	for _, w := range j.startAll(t, processes) {
		r := w.result()
		require.Empty(t, r.Other)
		good += r.Good
	}
	require.Equal(t, processes*j.Callers, good)
	require.Equal(t, 1, fake.Count("links.create"))
	require.Len(t, fake.LoginLinks(), before+1)
}

// Three processes ask for one refresh.
func TestFleetRefreshesOnce(t *testing.T) {
	t.Parallel()
	j, fake := flowJob(t, "refresh", startRedis(t), duolinktest.WithRefreshTime(3*time.Second))
	for _, w := range j.startAll(t, processes) {
		r := w.result()
		require.Empty(t, r.Other)
		require.Equal(t, 1, r.Good)
	}
	require.Equal(t, 1, fake.Count("identity.refresh"))
}

// A process is killed right after it has asked for a refresh. The others wait for that refresh, and ask for
// no second one.
func TestProcessIsKilledInARefresh(t *testing.T) {
	t.Parallel()
	j, fake := flowJob(t, "refresh", startRedis(t), duolinktest.WithRefreshTime(8*time.Second))
	first := j.start(t)
	first.begin()
	require.Eventually(t, func() bool { return fake.Count("identity.refresh") == 1 }, 20*time.Second, time.Millisecond)
	first.kill()
	began := time.Now()
	for _, w := range j.startAll(t, processes-1) {
		r := w.result()
		require.Empty(t, r.Other)
		require.Equal(t, 1, r.Good)
	}
	t.Logf("the others had the answer after %v", time.Since(began))
	require.Equal(t, 1, fake.Count("identity.refresh"))
}
