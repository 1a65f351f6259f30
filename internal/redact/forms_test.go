package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// form is a way in which a server writes a text that it quotes.
type form struct {
	name  string
	write func(string) string
}

// forms of every text.
var quotations = []form{
	{"as it is", func(s string) string { return s }},
	{"lower case", strings.ToLower},
	{"upper case", strings.ToUpper},
	{"Turkish lower case", func(s string) string { return strings.ToLowerSpecial(unicode.TurkishCase, s) }},
	{"Turkish upper case", func(s string) string { return strings.ToUpperSpecial(unicode.TurkishCase, s) }},
	{"a query", url.QueryEscape},
	{"a query without plus signs", queryWithoutPlus},
	{"a path", url.PathEscape},
	{"a path, twice", twice(url.PathEscape)},
	{"a path in a query", func(s string) string { return url.QueryEscape(url.PathEscape(s)) }},
	{"every byte in percent", everyByte},
	{"JSON", jsonText},
	{"JSON in ASCII", jsonInASCII},
	{"JSON in ASCII, twice", twice(jsonInASCII)},
	{"JSON in ASCII, in upper case", func(s string) string { return strings.ToUpper(jsonInASCII(s)) }},
	{"JSON in ASCII, stripped of backslashes", func(s string) string {
		return strings.ReplaceAll(jsonInASCII(s), `\`, "")
	}},
	{"JSON for HTML", jsonForHTML},
	{"JSON for HTML, twice", twice(jsonForHTML)},
	{"JSON in JSON", twice(jsonText)},
	{"JSON in a URL", func(s string) string { return url.QueryEscape(jsonText(s)) }},
	{"JSON in a URL in JSON in a URL", twice(func(s string) string { return url.QueryEscape(jsonText(s)) })},
	{"HTML", html.EscapeString},
	{"HTML, twice", twice(html.EscapeString)},
	{"HTML in upper case", func(s string) string { return strings.ToUpper(html.EscapeString(s)) }},
	{"HTML with names", strings.NewReplacer(
		"&", "&amp;", `"`, "&quot;", "'", "&apos;", "<", "&lt;", ">", "&gt;", "ö", "&ouml;", "_", "&lowbar;").Replace},
	{"HTML with points", func(s string) string { return everyRune("&#%d;", s) }},
	{"HTML with long points", func(s string) string { return everyRune("&#x%08X;", s) }},
	{"HTML of a URL in JSON", func(s string) string { return jsonForHTML(html.EscapeString(url.QueryEscape(s))) }},
	{"a URL of HTML of JSON", func(s string) string { return url.PathEscape(html.EscapeString(jsonText(s))) }},
}

// codes of credentials.
var codings = []form{
	{"base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
	{"base64 for URLs", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }},
	{"base64, a byte later", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(":" + s)) }},
	{"base64, two bytes later", func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte("a:" + s + ":b"))
	}},
	{"base64 in a URL", func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) }},
	{"base64 in JSON of PHP", func(s string) string {
		return strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s)), "/", `\/`)
	}},
	{"base64, behind another text", func(s string) string {
		return "xyz" + base64.RawURLEncoding.EncodeToString([]byte(s))
	}},
	{"hexadecimal", func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"hexadecimal, in upper case", func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	{"hexadecimal, behind a digit", func(s string) string { return "0" + hex.EncodeToString([]byte(s)) }},
}

func twice(write func(string) string) func(string) string {
	return func(s string) string { return write(write(s)) }
}

func queryWithoutPlus(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func everyByte(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func everyRune(format, s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

// jsonText is what JSON writes between the quotation marks.
func jsonText(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String()[1:], "\"\n")
}

func jsonForHTML(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b[1 : len(b)-1])
}

func jsonInASCII(s string) string {
	var b strings.Builder
	for _, r := range jsonText(s) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, c := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}
