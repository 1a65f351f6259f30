package wire

import (
	"bytes"
	"encoding/json"
)

// Compact writes a value as json.Marshal does, but leaves <, > and & as they are.
func Compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
