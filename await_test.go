package duolink

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// later does something at a virtual time.
func later(d time.Duration, do func()) { time.AfterFunc(d, do) }

// The ends of the wait for a login, with the number of requests.
func TestAwaitEndings(t *testing.T) {
	const open, closed = sandbox.OpenLoginLinkID, sandbox.ClosedLoginLinkID
	comes := func(t *testing.T, s *sandbox.Sandbox) { require.NoError(t, s.CompleteLogin(open, "avery@example.com")) }
	for name, tc := range map[string]struct {
		id       string
		options  AwaitOptions
		deadline time.Duration // of the context; none without it
		script   func(t *testing.T, c *Client, s *sandbox.Sandbox)
		kind     error // nil for a login
		also     error
		after    time.Duration // at least
		within   time.Duration // and at most
		least    int           // requests
		most     int
	}{
		"a login that is there": {id: closed, least: 1, most: 1},
		"a login after 90 s": {
			id: open, script: func(t *testing.T, _ *Client, s *sandbox.Sandbox) {
				later(90*time.Second, func() { comes(t, s) })
			}, after: 90 * time.Second, within: 107 * time.Second, least: 11, most: 13,
		},
		"closed without a login": {
			id: open, script: func(t *testing.T, c *Client, _ *sandbox.Sandbox) {
				later(20*time.Second, func() {
					_, err := c.Links.Close(context.Background(), open)
					require.NoError(t, err)
				})
			}, kind: ErrLoginLinkClosed, after: 50 * time.Second, within: 66 * time.Second, least: 9, most: 13,
		},
		"closed, and the attempt lands": {
			id: open, script: func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				_, err := c.Links.Close(t.Context(), open)
				require.NoError(t, err)
				later(25*time.Second, func() { comes(t, s) })
			}, after: 25 * time.Second, within: 30 * time.Second, least: 7, most: 9,
		},
		"closed, and the grace is short": {
			id: open, options: AwaitOptions{Grace: time.Second},
			script: func(t *testing.T, c *Client, _ *sandbox.Sandbox) {
				_, err := c.Links.Close(t.Context(), open)
				require.NoError(t, err)
			}, kind: ErrLoginLinkClosed, after: time.Second, within: time.Second, least: 2, most: 2,
		},
		"expired long ago": {
			id: sandbox.ExpiredLoginLinkID, kind: ErrLoginLinkExpired, after: defaultGrace,
			within: defaultGrace, least: 8, most: 9,
		},
		"no such link": {id: "dsll_none", kind: ErrNotFound, least: 1, most: 1},
		"the server's 502 and 429 pass": {
			id: open, script: func(t *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(
					sandbox.Fault{Operation: "links.get", Status: 502, Times: 3},
					sandbox.Fault{Operation: "links.get", Drop: sandbox.DropBefore},
					sandbox.Fault{Operation: "links.get", Status: 429, Header: http.Header{"Retry-After": {"20"}}},
					sandbox.Fault{Operation: "links.get", Status: 503, Header: http.Header{"Retry-After": {"30"}}})
				comes(t, s)
			}, after: 55 * time.Second, within: 75 * time.Second, least: 7, most: 7,
		},
		"a 429 of ten minutes": {
			id: open, script: func(t *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: "links.get", Status: 429,
					Header: http.Header{"Retry-After": {"600"}}})
				comes(t, s)
			}, after: 600 * time.Second, within: 601 * time.Second, least: 2, most: 2,
		},
		"a 429 that outlasts the context": {
			id: open, deadline: time.Minute, script: func(_ *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: "links.get", Status: 429,
					Header: http.Header{"Retry-After": {"600"}}})
			}, kind: ErrLoginPending, also: context.DeadlineExceeded, within: 0, least: 1, most: 1,
		},
		"a 429 of a day": {
			id: open, script: func(_ *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: "links.get", Status: 429,
					Header: http.Header{"Retry-After": {"99999999999999"}}})
			}, kind: ErrLoginPending, least: 1, most: 1,
		},
		"the credential is refused": {
			id: open, script: func(_ *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{}, sandbox.Fault{Status: 401, Body: `{"error":"invalid_token"}`})
			}, kind: ErrUnauthorized, within: 3 * time.Second, least: 2, most: 2,
		},
		"a licence has ended": {
			id: open, script: func(_ *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Status: 500,
					Body: `{"error":{"code":"LICENSE_NOT_FOUND","message":"No licence"}}`})
			}, kind: ErrServer, least: 1, most: 1,
		},
		"the deadline": {
			id: open, deadline: 10 * time.Second, kind: ErrLoginPending, also: context.DeadlineExceeded,
			after: 8 * time.Second, within: 9 * time.Second, least: 4, most: 5,
		},
		"a deadline under way": {
			id: open, deadline: 10 * time.Second, script: func(_ *testing.T, _ *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Delay: time.Hour})
			},
			kind: ErrLoginPending, also: context.DeadlineExceeded,
			after: 10 * time.Second, within: 10 * time.Second, least: 1, most: 1,
		},
		"no id":          {id: "", kind: ErrArgument},
		"no id at all":   {id: "../x", kind: ErrArgument},
		"negative grace": {id: open, options: AwaitOptions{Grace: -time.Second}, kind: ErrArgument},
		"no grace": {
			id: sandbox.ExpiredLoginLinkID, options: AwaitOptions{Grace: NoGrace}, kind: ErrLoginLinkExpired,
			least: 1, most: 1,
		},
		"every minute": {
			id: open, options: AwaitOptions{FirstInterval: time.Minute},
			script: func(t *testing.T, _ *Client, s *sandbox.Sandbox) { later(time.Hour, func() { comes(t, s) }) },
			after:  time.Hour, within: time.Hour + 66*time.Second, least: 56, most: 68,
		},
		"often": {
			id: open, options: AwaitOptions{MaxInterval: 100 * time.Millisecond},
			script: func(t *testing.T, _ *Client, s *sandbox.Sandbox) { later(10*time.Second, func() { comes(t, s) }) },
			after:  10 * time.Second, within: 10*time.Second + 110*time.Millisecond, least: 92, most: 112,
		},
		"growing": {
			id: open, options: AwaitOptions{FirstInterval: time.Second, MaxInterval: time.Hour},
			deadline: 2 * time.Hour, kind: ErrLoginPending, also: context.DeadlineExceeded,
			after: 2*time.Hour - 2*time.Second, within: 2 * time.Hour, least: 25, most: 40,
		},
		"a negative interval": {id: open, options: AwaitOptions{FirstInterval: -1}, kind: ErrArgument},
		"a wrong interval": {
			id: open, options: AwaitOptions{FirstInterval: time.Minute, MaxInterval: time.Second}, kind: ErrArgument,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []sandbox.Option{sandbox.WithHourlyLimit(0)}, nil,
				func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					if tc.script != nil {
						tc.script(t, c, s)
					}
					ctx := t.Context()
					if tc.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tc.deadline)
						defer cancel()
					}
					began := time.Now()
					link, err := c.Links.Await(ctx, tc.id, tc.options)
					took := time.Since(began)
					require.GreaterOrEqual(t, took, tc.after)
					require.LessOrEqual(t, took, tc.within)
					require.GreaterOrEqual(t, s.Count("links.get"), tc.least)
					require.LessOrEqual(t, s.Count("links.get"), tc.most)
					if tc.kind == nil {
						require.NoError(t, err)
						require.NotEmpty(t, link.LoginID)
						return
					}
					require.Nil(t, link)
					kindIs(t, err, tc.kind)
					if tc.also != nil {
						require.ErrorIs(t, err, tc.also)
					}
					for _, text := range append(printed(err), logged(err)...) {
						require.NotContains(t, text, open)
					}
				})
		})
	}
}

// A link that lives for an hour takes at most 300 requests, whatever the server does.
func TestAwaitAsksSeldom(t *testing.T) {
	t.Parallel()
	repeats := 3
	if inShort() {
		repeats = 1
	}
	for name, faults := range map[string][]sandbox.Fault{
		"a good server":  nil,
		"a 502 for ever": {{Operation: "links.get", Status: 502, Times: -1}},
		"broken answers": {{Operation: "links.get", Drop: sandbox.DropAfter, Times: -1}},
		"a 429 for ever": {{Operation: "links.get", Status: 429, Header: http.Header{"Retry-After": {"1"}}, Times: -1}},
		"and no hint":    {{Operation: "links.get", Status: 429, Times: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			most := 0
			for range repeats {
				inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					link, err := c.Links.Create(t.Context(),
						LoginLinkCreate{DataSourceID: "GAWA", ExpiresIn: time.Hour})
					require.NoError(t, err)
					s.Script(faults...)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Minute)
					defer cancel()
					_, err = c.Links.Await(ctx, link.ID, AwaitOptions{})
					require.Error(t, err)
					most = max(most, s.Count("links.get"))
				})
			}
			require.LessOrEqual(t, most, 300)
			require.Greater(t, most, 200)
			t.Logf("%s: at most %d requests in an hour", name, most)
		})
	}
}

// A link that nobody uses lives for a day, and so does the wait.
func TestAwaitADay(t *testing.T) {
	t.Parallel()
	if inShort() {
		t.Skip("6,000 requests, none of them different")
	}
	inBubble(t, []sandbox.Option{sandbox.WithHourlyLimit(300)}, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		link, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"})
		require.NoError(t, err)
		began := time.Now()
		_, err = c.Links.Await(t.Context(), link.ID, AwaitOptions{})
		kindIs(t, err, ErrLoginLinkExpired)
		require.GreaterOrEqual(t, time.Since(began), 24*time.Hour+defaultGrace)
		require.Less(t, time.Since(began), 24*time.Hour+defaultGrace+17*time.Second)
		require.Greater(t, s.Count("links.get"), 5500)
		require.LessOrEqual(t, s.Count("links.get"), 6500)
		for _, r := range s.Requests() {
			require.NotEqual(t, 429, r.Status, "within 300 an hour")
		}
	})
}

func TestAwaitIsToldAndCancelled(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{}, sandbox.Fault{Status: 502})
		ctx, cancel := context.WithCancel(t.Context())
		var told []AwaitProgress
		var response Response
		_, err := c.Links.Await(ctx, sandbox.OpenLoginLinkID, AwaitOptions{Progress: func(p AwaitProgress) {
			told = append(told, p)
			if len(told) == 4 {
				cancel()
			}
		}}, WithResponse(&response))
		require.ErrorIs(t, err, ErrLoginPending)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "duolink: links.await: login pending: nobody has logged in yet; canceled by the caller",
			err.Error())
		require.Len(t, told, 4)
		require.Equal(t, sandbox.OpenLoginLinkID, told[0].Link.ID)
		require.NoError(t, told[0].Err)
		require.ErrorIs(t, told[1].Err, ErrServer)
		require.Equal(t, LoginLinkOpen, told[1].Link.Status, "as it was last seen")
		for i, p := range told {
			require.Equal(t, i+1, p.Requests)
			require.Greater(t, p.Next, told[max(i-1, 0)].Next*8/10)
		}
		require.Equal(t, 200, response.Status)
		require.Equal(t, 4, s.Count(""))
	})
}

// A caller says how long a pause of the server may be.
func TestAwaitPatience(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "links.get", Status: 429, Header: http.Header{"Retry-After": {"60"}}})
		began := time.Now()
		_, err := c.Links.Await(t.Context(), sandbox.OpenLoginLinkID, AwaitOptions{}, WithMaxWait(59*time.Second))
		kindIs(t, err, ErrLoginPending)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, asError(t, err).RetryAfter)
		require.Equal(t, "duolink: links.await: login pending: nobody has logged in yet; "+
			"the latest look failed: rate limited", err.Error())
		require.Zero(t, time.Since(began))
	})
}

// A failure before anything is sent ends the wait.
func TestAwaitWithoutACredential(t *testing.T) {
	vault := errors.New("the vault is sealed")
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(500, "") }, WithSupermetrics(BearerTokenFunc(
		func(context.Context) (string, error) { return "", vault })))
	_, err := c.Links.Await(t.Context(), "dsll_1", AwaitOptions{})
	require.ErrorIs(t, err, vault)
	require.Empty(t, m.requests)
	_, err = c.Links.Await(nil, "dsll_1", AwaitOptions{}) //nolint:staticcheck // a caller's mistake
	kindIs(t, err, ErrArgument)
}
