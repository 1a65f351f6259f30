package sandbox

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The login page plays the data source for a person with a browser. It is not a part of the APIs:
// it needs no credential, no fault applies to it, and it is not recorded.

const (
	loginPath  = "/login/"
	loginStyle = "style.css" // no token has a dot
	// otherUsername is the user who signs in with the button for the wrong user.
	otherUsername = "somebody.else@example.com"
	// verifierParameter is the query parameter of the redirect that has the link's verifier.
	verifierParameter = "redirect_verifier"
)

var (
	//go:embed loginpage.html
	loginHTML string
	//go:embed loginpage.css
	loginCSS string

	loginTemplate = template.Must(template.New("login").Parse(loginHTML))
)

// loginURL is the page where the person logs in.
func (c *config) loginURL(r *http.Request, token string) string {
	switch {
	case !c.loginPages:
		return "https://login.example.com/link/" + token
	case c.loginBase != "":
		return c.loginBase + loginPath + token
	case r == nil: // nobody has asked, so the address is not known
		return loginPath + token
	case r.TLS != nil:
		return "https://" + r.Host + loginPath + token
	}
	return "http://" + r.Host + loginPath + token
}

// loginPage is the data of the template.
type loginPage struct {
	status   int
	redirect string // where the browser goes after a login

	View           string // form, refused, done, over or unknown
	Source         string
	Username       string
	Required       bool   // only Username may sign in
	Problem        string // with the form that was sent
	AppURL, AppTag string // the page's way back, if the link has a redirect URL
}

func (s *Sandbox) serveLogin(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	// The address of this page has the token in it.
	header.Set("Referrer-Policy", "no-referrer")
	// No form-action: browsers apply it to the redirect behind the form, too, which leads to any
	// host.
	header.Set(
		"Content-Security-Policy",
		"default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'",
	)
	token := strings.TrimPrefix(r.URL.Path, loginPath)
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		header.Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
	case token == loginStyle:
		header.Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write([]byte(loginCSS)) // it does not matter if the browser has gone
	default:
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		s.logIn(token, r).write(w, r)
	}
}

func (p loginPage) write(w http.ResponseWriter, r *http.Request) {
	if p.redirect != "" {
		http.Redirect(w, r, p.redirect, http.StatusSeeOther)
		return
	}
	var b bytes.Buffer
	if err := loginTemplate.Execute(&b, p); err != nil {
		panic(err) // our own template: a mistake in this package
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	_, _ = w.Write(b.Bytes())
}

// logIn checks the link and does what the person decided.
func (s *Sandbox) logIn(token string, r *http.Request) loginPage {
	if err := r.ParseForm(); err != nil {
		return loginPage{status: http.StatusBadRequest, View: "unknown"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	l := s.linkOf(token)
	switch {
	case l == nil:
		return loginPage{status: http.StatusNotFound, View: "unknown"}
	case l.login != nil || l.status(now) != "OPEN":
		return l.page(http.StatusGone, "over")
	case r.Method != http.MethodPost:
		p := l.page(http.StatusOK, "form")
		p.Username = s.sampleUser(l)
		return p
	}
	switch r.PostForm.Get("action") {
	case "refuse":
		return l.page(http.StatusOK, "refused")
	case "other":
		return s.signIn(l, otherUsername, now)
	}
	return s.signIn(l, strings.TrimSpace(r.PostForm.Get("username")), now)
}

func (s *Sandbox) signIn(l *loginLink, username string, now time.Time) loginPage {
	again := l.page(http.StatusForbidden, "form")
	again.Username = username
	switch {
	case username == "" || utf8.RuneCountInString(username) > 255:
		again.status, again.Problem = http.StatusUnprocessableEntity, "Enter a username of at most 255 characters."
		return again
	case l.requireUsername != "" && !strings.EqualFold(l.requireUsername, username):
		again.Username = l.requireUsername
		again.Problem = "This sign-in is meant for another user than " + username + ". Nothing has happened."
		return again
	}
	s.finish(l, username, now)
	if known := s.sample(l.dataSource, username); known != nil {
		l.login.displayName, l.login.accounts = known.displayName, slices.Clone(known.accounts)
	}
	p := l.page(http.StatusOK, "done")
	p.redirect = l.redirect()
	return p
}

// finish gives the link a login and closes it.
func (s *Sandbox) finish(l *loginLink, username string, now time.Time) {
	l.login = s.addLogin(l.dataSource, username, 3, now)
	l.loginTime, l.closed = now, true
}

func (s *Sandbox) linkOf(token string) *loginLink {
	for _, l := range s.links {
		if l.token == token {
			return l
		}
	}
	return nil
}

// sampleUser is the user who probably signs in.
func (s *Sandbox) sampleUser(l *loginLink) string {
	if l.requireUsername != "" {
		return l.requireUsername
	}
	if known := s.sample(l.dataSource, ""); known != nil {
		return known.username
	}
	return "jordan@example.com"
}

// sample finds a login of the data source that is not revoked, of one user or of any, because a
// user who signs in again reaches the same accounts again.
func (s *Sandbox) sample(dataSource, username string) *login {
	for _, l := range s.logins {
		if l.dataSource == dataSource && l.revoked.IsZero() &&
			(username == "" || strings.EqualFold(l.username, username)) {
			return l
		}
	}
	return nil
}

func (l *loginLink) page(status int, view string) loginPage {
	p := loginPage{status: status, View: view, Source: dataSourceName(l.dataSource), Required: l.requireUsername != ""}
	if u, err := url.Parse(l.redirectURL); err == nil && u.Host != "" {
		p.AppTag, p.AppURL = u.Host, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()
	}
	return p
}

// redirect returns the redirect URL with the verifier added to its query, or "" if there is none.
func (l *loginLink) redirect() string {
	u, err := url.Parse(l.redirectURL)
	if l.redirectURL == "" || err != nil {
		return ""
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += url.Values{verifierParameter: {l.verifier}}.Encode()
	return u.String()
}
