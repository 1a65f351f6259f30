package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// slowly scans a document that comes a byte at a time, through the smallest window.
func slowly(body []byte) *Stream {
	return newStream(iotest.OneByteReader(bytes.NewReader(body)), int64(len(body))+1, &Buffer{})
}

// skipAll takes a whole document.
func skipAll(s *Scanner) error {
	if err := s.Skip(); err != nil {
		return err
	}
	return s.End()
}

// documents are valid JSON, and hard to read through a window: each token may be cut anywhere.
var documents = []string{
	`{"a":"b","c":[1,-2.5e+10,0,true,false,null,{}],"d":{"e":"f\u00e4\n\"x\\"}}`,
	`[{"id":"1234567890","name":"Mäkelä \ud83d\ude00","group":"Group 1"},{"x":[[],[[]],{"":""}]}]`,
	" {\t\"k\" :\r\n[ 1 , 2 ] , \"a name of more than eight bytes\" : \"and a text, with \\/ in it\" } ",
	`"plain"`, `-0.0e-0`, `[0]`, `{}`, `[]`, `""`, `"\u0000"`, `"\ud800"`, `"\ud800\ud83d\ude00"`, "\"\xff\xc3\"",
	`1E400`,
}

// Each document is valid, whole and through a window, and breaks off wherever it is cut.
func TestDocumentsAreTaken(t *testing.T) {
	for _, text := range documents {
		body := []byte(text)
		require.NoError(t, skipAll(Document(body, 0)), text)
		require.NoError(t, skipAll(slowly(body).Scanner), text)
		trimmed := strings.TrimSpace(text)
		for cut := range len(trimmed) {
			part := []byte(trimmed[:cut])
			if json.Valid(part) { // a number
				continue
			}
			require.True(t, BrokenOff(skipAll(Document(part, 0))), "%s", part)
			require.True(t, BrokenOff(skipAll(slowly(part).Scanner)), "%s", part)
		}
	}
}

// A connection's error is told, and not called an end of the document.
func TestErrorsOfAStream(t *testing.T) {
	broken := errors.New("connection reset")
	for _, text := range documents {
		for cut := range len(text) {
			s := NewStream(io.MultiReader(strings.NewReader(text[:cut]), iotest.ErrReader(broken)), 1<<20)
			err := skipAll(s.Scanner)
			require.ErrorIs(t, err, broken, "%s", text[:cut])
			require.ErrorIs(t, s.Err(), broken)
			require.Equal(t, text[:cut], string(s.Head()))
			s.Reuse()
		}
	}
}

// From one Forget to the next so many bytes are read, and one more is too many.
func TestLimitOfAStream(t *testing.T) {
	const item = `"0123456789",`
	for limit, want := range map[int64]error{int64(len(item)) + 1: nil, int64(len(item)) - 1: ErrTooLarge} {
		body := "[" + strings.Repeat(item, 10_000) + "0]"
		s := newStream(strings.NewReader(body), limit, &Buffer{})
		err := s.Array(func() error {
			defer s.Forget()
			return s.Skip()
		})
		require.ErrorIs(t, err, want, "%d", limit)
		require.ErrorIs(t, s.Err(), want, "%d", limit)
	}
	for _, reader := range []io.Reader{strings.NewReader("[]"), iotest.DataErrReader(strings.NewReader("[]"))} {
		require.NoError(t, skipAll(newStream(reader, 2, &Buffer{}).Scanner), "an answer may be as long as the limit")
	}
}

// A window keeps its size, however long the document is, and grows to the largest token.
func TestWindow(t *testing.T) {
	body := "[" + strings.Repeat(`"0123456789",`, 100_000) + "0]"
	s := newStream(strings.NewReader(body), int64(len(body)), &Buffer{})
	require.NoError(t, skipAll(s.Scanner))
	require.LessOrEqual(t, cap(s.window), 64)

	long := strings.Repeat("x", 100_000)
	s = newStream(iotest.HalfReader(strings.NewReader(`[1,"`+long+`",2]`)), 1<<20, &Buffer{})
	var got []string
	require.NoError(t, s.Array(func() error {
		text, err := s.Text()
		got = append(got, text)
		return err
	}))
	require.Equal(t, []string{"1", long, "2"}, got)
	require.LessOrEqual(t, cap(s.window), 4*len(long))
}

// What is valid is what encoding/json calls valid, and a document that comes byte by byte is the same.
func FuzzTokens(f *testing.F) {
	for _, text := range documents {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		body = bytes.TrimPrefix(body, byteOrderMark)
		valid := json.Valid(body)
		whole, slow := skipAll(Document(body, 0)), skipAll(slowly(body).Scanner)
		require.Equal(t, valid, whole == nil, "%v", whole)
		require.Equal(t, whole, slow)
		if part := body[:max(0, min(cut, len(body)))]; valid && !json.Valid(part) {
			require.True(t, BrokenOff(skipAll(Document(part, 0))))
		}
	})
}

// A struct that is read byte by byte is the one that is read whole.
func FuzzStream(f *testing.F) {
	for _, text := range documents {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"id":"1","list":[{"value":"a\n"},{"value":"a\n"},{}],"map":{"k":{"value":1.5}},"flag":"yes"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		body = bytes.TrimPrefix(body, byteOrderMark)
		var whole, slow sample
		wholeErr := newReader().Read(Document(body, 1<<20), &whole)
		s := slowly(body)
		s.most = atLeast(1 << 20)
		slowErr := newReader().Read(s.Scanner, &slow)
		require.Equal(t, wholeErr, slowErr)
		require.Equal(t, whole, slow)
	})
}
