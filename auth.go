package duolink

import (
	"context"
	"slices"
	"strings"
)

// AuthService reads the account numbers of a bank link: ACH, EFT, BACS and IBAN.
//
// The names of its types say where the data comes from: Plaid... from the Plaid-compatible layer,
// Bank... from MoneyKit's native API, other names from both. [PlaidNumbers] and [BankNumbers] are
// whole answers. [PlaidAccountWithNumbers] and [BankAccountWithNumbers] are one account.
// [NumbersByScheme] lists single numbers: [ACHNumber], [EFTNumber], [BACSNumber] and
// [InternationalNumber].
type AuthService struct{ client *Client }

var (
	authGet     = countedByApp(endpoint(PlaidCompatible, "auth.get", "POST /auth/get", readOnly))
	authNumbers = countedByApp(endpoint(MoneyKit, "auth.numbers", "GET /links/{bankLinkID}/accounts/numbers", readOnly))
)

// Get returns account numbers through MoneyKit's Plaid-compatible layer. It needs a client id and
// secret. An item in error is returned with Item.Error and no Go error. See
// moneykit.mintlify.app/plaid-compatibility-layer/authget.
func (s *AuthService) Get(ctx context.Context, query AuthQuery, opts ...CallOption) (*PlaidNumbers, error) {
	op := authGet
	op.body, op.invalid = query.wire()
	token := []string{strings.TrimSpace(query.AccessToken.Reveal())}
	op.private, op.secrets, op.items = query.AccountIDs, token, token
	return call(ctx, s.client, op, withAccounts[PlaidNumbers], opts)
}

// Numbers returns the account numbers of a link through MoneyKit's native API.
//
// The answer has only open accounts, in an order of its own: join it with an Identity by account
// id. It has what was fetched last. The vendor allows 3 requests per minute per link. See
// docs.moneykit.com/api, "Account Numbers".
func (s *AuthService) Numbers(ctx context.Context, bankLinkID string, opts ...CallOption) (*BankNumbers, error) {
	return call(ctx, s.client, authNumbers.on(bankLinkID), withAccounts[BankNumbers], opts)
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

// PlaidNumbers is the answer of [AuthService.Get]: a list of all accounts and lists of all numbers.
type PlaidNumbers struct {
	Accounts  []PlaidAccount  `json:"accounts" wire:"required"`
	Numbers   NumbersByScheme `json:"numbers" wire:"required"`
	Item      Item            `json:"item" wire:"required"`
	RequestID string          `json:"request_id" wire:"required"`
}

// PlaidAccount is an account as the Plaid-compatible layer describes it.
type PlaidAccount struct {
	ID                  string      `json:"account_id" wire:"required"`
	Balances            Balances    `json:"balances" wire:"required"`
	Mask                string      `json:"mask"` // not unique, and not always the end of the account number
	Name                string      `json:"name" wire:"required"`
	OfficialName        string      `json:"official_name"`
	Type                AccountType `json:"type" wire:"required"`
	Subtype             string      `json:"subtype"` // some eighty values, such as "checking" or "403B"
	PersistentAccountID string      `json:"persistent_account_id"`
	VerificationStatus  string      `json:"verification_status"`
}

// NumbersByScheme are account numbers by scheme. An account has at most one of each scheme.
type NumbersByScheme struct {
	ACH           []ACHNumber           `json:"ach"`           // United States
	EFT           []EFTNumber           `json:"eft"`           // Canada
	BACS          []BACSNumber          `json:"bacs"`          // United Kingdom
	International []InternationalNumber `json:"international"` // IBAN
}

// ACHNumber is an account number in the United States. Routing numbers keep their leading zeros.
// They are not checked, because some numbers of the vendor's sandbox have a wrong checksum.
type ACHNumber struct {
	AccountID         string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber     Sensitive `json:"account_number" also:"account" wire:"required"`
	RoutingNumber     string    `json:"routing_number" also:"routing" wire:"required"`
	WireRoutingNumber string    `json:"wire_routing_number" also:"wire_routing"`
	// Tokenized, CanTransferIn and CanTransferOut come only from Plaid. A tokenized number ends when
	// the user takes the permission back.
	Tokenized      OptionalBool `json:"is_tokenized_account_number"`
	CanTransferIn  OptionalBool `json:"can_transfer_in"`
	CanTransferOut OptionalBool `json:"can_transfer_out"`
}

// EFTNumber is an account number in Canada.
type EFTNumber struct {
	AccountID         string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber     Sensitive `json:"account_number" also:"account" wire:"required"`
	InstitutionNumber string    `json:"institution_number" also:"institution" wire:"required"`
	BranchNumber      string    `json:"branch_number" also:"branch" wire:"required"`
}

// BACSNumber is an account number in the United Kingdom.
type BACSNumber struct {
	AccountID     string    `json:"account_id"` // set only by AuthService.Get
	AccountNumber Sensitive `json:"account_number" also:"account" wire:"required"`
	SortCode      string    `json:"sort_code" wire:"required"`
}

// InternationalNumber is an IBAN with the BIC of its bank.
type InternationalNumber struct {
	AccountID string    `json:"account_id"` // set only by AuthService.Get
	IBAN      Sensitive `json:"iban" wire:"required"`
	BIC       string    `json:"bic" wire:"required"`
}

// Item is what Plaid calls a link. See plaid.com/docs/api/items.
type Item struct {
	ID                string         `json:"item_id" wire:"required"`
	InstitutionID     string         `json:"institution_id"`
	Webhook           string         `json:"webhook"`
	Error             ItemError      `json:"error"` // zero if the item is well
	AvailableProducts []PlaidProduct `json:"available_products" wire:"required"`
	BilledProducts    []PlaidProduct `json:"billed_products" wire:"required"`
	Products          []PlaidProduct `json:"products"`
	ConsentedProducts []PlaidProduct `json:"consented_products"`

	InstitutionName       string     `json:"institution_name"`
	AuthMethod            AuthMethod `json:"auth_method"`             // how the numbers were found
	UpdateType            UpdateType `json:"update_type"`             // whether data comes without the user
	ConsentExpirationTime Timestamp  `json:"consent_expiration_time"` // absent: the consent has no end
}

// AuthMethod is how the account numbers of an item were found. The set is open.
type AuthMethod string

// The methods that Plaid documents.
const (
	AuthMethodInstantAuth            AuthMethod = "INSTANT_AUTH"
	AuthMethodInstantMatch           AuthMethod = "INSTANT_MATCH"
	AuthMethodAutomatedMicrodeposits AuthMethod = "AUTOMATED_MICRODEPOSITS"
	AuthMethodSameDayMicrodeposits   AuthMethod = "SAME_DAY_MICRODEPOSITS"
	AuthMethodInstantMicrodeposits   AuthMethod = "INSTANT_MICRODEPOSITS"
	AuthMethodDatabaseMatch          AuthMethod = "DATABASE_MATCH"
	AuthMethodDatabaseInsights       AuthMethod = "DATABASE_INSIGHTS"
	AuthMethodTransferMigrated       AuthMethod = "TRANSFER_MIGRATED"
	AuthMethodInvestmentsFallback    AuthMethod = "INVESTMENTS_FALLBACK"
)

// UpdateType is whether the data of an item is fetched without the user. The set is open.
type UpdateType string

// The types that Plaid documents.
const (
	UpdateTypeBackground          UpdateType = "background"
	UpdateTypeUserPresentRequired UpdateType = "user_present_required"
)

// ItemError is what is wrong with an item. It is a part of an answer, not a Go error.
type ItemError struct {
	Type             PlaidErrorType `json:"error_type"`
	Code             Code           `json:"error_code"`
	Message          string         `json:"error_message"`
	DisplayMessage   string         `json:"display_message"`
	RequestID        string         `json:"request_id"`
	Status           int64          `json:"status"`
	DocumentationURL string         `json:"documentation_url"`
	SuggestedAction  string         `json:"suggested_action"`
	// Causes are the errors of single items, if a request was about several.
	Causes []ItemErrorCause `json:"causes"`
}

// ItemErrorCause is the error of one item behind an [ItemError].
type ItemErrorCause struct {
	ItemID         string         `json:"item_id"`
	Type           PlaidErrorType `json:"error_type"`
	Code           Code           `json:"error_code"`
	Message        string         `json:"error_message"`
	DisplayMessage string         `json:"display_message"`
	RequestID      string         `json:"request_id"`
}

// PlaidProduct is a product of the Plaid-compatible layer. The set is open.
type PlaidProduct string

// The products that the layer documents.
const (
	PlaidProductTransactions PlaidProduct = "transactions"
	PlaidProductAuth         PlaidProduct = "auth"
	PlaidProductBalance      PlaidProduct = "balance"
	PlaidProductIdentity     PlaidProduct = "identity"
)

// BankNumbers is the answer of [AuthService.Numbers]: the open accounts, each with its numbers.
type BankNumbers struct {
	Accounts []BankAccountWithNumbers `json:"accounts" wire:"required"`
	Link     BankLink                 `json:"link" wire:"required"`
}

// BankAccountWithNumbers is an account with its numbers, as MoneyKit's native API has it.
type BankAccountWithNumbers struct {
	BankAccount
	Numbers NumbersByScheme `json:"numbers" wire:"required"`
}

// ForAccount returns an account with its numbers, or false if the id is empty or unknown.
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
	Numbers NumbersByScheme `json:"numbers"` // only those of this account
}

// ForAccount returns an account with its numbers, which may be none. It returns false if the id is
// empty or the answer has no such account, for example because it is closed.
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

// having returns the elements that fit, or nil if none fits.
func having[T any](all []T, fits func(T) bool) (found []T) {
	for _, v := range all {
		if fits(v) {
			found = append(found, v)
		}
	}
	return found
}
