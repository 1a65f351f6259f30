package proof

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/proof/pipes"
	"github.com/stretchr/testify/require"
)

// pouring reads a request and answers with a head, and then as much as anybody takes.
func pouring(head, piece string) func(pipes.Peer) {
	much := strings.Repeat(piece, 1+(4<<10)/len(piece))
	return func(p pipes.Peer) {
		if !pipes.Request(p) {
			return
		}
		_, err := io.WriteString(p, head)
		for err == nil {
			_, err = io.WriteString(p, much)
		}
	}
}

// flood is a server that sends without end. Of a body, the operation's limit is taken, and of
// anything else what is said here.
type flood struct {
	serve func(pipes.Peer)
	takes int64
	kind  error // nil is a connection that failed
}

// headerLimit is how many bytes of header are read.
const headerLimit = 256 << 10

func floods() map[string]flood {
	const headers = headerLimit
	all := map[string]flood{
		"status line":      {serve: pouring("HTTP/1.1 200 ", "x"), takes: headers},
		"a header's bytes": {serve: pouring(pipes.OK+"X-Long: ", "x"), takes: headers},
		"headers":          {serve: pouring(pipes.OK, "X-Long: 1\r\n"), takes: headers},
		"100 Continue":     {serve: pouring("", "HTTP/1.1 100 Continue\r\n\r\n"), takes: headers},
		"103 Early Hints":  {serve: pouring("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), takes: headers},
		"chunk extension":  {serve: pouring(pipes.OK+chunked+"1;x=", "y"), takes: headers},
		"chunk extensions": {
			serve: pouring(pipes.OK+chunked, "1;x="+strings.Repeat("y", 1000)+"\r\n \r\n"),
			takes: headers,
		},
		"trailers": {serve: pouring(pipes.OK+chunked+"1\r\n \r\n0\r\n", "X-Long: 1\r\n"), takes: headers},
		"body": {
			serve: pouring(pipes.OK+"Content-Length: 1000000000000\r\n\r\n", " "),
			kind:  duolink.ErrResponseTooLarge,
		},
		"body without length": {serve: pouring(pipes.OK+"\r\n", " "), kind: duolink.ErrResponseTooLarge},
		"chunks": {
			serve: pouring(pipes.OK+chunked, "1000\r\n"+space[:4096]+"\r\n"),
			kind:  duolink.ErrResponseTooLarge,
		},
	}
	for status, kind := range map[int]error{
		302: duolink.ErrMalformedResponse, 400: duolink.ErrBadRequest, 401: duolink.ErrUnauthorized,
		403: duolink.ErrForbidden, 404: duolink.ErrNotFound, 422: duolink.ErrValidation, 501: duolink.ErrServer,
	} {
		for name, framing := range map[string]string{
			"":                "\r\n",
			", with a length": "Content-Length: 1000000000000\r\n\r\n",
			", chunked":       chunked + "7fffffffff\r\n",
		} {
			head := fmt.Sprintf("HTTP/1.1 %d Oh\r\nContent-Type: text/html\r\n", status)
			all[fmt.Sprintf("body of a %d%s", status, name)] = flood{
				serve: pouring(head+framing, "<p>No</p>"),
				takes: errorBody,
				kind:  kind,
			}
		}
	}
	return all
}

// A server that sends without end is read up to a bound, at once, and hung up on: nothing is
// drained.
func TestFloods(t *testing.T) {
	limits := []int64{0, 100_000}
	if inShort() {
		limits = limits[1:]
	}
	var answers, taken int64
	for _, limit := range limits {
		for name, server := range floods() {
			for _, op := range operations.All {
				if inShort() && op.Name != "links.create" && !op.Streamed() {
					continue
				}
				t.Run(fmt.Sprintf("%d/%s/%s", limit, name, op.Name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := pipes.New(server.serve)
						p.MaxResponseHeaderBytes = headerLimit
						defer p.CloseIdleConnections()
						c := clientOf(
							t,
							"http://127.0.0.1",
							op, &http.Client{Transport: p},
							append(limited(limit), duolink.WithRetry(duolink.Retry{MaxAttempts: 2}))...)
						most := cmp.Or(server.takes, limit, op.Limit)
						if server.kind != nil && limit > 0 {
							most = min(most, limit)
						}
						began := time.Now()
						e := asError(t, op.Call(t.Context(), c))
						synctest.Wait()
						require.Less(t, time.Since(began), time.Second, "a backoff at most")
						require.Zero(t, p.Open.Load(), "open connections")
						const buffers = 64 << 10 // and a little for the chunks
						require.LessOrEqual(t, p.Wrote.Load(), (most+most/100+buffers)*int64(e.Attempts))
						if server.kind != nil {
							kindIs(t, e, server.kind)
							require.Equal(t, 1, e.Attempts)
							require.Greater(t, p.Wrote.Load(), most*9/10, "as much as there may be")
						}
						answers, taken = answers+int64(e.Attempts), taken+p.Wrote.Load()
					})
				})
			}
		}
	}
	t.Logf("floods: %d answers without an end, %d MiB taken", answers, taken>>20)
}
