package duolink

import (
	"context"
	"fmt"
	"iter"

	"github.com/duolink/duolink/internal/wire"
)

// LoginsService reads the data source logins of a Supermetrics team and the accounts that they
// reach. A login says who has authenticated which ad platform. See docs.supermetrics.com/apidocs,
// "Data source logins" and "Accounts".
type LoginsService struct{ client *Client }

var (
	loginsQueryAccounts = slowAndLarge(endpoint(Supermetrics, "logins.query_accounts", "GET /query/accounts", readOnly))
	loginsList          = fullList(endpoint(Supermetrics, "logins.list", "GET /ds/logins", readOnly))
	loginsGet           = endpoint(Supermetrics, "logins.get", "GET /ds/login/{loginID}", readOnly)
	loginsRevoke        = endpoint(Supermetrics, "logins.revoke", "DELETE /ds/login/{loginID}", idempotent)
	loginsAccounts      = endpoint(Supermetrics, "logins.accounts", "GET /ds/login/{loginID}/accounts", readOnly)
)

// slowAndLarge marks the query for accounts: the server may ask the ad platform before it answers.
func slowAndLarge(op operation) operation {
	op.slow, op.limit = true, 64<<20
	return op
}

// QueryAccounts returns the logins of one data source with the accounts that each can reach. The
// API returns at most 100 logins of 1,000 accounts each. The server may ask the ad platform while
// the caller waits. See supermetrics.com/docs/product-api-get-accounts.
func (s *LoginsService) QueryAccounts(
	ctx context.Context, query AccountsQuery, opts ...CallOption,
) (*AccountList, error) {
	return call(ctx, s.client, query.operation(), readAccountList, opts)
}

// StreamAccounts is QueryAccounts as a stream. It yields one account with its login at a time, as
// it arrives. If the loop ends early, the connection is closed. An error is yielded once, at the end.
//
// No more of the answer is kept in memory, except for at most 1,000 accounts of a login whose own
// members are not all known: its CacheTime may be left out, or come last. If it comes after more
// accounts than that, the accounts before do not have it.
func (s *LoginsService) StreamAccounts(
	ctx context.Context, query AccountsQuery, opts ...CallOption,
) iter.Seq2[LoginAccount, error] {
	return stream(ctx, s.client, query.operation(), eachAccount, opts)
}

// List returns all logins, at most 1,000. The server leaves their scopes out; Get returns them.
func (s *LoginsService) List(ctx context.Context, opts ...CallOption) ([]Login, error) {
	return call(ctx, s.client, loginsList, many[Login], opts)
}

// Get returns one login. An unknown id is ErrNotFound.
func (s *LoginsService) Get(ctx context.Context, loginID string, opts ...CallOption) (*Login, error) {
	return call(ctx, s.client, loginsGet.on(loginID), one[Login], opts)
}

// Revoke ends a login. It returns false if the server says that there was nothing to revoke. But it
// returns true if an earlier attempt of the call got no answer: that attempt has ended it. If the
// answer says neither, the error is ErrMalformedResponse with OutcomeUnknown.
func (s *LoginsService) Revoke(ctx context.Context, loginID string, opts ...CallOption) (bool, error) {
	d := &decoder[bool]{read: func(s *wire.Scanner) (bool, error) { return readRevoked(s, loginID) }}
	a, err := s.client.do(ctx, loginsRevoke.on(loginID), opts, d)
	if err != nil {
		return false, err
	}
	return d.value || a.unclear, nil // there is nothing left to revoke, because the attempt before has done it
}

// Accounts yields the accounts of a login and asks for each page when the loop needs it. An error
// is yielded once and ends the loop. A second loop starts from the beginning. See
// docs.supermetrics.com/apidocs/list-login-accounts-1.
func (s *LoginsService) Accounts(
	ctx context.Context, loginID string, page PageOptions, opts ...CallOption,
) iter.Seq2[Account, error] {
	return pages(page, func(page PageOptions) (*accountPage, error) {
		op := loginsAccounts.on(loginID)
		op.query, op.invalid = page, page.check()
		return call(ctx, s.client, op, readAccountPage, opts)
	})
}

// AccountsQuery asks for the accounts of a data source.
type AccountsQuery struct {
	DataSourceID string   // required, such as "GAWA"
	Users        []string // usernames of logins, at most 100 of at most 255 characters; none means all
	CacheMinutes int      // accept an answer that is this old, 60 to 1440; 0: the server decides
}

func (q AccountsQuery) operation() operation {
	op := loginsQueryAccounts
	op.invalid = q.check()
	op.private = append([]string{q.DataSourceID}, q.Users...)
	op.items = []string{q.DataSourceID}
	op.query = struct {
		JSON jsonParam `url:"json"`
	}{jsonParam{struct {
		DataSourceID string   `json:"ds_id"`
		Users        []string `json:"ds_users,omitempty"`
		CacheMinutes int      `json:"cache_minutes,omitempty"`
	}{q.DataSourceID, q.Users, q.CacheMinutes}}}
	return op
}

func (q AccountsQuery) check() error {
	const mostUsers, mostName = 100, 255
	if err := Supermetrics.checkID("DataSourceID", q.DataSourceID); err != nil {
		return err
	}
	if len(q.Users) > mostUsers {
		return argumentError("Users has more than %d names", mostUsers)
	}
	for i, user := range q.Users {
		if user == "" {
			return argumentError("Users[%d] is empty", i)
		}
		if err := checkText(fmt.Sprintf("Users[%d]", i), user, mostName); err != nil {
			return err
		}
	}
	if q.CacheMinutes != 0 && (q.CacheMinutes < 60 || q.CacheMinutes > 1440) {
		return argumentError("CacheMinutes is neither 0 nor between 60 and 1440")
	}
	return nil
}

// PageOptions says where to start and how many items to ask for at a time.
type PageOptions struct {
	Offset   int `url:"offset,omitempty"` // 0 to 1,000,000
	PageSize int `url:"limit,omitempty"`  // 1 to 1,000; 0: the server decides, and takes 100
}

const mostOffset = 1_000_000

func (p PageOptions) check() error {
	switch {
	case p.Offset < 0 || p.Offset > mostOffset:
		return argumentError("Offset is not between 0 and %d", mostOffset)
	case p.PageSize < 0 || p.PageSize > 1000:
		return argumentError("PageSize is neither 0 nor between 1 and 1000")
	}
	return nil
}

// AccountList is the answer of [LoginsService.QueryAccounts].
type AccountList struct {
	CacheMinutes int64           `json:"cache_minutes"` // the age that the server accepted, 0 for none
	Logins       []LoginAccounts `json:"logins"`
}

// LoginAccounts is one login with the accounts that it reaches.
type LoginAccounts struct {
	User        Sensitive `json:"ds_user" wire:"required"` // the username: AccountsQuery.Users takes its Reveal()
	DisplayName Sensitive `json:"display_name"`
	CacheTime   Timestamp `json:"cache_time"` // when the platform was asked; absent without a cache
	Accounts    []Account `json:"accounts" wire:"required"`
}

// LoginAccount is one account with its login, as [LoginsService.StreamAccounts] yields it. ID, Name
// and Group belong to the account.
type LoginAccount struct {
	Account
	User        Sensitive `json:"ds_user"` // the username: AccountsQuery.Users takes its Reveal()
	DisplayName Sensitive `json:"display_name"`
	CacheTime   Timestamp `json:"cache_time"` // when the platform was asked; absent without a cache
}

// Account is an account at an ad platform. Its id may be any text, such as "act_1:2".
type Account struct {
	ID    string `json:"account_id" wire:"required"`
	Name  string `json:"name" also:"account_name"`
	Group string `json:"group" also:"group_name"`
}

// Login is the authentication of a person at a data source.
type Login struct {
	ID               string     `json:"login_id" wire:"required"`
	Type             LoginType  `json:"login_type"`
	Username         Sensitive  `json:"username" wire:"required"` // AccountsQuery.Users takes its Reveal()
	DisplayName      Sensitive  `json:"display_name"`
	DataSource       DataSource `json:"ds_info"`
	DefaultScopes    []string   `json:"default_scopes"` // nil in answers of List, which leave it out
	AdditionalScopes []string   `json:"additional_scopes"`
	AuthTime         Timestamp  `json:"auth_time"`
	AuthUser         User       `json:"auth_user_info"` // who made the login at Supermetrics
	ExpiryTime       Timestamp  `json:"expiry_time"`
	RevokedTime      Timestamp  `json:"revoked_time"`
	Refreshable      bool       `json:"is_refreshable"`
	Shared           bool       `json:"is_shared"`
}

// LoginType is how a login authenticates. The set is open.
type LoginType string

// LoginTypeOAuth is a login by OAuth, the only type that the vendor documents.
const LoginTypeOAuth LoginType = "oauth"

// DataSource is an ad platform or another source of data.
type DataSource struct {
	ID   string `json:"ds_id"`
	Name string `json:"name"`
}

// User is a user of Supermetrics.
type User struct {
	ID    string    `json:"user_id"`
	Email Sensitive `json:"email"`
}

func readAccountList(s *wire.Scanner) (*AccountList, error) {
	var logins wire.List[LoginAccounts]
	meta, err := wire.Envelope(byTags, s, func() (err error) {
		logins, err = wire.ReadList[LoginAccounts](byTags, s, "data")
		return err
	})
	return &AccountList{meta.Query.CacheMinutes, logins.Items}, err
}

// eachAccount reads the same answer as readAccountList. It yields each account as soon as its login
// is known.
func eachAccount(s *wire.Scanner, yield func(LoginAccount) error, item func()) error {
	_, err := wire.Envelope(byTags, s, func() error {
		if s.Next() == wire.Null {
			return s.Skip()
		}
		logins, anyLogin := 0, false
		isList, err := s.List(func() error {
			defer item() // counts a login without accounts, too
			logins++
			isLogin, err := eachOfLogin(s, yield, item)
			anyLogin = anyLogin || isLogin
			return err
		})
		switch {
		case err != nil:
			return err
		case !isList:
			return wire.NotList("data")
		case logins > 0 && !anyLogin:
			return wire.OtherItems("data")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.End()
}

// mostKept and mostKeptText are how many accounts of a login are kept, and how many bytes of their
// texts, while the login's own members are not all known. The API documents at most a thousand
// accounts for a login.
const mostKept, mostKeptText = 1000, 1 << 20

var readAccount = wire.Of[Account](byTags)

// eachOfLogin yields the accounts of one login, and reports whether it is a login. The API writes
// the accounts last. If it leaves out a member of the login, or writes it after the accounts, they
// are kept until the login is read.
func eachOfLogin(s *wire.Scanner, yield func(LoginAccount) error, item func()) (isLogin bool, err error) {
	var login LoginAccounts
	var kept []Account
	var text int // kept
	each := func(a Account) error {
		return yield(LoginAccount{a, login.User, login.DisplayName, login.CacheTime})
	}
	release := func() error {
		for _, a := range kept {
			if err := each(a); err != nil {
				return err
			}
		}
		kept = nil
		return nil
	}
	var user, name, cached, listed, released bool
	err = byTags.ReadObject(s, &login, func(key []byte) (bool, error) {
		switch string(key) {
		case "ds_user":
			user = true
		case "display_name":
			name = true
		case "cache_time":
			cached = true
		case "accounts":
			a := new(Account)
			isList, err := s.List(func() error {
				if s.Next() != wire.Object {
					return s.Skip()
				}
				*a = Account{}
				if err := readAccount(s, a); err != nil {
					return err
				}
				released = released || user && name && cached || len(kept) == mostKept || text > mostKeptText
				if !released {
					kept = append(kept, *a)
					text += len(a.ID) + len(a.Name) + len(a.Group)
					item()
					return nil
				}
				if err := release(); err != nil {
					return err
				}
				return each(*a)
			})
			listed = listed || isList
			return true, err
		}
		return false, nil
	})
	if err == nil {
		err = release()
	}
	isLogin = listed || !login.User.IsZero() || !login.DisplayName.IsZero() || login.CacheTime != Timestamp{}
	return isLogin, err
}

// readRevoked reads whether there was a login to revoke: {"result": bool}, or the login with the time
// of its end. An empty answer means that it is revoked.
func readRevoked(s *wire.Scanner, loginID string) (bool, error) {
	if s.Nothing() {
		return true, nil
	}
	var login Login
	result, err := readResult(s, &login)
	switch {
	case err != nil:
		return false, err
	case login.ID != "" && login.ID != loginID:
		return false, wire.Unfit("the answer is about another login")
	case result == resultYes || result == resultNo:
		return result == resultYes, nil
	case result == resultOdd || login.ID == "" || login.RevokedTime.IsZero():
		return false, wire.Unfit("the answer does not say that the login is revoked")
	}
	return true, nil
}

// result is what {"data": {"result": bool}} says after a write.
type result int

const (
	resultNone result = iota // there is none
	resultOdd                // it is neither true nor false
	resultNo
	resultYes
)

// readResult reads a result, or the resource that stands in its place.
func readResult(s *wire.Scanner, resource any) (said result, err error) {
	read := func() error {
		return byTags.ReadObject(s, resource, func(key []byte) (bool, error) {
			if string(key) != "result" {
				return false, nil
			}
			yes, ok, err := s.Flag()
			switch {
			case !ok:
				said = resultOdd
			case yes:
				said = resultYes
			default:
				said = resultNo
			}
			return true, err
		})
	}
	items := 0
	_, err = wire.Envelope(byTags, s, func() error {
		if s.Next() != wire.Array {
			return read()
		}
		return s.Array(func() error { // the vendor's page shows a list of one
			if items++; items > 1 {
				said = resultOdd
				return s.Skip()
			}
			return read()
		})
	})
	return said, err
}
