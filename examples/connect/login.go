package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/duolink/duolink"
)

const (
	accountsShown   = 100  // on a page
	accountsCounted = 1000 // one request; for more accounts the page says "more than"
	lastPage        = 10_000
)

// connected is the page to which the data source sends the browser. The request proves nothing by
// itself: it must have the verifier of this browser's link, and the API must say that somebody has
// signed in. Then the browser goes on to an address without the verifier.
func (a *app) connected(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	c, ok := a.own(w, r)
	if !ok {
		return
	}
	ctx, cancel := callContext(r)
	defer cancel()
	link, err := a.client.Links.ConfirmRedirect(ctx, duolink.LoginLink{ID: c.LinkID, RedirectVerifier: c.Verifier}, r)
	switch {
	case errors.Is(err, duolink.ErrRedirectMismatch):
		a.logger.Warn("a redirect that the data source has not made")
		a.fail(w, http.StatusForbidden, problem{
			Title: "This is not the way back from " + c.Source.Name,
			Text: "The address that brought you here is not the one that it sends you to, so we did not use it. " +
				"Nothing was confirmed and nothing was changed.",
			Back: "/connections/" + c.ID,
		})
		return
	case err == nil:
		err = a.store.Connect(ctx, c.ID, link)
	case errors.Is(err, duolink.ErrLoginPending):
		err = nil // the connection's page waits for the login
	}
	if err != nil {
		// That page waits for the login as well, and its address has no verifier.
		a.failAt(w, c, err, retry{"/connections/" + c.ID, false})
		return
	}
	toConnection(w, r, c.ID)
}

// loginView is a login with a page of its accounts.
type loginView struct {
	connection

	DisplayName string
	Username    string
	Accounts    []duolink.Account
	Page        int // from 1 on
	Total       int
	More        bool // there are more than Total
}

// First and Last are the numbers of the accounts on the page.
func (v loginView) First() int { return (v.Page-1)*accountsShown + 1 }
func (v loginView) Last() int  { return v.First() + len(v.Accounts) - 1 }

// Previous and Next are pages, or 0 if there are none.
func (v loginView) Previous() int { return v.Page - 1 }

func (v loginView) Next() int {
	if v.Last() < v.Total || v.More {
		return v.Page + 1
	}
	return 0
}

func (a *app) showAccounts(w http.ResponseWriter, r *http.Request, c connection) {
	view := loginView{connection: c, Page: 1}
	if text := r.FormValue("page"); text != "" {
		var err error
		if view.Page, err = strconv.Atoi(text); err != nil || view.Page < 1 || view.Page > lastPage {
			toConnection(w, r, c.ID)
			return
		}
	}
	ctx, cancel := callContext(r)
	defer cancel()
	login, err := a.client.Logins.Get(ctx, c.LoginID)
	if errors.Is(err, duolink.ErrNotFound) || err == nil && !login.RevokedTime.IsZero() {
		a.revokedElsewhere(w, r, c)
		return
	}
	if err == nil {
		// The person who has just signed in sees the page, so the name is the person's own.
		view.DisplayName, view.Username = login.DisplayName.Reveal(), login.Username.Reveal()
		err = view.readAccounts(ctx, a.client.Logins)
	}
	switch {
	case err != nil:
		a.failAt(w, c, err, retry{r.URL.RequestURI(), false})
	case len(view.Accounts) == 0 && view.Page > 1: // there are fewer than before
		toConnection(w, r, c.ID)
	default:
		a.render(w, http.StatusOK, "connected", c.Source.Name+" is connected", view)
	}
}

// readAccounts keeps the accounts of the page. It counts them up to the next thousand, with one
// request.
func (v *loginView) readAccounts(ctx context.Context, logins *duolink.LoginsService) error {
	first := v.First() - 1
	v.Total = first - first%accountsCounted
	end := v.Total + accountsCounted
	page := duolink.PageOptions{Offset: v.Total, PageSize: accountsCounted}
	for account, err := range logins.Accounts(ctx, v.LoginID, page) {
		if err != nil {
			return err
		}
		if v.Total == end {
			v.More = true
			break
		}
		if v.Total >= first && v.Total < first+accountsShown {
			v.Accounts = append(v.Accounts, account)
		}
		v.Total++
	}
	return nil
}

// revokedElsewhere records that somebody else has ended the login.
func (a *app) revokedElsewhere(w http.ResponseWriter, r *http.Request, c connection) {
	if err := a.store.End(r.Context(), c.ID, stateRevoked); err != nil {
		a.failWith(w, err)
		return
	}
	toConnection(w, r, c.ID)
}

// askRevoke asks before anything ends.
func (a *app) askRevoke(w http.ResponseWriter, r *http.Request) {
	c, ok := a.own(w, r)
	if !ok {
		return
	}
	if c.State != stateConnected {
		toConnection(w, r, c.ID)
		return
	}
	a.render(w, http.StatusOK, "revoke", "Revoke access to "+c.Source.Name+"?", c)
}

// revoke ends the login. If there was nothing left to revoke, the person has what they want, too.
func (a *app) revoke(w http.ResponseWriter, r *http.Request) {
	c, ok := a.own(w, r)
	if !ok {
		return
	}
	ctx, cancel := callContext(r)
	defer cancel()
	if c.State == stateConnected {
		_, err := a.client.Logins.Revoke(ctx, c.LoginID)
		if err == nil || errors.Is(err, duolink.ErrNotFound) {
			err = a.store.End(ctx, c.ID, stateRevoked)
		}
		if err != nil {
			a.failAt(w, c, err, retry{"/connections/" + c.ID + "/revoke", false})
			return
		}
	}
	toConnection(w, r, c.ID)
}
