package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// login is a person's connection to a data source.
type login struct {
	id, dataSource, kind  string
	username, displayName string
	authTime              string // as it is sent: the notation differs from login to login
	expiryTime            any    // text or nil
	revoked               time.Time
	shared                bool
	accounts              []account
}

// account is one advertising, analytics or other account behind a login.
type account struct{ id, name, group string }

func (l *login) wire() obj {
	out := obj{
		"@type": "ds_login", "login_id": l.id, "login_type": l.kind,
		"username": l.username, "display_name": l.displayName,
		"ds_info":        obj{"@type": "ds", "ds_id": l.dataSource, "name": dataSourceName(l.dataSource)},
		"auth_time":      l.authTime,
		"auth_user_info": obj{"@type": "user", "user_id": userID, "email": userEmail},
		"expiry_time":    l.expiryTime, "revoked_time": nil,
		"is_refreshable": l.kind == "oauth", "is_shared": l.shared,
	}
	if !l.revoked.IsZero() {
		out["revoked_time"] = l.revoked.UTC().Format(layoutNoColon)
	}
	return out
}

func (s *Sandbox) findLogin(id string) *login {
	for _, l := range s.logins {
		if l.id == id {
			return l
		}
	}
	return nil
}

func (s *Sandbox) listLogins(c *call) answer {
	list := []obj{}
	for _, l := range s.logins[:min(len(s.logins), maxItems)] {
		list = append(list, l.wire())
	}
	return c.data(http.StatusOK, list)
}

func (s *Sandbox) getLogin(c *call) answer {
	l := s.findLogin(c.id)
	if l == nil {
		return flat(http.StatusNotFound, "LOGIN_NOT_FOUND", "Login not found")
	}
	out := l.wire()
	out["default_scopes"] = []string{"read"} // only here: lists leave the scopes out
	out["additional_scopes"] = []string{}
	return c.data(http.StatusOK, out)
}

func (s *Sandbox) revokeLogin(c *call) answer {
	l := s.findLogin(c.id)
	if l == nil {
		return c.loginMissing()
	}
	first := l.revoked.IsZero()
	if first {
		l.revoked = c.now
	}
	return c.data(http.StatusOK, obj{"result": first})
}

func (c *call) loginMissing() answer {
	return c.problem(http.StatusNotFound, "NOT_FOUND", "Login not found", "")
}

func (s *Sandbox) listAccounts(c *call) answer {
	l := s.findLogin(c.id)
	if l == nil {
		return c.loginMissing()
	}
	if !l.revoked.IsZero() {
		return c.problem(http.StatusForbidden, "ACCESS_DENIED", "The login has been revoked", "")
	}
	offset, okOffset := c.number("offset", 0, 0, 1_000_000)
	limit, okLimit := c.number("limit", 100, 1, 1000)
	if !okOffset || !okLimit {
		return c.invalid("offset must be 0 to 1000000 and limit 1 to 1000")
	}
	from := min(offset, len(l.accounts))
	page := []loginAccount{}
	for _, a := range l.accounts[from:min(from+limit, len(l.accounts))] {
		page = append(page, loginAccount{"ds_account", a.id, a.name, a.group})
	}
	paginate := obj{"offset": offset, "limit": limit, "total": len(l.accounts)}
	return reply(http.StatusOK, envelope{Meta: obj{"request_id": c.requestID, "paginate": paginate}, Data: page})
}

type loginAccount struct {
	Type  string `json:"@type"`
	ID    string `json:"account_id"`
	Name  string `json:"name"`
	Group string `json:"group"`
}

// number reads a whole number from the query.
func (c *call) number(name string, missing, low, high int) (int, bool) {
	query := c.URL.Query()
	if !query.Has(name) {
		return missing, true
	}
	n, err := strconv.Atoi(query.Get(name))
	return n, err == nil && n >= low && n <= high
}

// In this answer the members of an account have other names.
type queryAccount struct {
	ID    string `json:"account_id"`
	Name  string `json:"account_name"`
	Group string `json:"group_name"`
}

type queryLogin struct {
	User        string         `json:"ds_user"`
	DisplayName string         `json:"display_name"`
	CacheTime   any            `json:"cache_time"`
	Accounts    []queryAccount `json:"accounts"`
}

// queryAccounts answers with the logins of a data source. If nobody has logged in, or none of the
// named users, the answer is an error. The vendor's pages say no status for the first one.
func (s *Sandbox) queryAccounts(c *call) answer {
	q, refusal, ok := c.accountsQuery()
	if !ok {
		return refusal
	}
	rows, anybody := []queryLogin{}, false
	for _, l := range s.logins {
		if l.dataSource != q.dataSource || !l.revoked.IsZero() {
			continue
		}
		anybody = true
		if len(rows) < 100 && q.wants(l.username) {
			rows = append(rows, l.query(q.cacheMinutes, c.now))
		}
	}
	switch {
	case !anybody:
		return c.problem(http.StatusInternalServerError, "QUERY_AUTH_NOT_FOUND", "No authentication found",
			"Log in to the data source first.")
	case len(rows) == 0:
		return c.problem(http.StatusForbidden, "QUERY_AUTH_UNAVAILABLE", "Authentication is not available",
			"The login has expired or belongs to another key.")
	}
	meta := obj{"request_id": c.requestID, "query": obj{"cache_minutes": q.cacheMinutes}}
	return reply(http.StatusOK, envelope{Meta: meta, Data: rows})
}

func (l *login) query(cacheMinutes *int, now time.Time) queryLogin {
	row := queryLogin{User: l.username, DisplayName: l.displayName, Accounts: []queryAccount{}}
	if cacheMinutes != nil {
		row.CacheTime = now.UTC().Format(layoutFraction)
	}
	for _, a := range l.accounts[:min(len(l.accounts), 1000)] {
		row.Accounts = append(row.Accounts, queryAccount{a.id, a.name, a.group})
	}
	return row
}

func (q accountsQuery) wants(username string) bool {
	return len(q.users) == 0 || slices.ContainsFunc(q.users, func(user string) bool {
		return strings.EqualFold(user, username)
	})
}
