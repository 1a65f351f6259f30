package main

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink/duolinktest"
)

// restarting runs a test with a service that keeps its connections in a file. Restart ends the
// service, and begins another with the same file.
func restarting(t *testing.T, test func(t *testing.T, f *fixture, restart func())) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "connect.db")
	inBubble(t, func(t *testing.T, f *fixture) {
		again := func() {
			f.end()
			f.begin(file)
		}
		again()
		test(t, f, again)
	})
}

// The service ends between the link and the person's way back, and nothing is lost.
func TestRestartBeforeTheWayBack(t *testing.T) {
	restarting(t, func(t *testing.T, f *fixture, restart func()) {
		p := f.person()
		path, waiting := p.begin("AW", "jordan@example.com")
		restart()
		require.Contains(t, p.send("/", nil).text, "Waiting for sign-in")
		still := p.send(path, nil)
		require.Equal(t, waiting.find(t, loginLink), still.find(t, loginLink))
		require.Contains(t, still.text, "<b>jordan@example.com</b>")

		redirect := p.signIn(still, "jordan@example.com")
		restart()

		require.Contains(t, p.follow(p.send(redirect, nil)).text, "Google Ads is connected")
		require.Equal(t, 1, f.vendor.Count("links.create"))
		restart()
		require.Contains(t, p.send(path, nil).text, "Google Ads is connected")
		require.Contains(t, p.follow(p.send(path+"/revoke", url.Values{})).text, "Access revoked")
		restart()
		require.Contains(t, p.send(path, nil).text, "Access revoked")
		require.Contains(t, p.send("/", nil).text, "Revoked")
	})
}

// The right verifier is asked for after a restart, too.
func TestForgedAfterRestart(t *testing.T) {
	restarting(t, func(t *testing.T, f *fixture, restart func()) {
		p, stranger := f.person(), f.person()
		_, waiting := p.begin("AW", "")
		redirect := p.signIn(waiting, "jordan@example.com")
		restart()
		require.Equal(t, 403, p.send(redirect+"x", nil).status)
		require.Equal(t, 404, stranger.send(redirect, nil).status)
		require.Contains(t, p.follow(p.send(redirect, nil)).text, "Google Ads is connected")
	})
}

// Somebody who signs in while the service is not there has signed in.
func TestSignInWhileAway(t *testing.T) {
	restarting(t, func(t *testing.T, f *fixture, restart func()) {
		p := f.person()
		path, _ := p.begin("GAWA", "")
		f.vendor.CompleteLogin(f.newest().ID, "avery+ads@example.com")
		restart()
		p.send(path, nil)
		f.pass(time.Second)
		require.Contains(t, p.send(path, nil).text, "Google Analytics 4 is connected")
	})
}

// The link was made, but its answer was lost, and then the service ended: the next try finds it.
func TestRestartAfterALostAnswer(t *testing.T) {
	restarting(t, func(t *testing.T, f *fixture, restart func()) {
		p := f.person()
		form := p.send("/", nil).find(t, formField)
		links := len(f.vendor.LoginLinks())
		f.loseTheAnswer()
		lost := p.send("/connections", url.Values{"form": {form}, "source": {"FB"}, "user": {"1000000000000042"}})
		require.Equal(t, 502, lost.status)
		require.Len(t, f.vendor.LoginLinks(), links+1)
		f.vendor.ClearScript()
		restart()

		first := p.send("/", nil)
		require.Contains(t, first.text, "No link yet")
		require.Contains(t, first.html, `value="FB" required checked`)
		require.Contains(t, first.html, `name="user" type="text" value="1000000000000042"`)
		begun := p.send(strings.TrimSuffix(lost.find(t, postedTo), "/link"), nil)
		require.Equal(t, 200, begun.status)
		require.Contains(t, begun.text, "There is no sign-in link yet.")
		waiting := p.follow(p.send(begun.find(t, postedTo), url.Values{}))
		require.Contains(t, waiting.text, "Sign in to Facebook Ads")
		require.Len(t, f.vendor.LoginLinks(), links+1, "the one that was made, and no other")
	})
}

// The sandbox in the process ends with it. The next one knows the links and logins again.
func TestSandboxIsRecalled(t *testing.T) {
	restarting(t, func(t *testing.T, f *fixture, restart func()) {
		p := f.person()
		restartBoth := func() {
			all, err := f.kept.All(t.Context())
			require.NoError(t, err)
			f.vendor = duolinktest.New(t, duolinktest.WithLoginPages(home))
			recall(f.vendor, f.base, all)
			restart()
		}
		connected, waiting := p.begin("AW", "")
		p.send(p.signIn(waiting, "jordan@example.com"), nil)
		revoked, waiting := p.begin("GAWA", "")
		p.send(p.signIn(waiting, "avery+ads@example.com"), nil)
		p.send(revoked+"/revoke", url.Values{})
		closed, _ := p.begin("FB", "")
		p.send(closed+"/cancel", url.Values{})
		open, _ := p.begin("GW", "")
		restartBoth()

		accounts := p.send(connected, nil).text
		require.Contains(t, accounts, "Jordan Example")
		require.Contains(t, accounts, "1 to 100 of 260")
		require.Contains(t, p.send(revoked, nil).text, "Access revoked")
		require.Contains(t, p.send(closed, nil).text, "The sign-in was cancelled")
		redirect := p.signIn(p.send(open, nil), "avery@example.com")
		require.Contains(t, p.follow(p.send(redirect, nil)).text, "Google Search Console is connected")
		_, another := p.begin("AW", "")
		redirect = p.signIn(another, "jordan@example.com")
		require.Contains(t, p.follow(p.send(redirect, nil)).text, "Google Ads is connected")
		restartBoth()
		require.Contains(t, p.send(connected, nil).text, "Google Ads is connected")
	})
}
