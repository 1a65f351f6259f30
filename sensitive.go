package duolink

import (
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/duolink/duolink/internal/conceal"
)

// Secret is a credential that the caller passes in, such as an access token. It never prints: every
// fmt verb, slog, templates and printers that work by reflection show a mask or nothing. No encoder
// and no database takes it. Only Reveal returns it.
//
// A Secret can be read from JSON, YAML and other texts, and scanned from a column. Compare with Equal
// and IsZero: == does not compile. reflect.DeepEqual compares the texts. The zero Secret is empty.
type Secret struct {
	_       [0]func() // takes == away
	hidden  hidden
	written writing
}

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{hidden: hide(value)} }

// Reveal returns the credential.
func (s Secret) Reveal() string { return s.hidden.reveal() }

// IsZero reports whether the Secret is empty.
func (s Secret) IsZero() bool { return s.hidden.isZero() }

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool { return s.hidden.equal(other.hidden) }

// String returns a mask, or "" for an empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// Format writes the mask, whatever the verb. It keeps to the width.
func (s Secret) Format(f fmt.State, _ rune) { pad(f, s.String()) }

// LogValue gives slog the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON returns an error, because no document should have a credential in it. Only [Masked]
// and slog get the mask.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s.written == masked || onlyShown() {
		return maskJSON(s.String())
	}
	return nil, errSecretWritten
}

// MarshalText returns an error, so that YAML, XML and other texts do not have the credential.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecretWritten }

// MarshalBinary returns an error, so that gob and others do not write the credential.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, errSecretWritten }

// EncodeValues returns an error, so that go-querystring does not leave the credential out unnoticed.
func (s Secret) EncodeValues(string, *url.Values) error { return errSecretWritten }

// Value returns an error, so that no database stores a mask. Store what Reveal returns.
func (s Secret) Value() (driver.Value, error) { return nil, errSecretWritten }

// UnmarshalText reads a credential, such as one in a file of settings.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Scan reads a column with a text. NULL is the empty Secret.
func (s *Secret) Scan(column any) error {
	text, err := scanned(column)
	*s = NewSecret(text)
	return err
}

// Sensitive is personal or confidential text in an answer: account numbers, IBANs, names, e-mail
// addresses, phone numbers, login URLs. It prints as a mask. The mask shows the last four
// characters if they are digits and the value is longer than eight bytes, like an account number.
//
// Reveal returns the value, and [RevealJSON] writes it to JSON. All other encoders and databases
// refuse it, because otherwise a mask could be stored in place of the value. To show an answer, log
// it with slog, or give [Masked] to another encoder.
//
// A Sensitive can be read from JSON, YAML and other texts, and scanned from a column. Compare with
// Equal and IsZero: == does not compile. So a struct with a Sensitive in it has no == either, and
// cannot be the key of a map. reflect.DeepEqual compares the texts. The zero Sensitive means absent.
type Sensitive struct {
	_       [0]func() // takes == away
	hidden  hidden
	written writing
}

// NewSensitive wraps a value that you have stored, such as a login link's redirect verifier.
func NewSensitive(value string) Sensitive { return Sensitive{hidden: hide(value)} }

// Reveal returns the value.
func (s Sensitive) Reveal() string { return s.hidden.reveal() }

// IsZero reports whether the value is absent.
func (s Sensitive) IsZero() bool { return s.hidden.isZero() }

// Equal compares in constant time.
func (s Sensitive) Equal(other Sensitive) bool { return s.hidden.equal(other.hidden) }

// String returns the masked value, such as "****6789", or "" for an absent one.
func (s Sensitive) String() string {
	value := s.Reveal()
	if value == "" {
		return ""
	}
	tail := value[max(0, len(value)-shownDigits):]
	if len(value) > longEnough && strings.Trim(tail, "0123456789") == "" {
		return mask + tail
	}
	return mask
}

// Format writes the masked value, whatever the verb. It keeps to the width.
func (s Sensitive) Format(f fmt.State, _ rune) { pad(f, s.String()) }

// LogValue gives slog the masked value.
func (s Sensitive) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON returns an error, because otherwise a mask could be stored in place of the value.
// Only [RevealJSON] gets the text. Only [Masked] and slog get the mask.
func (s Sensitive) MarshalJSON() ([]byte, error) {
	switch {
	case s.written == revealed && s.IsZero():
		return []byte("null"), nil
	case s.written == revealed:
		return compactJSON(s.Reveal())
	case s.written == masked || onlyShown():
		return maskJSON(s.String())
	default:
		return nil, errSensitiveWritten
	}
}

// UnmarshalJSON reads a string, or a number as its text. Any other type is absent.
func (s *Sensitive) UnmarshalJSON(data []byte) error {
	value, err := textOf(data)
	if err != nil {
		return errors.New("duolink: a Sensitive is read from one JSON value")
	}
	*s = NewSensitive(value)
	return nil
}

// MarshalText returns an error, so that YAML, XML and other texts have neither value nor mask.
func (s Sensitive) MarshalText() ([]byte, error) { return nil, errSensitiveWritten }

// MarshalBinary returns an error, so that gob and others write neither value nor mask.
func (s Sensitive) MarshalBinary() ([]byte, error) { return nil, errSensitiveWritten }

// EncodeValues returns an error, so that go-querystring does not leave the value out unnoticed.
func (s Sensitive) EncodeValues(string, *url.Values) error { return errSensitiveWritten }

// Value returns an error, so that no database stores a mask. Store what Reveal returns.
func (s Sensitive) Value() (driver.Value, error) { return nil, errSensitiveWritten }

// UnmarshalText reads a text that you have stored.
func (s *Sensitive) UnmarshalText(text []byte) error {
	*s = NewSensitive(string(text))
	return nil
}

// Scan reads a column with a text that you have stored. NULL is absent.
func (s *Sensitive) Scan(column any) error {
	text, err := scanned(column)
	*s = NewSensitive(text)
	return err
}

var (
	errSecretWritten = errors.New("duolink: a Secret is not written and not stored as it is; " +
		"store what Reveal returns, or show Masked")
	errSensitiveWritten = errors.New("duolink: a Sensitive is not written and not stored as it is; " +
		"store what Reveal or RevealJSON returns, or show Masked")
)

// scanned is the text of a column.
func scanned(column any) (string, error) {
	switch column := column.(type) {
	case nil:
		return "", nil
	case string:
		return column, nil
	case []byte:
		return string(column), nil
	}
	return "", fmt.Errorf("duolink: the column is not a text but a %T", column)
}

const (
	mask        = "****"
	shownDigits = 4
	longEnough  = 8
)

// pad writes a mask with the width that the verb asks for.
func pad(f fmt.State, text string) {
	width, _ := f.Width()
	spaces := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if f.Flag('-') {
		text, spaces = spaces, text
	}
	_, _ = io.WriteString(f, spaces+text)
}

// printable replaces control characters, and characters that change the direction of writing, with
// spaces. So no value breaks or disguises a line of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// hidden keeps a text where no printer finds it, also if the printer works by reflection and calls
// no method.
type hidden struct{ text conceal.Text }

func hide[T string | []byte](value T) hidden { return hidden{conceal.Of(value)} }

func (h hidden) reveal() string { return h.text.Reveal() }

func (h hidden) isZero() bool { return h.text.IsZero() }

func (h hidden) equal(other hidden) bool {
	return subtle.ConstantTimeCompare([]byte(h.reveal()), []byte(other.reveal())) == 1
}
