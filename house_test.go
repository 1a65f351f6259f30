package duolink

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/duolink/duolink"

// importsOf are what the non-test files of a directory import, by file.
func importsOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	all := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		all[filepath.Base(file)] = []string{}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			all[filepath.Base(file)] = append(all[filepath.Base(file)], name)
		}
	}
	require.NotEmpty(t, all, dir)
	return all
}

// The service files say what to do, never how: they import neither HTTP nor what makes a call.
func TestServicesSayWhatNotHow(t *testing.T) {
	allowed := []string{
		"cmp", "context", "errors", "fmt", "iter", "slices", "strings", "time",
		module + "/internal/wire", // the few answers of a shape of their own
	}
	files := importsOf(t, ".")
	for _, file := range []string{"logins.go", "links.go", "identity.go", "auth.go"} {
		require.Contains(t, files, file)
		for _, name := range files[file] {
			require.Contains(t, allowed, name, file)
		}
	}
}

// A room imports neither the package that uses it nor another room. The table says what else it may
// import outside the standard library, and whether it may import the network.
func TestRoomsHaveWalls(t *testing.T) {
	rooms := map[string]struct {
		modules []string
		network bool
	}{
		"wire":    {},
		"pace":    {modules: []string{"golang.org/x/time/rate"}},
		"flight":  {},
		"redact":  {},
		"reveal":  {},
		"conceal": {},
		"send":    {network: true},
	}
	for room, may := range rooms {
		for file, imports := range importsOf(t, filepath.Join("internal", room)) {
			for _, name := range imports {
				network := name == "net" || strings.HasPrefix(name, "net/") || name == "crypto/tls"
				require.False(t, network && !may.network, "%s/%s imports %s", room, file, name)
				if strings.Contains(name, ".") {
					require.Contains(t, may.modules, name, "%s/%s", room, file)
				}
			}
		}
	}
	dirs, err := os.ReadDir("internal")
	require.NoError(t, err)
	for _, dir := range dirs { // whoever is not a room has another task, and is named here
		_, room := rooms[dir.Name()]
		known := room || slices.Contains([]string{"bench", "consumer", "proof", "sandbox", "tools"}, dir.Name())
		require.True(t, known, "internal/%s is neither a room nor one of the others", dir.Name())
	}
}

// generated is the line of a file that a program has written.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// A file can be read in one go, and a line on one screen.
func TestSizes(t *testing.T) {
	const mostLines, mostColumns = 450, 120
	err := filepath.WalkDir(".", func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".go" {
			return err
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if generated.Match(text) {
			return nil
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i, line := range lines {
			require.LessOrEqual(t, len([]rune(strings.ReplaceAll(line, "\t", "    "))), mostColumns, "%s:%d", file, i+1)
		}
		if !strings.HasSuffix(file, "_test.go") {
			require.LessOrEqual(t, len(lines), mostLines, file)
		}
		return nil
	})
	require.NoError(t, err)
}
