package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink/duolinktest"
)

// start runs the program until the test ends, or until stop, which returns what the program did.
// Lines are the first that it printed, up to its address.
func start(
	t *testing.T, environment map[string]string, args ...string,
) (address string, lines []string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0", "-db", inMemory}, args...),
			func(name string) string { return environment[name] }, w, io.Discard)
		_ = w.CloseWithError(io.EOF)
		done <- err
	}()
	for scanner := bufio.NewScanner(r); address == "" && scanner.Scan(); {
		lines = append(lines, scanner.Text())
		address = regexp.MustCompile(`https?://\S+`).FindString(scanner.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			require.NoError(t, stop())
		}
		cancel()
	})
	require.NotEmpty(t, address, "it ended: %q", lines)
	return address, lines, stop
}

// surf is a browser without scripts: it follows redirects and keeps cookies.
func surf(t *testing.T) func(target string, form url.Values) (string, *http.Response) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	return func(target string, form url.Values) (string, *http.Response) {
		t.Helper()
		ask := client.Get
		if form != nil {
			ask = func(target string) (*http.Response, error) { return client.PostForm(target, form) }
		}
		answer, err := ask(target)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return string(body), answer
	}
}

// wholeWay goes from the first page to the accounts, over HTTP, and returns where the login page
// was.
func wholeWay(
	t *testing.T, visit func(string, url.Values) (string, *http.Response), address string,
) (loginHost string) {
	t.Helper()
	first, _ := visit(address, nil)
	form := formField.FindStringSubmatch(first)
	require.NotNil(t, form, first)
	waiting, _ := visit(address+"/connections", url.Values{"form": {form[1]}, "source": {"GAWA"}})
	link := loginLink.FindStringSubmatch(waiting)
	require.NotNil(t, link, waiting)
	accounts, answer := visit(link[1], url.Values{"action": {"sign-in"}, "username": {duolinktest.RequiredUsername}})
	require.Equal(t, 200, answer.StatusCode)
	require.Contains(t, accounts, "Google Analytics 4 is connected")
	require.Contains(t, accounts, "Example Store")
	require.True(t, strings.HasPrefix(answer.Request.URL.String(), address+"/connections/"), "back at the service")
	require.Empty(t, answer.Request.URL.RawQuery)
	u, err := url.Parse(link[1])
	require.NoError(t, err)
	return u.Host
}

func TestFromACleanClone(t *testing.T) {
	address, lines, stop := start(t, nil)
	require.Contains(t, lines[0], "against the sandbox")
	require.Equal(t, strings.TrimPrefix(address, "http://"), wholeWay(t, surf(t), address), "one address for both")
	first, _ := surf(t)(address, nil)
	require.Contains(t, first, "Sandbox: nothing here is real.")
	require.NoError(t, stop())
	_, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	require.Error(t, err, "the port is free again")
}

// The program ends and begins again, also the sandbox in it, and the connection is still there.
func TestAgain(t *testing.T) {
	t.Chdir(t.TempDir())
	visit := surf(t)
	for i, want := range []string{"Continue", "Google Analytics 4"} {
		address, lines, stop := start(t, nil, "-db", "")
		require.Contains(t, strings.Join(lines, "\n"), "connect-sandbox.db")
		first, _ := visit(address, nil)
		require.Contains(t, first, want)
		require.Equal(t, i, strings.Count(first, `class="state connected"`))
		if i == 0 {
			wholeWay(t, visit, address)
		} else {
			path := regexp.MustCompile(`/connections/[0-9a-f]+`).FindString(first)
			accounts, _ := visit(address+path, nil)
			require.Contains(t, accounts, "Example Store")
		}
		require.NoError(t, stop())
	}
	_, lines, stop := start(t, map[string]string{"SUPERMETRICS_API_KEY": "api_mine_0001"}, "-db", "")
	require.Contains(t, strings.Join(lines, "\n"), "connect.db", "another API has another file")
	require.NoError(t, stop())
	files, err := filepath.Glob("*")
	require.NoError(t, err)
	require.Equal(t, []string{"connect-sandbox.db", "connect.db"}, files)
}

// Nobody listens where the API should be.
func TestNobodyThere(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, nobody.Close())
	address, _, _ := start(t, map[string]string{
		"SUPERMETRICS_API_KEY": "api_mine_0001", "SUPERMETRICS_BASE_URL": "http://" + nobody.Addr().String() + "/v2",
	})
	visit := surf(t)
	first, _ := visit(address, nil)
	form := formField.FindStringSubmatch(first)
	require.NotNil(t, form)
	down, answer := visit(address+"/connections", url.Values{"form": {form[1]}, "source": {"GAWA"}})
	require.Equal(t, http.StatusBadGateway, answer.StatusCode)
	require.Contains(t, down, "We cannot get through at the moment")
	require.Contains(t, down, "Try again")
	require.NotContains(t, down, nobody.Addr().String())
}

func TestWithAKey(t *testing.T) {
	vendor := httptest.NewServer(
		duolinktest.New(t, duolinktest.WithLoginPages(""), duolinktest.WithAPIKey("api_mine_0001")))
	defer vendor.Close()
	address, lines, _ := start(t,
		map[string]string{"SUPERMETRICS_API_KEY": "api_mine_0001", "SUPERMETRICS_BASE_URL": vendor.URL + "/v2"})
	require.Contains(t, lines[0], "against the real API")
	require.NotContains(t, strings.Join(lines, "\n"), "api_mine")
	require.Equal(t, strings.TrimPrefix(vendor.URL, "http://"), wholeWay(t, surf(t), address))
	first, _ := surf(t)(address, nil)
	require.NotContains(t, first, "Sandbox")
	page, answer := surf(t)(address+"/login/x", nil)
	require.Equal(t, 404, answer.StatusCode)
	require.Contains(t, page, "There is nothing here", "the sandbox's pages are not here")
}

func TestPublicAddress(t *testing.T) {
	for given, want := range map[string]string{
		"https://connect.example.com/":     "https://connect.example.com",
		"https://Connect.example.com:443":  "https://connect.example.com",
		"http://connect.example.com:80":    "http://connect.example.com",
		"http://connect.example.com:443":   "http://connect.example.com:443",
		"https://connect.example.com:8443": "https://connect.example.com:8443",
	} {
		address, _, _ := start(t, nil, "-url", given)
		require.Equal(t, want, address)
	}
}

func TestBrowserAddress(t *testing.T) {
	for _, text := range []string{"0.0.0.0", "::"} {
		require.Equal(t, "127.0.0.1:80", browserAddress(&net.TCPAddr{IP: net.ParseIP(text), Port: 80}))
	}
	require.Equal(t, "[::1]:80", browserAddress(&net.TCPAddr{IP: net.IPv6loopback, Port: 80}))
	require.Equal(t, "192.0.2.1:80", browserAddress(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}))
}

func TestArguments(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = busy.Close() }()
	text := filepath.Join(t.TempDir(), "text.db")
	require.NoError(t, os.WriteFile(text, []byte("This is a text, and no database of any kind."), 0o600))
	for name, tc := range map[string]struct {
		args []string
		key  string
	}{
		"unknown flag":      {[]string{"-port", "8080"}, ""},
		"an argument":       {[]string{"8080"}, ""},
		"busy port":         {[]string{"-addr", busy.Addr().String()}, ""},
		"a path":            {[]string{"-addr", "127.0.0.1:0", "-url", "https://example.com/connect"}, ""},
		"no scheme":         {[]string{"-addr", "127.0.0.1:0", "-url", "example.com"}, ""},
		"another scheme":    {[]string{"-addr", "127.0.0.1:0", "-url", "ftp://example.com"}, ""},
		"a password":        {[]string{"-addr", "127.0.0.1:0", "-url", "https://a:b@example.com"}, ""},
		"an odd key":        {[]string{"-addr", "127.0.0.1:0"}, "api_CANARY\n1"},
		"no such directory": {[]string{"-addr", "127.0.0.1:0", "-db", filepath.Join(t.TempDir(), "none", "x.db")}, ""},
		"no database":       {[]string{"-addr", "127.0.0.1:0", "-db", text}, ""},
		"no port of ours":   {[]string{"-addr", "127.0.0.1:99999"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			args := append([]string{"-db", inMemory}, tc.args...)
			err := run(t.Context(), args, func(string) string { return tc.key }, &out, io.Discard)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "CANARY")
			require.Empty(t, out.String())
		})
	}
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"-h"}, func(string) string { return "" }, &out, io.Discard))
	require.Contains(t, out.String(), "-addr")
	require.Contains(t, out.String(), "-url")
	require.Contains(t, out.String(), "-db")
}
