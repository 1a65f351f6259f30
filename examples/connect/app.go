package main

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/duolink/duolink"
)

// callTime bounds the API requests of one page, because nobody looks longer at an empty window.
const callTime = 10 * time.Second

// app is the service: its pages, the API client and the store.
type app struct {
	client  *duolink.Client
	store   *store
	waits   *waits
	base    *url.URL // the service's address for browsers
	sandbox bool
	logger  *slog.Logger
}

func newApp(client *duolink.Client, store *store, base *url.URL, logger *slog.Logger) *app {
	a := &app{client: client, store: store, base: base, logger: logger}
	a.waits = newWaits(client.Links, a.arrived)
	return a
}

//go:embed assets
var assets embed.FS

// handler is the whole service. Every request is logged, and every answer has the security headers.
// A request that changes something must come from a page of ours.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.choose)
	mux.HandleFunc("POST /connections", a.create)
	mux.HandleFunc("GET /connections/{id}", a.show)
	mux.HandleFunc("GET /connections/{id}/status", a.status)
	mux.HandleFunc("POST /connections/{id}/link", a.link)
	mux.HandleFunc("POST /connections/{id}/cancel", a.cancel)
	mux.HandleFunc("GET /connections/{id}/revoke", a.askRevoke)
	mux.HandleFunc("POST /connections/{id}/revoke", a.revoke)
	mux.HandleFunc("GET /connected/{id}", a.connected)
	mux.Handle("GET /assets/{name}", kept(http.FileServerFS(assets)))
	mux.HandleFunc("/", a.nowhere)

	forms := http.NewCrossOriginProtection()
	forms.SetDenyHandler(http.HandlerFunc(a.foreignForm))
	return a.logged(a.guarded(a.atHome(forms.Handler(mux))))
}

// kept lets browsers cache files that are the same for everybody.
func kept(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		files.ServeHTTP(w, r)
	})
}

// logged logs the page and the status of each request. It never logs a URL, because the URL of the
// redirect has a secret in it.
func (a *app) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, seen := time.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		a.logger.Info("request", "method", r.Method, "page", r.Pattern, "status", seen.status,
			"duration", time.Since(start))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// policy lets a page load and run only our own files.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (a *app) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		// No other site gets a referrer. Our own pages get one, so that we see where a form comes
		// from.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if a.secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// atHome sends browsers that use another host name to the host name of the redirect, because
// otherwise the cookie would be missing there.
func (a *app) atHome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == a.base.Host:
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			w.Header().Set("Referrer-Policy", "no-referrer")
			home := url.URL{Scheme: a.base.Scheme, Host: a.base.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, home.String(), http.StatusTemporaryRedirect)
		default:
			a.fail(w, http.StatusMisdirectedRequest, problem{
				Title: "This is another address",
				Text:  "Open the service at its own address and try again there. Nothing was changed.",
			})
		}
	})
}

// callContext bounds the requests for one page. If a wait for a rate limit does not fit, the page
// says so at once.
func callContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), callTime)
}
