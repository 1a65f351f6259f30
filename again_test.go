package duolink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// What is sent again, after what and when, for all operations. The rules are stated here once more,
// apart from the code.

var (
	costlyWrites = []string{"links.create", "identity.refresh"}
	// wordless are those that need no answer: an empty one means that it is done.
	wordless = []string{"links.close", "logins.revoke", "identity.refresh"}
)

// turn is what becomes of one request.
type turn = func() (*http.Response, error)

// turns is a server in memory that answers one operation: each request with the next of its
// answers, and all others with what the operation can use.
type turns struct {
	operation string
	answers   []turn
	began     time.Time

	mu sync.Mutex
	at []time.Duration // when requests of the operation came
}

func (s *turns) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.operation == "auth.token" && r.URL.Path != "/auth/token" {
		return reply(200, answers["identity.link"]), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Since(s.began))
	if n := len(s.at); n <= len(s.answers) {
		return s.answers[n-1]()
	}
	return reply(200, answers[s.operation]), nil
}

// inTurns is a client of such a server, which begins now.
func inTurns(t *testing.T, operation string, opts []Option, answers ...turn) (*Client, *turns) {
	t.Helper()
	s := &turns{operation: operation, answers: answers, began: time.Now()}
	return clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: s}, opts...), s
}

func replies(status int, body string, header ...string) turn {
	return func() (*http.Response, error) { return reply(status, body, header...), nil }
}

// unsized is an answer that does not say how long it is, so that its end is where the connection
// ends.
func unsized(status int, body string) turn {
	return func() (*http.Response, error) {
		return unlimited(status, io.NopCloser(strings.NewReader(body))), nil
	}
}

// A 401 that is cured by another token is repeated, and then its Retry-After is kept as well.
func TestRetryAfterOfAnExpiredToken(t *testing.T) {
	expired := sandbox.Fault{
		Status: 401, Body: `{"error_code":"api_error.auth.expired_access_token"}`, Header: http.Header{"Retry-After": {"30"}},
	}
	for operation, call := range map[string]func(context.Context, *Client) error{
		"identity.link": dropped(func(ctx context.Context, c *Client) (*BankLink, error) {
			return c.Identity.Link(ctx, sandbox.LinkID)
		}),
		"identity.refresh": dropped(func(ctx context.Context, c *Client) (*BankLink, error) {
			return c.Identity.Refresh(ctx, sandbox.LinkID, []Product{ProductIdentity})
		}),
	} {
		for patience, sent := range map[time.Duration]int{time.Minute: 2, 30 * time.Second: 2, 29 * time.Second: 1} {
			t.Run(fmt.Sprintf("%s/%s", operation, patience), func(t *testing.T) {
				opts := []Option{WithRetry(Retry{MaxWait: patience})}
				inBubble(t, nil, opts, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
					expired.Operation = operation
					s.Script(expired)
					began := time.Now()
					err := call(t.Context(), c)
					require.Equal(t, sent, s.Count(operation))
					if sent == 1 {
						require.ErrorIs(t, err, ErrUnauthorized)
						require.Equal(t, 30*time.Second, asError(t, err).RetryAfter)
						require.Zero(t, time.Since(began))
						return
					}
					require.NoError(t, err)
					require.Equal(t, 30*time.Second, time.Since(began))
				})
			})
		}
	}
}

// Where the connection's end is the answer's end, JSON that is not complete has broken off,
// wherever that is. Where the answer is as long as it says, it is what the server had to say, and
// asking again brings the same.
func TestAnswersThatBreakOff(t *testing.T) {
	// What an answer can have in it, before what the operation needs.
	const odd = `{"odd":[1,-2.5e3,"a\u00e9\n",true,false,null,{"deep":[{},[],""]}],`
	html := golden(t, "errors/html.html")
	for operation, call := range callsAndExchange() {
		whole := odd + strings.TrimPrefix(answers[operation], "{")
		starts := []string{" \r\n"}
		for cut := range whole {
			starts = append(starts, whole[:cut])
		}
		needsNone := slices.Contains(wordless, operation)
		t.Run("without a length/"+operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, start := range starts {
					c, s := inTurns(t, operation, nil, unsized(200, start))
					err := call(t.Context(), c)
					switch {
					case needsNone && strings.TrimSpace(start) == "":
						require.NoError(t, err)
						require.Len(t, s.at, 1)
					case slices.Contains(costlyWrites, operation), operation == "logins.list_accounts, streamed":
						e := asError(t, err)
						require.Len(t, s.at, 1, start)
						require.Nil(t, e.kind, "%q: %v", start, e)
						require.Equal(t, Unknown, e.Outcome)
						require.Equal(t, ActionRetry, e.Action())
						require.Equal(t, 200, e.StatusCode)
						require.ErrorIs(t, e, io.ErrUnexpectedEOF)
					default:
						require.NoErrorf(t, err, "%q", start)
						require.Lenf(t, s.at, 2, "%q", start)
					}
				}
			})
		})
		t.Run("with a length/"+operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, start := range starts {
					c, s := inTurns(t, operation, nil, replies(200, start))
					err := call(t.Context(), c)
					require.Lenf(t, s.at, 1, "%q", start)
					if needsNone && strings.TrimSpace(start) == "" {
						require.NoError(t, err)
						continue
					}
					kindIs(t, err, ErrMalformedResponse)
				}
			})
		})
		t.Run("HTML/"+operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := inTurns(t, operation, nil, unsized(200, html))
				err := call(t.Context(), c)
				require.Len(t, s.at, 1)
				if operation == "links.close" { // any 2xx that does not say otherwise
					require.NoError(t, err)
					return
				}
				kindIs(t, err, ErrMalformedResponse)
			})
		})
	}
}
