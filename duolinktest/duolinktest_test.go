package duolinktest_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// The fake knows every operation of the client by the name that errors and hooks have.
func TestEveryOperationIsKnown(t *testing.T) {
	for _, op := range operations.All {
		name, _, _ := strings.Cut(op.Name, ",")
		t.Run(name, func(t *testing.T) {
			fake := duolinktest.New(t)
			fake.Script(duolinktest.Fault{Operation: name, Status: 403})
			err := op.Call(t.Context(), fake.Client())
			e := errorOf(t, err)
			require.ErrorIs(t, e, duolink.ErrForbidden)
			require.Equal(t, name, e.Operation)
			require.Zero(t, fake.Pending())
			require.Equal(t, 1, fake.Count(name))
		})
	}
}

func errorOf(t *testing.T, err error) *duolink.Error {
	t.Helper()
	var e *duolink.Error
	require.ErrorAs(t, err, &e)
	return e
}

// A Status alone is an error of the kind that its documents say, with a code and with the Retry-After.
func TestStatuses(t *testing.T) {
	kinds := map[int]error{
		401: duolink.ErrUnauthorized, 403: duolink.ErrForbidden, 404: duolink.ErrNotFound,
		409: duolink.ErrConflict, 410: duolink.ErrDeleted, 429: duolink.ErrRateLimited,
		500: duolink.ErrServer, 502: duolink.ErrServer, 503: duolink.ErrServer,
	}
	for _, op := range operations.All {
		name, _, _ := strings.Cut(op.Name, ",")
		for status, kind := range kinds {
			if op.API == duolink.PlaidCompatible && (status < 429 || status == 502) {
				continue // it says nearly everything with a 400
			}
			t.Run(fmt.Sprintf("%s/%d", op.Name, status), func(t *testing.T) {
				fake := duolinktest.New(t)
				fake.Script(duolinktest.Fault{Operation: name, Status: status, RetryAfter: 90 * time.Second, Times: -1})
				err := op.Call(t.Context(), fake.Client(), duolink.WithoutRetry())
				e := errorOf(t, err)
				require.ErrorIs(t, e, kind)
				require.Equal(t, status, e.StatusCode)
				require.InDelta(t, 90, e.RetryAfter.Seconds(), 2)
				if op.API == duolink.Supermetrics || status == 429 {
					require.NotEmpty(t, e.Code)
				}
			})
		}
	}
}

// A Code is answered in the shape of its API.
func TestCodes(t *testing.T) {
	for _, tc := range []struct {
		fault duolinktest.Fault
		kind  error
		code  duolink.Code
	}{
		{duolinktest.Fault{Operation: "links.create", Status: 403}, duolink.ErrForbidden, "LINK_LIMIT_EXCEEDED"},
		{duolinktest.Fault{Operation: "links.get", Status: 404}, duolink.ErrNotFound, "LINK_NOT_FOUND"},
		{
			duolinktest.Fault{Operation: "logins.list", Status: 403, Code: "LICENSE_EXPIRED"},
			duolink.ErrForbidden, "LICENSE_EXPIRED",
		},
		{
			duolinktest.Fault{Operation: "identity.get", Status: 422, Code: "auth_expired"},
			duolink.ErrBankLinkState, "link_error.bad_state",
		},
		{
			duolinktest.Fault{Operation: "identity.get", Status: 401, Code: "link_error.unauthorized_access"},
			duolink.ErrUnauthorized, "link_error.unauthorized_access",
		},
		{
			duolinktest.Fault{Operation: "auth.get", Status: 400, Code: "ITEM_LOGIN_REQUIRED"},
			duolink.ErrBankLinkState, "ITEM_LOGIN_REQUIRED",
		},
		{
			duolinktest.Fault{Operation: "auth.get", Status: 400, Code: "INVALID_API_KEYS"},
			duolink.ErrUnauthorized, "INVALID_API_KEYS",
		},
	} {
		t.Run(tc.fault.Operation+" "+string(tc.code), func(t *testing.T) {
			fake := duolinktest.New(t)
			fake.Script(tc.fault)
			for _, op := range operations.All {
				if op.Name == tc.fault.Operation {
					e := errorOf(t, op.Call(t.Context(), fake.Client()))
					require.ErrorIs(t, e, tc.kind)
					require.Equal(t, tc.code, e.Code)
				}
			}
			require.Zero(t, fake.Pending())
		})
	}
}

// failing is a test that keeps why it was ended.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}
func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// A wrong argument ends the test with a message, or panics in a program.
func TestWrongArguments(t *testing.T) {
	type (
		server = *duolinktest.Server
		fault  = duolinktest.Fault
		bank   = duolinktest.BankLink
	)
	for want, do := range map[string]func(server){
		`no operation "links.craete", only auth.get`: func(s server) {
			s.Script(fault{Operation: "links.craete", Status: 500})
		},
		"has several of":               func(s server) { s.Script(fault{Status: 500, DropAfter: true}) },
		"does nothing":                 func(s server) { s.Script(fault{}) },
		"the status 42 is not one":     func(s server) { s.Script(fault{Status: 42}) },
		"has a Code or RetryAfter":     func(s server) { s.Script(fault{Delay: 1, RetryAfter: 1}) },
		"has a negative Delay":         func(s server) { s.Script(fault{Delay: -1}) },
		"needs an Operation":           func(s server) { s.Script(fault{Status: 500, Code: "A"}) },
		"has a Code and a Body":        func(s server) { s.Script(fault{Status: 500, Code: "A", Body: "{}"}) },
		"is no error, and has no Code": func(s server) { s.Script(fault{Status: 200, Code: "A"}) },
		`no operation "x"`:             func(s server) { s.Count("x") },
		"no bank link mk_none":         func(s server) { s.SetBankLinkState("mk_none", "deleted", "") },
		"no bank link mk_nobody":       func(s server) { s.FailRefreshes("mk_nobody", "timeout") },
		`has no product "enrichment"`: func(s server) {
			s.SetUnavailable(duolinktest.BankLinkID, "enrichment", "x")
		},
		`has no product ""`: func(s server) {
			s.SetUnavailable(duolinktest.BankLinkID, "", "x")
		},
		`two accounts have the id "acc_2"`: func(s server) {
			s.AddBankLink(bank{Accounts: []duolinktest.BankAccount{{ID: "acc_2"}, {}, {ID: "acc_2"}}})
		},
		"no login link dsll_none":     func(s server) { s.ExpireLink("dsll_none") },
		"no login link dsll_9":        func(s server) { s.CompleteLogin("dsll_9", "a") },
		"is over":                     func(s server) { s.RefuseLogin(duolinktest.ExpiredLoginLinkID) },
		"a login dsl_1 already":       func(s server) { s.AddLogin(duolinktest.Login{ID: "dsl_1"}) },
		"a login link dsll_1 already": func(s server) { s.AddLoginLink(duolinktest.LoginLink{ID: "dsll_1"}) },
		"no login dsl_none":           func(s server) { s.AddLoginLink(duolinktest.LoginLink{LoginID: "dsl_none"}) },
		`there is no product "moon"`:  func(s server) { s.AddBankLink(bank{Products: []string{"moon"}}) },
		`"1,5" is not an amount`: func(s server) {
			s.AddBankLink(bank{Accounts: []duolinktest.BankAccount{{Current: "1,5"}}})
		},
		"or its access token already": func(s server) { s.AddBankLink(bank{AccessToken: duolinktest.AccessToken}) },
	} {
		test := &failing{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			do(duolinktest.New(test))
		}()
		<-done
		require.Contains(t, test.said, want)
		program := duolinktest.Start()
		require.PanicsWithValue(t, test.said, func() { do(program) }, want)
		program.Close()
	}
}

// What is put in is on the wire, and is read back.
func TestData(t *testing.T) {
	fake := duolinktest.New(t, duolinktest.WithoutSamples())
	require.Empty(t, fake.Logins())
	require.Empty(t, fake.LoginLinks())
	require.Empty(t, fake.BankLinks())
	client, ctx := fake.Client(), t.Context()

	accounts := []duolinktest.Account{{ID: "1", Name: "One"}}
	login := fake.AddLogin(duolinktest.Login{DataSourceID: "AW", Accounts: accounts})
	require.NotEmpty(t, login.ID)
	require.Equal(t, []duolinktest.Login{login}, fake.Logins())
	read, err := client.Logins.Get(ctx, login.ID)
	require.NoError(t, err)
	require.Equal(t, "AW", read.DataSource.ID)
	require.Equal(t, login.Username, read.Username.Reveal())
	for account, err := range client.Logins.Accounts(ctx, login.ID, duolink.PageOptions{}) {
		require.NoError(t, err)
		require.Equal(t, "One", account.Name)
	}

	link := fake.AddLoginLink(duolinktest.LoginLink{Description: "mine", LoginID: login.ID})
	require.Equal(t, []duolinktest.LoginLink{link}, fake.LoginLinks())
	require.Equal(t, "CLOSED", link.Status)
	got, err := client.Links.Get(ctx, link.ID)
	require.NoError(t, err)
	require.Equal(t, login.ID, got.LoginID)
	require.Equal(t, link.RedirectVerifier, got.RedirectVerifier.Reveal())
	require.Equal(t, link.LoginURL, got.LoginURL.Reveal())
	again := duolinktest.New(t).AddLoginLink(duolinktest.LoginLink{
		LoginURL: link.LoginURL, RedirectVerifier: link.RedirectVerifier,
	})
	require.Equal(t, link.LoginURL, again.LoginURL, "a link keeps its address on another server")
	require.Equal(t, link.RedirectVerifier, again.RedirectVerifier)

	bank := fake.AddBankLink(duolinktest.BankLink{Accounts: []duolinktest.BankAccount{
		{
			Available: "340.12", Current: "1e-05", Mask: "6789",
			Owners: []duolinktest.Owner{{
				Names: []string{"Avery Sample"}, Emails: []string{"avery@example.com"},
				PhoneNumbers: []string{"+1 212-555-0142"},
				Addresses:    []duolinktest.Address{{Street: "1 Example Street", City: "Springfield", Country: "US"}},
			}},
			Numbers: duolinktest.Numbers{Account: "000123456789", Routing: "021000021"},
		},
		{Name: "Canada", Numbers: duolinktest.Numbers{Account: "1", Institution: "021", Branch: "01140"}},
		{Name: "London", Numbers: duolinktest.Numbers{Account: "2", SortCode: "601613"}},
		{Name: "Berlin", Numbers: duolinktest.Numbers{IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"}},
		{Name: "closed", Closed: true},
	}})
	require.Equal(t, []duolinktest.BankLink{bank}, fake.BankLinks())
	who, err := client.Identity.Get(ctx, bank.ID, duolink.IdentityQuery{})
	require.NoError(t, err)
	require.Len(t, who.Accounts, 5)
	first := who.Accounts[0]
	require.Equal(t, duolink.Decimal("1e-05"), first.Balances.Current)
	require.Equal(t, "Avery Sample", first.Owners[0].Names[0].Reveal())
	require.Equal(t, "avery@example.com", first.Owners[0].Emails[0].Address.Reveal())
	require.Equal(t, "+1 212-555-0142", first.Owners[0].PhoneNumbers[0].Number.Reveal())
	require.Equal(t, "1 Example Street", first.Owners[0].Addresses[0].Street.Reveal())
	require.NotEmpty(t, who.Link.InstitutionAvatar)
	numbers, err := client.Auth.Get(ctx, duolink.AuthQuery{AccessToken: duolink.NewSecret(bank.AccessToken)})
	require.NoError(t, err)
	require.Equal(t, "000123456789", numbers.Numbers.ACH[0].AccountNumber.Reveal())
	require.Equal(t, "01140", numbers.Numbers.EFT[0].BranchNumber)
	require.Equal(t, "601613", numbers.Numbers.BACS[0].SortCode)
	require.Equal(t, "COBADEFFXXX", numbers.Numbers.International[0].BIC)
	require.NotEmpty(t, duolinktest.New(t).BankLinks(), "the samples can be read, too")
}

// What people and banks do reaches the client.
func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := duolinktest.New(t, duolinktest.WithRefreshTime(90*time.Second))
		client, ctx := fake.Client(), t.Context()
		link, err := client.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"})
		require.NoError(t, err)
		time.AfterFunc(time.Minute, func() { fake.CompleteLogin(link.ID, "avery@example.com") })
		link, err = client.Links.Await(ctx, link.ID, duolink.AwaitOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, link.LoginID)

		fake.RefuseLogin(duolinktest.OpenLoginLinkID)
		_, err = client.Links.Await(ctx, duolinktest.OpenLoginLinkID, duolink.AwaitOptions{Grace: duolink.NoGrace})
		require.ErrorIs(t, err, duolink.ErrLoginLinkClosed)
		fake.ExpireLink(duolinktest.NamedLoginLinkID)
		_, err = client.Links.Await(ctx, duolinktest.NamedLoginLinkID, duolink.AwaitOptions{Grace: duolink.NoGrace})
		require.ErrorIs(t, err, duolink.ErrLoginLinkExpired)

		fake.ExpireTokens()
		began := time.Now()
		_, err = client.Identity.RefreshAndGet(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), 90*time.Second)
		fake.FailRefreshes(duolinktest.BankLinkID, "not_supported")
		_, err = client.Identity.RefreshAndGet(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
		require.ErrorIs(t, err, duolink.ErrRefreshFailed)
		fake.SetUnavailable(duolinktest.BankLinkID, "identity", "closed at night")
		_, err = client.Identity.RefreshAndGet(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
		require.ErrorIs(t, err, duolink.ErrProductUnavailable)
		fake.SetBankLinkState(duolinktest.BankLinkID, "error", "auth_expired")
		_, err = client.Identity.Get(ctx, duolinktest.BankLinkID, duolink.IdentityQuery{})
		require.ErrorIs(t, err, duolink.ErrBankLinkState)
	})
}

// A flow that a test leaves behind ends with the test.
func TestNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := duolinktest.New(t, duolinktest.WithRefreshTime(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := fake.Client().Identity.RefreshAndGet(ctx, duolinktest.BankLinkID, duolink.RefreshOptions{})
		require.ErrorIs(t, err, duolink.ErrRefreshPending)
	})
}

// URL serves both APIs over HTTP/1, or over HTTP/2 without TLS.
func TestURL(t *testing.T) {
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	for name, tc := range map[string]struct {
		opts   []duolinktest.Option
		client *http.Client
	}{
		"HTTP/1": {nil, &http.Client{Transport: &http.Transport{}}},
		"HTTP/2": {[]duolinktest.Option{duolinktest.WithHTTP2()}, &http.Client{Transport: h2c}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := duolinktest.New(t, tc.opts...)
			opts := []duolink.Option{
				duolink.WithSupermetrics(duolink.BearerToken(duolinktest.APIKey)),
				duolink.WithMoneyKit(duolink.ClientHeaders(duolinktest.ClientID, duolinktest.ClientSecret)),
				duolink.WithHTTPClient(tc.client),
			}
			for _, api := range []duolink.API{duolink.Supermetrics, duolink.MoneyKit, duolink.PlaidCompatible} {
				opts = append(opts, duolink.WithBaseURL(api, fake.URL(api)))
			}
			client, err := duolink.New(opts...)
			require.NoError(t, err)
			for _, op := range operations.All {
				if op.Method != nil && op.Name != "logins.revoke" { // others need the login
					require.NoError(t, op.Call(t.Context(), client), op.Name)
				}
			}
			tc.client.CloseIdleConnections()
		})
	}
}

// A request has all that was sent, and prints none of it.
func TestRequests(t *testing.T) {
	fake := duolinktest.New(t)
	link := duolink.LoginLinkCreate{DataSourceID: "GAWA", Description: "private"}
	_, err := fake.Client().Links.Create(t.Context(), link)
	require.NoError(t, err)
	_, err = fake.Client().Links.Get(t.Context(), "dsll_none")
	require.Error(t, err)
	require.Equal(t, "[links.create: 201 links.get: 404]", fmt.Sprint(fake.Requests()))
	created := fake.Requests()[0]
	require.Contains(t, created.Header.Get("Authorization"), duolinktest.APIKey)
	require.Contains(t, string(created.Body), "private")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb, created), "private")
		require.NotContains(t, fmt.Sprintf(verb, []any{&created}), duolinktest.APIKey)
	}
	require.Equal(t, 1, fake.Count("links.create"))
	require.Equal(t, 2, fake.Count(""))
}

// Limits answer as the documents say.
func TestLimits(t *testing.T) {
	fake := duolinktest.New(t, duolinktest.WithHourlyLimit(2), duolinktest.WithLinkLimit(1),
		duolinktest.WithMoneyKitLimits())
	client := fake.Client(duolink.WithRetry(duolink.Retry{MaxAttempts: 1}))
	_, err := client.Links.Create(t.Context(), duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	require.ErrorIs(t, err, duolink.ErrForbidden)
	require.Equal(t, duolink.Code("LINK_LIMIT_EXCEEDED"), errorOf(t, err).Code)
	_, err = client.Logins.List(t.Context())
	require.NoError(t, err)
	_, err = client.Logins.List(t.Context())
	require.ErrorIs(t, err, duolink.ErrRateLimited)
	for range 3 {
		_, err = client.Identity.Get(t.Context(), duolinktest.BankLinkID, duolink.IdentityQuery{})
		require.NoError(t, err)
	}
	_, err = client.Identity.Get(t.Context(), duolinktest.BankLinkID, duolink.IdentityQuery{})
	require.ErrorIs(t, err, duolink.ErrRateLimited)
}
