package duolink

import (
	"context"
	"slices"
	"strings"

	"github.com/duolink/duolink/internal/wire"
)

// AuthService reads the account numbers of a bank link: ACH, EFT, BACS and IBAN.
//
// Its types say where they come from: Plaid... from the Plaid-compatible layer, Bank... from
// MoneyKit's native API, those without either from both. [PlaidNumbers] and [BankNumbers] are whole
// answers, [PlaidAccountWithNumbers] and [BankAccountWithNumbers] one account, and [ACHNumber],
// [EFTNumber], [BACSNumber] and [InternationalNumber] one number, listed by [NumbersByScheme].
type AuthService struct{ client *Client }

var (
	authGet     = countedPerApp(endpoint(PlaidCompatible, "auth.get", "POST /auth/get", readOnly))
	authNumbers = countedPerApp(endpoint(MoneyKit, "auth.numbers", "GET /links/{bankLinkID}/accounts/numbers", readOnly))
)

// Get returns account numbers through MoneyKit's Plaid-compatible layer. It needs a client id and
// secret. An item in error is a good answer, with Item.Error. See
// moneykit.mintlify.app/plaid-compatibility-layer/authget.
func (s *AuthService) Get(ctx context.Context, query AuthQuery, opts ...CallOption) (*PlaidNumbers, error) {
	op := authGet
	op.body, op.invalid = query.wire()
	token := []string{strings.TrimSpace(query.AccessToken.Reveal())}
	op.private, op.secrets, op.items = query.AccountIDs, token, token
	return call(ctx, s.client, op, readPlaidNumbers, opts)
}

// Numbers returns the account numbers of a link as MoneyKit's native API has them, only of open
// accounts and in an order of their own: join them with an Identity by account id. They are what
// was fetched last; 3 requests per minute per link are allowed. See docs.moneykit.com/api, "Account
// Numbers".
func (s *AuthService) Numbers(ctx context.Context, bankLinkID string, opts ...CallOption) (*BankNumbers, error) {
	return call(ctx, s.client, authNumbers.on(bankLinkID), bare[BankNumbers], opts)
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

// PlaidNumbers is the answer of [AuthService.Get]: all accounts, and beside them all numbers.
type PlaidNumbers struct {
	Accounts  []PlaidAccount  `json:"accounts"`
	Numbers   NumbersByScheme `json:"numbers"`
	Item      Item            `json:"item"`
	RequestID string          `json:"request_id"`
}

// PlaidAccount is an account as the Plaid-compatible layer describes it.
type PlaidAccount struct {
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

// NumbersByScheme are account numbers by scheme: at most one of each for an account.
type NumbersByScheme struct {
	ACH           []ACHNumber           `json:"ach"`           // United States
	EFT           []EFTNumber           `json:"eft"`           // Canada
	BACS          []BACSNumber          `json:"bacs"`          // United Kingdom
	International []InternationalNumber `json:"international"` // IBAN
}

// ACHNumber is an account number in the United States. Routing numbers keep their leading zeros and
// are not checked: the vendor's sandbox has some that no checksum would pass.
type ACHNumber struct {
	AccountID         string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber     Sensitive `json:"account_number" also:"account"`
	RoutingNumber     string    `json:"routing_number" also:"routing"`
	WireRoutingNumber string    `json:"wire_routing_number" also:"wire_routing"`
}

// EFTNumber is an account number in Canada.
type EFTNumber struct {
	AccountID         string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber     Sensitive `json:"account_number" also:"account"`
	InstitutionNumber string    `json:"institution_number" also:"institution"`
	BranchNumber      string    `json:"branch_number" also:"branch"`
}

// BACSNumber is an account number in the United Kingdom.
type BACSNumber struct {
	AccountID     string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber Sensitive `json:"account_number" also:"account"`
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
	PlaidProductTransactions PlaidProduct = "transactions"
	PlaidProductAuth         PlaidProduct = "auth"
	PlaidProductBalance      PlaidProduct = "balance"
	PlaidProductIdentity     PlaidProduct = "identity"
)

// BankNumbers is the answer of [AuthService.Numbers]: the accounts, each with its numbers.
type BankNumbers struct {
	Accounts []BankAccountWithNumbers `json:"accounts"`
	Link     BankLink                 `json:"link"`
}

// BankAccountWithNumbers is an account with its numbers, as MoneyKit's native API has it.
type BankAccountWithNumbers struct {
	BankAccount
	Numbers NumbersByScheme `json:"numbers"`
}

// ForAccount returns an account with its numbers; false where the answer has no such account, and
// for an empty id.
func (n *BankNumbers) ForAccount(accountID string) (BankAccountWithNumbers, bool) {
	for _, a := range n.Accounts {
		if a.ID == accountID && accountID != "" {
			return a, true
		}
	}
	return BankAccountWithNumbers{}, false
}

// PlaidAccountWithNumbers is an account with its numbers, joined from two parts of [PlaidNumbers].
type PlaidAccountWithNumbers struct {
	PlaidAccount
	Numbers NumbersByScheme `json:"numbers"` // this account's alone
}

// ForAccount joins an account, with its balances, and its numbers; false where the answer has no
// such account, as a closed one, and for an empty id. An account without numbers is one too.
func (n *PlaidNumbers) ForAccount(accountID string) (PlaidAccountWithNumbers, bool) {
	at := slices.IndexFunc(n.Accounts, func(a PlaidAccount) bool { return a.ID == accountID })
	if at < 0 || accountID == "" {
		return PlaidAccountWithNumbers{}, false
	}
	return PlaidAccountWithNumbers{n.Accounts[at], NumbersByScheme{
		ACH:  having(n.Numbers.ACH, func(x ACHNumber) bool { return x.AccountID == accountID }),
		EFT:  having(n.Numbers.EFT, func(x EFTNumber) bool { return x.AccountID == accountID }),
		BACS: having(n.Numbers.BACS, func(x BACSNumber) bool { return x.AccountID == accountID }),
		International: having(n.Numbers.International, func(x InternationalNumber) bool {
			return x.AccountID == accountID
		}),
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

// readPlaidNumbers reads the answer of /auth/get, or the Plaid error that may come in its place
// with a 200.
func readPlaidNumbers(s *wire.Scanner) (*PlaidNumbers, error) {
	if s.Next() != wire.Object {
		return nil, wire.ErrNoObject
	}
	n, failed := &PlaidNumbers{}, false
	err := byTags.ReadObject(s, n, func(key []byte) (bool, error) {
		switch string(key) {
		case "error_type", "error_code", "error":
			failed = failed || s.Next() != wire.Null
			return true, s.Skip()
		}
		return false, nil
	})
	switch {
	case err != nil:
		return nil, err
	case n.Accounts != nil:
		return n, nil
	case failed:
		return nil, wire.ErrErrorMember
	default:
		return nil, wire.ErrNoData
	}
}
