package duolink

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-faster/jx"
	"github.com/stretchr/testify/require"
)

// The JSON tags and the decode functions say the same twice. These tests hold them together.

// answerTypes are the types with JSON tags that are read from answers.
var answerTypes = map[string]any{
	"AccountList": AccountList{}, "LoginAccounts": LoginAccounts{}, "Account": Account{}, "Login": Login{}, "DataSource": DataSource{},
	"User": User{}, "LoginLink": LoginLink{},
	"Identity": Identity{}, "AccountIdentity": AccountIdentity{}, "BankAccount": BankAccount{}, "Balances": Balances{}, "Owner": Owner{},
	"Address": Address{}, "PhoneNumber": PhoneNumber{}, "Email": Email{}, "BankLink": BankLink{}, "ProductStatus": ProductStatus{},
	"AuthNumbers": AuthNumbers{}, "AuthAccount": AuthAccount{}, "Numbers": Numbers{}, "ACHNumber": ACHNumber{}, "EFTNumber": EFTNumber{},
	"BACSNumber": BACSNumber{}, "InternationalNumber": InternationalNumber{}, "Item": Item{}, "ItemError": ItemError{},
	"AccountNumbers": AccountNumbers{}, "AccountWithNumbers": AccountWithNumbers{}, "accessToken": accessToken{},
}

// requestTypes have JSON tags and are not read from answers: they are sent, or joined from what was read.
var requestTypes = []string{"LinkUpdate", "linkBody", "authBody", "authOptions", "AccountOwner", "AuthAccountNumbers"}

// untagged types are read and never written: they gather what stands in several places of an answer.
var untagged = []string{"Error", "FieldError", "accountPage"}

// aliases are the second names of members: what is on the wire, and the tag.
var aliases = map[string]map[string]string{
	"Account":    {"account_name": "name", "group_name": "group"},
	"Balances":   {"iso_currency_code": "currency"},
	"ACHNumber":  {"account": "account_number", "routing": "routing_number", "wire_routing": "wire_routing_number"},
	"EFTNumber":  {"account": "account_number", "institution": "institution_number", "branch": "branch_number"},
	"BACSNumber": {"account": "account_number"},
	// Its members stand at several depths: {"data": [logins], "meta": {"query": {"cache_minutes"}}}.
	"AccountList": {"data": "logins", "meta": "cache_minutes", "query": "cache_minutes"},
}

// readers are functions that read a type without being methods of it.
var readers = map[string]string{"readAccountList": "AccountList"}

// source is what the package's own files say.
type source struct {
	tagged  []string                         // types with JSON tags
	members map[string]map[string]bool       // names that the decode functions of a type read
	clauses map[string][]map[string]struct{} // the same, by case: what stands together is one member
	floats  []string                         // exported fields that hold a float
}

func parseSource(t *testing.T) source {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	s := source{members: map[string]map[string]bool{}, clauses: map[string][]map[string]struct{}{}}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						s.addType(spec)
					}
				}
			case *ast.FuncDecl:
				if receiver := receiverOf(d); decodes(d.Name.Name) && receiver != "" {
					s.addMembers(receiver, d.Body)
				} else if typ, ok := readers[d.Name.Name]; ok {
					s.addMembers(typ, d.Body)
				}
			}
		}
	}
	slices.Sort(s.tagged)
	return s
}

// decodes says whether a method of this name reads members: decode, member, decodeMeta and the like.
func decodes(method string) bool { return method == "member" || strings.HasPrefix(method, "decode") }

func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) != 1 {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, _ := typ.(*ast.Ident)
	if name == nil {
		return ""
	}
	return name.Name
}

func (s *source) addType(spec *ast.TypeSpec) {
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	tagged := false
	for _, f := range structure.Fields.List {
		tagged = tagged || f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`)
		for _, name := range f.Names {
			if typ, ok := f.Type.(*ast.Ident); ok && name.IsExported() && strings.HasPrefix(typ.Name, "float") {
				s.floats = append(s.floats, spec.Name.Name+"."+name.Name)
			}
		}
		// An embedded type of this package brings its members, and so is one itself.
		if embedded, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 {
			_, known := answerTypes[embedded.Name]
			tagged = tagged || known
		}
	}
	if tagged {
		s.tagged = append(s.tagged, spec.Name.Name)
	}
}

// addMembers collects the string constants of cases, of comparisons with the key, and of within.
func (s *source) addMembers(typ string, body *ast.BlockStmt) {
	if s.members[typ] == nil {
		s.members[typ] = map[string]bool{}
	}
	add := func(expressions ...ast.Expr) {
		together := map[string]struct{}{}
		for _, e := range expressions {
			if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name, _ := strconv.Unquote(lit.Value)
				s.members[typ][name] = true
				together[name] = struct{}{}
			}
		}
		if len(together) > 0 {
			s.clauses[typ] = append(s.clauses[typ], together)
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CaseClause:
			add(n.List...)
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				add(n.X, n.Y)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "within" {
				add(n.Args...)
			}
		}
		return true
	})
}

// field is a member of a type: its tag and where it is.
type field struct {
	tag   string
	index []int
	typ   reflect.Type
}

// fieldsOf are the tagged fields of a struct, those of embedded ones included, and own alone: those that it does not embed.
func fieldsOf(t *testing.T, typ reflect.Type) (all, own []field) {
	t.Helper()
	for f := range typ.Fields() {
		if f.Anonymous {
			embedded, _ := fieldsOf(t, f.Type)
			for _, e := range embedded {
				all = append(all, field{e.tag, append(slices.Clone(f.Index), e.index...), e.typ})
			}
			continue
		}
		tag, ok := f.Tag.Lookup("json")
		require.Truef(t, ok && f.IsExported(), "%s.%s has no JSON tag or is not exported", typ, f.Name)
		require.NotContainsf(t, tag, ",", "%s.%s", typ, f.Name)
		own = append(own, field{tag, f.Index, f.Type})
	}
	return append(all, own...), own
}

func TestTagsAndDecodersAgree(t *testing.T) {
	s := parseSource(t)
	listed := slices.Concat(slices.Collect(maps.Keys(answerTypes)), requestTypes)
	require.ElementsMatch(t, s.tagged, listed, "types with JSON tags, and those that this test knows")
	read := slices.Concat(slices.Collect(maps.Keys(answerTypes)), untagged)
	require.ElementsMatch(t, slices.Collect(maps.Keys(s.members)), read, "types with decode functions, and those that this test knows")

	for name, v := range answerTypes {
		t.Run(name, func(t *testing.T) {
			_, own := fieldsOf(t, reflect.TypeOf(v))
			var tags []string
			for _, f := range own {
				tags = append(tags, f.tag)
			}
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(tags))), len(tags), "a tag is there twice")

			names := map[string]bool{}
			for member := range s.members[name] {
				if tag, ok := aliases[name][member]; ok {
					member = tag
				}
				names[member] = true
			}
			require.ElementsMatch(t, tags, slices.Collect(maps.Keys(names)))
			for alias := range aliases[name] {
				require.True(t, s.members[name][alias], "no function reads %s", alias)
			}
			if name == "AccountList" { // its names stand at several depths, not beside each other
				return
			}
			for _, together := range s.clauses[name] {
				for member := range together {
					if tag, ok := aliases[name][member]; ok {
						require.Contains(t, together, tag, "%s is another name of it", member)
					}
				}
			}
		})
	}
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
	d, v := jx.DecodeBytes(text), reflect.New(typ)
	switch to := v.Interface().(type) {
	case *AccountList: // flat here, in an envelope on the wire
		flat, _ := value.(map[string]any)
		text, err = json.Marshal(map[string]any{
			"data": flat["logins"], "meta": map[string]any{"query": map[string]any{"cache_minutes": flat["cache_minutes"]}},
		})
		require.NoError(t, err)
		list, err := readAccountList(jx.DecodeBytes(text))
		require.NoError(t, err)
		*to = *list
	case interface{ decode(*jx.Decoder) error }:
		require.NoError(t, to.decode(d))
	case interface {
		member(*jx.Decoder, []byte) error
	}:
		require.NoError(t, object(d, func(key []byte) error { return to.member(d, key) }))
	default:
		t.Fatalf("%s has no decode function", typ)
	}
	return v.Elem()
}

// A value that has everything leaves no field zero, however deep.
func TestEveryMemberIsDecoded(t *testing.T) {
	for name, v := range answerTypes {
		t.Run(name, func(t *testing.T) {
			typ := reflect.TypeOf(v)
			noZero(t, decodeInto(t, typ, sampleOf(t, typ, name)), name)
		})
	}
}

// leaf is a type that is looked at as a whole.
func leaf(typ reflect.Type) bool {
	switch typ {
	case reflect.TypeFor[Timestamp](), reflect.TypeFor[Sensitive](), reflect.TypeFor[Secret]():
		return true
	}
	return false
}

// noZero fails for a zero value in v. A text has to be the one that was made for its field.
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
			names := []string{f.tag}
			for alias, tag := range aliases[name] {
				if tag == f.tag && name != "AccountList" {
					names = append(names, alias)
				}
			}
			for _, member := range names {
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

// null, and every value of another type, leaves a member zero and fails nothing. What follows is read.
func TestOddMembersAreAbsent(t *testing.T) {
	for name, v := range answerTypes {
		typ := reflect.TypeOf(v)
		all, _ := fieldsOf(t, typ)
		for _, f := range all {
			odd := []any{nil}
			switch {
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

// Money is never a float64, and nobody has to look for nil: of all that methods return, no exported field is a float or a pointer.
func TestAnswersHaveNeitherFloatsNorPointers(t *testing.T) {
	require.Empty(t, parseSource(t).floats)

	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		require.NotContainsf(t, []reflect.Kind{reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128}, typ.Kind(), path)
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
		if ast.IsExported(name) {
			walk(reflect.TypeOf(v), name)
			require.Truef(t, seen[reflect.TypeOf(v)], "%s", name)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Error](), reflect.TypeFor[Response]()} {
		walk(typ, typ.String())
	}
}

// results are the types that the methods of the services return; a pointer to one, and one that is iterated over, is the type itself.
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
