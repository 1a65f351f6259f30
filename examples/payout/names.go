package main

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// level says how similar two names are.
type level string

const (
	exact      level = "exact"
	normalised level = "normalised" // except for case, accents, punctuation and titles
	reordered  level = "reordered"  // and the family name is at the other end
	partial    level = "partial"    // similar, but not enough to pay: a person has to look
	unknown    level = "unknown"    // there is no name to compare with
	different  level = "different"
)

// levels has the best level first. A doubt is better than a no.
var levels = []level{exact, normalised, reordered, partial, unknown, different}

// match reports whether two names of this level are the same name.
func (l level) match() bool { return l == exact || l == normalised || l == reordered }

// better reports whether a level is better than another.
func (l level) better(than level) bool { return slices.Index(levels, l) < slices.Index(levels, than) }

// comparison is the level, with the reasons for it. It never quotes a name.
type comparison struct {
	Level level  `json:"level"`
	How   string `json:"how"`
}

// longest is how many bytes of a name are compared. No bank writes more, and each word is compared
// with each other word.
const longest = 500

// compareNames says how similar two names are. For letters outside the Latin alphabets only the
// case is ignored.
func compareNames(expected, actual string) comparison {
	if max(len(expected), len(actual)) > longest {
		return comparison{partial, "a name is too long to be compared"}
	}
	best := compareParsed(expected, actual, parse(expected, false), parse(actual, false))
	// J.R. may be JR or two initials.
	spaced := compareParsed(expected, actual, parse(expected, true), parse(actual, true))
	if spaced.Level.better(best.Level) {
		return spaced
	}
	return best
}

func compareParsed(expected, actual string, a, b name) comparison {
	switch {
	case len(a.words) == 0 || len(b.words) == 0:
		return comparison{unknown, "a name is empty"}
	case a.unread || b.unread:
		return comparison{partial, "a name has characters that could not be read"}
	case strings.TrimSpace(expected) == strings.TrimSpace(actual):
		return comparison{exact, "equal to the letter"}
	}
	result := compareWords(a, b)
	switch {
	case a.unseen || b.unseen:
		return comparison{partial, "a name has characters that are not seen"}
	case result.Level == different && (a.loose || b.loose):
		return comparison{partial, "a name has accents of an alphabet that is not folded here"}
	}
	return result
}

func compareWords(a, b name) comparison {
	if turn, depth, ok := rotation(a.words, b.words); ok {
		how, l := howEqual(a, b, depth), normalised
		if turn > 0 {
			how, l = how+"; order differs", reordered
		}
		return comparison{l, how}
	}
	if how := alike(a.words, b.words); how != "" {
		return comparison{partial, how}
	}
	if slices.ContainsFunc(slices.Concat(a.words, b.words), word.mixed) {
		return comparison{different, "in more than case, accents and order; a word mixes alphabets, as forged names do"}
	}
	return comparison{different, "in more than case, accents and order"}
}

// rotation looks for the same words in the same order. The first words may be at the end, as in
// "Sample, Avery". Any other order is another name.
func rotation(a, b []word) (turn, depth int, ok bool) {
	if len(a) != len(b) {
		return 0, 0, false
	}
	for turn := range a {
		if depth, ok := inOrder(a, slices.Concat(b[turn:], b[:turn])); ok {
			return turn, depth, true
		}
	}
	return 0, 0, false
}

func inOrder(a, b []word) (depth int, ok bool) {
	for i := range a {
		d, ok := a[i].equal(b[i])
		if !ok {
			return 0, false
		}
		depth = max(depth, d)
	}
	return depth, true
}

func howEqual(a, b name, depth int) string {
	var steps []string
	if depth > 0 {
		steps = append(steps, foldings[depth])
	}
	if a.dropped != b.dropped {
		steps = append(steps, "dropping punctuation")
	}
	if a.titles != b.titles {
		steps = append(steps, "dropping titles")
	}
	if len(steps) == 0 {
		return "equal"
	}
	return "equal after " + strings.Join(steps, ", ")
}

// alike says in which way two different names are similar, or "" if they are not.
func alike(a, b []word) string {
	if joined(a) == joined(b) {
		return "equal but for the spaces"
	}
	a, b, same := without(a, b, func(x, y word) bool { _, ok := x.equal(y); return ok })
	a, b, initials := without(a, b, word.initialOf)
	switch {
	case !slices.ContainsFunc(same, word.long) || len(a) > 0 && len(b) > 0:
		return ""
	case len(a) == 0 && len(b) == 0 && len(initials) == 0:
		return "the same names in another order"
	}
	var how []string
	if len(initials) > 0 {
		how = append(how, "initials stand for names")
	}
	if len(a)+len(b) > 0 {
		how = append(how, "one has more names than the other")
	}
	return strings.Join(how, "; ")
}

// without removes pairs of words that fit, each word at most once.
func without(a, b []word, fit func(x, y word) bool) (restA, restB, taken []word) {
	restB = slices.Clone(b)
	for _, x := range a {
		i := slices.IndexFunc(restB, func(y word) bool { return fit(x, y) })
		if i < 0 {
			restA = append(restA, x)
			continue
		}
		restB = slices.Delete(restB, i, i+1)
		taken = append(taken, x)
	}
	return restA, restB, taken
}

func joined(words []word) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w.plain)
	}
	return b.String()
}

// word is one word of a name, as it was written and as it is compared.
type word struct {
	text, folded, plain, spelled string
	first                        bool // the first of the name, or after a comma
}

// foldings say what word.equal had to ignore, by its depth.
var foldings = []string{
	"",
	"folding case",
	"folding case and accents",
	"folding case and accents, an umlaut being written with e",
}

func (w word) equal(other word) (depth int, ok bool) {
	switch {
	case w.text == other.text:
		return 0, true
	case w.folded == other.folded:
		return 1, true
	case w.plain == other.plain:
		return 2, true
	case w.spelled == other.spelled:
		return 3, true
	}
	return 0, false
}

func (w word) long() bool { return utf8.RuneCountInString(w.plain) > 1 }

// initialOf reports whether one of two words is the initial of the other.
func (w word) initialOf(other word) bool {
	return w.long() != other.long() &&
		(strings.HasPrefix(w.plain, other.plain) || strings.HasPrefix(other.plain, w.plain))
}

// mixed reports letters of several alphabets with similar letters.
func (w word) mixed() bool {
	n := 0
	for _, alphabet := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek} {
		if strings.ContainsFunc(w.text, func(r rune) bool { return unicode.Is(alphabet, r) }) {
			n++
		}
	}
	return n > 1
}

// name is a name in words, with a note of what was dropped.
type name struct {
	words                 []word
	dropped, titles       string
	unread, unseen, loose bool
}

// parse splits a name into words. Apostrophes are inside words. Dots are too, unless dotEnds. Other
// punctuation ends words.
func parse(text string, dotEnds bool) name {
	var n name
	current, first := "", true
	end := func() {
		if current != "" {
			n.add(current, first)
			current, first = "", false
		}
	}
	for _, r := range text {
		switch {
		case r == utf8.RuneError:
			n.unread = true
		case unicode.IsSpace(r):
			end()
		case unseen(r):
			n.unseen = true
		case strings.ContainsRune("'’‘ʼʻ`´′·", r) || r == '.' && !dotEnds:
			n.dropped += string(r)
		case unicode.IsPunct(r) && r != '&':
			n.dropped += string(r)
			end()
			first = first || r == ','
		default:
			current += string(r)
		}
	}
	end()
	n.dropTitles()
	return n
}

func (n *name) add(text string, first bool) {
	w := word{text: text, first: first, folded: strings.Map(fold, text)}
	var loose bool
	w.plain, loose = spell(text, nil, nil)
	w.spelled, _ = spell(text, longLetters, longMarks)
	n.words, n.loose = append(n.words, w), n.loose || loose
}

// Additions after a name, such as Jr and III, tell father and son apart and are not titles.
var titles = []string{
	"mr",
	"mrs",
	"ms",
	"miss",
	"mx",
	"dr",
	"prof",
	"sir",
	"herr",
	"frau",
	"mme",
	"mlle",
	"monsieur",
	"madame",
	"sra",
	"srta",
}

// dropTitles drops titles at the beginning and after a comma, unless nothing would be left.
func (n *name) dropTitles() {
	var rest []word
	beginning := true
	dropped := ""
	for _, w := range n.words {
		beginning = beginning || w.first
		if beginning && slices.Contains(titles, w.plain) {
			dropped += w.plain + " "
			continue
		}
		beginning = false
		rest = append(rest, w)
	}
	if len(rest) > 0 {
		n.words, n.titles = rest, dropped
	}
}
