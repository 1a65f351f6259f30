package duolink

import (
	"cmp"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// scrub takes out of the server's words what the caller sent in confidence: servers quote credentials and
// ids in their messages.
func (e *Error) scrub(private []string) {
	words := []*string{
		&e.Message, &e.Description, &e.DisplayMessage, &e.SuggestedAction, &e.DocumentationURL, &e.RequestID,
		(*string)(&e.LinkErrorCode), (*string)(&e.ProductErrorCode), (*string)(&e.PlaidType),
	}
	if codeKinds[e.Code] == nil { // a documented code gives nothing away, whatever the id that it contains
		words = append(words, (*string)(&e.Code))
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		words = append(words, &f.Location, &f.Message, &f.Type)
	}
	var said strings.Builder
	for _, s := range words {
		said.WriteString(*s + "\n")
	}
	quoted := quotesOf(private, strings.ToLower(said.String()))
	if quoted == nil {
		return
	}
	for _, s := range words {
		*s = quoted.ReplaceAllLiteralString(*s, "[redacted]")
	}
}

// minScrubbed keeps an id of a letter or two from taking every such letter out of a message.
const minScrubbed = 4

// quotesOf finds private texts in a server's words, as they are and as JSON, URLs and HTML write them; nil where there is
// nothing to find. The words are given in lower case.
func quotesOf(private []string, words string) *regexp.Regexp {
	// The longest first, or the rest of a secret that begins like an id would stay; in any case, for servers fold it.
	slices.SortFunc(private, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var forms []string
	for _, value := range private {
		if len(value) >= minScrubbed && strings.Contains(words, unescaped(value)) {
			forms = append(forms, written(value))
		}
	}
	if len(forms) == 0 {
		return nil
	}
	pattern := strings.Join(forms, "|")
	if len(pattern)*len(words) > mostLooked {
		return anything
	}
	quoted, err := regexp.Compile("(?i)" + pattern)
	if err != nil {
		return anything
	}
	return quoted
}

// mostLooked bounds the work of looking for what a server quotes, to some tenths of a second. Where there would be more, nothing
// that it said is kept.
const mostLooked = 512 << 20

var anything = regexp.MustCompile("(?s).+")

// unescaped is the longest part of a text that has one form alone, in lower case: words without it do not quote the text.
func unescaped(text string) (longest string) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return !unreserved(r) }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return strings.ToLower(longest)
}

// unreserved characters are written as they are wherever they stand.
func unreserved(r rune) bool {
	return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// written is a pattern of a text in all of its forms. Servers quote what they were sent as they saw it, a part of a URL or of
// a JSON text, and may have written it anew, as HTML or once more as JSON.
func written(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unreserved(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(escapes + `(?:` + strings.Join(writtenRune(r), "|") + `)`)
	}
	return b.String()
}

// escapes are the backslashes that JSON puts before a character, and those that a URL makes of them.
const escapes = `(?:\\|%(?:25)*5c)*`

func writtenRune(r rune) []string {
	var percent, unicode strings.Builder
	for _, c := range []byte(string(r)) {
		fmt.Fprintf(&percent, "%%(?:25)*%02x", c)
	}
	for i, c := range utf16.Encode([]rune{r}) {
		if i > 0 {
			unicode.WriteString(escapes)
		}
		fmt.Fprintf(&unicode, "u%04x", c)
	}
	forms := []string{regexp.QuoteMeta(string(r)), percent.String(), unicode.String(), fmt.Sprintf("&(?:amp;)*#(?:0*%d|x0*%x);", r, r)}
	switch r {
	case '\\': // what stands before it has taken them all
		forms = append(forms, "")
	case ' ':
		forms = append(forms, `\+`)
	case '\n':
		forms = append(forms, "n")
	case '\r':
		forms = append(forms, "r")
	case '\t':
		forms = append(forms, "t")
	case '"':
		forms = append(forms, "&(?:amp;)*quot;")
	case '\'':
		forms = append(forms, "&(?:amp;)*apos;")
	}
	if entity := html.EscapeString(string(r)); !strings.Contains(entity, "#") && len(entity) > 1 {
		forms = append(forms, "&(?:amp;)*"+strings.TrimPrefix(entity, "&"))
	}
	return forms
}
