// Package reveal marks what a value holds of one type, in a copy of the value. RevealJSON marks each
// Sensitive, so that json.Marshal writes its text. The value itself stays as it is, also while another
// goroutine writes it.
//
// It walks what json.Marshal walks, by the same rules, and leaves the rest alone: encoding is not its
// task. The root package tests it, by what RevealJSON writes.
package reveal

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Marker marks what a value holds of one type, in a copy of it.
type Marker[T any] struct {
	mark    func(*T)
	holders sync.Map // what Holds has found: a reflect.Type to a bool
}

// New makes a marker.
func New[T any](mark func(*T)) *Marker[T] { return &Marker[T]{mark: mark} }

// Mark puts copies, in which each T is marked, in place of what a variable holds.
func (m *Marker[T]) Mark(v *any) {
	copies[T]{m, map[copiedFrom]reflect.Value{}}.replace(reflect.ValueOf(v).Elem())
}

// copies are those of a value's pointers, lists and maps. Each is copied once, so that a value that
// contains itself comes to an end.
type copies[T any] struct {
	*Marker[T]
	made map[copiedFrom]reflect.Value
}

// copiedFrom is what has been copied.
type copiedFrom struct {
	of     reflect.Type
	at     any // an unsafe.Pointer
	length int
}

// replace puts copies in place of what a variable holds.
func (c copies[T]) replace(v reflect.Value) {
	if !c.Holds(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() && c.Holds(v.Elem().Type()) {
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
		if of, ok := v.Addr().Interface().(*T); ok {
			c.mark(of)
			return
		}
		c.replaceFields(v)
	}
}

// copyOf is the copy of a pointer, list or map.
func (c copies[T]) copyOf(v reflect.Value) (copied reflect.Value) {
	from := copiedFrom{of: v.Type(), at: v.UnsafePointer()}
	if v.Kind() != reflect.Pointer {
		from.length = v.Len()
	}
	if copied, ok := c.made[from]; ok {
		return copied
	}
	switch v.Kind() {
	case reflect.Pointer:
		copied = reflect.New(v.Type().Elem())
		c.made[from] = copied
		copied.Elem().Set(v.Elem())
		c.replace(copied.Elem())
	case reflect.Slice:
		copied = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		c.made[from] = copied
		reflect.Copy(copied, v)
		for i := range v.Len() {
			c.replace(copied.Index(i))
		}
	case reflect.Map:
		copied = reflect.MakeMapWithSize(v.Type(), v.Len())
		c.made[from] = copied
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
func (c copies[T]) replaceFields(v reflect.Value) {
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

// Holds reports whether json.Marshal may come upon a T in a value of this type. An
// interface may hold anything. A type that writes itself gets nothing revealed.
func (m *Marker[T]) Holds(t reflect.Type) bool {
	if known, ok := m.holders.Load(t); ok {
		return known.(bool)
	}
	holds := t == reflect.TypeFor[T]() || t.Kind() == reflect.Interface
	if !holds && !writesItself(t) {
		m.holders.Store(t, true) // meanwhile, because a type may contain itself
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			holds = m.Holds(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				holds = holds || (f.IsExported() || f.Anonymous) && m.Holds(f.Type)
			}
		}
	}
	m.holders.Store(t, holds)
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
