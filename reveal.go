package duolink

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// RevealJSON writes a value as [json.Marshal] does, but with the text of each [Sensitive] in it and
// null for an absent one. It is the explicit way to store an answer: json.Unmarshal reads it back
// equal. Unlike json.Marshal it leaves <, > and & as they are.
//
// It is an error if the value holds a [Secret]. A type that has a MarshalJSON or MarshalText, its
// own or an embedded type's, is left to that method. A Sensitive is an error there, as in
// json.Marshal, unless the method calls RevealJSON.
func RevealJSON(v any) ([]byte, error) {
	revealedCopies{}.replace(reflect.ValueOf(&v).Elem())
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("duolink: a value is not written to JSON: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// revealedCopies are the copies of a value's pointers, lists and maps in which each Sensitive lets
// json.Marshal have its text. The value itself stays as it is. Each is copied once, so that a value
// that contains itself comes to an end.
type revealedCopies map[copiedFrom]reflect.Value

// copiedFrom is what has been copied.
type copiedFrom struct {
	of     reflect.Type
	at     any // an unsafe.Pointer
	length int
}

// replace puts copies in place of what a variable holds.
func (c revealedCopies) replace(v reflect.Value) {
	if !holdsSensitive(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() && holdsSensitive(v.Elem().Type()) {
			inside := reflect.New(v.Elem().Type()).Elem()
			inside.Set(v.Elem())
			c.replace(inside)
			v.Set(inside)
		}
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if !v.IsNil() {
			v.Set(c.copyOf(v))
		}
	case reflect.Array:
		for i := range v.Len() {
			c.replace(v.Index(i))
		}
	case reflect.Struct:
		if s, ok := v.Addr().Interface().(*Sensitive); ok {
			s.revealed = true
			return
		}
		c.replaceFields(v)
	}
}

// copyOf is the copy of a pointer, list or map.
func (c revealedCopies) copyOf(v reflect.Value) (copied reflect.Value) {
	from := copiedFrom{of: v.Type(), at: v.UnsafePointer()}
	if v.Kind() != reflect.Pointer {
		from.length = v.Len()
	}
	if copied, ok := c[from]; ok {
		return copied
	}
	switch v.Kind() {
	case reflect.Pointer:
		copied = reflect.New(v.Type().Elem())
		c[from] = copied
		copied.Elem().Set(v.Elem())
		c.replace(copied.Elem())
	case reflect.Slice:
		copied = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		c[from] = copied
		reflect.Copy(copied, v)
		for i := range v.Len() {
			c.replace(copied.Index(i))
		}
	case reflect.Map:
		copied = reflect.MakeMapWithSize(v.Type(), v.Len())
		c[from] = copied
		for key, value := range v.Seq2() {
			inside := reflect.New(v.Type().Elem()).Elem()
			inside.Set(value)
			c.replace(inside)
			copied.SetMapIndex(key, inside)
		}
	}
	return copied
}

// replaceFields replaces what json.Marshal looks at. An embedded type may be unexported, and its
// fields are written all the same.
func (c revealedCopies) replaceFields(v reflect.Value) {
	for i := range v.NumField() {
		field, f := v.Field(i), v.Type().Field(i)
		tag := f.Tag.Get("json")
		switch {
		case tag == "-", !f.IsExported() && !f.Anonymous:
			continue
		case strings.Contains(tag, ",omitzero") && field.IsZero(): // revealed, it would not be zero
			continue
		case !f.IsExported(): // reflect does not set it; the copy is ours
			field = reflect.NewAt(f.Type, field.Addr().UnsafePointer()).Elem()
		}
		c.replace(field)
	}
}

// sensitiveHolders keeps what holdsSensitive has found: a reflect.Type to a bool.
var sensitiveHolders sync.Map

// holdsSensitive reports whether json.Marshal may come upon a Sensitive in a value of this type. An
// interface may hold anything. A type that writes itself gets nothing revealed.
func holdsSensitive(t reflect.Type) bool {
	if known, ok := sensitiveHolders.Load(t); ok {
		return known.(bool)
	}
	holds := t == reflect.TypeFor[Sensitive]() || t.Kind() == reflect.Interface
	if !holds && !writesItself(t) {
		sensitiveHolders.Store(t, true) // meanwhile, because a type may contain itself
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			holds = holdsSensitive(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				holds = holds || (f.IsExported() || f.Anonymous) && holdsSensitive(f.Type)
			}
		}
	}
	sensitiveHolders.Store(t, holds)
	return holds
}

// writesItself reports whether json.Marshal asks a method of the type, or of a pointer to it. A
// pointer is judged by what it points at.
func writesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		return false
	}
	to := reflect.PointerTo(t) // it has the methods of both
	return to.Implements(reflect.TypeFor[json.Marshaler]()) || to.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}
