package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/duolink/duolink"
)

// most is how many rows of a table are shown.
const most = 8

// logins shows the logins and the accounts that they reach.
func (t *tour) logins(ctx context.Context) error {
	logins, err := t.client.Logins.List(ctx)
	if err != nil {
		return err
	}
	w := t.table("Logins", "client.Logins.List", "LOGIN", "DATA SOURCE", "USER", "AUTHENTICATED", "REVOKED")
	for i, l := range logins {
		if i == most {
			break
		}
		t.row(w, l.ID, l.DataSource.Name, l.Username, day(l.AuthTime), day(l.RevokedTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}

	w = t.table("Accounts of "+t.dataSource, "client.Logins.StreamAccounts", "USER", "ACCOUNT", "NAME", "GROUP")
	n := 0
	for account, err := range t.client.Logins.StreamAccounts(ctx, duolink.AccountsQuery{DataSourceID: t.dataSource}) {
		if err != nil {
			return err
		}
		if n++; n <= most {
			t.row(w, account.User, account.ID, account.Name, account.Group)
		}
	}
	if n > most {
		t.row(w, fmt.Sprintf("and %d more", n-most), "", "", "")
	}
	return w.Flush()
}

// linkLife shows a login link from its creation to its end. In the sandbox somebody logs in at
// once.
func (t *tour) linkLife(ctx context.Context) error {
	w := t.table(
		"A login link's life", "client.Links.Create, Update, Get, Close; client.Logins.Get, Accounts, Revoke",
		"STEP", "STATUS", "LOGIN", "DESCRIPTION",
	)
	step := func(name string, l *duolink.LoginLink) { t.row(w, name, string(l.Status), l.LoginID, l.Description) }

	link, err := t.client.Links.Create(
		ctx,
		duolink.LoginLinkCreate{DataSourceID: t.dataSource, ExpiresIn: 10 * time.Hour, Description: "Q3 report"},
	)
	if err != nil {
		return err
	}
	step("created", link)
	if link, err = t.client.Links.Update(ctx, link.ID, duolink.LoginLinkUpdate{Description: "Q4 report"}); err != nil {
		return err
	}
	step("updated", link)
	t.fake.CompleteLogin(link.ID, "jordan@example.com")
	if link, err = t.client.Links.Get(ctx, link.ID); err != nil {
		return err
	}
	step("logged in", link)
	if err := t.newLogin(ctx, link.LoginID, w); err != nil {
		return err
	}

	second, err := t.client.Links.Create(
		ctx,
		duolink.LoginLinkCreate{DataSourceID: t.dataSource, Description: "never used"},
	)
	if err != nil {
		return err
	}
	step("another", second)
	if second, err = t.client.Links.Close(ctx, second.ID); err != nil {
		return err
	}
	step("closed", second)
	return w.Flush()
}

// newLogin reads the login that the link has made, and revokes it.
func (t *tour) newLogin(ctx context.Context, loginID string, w *tabwriter.Writer) error {
	login, err := t.client.Logins.Get(ctx, loginID)
	if err != nil {
		return err
	}
	n := 0
	for _, err := range t.client.Logins.Accounts(ctx, login.ID, duolink.PageOptions{}) {
		if err != nil {
			return err
		}
		n++
	}
	t.row(w, "login used", "", login.ID, fmt.Sprintf("%d accounts of %s", n, t.text(login.Username)))
	revoked, err := t.client.Logins.Revoke(ctx, login.ID)
	t.row(w, "login revoked", "", login.ID, fmt.Sprint(revoked))
	return err
}

func (t *tour) links(ctx context.Context) error {
	links, err := t.client.Links.List(ctx)
	if err != nil {
		return err
	}
	w := t.table("Login links", "client.Links.List", "LINK", "STATUS", "DATA SOURCE", "EXPIRES", "LOGIN", "DESCRIPTION")
	for i, l := range links {
		if i == most {
			break
		}
		t.row(w, l.ID, string(l.Status), l.DataSourceID, day(l.ExpiryTime), l.LoginID, l.Description)
	}
	return w.Flush()
}

// identity shows who owns the accounts of a bank link. Names and addresses print as masks.
func (t *tour) identity(ctx context.Context) error {
	if t.bankLinkID == "" {
		return t.say("\nIdentity: set MONEYKIT_LINK_ID to see one.")(ctx)
	}
	link, err := t.client.Identity.Link(ctx, t.bankLinkID)
	if err != nil {
		return err
	}
	who, err := t.client.Identity.Get(ctx, t.bankLinkID, duolink.IdentityQuery{})
	if err != nil {
		return err
	}
	title := fmt.Sprintf(
		"Owners at %s (%s, identity of %s)",
		link.InstitutionName,
		link.State,
		day(link.Products[duolink.ProductIdentity].RefreshedAt),
	)
	w := t.table(title, "client.Identity.Link, Get", "ACCOUNT", "NAME", "BALANCE", "OWNERS", "E-MAIL", "CITY")
	for _, a := range who.Accounts {
		var names, emails, cities []string
		for _, o := range a.Owners {
			names = append(names, t.texts(o.Names)...)
			for _, e := range o.Emails {
				emails = append(emails, t.text(e.Address))
			}
			for _, address := range o.Addresses {
				cities = append(cities, address.City)
			}
		}
		t.row(
			w,
			a.ID,
			a.Name,
			balance(a.Balances),
			strings.Join(names, ", "),
			strings.Join(emails, ", "),
			strings.Join(cities, ", "),
		)
	}
	return w.Flush()
}

// numbers shows account numbers, masked, through both of MoneyKit's APIs.
func (t *tour) numbers(ctx context.Context) error {
	w := t.table("Account numbers", "client.Auth.Get, Numbers", "API", "SCHEME", "BANK", "ACCOUNT")
	if !t.accessToken.IsZero() {
		auth, err := t.client.Auth.Get(ctx, duolink.AuthQuery{AccessToken: t.accessToken})
		if err != nil {
			return err
		}
		t.schemes(w, "Plaid-compatible", auth.Numbers)
	}
	if t.bankLinkID != "" {
		native, err := t.client.Auth.Numbers(ctx, t.bankLinkID)
		if err != nil {
			return err
		}
		for _, a := range native.Accounts {
			t.schemes(w, "MoneyKit", a.Numbers)
		}
	}
	return w.Flush()
}

func (t *tour) schemes(w *tabwriter.Writer, api string, n duolink.NumbersByScheme) {
	for _, a := range n.ACH {
		t.row(w, api, "ACH", "routing "+a.RoutingNumber, a.AccountNumber)
	}
	for _, e := range n.EFT {
		t.row(w, api, "EFT", "institution "+e.InstitutionNumber+" branch "+e.BranchNumber, e.AccountNumber)
	}
	for _, b := range n.BACS {
		t.row(w, api, "BACS", "sort code "+b.SortCode, b.AccountNumber)
	}
	for _, i := range n.International {
		t.row(w, api, "IBAN", "BIC "+i.BIC, i.IBAN)
	}
}

// table begins a part of the tour. It names the calls that have made it.
func (t *tour) table(title, calls string, columns ...any) *tabwriter.Writer {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t.out, "\n%s\n%s\n", title, calls)
	t.row(w, columns...)
	return w
}

func (t *tour) row(w *tabwriter.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		if s, ok := c.(duolink.Sensitive); ok {
			c = t.text(s)
		}
		fmt.Fprint(w, c)
	}
	fmt.Fprintln(w)
}

// text is the mask of a text, or the text itself with -reveal.
func (t *tour) text(s duolink.Sensitive) string {
	if t.reveal {
		return s.Reveal()
	}
	return s.String()
}

func (t *tour) texts(all []duolink.Sensitive) []string {
	var out []string
	for _, s := range all {
		out = append(out, t.text(s))
	}
	return out
}

func balance(b duolink.Balances) string {
	if b.Current == "" {
		return "-"
	}
	return string(b.Current) + " " + b.Currency
}

func day(t duolink.Timestamp) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.DateOnly)
}
