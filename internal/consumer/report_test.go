package consumer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// report is code of a user's.
func report(ctx context.Context, client *duolink.Client) (string, error) {
	logins, err := client.Logins.List(ctx)
	return fmt.Sprint(len(logins), " logins"), err
}

func TestReport(t *testing.T) {
	fake := duolinktest.New(t)
	fake.Script(duolinktest.Fault{Operation: "logins.list", Status: 429, RetryAfter: time.Minute})
	_, err := report(t.Context(), fake.Client(duolink.WithRetry(duolink.Retry{MaxAttempts: 1})))
	require.ErrorIs(t, err, duolink.ErrRateLimited)
}
