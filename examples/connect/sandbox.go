package main

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/duolink/duolink/duolinktest"
)

// besides serves the sandbox's login pages, which play another site, next to the service.
func besides(service, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/login/") {
			pages.ServeHTTP(w, r)
			return
		}
		service.ServeHTTP(w, r)
	})
}

// recall tells a new sandbox of the links and logins that an earlier one has made, because a sandbox
// forgets everything with its process. The real API remembers by itself.
func recall(vendor *duolinktest.Server, base *url.URL, connections []connection) {
	ids := map[string]bool{}
	for _, login := range vendor.Logins() {
		ids[login.ID] = true
	}
	for _, link := range vendor.LoginLinks() {
		ids[link.ID] = true
	}
	for _, c := range connections {
		if c.LoginID != "" && !ids[c.LoginID] {
			ids[c.LoginID] = true
			vendor.AddLogin(recalledLogin(vendor, c))
		}
		if c.LinkID != "" && !ids[c.LinkID] {
			ids[c.LinkID] = true
			vendor.AddLoginLink(duolinktest.LoginLink{
				ID: c.LinkID, DataSourceID: c.Source.ID, RequireUsername: c.OnlyUser.Reveal(),
				RedirectURL: returnURL(base, c.ID), ExpiryTime: c.Expires,
				Closed: c.State == stateClosed, LoginID: c.LoginID,
				LoginURL: c.LoginURL.Reveal(), RedirectVerifier: c.Verifier.Reveal(),
			})
		}
	}
}

// recalledLogin reaches the accounts that the data source's sample user reaches.
func recalledLogin(vendor *duolinktest.Server, c connection) duolinktest.Login {
	login := duolinktest.Login{ID: c.LoginID, DataSourceID: c.Source.ID, Username: c.Username.Reveal()}
	for _, sample := range vendor.Logins() {
		if sample.DataSourceID == login.DataSourceID && len(login.Accounts) == 0 {
			login.Accounts = sample.Accounts
			if sample.Username == login.Username {
				login.DisplayName = sample.DisplayName
			}
		}
	}
	if c.State == stateRevoked {
		login.RevokedTime = time.Now()
	}
	return login
}
