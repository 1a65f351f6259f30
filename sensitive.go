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

// Secret is a credential that the caller passes in, such as an access token. It never prints: every
// fmt verb, slog and errors show a mask, and json.Marshal is an error. Only Reveal returns it.
//
// Compare with Equal and IsZero. == does not compile, because it would compare pointers to the
// texts. reflect.DeepEqual compares the texts. The zero Secret is empty.
type Secret struct {
	_      [0]func() // takes == away
	hidden hidden
}

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{hidden: hide(value)} }

// Reveal returns the credential.
func (s Secret) Reveal() string { return s.hidden.reveal() }

// IsZero reports whether the Secret is empty.
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

// MarshalJSON returns an error, because no document should have a credential in it.
func (s Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("duolink: a Secret is not written to JSON; use Reveal")
}

// Sensitive is personal or confidential text in an answer: account numbers, IBANs, names, e-mail
// addresses, phone numbers, login URLs. It prints as a mask. The mask shows the last four
// characters if they are digits and the value is longer than eight bytes, like an account number.
//
// Reveal returns the value. [RevealJSON] writes it to JSON, and json.Marshal is an error.
//
// Compare with Equal and IsZero. == does not compile, because it would compare pointers to the
// texts. So a struct with a Sensitive in it has no == either, and cannot be the key of a map.
// reflect.DeepEqual compares the texts. The zero Sensitive means absent.
type Sensitive struct {
	_        [0]func() // takes == away
	hidden   hidden
	revealed bool // true only in the copies that RevealJSON makes
}

// NewSensitive wraps a value that you have stored, such as a login link's redirect verifier.
func NewSensitive(value string) Sensitive { return Sensitive{hidden: hide(value)} }

// Reveal returns the value.
func (s Sensitive) Reveal() string { return s.hidden.reveal() }

// IsZero reports whether the value is absent.
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

// MarshalJSON returns an error, because otherwise a mask could be stored in place of the value.
// Only [RevealJSON] gets the text.
func (s Sensitive) MarshalJSON() ([]byte, error) {
	switch {
	case !s.revealed:
		return nil, errors.New("duolink: a Sensitive is not written to JSON; use RevealJSON")
	case s.IsZero():
		return []byte("null"), nil
	default:
		return compactJSON(s.Reveal())
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

const (
	mask        = "****"
	shownDigits = 4
	longEnough  = 8
)

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

// hidden keeps a text behind a pointer. fmt prints an unexported field without calling its methods,
// but of a pointer inside a struct it prints only the address.
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
