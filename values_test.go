package duolink

import (
	"encoding/json"
	"fmt"
	"math/big"
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
	} {
		t.Run(text, func(t *testing.T) {
			instant, err := time.Parse(time.RFC3339Nano, want)
			require.NoError(t, err)
			got := parseTimestamp(text)
			require.Equal(t, text, got.Text())
			require.True(t, got.Equal(instant), "%v", got.Time)
			require.Equal(t, time.UTC, got.Location())
			require.False(t, got.IsZero())
			require.Equal(t, want, got.String())
			require.Equal(t, want, fmt.Sprint(got))
			require.Equal(t, len(text) == 10, got.DateOnly())
		})
	}
	for _, text := range []string{
		"0000-00-00 00:00:00", "0000-00-00", "1767225600", "1767225600.5", "soon",
		"2026-02-30", "2026-13-01", "2025-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2016-12-31T23:59:60Z",
		"2026-1-1", "01/02/2026", "2026-01-01T00:00", "2026-01", "20260101T000000Z",
		"2026-01-01T00:00:00 Z", " 2026-01-01", "2026-01-01\n", "2026-01-01T00:00:00+", "2026-01-01T00:00:00Z and more",
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
	require.True(t, back.Equal(made.Time))

	b, err = Timestamp{}.MarshalText()
	require.NoError(t, err)
	require.Empty(t, b)
	require.NoError(t, back.UnmarshalText(b))
	require.Equal(t, Timestamp{}, back)
	require.NoError(t, back.UnmarshalText([]byte("soon")))
	require.Equal(t, unreadable("soon"), back)
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

// A text that is not a number is absent, and is not written.
func TestDecimalOfNoNumber(t *testing.T) {
	for _, text := range []string{
		"", " ", "01", "-01", "00", "+1", "1.", ".5", "-.5", "-", "--1", "1e", "1e+", "1.e5", "1e5.5", "1e5e5", "1.2.3",
		"0x10", "0b1", "1_000", "1,000", "1 000", " 1", "1 ", "1\n", "1/2", "1 2", "1\x00", "$5", "5 USD", "１",
		"NaN", "nan", "Infinity", "-Infinity", "inf", "abc", "true", "null", "{}", "[1]", `"1"`,
	} {
		_, ok := Decimal(text).Rat()
		require.False(t, ok, "%q", text)
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		d := Decimal("7")
		require.NoError(t, json.Unmarshal(quoted, &d))
		require.Empty(t, d, "%q", text)
		b, err := json.Marshal(Decimal(text))
		if text == "" {
			require.NoError(t, err)
			require.Equal(t, "null", string(b))
		} else {
			require.Error(t, err, "%q", text)
		}
	}
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
