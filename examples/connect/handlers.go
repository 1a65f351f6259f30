package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duolink/duolink"
)

const (
	linkLife = time.Hour // of a sign-in link
	mostName = 255       // characters of a username, by the API's rule
	mostForm = 16 << 10
)

// chooseView is the first page: the data sources, and the connections of this browser.
type chooseView struct {
	Sources     []source
	Chosen      string
	OnlyUser    string // as it was typed, so that the person can correct it
	Problem     string
	Form        string // the same form makes one connection, however often it is sent
	Connections []connection
}

func (a *app) choose(w http.ResponseWriter, r *http.Request) {
	view := chooseView{Sources: sources, Form: rand.Text()}
	var err error
	if view.Connections, err = a.store.List(r.Context(), a.begin(w, r)); err != nil {
		a.failWith(w, err)
		return
	}
	view.keepChoice()
	a.render(w, http.StatusOK, "choose", "Connect a data source", view)
}

// keepChoice fills in what the person has chosen last, unless it was connected.
func (v *chooseView) keepChoice() {
	if len(v.Connections) == 0 {
		return
	}
	if last := v.Connections[0]; last.State != stateConnected && last.State != stateRevoked {
		v.Chosen, v.OnlyUser = last.Source.ID, last.OnlyUser.Reveal()
	}
}

// create begins a connection, once for each form, and gets its link. The choice is kept before
// anything is asked, so that it is there whatever the API answers.
func (a *app) create(w http.ResponseWriter, r *http.Request) {
	session := a.session(r)
	if session == "" {
		a.fail(w, http.StatusBadRequest, problem{
			Title: "Your browser sent no cookie",
			Text:  "We need one to know that it is you who comes back. Allow cookies for this site, then begin again.",
		})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	chosen, ok := findSource(r.PostFormValue("source"))
	user, form := strings.TrimSpace(r.PostFormValue("user")), r.PostFormValue("form")
	if !ok || form == "" || utf8.RuneCountInString(user) > mostName {
		a.chooseAgain(w, r, session, user, ok)
		return
	}
	// A second press of the button gets the connection of the first press, because the id is made
	// from the session and the form.
	c, err := a.store.Begin(r.Context(), session, connection{
		ID: connectionID(session, form), Source: chosen, OnlyUser: duolink.NewSensitive(user),
	})
	if err != nil {
		a.failWith(w, err)
		return
	}
	a.getLink(w, r, c)
}

// link tries again to get the link of a connection.
func (a *app) link(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.own(w, r); ok {
		a.getLink(w, r, c)
	}
}

// getLink makes the login link of a connection that has none, and sends the browser to the
// connection's page. The connection's id is the link's marker: if a link was made and we do not know
// of it, because the answer or this process was lost, the next try finds it.
func (a *app) getLink(w http.ResponseWriter, r *http.Request, c connection) {
	if c.State != stateBegun {
		toConnection(w, r, c.ID)
		return
	}
	ctx, cancel := callContext(r)
	defer cancel()
	link, err := a.client.Links.CreateOnce(ctx, duolink.LoginLinkCreate{
		DataSourceID: c.Source.ID, ExpiresIn: linkLife, RequireUsername: c.OnlyUser.Reveal(),
		RedirectURL: returnURL(a.base, c.ID),
	}, c.ID)
	switch {
	case err == nil:
		err = a.store.SetLink(ctx, c.ID, link)
	case errors.Is(err, duolink.ErrLoginLinkExpired):
		err = a.store.End(ctx, c.ID, stateExpired)
	case errors.Is(err, duolink.ErrLoginLinkClosed):
		err = a.store.End(ctx, c.ID, stateClosed)
	}
	if err != nil {
		a.failAt(w, c, err, retry{"/connections/" + c.ID + "/link", true})
		return
	}
	toConnection(w, r, c.ID)
}

// returnURL is where the data source sends the browser after the login.
func returnURL(base *url.URL, id string) string { return base.JoinPath("connected", id).String() }

// chooseAgain shows the first page, and says what is wrong with the choice.
func (a *app) chooseAgain(w http.ResponseWriter, r *http.Request, session, user string, sourceKnown bool) {
	list, err := a.store.List(r.Context(), session)
	if err != nil {
		a.failWith(w, err)
		return
	}
	view := chooseView{
		Sources:     sources,
		Chosen:      r.PostFormValue("source"),
		OnlyUser:    user,
		Form:        rand.Text(),
		Connections: list,
	}
	switch {
	case !sourceKnown:
		view.Problem = "Choose one of the data sources."
	case utf8.RuneCountInString(user) > mostName:
		view.Problem = "The username is too long."
	default:
		view.Problem = "The form was incomplete. Please send it again."
	}
	a.render(w, http.StatusUnprocessableEntity, "choose", "Connect a data source", view)
}

// own returns the connection of the path if it belongs to this browser. Otherwise the page says
// that it is unknown.
func (a *app) own(w http.ResponseWriter, r *http.Request) (connection, bool) {
	c, err := a.store.Get(r.Context(), a.session(r), r.PathValue("id"))
	switch {
	case errors.Is(err, errNoConnection):
		a.fail(w, http.StatusNotFound, problem{
			Title: "We do not know this connection",
			Text: "This browser has not begun it, or it was too long ago. If you began in another browser, " +
				"go back there: it knows whether you have signed in.",
		})
	case err != nil:
		a.failWith(w, err)
	}
	return c, err == nil
}

// toConnection sends the browser to the connection's page.
func toConnection(w http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(w, r, "/connections/"+url.PathEscape(id), http.StatusSeeOther)
}

// show is the connection's page in any state.
func (a *app) show(w http.ResponseWriter, r *http.Request) {
	c, ok := a.own(w, r)
	if !ok {
		return
	}
	switch c.State {
	case stateBegun:
		a.render(w, http.StatusOK, "down", "Connect "+c.Source.Name, downView{
			connection: c, Title: "There is no sign-in link yet", Kind: "over",
			Text:  "Your choice is kept. The link takes a moment.",
			Retry: retry{"/connections/" + c.ID + "/link", true}, Press: "Get the link",
		})
	case stateWaiting:
		a.showWaiting(w, c)
	case stateConnected:
		a.showAccounts(w, r, c)
	default:
		over := overView{connection: c, Title: overTitles[c.State], Form: rand.Text()}
		a.render(w, http.StatusOK, "over", over.Title, over)
	}
}

var overTitles = map[state]string{
	stateExpired: "The sign-in link has expired",
	stateClosed:  "The sign-in was cancelled",
	stateRevoked: "Access revoked",
}

// overView is the end of a connection, with a link to a new one.
type overView struct {
	connection

	Title, Form string
}

// progress is how a wait goes on.
type progress struct {
	Text string `json:"text"`
	Down bool   `json:"down"` // we cannot see whether the person has signed in
}

// waitingView is the page that sends the person to the data source.
type waitingView struct {
	connection
	progress
}

func (a *app) showWaiting(w http.ResponseWriter, c connection) {
	a.render(w, http.StatusOK, "waiting", "Sign in to "+c.Source.Name, waitingView{c, a.progress(c)})
}

// progress describes the wait in a sentence. The sentence changes only if something changes,
// because screen readers read it aloud.
func (a *app) progress(c connection) progress {
	switch current := a.waits.watch(c); {
	case current.err != nil && !current.ended.IsZero():
		return progress{explain(current.err).Title + ".", true}
	case current.err != nil:
		return progress{"We cannot see whether you have signed in. This page keeps trying.", true}
	}
	return progress{Text: "Waiting for you to sign in to " + c.Source.Name + "."}
}

// status answers the page's script.
func (a *app) status(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		State state `json:"state"`
		progress
	}{}
	status := http.StatusOK
	c, err := a.store.Get(r.Context(), a.session(r), r.PathValue("id"))
	switch {
	case errors.Is(err, errNoConnection):
		status, answer.State = http.StatusNotFound, "unknown"
	case err != nil:
		status = http.StatusInternalServerError
	default:
		answer.State = c.State
		if c.State == stateWaiting {
			answer.progress = a.progress(c)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // it does not matter if the browser has gone
}

// cancel closes the link, so that nobody can sign in with it any more.
func (a *app) cancel(w http.ResponseWriter, r *http.Request) {
	c, ok := a.own(w, r)
	if !ok {
		return
	}
	ctx, cancel := callContext(r)
	defer cancel()
	var err error
	if c.State == stateWaiting {
		if _, err = a.client.Links.Close(ctx, c.LinkID); errors.Is(err, duolink.ErrNotFound) {
			err = nil
		}
	}
	if err == nil {
		err = a.store.End(ctx, c.ID, stateClosed) // which leaves alone what is connected
	}
	if err != nil {
		a.failAt(w, c, err, retry{"/connections/" + c.ID + "/cancel", true})
		return
	}
	toConnection(w, r, c.ID)
}

// arrived stores the result of a wait.
func (a *app) arrived(id string, to state, link *duolink.LoginLink) {
	var err error
	if to == stateConnected {
		err = a.store.Connect(a.waits.ctx, id, link)
	} else {
		err = a.store.End(a.waits.ctx, id, to)
	}
	if err != nil {
		a.logger.Warn("what a login link has come to was not kept", "error", err)
	}
}
