package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"unicode/utf8"
)

// tokens takes the tokens of a JSON document (RFC 8259, to the letter), from a window of its bytes.
// The window of a whole document is the document. Otherwise it moves on with what is read, and grows
// to the largest single token.
//
// Unless a method says that its token is next, it takes the white space before it, too.
type tokens struct {
	window []byte
	at     int // of the next byte
	keep   int // from here on the window keeps what was taken; -1: nothing
	depth  int
	input  *input // nil: there is nothing but the window
}

var errSyntax = errors.New("the JSON is not valid")

// deepestNesting is how deep arrays and objects may be in each other.
const deepestNesting = 10_000

const smallestWindow = 16

// kinds are the kinds of values, by their first byte.
var kinds = [256]Kind{
	'"': String, '{': Object, '[': Array, 't': Bool, 'f': Bool, 'n': Null, '-': Number, '0': Number, '1': Number,
	'2': Number, '3': Number, '4': Number, '5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
}

// more reads more bytes into the window, and reports whether there are any.
func (t *tokens) more() bool {
	if t.input == nil || t.input.err != nil {
		return false
	}
	if len(t.window) == cap(t.window) {
		first := t.at
		if t.keep >= 0 {
			first, t.keep = t.keep, 0
		}
		kept := t.window[first:]
		if len(kept) >= cap(t.window)/2 {
			t.window = append(make([]byte, 0, max(2*cap(t.window), smallestWindow)), kept...)
		} else {
			t.window = t.window[:copy(t.window, kept)]
		}
		t.at -= first
	}
	before := len(t.window)
	t.window = t.input.appendTo(t.window)
	return len(t.window) > before
}

// peek returns the next byte that is not white space, or 0 at the end.
func (t *tokens) peek() (c byte) {
	if t.at < len(t.window) {
		c = t.window[t.at]
	}
	if c > ' ' {
		return
	}
	return t.peekBehindSpace()
}

func (t *tokens) peekBehindSpace() byte {
	for {
		for ; t.at < len(t.window); t.at++ {
			switch c := t.window[t.at]; c {
			case ' ', '\n', '\t', '\r':
			default:
				return c
			}
		}
		if !t.more() {
			return 0
		}
	}
}

// atEnd reports whether nothing but white space is left.
func (t *tokens) atEnd() bool { return t.peek() == 0 && t.at == len(t.window) }

// wrong is the error if another byte is next than the one that must come.
func (t *tokens) wrong() error {
	switch {
	case !t.atEnd():
		return errSyntax
	case t.input != nil && t.input.err != nil && t.input.err != io.EOF:
		return t.input.err
	}
	return io.ErrUnexpectedEOF
}

// ahead returns so many bytes without taking them, or fewer at the end.
func (t *tokens) ahead(n int) []byte {
	for len(t.window)-t.at < n && t.more() { //nolint:revive // more does the work
	}
	return t.window[t.at:min(t.at+n, len(t.window))]
}

// next returns the next byte without taking it, or 0 at the end.
func (t *tokens) next() byte {
	if t.at < len(t.window) || t.more() {
		return t.window[t.at]
	}
	return 0
}

// word takes true, false or null.
func (t *tokens) word(w string) error {
	t.peek()
	found := t.ahead(len(w))
	switch {
	case string(found) == w:
		t.at += len(w)
		return nil
	case len(found) < len(w) && string(found) == w[:len(found)]:
		t.at = len(t.window)
		return t.wrong()
	}
	return errSyntax
}

// flag takes true or false.
func (t *tokens) flag() (bool, error) {
	if t.peek() == 't' {
		return true, t.word("true")
	}
	return false, t.word("false")
}

// open takes the first byte of an array or an object, and reports whether there is anything in it.
func (t *tokens) open(closing byte) (bool, error) {
	t.at++
	if t.depth++; t.depth > deepestNesting {
		return false, errSyntax
	}
	if t.peek() != closing {
		return true, nil
	}
	t.at++
	t.depth--
	return false, nil
}

// another takes what stands behind an item: a comma, or the closing byte. It reports whether another
// item follows.
func (t *tokens) another(closing byte) (bool, error) {
	switch t.peek() {
	case ',':
		t.at++
		return true, nil
	case closing:
		t.at++
		t.depth--
		return false, nil
	}
	return false, t.wrong()
}

// key takes the name of a member and the colon. The name is valid until the member's value is taken.
func (t *tokens) key() ([]byte, error) {
	if t.peek() != '"' {
		return nil, t.wrong()
	}
	t.keep = t.at
	plain, err := t.text()
	length := t.at - t.keep
	if err == nil && t.peek() != ':' {
		err = t.wrong()
	}
	if err == nil {
		t.at++
		t.peek() // the value's first byte is in the window now, so nothing moves before it is taken
	}
	name := t.window[max(t.keep, 0):]
	t.keep = -1
	if err != nil {
		return nil, err
	}
	if name = name[1 : length-1]; !plain {
		name = unescaped(nil, name)
	}
	return name, nil
}

// keyIs takes the name of a member and the colon if they are exactly this.
func (t *tokens) keyIs(start string) bool {
	t.peek()
	if len(t.window)-t.at < len(start) || string(t.window[t.at:t.at+len(start)]) != start {
		return false
	}
	t.at += len(start)
	return true
}

// str takes a string whose quote is next. What it returns has its escapes still, and is valid until
// the next token is taken.
func (t *tokens) str() (inner []byte, plain bool, err error) {
	t.keep = t.at
	plain, err = t.text()
	raw := t.window[max(t.keep, 0):t.at]
	t.keep = -1
	if err != nil {
		return nil, false, err
	}
	return raw[1 : len(raw)-1], plain, nil
}

// inAllBytes times a byte is that byte in each of eight bytes.
const inAllBytes = 0x0101010101010101

// text takes a string whose quote is next, and reports whether it is plain: ASCII without escapes.
// It looks at eight bytes at a time: in each byte that needs a closer look, found has the highest bit
// set. A borrow may set the bit of a later byte, too, so only the first one counts.
func (t *tokens) text() (plain bool, err error) {
	w, i := t.window, t.at+1
	for len(w)-i >= 8 {
		const high = 0x80 * inAllBytes
		eight := binary.LittleEndian.Uint64(w[i:])
		quote, slash := eight^'"'*inAllBytes, eight^'\\'*inAllBytes
		found := (eight | (quote - inAllBytes) | (slash - inAllBytes) | (eight - ' '*inAllBytes)) & high
		if found == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(found) / 8
		break
	}
	for i < len(w) && w[i] >= ' ' && w[i] < utf8.RuneSelf && w[i] != '"' && w[i] != '\\' {
		i++
	}
	if i < len(w) && w[i] == '"' {
		t.at = i + 1
		return true, nil
	}
	t.at = min(i, len(w))
	return t.oddText()
}

// oddText takes the rest of a string byte by byte.
func (t *tokens) oddText() (plain bool, err error) {
	plain = true
	for {
		c := t.next()
		switch {
		case t.at == len(t.window):
			return false, t.wrong()
		case c == '"':
			t.at++
			return plain, nil
		case c < ' ':
			return false, errSyntax
		case c == '\\':
			if err := t.escape(); err != nil {
				return false, err
			}
			plain = false
			continue
		case c >= utf8.RuneSelf:
			plain = false
		}
		t.at++
	}
}

// escape takes a backslash and what belongs to it.
func (t *tokens) escape() error {
	size := 2
	if two := t.ahead(size); len(two) == size && two[1] == 'u' {
		size = 6
	} else if len(two) == size && unescape[two[1]] == 0 {
		return errSyntax
	}
	all := t.ahead(size)
	for _, c := range all[min(2, len(all)):] {
		if hexDigit(c) < 0 {
			return errSyntax
		}
	}
	t.at += len(all)
	if len(all) < size {
		return t.wrong()
	}
	return nil
}

// number takes a number whose first byte is next. It is valid until the next token is taken.
func (t *tokens) number() ([]byte, error) {
	t.keep = t.at
	ok := t.whole() && t.fraction() && t.exponent()
	raw := t.window[max(t.keep, 0):t.at]
	t.keep = -1
	if !ok {
		if t.next(); t.at < len(t.window) {
			return nil, errSyntax
		}
		return nil, t.wrong()
	}
	return raw, nil
}

// whole takes the sign and the digits before the point: nothing follows a zero.
func (t *tokens) whole() bool {
	if t.next() == '-' {
		t.at++
	}
	if t.next() == '0' {
		t.at++
		return true
	}
	return t.digits()
}

func (t *tokens) fraction() bool {
	if t.next() != '.' {
		return true
	}
	t.at++
	return t.digits()
}

func (t *tokens) exponent() bool {
	if c := t.next(); c != 'e' && c != 'E' {
		return true
	}
	t.at++
	if c := t.next(); c == '+' || c == '-' {
		t.at++
	}
	return t.digits()
}

// digits takes digits, and reports whether there are any.
func (t *tokens) digits() bool {
	any := false
	for c := t.next(); c >= '0' && c <= '9'; c = t.next() {
		t.at++
		any = true
	}
	return any
}

// skip takes any value.
func (t *tokens) skip() (err error) {
	switch kinds[t.peek()] {
	case String:
		_, err = t.text()
	case Number:
		_, err = t.number()
	case Null:
		err = t.word("null")
	case Bool:
		_, err = t.flag()
	case Array:
		err = t.skipItems(']')
	case Object:
		err = t.skipItems('}')
	default:
		err = t.wrong()
	}
	return err
}

func (t *tokens) skipItems(closing byte) error {
	some, err := t.open(closing)
	for some && err == nil {
		if closing == '}' {
			if _, err = t.key(); err != nil {
				return err
			}
		}
		if err = t.skip(); err != nil {
			return err
		}
		some, err = t.another(closing)
	}
	return err
}
