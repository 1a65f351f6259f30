package duolink

import (
	"fmt"

	"github.com/duolink/duolink/internal/reveal"
	"github.com/duolink/duolink/internal/wire"
)

// RevealJSON writes a value as [json.Marshal] does, but with the text of each [Sensitive] in it and
// null for an absent one. It is the explicit way to store an answer: json.Unmarshal reads it back
// equal. Unlike json.Marshal it leaves <, > and & as they are.
//
// It is an error if the value holds a [Secret]. A type that has a MarshalJSON or MarshalText, its
// own or an embedded type's, is left to that method. A Sensitive is an error there, as in
// json.Marshal, unless the method calls RevealJSON.
func RevealJSON(v any) ([]byte, error) {
	revealed.Mark(&v)
	text, err := wire.Compact(v)
	if err != nil {
		return nil, fmt.Errorf("duolink: a value is not written to JSON: %w", err)
	}
	return text, nil
}

// revealed marks each Sensitive of a value that is to be written.
var revealed = reveal.New(func(s *Sensitive) { s.revealed = true })
