package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Weight is what a program pays for an import.
type Weight struct {
	Packages, Modules int // that are not of the standard library, with duolink's own
	Compile           time.Duration
	Binary            int64 // bytes more than a program with net/http and encoding/json
}

const ownPackage = "github.com/duolink/duolink"

// MeasureWeight compiles duolink, and what it imports, in a cache that has only the standard library.
// The working directory must be in this module.
func MeasureWeight() (Weight, error) {
	dir, err := os.MkdirTemp("", "weight")
	if err != nil {
		return Weight{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	g := goTool{cache: filepath.Join(dir, "cache")}
	standard := g.list("{{if .Standard}}{{.ImportPath}}{{end}}")
	packages := g.list("{{if not .Standard}}{{.ImportPath}}{{end}}")
	modules := map[string]bool{}
	for _, m := range g.list("{{with .Module}}{{.Path}}{{end}}") {
		modules[m] = true
	}
	g.run(append([]string{"build"}, standard...)...)
	before := g.used
	g.run("build", ownPackage)
	w := Weight{Packages: len(packages), Modules: len(modules), Compile: g.used - before}
	for name, sign := range map[string]int64{"floor": -1, "duolink": 1} {
		out := filepath.Join(dir, name)
		g.run("build", "-trimpath", "-ldflags=-s -w", "-o", out, ownPackage+"/internal/bench/weight/"+name)
		info, err := os.Stat(out)
		if err != nil {
			return Weight{}, fmt.Errorf("%w, after: %w", err, g.failed)
		}
		w.Binary += sign * info.Size()
	}
	return w, g.failed
}

// goTool runs the go command with a cache of its own, and adds up its CPU time.
type goTool struct {
	cache  string
	used   time.Duration
	failed error // the first failure
}

func (g *goTool) run(args ...string) string {
	command := exec.CommandContext(context.Background(), "go", args...)
	command.Env = append(os.Environ(), "GOCACHE="+g.cache, "GOWORK=off")
	out, err := command.Output()
	if err != nil && g.failed == nil {
		g.failed = fmt.Errorf("go %s: %w", args[0], err)
	}
	if state := command.ProcessState; state != nil {
		g.used += state.UserTime() + state.SystemTime()
	}
	return string(out)
}

// list returns what a template says of each package that duolink imports, and of duolink.
func (g *goTool) list(template string) (all []string) {
	for line := range strings.Lines(g.run("list", "-deps", "-f", template, ownPackage)) {
		if line = strings.TrimSpace(line); line != "" && line != "unsafe" {
			all = append(all, line)
		}
	}
	return all
}
