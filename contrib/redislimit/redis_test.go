package redislimit

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// program finds a program of Redis. Where it is missing the test is skipped, unless REQUIRE_REDIS says that
// it must be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("REQUIRE_REDIS") == "" {
		t.Skipf("%s is not installed (Debian: apt-get install redis-server)", name)
	}
	require.NoError(t, err)
	return path
}

// freePort is a port of the loopback interface that nobody uses, and whose cluster port nobody uses.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port+10000 > 65535 {
			continue
		}
		bus, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+10000))
		if err == nil {
			_ = bus.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// redisServer is a real Redis on a port of the loopback interface.
type redisServer struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	port := freePort(t)
	dir := filepath.Join(t.TempDir(), strconv.Itoa(port))
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := &redisServer{t: t, addr: "127.0.0.1:" + strconv.Itoa(port)}
	s.args = append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--save", "", "--appendonly", "no",
	}, args...)
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(program(s.t, "redis-server"), s.args...)
	require.NoError(s.t, s.cmd.Start())
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	require.Eventually(s.t, func() bool { return client.Ping(context.Background()).Err() == nil },
		10*time.Second, 10*time.Millisecond)
}

func (s *redisServer) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *redisServer) signal(signal os.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(signal))
}

func (s *redisServer) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// startCluster starts a cluster of three masters, each with a replica.
func startCluster(t *testing.T) (addresses []string, servers map[string]*redisServer) {
	t.Helper()
	servers = map[string]*redisServer{}
	for range 6 {
		s := startRedis(t,
			"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
		addresses, servers[s.addr] = append(addresses, s.addr), s
	}
	args := append([]string{"--cluster", "create", "--cluster-replicas", "1", "--cluster-yes"}, addresses...)
	out, err := exec.Command(program(t, "redis-cli"), args...).CombinedOutput()
	require.NoError(t, err, string(out))
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses})
	defer func() { _ = c.Close() }()
	require.Eventually(t, func() bool { return clusterIsWell(c, servers) }, 30*time.Second, 50*time.Millisecond)
	return addresses, servers
}

// clusterIsWell reports whether every slot has a master that takes writes, and every replica follows its
// master.
func clusterIsWell(c *redis.ClusterClient, servers map[string]*redisServer) bool {
	ctx := context.Background()
	for i := range 50 {
		if c.Set(ctx, "probe:"+strconv.Itoa(i), "", time.Minute).Err() != nil {
			return false
		}
	}
	replicas := 0
	for _, s := range servers {
		info := s.client().Info(ctx, "replication").Val()
		if strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up") {
			replicas++
		}
	}
	return replicas == len(servers)/2
}

// tagOf is the hash tag of a key.
func tagOf(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	tag, _, _ := strings.Cut(rest, "}")
	return tag
}

// quiet keeps the Redis client from logging each dial that fails.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }
