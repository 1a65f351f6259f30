package duolink

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/proof/pipes"
	"github.com/stretchr/testify/require"
)

// The time in the queue for a connection does not count: of many callers on one connection, none
// fails by AttemptTimeout.
func TestQueueIsNotAttemptTime(t *testing.T) {
	t.Parallel()
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				callers := 300
				if inShort() {
					callers = 30
				}
				head := "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(answers[operation])) + "\r\n\r\n"
				base := pipes.New(func(p pipes.Peer) {
					for pipes.Request(p) {
						time.Sleep(400 * time.Millisecond)
						if _, err := io.WriteString(p, head+answers[operation]); err != nil {
							return
						}
					}
				})
				base.MaxConnsPerHost = 1
				defer base.CloseIdleConnections()
				through := roundTrip(base.RoundTrip) // a transport of the caller's, which may queue as well
				for _, transport := range []http.RoundTripper{&base.Transport, through} {
					began := time.Now()
					c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: transport},
						WithRetry(Retry{AttemptTimeout: 500 * time.Millisecond}))
					var wg sync.WaitGroup
					for range callers {
						wg.Go(func() { require.NoError(t, call(t.Context(), c)) })
					}
					wg.Wait()
					require.Equal(t, time.Duration(callers)*400*time.Millisecond, time.Since(began))
				}
			})
		})
	}
}

// The context bounds the queue. A request that gives up there was not sent.
func TestContextBoundsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := pipes.New(pipes.Halting(""))
		base.MaxConnsPerHost = 1
		defer base.CloseIdleConnections()
		c := clientOf(t, "http://127.0.0.1", "links.create", &http.Client{Transport: &base.Transport},
			WithRetry(Retry{AttemptTimeout: time.Hour}))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Links.Get(ctx, "dsll_1")
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		began := time.Now()
		waiting, giveUp := context.WithTimeout(t.Context(), 10*time.Minute)
		defer giveUp()
		_, err := c.Links.Create(waiting, LoginLinkCreate{DataSourceID: "GAWA"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Equal(t, 10*time.Minute, time.Since(began))
		cancel()
		wg.Wait()
	})
}

// An attempt's time begins with its connection. Dialing has the same bound, but does not count.
func TestAttemptTimeBeginsWithTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		dial, answer time.Duration
		want         error
	}{
		"both within":            {29 * time.Second, 29 * time.Second, nil},
		"the dial is too slow":   {31 * time.Second, 0, ErrTimeout},
		"the answer is too slow": {29 * time.Second, 31 * time.Second, ErrTimeout},
	} {
		for queues, most := range map[string]int{"": 0, ", with a bounded pool": 5} {
			t.Run(name+queues, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := pipes.New(func(p pipes.Peer) {
						if pipes.Request(p) {
							time.Sleep(tc.answer)
							_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"+`{"data":[]}`)
						}
					})
					connect := base.DialContext
					base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
						httptrace.ContextClientTrace(ctx).ConnectStart(network, address) // as a net.Dialer does
						if err := pace.Sleep(ctx, tc.dial); err != nil {
							return nil, err
						}
						return connect(ctx, network, address)
					}
					base.MaxConnsPerHost = most
					defer base.CloseIdleConnections()
					began := time.Now()
					c := clientOf(t, "http://127.0.0.1", "links.list", &http.Client{Transport: &base.Transport})
					_, err := c.Links.List(t.Context(), WithoutRetry())
					require.ErrorIs(t, err, tc.want)
					switch tc.want {
					case nil:
						require.Equal(t, tc.dial+tc.answer, time.Since(began))
					default:
						require.Equal(t, tc.dial > defaultRetry.AttemptTimeout,
							asError(t, err).Outcome == OutcomeNotSent)
					}
					time.Sleep(time.Minute)
				})
			})
		}
	}
}
