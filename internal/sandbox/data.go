package sandbox

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Credentials that a Sandbox accepts.
const (
	// APIKey is a Supermetrics API key.
	APIKey = "api_sandbox_4f0c2a7e9b1d6835"
	// ClientID and ClientSecret are those of a MoneyKit client, for both of its APIs.
	ClientID     = "sandbox-client-7d1e52"
	ClientSecret = "sandbox-secret-51b2c9e07f"
	// AccessToken opens the link [LinkID] in the Plaid-compatible API.
	AccessToken = "access-sandbox-1f6a0c52-7b0e-4d0a-9c3e-5a1b2c3d4e5f"
	// SecondAccessToken opens [SecondLinkID].
	SecondAccessToken = "access-sandbox-2e7b1d63-8c1f-4e1b-8d4f-6b2c3d4e5f60"
	// AuthExpiredAccessToken opens [AuthExpiredLinkID]: ITEM_LOGIN_REQUIRED.
	AuthExpiredAccessToken = "access-sandbox-3d8c2e74-9d20-4f2c-8e50-7c3d4e5f6071"
)

// MoneyKit's links.
const (
	// LinkID is connected and has an identity and numbers. One of its six accounts is closed, and
	// one has no numbers.
	LinkID = "mk_sandbox_8fQ2hV9xKd"
	// SecondLinkID is connected too and has one account. Its identity has never been refreshed.
	SecondLinkID = "mk_sandbox_3mT7cR1zWb"
	// AuthExpiredLinkID is in state error with auth_expired: its data answers 422
	// link_error.bad_state.
	AuthExpiredLinkID = "mk_sandbox_5pL4nY6sGj"
	// DeletedLinkID has been deleted: 410.
	DeletedLinkID = "mk_sandbox_9kB8dF2vQx"
	// ForbiddenLinkID is connected, but its identity was not permitted: 403
	// link_error.forbidden_action.
	ForbiddenLinkID = "mk_sandbox_1wH5jN7tMc"
	// ForeignLinkID belongs to another client: 401 link_error.unauthorized_access.
	ForeignLinkID = "mk_sandbox_6rZ3gP0yLs"
)

// Accounts of [LinkID].
const (
	// JointAccountID has two owners and ACH numbers.
	JointAccountID = "acc_7dYw2kQm"
	// ClosedAccountID is in the identity only.
	ClosedAccountID = "acc_2xJc8vTb"
)

// Supermetrics' logins and login links.
const (
	// LoginID is a Google Analytics login (GAWA) with a few accounts.
	LoginID = "dsl_1"
	// ManyAccountsLoginID is a Google Ads login (AW) with 260 accounts.
	ManyAccountsLoginID = "dsl_2"
	// OddAccountsLoginID is a Facebook Ads login (FB) with unusual account ids.
	OddAccountsLoginID = "dsl_3"
	// RevokedLoginID has been revoked.
	RevokedLoginID = "dsl_5"
	// OpenLoginLinkID is open for another 23 hours.
	OpenLoginLinkID = "dsll_1"
	// ClosedLoginLinkID is closed, and has led to [LoginID].
	ClosedLoginLinkID = "dsll_2"
	// ExpiredLoginLinkID has expired without a login.
	ExpiredLoginLinkID = "dsll_3"
	// NamedLoginLinkID is open for [RequiredUsername] only.
	NamedLoginLinkID = "dsll_4"
	// RequiredUsername is the username of [LoginID]. [NamedLoginLinkID] wants it, too.
	RequiredUsername = "avery+ads@example.com"
)

const (
	userID    = "usr_1"
	userEmail = "team@example.com"
)

// The notations of an instant. All of them are in UTC.
const (
	layoutOffset         = "2006-01-02T15:04:05-07:00"
	layoutNoColon        = "2006-01-02T15:04:05Z0700"
	layoutFraction       = "2006-01-02T15:04:05.000000-07:00"
	layoutNoZone         = "2006-01-02T15:04:05"
	layoutNoZoneFraction = "2006-01-02T15:04:05.000000"
)

// dataSourceName returns the name of a data source, or the id if the data source is unknown.
func dataSourceName(id string) string {
	switch id {
	case "GAWA":
		return "Google Analytics 4"
	case "AW":
		return "Google Ads"
	case "FB":
		return "Facebook Ads"
	case "GW":
		return "Google Search Console"
	}
	return id
}

func (s *Sandbox) fill(now time.Time) {
	s.logins = sampleLogins(now)
	s.addLink(&loginLink{dataSource: "GAWA", description: "Q3 report", redirectURL: "https://app.example.com/done",
		created: now.Add(-time.Hour), expiry: now.Add(23 * time.Hour)})
	s.addLink(&loginLink{dataSource: "GAWA", created: now.Add(-48 * time.Hour), expiry: now.Add(-24 * time.Hour),
		closed: true, login: s.logins[0], loginTime: now.Add(-47 * time.Hour)})
	s.addLink(&loginLink{dataSource: "AW", description: "Nobody came", created: now.Add(-72 * time.Hour),
		expiry: now.Add(-48 * time.Hour)})
	s.addLink(&loginLink{dataSource: "GAWA", requireUsername: RequiredUsername, created: now.Add(-time.Minute),
		expiry: now.Add(time.Hour)})
	s.bankLinks = sampleBankLinks(now)
}

// addLink gives the link its id and its secrets.
func (s *Sandbox) addLink(l *loginLink) {
	if l.id == "" {
		l.id = s.nextID("dsll_", len(s.links))
	}
	l.verifier = cmp.Or(l.verifier, s.text(32))
	l.token = cmp.Or(l.token, s.text(40))
	s.links = append(s.links, l)
}

func sampleLogins(now time.Time) []*login {
	return []*login{
		{id: LoginID, dataSource: "GAWA", kind: "oauth", username: RequiredUsername, displayName: "Avery Sample",
			authTime: "2021-10-22T11:47:16+00:00", accounts: []account{
				{"123456789", "Example Store", "Example Group"},
				{"234567890", "Example Blog", "Example Group"},
				{"345678901", "Äußerst gut & <fein>", ""},
			}},
		{
			id:          ManyAccountsLoginID,
			dataSource:  "AW",
			kind:        "oauth",
			username:    "jordan@example.com",
			displayName: "Jordan Example",
			authTime:    "2026-04-06T10:59:04+0000",
			shared:      true,
			accounts:    manyAccounts(260),
		},
		{
			id:          OddAccountsLoginID,
			dataSource:  "FB",
			kind:        "oauth",
			username:    "1000000000000042",
			displayName: "Avery Sample",
			authTime:    "2026-01-01T00:00:00",
			expiryTime:  now.Add(720 * time.Hour).UTC().Format(time.RFC3339),
			accounts: []account{
				{"act_1:2", "Example Ads", ""},
				{"act_1000000042", "Example Ads (old)", "Agency / North"},
			},
		},
		{id: "dsl_4", dataSource: "GW", kind: "oauth", username: "avery@example.com", displayName: "Avery Sample",
			authTime: "2026-01-01 00:00:00", accounts: []account{
				{"https://www.example.com/", "https://www.example.com/", ""},
				{"sc-domain:example.com", "example.com", ""},
			}},
		{
			id:          RevokedLoginID,
			dataSource:  "FB",
			kind:        "oauth",
			username:    "1000000000000043",
			displayName: "Jordan Example",
			authTime:    "2025-06-30T08:00:00.123456Z",
			revoked:     now.Add(-24 * time.Hour),
		},
		{
			id:          "dsl_6",
			dataSource:  "GAWA",
			kind:        "service_account",
			username:    "reports@example.com",
			displayName: "Reports",
			authTime:    "2026-01-01",
			accounts:    []account{{"456789012", "Example Store (test)", ""}},
		},
	}
}

func manyAccounts(n int) []account {
	list := make([]account, n)
	for i := range list {
		group := "Group " + strconv.Itoa(i/100+1)
		list[i] = account{fmt.Sprintf("100-%03d-%04d", i/1000, i+1), fmt.Sprintf("Account %d", i+1), group}
	}
	return list
}

//go:embed data/accounts.json
var accountsJSON []byte

func sampleBankLinks(now time.Time) map[string]*bankLink {
	var accounts struct{ First, Second []bankAccount }
	if err := json.Unmarshal(accountsJSON, &accounts); err != nil {
		panic(err) // cannot happen: it is our own file
	}
	links := map[string]*bankLink{}
	for _, l := range []*bankLink{
		{id: LinkID, accessToken: AccessToken, accounts: accounts.First},
		{id: SecondLinkID, accessToken: SecondAccessToken, accounts: accounts.Second},
		{id: AuthExpiredLinkID, accessToken: AuthExpiredAccessToken, state: "error", errorCode: "auth_expired"},
		{id: DeletedLinkID, state: "deleted"},
		{id: ForbiddenLinkID, accounts: accounts.Second},
		{id: ForeignLinkID, foreign: true},
	} {
		l.complete(now)
		links[l.id] = l
	}
	delete(links[ForbiddenLinkID].products, "identity")
	links[SecondLinkID].products["identity"] = &product{}
	return links
}

func (l *bankLink) complete(now time.Time) {
	l.institutionID, l.institution = "chase", "Chase"
	if l.state == "" {
		l.state = "connected"
	}
	l.lastSynced = now.Add(-48 * time.Hour)
	l.products = map[string]*product{}
	for _, name := range []string{"accounts", "account_numbers", "identity", "transactions"} {
		l.products[name] = &product{refreshed: l.lastSynced, attempted: l.lastSynced}
	}
}
