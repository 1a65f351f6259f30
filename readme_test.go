package duolink_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The files with the code of the snippets. Each of them is compiled, by the tests of this module or
// of the consumer's.
var compiledFiles = []string{"example*_test.go", "examples/first/main.go", "internal/consumer/*_test.go",
	"examples/fleet/client.go"}

// Every Go snippet of the README and of docs is compiled: its lines stand together in one of the
// files.
func TestSnippets(t *testing.T) {
	var compiled []string
	for _, pattern := range compiledFiles {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			compiled = append(compiled, unindented(string(text)))
		}
	}
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	snippets := 0
	for _, document := range append(documents, "README.md") {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, snippet := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			snippets++
			lines := unindented(snippet[1])
			found := false
			for _, file := range compiled {
				found = found || strings.Contains(file, lines)
			}
			require.True(t, found, "no file has this snippet of %s:\n%s", document, snippet[1])
		}
	}
	require.Greater(t, snippets, 12)
}

// The README is a front page. Every file that it and docs link to exists.
func TestLinks(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, len(readme), 9000)
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, document := range append(documents, "README.md") {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		// In code, brackets are no link.
		prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(text), "")
		for _, link := range regexp.MustCompile(`(?:\]\(|src=")([^)"#]+)`).FindAllStringSubmatch(prose, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(document), link[1]))
			require.NoError(t, err, "%s links to %s", document, link[1])
		}
	}
}

func unindented(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
