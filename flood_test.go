package duolink

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/send"
	"github.com/stretchr/testify/require"
)

// pouring reads a request and answers with a head, and then as much as anybody takes.
func pouring(head, piece string) func(peer) {
	much := strings.Repeat(piece, 1+(4<<10)/len(piece))
	return func(p peer) {
		if !p.request() {
			return
		}
		_, err := io.WriteString(p, head)
		for err == nil {
			_, err = io.WriteString(p, much)
		}
	}
}

// flood is a server that sends without end. Of a body, the operation's limit is taken, and of anything else what is said here.
type flood struct {
	serve func(peer)
	takes int64
	kind  error // nil is a connection that failed
}

func floods() map[string]flood {
	headers := send.DefaultTransport().MaxResponseHeaderBytes
	all := map[string]flood{
		"status line":         {serve: pouring("HTTP/1.1 200 ", "x"), takes: headers},
		"a header's bytes":    {serve: pouring(ok200+"X-Long: ", "x"), takes: headers},
		"headers":             {serve: pouring(ok200, "X-Long: 1\r\n"), takes: headers},
		"100 Continue":        {serve: pouring("", "HTTP/1.1 100 Continue\r\n\r\n"), takes: headers},
		"103 Early Hints":     {serve: pouring("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), takes: headers},
		"chunk extension":     {serve: pouring(ok200+chunked+"1;x=", "y"), takes: headers},
		"chunk extensions":    {serve: pouring(ok200+chunked, "1;x="+strings.Repeat("y", 1000)+"\r\n \r\n"), takes: headers},
		"trailers":            {serve: pouring(ok200+chunked+"1\r\n \r\n0\r\n", "X-Long: 1\r\n"), takes: headers},
		"body":                {serve: pouring(ok200+"Content-Length: 1000000000000\r\n\r\n", " "), kind: ErrResponseTooLarge},
		"body without length": {serve: pouring(ok200+"\r\n", " "), kind: ErrResponseTooLarge},
		"chunks":              {serve: pouring(ok200+chunked, "1000\r\n"+space[:4096]+"\r\n"), kind: ErrResponseTooLarge},
	}
	for status, kind := range map[int]error{302: ErrMalformedResponse, 400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 422: ErrValidation, 501: ErrServer} {
		for name, framing := range map[string]string{"": "\r\n", ", with a length": "Content-Length: 1000000000000\r\n\r\n", ", chunked": chunked + "7fffffffff\r\n"} {
			head := fmt.Sprintf("HTTP/1.1 %d Oh\r\nContent-Type: text/html\r\n", status)
			all[fmt.Sprintf("body of a %d%s", status, name)] = flood{serve: pouring(head+framing, "<p>No</p>"), takes: errorLimit, kind: kind}
		}
	}
	return all
}

// A server that sends without end is read up to a bound, at once, and hung up on: nothing is drained.
func TestFloods(t *testing.T) {
	limits := []int64{0, 100_000}
	if inShort() {
		limits = limits[1:]
	}
	var answers, taken int64
	for _, limit := range limits {
		for name, server := range floods() {
			for operation, call := range callsAndExchange() {
				if inShort() && operation != "links.create" && !strings.Contains(operation, "streamed") {
					continue
				}
				t.Run(fmt.Sprintf("%d/%s/%s", limit, name, operation), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := newPipes(server.serve)
						p.MaxResponseHeaderBytes = send.DefaultTransport().MaxResponseHeaderBytes
						defer p.CloseIdleConnections()
						c := clientOf(t, "http://127.0.0.1", operation, &http.Client{Transport: p}, append(limited(limit), WithRetry(Retry{MaxAttempts: 2}))...)
						most := cmp.Or(server.takes, limit, limitOf(operation))
						if server.kind != nil && limit > 0 {
							most = min(most, limit)
						}
						began := time.Now()
						e := asError(t, call(t.Context(), c))
						synctest.Wait()
						require.Less(t, time.Since(began), time.Second, "a backoff at most")
						require.Zero(t, p.open.Load(), "open connections")
						const buffers = 64 << 10 // and a little for the chunks
						require.LessOrEqual(t, p.wrote.Load(), (most+most/100+buffers)*int64(e.Attempts))
						if server.kind != nil {
							kindIs(t, e, server.kind)
							require.Equal(t, 1, e.Attempts)
							require.Greater(t, p.wrote.Load(), most*9/10, "as much as there may be")
						}
						answers, taken = answers+int64(e.Attempts), taken+p.wrote.Load()
					})
				})
			}
		}
	}
	t.Logf("floods: %d answers without an end, %d MiB taken", answers, taken>>20)
}
