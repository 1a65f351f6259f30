package sandbox

import (
	"encoding/json"
	"slices"
	"time"
)

// bankLink is a connection to a bank.
type bankLink struct {
	id, accessToken            string
	institutionID, institution string
	state, errorCode           string
	foreign                    bool
	products                   map[string]*product // the products that the person permitted
	accounts                   []bankAccount
	refreshes                  int
	failure                    string // the product error of later refreshes
	lastSynced                 time.Time
}

// product is what a link knows about one kind of data.
type product struct {
	refreshed, attempted time.Time
	due                  time.Time // when the refresh under way ends, or zero
	failure, errorCode   string
	unavailable          string
}

// bankAccount is an account as the native API writes it. Answers leave out owners or numbers.
type bankAccount struct {
	ID         string   `json:"account_id"`
	Type       string   `json:"account_type"`
	Name       string   `json:"name"`
	Nickname   *string  `json:"nickname"`
	Mask       *string  `json:"account_mask"`
	Balances   balances `json:"balances"`
	OriginalID *string  `json:"original_id"`
	Closed     bool     `json:"closed"`
	Owners     *[]owner `json:"owners,omitempty"`
	Numbers    *numbers `json:"numbers,omitempty"`
}

// owner is a person who owns an account.
type owner struct {
	Names     []string  `json:"names"`
	Addresses []address `json:"addresses"`
	Phones    []phone   `json:"phone_numbers"`
	Emails    []email   `json:"emails"`
}

type address struct {
	City       *string `json:"city"`
	Country    *string `json:"country"`
	PostalCode *string `json:"postal_code"`
	Region     *string `json:"region"`
	Street     *string `json:"street"`
	Primary    *bool   `json:"primary"`
}

type phone struct {
	Number  string `json:"number"`
	Primary *bool  `json:"primary"`
	Type    string `json:"type"`
}

type email struct {
	Address string `json:"address"`
	Primary *bool  `json:"primary"`
}

// balances keeps the numbers as they are written in the sample data.
type balances struct {
	Currency  *string      `json:"currency"`
	Available *json.Number `json:"available"`
	Current   *json.Number `json:"current"`
	Limit     *json.Number `json:"limit"`
	Date      *string      `json:"balance_date"`
}

type numbers struct {
	ACH           []ach           `json:"ach"`
	EFT           []eft           `json:"eft"`
	BACS          []bacs          `json:"bacs"`
	International []international `json:"international"`
}

// noNumbers are the numbers of an open account without numbers.
var noNumbers = numbers{[]ach{}, []eft{}, []bacs{}, []international{}}

type ach struct {
	Account     string  `json:"account_number"`
	Routing     string  `json:"routing_number"`
	WireRouting *string `json:"wire_routing_number"`
}

type eft struct {
	Account     string `json:"account_number"`
	Institution string `json:"institution_number"`
	Branch      string `json:"branch_number"`
}

type bacs struct {
	Account  string `json:"account_number"`
	SortCode string `json:"sort_code"`
}

type international struct {
	IBAN string `json:"iban"`
	BIC  string `json:"bic"`
}

// start begins a refresh. A refresh that is under way keeps its end.
func (l *bankLink) start(products []string, now time.Time, takes time.Duration) {
	l.refreshes++
	for _, name := range products {
		p := l.products[name]
		p.attempted, p.errorCode, p.failure = now, "", l.failure
		if p.due.IsZero() {
			p.due = now.Add(takes)
		}
	}
	l.settle(now)
}

// settle ends the refreshes whose time has come. Nothing runs in the background, so whoever looks
// at the link, or changes its state, settles it first.
func (l *bankLink) settle(now time.Time) {
	for _, p := range l.products {
		if p.due.IsZero() || now.Before(p.due) {
			continue
		}
		if p.errorCode = l.productError(p); p.errorCode == "" {
			p.refreshed = later(p.due, p.refreshed)
			l.lastSynced = p.refreshed
		}
		p.due = time.Time{}
	}
}

// later keeps refreshed_at moving forward even if the clock does not: a bubble's clock may stand
// still, or be behind the sample data.
func later(t, before time.Time) time.Time {
	if t.After(before) {
		return t
	}
	return before.Add(time.Millisecond)
}

// productError is the product error code with which the refresh of a product fails.
func (l *bankLink) productError(p *product) string {
	switch {
	case p.failure != "" || l.state == "connected":
		return p.failure
	case slices.Contains([]string{"auth_expired", "institution_error", "no_accounts"}, l.errorCode):
		return l.errorCode
	}
	return "unknown"
}

func (l *bankLink) wire() obj {
	products, available := obj{}, []string{}
	for _, name := range productNames {
		if p := l.products[name]; p != nil {
			products[name] = p.wire(name)
			available = append(available, name)
		}
	}
	return obj{
		"link_id": l.id, "institution_id": l.institutionID, "institution_name": l.institution,
		"institution_avatar": "https://avatars.example.com/" + l.institutionID + ".png",
		"state":              l.state, "error_code": orNull(l.errorCode),
		"last_synced_at": l.lastSynced.UTC().Format(layoutNoZone), "provider": "moneykit",
		"link_tags": []string{"sandbox"}, "tags": nil, "webhook": nil,
		"products": products, "available_products": available,
	}
}

// wire writes the instants in MoneyKit's two notations: without a zone, and with an offset and six
// digits.
func (p *product) wire(name string) obj {
	out := obj{
		"refreshed_at":      instant(p.refreshed, layoutNoZoneFraction),
		"last_attempted_at": instant(p.attempted, layoutFraction),
		"error_code": orNull(
			p.errorCode,
		),
		"error_message": nil,
		"unavailable":   orNull(p.unavailable),
		"settings":      nil,
	}
	if p.errorCode != "" {
		out["error_message"] = "The refresh failed"
	}
	if name == "transactions" {
		out["has_history"] = true
	}
	return out
}

// instant returns null for the zero time.
func instant(t time.Time, layout string) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(layout)
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
