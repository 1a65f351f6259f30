package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"time"
)

// A session is an opaque cookie. It tells one browser from another, and has no other meaning.

const sessionLife = 30 * 24 * time.Hour

var sessionPattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// cookieName has the prefix that keeps a cookie to one host. Browsers accept the prefix only with
// TLS.
func (a *app) cookieName() string {
	if a.secure() {
		return "__Host-session"
	}
	return "session"
}

func (a *app) secure() bool { return a.base.Scheme == "https" }

// session returns the browser's session, or nothing.
func (a *app) session(r *http.Request) string {
	cookie, err := r.Cookie(a.cookieName())
	if err != nil || !sessionPattern.MatchString(cookie.Value) {
		return ""
	}
	return cookie.Value
}

// begin returns the browser's session, or makes a new one.
func (a *app) begin(w http.ResponseWriter, r *http.Request) string {
	if session := a.session(r); session != "" {
		return session
	}
	session := rand.Text()
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the service has TLS; on loopback it has none
		Name: a.cookieName(), Value: session, Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, Secure: a.secure(),
		// Lax, not Strict: the redirect from the data source has to bring the cookie along.
		SameSite: http.SameSiteLaxMode,
	})
	return session
}

// connectionID makes an id from the session and the form. So a form that is sent twice is one
// connection, and nobody can make an id of another session.
func connectionID(session, form string) string {
	mac := hmac.New(sha256.New, []byte(session))
	_, _ = mac.Write([]byte(form)) // a hash does not fail
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
