package duolink

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-faster/jx"
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
		"0000-00-00 00:00:00", "0000-00-00", "1767225600", "1767225600.5", "soon", "2026-02-30", "2026-13-01", "2025-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
		"2016-12-31T23:59:60Z", "2026-1-1", "01/02/2026", "2026-01-01T00:00", "2026-01", "20260101T000000Z", "2026-01-01T00:00:00 Z", " 2026-01-01", "2026-01-01\n",
		"2026-01-01T00:00:00+", "2026-01-01T00:00:00Z and more", "-2026-01-01T00:00:00Z", "12026-01-01T00:00:00Z", "\x00", "ключ", "\xff", strings.Repeat("2", 1<<20),
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

// The text outlives a round trip, and so does that there was none.
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
	// As the key of a map, by way of text.
	got, err := json.Marshal(map[Timestamp]int{stamp("2026-01-01"+"T00:00:00Z", "2026-01-01T00:00:00Z"): 1})
	require.NoError(t, err)
	require.JSONEq(t, `{"2026-01-01T00:00:00Z":1}`, string(got))
	for _, broken := range []string{"", `"`, `"2026`, "{", "x"} {
		var ts Timestamp
		require.Error(t, ts.UnmarshalJSON([]byte(broken)), broken)
	}
}

// One that a caller makes has no text; it is written as RFC 3339, in UTC as String says.
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
	for text, exact := range map[string]string{ // "" where there is no value
		"0": "0", "-0": "0", "0.0": "0", "500": "500", "-12.30": "-123/10", "340.12": "34012/100", "1e-05": "1/100000", "1E+5": "100000", "1e5": "100000", "1E5": "100000",
		"12345678901234567.89": "1234567890123456789/100", "0.1": "1/10", "0.30000000000000004": "30000000000000004/100000000000000000",
		"9007199254740993": "9007199254740993", "1.000000000000000000000000000001": "1000000000000000000000000000001/1000000000000000000000000000000",
		"0e999": "", "1e400": "1" + strings.Repeat("0", 400), "1e-400": "1/1" + strings.Repeat("0", 400), "1e401": "", "1e-401": "", "1e999999999": "",
		"-1e999999999": "", "1e-999999999": "", "1e99999999999999999999": "", strings.Repeat("9", 400): strings.Repeat("9", 400), strings.Repeat("9", 401): "",
		"0." + strings.Repeat("0", 397) + "1": "1/1" + strings.Repeat("0", 398), "0." + strings.Repeat("3", 1<<20): "",
	} {
		name := text[:min(len(text), 30)]
		t.Run(name, func(t *testing.T) {
			start := time.Now()
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
			require.Less(t, time.Since(start), 5*time.Second)
		})
	}
	for _, text := range []string{
		"", " ", "01", "-01", "00", "+1", "1.", ".5", "-.5", "-", "--1", "1e", "1e+", "1.e5", "1e5.5", "1.2.3", "0x10", "0b1", "1_000", "1,000", "1 000", " 1", "1 ", "1\n", "1/2",
		"NaN", "nan", "Infinity", "-Infinity", "inf", "1e5e5", "１", "abc", "true", "null", "{}", "[1]", `"1"`, "1 2", "1\x00", "$5", "5 USD",
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

// helper is one of the functions that read a member, as a function of the member's JSON.
func helper[T any](read func(*jx.Decoder, *T) error, before T) func(t *testing.T, member string) T {
	return func(t *testing.T, member string) T {
		t.Helper()
		got := before
		d := jx.DecodeStr(" [" + member + ` , "next"]`)
		n := 0
		require.NoError(t, d.Arr(func(d *jx.Decoder) error {
			if n++; n == 1 {
				return read(d, &got)
			}
			next, err := d.Str() // the helper has taken its value, and no more
			require.Equal(t, "next", next)
			return err
		}), member)
		require.Equal(t, 2, n)
		return got
	}
}

// oddities are values of every type.
var oddities = []string{
	"null", "true", "false", "0", "1", "-1", "3600.0", "1e3", "12345678901234567890", `""`, `"text"`, `"true"`, `"0"`, `"3600"`, `"3600.00"`, `" 5 "`, `"null"`,
	"{}", "[]", `{"a":{"b":[1]}}`, `["a",null,{}]`, `[[["a"]]]`, `"\u00e9\n\ud83d"`,
}

// match compares a helper with a table; what is not in it has to be absent.
func match[T any](t *testing.T, name string, read func(*jx.Decoder, *T) error, before, absent T, table map[string]T) {
	t.Helper()
	get := helper(read, before)
	for _, odd := range oddities {
		want, ok := table[odd]
		if !ok {
			want = absent
		}
		require.Equal(t, want, get(t, odd), "%s of %s", name, odd)
	}
	for odd, want := range table {
		require.Equal(t, want, get(t, odd), "%s of %s", name, odd)
	}
}

func TestHelpersOnOddTypes(t *testing.T) {
	texts1 := map[string]string{
		"0": "0", "1": "1", "-1": "-1", "3600.0": "3600.0", "1e3": "1e3", "12345678901234567890": "12345678901234567890", `"text"`: "text", `"true"`: "true", `"0"`: "0",
		`"3600"`: "3600", `"3600.00"`: "3600.00", `" 5 "`: " 5 ", `"null"`: "null", `"\u00e9\n\ud83d"`: "é\n\ufffd",
	}
	match(t, "text", text[string], "before", "", texts1)
	match(t, "sensitive", sensitive, NewSensitive("before"), Sensitive{}, func() map[string]Sensitive {
		all := map[string]Sensitive{}
		for odd, s := range texts1 {
			all[odd] = NewSensitive(s)
		}
		return all
	}())
	match(t, "flag", flag, true, false, map[string]bool{
		"true": true, "1": true, `"true"`: true, `"1"`: true, `"True"`: true, `"yes"`: false, `"false"`: false, "2": false,
	})
	match(t, "integer", func(d *jx.Decoder, to *int64) error {
		known, err := integer(d, to)
		if !known && *to != 0 {
			t.Errorf("%d is not known", *to)
		}
		if !known {
			*to = -999
		}
		return err
	}, 7, -999, map[string]int64{
		"0": 0, "1": 1, "-1": -1, "3600.0": 3600, `"0"`: 0, `"3600"`: 3600, `"3600.00"`: 3600, "9223372036854775807": math.MaxInt64,
		"-9223372036854775808": math.MinInt64, "9223372036854775808": -999, "3600.5": -999, `"3600.5"`: -999, `"0x10"`: -999, `"1_000"`: -999, `"12abc"`: -999, `"-"`: -999,
	})
	match(t, "timestamp", timestamp, stamp("2000-01-01T00:00:00Z"), Timestamp{}, func() map[string]Timestamp {
		all := map[string]Timestamp{`"2026-01-01"`: stamp("2026-01-01", "2026-01-01T00:00:00Z")}
		for odd, s := range texts1 {
			all[odd] = unreadable(s)
		}
		return all
	}())
	match(t, "decimal", decimal, "7", "", map[string]Decimal{
		"0": "0", "1": "1", "-1": "-1", "3600.0": "3600.0", "1e3": "1e3", "12345678901234567890": "12345678901234567890", `"0"`: "0", `"3600"`: "3600", `"3600.00"`: "3600.00",
	})
	match(t, "texts", texts[string], []string{"before"}, nil, map[string][]string{
		"[]": {}, `["a",null,{}]`: {"a"}, `[[["a"]]]`: {}, `["a",1,"","b",true,2.50]`: {"a", "1", "b", "2.50"},
	})
	match(t, "sensitives", sensitives, []Sensitive{{}}, nil, map[string][]Sensitive{
		"[]": {}, `["a",null,{}]`: {NewSensitive("a")}, `[[["a"]]]`: {}, `["a",1]`: {NewSensitive("a"), NewSensitive("1")},
	})
	match(t, "list", list[DataSource], []DataSource{{ID: "before"}}, nil, map[string][]DataSource{
		"[]": {}, `["a",null,{}]`: {{}}, `[[["a"]]]`: {}, `[null,1,{"ds_id":"a"},"b",[{"ds_id":"c"}],{"ds_id":null},{"ds_id":"d"}]`: {{ID: "a"}, {}, {ID: "d"}},
	})
	match(t, "object", func(d *jx.Decoder, to *string) error {
		return object(d, func(key []byte) error {
			*to += string(key)
			return d.Skip()
		})
	}, "", "", map[string]string{`{"a":{"b":[1]}}`: "a", `{"a":1,"":2,"é":3}`: "aé"})
}

// What is broken is an error for each helper, and none of them panics.
func TestHelpersOnBrokenJSON(t *testing.T) {
	for _, broken := range []string{
		"", " ", "{", "[", `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{1:1}`, `[1`, `[1,`, `[1,]`, `["a`, "tru", "nul", "falsy", "+1", "01", "1.", ".1", "-", "1e", "NaN",
		"'a'", `"\x"`, `"\u12"`, "\"\n\"", "\"\x00\"", "}", "]", ",", ":", "\x00", "\xff", "/* */1", "// 1\n1",
	} {
		for name, read := range map[string]func(*jx.Decoder) error{
			"text":       func(d *jx.Decoder) error { return text(d, new(string)) },
			"flag":       func(d *jx.Decoder) error { return flag(d, new(bool)) },
			"integer":    func(d *jx.Decoder) error { _, err := integer(d, new(int64)); return err },
			"timestamp":  func(d *jx.Decoder) error { return timestamp(d, new(Timestamp)) },
			"decimal":    func(d *jx.Decoder) error { return decimal(d, new(Decimal)) },
			"sensitive":  func(d *jx.Decoder) error { return sensitive(d, new(Sensitive)) },
			"texts":      func(d *jx.Decoder) error { return texts(d, new([]string)) },
			"sensitives": func(d *jx.Decoder) error { return sensitives(d, new([]Sensitive)) },
			"list":       func(d *jx.Decoder) error { return list(d, new([]Login)) },
			"object":     func(d *jx.Decoder) error { return object(d, func([]byte) error { return d.Skip() }) },
		} {
			_, err := read0(broken, read)
			require.Error(t, err, "%s of %q", name, broken)
			d := jx.Decode(iotest.OneByteReader(strings.NewReader(broken)), 1)
			if err := read(d); err == nil {
				require.Error(t, atEnd(d), "%s of %q, a byte at a time", name, broken)
			}
		}
	}
}

// read0 reads a whole document of which nothing is kept.
func read0(body string, answer func(*jx.Decoder) error) (struct{}, error) {
	return read([]byte(body), func(d *jx.Decoder) (struct{}, error) { return struct{}{}, answer(d) })
}

// Of a member that stands there twice the last counts, as in encoding/json.
func TestDuplicateKeys(t *testing.T) {
	link, err := replying(t, 200, `{"data":{"link_id":"first","description":"first","link_id":"dsll_2","description":null,"status_code":"OPEN","status_code":{}}}`).Links.Get(t.Context(), "dsll_1")
	require.NoError(t, err)
	require.Equal(t, &LoginLink{ID: "dsll_2"}, link)

	link, err = replying(t, 200, `{"data":{"link_id":"first","ds_id":"GAWA"},"data":{"link_id":"dsll_2"}}`).Links.Get(t.Context(), "dsll_1")
	require.NoError(t, err)
	require.Equal(t, "dsll_2", link.ID)

	list, err := replying(t, 200, `{"data":[{"login_id":"dsl_1"},{"login_id":"dsl_2"}],"data":[{"login_id":"dsl_3"}]}`).Logins.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Login{{ID: "dsl_3"}}, list)

	bank, err := replying(t, 200, `{"link_id":"mk_1","link_tags":["a"],"link_tags":["b"],"products":{"identity":{"error_code":"timeout"}},"products":{"accounts":{}}}`).Identity.Link(t.Context(), bankLink)
	require.NoError(t, err)
	require.Equal(t, &BankLink{ID: "mk_1", LinkTags: []string{"b"}, Products: map[Product]ProductStatus{ProductAccounts: {}}}, bank)

	who, err := replying(t, 200, `{"accounts":[{"account_id":"1"}],"accounts":[{"account_id":"2","account_id":"3"}],"link":{"link_id":"mk_1"}}`).Identity.Get(t.Context(), bankLink, IdentityQuery{})
	require.NoError(t, err)
	require.Equal(t, []AccountIdentity{{BankAccount: BankAccount{ID: "3"}}}, who.Accounts)
}

// Behind the JSON there is white space or nothing.
func TestTrailingData(t *testing.T) {
	for operation := range calls {
		body := answers[operation]
		if operation == "links.close" { // which takes anything
			continue
		}
		for _, space := range []string{"", " ", "\n", "\r\n\t ", strings.Repeat(" ", 200_000)} {
			require.NoError(t, calls[operation](t.Context(), replying(t, 200, space+body+space)), operation)
		}
		for _, trailing := range []string{"x", "{}", " {}", "[]", "null", "1", `""`, ",", "}", "]", ";", "\x00", "\xef\xbb\xbf", "\n" + body, strings.Repeat(" ", 200_000) + "x", "<!-- -->", "\u00a0"} {
			err := calls[operation](t.Context(), replying(t, 200, body+trailing))
			require.ErrorIs(t, err, ErrMalformedResponse, "%s %q", operation, trailing[max(0, len(trailing)-20):])
		}
	}
}

// Invalid bytes become what encoding/json makes of them, in every helper, in keys, and across the edges of a stream's buffer.
func TestInvalidUTF8AsInEncodingJSON(t *testing.T) {
	invalid := []string{"\xff", "a\xffb", "\xff\xfe\xfd", "\xc3\x28", "\xe2\x82", "\xe2\x28\xa1", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\x80", "\xf5\x80\x80\x80", `\ud800`, `\udc00\ud800`, `\ud83d\ude00`, "é\x80", `\u0000`, `\/`}
	for _, raw := range invalid {
		t.Run(fmt.Sprintf("%q", raw), func(t *testing.T) {
			var want string
			require.NoError(t, json.Unmarshal([]byte(`"`+raw+`"`), &want))
			quoted := `"` + raw + `"`
			require.Equal(t, want, helper(text[string], "")(t, quoted))
			require.Equal(t, want, helper(sensitive, Sensitive{})(t, quoted).Reveal())
			require.Equal(t, want, helper(timestamp, Timestamp{})(t, quoted).Text())
			require.Equal(t, []string{want, "x"}, helper(texts[string], nil)(t, `[`+quoted+`,"x"]`))
			var s Sensitive
			require.NoError(t, s.UnmarshalJSON([]byte(quoted)))
			require.Equal(t, want, s.Reveal())

			var std map[string]any
			body := `{"link_id":"mk_1","products":{` + quoted + `:{}}}`
			require.NoError(t, json.Unmarshal([]byte(body), &std))
			link, err := replying(t, 200, body).Identity.Link(t.Context(), bankLink)
			require.NoError(t, err)
			require.Len(t, std["products"], 1)
			for key := range std["products"].(map[string]any) {
				require.Contains(t, link.Products, Product(key))
			}

			for pad := 64<<10 - 60; pad < 64<<10+4; pad++ {
				body := `{"data":[{"ds_user":"u","display_name":"d","cache_time":null,"accounts":[{"x":"` + strings.Repeat(" ", pad-70) + `","account_name":` + quoted + `}]}]}`
				all, err := collect(t, replying(t, 200, body).Logins.EachAccount(t.Context(), AccountsQuery{DataSourceID: "GAWA"}))
				require.NoError(t, err)
				require.Equal(t, want, all[0].Account.Name, pad)
			}
		})
	}
}
