package wire

import (
	"cmp"
	"errors"
	"strings"
)

// Problem is the body of an error in any dialect. The shape of the body tells the dialect.
type Problem struct {
	Code             string
	Message          string  `json:"message" also:"error_message,msg"`
	Description      string  `json:"description" also:"error_description"`
	DocumentationURL string  `json:"documentation_url"`
	LinkErrorCode    string  `json:"link_error_code"`
	Fields           []Field `json:"validation_errors" also:"details"`
	Type             string  `json:"error_type"`
	DisplayMessage   string  `json:"display_message"`
	SuggestedAction  string  `json:"suggested_action"`
}

// Field is one value that the server refused.
type Field struct {
	Location string `json:"location" also:"loc,field"` // a dotted path
	Message  string `json:"message" also:"msg"`
	Type     string `json:"type" also:"code"`
}

var problems = New(Custom(readField))

// ReadProblem reads the body of an error. If the body is not JSON (HTML, text, nothing), the
// Problem is empty. If it is truncated, the readable part is kept. If the first failed field has a
// known code, that is the code of the Problem.
func ReadProblem(body []byte, limit int64, known func(code string) bool) Problem {
	p := problemReader{s: Document(body, limit), known: known}
	_ = p.read()
	return p.Problem
}

type problemReader struct {
	Problem
	s     *Scanner
	known func(code string) bool
}

// read reads the members of all dialects. In a nested shape (Supermetrics' error, the framework's
// detail) the same names have the same meaning.
func (p *problemReader) read() error {
	return problems.ReadObject(p.s, &p.Problem, func(key []byte) (bool, error) {
		switch string(key) {
		case "error", "detail":
			return true, p.readNested()
		case "code", "error_code":
			return true, p.readCode()
		}
		return false, nil
	})
}

// readNested reads the value of error or detail: an object, a list of failed fields, of which the
// first one counts, or a string, which is a code if it looks like a code and else a message.
func (p *problemReader) readNested() error {
	switch p.s.Next() {
	case Object:
		return p.read()
	case Array:
		err := problems.Read(p.s, &p.Fields)
		if len(p.Fields) > 0 {
			p.Message = cmp.Or(p.Message, p.Fields[0].Message)
			if code := p.Fields[0].Type; p.known(code) {
				p.Code = cmp.Or(p.Code, code)
			}
		}
		return err
	default:
		return p.readCode()
	}
}

func (p *problemReader) readCode() error {
	text, err := p.s.Text()
	switch {
	case text == "":
	case codeLike(text):
		p.Code = text
	default:
		p.Message = cmp.Or(p.Message, text)
	}
	return err
}

// readField reads a failed field. Its location is a text, or a path to be joined.
func readField(r *Reader, s *Scanner, f *Field) error {
	return r.ReadObject(s, f, func(key []byte) (bool, error) {
		switch string(key) {
		case "location", "loc", "field":
			if s.Next() != Array {
				return false, nil
			}
			var path []string
			err := r.Read(s, &path)
			f.Location = cmp.Or(strings.Join(path, "."), f.Location)
			return true, err
		}
		return false, nil
	})
}

var errFound = errors.New("found")

// RequestID finds the request id of an answer: under meta at Supermetrics, at the top at Plaid. It
// reads no further than it must.
func RequestID(body []byte) string {
	const most = 64 << 10 // both write it near the beginning
	var answer struct {
		ID   string `json:"request_id"`
		Meta struct {
			ID string `json:"request_id"`
		} `json:"meta"`
	}
	_ = problems.ReadObject(Document(body[:min(len(body), most)], 0), &answer, func([]byte) (bool, error) {
		if answer.ID+answer.Meta.ID != "" {
			return true, errFound
		}
		return false, nil
	})
	return Identifier(cmp.Or(answer.ID, answer.Meta.ID))
}

// codeLike reports whether a text is a code: NOT_FOUND, link_error.not_found, or a bare number.
func codeLike(s string) bool {
	const most = 100
	if len(s) > most {
		return false
	}
	upper, lower, digits := true, true, true
	for i, r := range []byte(s) {
		digit := r >= '0' && r <= '9'
		inner := i > 0 && (digit || r == '_')
		upper = upper && (r >= 'A' && r <= 'Z' || inner)
		lower = lower && (r >= 'a' && r <= 'z' || inner || i > 0 && r == '.')
		digits = digits && digit
	}
	return upper || lower || digits
}

// Identifier returns a request id that is safe to print, or "". An id with an escape in it may
// quote something.
func Identifier(s string) string {
	const most = 128
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`%&\"'<>`, r) }
	if len(s) > most || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}
