package duolink

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/duolink/duolink/internal/conceal"
	"github.com/stretchr/testify/require"
)

// Whatever shape a server's error has, its words and its code are found.
func TestShapesOfWords(t *testing.T) {
	const words = "expiry_time is in the past"
	for name, tc := range map[string]struct {
		body    string
		code    Code
		message string // without it, the words
		field   string // the location of the first failed field
	}{
		"JSON:API": {`{"errors":[{"status":"422","code":"INVALID_EXPIRY","title":"Invalid",
			"detail":"expiry_time is in the past"}]}`, "INVALID_EXPIRY", "", ""},
		"JSON:API with a pointer": {`{"errors":[{"detail":"expiry_time is in the past",
			"source":{"pointer":"/data/expiry_time"}}]}`, "", "", "data.expiry_time"},
		"errors as texts":  {`{"errors":["expiry_time is in the past"]}`, "", "", ""},
		"errors as a text": {`{"errors":"expiry_time is in the past"}`, "", "", ""},
		"errors as a map":  {`{"errors":{"expiry_time":["is in the past"]}}`, "", "is in the past", "expiry_time"},
		"a map and words": {
			`{"message":"Invalid","errors":{"expiry_time":"is late"}}`, "", "Invalid", "expiry_time",
		},
		"a message object": {
			`{"error":{"code":"BAD_REQUEST","message":{"en":"expiry_time is in the past"}}}`, "BAD_REQUEST", "", "",
		},
		"a message list": {`{"message":["expiry_time is in the past","and more"]}`, "", "", ""},
		"problem+json": {
			`{"title":"Unprocessable","status":422,"detail":"expiry_time is in the past"}`, "", "", "",
		},
		"a title alone": {`{"type":"about:blank","title":"expiry_time is in the past","status":422}`, "", "", ""},
		"Google's": {
			`{"error":{"code":422,"message":"expiry_time is in the past","status":"INVALID_ARGUMENT"}}`,
			"INVALID_ARGUMENT", "", "",
		},
		"Kong's":        {`{"message":"expiry_time is in the past"}`, "", "", ""},
		"in capitals":   {`{"Message":"expiry_time is in the past"}`, "", "", ""},
		"in camel case": {`{"errorMessage":"expiry_time is in the past","errorCode":"X1"}`, "X1", "", ""},
		"true":          {`{"error":true,"message":"expiry_time is in the past"}`, "", "", ""},
		"JSON in a text": {
			`"{\"error\":{\"code\":\"CONFLICT_ERROR\",\"message\":\"expiry_time is in the past\"}}"`,
			"CONFLICT_ERROR", "", "",
		},
		"a list at the top": {
			`[{"code":"CONFLICT_ERROR","message":"expiry_time is in the past"}]`, "CONFLICT_ERROR", "", "",
		},
		"an error in itself": {
			`{"error":{"error":{"code":"CONFLICT_ERROR","message":"expiry_time is in the past"}}}`,
			"CONFLICT_ERROR", "", "",
		},
		"a code in another case": {`{"code":" Conflict_Error ","message":"expiry_time is in the past"}`,
			"Conflict_Error", "", ""},
		"OAuth": {
			`{"error":"invalid_token","error_description":"expiry_time is in the past"}`, "invalid_token", "-", "",
		},
		"native": {
			`{"error_code":"link_error.not_found","error_message":"expiry_time is in the past"}`,
			"link_error.not_found", "", "",
		},
		"a text alone": {`"expiry_time is in the past"`, "", "-", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for operation := range calls {
				if strings.HasSuffix(operation, "streamed") {
					continue
				}
				e := asError(t, calls[operation](t.Context(), replying(t, 422, tc.body)))
				want := strings.TrimPrefix(tc.message, "-")
				if tc.message == "" {
					want = words
				}
				require.Equal(t, want, e.Message)
				require.Equal(t, tc.code, e.Code)
				if tc.field != "" {
					require.Equal(t, tc.field, e.Fields[0].Location)
					require.Contains(t, e.Error(), tc.field+": ")
				}
			}
		})
	}
	deep := strings.Repeat(`{"error":`, 100) + `{"message":"too deep"}` + strings.Repeat(`}`, 100)
	require.Empty(t, asError(t, getLink(t.Context(), replying(t, 422, deep))).Message)
}

// The text of an error has the words that help, in one line.
func TestWordsOfAnError(t *testing.T) {
	for want, e := range map[string]*Error{
		"422: Unprocessable Entity": {StatusCode: 422},
		"422: the longer text":      {StatusCode: 422, Description: "the longer text"},
		"422: body.products.0: unknown product": {
			StatusCode: 422, Fields: []FieldError{{"body.products.0", "unknown product", "x"}},
		},
		"422: Invalid (expiry_time: is late)": {
			StatusCode: 422, Message: "Invalid", Fields: []FieldError{{"expiry_time", "is late", ""}},
		},
		"422: a.b: is late": {
			StatusCode: 422, Message: "is late", Fields: []FieldError{{"a.b", "is late", ""}},
		},
		"422 link_error.bad_state: Bad state (auth_expired)": {
			StatusCode: 422, Code: CodeBadLinkState, Message: "Bad state", BankLinkErrorCode: BankLinkErrorAuthExpired,
		},
		"200: server error": {StatusCode: 200, Kind: ErrServer},
		"200 FORBIDDEN: It went wrong": {
			StatusCode: 200, Code: CodeForbidden, Message: "It went wrong",
		},
		"200: malformed response: the answer lacks data": {
			StatusCode: 200, Kind: ErrMalformedResponse, Message: "the answer lacks data",
		},
		"200: attempt timed out: no whole answer in 30s": {
			StatusCode: 200, Kind: ErrTimeout, Message: "no whole answer in 30s",
		},
		"attempt timed out: no whole answer": {Kind: ErrTimeout, Message: "no whole answer"},
		"503: Service Unavailable; canceled by the caller": {
			StatusCode: 503, cause: asCause(&contextEnd{"canceled by the caller", nil}),
		},
		"no answer: canceled by the caller": {
			Message: "canceled by the caller", cause: asCause(&contextEnd{"canceled by the caller", nil}),
		},
	} {
		require.Equal(t, "duolink: "+want, e.Error())
	}
}

func asCause(err error) conceal.Value[error] { return conceal.ValueOf(err) }

// The log has what the text has, and what to do, under names. What is empty is left out, and a
// duration can be read.
func TestErrorInALog(t *testing.T) {
	refused := error(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	for want, e := range map[string]*Error{
		`{"message":"connection refused (host)","action":"retry","operation":"links.get",` +
			`"cause":"connection refused","attempts":2,"outcome":"not sent"}`: {
			Operation: "links.get", Message: "connection refused (host)", cause: conceal.ValueOf(refused), Attempts: 2,
			Outcome: OutcomeNotSent,
		},
		`{"message":"too many requests","kind":"rate limited","action":"wait until","status":429,` +
			`"retry_after":"30s"}`: {
			StatusCode: 429, Message: "too many requests", RetryAfter: 30 * time.Second,
		},
		`{"message":"Bad state","kind":"bank link in a bad state","action":"reauthenticate","status":422,` +
			`"bank_link_error":"auth_expired"}`: {
			StatusCode: 422, Message: "Bad state", BankLinkErrorCode: BankLinkErrorAuthExpired,
		},
		`{"message":"validation failed","kind":"validation failed","action":"fix request","status":422,` +
			`"field":"a.b: is late"}`: {
			StatusCode: 422, Fields: []FieldError{{"a.b", "is late", ""}},
		},
		`{"message":"refresh failed","kind":"refresh failed","action":"recreate","product_error":"no_accounts"}`: {
			ProductErrorCode: ProductErrorNoAccounts,
		},
	} {
		var b bytes.Buffer
		noise := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey && a.Value.String() == "m" {
				return slog.Attr{}
			}
			return a
		}
		slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: noise})).Warn("m", "error", e)
		require.Equal(t, `{"error":`+want+"}\n", b.String())
		require.True(t, json.Valid(b.Bytes()))
	}
}

// What stands in the way of reading a good answer is named.
func TestBodiesAreNamed(t *testing.T) {
	for want, tc := range map[string]struct {
		body   string
		header []string
	}{
		"the body is empty":                                   {"", nil},
		"the body is HTML or XML, not JSON":                   {" <!doctype html>", nil},
		"the body is text, not JSON":                          {"we will be back", nil},
		"the answer is not a JSON object":                     {`[]`, nil},
		"the body is not valid JSON":                          {`{"data":]`, nil},
		"the body has an encoding that was not asked for: br": {"\x0b\x02", []string{"Content-Encoding", "br"}},
		"the body is not the gzip that its header announces": {
			"xx gzip is something else", []string{"Content-Encoding", "gzip"},
		},
		"the answer lacks data":                        {`{"meta":{}}`, nil},
		"data in the answer is not what was asked for": {`{"data":{"x":1}}`, nil},
	} {
		e := asError(t, getLink(t.Context(), replying(t, http.StatusOK, tc.body, tc.header...)))
		kindIs(t, e, ErrMalformedResponse)
		require.Equal(t, want, e.Message)
	}
	e := asError(t, getLink(t.Context(), replying(t, 304, "")))
	kindIs(t, e, ErrMalformedResponse)
	require.NotContains(t, e.Error(), "redirect")
	e = asError(t, getLink(t.Context(), replying(t, 304, "", "Location", "https://other.example")))
	require.NotContains(t, e.Error(), "redirect")
}

// The vendor's page about an error is found in both dialects, if it is a URL of the web.
func TestDocumentationURL(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"code":"FORBIDDEN","links":{"docs":{"href":"https://d.example"}}}}`:            "https://d.example",
		`{"links":{"help":{"href":"https://h.example"},"docs":{"href":"http://d.example"}}}`:      "http://d.example",
		`{"documentation_url":"https://d.example","links":{"docs":{"href":"https://o.example"}}}`: "https://d.example",
		`{"error":{"links":{"docs":{"href":"javascript:alert(1)"}}}}`:                             "",
		`{"error":{"links":{"docs":"https://d.example"}}}`:                                        "",
		`{"error":{"links":["https://d.example"]}}`:                                               "",
	} {
		require.Equal(t, want, asError(t, getLink(t.Context(), replying(t, 403, body))).DocumentationURL, body)
	}
}
