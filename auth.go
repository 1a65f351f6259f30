package duolink

import (
	"context"
	"slices"
	"strings"

	"github.com/go-faster/jx"
)

// AuthService reads the account numbers of a bank link: ACH, EFT, BACS and IBAN.
type AuthService struct{ client *Client }

var (
	authGet     = operation{api: PlaidCompatible, name: "auth.get", method: "POST", route: "/auth/get", repeat: repeatAlways, perApp: true}
	authNumbers = operation{api: MoneyKit, name: "auth.numbers", method: "GET", route: "/links/{link_id}/accounts/numbers", repeat: repeatAlways, perApp: true}
)

// Get returns account numbers through MoneyKit's Plaid-compatible layer. It needs a client id and secret. An item in error
// is a good answer, with Item.Error. See moneykit.mintlify.app/plaid-compatibility-layer/authget.
func (s *AuthService) Get(ctx context.Context, query AuthQuery, opts ...CallOption) (*AuthNumbers, error) {
	op := authGet
	op.body, op.invalid = query.wire()
	token := []string{strings.TrimSpace(query.AccessToken.Reveal())}
	op.private, op.secrets, op.items = query.AccountIDs, token, token
	return call(ctx, s.client, op, readAuthNumbers, opts)
}

// Numbers returns the account numbers of a link as MoneyKit's native API has them, only of open accounts and in an order
// of their own: join them with an Identity by account id. They are what was fetched last; 3 requests per minute per link
// are allowed. See docs.moneykit.com/api, "Account Numbers".
func (s *AuthService) Numbers(ctx context.Context, linkID string, opts ...CallOption) (*AccountNumbers, error) {
	return call(ctx, s.client, authNumbers.on(linkID), bare[AccountNumbers], opts)
}

// AuthQuery names the item whose numbers are wanted.
type AuthQuery struct {
	AccessToken Secret   // required: the item's access token
	AccountIDs  []string // none means all
}

type authBody struct {
	AccessToken string       `json:"access_token"`
	Options     *authOptions `json:"options,omitempty"`
}

type authOptions struct {
	AccountIDs []string `json:"account_ids"`
}

func (q AuthQuery) wire() (authBody, error) {
	body := authBody{AccessToken: strings.TrimSpace(q.AccessToken.Reveal())}
	if len(q.AccountIDs) > 0 {
		body.Options = &authOptions{q.AccountIDs}
	}
	if err := checkCredential("AccessToken", body.AccessToken); err != nil {
		return body, err
	}
	return body, checkAccountIDs(q.AccountIDs)
}

// AuthNumbers is the answer of [AuthService.Get].
type AuthNumbers struct {
	Accounts  []AuthAccount `json:"accounts"`
	Numbers   Numbers       `json:"numbers"`
	Item      Item          `json:"item"`
	RequestID string        `json:"request_id"`
}

// AuthAccount is an account as the Plaid-compatible layer describes it.
type AuthAccount struct {
	ID                  string      `json:"account_id"`
	Balances            Balances    `json:"balances"`
	Mask                string      `json:"mask"` // not unique, and not always the end of the account number
	Name                string      `json:"name"`
	OfficialName        string      `json:"official_name"`
	Type                AccountType `json:"type"`
	Subtype             string      `json:"subtype"` // one of some eighty, such as "checking" or "403B"
	PersistentAccountID string      `json:"persistent_account_id"`
	VerificationStatus  string      `json:"verification_status"`
}

// Numbers are account numbers by scheme, at most one of each for an account.
type Numbers struct {
	ACH           []ACHNumber           `json:"ach"`           // United States
	EFT           []EFTNumber           `json:"eft"`           // Canada
	BACS          []BACSNumber          `json:"bacs"`          // United Kingdom
	International []InternationalNumber `json:"international"` // IBAN
}

// ACHNumber is an account number in the United States. Routing numbers keep their leading zeros and are not checked: the
// vendor's sandbox has some that no checksum would pass.
type ACHNumber struct {
	AccountID         string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber     Sensitive `json:"account_number"`
	RoutingNumber     string    `json:"routing_number"`
	WireRoutingNumber string    `json:"wire_routing_number"`
}

// EFTNumber is an account number in Canada.
type EFTNumber struct {
	AccountID         string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber     Sensitive `json:"account_number"`
	InstitutionNumber string    `json:"institution_number"`
	BranchNumber      string    `json:"branch_number"`
}

// BACSNumber is an account number in the United Kingdom.
type BACSNumber struct {
	AccountID     string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber Sensitive `json:"account_number"`
	SortCode      string    `json:"sort_code"`
}

// InternationalNumber is an IBAN with the BIC of its bank.
type InternationalNumber struct {
	AccountID string    `json:"account_id"` // set only by AuthService.Get
	IBAN      Sensitive `json:"iban"`
	BIC       string    `json:"bic"`
}

// Item is what Plaid calls a link.
type Item struct {
	ID                string         `json:"item_id"`
	InstitutionID     string         `json:"institution_id"`
	Webhook           string         `json:"webhook"`
	Error             ItemError      `json:"error"` // zero where the item is well
	AvailableProducts []PlaidProduct `json:"available_products"`
	BilledProducts    []PlaidProduct `json:"billed_products"`
	Products          []PlaidProduct `json:"products"`
	ConsentedProducts []PlaidProduct `json:"consented_products"`
}

// ItemError is what is wrong with an item: a part of a good answer, not an error.
type ItemError struct {
	Type             PlaidErrorType `json:"error_type"`
	Code             Code           `json:"error_code"`
	Message          string         `json:"error_message"`
	DisplayMessage   string         `json:"display_message"`
	RequestID        string         `json:"request_id"`
	Status           int64          `json:"status"`
	DocumentationURL string         `json:"documentation_url"`
	SuggestedAction  string         `json:"suggested_action"`
}

// PlaidProduct is a product of the Plaid-compatible layer; an open set.
type PlaidProduct string

// The products that the layer documents.
const (
	PlaidTransactions PlaidProduct = "transactions"
	PlaidAuth         PlaidProduct = "auth"
	PlaidBalance      PlaidProduct = "balance"
	PlaidIdentity     PlaidProduct = "identity"
)

// AccountNumbers is the answer of [AuthService.Numbers].
type AccountNumbers struct {
	Accounts []AccountWithNumbers `json:"accounts"`
	Link     BankLink             `json:"link"`
}

// AccountWithNumbers is an account with its numbers.
type AccountWithNumbers struct {
	BankAccount
	Numbers Numbers `json:"numbers"`
}

// ForAccount returns an account with its numbers; false where the answer has no such account, and for an empty id.
func (n *AccountNumbers) ForAccount(accountID string) (AccountWithNumbers, bool) {
	for _, a := range n.Accounts {
		if a.ID == accountID && accountID != "" {
			return a, true
		}
	}
	return AccountWithNumbers{}, false
}

// AuthAccountNumbers is an account with its balances and its numbers.
type AuthAccountNumbers struct {
	AuthAccount
	Numbers Numbers `json:"numbers"` // this account's alone
}

// ForAccount joins an account, with its balances, and its numbers; false where the answer has no such account, as a
// closed one, and for an empty id. An account without numbers is one too.
func (n *AuthNumbers) ForAccount(accountID string) (AuthAccountNumbers, bool) {
	at := slices.IndexFunc(n.Accounts, func(a AuthAccount) bool { return a.ID == accountID })
	if at < 0 || accountID == "" {
		return AuthAccountNumbers{}, false
	}
	return AuthAccountNumbers{n.Accounts[at], Numbers{
		ACH:           having(n.Numbers.ACH, func(x ACHNumber) bool { return x.AccountID == accountID }),
		EFT:           having(n.Numbers.EFT, func(x EFTNumber) bool { return x.AccountID == accountID }),
		BACS:          having(n.Numbers.BACS, func(x BACSNumber) bool { return x.AccountID == accountID }),
		International: having(n.Numbers.International, func(x InternationalNumber) bool { return x.AccountID == accountID }),
	}}, true
}

// having returns the elements that fit, nil where none does.
func having[T any](all []T, fits func(T) bool) (found []T) {
	for _, v := range all {
		if fits(v) {
			found = append(found, v)
		}
	}
	return found
}

// readAuthNumbers reads the answer of /auth/get, or the Plaid error that may come in its place with a 200.
func readAuthNumbers(d *jx.Decoder) (*AuthNumbers, error) {
	if d.Next() != jx.Object {
		return nil, errNoObject
	}
	n, failed := &AuthNumbers{}, false
	err := object(d, func(key []byte) error {
		if s := string(key); s == "error_type" || s == "error_code" || s == "error" {
			failed = failed || d.Next() != jx.Null
			return d.Skip()
		}
		return n.member(d, key)
	})
	switch {
	case err != nil:
		return nil, err
	case n.Accounts != nil:
		return n, nil
	case failed:
		return nil, errErrorMember
	default:
		return nil, errNoData
	}
}

func (n *AuthNumbers) member(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "accounts":
		return list(d, &n.Accounts)
	case "numbers":
		return n.Numbers.decode(d)
	case "item":
		return n.Item.decode(d)
	case "request_id":
		return text(d, &n.RequestID)
	}
	return d.Skip()
}

func (a *AuthAccount) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "account_id":
			return text(d, &a.ID)
		case "balances":
			return a.Balances.decode(d)
		case "mask":
			return text(d, &a.Mask)
		case "name":
			return text(d, &a.Name)
		case "official_name":
			return text(d, &a.OfficialName)
		case "type":
			return text(d, &a.Type)
		case "subtype":
			return text(d, &a.Subtype)
		case "persistent_account_id":
			return text(d, &a.PersistentAccountID)
		case "verification_status":
			return text(d, &a.VerificationStatus)
		}
		return d.Skip()
	})
}

func (n *Numbers) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "ach":
			return list(d, &n.ACH)
		case "eft":
			return list(d, &n.EFT)
		case "bacs":
			return list(d, &n.BACS)
		case "international":
			return list(d, &n.International)
		}
		return d.Skip()
	})
}

// The four schemes are read in both dialects: the Plaid-compatible layer has shorter names for the same things.

func (n *ACHNumber) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "account_id":
			return text(d, &n.AccountID)
		case "account_number", "account":
			return sensitive(d, &n.AccountNumber)
		case "routing_number", "routing":
			return text(d, &n.RoutingNumber)
		case "wire_routing_number", "wire_routing":
			return text(d, &n.WireRoutingNumber)
		}
		return d.Skip()
	})
}

func (n *EFTNumber) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "account_id":
			return text(d, &n.AccountID)
		case "account_number", "account":
			return sensitive(d, &n.AccountNumber)
		case "institution_number", "institution":
			return text(d, &n.InstitutionNumber)
		case "branch_number", "branch":
			return text(d, &n.BranchNumber)
		}
		return d.Skip()
	})
}

func (n *BACSNumber) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "account_id":
			return text(d, &n.AccountID)
		case "account_number", "account":
			return sensitive(d, &n.AccountNumber)
		case "sort_code":
			return text(d, &n.SortCode)
		}
		return d.Skip()
	})
}

func (n *InternationalNumber) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "account_id":
			return text(d, &n.AccountID)
		case "iban":
			return sensitive(d, &n.IBAN)
		case "bic":
			return text(d, &n.BIC)
		}
		return d.Skip()
	})
}

func (i *Item) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "item_id":
			return text(d, &i.ID)
		case "institution_id":
			return text(d, &i.InstitutionID)
		case "webhook":
			return text(d, &i.Webhook)
		case "error":
			return i.Error.decode(d)
		case "available_products":
			return texts(d, &i.AvailableProducts)
		case "billed_products":
			return texts(d, &i.BilledProducts)
		case "products":
			return texts(d, &i.Products)
		case "consented_products":
			return texts(d, &i.ConsentedProducts)
		}
		return d.Skip()
	})
}

func (e *ItemError) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "error_type":
			return text(d, &e.Type)
		case "error_code":
			return text(d, &e.Code)
		case "error_message":
			return text(d, &e.Message)
		case "display_message":
			return text(d, &e.DisplayMessage)
		case "request_id":
			return text(d, &e.RequestID)
		case "status":
			_, err := integer(d, &e.Status)
			return err
		case "documentation_url":
			return text(d, &e.DocumentationURL)
		case "suggested_action":
			return text(d, &e.SuggestedAction)
		}
		return d.Skip()
	})
}

func (n *AccountNumbers) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "accounts":
			return list(d, &n.Accounts)
		case "link":
			return n.Link.decode(d)
		}
		return d.Skip()
	})
}

func (a *AccountWithNumbers) decode(d *jx.Decoder) error {
	return object(d, func(key []byte) error {
		if string(key) == "numbers" {
			return a.Numbers.decode(d)
		}
		return a.member(d, key)
	})
}
