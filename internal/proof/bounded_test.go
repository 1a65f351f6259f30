package proof

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// How much of an answer is read, and how much memory that takes.

// errorBody is how much of the body of an error is read.
const errorBody = 1 << 20

// repeated is a body of many equal pieces, which never stands in memory as a whole. It knows how
// much of it was read.
type repeated struct {
	head, piece, tail string
	n                 int // pieces
	rest              string
	read              int64
	closed            bool
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if r.rest == "" {
			err = r.next()
		}
		c := copy(p[n:], r.rest)
		r.rest, n = r.rest[c:], n+c
	}
	r.read += int64(n)
	return n, err
}

func (r *repeated) next() error {
	switch {
	case r.head != "":
		r.rest, r.head = r.head, ""
	case r.n > 0:
		r.rest, r.n = r.piece, r.n-1
	case r.tail != "":
		r.rest, r.tail = r.tail, ""
	default:
		return io.EOF
	}
	return nil
}

func (r *repeated) Close() error {
	r.closed = true
	return nil
}

var space = strings.Repeat(" ", 64<<10)

// mebibyte is one, of equal bytes, compressed.
func mebibyte(content byte) func() string {
	return sync.OnceValue(func() string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(bytes.Repeat([]byte{content}, 1<<20)) // a bytes.Buffer does not fail
		_ = z.Close()
		return b.String()
	})
}

var zeros, blanks = mebibyte(0), mebibyte(' ')

// bomb is two gigabytes, compressed: a mebibyte, again and again.
func bomb(mebibyte string) *repeated { return &repeated{piece: mebibyte, n: 2 << 10} }

// unlimited is an answer whose body is read from somewhere.
func unlimited(status int, body io.ReadCloser, header ...string) *http.Response {
	r := reply(status, "", header...)
	r.Body, r.ContentLength = body, -1
	return r
}

// allocated is how much memory a function asks for: what it has given back is counted too, so it
// never holds more at a time.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// fromMemory is a client whose answers come from a function, without a connection.
func fromMemory(
	t *testing.T, op operations.Operation, answer func(*http.Request) *http.Response, opts ...duolink.Option,
) *duolink.Client {
	t.Helper()
	transport := roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r), nil })
	return clientOf(t, "http://127.0.0.1", op, &http.Client{Transport: transport}, opts...)
}

// fromServer is a client that gets one compressed body as the answer to everything, over a
// connection.
func fromServer(
	t *testing.T, op operations.Operation, status int, body io.Reader, opts ...duolink.Option,
) *duolink.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", r.Header.Get("Accept-Encoding"))
		w.WriteHeader(status)
		_, _ = io.Copy(w, body)
	}))
	t.Cleanup(server.Close)
	return clientOf(t, server.URL, op, server.Client(), opts...)
}

// limited are the options for a limit, 0 for the default.
func limited(limit int64) []duolink.Option {
	if limit == 0 {
		return nil
	}
	return []duolink.Option{duolink.WithMaxResponseBytes(limit)}
}

// What is small on the wire and huge behind it is read up to the limit, in less than twice its
// memory, once, whoever decompresses it. Of an error the status speaks, and of its body a mebibyte
// is read.
func TestGzipBombs(t *testing.T) {
	limits := []int64{0, 1 << 20, 3 << 20}
	if inShort() {
		limits = limits[1:2]
	}
	var calls, share, most int64
	for _, limit := range limits {
		for status, kind := range map[int]error{200: duolink.ErrResponseTooLarge, 404: duolink.ErrNotFound} {
			for _, op := range operations.All {
				for _, way := range []string{"ours", "net/http's"} {
					t.Run(fmt.Sprintf("%d/%d/%s/%s", limit, status, op.Name, way), func(t *testing.T) {
						cut, content := cmp.Or(limit, op.Limit), zeros()
						if status != 200 {
							cut = errorBody
						} else if op.Streamed() {
							content = blanks() // a stream would end at the first zero
						}
						asked, body := 0, bomb(content)
						c := fromMemory(t, op, func(*http.Request) *http.Response {
							asked++
							return unlimited(status, body, "Content-Encoding", "gzip")
						}, limited(limit)...)
						if way != "ours" {
							c = fromServer(t, op, status, body, limited(limit)...)
						}
						took := allocated(func() { kindIs(t, op.Call(t.Context(), c), kind) })
						require.Less(t, took, 2*cut)
						if way == "ours" {
							require.Equal(t, 1, asked)
							require.True(t, body.closed)
							require.Less(t, body.read, cut/100, "of what is on the wire")
						}
						calls, share, most = calls+1, max(share, took*100/cut), max(most, took)
					})
				}
			}
		}
	}
	t.Logf("bounded: %d answers of 2 GiB each, at most %d MiB allocated, and %d %% of the limit", calls, most>>20,
		share)
}

// A whole answer may be as long as the limit, and not a byte longer; to read it takes less than
// twice the limit.
func TestMaxResponseBytes(t *testing.T) {
	limits := []int64{0, 1 << 20, 999_999}
	if inShort() {
		limits = limits[1:]
	}
	for _, limit := range limits {
		for _, op := range operations.All {
			if op.Streamed() {
				continue // TestMaxResponseBytesOfAStream
			}
			t.Run(fmt.Sprintf("%d/%s", limit, op.Name), func(t *testing.T) {
				cut := cmp.Or(limit, op.Limit)
				in := func(length int64) (r duolink.Response, err error) {
					blank := int(length) - len(op.Least)
					body := &repeated{head: op.Least, piece: space, n: blank / len(space),
						tail: space[:blank%len(space)]}
					c := fromMemory(t, op, func(r *http.Request) *http.Response {
						if op.Name == operations.Exchange && r.URL.Path != "/auth/token" {
							return reply(200, operations.Named("identity.link").Least)
						}
						return unlimited(200, body)
					}, limited(limit)...)
					took := allocated(func() { err = op.Call(t.Context(), c, duolink.WithResponse(&r)) })
					require.Less(t, took, 2*cut)
					return r, err
				}
				_, err := in(cut)
				require.NoError(t, err)
				r, err := in(cut + 1)
				kindIs(t, err, duolink.ErrResponseTooLarge)
				require.Equal(t, 200, asError(t, err).StatusCode)
				require.Equal(t, 1, asError(t, err).Attempts, "once")
				require.LessOrEqual(t, int64(len(r.Body())), cut)
				oneLine(t, err)
			})
		}
	}
	_, err := replying(t, 200, operations.Named("links.list").Least).Links.List(t.Context())
	require.NoError(t, err)
	c, _ := inMemory(
		t, func(*http.Request) *http.Response { return reply(200, operations.Named("links.list").Least) },
		duolink.WithSupermetrics(duolink.BearerToken(testKey)), duolink.WithMaxResponseBytes(1<<40),
	)
	_, err = c.Links.List(t.Context())
	require.NoError(t, err, "a limit that no memory has")
}

// For a stream the limit is that of the largest item; how many there are does not matter.
func TestMaxResponseBytesOfAStream(t *testing.T) {
	const limit = 4 << 10
	in := func(body string) (int, error) {
		c, _ := inMemory(
			t, func(*http.Request) *http.Response { return reply(200, body) },
			duolink.WithSupermetrics(duolink.BearerToken(testKey)), duolink.WithMaxResponseBytes(limit),
		)
		all, err := collect(t, c.Logins.StreamAccounts(t.Context(), duolink.AccountsQuery{DataSourceID: "GAWA"}))
		return len(all), err
	}
	login := func(accounts string) string {
		return `{"ds_user":"avery@example.com","display_name":"Avery Sample","cache_time":null,"accounts":[` +
			accounts + `]}`
	}
	account := `{"account_id":"1","account_name":"Example Store","group_name":""}`
	many := strings.TrimSuffix(strings.Repeat(account+",", 2000), ",")
	n, err := in(`{"data":[` + login(many) + `]}`)
	require.NoError(t, err)
	require.Equal(t, 2000, n)

	n, err = in(`{"data":[` + strings.TrimSuffix(strings.Repeat(login(account)+",", 500), ",") + `]}`)
	require.NoError(t, err)
	require.Equal(t, 500, n)

	big := `{"account_id":"2","account_name":"` + strings.Repeat("x", 2*limit) + `"}`
	n, err = in(`{"data":[` + login(account+","+big+","+account) + `]}`)
	kindIs(t, err, duolink.ErrResponseTooLarge)
	require.Equal(t, 1, n)

	// Logins without accounts are items too, although nothing is yielded for them.
	n, err = in(`{"data":[` + strings.Repeat(login("")+",", 500) + login(account) + `]}`)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// The longest texts that the vendors document, each character written as an escape of six bytes, fit
// into the default limits.
func TestDocumentedMaximaFit(t *testing.T) {
	if inShort() {
		t.Skip("this test reads 60 MB, which takes too long under the race detector")
	}
	text := func(characters int) string { return strings.Repeat(`\u00e9`, characters) }
	plain := func(characters int) string { return strings.Repeat("x", characters) }
	link := `{"link_id":"` + plain(50) + `","status_code":"OPEN","description":"` + text(1000) + `","ds_id":"` +
		plain(50) + `","ds_name":"` + text(255) + `","require_username":"` + text(255) + `","redirect_url":"` +
		plain(500) + `","redirect_verifier":"` + plain(255) + `","user_id":"` + plain(50) + `","user_email":"` +
		text(255) + `","login_url":"` + plain(500) + `","login_username":"` + text(255) + `"}`
	scopes := `["` + strings.Join(slices.Repeat([]string{plain(255)}, 25), `","`) + `"]`
	login := `{"@type":"ds_login","login_id":"` + plain(50) + `","login_type":"oauth","username":"` + text(255) +
		`","display_name":"` + text(255) + `","ds_info":{"ds_id":"` + plain(50) + `","name":"` + text(255) +
		`"},"default_scopes":` + scopes + `,"additional_scopes":` + scopes + `,"auth_user_info":{"user_id":"` +
		plain(50) + `","email":"` + text(255) + `"},"is_shared":true}`
	account := `{"@type":"ds_account","account_id":"` + plain(300) + `","name":"` + text(255) + `","group":"` +
		text(255) + `"}`
	full := func(item string) string {
		return `{"meta":{"paginate":{"total":1000}},"data":[` +
			strings.TrimSuffix(strings.Repeat(item+",", 1000), ",") + `]}`
	}
	for name, item := range map[string]string{"links.list": link, "logins.list": login, "logins.accounts": account} {
		t.Run(name, func(t *testing.T) {
			body := full(item)
			answer, err := operations.Named(name).Answer(t.Context(), replying(t, 200, body))
			require.NoError(t, err)
			require.Equal(t, 1000, reflect.ValueOf(answer).Len())
			t.Logf("%s: %d MiB", name, len(body)>>20)
		})
	}
}
