// Package browser drives examples/connect in headless Chromium, as a person would.
package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// allTime bounds everything here: a page that never comes ends the test, not the patience of
// whoever waits for it.
const allTime = 4 * time.Minute

// program is examples/connect, built, and chromium a running browser; both are shared by all tests.
var (
	program  string
	chromium context.Context
)

func TestMain(m *testing.M) {
	status, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// runAll builds the program, starts the browser, runs the tests and leaves nothing behind.
func runAll(m *testing.M) (status int, err error) {
	path := findChromium()
	if path == "" {
		if os.Getenv("REQUIRE_CHROMIUM") != "" {
			return 0, errors.New("there is no Chromium, and REQUIRE_CHROMIUM asks for one: apt-get install chromium")
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "connect-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program = filepath.Join(dir, "connect")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = ".." // a module of its own
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}

	ctx, cancel := context.WithTimeout(context.Background(), allTime)
	defer cancel()
	allocator, stop := chromedp.NewExecAllocator(ctx, flags(path, filepath.Join(dir, "profile"))...)
	defer stop()
	var quit context.CancelFunc
	chromium, quit = chromedp.NewContext(allocator)
	defer quit()
	if err := chromedp.Do(chromium, chromedp.Navigate("about:blank")); err != nil {
		return 0, fmt.Errorf("%s does not start: %w", path, err)
	}
	return m.Run(), nil
}

func findChromium() string {
	for _, name := range []string{
		os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

func flags(path, profile string) []chromedp.ExecAllocatorOption {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WSURLReadTimeout(time.Minute),
	}
	for _, name := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage",
		"hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	if os.Getuid() == 0 { // Chromium's own sandbox refuses to run as root
		options = append(options, chromedp.NoSandbox)
	}
	return options
}

// service starts the program with an environment and returns its address. Where there is no
// browser, the test ends here.
func service(t *testing.T, environment ...string) string {
	t.Helper()
	address, stop := launch(t, environment)
	t.Cleanup(stop)
	return "http://" + address
}

// launch starts the program, which prints where it listens. Stop ends it.
func launch(t *testing.T, environment []string, args ...string) (address string, stop func()) {
	t.Helper()
	if chromium == nil {
		t.Skip("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
	}
	command := exec.Command(program, append([]string{"-addr", "127.0.0.1:0", "-db", ":memory:"}, args...)...)
	others := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "SUPERMETRICS_") })
	command.Env = append(others, environment...)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	stop = func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		require.NoError(t, command.Wait(), "it ends when it is told to")
	}
	where := regexp.MustCompile(`^ .*(127\.0\.0\.1:\d+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := where.FindStringSubmatch(lines.Text()); found != nil {
			return found[1], stop
		}
	}
	stop()
	require.FailNow(t, "the program did not say where it is")
	return "", nil
}

// vendor is a sandbox on another address, for a service that believes that it is the real API.
func vendor(t *testing.T) (*duolinktest.Server, string) {
	t.Helper()
	s := duolinktest.New(t, duolinktest.WithLoginPages(""))
	return s, service(t, leadsTo(s)...)
}

// leadsTo is the environment of a service whose API is a sandbox.
func leadsTo(s *duolinktest.Server) []string {
	return []string{
		"SUPERMETRICS_API_KEY=" + duolinktest.APIKey, "SUPERMETRICS_BASE_URL=" + s.URL(duolink.Supermetrics),
	}
}

// browser is a window with cookies of its own.
type browser struct {
	*testing.T

	ctx  context.Context
	base string

	expected []string // complaints that belong to the test

	mu         sync.Mutex
	complaints []string
}

const (
	pageTime = 20 * time.Second // within which a page has come

	phone   = 360
	desktop = 1280
)

// open opens a window of a width on the service's first page.
func open(t *testing.T, base string, width int64) *browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &browser{T: t, ctx: ctx, base: base}
	require.NoError(t, chromedp.Listen(ctx, b.listen))
	_, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{})
	require.NoError(t, err)
	b.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(base))
	t.Cleanup(b.judge)
	return b
}

// judge compares what the console has complained about with what the test expects. Chromium
// complains about every page whose status is an error.
func (b *browser) judge() {
	// A complaint can come a little after its page.
	ctx, cancel := context.WithTimeout(b.ctx, pageTime)
	defer cancel()
	for again := time.NewTicker(20 * time.Millisecond); b.complained() < len(b.expected) &&
		ctx.Err() == nil; <-again.C {
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(b, b.complaints, len(b.expected), "%q", b.complaints)
	for i, want := range b.expected {
		require.Contains(b, b.complaints[i], want)
	}
}

func (b *browser) complained() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.complaints)
}

// expect says that the page to come has an error's status.
func (b *browser) expect(status int) {
	b.expected = append(b.expected, fmt.Sprintf("status of %d", status))
}

// listen collects what the console complains about: errors, and what the security policy has
// blocked.
func (b *browser) listen(event any) {
	var text string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		text = "console: " + string(e.Type)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, text)
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, pageTime)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		require.NoError(b, err, "at %s", b.look())
	}
}

// eval asks the page.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, pageTime)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(b, err, expression)
	return value
}

// look is what a person sees, for the message of a failure.
func (b *browser) look() string {
	page, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.pathname + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return page
}

// media sets what the page may ask of the person's preferences.
func (b *browser) media(features ...*emulation.MediaFeature) {
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	require.NoError(b, err)
}

// until waits for something to become true of the page, also of the one that comes after it.
func (b *browser) until(condition string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, pageTime)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		// An error is a page that is just going.
		yes, err := chromedp.Run(ctx,
			chromedp.Evaluate[bool](`document.readyState === "complete" && !!(`+condition+`)`))
		if err == nil && yes {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			require.FailNow(b, "it did not come", "%s at %s", condition, b.look())
		}
	}
}

// heading waits for the page with this heading, and looks at what holds for every page.
func (b *browser) heading(text string) {
	b.Helper()
	b.until(fmt.Sprintf(`document.querySelector("h1")?.innerText === %q`, text))
	wide := eval[bool](b, `document.documentElement.scrollWidth > document.documentElement.clientWidth`)
	require.False(b, wide, "%s: it scrolls sideways", text)
	require.True(b, eval[bool](b, `document.title.length > 0 && document.documentElement.lang === "en" && `+
		`document.querySelectorAll("h1").length === 1`), text)
	require.Empty(b, eval[string](b, `[...document.querySelectorAll("input:not([type=hidden])")].filter(i => `+
		`!i.labels.length).map(i => i.name).join()`), "%s: inputs without a label", text)
}

// press clicks what says this text, like a person who looks for it.
func (b *browser) press(text string) {
	b.Helper()
	xpath := `//*[self::a or self::button or self::label][normalize-space(.)=%[1]q or ./span[normalize-space(.)=%[1]q]]`
	b.do(chromedp.Click(chromedp.Search(fmt.Sprintf(xpath, text))))
}
