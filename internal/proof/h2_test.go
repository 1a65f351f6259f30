package proof

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// What becomes of each operation where HTTP/2 fails, with net/http at both ends. net/http has rules
// of its own for what it sends again, so here each request is counted that really arrives.

// resetCodes are all that a stream can be reset with.
var resetCodes = []string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// wireFault is what a request meets on its way.
type wireFault struct {
	h2Fault
	reused bool // on a connection that has served before; if not, on a new one
}

func wireFaults() map[string]wireFault {
	all := map[string]wireFault{}
	for code, name := range resetCodes {
		all["reset "+name+" before"] = wireFault{h2Fault: h2Fault{breaks: resetsStream(uint32(code))}}
		all["reset "+name+" after"] = wireFault{h2Fault: h2Fault{carriedOut: true, breaks: resetsStream(uint32(code))}}
	}
	for where, reused := range map[string]bool{"": false, ", reused": true} {
		all["going away before"+where] = wireFault{h2Fault{breaks: goesAwayBefore}, reused}
		all["going away after"+where] = wireFault{h2Fault{carriedOut: true, breaks: goesAwayAfter}, reused}
		all["lost before"+where] = wireFault{h2Fault{breaks: hangsUp}, reused}
		all["lost after"+where] = wireFault{h2Fault{carriedOut: true, breaks: hangsUp}, reused}
	}
	return all
}

// someWireFaults are a few of them, and all kinds about which net/http has a rule of its own.
func someWireFaults() map[string]wireFault {
	some := []string{
		"reset PROTOCOL_ERROR after", "reset REFUSED_STREAM after", "reset CANCEL before", "going away before, reused",
		"lost after, reused",
	}
	all := wireFaults()
	maps.DeleteFunc(all, func(name string, _ wireFault) bool { return !slices.Contains(some, name) })
	return all
}

// wireCell is an operation, a fault, and how often: at each request or only at the first.
type wireCell struct {
	op     operations.Operation
	fault  wireFault
	always bool
	once   bool // the call is made WithoutRetry
}

const (
	wireAttempts = 3
	wireTime     = 3 * time.Second // for a call, which takes a hundredth of it if only our rules repeat it
)

// sent is how often the operation is sent. A creation and a refresh are sent once: with a
// connection, nothing proves that the server has not seen them. All others end in the same state
// however often they are done. The exchange of a token serves other calls too, so it keeps to the
// client's rules.
func (c wireCell) sent() int {
	switch {
	case c.op.Repeat == operations.OnlyRefused:
		return 1
	case c.once && c.op.Name != operations.Exchange:
		return 1
	case c.always:
		return wireAttempts
	}
	return 2
}

// fails reports that no request meets no fault.
func (c wireCell) fails() bool { return c.always || c.sent() == 1 }

// done is how often the server really does what it is asked, as the matrix counts it: of what
// settles, once is all there is.
func (c wireCell) done() int {
	faulty, done := 1, 0
	if c.always {
		faulty = c.sent()
	}
	if c.fault.carriedOut {
		done = faulty
	}
	if !c.fails() {
		done++
	}
	if c.op.Name == operations.Exchange {
		return done
	}
	return min(done, 1)
}

// attemptCount counts what the hooks are told of each operation.
type attemptCount struct {
	mu             sync.Mutex
	started, ended map[string]int
}

func newAttemptCount() *attemptCount {
	return &attemptCount{started: map[string]int{}, ended: map[string]int{}}
}

func (n *attemptCount) hooks() duolink.Hooks {
	count := func(to map[string]int) func(context.Context, duolink.Attempt) {
		return func(_ context.Context, a duolink.Attempt) {
			n.mu.Lock()
			defer n.mu.Unlock()
			to[a.Operation]++
		}
	}
	return duolink.Hooks{AttemptStart: count(n.started), AttemptEnd: count(n.ended)}
}

func (n *attemptCount) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.started)
	clear(n.ended)
}

func (n *attemptCount) total() (total int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, attempts := range n.started {
		total += attempts
	}
	return total
}

// wireClient is a client of a sandbox behind a real connection. It waits a millisecond or two
// between attempts.
func wireClient(
	t *testing.T, op operations.Operation, base string, transport http.RoundTripper, told *attemptCount,
) *duolink.Client {
	t.Helper()
	credentials := duolink.ClientHeaders(sandbox.ClientID, sandbox.ClientSecret)
	if op.Name == operations.Exchange {
		credentials = duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)
	}
	c, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)), duolink.WithMoneyKit(credentials),
		duolink.WithHooks(told.hooks()), duolink.WithBaseURL(duolink.Supermetrics, base+"/v2"),
		duolink.WithBaseURL(duolink.MoneyKit, base),
		duolink.WithHTTPClient(&http.Client{Transport: transport}),
		duolink.WithRetry(duolink.Retry{MaxAttempts: wireAttempts, MinBackoff: time.Millisecond}),
	)
	require.NoError(t, err)
	return c
}

// What was asked for over HTTP/2 arrives as often as the client says, and the server has done what
// the client says of it.
func TestMatrixOfHTTP2(t *testing.T) {
	faults := wireFaults()
	if inShort() {
		faults = someWireFaults()
	}
	var cells, requests atomic.Int32
	t.Run("cells", func(t *testing.T) {
		for name, fault := range faults {
			for _, op := range operations.All {
				for half, always := range map[string]bool{"always": true, "once": false} {
					for rules, once := range map[string]bool{"by the rules": false, "without retry": true} {
						t.Run(fmt.Sprintf("%s/%s/%s/%s", half, rules, op.Name, name), func(t *testing.T) {
							t.Parallel()
							requests.Add(int32(checkWireCell(t, wireCell{op, fault, always, once})))
							cells.Add(1)
						})
					}
				}
			}
		}
	})
	t.Logf("HTTP/2: %d faults, %d cells, %d requests, each of them told as one attempt",
		len(faults), cells.Load(), requests.Load())
}

func checkWireCell(t *testing.T, cell wireCell) int {
	s, told := sandbox.New(), newAttemptCount()
	m := newH2Middle(t, s, 0)
	c := wireClient(t, cell.op, m.URL, m.transport(t), told)
	if cell.fault.reused {
		_, err := c.Links.List(t.Context())
		require.NoError(t, err)
		s.ResetRequests()
		told.reset()
	}
	times := 1
	if cell.always {
		times = -1
	}
	m.set(cell.fault.h2Fault, times)
	ctx, cancel := context.WithTimeout(t.Context(), wireTime)
	defer cancel()
	var response duolink.Response

	err := cell.op.Call(ctx, c, append(cell.options(), duolink.WithResponse(&response))...)

	streams, passed := m.requests()
	require.NotEmpty(t, streams)
	require.Equal(t, cell.fault.reused, streams[0] > 1, "the connection has served before")
	require.Equal(t, passed, s.Count(""), "requests that the server saw")
	require.Equal(t, len(streams), told.total(), "attempts, and requests that arrived")
	checkAttempts(t, cell.op, err, &response, told)
	cell.check(t, s, err, told)
	return len(streams)
}

func (c wireCell) options() []duolink.CallOption {
	if c.once {
		return []duolink.CallOption{duolink.WithoutRetry()}
	}
	return nil
}

// checkAttempts compares what is told of attempts with what the hooks were told.
func checkAttempts(
	t *testing.T, op operations.Operation, err error, response *duolink.Response, told *attemptCount,
) {
	t.Helper()
	require.Equal(t, told.started, told.ended)
	require.Len(t, response.Attempts, told.started[op.CalledAs()])
	if err != nil {
		e := asError(t, err)
		require.Equal(t, told.started[e.Operation], e.Attempts)
	}
}

// check compares what came of the call with what the cell promises, and with what the server has
// done.
func (c wireCell) check(t *testing.T, s *sandbox.Sandbox, err error, told *attemptCount) {
	t.Helper()
	require.Equal(t, c.sent(), told.started[c.op.Operation()], "attempts")
	if c.fails() {
		require.Equal(t, duolink.OutcomeUnknown, asError(t, err).Outcome, "%v", err)
	} else {
		require.NoError(t, err)
	}
	if c.op.Done != nil {
		require.Equal(t, c.done(), c.op.Done(s), "what the server has really done")
	}
}

// Many callers of a server that takes few requests at a time are all served, and each request is
// told. Where a connection has no room left, net/http opens another one, whatever MaxConnsPerHost
// says, and believes that a new one has room for a hundred until the server says otherwise: what is
// too much is refused.
func TestManyCallersOfFewStreams(t *testing.T) {
	s, told := sandbox.New(), newAttemptCount()
	m := newH2Middle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond)
		s.ServeHTTP(w, r)
	}), 10)
	transport := m.transport(t)
	transport.MaxConnsPerHost = 1
	c, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)),
		duolink.WithBaseURL(duolink.Supermetrics, m.URL+"/v2"), duolink.WithHooks(told.hooks()),
		duolink.WithHTTPClient(&http.Client{Transport: transport}),
		duolink.WithRetry(duolink.Retry{AttemptTimeout: 5 * time.Second}),
	)
	require.NoError(t, err)
	var callers sync.WaitGroup
	errs := make([]error, 300)
	for i := range errs {
		callers.Go(func() { _, errs[i] = c.Links.Get(t.Context(), sandbox.OpenLoginLinkID) })
	}
	callers.Wait()
	arrived, _ := m.requests()
	t.Logf("HTTP/2: %d callers, %d connections, %d requests, %d attempts",
		len(errs), m.connections(), len(arrived), told.total())
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, arrived, told.total(), "attempts, and requests that arrived")
	require.Equal(t, len(errs), s.Count("links.get"), "each was carried out once")
}
