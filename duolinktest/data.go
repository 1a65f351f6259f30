package duolinktest

import (
	"time"

	"github.com/duolink/duolink/internal/sandbox"
)

// Credentials that every [Server] accepts.
const (
	APIKey       = sandbox.APIKey       // of Supermetrics
	ClientID     = sandbox.ClientID     // of MoneyKit and its Plaid-compatible layer
	ClientSecret = sandbox.ClientSecret // of the same
)

// The sample data at Supermetrics.
const (
	LoginID             = sandbox.LoginID             // Google Analytics (GAWA), three accounts
	ManyAccountsLoginID = sandbox.ManyAccountsLoginID // Google Ads (AW), 260 accounts
	OddAccountsLoginID  = sandbox.OddAccountsLoginID  // Facebook Ads (FB), unusual account ids
	RevokedLoginID      = sandbox.RevokedLoginID

	OpenLoginLinkID    = sandbox.OpenLoginLinkID    // open for 23 hours
	ClosedLoginLinkID  = sandbox.ClosedLoginLinkID  // has led to LoginID
	ExpiredLoginLinkID = sandbox.ExpiredLoginLinkID // nobody has logged in
	NamedLoginLinkID   = sandbox.NamedLoginLinkID   // open, for RequiredUsername only
	RequiredUsername   = sandbox.RequiredUsername   // of LoginID, too
)

// The sample data at MoneyKit.
const (
	BankLinkID            = sandbox.LinkID            // six accounts; one is closed, one has no numbers
	AccessToken           = sandbox.AccessToken       // opens BankLinkID in the Plaid-compatible layer
	SecondBankLinkID      = sandbox.SecondLinkID      // one account, an identity that was never refreshed
	SecondAccessToken     = sandbox.SecondAccessToken // opens SecondBankLinkID
	AuthExpiredBankLinkID = sandbox.AuthExpiredLinkID // in the state error, with auth_expired
	AuthExpiredToken      = sandbox.AuthExpiredAccessToken
	DeletedBankLinkID     = sandbox.DeletedLinkID   // 410
	ForbiddenBankLinkID   = sandbox.ForbiddenLinkID // the identity was not permitted: 403
	ForeignBankLinkID     = sandbox.ForeignLinkID   // of another client: 401

	JointAccountID  = sandbox.JointAccountID  // of BankLinkID: two owners, ACH numbers
	ClosedAccountID = sandbox.ClosedAccountID // of BankLinkID: in the identity only
)

// Login is a person's connection to a data source. Empty members get invented values.
type Login struct {
	ID           string // such as "dsl_7"
	DataSourceID string // such as "GAWA"
	Type         string // such as "oauth"
	Username     string
	DisplayName  string
	AuthTime     time.Time // when the person logged in
	ExpiryTime   time.Time // zero: never
	RevokedTime  time.Time // zero: not revoked
	Shared       bool
	Accounts     []Account
}

// Account is an account that a login reaches.
type Account struct{ ID, Name, Group string }

// LoginLink is an invitation to log in. Empty members get invented values.
type LoginLink struct {
	ID              string // such as "dsll_7"
	DataSourceID    string
	Description     string
	RequireUsername string // "" lets everybody log in
	RedirectURL     string
	CreatedTime     time.Time
	ExpiryTime      time.Time // zero: 24 hours after CreatedTime
	Closed          bool
	LoginID         string // the login that it has led to

	LoginURL         string // of what you put in only the last part counts, a token
	RedirectVerifier string
	Status           string // OPEN, CLOSED or EXPIRED; only read back
}

// BankLink is a connection to a bank. Empty members get invented values.
type BankLink struct {
	ID              string
	AccessToken     string // opens the link in the Plaid-compatible layer
	InstitutionID   string // such as "chase"
	InstitutionName string
	State           string // such as "connected", which is the default, "deleted" or "error"
	ErrorCode       string // of the state error, such as "auth_expired"
	Foreign         bool   // it belongs to another client
	// Products are what the person has permitted: accounts, account_numbers, identity, transactions,
	// investments, enrichment. nil means the first four.
	Products    []string
	RefreshedAt time.Time // of all products; zero: two days ago. Read back, it is the latest.
	Accounts    []BankAccount
	Refreshes   int // how many were accepted; only read back
}

// BankAccount is an account at a bank. The amounts are JSON numbers, such as "340.12", or empty.
type BankAccount struct {
	ID        string // such as "acc_3"; no other account of the link has it
	Type      string // such as "depository.checking", which is the default
	Name      string
	Mask      string
	Currency  string // the default is USD
	Available string
	Current   string
	Closed    bool
	Owners    []Owner
	Numbers   Numbers
}

// Owner is a person who owns a bank account. The first of each list is the primary one.
type Owner struct {
	Names, Emails, PhoneNumbers []string
	Addresses                   []Address
}

// Address is where an owner lives.
type Address struct{ Street, City, Region, PostalCode, Country string }

// Numbers are the numbers of a bank account. Account stands with Routing (ACH), with Institution and
// Branch (EFT), or with SortCode (BACS). IBAN and BIC stand for themselves.
type Numbers struct {
	Account, Routing, WireRouting string
	Institution, Branch, SortCode string
	IBAN, BIC                     string
}

// AddLogin adds a login, and returns it with what was invented.
func (s *Server) AddLogin(l Login) Login {
	s.t.Helper()
	in := sandbox.Login{
		ID: l.ID, DataSourceID: l.DataSourceID, Type: l.Type, Username: l.Username, DisplayName: l.DisplayName,
		AuthTime: l.AuthTime, ExpiryTime: l.ExpiryTime, RevokedTime: l.RevokedTime, Shared: l.Shared,
		Accounts: each(l.Accounts, func(a Account) sandbox.Account { return sandbox.Account(a) }),
	}
	out, err := s.sandbox.PutLogin(in)
	s.must(err)
	return loginOf(out)
}

func loginOf(l sandbox.Login) Login {
	return Login{
		ID: l.ID, DataSourceID: l.DataSourceID, Type: l.Type, Username: l.Username, DisplayName: l.DisplayName,
		AuthTime: l.AuthTime, ExpiryTime: l.ExpiryTime, RevokedTime: l.RevokedTime, Shared: l.Shared,
		Accounts: each(l.Accounts, func(a sandbox.Account) Account { return Account(a) }),
	}
}

// Logins returns the logins, the oldest first.
func (s *Server) Logins() []Login { return each(s.sandbox.AllLogins(), loginOf) }

// AddLoginLink adds a login link, and returns it with what was invented.
func (s *Server) AddLoginLink(l LoginLink) LoginLink {
	s.t.Helper()
	out, err := s.sandbox.PutLoginLink(sandbox.LoginLink(l))
	s.must(err)
	return LoginLink(out)
}

// LoginLinks returns the login links, the oldest first.
func (s *Server) LoginLinks() []LoginLink {
	return each(s.sandbox.AllLoginLinks(), func(l sandbox.LoginLink) LoginLink { return LoginLink(l) })
}

// AddBankLink adds a bank link, and returns it with what was invented.
func (s *Server) AddBankLink(l BankLink) BankLink {
	s.t.Helper()
	out, err := s.sandbox.PutBankLink(sandbox.BankLink{
		ID: l.ID, AccessToken: l.AccessToken, InstitutionID: l.InstitutionID, InstitutionName: l.InstitutionName,
		State: l.State, ErrorCode: l.ErrorCode, Foreign: l.Foreign, Products: l.Products, RefreshedAt: l.RefreshedAt,
		Accounts: each(l.Accounts, bankAccountIn),
	})
	s.must(err)
	return bankLinkOf(out)
}

// BankLinks returns the bank links, ordered by their ids.
func (s *Server) BankLinks() []BankLink { return each(s.sandbox.AllBankLinks(), bankLinkOf) }

func bankLinkOf(l sandbox.BankLink) BankLink {
	return BankLink{
		ID: l.ID, AccessToken: l.AccessToken, InstitutionID: l.InstitutionID, InstitutionName: l.InstitutionName,
		State: l.State, ErrorCode: l.ErrorCode, Foreign: l.Foreign, Products: l.Products, RefreshedAt: l.RefreshedAt,
		Accounts: each(l.Accounts, bankAccountOf), Refreshes: l.Refreshes,
	}
}

func bankAccountIn(a BankAccount) sandbox.BankAccount {
	return sandbox.BankAccount{
		ID: a.ID, Type: a.Type, Name: a.Name, Mask: a.Mask, Currency: a.Currency, Available: a.Available,
		Current: a.Current, Closed: a.Closed, Numbers: sandbox.Numbers(a.Numbers),
		Owners: each(a.Owners, func(o Owner) sandbox.Owner {
			return sandbox.Owner{
				Names: o.Names, Emails: o.Emails, PhoneNumbers: o.PhoneNumbers,
				Addresses: each(o.Addresses, func(a Address) sandbox.Address { return sandbox.Address(a) }),
			}
		}),
	}
}

func bankAccountOf(a sandbox.BankAccount) BankAccount {
	return BankAccount{
		ID: a.ID, Type: a.Type, Name: a.Name, Mask: a.Mask, Currency: a.Currency, Available: a.Available,
		Current: a.Current, Closed: a.Closed, Numbers: Numbers(a.Numbers),
		Owners: each(a.Owners, func(o sandbox.Owner) Owner {
			return Owner{
				Names: o.Names, Emails: o.Emails, PhoneNumbers: o.PhoneNumbers,
				Addresses: each(o.Addresses, func(a sandbox.Address) Address { return Address(a) }),
			}
		}),
	}
}

func each[T, U any](in []T, to func(T) U) (out []U) {
	for _, v := range in {
		out = append(out, to(v))
	}
	return out
}
