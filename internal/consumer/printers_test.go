package consumer

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/repr"
	"github.com/davecgh/go-spew/spew"
	"github.com/duolink/duolink"
	gccyaml "github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/k0kubun/pp/v3"
	"github.com/kr/pretty"
	"github.com/sanity-io/litter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type failing struct{ said string }

func (f *failing) Errorf(format string, args ...any) { f.said += fmt.Sprintf(format, args...) }

// printers are what a test or a debugger prints a value with.
var printers = map[string]func(any) string{
	"fmt":  func(v any) string { return fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v) },
	"spew": func(v any) string { return spew.Sdump(v) + spew.Sprintf("%#+v", v) },
	"spew without methods": func(v any) string {
		c := spew.ConfigState{Indent: " ", DisableMethods: true, DisablePointerMethods: true}
		return c.Sdump(v)
	},
	"pretty": func(v any) string { return pretty.Sprint(v) },
	"litter": func(v any) string { return litter.Sdump(v) },
	"repr":   func(v any) string { return repr.String(v) },
	"pp":     func(v any) string { return pp.Sprint(v) },
	"cmp": func(v any) string {
		zero := reflect.New(reflect.TypeOf(v)).Elem().Interface()
		every := cmp.Exporter(func(reflect.Type) bool { return true })
		return cmp.Diff(zero, v, every) + cmp.Diff(v, zero, every)
	},
	"testify": func(v any) string {
		var f failing
		assert.Equal(&f, reflect.New(reflect.TypeOf(v)).Elem().Interface(), v)
		assert.Empty(&f, v)
		assert.Nil(&f, v)
		assert.Contains(&f, []any{v}, "x")
		return f.said
	},
	"json":       func(v any) string { b, err := json.Marshal(v); return fmt.Sprint(string(b), err) },
	"xml":        func(v any) string { b, err := xml.Marshal(v); return fmt.Sprint(string(b), err) },
	"yaml":       func(v any) string { b, err := yaml.Marshal(v); return fmt.Sprint(string(b), err) },
	"goccy yaml": func(v any) string { b, err := gccyaml.Marshal(v); return fmt.Sprint(string(b), err) },
}

// No printer shows a confidential text of an answer, of a query or of an error.
func TestPrinters(t *testing.T) {
	for answer, v := range answers(t) {
		for name, print := range printers {
			silent(t, name+" of "+answer, print(v))
		}
	}
}

// Two values are compared by their texts, and the difference shows none of them.
func TestCompared(t *testing.T) {
	type row struct {
		ID    string
		Payee duolink.Sensitive
	}
	a, same, other := row{"1", duolink.NewSensitive("Avery Sample")}, row{"1", duolink.NewSensitive(
		strings.Clone("Avery Sample"))}, row{"1", duolink.NewSensitive("Jordan Example")}
	require.True(t, cmp.Equal(a, same))
	require.False(t, cmp.Equal(a, other))
	require.True(t, reflect.DeepEqual(a, same))
	require.False(t, reflect.DeepEqual(a, other))
	require.Equal(t, a, same)
	require.NotEqual(t, a, other)
	require.Empty(t, pretty.Diff(a, same))
	require.NotEmpty(t, pretty.Diff(a, other))
	var f failing
	assert.Equal(&f, a, other)
	assert.ElementsMatch(&f, []row{a}, []row{other})
	require.NotEmpty(t, f.said)
	silent(t, "diffs", f.said+cmp.Diff(a, other)+strings.Join(pretty.Diff(a, other), "\n"))
}

// YAML refuses to write a confidential text, and reads one.
func TestYAML(t *testing.T) {
	for name, marshal := range map[string]func(any) ([]byte, error){
		"yaml": yaml.Marshal, "goccy": func(v any) ([]byte, error) { return gccyaml.Marshal(v) },
	} {
		_, err := marshal(payment{Payee: duolink.NewSensitive("Avery Sample")})
		require.ErrorContains(t, err, "Reveal", name)
		silent(t, name, err.Error())
		text, err := marshal(map[string]any{"link": duolink.Masked(query)})
		require.NoError(t, err, name)
		require.Contains(t, string(text), "****", name)
	}
	var settings struct{ Key duolink.Secret }
	require.NoError(t, yaml.Unmarshal([]byte("key: s3cret"), &settings))
	require.Equal(t, "s3cret", settings.Key.Reveal())
}
