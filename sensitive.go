package duolink

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
)

// Secret is a credential that the caller hands in, such as an access token. It never prints: every fmt verb,
// slog and errors show a mask, and its JSON is an error. Reveal is the only way out. The zero Secret is empty.
type Secret struct{ hidden hidden }

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{hide(value)} }

// Reveal returns the credential.
func (s Secret) Reveal() string { return s.hidden.reveal() }

// IsZero reports that there is no credential.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool { return s.hidden.equal(other.hidden) }

// String returns a mask, or "" for an empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// Format writes the mask, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives slog the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON refuses: a credential has no place in a document.
func (s Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("duolink: a Secret is not written to JSON; use Reveal")
}

// Sensitive is personal or confidential text in an answer: account numbers, IBANs, names, e-mail addresses,
// phone numbers, login URLs. Printing shows a mask, and behind it the last four characters of a value that is longer than
// eight bytes and ends in four digits, as account numbers do and names do not. json.Marshal is an error. Reveal is the way
// to the value; compare with Equal, for == compares where it is kept. The zero Sensitive means absent.
type Sensitive struct{ hidden hidden }

// NewSensitive wraps a value that was kept elsewhere, such as the redirect verifier of a login link.
func NewSensitive(value string) Sensitive { return Sensitive{hide(value)} }

// Reveal returns the value.
func (s Sensitive) Reveal() string { return s.hidden.reveal() }

// IsZero reports that the API sent none.
func (s Sensitive) IsZero() bool { return s.Reveal() == "" }

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

// Format writes the masked value, whatever the verb.
func (s Sensitive) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives slog the masked value.
func (s Sensitive) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON refuses: a mask would end in somebody's database as if it were the value.
func (s Sensitive) MarshalJSON() ([]byte, error) {
	return nil, errors.New("duolink: a Sensitive is not written to JSON; use RevealJSON")
}

// UnmarshalJSON reads a string, or a number as its text; other types are absent.
func (s *Sensitive) UnmarshalJSON(data []byte) error {
	value, err := fromJSON(data, NewSensitive)
	if err != nil {
		return errors.New("duolink: a Sensitive is read from one JSON value")
	}
	*s = value
	return nil
}

const (
	mask        = "****"
	shownDigits = 4
	longEnough  = 8
)

// printable replaces what is not seen, control characters and those that turn the direction of writing among it, so that
// a value cannot break or disguise a line of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// hidden keeps a text behind a pointer: fmt prints an unexported field without asking its methods, and of a
// pointer inside a struct it prints the address alone.
type hidden struct{ value *string }

func hide(value string) hidden {
	if value == "" {
		return hidden{}
	}
	return hidden{&value}
}

func (h hidden) reveal() string {
	if h.value == nil {
		return ""
	}
	return *h.value
}

func (h hidden) equal(other hidden) bool {
	return subtle.ConstantTimeCompare([]byte(h.reveal()), []byte(other.reveal())) == 1
}
