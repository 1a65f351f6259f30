package proof

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// redirecting answers everything with one and the same redirect, and counts how often it is asked.
type redirecting struct {
	asked    atomic.Int32
	status   int
	location string
	body     string
}

func (s *redirecting) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.asked.Add(1)
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
	if s.location != "" {
		w.Header().Set("Location", s.location)
	}
	w.Header().Set("X-Request-Id", "req-0001")
	w.WriteHeader(s.status)
	_, _ = w.Write([]byte(s.body))
}

// strayed is what a request that follows a redirect would find: an answer that every operation can
// use.
type strayed struct{ asked atomic.Int32 }

func (s *strayed) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.asked.Add(1)
	_, _ = w.Write([]byte(`{"data":[],"accounts":[],"numbers":{},"link_id":"mk_1","access_token":"otok_1"}`))
}

// A redirect is not followed, wherever it leads, whatever is asked for, and whatever the caller's
// http.Client would do: whom it leads to sees neither credentials nor bodies, and not even a
// request.
func TestRedirectsAreNotFollowed(t *testing.T) {
	first, second := &redirecting{}, &strayed{}
	plain, secure := httptest.NewServer(first), httptest.NewTLSServer(first)
	elsewhere, secureElsewhere := httptest.NewServer(second), httptest.NewTLSServer(second)
	for _, s := range []*httptest.Server{plain, secure, elsewhere, secureElsewhere} {
		defer s.Close()
	}
	asked := 0
	for name, way := range map[string]struct{ from, to *httptest.Server }{
		"same host": {plain, plain}, "same host, https": {secure, secure}, "other host": {plain, elsewhere},
		"https to http":  {secure, elsewhere},
		"http to https":  {plain, secureElsewhere},
		"https to https": {secure, secureElsewhere},
	} {
		host := strings.TrimPrefix(strings.TrimPrefix(way.to.URL, "http://"), "https://")
		first.location = strings.Replace(
			way.to.URL,
			"://",
			"://user:pa55word@",
			1,
		) + "/path-of-theirs?query-of-theirs=1#fragment-of-theirs"
		for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308, 399} {
			first.status = status
			for _, op := range operations.All {
				t.Run(fmt.Sprintf("%s/%d/%s", name, status, op.Name), func(t *testing.T) {
					first.asked.Store(0)
					c := clientOf(t, way.from.URL, op, secure.Client())
					isRedirect(t, op.Call(t.Context(), c), op, status, host)
					require.EqualValues(t, 1, first.asked.Load(), "asked")
					require.Zero(t, second.asked.Load(), "followed")
					asked += int(first.asked.Load())
				})
			}
		}
	}
	t.Logf("redirects: %d calls, %d followed", asked, second.asked.Load())
}

// isRedirect expects the error of a redirect, which names its target's host and nothing else of it.
func isRedirect(t *testing.T, err error, op operations.Operation, status int, leadsTo string) {
	t.Helper()
	kindIs(t, err, duolink.ErrMalformedResponse)
	e := asError(t, err)
	require.Equal(t, op.Operation(), e.Operation)
	require.Equal(t, status, e.StatusCode)
	require.Equal(t, duolink.OutcomeUnknown, e.Outcome)
	require.Equal(t, 1, e.Attempts)
	require.Regexp(t, "^req-(body-)?0001$", e.RequestID)
	if status == http.StatusNotModified { // it is no redirect, whatever its header says
		require.NotContains(t, e.Message, "redirect")
	} else {
		require.Equal(t, "redirects are never followed; this one leads to "+leadsTo, e.Message)
	}
	bare := duolink.Error{
		API: e.API, Operation: e.Operation, StatusCode: status, Message: e.Message, RequestID: e.RequestID,
		Attempts: 1, Outcome: duolink.OutcomeUnknown, Kind: e.Kind,
	}
	if op.Name == operations.Exchange {
		bare.RetryAfter = e.RetryAfter // ours: a failed exchange is not tried again at once
	}
	require.Equal(t, bare, *e, "nothing of the server's words")
	oneLine(t, err)
	for _, text := range append(printed(err), logged(err)...) {
		for _, never := range []string{"pa55word", "user:", "path-of-theirs", "query-of-theirs", "fragment-of-theirs"} {
			require.NotContains(t, text, never)
		}
	}
}

// A Location that is missing, or that cannot be read, makes no other error, and is kept for the
// caller as it came.
func TestOddRedirects(t *testing.T) {
	for location, leadsTo := range map[string]string{
		"":                           "nowhere that can be read",
		"%zz":                        "nowhere that can be read",
		"http://[::1/path-of-theirs": "nowhere that can be read",
		"http://user:pa55word@:x/":   "nowhere that can be read",
		"https:path-of-theirs":       "nowhere that can be read",
		"mailto:user:pa55word@a":     "nowhere that can be read",
		"file:///path-of-theirs":     "nowhere that can be read",
		"/path-of-theirs?query-of-theirs=1#fragment-of-theirs": "the same host",
		"path-of-theirs":                                 "the same host",
		"?query-of-theirs":                               "the same host",
		"../path-of-theirs":                              "the same host",
		"//user:pa55word@other.example.com":              "other.example.com",
		"https://user:pa55word@[::1]:8443":               "[::1]:8443",
		"https://pa55word:pa55word@a.example.com:1/":     "a.example.com:1",
		"ftp://other.example.com/path-of-theirs":         "other.example.com",
		"https://" + strings.Repeat("x", 1000) + ".test": strings.Repeat("x", 200) + "...",
	} {
		for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
			for _, name := range []string{"links.create", "links.get", "auth.get", "logins.query_accounts, streamed"} {
				op := operations.Named(name)
				server := &redirecting{status: status, location: location}
				var r duolink.Response
				err := op.Call(t.Context(), sandboxClient(t, handler{server}), duolink.WithResponse(&r))
				isRedirect(t, err, op, status, leadsTo)
				require.Equal(t, location, r.Header().Get("Location"))
				require.EqualValues(t, 1, server.asked.Load(), "%d %q", status, location)
			}
		}
	}
}

// What the body of a redirect says, and be it that the request should be sent again, makes it no
// other error.
func TestRedirectsWithABody(t *testing.T) {
	for _, body := range []string{
		plaidBody("RATE_LIMIT_EXCEEDED", "RATE_LIMIT"), plaidBody("API_ERROR", "INTERNAL_SERVER_ERROR"),
		envelopeBody("RATE_LIMIT_EXCEEDED"),
		flatBody("NOT_FOUND"), nativeBody("api_error.auth.expired_access_token"),
		`{"documentation_url":"https://a.test/path-of-theirs"}`,
		`<a href="https://user:pa55word@a.test/path-of-theirs">moved</a>`,
	} {
		for _, status := range []int{301, 302, 307, 308} {
			for _, op := range operations.All {
				server := &redirecting{status: status, location: "https://other.example.com/", body: body}
				err := op.Call(t.Context(),
					clientOf(t, "http://127.0.0.1", op, &http.Client{Transport: handler{server}}))
				require.EqualValues(t, 1, server.asked.Load(), "%s %d %s", op.Name, status, body)
				isRedirect(t, err, op, status, "other.example.com")
			}
		}
	}
}

// A caller's http.Client that follows redirects, and keeps cookies, is as it was afterwards.
func TestRedirectsAndTheCallersClient(t *testing.T) {
	first, second := &redirecting{status: 307}, &strayed{}
	server, elsewhere := httptest.NewServer(first), httptest.NewServer(second)
	defer server.Close()
	defer elsewhere.Close()
	first.location = elsewhere.URL
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	checked := 0
	own := &http.Client{
		Transport: server.Client().Transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { checked++; return nil },
	}
	before := *own
	for _, op := range operations.All {
		isRedirect(
			t, op.Call(t.Context(), clientOf(t, server.URL, op, own)), op, 307,
			strings.TrimPrefix(elsewhere.URL, "http://"),
		)
	}
	require.Zero(t, checked)
	require.Zero(t, second.asked.Load())
	sameClient(t, before, own)
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	require.Len(t, jar.Cookies(base), 1, "its cookie jar is used")
}

// sameClient expects each member of an http.Client, also those that a later Go may add, to be what
// it was.
func sameClient(t *testing.T, before http.Client, own *http.Client) {
	t.Helper()
	was, is := reflect.ValueOf(before), reflect.ValueOf(own).Elem()
	for i := range was.NumField() {
		name := was.Type().Field(i).Name
		if was.Field(i).Kind() == reflect.Func {
			require.Equal(t, was.Field(i).Pointer(), is.Field(i).Pointer(), name)
			continue
		}
		require.Equal(t, was.Field(i).Interface(), is.Field(i).Interface(), name)
	}
}
