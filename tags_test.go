package duolink

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

// answerTypes are the types with JSON tags that are read from answers.
var answerTypes = map[string]any{
	"AccountList": AccountList{}, "LoginAccounts": LoginAccounts{}, "Account": Account{}, "Login": Login{},
	"DataSource": DataSource{},
	"User":       User{}, "LoginLink": LoginLink{},
	"Identity": Identity{}, "BankAccountWithOwners": BankAccountWithOwners{}, "BankAccount": BankAccount{},
	"Balances": Balances{}, "Owner": Owner{},
	"Address": Address{}, "PhoneNumber": PhoneNumber{}, "Email": Email{}, "BankLink": BankLink{},
	"ProductStatus": ProductStatus{},
	"PlaidNumbers":  PlaidNumbers{}, "PlaidAccount": PlaidAccount{}, "NumbersByScheme": NumbersByScheme{},
	"ACHNumber": ACHNumber{}, "EFTNumber": EFTNumber{},
	"ItemErrorCause": ItemErrorCause{},
	"BACSNumber":     BACSNumber{}, "InternationalNumber": InternationalNumber{}, "Item": Item{},
	"ItemError":   ItemError{},
	"BankNumbers": BankNumbers{}, "BankAccountWithNumbers": BankAccountWithNumbers{}, "accessToken": accessToken{},
}

// field is a member of a type: its tag and where it is.
type field struct {
	tag   string
	also  []string // its names in other dialects
	index []int
	typ   reflect.Type
}

// fieldsOf returns the tagged fields of a struct, with those of embedded structs, and the struct's
// own ones alone.
func fieldsOf(t *testing.T, typ reflect.Type) (all, own []field) {
	t.Helper()
	for f := range typ.Fields() {
		if f.Anonymous {
			embedded, _ := fieldsOf(t, f.Type)
			for _, e := range embedded {
				all = append(all, field{e.tag, e.also, append(slices.Clone(f.Index), e.index...), e.typ})
			}
			continue
		}
		tag, ok := f.Tag.Lookup("json")
		require.Truef(t, ok && f.IsExported(), "%s.%s has no JSON tag or is not exported", typ, f.Name)
		require.NotContainsf(t, tag, ",", "%s.%s", typ, f.Name)
		also := strings.FieldsFunc(f.Tag.Get("also"), func(r rune) bool { return r == ',' })
		own = append(own, field{tag, also, f.Index, f.Type})
	}
	return append(all, own...), own
}

// sampleOf is a JSON value that leaves no field of a type zero, with a text of its own for each.
func sampleOf(t *testing.T, typ reflect.Type, path string) any {
	t.Helper()
	switch typ {
	case reflect.TypeFor[Timestamp]():
		return "2026-01-01T00:00:00Z"
	case reflect.TypeFor[Decimal]():
		return json.Number("340.12")
	case reflect.TypeFor[Sensitive](), reflect.TypeFor[Secret]():
		return path
	}
	switch typ.Kind() {
	case reflect.String:
		return path
	case reflect.Bool:
		return true
	case reflect.Int64:
		return 42
	case reflect.Slice:
		return []any{sampleOf(t, typ.Elem(), path)}
	case reflect.Map:
		return map[string]any{path: sampleOf(t, typ.Elem(), path)}
	case reflect.Struct:
		all, _ := fieldsOf(t, typ)
		object := map[string]any{}
		for _, f := range all {
			object[f.tag] = sampleOf(t, f.typ, path+"."+f.tag)
		}
		return object
	default:
		t.Fatalf("%s: no sample of a %s", path, typ)
		return nil
	}
}

// decodeInto reads a JSON value into a new value of a type, with the package's functions.
func decodeInto(t *testing.T, typ reflect.Type, value any) reflect.Value {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	v := reflect.New(typ)
	switch to := v.Interface().(type) {
	case *AccountList: // flat here, in an envelope on the wire
		flat, _ := value.(map[string]any)
		text, err = json.Marshal(map[string]any{
			"data": flat["logins"],
			"meta": map[string]any{"query": map[string]any{"cache_minutes": flat["cache_minutes"]}},
		})
		require.NoError(t, err)
		list, err := readAccountList(wire.Document(text, defaultLimit))
		require.NoError(t, err)
		*to = *list
	default:
		require.NoError(t, byTags.Read(wire.Document(text, defaultLimit), v.Interface()))
	}
	return v.Elem()
}

// A complete value leaves no field zero at any depth.
func TestEveryMemberIsDecoded(t *testing.T) {
	for name, v := range answerTypes {
		t.Run(name, func(t *testing.T) {
			typ := reflect.TypeOf(v)
			noZero(t, decodeInto(t, typ, sampleOf(t, typ, name)), name)
		})
	}
}

// leaf is a type that is compared as a whole.
func leaf(typ reflect.Type) bool {
	switch typ {
	case reflect.TypeFor[Timestamp](), reflect.TypeFor[Sensitive](), reflect.TypeFor[Secret]():
		return true
	}
	return false
}

// noZero fails for a zero value in v. A text must be the one that was made for its field.
func noZero(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	require.Falsef(t, v.IsZero(), "%s is zero", path)
	switch v := v.Interface().(type) {
	case Sensitive:
		require.Equal(t, path, v.Reveal())
	case Secret:
		require.Equal(t, path, v.Reveal())
	case Decimal:
		require.EqualValues(t, "340.12", v)
	}
	if leaf(v.Type()) || v.Type() == reflect.TypeFor[Decimal]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		require.Equal(t, path, v.String())
	case reflect.Slice:
		require.Equal(t, 1, v.Len(), path)
		noZero(t, v.Index(0), path)
	case reflect.Map:
		require.Equal(t, 1, v.Len(), path)
		noZero(t, v.MapIndex(v.MapKeys()[0]), path)
	case reflect.Struct:
		all, _ := fieldsOf(t, v.Type())
		for _, f := range all {
			noZero(t, v.FieldByIndex(f.index), path+"."+f.tag)
		}
	}
}

// A member sets its own field and no other, under each of its names.
func TestEachMemberSetsItsField(t *testing.T) {
	for name, v := range answerTypes {
		typ := reflect.TypeOf(v)
		all, _ := fieldsOf(t, typ)
		for _, f := range all {
			for _, member := range append([]string{f.tag}, f.also...) {
				t.Run(name+"/"+member, func(t *testing.T) {
					got := decodeInto(t, typ, map[string]any{member: sampleOf(t, f.typ, "text")})
					for _, other := range all {
						require.Equal(t, other.tag != f.tag, got.FieldByIndex(other.index).IsZero(), other.tag)
					}
				})
			}
		}
	}
}

// null, and every value of another type, leaves a member zero and fails nothing. What follows is
// read.
func TestOddMembersAreAbsent(t *testing.T) {
	for name, v := range answerTypes {
		typ := reflect.TypeOf(v)
		all, _ := fieldsOf(t, typ)
		for _, f := range all {
			if f.tag == "logins" { // "data" on the wire, which must be a list
				continue
			}
			odd := []any{nil}
			switch {
			case f.typ == reflect.TypeFor[OptionalBool]():
				odd = append(odd, map[string]any{"a": true}, []any{true}, "", " ")
			case leaf(f.typ) || f.typ.Kind() == reflect.String:
				odd = append(odd, true, map[string]any{"a": []any{1}}, []any{"a"})
			case f.typ.Kind() == reflect.Slice || f.typ.Kind() == reflect.Map || f.typ.Kind() == reflect.Struct:
				odd = append(odd, "text", 7, true)
			default: // a flag, a number
				odd = append(odd, "n/a", map[string]any{}, []any{})
			}
			for _, value := range odd {
				t.Run(fmt.Sprintf("%s/%s/%v", name, f.tag, value), func(t *testing.T) {
					require.True(t, decodeInto(t, typ, map[string]any{f.tag: value}).FieldByIndex(f.index).IsZero())
				})
			}
		}
	}
}

// scalars are values of each kind of scalar, and what a person reads in them.
var scalars = map[reflect.Type]map[string]any{
	reflect.TypeFor[bool](): {
		`true`: true, `"Yes"`: true, `" on "`: true, `1`: true, `"1"`: true, `false`: false, `"no"`: false,
		`0.0`: false,
	},
	reflect.TypeFor[int64](): {
		`3600`: int64(3600), `"3600"`: int64(3600), `3600.0`: int64(3600), `" 3600 "`: int64(3600), `1e3`: int64(1000),
		`"3,600.00"`: int64(3600),
	},
	reflect.TypeFor[OptionalBool](): {
		`true`: OptionalBoolTrue, `"Yes"`: OptionalBoolTrue, `1`: OptionalBoolTrue, `false`: OptionalBoolFalse,
		`"no"`: OptionalBoolFalse, `0.0`: OptionalBoolFalse, `null`: OptionalBool(""),
		`"perhaps"`: OptionalBool("perhaps"),
	},
	reflect.TypeFor[Decimal](): {
		`340.12`: Decimal("340.12"), `"+5.00"`: Decimal("5.00"), `"007.50"`: Decimal("7.50"),
		`" 12.5 "`:   Decimal("12.5"),
		`"1,234.56"`: Decimal("1234.56"), `"1,234"`: Decimal("1,234"), `"NaN"`: Decimal("NaN"),
		`1e-05`: Decimal("1e-05"),
	},
	reflect.TypeFor[Timestamp](): {
		`"2026-01-01T02:00:00+02"`:  stamp("2026-01-01T02:00:00+02", "2026-01-01T00:00:00Z"),
		`"2026-01-01 00:00:00 UTC"`: stamp("2026-01-01 00:00:00 UTC", "2026-01-01T00:00:00Z"),
		`"2026-01-01t00:00z"`:       stamp("2026-01-01t00:00z", "2026-01-01T00:00:00Z"),
		`" 2026-01-01 "`:            stamp(" 2026-01-01 ", "2026-01-01T00:00:00Z"),
		`"soon"`:                    unreadable("soon"),
		`1767225600`:                unreadable("1767225600"),
	},
}

// Every flag, number and time of every answer is read as a person reads it, and is stored and read
// back.
func TestScalarsOfEveryAnswer(t *testing.T) {
	read := map[reflect.Type]int{}
	for name, v := range answerTypes {
		typ := reflect.TypeOf(v)
		all, _ := fieldsOf(t, typ)
		for _, f := range all {
			for text, want := range scalars[f.typ] {
				t.Run(fmt.Sprintf("%s/%s/%s", name, f.tag, text), func(t *testing.T) {
					got := decodeInto(t, typ, map[string]any{f.tag: json.RawMessage(text)})
					require.Equal(t, want, got.FieldByIndex(f.index).Interface())
					if name == "accessToken" { // a secret is not stored
						return
					}
					stored, err := RevealJSON(got.Interface())
					require.NoError(t, err)
					again := reflect.New(typ)
					require.NoError(t, json.Unmarshal(stored, again.Interface()))
					require.Equal(t, want, again.Elem().FieldByIndex(f.index).Interface())
				})
				read[f.typ]++
			}
		}
	}
	require.Len(t, read, len(scalars))
}

// Money is never a float64, and nobody has to check for nil: in the results of methods no exported
// field is a float or a pointer.
func TestAnswersHaveNeitherFloatsNorPointers(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		require.NotContainsf(t, []reflect.Kind{reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128},
			typ.Kind(), path)
		require.NotEqualf(t, reflect.Pointer, typ.Kind(), path)
		if leaf(typ) || seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Slice, reflect.Array:
			walk(typ.Elem(), path+"[]")
		case reflect.Map:
			walk(typ.Key(), path+"[key]")
			walk(typ.Elem(), path+"[]")
		case reflect.Struct:
			for f := range typ.Fields() {
				if f.IsExported() {
					walk(f.Type, path+"."+f.Name)
				}
			}
		}
	}
	for _, typ := range results() {
		walk(typ, typ.String())
	}
	for name, v := range answerTypes {
		if name[0] < 'a' {
			walk(reflect.TypeOf(v), name)
			require.Truef(t, seen[reflect.TypeOf(v)], "%s", name)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Error](), reflect.TypeFor[Response]()} {
		walk(typ, typ.String())
	}
}

// results are the types that the methods of the services return. A pointer or an iterator counts as
// its type.
func results() (all []reflect.Type) {
	failure := reflect.TypeFor[error]()
	add := func(typ reflect.Type) {
		if typ.Kind() == reflect.Func { // iter.Seq2[T, error]
			typ = typ.In(0).In(0)
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ != failure {
			all = append(all, typ)
		}
	}
	for _, service := range []any{&LoginsService{}, &LinksService{}, &IdentityService{}, &AuthService{}} {
		for m := range reflect.TypeOf(service).Methods() {
			for typ := range m.Type.Outs() {
				add(typ)
			}
		}
	}
	return all
}
