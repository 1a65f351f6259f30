package duolink

import (
	"context"
	"slices"

	"github.com/duolink/duolink/internal/wire"
)

// IdentityService reads who owns the accounts of a bank link at MoneyKit. See
// docs.moneykit.com/api, "Identity" and "Links".
type IdentityService struct{ client *Client }

var (
	identityGet     = countedByApp(endpoint(MoneyKit, "identity.get", "GET /links/{bankLinkID}/identity", readOnly))
	identityLink    = countedByApp(endpoint(MoneyKit, "identity.link", "GET /links/{bankLinkID}", readOnly))
	identityRefresh = endpoint(MoneyKit, "identity.refresh", "POST /links/{bankLinkID}/products", notIdempotent)
)

// Get returns the owners of the link's accounts as they were fetched last.
//
// To ask again gives no newer data and exposes personal data once more. Only Refresh brings newer
// data. The vendor allows 3 requests per minute per link.
func (s *IdentityService) Get(
	ctx context.Context, bankLinkID string, query IdentityQuery, opts ...CallOption,
) (*Identity, error) {
	op := identityGet.on(bankLinkID)
	op.query, op.invalid, op.private = query, checkAccountIDs(query.AccountIDs), query.AccountIDs
	return call(ctx, s.client, op, withAccounts[Identity], opts)
}

// Link returns the state of a link and of its products, without personal data.
//
// A link in error is returned with its ErrorCode and no Go error. A deleted link is ErrDeleted, or
// a BankLink in the state [BankLinkDeleted]. The vendor allows 15 requests per minute per link.
func (s *IdentityService) Link(ctx context.Context, bankLinkID string, opts ...CallOption) (*BankLink, error) {
	return call(ctx, s.client, identityLink.on(bankLinkID), readLink, opts)
}

// Refresh asks MoneyKit to fetch products from the bank again. It returns before the data is there:
// BankLink.Products tells when it is.
//
// A refresh may be billed. So the request is sent again only after 429, or if provably nothing was
// sent. Identity and account numbers may be refreshed once per day per link. If the server does not
// show the link, only the ID of the returned link is set. See
// docs.moneykit.com/api/operation/refresh_products.
func (s *IdentityService) Refresh(
	ctx context.Context, bankLinkID string, products []Product, opts ...CallOption,
) (*BankLink, error) {
	op := identityRefresh.on(bankLinkID)
	op.invalid = checkProducts(products)
	for _, p := range products {
		op.items = append(op.items, string(p))
		if !slices.Contains(documentedProducts, p) { // the vendor's own words are no secret
			op.private = append(op.private, string(p))
		}
	}
	op.body = struct {
		Products []Product `json:"products"`
	}{products}
	return call(ctx, s.client, op, func(s *wire.Scanner) (*BankLink, error) {
		return readRefreshed(s, bankLinkID)
	}, opts)
}

func checkProducts(products []Product) error {
	if len(products) == 0 {
		return argumentError("products is empty")
	}
	for i, p := range products {
		if p == "" {
			return argumentError("products[%d] is empty", i)
		}
		if slices.Contains(products[:i], p) {
			return argumentError("products[%d] is there twice", i)
		}
	}
	return nil
}

// IdentityQuery narrows an identity to some accounts.
type IdentityQuery struct {
	AccountIDs []string `url:"account_ids,omitempty"` // none means all
}

func checkAccountIDs(ids []string) error {
	for i, id := range ids {
		if id == "" {
			return argumentError("AccountIDs[%d] is empty", i)
		}
	}
	return nil
}

// Identity says who owns the accounts of a link, closed accounts included.
type Identity struct {
	Accounts []BankAccountWithOwners `json:"accounts" wire:"required"`
	Link     BankLink                `json:"link" wire:"required"`
}

// BankAccountWithOwners is an account with its owners, as MoneyKit's native API has it.
type BankAccountWithOwners struct {
	BankAccount
	Owners []Owner `json:"owners" wire:"required"`
}

// AccountOwner is an owner with the ids of the accounts that list this owner.
type AccountOwner struct {
	Owner
	AccountIDs []string `json:"account_ids"`
}

// Owners returns the owners of all accounts in the order of their first account.
//
// If several accounts list an owner in exactly the same way, there is one AccountOwner. If they
// write the same person differently, there are two: compare all of them with a payee. An account
// without an id is not in AccountIDs.
func (i *Identity) Owners() []AccountOwner {
	var owners []AccountOwner
	seen := map[string]int{}
	for _, a := range i.Accounts {
		for _, o := range a.Owners {
			whole, err := RevealJSON(o)
			at, known := seen[string(whole)]
			if !known || err != nil || len(o.Names) == 0 { // without a name it may be another person
				at = len(owners)
				seen[string(whole)] = at
				owners = append(owners, AccountOwner{Owner: o})
			}
			ids := &owners[at].AccountIDs
			// An account that lists an owner twice is named once.
			if n := len(*ids); a.ID != "" && (n == 0 || (*ids)[n-1] != a.ID) {
				*ids = append(*ids, a.ID)
			}
		}
	}
	return owners
}

// BankAccount is an account of a bank link, as MoneyKit's native API has it.
type BankAccount struct {
	ID         string      `json:"account_id" wire:"required"`
	Type       AccountType `json:"account_type" wire:"required"`
	Name       string      `json:"name" wire:"required"`
	Nickname   string      `json:"nickname"`
	Mask       string      `json:"account_mask"` // not unique, and not always the end of the account number
	Balances   Balances    `json:"balances" wire:"required"`
	OriginalID string      `json:"original_id"`
	Closed     bool        `json:"closed"`
}

// Balances are amounts in Currency. An amount is absent if the bank does not say it. What a
// customer owes is positive.
type Balances struct {
	Currency           string    `json:"currency" also:"iso_currency_code"` // ISO 4217
	UnofficialCurrency string    `json:"unofficial_currency_code"`          // only at Plaid, if there is no ISO code
	Available          Decimal   `json:"available"`
	Current            Decimal   `json:"current"`
	Limit              Decimal   `json:"limit"`
	BalanceDate        Timestamp `json:"balance_date"` // usually a day: see Timestamp.DateOnly
}

// Owner is a person or company that owns an account.
type Owner struct {
	Names        []Sensitive   `json:"names" wire:"required"`
	Addresses    []Address     `json:"addresses" wire:"required"`
	PhoneNumbers []PhoneNumber `json:"phone_numbers" wire:"required"`
	Emails       []Email       `json:"emails" wire:"required"`
}

// Address is a postal address of an owner.
type Address struct {
	Street     Sensitive `json:"street"`
	City       string    `json:"city"`
	Region     string    `json:"region"`
	PostalCode Sensitive `json:"postal_code"`
	Country    string    `json:"country"`
	Primary    bool      `json:"primary"`
}

// PhoneNumber is a phone number of an owner.
type PhoneNumber struct {
	Number  Sensitive `json:"number" wire:"required"`
	Type    PhoneType `json:"type" wire:"required"`
	Primary bool      `json:"primary"`
}

// Email is an e-mail address of an owner.
type Email struct {
	Address Sensitive `json:"address" wire:"required"`
	Primary bool      `json:"primary"`
}

// BankLink is a connection to somebody's bank.
type BankLink struct {
	ID                string            `json:"link_id" wire:"required"`
	InstitutionID     string            `json:"institution_id" wire:"required"` // such as "chase"
	InstitutionName   string            `json:"institution_name" wire:"required"`
	InstitutionAvatar string            `json:"institution_avatar"`
	State             BankLinkState     `json:"state" wire:"required"`
	ErrorCode         BankLinkErrorCode `json:"error_code"`     // what is wrong in the state "error"
	LastSyncedAt      Timestamp         `json:"last_synced_at"` // deprecated by the vendor
	Provider          Provider          `json:"provider"`
	LinkTags          []string          `json:"link_tags"`
	Tags              []string          `json:"tags"` // deprecated by the vendor; old links have these alone
	Webhook           string            `json:"webhook"`
	// Products has an entry for each product that was granted, and none for the others.
	Products          map[Product]ProductStatus `json:"products" wire:"required"`
	AvailableProducts []Product                 `json:"available_products"`
}

// ProductStatus is how fresh the data of a product is. A refresh is done when RefreshedAt is later
// than before. It has failed when LastAttemptedAt is later than before and ErrorCode is set.
type ProductStatus struct {
	RefreshedAt     Timestamp        `json:"refreshed_at"` // absent: never
	LastAttemptedAt Timestamp        `json:"last_attempted_at"`
	ErrorCode       ProductErrorCode `json:"error_code"`
	ErrorMessage    string           `json:"error_message"`
	Unavailable     string           `json:"unavailable"` // why the product is not available now
	HasHistory      bool             `json:"has_history"` // set only for transactions
}

// BankLinkState is the state of a bank link. The set is open.
type BankLinkState string

// The states that the vendor documents.
const (
	BankLinkConnecting            BankLinkState = "connecting"
	BankLinkAwaitingTokenExchange BankLinkState = "awaiting_token_exchange"
	BankLinkConnected             BankLinkState = "connected"
	BankLinkDeleted               BankLinkState = "deleted"
	BankLinkInError               BankLinkState = "error"
	BankLinkDisconnected          BankLinkState = "disconnected" // named only in the vendor's text
)

// BankLinkErrorCode is what is wrong with a bank link. The set is open.
type BankLinkErrorCode string

// The link errors that the vendor documents. The first three pass by themselves.
const (
	BankLinkErrorSystem             BankLinkErrorCode = "system_error"
	BankLinkErrorProvider           BankLinkErrorCode = "provider_error"
	BankLinkErrorInstitution        BankLinkErrorCode = "institution_error"
	BankLinkErrorUser               BankLinkErrorCode = "user_error"
	BankLinkErrorAuthExpired        BankLinkErrorCode = "auth_expired" // the person has to link again
	BankLinkErrorNoAccounts         BankLinkErrorCode = "no_accounts"
	BankLinkErrorUserSetupRequired  BankLinkErrorCode = "user_setup_required"
	BankLinkErrorInvalidCredentials BankLinkErrorCode = "invalid_credentials"
	BankLinkErrorUserOAuthDenied    BankLinkErrorCode = "user_oauth_denied"
	BankLinkErrorUserInputIncorrect BankLinkErrorCode = "user_input_incorrect"
	BankLinkErrorIncomplete         BankLinkErrorCode = "incomplete"
)

// ProductErrorCode is why a product could not be refreshed. The set is open.
type ProductErrorCode string

// The product errors that the vendor documents. The first four pass by themselves.
const (
	ProductErrorRateLimit    ProductErrorCode = "rate_limit"
	ProductErrorTimeout      ProductErrorCode = "timeout"
	ProductErrorInstitution  ProductErrorCode = "institution_error"
	ProductErrorUnknown      ProductErrorCode = "unknown"
	ProductErrorAuthExpired  ProductErrorCode = "auth_expired"
	ProductErrorNotSupported ProductErrorCode = "not_supported"
	ProductErrorNoAccounts   ProductErrorCode = "no_accounts"
	ProductErrorNoPermission ProductErrorCode = "no_permission"
)

// Product is a kind of data that MoneyKit fetches for a link. The set is open.
type Product string

// The products that the vendor documents.
const (
	ProductAccounts       Product = "accounts"
	ProductAccountNumbers Product = "account_numbers"
	ProductIdentity       Product = "identity"
	ProductTransactions   Product = "transactions"
	ProductInvestments    Product = "investments"
	ProductEnrichment     Product = "enrichment"
)

var documentedProducts = []Product{
	ProductAccounts, ProductAccountNumbers, ProductIdentity, ProductTransactions, ProductInvestments, ProductEnrichment,
}

// Provider is the company that fetches the data. The set is open.
type Provider string

// The providers that the vendor documents.
const (
	ProviderMoneyKit Provider = "moneykit"
	ProviderFinicity Provider = "finicity"
	ProviderPlaid    Provider = "plaid"
	ProviderYodlee   Provider = "yodlee"
	ProviderMX       Provider = "mx"
	ProviderAkoya    Provider = "akoya"
)

// PhoneType is what a phone number is for. The set is open.
type PhoneType string

// The phone types that the vendor documents.
const (
	PhoneTypeHome   PhoneType = "home"
	PhoneTypeWork   PhoneType = "work"
	PhoneTypeMobile PhoneType = "mobile"
	PhoneTypeOther  PhoneType = "other"
)

// AccountType is the type of an account. The set is open. MoneyKit's native types have a dot, such
// as "depository.checking", or are one of the older "checking" and "credit_card". Plaid's types are
// the constants below.
type AccountType string

// The account types of the Plaid-compatible layer, and the native "unknown".
const (
	AccountTypeInvestment AccountType = "investment"
	AccountTypeCredit     AccountType = "credit"
	AccountTypeDepository AccountType = "depository"
	AccountTypeLoan       AccountType = "loan"
	AccountTypeBrokerage  AccountType = "brokerage"
	AccountTypeOther      AccountType = "other"
	AccountTypeUnknown    AccountType = "unknown"
)

// readLink reads a link and refuses one without an id. An object without an id may be an error of
// the native API, which shares a member with a link.
func readLink(s *wire.Scanner) (*BankLink, error) { return wire.Bare[BankLink](byTags, s, "link_id") }

// readRefreshed reads the link. An empty answer, null or {} is success, too.
func readRefreshed(s *wire.Scanner, bankLinkID string) (*BankLink, error) {
	if s.Blank() {
		return &BankLink{ID: bankLinkID}, nil
	}
	return readLink(s)
}
