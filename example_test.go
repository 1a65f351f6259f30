package duolink_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// The snippets of the README and of docs stand in these files, so that they compile. A test compares
// the two.

func Example() {
	run := func(ctx context.Context) error {
		client, err := duolink.New(
			duolink.WithSupermetrics(duolink.BearerToken(os.Getenv("SUPERMETRICS_API_KEY"))),
		)
		if err != nil {
			return err
		}
		for account, err := range client.Logins.StreamAccounts(ctx, duolink.AccountsQuery{DataSourceID: "GAWA"}) {
			if err != nil {
				return err
			}
			fmt.Println(account.ID, account.Name)
		}
		return nil
	}
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func ExampleNew() {
	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(os.Getenv("SUPERMETRICS_API_KEY"))),
		duolink.WithMoneyKit(duolink.ClientCredentials(os.Getenv("MONEYKIT_CLIENT_ID"),
			os.Getenv("MONEYKIT_CLIENT_SECRET"))),
	)
	if err != nil {
		log.Fatal(err)
	}
	_ = client
}

func ExampleLinksService_Create() {
	ctx, client, stop := sandboxClient()
	defer stop()
	send := func(string) {}
	run := func() error {
		link, err := client.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA", ExpiresIn: 10 * time.Hour})
		if err != nil {
			return err
		}
		send(link.LoginURL.Reveal()) // to the person who should log in, and to nobody else
		link, err = client.Links.Update(ctx, link.ID, duolink.LoginLinkUpdate{Description: "Q4"})
		if err != nil {
			return err
		}
		_, err = client.Links.Close(ctx, link.ID)
		fmt.Println(link.Status, link.Description)
		return err
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
	// Output: OPEN Q4
}

func ExampleLoginsService_Accounts() {
	ctx, client, stop := sandboxClient()
	defer stop()
	run := func() error {
		for account, err := range client.Logins.Accounts(ctx, "dsl_1", duolink.PageOptions{PageSize: 1000}) {
			if err != nil {
				return err
			}
			fmt.Println(account.ID, account.Name)
		}
		return nil
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 123456789 Example Store
	// 234567890 Example Blog
	// 345678901 Äußerst gut & <fein>
}

func ExampleAuthService_Get() {
	ctx, client, stop := sandboxClient()
	defer stop()
	bankLinkID, accessToken := duolinktest.BankLinkID, duolinktest.AccessToken
	run := func() error {
		who, err := client.Identity.Get(ctx, bankLinkID, duolink.IdentityQuery{})
		if err != nil {
			return err
		}
		numbers, err := client.Auth.Get(ctx, duolink.AuthQuery{AccessToken: duolink.NewSecret(accessToken)})
		if err != nil {
			return err
		}
		fmt.Println(len(who.Accounts), "accounts,", len(numbers.Numbers.ACH), "with ACH numbers")
		return nil
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
	// Output: 6 accounts, 1 with ACH numbers
}

func ExampleError() {
	ctx, client, stop := sandboxClient()
	defer stop()
	id := "dsll_404"
	forget := func(string) error { fmt.Println("no such link"); return nil }
	later := func(time.Duration) error { return nil }
	run := func() error {
		_, err := client.Links.Get(ctx, id)
		switch {
		case errors.Is(err, duolink.ErrNotFound):
			return forget(id)
		case errors.Is(err, duolink.ErrRateLimited):
			e, _ := errors.AsType[*duolink.Error](err)
			return later(e.RetryAfter) // 0 if the server names no time
		}
		return err
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
	// Output: no such link
}

func ExampleWithMaxWait() {
	ctx, client, stop := sandboxClient()
	defer stop()
	id := duolinktest.OpenLoginLinkID
	link, err := client.Links.Get(ctx, id, duolink.WithMaxWait(5*time.Second))
	fmt.Println(link.Status, err)
	// Output: OPEN <nil>
}

func ExampleWithBaseURL() {
	key, id, secret := duolinktest.APIKey, duolinktest.ClientID, duolinktest.ClientSecret
	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(key)),
		duolink.WithBaseURL(duolink.Supermetrics, "http://127.0.0.1:8081/v2"),
		duolink.WithMoneyKit(duolink.ClientCredentials(id, secret)),
		duolink.WithBaseURL(duolink.MoneyKit, "http://127.0.0.1:8081"),
	)
	fmt.Println(client, err)
	// Output: duolink.Client <nil>
}

func ExampleLinksService_ConfirmRedirect() {
	servers := duolinktest.Start()
	ctx, client, stop := clientOf(servers)
	defer stop()
	jobID := "job-7"
	rows := map[string]duolink.LoginLink{}
	send := func(string) {
		id := rows[jobID].ID
		servers.CompleteLogin(id, "avery@example.com") // the person, at the login page
	}
	over := func(string) error { return errors.New("over") }
	start := func() error {
		link, err := client.Links.CreateOnce(ctx, duolink.LoginLinkCreate{
			DataSourceID: "GAWA", RedirectURL: "https://app.example.com/connected/" + jobID,
		}, jobID)
		if err != nil { // ErrLoginLinkClosed, ErrLoginLinkExpired: it has ended, so another try has another marker
			return err
		}
		if link.LoginID != "" {
			return over(link.LoginID) // somebody has logged in already
		}
		// On the server, never in the browser.
		rows[jobID] = duolink.LoginLink{ID: link.ID, RedirectVerifier: link.RedirectVerifier}
		send(link.LoginURL.Reveal()) // to the person, and to nobody else
		return nil
	}
	connected := func(w http.ResponseWriter, r *http.Request) { // for "GET /connected/{job}", where RedirectURL leads
		link, err := client.Links.ConfirmRedirect(r.Context(), rows[r.PathValue("job")], r)
		switch {
		case errors.Is(err, duolink.ErrRedirectMismatch):
			http.Error(w, "this does not come from the sign-in page", http.StatusForbidden)
		case err != nil: // ErrLoginPending: not yet
			http.Error(w, "not connected yet", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "connected as login", link.LoginID)
		}
	}
	if err := start(); err != nil {
		log.Fatal(err)
	}
	for _, verifier := range []string{rows[jobID].RedirectVerifier.Reveal(), "forged"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/connected/job-7?redirect_verifier="+verifier, nil)
		r.SetPathValue("job", jobID)
		connected(w, r)
		fmt.Print(w.Body)
	}
	// Output:
	// connected as login dsl_7
	// this does not come from the sign-in page
}

func ExampleIdentityService_RefreshAndGet() {
	servers := duolinktest.Start(duolinktest.WithRefreshTime(time.Nanosecond))
	ctx, client, stop := clientOf(servers)
	defer stop()
	bankLinkID, accessToken := duolinktest.BankLinkID, duolinktest.AccessToken
	errNotThePayee := errors.New("not the payee")
	hold := func(duolink.Action, time.Duration) error { return errors.New("held") }
	isPayee := func(owner duolink.AccountOwner) bool {
		return owner.Names[0].Equal(duolink.NewSensitive("Avery Sample"))
	}
	pay := func(to duolink.ACHNumber) error {
		fmt.Println("pay to", to.RoutingNumber, to.AccountNumber)
		return nil
	}
	run := func() error {
		who, err := client.Identity.RefreshAndGet(ctx, bankLinkID, duolink.RefreshOptions{MaxAge: 72 * time.Hour})
		if err != nil {
			e, _ := errors.AsType[*duolink.Error](err)
			return hold(e.Action(), e.RetryAfter) // wait, reauthenticate, ask permission: there is one for every error
		}
		numbers, err := client.Auth.Get(ctx, duolink.AuthQuery{AccessToken: duolink.NewSecret(accessToken)})
		if err != nil {
			return err
		}
		for _, owner := range who.Owners() {
			for _, id := range owner.AccountIDs {
				if account, ok := numbers.ForAccount(id); ok && len(account.Numbers.ACH) > 0 && isPayee(owner) {
					return pay(account.Numbers.ACH[0])
				}
			}
		}
		return errNotThePayee
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
	// Output: pay to 111222333 ****0042
}

// sandboxClient returns a client of a fake.
func sandboxClient() (context.Context, *duolink.Client, func()) { return clientOf(duolinktest.Start()) }

func clientOf(fake *duolinktest.Server) (context.Context, *duolink.Client, func()) {
	return context.Background(), fake.Client(), fake.Close
}
