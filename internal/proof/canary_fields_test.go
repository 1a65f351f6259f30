package proof

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/stretchr/testify/require"
)

// canaryPlain are the text fields of exported types that print as they are, by type. A text that is
// in neither this list nor behind a Sensitive or a Secret is one that nobody has thought about:
// decide what it is, and write it down here if it tells nothing of a person and opens nothing.
var canaryPlain = map[string]string{
	// What the caller hands in, and prints himself if he will; nothing of the client's prints it.
	"AccountsQuery":   "DataSourceID Users",
	"AuthQuery":       "AccountIDs",
	"IdentityQuery":   "AccountIDs",
	"LoginLinkCreate": "DataSourceID Description Expires RedirectURL RequireUsername",
	"LoginLinkUpdate": "Description Marker",
	"RefreshOptions":  "AccountIDs",

	// Ids, names of companies and of their products, states, and what a number says without its
	// account.
	"Account":             "Group ID Name",
	"Address":             "City Country Region",
	"PlaidAccount":        "ID Mask Name OfficialName PersistentAccountID Subtype Type VerificationStatus",
	"AccountOwner":        "AccountIDs",
	"PlaidNumbers":        "RequestID",
	"RefreshProgress":     "Product",
	"BACSNumber":          "AccountID SortCode",
	"ACHNumber":           "AccountID CanTransferIn CanTransferOut RoutingNumber Tokenized WireRoutingNumber",
	"EFTNumber":           "AccountID BranchNumber InstitutionNumber",
	"InternationalNumber": "AccountID BIC",
	"Balances":            "Available Currency Current Limit UnofficialCurrency",
	"BankAccount":         "ID Mask Name Nickname OriginalID Type",
	"BankLink": "AvailableProducts ErrorCode ID InstitutionAvatar InstitutionID InstitutionName " +
		"LinkTags Products Provider State Tags Webhook",
	"DataSource": "ID Name",
	"Item": "AuthMethod AvailableProducts BilledProducts ConsentedProducts ID InstitutionID InstitutionName " +
		"Products UpdateType Webhook",
	"ItemError":      "Code DisplayMessage DocumentationURL Message RequestID SuggestedAction Type",
	"ItemErrorCause": "Code DisplayMessage ItemID Message RequestID Type",
	"Login":          "AdditionalScopes DefaultScopes ID Type",
	"LoginLink":      "DataSourceID DataSourceName Description ID LoginID RedirectURL Status UserID",
	"PhoneNumber":    "Type",
	"ProductStatus":  "ErrorCode ErrorMessage Unavailable",
	"User":           "ID",

	// What may be logged.
	"Abandoned": "API Operation",
	"Attempt":   "API Code Failure Host Method Operation RequestID Route",
	"Call":      "API Code Failure Method Operation Outcome Route",
	"Cooldown":  "API Operation Route",
	"Drift":     "API Kind Operation Path Route",
	"Error": "API BankLinkErrorCode Code Description DisplayMessage DocumentationURL Message Operation " +
		"Outcome PlaidType ProductErrorCode RequestID SuggestedAction",
	"FieldError":   "Location Message Type",
	"Response":     "RequestID",
	"TokenRenewal": "API Code Failure",
	"Wait":         "API Operation Reason Route",
}

func TestCanaryKnowsEveryField(t *testing.T) {
	found := map[string]string{}
	for typ := range canaryTypes() {
		var texts []string
		for f := range typ.Fields() {
			if f.IsExported() && !f.Anonymous && holdsText(f.Type) {
				texts = append(texts, f.Name)
			}
		}
		slices.Sort(texts)
		if len(texts) > 0 {
			found[typ.Name()] = strings.Join(texts, " ")
		}
	}
	require.Equal(t, canaryPlain, found)

	// The check notices a text that is not written down, and none that is hidden.
	for _, v := range []any{"", duolink.LoginLinkOpen, [1]string{}} {
		require.True(t, holdsText(reflect.TypeOf(v)), "%T", v)
	}
	for _, v := range []any{duolink.Sensitive{}, duolink.Secret{}, duolink.Timestamp{}, duolink.Attempt{}, true} {
		require.False(t, holdsText(reflect.TypeOf(v)), "%T", v)
	}
	require.True(t, holdsText(reflect.TypeFor[map[duolink.Product]duolink.ProductStatus]()))
	require.False(t, holdsText(reflect.TypeFor[[]duolink.Sensitive]()))
}

// holdsText reports whether a field is a text, or a list or map of them, that prints.
func holdsText(typ reflect.Type) bool {
	switch typ.Kind() {
	case reflect.String:
		return true
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return typ.Elem().Kind() == reflect.Uint8 || holdsText(typ.Elem())
	case reflect.Map:
		return holdsText(typ.Key()) || holdsText(typ.Elem())
	case reflect.Interface:
		return typ != reflect.TypeFor[error]() && typ != reflect.TypeFor[context.Context]()
	}
	return false
}

// canaryTypes are all structs of this package that a method of a service takes or returns, a hook
// is told or a call fills in, with those inside them.
func canaryTypes() map[reflect.Type]bool {
	all := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(typ.Elem())
		case reflect.Map:
			walk(typ.Key())
			walk(typ.Elem())
		case reflect.Func:
			for in := range typ.Ins() {
				walk(in)
			}
			for out := range typ.Outs() {
				walk(out)
			}
		case reflect.Struct:
			if typ.PkgPath() != reflect.TypeFor[duolink.Client]().PkgPath() || leaf(typ) || all[typ] {
				return
			}
			all[typ] = true
			for m := range reflect.PointerTo(typ).Methods() { // what is made of an answer
				for out := range m.Type.Outs() {
					walk(out)
				}
			}
			for f := range typ.Fields() {
				if f.IsExported() {
					walk(f.Type)
				}
			}
		}
	}
	for service := range reflect.TypeFor[duolink.Client]().Fields() {
		if !service.IsExported() {
			continue
		}
		for m := range service.Type.Methods() {
			for i := 1; i < m.Type.NumIn(); i++ { // not the service itself
				if m.Type.In(i) != reflect.TypeFor[[]duolink.CallOption]() {
					walk(m.Type.In(i))
				}
			}
			for out := range m.Type.Outs() {
				walk(out)
			}
		}
	}
	walk(reflect.TypeFor[duolink.Hooks]())
	walk(reflect.TypeFor[duolink.Error]())
	walk(reflect.TypeFor[duolink.Response]())
	return all
}

// leaf is a type that is looked at as a whole.
func leaf(typ reflect.Type) bool {
	return typ == reflect.TypeFor[duolink.Timestamp]() || typ == reflect.TypeFor[duolink.Sensitive]() ||
		typ == reflect.TypeFor[duolink.Secret]()
}
