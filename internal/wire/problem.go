package wire

import (
	"cmp"
	"errors"
	"strings"
)

// Problem is the body of an error in any dialect. The shape of the body tells the dialect.
type Problem struct {
	Code             string
	Message          string
	Description      string
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
	Message  string `json:"message" also:"msg,detail,title"`
	Type     string `json:"type" also:"code"`
}

var problems = New(Custom(readField))

// ReadProblem reads the body of an error. If the body is not JSON (HTML, text, nothing), the
// Problem is empty. If it is truncated, the readable part is kept. If the first failed field has a
// known code, that is the code of the Problem.
func ReadProblem(body []byte, limit int64, known func(code string) bool) Problem {
	p := problemReader{known: known}
	p.s = Document(body, limit)
	_ = p.readAny()
	if len(p.Fields) > 0 {
		p.first = cmp.Or(p.first, p.Fields[0].Message)
		p.takeCode(p.Fields[0].Type, true)
	}
	p.Message = cmp.Or(p.Message, p.detail, p.free, p.title, p.first)
	return p.Problem
}

type problemReader struct {
	Problem
	s     *Scanner
	known func(code string) bool
	depth int

	// Texts that are the message if there is no better one, the best first.
	detail, free, title, first string
}

// deepest is how many shapes may be nested in each other: an envelope in a list in a text.
const deepest = 5

// readAny reads an object, or what a server writes in its place: a list of objects or texts, or a
// text that is JSON itself.
func (p *problemReader) readAny() error {
	if p.depth++; p.depth > deepest {
		return p.s.Skip()
	}
	defer func() { p.depth-- }()
	switch p.s.Next() {
	case Object:
		return p.read()
	case Array:
		return p.s.Array(p.readAny)
	case String:
		text, err := p.s.Text()
		if inner := strings.TrimSpace(text); strings.HasPrefix(inner, "{") || strings.HasPrefix(inner, "[") {
			outer := p.s
			p.s = Document([]byte(inner), int64(len(inner)))
			_ = p.readAny()
			p.s = outer
		} else if p.depth > 1 { // a text alone is not a message: it may be anything
			p.first = cmp.Or(p.first, text)
		}
		return err
	}
	return p.s.Skip()
}

// read reads the members of all dialects. In a nested shape (Supermetrics' error, the framework's
// detail) the same names have the same meaning.
func (p *problemReader) read() error {
	return problems.ReadObject(p.s, &p.Problem, func(key []byte) (bool, error) {
		switch plainName(key) {
		case "message", "errormessage", "msg":
			return true, p.readText(&p.Message)
		case "description", "errordescription":
			return true, p.readText(&p.Description)
		case "title":
			return true, p.readText(&p.title)
		case "error":
			return true, p.readNested(&p.free)
		case "detail":
			return true, p.readNested(&p.detail)
		case "errors":
			return true, p.readErrors()
		case "code", "errorcode":
			text, err := p.s.Text()
			if !p.takeCode(text, false) {
				p.free = cmp.Or(p.free, text)
			}
			return true, err
		case "status":
			text, err := p.s.Text()
			if strings.Contains(text, "_") { // a code in Google's dialect, and not the status of HTTP
				p.takeCode(text, false)
			}
			return true, err
		case "links":
			return true, p.readLinks()
		}
		return false, nil
	})
}

// plainName is a member's name without case and separators: ErrorMessage and error_message are the
// same.
func plainName(key []byte) string {
	const longest = 20
	if len(key) > longest {
		return ""
	}
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(string(key)))
}

// readText takes a text, or the first text in an object or a list, unless there is one already.
func (p *problemReader) readText(to *string) error {
	switch p.s.Next() {
	case Object:
		return p.s.Object(func([]byte) error { return p.readText(to) })
	case Array:
		return p.s.Array(func() error { return p.readText(to) })
	case String:
		text, err := p.s.Text()
		if *to == "" {
			*to = strings.TrimSpace(text)
		}
		return err
	}
	return p.s.Skip()
}

// readNested reads the value of error or detail: an object, a list of failed fields, or a string,
// which is a code if it looks like a code and else a message.
func (p *problemReader) readNested(message *string) error {
	switch p.s.Next() {
	case Array: // of failed fields, or of texts
		return p.s.Array(func() error {
			if p.s.Next() != Object {
				return p.readText(&p.first)
			}
			var f Field
			err := problems.Read(p.s, &f)
			if f != (Field{}) { // a list of nothing must not fill the memory
				p.Fields = append(p.Fields, f)
			}
			return err
		})
	case String:
		text, err := p.s.Text()
		if !p.takeCode(text, false) {
			*message = cmp.Or(*message, text)
		}
		return err
	}
	return p.readAny()
}

// readErrors reads a list of errors or texts, or an object that has the failed fields as names.
func (p *problemReader) readErrors() error {
	switch p.s.Next() {
	case Array:
		return p.s.Array(func() error {
			if p.s.Next() != Object {
				return p.readText(&p.first)
			}
			var f Field
			err := problems.Read(p.s, &f)
			p.takeCode(f.Type, false)
			p.addField(f)
			return err
		})
	case Object:
		return p.s.Object(func(key []byte) error {
			f := Field{Location: string(validUTF8(key))}
			err := p.readText(&f.Message)
			p.addField(f)
			return err
		})
	}
	return p.readText(&p.first)
}

// addField keeps an error that says where it is.
func (p *problemReader) addField(f Field) {
	p.first = cmp.Or(p.first, f.Message)
	if f.Location != "" {
		p.Fields = append(p.Fields, f)
	}
}

// readLinks finds the page of the vendor's documentation in {"docs": {"href"}}.
func (p *problemReader) readLinks() error {
	var links struct {
		Docs struct {
			URL string `json:"href"`
		} `json:"docs"`
	}
	err := problems.Read(p.s, &links)
	if url := links.Docs.URL; strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://") {
		p.DocumentationURL = cmp.Or(p.DocumentationURL, url)
	}
	return err
}

// takeCode takes a text that is a code. A number gives way to a text, because it is often the status
// of HTTP. With mustBeKnown only a documented code is one.
func (p *problemReader) takeCode(text string, mustBeKnown bool) bool {
	text = strings.TrimSpace(text)
	known := p.known != nil && p.known(text)
	isCode := codeLike(text) || known && strings.ContainsAny(text, "_.")
	if !isCode || mustBeKnown && !known {
		return false
	}
	if p.Code == "" || isNumber(p.Code) && !isNumber(text) {
		p.Code = text
	}
	return true
}

func isNumber(text string) bool { return strings.Trim(text, "0123456789") == "" }

// readField reads a failed field. Its location is a text, or a path to be joined. JSON:API has it as
// a pointer.
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
		case "source":
			var source struct {
				Pointer string `json:"pointer" also:"parameter"`
			}
			err := r.Read(s, &source)
			f.Location = cmp.Or(f.Location, strings.ReplaceAll(strings.Trim(source.Pointer, "/"), "/", "."))
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
