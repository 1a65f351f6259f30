package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/duolink/duolink"
)

//go:embed templates
var templates embed.FS

// pages are the templates, all of them in the same frame.
var pages = func() map[string]*template.Template {
	frame := template.Must(
		template.New("frame.html").Funcs(template.FuncMap{
			"clock": clock, "stamp": stamp, "count": strconv.Itoa,
			"words": func(s state) string { return stateWords[s] },
		}).ParseFS(templates, "templates/frame.html"),
	)
	out := map[string]*template.Template{}
	for _, name := range []string{"choose", "waiting", "connected", "down", "revoke", "over", "problem"} {
		out[name] = template.Must(template.Must(frame.Clone()).ParseFS(templates, "templates/"+name+".html"))
	}
	return out
}()

// stateWords are the states as a page calls them.
var stateWords = map[state]string{
	stateBegun:     "No link yet",
	stateWaiting:   "Waiting for sign-in",
	stateConnected: "Connected",
	stateExpired:   "Link expired",
	stateClosed:    "Cancelled",
	stateRevoked:   "Revoked",
}

// clock is a time as a page shows it, in UTC, because only the page's script knows the person's
// zone.
func clock(t time.Time) string { return t.UTC().Format("15:04 UTC") }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// frameView is the data that every page has.
type frameView struct {
	Title   string
	Sandbox bool
	Page    any
}

func (a *app) render(w http.ResponseWriter, status int, name, title string, page any) {
	var b bytes.Buffer
	if err := pages[name].Execute(&b, frameView{Title: title, Sandbox: a.sandbox, Page: page}); err != nil {
		a.logger.Error("a page could not be made", "page", name, "error", err)
		http.Error(w, "Something went wrong here.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone is no concern of ours
}

// problem is a page about an error, in words for the person who sees it.
type problem struct {
	Title, Text string
	Reference   string // the API's request id, for support
	Back        string // where the person goes on; empty: at the first page
	status      int
	retryAfter  time.Duration
}

func (a *app) fail(w http.ResponseWriter, status int, p problem) {
	a.render(w, status, "problem", p.Title, p)
}

// failWith shows an error as a page. The log gets the details that are safe to log.
func (a *app) failWith(w http.ResponseWriter, err error) {
	p := a.explained(w, err)
	a.fail(w, p.status, p)
}

// retry is how a person tries again: with a link, or with a form that is posted.
type retry struct {
	URL  string
	Post bool
}

// downView is the page of a connection that we can do nothing with at the moment.
type downView struct {
	connection

	Title, Text string
	Kind        string // of the status: down, or over for what is nobody's fault
	Reference   string // the API's request id, for support
	Retry       retry
	Press       string // what the button says
}

// failAt shows an error at the page of a connection. The connection stays as it is.
func (a *app) failAt(w http.ResponseWriter, c connection, err error, again retry) {
	p := a.explained(w, err)
	a.render(w, p.status, "down", p.Title, downView{
		connection: c, Title: p.Title, Text: p.Text, Kind: "down", Reference: p.Reference, Retry: again,
		Press: "Try again",
	})
}

func (a *app) explained(w http.ResponseWriter, err error) problem {
	p := explain(err)
	a.logger.Warn("request failed", "error", err)
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	return p
}

// explain finds the words for an error by its action, not by its text.
func explain(err error) problem {
	e, ok := errors.AsType[*duolink.Error](err)
	if !ok {
		p := problem{
			status: http.StatusInternalServerError,
			Title:  "Something went wrong here",
			Text:   "It is our fault, not yours. Please try again.",
		}
		if errors.Is(err, context.DeadlineExceeded) {
			p.status, p.Text = http.StatusGatewayTimeout, "It took too long. Please try again."
		}
		return p
	}
	p := problem{status: http.StatusBadGateway, Reference: e.RequestID, retryAfter: e.RetryAfter}
	rejected := errors.Is(err, duolink.ErrValidation) || errors.Is(err, duolink.ErrBadRequest) ||
		errors.Is(err, duolink.ErrArgument)
	switch action := e.Action(); {
	case e.Code == duolink.CodeLinkLimitExceeded:
		p.status, p.Title = http.StatusServiceUnavailable, "Too many sign-ins are open"
		p.Text = "Cancel one that you no longer need, or come back later: a sign-in link ends by itself after an hour."
	case action == duolink.ActionWaitUntil:
		p.status, p.Title = http.StatusServiceUnavailable, "Many people are connecting right now"
		p.Text = "We have to slow down. Please try again " + in(e.RetryAfter) + "."
	case action == duolink.ActionRetry:
		p.Title = "We cannot get through at the moment"
		p.Text = "The other side does not answer as it should. Try again in a moment."
	case action == duolink.ActionRecreate, errors.Is(err, duolink.ErrNotFound):
		p.status, p.Title = http.StatusNotFound, "It is gone"
		p.Text = "What you asked for no longer exists. Please begin again."
	case rejected:
		p.status, p.Title = http.StatusUnprocessableEntity, "That was not accepted"
		p.Text = "Please check what you entered, and try again."
	default: // a credential, a permission, a contract: the person at the page cannot help
		p.Title = "This service is not set up correctly"
		p.Text = "You cannot do anything about it, but whoever runs this service can. Please tell them."
	}
	return p
}

// in describes a wait in words.
func in(d time.Duration) string {
	switch {
	case d <= 0:
		return "in a moment"
	case d <= 90*time.Second:
		return "in " + strconv.Itoa(int(math.Ceil(d.Seconds()))) + " seconds"
	case d <= 90*time.Minute:
		return "in " + strconv.Itoa(int(math.Ceil(d.Minutes()))) + " minutes"
	}
	return "in " + strconv.Itoa(int(math.Ceil(d.Hours()))) + " hours"
}

func (a *app) nowhere(w http.ResponseWriter, _ *http.Request) {
	a.fail(
		w,
		http.StatusNotFound,
		problem{Title: "There is nothing here", Text: "The address may be mistyped, or the page has moved."},
	)
}

// foreignForm refuses a form that comes from another site's page.
func (a *app) foreignForm(w http.ResponseWriter, _ *http.Request) {
	a.fail(
		w,
		http.StatusForbidden,
		problem{
			Title: "This did not come from our page",
			Text:  "Another site tried to act in your name. Nothing was changed.",
		},
	)
}
