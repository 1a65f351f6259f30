package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// oddTexts are lists of texts of which some stand in the document as they are, and some do not.
var oddTexts = []string{
	`["Mäkelä","a\"b"]`, "[\"Mäkelä\",\"a\\\"b\",\"Mäkelä\"]",
	"[\"ä\",\"\\n\\ud800\",\"a\",\"a\",\"\\u00fc\"]",
	"[\"ä\",\"\\n" + strings.Repeat("\xff", 40) + "\",\"the next one\",\"and one more\"]",
}

// FuzzTexts compares lists of texts with encoding/json. A document stays as it is, because it may be read
// again, and by several goroutines.
func FuzzTexts(f *testing.F) {
	for _, document := range oddTexts {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want []string
		list := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
		if !list || json.Unmarshal(body, &want) != nil || bytes.Contains(body, []byte("null")) {
			return
		}
		kept := []string{}
		for _, text := range want {
			if text != "" {
				kept = append(kept, text)
			}
		}
		for range 2 {
			got, slow := []string{}, []string{}
			before := bytes.Clone(body)
			require.NoError(t, New().Read(Document(body, 1<<20), &got))
			require.Equal(t, before, body)
			s := newStream(iotest.OneByteReader(bytes.NewReader(body)), 1<<20, &Buffer{})
			require.NoError(t, New().Read(s.Scanner, &slow))
			if len(kept) > 0 {
				require.Equal(t, kept, got)
				require.Equal(t, kept, slow)
			}
		}
	})
}

// After a document that breaks off in something deep, the depth is as before.
func TestBlankKeepsTheDepth(t *testing.T) {
	s := Document([]byte(`{"a":`+strings.Repeat("[", 6000)), 1<<20)
	depth := s.depth
	require.False(t, s.Blank())
	require.Equal(t, depth, s.depth)
}
