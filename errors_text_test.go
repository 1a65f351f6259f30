package duolink

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// oneLine expects the text of an error to be short, on one line, and without anything confidential.
func oneLine(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.LessOrEqual(t, len(text), 300)
	require.NotContains(t, text, "\n")
	for _, never := range []string{
		"http://", "https://", "api.supermetrics.com", "api.moneykit.com", "/ds/", "/links/", "<html", "{", "?",
	} {
		require.NotContains(t, text, never)
	}
	for _, r := range text {
		require.Truef(t, r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0), "%q in %q", r, text)
	}
}

func TestErrorTextIsShort(t *testing.T) {
	t.Parallel()
	mega := strings.Repeat("It went wrong. ", 70_000)
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		return string(b)
	}
	for name, body := range map[string]string{
		"a megabyte": `{"meta":{"request_id":"EXAMPLEREQ_0001"},"error":{"code":"INTERNAL_SERVER_ERROR","message":` +
			quoted(mega) + `}}`,
		"more than is read": `{"error":{"code":"INTERNAL_SERVER_ERROR","message":` + quoted(mega+mega) + `}}`,
		"multi-byte": `{"error":{"code":"INTERNAL_SERVER_ERROR","message":` + quoted(strings.Repeat("ключ", 9999)) +
			`}}`,
		"many lines":         `{"message":"one\r\ntwo\n\n\tthree\u0000\u001b[31mfour\u0085\u2028five\u2029"}`,
		"a long code":        `{"error":` + quoted(strings.Repeat("CODE_", 50_000)) + `}`,
		"a long request id":  `{"meta":{"request_id":` + quoted(strings.Repeat("x", 50_000)) + `}}`,
		"a request id's end": `{"meta":{"request_id":"a\nb c"},"error":"NOT_FOUND"}`,
		"a megabyte of HTML": "<html>" + mega + "</html>",
		"many fields":        `{"detail":[` + strings.Repeat(`{"loc":["body"],"msg":"m"},`, 10_000) + `{}]}`,
		"deep":               strings.Repeat(`{"detail":`, 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			operations := []string{"identity.refresh", "logins.query_accounts", "auth.get"}
			if inShort() {
				operations = operations[:1]
			}
			for _, operation := range operations {
				err := calls[operation](t.Context(), replying(t, 500, body))
				require.ErrorIs(t, err, ErrServer)
				oneLine(t, err)
				for _, text := range printed(err)[:12] {
					require.LessOrEqual(t, len(text), 1000) // %x doubles, a struct adds braces
				}
			}
		})
	}
}

// A status without a message has the text of net/http.
func TestErrorTextWithoutMessage(t *testing.T) {
	for status, want := range map[int]string{
		404: "duolink: links.get: 404: Not Found", 502: "duolink: links.get: 502: Bad Gateway",
		499: "duolink: links.get: 499",
	} {
		require.EqualError(t, calls["links.get"](t.Context(), replying(t, status, "")), want)
	}
	require.EqualError(t, calls["links.get"](t.Context(), unasked(t, WithMoneyKit(ClientHeaders(testID, testSecret)))),
		"duolink: links.get: not configured: the client has no credential for this API")
	require.EqualError(t, calls["links.get"](t.Context(), replying(t, 200, "[]")),
		"duolink: links.get: 200: malformed response: the answer is not a JSON object")
}

// The text says how often the request was sent, if that is more than once.
func TestErrorTextOfAttempts(t *testing.T) {
	for attempts, more := range map[int]string{0: "", 1: "", 2: " after 2 attempts", 120: " after 120 attempts"} {
		e := &Error{Operation: "links.get", StatusCode: 404, RequestID: "req-1", Attempts: attempts}
		require.EqualError(t, e, "duolink: links.get: 404: Not Found (request req-1)"+more)
	}
}

// Every verb prints the text of the error, and %q quotes it.
func TestErrorUnderEveryVerb(t *testing.T) {
	e := &Error{Operation: "links.get", StatusCode: 404, Code: CodeLinkNotFound, Message: `no "such" link`}
	const text = `duolink: links.get: 404 LINK_NOT_FOUND: no "such" link`
	require.EqualError(t, e, text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%t", "%e"} {
		require.Equal(t, text, fmt.Sprintf(verb, e), verb)
	}
	require.Equal(t, `"duolink: links.get: 404 LINK_NOT_FOUND: no \"such\" link"`, fmt.Sprintf("%q", e))
}

// A message of 200 bytes is whole. A longer message is cut there, or before the character at that
// place.
func TestBriefIsCutBetweenCharacters(t *testing.T) {
	for length := range 200 {
		s := strings.Repeat("a", length)
		require.Equal(t, s, brief(s))
	}
	long := strings.Repeat("a", 200)
	for _, whole := range []string{long, strings.Repeat("é", 100), long[:196] + "😀"} {
		require.Len(t, whole, 200)
		require.Equal(t, whole, brief(whole))
		require.Equal(t, whole+"...", brief(whole+"a"))
	}
	for _, character := range []string{"a", "é", "€", "😀"} {
		for before := range len(character) {
			whole := long[:200-before]
			require.Equal(t, whole+"...", brief(whole+character+"b"), "%d bytes of %s fit", before, character)
		}
	}
}
