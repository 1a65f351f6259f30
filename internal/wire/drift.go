package wire

import (
	"reflect"
	"strings"
)

// Difference is how an answer differs from its documentation.
type Difference int

// The differences. OtherType is also a text that a type cannot read.
const (
	UnknownMember Difference = iota + 1
	UnknownValue
	OtherType
	MissingMember
	NoZone
)

// watch is told of differences. A scanner without one spends a comparison with nil on each value.
type watch struct {
	tell func(path string, what Difference)
	path []byte
}

// Watch tells a function how the document differs from its documentation, and where. The path has
// names of members, "[]" for an item of a list, and "*" for a member of a map. It has no values.
func (s *Scanner) Watch(tell func(path string, what Difference)) { s.watch = &watch{tell: tell} }

// differs tells of a difference at the current path.
func (s *Scanner) differs(what Difference) {
	if s.watch != nil {
		s.watch.tell(string(s.watch.path), what)
	}
}

// within adds a step to the path while f runs.
func (s *Scanner) within(step string, f func() error) error {
	w := s.watch
	outer := len(w.path)
	if outer > 0 && step[0] != '[' {
		w.path = append(w.path, '.')
	}
	w.path = append(w.path, step...)
	err := f()
	w.path = w.path[:outer]
	return err
}

// members is Object, and keeps the path.
func (s *Scanner) members(member func(key []byte) error) error {
	if s.watch == nil {
		return s.Object(member)
	}
	return s.Object(func(key []byte) error {
		return s.within(memberName(key), func() error { return member(key) })
	})
}

// memberName returns a name that is safe to print. A server may use an id or a name of a person as
// the name of a member, so only what looks like a word is kept.
func memberName(key []byte) string {
	const longest, mostDigits = 40, 2
	digits := 0
	for _, c := range key {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '@', c == '-':
		default:
			return "?"
		}
	}
	if len(key) == 0 || len(key) > longest || digits > mostDigits {
		return "?"
	}
	return string(key)
}

// documented is what is documented of a type.
type documented struct {
	kind Kind                             // as which the API writes it
	odd  func(v reflect.Value) Difference // looks at a value that was read; 0 for a usual one
}

// documentedOf returns what is documented of a type.
func (r *Reader) documentedOf(t reflect.Type) documented {
	d := r.documents[t]
	if d.kind != Invalid {
		return d
	}
	switch t.Kind() {
	case reflect.String:
		d.kind = String
	case reflect.Bool:
		d.kind = Bool
	case reflect.Int64:
		d.kind = Number
	case reflect.Struct, reflect.Map:
		d.kind = Object
	case reflect.Slice:
		d.kind = Array
	case reflect.Pointer:
		return r.documentedOf(t.Elem())
	}
	return d
}

// compare reads a value, and tells how it differs from what is documented of it.
func (s *Scanner) compare(d documented, to reflect.Value, read plan) error {
	kind := s.Next()
	if kind != Null && kind != Invalid && d.kind != Invalid && kind != d.kind {
		s.differs(OtherType)
	}
	err := read(s, to.Addr().UnsafePointer())
	if err == nil && kind == d.kind {
		s.judge(d, to)
	}
	return err
}

// judge tells if a value is not a usual one of its type.
func (s *Scanner) judge(d documented, v reflect.Value) {
	if d.odd == nil {
		return
	}
	if what := d.odd(v); what != 0 {
		s.differs(what)
	}
}

// tellMissing tells which required members are not there.
func (s *Scanner) tellMissing(all *fields, there map[string]bool) {
	for _, f := range all.inOrder {
		if f.required && !there[f.name] {
			_ = s.within(f.name, func() error {
				s.differs(MissingMember)
				return nil
			})
		}
	}
}

// Enum is a type with a set of documented values. Such a value is read without a copy of its text.
func Enum[T ~string](values ...T) Type {
	known := map[string]T{"": ""}
	for _, v := range values {
		known[string(v)] = v
	}
	t := Bytes(func(text []byte) (T, bool) {
		if v, ok := known[string(text)]; ok {
			return v, true
		}
		return T(text), true
	}, nil)
	t.documented = Unusual[T](String, func(v T) Difference {
		if _, ok := known[string(v)]; ok {
			return 0
		}
		return UnknownValue
	}).documented
	return t
}

// Unusual is a type that comes as this kind of JSON, with a function that judges its values.
func Unusual[T any](kind Kind, odd func(T) Difference) Type {
	return Type{of: reflect.TypeFor[T](), documented: documented{kind, func(v reflect.Value) Difference {
		return odd(v.Interface().(T))
	}}}
}

// Ignored are members of a struct that are documented, and that the struct does not keep.
func Ignored[T any](names string) Type {
	return Type{of: reflect.TypeFor[T](), ignored: strings.Split(names, ",")}
}
