package sandbox

import (
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// newLink creates a login link and returns its id, its verifier and the path of its login page.
func newLink(t *testing.T, s *Sandbox, body string) (id, verifier, path string) {
	t.Helper()
	got := do(t, s, sm("POST", "/ds/login/link", body))
	require.Equal(t, 201, got.status, got.text)
	u, err := url.Parse(got.at("data", "login_url").(string))
	require.NoError(t, err)
	return got.at("data", "link_id").(string), got.at("data", "redirect_verifier").(string), u.Path
}

// visit is a browser at the login page: without a form it looks, with one it presses a button.
func visit(t *testing.T, s *Sandbox, path string, form url.Values) (status int, header http.Header, page string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	return w.Code, w.Header(), html.UnescapeString(string(body))
}

func signIn(username string) url.Values {
	return url.Values{"action": {"sign-in"}, "username": {username}}
}

func (s *Sandbox) linkState(t *testing.T, id string) LoginLinkState {
	t.Helper()
	for _, l := range s.Links() {
		if l.ID == id {
			return l
		}
	}
	require.FailNow(t, "no link", id)
	return LoginLinkState{}
}

func TestLoginURL(t *testing.T) {
	ask := func(s *Sandbox, change func(*http.Request)) string {
		r := httptest.NewRequest(http.MethodGet, "http://sandbox.test:8080/v2/ds/login/link/"+OpenLoginLinkID, nil)
		r.Header.Set("Authorization", "Bearer "+APIKey)
		change(r)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return read(t, w.Result()).at("data", "login_url").(string)
	}
	same := func(*http.Request) {}
	require.Regexp(t, `^https://login\.example\.com/link/\w{40}$`, ask(New(), same))
	require.Regexp(t, `^http://sandbox\.test:8080/login/\w{40}$`, ask(New(WithLoginPages("")), same))
	require.Regexp(t, `^https://sandbox\.test:8080/login/\w{40}$`,
		ask(New(WithLoginPages("")), func(r *http.Request) { r.TLS = &tls.ConnectionState{} }))
	require.Regexp(t, `^http://127\.0\.0\.1:9/login/\w{40}$`, ask(New(WithLoginPages("http://127.0.0.1:9/")), same))
}

func TestSignIn(t *testing.T) {
	for name, tc := range map[string]struct {
		redirect, want string
	}{
		"plain": {"https://app.example.com/done", "https://app.example.com/done?redirect_verifier="},
		"query": {
			"https://app.example.com/done?b=2&a=1%2B1", "https://app.example.com/done?b=2&a=1%2B1&redirect_verifier=",
		},
		"the same name": {
			"https://app.example.com/?redirect_verifier=x",
			"https://app.example.com/?redirect_verifier=x&redirect_verifier=",
		},
		"fragment": {"https://app.example.com/#top", "https://app.example.com/?redirect_verifier="},
		"loopback, plain": {"http://127.0.0.1:8080/connected/1",
			"http://127.0.0.1:8080/connected/1?redirect_verifier="},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(WithLoginPages(""))
			id, verifier, path := newLink(t, s, `{"ds_id":"AW","redirect_url":"`+tc.redirect+`"}`)
			status, header, page := visit(t, s, path, nil)
			require.Equal(t, 200, status)
			require.Contains(t, page, "You are signing in to Google Ads")
			require.Contains(t, page, "Sandbox.")
			require.Contains(t, page, `value="jordan@example.com"`)
			require.NotContains(t, page, "wrong user")
			require.NotContains(t, page, verifier)
			require.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
			require.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")

			status, header, _ = visit(t, s, path, signIn(" jordan@example.com "))
			require.Equal(t, 303, status)
			location, fragment, _ := strings.Cut(header.Get("Location"), "#")
			require.Equal(t, tc.want+verifier, location)
			require.Equal(t, strings.Contains(tc.redirect, "#"), fragment == "top")

			link := s.linkState(t, id)
			require.Equal(t, "CLOSED", link.Status)
			login := s.Logins()[len(s.Logins())-1]
			require.Equal(t, LoginState{ID: link.LoginID, DataSourceID: "AW", Username: "jordan@example.com",
				Accounts: 260},
				login)
		})
	}
}

func TestSignInWithoutRedirect(t *testing.T) {
	s := New(WithLoginPages(""))
	id, _, path := newLink(t, s, `{"ds_id":"TIK"}`)
	status, header, page := visit(t, s, path, signIn("sam@example.com"))
	require.Equal(t, 200, status)
	require.Empty(t, header.Get("Location"))
	require.Contains(t, page, "You are signed in to TIK")
	require.Contains(t, page, "You may close this window.")
	require.NotEmpty(t, s.linkState(t, id).LoginID)
	require.Equal(t, 3, s.Logins()[len(s.Logins())-1].Accounts, "nobody knows this user: made-up accounts")
}

func TestNoSignIn(t *testing.T) {
	const required = `{"ds_id":"GAWA","require_username":"avery+ads@example.com",` +
		`"redirect_url":"https://app.example.com/done"}`
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		text   string
	}{
		"refused": {url.Values{"action": {"refuse"}, "username": {RequiredUsername}}, 200, "Nothing has happened"},
		"wrong button": {
			url.Values{"action": {"other"}, "username": {RequiredUsername}}, 403,
			"meant for another user than " + otherUsername,
		},
		"wrong user": {signIn("<b>sam@example.com"), 403, "meant for another user than <b>sam@example.com"},
		"nobody":     {signIn(" "), 422, "Enter a username"},
		"long":       {signIn(strings.Repeat("ä", 256)), 422, "Enter a username"},
		"nothing":    {url.Values{}, 422, "Enter a username"},
		"large":      {signIn(strings.Repeat("a", 65<<10)), 400, "There is no such link"},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(WithLoginPages(""))
			id, verifier, path := newLink(t, s, required)
			logins := len(s.Logins())
			status, header, page := visit(t, s, path, tc.form)
			require.Equal(t, tc.status, status)
			require.Contains(t, page, tc.text)
			require.NotContains(t, page, verifier)
			require.Empty(t, header.Get("Location"))
			require.Equal(t, "OPEN", s.linkState(t, id).Status)
			require.Len(t, s.Logins(), logins)

			status, _, page = visit(t, s, path, nil)
			require.Equal(t, 200, status, "it can be tried again")
			require.Contains(t, page, `value="`+RequiredUsername+`"`)
			require.Contains(t, page, "Sign in as a wrong user")
			status, _, _ = visit(t, s, path, signIn(strings.ToUpper(RequiredUsername)))
			require.Equal(t, 303, status)
		})
	}
}

// What a person types is shown as text, whatever it looks like.
func TestLoginPageEscapes(t *testing.T) {
	s := New(WithLoginPages(""))
	_, _, path := newLink(t, s, `{"ds_id":"GAWA","require_username":"avery"}`)
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(signIn(`<script>"x"`).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.NotContains(t, w.Body.String(), "<script")
	require.Contains(t, w.Body.String(), "&lt;script&gt;")
}

func TestLinkIsOver(t *testing.T) {
	for name, end := range map[string]func(*Sandbox, string){
		"expired": func(s *Sandbox, id string) { s.ExpireLink(id) },
		"closed":  func(s *Sandbox, id string) { do(t, s, sm("PUT", "/ds/login/link/"+id+"/close", "")) },
		"used":    func(s *Sandbox, id string) { require.NoError(t, s.CompleteLogin(id, "sam@example.com")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := New(WithLoginPages(""))
			id, _, path := newLink(t, s, `{"ds_id":"FB","redirect_url":"https://app.example.com:8443/done"}`)
			end(s, id)
			before, logins := s.linkState(t, id), len(s.Logins())
			for _, form := range []url.Values{nil, signIn("sam@example.com"), {"action": {"refuse"}}} {
				status, header, page := visit(t, s, path, form)
				require.Equal(t, 410, status)
				require.Contains(t, page, "This link is over")
				require.Contains(t, page, `<a href="https://app.example.com:8443/">Back to app.example.com:8443</a>`)
				require.Empty(t, header.Get("Location"))
			}
			require.Equal(t, before, s.linkState(t, id))
			require.Len(t, s.Logins(), logins)
		})
	}
}

func TestOtherLoginPages(t *testing.T) {
	s := New(WithLoginPages(""))
	_, _, path := newLink(t, s, `{"ds_id":"FB"}`)
	s.ResetRequests()
	for target, want := range map[string]int{
		"/login/": 404, "/login/" + strings.Repeat("x", 40): 404, path + "/": 404, path: 200, "/login/style.css": 200,
	} {
		status, header, page := visit(t, s, target, nil)
		require.Equal(t, want, status, target)
		require.NotEmpty(t, page)
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, path, nil))
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD, POST", w.Header().Get("Allow"))
	require.Zero(t, s.Count(""), "the page is no part of the APIs")
}
