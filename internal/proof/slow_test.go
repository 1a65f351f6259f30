package proof

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/proof/pipes"
	"github.com/stretchr/testify/require"
)

// Servers that take their time, each in its own way, over real HTTP connections on pipes: all
// waiting is virtual.

// dripping reads a request and answers with a head at once, and a piece every second for as long as
// somebody listens.
func dripping(head, piece string) func(pipes.Peer) {
	return func(p pipes.Peer) {
		if !pipes.Request(p) {
			return
		}
		_, err := io.WriteString(p, head)
		for i := 0; err == nil; i = (i + 1) % len(piece) {
			time.Sleep(time.Second)
			_, err = io.WriteString(p, piece[i:i+1])
		}
	}
}

// linewise is dripping with a whole piece every second.
func linewise(head, piece string) func(pipes.Peer) {
	return func(p pipes.Peer) {
		if !pipes.Request(p) {
			return
		}
		_, err := io.WriteString(p, head)
		for err == nil {
			time.Sleep(time.Second)
			_, err = io.WriteString(p, piece)
		}
	}
}

const (
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
	// gzipped begins a compressed body of 65,535 bytes as they are.
	gzipped = "Content-Encoding: gzip\r\n\r\n" + "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" +
		"\x00\xff\xff\x00\x00"
)

// slowServer is one that does not come to an end, and how far it gets.
type slowServer struct {
	serve  func(pipes.Peer)
	gets   progress
	status int // of the answer that it begins, if it is not 200
	setup  func(*pipes.Transport)
	https  bool
}

type progress int

const (
	toNothing progress = iota // nothing was sent
	toRequest                 // which may have arrived
	toAnswer                  // of which the head arrived
)

func slowServers() map[string]slowServer {
	plain := func(p *pipes.Transport) { p.DisableCompression = true } // as it is where a caller's transport was told so
	return map[string]slowServer{
		"nobody accepts":   {gets: toNothing},
		"no TLS handshake": {gets: toNothing, https: true, serve: func(p pipes.Peer) { <-p.Gone }},
		"half a TLS handshake": {gets: toNothing, https: true, serve: func(p pipes.Peer) {
			_, _ = io.CopyN(io.Discard, p, 100)
			dripFrom(p, "\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb")
		}},
		"reads nothing":       {gets: toRequest, serve: func(p pipes.Peer) { <-p.Gone }},
		"never answers":       {gets: toRequest, serve: pipes.Halting("")},
		"status line":         {gets: toRequest, serve: dripping("HTTP/1.1 200 ", "x")},
		"a header's bytes":    {gets: toRequest, serve: dripping(pipes.OK+"X-Slow: ", "x")},
		"headers":             {gets: toRequest, serve: linewise(pipes.OK, "X-Slow: 1\r\n")},
		"100 Continue":        {gets: toRequest, serve: linewise("", "HTTP/1.1 100 Continue\r\n\r\n")},
		"102 Processing":      {gets: toRequest, serve: linewise("", "HTTP/1.1 102 Processing\r\n\r\n")},
		"103 Early Hints":     {gets: toRequest, serve: linewise("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")},
		"body":                {gets: toAnswer, serve: dripping(pipes.OK+"Content-Length: 1000000\r\n\r\n", " ")},
		"body without length": {gets: toAnswer, serve: dripping(pipes.OK+"\r\n", " ")},
		"chunks":              {gets: toAnswer, serve: linewise(pipes.OK+chunked, "1\r\n \r\n")},
		"chunk extension":     {gets: toAnswer, serve: dripping(pipes.OK+chunked+"1;x=", "y")},
		"trailers":            {gets: toAnswer, serve: dripping(pipes.OK+chunked+"1\r\n \r\n0\r\n", "X-Slow: 1\r\n")},
		"gzip, net/http's":    {gets: toAnswer, serve: dripping(pipes.OK+gzipped, " ")},
		"gzip, ours":          {gets: toAnswer, serve: dripping(pipes.OK+gzipped, " "), setup: plain},
		"half a gzip's head": {
			gets:  toAnswer,
			serve: pipes.Halting(pipes.OK + "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08"),
		},
		"half a body":   {gets: toAnswer, serve: pipes.Halting(pipes.OK + "Content-Length: 9\r\n\r\n{\"data\"")},
		"body of a 403": {gets: toAnswer, status: 403, serve: dripping("HTTP/1.1 403 Forbidden\r\n\r\n", "<")},
		"body of a 500": {gets: toAnswer, status: 500, serve: dripping("HTTP/1.1 500 Oh\r\n\r\n", "<")},
		"gzip of a 500": {
			gets:   toAnswer,
			status: 500,
			serve:  dripping("HTTP/1.1 500 Oh\r\n"+gzipped, " "),
			setup:  plain,
		},
		"body of a 302": {
			gets:   toAnswer,
			status: 302,
			serve:  dripping("HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n", "<"),
		},
	}
}

// dripFrom is dripping without a request before it.
func dripFrom(p pipes.Peer, head string) {
	_, err := io.WriteString(p, head)
	for err == nil {
		time.Sleep(time.Second)
		_, err = p.Write([]byte{0})
	}
}

// attempts is how often an operation is sent to such a server, of three times that it may.
func (s slowServer) attempts(op operations.Operation) int {
	read := op.Repeat == operations.Always || op.Repeat == operations.Opened
	switch {
	case s.gets == toNothing:
		return 3
	case s.status == 500 && read:
		return 3
	case s.status != 0:
		return 1
	case s.gets == toAnswer && op.Streamed(): // which is the caller's by then
		return 1
	case read || op.Repeat == operations.Settling:
		return 3
	}
	return 1
}

// exchangeEnds is when an exchange is over that nobody waits for any more.
const exchangeEnds = 2 * time.Minute

// inSlowBubble makes one call to a slow server, and expects no connection and no goroutine to be
// left of it.
func inSlowBubble(
	t *testing.T, server slowServer, op operations.Operation, test func(t *testing.T, c *duolink.Client),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := pipes.New(server.serve)
		if server.setup != nil {
			server.setup(p)
		}
		base := "http://127.0.0.1"
		if server.https {
			base = "https://127.0.0.1"
		}
		defer func() {
			if op.Name == operations.Exchange {
				time.Sleep(exchangeEnds) // it goes on, for others
			}
			p.CloseIdleConnections()
			time.Sleep(time.Second) // until the next write shows the server that nobody listens
			synctest.Wait()
			require.Zero(t, p.Open.Load(), "open connections")
		}()
		test(
			t,
			clientOf(t, base, op, &http.Client{Transport: &p.Transport},
				duolink.WithRetry(duolink.Retry{MaxAttempts: 3})),
		)
	})
}

// Whatever a server is slow at, an attempt ends at its timeout, to the nanosecond.
func TestSlowServers(t *testing.T) {
	ended := 0
	for name, server := range slowServers() {
		for _, op := range operations.All {
			t.Run(name+"/"+op.Name, func(t *testing.T) {
				inSlowBubble(t, server, op, func(t *testing.T, c *duolink.Client) {
					var r duolink.Response
					began := time.Now()
					err := op.Call(t.Context(), c, duolink.WithResponse(&r))
					took := time.Since(began)
					e := slowError(t, server, err)
					require.Equal(t, server.attempts(op), e.Attempts)
					timeout := op.Timeout
					ended++
					if op.Name == operations.Exchange { // whose attempts are not the call's
						require.GreaterOrEqual(t, took, timeout*time.Duration(e.Attempts))
						require.Less(t, took, timeout*time.Duration(e.Attempts)+2*time.Second)
						return
					}
					for _, a := range r.Attempts {
						if a.Failure != "" { // of a stream that was opened, its caller reads the rest
							require.Equal(t, timeout, a.Duration)
							took -= a.Duration
						}
						took -= a.Wait
					}
					if server.attempts(op) == 1 && op.Streamed() && server.status == 0 {
						took -= timeout
					}
					require.Zero(t, took, "time that is neither an attempt's nor a wait")
				})
			})
		}
	}
	t.Logf("slow servers: %d calls to %d servers, all ended at their timeouts", ended, len(slowServers()))
}

// slowError expects what such a server makes of a call.
func slowError(t *testing.T, server slowServer, err error) *duolink.Error {
	t.Helper()
	e := asError(t, err)
	switch {
	case server.status != 0: // the status speaks, however much of the body arrived
		kindIs(
			t, err,
			map[int]error{302: duolink.ErrMalformedResponse, 403: duolink.ErrForbidden,
				500: duolink.ErrServer}[server.status],
		)
		require.Equal(t, server.status, e.StatusCode)
	default:
		kindIs(t, err, duolink.ErrTimeout)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "it is not the caller's")
		for _, k := range kinds {
			require.NotErrorIs(t, err, k)
		}
		require.Equal(t, server.gets == toAnswer, e.StatusCode == 200)
	}
	switch {
	case server.gets == toNothing:
		require.Equal(t, duolink.OutcomeNotSent, e.Outcome)
	case server.status == 403:
		require.Equal(t, duolink.OutcomeRejected, e.Outcome)
	default:
		require.Equal(t, duolink.OutcomeUnknown, e.Outcome)
	}
	oneLine(t, err)
	return e
}

// A caller who has no more time, or who gives up, waits for no server, not even for that of a
// stream, which has an hour.
func TestSlowServersAndTheCallersContext(t *testing.T) {
	const patience = 7*time.Second + 1
	ended := 0
	for name, server := range slowServers() {
		for _, op := range operations.All {
			for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
				t.Run(name+"/"+op.Name+"/"+end.Error(), func(t *testing.T) {
					inSlowBubble(t, server, op, func(t *testing.T, c *duolink.Client) {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						if errors.Is(end, context.Canceled) {
							ctx, cancel = context.WithCancel(t.Context())
							defer time.AfterFunc(patience, cancel).Stop()
						}
						defer cancel()
						began := time.Now()
						err := op.Call(ctx, c)
						require.Equal(t, patience, time.Since(began))
						require.ErrorIs(t, err, end)
						ended++
					})
				})
			}
		}
	}
	t.Logf("slow servers: %d calls given up, all ended at once", ended)
}
