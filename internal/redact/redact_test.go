package redact

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const key = "api_Zq8rT1mYw3KpL5vN7xB9cD2fG4hJ6kQ0sU"

func clean(r *Redactor, words string) string {
	r.Clean(&words)
	return words
}

// A server quotes a text as it saw it, in a URL or in JSON, and as it writes texts itself. Nothing
// is left of it, and all of what stands around it.
func TestPrivateTexts(t *testing.T) {
	for _, text := range []string{
		`Söhne & "Blake+ads" <at>/example\com, 100% O'Neil`, "Avery Sample+ads@example.com",
		"two\nlines\tand\r𝄞, and\\some", "İstanbul ıssız, Straße",
		"日本語のテキスト", "50% of %2B and &amp; are \\u00f6", "ſtraße K5", "dsll_0001",
	} {
		for _, as := range quotations {
			t.Run(text+"/"+as.name, func(t *testing.T) {
				r := New(nil, []string{"not this", text})
				require.Equal(t, `Not "[redacted]", please`, clean(r, `Not "`+as.write(text)+`", please`))
			})
		}
	}
}

func TestCredentials(t *testing.T) {
	r := New([]string{key}, nil)
	for _, as := range append(append([]form{}, quotations...), codings...) {
		t.Run(as.name, func(t *testing.T) {
			require.Equal(t, "Key [redacted] is unknown", clean(r, "Key "+as.write(key)+" is unknown"))
		})
	}
	for name, tc := range map[string]struct{ said, want string }{
		"cut at the end":        {key[:25] + "...", "[redacted]..."},
		"cut at the beginning":  {"..." + key[8:], "...[redacted]"},
		"without its last":      {key[:len(key)-1], "[redacted]"},
		"masked at the ends":    {"****" + key[4:30] + "****", "****[redacted]****"},
		"masked in the middle":  {key[:12] + "********" + key[34:], "[redacted]********" + key[34:]},
		"the last four":         {"****" + key[34:], "****" + key[34:]},
		"eight of them":         {"x" + key[10:18] + "x", "x[redacted]x"},
		"seven of them":         {"x" + key[10:17] + "x", "x" + key[10:17] + "x"},
		"wrapped":               {key[:17] + "\n" + key[17:], "[redacted]\n[redacted]"},
		"with a soft hyphen":    {key[:10] + "\u00ad" + key[10:], "[redacted]\u00ad[redacted]"},
		"in Markdown":           {strings.ReplaceAll(key, "_", `\_`), "[redacted]"},
		"in percent, cut":       {everyByte(key)[:3*20], "[redacted]"},
		"in percent, cut badly": {everyByte(key)[:3*20+1], "[redacted]%"},
		"behind half an escape": {"%5" + key, "%5[redacted]"},
		"twice":                 {key + key, "[redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "Key "+tc.want+" is unknown", clean(r, "Key "+tc.said+" is unknown"))
		})
	}
}

// What is short is found as a whole, and a credential that is very short as a word of its own.
func TestShortTexts(t *testing.T) {
	r := New([]string{"pw1", "secret", "user:pw1"}, []string{"x9z", "link_1"})
	for said, want := range map[string]string{
		"client pw1 is unknown": "client [redacted] is unknown", "(PW1)": "([redacted])", "pw1": "[redacted]",
		"spw1 pw12 öpw1": "spw1 pw12 öpw1", "topsecrets": "top[redacted]s", "topsecre": "topsecre",
		"no x9z": "no x9z", "no LINK_1": "no [redacted]", "no link_": "no link_",
		"dXNlcjpwdzE=": "[redacted]",
	} {
		require.Equal(t, want, clean(r, said))
	}
}

// A longer text that begins with a shorter one is taken out whole, and texts that overlap are, too.
func TestTextsThatOverlap(t *testing.T) {
	r := New([]string{"mk-test"}, []string{"mk-test-secret", "secret-text"})
	require.Equal(t, "of [redacted] and [redacted]s", clean(r, "of mk-test-secret-text and mk-tests"))
}

func TestWordsAreSeparate(t *testing.T) {
	r := New([]string{key}, []string{"link_0001"})
	words := []string{
		"", "no link_0001", "link_", "0001", key[:7], key[7:12], "%4", "1", `\`, "link_0001" + `\`, "\xff",
		"all is well",
	}
	want := slices.Clone(words)
	want[1], want[9] = "no [redacted]", `[redacted]\`
	var at []*string
	for i := range words {
		at = append(at, &words[i])
	}
	r.Clean(at...)
	require.Equal(t, want, words)
	r.Clean()
	New(nil, nil).Clean(at...)
	require.Equal(t, want, words)
}

// Upper case and escapes change how long a text is. What stands behind it stays.
func TestTheWayBack(t *testing.T) {
	r := New(nil, []string{"ısırgan otu"})
	require.Equal(t, "İİİ ßßẞ ⱥⱥ K [redacted] ışık ﬀ ⱥ", clean(r, "İİİ ßßẞ ⱥⱥ K ISIRGAN%20OTU ışık ﬀ ⱥ"))
	require.Equal(t, "é\xe9\xff[redacted]\xe9é", clean(r, "é\xe9\xffısırgan+otu\xe9é"))
}

// Servers and callers may be hostile or unlucky: what a search costs stays within bounds, and what
// is too much to be searched is dropped.
func TestTooMuch(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("account_%04d", i))
	}
	r := New([]string{key}, many)
	words, other := strings.Repeat("w", 1<<20), "all is well"
	r.Clean(&words, &other)
	require.Equal(t, []string{Mark, Mark}, []string{words, other})
	require.Equal(t, Mark, clean(New([]string{key}, nil), strings.Repeat("w", mostSaid+1)))
	require.Equal(t, "no [redacted]", clean(r, "no account_0999"))
	for name, tc := range hostile() {
		said := clean(New(tc.credentials, tc.private), tc.said)
		require.Equal(t, tc.quotes, strings.Contains(said, Mark), name)
	}
}

// Whatever stands around it and in whatever form, a text does not survive.
func FuzzClean(f *testing.F) {
	for i := range quotations {
		f.Add("Avery O'Neil & \"Sons\" <1>+\\2 100%", "the user ", " is unknown", uint8(i), false)
	}
	for i := range append(quotations, codings...) {
		f.Add(key, "key=", "&x=%4", uint8(i), true)
	}
	f.Add("İ\u0307ıßẞſ", "\u0130\u0307", "\u0307", uint8(4), false)
	f.Add("\u009fẞ", "0", "0", uint8('7'), false)
	f.Add("&#0;", "0", "0", uint8('4'), false)
	f.Add("&ll;", "0", "0", uint8('R'), false)
	f.Fuzz(func(t *testing.T, text, before, after string, which uint8, credential bool) {
		as := quotations
		if credential {
			as = append(as[:len(as):len(as)], codings...)
		}
		if !plantable(text, credential) {
			t.Skip()
		}
		planted := as[int(which)%len(as)].write(text)
		words := before + " " + planted + " " + after
		r := New(nil, []string{text})
		if credential {
			r = New([]string{text}, nil)
		}
		r.Clean(&words)
		require.Contains(t, words, Mark)
		require.NotContains(t, strings.ToLower(words), strings.ToLower(planted))
		if credential {
			again := newView(words)
			again.fold()
			for i := range len(text) - runLength + 1 {
				require.NotContains(t, string(again.text), strings.ToUpper(text[i:i+runLength]))
			}
		}
	})
}

// plantable reports that a text can be told from what Clean writes, and that without its escapes it
// is not so short that it is left.
func plantable(text string, credential bool) bool {
	least := shortest
	if credential {
		least = runLength
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return false
		}
	}
	mark := []byte(strings.ToUpper(Mark))
	folded, undone := newView(text), newView(text)
	undone.undo()
	for _, v := range []*view{folded, undone} {
		v.fold()
		if len(v.text) < least || bytes.Contains(mark, v.text[:min(len(v.text), runLength)]) {
			return false
		}
	}
	return utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}
