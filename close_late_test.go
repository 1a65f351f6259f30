package duolink

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Close does not wait longer than its context for the reading that callers of a refresh share.
func TestCloseEndsASharedReading(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "identity.get", Delay: 25 * time.Second})
		var calls sync.WaitGroup
		calls.Go(func() {
			_, err := c.Identity.RefreshAndGet(t.Context(), sandbox.LinkID, RefreshOptions{})
			require.ErrorIs(t, err, ErrClosed)
		})
		for s.Count("identity.get") == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.Close(ctx), context.DeadlineExceeded)
		closed := time.Now()
		calls.Wait()
		require.LessOrEqual(t, time.Since(closed), time.Second)
	})
}

// If the last caller gives up only after Close has begun, a write with an unknown outcome is told, too.
func TestCloseTellsOfARunThatIsLeftLater(t *testing.T) {
	for name, f := range sharedFlows {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			inBubble(t, nil, []Option{WithHooks(d.hooks())}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				require.NoError(t, linkOf(t.Context(), c))
				lost := sandbox.Fault{Operation: f.write, Delay: 10 * time.Second, Drop: sandbox.DropAfter}
				s.Script(sandbox.Fault{Operation: f.look}, lost)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				var calls sync.WaitGroup
				calls.Go(func() { require.ErrorIs(t, f.call(ctx, c), context.DeadlineExceeded) })
				time.Sleep(2 * time.Second)
				require.NoError(t, c.Close(t.Context()))
				calls.Wait()
				synctest.Wait()
				noRuns(t, c)
				require.Len(t, d.abandoned(), 1)
			})
		})
	}
}

// After Close a flow joins no run that is still under way.
func TestNoRunIsJoinedAfterClose(t *testing.T) {
	for name, f := range sharedFlows {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: f.look, Delay: 10 * time.Second})
				var calls sync.WaitGroup
				calls.Go(func() { _ = f.call(t.Context(), c) })
				time.Sleep(2 * time.Second)
				calls.Go(func() { require.NoError(t, c.Close(t.Context())) })
				time.Sleep(2 * time.Second)
				require.ErrorIs(t, f.call(t.Context(), c), ErrClosed)
				calls.Wait()
			})
		})
	}
}

// Nothing is under way in an idle client, even if the context of Close has ended.
func TestCloseOfAnIdleClient(t *testing.T) {
	for range 100 {
		c := clientOf(t, "http://localhost", "links.get", http.DefaultClient)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, c.Close(ctx))
	}
}

// A client that was made outside is used in two bubbles of testing/synctest, and closed outside.
func TestClientInTwoBubbles(t *testing.T) {
	empty := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody}, nil
	})
	c := clientOf(t, "http://localhost", "links.get", &http.Client{Transport: empty})
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			_, err := c.Links.Get(t.Context(), "dsll_1", WithoutRetry())
			require.Equal(t, http.StatusNoContent, asError(t, err).StatusCode)
		})
	}
	require.NoError(t, c.Close(t.Context()))
}

// A long interval of looks leaves time for a last look, however long it is.
func TestAwaitLooksBeforeTheDeadline(t *testing.T) {
	for first, most := range map[time.Duration]time.Duration{
		30 * time.Second: 30 * time.Second, time.Minute: 30 * time.Second, 4 * time.Minute: 10 * time.Minute,
	} {
		inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			time.AfterFunc(most-2*time.Second, func() {
				require.NoError(t, s.CompleteLogin(sandbox.OpenLoginLinkID, "avery@example.com"))
			})
			_, err := c.Links.Await(ctx, sandbox.OpenLoginLinkID, AwaitOptions{FirstInterval: first})
			require.NoError(t, err, "%s of %s", first, most)
		})
	}
}

// If the answer leaves the description out, and the look for the marker fails, nobody knows whether
// the link has it: that is no malformed answer.
func TestCreateOnceWhoseConfirmationFails(t *testing.T) {
	const made = `{"data":{"link_id":"dsll_7","status_code":"OPEN","ds_id":"GAWA","login_url":"https://x.example/abc"}}`
	create := sandbox.Fault{Operation: "links.create", Status: 201, Perform: true, Body: made, Delay: 10 * time.Second}
	t.Run("the server", func(t *testing.T) {
		inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			s.Script(sandbox.Fault{Operation: "links.list"}, create,
				sandbox.Fault{Operation: "links.list", Status: 503, Times: -1})
			err := sharedFlows["CreateOnce"].call(t.Context(), c)
			require.ErrorIs(t, err, ErrServer)
			require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
		})
	})
	t.Run("the end of the client", func(t *testing.T) {
		inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			s.Script(create)
			var calls sync.WaitGroup
			calls.Go(func() {
				err := sharedFlows["CreateOnce"].call(t.Context(), c)
				require.ErrorIs(t, err, ErrClosed)
				require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
			})
			time.Sleep(2 * time.Second)
			require.NoError(t, c.Close(t.Context()))
			calls.Wait()
		})
	})
}
