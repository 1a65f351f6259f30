package redact

import (
	"bytes"
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text in another form, with the way back to the original: its byte i stands for the
// original from at[i] to at[i+1]. Neither undo nor fold makes it longer, so both work in place.
type view struct {
	text []byte
	at   []int32
}

func newView(written string) *view {
	v := &view{[]byte(written), make([]int32, len(written)+1)}
	for i := range v.at {
		v.at[i] = int32(i)
	}
	return v
}

// span returns the place of the bytes from i to j in the original.
func (v *view) span(i, j int) (from, to int) { return int(v.at[i]), int(v.at[j]) }

// letter reports whether the byte at i belongs to a word.
func (v *view) letter(i int) bool {
	return i >= 0 && i < len(v.text) && (v.text[i] != boundary && v.text[i] >= utf8.RuneSelf || alphanumeric(v.text[i]))
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// unreserved reports whether a character needs no escape.
func unreserved(r rune) bool {
	return r == '-' || r == '_' || r < utf8.RuneSelf && alphanumeric(byte(r)) //nolint:gosec // it is ASCII
}

// replace rewrites the view. The function takes a beginning of the text, appends its new form,
// which is not longer, and returns the length of the beginning. If the new form is empty, the
// beginning belongs to what follows.
func (v *view) replace(next func(to, text []byte) ([]byte, int)) {
	to, from, start := v.text[:0], 0, int32(0)
	for from < len(v.text) {
		have := len(to)
		var n int
		to, n = next(to, v.text[from:])
		from += n
		end := v.at[from]
		for i := have; i < len(to); i++ {
			v.at[i] = start
		}
		if len(to) > have {
			start = end
		}
	}
	end := v.at[len(v.text)]
	v.text, v.at = to, v.at[:len(to)+1]
	v.at[len(to)] = end
}

// mostLevels is how often escapes are undone, each time in all ways at once.
const mostLevels = 8

// undo undoes all escapes of URLs, JSON and HTML, also nested ones. It reports whether there were
// any.
func (v *view) undo() bool {
	if !bytes.ContainsAny(v.text, `%&\uU`) {
		return false
	}
	for level := range mostLevels {
		size := len(v.text)
		v.replace(unescape)
		if len(v.text) == size {
			return level > 0
		}
	}
	return true
}

// unescape appends the first character of the text, which may be an escape. An escape is always
// longer than its character.
func unescape(to, text []byte) ([]byte, int) {
	switch text[0] {
	case '%':
		if b, n := percent(text); n > 0 {
			return append(to, b), n
		}
	case '&':
		if s, n := entity(text); n > 0 {
			return append(to, s...), n
		}
	case '\\', 'u', 'U':
		if r, n := point(text); n > 0 {
			return utf8.AppendRune(to, r), n
		}
		n := max(1, backslashes(text)) // all at once, or each of them would search to their end again
		if text[0] == '\\' && n < len(text) && text[n] == '/' {
			return append(to, '/'), n + 1
		}
		return append(to, text[:n]...), n
	}
	return append(to, text[0]), 1
}

// percent reads %3d, %253d, %25253d and so on. It returns a length of 0 if there is no such escape.
func percent(text []byte) (byte, int) {
	n := 1
	for n+4 <= len(text) && text[n] == '2' && text[n+1] == '5' && isHex(text[n+2:n+4]) {
		n += 2
	}
	if n+2 > len(text) || !isHex(text[n:n+2]) {
		return 0, 0
	}
	return byte(hexValue(text[n : n+2])), n + 2 //nolint:gosec // two digits are a byte
}

// entity reads &lt;, &amp;lt;, &#60;, &#x3C; and so on.
func entity(text []byte) (string, int) {
	n := 1
	for n+4 <= len(text) && strings.EqualFold(string(text[n:n+4]), "amp;") {
		n += 4
	}
	end := n
	for end < len(text) && (text[end] == '#' || alphanumeric(text[end])) {
		end++
	}
	if end < len(text) && text[end] == ';' {
		name := "&" + strings.ToLower(string(text[n:end])) + ";"
		if means := unescapeEntity(name); means != name && len(means) < len(name)-1 {
			return means, end + 1
		}
	}
	if n > 1 {
		return "&", n
	}
	return "", 0
}

// unescapeEntity reads one entity. Of a number it takes the character itself: browsers take some
// numbers for others. What is no character stays as it is.
func unescapeEntity(name string) string {
	digits, numeric := strings.CutPrefix(name, "&#")
	if !numeric {
		return html.UnescapeString(name)
	}
	base := 10
	if rest, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(digits, ";"), base, 31)
	if err != nil || n == 0 || !utf8.ValidRune(rune(n)) {
		return name
	}
	return string(rune(n))
}

// point reads \u003d, also with more backslashes or none, and a pair if JSON needs a pair. Without
// a backslash it may be a word, so it is read only if JSON would escape its character.
func point(text []byte) (rune, int) {
	slashes := backslashes(text)
	r, n := digits(text[slashes:])
	if n == 0 || slashes == 0 && unreserved(r) {
		return 0, 0
	}
	n += slashes
	if utf16.IsSurrogate(r) {
		more := backslashes(text[n:])
		second, m := digits(text[n+more:])
		if r = utf16.DecodeRune(r, second); m == 0 || r == unicode.ReplacementChar {
			return 0, 0
		}
		n += more + m
	}
	return r, n
}

// digits reads u003d.
func digits(text []byte) (rune, int) {
	if len(text) < 5 || text[0]|0x20 != 'u' || !isHex(text[1:5]) {
		return 0, 0
	}
	return hexValue(text[1:5]), 5
}

func backslashes(text []byte) int { return len(text) - len(bytes.TrimLeft(text, `\`)) }

func isHex(text []byte) bool {
	for _, c := range text {
		if !hexadecimal.has(c) {
			return false
		}
	}
	return true
}

func hexValue(text []byte) (v rune) {
	for _, c := range text {
		v = v<<4 | rune(hexadecimal.value[c])
	}
	return v
}

// fold removes differences in case and in the rests of escapes: a plus sign becomes a space, a new
// line becomes n, and a backslash disappears.
func (v *view) fold() { v.replace(fold) }

func fold(to, text []byte) ([]byte, int) {
	if text[0] < utf8.RuneSelf {
		if b, ok := foldByte(text[0]); ok {
			to = append(to, b)
		}
		return to, 1
	}
	r, n := utf8.DecodeRune(text)
	switch r {
	case utf8.RuneError: // or an invalid byte
		return append(to, text[:n]...), n
	case '\u0130', '\u0131': // the Turkish I with a dot, and i without one
		return append(to, 'I'), n
	case '\u0307': // the dot, on its own
		return to, n
	case '\u00df', '\u1e9e': // the German sharp s, which has no capital in most alphabets
		return append(to, "SS"...), n
	}
	first := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		first = min(first, other)
	}
	return utf8.AppendRune(to, first), n
}

// foldByte folds an ASCII character. It returns false if the character disappears.
func foldByte(c byte) (byte, bool) {
	switch {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 'A', true
	case c == '\\':
		return 0, false
	case c == '+':
		return ' ', true
	case c >= '\b' && c <= '\r':
		return "BTNVFR"[c-'\b'], true
	}
	return c, true
}
