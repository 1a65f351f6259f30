package duolink

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGoldenIdentityGet(t *testing.T) {
	names := func(all ...string) (names []Sensitive) {
		for _, n := range all {
			names = append(names, NewSensitive(n))
		}
		return names
	}
	springfield := Address{
		Street: NewSensitive("100 Example Street, Apt. 2"), City: "Springfield", Region: "IL",
		PostalCode: NewSensitive("01234"), Country: "US", Primary: true,
	}
	sample := &Identity{
		Link: chase(),
		Accounts: []BankAccountWithOwners{
			{
				BankAccount: BankAccount{
					ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking",
					Nickname: "Household", Mask: "0047",
					Balances: Balances{
						Currency: "USD", Available: "340.12", Current: "445.89", Limit: "500",
						BalanceDate: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
					},
					OriginalID: "original-0001",
				},
				Owners: []Owner{
					{
						Names: names("Avery Sample", "A. Sample"),
						Addresses: []Address{springfield, {
							Street: NewSensitive("7 Placeholder Lane"), City: "Shelbyville", Region: "IL",
							PostalCode: NewSensitive("04321"), Country: "US",
						}},
						PhoneNumbers: []PhoneNumber{
							{Number: NewSensitive("+12025550143"), Type: PhoneTypeMobile, Primary: true},
							{Number: NewSensitive("202-555-0199"), Type: PhoneTypeHome},
						},
						Emails: []Email{{Address: avery, Primary: true},
							{Address: NewSensitive("avery.work@example.com")}},
					},
					{
						Names:     names("Blake Example"),
						Addresses: []Address{springfield},
						PhoneNumbers: []PhoneNumber{{Number: NewSensitive("(202) 555-0110"), Type: PhoneTypeWork,
							Primary: true}},
						Emails: []Email{{Address: blake, Primary: true}},
					},
				},
			},
			{
				BankAccount: BankAccount{
					ID: "acc_example_0002", Type: "liability.credit_card", Name: "Sample Rewards Card",
					Nickname: "Card", Mask: "X9B2",
					Balances: Balances{
						Currency: "USD", Available: "4500", Current: "1200.50", Limit: "5700.50", BalanceDate: synced,
					},
					OriginalID: "original-0002", Closed: true,
				},
				Owners: []Owner{{
					Names: names("Avery Sample"), Addresses: []Address{},
					PhoneNumbers: []PhoneNumber{{Number: NewSensitive("+12025550111"), Type: PhoneTypeOther,
						Primary: true}},
					Emails: []Email{},
				}},
			},
		},
	}
	goldens(t, "identity.get", func(ctx context.Context, c *Client) (*Identity, error) {
		return c.Identity.Get(ctx, bankLink, IdentityQuery{})
	}, map[string]check[*Identity]{
		"sample.json": func(t *testing.T, got *Identity, err error) {
			is(sample)(t, got, err)
			owner := got.Accounts[0].Owners[0]
			require.Equal(t, "Avery Sample", owner.Names[0].Reveal())
			require.Equal(t, "100 Example Street, Apt. 2", owner.Addresses[0].Street.Reveal())
			require.Equal(t, "01234", owner.Addresses[0].PostalCode.Reveal())
			require.Equal(t, "+12025550143", owner.PhoneNumbers[0].Number.Reveal())
			require.Equal(t, "avery.sample@example.com", owner.Emails[0].Address.Reveal())
		},
		"absent.json": is(&Identity{Link: plainLink(), Accounts: []BankAccountWithOwners{
			{
				BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking"},
				Owners: []Owner{
					{Names: []Sensitive{}, Addresses: []Address{}, PhoneNumbers: []PhoneNumber{}, Emails: []Email{}},
					{
						Names: names("Avery Sample"), Addresses: []Address{{}},
						PhoneNumbers: []PhoneNumber{{Number: NewSensitive("+12025550143"), Type: PhoneTypeMobile}},
						Emails:       []Email{{Address: avery}},
					},
				},
			},
			{BankAccount: BankAccount{ID: "acc_example_0002"}},
		}}),
		"null.json": is(&Identity{
			Link: BankLink{ID: bankLink, InstitutionID: "chase", State: BankLinkConnected},
			Accounts: []BankAccountWithOwners{
				{
					BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking"},
					Owners: []Owner{{}, {
						Names: []Sensitive{}, Addresses: []Address{{}}, PhoneNumbers: []PhoneNumber{{}},
						Emails: []Email{{}},
					}},
				},
				{BankAccount: BankAccount{ID: "acc_example_0002"}},
			},
		}),
		"null_lists.json": is(&Identity{}),
		"money.json": func(t *testing.T, got *Identity, err error) {
			require.NoError(t, err)
			want := map[string]Decimal{
				"decimal": "340.12", "integer": "500", "exponent": "1e-05", "large": "12345678901234567.89",
				"string": "1200.50",
				"null":   "", "not_a_number": "n/a", "minus_zero": "-0.00",
			}
			require.Len(t, got.Accounts, len(want))
			for _, a := range got.Accounts {
				require.Contains(t, want, a.ID)
				for _, d := range []Decimal{a.Balances.Available, a.Balances.Current, a.Balances.Limit} {
					require.Equal(t, want[a.ID], d, a.ID)
				}
			}
		},
		"timestamps.json": func(t *testing.T, got *Identity, err error) {
			require.NoError(t, err)
			require.Len(t, got.Accounts, len(bankNotations))
			for _, a := range got.Accounts {
				require.Contains(t, bankNotations, a.ID)
				sameStamps(t, bankNotations[a.ID], a.Balances.BalanceDate)
				require.Equal(t, []Owner{}, a.Owners)
			}
			require.Equal(t, notedLink(), got.Link)
		},
		"unknown.json": is(&Identity{
			Link: plainLink(func(l *BankLink) {
				l.State, l.ErrorCode, l.Provider = "hibernating", "spaceship_error", "acme"
				l.LinkTags = []string{"customer:1001", "7"}
				l.Products = map[Product]ProductStatus{
					ProductIdentity: {RefreshedAt: stamp("2023-02-16T09:16:03", "2023-02-16T09:16:03Z"),
						ErrorCode: "solar_flare"},
					"crypto":   {RefreshedAt: stamp("2023-02-16T09:18:05", "2023-02-16T09:18:05Z")},
					"x_object": {},
				}
				l.AvailableProducts = []Product{ProductIdentity, "crypto", "7"}
			}),
			Accounts: []BankAccountWithOwners{
				{
					BankAccount: BankAccount{
						ID: "acc_example_0001", Type: "depository.spaceship", Name: "Premier Checking", Nickname: "7",
						Mask:     "47",
						Balances: Balances{Currency: "USD", Available: "340.12"}, OriginalID: "1001",
					},
					Owners: []Owner{
						{
							Names: names("Avery Sample", "7", "A. Sample"),
							Addresses: []Address{
								{City: "Springfield", Country: "US", PostalCode: NewSensitive("62701"), Primary: true},
								{City: "Shelbyville", Country: "US"},
							},
							PhoneNumbers: []PhoneNumber{
								{Number: NewSensitive("+12025550143"), Type: "satellite", Primary: true},
								{Number: NewSensitive("2025550199")},
							},
							Emails: []Email{{Address: avery, Primary: true}, {}},
						},
						{},
					},
				},
				{BankAccount: BankAccount{ID: "1002"}},
				{
					BankAccount: BankAccount{
						ID: "acc_example_0003", Type: "depository.savings", Name: "Sample Savings",
						Balances: Balances{
							Currency: "USD", Available: "500", Current: "500",
							BalanceDate: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
						},
					},
					Owners: []Owner{},
				},
			},
		}),
	})
}

// An owner of several accounts is one owner with all of them.
func TestOwners(t *testing.T) {
	avery := `{"names":["Avery Sample"],"emails":[{"address":"avery@example.com","primary":true}]}`
	jordan := `{"names":["Jordan Example"],"phone_numbers":[{"number":"+15555550100","type":"home"}]}`
	c := replying(t, 200, fmt.Sprintf(`{"accounts":[{"account_id":"acc_1","owners":[%[1]s]},`+
		`{"account_id":"acc_2","owners":[%[2]s,%[1]s,%[1]s]},
		{"account_id":"acc_3","owners":null},`+
		`{"account_id":"acc_4","owners":[{"names":["AVERY SAMPLE"]},{}]}],"link":{}}`, avery, jordan))
	who, err := c.Identity.Get(t.Context(), "mk_1", IdentityQuery{})
	require.NoError(t, err)
	owners := who.Owners()
	got := map[string][]string{}
	for _, o := range owners {
		name := ""
		if len(o.Names) > 0 {
			name = o.Names[0].Reveal()
		}
		got[name] = o.AccountIDs
	}
	require.Equal(t, map[string][]string{
		"Avery Sample": {"acc_1", "acc_2"}, "Jordan Example": {"acc_2"}, "AVERY SAMPLE": {"acc_4"}, "": {"acc_4"},
	}, got)
	require.Equal(t, "avery@example.com", owners[0].Emails[0].Address.Reveal())
	require.Empty(t, (&Identity{}).Owners())
}

// Two owners without a name are not the same person, and an account without an id is not listed.
func TestJoinsOfTheNameless(t *testing.T) {
	c := replying(t, 200, `{"accounts":[{"account_id":"acc_1","owners":[{}]},`+
		`{"account_id":"acc_2","owners":[{"names":[]}]},{"owners":[{"names":["Avery"]}]}],
		"numbers":{"ach":[{"account":"0001","routing":"011401533"}]},"link":{}}`)
	who, err := c.Identity.Get(t.Context(), "mk_1", IdentityQuery{})
	require.NoError(t, err)
	owners := who.Owners()
	require.Len(t, owners, 3)
	require.Equal(t, [][]string{{"acc_1"}, {"acc_2"}, nil},
		[][]string{owners[0].AccountIDs, owners[1].AccountIDs, owners[2].AccountIDs})
	numbers, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret("access-1")})
	require.NoError(t, err)
	_, ok := numbers.ForAccount("")
	require.False(t, ok)
	native, err := c.Auth.Numbers(t.Context(), "mk_1")
	require.NoError(t, err)
	_, ok = native.ForAccount("")
	require.False(t, ok)
}
