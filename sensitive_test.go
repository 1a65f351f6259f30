package duolink

import (
	"bytes"
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-querystring/query"
	"github.com/stretchr/testify/require"
)

// canary is a text that must not be printed. Only a Sensitive may show its end.
const canary = "canary-KJHGFDSA-zyxwvu-6789"

// needles are the forms in which fmt and the encoders would write a text, without the end that may
// be shown.
func needles(text string) []string {
	head := text[:len(text)-4]
	points := strings.Trim(fmt.Sprintf("%U", []rune(head)), "[]")
	return []string{
		head, head[:8], head[len(head)-8:],
		hex.EncodeToString([]byte(head)), strings.ToUpper(hex.EncodeToString([]byte(head))),
		fmt.Sprintf("% x", head), fmt.Sprintf("% X", head),
		strings.Trim(fmt.Sprint([]byte(head)), "[]"),
		strings.Trim(fmt.Sprintf("%o", []byte(head)), "[]"),
		strings.Trim(fmt.Sprintf("%b", []byte(head)), "[]"),
		points, base64.StdEncoding.EncodeToString([]byte(head))[:16],
	}
}

// formats are all verbs but %T, each with flags and widths.
func formats() (all []string) {
	for _, flags := range []string{
		"", "+", "#", "-", " ", "0", "+#", "# ", "20", "-20", "020", ".3", "20.3", "#40.10", "[1]",
	} {
		for _, verb := range "vsqxXdcUbeEfFgGtoOpwZ" {
			all = append(all, "%"+flags+string(verb))
		}
	}
	return all
}

// discreet expects that no format of a value prints anything of the texts.
func discreet(t *testing.T, name string, value any, texts ...string) {
	t.Helper()
	var all []string
	for _, text := range texts {
		all = append(all, needles(text)...)
	}
	for _, format := range formats() {
		got := fmt.Sprintf(format, value)
		for _, needle := range all {
			require.NotContainsf(t, got, needle, "%s under %s", name, format)
		}
	}
	for _, got := range []string{
		fmt.Sprint(value), fmt.Sprintln(value), fmt.Sprint("a", value, nil),
		fmt.Errorf("failed: %w", fmt.Errorf("%v", value)).Error(),
	} {
		for _, needle := range all {
			require.NotContains(t, got, needle, name)
		}
	}
}

// carrier is an error that holds a value.
type carrier[T any] struct{ Value T }

func (c carrier[T]) Error() string { return fmt.Sprintf("carrier of %v", c.Value) }

// shapes are the places where a value may be.
func shapes[T any](v T) map[string]any {
	channel := make(chan T, 1)
	channel <- v
	return map[string]any{
		"value":           v,
		"pointer":         &v,
		"exported":        struct{ S T }{v},
		"pointed to":      &struct{ S T }{v},
		"unexported":      struct{ s T }{v},
		"unexported, to":  &struct{ s T }{v},
		"field pointer":   struct{ S *T }{&v},
		"hidden pointer":  struct{ s *T }{&v},
		"nested":          struct{ a struct{ b struct{ C T } } }{struct{ b struct{ C T } }{struct{ C T }{v}}},
		"slice":           []T{v, v},
		"pointers":        []*T{&v},
		"array":           [2]T{v, v},
		"hidden array":    struct{ s [1]T }{[1]T{v}},
		"map value":       map[string]T{"k": v},
		"hidden map":      struct{ m map[string]T }{map[string]T{"k": v}},
		"interface":       []any{v, &v},
		"hidden any":      struct{ s any }{v},
		"channel":         channel,
		"function":        func() T { return v },
		"func and chan":   struct{ f, c any }{func() T { return v }, channel},
		"beside":          struct{ f, g, s any }{func() T { return v }, channel, v},
		"error":           carrier[T]{v},
		"wrapped error":   fmt.Errorf("one: %w", carrier[T]{v}),
		"joined error":    errors.Join(io.EOF, carrier[T]{v}),
		"formatted error": fmt.Errorf("one: %v %+v %#v", v, v, v),
		"error's pointer": &carrier[T]{v},
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := NewSecret(canary)
	for name, shape := range shapes(s) {
		discreet(t, name, shape, canary)
	}
	for _, format := range formats() {
		if !strings.HasSuffix(format, "p") && !strings.HasSuffix(format, "w") {
			require.Equal(t, "****", strings.TrimSpace(fmt.Sprintf(format, s)), format)
			require.Empty(t, strings.TrimSpace(fmt.Sprintf(format, Secret{})), format)
		}
	}
	require.Equal(t, canary, s.Reveal())
	require.NotContains(t, fmt.Sprint(s), "6789", "a credential's end is no hint either")
}

func TestSensitiveNeverPrints(t *testing.T) {
	s := NewSensitive(canary)
	for name, shape := range shapes(s) {
		discreet(t, name, shape, canary)
	}
	for _, format := range formats() {
		if !strings.HasSuffix(format, "p") && !strings.HasSuffix(format, "w") {
			require.Equal(t, "****6789", strings.TrimSpace(fmt.Sprintf(format, s)), format)
			require.Empty(t, strings.TrimSpace(fmt.Sprintf(format, Sensitive{})), format)
		}
	}
	require.Equal(t, canary, s.Reveal())
}

func TestSensitiveMask(t *testing.T) {
	mega := strings.Repeat("x", 1<<20)
	for _, tc := range []struct{ name, value, want string }{
		{"0", "", ""},
		{"1", "a", "****"},
		{"4", "abcd", "****"},
		{"8", "abcdefgh", "****"},
		{"9", "abcdefghi", "****"},
		{"8 digits", "12345678", "****"},
		{"9 digits", "123456789", "****6789"},
		{"an IBAN", "GB33BUKB20201555555555", "****5555"},
		{"a name", "Maria Lee", "****"},
		{"an e-mail address", "avery@example.com", "****"},
		{"three digits at the end", "account-x123", "****"},
		{"a megabyte", mega + "0042", "****0042"},
		{"runes", "жжжжжабвг", "****"},
		{"runes and digits", "жжж0042", "****0042"},
		{"digits of other scripts", "12345６７８９", "****"},
		{"invalid bytes", "\xff\xff\xff\xff\xff\xff\xff\xffz", "****"},
		{"invalid bytes and digits", "\xff\xff\xff\xff\xff1234", "****1234"},
		{"new lines", "abcdefgh\r\n\t\x00", "****"},
		{"an escape", "abcdefgh\x1b[2J", "****"},
		{"spaces", "         ", "****"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewSensitive(tc.value)
			require.Equal(t, tc.want, s.String())
			require.Equal(t, tc.want, fmt.Sprintf("%+v", s))
			require.Equal(t, tc.want, s.LogValue().String())
			require.Equal(t, tc.value, s.Reveal())
			require.Equal(t, tc.value == "", s.IsZero())
		})
	}
}

// A Secret has the same mask for every length.
func TestSecretMask(t *testing.T) {
	for _, value := range []string{
		"a", "abcdefgh", "abcdefghi", strings.Repeat("x", 1<<20), "жжжжжабвг", "\xff\xff", "a\nb",
	} {
		s := NewSecret(value)
		require.Equal(t, "****", s.String())
		require.Equal(t, "****", s.LogValue().String())
		require.Equal(t, value, s.Reveal())
		require.False(t, s.IsZero())
	}
	require.Equal(t, Secret{}, NewSecret(""))
	require.Empty(t, Secret{}.String())
	require.Empty(t, Secret{}.Reveal())
	require.True(t, Secret{}.IsZero())
	require.Equal(t, Sensitive{}, NewSensitive(""))
}

func TestEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"a", "a", true},
		{"a", "b", false},
		{"abc", "abcd", false},
		{"abcd", "abc", false},
		{"ж", "ж", true},
		{"\xff", "\xfe", false},
		{"a\x00", "a", false},
		{canary, canary, true},
		{canary, strings.ToUpper(canary), false},
	} {
		require.Equal(t, tc.want, NewSecret(tc.a).Equal(NewSecret(strings.Clone(tc.b))), "%q %q", tc.a, tc.b)
		require.Equal(t, tc.want, NewSensitive(tc.a).Equal(NewSensitive(strings.Clone(tc.b))), "%q %q", tc.a, tc.b)
	}
}

// No expression compares the addresses of texts.
func TestComparingDoesNotCompile(t *testing.T) {
	for expression, compiles := range map[string]bool{
		"Sensitive{} == Sensitive{}":                          false,
		`NewSensitive("a") != NewSensitive("a")`:              false,
		"Secret{} == Secret{}":                                false,
		"map[Sensitive]int{}":                                 false,
		"map[Secret]int{}":                                    false,
		"LoginLink{} == LoginLink{}":                          false,
		"[1]Sensitive{} == [1]Sensitive{}":                    false,
		"struct{ S Secret }{} == struct{ S Secret }{}":        false,
		"new(Sensitive) == new(Sensitive)":                    true,
		"Sensitive{}.Equal(Sensitive{}) && Secret{}.IsZero()": true,
	} {
		err := typeError(t, expression)
		if compiles {
			require.NoError(t, err, expression)
		} else {
			require.Error(t, err, expression)
			require.Regexp(t, "cannot compare|cannot be compared|invalid map key", err.Error())
		}
	}
}

// typeError is what the compiler says of an expression in this package. What the package imports is
// empty here: no expression above needs it.
func typeError(t *testing.T, expression string) error {
	t.Helper()
	all := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(all, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	check := types.Config{Importer: emptyImports{}, IgnoreFuncBodies: true, Error: func(error) {}}
	pkg, _ := check.Check("duolink", all, files, nil)
	_, err = types.Eval(all, pkg, token.NoPos, expression)
	return err
}

type emptyImports struct{}

func (emptyImports) Import(name string) (*types.Package, error) {
	empty := types.NewPackage(name, path.Base(name))
	empty.MarkComplete()
	return empty, nil
}

// reflect.DeepEqual, and so testify, compares the texts, wherever they are kept.
func TestDeepEqual(t *testing.T) {
	owner := func(name string) Owner { return Owner{Names: []Sensitive{NewSensitive(name)}} }
	for _, tc := range []struct {
		a, b any
		want bool
	}{
		{NewSensitive(canary), NewSensitive(strings.Clone(canary)), true},
		{NewSensitive(canary), NewSensitive("another"), false},
		{NewSensitive(""), Sensitive{}, true},
		{NewSecret(canary), NewSecret(strings.Clone(canary)), true},
		{NewSecret(canary), NewSecret("another"), false},
		{owner(canary), owner(strings.Clone(canary)), true},
		{owner(canary), owner(""), false},
	} {
		require.Equal(t, tc.want, reflect.DeepEqual(tc.a, tc.b))
		if tc.want {
			require.Equal(t, tc.a, tc.b)
		} else {
			require.NotEqual(t, tc.a, tc.b)
		}
	}
}

func TestMaskedInSlog(t *testing.T) {
	secret, sensitive := NewSecret(canary), NewSensitive(canary)
	values := shapes(secret)
	for name, shape := range shapes(sensitive) {
		values["sensitive, "+name] = shape
	}
	for name, value := range values {
		for _, got := range inLog("value", value, "group", slog.GroupValue(slog.Any("v", value))) {
			for _, needle := range needles(canary) {
				require.NotContains(t, got, needle, name)
			}
		}
	}
	for _, got := range inLog("secret", secret, "sensitive", sensitive) {
		require.Regexp(t, `secret"?[=:]"?\*\*\*\*"?[ ,]`, got)
		require.Regexp(t, `sensitive"?[=:]"?\*\*\*\*6789"?`, got)
	}
}

// inLog is a record as slog's own handlers write it.
func inLog(args ...any) []string {
	var text, object strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", args...)
	slog.New(slog.NewJSONHandler(&object, nil)).With(args...).Info("m", args...)
	return []string{text.String(), object.String()}
}

func TestNotWrittenToJSON(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"Secret":    shapes(NewSecret(canary)),
		"Sensitive": shapes(NewSensitive(canary)),
	} {
		for _, shape := range []string{
			"value", "pointer", "exported", "pointed to", "field pointer", "slice", "pointers", "array",
			"map value", "interface", "error",
		} {
			t.Run(name+"/"+shape, func(t *testing.T) {
				got, err := json.Marshal(values[shape])
				require.Error(t, err)
				require.Empty(t, got)
				discreet(t, shape, err, canary)
			})
		}
		got, err := json.Marshal(values["unexported"])
		require.NoError(t, err)
		require.JSONEq(t, "{}", string(got))
	}
	_, err := json.Marshal([]any{Secret{}})
	require.Error(t, err, "an empty one is refused too: what marshals today must not fail tomorrow")
	_, err = json.Marshal([]any{Sensitive{}})
	require.Error(t, err)
	got, err := json.Marshal(struct {
		Secret    Secret    `json:"secret,omitzero"`
		Sensitive Sensitive `json:"sensitive,omitzero"`
	}{})
	require.NoError(t, err)
	require.JSONEq(t, "{}", string(got))

	_, err = json.Marshal(AuthQuery{AccessToken: NewSecret(canary)})
	require.Error(t, err)
	_, err = json.Marshal(LoginLink{LoginURL: NewSensitive(canary)})
	require.Error(t, err)
}

// go-querystring leaves out what it does not know, so it is told.
func TestQueriesRefuse(t *testing.T) {
	_, err := query.Values(struct{ V Sensitive }{NewSensitive(canary)})
	require.ErrorIs(t, err, errSensitiveWritten)
	_, err = query.Values(struct{ V Secret }{NewSecret(canary)})
	require.ErrorIs(t, err, errSecretWritten)
}

// No encoder and no database writes a Secret or a Sensitive, as it is or in a struct. The error says
// what to do. An empty one is refused, too, because what is stored today must not fail tomorrow.
func TestEncodersRefuse(t *testing.T) {
	type row struct{ V any }
	encoders := map[string]func(v any) ([]byte, error){
		"json": json.Marshal,
		"xml":  xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
		"text":   func(v any) ([]byte, error) { return v.(encoding.TextMarshaler).MarshalText() },
		"binary": func(v any) ([]byte, error) { return v.(encoding.BinaryMarshaler).MarshalBinary() },
		"database/sql": func(v any) ([]byte, error) {
			value, err := driver.DefaultParameterConverter.ConvertValue(v)
			return fmt.Append(nil, value), err
		},
		"driver.Valuer": func(v any) ([]byte, error) {
			value, err := v.(driver.Valuer).Value()
			return fmt.Append(nil, value), err
		},
		"a query": func(v any) ([]byte, error) {
			return nil, v.(interface {
				EncodeValues(key string, v *url.Values) error
			}).EncodeValues("v", nil)
		},
		"xml, in a struct":  func(v any) ([]byte, error) { return xml.Marshal(row{v}) },
		"json, as a key":    func(v any) ([]byte, error) { return json.Marshal([]any{v, 1}) },
		"json, in a struct": func(v any) ([]byte, error) { return json.Marshal(row{v}) },
	}
	for name, encode := range encoders {
		for _, v := range []any{
			NewSecret(canary), NewSensitive(canary), Secret{}, Sensitive{},
			new(NewSecret(canary)), new(NewSensitive(canary)),
		} {
			got, err := encode(v)
			require.ErrorContains(t, err, "store what Reveal", "%s of a %T", name, v)
			require.ErrorContains(t, err, "Masked", "%s of a %T", name, v)
			discreet(t, name, string(got), canary)
			discreet(t, name, err, canary)
		}
	}
}

// What Reveal returns can be stored, and read back.
func TestStoredAndRead(t *testing.T) {
	for _, text := range []string{canary, "", "00123", "Jane \x00 Roe", "\xff"} {
		var secret Secret
		var sensitive Sensitive
		check := func(err error) {
			t.Helper()
			require.NoError(t, err)
			require.Equal(t, text, secret.Reveal())
			require.Equal(t, text, sensitive.Reveal())
			secret, sensitive = NewSecret("before"), NewSensitive("before")
		}
		check(errors.Join(secret.Scan(text), sensitive.Scan(text)))
		column := []byte(text)
		err := errors.Join(secret.Scan(column), sensitive.Scan(column))
		clear(column) // a driver uses its bytes again
		check(err)
		column = []byte(text)
		err = errors.Join(secret.UnmarshalText(column), sensitive.UnmarshalText(column))
		clear(column)
		check(err)
	}
	secret, sensitive := NewSecret("before"), NewSensitive("before")
	require.NoError(t, errors.Join(secret.Scan(nil), sensitive.Scan(nil)))
	require.True(t, secret.IsZero() && sensitive.IsZero())
	for _, column := range []any{int64(123456789), 1.5, true, time.Now()} { // a number has lost its zeros
		for _, err := range []error{secret.Scan(column), sensitive.Scan(column)} {
			require.ErrorContains(t, err, fmt.Sprintf("not a text but a %T", column))
			require.NotContains(t, err.Error(), "123456789")
		}
	}
	var settings struct{ Key Secret }
	require.NoError(t, json.Unmarshal([]byte(`{"Key":"`+canary+`"}`), &settings), "a file of settings")
	require.Equal(t, canary, settings.Key.Reveal())
}

// A table keeps its columns.
func TestWidth(t *testing.T) {
	for _, v := range []any{NewSecret("x"), NewSensitive("x"), NewSensitive("000000000-12")} {
		require.Equal(t, "|****      |", fmt.Sprintf("|%-10s|", v))
		require.Equal(t, "|      ****|", fmt.Sprintf("|%10v|", v))
		require.Equal(t, "|****|", fmt.Sprintf("|%2s|", v))
		require.Equal(t, "|****|", fmt.Sprintf("|%.2s|", v))
	}
	require.Equal(t, "|****6789  |", fmt.Sprintf("|%-10s|", NewSensitive("123456789")))
	require.Equal(t, "|          |", fmt.Sprintf("|%-10s|", Sensitive{}))
}

func TestSensitiveFromJSON(t *testing.T) {
	for text, want := range map[string]string{
		`"abc"`: "abc", ` "padded" `: "padded", `"\u00e9\n\ud83d"`: "é\n\ufffd", "\"\xff\"": "\ufffd", `7`: "7",
		`""`: "", `null`: "", `true`: "", `{"a":1}`: "", `["abc"]`: "",
	} {
		got := NewSensitive("before")
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got.Reveal(), text)
		require.Equal(t, want == "", got.IsZero(), text)
	}
	var owner Owner
	text := `{"names":["Avery Sample",null],"emails":[{"address":"avery@example.com"}]}`
	require.NoError(t, json.Unmarshal([]byte(text), &owner))
	require.Equal(t, Owner{
		Names:  []Sensitive{NewSensitive("Avery Sample"), {}},
		Emails: []Email{{Address: NewSensitive("avery@example.com")}},
	}, owner)

	for _, text := range []string{"", `"`, `"` + canary, canary, `"a" "b"`} {
		got := NewSensitive("before")
		err := got.UnmarshalJSON([]byte(text))
		require.Error(t, err, text)
		discreet(t, text, err, canary)
	}
}

// The text of a panic when a program dies.
func TestPanicText(t *testing.T) {
	values := map[string]any{}
	for name, shape := range shapes(NewSecret(canary)) {
		values["secret, "+name] = shape
	}
	for name, shape := range shapes(NewSensitive(canary)) {
		values["sensitive, "+name] = shape
	}
	if name := os.Getenv("DUOLINK_TEST_PANIC"); name != "" {
		panic(values[name])
	}
	ends := []string{", value", ", pointer", ", unexported", ", exported", "wrapped error"}
	for name := range values {
		if !slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(name, end) }) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicText$", "-test.count=1")
			command.Env = append(os.Environ(), "DUOLINK_TEST_PANIC="+name)
			out, err := command.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "panic:")
			for _, needle := range needles(canary) {
				require.NotContains(t, string(out), needle)
			}
		})
	}
}
