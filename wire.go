package duolink

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// Timestamp is an instant as an API sent it. Both APIs send several notations, some without a zone (then it
// is UTC); all of them are read, and the text is kept. A notation that cannot be read leaves the time zero
// and its text in [Timestamp.Text]: it never fails an answer. An absent timestamp has no text.
//
// Compare instants, as in a.Equal(b.Time); the text of one instant varies.
type Timestamp struct {
	time.Time
	text string
}

// The notations seen on the wire, the most frequent first. Fractions of a second are read with each of them.
var timestampLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
	time.DateOnly,
}

// mostTimestamp bounds what is tried: each of time.Parse's errors has a copy of the text in it.
const mostTimestamp = 100

func parseTimestamp(text string) Timestamp {
	if len(text) > mostTimestamp {
		return Timestamp{text: text}
	}
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return Timestamp{Time: t.UTC(), text: text}
		}
	}
	return Timestamp{text: text}
}

// Text returns the timestamp exactly as the API wrote it, or "" where it sent none.
func (t Timestamp) Text() string { return t.text }

// DateOnly reports that the API named a day and no time of day, as MoneyKit does in balance_date.
func (t Timestamp) DateOnly() bool { return !t.IsZero() && len(t.text) == len(time.DateOnly) }

// String returns the instant as RFC 3339 in UTC, or the text as it came where it could not be read.
func (t Timestamp) String() string {
	if t.IsZero() {
		return t.text
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// MarshalText writes what [Timestamp.UnmarshalText] reads back: the text as it came, else RFC 3339.
func (t Timestamp) MarshalText() ([]byte, error) {
	if t.text != "" {
		return []byte(t.text), nil
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads any notation of the two APIs and never fails.
func (t *Timestamp) UnmarshalText(text []byte) error {
	*t = parseTimestamp(string(text))
	return nil
}

// MarshalJSON writes the text as it came, RFC 3339 where there is none, and null for an absent timestamp.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	text, err := t.MarshalText()
	if err != nil || len(text) == 0 {
		return []byte("null"), err
	}
	return json.Marshal(string(text))
}

// UnmarshalJSON reads any notation of the two APIs; what is not a date and time leaves the instant zero.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	return timestamp(jx.DecodeBytes(data), t)
}

// Decimal is a number as the API wrote it, such as "340.12" or "1e-05": money keeps every digit, which a
// float64 would not. The empty Decimal means absent.
type Decimal string

// maxDecimal bounds what Rat computes with: an exponent of a few bytes can ask for gigabytes of digits.
const maxDecimal = 400

// Rat returns the exact value. It reports false for an absent number and for one of more than 400 digits.
func (d Decimal) Rat() (*big.Rat, bool) {
	if !d.valid() || len(d) > maxDecimal {
		return nil, false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(string(d)), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n > maxDecimal || n < -maxDecimal {
			return nil, false
		}
	}
	return new(big.Rat).SetString(string(d))
}

// MarshalJSON writes the number as it came, and null for an absent one.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if d == "" {
		return []byte("null"), nil
	}
	if !d.valid() {
		return nil, errors.New("duolink: a Decimal that is not a JSON number")
	}
	return []byte(d), nil
}

// UnmarshalJSON reads a JSON number, or a string that holds one; anything else is absent.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	return decimal(jx.DecodeBytes(data), d)
}

func (d Decimal) valid() bool {
	r := jx.DecodeStr(string(d))
	return r.Next() == jx.Number && r.Skip() == nil && atEnd(r) == nil && strings.TrimSpace(string(d)) == string(d)
}

// decoder is a type that reads itself from a JSON value, whatever that value is: a value of another type than
// the documented one leaves the field absent, and only text that is not JSON is an error.
type decoder[T any] interface {
	*T
	decode(d *jx.Decoder) error
}

// object calls member for each member of an object; anything else is passed over. The member function reads
// the value or skips it. The key is valid until the value is read.
func object(d *jx.Decoder, member func(key []byte) error) error {
	if d.Next() != jx.Object {
		return d.Skip()
	}
	return d.ObjBytes(func(_ *jx.Decoder, key []byte) error { return member(key) })
}

// list reads the objects of an array. An item that is no object is passed over: it never fails the list.
func list[T any, P decoder[T]](d *jx.Decoder, to *[]T) error {
	*to = nil
	if d.Next() != jx.Array {
		return d.Skip()
	}
	*to = []T{}
	return d.Arr(func(d *jx.Decoder) error {
		if d.Next() != jx.Object {
			return d.Skip()
		}
		var zero T
		*to = append(*to, zero)
		return P(&(*to)[len(*to)-1]).decode(d)
	})
}

// texts reads the strings (and numbers) of an array.
func texts[S ~string](d *jx.Decoder, to *[]S) error {
	*to = nil
	if d.Next() != jx.Array {
		return d.Skip()
	}
	*to = []S{}
	return d.Arr(func(d *jx.Decoder) error {
		var item S
		if err := text(d, &item); err != nil || item == "" {
			return err
		}
		*to = append(*to, item)
		return nil
	})
}

// text reads a string, or a number as its literal text.
func text[S ~string](d *jx.Decoder, to *S) error {
	*to = ""
	switch d.Next() {
	case jx.String:
		raw, err := d.Raw()
		if err != nil {
			return err
		}
		*to = S(unquote(raw))
		return nil
	case jx.Number:
		n, err := d.Num()
		*to = S(n)
		return err
	default:
		return d.Skip()
	}
}

// unquote reads a JSON string. One with escapes is left to encoding/json, which replaces what is no character in its
// own way; most have none.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return validUTF8(inner)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// validUTF8 replaces each invalid byte by U+FFFD, as encoding/json does.
func validUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(bytes.Runes(b))
}

// flag reads a boolean, also a quoted one.
func flag(d *jx.Decoder, to *bool) error {
	*to = false
	if d.Next() == jx.Bool {
		b, err := d.Bool()
		*to = b
		return err
	}
	var s string
	err := text(d, &s)
	*to, _ = strconv.ParseBool(s)
	return err
}

// integer reads a whole number, also a quoted one or one written with a fraction, such as 3600.0; known says
// that there was one. Numbers beyond an int64 are not taken.
func integer(d *jx.Decoder, to *int64) (known bool, err error) {
	*to = 0
	var s string
	if err := text(d, &s); err != nil {
		return false, err
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && strings.Trim(fraction, "0") == "" {
		*to, known = n, true
	}
	return known, nil
}

func timestamp(d *jx.Decoder, to *Timestamp) error {
	var s string
	err := text(d, &s)
	*to = parseTimestamp(s)
	return err
}

func decimal(d *jx.Decoder, to *Decimal) error {
	if err := text(d, to); err != nil {
		return err
	}
	if !to.valid() {
		*to = ""
	}
	return nil
}

func sensitive(d *jx.Decoder, to *Sensitive) error {
	var s string
	err := text(d, &s)
	*to = NewSensitive(s)
	return err
}

func sensitives(d *jx.Decoder, to *[]Sensitive) error {
	var all []string
	err := texts(d, &all)
	*to = nil
	if all != nil {
		*to = []Sensitive{}
	}
	for _, s := range all {
		*to = append(*to, NewSensitive(s))
	}
	return err
}

var errTrailing = errors.New("data after the JSON value")

// atEnd returns nil when only white space is left.
func atEnd(d *jx.Decoder) error {
	if d.Next() != jx.Invalid {
		return errTrailing
	}
	if err := d.Skip(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

// brokenOff reports that JSON ended before it was complete. Of an end between two of its tokens, jx
// says EOF.
func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// byteOrderMark may stand before the JSON of an answer.
var byteOrderMark = []byte("\xef\xbb\xbf")

// read decodes one whole JSON document.
func read[T any](body []byte, answer func(*jx.Decoder) (T, error)) (T, error) {
	d := jx.DecodeBytes(bytes.TrimPrefix(body, byteOrderMark))
	v, err := answer(d)
	if err == nil {
		err = atEnd(d)
	}
	return v, err
}

// An answer that is not what was asked for, although it is JSON.
var (
	errNoData      = errors.New("the answer lacks what was asked for")
	errNoObject    = errors.New("the answer is not a JSON object")
	errErrorMember = errors.New("the answer carries an error")
)

// envelope reads Supermetrics' {"meta", "data", "error"}. The member function gets all but error, which fails an answer
// whatever its status says.
func envelope(d *jx.Decoder, member func(key []byte) error) error {
	if d.Next() != jx.Object {
		return errNoObject
	}
	failed := false
	err := object(d, func(key []byte) error {
		if string(key) == "error" {
			failed = d.Next() != jx.Null
			return d.Skip()
		}
		return member(key)
	})
	if err == nil && failed {
		return errErrorMember
	}
	return err
}

// within reads one member of an object.
func within(d *jx.Decoder, name string, member func() error) error {
	return object(d, func(key []byte) error {
		if string(key) == name {
			return member()
		}
		return d.Skip()
	})
}

// one reads an answer whose data is one resource. The vendor's page shows some of them in a list of one. An object in
// which nothing stands that was asked for is not the resource, here and in bare.
func one[T any, P decoder[T]](d *jx.Decoder) (*T, error) {
	var found *T
	err := envelope(d, func(key []byte) error {
		switch {
		case string(key) != "data":
			return d.Skip()
		case d.Next() == jx.Object:
			found = new(T)
			return P(found).decode(d)
		}
		var all []T
		err := list[T, P](d, &all)
		if len(all) == 1 {
			found = &all[0]
		}
		return err
	})
	if err == nil && (found == nil || reflect.ValueOf(found).Elem().IsZero()) {
		err = errNoData
	}
	return found, err
}

// many reads an answer whose data is a list; a missing or null list is an empty one.
func many[T any, P decoder[T]](d *jx.Decoder) ([]T, error) {
	var all []T
	err := envelope(d, func(key []byte) error {
		if string(key) == "data" {
			return list[T, P](d, &all)
		}
		return d.Skip()
	})
	return all, err
}

// bare reads an answer that is the object itself, as MoneyKit's are.
func bare[T any, P decoder[T]](d *jx.Decoder) (*T, error) {
	v := new(T)
	if d.Next() != jx.Object {
		return nil, errNoObject
	}
	err := P(v).decode(d)
	if err == nil && reflect.ValueOf(v).Elem().IsZero() {
		err = errNoData
	}
	return v, err
}
