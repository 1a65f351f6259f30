package duolinkotel

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../../"

// literals are the texts in a function, or in a whole file if it has no name.
func literals(t *testing.T, file, function string) (all []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	read := func(in ast.Node) {
		ast.Inspect(in, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				require.NoError(t, err)
				all = append(all, text)
			}
			return true
		})
	}
	if function == "" {
		read(parsed)
		return all
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function {
			read(f.Body)
		}
	}
	require.NotEmpty(t, all, "%s has no function %s", file, function)
	return all
}

// Every kind of an error of duolink is a word.
func TestEveryKindIsAWord(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), root+"errors.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	declared := 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Err") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.CallExpr).Args[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		require.True(t, words[text], "%s is missing", spec.Names[0].Name)
		declared++
		return true
	})
	require.Len(t, kinds, declared)
}

// Every text that duolink has for a failed connection is a word.
func TestEveryFailureIsAWord(t *testing.T) {
	texts := literals(t, "errors.go", "transportText")
	texts = append(texts, literals(t, "internal/send/fault.go", "diagnose")...)
	for _, text := range texts {
		text = strings.TrimSuffix(text, ": ")
		if text != "remote error" && text != "local error" { // what net/http calls them
			require.True(t, words[text], "%q is missing", text)
		}
	}
}

// Every word is one that duolink says.
func TestEveryWordIsSaid(t *testing.T) {
	var said []string
	for _, pattern := range []string{"*.go", "internal/send/*.go", "internal/flight/*.go"} {
		files, err := filepath.Glob(root + pattern)
		require.NoError(t, err)
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				said = append(said, literals(t, strings.TrimPrefix(file, root), "")...)
			}
		}
	}
	for _, word := range slices.Concat(transportWords, callWords) {
		says := func(text string) bool { return strings.HasPrefix(text, word) }
		require.True(t, slices.ContainsFunc(said, says), word)
	}
}

// The README names every attribute and every metric.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, name := range allowedInSpans {
		require.Contains(t, string(text), "`"+name+"`")
	}
	for name := range instrumentsOf(t) {
		require.Contains(t, string(text), "`"+name+"`")
	}
}
