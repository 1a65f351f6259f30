package duolinktest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// A delay passes before the operation. With DropAfter it passes between the operation and the end
// of the connection, so that a client that does not wait cannot know of the operation either.
func TestWhenADelayPasses(t *testing.T) {
	for name, tc := range map[string]struct {
		fault        duolinktest.Fault
		early, later int // login links made after 1 s, and after 20 s
	}{
		"Delay":                {duolinktest.Fault{Delay: 10 * time.Second}, 0, 1},
		"Delay and DropBefore": {duolinktest.Fault{Delay: 10 * time.Second, DropBefore: true}, 0, 0},
		"Delay and DropAfter":  {duolinktest.Fault{Delay: 10 * time.Second, DropAfter: true}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := duolinktest.New(t, duolinktest.WithoutSamples())
				client := fake.Client(duolink.WithRetry(duolink.Retry{MaxAttempts: 1}))
				fake.Script(tc.fault)
				started, took := time.Now(), make(chan time.Duration, 1)
				go func() {
					_, _ = client.Links.Create(t.Context(), duolink.LoginLinkCreate{DataSourceID: "GAWA"})
					took <- time.Since(started)
				}()
				time.Sleep(time.Second)
				require.Len(t, fake.LoginLinks(), tc.early)
				require.Equal(t, 10*time.Second, <-took)
				require.Len(t, fake.LoginLinks(), tc.later)
			})
		})
	}
}
