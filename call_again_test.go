package duolink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/proof/pipes"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Which requests are sent again, after what and when, for all operations. The rules are written
// here a second time, apart from the code.

func isRead(operation string) bool { return !rows[operation].Costly && !rows[operation].Settles }

// sentAgainAfter says whether an operation is sent again after a status.
func sentAgainAfter(status int, operation string) bool {
	switch {
	case status == 429:
		return true
	case rows[operation].Costly:
		return false
	case rows[operation].Settles:
		return status == 503
	case status >= 500:
		return status != 501
	}
	return slices.Contains([]int{408, 421, 425}, status)
}

// turn is the server's answer to one request.
type turn = func() (*http.Response, error)

// turns is a server in memory. Each request of one operation gets the next of its answers, and all
// other requests get a good answer.
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

// unsized is an answer without a length, which ends where the connection ends.
func unsized(status int, body string) turn {
	return func() (*http.Response, error) {
		r := reply(status, body)
		r.ContentLength = -1
		return r, nil
	}
}

// lost is a request that was carried out, but got no answer.
func lost() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

// The client keeps to Retry-After on every status. It does not repeat a request before that time.
// If it does not repeat the request, the error has the time. A 429 and a 5xx close the whole limit
// group: no request of another caller goes out before the time either.
func TestRetryAfterOnEveryStatus(t *testing.T) {
	statuses := []int{
		300, 302, 400, 401, 403, 404, 408, 409, 410, 421, 422, 425, 429, 500, 501, 502, 503, 504, 520, 529, 599,
	}
	const pause, otherComes = 30 * time.Second, 10 * time.Second
	for operation, call := range callsAndExchange() {
		for _, status := range statuses {
			t.Run(fmt.Sprintf("%s/%d", operation, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, s := inTurns(t, operation, nil, replies(status, "", "Retry-After", "30"))
					other := make(chan error, 1)
					time.AfterFunc(otherComes, func() { other <- call(t.Context(), c, WithoutRetry()) })
					err := call(t.Context(), c)
					again := sentAgainAfter(status, operation)
					if again {
						require.NoError(t, err)
					} else {
						e := asError(t, err)
						require.Equal(t, status, e.StatusCode)
						require.Equal(t, pause, e.RetryAfter)
						require.Zero(t, time.Since(s.began))
					}
					require.NoError(t, <-other)

					closed := status == 429 || status >= 500
					joined := again && operation == "auth.token" // callers share an exchange, with its waits
					later := slices.Clone(s.at[1:])
					require.Len(t, later, asBit(again)+asBit(!joined))
					if !closed && !joined {
						require.Equal(t, otherComes, later[0], "another caller is not held up")
						later = later[1:]
					}
					for _, at := range later {
						require.GreaterOrEqual(t, at, pause)
						require.Less(t, at, pause+5*time.Second)
					}
				})
			})
		}
	}
}

// After a 401 a call is repeated with another token, and keeps to the Retry-After of the 401.
func TestRetryAfterOfAnExpiredToken(t *testing.T) {
	expired := sandbox.Fault{
		Status: 401, Body: `{"error_code":"api_error.auth.expired_access_token"}`,
		Header: http.Header{"Retry-After": {"30"}},
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

// 408, 421 and 425 ask for the same request again. A read is repeated. A write is left to the
// caller, and Action says so. After 501 nothing is repeated.
func TestStatusesThatAskForTheRequestAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		status  int
		header  []string
		retry   bool
		outcome Outcome
	}{
		"408":                     {408, nil, true, OutcomeRejected},
		"408, with its last word": {408, []string{"Connection", "close"}, true, OutcomeRejected},
		"421":                     {421, nil, true, OutcomeRejected},
		"425":                     {425, nil, true, OutcomeRejected},
		"501":                     {501, nil, false, OutcomeUnknown},
	} {
		for operation, call := range callsAndExchange() {
			t.Run(name+"/"+operation, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					answer := func() (*http.Response, error) {
						r := reply(tc.status, "", tc.header...)
						r.Close = tc.header != nil
						return r, nil
					}
					c, s := inTurns(t, operation, []Option{WithRetry(Retry{MaxAttempts: 3})}, answer, answer, answer)
					e := asError(t, call(t.Context(), c))
					require.Equal(t, tc.status, e.StatusCode)
					require.Equal(t, operationOf(operation), e.Operation)
					require.Equal(t, tc.outcome, e.Outcome)
					require.Equal(t, tc.retry, e.Action() == ActionRetry, "%s", e.Action())
					require.Len(t, s.at, 1+2*asBit(tc.retry && isRead(operation)))
				})
			})
		}
	}
}

// net/http treats a 408 in a special way: on an idle connection it means that the server has closed
// the connection.
func TestRequestTimeoutOverRealSockets(t *testing.T) {
	const timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	for _, name := range []string{"as the answer", "after an answer"} {
		for operation, call := range callsAndExchange() {
			if !isRead(operation) {
				continue
			}
			usable := answers[operation]
			if operation == "auth.token" { // the call behind it gets the same answer
				usable = strings.TrimSuffix(usable, "}") + "," + strings.TrimPrefix(answers["identity.link"], "{")
			}
			good := pipes.OK + "Content-Length: " + strconv.Itoa(len(usable)) + "\r\n\r\n" + usable
			first := timeout
			if name == "after an answer" {
				first = good + timeout
			}
			t.Run(name+"/"+operation, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				defer func() { _ = l.Close() }()
				var seen atomic.Int32
				go func() {
					for {
						conn, err := l.Accept()
						if err != nil {
							return
						}
						go func() {
							defer func() { _ = conn.Close() }()
							for pipes.Request(conn) {
								if seen.Add(1) == 1 {
									_, _ = io.WriteString(conn, first)
									return
								}
								_, _ = io.WriteString(conn, good)
							}
						}()
					}
				}()
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				c := clientOf(t, "http://"+l.Addr().String(), operation, &http.Client{Transport: transport},
					WithRetry(Retry{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}))
				for range 2 {
					require.NoError(t, call(t.Context(), c))
				}
				want := 2 + asBit(name == "as the answer") + asBit(operation == "auth.token")
				require.EqualValues(t, want, seen.Load())
			})
		}
	}
}

// If the connection's end ends the answer, incomplete JSON has broken off. If the answer has the
// length that it names, the server would send the same again.
func TestAnswersThatBreakOff(t *testing.T) {
	t.Parallel()
	// What an answer can have before the part that the operation needs.
	const odd = `{"odd":[1,-2.5e3,"a\u00e9\n",true,false,null,{"deep":[{},[],""]}],`
	html := golden(t, "errors/html.html")
	for operation, call := range callsAndExchange() {
		whole := odd + strings.TrimPrefix(answers[operation], "{")
		starts := []string{" \r\n"}
		for cut := range whole {
			starts = append(starts, whole[:cut])
		}
		needsNone := rows[operation].Wordless
		t.Run("without a length/"+operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, start := range starts {
					c, s := inTurns(t, operation, nil, unsized(200, start))
					err := call(t.Context(), c)
					switch {
					case needsNone && strings.TrimSpace(start) == "":
						require.NoError(t, err)
						require.Len(t, s.at, 1)
					case rows[operation].Costly, operation == "logins.query_accounts, streamed":
						e := asError(t, err)
						require.Len(t, s.at, 1, start)
						require.Nil(t, e.kind(), "%q: %v", start, e)
						require.Equal(t, OutcomeUnknown, e.Outcome)
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
				kindIs(t, err, ErrMalformedResponse)
			})
		})
	}
}

// A settling write was carried out and its answer was lost. Then the server says that there is
// nothing to do. The result is success, or an error that says that the write may be done. It is
// never a refusal.
func TestSettlingWriteIsDoneAlready(t *testing.T) {
	settled := map[string]func(context.Context, *Client) error{
		"logins.revoke": func(ctx context.Context, c *Client) error {
			revoked, err := c.Logins.Revoke(ctx, "dsl_1")
			if err == nil && !revoked {
				return errors.New("reported as not revoked")
			}
			return err
		},
		"links.close": func(ctx context.Context, c *Client) error {
			link, err := c.Links.Close(ctx, "dsll_1")
			if err == nil && link.ID != "dsll_1" {
				return errors.New("another link")
			}
			return err
		},
		"links.update": update("Q4"),
	}
	for loss, first := range map[string]turn{
		"no answer": lost, "503": replies(503, ""), "an answer that breaks off": unsized(200, `{"data":`),
	} {
		for operation, call := range settled {
			for name, tc := range map[string]struct {
				status  int
				body    string
				success []string
			}{
				"nothing to do": {200, `{"data":{"result":false}}`, []string{"logins.revoke"}},
				"not found":     {404, flatBody("LINK_NOT_FOUND"), nil},
				"conflict":      {409, envelopeBody("CONFLICT_ERROR"), nil},
				"deleted":       {410, "", nil},
			} {
				t.Run(loss+"/"+operation+"/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c, s := inTurns(t, operation, nil, first, replies(tc.status, tc.body))
						err := call(t.Context(), c)
						require.Len(t, s.at, 2)
						if slices.Contains(tc.success, operation) {
							require.NoError(t, err)
							return
						}
						require.Equal(t, tc.status, asError(t, err).StatusCode)
						require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
					})
				})
			}
		}
	}
}

// If no answer was lost, Revoke reports the server's "nothing to revoke".
func TestRevokeOfNothing(t *testing.T) {
	const nothing = `{"data":{"result":false}}`
	for name, tc := range map[string]struct {
		first  *sandbox.Fault
		refuse int // dials
	}{
		"at once":                              {},
		"after a refusal":                      {first: &sandbox.Fault{Status: 429}},
		"after a connection that did not come": {refuse: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New()
				transport := s.Transport()
				defer transport.Close()
				c := sandboxClient(t, transport)
				if tc.first != nil {
					s.Script(*tc.first)
				}
				s.Script(sandbox.Fault{Status: 200, Body: nothing})
				transport.RefuseDials(tc.refuse)
				var r Response
				revoked, err := c.Logins.Revoke(t.Context(), sandbox.LoginID, WithResponse(&r))
				require.NoError(t, err)
				require.False(t, revoked)
				require.Len(t, r.Attempts, 1+asBit(tc.first != nil)+tc.refuse)
			})
		})
	}
}
