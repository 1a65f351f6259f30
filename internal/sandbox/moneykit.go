package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

var moneykit = vendor{
	fail:     failMoneyKit,
	admit:    admitMoneyKit,
	badQuery: func(_ *call, err error) answer { return badInput(err, "query") },
	routes: []route{
		{"auth.token", "POST", "/auth/token", nil, mediaForm, (*Sandbox).issue},
		{"identity.link", "GET", "/links/{id}", nil, "", (*Sandbox).showLink},
		{"identity.get", "GET", "/links/{id}/identity", []string{"account_ids"}, "", (*Sandbox).showIdentity},
		{"auth.numbers", "GET", "/links/{id}/accounts/numbers", nil, "", (*Sandbox).showNumbers},
		{"identity.refresh", "POST", "/links/{id}/products", nil, mediaJSON, (*Sandbox).refresh},
	},
}

const moneyKitVersion = "2023-02-18"

// nativeError is MoneyKit's own shape of an error.
type nativeError struct {
	Code             string `json:"error_code"`
	Message          string `json:"error_message"`
	LinkCode         string `json:"link_error_code,omitempty"`
	ValidationErrors []obj  `json:"validation_errors,omitempty"`
	DocumentationURL string `json:"documentation_url"`
}

func native(status int, code, message string) answer {
	return reply(status, nativeError{Code: code, Message: message, DocumentationURL: docsURL})
}

const docsURL = "https://docs.moneykit.com/"

func unauthorized(status int, message string) answer {
	return native(status, "api_error.auth.unauthorized", message)
}

func validation(kind, message string, location ...any) answer {
	return reply(http.StatusUnprocessableEntity, nativeError{
		Code:             "api_error.request.validation_failed",
		Message:          "The request is not valid",
		DocumentationURL: docsURL,
		ValidationErrors: []obj{{"location": location, "message": message, "type": kind}},
	})
}

// badInput refuses a part of a request that has what no page documents.
func badInput(err error, part string) answer {
	if name, ok := errors.AsType[unknownName](err); ok {
		return validation("value_error.extra", err.Error(), part, string(name))
	}
	if errors.Is(err, errNoObject) {
		return validation("value_error.jsondecode", err.Error(), part)
	}
	return validation("value_error", err.Error(), part)
}

func failMoneyKit(c *call, status int) answer {
	if status == http.StatusTooManyRequests {
		return native(status, "api_error.rate_limit_exceeded", "Too many requests")
	}
	return framework(c, status)
}

// framework is the web framework's own answer to a path that does not exist.
func framework(c *call, status int) answer {
	if status == http.StatusMethodNotAllowed {
		c.header.Set("Allow", c.allowed())
	}
	text := map[int]string{http.StatusNotFound: "Not Found", http.StatusMethodNotAllowed: "Method Not Allowed"}[status]
	return reply(status, obj{"detail": text})
}

// admitMoneyKit checks the version, the credentials and the form of the body. Without a version the
// server takes its default.
func admitMoneyKit(s *Sandbox, c *call) (answer, bool) {
	if version := c.Header.Get("MoneyKit-Version"); version != "" && version != moneyKitVersion {
		return validation("value_error", "The version must be "+moneyKitVersion, "header", "MoneyKit-Version"), false
	}
	if c.route.operation == "auth.token" {
		return answer{}, true // the exchange checks its credentials itself
	}
	if refusal, ok := s.checkClient(c); !ok {
		return refusal, false
	}
	if problem := c.bodyProblem(); problem != "" {
		return validation("value_error", problem, "body"), false
	}
	return answer{}, true
}

// checkClient accepts the header pair or a token, never both.
func (s *Sandbox) checkClient(c *call) (answer, bool) {
	id, secret := c.Header.Get("X-Client-Id"), c.Header.Get("X-Client-Secret")
	token, bearer := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	expiry, known := s.tokens[token]
	switch {
	case c.Header.Get("Authorization") != "" && id+secret != "":
		return unauthorized(http.StatusUnauthorized, "Send a token or client credentials, not both"), false
	case id == ClientID && secret == ClientSecret:
		return answer{}, true
	case !bearer || !known:
		return unauthorized(http.StatusUnauthorized, "The credentials are missing or not valid"), false
	case !c.now.Before(expiry):
		return native(
			http.StatusUnauthorized,
			"api_error.auth.expired_access_token",
			"The access token has expired",
		), false
	}
	return answer{}, true
}

// issue exchanges the client's credentials for a token.
func (s *Sandbox) issue(c *call) answer {
	form, err := url.ParseQuery(string(c.body))
	if err != nil || c.bodyProblem() != "" || form.Get("grant_type") != "client_credentials" {
		return unauthorized(http.StatusBadRequest, "The grant is not valid: client_credentials is, as a form")
	}
	if err := only(form, "grant_type", "client_id", "client_secret", "scope"); err != nil {
		return badInput(err, "body")
	}
	if form.Has("scope") && form.Get("scope") == "" {
		return validation("value_error", "The scope must be left out when there is none", "body", "scope")
	}
	if form.Get("client_id") != ClientID || form.Get("client_secret") != ClientSecret {
		return unauthorized(http.StatusUnauthorized, "The client credentials are not valid")
	}
	if wait, ok := s.spend(c.now, window{"tokens", 300, time.Minute}); !ok {
		return c.tooMany(wait)
	}
	s.issued++
	return reply(http.StatusCreated, struct {
		Token   string  `json:"access_token"`
		Type    string  `json:"token_type"`
		Expires float64 `json:"expires_in"`
	}{s.newToken(c.now), "bearer", s.config.tokenLife.Seconds()})
}

func (s *Sandbox) newToken(now time.Time) string {
	token := "mk_token_sandbox_" + s.text(32)
	s.tokens[token] = now.Add(s.config.tokenLife)
	return token
}

// spend counts a request against MoneyKit's limits, if they are on.
func (s *Sandbox) spend(now time.Time, windows ...window) (time.Duration, bool) {
	if !s.config.moneyKitLimits {
		return 0, true
	}
	return s.limits.take(now, windows...)
}

// spendMinute counts a request against the limits per minute of its link and of the client.
func (s *Sandbox) spendMinute(c *call, perLink, perApp int) (time.Duration, bool) {
	if perLink == 0 {
		return 0, true
	}
	name := c.operation()
	return s.spend(c.now, window{name + " " + c.id, perLink, time.Minute}, window{name, perApp, time.Minute})
}

// reach finds the link of the path, counts the request, and refuses links that the client cannot
// see at all.
func (s *Sandbox) reach(c *call, perLink, perApp int) (*bankLink, answer, bool) {
	l := s.bankLinks[c.id]
	switch {
	case l == nil:
		return nil, native(http.StatusNotFound, "link_error.not_found", "The link was not found"), false
	case l.foreign:
		return nil, native(
			http.StatusUnauthorized,
			"link_error.unauthorized_access",
			"The link belongs to another client",
		), false
	}
	if wait, ok := s.spendMinute(c, perLink, perApp); !ok {
		return nil, c.tooMany(wait), false
	}
	if l.state == "deleted" {
		return nil, native(http.StatusGone, "link_error.deleted", "The link has been deleted"), false
	}
	l.settle(c.now)
	return l, answer{}, true
}

// usable refuses a link whose state is bad, or whose data the person did not permit.
func (l *bankLink) usable(products ...string) (answer, bool) {
	if l.state != "connected" {
		return reply(http.StatusUnprocessableEntity, nativeError{
			Code:             "link_error.bad_state",
			Message:          "The link is not connected",
			LinkCode:         l.errorCode,
			DocumentationURL: docsURL,
		}), false
	}
	for _, name := range products {
		if l.products[name] == nil {
			return native(http.StatusForbidden, "link_error.forbidden_action", "The user did not permit this"), false
		}
	}
	return answer{}, true
}

func (s *Sandbox) showLink(c *call) answer {
	l, refusal, ok := s.reach(c, 15, 1000)
	if !ok {
		return refusal
	}
	return reply(http.StatusOK, l.wire())
}

type accountsAnswer struct {
	Accounts []bankAccount `json:"accounts"`
	Link     obj           `json:"link"`
}

func (s *Sandbox) showIdentity(c *call) answer {
	l, refusal, ok := s.reach(c, 3, 600)
	if !ok {
		return refusal
	}
	ids, refusal, ok := accountFilter(c.URL.Query())
	if !ok {
		return refusal
	}
	if refusal, ok := l.usable("identity"); !ok {
		return refusal
	}
	list := []bankAccount{}
	for _, a := range l.accounts {
		if len(ids) == 0 || slices.Contains(ids, a.ID) {
			a.Numbers = nil
			list = append(list, a)
		}
	}
	return reply(http.StatusOK, accountsAnswer{list, l.wire()})
}

// accountFilter reads account_ids, which is repeated for each id. An id that the link does not have
// matches nothing.
func accountFilter(query url.Values) ([]string, answer, bool) {
	for i, id := range query["account_ids"] {
		if id == "" || strings.Contains(id, ",") {
			return nil, validation("value_error", "One account id for each parameter", "query", "account_ids", i), false
		}
	}
	return query["account_ids"], answer{}, true
}

// showNumbers returns only the open accounts, the newest first. Set and order differ from the
// identity.
func (s *Sandbox) showNumbers(c *call) answer {
	l, refusal, ok := s.reach(c, 3, 600)
	if !ok {
		return refusal
	}
	if refusal, ok := l.usable("account_numbers"); !ok {
		return refusal
	}
	list := []bankAccount{}
	for _, a := range slices.Backward(l.accounts) {
		if !a.Closed {
			a.Owners, a.Numbers = nil, cmp.Or(a.Numbers, &noNumbers)
			list = append(list, a)
		}
	}
	return reply(http.StatusOK, accountsAnswer{list, l.wire()})
}

var productNames = []string{"accounts", "account_numbers", "identity", "transactions", "investments", "enrichment"}

func (s *Sandbox) refresh(c *call) answer {
	l, refusal, ok := s.reach(c, 0, 0) // limited by product, below
	if !ok {
		return refusal
	}
	products, refusal, ok := c.products()
	if !ok {
		return refusal
	}
	if refusal, ok := l.usable(products...); !ok {
		return refusal
	}
	if wait, ok := s.spend(c.now, refreshWindows(l.id, products)...); !ok {
		return c.tooMany(wait)
	}
	l.start(products, c.now, s.config.refreshTime)
	return reply(http.StatusAccepted, l.wire())
}

func refreshWindows(linkID string, products []string) []window {
	var windows []window
	for _, name := range products {
		period := 24 * time.Hour
		if name == "accounts" {
			period = time.Hour
		}
		windows = append(windows, window{"refresh " + name + " " + linkID, 1, period})
	}
	return windows
}

// products reads the body of a refresh.
func (c *call) products() ([]string, answer, bool) {
	in, err := decode(c.body, "products")
	if err != nil {
		return nil, badInput(err, "body"), false
	}
	var products []string
	if raw, ok := in["products"]; ok && json.Unmarshal(raw, &products) != nil {
		return nil, validation("type_error.list", "The products are not a list of texts", "body", "products"), false
	}
	if len(products) == 0 {
		return nil, validation("value_error.missing", "At least one product is required", "body", "products"), false
	}
	for i, name := range products {
		if !slices.Contains(productNames, name) {
			return nil, validation("type_error.enum", "The product is not known", "body", "products", i), false
		}
		if slices.Contains(products[:i], name) {
			return nil, validation(
				"value_error.list.unique_items",
				"The product is repeated",
				"body",
				"products",
				i,
			), false
		}
	}
	return products, answer{}, true
}
