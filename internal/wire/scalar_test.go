package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]string{
		"340.12": "340.12", "1e-05": "1e-05", "-0.0": "-0.0", "1E5": "1E5",
		"+5.00": "5.00", "007.50": "7.50", " 12.5 ": "12.5", "\u00a012.5\n": "12.5", ".5": "0.5", "5.": "5",
		"-.5": "-0.5",
		"+0":  "0", "000": "0", "00.10": "0.10", "-007": "-7", "+1e5": "1e5", "01E-2": "1E-2",
		"1,234.56": "1234.56", "1,234,567": "1234567", "-1,234,567.8": "-1234567.8", "12,345.0": "12345.0",
		"123,456.": "123456",
	} {
		got, ok := ParseNumber(text)
		require.True(t, ok, text)
		require.Equal(t, want, got)
		require.True(t, json.Valid([]byte(got)))
	}
	for _, text := range []string{
		"", " ", "-", "+", ".", ",", "1,234", "-1,234", "1,23.4", "1,2345.6", "0,123.4", "1234,567.8", ",123.4",
		"1,,234.5",
		"1.234,56", "1.2.3", "--1", "+-1", "-+1", "1e", "1e+", "e5", ".e5", "1e5.5", "0x10", "1_000", "1 000",
		"12.5 USD", "$5",
		"NaN", "Infinity", "-inf", "1/2", "5%", "(5.00)", "1e5e5", "\u0661", strings.Repeat("0", 1<<20) + "1",
	} {
		_, ok := ParseNumber(text)
		require.False(t, ok, "%.40q", text)
	}
}

func TestParseInteger(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-1": -1, "3600": 3600, "3600.0": 3600, " 3600 ": 3600, "+3600": 3600, "003600": 3600, "1e3": 1000,
		"1.5e1": 15, "3,600.00": 3600, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
	} {
		got, ok := ParseInteger(text)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "n/a", "3600.5", "3,600", "9223372036854775808", "1e19", "1e400", "1e999999999", "-1e-999999999", "1e-1",
		strings.Repeat("9", 1<<24),
	} {
		_, ok := ParseInteger(text)
		require.False(t, ok, text)
	}
}

func TestParseFlag(t *testing.T) {
	for want, texts := range map[bool][]string{
		true:  {"true", "True", " TRUE ", "t", "yes", "Y", "on", "1", "1.0", "01", "+1"},
		false: {"false", "False", " FALSE ", "f", "no", "N", "off", "0", "0.0", "-0", "000"},
	} {
		for _, text := range texts {
			got, ok := ParseFlag(text)
			require.True(t, ok, text)
			require.Equal(t, want, got, text)
		}
	}
	for _, text := range []string{"", " ", "2", "-1", "0.5", "perhaps", "null", "yes!", "10"} {
		_, ok := ParseFlag(text)
		require.False(t, ok, text)
	}
}

// What is a number for this package is one for encoding/json, and has the same value in any form.
func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"340.12", "+5.00", "007.50", "1,234.56", ".5", "5.", "1e5", "-0", "1,234", "NaN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseNumber(text)
		if !ok {
			require.False(t, json.Valid([]byte(text)) && IsNumber(text))
			return
		}
		require.True(t, IsNumber(got))
		again, ok := ParseNumber(got)
		require.True(t, ok)
		require.Equal(t, got, again)
		_, _ = ParseInteger(text)
		_, _ = ParseFlag(text)
	})
}
