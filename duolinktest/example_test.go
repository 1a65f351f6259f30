package duolinktest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// In a test it is duolinktest.New(t).
func Example() {
	fake := duolinktest.Start()
	defer fake.Close()
	client := fake.Client()

	link, err := client.Links.Create(context.Background(), duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fake.CompleteLogin(link.ID, "avery@example.com") // the person logs in
	link, err = client.Links.Get(context.Background(), link.ID)
	fmt.Println(link.Status, link.LoginID != "", err)
	fmt.Println(fake.Requests())
	// Output:
	// CLOSED true <nil>
	// [links.create: 201 links.get: 200]
}

// The server answers 429. The call fails at once, because it may not wait for a minute.
func ExampleServer_Script() {
	fake := duolinktest.Start()
	defer fake.Close()
	fake.Script(duolinktest.Fault{Operation: "logins.list", Status: 429, RetryAfter: time.Minute})

	_, err := fake.Client().Logins.List(context.Background(), duolink.WithMaxWait(time.Second))
	e, _ := errors.AsType[*duolink.Error](err)
	fmt.Println(errors.Is(err, duolink.ErrRateLimited), e.RetryAfter.Round(time.Minute), e.Action())
	// Output: true 1m0s wait until
}

// The bank link was deleted.
func ExampleServer_SetBankLinkState() {
	fake := duolinktest.Start()
	defer fake.Close()
	fake.SetBankLinkState(duolinktest.BankLinkID, "deleted", "")

	_, err := fake.Client().Identity.Get(context.Background(), duolinktest.BankLinkID, duolink.IdentityQuery{})
	e, _ := errors.AsType[*duolink.Error](err)
	fmt.Println(errors.Is(err, duolink.ErrDeleted), e.Action())
	// Output: true recreate
}

// The answer to a create is lost, so nobody knows whether there is a link. CreateOnce finds it.
func ExampleFault_dropAfter() {
	fake := duolinktest.Start()
	defer fake.Close()
	client, ctx := fake.Client(), context.Background()
	before := len(fake.LoginLinks())

	fake.Script(duolinktest.Fault{Operation: "links.create", DropAfter: true})
	_, err := client.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	e, _ := errors.AsType[*duolink.Error](err)
	fmt.Println(e.Outcome, fake.Count("links.create"), len(fake.LoginLinks())-before)

	fake.Script(duolinktest.Fault{Operation: "links.create", DropAfter: true})
	link, err := client.Links.CreateOnce(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
	fmt.Println(link.Description, err, fake.Count("links.create"), len(fake.LoginLinks())-before)
	// Output:
	// unknown 1 1
	// [ref:job-7] <nil> 2 2
}

// A bank link of your own, with an owner and an account number.
func ExampleServer_AddBankLink() {
	fake := duolinktest.Start(duolinktest.WithoutSamples())
	defer fake.Close()
	link := fake.AddBankLink(duolinktest.BankLink{Accounts: []duolinktest.BankAccount{{
		Owners:  []duolinktest.Owner{{Names: []string{"Avery Sample"}}},
		Numbers: duolinktest.Numbers{Account: "000123456789", Routing: "021000021"},
	}}})

	who, err := fake.Client().Identity.Get(context.Background(), link.ID, duolink.IdentityQuery{})
	if err != nil {
		fmt.Println(err)
		return
	}
	name := who.Accounts[0].Owners[0].Names[0]
	fmt.Println(name, name.Reveal())
	// Output: **** Avery Sample
}

// A refresh takes ninety seconds, and the test takes none. The package documentation shows it.
func TestRefreshInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := duolinktest.New(t, duolinktest.WithRefreshTime(90*time.Second))
		began := time.Now()
		_, err := fake.Client().Identity.RefreshAndGet(t.Context(), duolinktest.BankLinkID, duolink.RefreshOptions{})
		if err != nil || time.Since(began) < 90*time.Second {
			t.Errorf("the refresh took %v: %v", time.Since(began), err)
		}
	})
}
