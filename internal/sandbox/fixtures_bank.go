package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Bank accounts: between what is put in and what is on the wire.

// accountsOf are the accounts of a link. An id that is not given is invented.
func accountsOf(in []BankAccount) (out []bankAccount, err error) {
	taken := map[string]bool{}
	for _, a := range in {
		if a.ID != "" && taken[a.ID] {
			return nil, fmt.Errorf("sandbox: two accounts have the id %q", a.ID)
		}
		taken[a.ID] = true
	}
	for i, a := range in {
		for n := i + 1; a.ID == ""; n++ {
			if id := "acc_" + strconv.Itoa(n); !taken[id] {
				a.ID, taken[id] = id, true
			}
		}
		made, err := a.wire()
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

func (a BankAccount) wire() (bankAccount, error) {
	out := bankAccount{
		ID: a.ID, Type: cmp.Or(a.Type, "depository.checking"),
		Name: cmp.Or(a.Name, "Checking"), Mask: textOrNull(a.Mask), Closed: a.Closed, Owners: &[]owner{},
	}
	out.Balances.Currency = textOrNull(cmp.Or(a.Currency, "USD"))
	for _, amount := range []string{a.Available, a.Current} {
		var number json.Number
		if amount != "" && (json.Unmarshal([]byte(amount), &number) != nil || number.String() != amount) {
			return out, fmt.Errorf("sandbox: %q is not an amount", amount)
		}
	}
	out.Balances.Available, out.Balances.Current = numberOrNull(a.Available), numberOrNull(a.Current)
	for _, o := range a.Owners {
		*out.Owners = append(*out.Owners, o.wire())
	}
	out.Numbers = a.Numbers.wire()
	return out, nil
}

func (o Owner) wire() owner {
	out := owner{append([]string{}, o.Names...), []address{}, []phone{}, []email{}}
	for i, a := range o.Addresses {
		out.Addresses = append(out.Addresses, address{
			textOrNull(a.City), textOrNull(a.Country), textOrNull(a.PostalCode), textOrNull(a.Region),
			textOrNull(a.Street), new(i == 0),
		})
	}
	for i, number := range o.PhoneNumbers {
		out.Phones = append(out.Phones, phone{number, new(i == 0), "mobile"})
	}
	for i, text := range o.Emails {
		out.Emails = append(out.Emails, email{text, new(i == 0)})
	}
	return out
}

func (n Numbers) wire() *numbers {
	if n == (Numbers{}) {
		return nil
	}
	out := noNumbers
	switch {
	case n.SortCode != "":
		out.BACS = []bacs{{n.Account, n.SortCode}}
	case n.Institution+n.Branch != "":
		out.EFT = []eft{{n.Account, n.Institution, n.Branch}}
	case n.Account+n.Routing != "":
		out.ACH = []ach{{n.Account, n.Routing, textOrNull(n.WireRouting)}}
	}
	if n.IBAN != "" {
		out.International = []international{{n.IBAN, n.BIC}}
	}
	return &out
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func numberOrNull(text string) *json.Number {
	if text == "" {
		return nil
	}
	return new(json.Number(text))
}

func (a bankAccount) spec() BankAccount {
	out := BankAccount{
		ID: a.ID, Type: a.Type, Name: a.Name, Mask: text(a.Mask), Closed: a.Closed,
		Currency:  text(a.Balances.Currency),
		Available: string(orZero(a.Balances.Available)), Current: string(orZero(a.Balances.Current)),
	}
	for _, o := range orZero(a.Owners) {
		out.Owners = append(out.Owners, o.spec())
	}
	if a.Numbers != nil {
		out.Numbers = a.Numbers.spec()
	}
	return out
}

func (o owner) spec() Owner {
	out := Owner{Names: slices.Clone(o.Names)}
	for _, e := range o.Emails {
		out.Emails = append(out.Emails, e.Address)
	}
	for _, p := range o.Phones {
		out.PhoneNumbers = append(out.PhoneNumbers, p.Number)
	}
	for _, a := range o.Addresses {
		out.Addresses = append(out.Addresses, Address{
			text(a.Street), text(a.City), text(a.Region), text(a.PostalCode), text(a.Country),
		})
	}
	return out
}

func (n numbers) spec() (out Numbers) {
	for _, a := range n.ACH {
		out.Account, out.Routing, out.WireRouting = a.Account, a.Routing, text(a.WireRouting)
	}
	for _, e := range n.EFT {
		out.Account, out.Institution, out.Branch = e.Account, e.Institution, e.Branch
	}
	for _, b := range n.BACS {
		out.Account, out.SortCode = b.Account, b.SortCode
	}
	for _, i := range n.International {
		out.IBAN, out.BIC = i.IBAN, i.BIC
	}
	return out
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func text(p *string) string { return orZero(p) }
