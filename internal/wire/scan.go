package wire

import (
	"bytes"
	"errors"
	"io"
	"math"
	"unsafe"
)

// Kind is what a JSON value is.
type Kind int

// The kinds. Invalid is invalid JSON, or the end of the document.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

var (
	// ErrTooLarge: the answer would take more memory than its [Scanner] may spend.
	ErrTooLarge = errors.New("the answer takes too much memory")

	errTrailing = errors.New("something follows the JSON value")
)

// byteOrderMark may stand before a document.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Scanner gives a JSON document value by value. Each method except Next takes the next value,
// whatever its kind.
type Scanner struct {
	tokens
	spent  uintptr
	most   uintptr
	plain  []byte  // room for a text whose escapes are read
	watch  *watch  // nil if nobody watches
	before uintptr // how far before a field the same field of the item before it is; 0: there is none
}

// mostOfLimit is how much memory lists and maps may take, as a multiple of the answer's limit. A
// list of the shortest texts takes four times its bytes, and a list of empty objects up to a
// hundred times. Without this bound an answer of 1 MiB took 575 MB.
const mostOfLimit = 6

// Document scans a whole document. Its values may take mostOfLimit times limit bytes.
func Document(body []byte, limit int64) *Scanner {
	window := bytes.TrimPrefix(body, byteOrderMark)
	return &Scanner{tokens: tokens{window: window, keep: -1}, most: atLeast(limit)}
}

func atLeast(limit int64) uintptr {
	const least = 64 << 10
	return uintptr(max(min(limit, math.MaxInt/mostOfLimit), least)) * mostOfLimit
}

// Spend counts memory that holds what was read.
func (s *Scanner) Spend(size uintptr) error {
	if s.spent += size; s.spent > s.most {
		return ErrTooLarge
	}
	return nil
}

// Forget starts the count again, and that of the bytes of a stream, because the values were handed on.
func (s *Scanner) Forget() {
	s.spent = 0
	if s.input != nil {
		s.input.left = s.input.limit
	}
}

// Next returns the kind of the next value, and does not take it.
func (s *Scanner) Next() Kind { return kinds[s.peek()] }

// Skip skips the next value.
func (s *Scanner) Skip() error { return s.skip() }

// Text takes a string, or a number as it is written. For any other value it returns "".
func (s *Scanner) Text() (string, error) {
	text, err := s.Bytes()
	return string(text), err
}

// Bytes takes what Text does. The bytes are valid until the next value is taken.
func (s *Scanner) Bytes() ([]byte, error) {
	switch kinds[s.peek()] {
	case String:
		text, plain, err := s.str()
		if err == nil && !plain {
			s.plain = unescaped(s.plain[:0], text) // never a part of the document, which stays as it is
			text = s.plain
		}
		return text, err
	case Number:
		return s.number()
	default:
		return nil, s.skip()
	}
}

// Bool takes a boolean.
func (s *Scanner) Bool() (bool, error) { return s.flag() }

// Object calls member for each member of an object. The function takes the member's value, and the
// key is valid until then. Any other value is skipped.
func (s *Scanner) Object(member func(key []byte) error) error {
	if s.peek() != '{' {
		return s.skip()
	}
	some, err := s.open('}')
	for some && err == nil {
		var key []byte
		if key, err = s.key(); err != nil {
			return err
		}
		if err = member(key); err != nil {
			return err
		}
		some, err = s.another('}')
	}
	return err
}

// Array calls item for each item of an array. The function takes the item. Any other value is
// skipped.
func (s *Scanner) Array(item func() error) error {
	if s.peek() != '[' {
		return s.skip()
	}
	some, err := s.open(']')
	for some && err == nil {
		if err = item(); err != nil {
			return err
		}
		some, err = s.another(']')
	}
	return err
}

// List calls item for each item of a list: of an array, or of an object whose names are numbers, as
// PHP writes an array with gaps. The function takes the item. For any other value List returns
// false. If a name that is not a number comes late, item was called before.
func (s *Scanner) List(item func() error) (isList bool, err error) {
	kind := s.Next()
	if s.watch != nil {
		if kind != Array && kind != Null {
			s.differs(OtherType)
		}
		plain := item
		item = func() error { return s.within("[]", plain) }
	}
	switch kind {
	case Array:
		return true, s.Array(item)
	case Object:
		n, numbered := 0, true
		err := s.Object(func(key []byte) error {
			if numbered = numbered && isIndex(key); !numbered {
				return s.Skip()
			}
			n++
			return item()
		})
		return numbered && n > 0, err
	}
	return false, s.Skip()
}

func isIndex(key []byte) bool {
	const longest = 9
	for _, c := range key {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(key) > 0 && len(key) <= longest
}

// Flag takes a boolean, also one that is written as a text or a number. It returns false for ok if
// the value is not understood.
func (s *Scanner) Flag() (value, ok bool, err error) {
	if s.Next() == Bool {
		value, err = s.Bool()
		return value, err == nil, err
	}
	text, err := s.Text()
	value, ok = ParseFlag(text)
	return value, ok, err
}

// Nothing reports whether the document is empty.
func (s *Scanner) Nothing() bool { return s.atEnd() }

// Blank reports whether a whole document says nothing: it is empty, null or {}. Then it is taken.
func (s *Scanner) Blank() (blank bool) {
	before, depth := s.at, s.depth
	members := 0
	var err error
	switch s.Next() {
	case Null:
		err = s.Skip()
	case Object:
		err = s.Object(func([]byte) error {
			members++
			return s.Skip()
		})
	}
	if blank = err == nil && members == 0 && s.atEnd(); !blank {
		s.at, s.depth = before, depth
	}
	return blank
}

// End returns nil if only white space is left.
func (s *Scanner) End() error {
	switch {
	case !s.atEnd():
		return errTrailing
	case s.input != nil && s.input.err != io.EOF:
		return s.input.err
	}
	return nil
}

// BrokenOff reports whether a document ended before it was complete.
func BrokenOff(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }

// IsNumber reports whether a text is a JSON number.
func IsNumber(text string) bool {
	if text == "" || kinds[text[0]] != Number {
		return false
	}
	t := tokens{window: unsafe.Slice(unsafe.StringData(text), len(text)), keep: -1} // it is only read
	_, err := t.number()
	return err == nil && t.at == len(text)
}
