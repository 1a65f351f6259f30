package bench

import (
	"bytes"
	"fmt"
	"strings"
)

// The answers that the server gives, by name. They are written as the APIs write them.
const (
	Auth3        = "auth3"
	Auth500      = "auth500"
	Identity2    = "identity"
	Links1000    = "links"
	Accounts100k = "accounts"
	Accounts1M   = "million"
)

var payloads = map[string]func() []byte{
	Auth3:        func() []byte { return authNumbers(3) },
	Auth500:      func() []byte { return authNumbers(500) },
	Identity2:    identity,
	Links1000:    func() []byte { return loginLinks(1000) },
	Accounts100k: func() []byte { return accounts(100) },
	Accounts1M:   func() []byte { return accounts(1030) },
}

// list writes a JSON array of n items.
func list(b *bytes.Buffer, n int, item func(i int) string) {
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item(i))
	}
	b.WriteByte(']')
}

// authNumbers is an answer of POST /auth/get. Every third account has an IBAN.
func authNumbers(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"accounts":`)
	list(&b, n, func(i int) string {
		return fmt.Sprintf(`{"account_id":"acc_example_%06d","balances":{"available":%d.12,`+
			`"current":%d.50,"limit":null,`+
			`"iso_currency_code":"USD","unofficial_currency_code":null},"mask":"%04d","name":"Premier Checking %d",`+
			`"official_name":"Sample Bank Premier Checking Account","type":"depository","subtype":"checking"}`,
			i, 340+i, 445+i, i%10000, i)
	})
	b.WriteString(`,"numbers":{"ach":`)
	list(&b, n, func(i int) string {
		return fmt.Sprintf(`{"account_id":"acc_example_%06d","account":"%012d","routing":"111222333",`+
			`"wire_routing":"011222333"}`, i, 11112222+i)
	})
	b.WriteString(`,"eft":[],"bacs":[],"international":`)
	list(&b, (n+2)/3, func(i int) string {
		return fmt.Sprintf(`{"account_id":"acc_example_%06d","iban":"DE8937040044%010d","bic":"COBADEFFXXX"}`, 3*i, i)
	})
	b.WriteString(`},"item":{"item_id":"mk_example_item_0001","institution_id":"chase",` +
		`"webhook":"https://app.example.com/hooks/plaid","error":null,"available_products":["auth","identity"],` +
		`"billed_products":["auth"],"products":["auth","identity"],"consent_expiration_time":null,` +
		`"update_type":"background"},"request_id":"example-req-plaid-0001"}`)
	return b.Bytes()
}

// identity is an answer of GET /links/{id}/identity, with two accounts and three owners.
func identity() []byte {
	owner := func(name, street string) string {
		return fmt.Sprintf(`{"names":["%s","%s Sample"],"addresses":[{"city":"Springfield","country":"US",`+
			`"postal_code":"01234","region":"IL","street":"%s","primary":true},{"city":"Shelbyville","country":"US",`+
			`"postal_code":"04321","region":"IL","street":"7 Placeholder Lane","primary":false}],"phone_numbers":[`+
			`{"number":"+12025550143","primary":true,"type":"mobile"},{"number":"202-555-0199","primary":false,`+
			`"type":"home"}],"emails":[{"address":"%s@example.com","primary":true}]}`, name, name, street, name)
	}
	account := func(id, mask string, owners ...string) string {
		return fmt.Sprintf(`{"account_id":"%s","account_type":"depository.checking","name":"Premier Checking",`+
			`"nickname":"Household","account_mask":"%s","balances":{"currency":"USD",`+
			`"available":340.12,"current":445.89,`+
			`"limit":null,"balance_date":"2023-02-16"},"original_id":"original-%s","closed":false,"owners":[%s]}`,
			id, mask, mask, strings.Join(owners, ","))
	}
	product := `{"refreshed_at":"2023-02-16T09:14:11","last_attempted_at":"2023-02-16T09:14:11","error_code":null,` +
		`"error_message":null,"unavailable":null,"settings":{"required":true,"prefetch":false}}`
	two := owner("Avery", "100 Example Street") + "," + owner("Blake", "9 Sample Road")
	return []byte(`{"accounts":[` + account("acc_example_0001", "0047", two) + "," +
		account("acc_example_0002", "9912", owner("Casey", "12 Specimen Avenue")) +
		`],"link":{"link_id":"mk_example_link_0001","institution_id":"chase","institution_name":"Chase",` +
		`"institution_avatar":"iVBORw0KGgoAAAANSUhEUg==","state":"connected","error_code":null,` +
		`"last_synced_at":"2023-02-16T09:14:11","provider":"moneykit","link_tags":["customer:1001"],` +
		`"tags":["customer:1001"],"webhook":"https://app.example.com/hooks/moneykit","products":{"accounts":` +
		product + `,"identity":` + product + `},"available_products":["accounts","identity"]}}`)
}

// loginLinks is an answer of GET /ds/login/links. Nobody has used every second link.
func loginLinks(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"meta":{"request_id":"EXAMPLEREQ_links_list_0001"},"data":`)
	list(&b, n, func(i int) string {
		status, used := "OPEN", `"login_id":null,"login_time":null,"login_username":null`
		if i%2 == 0 {
			status, used = "CLOSED", fmt.Sprintf(`"login_id":"dsl_%d","login_time":"2026-04-06T11:%02d:%02d+00:00",`+
				`"login_username":"avery.sample.%d@example.com"`, i, i/60%60, i%60, i)
		}
		return fmt.Sprintf(`{"link_id":"dsll_%020d","status_code":"%s",`+
			`"description":"Onboarding of Sample Store number %d",`+
			`"ds_id":"GAWA","ds_name":"Google Analytics 4","require_username":"avery.sample.%d@example.com",`+
			`"redirect_url":"https://app.example.com/connected?tenant=%d","redirect_verifier":"example-verifier-%06d",`+
			`"user_id":"usr_%d","user_email":"blake.example@example.com",`+
			`"login_url":"https://login.example.com/link/example-login-url-%032d",`+
			`"created_time":"2026-04-06T10:%02d:%02d+00:00","expiry_time":"2026-04-07T10:%02d:%02d+00:00",%s}`,
			i, status, i, i, i, i, i, i, i/60%60, i%60, i/60%60, i%60, used)
	})
	b.WriteString(`}`)
	return b.Bytes()
}

// accounts is an answer of GET /query/accounts, with a thousand accounts for each login.
func accounts(logins int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"meta":{"request_id":"EXAMPLEREQ_query_accounts_0001","query":{"cache_minutes":60}},"data":`)
	list(&b, logins, func(i int) string {
		var all bytes.Buffer
		list(&all, 1000, func(j int) string { // a login has so many at most
			n := 1000*i + j
			return fmt.Sprintf(`{"account_id":"%010d","account_name":"Sample Store %08d","group_name":"Group %d"}`,
				n, n, j%10)
		})
		return fmt.Sprintf(`{"ds_user":"avery.%d@example.com","display_name":"Avery %d",`+
			`"cache_time":"2026-04-06T10:59:04+00:00","accounts":%s}`, i, i, all.String())
	})
	b.WriteString(`}`)
	return b.Bytes()
}
