package duolink

import (
	"fmt"

	"github.com/duolink/duolink/internal/reveal"
	"github.com/duolink/duolink/internal/wire"
)

// RevealJSON writes a value as [json.Marshal] does, but with the text of each [Sensitive] in it,
// and null for an absent Sensitive.
//
// Use it to store an answer: json.Unmarshal reads back an equal value. Unlike json.Marshal it
// leaves <, > and & as they are.
//
// If the value holds a [Secret], RevealJSON returns an error. If a type has a MarshalJSON or
// MarshalText, RevealJSON calls that method. There a Sensitive is an error, as in json.Marshal,
// unless the method calls RevealJSON.
func RevealJSON(v any) ([]byte, error) {
	revealed.Mark(&v)
	text, err := wire.Compact(v)
	if err != nil {
		return nil, fmt.Errorf("duolink: a value is not written to JSON: %w", err)
	}
	return text, nil
}

// revealed marks each Sensitive of a value before the value is written.
var revealed = reveal.New(func(s *Sensitive) { s.revealed = true })
