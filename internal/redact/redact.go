// Package redact removes confidential texts from what a server writes.
//
// A server may quote a request in the form in which it saw it, in a URL or in JSON, or in a form of
// its own. So the server's words are first brought into one form: escapes are undone and case is
// folded, with a way back to the original bytes ([view]). The confidential texts are brought into
// the same form, and then found by plain search. Any eight characters in a row of a credential are
// found too, because servers cut and mask credentials. Base64 and hexadecimal text is decoded and
// searched for them ([codec]).
//
// It is no defence against a server that hides a secret on purpose. It does not find a text that is
// written backwards, or a text whose first letter belongs to a stray escape before it. Its cost
// grows with the length of the words times the number of texts, whatever they contain.
//
// To test it, plant a form of a text, and look for that form in the result of Clean, as FuzzClean
// does. BenchmarkClean has the searches that are slow in a careless program.
package redact

import (
	"bytes"
	"strings"
)

// Mark replaces what was removed.
const Mark = "[redacted]"

const (
	// shortest keeps an id of a letter or two from removing these letters everywhere in a message.
	shortest = 4
	// mostSaid and mostLooked bound the memory and the time of a search, to some tens of megabytes
	// and some tenths of a second. Words that would need more are removed as a whole.
	mostSaid   = 16 << 20
	mostLooked = 256 << 20
)

// Redactor removes a set of confidential texts from any words.
type Redactor struct {
	whole [][]byte // whole texts, in the form of a view
	words [][]byte // short credentials, which are found only as whole words
	runs  runs     // of credentials
}

// New takes the texts to find: credentials, also in parts, and other private texts, only as a
// whole.
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

// forms returns a text as a view has it: as it is, because it may only look like an escape, and
// without escapes. Forms that were seen before are left out.
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

// Clean replaces everything confidential in the words with a [Mark].
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

// boundary separates words. No text has this byte, so nothing is found across it.
const boundary = 0xff

// find tells for each byte whether it is confidential. It returns nil if none is.
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

// look searches a view, and folds it.
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

// quotes finds a text, or a whole word.
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

// codes finds encoded texts that contain a run of a credential, and hides them as a whole.
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

// masked replaces each stretch of hidden bytes with one mark.
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
