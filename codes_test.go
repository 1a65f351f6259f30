package duolink

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

// constantsOf are the constants of a type in the files of the codes, by name.
func constantsOf(t *testing.T, typ string) map[string]string {
	t.Helper()
	var decls []ast.Decl
	for _, file := range []string{"codes.go", "codes_plaid.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		decls = append(decls, f.Decls...)
	}
	all := map[string]string{}
	for _, decl := range decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		for _, spec := range d.Specs {
			v := spec.(*ast.ValueSpec)
			if name, ok := v.Type.(*ast.Ident); !ok || name.Name != typ {
				continue
			}
			for i, ident := range v.Names {
				value, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				require.NoError(t, err)
				all[ident.Name] = value
			}
		}
	}
	require.NotEmpty(t, all)
	return all
}

// The table has everything that is known of a code: every constant is in it, and the rules agree
// with it.
func TestEveryCodeIsDocumented(t *testing.T) {
	constants := constantsOf(t, "Code")
	for code := range documentedCodes {
		require.Contains(t, slices.Collect(maps.Values(constants)), string(code), "a line has no constant")
	}
	values := slices.Compact(slices.Sorted(maps.Values(constants)))
	require.Len(t, values, len(constants), "two constants have one value")
	kindsOfCodes := []error{
		ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrDeleted, ErrValidation,
		ErrBankLinkState,
		ErrRateLimited, ErrServer, ErrLoginRequired,
	}
	meaning := regexp.MustCompile(`^[a-z].*[^.\s]$`)
	for name, value := range constants {
		t.Run(name, func(t *testing.T) {
			require.True(t, strings.HasPrefix(name, "Code"))
			code := Code(value)
			known, ok := documentedCodes[code]
			if !ok {
				known, ok = plaidCodes[code]
			}
			require.True(t, ok, "not in the table")
			require.Contains(t, kindsOfCodes, known.kind)
			require.Regexp(t, meaning, code.Meaning())
			problem := wire.ReadProblem([]byte(`{"error":"`+value+`"}`), 0, nil)
			require.Equal(t, value, problem.Code, "it would be read as a message")

			for _, e := range []*Error{{Code: code}, {Code: code, PlaidType: PlaidErrorTypeOAuthError}} {
				e.Kind = kindOf(200, e)
				require.Equal(t, known.kind, e.kind())
				want := known.action
				if value == "INVALID_ACCESS_TOKEN" && e.PlaidType != "" {
					want = ActionFixRequest // at Plaid it is an argument, and not the credential
				}
				if want == byKind {
					want = (&Error{Kind: known.kind}).Action()
				}
				require.Equal(t, want, e.Action())
			}
			if known.action != byKind && !strings.HasPrefix(value, "LICENSE_") {
				require.Equal(t, known.action, (&Error{Code: code, Kind: ErrBadRequest}).Action(),
					"whatever the status")
			}
			licence := known.action == ActionContactSupport || known.kind == ErrRateLimited
			require.True(t, licence || !strings.HasPrefix(value, "LICENSE_"), "a licence code of another action")
		})
	}
	require.Empty(t, Code("BRAND_NEW").Meaning())
}

// Every family of Plaid's codes has a kind, except OAuth, for which the status decides.
func TestEveryPlaidTypeHasAKind(t *testing.T) {
	for name, value := range constantsOf(t, "PlaidErrorType") {
		kind := plaidTypeKinds[PlaidErrorType(value)]
		require.Equal(t, name == "PlaidErrorTypeOAuthError", kind == nil, name)
	}
}

// The constants that the documents name exist.
func TestPapersNameCodesThatExist(t *testing.T) {
	constants := constantsOf(t, "Code")
	for _, file := range []string{"README.md", "CHANGELOG.md", "doc.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`\bCode[A-Z]\w*`).FindAllString(string(text), -1) {
			require.Contains(t, constants, name, file)
		}
	}
}
