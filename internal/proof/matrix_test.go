package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// What becomes of each operation under each fault. What may be repeated decides the row. A cell
// reads, from the left:
//
//	how often the request was sent (with refused dials: tried)
//	how the call ended: "+" well, or with an error whose Outcome is "-" not sent, "r" rejected,
//	"?" unknown
//	how often the server really did it: links created, refreshes accepted, tokens issued; of a
//	write that settles, whether the state is another one. Nothing stands for never. Of most
//	reads there is nothing to see.
//
// The columns are in matrixFaults. The last of them is an expired token that is exchanged anew; no
// exchange helps in the one before.
//
// The call may be sent three times.
const (
	matrixAlways = `
          refused before after 429 500 502 503 504 truncated stalled 502-done expired renewed
write          3-     1?   1?1  3r  1?  1?  1?  1?       1?1     1?1      1?1      1r      2r
settling       3-     3?   3?1  3r  1?  1?  3?  1?       3?1     3?1      1?1      1r      2r
read           3-     3?   3?3  3r  3?  3?  3?  3?       3?3     3?3      3?3      1r      2r
stream         3-     3?   3?3  3r  3?  3?  3?  3?       1?1     1?1      3?3      1r      2r`

	matrixOnce = `
          refused before after 429 500 502 503 504 truncated stalled 502-done expired renewed
write         2+1     1?   1?1 2+1  1?  1?  1?  1?       1?1     1?1      1?1      1r     2+1
settling      2+1    2+1   2+1 2+1  1?  1? 2+1  1?       2+1     2+1      1?1      1r     2+1
read          2+1    2+1   2+2 2+1 2+1 2+1 2+1 2+1       2+2     2+2      2+2      1r     2+1
stream        2+1    2+1   2+2 2+1 2+1 2+1 2+1 2+1       1?1     1?1      2+2      1r     2+1`
)

// matrixFaults are the columns. A refused dial is none of the sandbox's: it never gets to see the
// request.
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
	"expired":   {Status: 401, Body: nativeBody("api_error.auth.expired_access_token")},
}

// matrixState is all that a call could change. Tokens are not in it, for they are issued on the
// way, and links that have expired count as open: that is the clock's doing.
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
	outcome duolink.Outcome // "" for success
	done    int
}

func readMatrixCell(t *testing.T, text string) matrixCell {
	t.Helper()
	marks := map[byte]duolink.Outcome{
		'+': "", '-': duolink.OutcomeNotSent, 'r': duolink.OutcomeRejected, '?': duolink.OutcomeUnknown,
	}
	require.GreaterOrEqual(t, len(text), 2, text)
	sent, err := strconv.Atoi(text[:1])
	require.NoError(t, err, text)
	outcome, known := marks[text[1]]
	require.True(t, known, text)
	done, err := strconv.Atoi(cmp.Or(text[2:], "0"))
	require.NoError(t, err, text)
	return matrixCell{sent, outcome, done}
}

// matrixTables are the two halves of the matrix, by how often a fault happens.
var matrixTables = map[string]string{"always": matrixAlways, "once": matrixOnce}

// readMatrix reads a table: what each cell says, by row and column.
func readMatrix(t *testing.T, table string) map[string]map[string]matrixCell {
	t.Helper()
	lines := strings.Split(strings.TrimLeft(table, "\n"), "\n")
	columns := strings.Fields(lines[0])
	require.Len(t, columns, len(matrixFaults)+2, "one column for each fault, one for refused dials, one for a renewal")
	rows := map[string]map[string]matrixCell{}
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		require.Len(t, words, len(columns)+1, line)
		rows[words[0]] = map[string]matrixCell{}
		for i, column := range columns {
			rows[words[0]][column] = readMatrixCell(t, words[i+1])
		}
	}
	return rows
}

// Each cell states what the house's rules promise, and what the server has really done has to agree
// with it.
func TestMatrix(t *testing.T) {
	faults := slices.Sorted(maps.Keys(matrixFaults))
	faults = append(faults, "refused") // a dial, which is none of the sandbox's faults
	cells := 0
	for half, table := range matrixTables {
		rows := readMatrix(t, table)
		for _, op := range operations.All {
			row := rows[string(op.Repeat)]
			require.NotNil(t, row, "%s: no row says what becomes of it", op.Name)
			for _, fault := range faults {
				column := fault
				if fault == "expired" && op.Exchanges() && op.Name != operations.Exchange {
					column = "renewed"
				}
				cells++
				t.Run(fmt.Sprintf("%s/%s/%s", half, op.Name, fault), func(t *testing.T) {
					checkMatrixCell(t, op, fault, half == "always", row[column])
				})
			}
		}
	}
	t.Logf("faults: %d kinds, %d cells, each compared with what the server has done", len(faults), cells)
}

// checkMatrixCell makes one call under one fault, each time or the first time only.
func checkMatrixCell(t *testing.T, op operations.Operation, fault string, always bool, want matrixCell) {
	if op.Done == nil {
		want.done = 0
	}
	if want.outcome == duolink.OutcomeNotSent || want.outcome == duolink.OutcomeRejected {
		require.Zero(t, want.done, "the table contradicts itself")
	}
	if op.Repeat == operations.OnlyRefused {
		require.LessOrEqual(t, want.done, 1, "the table allows what must never happen")
	}
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		transport := s.Transport()
		defer transport.Close()
		tried := 0
		c := matrixClient(t, transport, op.Name == operations.Exchange || fault == "expired", duolink.Hooks{
			AttemptStart: func(_ context.Context, a duolink.Attempt) {
				if a.Operation == op.Operation() {
					tried++
				}
			},
		})
		refuse := scriptMatrix(s, transport, op, fault, always)
		before := matrixStateOf(s)

		err := op.Call(t.Context(), c)

		require.Equal(t, want.sent, tried, "attempts")
		require.Equal(t, max(0, want.sent-refuse), s.Count(op.Operation()), "requests that the server saw")
		checkMatrixError(t, op, want, err)
		checkMatrixState(t, s, op, want, before)
		if op.Name != operations.Exchange && fault != "expired" {
			require.Zero(t, s.TokensIssued())
		}
	})
}

// matrixClient is a client that may send each request three times. A pair of headers needs no
// exchange, so that each call is the first one on its connection.
func matrixClient(t *testing.T, transport http.RoundTripper, exchange bool, hooks duolink.Hooks) *duolink.Client {
	t.Helper()
	credentials := duolink.ClientHeaders(sandbox.ClientID, sandbox.ClientSecret)
	if exchange {
		credentials = duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)
	}
	c, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)), duolink.WithMoneyKit(credentials),
		duolink.WithHTTPClient(&http.Client{Transport: transport}),
		duolink.WithRetry(duolink.Retry{MaxAttempts: 3}), duolink.WithHooks(hooks),
	)
	require.NoError(t, err)
	return c
}

// scriptMatrix has the server, or the way to it, fail, and returns how many dials are refused.
func scriptMatrix(
	s *sandbox.Sandbox, transport *sandbox.Transport, op operations.Operation, name string, always bool,
) (refuse int) {
	if fault, scripted := matrixFaults[name]; scripted {
		fault.Operation, fault.Times = op.Operation(), 1
		if always {
			fault.Times = -1
		}
		s.Script(fault)
		return 0
	}
	refuse = 1
	if always {
		refuse = 1 << 20
	}
	transport.RefuseDials(refuse)
	return refuse
}

func checkMatrixError(t *testing.T, op operations.Operation, want matrixCell, err error) {
	t.Helper()
	if want.outcome == "" {
		require.NoError(t, err)
		return
	}
	e := asError(t, err)
	require.Equal(t, want.outcome, e.Outcome, "%v", err)
	require.Equal(t, want.sent, e.Attempts)
	require.Equal(t, op.Operation(), e.Operation)
}

// checkMatrixState compares the table with what the server has really done.
func checkMatrixState(t *testing.T, s *sandbox.Sandbox, op operations.Operation, want matrixCell, before matrixState) {
	t.Helper()
	done := 0
	if op.Done != nil {
		done = op.Done(s)
	}
	require.Equal(t, want.done, done, "what the server has really done")
	if done == 0 || op.Name == operations.Exchange {
		require.Equal(t, before, matrixStateOf(s), "nothing was to change")
	} else {
		require.NotEqual(t, before, matrixStateOf(s))
	}
}

// The outcome is that of the whole call: once an attempt may have been carried out, nothing that a
// later one meets makes it "rejected" or "not sent" again.
func TestOutcomeOfAllAttempts(t *testing.T) {
	var (
		dropped  = sandbox.Fault{Drop: sandbox.DropAfter}
		gateway  = sandbox.Fault{Status: 503, Perform: true}
		slowly   = sandbox.Fault{Stall: true}
		limited  = sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}, Times: 2}
		denied   = sandbox.Fault{Status: 403, Body: `{"error":{"code":"FORBIDDEN","message":"No"}}`}
		notFound = sandbox.Fault{Status: 404, Body: `{"error":"LINK_NOT_FOUND","message":"Link not found"}`}
	)
	for name, tc := range map[string]laterAttempts{
		"dropped, then limited":       {script: []sandbox.Fault{dropped, limited}, want: duolink.OutcomeUnknown},
		"dropped, then denied":        {script: []sandbox.Fault{dropped, denied}, want: duolink.OutcomeUnknown},
		"dropped, then not found":     {script: []sandbox.Fault{dropped, notFound}, want: duolink.OutcomeUnknown},
		"dropped, then no connection": {script: []sandbox.Fault{dropped}, refuse: true, want: duolink.OutcomeUnknown},
		"dropped, then no credential": {script: []sandbox.Fault{dropped}, vault: true, want: duolink.OutcomeUnknown},
		"dropped, then no leave":      {script: []sandbox.Fault{dropped}, closed: true, want: duolink.OutcomeUnknown},
		"503, then denied":            {script: []sandbox.Fault{gateway, denied}, want: duolink.OutcomeUnknown},
		"stalled, then limited":       {script: []sandbox.Fault{slowly, limited}, want: duolink.OutcomeUnknown},
		"limited, then denied":        {script: []sandbox.Fault{{Status: 429}, denied}, want: duolink.OutcomeRejected},
		"limited, dropped, denied": {
			script: []sandbox.Fault{{Status: 429}, dropped, denied}, want: duolink.OutcomeUnknown,
		},
		"dropped, limited, not served": {
			script: []sandbox.Fault{dropped, {Status: 429}, {Status: 501}}, want: duolink.OutcomeUnknown,
		},
	} {
		for _, op := range operations.All {
			if op.Repeat == operations.Settling {
				t.Run(name+"/"+op.Name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { tc.check(t, op) })
				})
			}
		}
	}
}

// laterAttempts is what a write meets that is sent again.
type laterAttempts struct {
	script []sandbox.Fault
	refuse bool // dials after the first attempt
	vault  bool // the credential cannot be had after the first attempt
	closed bool // the caller's limiter lets nothing out after the first attempt
	want   duolink.Outcome
}

func (l laterAttempts) check(t *testing.T, op operations.Operation) {
	s := sandbox.New()
	transport := s.Transport()
	defer transport.Close()
	later := errors.New("not now")
	c := l.client(t, transport, later)
	s.Script(l.script...)
	before := matrixStateOf(s)

	err := op.Call(t.Context(), c)

	require.Equal(t, l.want, asError(t, err).Outcome, "%v", err)
	if l.vault || l.closed {
		require.ErrorIs(t, err, later)
	}
	if l.want == duolink.OutcomeUnknown {
		require.NotEqual(t, before, matrixStateOf(s), "it was carried out")
	} else {
		require.Equal(t, before, matrixStateOf(s), "it was not carried out")
	}
}

// client is a client that is in trouble after its first attempt.
func (l laterAttempts) client(t *testing.T, transport *sandbox.Transport, later error) *duolink.Client {
	t.Helper()
	ended := 0
	key := func(context.Context) (string, error) {
		if l.vault && ended > 0 {
			return "", later
		}
		return sandbox.APIKey, nil
	}
	limiter := limiterFunc(func(context.Context, duolink.Group) error {
		if l.closed && ended > 0 {
			return later
		}
		return nil
	})
	hooks := duolink.Hooks{AttemptEnd: func(context.Context, duolink.Attempt) {
		if ended++; l.refuse {
			transport.RefuseDials(100)
		}
	}}
	c, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerTokenFunc(key)),
		duolink.WithHTTPClient(&http.Client{Transport: transport}), duolink.WithRetry(duolink.Retry{MaxAttempts: 3}),
		duolink.WithLimiter(limiter), duolink.WithHooks(hooks),
	)
	require.NoError(t, err)
	return c
}

type limiterFunc func(context.Context, duolink.Group) error

func (f limiterFunc) Wait(ctx context.Context, group duolink.Group) error { return f(ctx, group) }

func (f limiterFunc) Report(duolink.Group, duolink.Answer) {}

// A token that was refused as expired serves no other call, also where the call that learned of it
// is not repeated.
func TestExpiredTokenWithoutRepetition(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *duolink.Client, s *sandbox.Sandbox) {
		_, err := c.Identity.Link(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		s.ExpireTokens()
		_, err = c.Identity.Link(t.Context(), sandbox.LinkID, duolink.WithoutRetry())
		require.ErrorIs(t, err, duolink.ErrUnauthorized)
		_, err = c.Identity.Link(t.Context(), sandbox.LinkID, duolink.WithoutRetry())
		require.NoError(t, err, "the call after it has a token of its own")
		require.Equal(t, 2, s.TokensIssued())
	})
}
