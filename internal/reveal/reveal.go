// Package reveal copies a value and marks everything of some types in the copy. RevealJSON marks each
// Sensitive, so that json.Marshal writes its text, and Masked marks it, so that json.Marshal writes
// its mask. The value itself does not change, so other goroutines may print it at the same time.
//
// It visits what json.Marshal visits, by the same rules. It does not encode anything. The tests of
// RevealJSON and Masked in the root package test it.
package reveal

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Marker marks everything of some types in a copy of a value. T is an interface that pointers to
// these types have. A type that embeds one of them has it, too, but is none of them.
type Marker[T any] struct {
	types   []reflect.Type
	holders sync.Map // results of Holds: a reflect.Type to a bool
}

// New makes a marker of these types.
func New[T any](types ...reflect.Type) *Marker[T] { return &Marker[T]{types: types} }

// Mark replaces the value of a variable with a copy in which each value of the types is marked.
func (m *Marker[T]) Mark(v *any, mark func(T)) {
	copies[T]{m, mark, map[copiedFrom]reflect.Value{}}.replace(reflect.ValueOf(v).Elem())
}

// copies are the copies of a value's pointers, lists and maps. Each is copied once, so that copying
// a value that contains itself ends.
type copies[T any] struct {
	*Marker[T]
	mark func(T)
	made map[copiedFrom]reflect.Value
}

// copiedFrom identifies what has been copied.
type copiedFrom struct {
	of     reflect.Type
	at     any // an unsafe.Pointer
	length int
}

// replace replaces the value of a variable with a copy.
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
		if slices.Contains(c.types, v.Type()) {
			c.mark(v.Addr().Interface().(T))
			return
		}
		c.replaceFields(v)
	}
}

// copyOf returns the copy of a pointer, list or map.
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
		assign(copied.Elem(), v.Elem())
		c.replace(copied.Elem())
	case reflect.Slice:
		copied = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		c.made[from] = copied
		for i := range v.Len() {
			assign(copied.Index(i), v.Index(i))
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

// replaceFields replaces the fields that json.Marshal writes. Among them are the fields of an
// embedded type that is not exported.
func (c copies[T]) replaceFields(v reflect.Value) {
	for i := range v.NumField() {
		field, f := v.Field(i), v.Type().Field(i)
		tag := f.Tag.Get("json")
		switch {
		case tag == "-", !f.IsExported() && !f.Anonymous:
			continue
		case strings.Contains(tag, ",omitzero") && field.IsZero(): // a marked one would not be zero
			continue
		case !f.IsExported(): // reflect cannot set it, but the copy is ours
			field = reflect.NewAt(f.Type, field.Addr().UnsafePointer()).Elem()
		}
		c.replace(field)
	}
}

// assign copies what json.Marshal looks at. Another goroutine may write the rest meanwhile, under a
// mutex that stands beside it.
func assign(to, from reflect.Value) {
	t := from.Type()
	if t.Kind() != reflect.Struct || writesItself(t) {
		to.Set(from)
		return
	}
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case f.IsExported():
			assign(to.Field(i), from.Field(i))
		case f.Anonymous:
			assign(settable(to.Field(i)), settable(from.Field(i)))
		}
	}
}

// settable is a field of an unexported embedded type. The variable that it is a part of is a copy of
// ours, or is only read.
func settable(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
}

// Holds reports whether json.Marshal may find one of the types in a value of this type. An interface
// may hold
// anything. In a type with a marshal method nothing is marked.
func (m *Marker[T]) Holds(t reflect.Type) bool {
	if known, ok := m.holders.Load(t); ok {
		return known.(bool)
	}
	holds := slices.Contains(m.types, t) || t.Kind() == reflect.Interface
	if !holds && !writesItself(t) {
		m.holders.Store(t, true) // for now, because a type may contain itself
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

// writesItself reports whether json.Marshal calls a method of the type, or of a pointer to it. For
// a pointer, the type that it points at counts.
func writesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		return false
	}
	to := reflect.PointerTo(t) // it has the methods of both
	return to.Implements(reflect.TypeFor[json.Marshaler]()) || to.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}
