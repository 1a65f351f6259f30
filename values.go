package duolink

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/wire"
)

// Timestamp is an instant as an API sent it.
//
// Both APIs send several notations, and all of them are read. A time without a zone is in UTC.
// [Timestamp.Text] returns the original text, which is empty if the timestamp is absent. If the
// text cannot be read, the time is zero, and the answer does not fail.
//
// Compare instants, as in a.Equal(b.Time), because an instant has several notations.
type Timestamp struct {
	time.Time
	text string
}

// timestampLayouts are the notations that the APIs use, the most frequent first. time.Parse reads
// fractions of a second with each of them.
var timestampLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
	time.DateOnly,
}

// maxTimestamp bounds the texts to parse, because an error of time.Parse holds a copy of the text.
const maxTimestamp = 100

func parseTimestamp(text string) Timestamp {
	if len(text) > maxTimestamp {
		return Timestamp{text: text}
	}
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return Timestamp{Time: t.UTC(), text: text}
		}
	}
	return Timestamp{text: text}
}

// Text returns the timestamp exactly as the API wrote it, or "" if it sent none.
func (t Timestamp) Text() string { return t.text }

// DateOnly reports whether the API sent a day without a time, as MoneyKit does in balance_date.
func (t Timestamp) DateOnly() bool { return !t.IsZero() && len(t.text) == len(time.DateOnly) }

// String returns the instant as RFC 3339 in UTC, or the text if it could not be read.
func (t Timestamp) String() string {
	if t.IsZero() {
		return t.text
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// MarshalText writes the original text, or RFC 3339 if there is none. [Timestamp.UnmarshalText]
// reads it back.
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

// MarshalJSON writes what [Timestamp.MarshalText] does, and null for an absent timestamp.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	text, err := t.MarshalText()
	if err != nil || len(text) == 0 {
		return []byte("null"), err
	}
	return json.Marshal(string(text))
}

// UnmarshalJSON reads any notation of the two APIs. An unreadable value leaves the instant zero.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	text, err := textOf(data)
	*t = parseTimestamp(text)
	return err
}

// Decimal is a number as the API wrote it, such as "340.12" or "1e-05". It keeps every digit of an
// amount of money, which a float64 would not. The empty Decimal means absent.
type Decimal string

// maxDecimal bounds what Rat computes with, because an exponent of a few bytes can ask for
// gigabytes of digits.
const maxDecimal = 400

// Rat returns the exact value, or false if the number is absent or has more than 400 digits.
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

// UnmarshalJSON reads a JSON number, or a string that holds one. Anything else is absent.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	text, err := textOf(data)
	*d, _ = parseDecimal(text)
	return err
}

func (d Decimal) valid() bool { return wire.IsNumber(string(d)) }

// parseDecimal returns false if the text is not a number.
func parseDecimal(text string) (Decimal, bool) {
	if d := Decimal(text); d.valid() {
		return d, true
	}
	return "", false
}

// byTags reads the types of this package by their tags.
var byTags = wire.New(append([]wire.Type{
	wire.Text(always(parseTimestamp)), wire.Text(parseDecimal),
	wire.Text(always(NewSensitive)), wire.Text(always(NewSecret)),
}, documentedTypes...)...)

// always makes a parser that takes every text.
func always[T any](parse func(string) T) func(string) (T, bool) {
	return func(text string) (T, bool) { return parse(text), true }
}

// textOf is the text of one JSON value, or "" if it is not a string or a number.
func textOf(data []byte) (string, error) {
	return wire.Whole(wire.Document(data, 0), (*wire.Scanner).Text)
}

// How answers are read. one and many read Supermetrics' envelope, bare and withAccounts MoneyKit's
// plain objects.

func one[T any](s *wire.Scanner) (*T, error) { return wire.One[T](byTags, s) }

func listed[T any](s *wire.Scanner) (wire.List[T], error) { return wire.Many[T](byTags, s) }

func many[T any](s *wire.Scanner) ([]T, error) {
	l, err := listed[T](s)
	return l.Items, err
}

func withAccounts[T any](s *wire.Scanner) (*T, error) { return wire.Bare[T](byTags, s, "accounts") }
