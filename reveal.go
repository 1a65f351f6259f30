package duolink

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// RevealJSON writes a value as json.Marshal would, with every [Sensitive] in it as its text: the explicit way to store an
// answer. What it writes of an answer of this package, json.Unmarshal reads back equal. A [Secret] in it is an error.
//
// It follows the json tags of structs with their name, "-", omitempty and omitzero; a map that holds a Sensitive has keys of
// a string type.
func RevealJSON(v any) ([]byte, error) {
	var b revealer
	if err := reveal(&b, reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return b.out.Bytes(), nil
}

// revealer is what has been written so far.
type revealer struct {
	out   bytes.Buffer
	depth int
}

// deepest ends the way through a value that contains itself.
const deepest = 1000

var (
	sensitiveType = reflect.TypeFor[Sensitive]()
	secretType    = reflect.TypeFor[Secret]()
)

func reveal(b *revealer, v reflect.Value) error {
	b.depth++
	defer func() { b.depth-- }()
	switch {
	case b.depth > deepest:
		return errors.New("duolink: a value is too deep to be written to JSON")
	case !v.IsValid():
		b.out.WriteString("null")
		return nil
	case v.Type() == secretType:
		return errors.New("duolink: a Secret is not written to JSON; use Reveal")
	case v.Type() == sensitiveType:
		return revealText(b, v)
	case !holdsHidden(v.Type(), nil):
		return marshal(b, v)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return reveal(b, v.Elem())
	case reflect.Struct:
		return revealStruct(b, v)
	case reflect.Map:
		return revealMap(b, v)
	case reflect.Slice, reflect.Array:
		return revealList(b, v)
	default:
		return marshal(b, v)
	}
}

// revealText writes the text, and null for an absent one.
func revealText(b *revealer, v reflect.Value) error {
	s := v.Interface().(Sensitive)
	if s.IsZero() {
		b.out.WriteString("null")
		return nil
	}
	return marshal(b, reflect.ValueOf(s.Reveal()))
}

func marshal(b *revealer, v reflect.Value) error {
	text, err := compactJSON(v.Interface())
	if err != nil {
		return fmt.Errorf("duolink: a %s cannot be written to JSON", v.Type())
	}
	b.out.Write(text)
	return nil
}

func revealStruct(b *revealer, v reflect.Value) error {
	b.out.WriteByte('{')
	first := true
	err := eachField(v, func(name string, field reflect.Value) error {
		return member(b, &first, name, field)
	})
	b.out.WriteByte('}')
	return err
}

// eachField walks the fields that json.Marshal would write, those of embedded structs as if they were the struct's own.
func eachField(v reflect.Value, visit func(string, reflect.Value) error) error {
	for _, f := range reflect.VisibleFields(v.Type()) {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		embedded := f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct
		field, err := v.FieldByIndexErr(f.Index)
		switch {
		case err != nil || !f.IsExported() || embedded || tag == "-":
			continue
		case strings.Contains(options, "omitempty") && emptyJSON(field), strings.Contains(options, "omitzero") && field.IsZero():
			continue
		}
		if err := visit(cmp.Or(name, f.Name), field); err != nil {
			return err
		}
	}
	return nil
}

// emptyJSON is what omitempty leaves out.
func emptyJSON(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

func revealMap(b *revealer, v reflect.Value) error {
	if v.IsNil() {
		b.out.WriteString("null")
		return nil
	}
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("duolink: a %s cannot be written to JSON", v.Type())
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	b.out.WriteByte('{')
	first := true
	for _, key := range keys {
		if err := member(b, &first, key.String(), v.MapIndex(key)); err != nil {
			return err
		}
	}
	b.out.WriteByte('}')
	return nil
}

func member(b *revealer, first *bool, name string, v reflect.Value) error {
	if !*first {
		b.out.WriteByte(',')
	}
	*first = false
	if err := marshal(b, reflect.ValueOf(name)); err != nil {
		return err
	}
	b.out.WriteByte(':')
	return reveal(b, v)
}

func revealList(b *revealer, v reflect.Value) error {
	if v.Kind() == reflect.Slice && v.IsNil() {
		b.out.WriteString("null")
		return nil
	}
	b.out.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.out.WriteByte(',')
		}
		if err := reveal(b, v.Index(i)); err != nil {
			return err
		}
	}
	b.out.WriteByte(']')
	return nil
}

// holdsHidden reports whether a value of this type may hold what json.Marshal refuses. An interface may hold anything.
func holdsHidden(t reflect.Type, seen []reflect.Type) bool {
	if t == sensitiveType || t == secretType || t.Kind() == reflect.Interface {
		return true
	}
	if slices.Contains(seen, t) {
		return false
	}
	seen = append(seen, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsHidden(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); (f.IsExported() || f.Anonymous) && holdsHidden(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
