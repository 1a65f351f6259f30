package sandbox

import (
	"net/http"
	"time"
)

// loginLink is an invitation to log in.
type loginLink struct {
	id, dataSource, description  string
	requireUsername, redirectURL string
	verifier, token              string // the token is the secret in the login URL
	created, expiry              time.Time
	closed                       bool
	login                        *login
	loginTime                    time.Time
}

func (l *loginLink) status(now time.Time) string {
	switch {
	case l.closed:
		return "CLOSED"
	case !now.Before(l.expiry):
		return "EXPIRED"
	}
	return "OPEN"
}

func (l *loginLink) wire(c *call) obj {
	out := obj{
		"link_id": l.id, "status_code": l.status(c.now), "description": l.description,
		"ds_id": l.dataSource, "ds_name": dataSourceName(l.dataSource),
		"require_username": l.requireUsername, "redirect_url": l.redirectURL,
		"redirect_verifier": l.verifier, "login_url": c.loginURL(l.token),
		"user_id": userID, "user_email": userEmail,
		"created_time": l.created.UTC().Format(layoutOffset),
		"expiry_time":  l.expiry.UTC().Format(time.RFC3339),
		"login_id":     nil, "login_time": nil, "login_username": nil,
	}
	if l.login != nil {
		out["login_id"], out["login_username"] = l.login.id, l.login.username
		out["login_time"] = l.loginTime.UTC().Format(layoutNoColon)
	}
	return out
}

func (s *Sandbox) findLink(id string) *loginLink {
	for _, l := range s.links {
		if l.id == id {
			return l
		}
	}
	return nil
}

func (s *Sandbox) listLinks(c *call) answer {
	list := []obj{}
	for _, l := range s.links[:min(len(s.links), maxItems)] {
		list = append(list, l.wire(c))
	}
	return c.data(http.StatusOK, list)
}

func (s *Sandbox) getLink(c *call) answer {
	l := s.findLink(c.id)
	if l == nil {
		return linkMissing()
	}
	return c.data(http.StatusOK, l.wire(c))
}

func linkMissing() answer {
	return flat(http.StatusNotFound, "LINK_NOT_FOUND", "Link not found")
}

func (s *Sandbox) createLink(c *call) answer {
	l, refusal, ok := c.newLink()
	if !ok {
		return refusal
	}
	if limit := s.config.linkLimit; limit > 0 && s.openLinks(c.now) >= limit {
		return flat(http.StatusForbidden, "LINK_LIMIT_EXCEEDED", "Too many links are open")
	}
	s.addLink(l)
	c.header.Set("Location", c.prefix+"/ds/login/link/"+l.id)
	return c.data(http.StatusCreated, l.wire(c))
}

func (s *Sandbox) openLinks(now time.Time) int {
	n := 0
	for _, l := range s.links {
		if l.status(now) == "OPEN" {
			n++
		}
	}
	return n
}

func (s *Sandbox) updateLink(c *call) answer {
	l := s.findLink(c.id)
	if l == nil {
		return c.problem(http.StatusNotFound, "NOT_FOUND", "Link not found", "")
	}
	description, refusal, ok := c.newDescription()
	if !ok {
		return refusal
	}
	l.description = description
	return c.data(http.StatusOK, l.wire(c))
}

// closeLink closes an open link. A closed or expired link stays as it is.
func (s *Sandbox) closeLink(c *call) answer {
	l := s.findLink(c.id)
	if l == nil {
		return linkMissing()
	}
	if l.status(c.now) == "OPEN" {
		l.closed = true
	}
	return c.data(http.StatusOK, l.wire(c))
}
