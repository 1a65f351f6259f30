package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/duolink/duolink"
)

const (
	accountsShown   = 100
	accountsCounted = 1000 // one request; for more accounts the page says "more than"
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
		err = a.store.Update(ctx, c.ID, func(c *connection) { c.settle(stateConnected, link.LoginID) })
	case errors.Is(err, duolink.ErrLoginPending):
		err = nil // the connection's page waits for the login
	}
	if err != nil {
		a.failBack(w, err, "/connections/"+c.ID)
		return
	}
	toConnection(w, r, c.ID)
}

// loginView is a login with its first accounts.
type loginView struct {
	connection

	DisplayName string
	Username    string
	Accounts    []duolink.Account
	Total       int
	More        bool // there are more than Total
}

func (a *app) showAccounts(w http.ResponseWriter, r *http.Request, c connection) {
	ctx, cancel := callContext(r)
	defer cancel()
	login, err := a.client.Logins.Get(ctx, c.LoginID)
	if errors.Is(err, duolink.ErrNotFound) || err == nil && !login.RevokedTime.IsZero() {
		a.revokedElsewhere(w, r, c)
		return
	}
	view := loginView{connection: c}
	if err == nil {
		// The person who has just signed in sees the page, so the name is the person's own.
		view.DisplayName, view.Username = login.DisplayName.Reveal(), login.Username.Reveal()
		err = view.readAccounts(ctx, a.client.Logins)
	}
	if err != nil {
		a.failBack(w, err, "/connections/"+c.ID)
		return
	}
	a.render(w, http.StatusOK, "connected", c.Source.Name+" is connected", view)
}

// readAccounts keeps the accounts that a page shows, and counts up to accountsCounted.
func (v *loginView) readAccounts(ctx context.Context, logins *duolink.LoginsService) error {
	for account, err := range logins.Accounts(ctx, v.LoginID, duolink.PageOptions{PageSize: accountsCounted}) {
		if err != nil {
			return err
		}
		if v.Total == accountsCounted {
			v.More = true
			break
		}
		if v.Total++; v.Total <= accountsShown {
			v.Accounts = append(v.Accounts, account)
		}
	}
	return nil
}

// revokedElsewhere records that somebody else has ended the login.
func (a *app) revokedElsewhere(w http.ResponseWriter, r *http.Request, c connection) {
	if err := a.store.Update(r.Context(), c.ID, func(c *connection) { c.settle(stateRevoked, "") }); err != nil {
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
			err = a.store.Update(ctx, c.ID, func(c *connection) { c.settle(stateRevoked, "") })
		}
		if err != nil {
			a.failBack(w, err, "/connections/"+c.ID)
			return
		}
	}
	toConnection(w, r, c.ID)
}
