package duolink

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// The numbers of the samples.
var (
	ach = ACHNumber{
		AccountNumber: NewSensitive("000011112222"), RoutingNumber: "111222333", WireRoutingNumber: "011222333",
	}
	eft  = EFTNumber{AccountNumber: NewSensitive("0011223"), InstitutionNumber: "021", BranchNumber: "01140"}
	bacs = BACSNumber{AccountNumber: NewSensitive("55555555"), SortCode: "201555"}
	gb   = InternationalNumber{IBAN: NewSensitive("GB33BUKB20201555555555"), BIC: "BUKBGB22XXX"}
	de   = InternationalNumber{IBAN: NewSensitive("DE89370400440532013000"), BIC: "COBADEFFXXX"}
)

// of puts an account id on a number, as /auth/get has it.
func of[N ACHNumber | EFTNumber | BACSNumber | InternationalNumber](id string, n N) N {
	switch n := any(&n).(type) {
	case *ACHNumber:
		n.AccountID = id
	case *EFTNumber:
		n.AccountID = id
	case *BACSNumber:
		n.AccountID = id
	case *InternationalNumber:
		n.AccountID = id
	}
	return n
}

func TestGoldenAuthGet(t *testing.T) {
	const (
		one, two = "acc_example_0001", "acc_example_0002"
		plaid    = "exampleAccountId0000000000000000000001"
		item     = "mk_example_item_0001"
		relogin  = "the login details of this item have changed and a user login is required " +
			"to update this information"
		something = "<string>"
	)
	premier := PlaidAccount{
		ID: one, Balances: Balances{Currency: "USD", Available: "340.12", Current: "445.89", Limit: "500"},
		Mask: "0047", Name: "Premier Checking", Type: AccountTypeDepository, Subtype: "checking",
	}
	tokenless := of(plaid, ach)
	tokenless.Tokenized, tokenless.CanTransferIn, tokenless.CanTransferOut = "false", "true", "true"
	inError := premier
	inError.Balances.Limit = ""
	goldens(t, "auth.get", func(ctx context.Context, c *Client) (*PlaidNumbers, error) {
		return c.Auth.Get(ctx, AuthQuery{AccessToken: NewSecret("access-test-0001")})
	}, map[string]check[*PlaidNumbers]{
		"sample.json": func(t *testing.T, got *PlaidNumbers, err error) {
			is(&PlaidNumbers{
				Accounts: []PlaidAccount{premier, {
					ID: two, Balances: Balances{Currency: "GBP", Available: "1000", Current: "1200.50",
						Limit: "2000.00"},
					Mask: "X9B2", Name: "Sample Savings", Type: AccountTypeDepository, Subtype: "savings",
				}},
				Numbers: NumbersByScheme{
					ACH: []ACHNumber{of(one, ach)}, EFT: []EFTNumber{of(one, eft)}, BACS: []BACSNumber{of(two, bacs)},
					International: []InternationalNumber{of(one, de), of(two, gb)},
				},
				Item: Item{
					ID: item, InstitutionID: "chase", Webhook: "https://app.example.com/hooks/plaid",
					Error: ItemError{
						Type: PlaidErrorTypeItemError, Code: CodeItemLoginRequired, Message: relogin,
						DisplayMessage: "Please sign in to your bank again.", RequestID: "example-req-plaid-0001",
						Status:           400,
						DocumentationURL: "https://docs.example.com/errors/item/#item_login_required",
						SuggestedAction:  "Send the user through the update flow.",
						Causes: []ItemErrorCause{{
							Type: PlaidErrorTypeItemError, Code: "INVALID_CREDENTIALS",
							Message: "the provided credentials were not correct",
						}},
					},
					AvailableProducts: []PlaidProduct{PlaidProductBalance, PlaidProductIdentity},
					BilledProducts:    []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
					Products:          []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
					ConsentedProducts: []PlaidProduct{
						PlaidProductAuth, PlaidProductBalance, PlaidProductIdentity, PlaidProductTransactions,
					},
				},
				RequestID: "example-req-auth-get-0001",
			})(t, got, err)
			require.Equal(t, "000011112222", got.Numbers.ACH[0].AccountNumber.Reveal())
			require.Equal(t, "0011223", got.Numbers.EFT[0].AccountNumber.Reveal())
			require.Equal(t, "55555555", got.Numbers.BACS[0].AccountNumber.Reveal())
			require.Equal(t, "DE89370400440532013000", got.Numbers.International[0].IBAN.Reveal())
		},
		"absent.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{{ID: one, Name: "Premier Checking", Type: AccountTypeDepository}, {ID: two}},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{AccountID: one, AccountNumber: NewSensitive("000011112222"),
					RoutingNumber: "111222333"}},
			},
			Item: Item{ID: item},
		}),
		"absent_all.json": is(&PlaidNumbers{Accounts: []PlaidAccount{}}),
		"error_on_200.json": func(t *testing.T, got *PlaidNumbers, err error) {
			require.Nil(t, got)
			require.ErrorIs(t, err, ErrBankLinkState)
			e := asError(t, err)
			require.Equal(t, PlaidErrorTypeItemError, e.PlaidType)
			require.Equal(t, CodeProductNotReady, e.Code)
			require.Equal(t, "the requested product is not yet ready. "+
				"please provide a webhook or try the request again later",
				e.Message)
			require.Equal(t, "example-req-auth-get-0003", e.RequestID)
			require.Equal(t, "https://docs.example.com/errors/item/#product_not_ready", e.DocumentationURL)
			require.Equal(t, 200, e.StatusCode)
		},
		"item_error.json": is(&PlaidNumbers{ // data, not an error
			Accounts: []PlaidAccount{inError},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{AccountID: one, AccountNumber: NewSensitive("000011112222"),
					RoutingNumber: "111222333"}},
				EFT: []EFTNumber{}, BACS: []BACSNumber{}, International: []InternationalNumber{},
			},
			Item: Item{
				ID: item, InstitutionID: "chase",
				Error: ItemError{
					Type: PlaidErrorTypeItemError, Code: CodeItemLoginRequired, Message: relogin, Status: 400,
				},
				AvailableProducts: []PlaidProduct{PlaidProductBalance},
				BilledProducts:    []PlaidProduct{PlaidProductAuth},
			},
			RequestID: "example-req-auth-get-0004",
		}),
		"null.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{{ID: one, Type: AccountTypeDepository}, {ID: two}},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{AccountID: one}}, EFT: []EFTNumber{{AccountID: one}},
				BACS:          []BACSNumber{{AccountID: one}},
				International: []InternationalNumber{{AccountID: one}},
			},
			Item: Item{ID: item},
		}),
		"null_error_members.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{},
			Item:     Item{ID: item, Error: ItemError{Type: PlaidErrorTypeItemError, Code: CodeItemLoginRequired}},
		}),
		"null_objects.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{{ID: one, Name: "Premier Checking", Type: AccountTypeDepository}},
		}),
		"placeholder_sample.json": is(&PlaidNumbers{ // as published: an object stands where the subtype should
			Accounts: []PlaidAccount{{
				ID: something, Balances: Balances{Currency: something, Available: "123", Current: "123", Limit: "123"},
				Mask: something, Name: something, Type: something,
			}},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{{
					AccountID: something, AccountNumber: NewSensitive(something), RoutingNumber: something,
					WireRoutingNumber: something,
				}},
				EFT: []EFTNumber{{
					AccountID: something, AccountNumber: NewSensitive(something), InstitutionNumber: something,
					BranchNumber: something,
				}},
				BACS: []BACSNumber{{AccountID: something, AccountNumber: NewSensitive(something),
					SortCode: something}},
				International: []InternationalNumber{{AccountID: something, IBAN: NewSensitive(something),
					BIC: something}},
			},
			Item: Item{
				ID: something, InstitutionID: something, Webhook: something,
				Error: ItemError{
					Type: something, Code: something, Message: something, DisplayMessage: something,
					RequestID: something, Status: 123,
					DocumentationURL: something, SuggestedAction: something,
					Causes: []ItemErrorCause{}, // an empty object is no cause
				},
				AvailableProducts: []PlaidProduct{something}, BilledProducts: []PlaidProduct{something},
				Products: []PlaidProduct{something}, ConsentedProducts: []PlaidProduct{something},
			},
			RequestID: something,
		}),
		"plaid_sample.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{
				{
					ID: plaid, Balances: Balances{Currency: "USD", Available: "100", Current: "110"}, Mask: "9606",
					Name: "Sample Checking", OfficialName: "Sample Gold Standard 0% Interest Checking",
					Type: AccountTypeDepository, Subtype: "checking",
					PersistentAccountID: "example-persistent-account-id-0001",
					VerificationStatus:  "automatically_verified",
				},
				{
					ID:       "exampleAccountId0000000000000000000002",
					Balances: Balances{Current: "23631.9805", UnofficialCurrency: "BTC"},
					Name:     "Sample 401k", Type: AccountTypeInvestment,
					Subtype: "401k",
				},
			},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{tokenless}, EFT: []EFTNumber{of(plaid, eft)}, BACS: []BACSNumber{of(plaid, bacs)},
				International: []InternationalNumber{of(plaid, gb)},
			},
			Item: Item{
				ID: "exampleItemId00000000000000000000000001", InstitutionID: "ins_example_1",
				Webhook:           "https://app.example.com/hooks/plaid",
				AvailableProducts: []PlaidProduct{PlaidProductBalance, PlaidProductIdentity, "investments"},
				BilledProducts:    []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
				Products:          []PlaidProduct{PlaidProductAuth, PlaidProductTransactions},
				ConsentedProducts: []PlaidProduct{PlaidProductAuth, PlaidProductIdentity},
				InstitutionName:   "Sample Platypus Bank", AuthMethod: AuthMethodInstantAuth,
				UpdateType: UpdateTypeBackground, ConsentExpirationTime: stamp("2026-12-31T23:59:59Z"),
			},
			RequestID: "example-req-auth-get-0002",
		}),
		"unknown.json": is(&PlaidNumbers{
			Accounts: []PlaidAccount{
				{
					ID: one, Balances: Balances{Currency: "840", Available: "340.12"}, Mask: "47",
					Name: "Premier Checking",
					Type: "depository.spaceship",
				},
				{ID: "1002"},
				{
					ID: "acc_example_0003", Balances: Balances{Currency: "USD", Available: "500", Current: "500"},
					Mask: "0099",
					Name: "Sample Savings", Type: AccountTypeDepository, Subtype: "moon savings",
				},
			},
			Numbers: NumbersByScheme{
				ACH: []ACHNumber{
					{AccountID: one, AccountNumber: NewSensitive("000011112222"), RoutingNumber: "111222333"},
					{AccountID: "1002", AccountNumber: NewSensitive("11112222")},
				},
				EFT:           []EFTNumber{of(one, eft)},
				International: []InternationalNumber{{AccountID: "acc_example_0003", IBAN: de.IBAN}},
			},
			Item: Item{
				ID: item, InstitutionID: "7",
				AvailableProducts: []PlaidProduct{PlaidProductBalance, "crypto", PlaidProductIdentity},
				BilledProducts:    []PlaidProduct{PlaidProductAuth, "7"},
			},
			RequestID: "1001",
		}),
	})
}

func TestGoldenAuthNumbers(t *testing.T) {
	none := NumbersByScheme{
		ACH: []ACHNumber{}, EFT: []EFTNumber{}, BACS: []BACSNumber{}, International: []InternationalNumber{},
	}
	savings, checking := none, none
	savings.BACS, savings.International = []BACSNumber{bacs}, []InternationalNumber{gb}
	checking.ACH, checking.EFT, checking.International = []ACHNumber{ach}, []EFTNumber{eft}, []InternationalNumber{de}
	goldens(t, "auth.numbers", func(ctx context.Context, c *Client) (*BankNumbers, error) {
		return c.Auth.Numbers(ctx, bankLink)
	}, map[string]check[*BankNumbers]{
		"sample.json": is(&BankNumbers{Link: chase(), Accounts: []BankAccountWithNumbers{
			{
				BankAccount: BankAccount{
					ID: "acc_example_0002", Type: "depository.savings", Name: "Sample Savings", Nickname: "Rainy days",
					Mask: "X9B2",
					Balances: Balances{
						Currency: "GBP", Available: "500", Current: "500", Limit: "1000.00",
						BalanceDate: stamp("2023-02-16", "2023-02-16T00:00:00Z"),
					},
					OriginalID: "original-0002",
				},
				Numbers: savings,
			},
			{
				BankAccount: BankAccount{
					ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking",
					Nickname: "Household", Mask: "0047",
					Balances: Balances{Currency: "USD", Available: "340.12", Current: "445.89", Limit: "500",
						BalanceDate: synced},
					OriginalID: "original-0001",
				},
				Numbers: checking,
			},
		}}),
		"absent.json": is(&BankNumbers{Link: plainLink(), Accounts: []BankAccountWithNumbers{
			{
				BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking", Name: "Premier Checking"},
				Numbers: NumbersByScheme{
					ACH:           []ACHNumber{{AccountNumber: ach.AccountNumber, RoutingNumber: "111222333"}},
					International: []InternationalNumber{{IBAN: de.IBAN}},
				},
			},
			{BankAccount: BankAccount{ID: "acc_example_0002", Type: "depository.savings", Name: "Sample Savings"}},
			{BankAccount: BankAccount{ID: "acc_example_0003"}},
		}}),
		"null.json": is(&BankNumbers{
			Link: BankLink{ID: bankLink, InstitutionID: "chase", State: BankLinkConnected},
			Accounts: []BankAccountWithNumbers{
				{
					BankAccount: BankAccount{ID: "acc_example_0001", Type: "depository.checking"},
					Numbers: NumbersByScheme{
						ACH: []ACHNumber{{}}, EFT: []EFTNumber{{}}, BACS: []BACSNumber{{}},
						International: []InternationalNumber{{}},
					},
				},
				{BankAccount: BankAccount{ID: "acc_example_0002"}},
				{BankAccount: BankAccount{ID: "acc_example_0003"}},
			},
		}),
		"null_lists.json": is(&BankNumbers{}),
		"timestamps.json": func(t *testing.T, got *BankNumbers, err error) {
			require.NoError(t, err)
			require.Len(t, got.Accounts, len(bankNotations))
			for _, a := range got.Accounts {
				require.Contains(t, bankNotations, a.ID)
				sameStamps(t, bankNotations[a.ID], a.Balances.BalanceDate)
			}
			require.Equal(t, notedLink(), got.Link)
		},
		"unknown.json": is(&BankNumbers{
			Link: plainLink(func(l *BankLink) {
				l.State, l.ErrorCode, l.Provider = "hibernating", "spaceship_error", "acme"
				l.LinkTags = []string{"customer:1001", "7"}
				l.Products = map[Product]ProductStatus{
					ProductAccountNumbers: {
						RefreshedAt: stamp("2023-02-16T09:15:02", "2023-02-16T09:15:02Z"), ErrorCode: "solar_flare",
					},
					"crypto":   {RefreshedAt: stamp("2023-02-16T09:18:05", "2023-02-16T09:18:05Z")},
					"x_object": {},
				}
				l.AvailableProducts = []Product{ProductIdentity, "crypto"}
			}),
			Accounts: []BankAccountWithNumbers{
				{
					BankAccount: BankAccount{
						ID: "acc_example_0001", Type: "depository.spaceship", Name: "Premier Checking", Nickname: "7",
						Mask:     "47",
						Balances: Balances{Currency: "USD", Available: "340.12"}, OriginalID: "1001",
					},
					Numbers: NumbersByScheme{
						ACH:           []ACHNumber{{AccountNumber: ach.AccountNumber, RoutingNumber: "111222333"}},
						EFT:           []EFTNumber{{AccountNumber: eft.AccountNumber, InstitutionNumber: "021"}},
						BACS:          []BACSNumber{bacs},
						International: []InternationalNumber{{IBAN: gb.IBAN}},
					},
				},
				{BankAccount: BankAccount{ID: "1002"}},
				{BankAccount: BankAccount{ID: "acc_example_0003", Type: "depository.savings", Name: "Sample Savings"}},
				{
					BankAccount: BankAccount{
						ID: "acc_example_0004", Type: "depository.checking", Name: "Sample Checking",
						Balances: Balances{Currency: "EUR", Available: "500", Current: "500"},
					},
					Numbers: NumbersByScheme{International: []InternationalNumber{de}},
				},
			},
		}),
	})
}

// Plaid's dialect lists the numbers apart from the accounts, and in another order.
func TestForAccount(t *testing.T) {
	c := replying(t, 200, `{"accounts":[
		{"account_id":"acc_1","name":"Checking","balances":{"current":100.10,"iso_currency_code":"USD"}},
		{"account_id":"acc_2","name":"Savings"},{"account_id":"acc_3","name":"No numbers"}],
		"numbers":{"ach":[{"account_id":"acc_2","account":"0002","routing":"011401533"},`+
		`{"account_id":"acc_1","account":"0001","routing":"011401533"},
			{"account_id":"acc_9","account":"0009","routing":"011401533"}],
		"eft":[{"account_id":"acc_2","account":"1112","institution":"021","branch":"01140"}],
		"international":[{"account_id":"acc_1","iban":"GB29NWBK60161331926819","bic":"NWBKGB21"}],
		"bacs":[{"account_id":"acc_2","account":"2222","sort_code":"089999"}]}}`)
	numbers, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret("access-1")})
	require.NoError(t, err)

	first, ok := numbers.ForAccount("acc_1")
	require.True(t, ok)
	require.Equal(t, []string{"acc_1", "Checking", "100.10", "USD"},
		[]string{first.ID, first.Name, string(first.Balances.Current), first.Balances.Currency})
	require.Equal(t, "0001", first.Numbers.ACH[0].AccountNumber.Reveal())
	require.Equal(t, "GB29NWBK60161331926819", first.Numbers.International[0].IBAN.Reveal())
	require.Equal(t, []int{1, 0, 0, 1},
		[]int{len(first.Numbers.ACH), len(first.Numbers.EFT), len(first.Numbers.BACS),
			len(first.Numbers.International)})

	second, ok := numbers.ForAccount("acc_2")
	require.True(t, ok)
	require.Equal(t, []string{"0002", "1112", "2222"}, []string{
		second.Numbers.ACH[0].AccountNumber.Reveal(), second.Numbers.EFT[0].AccountNumber.Reveal(),
		second.Numbers.BACS[0].AccountNumber.Reveal(),
	})
	third, ok := numbers.ForAccount("acc_3")
	require.True(t, ok, "an account without numbers is one")
	require.Zero(t, third.Numbers)
	for _, id := range []string{"acc_9", "acc_", ""} {
		_, ok = numbers.ForAccount(id)
		require.False(t, ok, id)
	}
}

func TestForAccountOfTheNativeNumbers(t *testing.T) {
	c := replying(t, 200,
		`{"accounts":[{"account_id":"acc_2","numbers":{"ach":[{"account_number":"0002","routing_number":"011401533"}]}},
		{"account_id":"acc_1","numbers":{}}],"link":{"link_id":"mk_1"}}`)
	numbers, err := c.Auth.Numbers(t.Context(), "mk_1")
	require.NoError(t, err)
	account, ok := numbers.ForAccount("acc_2")
	require.True(t, ok)
	require.Equal(t, "0002", account.Numbers.ACH[0].AccountNumber.Reveal())
	_, ok = numbers.ForAccount("acc_3")
	require.False(t, ok)
}
