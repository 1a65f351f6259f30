package duolink

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

// Invalid UTF-8 and invalid escapes become what encoding/json makes of them.
func TestInvalidUTF8(t *testing.T) {
	for _, raw := range []string{
		"a\xffb", "\xff\xff\xff", "tail\xe2\x82", "\xed\xa0\x80 surrogate", "\xc0\xaf overlong", "\xf5\x80\x80\x80",
		"\xe2\x28\xa1",
		`\ud83d`, `\ud83d\ude00`, `\ude00\ud83d`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, "ok \xf0\x9f\x98\x80 \xf0\x9f",
	} {
		t.Run(fmt.Sprintf("%q", raw), func(t *testing.T) {
			var want string
			require.NoError(t, json.Unmarshal([]byte(`"`+raw+`"`), &want))
			c := replying(t, 200, `{"data":{"link_id":"dsll_1","description":"`+raw+`","user_email":"`+raw+`"}}`)
			link, err := c.Links.Get(t.Context(), "dsll_1")
			require.NoError(t, err)
			require.Equal(t, want, link.Description)
			require.Equal(t, want, link.UserEmail.Reveal())
		})
	}
}

// A byte order mark is skipped in every kind of answer, even if it arrives in small pieces.
func TestByteOrderMark(t *testing.T) {
	const bom = "\xef\xbb\xbf"
	in := func(status int, file string, slow bool) *Client {
		c, _ := inMemory(t, func(*http.Request) *http.Response {
			r := reply(status, bom+golden(t, file))
			if slow {
				r.Body = io.NopCloser(iotest.OneByteReader(r.Body))
			}
			return r
		})
		return c
	}
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("slow=%v", slow), func(t *testing.T) {
			link, err := in(200, "links.get/sample.json", slow).Links.Get(t.Context(), "dsll_1")
			require.NoError(t, err)
			require.Equal(t, "dsll_1", link.ID)

			_, err = in(403, "errors/supermetrics_envelope.json", slow).Links.Get(t.Context(), "dsll_1")
			require.Equal(t, CodeForbidden, asError(t, err).Code)
			require.Equal(t, "EXAMPLEREQ_error_0001", asError(t, err).RequestID)

			query := AccountsQuery{DataSourceID: "GAWA"}
			c := in(200, "logins.query_accounts/sample.json", slow)
			all, err := collect(t, c.Logins.StreamAccounts(t.Context(), query))
			require.NoError(t, err)
			require.Len(t, all, 3)
		})
	}
}

// A proxy may compress although the transport, which somebody else configured, did not ask for it
// and does not undo it.
func TestGzip(t *testing.T) {
	in := func(status int, body string) *Client {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write([]byte(body))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return replying(t, status, b.String(), "Content-Encoding", "gzip")
	}
	logins, err := in(200, golden(t, "logins.list/bom.json")).Logins.List(t.Context())
	require.NoError(t, err)
	require.Len(t, logins, 1)

	c := in(200, golden(t, "logins.query_accounts/sample.json"))
	all, err := collect(t, c.Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
	require.NoError(t, err)
	require.Len(t, all, 3)

	_, err = in(404, golden(t, "errors/supermetrics_flat.json")).Links.Get(t.Context(), "dsll_1")
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, CodeLinkNotFound, asError(t, err).Code)
}

// Some servers label even an answer without content as compressed. There is nothing in it to undo.
func TestGzipWithoutContent(t *testing.T) {
	for _, status := range []int{200, 202, 204} {
		c := replying(t, status, "", "Content-Encoding", "gzip")
		_, err := c.Links.Close(t.Context(), "dsll_1")
		require.NoError(t, err, "close %d", status)
		_, err = c.Logins.Revoke(t.Context(), "dsl_1")
		require.NoError(t, err, "revoke %d", status)
		_, err = c.Identity.Refresh(t.Context(), bankLink, []Product{ProductIdentity})
		require.NoError(t, err, "refresh %d", status)
		_, err = c.Links.Get(t.Context(), "dsll_1")
		require.ErrorIs(t, err, ErrMalformedResponse, "get %d", status)
	}
}

// An empty body, or one that is not JSON, is an answer only for operations that need no answer.
func TestBodiesThatAreNoAnswer(t *testing.T) {
	bodies := map[string]string{
		"empty": "", "white space": " \r\n\t ", "html": golden(t, "errors/html.html"),
		"scalar": "503", "null": "null", "array": "[]", "string": `"done"`,
		"truncated":     `{"data":{"link_id":"dsll`,
		"two documents": `{"link_id":"a","accounts":[],"data":[]}{}`,
	}
	for operation, call := range calls {
		for name, body := range bodies {
			t.Run(operation+"/"+name, func(t *testing.T) {
				err := call(t.Context(), replying(t, 200, body, "X-Request-Id", "req-0001"))
				blank := name == "empty" || name == "white space"
				if blank && rows[operation].Wordless || name == "null" && operation == "identity.refresh" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, ErrMalformedResponse)
				e := asError(t, err)
				require.Equal(t, operationOf(operation), e.Operation)
				require.Equal(t, 200, e.StatusCode)
				require.Equal(t, "req-0001", e.RequestID)
				require.Equal(t, OutcomeUnknown, e.Outcome)
				require.Equal(t, 1, e.Attempts)
			})
		}
	}
}

// An object without any of the expected members is not an answer: a zero value never comes without
// an error.
func TestEmptyObjects(t *testing.T) {
	for _, operation := range []string{"logins.get", "links.get", "links.create", "links.update"} {
		for _, body := range []string{
			`{}`, `{"data":{}}`, `{"data":{"result":true}}`, `{"data":[]}`, `{"data":[{}]}`, `{"data":"dsll_1"}`,
			`{"data":[{"link_id":"a","login_id":"a"},{"link_id":"b","login_id":"b"}]}`,
		} {
			t.Run(operation+" "+body, func(t *testing.T) {
				require.ErrorIs(t, calls[operation](t.Context(), replying(t, 200, body)), ErrMalformedResponse)
			})
		}
	}
	for _, operation := range []string{"identity.get", "identity.link", "auth.get", "auth.numbers"} {
		for _, body := range []string{`{}`, `{"link":{}}`, `{"data":{}}`} {
			t.Run(operation+" "+body, func(t *testing.T) {
				require.ErrorIs(t, calls[operation](t.Context(), replying(t, 200, body)), ErrMalformedResponse)
			})
		}
	}
}

// If a member is there twice, the last one with a value counts, as in encoding/json.
func TestDuplicateKeys(t *testing.T) {
	c := replying(t, 200, `{"data":{"link_id":"first","description":"first","link_id":"dsll_2",`+
		`"description":null,"status_code":"OPEN","status_code":{}}}`)
	link, err := c.Links.Get(t.Context(), "dsll_1")
	require.NoError(t, err)
	require.Equal(t, &LoginLink{ID: "dsll_2", Description: "first", Status: LoginLinkOpen}, link)

	c = replying(t, 200, `{"data":{"link_id":"first","ds_id":"GAWA"},"data":{"link_id":"dsll_2"}}`)
	link, err = c.Links.Get(t.Context(), "dsll_1")
	require.NoError(t, err)
	require.Equal(t, "dsll_2", link.ID)

	c = replying(t, 200, `{"data":[{"login_id":"dsl_1"},{"login_id":"dsl_2"}],"data":[{"login_id":"dsl_3"}]}`)
	list, err := c.Logins.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Login{{ID: "dsl_3"}}, list)

	c = replying(t, 200, `{"link_id":"mk_1","link_tags":["a"],"link_tags":["b"],`+
		`"products":{"identity":{"error_code":"timeout"}},"products":{"accounts":{}}}`)
	bank, err := c.Identity.Link(t.Context(), bankLink)
	require.NoError(t, err)
	products := map[Product]ProductStatus{ProductAccounts: {}}
	require.Equal(t, &BankLink{ID: "mk_1", LinkTags: []string{"b"}, Products: products}, bank)

	c = replying(t, 200, `{"accounts":[{"account_id":"1"}],"accounts":[{"account_id":"2","account_id":"3"}],`+
		`"link":{"link_id":"mk_1"}}`)
	who, err := c.Identity.Get(t.Context(), bankLink, IdentityQuery{})
	require.NoError(t, err)
	require.Equal(t, []BankAccountWithOwners{{BankAccount: BankAccount{ID: "3"}}}, who.Accounts)
}

// After the JSON there is white space or nothing.
func TestTrailingData(t *testing.T) {
	for operation := range calls {
		body := answers[operation]
		if operation == "links.close" { // which takes anything
			continue
		}
		for _, space := range []string{"", " ", "\n", "\r\n\t ", strings.Repeat(" ", 200_000)} {
			require.NoError(t, calls[operation](t.Context(), replying(t, 200, space+body+space)), operation)
		}
		for _, trailing := range []string{
			"x", "{}", " {}", "[]", "null", "1", `""`, ",", "}", "]", ";", "\x00", "\xef\xbb\xbf", "\n" + body,
			strings.Repeat(" ", 200_000) + "x", "<!-- -->", "\u00a0",
		} {
			err := calls[operation](t.Context(), replying(t, 200, body+trailing))
			require.ErrorIs(t, err, ErrMalformedResponse, "%s %q", operation, trailing[max(0, len(trailing)-20):])
		}
	}
}

// Invalid bytes become what encoding/json makes of them, in every helper, in keys, and across the
// edges of a stream's buffer.
func TestInvalidUTF8AsInEncodingJSON(t *testing.T) {
	t.Parallel()
	invalid := []string{
		"\xff", "a\xffb", "\xff\xfe\xfd", "\xc3\x28", "\xe2\x82", "\xe2\x28\xa1", "\xf0\x9f\x98", "\xed\xa0\x80",
		"\xc0\x80",
		"\xf5\x80\x80\x80", `\ud800`, `\udc00\ud800`, `\ud83d\ude00`, "é\x80", `\u0000`, `\/`,
	}
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
				body := `{"data":[{"ds_user":"u","display_name":"d","cache_time":null,"accounts":[{"x":"` +
					strings.Repeat(" ", pad-70) + `","account_name":` + quoted + `}]}]}`
				all, err := collect(t,
					replying(t, 200, body).Logins.StreamAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
				require.NoError(t, err)
				require.Equal(t, want, all[0].Name, pad)
			}
		})
	}
}
