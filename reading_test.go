package duolink

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

// Of a member that stands there twice the last counts that brings something, as in encoding/json.
func TestDuplicateKeys(t *testing.T) {
	link, err := replying(t, 200, `{"data":{"link_id":"first","description":"first","link_id":"dsll_2","description":null,"status_code":"OPEN","status_code":{}}}`).Links.Get(t.Context(), "dsll_1")
	require.NoError(t, err)
	require.Equal(t, &LoginLink{ID: "dsll_2", Description: "first", Status: LoginLinkOpen}, link)

	link, err = replying(t, 200, `{"data":{"link_id":"first","ds_id":"GAWA"},"data":{"link_id":"dsll_2"}}`).Links.Get(t.Context(), "dsll_1")
	require.NoError(t, err)
	require.Equal(t, "dsll_2", link.ID)

	list, err := replying(t, 200, `{"data":[{"login_id":"dsl_1"},{"login_id":"dsl_2"}],"data":[{"login_id":"dsl_3"}]}`).Logins.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Login{{ID: "dsl_3"}}, list)

	bank, err := replying(t, 200, `{"link_id":"mk_1","link_tags":["a"],"link_tags":["b"],"products":{"identity":{"error_code":"timeout"}},"products":{"accounts":{}}}`).Identity.Link(t.Context(), bankLink)
	require.NoError(t, err)
	require.Equal(t, &BankLink{ID: "mk_1", LinkTags: []string{"b"}, Products: map[Product]ProductStatus{ProductAccounts: {}}}, bank)

	who, err := replying(t, 200, `{"accounts":[{"account_id":"1"}],"accounts":[{"account_id":"2","account_id":"3"}],"link":{"link_id":"mk_1"}}`).Identity.Get(t.Context(), bankLink, IdentityQuery{})
	require.NoError(t, err)
	require.Equal(t, []BankAccountWithOwners{{BankAccount: BankAccount{ID: "3"}}}, who.Accounts)
}

// Behind the JSON there is white space or nothing.
func TestTrailingData(t *testing.T) {
	for operation := range calls {
		body := answers[operation]
		if operation == "links.close" { // which takes anything
			continue
		}
		for _, space := range []string{"", " ", "\n", "\r\n\t ", strings.Repeat(" ", 200_000)} {
			require.NoError(t, calls[operation](t.Context(), replying(t, 200, space+body+space)), operation)
		}
		for _, trailing := range []string{"x", "{}", " {}", "[]", "null", "1", `""`, ",", "}", "]", ";", "\x00", "\xef\xbb\xbf", "\n" + body, strings.Repeat(" ", 200_000) + "x", "<!-- -->", "\u00a0"} {
			err := calls[operation](t.Context(), replying(t, 200, body+trailing))
			require.ErrorIs(t, err, ErrMalformedResponse, "%s %q", operation, trailing[max(0, len(trailing)-20):])
		}
	}
}

// Invalid bytes become what encoding/json makes of them, in every helper, in keys, and across the edges of a stream's buffer.
func TestInvalidUTF8AsInEncodingJSON(t *testing.T) {
	invalid := []string{"\xff", "a\xffb", "\xff\xfe\xfd", "\xc3\x28", "\xe2\x82", "\xe2\x28\xa1", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\x80", "\xf5\x80\x80\x80", `\ud800`, `\udc00\ud800`, `\ud83d\ude00`, "é\x80", `\u0000`, `\/`}
	for _, raw := range invalid {
		t.Run(fmt.Sprintf("%q", raw), func(t *testing.T) {
			var want string
			require.NoError(t, json.Unmarshal([]byte(`"`+raw+`"`), &want))
			quoted := `"` + raw + `"`
			var texts struct {
				Text  string    `json:"text"`
				Time  Timestamp `json:"time"`
				Texts []string  `json:"texts"`
			}
			document := `{"text":` + quoted + `,"time":` + quoted + `,"texts":[` + quoted + `,"x"]}`
			require.NoError(t, byTags.Read(wire.Document([]byte(document), 0), &texts))
			require.Equal(t, want, texts.Text)
			require.Equal(t, want, texts.Time.Text())
			require.Equal(t, []string{want, "x"}, texts.Texts)
			var s Sensitive
			require.NoError(t, s.UnmarshalJSON([]byte(quoted)))
			require.Equal(t, want, s.Reveal())

			var std map[string]any
			body := `{"link_id":"mk_1","products":{` + quoted + `:{}}}`
			require.NoError(t, json.Unmarshal([]byte(body), &std))
			link, err := replying(t, 200, body).Identity.Link(t.Context(), bankLink)
			require.NoError(t, err)
			require.Len(t, std["products"], 1)
			for key := range std["products"].(map[string]any) {
				require.Contains(t, link.Products, Product(key))
			}

			for pad := 64<<10 - 60; pad < 64<<10+4; pad++ {
				body := `{"data":[{"ds_user":"u","display_name":"d","cache_time":null,"accounts":[{"x":"` + strings.Repeat(" ", pad-70) + `","account_name":` + quoted + `}]}]}`
				all, err := collect(t, replying(t, 200, body).Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
				require.NoError(t, err)
				require.Equal(t, want, all[0].Name, pad)
			}
		})
	}
}
