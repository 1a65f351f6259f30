package wire

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// How the bytes of a JSON string become a text: as encoding/json does it.

// unescape is what stands for the byte behind a backslash.
var unescape = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unescaped appends the text of a string to b. What is not UTF-8 becomes U+FFFD, byte by byte, and so
// does half of a surrogate pair.
func unescaped(b, inner []byte) []byte {
	if bytes.IndexByte(inner, '\\') < 0 {
		return append(b, validUTF8(inner)...)
	}
	for len(inner) > 0 {
		if c := inner[0]; c == '\\' {
			b, inner = appendEscape(b, inner)
			continue
		} else if c < utf8.RuneSelf {
			b, inner = append(b, c), inner[1:]
			continue
		}
		r, size := utf8.DecodeRune(inner)
		b, inner = utf8.AppendRune(b, r), inner[size:]
	}
	return b
}

// appendEscape appends the character of the escape at the beginning of a string, which is valid. It
// returns what follows the escape.
func appendEscape(b, inner []byte) (text, rest []byte) {
	const short, long = 2, 6
	if inner[1] != 'u' {
		return append(b, unescape[inner[1]]), inner[short:]
	}
	r, rest := hex4(inner[short:]), inner[long:]
	if utf16.IsSurrogate(r) {
		low := rune(utf8.RuneError)
		if len(rest) >= long && rest[0] == '\\' && rest[1] == 'u' {
			low = hex4(rest[short:])
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			rest = rest[long:]
		}
	}
	return utf8.AppendRune(b, r), rest
}

// hex4 is the number that four digits write.
func hex4(digits []byte) (n rune) {
	for _, c := range digits[:4] {
		n = n<<4 | hexDigit(c)
	}
	return n
}

// hexDigit is the value of a digit, or -1.
func hexDigit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// validUTF8 replaces each invalid byte by U+FFFD, as encoding/json does.
func validUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	return []byte(string(bytes.Runes(b)))
}
