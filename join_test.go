package duolink

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// The numbers of an account stand apart from its balances in Plaid's dialect, and in an order of their own.
func TestForAccount(t *testing.T) {
	c := replying(t, 200, `{"accounts":[
		{"account_id":"acc_1","name":"Checking","balances":{"current":100.10,"iso_currency_code":"USD"}},
		{"account_id":"acc_2","name":"Savings"},{"account_id":"acc_3","name":"No numbers"}],
		"numbers":{"ach":[{"account_id":"acc_2","account":"0002","routing":"011401533"},{"account_id":"acc_1","account":"0001","routing":"011401533"},
			{"account_id":"acc_9","account":"0009","routing":"011401533"}],
		"eft":[{"account_id":"acc_2","account":"1112","institution":"021","branch":"01140"}],
		"international":[{"account_id":"acc_1","iban":"GB29NWBK60161331926819","bic":"NWBKGB21"}],
		"bacs":[{"account_id":"acc_2","account":"2222","sort_code":"089999"}]}}`)
	numbers, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret("access-1")})
	require.NoError(t, err)

	first, ok := numbers.ForAccount("acc_1")
	require.True(t, ok)
	require.Equal(t, []string{"acc_1", "Checking", "100.10", "USD"}, []string{first.ID, first.Name, string(first.Balances.Current), first.Balances.Currency})
	require.Equal(t, "0001", first.Numbers.ACH[0].AccountNumber.Reveal())
	require.Equal(t, "GB29NWBK60161331926819", first.Numbers.International[0].IBAN.Reveal())
	require.Equal(t, []int{1, 0, 0, 1}, []int{len(first.Numbers.ACH), len(first.Numbers.EFT), len(first.Numbers.BACS), len(first.Numbers.International)})

	second, ok := numbers.ForAccount("acc_2")
	require.True(t, ok)
	require.Equal(t, []string{"0002", "1112", "2222"}, []string{
		second.Numbers.ACH[0].AccountNumber.Reveal(), second.Numbers.EFT[0].AccountNumber.Reveal(), second.Numbers.BACS[0].AccountNumber.Reveal(),
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
	c := replying(t, 200, `{"accounts":[{"account_id":"acc_2","numbers":{"ach":[{"account_number":"0002","routing_number":"011401533"}]}},
		{"account_id":"acc_1","numbers":{}}],"link":{"link_id":"mk_1"}}`)
	numbers, err := c.Auth.Numbers(t.Context(), "mk_1")
	require.NoError(t, err)
	account, ok := numbers.ForAccount("acc_2")
	require.True(t, ok)
	require.Equal(t, "0002", account.Numbers.ACH[0].AccountNumber.Reveal())
	_, ok = numbers.ForAccount("acc_3")
	require.False(t, ok)
}

// An owner who stands at several accounts is one, with all of them.
func TestOwners(t *testing.T) {
	avery := `{"names":["Avery Sample"],"emails":[{"address":"avery@example.com","primary":true}]}`
	jordan := `{"names":["Jordan Example"],"phone_numbers":[{"number":"+15555550100","type":"home"}]}`
	c := replying(t, 200, fmt.Sprintf(`{"accounts":[{"account_id":"acc_1","owners":[%[1]s]},{"account_id":"acc_2","owners":[%[2]s,%[1]s,%[1]s]},
		{"account_id":"acc_3","owners":null},{"account_id":"acc_4","owners":[{"names":["AVERY SAMPLE"]},{}]}],"link":{}}`, avery, jordan))
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

// What has no name is not taken for the same person, and what has no id for an account.
func TestJoinsOfTheNameless(t *testing.T) {
	c := replying(t, 200, `{"accounts":[{"account_id":"acc_1","owners":[{}]},{"account_id":"acc_2","owners":[{"names":[]}]},{"owners":[{"names":["Avery"]}]}],
		"numbers":{"ach":[{"account":"0001","routing":"011401533"}]},"link":{}}`)
	who, err := c.Identity.Get(t.Context(), "mk_1", IdentityQuery{})
	require.NoError(t, err)
	owners := who.Owners()
	require.Len(t, owners, 3)
	require.Equal(t, [][]string{{"acc_1"}, {"acc_2"}, nil}, [][]string{owners[0].AccountIDs, owners[1].AccountIDs, owners[2].AccountIDs})
	numbers, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret("access-1")})
	require.NoError(t, err)
	_, ok := numbers.ForAccount("")
	require.False(t, ok)
	native, err := c.Auth.Numbers(t.Context(), "mk_1")
	require.NoError(t, err)
	_, ok = native.ForAccount("")
	require.False(t, ok)
}
