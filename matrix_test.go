package duolink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// What becomes of each operation under each fault. A cell reads, from the left:
//
//	how often the request was sent (with refused dials: tried)
//	how the call ended: "+" well, or with an error whose Outcome is "-" not sent, "r" rejected, "?" unknown
//	how often the server really did it: links created, refreshes accepted, tokens issued; of an update, a close
//	and a revocation, whether the state is another one. Nothing stands for never, as in all reads.
//
// "." is a combination that does not exist. The columns are in matrixFaults.
//
// The call may be sent three times.
const (
	matrixAlways = `
                      refused before after 429 500 502 503 504 truncated stalled 502-done expired
links.create               3-     1?   1?1  3r  1?  1?  1?  1?       1?1     1?1      1?1      1r
identity.refresh           3-     1?   1?1  3r  1?  1?  1?  1?       1?1     1?1      1?1      2r

links.update               3-     3?   3?1  3r  1?  1?  3?  1?       3?1     3?1      1?1      1r
links.close                3-     3?   3?1  3r  1?  1?  3?  1?       3?1     3?1      1?1      1r
logins.revoke              3-     3?   3?1  3r  1?  1?  3?  1?       3?1     3?1      1?1      1r

links.get                  3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r
links.list                 3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r
logins.get                 3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r
logins.list                3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r
logins.accounts            3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r
logins.query_accounts      3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r
streamed                   3-     3?    3?  3r  3?  3?  3?  3?        1?      1?       3?      1r
identity.get               3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      2r
identity.link              3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      2r
auth.numbers               3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      2r
auth.get                   3-     3?    3?  3r  3?  3?  3?  3?        3?      3?       3?      1r

auth.token                 3-     3?   3?3  3r  3?  3?  3?  3?       3?3     3?3      3?3      1r`

	matrixOnce = `
                      refused before after 429 500 502 503 504 truncated stalled 502-done expired
links.create              2+1     1?   1?1 2+1  1?  1?  1?  1?       1?1     1?1      1?1      1r
identity.refresh          2+1     1?   1?1 2+1  1?  1?  1?  1?       1?1     1?1      1?1     2+1

links.update              2+1    2+1   2+1 2+1  1?  1? 2+1  1?       2+1     2+1      1?1      1r
links.close               2+1    2+1   2+1 2+1  1?  1? 2+1  1?       2+1     2+1      1?1      1r
logins.revoke             2+1    2+1   2+1 2+1  1?  1? 2+1  1?       2+1     2+1      1?1      1r

links.get                  2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r
links.list                 2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r
logins.get                 2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r
logins.list                2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r
logins.accounts            2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r
logins.query_accounts      2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r
streamed                   2+     2+    2+  2+  2+  2+  2+  2+        1?      1?       2+      1r
identity.get               2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      2+
identity.link              2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      2+
auth.numbers               2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      2+
auth.get                   2+     2+    2+  2+  2+  2+  2+  2+        2+      2+       2+      1r

auth.token                2+1    2+1   2+2 2+1 2+1 2+1 2+1 2+1       2+2     2+2      2+2      1r`
)

// matrixFaults are the columns. A refused dial is none of the sandbox's: it never gets to see the request.
var matrixFaults = map[string]sandbox.Fault{
	"before":    {Drop: sandbox.DropBefore},
	"after":     {Drop: sandbox.DropAfter},
	"429":       {Status: 429, Header: http.Header{"Retry-After": {"1"}}},
	"500":       {Status: 500},
	"502":       {Status: 502},
	"503":       {Status: 503},
	"504":       {Status: 504},
	"truncated": {Truncate: 20},
	"stalled":   {Stall: true},
	"502-done":  {Status: 502, Perform: true},
	"expired":   {Status: 401, Body: `{"error_code":"api_error.auth.expired_access_token","error_message":"The access token has expired"}`},
}

// matrixRow is one operation on the sandbox.
type matrixRow struct {
	operation string // where it is not the row's name
	call      func(context.Context, *Client, ...CallOption) error
	done      func(*sandbox.Sandbox) int // how often the server has really done it; nil for reads
}

var matrixRows = map[string]matrixRow{
	"links.create": {
		call: func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA", Description: "matrix"}, opts...)
			return err
		},
		done: func(s *sandbox.Sandbox) (n int) {
			for _, l := range s.Links() {
				if l.Description == "matrix" {
					n++
				}
			}
			return n
		},
	},
	"links.update": {
		call: func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Links.Update(ctx, sandbox.OpenLoginLinkID, LoginLinkUpdate{Description: "matrix"}, opts...)
			return err
		},
		done: func(s *sandbox.Sandbox) int { return asBit(matrixLink(s).Description == "matrix") },
	},
	"links.close": {
		call: func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Links.Close(ctx, sandbox.OpenLoginLinkID, opts...)
			return err
		},
		done: func(s *sandbox.Sandbox) int { return asBit(matrixLink(s).Status == "CLOSED") },
	},
	"logins.revoke": {
		call: func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Logins.Revoke(ctx, sandbox.LoginID, opts...)
			return err
		},
		done: func(s *sandbox.Sandbox) int { return asBit(s.Logins()[0].Revoked) },
	},
	"identity.refresh": {
		call: func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Identity.Refresh(ctx, sandbox.LinkID, []Product{ProductIdentity}, opts...)
			return err
		},
		done: func(s *sandbox.Sandbox) int { return s.Refreshes(sandbox.LinkID) },
	},
	// The exchange goes ahead of a read with which nothing is wrong.
	"auth.token": {
		call: func(ctx context.Context, c *Client, opts ...CallOption) error {
			_, err := c.Identity.Link(ctx, sandbox.LinkID, opts...)
			return err
		},
		done: (*sandbox.Sandbox).TokensIssued,
	},
	"links.get": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Links.Get(ctx, sandbox.OpenLoginLinkID, opts...)
		return err
	}},
	"links.list": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Links.List(ctx, opts...)
		return err
	}},
	"logins.get": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Logins.Get(ctx, sandbox.LoginID, opts...)
		return err
	}},
	"logins.list": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Logins.List(ctx, opts...)
		return err
	}},
	"logins.accounts": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		return last(c.Logins.Accounts(ctx, sandbox.LoginID, PageOptions{}, opts...))
	}},
	"logins.query_accounts": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: "GAWA"}, opts...)
		return err
	}},
	"streamed": {operation: "logins.query_accounts", call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		return last(c.Logins.StreamAccounts(ctx, AccountsQuery{DataSourceID: "GAWA"}, opts...))
	}},
	"identity.get": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Identity.Get(ctx, sandbox.LinkID, IdentityQuery{}, opts...)
		return err
	}},
	"identity.link": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Identity.Link(ctx, sandbox.LinkID, opts...)
		return err
	}},
	"auth.numbers": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Auth.Numbers(ctx, sandbox.LinkID, opts...)
		return err
	}},
	"auth.get": {call: func(ctx context.Context, c *Client, opts ...CallOption) error {
		_, err := c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret(sandbox.AccessToken)}, opts...)
		return err
	}},
}

func matrixLink(s *sandbox.Sandbox) sandbox.LoginLinkState {
	for _, l := range s.Links() {
		if l.ID == sandbox.OpenLoginLinkID {
			return l
		}
	}
	panic("the sandbox has no such link")
}

func asBit(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// matrixState is all that a call could change. Tokens are not in it, for they are issued on the way, and links that have
// expired count as open: that is the clock's doing.
type matrixState struct {
	links     []sandbox.LoginLinkState
	logins    []sandbox.LoginState
	refreshes int
}

func matrixStateOf(s *sandbox.Sandbox) matrixState {
	links := s.Links()
	for i := range links {
		if links[i].Status == "EXPIRED" {
			links[i].Status = "OPEN"
		}
	}
	return matrixState{links, s.Logins(), s.Refreshes(sandbox.LinkID) + s.Refreshes(sandbox.SecondLinkID)}
}

// matrixCell is what a cell of the table says.
type matrixCell struct {
	sent    int
	outcome Outcome // "" for success
	done    int
}

func readMatrixCell(t *testing.T, text string) matrixCell {
	t.Helper()
	marks := map[byte]Outcome{'+': "", '-': OutcomeNotSent, 'r': OutcomeRejected, '?': OutcomeUnknown}
	require.GreaterOrEqual(t, len(text), 2, text)
	sent, err := strconv.Atoi(text[:1])
	require.NoError(t, err, text)
	outcome, known := marks[text[1]]
	require.True(t, known, text)
	done, err := strconv.Atoi(cmp.Or(text[2:], "0"))
	require.NoError(t, err, text)
	return matrixCell{sent, outcome, done}
}

// Each cell states what the house's rules promise, and what the server has really done has to agree with it.
func TestMatrix(t *testing.T) {
	const many = 1 << 20
	cells, columnsSeen := 0, map[string]bool{}
	for half, table := range map[string]string{"always": matrixAlways, "once": matrixOnce} {
		lines := strings.Split(strings.TrimLeft(table, "\n"), "\n")
		columns := strings.Fields(lines[0])
		require.Len(t, columns, len(matrixFaults)+1, "one column for each fault, and one for refused dials")
		rows := map[string]bool{}
		for _, line := range lines[1:] {
			row := strings.Fields(line)
			if len(row) == 0 {
				continue
			}
			name := row[0]
			rows[name] = true
			require.Contains(t, matrixRows, name)
			require.Len(t, row, len(columns)+1, line)
			for i, column := range columns {
				if row[i+1] == "." {
					continue
				}
				cells, columnsSeen[column] = cells+1, true
				t.Run(fmt.Sprintf("%s/%s/%s", half, name, column), func(t *testing.T) {
					times := map[string]int{"always": -1, "once": 1}[half]
					refuse := map[string]int{"always": many, "once": 1}[half]
					if column != "refused" {
						refuse = 0
					}
					checkMatrixCell(t, name, column, times, refuse, readMatrixCell(t, row[i+1]))
				})
			}
		}
		require.Len(t, rows, len(matrixRows), "a row for each operation")
	}
	t.Logf("faults: %d kinds, %d cells, each compared with what the server has done", len(columnsSeen), cells)
}

func checkMatrixCell(t *testing.T, name, column string, times, refuse int, want matrixCell) {
	row := matrixRows[name]
	operation := cmp.Or(row.operation, name)
	if want.outcome == OutcomeNotSent || want.outcome == OutcomeRejected {
		require.Zero(t, want.done, "the table contradicts itself")
	}
	if name == "links.create" || name == "identity.refresh" {
		require.LessOrEqual(t, want.done, 1, "the table allows what must never happen")
	}
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		transport := s.Transport()
		defer transport.Close()
		// The header pair needs no exchange, so that each call is the first one on its connection.
		credentials := ClientHeaders(sandbox.ClientID, sandbox.ClientSecret)
		if name == "auth.token" || column == "expired" {
			credentials = ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)
		}
		tried := 0
		c, err := New(WithSupermetrics(BearerToken(sandbox.APIKey)), WithMoneyKit(credentials),
			WithHTTPClient(&http.Client{Transport: transport}), WithRetry(Retry{MaxAttempts: 3}),
			WithHooks(Hooks{AttemptStart: func(_ context.Context, a Attempt) {
				if a.Operation == operation {
					tried++
				}
			}}))
		require.NoError(t, err)
		if fault, sent := matrixFaults[column]; sent {
			fault.Operation, fault.Times = operation, times
			s.Script(fault)
		}
		transport.RefuseDials(refuse)
		before := matrixStateOf(s)

		err = row.call(t.Context(), c)

		require.Equal(t, want.sent, tried, "attempts")
		require.Equal(t, max(0, want.sent-refuse), s.Count(operation), "requests that the server saw")
		if want.outcome == "" {
			require.NoError(t, err)
		} else {
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, want.outcome, e.Outcome, "%v", err)
			require.Equal(t, want.sent, e.Attempts)
			require.Equal(t, operation, e.Operation)
		}
		done := 0
		if row.done != nil {
			done = row.done(s)
		}
		require.Equal(t, want.done, done, "what the server has really done")
		if done == 0 || name == "auth.token" {
			require.Equal(t, before, matrixStateOf(s), "nothing was to change")
		} else {
			require.NotEqual(t, before, matrixStateOf(s))
		}
		if name != "auth.token" && column != "expired" {
			require.Zero(t, s.TokensIssued())
		}
	})
}

// The outcome is that of the whole call: once an attempt may have been carried out, nothing that a later one meets makes
// it "rejected" or "not sent" again.
func TestOutcomeOfAllAttempts(t *testing.T) {
	var (
		dropped  = sandbox.Fault{Drop: sandbox.DropAfter}
		gateway  = sandbox.Fault{Status: 503, Perform: true}
		slowly   = sandbox.Fault{Stall: true}
		limited  = sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}, Times: 2}
		denied   = sandbox.Fault{Status: 403, Body: `{"error":{"code":"FORBIDDEN","message":"No"}}`}
		notFound = sandbox.Fault{Status: 404, Body: `{"error":"LINK_NOT_FOUND","message":"Link not found"}`}
	)
	for name, tc := range map[string]struct {
		script []sandbox.Fault
		refuse bool // dials after the first attempt
		vault  bool // the credential cannot be had after the first attempt
		closed bool // the caller's limiter lets nothing out after the first attempt
		want   Outcome
	}{
		"dropped, then limited":        {script: []sandbox.Fault{dropped, limited}, want: OutcomeUnknown},
		"dropped, then denied":         {script: []sandbox.Fault{dropped, denied}, want: OutcomeUnknown},
		"dropped, then not found":      {script: []sandbox.Fault{dropped, notFound}, want: OutcomeUnknown},
		"dropped, then no connection":  {script: []sandbox.Fault{dropped}, refuse: true, want: OutcomeUnknown},
		"dropped, then no credential":  {script: []sandbox.Fault{dropped}, vault: true, want: OutcomeUnknown},
		"dropped, then no leave":       {script: []sandbox.Fault{dropped}, closed: true, want: OutcomeUnknown},
		"503, then denied":             {script: []sandbox.Fault{gateway, denied}, want: OutcomeUnknown},
		"stalled, then limited":        {script: []sandbox.Fault{slowly, limited}, want: OutcomeUnknown},
		"limited, then denied":         {script: []sandbox.Fault{{Status: 429}, denied}, want: OutcomeRejected},
		"limited, dropped, denied":     {script: []sandbox.Fault{{Status: 429}, dropped, denied}, want: OutcomeUnknown},
		"dropped, limited, not served": {script: []sandbox.Fault{dropped, {Status: 429}, {Status: 501}}, want: OutcomeUnknown},
	} {
		for _, operation := range []string{"links.update", "links.close", "logins.revoke"} {
			t.Run(name+"/"+operation, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := sandbox.New()
					transport := s.Transport()
					defer transport.Close()
					ended := 0
					later := errors.New("not now")
					key := func(context.Context) (string, error) {
						if tc.vault && ended > 0 {
							return "", later
						}
						return sandbox.APIKey, nil
					}
					c, err := New(WithSupermetrics(BearerTokenFunc(key)), WithHTTPClient(&http.Client{Transport: transport}),
						WithRetry(Retry{MaxAttempts: 3}),
						WithLimiter(limiterFunc(func(context.Context, string) error {
							if tc.closed && ended > 0 {
								return later
							}
							return nil
						})),
						WithHooks(Hooks{AttemptEnd: func(context.Context, Attempt) {
							if ended++; tc.refuse {
								transport.RefuseDials(100)
							}
						}}))
					require.NoError(t, err)
					s.Script(tc.script...)
					before := matrixStateOf(s)
					err = matrixRows[operation].call(t.Context(), c)
					e, ok := errors.AsType[*Error](err)
					require.True(t, ok, "%v", err)
					if tc.vault || tc.closed {
						require.ErrorIs(t, err, later)
					}
					if tc.want == OutcomeUnknown {
						require.NotEqual(t, before, matrixStateOf(s), "it was carried out")
					} else {
						require.Equal(t, before, matrixStateOf(s), "it was not carried out")
					}
					require.Equal(t, tc.want, e.Outcome, "%v", err)
				})
			})
		}
	}
}

type limiterFunc func(context.Context, string) error

func (f limiterFunc) Wait(ctx context.Context, group string) error { return f(ctx, group) }

// A token that was refused as expired serves no other call, also where the call that learned of it is not repeated.
func TestExpiredTokenWithoutRepetition(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		_, err := c.Identity.Link(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		s.ExpireTokens()
		_, err = c.Identity.Link(t.Context(), sandbox.LinkID, WithoutRetry())
		require.ErrorIs(t, err, ErrUnauthorized)
		_, err = c.Identity.Link(t.Context(), sandbox.LinkID, WithoutRetry())
		require.NoError(t, err, "the call after it has a token of its own")
		require.Equal(t, 2, s.TokensIssued())
	})
}
