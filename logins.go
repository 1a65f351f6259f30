package duolink

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-faster/jx"
)

// LoginsService reads the data source logins of a Supermetrics team, who has authenticated which ad platform, and the
// accounts that they reach. See docs.supermetrics.com/apidocs, "Data source logins" and "Accounts".
type LoginsService struct{ client *Client }

var (
	loginsListAccounts = operation{api: Supermetrics, name: "logins.list_accounts", method: "GET", route: "/query/accounts", repeat: repeatAlways, limit: 64 << 20, slow: true}
	loginsList         = operation{api: Supermetrics, name: "logins.list", method: "GET", route: "/ds/logins", repeat: repeatAlways}
	loginsGet          = operation{api: Supermetrics, name: "logins.get", method: "GET", route: "/ds/login/{login_id}", repeat: repeatAlways}
	loginsRevoke       = operation{api: Supermetrics, name: "logins.revoke", method: "DELETE", route: "/ds/login/{login_id}", repeat: repeatSettling}
	loginsAccounts     = operation{api: Supermetrics, name: "logins.accounts", method: "GET", route: "/ds/login/{login_id}/accounts", repeat: repeatAlways}
)

// ListAccounts returns the logins of one data source with the accounts that each can reach: at most 100 logins of 1,000
// accounts each. The server may ask the ad platform while the caller waits. See supermetrics.com/docs/product-api-get-accounts.
func (s *LoginsService) ListAccounts(ctx context.Context, query AccountsQuery, opts ...CallOption) (*AccountList, error) {
	return call(ctx, s.client, query.operation(), readAccountList, opts)
}

// EachAccount is ListAccounts as a stream: it yields one account with its login at a time, decoded as it arrives, and
// keeps no more of the answer in memory. Leaving the loop closes the connection. An error is yielded once, last.
func (s *LoginsService) EachAccount(ctx context.Context, query AccountsQuery, opts ...CallOption) iter.Seq2[LoginAccount, error] {
	return stream(ctx, s.client, query.operation(), eachAccount, opts)
}

// List returns all logins, at most 1,000. Their scopes are left out by the server; Get has them.
func (s *LoginsService) List(ctx context.Context, opts ...CallOption) ([]Login, error) {
	return call(ctx, s.client, loginsList, many[Login], opts)
}

// Get returns one login. An unknown id is ErrNotFound.
func (s *LoginsService) Get(ctx context.Context, loginID string, opts ...CallOption) (*Login, error) {
	return call(ctx, s.client, loginsGet.on(loginID), one[Login], opts)
}

// Revoke ends a login. It reports false where the server says that there was nothing to revoke. If an attempt
// before got no answer, it reports true then: the login has ended.
func (s *LoginsService) Revoke(ctx context.Context, loginID string, opts ...CallOption) (bool, error) {
	var revoked bool
	t, err := s.client.send(ctx, loginsRevoke.on(loginID), opts, func(body []byte) (err error) {
		revoked, err = read(body, readRevoked)
		return err
	})
	if err != nil {
		return false, err
	}
	return revoked || t.unclear, nil // there is nothing left to revoke, because the attempt before has done it
}

// Accounts walks the accounts of a login, a page at a time, as the loop asks for them. An error is yielded once and ends
// the loop; ranging again starts anew. See docs.supermetrics.com/apidocs/list-login-accounts-1.
func (s *LoginsService) Accounts(ctx context.Context, loginID string, page PageOptions, opts ...CallOption) iter.Seq2[Account, error] {
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
	CacheMinutes int      // accept an answer of this age, 60 to 1440; 0 leaves it to the server
}

func (q AccountsQuery) operation() operation {
	op := loginsListAccounts
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
	Offset int `url:"offset,omitempty"` // 0 to 1,000,000
	Limit  int `url:"limit,omitempty"`  // 1 to 1,000; 0 leaves it to the server, which takes 100
}

const mostOffset = 1_000_000

func (p PageOptions) check() error {
	switch {
	case p.Offset < 0 || p.Offset > mostOffset:
		return argumentError("Offset is not between 0 and %d", mostOffset)
	case p.Limit < 0 || p.Limit > 1000:
		return argumentError("Limit is neither 0 nor between 1 and 1000")
	}
	return nil
}

// AccountList is the answer of [LoginsService.ListAccounts].
type AccountList struct {
	CacheMinutes int64           `json:"cache_minutes"` // the age that the server accepted, 0 for none
	Logins       []LoginAccounts `json:"logins"`
}

// LoginAccounts is one login with the accounts that it reaches.
type LoginAccounts struct {
	User        Sensitive `json:"ds_user"` // the username: AccountsQuery.Users takes its Reveal()
	DisplayName Sensitive `json:"display_name"`
	CacheTime   Timestamp `json:"cache_time"` // when the platform was asked; absent without a cache
	Accounts    []Account `json:"accounts"`
}

// LoginAccount is one account with its login: a step of [LoginsService.EachAccount].
type LoginAccount struct {
	User        Sensitive // the username: AccountsQuery.Users takes its Reveal()
	DisplayName Sensitive
	CacheTime   Timestamp // when the platform was asked; absent without a cache
	Account     Account
}

// Account is an account at an ad platform. Its id is any text: "act_1:2", "sc-domain:example.com".
type Account struct {
	ID    string `json:"account_id"`
	Name  string `json:"name"`
	Group string `json:"group"`
}

// Login is an authentication of a person at a data source.
type Login struct {
	ID               string     `json:"login_id"`
	Type             LoginType  `json:"login_type"`
	Username         Sensitive  `json:"username"` // AccountsQuery.Users takes its Reveal()
	DisplayName      Sensitive  `json:"display_name"`
	DataSource       DataSource `json:"ds_info"`
	DefaultScopes    []string   `json:"default_scopes"` // nil in lists: not sent, which is not the same as none
	AdditionalScopes []string   `json:"additional_scopes"`
	AuthTime         Timestamp  `json:"auth_time"`
	AuthUser         User       `json:"auth_user_info"` // who made the login at Supermetrics
	ExpiryTime       Timestamp  `json:"expiry_time"`
	RevokedTime      Timestamp  `json:"revoked_time"`
	Refreshable      bool       `json:"is_refreshable"`
	Shared           bool       `json:"is_shared"`
}

// LoginType is how a login authenticates; an open set.
type LoginType string

// LoginOAuth is a login by OAuth, the one that the vendor documents.
const LoginOAuth LoginType = "oauth"

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

func (l *Login) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "login_id":
			return text(d, &l.ID)
		case "login_type":
			return text(d, &l.Type)
		case "username":
			return sensitive(d, &l.Username)
		case "display_name":
			return sensitive(d, &l.DisplayName)
		case "ds_info":
			return l.DataSource.decode(d)
		case "default_scopes":
			return texts(d, &l.DefaultScopes)
		case "additional_scopes":
			return texts(d, &l.AdditionalScopes)
		case "auth_time":
			return timestamp(d, &l.AuthTime)
		case "auth_user_info":
			return l.AuthUser.decode(d)
		case "expiry_time":
			return timestamp(d, &l.ExpiryTime)
		case "revoked_time":
			return timestamp(d, &l.RevokedTime)
		case "is_refreshable":
			return flag(d, &l.Refreshable)
		case "is_shared":
			return flag(d, &l.Shared)
		}
		return d.Skip()
	})
}

func (s *DataSource) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "ds_id":
			return text(d, &s.ID)
		case "name":
			return text(d, &s.Name)
		}
		return d.Skip()
	})
}

func (u *User) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "user_id":
			return text(d, &u.ID)
		case "email":
			return sensitive(d, &u.Email)
		}
		return d.Skip()
	})
}

// decode reads an account under both of its spellings: the query for accounts has names of its own.
func (a *Account) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "account_id":
			return text(d, &a.ID)
		case "name", "account_name":
			return text(d, &a.Name)
		case "group", "group_name":
			return text(d, &a.Group)
		}
		return d.Skip()
	})
}

func (l *LoginAccounts) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "ds_user":
			return sensitive(d, &l.User)
		case "display_name":
			return sensitive(d, &l.DisplayName)
		case "cache_time":
			return timestamp(d, &l.CacheTime)
		case "accounts":
			return list(d, &l.Accounts)
		}
		return d.Skip()
	})
}

func readAccountList(d *jx.Decoder) (*AccountList, error) {
	l := &AccountList{}
	err := envelope(d, func(key []byte) error {
		switch string(key) {
		case "data":
			return list(d, &l.Logins)
		case "meta":
			return l.decodeMeta(d)
		}
		return d.Skip()
	})
	return l, err
}

func (l *AccountList) decodeMeta(d *jx.Decoder) error {
	return within(d, "query", func() error {
		return within(d, "cache_minutes", func() error {
			_, err := integer(d, &l.CacheMinutes)
			return err
		})
	})
}

// eachAccount reads the same answer as readAccountList and hands on each account as soon as its login is known.
func eachAccount(d *jx.Decoder, yield func(LoginAccount) error, item func()) error {
	err := envelope(d, func(key []byte) error {
		if string(key) != "data" || d.Next() != jx.Array {
			return d.Skip()
		}
		return d.Arr(func(d *jx.Decoder) error {
			defer item() // also a login without accounts
			return eachOfLogin(d, yield)
		})
	})
	if err != nil {
		return err
	}
	return atEnd(d)
}

// eachOfLogin yields the accounts of one login. The API writes them last; where it does not, they are kept until the
// login's own members are read.
func eachOfLogin(d *jx.Decoder, yield func(LoginAccount) error) error {
	var (
		login LoginAccount
		known int
		kept  []Account
	)
	err := object(d, func(key []byte) error {
		switch string(key) {
		case "ds_user":
			known++
			return sensitive(d, &login.User)
		case "display_name":
			known++
			return sensitive(d, &login.DisplayName)
		case "cache_time":
			known++
			return timestamp(d, &login.CacheTime)
		case "accounts":
			if known < 3 || d.Next() != jx.Array {
				return list(d, &kept)
			}
			return d.Arr(func(d *jx.Decoder) error {
				if d.Next() != jx.Object {
					return d.Skip()
				}
				login.Account = Account{}
				if err := login.Account.decode(d); err != nil {
					return err
				}
				return yield(login)
			})
		}
		return d.Skip()
	})
	for _, a := range kept {
		if err != nil {
			return err
		}
		login.Account = a
		err = yield(login)
	}
	return err
}

// readRevoked reads {"data": {"result": bool}}; an answer without content means done.
func readRevoked(d *jx.Decoder) (bool, error) {
	done := true
	if d.Next() == jx.Invalid && atEnd(d) == nil {
		return done, nil
	}
	err := envelope(d, func(key []byte) error {
		if string(key) != "data" {
			return d.Skip()
		}
		return within(d, "result", func() error {
			if d.Next() == jx.Null {
				return d.Skip()
			}
			return flag(d, &done)
		})
	})
	return done, err
}
