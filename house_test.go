package duolink

import (
	"go/parser"
	"go/token"
	"strconv"
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
