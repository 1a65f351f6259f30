package duolink

// Codes of the Plaid-compatible layer. Nearly all of them come with a 400. See plaid.com/docs/errors.
// Which of Plaid's codes the layer sends is not documented, so all of them are in the table. Those
// with a constant are the ones that a service may want to tell apart.
const (
	// Of the type ITEM_ERROR.
	CodeAccessNotGranted     Code = "ACCESS_NOT_GRANTED"
	CodeItemLocked           Code = "ITEM_LOCKED"
	CodeItemLoginRequired    Code = "ITEM_LOGIN_REQUIRED"
	CodeItemNotFound         Code = "ITEM_NOT_FOUND"
	CodeNoAccounts           Code = "NO_ACCOUNTS"
	CodeNoAuthAccounts       Code = "NO_AUTH_ACCOUNTS"
	CodeProductNotEnabled    Code = "PRODUCT_NOT_ENABLED"
	CodeProductNotReady      Code = "PRODUCT_NOT_READY"
	CodeProductsNotSupported Code = "PRODUCTS_NOT_SUPPORTED"

	// Of the type INSTITUTION_ERROR.
	CodeInstitutionDown          Code = "INSTITUTION_DOWN"
	CodeInstitutionNotAvailable  Code = "INSTITUTION_NOT_AVAILABLE"
	CodeInstitutionNotResponding Code = "INSTITUTION_NOT_RESPONDING"

	// Of the type API_ERROR.
	CodePlannedMaintenance Code = "PLANNED_MAINTENANCE"

	// Of the type INVALID_REQUEST.
	CodeMissingFields          Code = "MISSING_FIELDS"
	CodeInvalidField           Code = "INVALID_FIELD"
	CodeIncompatibleAPIVersion Code = "INCOMPATIBLE_API_VERSION"
	CodeInvalidBody            Code = "INVALID_BODY"

	// Of the type INVALID_INPUT.
	CodeAdditionalConsentRequired Code = "ADDITIONAL_CONSENT_REQUIRED"
	CodeInvalidAccountID          Code = "INVALID_ACCOUNT_ID"
	CodeInvalidAPIKeys            Code = "INVALID_API_KEYS"
	CodeUnauthorizedEnvironment   Code = "UNAUTHORIZED_ENVIRONMENT"
	CodeUserPermissionRevoked     Code = "USER_PERMISSION_REVOKED"

	// Of the type RATE_LIMIT_EXCEEDED.
	CodeAccountsLimit        Code = "ACCOUNTS_LIMIT"
	CodeAuthLimit            Code = "AUTH_LIMIT"
	CodeCreditsExhausted     Code = "CREDITS_EXHAUSTED"
	CodeInstitutionRateLimit Code = "INSTITUTION_RATE_LIMIT"
	CodeRateLimit            Code = "RATE_LIMIT"
)

// PlaidErrorType is the family of a Plaid error code. The set is open.
type PlaidErrorType string

// The families that the Plaid-compatible layer documents.
const (
	PlaidErrorTypeInvalidInput      PlaidErrorType = "INVALID_INPUT"
	PlaidErrorTypeInvalidRequest    PlaidErrorType = "INVALID_REQUEST"
	PlaidErrorTypeItemError         PlaidErrorType = "ITEM_ERROR"
	PlaidErrorTypeRateLimitExceeded PlaidErrorType = "RATE_LIMIT_EXCEEDED"
	PlaidErrorTypeAPIError          PlaidErrorType = "API_ERROR"
	PlaidErrorTypeInstitutionError  PlaidErrorType = "INSTITUTION_ERROR"
	PlaidErrorTypeOAuthError        PlaidErrorType = "OAUTH_ERROR"
)

// kind is the kind of a code of this type that nobody knows.
func (t PlaidErrorType) kind() error {
	for known, kind := range plaidTypeKinds {
		if same(t, known) {
			return kind
		}
	}
	return nil
}

// plaidTypeKinds has the kind of a Plaid code that is not in plaidCodes.
var plaidTypeKinds = map[PlaidErrorType]error{
	PlaidErrorTypeInvalidInput:      ErrBadRequest,
	PlaidErrorTypeInvalidRequest:    ErrBadRequest,
	PlaidErrorTypeItemError:         ErrBankLinkState,
	PlaidErrorTypeRateLimitExceeded: ErrRateLimited,
	PlaidErrorTypeAPIError:          ErrServer,
	PlaidErrorTypeInstitutionError:  ErrServer,
}

// plaidCodes says all that is known of each of Plaid's codes, as documentedCodes does of the others.
var plaidCodes = map[Code]documentedCode{
	// Of the type ITEM_ERROR.
	CodeAccessNotGranted: {ErrForbidden, ActionAskPermission, "the user did not permit this data"},
	"INSTANT_MATCH_FAILED": {
		ErrBankLinkState, ActionReauthenticate, "the credentials did not match at once",
	},
	"INSUFFICIENT_CREDENTIALS": {
		ErrBankLinkState, ActionReauthenticate, "the user gave fewer credentials than the bank asks for",
	},
	"INVALID_CREDENTIALS": {
		ErrBankLinkState, ActionReauthenticate, "the user's credentials at the bank are wrong",
	},
	"INVALID_MFA":          {ErrBankLinkState, ActionReauthenticate, "the user's second factor is wrong"},
	"INVALID_OTP":          {ErrBankLinkState, ActionReauthenticate, "the user's one-time password is wrong"},
	"INVALID_PHONE_NUMBER": {ErrBankLinkState, ActionReauthenticate, "the user's phone number is wrong"},
	"INVALID_SEND_METHOD": {
		ErrBankLinkState, ActionReauthenticate, "the second factor cannot be sent in this way",
	},
	"INVALID_UPDATED_USERNAME": {
		ErrBankLinkState, ActionReauthenticate, "the user's new username is of another person",
	},
	"ITEM_CONCURRENTLY_DELETED": {ErrDeleted, byKind, "the item was deleted while the call ran"},
	CodeItemLocked: {
		ErrBankLinkState, ActionReauthenticate, "the bank has locked the account: the user unlocks it there",
	},
	CodeItemLoginRequired: {ErrBankLinkState, ActionReauthenticate, "the user has to authenticate again"},
	CodeItemNotFound:      {ErrNotFound, ActionRecreate, "there is no such item"},
	"ITEM_NOT_SUPPORTED": {
		ErrBankLinkState, ActionRecreate, "the bank does not support this kind of account",
	},
	"MANUAL_VERIFICATION_REQUIRED": {
		ErrBankLinkState, ActionReauthenticate, "the user has to confirm the account by hand",
	},
	"MFA_NOT_SUPPORTED": {
		ErrBankLinkState, ActionRecreate, "the second factor of this account is not supported",
	},
	CodeNoAccounts:           {ErrBankLinkState, ActionRecreate, "the item has no open accounts"},
	CodeNoAuthAccounts:       {ErrBankLinkState, ActionRecreate, "no account of the item has numbers"},
	"NO_INVESTMENT_ACCOUNTS": {ErrBankLinkState, ActionRecreate, "the item has no investment accounts"},
	"NO_INVESTMENT_AUTH_ACCOUNTS": {
		ErrBankLinkState, ActionRecreate, "no investment account of the item has numbers",
	},
	"NO_LIABILITY_ACCOUNTS": {ErrBankLinkState, ActionRecreate, "the item has no credit accounts or loans"},
	"PASSWORD_RESET_REQUIRED": {
		ErrBankLinkState, ActionReauthenticate, "the user has to change the password at the bank",
	},
	CodeProductNotEnabled: {ErrBankLinkState, ActionRecreate, "the item was made without this product"},
	CodeProductNotReady:   {ErrBankLinkState, ActionRetry, "the data is still being fetched"},
	CodeProductsNotSupported: {
		ErrBankLinkState, ActionRecreate, "the institution does not have the product",
	},
	"USER_INPUT_TIMEOUT": {ErrBankLinkState, ActionReauthenticate, "the user did not answer in time"},
	"USER_SETUP_REQUIRED": {
		ErrBankLinkState, ActionReauthenticate, "the user has to do something at the bank first",
	},

	// Of the type INSTITUTION_ERROR.
	CodeInstitutionDown: {ErrServer, byKind, "the bank cannot be reached for some hours"},
	"INSTITUTION_NO_LONGER_SUPPORTED": {
		ErrBankLinkState, ActionRecreate, "the bank is not supported any more",
	},
	CodeInstitutionNotAvailable: {ErrServer, byKind, "the bank cannot be reached"},
	"INSTITUTION_NOT_ENABLED_IN_ENVIRONMENT": {
		ErrBadRequest, byKind, "this environment does not have the bank",
	},
	CodeInstitutionNotResponding: {ErrServer, byKind, "the bank does not answer"},
	"INSTITUTION_REGISTRATION_REQUIRED": {
		ErrForbidden, ActionContactSupport, "the bank asks for a registration first",
	},
	"UNAUTHORIZED_INSTITUTION": {ErrForbidden, ActionContactSupport, "the client may not use this bank"},
	"UNSUPPORTED_RESPONSE":     {ErrServer, ActionContactSupport, "the bank's answer cannot be read"},

	// Of the type API_ERROR.
	CodeInternalServerError: {ErrServer, byKind, "the server failed"},
	CodePlannedMaintenance:  {ErrServer, byKind, "the server is down for maintenance"},

	// Of the type INVALID_REQUEST.
	CodeMissingFields:          {ErrBadRequest, byKind, "a required field is missing"},
	"UNKNOWN_FIELDS":           {ErrBadRequest, byKind, "there is a field that the API does not know"},
	CodeInvalidField:           {ErrBadRequest, byKind, "a field has a value that it cannot have"},
	"INVALID_CONFIGURATION":    {ErrBadRequest, byKind, "the set-up of the client does not allow this"},
	CodeIncompatibleAPIVersion: {ErrBadRequest, byKind, "this version of the API does not have the request"},
	CodeInvalidBody:            {ErrBadRequest, byKind, "the body is not the JSON that is expected"},
	"INVALID_HEADERS":          {ErrBadRequest, byKind, "a header is missing or wrong"},
	CodeNotFound:               {ErrNotFound, byKind, "there is no such endpoint"},
	"NO_LONGER_AVAILABLE":      {ErrNotFound, byKind, "the endpoint does not exist any more"},
	"SANDBOX_ONLY":             {ErrBadRequest, byKind, "the request is for the sandbox alone"},
	"INVALID_ACCOUNT_NUMBER":   {ErrBadRequest, byKind, "the account number is wrong"},

	// Of the type INVALID_INPUT.
	CodeAdditionalConsentRequired: {
		ErrForbidden, ActionAskPermission, "the user has not agreed to this product yet",
	},
	"DIRECT_INTEGRATION_NOT_ENABLED": {
		ErrForbidden, ActionContactSupport, "the client may not use this integration",
	},
	"INCORRECT_DEPOSIT_VERIFICATION": {ErrBadRequest, byKind, "the amounts of the deposits are wrong"},
	CodeInvalidAccessToken: {
		ErrUnauthorized, ActionFixRequest, "no item of yours has the access token: is it another argument?",
	},
	CodeInvalidAccountID:                  {ErrBadRequest, byKind, "the item has no such account"},
	CodeInvalidAPIKeys:                    {ErrUnauthorized, byKind, "the client id or the secret is wrong"},
	"INVALID_INSTITUTION":                 {ErrBadRequest, byKind, "there is no such bank"},
	"INVALID_LINK_CUSTOMIZATION":          {ErrBadRequest, byKind, "there is no such customization"},
	"INVALID_LINK_TOKEN":                  {ErrBadRequest, byKind, "the link token is wrong or has expired"},
	"INVALID_PROCESSOR_TOKEN":             {ErrBadRequest, byKind, "the processor token is wrong"},
	"INVALID_PRODUCT":                     {ErrBadRequest, byKind, "the client does not have this product"},
	"INVALID_PUBLIC_TOKEN":                {ErrBadRequest, byKind, "the public token is wrong or has expired"},
	"INVALID_STRIPE_ACCOUNT":              {ErrBadRequest, byKind, "the Stripe account is wrong"},
	"INVALID_USER_ID":                     {ErrBadRequest, byKind, "there is no such user"},
	"INVALID_USER_TOKEN":                  {ErrBadRequest, byKind, "the user token is wrong"},
	"INVALID_WEBHOOK_VERIFICATION_KEY_ID": {ErrBadRequest, byKind, "there is no such key"},
	"PROFILE_AUTHENTICATION_FAILED":       {ErrBadRequest, byKind, "the user's profile could not be confirmed"},
	"TOO_MANY_VERIFICATION_ATTEMPTS": {
		ErrBankLinkState, ActionRecreate, "the item is locked after too many attempts",
	},
	CodeUnauthorizedEnvironment: {
		ErrUnauthorized, ActionContactSupport, "the client may not use this environment",
	},
	"UNAUTHORIZED_ROUTE_ACCESS": {
		ErrForbidden, ActionContactSupport, "the client may not use this endpoint",
	},
	CodeUserPermissionRevoked: {ErrBankLinkState, ActionRecreate, "the user has taken the permission back"},

	// Of the type USER_ERROR and INVALID_RESULT.
	"INVALID_USER_IDENTITY_DATA": {ErrValidation, byKind, "the user's data is not acceptable"},
	"PLAID_DIRECT_ITEM_IMPORT_RETURNED_INVALID_MFA": {
		ErrBankLinkState, ActionReauthenticate, "the user's second factor is wrong",
	},

	// Of the type RATE_LIMIT_EXCEEDED.
	CodeAccountsLimit:            {ErrRateLimited, byKind, "too many requests for accounts"},
	"ACCOUNTS_BALANCE_GET_LIMIT": {ErrRateLimited, byKind, "too many requests for balances"},
	CodeAuthLimit:                {ErrRateLimited, byKind, "too many requests for account numbers"},
	"BALANCE_LIMIT":              {ErrRateLimited, byKind, "too many requests for balances"},
	CodeCreditsExhausted: {
		ErrRateLimited, ActionContactSupport, "the client has used up its credits, and waiting gives no new ones",
	},
	"IDENTITY_LIMIT":         {ErrRateLimited, byKind, "too many requests for identities"},
	CodeInstitutionRateLimit: {ErrRateLimited, byKind, "too many requests to this bank"},
	"ITEM_GET_LIMIT":         {ErrRateLimited, byKind, "too many requests for items"},
	CodeRateLimit:            {ErrRateLimited, byKind, "too many requests"},
	"TRANSACTIONS_LIMIT":     {ErrRateLimited, byKind, "too many requests for transactions"},

	// Of the type RECAPTCHA_ERROR.
	"RECAPTCHA_REQUIRED": {
		ErrBankLinkState, ActionReauthenticate, "the user has to prove not to be a robot",
	},
	"RECAPTCHA_BAD": {ErrBankLinkState, ActionReauthenticate, "the user could not prove not to be a robot"},

	// Of the type OAUTH_ERROR.
	"INCORRECT_OAUTH_NONCE":            {ErrBadRequest, byKind, "the nonce of the redirect is wrong"},
	"INCORRECT_LINK_TOKEN":             {ErrBadRequest, byKind, "the link token of the redirect is wrong"},
	"OAUTH_STATE_ID_ALREADY_PROCESSED": {ErrBadRequest, byKind, "the state of the redirect was used before"},
	"OAUTH_STATE_ID_NOT_FOUND":         {ErrNotFound, byKind, "the state of the redirect is not known"},
}
