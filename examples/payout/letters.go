package main

import (
	"strings"
	"unicode"
)

// plainLetters are the letters of the Latin alphabets with their base letters. With
// golang.org/x/text, which this module does not use, norm.NFKD and a filter for marks would do most
// of this.
var plainLetters = letters(map[string]string{
	"a": "àáâãäåāăąǎǟǡǻȁȃȧḁạảấầẩẫậắằẳẵặ", "b": "ḃḅḇ", "c": "çćĉċčḉ", "d": "ďđðḋḍḏḑḓ",
	"e": "èéêëēĕėęěȅȇȩḕḗḙḛḝẹẻẽếềểễệ", "f": "ḟ", "g": "ĝğġģǧǵḡ", "h": "ĥħȟḣḥḧḩḫẖ",
	"i": "ìíîïĩīĭįıǐȉȋḭḯỉị", "j": "ĵǰ", "k": "ķĸǩḱḳḵ", "l": "ĺļľŀłḷḹḻḽ", "m": "ḿṁṃ", "n": "ñńņňŉǹṅṇṉṋ",
	"o": "òóôõöøōŏőơǒǫǭǿȍȏȫȭȯȱṍṏṑṓọỏốồổỗộớờởỡợ", "p": "ṕṗ", "r": "ŕŗřȑȓṙṛṝṟ", "s": "śŝşšșṡṣṥṧṩ", "t": "ţťŧțṫṭṯṱẗ",
	"u": "ùúûüũūŭůűųưǔǖǘǚǜȕȗṳṵṷṹṻụủứừửữự", "v": "ṽṿ", "w": "ŵẁẃẅẇẉẘ", "x": "ẋẍ", "y": "ýÿŷȳẏẙỳỵỷỹ", "z": "źżžẑẓẕ",
	"ae": "æǽ", "ij": "ĳ", "ng": "ŋ", "oe": "œ", "ss": "ß", "th": "þ",
})

// longLetters are letters that may also be written as two letters: German passports write Müller as
// MUELLER.
var longLetters = letters(map[string]string{"aa": "å", "ae": "ä", "oe": "öø", "ue": "ü"})

func letters(table map[string]string) map[rune]string {
	all := map[rune]string{}
	for base, accented := range table {
		for _, r := range accented {
			all[r] = base
		}
	}
	return all
}

// The marks that turn a, o and u into the letters of longLetters, if the accent is a character of
// its own.
var longMarks = map[string]string{"a\u0308": "e", "o\u0308": "e", "u\u0308": "e", "a\u030a": "a"}

// fold is the lower case of a letter, the same for all its forms: ς and σ, ſ and s.
func fold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return unicode.ToLower(least)
}

// spell writes a word in base letters. An accent that is a character of its own is dropped after a
// Latin letter. In another alphabet it can make another letter: loose reports that there was one.
func spell(word string, table map[rune]string, marks map[string]string) (text string, loose bool) {
	var b strings.Builder
	var base rune
	for _, r := range word {
		r = fold(r)
		switch {
		case isAccent(r) && unicode.Is(unicode.Latin, base):
			b.WriteString(marks[string([]rune{base, r})])
			continue
		case isAccent(r):
			loose = true
			b.WriteRune(r)
			continue
		case table[r] != "":
			b.WriteString(table[r])
		case plainLetters[r] != "":
			b.WriteString(plainLetters[r])
		default:
			b.WriteRune(r)
		}
		base = r
	}
	return b.String(), loose
}

func isAccent(r rune) bool { return r >= 0x0300 && r <= 0x036f }

// unseen reports characters that take no room on a screen. A name with such characters is not what
// it looks like.
func unseen(r rune) bool {
	return unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
