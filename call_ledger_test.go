package duolink

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// A call that is given up does not touch the connections of other calls.
func TestExhaustedCallKeepsConnections(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		c := w.client(t, WithSupermetrics(BearerToken(sandbox.APIKey)), exchanging())
		w.Script(sandbox.Fault{Operation: "links.list", Delay: time.Second, Times: 8})
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := c.Links.List(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		idle := w.transport.Conns()
		require.Positive(t, idle)
		for _, fault := range []sandbox.Fault{
			{Operation: "links.get", Status: 500, Times: 4},
			{Operation: "links.get", Status: 501},
			{Operation: "links.get", Status: 404, Body: strings.Repeat(" ", 100_000)},
			{Operation: "links.get", Body: `{"data":`},
		} {
			w.Script(fault)
			_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID)
			require.Error(t, err)
			require.Zero(t, w.Pending())
			_, err = c.Links.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, idle, w.transport.Conns(), "%+v", fault)
		}
		// One more, while they are in use.
		w.Script(sandbox.Fault{Operation: "links.list", Delay: time.Minute, Times: 2},
			sandbox.Fault{Operation: "links.get", Status: 500, Times: 4})
		for range 2 {
			group.Go(func() {
				if _, err := c.Links.List(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID)
		require.ErrorIs(t, err, ErrServer)
		group.Wait()
	})
}

// ledger is a transport that knows how often each body was closed.
type ledger struct {
	next   http.RoundTripper
	mu     sync.Mutex
	bodies []*entry
}

type entry struct {
	io.ReadCloser
	closed atomic.Int32
}

func (e *entry) Close() error {
	e.closed.Add(1)
	return e.ReadCloser.Close()
}

func (l *ledger) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		e := &entry{ReadCloser: resp.Body}
		resp.Body = e
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bodies = append(l.bodies, e)
	}
	return resp, err
}

func TestBodiesAreClosedOnce(t *testing.T) {
	gzipped := http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"application/json"}}
	query := AccountsQuery{DataSourceID: "AW"}
	get := func(ctx context.Context, c *Client) error {
		_, err := c.Links.Get(ctx, sandbox.OpenLoginLinkID)
		return err
	}
	each := func(ctx context.Context, c *Client) error { return last(c.Logins.StreamAccounts(ctx, query)) }
	for name, tc := range map[string]struct {
		faults []sandbox.Fault
		call   func(context.Context, *Client) error
		bodies int
		opts   []Option
	}{
		"success": {nil, get, 1, nil},
		"no content": {
			[]sandbox.Fault{{Status: 204}},
			dropped(func(ctx context.Context, c *Client) (bool, error) { return c.Logins.Revoke(ctx, "dsl_1") }), 1,
			nil,
		},
		"not found": {
			nil,
			dropped(func(ctx context.Context, c *Client) (*LoginLink, error) { return c.Links.Get(ctx, "dsll_404") }),
			1, nil,
		},
		"repeated": {
			[]sandbox.Fault{{Status: 503}, {Status: 429, Header: http.Header{"Retry-After": {"1"}}}}, get, 3, nil,
		},
		"given up":        {[]sandbox.Fault{{Status: 500, Times: 4}}, get, 4, nil},
		"too long a wait": {[]sandbox.Fault{{Status: 429, Header: http.Header{"Retry-After": {"86400"}}}}, get, 1, nil},
		"not repeatable": {[]sandbox.Fault{{Operation: "links.create", Status: 503}}, create(LoginLinkCreate{}), 1,
			nil},
		"redirect": {
			[]sandbox.Fault{{Status: 307, Header: http.Header{"Location": {"https://other.example.com"}},
				Body: "moved"}},
			get, 1, nil,
		},
		"malformed":       {[]sandbox.Fault{{Body: `{"data":`}}, get, 1, nil},
		"error on 200":    {[]sandbox.Fault{{Body: `{"error":"LINK_NOT_FOUND"}`}}, get, 1, nil},
		"too large":       {nil, get, 1, []Option{WithMaxResponseBytes(10)}},
		"truncated":       {[]sandbox.Fault{{Truncate: 20, Times: 2}}, get, 3, nil},
		"truncated error": {[]sandbox.Fault{{Status: 404, Body: strings.Repeat("x", 100), Truncate: 20}}, get, 1, nil},
		"no gzip":         {[]sandbox.Fault{{Body: "no gzip at all", Header: gzipped, Times: 1}}, get, 1, nil},
		"empty gzip":      {[]sandbox.Fault{{Status: 200, Header: gzipped}}, get, 1, nil},
		"gzip":            {nil, get, 1, nil},
		"stalled":         {[]sandbox.Fault{{Stall: true}}, within5s(get), 1, nil},
		"stalled error": {
			[]sandbox.Fault{{Status: 500, Body: strings.Repeat("x", 100), Stall: true}}, within5s(get), 1, nil,
		},
		"wait canceled": {
			[]sandbox.Fault{{Status: 503, Header: http.Header{"Retry-After": {"30"}}}}, canceledAfter5s(get), 1, nil,
		},
		"pages": {nil, func(ctx context.Context, c *Client) error {
			return last(c.Logins.Accounts(ctx, "dsl_2", PageOptions{}))
		}, 3, nil},
		"exchange": {nil, func(ctx context.Context, c *Client) error { return linkOf(ctx, c) }, 2, nil},
		"exchange refused": {
			[]sandbox.Fault{{Operation: "auth.token", Status: 401}},
			func(ctx context.Context, c *Client) error { return linkOf(ctx, c) }, 1, nil,
		},
		"stream":            {nil, each, 1, nil},
		"stream, repeated":  {[]sandbox.Fault{{Status: 503}, {Drop: sandbox.DropBefore}}, each, 2, nil},
		"stream, refused":   {[]sandbox.Fault{{Status: 403}}, each, 1, nil},
		"stream, cut":       {[]sandbox.Fault{{Truncate: 2000}}, each, 1, nil},
		"stream, malformed": {[]sandbox.Fault{{Body: `{"data":[{"accounts":[{}]`}}, each, 1, nil},
		"stream, error":     {[]sandbox.Fault{{Body: `{"error":"FORBIDDEN"}`}}, each, 1, nil},
		"stream, no gzip":   {[]sandbox.Fault{{Body: "no gzip at all", Header: gzipped}}, each, 1, nil},
		"stream, too large": {nil, each, 1, []Option{WithMaxResponseBytes(10)}},
		"stream, stalled":   {[]sandbox.Fault{{Stall: true}}, within5s(each), 1, nil},
		"stream, left": {nil, func(ctx context.Context, c *Client) error {
			for range c.Logins.StreamAccounts(ctx, query) {
				break
			}
			return nil
		}, 1, nil},
		"stream, panic": {nil, func(ctx context.Context, c *Client) error {
			defer func() { _ = recover() }()
			for range c.Logins.StreamAccounts(ctx, query) {
				panic("in the loop")
			}
			return nil
		}, 1, nil},
		"stream, ranged over twice": {nil, func(ctx context.Context, c *Client) error {
			seq := c.Logins.StreamAccounts(ctx, query)
			return errors.Join(last(seq), last(seq))
		}, 2, nil},
		"stream, never ranged over": {nil, func(ctx context.Context, c *Client) error {
			c.Logins.StreamAccounts(ctx, query)
			return nil
		}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				l := &ledger{next: w.transport}
				c := w.client(t, append([]Option{
					WithSupermetrics(BearerToken(sandbox.APIKey)), exchanging(),
					WithHTTPClient(&http.Client{Transport: l}),
				}, tc.opts...)...)
				w.Script(tc.faults...)
				err := tc.call(t.Context(), c)
				require.Zero(t, w.Pending(), "%v", err)
				l.mu.Lock()
				defer l.mu.Unlock()
				require.Len(t, l.bodies, tc.bodies)
				for i, b := range l.bodies {
					require.EqualValues(t, 1, b.closed.Load(), "body %d", i)
				}
			})
		})
	}
}

// The same if this package decompresses.
func TestBodiesAreClosedOnceOfGzip(t *testing.T) {
	for _, operation := range []string{"links.get", "logins.query_accounts, streamed"} {
		for body, bodies := range map[string]int{"no gzip at all": 1, "": 1, "\x1f\x8b\x08": 3} {
			l := &ledger{
				next: roundTrip(func(*http.Request) (*http.Response, error) {
					return reply(200, body, "Content-Encoding", "gzip"), nil
				}),
			}
			c, err := New(WithSupermetrics(BearerToken(testKey)), WithHTTPClient(&http.Client{Transport: l}),
				WithRetry(Retry{MaxAttempts: 3, MinBackoff: 1, MaxBackoff: 1}))
			require.NoError(t, err)
			require.Error(t, calls[operation](t.Context(), c))
			require.Len(t, l.bodies, bodies, "%s %q", operation, body)
			for _, b := range l.bodies {
				require.EqualValues(t, 1, b.closed.Load(), "%s %q", operation, body)
			}
		}
	}
}

func within5s(call func(context.Context, *Client) error) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return call(ctx, c)
	}
}

func canceledAfter5s(call func(context.Context, *Client) error) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		ctx, cancel := context.WithCancel(ctx)
		defer time.AfterFunc(5*time.Second, cancel).Stop()
		defer cancel()
		return call(ctx, c)
	}
}
