package redact

import (
	"strings"
	"testing"
)

type search struct {
	credentials, private []string
	said                 string
	quotes               bool
}

// hostile are searches that cost much if they are done without care.
func hostile() map[string]search {
	var users []string
	for i := range 100 {
		users = append(users, strings.Repeat(string(rune(0x4e00+i*7)), 250)+"é")
	}
	nearly := func(text, said string) search { return search{private: []string{text}, said: said} }
	long, keys := strings.Repeat("0123456789abcdef", 128), strings.Repeat(key, 40)
	return map[string]search{
		"many users, few words":       {private: users, said: strings.Repeat("w", 60)},
		"many users, many words":      {private: users, said: strings.Repeat(users[50][:600], 1500)},
		"nearly quoted, everywhere":   nearly(strings.Repeat("!", 999)+"~", strings.Repeat("!", 1<<20)),
		"backslashes":                 nearly(strings.Repeat(`\`, 999)+"~~~~", strings.Repeat(`\`, 1<<20)),
		"percent signs":               nearly(strings.Repeat("!", 999)+"~", strings.Repeat("%2525252521", 90_000)),
		"percent signs of themselves": nearly(strings.Repeat("%25", 333)+"~", strings.Repeat("%25", 350_000)),
		"ampersands":                  nearly(strings.Repeat("&", 999)+"~", strings.Repeat("&amp;amp;amp;", 80_000)),
		"half an entity":              nearly("&lt;&lt;~", strings.Repeat("&", 1<<19)+strings.Repeat("l", 1<<19)),
		"surrogates":                  nearly("text 𝄞", strings.Repeat(`\ud834\\\\`, 100_000)),
		"levels":                      nearly("text", strings.Repeat("%26amp%3Bamp%253B%26%2337%3B", 35_000)),
		"other scripts":               nearly("текст ключа", strings.Repeat("привет İıß ", 50_000)),
		"base64": {credentials: []string{long},
			said: strings.Repeat("YXBpX1pxOHJUMW1Zdz", 58_000)},
		"hexadecimal":       {credentials: []string{keys}, said: strings.Repeat("0123456789abcdee", 65_000)},
		"nearly a run":      {credentials: []string{long}, said: strings.Repeat("0123456!", 131_000)},
		"quoted everywhere": {[]string{long}, []string{"0123"}, strings.Repeat(long, 500), true},
	}
}

func BenchmarkClean(b *testing.B) {
	words := strings.Repeat("The request for the account is not valid, because its owner has not consented. ", 4)[:300]
	cases := hostile()
	cases["usual"] = search{[]string{key, "client_0123456789"}, []string{"dsll_0001", "Avery Sample"}, words, false}
	cases["usual, with a long token"] = search{[]string{strings.Repeat(key, 40)}, []string{"dsll_0001"}, words, false}
	cases["usual, quoted"] = search{[]string{key}, []string{"dsll_0001"}, words[:150] + key + words[:110], true}
	for name, tc := range cases {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				said := tc.said
				New(tc.credentials, tc.private).Clean(&said)
			}
		})
	}
}
