package duolink

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// declarations are the top-level declarations of the package, without its tests.
func declarations(t *testing.T) []ast.Decl {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var all []ast.Decl
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		all = append(all, f.Decls...)
	}
	require.NotEmpty(t, all)
	return all
}

// An exported constant has its type's name in it, so that a reader knows the type, and completion
// finds all constants. If the type's name ends in State, Status or Code, that word is left out. The
// APIs have their own names.
func TestConstantsCarryTheirTypesName(t *testing.T) {
	short := regexp.MustCompile(`(\w)(?:State|Status|Code)$`)
	found := map[string]int{}
	for _, decl := range declarations(t) {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			v := spec.(*ast.ValueSpec)
			typ, ok := v.Type.(*ast.Ident)
			if !ok || typ.Name == "API" {
				continue
			}
			for _, name := range v.Names {
				if name.IsExported() {
					found[typ.Name]++
					require.True(t, strings.HasPrefix(name.Name, short.ReplaceAllString(typ.Name, "$1")), name.Name)
				}
			}
		}
	}
	require.GreaterOrEqual(t, len(found), 14, "%v", found)
}

// An id has the same name in a method's arguments and in the route, and so in errors and hooks.
func TestAnIDHasOneName(t *testing.T) {
	ids := map[string]string{
		"LoginsService": "loginID", "LinksService": "loginLinkID",
		"IdentityService": "bankLinkID", "AuthService": "bankLinkID",
	}
	found := map[string]bool{}
	for _, decl := range declarations(t) {
		method, ok := decl.(*ast.FuncDecl)
		if !ok || method.Recv == nil || !method.Name.IsExported() {
			continue
		}
		pointer, ok := method.Recv.List[0].Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		want, ok := ids[pointer.X.(*ast.Ident).Name]
		if !ok {
			continue
		}
		for _, param := range method.Type.Params.List {
			typ, ok := param.Type.(*ast.Ident)
			if ok && typ.Name == "string" && param.Names[0].Name != "marker" {
				require.Equal(t, want, param.Names[0].Name, method.Name.Name)
				found[want] = true
			}
		}
	}
	require.Len(t, found, 3)
	placeholder := regexp.MustCompile(`\{(\w+)\}`)
	for name, row := range rows {
		for _, id := range placeholder.FindAllStringSubmatch(row.Route, -1) {
			service, _, _ := strings.Cut(name, ".")
			want := ids[strings.ToUpper(service[:1])+service[1:]+"Service"]
			require.Equal(t, want, id[1], name)
			err := row.On(t.Context(), unasked(t), "")
			require.EqualError(t, err, "duolink: "+operationOf(name)+": invalid argument: "+want+" is empty")
		}
	}
}
