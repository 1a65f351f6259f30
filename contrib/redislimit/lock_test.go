package redislimit

import (
	"syscall"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/stretchr/testify/require"
)

// fleetsOn are fleets of different processes on one Redis.
func fleetsOn(t *testing.T, s *redisServer, n int, opts ...Option) (all []*Fleet) {
	t.Helper()
	for range n {
		f, err := New(s.client(), opts...)
		require.NoError(t, err)
		all = append(all, f)
	}
	return all
}

const (
	soon  = 10 * time.Second // nothing here takes so long
	often = 5 * time.Millisecond
)

// One process has a lock for as long as it wants, and another one gets it then.
func TestLock(t *testing.T) {
	t.Parallel()
	f := fleetsOn(t, startRedis(t), 2)
	const expiry = 600 * time.Millisecond
	first, err := f[0].Lock(t.Context(), "a", expiry)
	require.NoError(t, err)
	for until := time.Now().Add(3 * expiry); time.Now().Before(until); time.Sleep(often) {
		_, err := f[1].Lock(t.Context(), "a", expiry)
		require.ErrorIs(t, err, duolink.ErrLocked)
		require.True(t, first.Held())
	}
	_, err = f[0].Lock(t.Context(), "a", expiry)
	require.ErrorIs(t, err, duolink.ErrLocked, "nor does the process itself get it twice")
	other, err := f[1].Lock(t.Context(), "b", expiry)
	require.NoError(t, err, "another name is not concerned")
	other.Unlock()
	first.Unlock()
	first.Unlock()
	second, err := f[1].Lock(t.Context(), "a", expiry)
	require.NoError(t, err)
	second.Unlock()
}

// A lock that is not renewed any more, because its process has died or does not know what became of its
// write, ends after its expiry and not before.
func TestLockExpires(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*lock){
		"died":   func(l *lock) { l.end(func() {}) },
		"expire": (*lock).Expire,
	} {
		t.Run(name, func(t *testing.T) {
			f := fleetsOn(t, startRedis(t), 2)
			const expiry = time.Second
			held, err := f[0].Lock(t.Context(), "a", expiry)
			require.NoError(t, err)
			end(held.(*lock))
			ended := time.Now()
			for {
				next, err := f[1].Lock(t.Context(), "a", expiry)
				if err == nil {
					next.Unlock()
					break
				}
				require.ErrorIs(t, err, duolink.ErrLocked)
				require.Less(t, time.Since(ended), soon)
			}
			if name == "expire" {
				require.Greater(t, time.Since(ended), expiry*9/10, "its time begins anew")
			}
			require.Greater(t, time.Since(ended), expiry/2)
		})
	}
}

// Redis forgets a lock. Its process takes it again, unless another one has been quicker. Then the process
// knows that it has lost the lock.
func TestRedisForgetsALock(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	f := fleetsOn(t, s, 2)
	const expiry = 600 * time.Millisecond
	held, err := f[0].Lock(t.Context(), "a", expiry)
	require.NoError(t, err)
	c, key := s.client(), f[0].key("a", "lock")
	require.NoError(t, c.FlushAll(t.Context()).Err())
	require.Eventually(t, func() bool { return c.Exists(t.Context(), key).Val() == 1 }, soon, often)
	require.True(t, held.Held())
	_, err = f[1].Lock(t.Context(), "a", expiry)
	require.ErrorIs(t, err, duolink.ErrLocked)

	require.NoError(t, c.Set(t.Context(), key, "another process", time.Minute).Err())
	require.Eventually(t, func() bool { return !held.Held() }, soon, often)
	held.Unlock()
	require.Equal(t, "another process", c.Get(t.Context(), key).Val(), "its lock stays")
}

// Redis dies. A lock is held until its expiry, because no other process gets it before.
func TestRedisDiesWithALock(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	f := fleetsOn(t, s, 1)
	const expiry = 2 * time.Second
	held, err := f[0].Lock(t.Context(), "a", expiry)
	require.NoError(t, err)
	s.kill()
	require.True(t, held.Held())
	require.Eventually(t, func() bool { return !held.Held() }, soon, often)
}

// Redis hangs when a process asks for a lock. The process goes on without it, and the lock that Redis gives
// later does not stay.
func TestLateLock(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	f := fleetsOn(t, s, 2)
	c := s.client()
	require.NoError(t, c.Ping(t.Context()).Err())
	_, err := f[0].closedFor(t.Context(), duolink.Group{}) // it has a connection
	require.NoError(t, err)
	s.signal(syscall.SIGSTOP)
	held, err := f[0].Lock(t.Context(), "a", time.Hour)
	require.NoError(t, err)
	require.Equal(t, unshared{}, held)
	s.signal(syscall.SIGCONT)
	require.Eventually(t, func() bool {
		next, err := f[1].Lock(t.Context(), "a", time.Minute)
		if err == nil {
			next.Unlock()
		}
		_, shared := next.(*lock)
		return shared
	}, soon, often)
	require.Eventually(t, func() bool { return c.DBSize(t.Context()).Val() == 0 }, soon, often)
}
