// Package redact takes out of a server's words what was sent to it in confidence.
//
// A server quotes what it was sent as it saw it, in a URL or in JSON, and as it writes texts
// itself. So the words are brought into one form first: their escapes are undone and their case is
// folded, with a way back to the bytes that were written ([view]). What is confidential is brought
// into the same form, and then found by plain search. Of a credential any eight characters in a row
// are found too, because servers cut and mask them, and what base64 and hexadecimal text says
// ([codec]).
//
// It is no defence against a server that hides a secret on purpose: what is written backwards is
// not found, nor a text of which a stray escape before it takes the first letter. What it costs
// grows with the words times the number of texts, whatever they are.
//
// To test it, plant a text in a form of it and look for that form in what Clean leaves, as
// FuzzClean does. BenchmarkClean has the searches that would cost much if they were done without
// care.
package redact

import (
	"bytes"
	"strings"
)

// Mark stands where something was taken out.
const Mark = "[redacted]"

const (
	// shortest keeps an id of a letter or two from taking every such letter out of a message.
	shortest = 4
	// mostSaid and mostLooked bound the memory and the time of a search, at some tens of megabytes
	// and some tenths of a second. Of words for which there would be more, none is kept.
	mostSaid   = 16 << 20
	mostLooked = 256 << 20
)

// Redactor takes a set of confidential texts out of any words.
type Redactor struct {
	whole [][]byte // as a view has them
	words [][]byte // credentials so short that they are found as words of their own only
	runs  runs     // of credentials
}

// New takes what is to be found: credentials, also in parts, and other private texts, as a whole.
func New(credentials, private []string) *Redactor {
	r := &Redactor{runs: newRuns(credentials)}
	seen := make(map[string]bool, len(credentials)+len(private))
	for _, text := range credentials {
		for _, form := range forms(text, seen) {
			switch {
			case len(form) >= runLength:
				r.runs.add(form)
			case len(form) >= shortest:
				r.whole = append(r.whole, form)
			default:
				r.words = append(r.words, form)
			}
		}
	}
	for _, text := range private {
		for _, form := range forms(text, seen) {
			if len(form) >= shortest {
				r.whole = append(r.whole, form)
			}
		}
	}
	return r
}

// forms are what a view makes of a text: as it stands, because what looks like an escape may be
// none, and without escapes. Those that were seen before are left out.
func forms(text string, seen map[string]bool) (all [][]byte) {
	for _, undone := range []bool{false, true} {
		v := newView(text)
		if undone && !v.undo() {
			break
		}
		if v.fold(); len(v.text) > 0 && !seen[string(v.text)] {
			seen[string(v.text)] = true
			all = append(all, v.text)
		}
	}
	return all
}

// Clean puts a [Mark] in place of everything confidential that the words quote.
func (r *Redactor) Clean(words ...*string) {
	var said strings.Builder
	for _, w := range words {
		said.WriteString(*w)
		said.WriteByte(boundary)
	}
	hidden := r.find(said.String())
	if hidden == nil {
		return
	}
	from := 0
	for _, w := range words {
		to := from + len(*w)
		*w = masked(*w, hidden[from:to])
		from = to + 1
	}
}

// boundary stands between words. It is a byte that no text has, so nothing is found across it.
const boundary = 0xff

// find tells for each byte whether it belongs to something confidential; nil if none does.
func (r *Redactor) find(said string) []bool {
	f := &finding{Redactor: r, size: len(said)}
	if len(said) > mostSaid || len(said)*(len(r.whole)+len(r.words)) > mostLooked {
		f.hide(0, len(said))
		return f.hidden
	}
	f.look(newView(said))
	if v := newView(said); v.undo() {
		f.look(v)
	}
	return f.hidden
}

// finding is one search.
type finding struct {
	*Redactor
	size   int
	hidden []bool
}

func (f *finding) hide(from, to int) {
	if f.hidden == nil {
		f.hidden = make([]bool, f.size)
	}
	for i := from; i < to; i++ {
		f.hidden[i] = true
	}
}

// look searches a view, and leaves it folded.
func (f *finding) look(v *view) {
	if f.runs.some() {
		f.codes(v)
	}
	v.fold()
	if f.runs.some() {
		f.parts(v)
	}
	for _, text := range f.whole {
		f.quotes(v, text, false)
	}
	for _, text := range f.words {
		f.quotes(v, text, true)
	}
}

// quotes finds a text, or a word.
func (f *finding) quotes(v *view, text []byte, word bool) {
	for from := 0; ; {
		i := bytes.Index(v.text[from:], text)
		if i < 0 {
			return
		}
		from += i
		if to := from + len(text); !word || !v.letter(from-1) && !v.letter(to) {
			f.hide(v.span(from, to))
		}
		from += len(text)
	}
}

// parts finds the runs of credentials.
func (f *finding) parts(v *view) {
	var last run
	covered := 0
	for i, c := range v.text {
		last = last.and(c)
		if i+1 < runLength || !f.runs.has(last) {
			continue
		}
		from, to := v.span(max(i+1-runLength, covered), i+1)
		f.hide(from, to)
		covered = i + 1
	}
}

// codes finds codes that say a run of a credential, and hides them whole.
func (f *finding) codes(v *view) {
	for _, c := range codecs {
		for from := 0; from < len(v.text); {
			if !c.has(v.text[from]) {
				from++
				continue
			}
			to := from + 1
			for to < len(v.text) && c.has(v.text[to]) {
				to++
			}
			if c.says(v.text[from:to], f.runs) {
				for to < len(v.text) && v.text[to] == '=' {
					to++
				}
				f.hide(v.span(from, to))
			}
			from = to
		}
	}
}

// masked puts one mark in place of each stretch of hidden bytes.
func masked(word string, hidden []bool) string {
	var b strings.Builder
	for i := range len(word) {
		switch {
		case !hidden[i]:
			b.WriteByte(word[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(Mark)
		}
	}
	return b.String()
}
