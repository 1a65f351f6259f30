package main

import (
	"bytes"
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink/duolinktest"
)

const home = "http://connect.test"

// fixture is the service against a sandbox, in a bubble, with what it logs.
type fixture struct {
	*testing.T
	*site

	vendor *duolinktest.Server
	kept   *store
	logs   *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inBubble runs a test with the service, whose waiting is virtual.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, vendor: duolinktest.New(t, duolinktest.WithLoginPages(home)), logs: &lockedBuffer{}}
		f.begin(inMemory)
		defer f.end()
		test(t, f)
	})
}

// begin starts the service with a database.
func (f *fixture) begin(db string) {
	f.Helper()
	base, err := url.Parse(home)
	require.NoError(f, err)
	f.kept, err = openStore(f.Context(), db)
	require.NoError(f, err)
	nothing := func(string) string { return "" }
	f.site, err = newSite(base, f.kept, f.vendor, nothing, slog.New(slog.NewTextHandler(f.logs, nil)))
	require.NoError(f, err)
}

// end stops the service. The sandbox goes on.
func (f *fixture) end() {
	f.Helper()
	f.close(context.Background())
	require.NoError(f, f.kept.Close())
}

// person is somebody with a browser: it keeps cookies and says where its forms come from.
type person struct {
	f       *fixture
	cookies map[string]string
	seen    []page // of our own
}

func (f *fixture) person() *person { return &person{f: f, cookies: map[string]string{}} }

// page is what comes back.
type page struct {
	status   int
	header   http.Header
	location string
	html     string // as it came
	text     string // with its entities read
}

// send makes one request. A form is posted; changes are made to the request before it goes.
func (p *person) send(target string, form url.Values, changes ...func(*http.Request)) page {
	p.f.Helper()
	if strings.HasPrefix(target, "/") {
		target = home + target
	}
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", home)
	}
	for name, value := range p.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for _, change := range changes {
		change(r)
	}
	w := httptest.NewRecorder()
	p.f.handler.ServeHTTP(w, r)
	answer := w.Result()
	defer func() { require.NoError(p.f, answer.Body.Close()) }()
	for _, cookie := range answer.Cookies() {
		p.cookies[cookie.Name] = cookie.Value
	}
	body, err := io.ReadAll(answer.Body)
	require.NoError(p.f, err)
	got := page{
		answer.StatusCode, answer.Header, answer.Header.Get("Location"), string(body),
		html.UnescapeString(string(body)),
	}
	if !strings.Contains(target, "/login/") {
		p.seen = append(p.seen, got)
	}
	return got
}

// follow goes where the answer sends the browser.
func (p *person) follow(from page) page {
	p.f.Helper()
	require.Equal(p.f, http.StatusSeeOther, from.status, from.text)
	return p.send(from.location, nil)
}

var (
	formField  = regexp.MustCompile(`name="form" value="([^"]+)"`)
	postedTo   = regexp.MustCompile(`method="post" action="([^"]+/link)"`)
	accountRow = regexp.MustCompile(`<span class="id">([^<]+)</span>`)
	nextPage   = regexp.MustCompile(`rel="next" href="([^"]+)"`)
	loginLink  = regexp.MustCompile(`href="([^"]+/login/[^"]+)"`)
)

// find returns what stands in the page, once.
func (p page) find(t testing.TB, pattern *regexp.Regexp) string {
	t.Helper()
	found := pattern.FindAllStringSubmatch(p.text, -1)
	require.Len(t, found, 1, p.text)
	return found[0][1]
}

// begin chooses a data source and returns the address of the connection with its page.
func (p *person) begin(source, user string) (path string, waiting page) {
	p.f.Helper()
	form := p.send("/", nil).find(p.f, formField)
	created := p.send("/connections", url.Values{"form": {form}, "source": {source}, "user": {user}})
	waiting = p.follow(created)
	require.Equal(p.f, 200, waiting.status)
	return created.location, waiting
}

// signIn goes to the login page and through it, and returns the redirect that comes of it.
func (p *person) signIn(waiting page, username string) string {
	p.f.Helper()
	done := p.send(waiting.find(p.f, loginLink), url.Values{"action": {"sign-in"}, "username": {username}})
	require.Equal(p.f, http.StatusSeeOther, done.status)
	return done.location
}

// newest is the login link that was made last, as the sandbox has it.
func (f *fixture) newest() duolinktest.LoginLink {
	links := f.vendor.LoginLinks()
	return links[len(links)-1]
}

// verifier is that of the newest link.
func (f *fixture) verifier() string { return f.newest().RedirectVerifier }

// pass lets time go by, and what is under way come to rest.
func (f *fixture) pass(d time.Duration) {
	time.Sleep(d) // virtual: in the bubble
	synctest.Wait()
}

func (f *fixture) newestLogin() duolinktest.Login {
	logins := f.vendor.Logins()
	return logins[len(logins)-1]
}

// learnNothing expects that nothing confidential was logged, nor shown to a person: the address of a
// login page only behind the button that leads there.
func (p *person) learnNothing(personal ...string) {
	p.f.Helper()
	secrets := []string{duolinktest.APIKey, p.cookies["session"]}
	for _, link := range p.f.vendor.LoginLinks() {
		secrets = append(secrets, link.RedirectVerifier)
		token := link.LoginURL[strings.LastIndex(link.LoginURL, "/")+1:]
		personal = append(personal, token)
		for _, seen := range p.seen {
			behind := strings.Count(seen.text, `class="button primary" href="`+link.LoginURL+`"`)
			require.LessOrEqual(p.f, behind, 1)
			require.Equal(p.f, behind, strings.Count(seen.text, token), seen.text)
		}
	}
	require.NotEmpty(p.f, p.seen)
	logged := p.f.logs.String()
	require.Contains(p.f, logged, "page=")
	for _, text := range append(secrets, personal...) {
		require.NotEmpty(p.f, text)
		require.NotContains(p.f, logged, text)
	}
	for _, seen := range p.seen {
		for _, secret := range secrets {
			require.NotContains(p.f, seen.text, secret)
		}
	}
}

// only is the person's only connection.
func (f *fixture) only(p *person) connection {
	list, err := f.kept.List(f.Context(), p.cookies["session"])
	require.NoError(f, err)
	require.Len(f, list, 1)
	return list[0]
}

// loseTheAnswer lets the next link be made, but nobody gets to know of it.
func (f *fixture) loseTheAnswer() {
	f.vendor.Script(
		duolinktest.Fault{Operation: "links.list", Delay: time.Millisecond}, // CreateOnce looks first
		duolinktest.Fault{Operation: "links.create", DropAfter: true},
		duolinktest.Fault{Operation: "links.list", Status: 503, Times: -1},
	)
}
