package sandbox

import (
	"fmt"
	"strings"
	"time"
)

// LoginLinkState is the state of a login link at the server.
type LoginLinkState struct {
	ID, Status, Description, DataSourceID, LoginID string
}

// LoginState is the state of a login at the server.
type LoginState struct {
	ID, DataSourceID, Username string
	Revoked                    bool
	Accounts                   int
}

// Links returns the login links, the oldest first.
func (s *Sandbox) Links() []LoginLinkState {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	var out []LoginLinkState
	for _, l := range s.links {
		state := LoginLinkState{ID: l.id, Status: l.status(now), Description: l.description, DataSourceID: l.dataSource}
		if l.login != nil {
			state.LoginID = l.login.id
		}
		out = append(out, state)
	}
	return out
}

// Logins returns the logins, the oldest first.
func (s *Sandbox) Logins() []LoginState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []LoginState
	for _, l := range s.logins {
		out = append(out, LoginState{l.id, l.dataSource, l.username, !l.revoked.IsZero(), len(l.accounts)})
	}
	return out
}

// CompleteLogin plays the person at the login page: the link gets a login of its data source, with
// three accounts, and is closed. It fails if the link is unknown, has expired, has a login, or
// wants another username. A closed link without a login still accepts a login, as if the login
// began before the link was closed.
func (s *Sandbox) CompleteLogin(linkID, username string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := s.findLink(linkID), s.clock()
	switch {
	case l == nil:
		return fmt.Errorf("sandbox: no login link %s", linkID)
	case l.login != nil || l.status(now) == "EXPIRED":
		return fmt.Errorf("sandbox: login link %s is over", linkID)
	case l.requireUsername != "" && !strings.EqualFold(l.requireUsername, username):
		return fmt.Errorf("sandbox: login link %s wants another username", linkID)
	}
	s.finish(l, username, now)
	return nil
}

// RefuseLogin plays the person who refuses: the link is closed without a login. It fails if the link
// is not open.
func (s *Sandbox) RefuseLogin(linkID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.findLink(linkID)
	switch {
	case l == nil:
		return fmt.Errorf("sandbox: no login link %s", linkID)
	case l.status(s.clock()) != "OPEN":
		return fmt.Errorf("sandbox: login link %s is over", linkID)
	}
	l.closed = true
	return nil
}

// AddLogin adds a login with that many invented accounts and returns its id.
func (s *Sandbox) AddLogin(dataSourceID, username string, accounts int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLogin(dataSourceID, username, accounts, s.clock()).id
}

func (s *Sandbox) addLogin(dataSourceID, username string, accounts int, now time.Time) *login {
	l := &login{
		id: s.nextID("dsl_", len(s.logins)), dataSource: dataSourceID, kind: "oauth",
		username: username, displayName: username,
		authTime: now.UTC().Format(layoutOffset), accounts: manyAccounts(accounts),
	}
	s.logins = append(s.logins, l)
	return l
}

// ExpireLink lets a login link expire now. A closed link stays closed.
func (s *Sandbox) ExpireLink(linkID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.findLink(linkID); l != nil {
		l.expiry = s.clock()
	}
}

// IssueToken returns a MoneyKit token without an exchange. TokensIssued does not count it.
func (s *Sandbox) IssueToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newToken(s.clock())
}

// ExpireTokens lets every MoneyKit token expire now.
func (s *Sandbox) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for token := range s.tokens {
		s.tokens[token] = now
	}
}

// TokensIssued returns how many tokens the exchange has issued.
func (s *Sandbox) TokensIssued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// SetLinkState puts a MoneyKit link into a state, like "connected", "deleted" or "error", with the
// link's error code or "". Refreshes whose time has come end first. It panics if the link does not
// exist, because a test that went on would prove nothing.
func (s *Sandbox) SetLinkState(linkID, state, errorCode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mustBankLink(linkID)
	l.settle(s.clock())
	l.state, l.errorCode = state, errorCode
}

// FailRefreshes lets refreshes of a MoneyKit link that begin after this call end with a product
// error, like "timeout". "" lets them succeed again. It panics if the link does not exist.
func (s *Sandbox) FailRefreshes(linkID, errorCode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustBankLink(linkID).failure = errorCode
}

// SetUnavailable makes a product of a MoneyKit link unavailable, for a reason. "" makes it
// available again. It panics if the link or the product does not exist.
func (s *Sandbox) SetUnavailable(linkID, productName, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustBankLink(linkID).products[productName]
	if p == nil {
		panic("sandbox: the MoneyKit link " + linkID + " has no product " + productName)
	}
	p.unavailable = reason
}

// Refreshes returns how many refreshes of a MoneyKit link the sandbox accepted. Each of them could
// be billed.
func (s *Sandbox) Refreshes(linkID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustBankLink(linkID).refreshes
}

// HasBankLink returns an error if there is no such bank link.
func (s *Sandbox) HasBankLink(linkID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bankLinks[linkID] == nil {
		return fmt.Errorf("no bank link %s", linkID)
	}
	return nil
}

// HasProduct returns an error if there is no such bank link, or if it has no such product.
func (s *Sandbox) HasProduct(linkID, productName string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch l := s.bankLinks[linkID]; {
	case l == nil:
		return fmt.Errorf("no bank link %s", linkID)
	case l.products[productName] == nil:
		return fmt.Errorf("the bank link %s has no product %q", linkID, productName)
	}
	return nil
}

// HasLoginLink returns an error if there is no such login link.
func (s *Sandbox) HasLoginLink(linkID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.findLink(linkID) == nil {
		return fmt.Errorf("no login link %s", linkID)
	}
	return nil
}

func (s *Sandbox) mustBankLink(id string) *bankLink {
	l := s.bankLinks[id]
	if l == nil {
		panic("sandbox: no MoneyKit link " + id)
	}
	return l
}
