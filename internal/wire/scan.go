package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/go-faster/jx"
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

var kinds = [...]Kind{
	jx.Invalid: Invalid, jx.Null: Null, jx.Bool: Bool, jx.Number: Number, jx.String: String,
	jx.Array: Array, jx.Object: Object,
}

var (
	// ErrTooLarge: the answer would take more memory than its [Scanner] may spend.
	ErrTooLarge = errors.New("the answer takes too much memory")

	errTrailing = errors.New("data after the JSON value")
)

// byteOrderMark may stand before a document.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Scanner gives a JSON document value by value. Each method except Next takes the next value,
// whatever its kind.
type Scanner struct {
	scan  *jx.Decoder
	spent uintptr
	most  uintptr
	watch *watch // nil if nobody watches
}

// mostOfLimit is how much memory lists and maps may take, as a multiple of the answer's limit. A
// list of the shortest texts takes four times its bytes, and a list of empty objects up to a
// hundred times. Without this bound an answer of 1 MiB took 575 MB.
const mostOfLimit = 6

// Document scans a whole document. Its values may take mostOfLimit times limit bytes.
func Document(body []byte, limit int64) *Scanner {
	return &Scanner{scan: jx.DecodeBytes(bytes.TrimPrefix(body, byteOrderMark)), most: atLeast(limit)}
}

// Stream scans a document as it arrives, without a byte order mark.
func Stream(r io.Reader, buffer int, limit int64) *Scanner {
	return &Scanner{scan: jx.Decode(r, buffer), most: atLeast(limit)}
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

// Forget starts the count again, because the values were handed on.
func (s *Scanner) Forget() { s.spent = 0 }

// Next returns the kind of the next value, and does not take it.
func (s *Scanner) Next() Kind { return kinds[s.scan.Next()] }

// Skip skips the next value.
func (s *Scanner) Skip() error { return s.scan.Skip() }

// Text takes a string, or a number as it is written. For any other value it returns "".
func (s *Scanner) Text() (string, error) {
	text, err := s.Bytes()
	return string(text), err
}

// Bytes takes what Text does. The bytes are valid until the next value is taken.
func (s *Scanner) Bytes() ([]byte, error) {
	switch s.scan.Next() {
	case jx.String:
		raw, err := s.scan.Raw()
		if err != nil {
			return nil, err
		}
		return unquote(raw), nil
	case jx.Number:
		n, err := s.scan.Num()
		return n, err
	default:
		return nil, s.scan.Skip()
	}
}

// Bool takes a boolean.
func (s *Scanner) Bool() (bool, error) { return s.scan.Bool() }

// Object calls member for each member of an object. The function takes the member's value, and the
// key is valid until then. Any other value is skipped.
func (s *Scanner) Object(member func(key []byte) error) error {
	if s.scan.Next() != jx.Object {
		return s.scan.Skip()
	}
	return s.scan.ObjBytes(func(_ *jx.Decoder, key []byte) error { return member(key) })
}

// Array calls item for each item of an array. The function takes the item. Any other value is
// skipped.
func (s *Scanner) Array(item func() error) error {
	if s.scan.Next() != jx.Array {
		return s.scan.Skip()
	}
	return s.scan.Arr(func(*jx.Decoder) error { return item() })
}

// List calls item for each item of a list: of an array, or of an object whose names are numbers, as
// PHP writes an array with gaps. The function takes the item. For any other value List returns
// false. If a name that is not a number comes late, item was called before.
func (s *Scanner) List(item func() error) (isList bool, err error) {
	kind := s.scan.Next()
	if s.watch != nil {
		if kind != jx.Array && kind != jx.Null {
			s.differs(OtherType)
		}
		plain := item
		item = func() error { return s.within("[]", plain) }
	}
	switch kind {
	case jx.Array:
		return true, s.scan.Arr(func(*jx.Decoder) error { return item() })
	case jx.Object:
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
	if s.scan.Next() == jx.Bool {
		value, err = s.Bool()
		return value, err == nil, err
	}
	text, err := s.Text()
	value, ok = ParseFlag(text)
	return value, ok, err
}

// Nothing reports whether the document is empty.
func (s *Scanner) Nothing() bool { return s.scan.Next() == jx.Invalid && s.End() == nil }

// Blank reports whether the document says nothing: it is empty, null or {}. Then it is taken.
func (s *Scanner) Blank() (blank bool) {
	_ = s.scan.Capture(func(*jx.Decoder) error {
		members := 0
		var err error
		switch s.scan.Next() {
		case jx.Null:
			err = s.Skip()
		case jx.Object:
			err = s.Object(func([]byte) error {
				members++
				return s.Skip()
			})
		}
		blank = err == nil && members == 0 && s.End() == nil
		return nil
	})
	if blank {
		s.SkipRest()
	}
	return blank
}

// End returns nil if only white space is left.
func (s *Scanner) End() error {
	if s.scan.Next() != jx.Invalid || !errors.Is(s.scan.Skip(), io.EOF) {
		return errTrailing
	}
	return nil
}

// BrokenOff reports whether a document ended before it was complete. jx returns EOF for an end
// between two tokens.
func BrokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// IsNumber reports whether a text is a JSON number.
func IsNumber(text string) bool {
	s := jx.DecodeStr(text)
	return s.Next() == jx.Number && s.Skip() == nil && (&Scanner{scan: s}).End() == nil &&
		strings.TrimSpace(text) == text
}

// unquote reads a JSON string. Most strings have no escapes. encoding/json reads the others,
// because it has its own way to replace invalid characters.
func unquote(raw []byte) []byte {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return validUTF8(inner)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}

// validUTF8 replaces each invalid byte by U+FFFD, as encoding/json does.
func validUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	return []byte(string(bytes.Runes(b)))
}

// SkipRest skips everything that is left.
func (s *Scanner) SkipRest() { s.scan.ResetBytes(nil) }
