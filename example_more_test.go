package duolink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// The logins, and who has logged in. A username is masked.
func ExampleLoginsService_List() {
	ctx, client, stop := sandboxClient()
	defer stop()
	logins, err := client.Logins.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(logins), logins[0].DataSource.Name, logins[0].Username)
	// Output: 6 Google Analytics 4 ****
}

// Who owns an account. Reveal shows the name.
func ExampleIdentityService_Get() {
	ctx, client, stop := sandboxClient()
	defer stop()
	who, err := client.Identity.Get(ctx, duolinktest.BankLinkID, duolink.IdentityQuery{})
	if err != nil {
		log.Fatal(err)
	}
	name := who.Accounts[0].Owners[0].Names[0]
	fmt.Println(name, name.Reveal())
	// Output: **** Avery Sample
}

// The account numbers of MoneyKit's own API.
func ExampleAuthService_Numbers() {
	ctx, client, stop := sandboxClient()
	defer stop()
	numbers, err := client.Auth.Numbers(ctx, duolinktest.BankLinkID)
	if err != nil {
		log.Fatal(err)
	}
	account, ok := numbers.ForAccount(duolinktest.JointAccountID)
	fmt.Println(ok, account.Numbers.ACH[0].RoutingNumber, account.Numbers.ACH[0].AccountNumber)
	// Output: true 111222333 ****0042
}

// Wait until the person has logged in.
func ExampleLinksService_Await() {
	fake := duolinktest.Start()
	ctx, client, stop := clientOf(fake)
	defer stop()
	link, err := client.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	if err != nil {
		log.Fatal(err)
	}
	fake.CompleteLogin(link.ID, "avery@example.com") // the person

	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	link, err = client.Links.Await(ctx, link.ID, duolink.AwaitOptions{})
	fmt.Println(link.LoginID, err)
	// Output: dsl_7 <nil>
}

// One link for a job, however often it is asked for.
func ExampleLinksService_CreateOnce() {
	ctx, client, stop := sandboxClient()
	defer stop()
	for range 2 {
		link, err := client.Links.CreateOnce(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(link.ID, link.Description)
	}
	// Output:
	// dsll_5 [ref:job-7]
	// dsll_5 [ref:job-7]
}

// The account numbers, as the bank has them now.
func ExampleAuthService_RefreshAndNumbers() {
	ctx, client, stop := clientOf(duolinktest.Start(duolinktest.WithRefreshTime(time.Nanosecond)))
	defer stop()
	numbers, err := client.Auth.RefreshAndNumbers(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(numbers.Accounts), "accounts")
	// Output: 5 accounts
}

// Watch the attempts, such as for metrics.
func ExampleWithHooks() {
	fake := duolinktest.Start()
	defer fake.Close()
	fake.Script(duolinktest.Fault{Operation: "logins.list", Status: 502})
	client := fake.Client(duolink.WithHooks(duolink.Hooks{
		AttemptEnd: func(_ context.Context, a duolink.Attempt) { fmt.Println(a.Operation, a.Number, a.Status) },
	}), duolink.WithRetry(duolink.Retry{MinBackoff: time.Millisecond}))
	_, err := client.Logins.List(context.Background())
	fmt.Println(err)
	// Output:
	// logins.list 1 502
	// logins.list 2 200
	// <nil>
}

// Store a whole answer, and read it back.
func ExampleRevealJSON() {
	link := duolink.LoginLink{ID: "dsll_1", RedirectVerifier: duolink.NewSensitive("v3r1f13r")}
	_, err := json.Marshal(link)
	fmt.Println("json.Marshal refuses:", err != nil)

	document, err := duolink.RevealJSON(link)
	if err != nil {
		log.Fatal(err)
	}
	var again duolink.LoginLink
	err = json.Unmarshal(document, &again)
	fmt.Println(again.ID, again.RedirectVerifier, again.RedirectVerifier.Reveal(), err)
	// Output:
	// json.Marshal refuses: true
	// dsll_1 **** v3r1f13r <nil>
}

// Show an answer: slog takes it as it is, and every other encoder takes Masked.
func ExampleMasked() {
	type payment struct {
		ID string            `json:"id"`
		To duolink.Sensitive `json:"to"`
	}
	paid := payment{"p1", duolink.NewSensitive("000123456789")}
	text, err := json.Marshal(duolink.Masked(paid))
	fmt.Println(string(text), err)

	logger := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	logger.Info("paid", "payment", paid)
	// Output:
	// {"id":"p1","to":"****6789"} <nil>
	// {"level":"INFO","msg":"paid","payment":{"id":"p1","to":"****6789"}}
}

// One client for many tenants: each call has its own token.
func ExampleWithToken() {
	fake := duolinktest.Start(duolinktest.WithAPIKey("api_of_a_tenant"))
	defer fake.Close()
	client := fake.Client()
	_, err := client.Logins.List(context.Background(), duolink.WithToken("api_of_a_tenant"))
	fmt.Println(err)
	_, err = client.Logins.List(context.Background(), duolink.WithToken("api_of_nobody"))
	fmt.Println(errors.Is(err, duolink.ErrUnauthorized))
	// Output:
	// <nil>
	// true
}

// A service ends its client when it stops.
func ExampleClient_Close() {
	ctx, client, stop := sandboxClient()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := client.Close(ctx); err != nil { // something is still under way after ten seconds
		log.Print(err)
	}
	_, err := client.Logins.List(ctx)
	fmt.Println(errors.Is(err, duolink.ErrClosed))
	// Output: true
}

// Keep one process within the budgets of the vendors. Here the contract allows more than they publish.
func ExampleNewLocalLimiter() {
	limiter, err := duolink.NewLocalLimiter(nil) // nil: what the vendors publish
	fmt.Println(limiter != nil, err)

	budgets := duolink.PublishedBudgets()
	requests := duolink.GroupKind{API: duolink.Supermetrics, Scope: duolink.ScopeCredential}
	fmt.Println(budgets[requests].Requests, "each", budgets[requests].Per)
	budgets[requests] = duolink.Budget{Requests: 50, Per: time.Second, Burst: 5}
	limiter, err = duolink.NewLocalLimiter(budgets)
	if err != nil {
		log.Print(err)
		return
	}
	client, err := duolink.New(duolink.WithSupermetrics(duolink.BearerToken("key")), duolink.WithLimiter(limiter))
	fmt.Println(client != nil, err)
	// Output:
	// true <nil>
	// 20 each 1s
	// true <nil>
}
