package duolink

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Answers as the APIs write them, read through the real client: the connection is in memory, all
// above it is what users run.

const (
	testKey    = "sm-test-key-0001"
	testID     = "mk-test-client-0001"
	testSecret = "mk-test-secret-0001"
)

// memory is a server in memory. It keeps the requests.
type memory struct {
	answer   func(*http.Request) *http.Response
	requests []*http.Request
	bodies   []string
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	m.requests, m.bodies = append(m.requests, r), append(m.bodies, string(body))
	return m.answer(r), nil
}

// queries are the raw queries of all requests, in order.
func (m *memory) queries() []string {
	all := []string{}
	for _, r := range m.requests {
		all = append(all, r.URL.RawQuery)
	}
	return all
}

// reply is an answer with a body. header has names and values in turn.
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// inMemory is a client of both APIs that sends each request once, to a server in memory.
func inMemory(t *testing.T, answer func(*http.Request) *http.Response, opts ...Option) (*Client, *memory) {
	t.Helper()
	m := &memory{answer: answer}
	if len(opts) == 0 {
		opts = []Option{WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret))}
	}
	opts = append(slices.Clone(opts), WithHTTPClient(&http.Client{Transport: m}), WithRetry(Retry{MaxAttempts: 1}))
	c, err := New(opts...)
	require.NoError(t, err)
	return c, m
}

// golden returns a file under testdata.
func golden(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(file)))
	require.NoError(t, err)
	return string(b)
}

// answering is a client that gets the same file, a path under testdata, as the answer to
// everything.
func answering(t *testing.T, status int, file string) *Client {
	t.Helper()
	return replying(t, status, golden(t, file))
}

// replying is a client that gets the same body as the answer to everything.
func replying(t *testing.T, status int, body string, header ...string) *Client {
	t.Helper()
	c, _ := inMemory(t, func(*http.Request) *http.Response { return reply(status, body, header...) })
	return c
}

// check judges what a call returned for one file.
type check[T any] = func(t *testing.T, got T, err error)

// goldens calls an operation with each of its files as the answer. A file that has no check fails
// the test.
func goldens[T any](
	t *testing.T, operation string, call func(context.Context, *Client) (T, error), checks map[string]check[T],
) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", operation))
	require.NoError(t, err)
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	require.Equal(t, files, slices.Sorted(maps.Keys(checks)), "the files of %s and the checks", operation)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			got, err := call(t.Context(), answering(t, 200, operation+"/"+file))
			checks[file](t, got, err)
		})
	}
}

// Every operation has tests that read its golden files, beside its service.
func TestEveryOperationIsReadFromGoldenFiles(t *testing.T) {
	var sources strings.Builder
	for _, name := range []string{
		"logins", "stream", "links", "identity", "identity_link", "auth", "credentials_exchange",
	} {
		source, err := os.ReadFile(name + "_test.go")
		require.NoError(t, err)
		sources.Write(source)
	}
	require.NotEmpty(t, rows)
	for name := range rows {
		operation := operationOf(name)
		require.Regexp(t, `goldens\(t, "`+operation+`"|golden\(t, "`+operation+`/`, sources.String())
	}
}

// is expects exactly this answer: nil and empty lists differ, and so do two texts of one instant.
func is[T any](want T) check[T] {
	return func(t *testing.T, got T, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// malformed expects an answer to be refused, with this request id.
func malformed[T any](requestID string) check[T] {
	return func(t *testing.T, got T, err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrMalformedResponse)
		require.Zero(t, got)
		e := asError(t, err)
		require.Equal(t, 200, e.StatusCode)
		require.Equal(t, requestID, e.RequestID)
		require.Equal(t, 1, e.Attempts)
	}
}

// stamp is the timestamp of a text. Leave the instant, in RFC 3339, out if the text is the same.
func stamp(text string, instant ...string) Timestamp {
	at, err := time.Parse(time.RFC3339Nano, append(instant, text)[0])
	if err != nil {
		panic(err)
	}
	return Timestamp{Time: at.UTC(), text: text}
}

// unreadable is a timestamp that has only its text.
func unreadable(text string) Timestamp { return Timestamp{text: text} }

// notations are the timestamps of the lists in logins.list, logins.query_accounts and links.list,
// by the item's name.
var notations = map[string]Timestamp{
	"offset":            stamp("2021-10-22T11:47:16+00:00"),
	"offset_not_utc":    stamp("2021-10-22T13:47:16+02:00", "2021-10-22T11:47:16Z"),
	"z":                 stamp("2026-01-01T00:00:00Z"),
	"fraction_z":        stamp("2026-01-01T00:00:00.123Z"),
	"fraction_offset":   stamp("2026-01-01T00:00:00.123456+00:00"),
	"offset_no_colon":   stamp("2026-04-06T10:59:04+0000", "2026-04-06T10:59:04Z"),
	"zoneless":          stamp("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
	"zoneless_space":    stamp("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
	"date_only":         stamp("2026-01-01", "2026-01-01T00:00:00Z"),
	"empty":             {},
	"null":              {},
	"absent":            {},
	"unreadable_zeroes": unreadable("0000-00-00 00:00:00"),
	"unreadable_number": unreadable("1767225600"),
}

// bankNotations are those of identity.get and auth.numbers.
var bankNotations = map[string]Timestamp{
	"zoneless":                stamp("2023-02-16T09:14:11", "2023-02-16T09:14:11Z"),
	"z":                       stamp("2021-08-12T15:23:00Z"),
	"fraction_offset":         stamp("2023-02-16T09:14:11.123456+00:00"),
	"fraction_offset_not_utc": stamp("2023-02-16T04:14:11.123456-05:00", "2023-02-16T09:14:11.123456Z"),
	"fraction_zoneless":       stamp("2023-02-16T09:14:11.123456", "2023-02-16T09:14:11.123456Z"),
	"offset_no_colon":         stamp("2023-02-16T09:14:11+0000", "2023-02-16T09:14:11Z"),
	"date_only":               stamp("2023-02-16", "2023-02-16T00:00:00Z"),
	"null":                    {},
	"absent":                  {},
	"empty":                   {},
	"unreadable_zeroes":       unreadable("0000-00-00"),
	"unreadable_number":       unreadable("1676538851"),
}

// sameStamps compares instants as users should, and the original texts.
func sameStamps(t *testing.T, want Timestamp, got ...Timestamp) {
	t.Helper()
	for _, g := range got {
		require.Truef(t, g.Equal(want), "%q is %v, not %v", g.Text(), g.Time, want.Time)
		require.Equal(t, want.Text(), g.Text())
		require.Equal(t, want.IsZero(), g.IsZero())
		require.Equal(t, want.Text() == "2026-01-01" || want.Text() == "2023-02-16", g.DateOnly())
	}
}

var (
	avery  = NewSensitive("avery.sample@example.com")
	blake  = NewSensitive("blake.example@example.com")
	casey  = NewSensitive("casey.placeholder@example.com")
	blakes = NewSensitive("100000000000001") // Blake's username at Facebook
)
