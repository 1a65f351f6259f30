package duolink

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"

	"github.com/duolink/duolink/internal/reveal"
	"github.com/duolink/duolink/internal/wire"
)

// RevealJSON writes a value as [json.Marshal] does, but with the text of each [Sensitive] in it,
// and null for an absent Sensitive.
//
// Use it to store an answer: json.Unmarshal reads back an equal value. To show an answer, use
// [Masked]. Unlike json.Marshal it leaves <, > and & as they are.
//
// If the value holds a [Secret], RevealJSON returns an error. If a type has a MarshalJSON or
// MarshalText, RevealJSON calls that method. There a Sensitive is an error, as in json.Marshal,
// unless the method calls RevealJSON.
func RevealJSON(v any) ([]byte, error) { return writeAs(revealed, v) }

// Masked returns a view of a value that encoders write as JSON with masks. Use it to show an answer
// where json.Marshal is an error:
//
//	zap.L().Info("made", zap.Any("link", duolink.Masked(link)))
//	json.NewEncoder(w).Encode(duolink.Masked(identity)) // for a front end
//
// slog needs no Masked. It writes the answer itself with masks.
//
// The value is read when the view is written, so do not change it until then. A type with a
// MarshalJSON or MarshalText of its own is written by that method, as in [RevealJSON].
func Masked(v any) MaskedValue { return MaskedValue{v} }

// MaskedValue is what [Masked] returns. JSON gets an object, and YAML, XML and fmt get its text. No
// database takes it.
type MaskedValue struct{ v any }

// MarshalJSON writes the value with masks. An absent Secret or Sensitive is null.
func (m MaskedValue) MarshalJSON() ([]byte, error) { return writeAs(masked, m.v) }

// MarshalText writes what [MaskedValue.MarshalJSON] does.
func (m MaskedValue) MarshalText() ([]byte, error) { return m.MarshalJSON() }

// Format writes what [MaskedValue.MarshalJSON] does, whatever the verb.
func (m MaskedValue) Format(f fmt.State, _ rune) {
	text, err := m.MarshalJSON()
	if err != nil {
		text = []byte(err.Error())
	}
	_, _ = f.Write(text)
}

// Value returns an error, so that no database stores masks.
func (m MaskedValue) Value() (driver.Value, error) {
	return nil, errors.New("duolink: a Masked is only shown; store what RevealJSON returns")
}

// writing says how a confidential text is written to JSON: not at all, unless this package has made
// a copy for it.
type writing uint8

const (
	revealed writing = iota + 1 // as it is, by RevealJSON
	masked                      // with its mask, by Masked
)

// confidential is a Secret or a Sensitive in a copy.
type confidential interface{ write(as writing) }

func (s *Sensitive) write(as writing) { s.written = as }
func (s *Secret) write(as writing)    { s.written = as }

var confidentials = reveal.New[confidential](reflect.TypeFor[Secret](), reflect.TypeFor[Sensitive]())

func writeAs(as writing, v any) ([]byte, error) {
	confidentials.Mark(&v, func(c confidential) { c.write(as) })
	text, err := wire.Compact(v)
	if err != nil {
		return nil, fmt.Errorf("duolink: a value is not written to JSON: %w", err)
	}
	return text, nil
}

// maskJSON writes a mask, or null for an absent text.
func maskJSON(text string) ([]byte, error) {
	if text == "" {
		return []byte("null"), nil
	}
	return json.Marshal(text)
}

// showing are the packages that call json.Marshal only to show a value, and never to store it.
var showing = []string{"log/slog.", "html/template."}

// onlyShown reports whether a log line or a page is being written. Their encoders call json.Marshal,
// as a store does. Only the stack tells them apart. It is looked at only where json.Marshal would
// fail otherwise. The look is bounded, because values may be nested without end.
func onlyShown() bool {
	var stack [512]uintptr
	frames := runtime.CallersFrames(stack[:runtime.Callers(2, stack[:])])
	for {
		frame, more := frames.Next()
		for _, name := range showing {
			if strings.HasPrefix(frame.Function, name) {
				return true
			}
		}
		if !more {
			return false
		}
	}
}
