package duolink

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

func TestWithResponse(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, WithSupermetrics(BearerToken(sandbox.APIKey)), exchanging())
		r := Response{Status: 1, RequestID: "old"}
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, 200, r.Status)
		require.Equal(t, "application/json", r.Header().Get("Content-Type"))
		require.Len(t, r.RequestID, 24)
		require.Len(t, r.Attempts, 1)
		require.Equal(t, 5000, r.RateLimit.Limit)
		require.Equal(t, 4999, r.RateLimit.Remaining)
		require.True(t, r.RateLimit.Known)
		require.Contains(t, string(r.Body()), `"link_id":"dsll_1"`)

		// An error, after two other attempts.
		w.Script(sandbox.Fault{Status: 503}, sandbox.Fault{Status: 502, Body: "gone"})
		_, err = c.Links.Get(t.Context(), "dsll_404", WithResponse(&r))
		require.ErrorIs(t, err, ErrNotFound)
		require.Equal(t, 404, r.Status)
		require.Len(t, r.Attempts, 3)
		require.Equal(t, 3, asError(t, err).Attempts)
		require.Equal(t, 4998, r.RateLimit.Remaining)
		require.Equal(t, asError(t, err).RequestID, r.RequestID)
		require.Contains(t, string(r.Body()), "LINK_NOT_FOUND")

		// An answer that cannot be used.
		w.Script(sandbox.Fault{Body: `{"data":`, Header: http.Header{"X-Request-Id": {"req-0001"}}})
		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrMalformedResponse)
		require.Equal(t, 200, r.Status)
		require.Equal(t, "req-0001", r.RequestID)
		require.JSONEq(t, `"{\"data\":"`, fmt.Sprintf("%q", r.Body()))

		// No answer at all.
		w.transport.RefuseDials(10)
		w.transport.CloseIdleConnections()
		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.Error(t, err)
		require.Zero(t, r.Status)
		require.Empty(t, r.Header())
		require.Empty(t, r.RequestID)
		require.Empty(t, r.Body())
		require.False(t, r.RateLimit.Known)
		require.Len(t, r.Attempts, asError(t, err).Attempts)
		require.Len(t, r.Attempts, 4)
		w.transport.RefuseDials(0)

		// Nothing is sent: the Response of an earlier call is gone.
		r = Response{Status: 1, RequestID: "old"}
		_, err = c.Links.Get(t.Context(), "..", WithResponse(&r))
		require.ErrorIs(t, err, ErrArgument)
		require.Zero(t, r.Status)
		require.Empty(t, r.RequestID)
		require.Empty(t, r.Attempts)

		// MoneyKit sends no limits. The exchange before the call is not the call's answer.
		_, err = c.Identity.Link(t.Context(), sandbox.LinkID, WithResponse(&r))
		require.NoError(t, err)
		require.Equal(t, 1, w.Count("auth.token"))
		require.Len(t, r.Attempts, 1)
		require.False(t, r.RateLimit.Known)
		require.NotContains(t, string(r.Body()), "mk_token_sandbox")
		require.Contains(t, string(r.Body()), sandbox.LinkID)
		// nor is one that fails
		w.ExpireTokens()
		w.Script(sandbox.Fault{
			Operation: "auth.token", Status: 201, Body: `{"access_token":null,"echo":"` + sandbox.ClientSecret + `"}`,
		})
		_, _ = w.client(t, exchanging()).Identity.Link(t.Context(), sandbox.LinkID, WithResponse(&r))
		require.NotContains(t, string(r.Body()), sandbox.ClientSecret)
		require.Zero(t, r.Status)

		// For an iterator it is the latest request.
		n := 0
		for _, err := range c.Logins.Accounts(t.Context(), sandbox.ManyAccountsLoginID, PageOptions{},
			WithResponse(&r)) {
			require.NoError(t, err)
			if n++; n == 1 {
				require.Contains(t, string(r.Body()), "100-000-0001")
			}
		}
		require.Equal(t, 260, n)
		require.Contains(t, string(r.Body()), "100-000-0260")
		require.NotContains(t, string(r.Body()), "100-000-0001")

		// For a stream there is everything except the body.
		for _, err := range c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"},
			WithResponse(&r)) {
			require.NoError(t, err)
			require.Equal(t, 200, r.Status)
			require.Len(t, r.RequestID, 24, "of the header: the body has not been read yet")
			require.True(t, r.RateLimit.Known)
			require.Nil(t, r.Body())
		}

		// The copy belongs to the caller.
		_, err = c.Links.List(t.Context(), WithResponse(&r))
		require.NoError(t, err)
		first := string(r.Body())
		r.Header().Set("Content-Type", "changed")
		var second Response
		_, err = c.Links.List(t.Context(), WithResponse(&second))
		require.NoError(t, err)
		require.Equal(t, first[:20], string(r.Body())[:20])
		require.Equal(t, "application/json", second.Header().Get("Content-Type"))
	})
}

// The Response also has the history of a call that fails, even before anything is sent.
func TestResponseTellsTheSame(t *testing.T) {
	d := &diary{}
	inBubble(t, nil, []Option{
		WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 3}),
	}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var r Response
		s.Script(sandbox.Fault{Status: 502, Times: -1})
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrServer)
		require.Equal(t, 3, asError(t, err).Attempts)
		require.Len(t, d.ends, 3)
		require.Equal(t, d.ends, r.Attempts)
		require.Equal(t, 502, r.Status)

		s.ClearScript()
		s.Script(sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, d.ends[3:], r.Attempts)

		_, err = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
		require.Empty(t, r.Attempts)
		require.Len(t, d.ends, 4, "nothing was sent")
	})
}

func TestPerCallPatience(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		began := time.Now()
		s.Script(refusal("50", 1))
		_, err := c.Links.Get(t.Context(), "dsll_1", WithMaxWait(10*time.Second))
		require.ErrorIs(t, err, ErrRateLimited)
		_, err = c.Links.Get(t.Context(), "dsll_1", WithMaxWait(0))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Zero(t, time.Since(began))
		_, err = c.Links.Get(t.Context(), "dsll_1")
		require.NoError(t, err)
		require.Equal(t, 50*time.Second, time.Since(began))
	})
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Status: 502, Times: -1})
		for _, opt := range []CallOption{WithoutRetry(), WithMaxWait(0)} {
			s.ResetRequests()
			_, err := c.Links.Get(t.Context(), "dsll_1", opt)
			require.ErrorIs(t, err, ErrServer)
			require.Equal(t, 1, s.Count(""))
		}
	})
}
