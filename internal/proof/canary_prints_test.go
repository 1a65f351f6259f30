package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/duolink/duolink"
)

// A mark begins every text that the canary plants: one that nobody may see, and one for what an
// answer may show of itself, and nothing but it. Letters of the upper case, because a text of those
// may pass for an error's code.
const (
	hiddenMark = "KJHGFDSAQX"
	plainMark  = "WZYPLMNBVC"
)

// canaryWays are the ways on which something comes out.
var canaryWays = []string{
	"answer", "error", "panic", "log", "hook", "response", "limiter", "client", "reflection", "stdout, stderr and log",
}

// canaryNeedles are the forms in which fmt, slog and the encoders would write a mark.
var canaryNeedles = map[string][][]byte{hiddenMark: formsOfMark(hiddenMark), plainMark: formsOfMark(plainMark)[:6]}

func formsOfMark(mark string) (all [][]byte) {
	b := []byte(mark)
	forms := []string{
		mark, strings.ToLower(mark), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		fmt.Sprintf("%d", b), fmt.Sprintf("%c", b),
		fmt.Sprintf("% x", b),
		fmt.Sprintf("% X", b), fmt.Sprintf("%# x", b), fmt.Sprintf("%# X", b), fmt.Sprintf("%U", b),
		fmt.Sprintf("%#U", b),
		fmt.Sprintf("%o", b),
		fmt.Sprintf("%O", b), fmt.Sprintf("%b", b), fmt.Sprintf("%#v", b)[7:], fmt.Sprintf("%#o", b),
		fmt.Sprintf("%#b", b), fmt.Sprintf("%+d", b), fmt.Sprintf("% d", b),
	}
	for i := range 3 { // base64 depends on where in the text the mark begins
		text := base64.StdEncoding.EncodeToString(append(make([]byte, i), b...))
		forms = append(forms, text[(i*8+5)/6:(i+len(b))*8/6])
	}
	for _, form := range forms {
		all = append(all, []byte(strings.Trim(form, "[]{}")))
	}
	return all
}

// canaryFormats are the verbs, with flags where they change something.
var canaryFormats = strings.Fields(
	`%v %+v %#v %s %+s %q %+q %#q %x %X %#x %d %+d %08d %c %U %b %o %t %e %g %20v %-40.30s %p %w`,
)

// briefFormats are those that everybody uses.
var briefFormats = strings.Fields(`%v %+v %#v %s %q %x %X %d %c %w`)

// prints is everything that has come out, by way.
type prints struct {
	mu       sync.Mutex
	out      map[string]*bytes.Buffer
	formats  []string // canaryFormats, or a part of them
	forms    int
	searched int
	redacted int
}

// add notes what has come out in one form.
func (p *prints) add(way, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out[way] == nil {
		p.out[way] = &bytes.Buffer{}
	}
	p.forms++
	p.out[way].WriteString(text)
	p.out[way].WriteByte('\n')
}

// sprint keeps vet from judging formats that are wrong on purpose.
func sprint(format string, v any) string { return fmt.Sprintf(format, v) }

// value prints a value in every way that does not ask for what is in it.
func (p *prints) value(way string, v any) {
	p.formatted(way, v)
	p.add(way, fmt.Sprint(v, &v))
	p.add(way, fmt.Sprintln("a", v))
	p.encoded(way, v)
	if way != "client" { // it holds connections, with what was written to them
		p.add("reflection", reflected(v))
		p.add("reflection", failed(v))
	}
}

func (p *prints) formatted(way string, v any) {
	var all strings.Builder
	for _, format := range p.formats {
		all.WriteString(sprint(format, v) + "\n")
	}
	p.add(way, all.String())
	p.mu.Lock()
	p.forms += len(p.formats) - 1
	p.mu.Unlock()
}

// encoded prints a value as slog, Masked and encoding/json do.
func (p *prints) encoded(way string, v any) {
	for _, text := range inLog("value", v, "group", slog.GroupValue(slog.Any("v", v), slog.Any("list", []any{v}))) {
		p.add(way, text)
	}
	shown, err := json.Marshal(duolink.Masked(v))
	p.add(way, string(shown))
	if err != nil {
		p.add(way, err.Error())
	}
	b, err := json.Marshal(v)
	p.add(way, string(b))
	if err != nil {
		p.add(way, err.Error())
	}
}

// failure prints an error as it is, and as what others make of it. The causes are printed too,
// unless they are the caller's own.
func (p *prints) failure(err error, causes bool) {
	wrapped := fmt.Errorf("context: %w", err)
	p.value("error", err)
	p.value("error", wrapped)
	joined := errors.Join(io.EOF, err, wrapped)
	p.formatted("error", joined)
	p.encoded("error", joined)
	for _, v := range []any{
		&url.Error{Op: "Get", URL: "https://host.test/", Err: err},
		&net.OpError{Op: "read", Net: "tcp", Err: wrapped},
		carrier[error]{err}, struct{ e error }{err}, []error{err}, map[string]any{"e": err},
	} {
		p.formatted("error", v)
		if len(p.formats) > len(briefFormats) {
			p.encoded("error", v)
		}
	}
	if e, ok := errors.AsType[*duolink.Error](err); ok {
		p.value("error", *e)
		p.value("error", e.Fields)
	}
	p.add("panic", recovered(func() { panic(err) }))
	p.add("panic", recovered(func() { panic(wrapped) }))
	if causes {
		p.chain(err)
	}
}

// chain prints what an error wraps, as reporters of errors do.
func (p *prints) chain(err error) {
	switch e := err.(type) { //nolint:errorlint // it is the chain that is looked at
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			p.value("error", next)
			p.chain(next)
		}
	case interface{ Unwrap() []error }:
		for _, next := range e.Unwrap() {
			p.value("error", next)
			p.chain(next)
		}
	}
}

// recovered is the text of a panic, "" where there is none.
func recovered(do func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v) + fmt.Sprintf("%+v", v)
		}
	}()
	do()
	return ""
}

// finding is a mark that came out.
type finding struct{ way, text string }

func (f finding) String() string { return f.way + ": " + f.text }

// findings searches everything for marks. An answer that is printed may show its plain members, and
// a client its User-Agent.
func (p *prints) findings() (found []finding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for way, out := range p.out {
		text := out.Bytes()
		p.searched += len(text)
		p.redacted += bytes.Count(text, []byte("[redacted]"))
		needles := canaryNeedles[hiddenMark]
		if way != "answer" && way != "client" && way != "reflection" {
			needles = slices.Concat(needles, canaryNeedles[plainMark])
		}
		for _, needle := range needles {
			if i := bytes.Index(text, needle); i >= 0 {
				found = append(found, finding{way, string(text[max(0, i-120):min(len(text), i+len(needle)+60)])})
			}
		}
	}
	return found
}

// forget makes room for the next call.
func (p *prints) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, out := range p.out {
		out.Reset()
	}
}

// Write takes what a logger writes.
func (p *prints) Write(b []byte) (int, error) {
	p.add("log", string(b))
	return len(b), nil
}
