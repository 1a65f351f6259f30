package consumer

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each example can be copied into a module of a user, and builds there.
func TestExamplesCanBeCopied(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	module := t.TempDir()
	for _, example := range []string{"first", "quickstart", "payout", "sandbox", "connect"} {
		original := os.DirFS(filepath.Join(root, "examples", example))
		require.NoError(t, os.CopyFS(filepath.Join(module, example), original))
		for _, other := range []string{"go.mod", "go.sum", "browser"} { // of a module of its own
			require.NoError(t, os.RemoveAll(filepath.Join(module, example, other)))
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(module, file), text, 0o600))
	}
	for _, args := range [][]string{
		{"mod", "edit", "-replace", "github.com/duolink/duolink=" + root},
		{"build", "-mod=mod", "-o", t.TempDir() + string(filepath.Separator), "./..."},
	} {
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir = module
		command.Env = append(os.Environ(), "GOWORK=off")
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}
