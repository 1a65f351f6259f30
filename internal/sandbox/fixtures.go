package sandbox

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Login is a login to put in, and what was put in. Empty members get invented values.
type Login struct {
	ID, DataSourceID, Type, Username, DisplayName string
	AuthTime, ExpiryTime, RevokedTime             time.Time
	Shared                                        bool
	Accounts                                      []Account
}

// Account is an account behind a login.
type Account struct{ ID, Name, Group string }

// LoginLink is a login link to put in, and what became of it.
type LoginLink struct {
	ID, DataSourceID, Description, RequireUsername, RedirectURL string
	CreatedTime, ExpiryTime                                     time.Time
	Closed                                                      bool
	LoginID                                                     string

	LoginURL         string // of one to put in only the last part counts, a token
	RedirectVerifier string
	Status           string // only to read
}

// BankLink is a bank link to put in, and its state.
type BankLink struct {
	ID, AccessToken                string
	InstitutionID, InstitutionName string
	State, ErrorCode               string
	Foreign                        bool
	Products                       []string  // which the person has permitted
	RefreshedAt                    time.Time // of all products, or the latest of them
	Accounts                       []BankAccount
	Refreshes                      int // only to read
}

// BankAccount is an account at a bank. Its amounts are JSON numbers, or empty.
type BankAccount struct {
	ID, Type, Name, Mask         string
	Currency, Available, Current string
	Closed                       bool
	Owners                       []Owner
	Numbers                      Numbers
}

// Owner is a person who owns an account. The first of each list is the primary one.
type Owner struct {
	Names, Emails, PhoneNumbers []string
	Addresses                   []Address
}

// Address is where an owner lives.
type Address struct{ Street, City, Region, PostalCode, Country string }

// Numbers are the numbers of an account. An account number stands with a routing number (ACH), an
// institution and a branch (EFT), or a sort code (BACS).
type Numbers struct {
	Account, Routing, WireRouting string
	Institution, Branch, SortCode string
	IBAN, BIC                     string
}

// PutLogin adds a login. It fails if there is one with that id.
func (s *Sandbox) PutLogin(in Login) (Login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.ID = cmp.Or(in.ID, s.nextID("dsl_", len(s.logins)))
	if s.findLogin(in.ID) != nil {
		return Login{}, fmt.Errorf("sandbox: there is a login %s already", in.ID)
	}
	l := &login{
		id: in.ID, dataSource: cmp.Or(in.DataSourceID, "GAWA"), kind: cmp.Or(in.Type, "oauth"),
		username: cmp.Or(in.Username, "avery@example.com"), revoked: in.RevokedTime, shared: in.Shared,
	}
	l.displayName = cmp.Or(in.DisplayName, l.username)
	l.authTime = cmp.Or(in.AuthTime, s.clock()).UTC().Format(layoutOffset)
	if !in.ExpiryTime.IsZero() {
		l.expiryTime = in.ExpiryTime.UTC().Format(time.RFC3339)
	}
	for _, a := range in.Accounts {
		l.accounts = append(l.accounts, account{a.ID, a.Name, a.Group})
	}
	s.logins = append(s.logins, l)
	return l.spec(), nil
}

// nextID is an id that nothing has, after so many others.
func (s *Sandbox) nextID(prefix string, others int) string {
	for n := others + 1; ; n++ {
		id := prefix + strconv.Itoa(n)
		if s.findLogin(id) == nil && s.findLink(id) == nil {
			return id
		}
	}
}

func (l *login) spec() Login {
	out := Login{
		ID: l.id, DataSourceID: l.dataSource, Type: l.kind, Username: l.username, DisplayName: l.displayName,
		AuthTime: readTime(l.authTime), RevokedTime: l.revoked, Shared: l.shared,
	}
	if text, ok := l.expiryTime.(string); ok {
		out.ExpiryTime = readTime(text)
	}
	for _, a := range l.accounts {
		out.Accounts = append(out.Accounts, Account{a.id, a.name, a.group})
	}
	return out
}

// readTime reads a time of the sample data.
func readTime(text string) time.Time {
	for _, layout := range []string{
		layoutOffset, time.RFC3339Nano, layoutNoColon, layoutNoZone, "2006-01-02 15:04:05", time.DateOnly,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// AllLogins returns the logins, the oldest first.
func (s *Sandbox) AllLogins() []Login {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Login{}
	for _, l := range s.logins {
		out = append(out, l.spec())
	}
	return out
}

// PutLoginLink adds a login link. It fails if there is one with that id, or no such login.
func (s *Sandbox) PutLoginLink(in LoginLink) (LoginLink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &loginLink{
		id: in.ID, dataSource: cmp.Or(in.DataSourceID, "GAWA"), description: in.Description,
		requireUsername: in.RequireUsername, redirectURL: in.RedirectURL, closed: in.Closed,
		created:  cmp.Or(in.CreatedTime, s.clock()),
		verifier: in.RedirectVerifier, token: in.LoginURL[strings.LastIndex(in.LoginURL, "/")+1:],
	}
	l.expiry = cmp.Or(in.ExpiryTime, l.created.Add(24*time.Hour))
	if s.findLink(in.ID) != nil {
		return LoginLink{}, fmt.Errorf("sandbox: there is a login link %s already", in.ID)
	}
	if in.LoginID != "" {
		if l.login = s.findLogin(in.LoginID); l.login == nil {
			return LoginLink{}, fmt.Errorf("sandbox: no login %s", in.LoginID)
		}
		l.loginTime, l.closed = s.clock(), true
	}
	s.addLink(l)
	return s.linkSpec(l), nil
}

func (s *Sandbox) linkSpec(l *loginLink) LoginLink {
	out := LoginLink{
		ID: l.id, DataSourceID: l.dataSource, Description: l.description, RequireUsername: l.requireUsername,
		RedirectURL: l.redirectURL, CreatedTime: l.created, ExpiryTime: l.expiry, Closed: l.closed,
		Status: l.status(s.clock()), RedirectVerifier: l.verifier, LoginURL: s.config.loginURL(nil, l.token),
	}
	if l.login != nil {
		out.LoginID = l.login.id
	}
	return out
}

// AllLoginLinks returns the login links, the oldest first.
func (s *Sandbox) AllLoginLinks() []LoginLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []LoginLink{}
	for _, l := range s.links {
		out = append(out, s.linkSpec(l))
	}
	return out
}

// PutBankLink adds a bank link. It fails if there is one with that id or access token, if two of
// its accounts have the same id, or if an amount is not a JSON number.
func (s *Sandbox) PutBankLink(in BankLink) (BankLink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.ID = cmp.Or(in.ID, "mk_sandbox_"+s.text(10))
	in.AccessToken = cmp.Or(in.AccessToken, "access-sandbox-"+s.text(24))
	for _, other := range s.bankLinks {
		if other.id == in.ID || other.accessToken == in.AccessToken {
			return BankLink{}, fmt.Errorf("sandbox: there is a bank link %s or its access token already", in.ID)
		}
	}
	l := &bankLink{
		id: in.ID, accessToken: in.AccessToken, state: in.State, errorCode: in.ErrorCode, foreign: in.Foreign,
	}
	l.complete(s.clock())
	l.institutionID = cmp.Or(in.InstitutionID, l.institutionID)
	l.institution = cmp.Or(in.InstitutionName, l.institution)
	l.lastSynced = cmp.Or(in.RefreshedAt, l.lastSynced)
	if in.Products == nil {
		in.Products = slices.Collect(maps.Keys(l.products))
	}
	var err error
	if l.products, err = permitted(in.Products, l.lastSynced); err != nil {
		return BankLink{}, err
	}
	if l.accounts, err = accountsOf(in.Accounts); err != nil {
		return BankLink{}, err
	}
	s.bankLinks[l.id] = l
	return l.spec(), nil
}

// permitted are the products of a link, refreshed at an instant.
func permitted(names []string, at time.Time) (map[string]*product, error) {
	products := map[string]*product{}
	for _, name := range names {
		if !slices.Contains(productNames, name) {
			return nil, fmt.Errorf("sandbox: there is no product %q, only %q", name, productNames)
		}
		products[name] = &product{refreshed: at, attempted: at}
	}
	return products, nil
}

// AllBankLinks returns the bank links, ordered by their ids.
func (s *Sandbox) AllBankLinks() []BankLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []BankLink{}
	for _, l := range s.bankLinks {
		l.settle(s.clock())
		out = append(out, l.spec())
	}
	slices.SortFunc(out, func(a, b BankLink) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (l *bankLink) spec() BankLink {
	out := BankLink{
		ID: l.id, AccessToken: l.accessToken, InstitutionID: l.institutionID, InstitutionName: l.institution,
		State: l.state, ErrorCode: l.errorCode, Foreign: l.foreign, Refreshes: l.refreshes,
	}
	for _, name := range productNames {
		if p := l.products[name]; p != nil {
			out.Products = append(out.Products, name)
			if p.refreshed.After(out.RefreshedAt) {
				out.RefreshedAt = p.refreshed
			}
		}
	}
	for _, a := range l.accounts {
		out.Accounts = append(out.Accounts, a.spec())
	}
	return out
}
