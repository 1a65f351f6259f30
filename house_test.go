package duolink

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestServicesSayWhatNotHow keeps the service files from knowing the wire: what they may import is listed here.
func TestServicesSayWhatNotHow(t *testing.T) {
	allowed := []string{
		"cmp", "context", "errors", "fmt", "iter", "slices", "strings", "time",
		"github.com/duolink/duolink/internal/wire", // the few answers of a shape of their own
	}
	for _, file := range []string{"logins.go", "links.go", "identity.go", "auth.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		require.NotEmpty(t, f.Imports)
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			require.Contains(t, allowed, path, file)
		}
	}
}

// A room knows nothing of the package that uses it, nor of another room, and imports what is listed
// here beside the standard library. In the pace there is no HTTP.
func TestRoomsHaveWalls(t *testing.T) {
	for room, allowed := range map[string][]string{
		"internal/pace": {"golang.org/x/time/rate"},
	} {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				require.False(t, path == "net" || strings.HasPrefix(path, "net/"), "%s imports %s", file, path)
				if strings.Contains(path, ".") {
					require.Contains(t, allowed, path, file)
				}
			}
		}
	}
}
