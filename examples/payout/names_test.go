package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var comparisons = map[string]struct {
	a, b string
	want level
	how  string
}{
	"the same":         {"Avery Sample", "Avery Sample", exact, "equal to the letter"},
	"space around":     {" Avery Sample ", "Avery Sample\n", exact, "equal to the letter"},
	"space within":     {"Avery   Sample", "Avery\u00a0Sample", normalised, "equal"},
	"one word":         {"Example", "EXAMPLE", normalised, "equal after folding case"},
	"case":             {"AVERY SAMPLE", "avery Sample", normalised, "equal after folding case"},
	"an accent":        {"Zoë Sample", "Zoe Sample", normalised, "equal after folding case and accents"},
	"accents and case": {"JOSE NUNEZ", "José Núñez", normalised, "equal after folding case and accents"},
	"loose accents":    {"Jose\u0301 Sample", "José Sample", normalised, "equal after folding case and accents"},
	"Vietnamese":       {"Nguyễn Văn Mẫu", "NGUYEN VAN MAU", normalised, "equal after folding case and accents"},
	"Romanian":         {"Ștefan Țepeș", "Stefan Tepes", normalised, "equal after folding case and accents"},
	"Polish":           {"Łukasz Wróbel", "LUKASZ WROBEL", normalised, "equal after folding case and accents"},
	"Turkish":          {"Işıl İnce", "ISIL INCE", normalised, "equal after folding case and accents"},
	"Icelandic": {
		"Þóra Æsudóttir Dæmi", "Thora Aesudottir Daemi", normalised, "equal after folding case and accents",
	},
	"sharp s":         {"Max Weiß", "MAX WEISS", normalised, "equal after folding case and accents"},
	"capital sharp s": {"Max WEIẞ", "Max Weiß", normalised, "equal after folding case"},
	"umlaut left out": {"Müller Mia", "Muller Mia", normalised, "equal after folding case and accents"},
	"umlaut with e": {
		"Mia Mueller", "Mia Müller", normalised, "equal after folding case and accents, an umlaut being written with e",
	},
	"loose umlaut": {
		"Mia Mueller", "Mia Mu\u0308ller", normalised,
		"equal after folding case and accents, an umlaut being written with e",
	},
	"o with a stroke": {
		"Bjørn Sample", "Bjoern Sample", normalised,
		"equal after folding case and accents, an umlaut being written with e",
	},
	"a with a ring": {
		"Åse Sample", "Aase Sample", normalised, "equal after folding case and accents, an umlaut being written with e",
	},
	"a hyphen":      {"Anne-Marie Sample", "Anne Marie Sample", normalised, "equal after dropping punctuation"},
	"a long hyphen": {"Anne\u2010Marie Sample", "Anne-Marie Sample", normalised, "equal after dropping punctuation"},
	"an apostrophe": {"Avery O'Sample", "Avery O’Sample", normalised, "equal after dropping punctuation"},
	"no apostrophe": {"Avery O'Sample", "AVERY OSAMPLE", normalised,
		"equal after folding case, dropping punctuation"},
	"dots":            {"Sample S.A.", "Sample SA", normalised, "equal after dropping punctuation"},
	"dots and spaces": {"A.Sample", "A. Sample", normalised, "equal"},
	"a title": {
		"Dr. Avery Sample", "Avery Sample", normalised, "equal after dropping punctuation, dropping titles",
	},
	"titles": {
		"Prof. Dr. Avery Sample", "Ms Avery Sample", normalised, "equal after dropping punctuation, dropping titles",
	},
	"order": {"Sample Avery", "Avery Sample", reordered, "equal; order differs"},
	"order with a comma": {
		"SAMPLE, AVERY", "Avery Sample", reordered, "equal after folding case, dropping punctuation; order differs",
	},
	"order and accents": {
		"Núñez, José", "jose nunez", reordered,
		"equal after folding case and accents, dropping punctuation; order differs",
	},
	"order of three": {"García López María", "María García López", reordered, "equal; order differs"},
	"title in between": {
		"Sample, Mr. Avery", "Avery Sample", reordered,
		"equal after dropping punctuation, dropping titles; order differs",
	},
	"Cyrillic":      {"АНДРЕЙ ПРИМЕР", "Андрей Пример", normalised, "equal after folding case"},
	"Greek accents": {"ΔΗΜΟΣ", "δήμος", different, "in more than case, accents and order"},
	"final sigma":   {"ΔΗΜΟΣ", "δημος", normalised, "equal after folding case"},
	"Chinese":       {"山田 太郎", "山田 太郎", exact, "equal to the letter"},
	"Devanagari":    {"आरव शर्मा", "शर्मा आरव", reordered, "equal; order differs"},
	"a company": {
		"Example Trading LLC", "EXAMPLE TRADING, L.L.C.", normalised, "equal after folding case, dropping punctuation",
	},

	"an initial":               {"A. Sample", "Avery Sample", partial, "initials stand for names"},
	"initials at both sides":   {"Avery J Sample", "A. Jordan Sample", partial, "initials stand for names"},
	"initials without a space": {"J.R. Sample", "James Robert Sample", partial, "initials stand for names"},
	"a middle initial":         {"Avery J. Sample", "Avery Sample", partial, "one has more names than the other"},
	"a middle name":            {"Avery Jordan Sample", "Sample, Avery", partial, "one has more names than the other"},
	"initial and middle name": {
		"A Sample", "Avery Jordan Sample", partial, "initials stand for names; one has more names than the other",
	},
	"first name alone": {"Avery", "Avery Sample", partial, "one has more names than the other"},
	"son":              {"Avery Sample Jr.", "Avery Sample", partial, "one has more names than the other"},
	"the third":        {"Avery Sample", "Avery Sample III", partial, "one has more names than the other"},
	"a word twice":     {"Jo Jo Sample", "Jo Sample", partial, "one has more names than the other"},
	"two people in one": {
		"Avery Sample", "Avery Sample & Jordan Example", partial, "one has more names than the other",
	},
	"given names swapped": {"Avery Jordan Sample", "Jordan Avery Sample", partial, "the same names in another order"},
	"spaces":              {"Avery De La Sample", "Avery Delasample", partial, "equal but for the spaces"},
	"spaces that move":    {"Anna Marie Sample", "Ann Amarie Sample", partial, "equal but for the spaces"},
	"zero width":          {"Avery Sample", "Av\u200bery Sample", partial, "a name has characters that are not seen"},
	"zero width, else unlike": {
		"Avery Sample", "Jor\u200ddan Example", partial, "a name has characters that are not seen",
	},
	"soft hyphen":   {"Avery Sample", "Avery Sam\u00adple", partial, "a name has characters that are not seen"},
	"turned around": {"Avery Sample", "\u202eelpmaS yrevA", partial, "a name has characters that are not seen"},
	"a variation":   {"Avery Sample", "Avery\ufe0f Sample", partial, "a name has characters that are not seen"},
	"a filler":      {"Avery Sample", "Avery Sample \u3164", partial, "a name has characters that are not seen"},
	"a tag": {
		"Avery Sample", "Avery Sample\U000e0041", partial, "a name has characters that are not seen",
	},
	"an escape": {"Avery Sample", "Avery Sample\x1b[2K", partial, "a name has characters that are not seen"},
	"lost letters": {
		"Mia M\ufffdller", "Mia M\ufffdller", partial, "a name has characters that could not be read",
	},
	"not UTF-8": {"Mia Müller", "Mia M\xfcller", partial, "a name has characters that could not be read"},
	"too long": {
		strings.Repeat("Avery ", 100), strings.Repeat("Avery ", 100), partial, "a name is too long to be compared",
	},
	"loose Cyrillic accents": {
		"Андрей", "Андреи\u0306", partial, "a name has accents of an alphabet that is not folded here",
	},

	"another":           {"Avery Sample", "Jordan Example", different, "in more than case, accents and order"},
	"the family":        {"Avery Sample", "Jordan Sample", different, "in more than case, accents and order"},
	"first names alike": {"Avery Sample", "Avery Example", different, "in more than case, accents and order"},
	"another initial":   {"J. Sample", "Avery Sample", different, "in more than case, accents and order"},
	"other middle initial": {"Avery K. Sample", "Avery Jordan Sample", different,
		"in more than case, accents and order"},
	"other middle name": {"Avery Kim Sample", "Avery Jordan Sample", different,
		"in more than case, accents and order"},
	"initials alone":      {"A. S.", "Avery Sample", different, "in more than case, accents and order"},
	"one letter":          {"A", "Avery", different, "in more than case, accents and order"},
	"a beginning":         {"Ave Sample", "Avery Sample", different, "in more than case, accents and order"},
	"both umlauts":        {"Mia Mueller", "Mia Muller", different, "in more than case, accents and order"},
	"a company of a name": {"Avery Sample", "Sample GmbH", different, "in more than case, accents and order"},
	"inside of a word":    {"Avery Sample", "Avery Samples", different, "in more than case, accents and order"},
	"Cyrillic a": {
		"Avery Sample", "Avery S\u0430mple", different,
		"in more than case, accents and order; a word mixes alphabets, as forged names do",
	},
	"Cyrillic A": {
		"Avery Sample", "\u0410very Sample", different,
		"in more than case, accents and order; a word mixes alphabets, as forged names do",
	},
	"Greek o": {
		"Jo Sample", "J\u03bf Sample", different,
		"in more than case, accents and order; a word mixes alphabets, as forged names do",
	},
	"wide letters":       {"Avery Sample", "Ａｖｅｒｙ Ｓａｍｐｌｅ", different, "in more than case, accents and order"},
	"digits":             {"Avery Sample", "4very Sample", different, "in more than case, accents and order"},
	"an emoji":           {"Avery Sample", "Avery Sample😀", different, "in more than case, accents and order"},
	"a title alone":      {"Dr", "Mr", different, "in more than case, accents and order"},
	"a title and a name": {"Dr", "Dr Sample", different, "in more than case, accents and order"},
	"empty":              {"", "", unknown, "a name is empty"},
	"one empty":          {"Avery Sample", "", unknown, "a name is empty"},
	"spaces alone":       {" ", " ", unknown, "a name is empty"},
	"punctuation alone":  {"-.'", "-.'", unknown, "a name is empty"},
	"not seen alone":     {"\u200b", "\u200b", unknown, "a name is empty"},
}

func TestNames(t *testing.T) {
	for name, tc := range comparisons {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, comparison{tc.want, tc.how}, compareNames(tc.a, tc.b))
			require.Equal(t, comparison{tc.want, tc.how}, compareNames(tc.b, tc.a), "the other way round")
		})
	}
}

// Only three levels pay, and what says how two names compare quotes neither.
func TestLevels(t *testing.T) {
	for name, tc := range comparisons {
		got := compareNames(tc.a, tc.b)
		require.Equal(t, tc.want == exact || tc.want == normalised || tc.want == reordered, got.Level.match(), name)
		for _, word := range strings.Fields(tc.a + " " + tc.b) {
			if len(word) > 3 {
				require.NotContains(t, got.How, word, name)
			}
		}
	}
	require.True(t, exact.better(partial))
	require.True(t, partial.better(different))
	require.False(t, different.better(different))
}

// A name compares the same however its letters are written: in capitals, or with the accents as
// characters of their own.
func TestLettersFoldToThemselves(t *testing.T) {
	for letter, base := range plainLetters {
		name := "x" + string(letter) + "x Sample"
		require.True(t, compareNames(name, "x"+base+"x Sample").Level.match(), name)
		require.True(t, compareNames(strings.ToUpper(name), name).Level.match(), name)
		require.False(t, compareNames(name, "xq"+base+"x Sample").Level.match(), name)
	}
}

// Whatever a bank may write, who comes first changes nothing, and each name that can be read is
// itself.
func FuzzNames(f *testing.F) {
	for _, tc := range comparisons {
		f.Add(tc.a, tc.b)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		require.Equal(t, compareNames(a, b).Level.match(), compareNames(b, a).Level.match())
		n := parse(a, false)
		require.Equal(t, len(a) <= longest && len(n.words) > 0 && !n.unread, compareNames(a, a).Level == exact)
	})
}
