package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// upper is a type that is made from a text, and small only from a text that fits.
type (
	upper struct{ value string }
	small string
)

func parseUpper(text string) (upper, bool) { return upper{strings.ToUpper(text)}, true }

func parseSmall(text string) (small, bool) { return small(text), len(text) <= 3 }

// pathText is a text, or a list of them.
type pathText struct{ value string }

func readPath(r *Reader, s *Scanner, to *pathText) error {
	var parts []string
	if s.Next() == Array {
		err := r.Read(s, &parts)
		to.value = strings.Join(parts, ".")
		return err
	}
	text, err := s.Text()
	to.value = text
	return err
}

type base struct {
	ID   string `json:"id"`
	Name string `json:"name" also:"title,label"`
}

type inner struct {
	Value string `json:"value"`
}

type sample struct {
	base
	Flag    bool             `json:"flag"`
	Count   int64            `json:"count,omitempty"`
	Upper   upper            `json:"upper" also:"other_upper"`
	Small   small            `json:"small"`
	Path    pathText         `json:"path"`
	Inner   inner            `json:"inner"`
	List    []inner          `json:"list"`
	Texts   []string         `json:"texts"`
	Uppers  []upper          `json:"uppers"`
	Map     map[string]inner `json:"map"`
	Ignored string           `json:"-"`
	Plain   string
}

func newReader() *Reader { return New(Text(parseUpper), Text(parseSmall), Custom(readPath)) }

func readSample(t *testing.T, body string) (got sample) {
	t.Helper()
	s := Document([]byte(body), 1<<20)
	require.NoError(t, newReader().Read(s, &got), body)
	require.NoError(t, s.End(), body)
	return got
}

func TestEachKindOfField(t *testing.T) {
	got := readSample(t, "\xef\xbb\xbf"+`{"id":"1","name":"n","flag":true,"count":7,"upper":"u","small":"s",
		"path":["a",1],
		"inner":{"value":"v"},"list":[{"value":"1"},{"value":"2"}],"texts":["a","b"],"uppers":["x"],
		"map":{"k":{"value":"m"},"gone":null},"-":"i","Plain":"p","unknown":{"a":[1,{"b":null}]}}`)
	require.Equal(t, sample{
		base: base{"1", "n"}, Flag: true, Count: 7, Upper: upper{"U"}, Small: "s", Path: pathText{"a.1"},
		Inner: inner{"v"}, List: []inner{{"1"}, {"2"}}, Texts: []string{"a", "b"}, Uppers: []upper{{"X"}},
		Map: map[string]inner{"k": {"m"}},
	}, got)
}

// What brings nothing never erases what another name of the field, or the same name, has brought.
func TestNothingNeverErases(t *testing.T) {
	for _, nothing := range []string{"null", `""`, "{}", "true", "[]"} {
		for _, body := range []string{
			`{"name":"n","title":%[1]s,"upper":"u","other_upper":%[1]s}`,
			`{"title":%[1]s,"label":%[1]s,"name":"n","other_upper":%[1]s,"upper":"u"}`,
			`{"label":"n","name":%[1]s,"other_upper":"u","upper":%[1]s}`,
			`{"name":"n","name":%[1]s,"upper":"u","upper":%[1]s}`,
		} {
			got := readSample(t, fmt.Sprintf(body, nothing))
			require.Equal(t, "n", got.Name, body)
			require.Equal(t, "U", got.Upper.value, body)
		}
	}
	got := readSample(t, `{"name":"first","title":"last","list":[{}],"list":[{"value":"1"}],"list":null,
		"map":{"a":{}},"map":{"b":{}},"count":1,"count":"n/a","flag":true,"flag":"n/a",
		"inner":{"value":"v"},"inner":7}`)
	require.Equal(t, sample{
		base: base{Name: "last"}, Flag: true, Count: 1, Inner: inner{"v"}, List: []inner{{"1"}},
		Map: map[string]inner{"b": {}},
	}, got, "what brings something replaces")
}

// oddities are values of every type.
var oddities = []string{
	"null", "true", "false", "0", "1", "-1", "3600.0", "1e3", "12345678901234567890", `""`, `"text"`, `"true"`, `"0"`,
	`"3600"`, `"3600.00"`, `" 5 "`, `"null"`, "{}", "[]", `{"a":{"b":[1]}}`, `["a",null,{}]`, `[[["a"]]]`,
	`"\u00e9\n\ud83d"`,
}

// reads compares what becomes of each oddity with a table. What is not in it has to be zero.
func reads[T any](t *testing.T, table map[string]T) {
	t.Helper()
	for _, odd := range oddities {
		if _, ok := table[odd]; !ok {
			var zero T
			table[odd] = zero
		}
	}
	for odd, want := range table {
		var got []any
		s := Document([]byte(" ["+odd+` , "next"]`), 0)
		require.NoError(t, s.Array(func() error {
			if got == nil {
				var v T
				err := newReader().Read(s, &v)
				got = append(got, v)
				return err
			}
			next, err := s.Text()
			got = append(got, next)
			return err
		}), odd)
		require.Equal(t, []any{want, "next"}, got, "%s: the value is taken, and no more", odd)
	}
}

func TestOddValues(t *testing.T) {
	texts := map[string]string{
		"0": "0", "1": "1", "-1": "-1", "3600.0": "3600.0", "1e3": "1e3",
		"12345678901234567890": "12345678901234567890",
		`"text"`:               "text", `"true"`: "true", `"0"`: "0", `"3600"`: "3600", `"3600.00"`: "3600.00",
		`" 5 "`:  " 5 ",
		`"null"`: "null", `"\u00e9\n\ud83d"`: "é\n\ufffd",
	}
	reads(t, texts)
	uppers, smalls := map[string]upper{}, map[string]small{}
	for odd, text := range texts {
		uppers[odd], _ = parseUpper(text)
		smalls[odd] = ""
		if v, ok := parseSmall(text); ok {
			smalls[odd] = v
		}
	}
	reads(t, uppers)
	reads(t, smalls)
	reads(t, map[string]bool{
		"true": true, "1": true, `"true"`: true, `"1"`: true, `"True"`: true, `"yes"`: true, `"false"`: false,
		"2": false,
	})
	reads(t, map[string]int64{
		"0": 0, "1": 1, "-1": -1, "3600.0": 3600, "1e3": 1000, `" 5 "`: 5, `"3600"`: 3600, `"3600.00"`: 3600,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "9223372036854775808": 0,
		"3600.5": 0, `"3600.5"`: 0, `"0x10"`: 0, `"1_000"`: 0, `"12abc"`: 0, `"-"`: 0,
	})
	reads(t, map[string][]string{
		"[]": {}, `["a",null,{}]`: {"a"}, `[[["a"]]]`: {}, `["a",1,"","b",true,2.50]`: {"a", "1", "b", "2.50"},
	})
	reads(t, map[string][]upper{"[]": {}, `["a",null,{}]`: {{"A"}}, `[[["a"]]]`: {}, `["a",1]`: {{"A"}, {"1"}}})
	reads(t, map[string][]inner{
		"[]": {}, `["a",null,{}]`: {{}}, `[[["a"]]]`: {},
		`[null,1,{"value":"a"},"b",[{"value":"c"}],{"value":null},{"value":"d"}]`: {{"a"}, {}, {"d"}},
	})
	reads(t, map[string]map[string]inner{
		"{}": {}, `{"a":{"b":[1]}}`: {"a": {}}, `{"a":null,"b":[],"c":{"value":1}}`: {"c": {"1"}},
	})
	reads(t, map[string]inner{`{"value":"a"}`: {"a"}})
}

// What is broken is an error for each type, whether it is there whole or comes byte by byte, and
// never a panic.
func TestBrokenJSON(t *testing.T) {
	for _, broken := range []string{
		"", " ", "{", "[", `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{1:1}`, `[1`, `[1,`, `[1,]`,
		`["a`,
		"tru", "nul", "falsy", "+1", "01", "1.", ".1", "-", "1e", "NaN", "'a'", `"\x"`, `"\u12"`, "\"\n\"", "\"\x00\"",
		"}",
		"]", ",", ":", "\x00", "\xff", "/* */1", "// 1\n1",
	} {
		for _, of := range []any{
			"", true, int64(1), upper{}, small(""), []string{}, []upper{}, []inner{}, map[string]inner{}, inner{},
		} {
			slow := newStream(iotest.OneByteReader(strings.NewReader(broken)), 100, &Buffer{})
			for name, s := range map[string]*Scanner{
				"whole": Document([]byte(broken), 0), "byte by byte": slow.Scanner,
			} {
				err := newReader().Read(s, reflect.New(reflect.TypeOf(of)).Interface())
				if err == nil {
					err = s.End()
				}
				require.Error(t, err, "%T of %q, %s", of, broken, name)
			}
		}
	}
}

// An end before the document is complete is told from any other fault.
func TestBrokenOff(t *testing.T) {
	body := `{"id":"1","list":[{"value":"\u00e9"},{"value":"b"}],"map":{"k":{"value":1.5}},"flag":true,"inner":null}`
	for cut := range len(body) {
		var got sample
		err := newReader().Read(Document([]byte(body[:cut]), 0), &got)
		require.True(t, BrokenOff(err), "%s: %v", body[:cut], err)
	}
	for _, wrong := range []string{`{"id":"1"]`, `{"id" "1"}`, `{"id":"1",}`, `[}`, `{"id":tru}`} {
		var got sample
		err := newReader().Read(Document([]byte(wrong), 0), &got)
		require.Error(t, err)
		require.False(t, BrokenOff(err), "%s: %v", wrong, err)
	}
}

// The memory that lists and maps take is bounded by the limit of the answer, and Forget begins
// anew.
func TestSpend(t *testing.T) {
	const limit = 64 << 10
	for name, of := range map[string]any{"list": []sample{}, "texts": []string{}, "map": map[string]sample{}} {
		open, piece, end := "[", "{},", "{}]"
		switch name {
		case "texts":
			piece, end = `"a",`, `"a"]`
		case "map":
			open, piece, end = "{", `"":{},`, `"":{}}`
		}
		size := reflect.TypeOf(of).Elem().Size()
		if name == "map" {
			size += reflect.TypeFor[string]().Size()
		}
		fits := int(atLeast(limit) / size)
		for n, want := range map[int]error{fits: nil, fits + 1: ErrTooLarge} {
			s := Document([]byte(open+strings.Repeat(piece, n-1)+end), limit)
			require.ErrorIs(t, newReader().Read(s, reflect.New(reflect.TypeOf(of)).Interface()), want, "%s of %d", name,
				n)
		}
	}
	s := Document(nil, limit)
	for range 10 {
		require.NoError(t, s.Spend(atLeast(limit)))
		require.ErrorIs(t, s.Spend(1), ErrTooLarge)
		s.Forget()
	}
	require.NoError(t, Document(nil, math.MaxInt64).Spend(math.MaxInt/2))
}

// Depth is bounded: a hundred thousand levels are an error, not an overflow.
func TestDepth(t *testing.T) {
	type nested struct {
		List []struct {
			Map map[string]inner `json:"map"`
		} `json:"list"`
	}
	for open, end := range map[string]string{"[": "]", `{"a":`: "}", `{"list":[{"map":`: "}]}"} {
		body := strings.Repeat(open, 100_000) + "1" + strings.Repeat(end, 100_000)
		var got nested
		require.Error(t, newReader().Read(Document([]byte(body), 1<<20), &got))
	}
}

// A type that no tag can be read into is a fault of the programmer.
func TestTypesThatCannotBeRead(t *testing.T) {
	for _, of := range []any{1.5, new(string), struct {
		F func() `json:"f"`
	}{}, []int{}} {
		require.Panics(t,
			func() { _ = newReader().Read(Document([]byte("1"), 0), reflect.New(reflect.TypeOf(of)).Interface()) })
	}
}

// ReadObject asks about each member first, and reads by tags what is left.
func TestReadObject(t *testing.T) {
	var got sample
	var seen []string
	s := Document([]byte(`{"id":"1","name":"n","list":[{}],"x":1}`), 0)
	require.NoError(t, newReader().ReadObject(s, &got, func(key []byte) (bool, error) {
		seen = append(seen, string(key))
		if string(key) == "name" {
			return true, s.Skip()
		}
		return false, nil
	}))
	require.Equal(t, []string{"id", "name", "list", "x"}, seen)
	require.Equal(t, sample{base: base{ID: "1"}, List: []inner{{}}}, got)
}

// A text is what encoding/json makes of it.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		`"a"`, `"\u00e9\ud83d\ude00"`, `"\ud800"`, `"\ud800\ud83d\ude00"`, "\"\xff\"", `"\n\t\\\/"`, `1e5`, `null`,
		`{}`,
		`"\q"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want string
		if json.Unmarshal(body, &want) != nil {
			return
		}
		got, err := Document(body, 0).Text()
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.True(t, utf8.ValidString(got))
	})
}

// What is valid JSON is read, and what is not is an error.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		`{"id":"1","list":[{"value":"a"}],"inner":{"value":"b"},"flag":true}`, `{"list":null}`, `{"map":{"a":{}}}`,
		`[]`,
		`{"count":1e5}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got sample
		_, err := Whole(Document(body, 1<<20), func(s *Scanner) (struct{}, error) {
			return struct{}{}, newReader().Read(s, &got)
		})
		require.Equal(t, json.Valid(bytes.TrimPrefix(body, byteOrderMark)), err == nil, "%v", err)
	})
}
