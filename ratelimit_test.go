package duolink

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// inBubble runs a test in virtual time, with a client of a sandbox over an in-memory connection. At
// its end no goroutine may be left: synctest fails the test otherwise.
func inBubble(
	t *testing.T, server []sandbox.Option, opts []Option, test func(t *testing.T, c *Client, s *sandbox.Sandbox),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(server...)
		transport := s.Transport()
		defer transport.Close()
		test(t, sandboxClient(t, transport, opts...), s)
	})
}

func sandboxClient(t *testing.T, transport http.RoundTripper, opts ...Option) *Client {
	t.Helper()
	moneyKit := WithMoneyKit(ClientCredentials(sandbox.ClientID, sandbox.ClientSecret))
	return sandboxClientWith(t, transport, append([]Option{moneyKit}, opts...)...)
}

// sandboxClientWith is a client whose options include MoneyKit's credential.
func sandboxClientWith(t *testing.T, transport http.RoundTripper, opts ...Option) *Client {
	t.Helper()
	c, err := New(append([]Option{
		WithSupermetrics(BearerToken(sandbox.APIKey)),
		WithBaseURL(Supermetrics, "http://sandbox.test/v2"), WithBaseURL(MoneyKit, "http://sandbox.test"),
		WithInsecureHTTP(),
		WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// answerer is a server in memory, which answers at once or after a while. It records when requests
// come.
type answerer struct {
	good  string // the body of an answer that is good
	began time.Time

	mu    sync.Mutex
	next  func(r *http.Request) *http.Response // nil, or if it returns nil: a good answer
	delay time.Duration
	dial  time.Duration // until a request has its connection
	mute  bool          // it tells nothing of connections
	at    []time.Duration
}

func (s *answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.mute {
		if err := connected(r, s.dial); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.at = append(s.at, time.Since(s.began))
	answer, delay := s.next, s.delay
	s.mu.Unlock()
	if err := pace.Sleep(r.Context(), delay); err != nil {
		return nil, err
	}
	if answer != nil {
		if resp := answer(r); resp != nil {
			return resp, nil
		}
	}
	return reply(http.StatusOK, s.good), nil
}

// connected calls the trace functions of net/http: for the search of a connection, and for the
// connection, which may be too late.
func connected(r *http.Request, after time.Duration) error {
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GetConn("")
	if err := pace.Sleep(r.Context(), after); err != nil {
		return err
	}
	conn, _ := net.Pipe()
	trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	return context.Cause(r.Context())
}

// answering changes the server's answer.
func (s *answerer) answering(answer func(r *http.Request) *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = answer
}

// slowly makes the server slow.
func (s *answerer) slowly(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// refusing is a server that refuses everything.
func refusing(retryAfter string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		return reply(http.StatusTooManyRequests, "{}", "Retry-After", retryAfter)
	}
}

// The reasons in package pace are the reasons that a user sees.
func TestReasonsAreOneSet(t *testing.T) {
	require.Equal(t, WaitReasonCooldown, WaitReason(pace.ReasonCooldown))
	require.Equal(t, WaitReasonPace, WaitReason(pace.ReasonRate))
}

// RateLimit keeps what the answers say. A missing or invalid header changes nothing, and 0 is a
// value.
func TestRateLimitState(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		require.Equal(t, RateLimit{}, c.RateLimit(Supermetrics))
		header := func(limit, remaining string) sandbox.Fault {
			h := http.Header{}
			for name, value := range map[string]string{"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining} {
				if value != "" {
					h.Set(name, value)
				}
			}
			return sandbox.Fault{Status: 200, Body: `{"data":[]}`, Header: h}
		}
		began := time.Now()
		for _, step := range []struct {
			limit, remaining string
			want             RateLimit
		}{
			{"", "", RateLimit{}},
			{"5000", "", RateLimit{Limit: 5000}},
			{"", "0", RateLimit{Limit: 5000, Known: true, SeenAt: began}},
			{"100", "7", RateLimit{Limit: 100, Remaining: 7, Known: true, SeenAt: began}},
			{"-3", "many", RateLimit{Limit: 100, Remaining: 7, Known: true, SeenAt: began}},
			{"", "", RateLimit{Limit: 100, Remaining: 7, Known: true, SeenAt: began}},
		} {
			s.Script(header(step.limit, step.remaining))
			_, err := c.Links.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, step.want, c.RateLimit(Supermetrics))
		}
		// The answers to another tenant change nothing.
		s.Script(header("9", "9"))
		_, err := c.Links.List(t.Context(), WithToken("api_other"))
		require.NoError(t, err)
		require.Equal(t, 7, c.RateLimit(Supermetrics).Remaining)

		s.Script(refusal("30", 1))
		_, _ = c.Links.List(t.Context(), WithoutRetry())
		require.Equal(t, began.Add(30*time.Second), c.RateLimit(Supermetrics).CooldownUntil)
		require.Zero(t, c.RateLimit(MoneyKit))
	})
}

// RateLimit tells when the groups of the client's own credential open, and ignores other
// credentials.
func TestCooldownOfAnotherTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{began: time.Now()}
		s.answering(refusing("60"))
		c := clientOf(t, "http://127.0.0.1", "", &http.Client{Transport: s})
		require.Error(t, calls["links.list"](t.Context(), c, WithoutRetry(), WithToken("another")))
		require.Zero(t, c.RateLimit(Supermetrics).CooldownUntil)
		require.Error(t, calls["links.list"](t.Context(), c, WithoutRetry()))
		require.Equal(t, s.began.Add(time.Minute), c.RateLimit(Supermetrics).CooldownUntil)
	})
}

func TestRateLimitHeaders(t *testing.T) {
	for _, tc := range []struct {
		limit, remaining string // "-" stands for no header
		want             RateLimit
	}{
		{"-", "-", RateLimit{}},
		{"5000", "4999", RateLimit{Limit: 5000, Remaining: 4999, Known: true}},
		{"5000", "0", RateLimit{Limit: 5000, Remaining: 0, Known: true}},
		{"5000", "-", RateLimit{Limit: 5000}},
		{"-", "17", RateLimit{Remaining: 17, Known: true}},
		{"-", "0", RateLimit{Remaining: 0, Known: true}},
		{" 5000\t", " 17 ", RateLimit{Limit: 5000, Remaining: 17, Known: true}},
		{"", "", RateLimit{}},
		{"many", "few", RateLimit{}},
		{"5000", "few", RateLimit{Limit: 5000}},
		{"many", "17", RateLimit{Remaining: 17, Known: true}},
		{"-1", "-1", RateLimit{}},
		{"5e3", "1.0", RateLimit{}},
		{"5000/h", "17;w=3600", RateLimit{}},
		{"5000, 5000", "17, 17", RateLimit{}},
		{"99999999999999999999", "99999999999999999999", RateLimit{}},
		{"0x10", "1_000", RateLimit{}},
	} {
		for _, status := range []int{200, 404, 429} {
			var pairs []string
			for name, value := range map[string]string{"X-RateLimit-Limit": tc.limit,
				"x-ratelimit-remaining": tc.remaining} {
				if value != "-" {
					pairs = append(pairs, name, value)
				}
			}
			var r Response
			_, err := replying(t, status, `{"data":[]}`, pairs...).Links.List(t.Context(), WithResponse(&r))
			require.Equal(t, status == 200, err == nil)
			got := RateLimit{Limit: r.RateLimit.Limit, Remaining: r.RateLimit.Remaining, Known: r.RateLimit.Known}
			require.Equal(t, tc.want, got, "%q %q", tc.limit, tc.remaining)
		}
	}
}
