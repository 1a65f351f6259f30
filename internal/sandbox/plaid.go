package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

var plaid = vendor{
	fail: failPlaid,
	// The body may have the credentials: see authGet.
	admit:    func(*Sandbox, *call) (answer, bool) { return answer{}, true },
	badQuery: func(c *call, err error) answer { return c.invalidRequest("INVALID_FIELD", err.Error()) },
	routes:   []route{{"auth.get", "POST", "/auth/get", nil, mediaJSON, (*Sandbox).authGet}},
}

const placeholder = "<string>"

// plaidError is an error in the Plaid shape.
func (c *call) plaidError(status int, kind, code, message string) answer {
	return reply(status, struct {
		Type    string  `json:"error_type"`
		Code    string  `json:"error_code"`
		Message string  `json:"error_message"`
		Display *string `json:"display_message"`
		ID      string  `json:"request_id"`
		URL     string  `json:"documentation_url"`
		Action  *string `json:"suggested_action"`
	}{Type: kind, Code: code, Message: message, ID: c.requestID, URL: docsURL})
}

func (c *call) invalidInput(code, message string) answer {
	return c.plaidError(http.StatusBadRequest, "INVALID_INPUT", code, message)
}

func (c *call) invalidRequest(code, message string) answer {
	return c.plaidError(http.StatusBadRequest, "INVALID_REQUEST", code, message)
}

func failPlaid(c *call, status int) answer {
	if status == http.StatusTooManyRequests {
		return c.plaidError(status, "RATE_LIMIT_EXCEEDED", "AUTH_LIMIT", "Too many requests")
	}
	return framework(c, status)
}

type authRequest struct {
	clientID, secret string
	accessToken      *string
	accountIDs       []string // nil: all
}

func (s *Sandbox) authGet(c *call) answer {
	in, refusal, ok := c.authRequest()
	if !ok {
		return refusal
	}
	if !s.plaidClient(c, in) {
		return c.invalidInput("INVALID_API_KEYS", "The client id or the secret is not valid")
	}
	if in.accessToken == nil {
		return c.invalidRequest("MISSING_FIELDS", "access_token is required")
	}
	l := s.byAccessToken(*in.accessToken)
	if l == nil {
		return c.invalidInput("INVALID_ACCESS_TOKEN", "The access token is not valid")
	}
	if wait, ok := s.spend(
		c.now,
		window{"auth.get " + l.id, 15, time.Minute},
		window{"auth.get", 12_000, time.Minute},
	); !ok {
		return c.tooMany(wait)
	}
	if code := l.itemError(); code != "" {
		return c.plaidError(http.StatusBadRequest, "ITEM_ERROR", code, "The item cannot be used as it is")
	}
	return s.authAnswer(c, l, in)
}

// authRequest reads the body. A body that is not a JSON object is another error than a member of
// the wrong type.
func (c *call) authRequest() (in authRequest, refusal answer, ok bool) {
	object, err := decode(c.body, "client_id", "secret", "access_token", "options")
	if c.bodyProblem() != "" || errors.Is(err, errNoObject) {
		return in, c.invalidRequest("INVALID_BODY", "The body is not a JSON object"), false
	}
	errs := [5]error{err}
	in.clientID, errs[1] = object.text("client_id", maxBody)
	in.secret, errs[2] = object.text("secret", maxBody)
	in.accessToken, errs[3] = object.accessToken()
	in.accountIDs, errs[4] = object.accountIDs()
	if err := first(errs[:]); err != nil {
		return in, c.invalidRequest("INVALID_FIELD", err.Error()), false
	}
	return in, answer{}, true
}

// accessToken is nil if there is none.
func (m members) accessToken() (token *string, err error) {
	if raw, ok := m["access_token"]; ok && json.Unmarshal(raw, &token) != nil {
		return nil, errors.New("access_token must be a text")
	}
	return token, nil
}

// accountIDs are those of the options, or nil.
func (m members) accountIDs() (ids []string, err error) {
	raw, ok := m["options"]
	if !ok {
		return nil, nil
	}
	options, err := decode(raw, "account_ids")
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	if json.Unmarshal(options["account_ids"], &ids) != nil || len(ids) == 0 {
		return nil, errors.New("options must have account_ids, a list of texts, or be left out")
	}
	return ids, nil
}

// plaidClient reads the credentials from the headers, and missing ones from the body.
func (s *Sandbox) plaidClient(c *call, in authRequest) bool {
	id, secret := c.Header.Get("PLAID-CLIENT-ID"), c.Header.Get("PLAID-SECRET")
	if id == "" {
		id = in.clientID
	}
	if secret == "" {
		secret = in.secret
	}
	okID := id == ClientID || s.config.placeholders && (id == "<api-key>" || id == placeholder)
	okSecret := secret == ClientSecret || s.config.placeholders && secret == placeholder
	return okID && okSecret
}

func (s *Sandbox) byAccessToken(token string) *bankLink {
	if s.config.placeholders && token == placeholder {
		token = AccessToken
	}
	for _, l := range s.bankLinks {
		if token != "" && l.accessToken == token && l.state != "deleted" && !l.foreign {
			return l
		}
	}
	return nil
}

// itemError is the link's error in Plaid's words.
func (l *bankLink) itemError() string {
	switch {
	case l.state == "connected" && l.products["account_numbers"] == nil:
		return "ACCESS_NOT_GRANTED"
	case l.state == "connected":
		return ""
	case l.state != "error":
		return "PRODUCT_NOT_READY"
	case l.errorCode == "no_accounts":
		return "NO_ACCOUNTS"
	}
	return "ITEM_LOGIN_REQUIRED"
}

type plaidAccount struct {
	ID       string        `json:"account_id"`
	Balances plaidBalances `json:"balances"`
	Mask     *string       `json:"mask"`
	Name     string        `json:"name"`
	Type     string        `json:"type"`
	Subtype  any           `json:"subtype"`
}

type plaidBalances struct {
	Available *json.Number `json:"available"`
	Current   *json.Number `json:"current"`
	Limit     *json.Number `json:"limit"`
	Currency  *string      `json:"iso_currency_code"`
}

func (s *Sandbox) authAnswer(c *call, l *bankLink, in authRequest) answer {
	accounts, ok := s.authAccounts(l, in)
	if !ok {
		return c.invalidInput("INVALID_ACCOUNT_ID", "An account id is not one of the item's")
	}
	list, lists := []plaidAccount{}, map[string][]obj{"ach": {}, "eft": {}, "bacs": {}, "international": {}}
	for _, a := range accounts {
		list = append(list, a.plaid())
		a.plaidNumbers(lists)
	}
	return reply(http.StatusOK, struct {
		Accounts []plaidAccount   `json:"accounts"`
		Numbers  map[string][]obj `json:"numbers"`
		Item     obj              `json:"item"`
		ID       string           `json:"request_id"`
	}{list, lists, l.item(), c.requestID})
}

// authAccounts returns the accounts that have numbers. It returns false if the request asks for
// another account.
func (s *Sandbox) authAccounts(l *bankLink, in authRequest) ([]bankAccount, bool) {
	var all, picked []bankAccount
	for _, a := range l.accounts {
		if !a.Closed && a.Numbers != nil {
			all = append(all, a)
		}
	}
	if in.accountIDs == nil {
		return all, true
	}
	for _, id := range in.accountIDs {
		if s.config.placeholders && id == placeholder {
			return all, true
		}
		i := slices.IndexFunc(all, func(a bankAccount) bool { return a.ID == id })
		if i < 0 {
			return nil, false
		}
		picked = append(picked, all[i])
	}
	return picked, true
}

func (a bankAccount) plaid() plaidAccount {
	kind, subtype, _ := strings.Cut(a.Type, ".")
	b := a.Balances
	return plaidAccount{
		ID: a.ID, Mask: a.Mask, Name: a.Name, Type: kind, Subtype: orNull(strings.ReplaceAll(subtype, "_", " ")),
		Balances: plaidBalances{b.Available, b.Current, b.Limit, b.Currency},
	}
}

// plaidNumbers adds the account's numbers. Plaid has one list for each kind of number.
func (a bankAccount) plaidNumbers(lists map[string][]obj) {
	add := func(kind string, o obj) {
		o["account_id"] = a.ID
		lists[kind] = append(lists[kind], o)
	}
	for _, n := range a.Numbers.ACH {
		add("ach", obj{"account": n.Account, "routing": n.Routing, "wire_routing": n.WireRouting})
	}
	for _, n := range a.Numbers.EFT {
		add("eft", obj{"account": n.Account, "institution": n.Institution, "branch": n.Branch})
	}
	for _, n := range a.Numbers.BACS {
		add("bacs", obj{"account": n.Account, "sort_code": n.SortCode})
	}
	for _, n := range a.Numbers.International {
		add("international", obj{"iban": n.IBAN, "bic": n.BIC})
	}
}

func (l *bankLink) item() obj {
	return obj{
		"item_id": l.id, "institution_id": l.institutionID, "webhook": nil, "error": nil,
		"available_products": []string{"balance", "identity"}, "billed_products": []string{"auth"},
		"products": []string{"auth"}, "consented_products": nil,
	}
}
