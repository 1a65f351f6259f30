package duolink

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimestampNotations(t *testing.T) {
	for text, want := range map[string]string{
		"2021-10-22T11:47:16+00:00":           "2021-10-22T11:47:16Z",
		"2021-10-22T13:47:16+02:00":           "2021-10-22T11:47:16Z",
		"2021-10-22T06:17:16-05:30":           "2021-10-22T11:47:16Z",
		"2021-10-22T11:47:16-00:00":           "2021-10-22T11:47:16Z",
		"2026-01-01T00:00:00Z":                "2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00.1Z":              "2026-01-01T00:00:00.1Z",
		"2026-01-01T00:00:00.123Z":            "2026-01-01T00:00:00.123Z",
		"2026-01-01T00:00:00.123456+00:00":    "2026-01-01T00:00:00.123456Z",
		"2026-01-01T00:00:00.123456789+01:00": "2025-12-31T23:00:00.123456789Z",
		"2026-01-01T00:00:00.1234567890123Z":  "2026-01-01T00:00:00.123456789Z",
		"2026-04-06T10:59:04+0000":            "2026-04-06T10:59:04Z",
		"2026-04-06T10:59:04-0700":            "2026-04-06T17:59:04Z",
		"2026-04-06T10:59:04.500+0000":        "2026-04-06T10:59:04.5Z",
		"2023-02-16T09:14:11":                 "2023-02-16T09:14:11Z",
		"2023-02-16T09:14:11.123456":          "2023-02-16T09:14:11.123456Z",
		"2026-01-01 00:00:00":                 "2026-01-01T00:00:00Z",
		"2026-01-01 00:00:00.25":              "2026-01-01T00:00:00.25Z",
		"2026-01-01 00:00:00+00:00":           "2026-01-01T00:00:00Z",
		"2026-01-01 02:00:00+02:00":           "2026-01-01T00:00:00Z",
		"2026-01-01 00:00:00Z":                "2026-01-01T00:00:00Z",
		"2026-01-01":                          "2026-01-01T00:00:00Z",
		"2024-02-29":                          "2024-02-29T00:00:00Z",
		"9999-12-31T23:59:59Z":                "9999-12-31T23:59:59Z",
		"1969-12-31T23:59:59Z":                "1969-12-31T23:59:59Z",

		"2026-01-01T00:00:00,25Z":            "2026-01-01T00:00:00.25Z",
		"2026-01-01 00:00:00.123456+00":      "2026-01-01T00:00:00.123456Z", // PostgreSQL
		"2026-01-01T02:00:00+02":             "2026-01-01T00:00:00Z",
		"2026-01-01 00:00:00+0000":           "2026-01-01T00:00:00Z",
		"2026-01-01 02:00:00 +0200":          "2026-01-01T00:00:00Z", // Ruby
		"2026-01-01 00:00:00 UTC":            "2026-01-01T00:00:00Z", // Rails
		"2026-01-01 00:00:00 GMT":            "2026-01-01T00:00:00Z",
		"2026-01-01t00:00:00z":               "2026-01-01T00:00:00Z",
		"2026-01-01T00:00Z":                  "2026-01-01T00:00:00Z",
		"2026-01-01T00:00":                   "2026-01-01T00:00:00Z",
		"2026-01-01T02:00-02:00":             "2026-01-01T04:00:00Z",
		"2026-01-01T02:00:00 02:00":          "2026-01-01T00:00:00Z", // a URL has eaten the plus sign
		"2026-01-01T24:00:00Z":               "2026-01-02T00:00:00Z",
		"2025-12-31T24:00":                   "2026-01-01T00:00:00Z",
		"2016-12-31T23:59:60Z":               "2017-01-01T00:00:00Z",
		"20260101T000000Z":                   "2026-01-01T00:00:00Z",
		"20260101T020000.5+0200":             "2026-01-01T00:00:00.5Z",
		"Thu, 01 Jan 2026 00:00:00 GMT":      "2026-01-01T00:00:00Z",
		"2026-01-01T02:00:00+02:00[UTC]":     "2026-01-01T00:00:00Z", // Java
		"2026-01-01T02:00:00+02:00[Etc/X-2]": "2026-01-01T00:00:00Z",
		" 2026-01-01T00:00:00Z\n":            "2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00 Z":              "2026-01-01T00:00:00Z",
		"\u00a02026-01-01 ":                  "2026-01-01T00:00:00Z",
	} {
		t.Run(text, func(t *testing.T) {
			instant, err := time.Parse(time.RFC3339Nano, want)
			require.NoError(t, err)
			got := parseTimestamp(text)
			require.Equal(t, text, got.Text())
			require.True(t, got.Time.Equal(instant), "%v", got.Time)
			require.Equal(t, time.UTC, got.Location())
			require.False(t, got.IsZero())
			require.Equal(t, want, got.String())
			require.Equal(t, want, fmt.Sprint(got))
			require.Equal(t, len(strings.TrimSpace(text)) == 10, got.DateOnly())
		})
	}
	for _, text := range []string{
		"0000-00-00 00:00:00", "0000-00-00", "1767225600", "1767225600.5", "soon",
		"2026-02-30", "2026-13-01", "2025-02-29T00:00:00Z", "2025-02-29T00:00Z", "2026-01-01T24:00:01Z",
		"2026-01-01T25:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T23:59:61Z",
		"2026-1-1", "01/02/2026", "2026-01", "20260101", "20260101000000", "2026-01-01T00", "26-01-01T00:00:00Z",
		"2026-01-01T00:00:00+", "2026-01-01T00:00:00Z and more", "2026-01-01T00:00:00 CET", "2026-01-01T00:00:0000",
		"2026-01-01T00:00:00[Europe/Helsinki]", "2026-01-01T00:00:00 02", "Thu, 01 Jan 2026 00:00:00 CET", "now", "0",
		"-2026-01-01T00:00:00Z", "12026-01-01T00:00:00Z", "\x00", "ключ", "\xff", strings.Repeat("2", 1<<20),
	} {
		got := parseTimestamp(text)
		require.Equal(t, text, got.Text())
		require.True(t, got.IsZero(), "%q is %v", text, got.Time)
		require.Equal(t, text, got.String(), "the text is better than nothing")
		require.False(t, got.DateOnly())
	}
	absent := parseTimestamp("")
	require.Equal(t, Timestamp{}, absent)
	require.Empty(t, absent.Text())
	require.Empty(t, absent.String())
	require.False(t, absent.DateOnly())
}

// A round trip keeps the text, and keeps an absent text absent.
func TestTimestampJSON(t *testing.T) {
	for text, want := range map[string]string{
		`"2021-10-22T11:47:16+00:00"`:        `"2021-10-22T11:47:16+00:00"`,
		`"2026-01-01T00:00:00.123456-05:00"`: `"2026-01-01T00:00:00.123456-05:00"`,
		`"2026-04-06T10:59:04+0000"`:         `"2026-04-06T10:59:04+0000"`,
		`"2026-01-01 00:00:00"`:              `"2026-01-01 00:00:00"`,
		`"2026-01-01"`:                       `"2026-01-01"`,
		`"0000-00-00 00:00:00"`:              `"0000-00-00 00:00:00"`,
		`"soon\n\"<now>\""`:                  `"soon\n\"\u003cnow\u003e\""`,
		`1767225600`:                         `"1767225600"`,
		`""`:                                 `null`,
		`null`:                               `null`,
		`true`:                               `null`,
		`{}`:                                 `null`,
		`{"date":"2026-01-01"}`:              `null`,
		`["2026-01-01"]`:                     `null`,
	} {
		t.Run(text, func(t *testing.T) {
			first := stamp("2000-01-01T00:00:00Z") // must not shine through
			require.NoError(t, json.Unmarshal([]byte(text), &first))
			got, err := json.Marshal(struct{ T Timestamp }{first})
			require.NoError(t, err)
			require.Equal(t, `{"T":`+want+`}`, string(got))
			var second Timestamp
			require.NoError(t, json.Unmarshal([]byte(want), &second))
			require.Equal(t, first, second)
		})
	}
	// As the key of a map, through MarshalText.
	got, err := json.Marshal(map[Timestamp]int{stamp("2026-01-01"+"T00:00:00Z", "2026-01-01T00:00:00Z"): 1})
	require.NoError(t, err)
	require.JSONEq(t, `{"2026-01-01T00:00:00Z":1}`, string(got))
	for _, broken := range []string{"", `"`, `"2026`, "{", "x"} {
		var ts Timestamp
		require.Error(t, ts.UnmarshalJSON([]byte(broken)), broken)
	}
}

// A Timestamp that a caller makes has no text. It is written as RFC 3339 in UTC, like String.
func TestTimestampWithoutText(t *testing.T) {
	made := Timestamp{Time: time.Date(2026, 1, 1, 5, 30, 0, 500, time.FixedZone("IST", 5*3600+1800))}
	require.Empty(t, made.Text())
	require.False(t, made.DateOnly())
	require.Equal(t, "2026-01-01T00:00:00.0000005Z", made.String())
	b, err := json.Marshal(made)
	require.NoError(t, err)
	var back Timestamp
	require.NoError(t, json.Unmarshal(b, &back))
	require.True(t, back.Equal(made))

	b, err = Timestamp{}.MarshalText()
	require.NoError(t, err)
	require.Empty(t, b)
	require.NoError(t, back.UnmarshalText(b))
	require.Equal(t, Timestamp{}, back)
	require.NoError(t, back.UnmarshalText([]byte("soon")))
	require.Equal(t, unreadable("soon"), back)
}

// Whatever is written is what Time says now. Text stays what the API wrote.
func TestTimestampThatWasChanged(t *testing.T) {
	day := time.Date(2026, 5, 6, 7, 8, 9, 0, time.FixedZone("", 7200))
	const changed = "2026-05-06T05:08:09Z"
	for _, text := range []string{
		"2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01 00:00:00.5", "soon", "", "20260101T000000Z",
	} {
		ts := parseTimestamp(text)
		ts.Time = day
		require.Equal(t, text, ts.Text())
		require.Equal(t, changed, ts.String())
		require.False(t, ts.DateOnly())
		for name, write := range timestampWriters(ts) {
			b, err := write()
			require.NoError(t, err)
			require.Equal(t, changed, strings.Trim(string(b), `"`), name)
		}
		ts.Time = time.Time{}
		if text == "soon" {
			continue // the text says the same again
		}
		require.Empty(t, ts.String())
		b, err := json.Marshal(ts)
		require.NoError(t, err)
		require.Equal(t, "null", string(b))
	}
	// The same instant in another zone is no change.
	ts := parseTimestamp("2026-01-01")
	ts.Time = ts.In(time.FixedZone("", 3600))
	require.True(t, ts.DateOnly())
	require.Equal(t, "2026-01-01", mustText(t, ts))
}

func mustText(t *testing.T, ts Timestamp) string {
	t.Helper()
	b, err := ts.MarshalText()
	require.NoError(t, err)
	return string(b)
}

// timestampWriters are the methods that write a timestamp.
func timestampWriters(ts Timestamp) map[string]func() ([]byte, error) {
	return map[string]func() ([]byte, error){
		"MarshalText": ts.MarshalText, "MarshalBinary": ts.MarshalBinary, "MarshalJSON": ts.MarshalJSON,
		"GobEncode":    ts.GobEncode,
		"AppendText":   func() ([]byte, error) { return ts.AppendText(nil) },
		"AppendBinary": func() ([]byte, error) { return ts.AppendBinary(nil) },
	}
}

// No method that writes or reads a time comes from time.Time, because it would not know the text.
func TestTimestampMethods(t *testing.T) {
	readers := map[string]func(*Timestamp, []byte) error{
		"MarshalText": (*Timestamp).UnmarshalText, "MarshalBinary": (*Timestamp).UnmarshalBinary,
		"MarshalJSON": (*Timestamp).UnmarshalJSON, "GobEncode": (*Timestamp).GobDecode,
		"AppendText": (*Timestamp).UnmarshalText, "AppendBinary": (*Timestamp).UnmarshalBinary,
	}
	for m := range reflect.TypeFor[*time.Time]().Methods() {
		writes := strings.HasPrefix(m.Name, "Marshal") || strings.HasSuffix(m.Name, "Encode")
		writes = writes || m.Name == "AppendText" || m.Name == "AppendBinary"
		require.Equal(t, writes, readers[m.Name] != nil, "a timestamp has its own %s", m.Name)
	}
	for _, text := range []string{
		"2026-01-01", "2026-01-01T00:00:00.5+02:00", "soon", "", "12.5", "2026-01-01 00:00:00",
	} {
		ts := parseTimestamp(text)
		for name, write := range timestampWriters(ts) {
			b, err := write()
			require.NoError(t, err)
			again := stamp("2000-01-01T00:00:00Z")
			require.NoError(t, readers[name](&again, b))
			require.Equal(t, ts, again, "%s of %q", name, text)
		}
		var stored bytes.Buffer
		require.NoError(t, gob.NewEncoder(&stored).Encode(LoginLink{CreatedTime: ts}.CreatedTime))
		var again Timestamp
		require.NoError(t, gob.NewDecoder(&stored).Decode(&again))
		require.Equal(t, ts, again)
	}
}

// Equal has the form that go-cmp looks for. It compares instants, and texts that are no times.
func TestTimestampEqual(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Timestamp](), reflect.TypeFor[Sensitive](), reflect.TypeFor[Secret](),
	} {
		m, ok := typ.MethodByName("Equal")
		require.True(t, ok, "%s", typ)
		require.Equal(t, "func("+typ.String()+", "+typ.String()+") bool", m.Type.String())
	}
	for _, pair := range [][2]string{
		{"2026-01-01T00:00:00Z", "2026-01-01 02:00:00+02:00"}, {"2026-01-01", "2026-01-01T00:00:00Z"}, {"", ""},
		{"soon", "soon"},
	} {
		require.True(t, parseTimestamp(pair[0]).Equal(parseTimestamp(pair[1])), pair)
	}
	for _, pair := range [][2]string{
		{"2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"}, {"soon", "later"}, {"soon", ""}, {"", "2026-01-01"},
	} {
		require.False(t, parseTimestamp(pair[0]).Equal(parseTimestamp(pair[1])), pair)
	}
}

func TestDecimal(t *testing.T) {
	zeros, nines := strings.Repeat("0", 400), strings.Repeat("9", 400)
	for text, exact := range map[string]string{ // "" means that there is no value
		"0":                      "0",
		"-0":                     "0",
		"0.0":                    "0",
		"500":                    "500",
		"-12.30":                 "-123/10",
		"340.12":                 "34012/100",
		"1e-05":                  "1/100000",
		"1E+5":                   "100000",
		"1e5":                    "100000",
		"1E5":                    "100000",
		"0.1":                    "1/10",
		"0.30000000000000004":    "30000000000000004/100000000000000000",
		"9007199254740993":       "9007199254740993",
		"12345678901234567.89":   "1234567890123456789/100",
		"1." + zeros[:29] + "1":  "1" + zeros[:29] + "1/1" + zeros[:30],
		"1e400":                  "1" + zeros,
		"1e-400":                 "1/1" + zeros,
		nines:                    nines,
		"0." + zeros[:397] + "1": "1/1" + zeros[:398],

		"0e999":                           "",
		"1e401":                           "",
		"1e-401":                          "",
		"1e999999999":                     "",
		"-1e999999999":                    "",
		"1e-999999999":                    "",
		"1e99999999999999999999":          "",
		nines + "9":                       "",
		"0." + strings.Repeat("3", 1<<20): "",
	} {
		name := text[:min(len(text), 30)]
		t.Run(name, func(t *testing.T) {
			var d Decimal
			require.NoError(t, json.Unmarshal([]byte(text), &d))
			require.Equal(t, Decimal(text), d)
			got, ok := d.Rat()
			require.Equal(t, exact != "", ok)
			if ok {
				want, valid := new(big.Rat).SetString(exact)
				require.True(t, valid)
				require.Zero(t, want.Cmp(got), "%s", got)
			} else {
				require.Nil(t, got)
			}
			b, err := json.Marshal(d)
			require.NoError(t, err)
			require.Equal(t, text, string(b))
			var quoted Decimal
			require.NoError(t, json.Unmarshal([]byte(`"`+text+`"`), &quoted))
			require.Equal(t, d, quoted)
		})
	}
}

// A text that is not a number is not absent. It is kept, and written as a text.
func TestDecimalOfNoNumber(t *testing.T) {
	for _, text := range []string{
		"-", "--1", "1e", "1e+", "1e5.5", "1e5e5", "1.2.3", "0x10", "0b1", "1_000", "1,000", "1 000", "1/2", "1 2",
		"1\x00",
		"$5", "5 USD", "１", "NaN", "nan", "Infinity", "-Infinity", "inf", "abc", "true", "null", "{}", "[1]", `"1"`,
		" n/a ",
	} {
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		var d Decimal
		require.NoError(t, json.Unmarshal(quoted, &d))
		require.Equal(t, Decimal(text), d)
		_, ok := d.Rat()
		require.False(t, ok, "%q", text)
		b, err := json.Marshal(d)
		require.NoError(t, err)
		require.Equal(t, string(quoted), string(b))
	}
	for text, number := range map[string]Decimal{
		"+5.00": "5.00", "007.50": "7.50", " 12.5 ": "12.5", "1,234.56": "1234.56", ".5": "0.5", "": "", " ": "",
		"\t": "",
	} {
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		d := Decimal("7")
		require.NoError(t, json.Unmarshal(quoted, &d))
		require.Equal(t, number, d, "%q", text)
	}
	b, err := json.Marshal(Decimal(""))
	require.NoError(t, err)
	require.Equal(t, "null", string(b))
	for _, odd := range []string{"null", "true", "{}", `{"value":1}`, "[1]", `""`} {
		d := Decimal("7")
		require.NoError(t, json.Unmarshal([]byte(odd), &d), odd)
		require.Empty(t, d, odd)
	}
	for _, broken := range []string{"", "1x", "01", "+1", ".5", "1.", "NaN", "--1", "{", `"1`} {
		var d Decimal
		require.Error(t, d.UnmarshalJSON([]byte(broken)), broken)
	}
}
