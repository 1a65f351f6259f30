package duolink

import (
	"encoding/json"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/wire"
)

// Timestamp is an instant as an API sent it.
//
// Both APIs send several notations. All that cannot be misread are read, and a time without a zone
// is in UTC. If the text cannot be read, the time is zero, [Timestamp.Text] has the text, and the
// answer does not fail.
//
// A timestamp is written as the API wrote it: as text, JSON, gob and in binary. If you change Time,
// the new time is written instead, as RFC 3339 in UTC.
//
// Equal takes a Timestamp. The other methods of time.Time take a time, as in a.Before(b.Time).
type Timestamp struct {
	time.Time
	text string
}

// maxTimestamp bounds the texts to parse, because an error of time.Parse holds a copy of the text.
const maxTimestamp = 100

func parseTimestamp(text string) Timestamp {
	if len(text) < len(time.DateOnly) || len(text) > maxTimestamp {
		return Timestamp{text: text}
	}
	layout, missing := usualLayout(text)
	if t, err := time.Parse(layout, text+missing); err == nil {
		return Timestamp{Time: t.UTC(), text: text}
	}
	for _, layout := range timestampLayouts { // such as an hour of one digit
		if t, err := time.Parse(layout, text); err == nil {
			return Timestamp{Time: t.UTC(), text: text}
		}
	}
	return Timestamp{Time: parseOddTime(text), text: text}
}

// timestampLayouts are the notations that the APIs use. time.Parse reads fractions of a second with
// each of them.
var timestampLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
}

// usualLayout is the notation that a text seems to have, and what the text lacks of it. To try one
// after the other would make an error for each, and RFC 3339 takes half of the time of the others.
func usualLayout(text string) (layout, missing string) {
	const day, second = len(time.DateOnly), len(time.DateTime)
	switch {
	case len(text) == day:
		return time.RFC3339, "T00:00:00Z"
	case len(text) < second:
		return time.RFC3339, ""
	}
	zone := text[second:]
	if zone != "" && zone[0] == '.' {
		zone = strings.TrimLeft(zone, ".0123456789")
	}
	switch {
	case zone == "" && text[day] == 'T':
		return time.RFC3339, "Z"
	case zone == "":
		return time.DateTime, ""
	}
	return time.RFC3339, ""
}

// oddTimes are the other notations, with the numbers, the fraction and the zone in groups. The last
// group is a zone that has lost its plus sign to a server that decodes URLs. Java writes the name of
// a zone behind it.
var oddTimes = []*regexp.Regexp{
	regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?` +
		`(?: ?(Z|UTC|GMT|[-+]\d\d(?::?\d\d)?)(?:\[[^\]]+\])?| (\d\d:\d\d))?$`),
	regexp.MustCompile(`^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?:[.,](\d+))?(Z|[-+]\d\d(?::?\d\d)?)?()$`),
}

// parseOddTime reads a notation that a program elsewhere writes, or returns zero.
func parseOddTime(text string) time.Time {
	text = strings.TrimSpace(text)
	if t, err := time.Parse(http.TimeFormat, text); err == nil {
		return t
	}
	if _, err := time.Parse(time.DateOnly, text); err == nil { // there were spaces around it
		return parseTimestamp(text).Time
	}
	for _, notation := range oddTimes {
		if parts := notation.FindStringSubmatch(strings.ToUpper(text)); parts != nil {
			return timeOf(parts[1:7], parts[7], parts[8]+parts[9])
		}
	}
	return time.Time{}
}

// timeOf makes a time of its numbers, or returns zero if there is no such time. A day may end at
// 24:00:00, and a minute with a leap second.
func timeOf(numbers []string, fraction, zone string) time.Time {
	var n [6]int
	for i, digits := range numbers {
		n[i], _ = strconv.Atoi(digits) // "" is 0: there are no seconds
	}
	year, month, day, hour, minute, second := n[0], time.Month(n[1]), n[2], n[3], n[4], n[5]
	nanos, _ := strconv.Atoi((fraction + "000000000")[:9])
	offset, ok := zoneOffset(zone)
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	switch {
	case !ok || date.Month() != month || date.Day() != day || minute > 59 || second > 60 || hour > 24:
		return time.Time{}
	case hour == 24 && minute+second+nanos > 0:
		return time.Time{}
	}
	return time.Date(year, month, day, hour, minute, second, nanos, time.UTC).Add(-offset)
}

// zoneOffset reads "Z", "+02", "+0200" and "+02:00". Without a sign the offset was positive.
func zoneOffset(zone string) (offset time.Duration, ok bool) {
	digits := strings.ReplaceAll(strings.TrimLeft(zone, "+-"), ":", "")
	switch digits {
	case "", "Z", "UTC", "GMT":
		return 0, true
	}
	n, _ := strconv.Atoi((digits + "00")[:4])
	hours, minutes := n/100, n%100
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if zone[0] == '-' {
		offset = -offset
	}
	return offset, hours <= 23 && minutes <= 59
}

// Text returns the timestamp exactly as the API wrote it, or "" if it sent none. It does not change
// with Time.
func (t Timestamp) Text() string { return t.text }

// isOriginal reports whether Time is what the API wrote.
func (t Timestamp) isOriginal() bool {
	return t.text != "" && parseTimestamp(t.text).Time.Equal(t.Time)
}

// DateOnly reports whether the API sent a day without a time, as MoneyKit does in balance_date.
func (t Timestamp) DateOnly() bool {
	return len(strings.TrimSpace(t.text)) == len(time.DateOnly) && !t.IsZero() && t.isOriginal()
}

// Equal reports whether both are the same instant, in whatever notation. Two timestamps that could
// not be read are equal if their texts are.
func (t Timestamp) Equal(other Timestamp) bool {
	return t.Time.Equal(other.Time) && (!t.IsZero() || t.text == other.text)
}

// String returns the instant as RFC 3339 in UTC, or the text if it could not be read.
func (t Timestamp) String() string {
	switch {
	case !t.IsZero():
		return t.UTC().Format(time.RFC3339Nano)
	case t.isOriginal():
		return t.text
	}
	return ""
}

// GoString shows the text that the timestamp is written as, because the time alone would hide it.
func (t Timestamp) GoString() string {
	text, _ := t.MarshalText()
	return "duolink.Timestamp(" + strconv.Quote(string(text)) + ")"
}

// AppendText appends what [Timestamp.MarshalText] writes.
func (t Timestamp) AppendText(b []byte) ([]byte, error) {
	switch {
	case t.isOriginal():
		return append(b, t.text...), nil
	case t.IsZero():
		return b, nil
	}
	return t.UTC().AppendText(b)
}

// MarshalText writes the original text, or RFC 3339 if there is none or Time was changed.
// [Timestamp.UnmarshalText] reads it back.
func (t Timestamp) MarshalText() ([]byte, error) { return t.AppendText([]byte{}) }

// UnmarshalText reads any notation of the two APIs and never fails.
func (t *Timestamp) UnmarshalText(text []byte) error {
	*t = parseTimestamp(string(text))
	return nil
}

// AppendBinary appends what [Timestamp.MarshalText] writes.
func (t Timestamp) AppendBinary(b []byte) ([]byte, error) { return t.AppendText(b) }

// MarshalBinary writes what [Timestamp.MarshalText] does.
func (t Timestamp) MarshalBinary() ([]byte, error) { return t.MarshalText() }

// UnmarshalBinary reads what [Timestamp.MarshalBinary] wrote.
func (t *Timestamp) UnmarshalBinary(text []byte) error { return t.UnmarshalText(text) }

// GobEncode writes what [Timestamp.MarshalText] does.
func (t Timestamp) GobEncode() ([]byte, error) { return t.MarshalText() }

// GobDecode reads what [Timestamp.GobEncode] wrote.
func (t *Timestamp) GobDecode(text []byte) error { return t.UnmarshalText(text) }

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
//
// What a person reads as a number is kept as one: "+5.00" as "5.00", and "1,234.56" as "1234.56". A
// text that is not a number, such as "NaN" or "12.5 USD", is kept as it is, and Rat returns false.
type Decimal string

// maxDecimal bounds what Rat computes with, because an exponent of a few bytes can ask for
// gigabytes of digits.
const maxDecimal = 400

// Rat returns the exact value. It returns false if the number is absent, if the text is not a
// number, or if it has more than 400 digits.
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

// MarshalJSON writes the number as it came, null for an absent one, and a text that is not a number
// as a string.
func (d Decimal) MarshalJSON() ([]byte, error) {
	switch {
	case d == "":
		return []byte("null"), nil
	case !d.valid():
		return json.Marshal(string(d))
	}
	return []byte(d), nil
}

// UnmarshalJSON reads a JSON number, or a string. Anything else is absent.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	text, err := textOf(data)
	*d, _ = parseDecimal(text)
	return err
}

func (d Decimal) valid() bool { return wire.IsNumber(string(d)) }

// parseDecimal returns false for a blank text.
func parseDecimal(text string) (Decimal, bool) {
	if number, ok := wire.ParseNumber(text); ok {
		return Decimal(number), true
	}
	if strings.TrimSpace(text) == "" {
		return "", false
	}
	return Decimal(text), true
}

// readDecimal reads a number as it is, because the scanner has checked it.
func readDecimal(_ *wire.Reader, s *wire.Scanner, to *Decimal) error {
	number := s.Next() == wire.Number
	text, err := s.Text()
	if number {
		*to = Decimal(text)
	} else if d, ok := parseDecimal(text); ok {
		*to = d
	}
	return err
}

// OptionalBool is "true" or "false", or "" if the API does not say it. A text that is neither is kept
// as it is.
type OptionalBool string

// The values of an OptionalBool that the API says.
const (
	OptionalBoolTrue  OptionalBool = "true"
	OptionalBoolFalse OptionalBool = "false"
)

// IsTrue reports whether the API has said yes.
func (b OptionalBool) IsTrue() bool { return b == OptionalBoolTrue }

// IsFalse reports whether the API has said no.
func (b OptionalBool) IsFalse() bool { return b == OptionalBoolFalse }

// MarshalJSON writes true or false, null for an absent value, and any other text as a string.
func (b OptionalBool) MarshalJSON() ([]byte, error) {
	switch b {
	case "":
		return []byte("null"), nil
	case OptionalBoolTrue, OptionalBoolFalse:
		return []byte(b), nil
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON reads what a person reads as yes or no. Anything else keeps its text.
func (b *OptionalBool) UnmarshalJSON(data []byte) error {
	value, err := wire.Whole(wire.Document(data, 0), func(s *wire.Scanner) (value OptionalBool, err error) {
		err = readOptionalBool(nil, s, &value)
		return value, err
	})
	*b = value
	return err
}

func readOptionalBool(_ *wire.Reader, s *wire.Scanner, to *OptionalBool) error {
	if s.Next() == wire.Bool {
		value, err := s.Bool()
		*to = OptionalBool(strconv.FormatBool(value))
		return err
	}
	text, err := s.Text()
	if value, ok := wire.ParseFlag(text); ok {
		text = strconv.FormatBool(value)
	}
	if strings.TrimSpace(text) != "" {
		*to = OptionalBool(text)
	}
	return err
}

// readCause reads a cause with a function of its own, so that an empty object is no cause: the
// vendor's sample has one.
func readCause(r *wire.Reader, s *wire.Scanner, to *ItemErrorCause) error {
	return r.ReadObject(s, to, func([]byte) (bool, error) { return false, nil })
}

// byTags reads the types of this package by their tags.
var byTags = wire.New(append([]wire.Type{
	wire.Bytes(func(text []byte) (Timestamp, bool) { return parseTimestamp(string(text)), true },
		func(t Timestamp, text []byte) bool { return t.text == string(text) }),
	wire.Bytes(func(text []byte) (Sensitive, bool) { return Sensitive{hidden: hide(text)}, true },
		func(s Sensitive, text []byte) bool { return s.hidden.text.Is(text) }),
	wire.Custom(readDecimal),
	wire.Text(always(NewSecret)),
	wire.Custom(readOptionalBool), wire.Custom(readCause),
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
