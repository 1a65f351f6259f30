package proof

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/stretchr/testify/assert"
)

// reflected is everything that reflection finds in a value: each text, number and byte, behind
// every pointer, also in fields that are not exported. No printer finds more, because no printer
// calls functions or reads from channels.
func reflected(v any) string {
	var all strings.Builder
	reflector{&all, map[visit]bool{}}.walk(reflect.ValueOf(v), 0)
	return all.String()
}

type reflector struct {
	all  *strings.Builder
	seen map[visit]bool
}

// visit is a place in memory, as one type.
type visit struct {
	at any // an unsafe.Pointer
	of reflect.Type
}

func (r reflector) walk(v reflect.Value, depth int) {
	if depth > 100 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		place := visit{v.UnsafePointer(), v.Type()}
		if v.IsNil() || r.seen[place] {
			return
		}
		r.seen[place] = true
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		r.walk(v.Elem(), depth+1)
	case reflect.Struct:
		for _, field := range v.Fields() {
			r.walk(field, depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			fmt.Fprintf(r.all, "%s\n", v.Bytes())
			return
		}
		for i := range v.Len() {
			r.walk(v.Index(i), depth+1)
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			r.walk(key, depth+1)
			r.walk(value, depth+1)
		}
	case reflect.String:
		r.all.WriteString(v.String() + "\n")
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Invalid:
	default:
		fmt.Fprintln(r.all, v)
	}
}

// failed is what a failed assertion of testify writes about a value.
func failed(v any) string {
	var says failing
	assert.Equal(&says, reflect.New(reflect.TypeOf(v)).Elem().Interface(), v)
	return says.text
}

type failing struct{ text string }

func (f *failing) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }
