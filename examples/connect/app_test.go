package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink/duolinktest"
)

func TestWholeWay(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		first := p.send("/", nil)
		for _, s := range sources {
			require.Contains(t, first.text, s.Name)
		}
		path, waiting := p.begin("AW", "")
		require.Contains(t, waiting.text, "Sign in to Google Ads")
		require.Contains(t, waiting.text, "Waiting for you to sign in to Google Ads.")
		require.Contains(t, waiting.text, `role="status"`)

		redirect := p.signIn(waiting, "jordan@example.com")
		require.True(t, strings.HasPrefix(redirect, home+"/connected/"), redirect)
		back := p.send(redirect, nil)
		require.Equal(t, path, back.location, "the verifier leaves the address")
		require.Equal(t, "no-referrer", back.header.Get("Referrer-Policy"))
		accounts := p.follow(back)
		for _, want := range []string{
			"Google Ads is connected", "Jordan Example", "jordan@example.com", "1 to 100 of 260", "Account 100<",
		} {
			require.Contains(t, accounts.text, want)
		}
		require.NotContains(t, accounts.text, "Account 101<")
		require.Contains(t, p.send("/", nil).text, "Connected")

		ask := p.send(path+"/revoke", nil)
		require.Contains(t, ask.text, "Revoke access to Google Ads?")
		require.True(t, f.newestLogin().RevokedTime.IsZero(), "asking ends nothing")
		revoked := p.follow(p.send(path+"/revoke", url.Values{}))
		require.Contains(t, revoked.text, "Access revoked")
		require.False(t, f.newestLogin().RevokedTime.IsZero())
		require.Contains(t, p.send("/", nil).text, "Revoked")
		require.Equal(t, path, p.send(path+"/revoke", nil).location, "there is nothing left to ask")
		p.learnNothing("Jordan Example", "jordan@example.com")
	})
}

// Somebody who signs in on another device comes back to none of our pages; the waiting page finds
// out by itself.
func TestSignInElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, _ := p.begin("GAWA", "")
		require.JSONEq(t, `{"state":"waiting","text":"Waiting for you to sign in to Google Analytics 4.","down":false}`,
			p.send(path+"/status", nil).text)
		f.vendor.CompleteLogin(f.newest().ID, "avery+ads@example.com")
		f.pass(time.Minute)
		require.JSONEq(t, `{"state":"connected","text":"","down":false}`, p.send(path+"/status", nil).text)
		require.Contains(t, p.send(path, nil).text, "Google Analytics 4 is connected")
	})
}

func TestForgedRedirect(t *testing.T) {
	for name, forge := range map[string]func(verifier string) string{
		"nothing":           func(string) string { return "" },
		"empty":             func(string) string { return "?redirect_verifier=" },
		"made up":           func(string) string { return "?redirect_verifier=x" },
		"longer":            func(v string) string { return "?redirect_verifier=" + v + "x" },
		"another case":      func(v string) string { return "?redirect_verifier=" + strings.ToLower(v) },
		"twice":             func(v string) string { return "?redirect_verifier=" + v + "&redirect_verifier=" + v },
		"twice, one right":  func(v string) string { return "?redirect_verifier=" + v + "&redirect_verifier=x" },
		"another parameter": func(v string) string { return "?verifier=" + v },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fixture) {
				p := f.person()
				path, _ := p.begin("FB", "")
				target := strings.Replace(path, "/connections/", "/connected/", 1) + forge(f.verifier())
				got := p.send(target, nil)
				require.Equal(t, http.StatusForbidden, got.status)
				require.Contains(t, got.text, "This is not the way back from Facebook Ads")
				require.Contains(t, got.text, "Nothing was confirmed")
				require.Contains(t, got.text, `href="`+path+`"`)
				require.NotContains(t, got.text, f.verifier())
				require.Equal(t, "no-referrer", got.header.Get("Referrer-Policy"))
				require.Contains(t, p.send(path, nil).text, "Sign in to Facebook Ads")
				require.Equal(t, "OPEN", f.newest().Status)

				f.vendor.CompleteLogin(f.newest().ID, "1000000000000042")
				require.Equal(t, http.StatusForbidden, p.send(target, nil).status, "also where there is a login")
			})
		})
	}
}

// The right redirect before the login has arrived: the page waits, and nothing is confirmed yet.
func TestEarlyRedirect(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, _ := p.begin("GW", "")
		back := strings.Replace(path, "/connections/", "/connected/", 1) + "?redirect_verifier=" + f.verifier()
		got := p.send(back, nil)
		require.Equal(t, path, got.location)
		require.Contains(t, p.follow(got).text, "Sign in to Google Search Console")
		f.vendor.CompleteLogin(f.newest().ID, "avery@example.com")
		require.Contains(t, p.follow(p.send(back, nil)).text, "Google Search Console is connected")
	})
}

func TestRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, waiting := p.begin("GAWA", " avery+ads@example.com ")
		require.Contains(t, waiting.text, "<b>avery+ads@example.com</b>")
		there := waiting.find(t, loginLink)
		refused := p.send(there, url.Values{"action": {"refuse"}})
		require.Equal(t, 200, refused.status)
		require.Contains(t, refused.text, "Nothing has happened")
		wrong := p.send(there, url.Values{"action": {"other"}})
		require.Equal(t, http.StatusForbidden, wrong.status)
		f.pass(time.Minute)

		again := p.send(path, nil)
		require.Contains(t, again.text,
			"Refused, or closed that page? Then nothing has happened, and you can open it again.")
		require.Contains(t, p.follow(p.send(p.signIn(again, "avery+ads@example.com"), nil)).text, "Example Store")
	})
}

func TestExpiredLink(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, waiting := p.begin("AW", "jordan@example.com")
		f.vendor.ExpireLink(f.newest().ID)
		require.Equal(t, http.StatusGone, p.send(waiting.find(t, loginLink), nil).status)
		f.pass(15 * time.Second)
		require.JSONEq(t, `{"state":"expired","text":"","down":false}`, p.send(path+"/status", nil).text)
		over := p.send(path, nil)
		require.Contains(t, over.text, "The sign-in link has expired")
		f.pass(5 * time.Minute)

		again := p.send("/connections",
			url.Values{"form": {over.find(t, formField)}, "source": {"AW"}, "user": {"jordan@example.com"}})
		require.NotEqual(t, path, again.location)
		require.Contains(t, p.follow(again).text, "<b>jordan@example.com</b>")
		require.Contains(t, over.text, `name="user" value="jordan@example.com"`)
		require.Equal(t, "OPEN", f.newest().Status)
	})
}

func TestCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, _ := p.begin("AW", "")
		require.Equal(t, path, p.send(path+"/revoke", url.Values{}).location)
		require.Zero(t, f.vendor.Count("logins.revoke"), "there is no login yet")
		over := p.follow(p.send(path+"/cancel", url.Values{}))
		require.Contains(t, over.text, "The sign-in was cancelled")
		require.Equal(t, "CLOSED", f.newest().Status)
		require.Equal(t, path, p.send(path+"/cancel", url.Values{}).location, "twice is no harm")

		// A sign-in that had begun before counts: the login is there.
		f.vendor.CompleteLogin(f.newest().ID, "sam@example.com")
		f.pass(time.Minute)
		require.Contains(t, p.send(path, nil).text, "Google Ads is connected")
	})
}

func TestRevokedElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, waiting := p.begin("AW", "")
		p.send(p.signIn(waiting, "jordan@example.com"), nil)
		_, err := f.app.client.Logins.Revoke(t.Context(), f.newest().LoginID)
		require.NoError(t, err)
		require.Contains(t, p.follow(p.send(path, nil)).text, "Access revoked")
	})
}

// Forms of other sites, and requests that say nothing of where they come from and have no cookie,
// change nothing.
func TestForeignForms(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, waiting := p.begin("AW", "")
		p.send(p.signIn(waiting, "jordan@example.com"), nil)
		other, _ := p.begin("FB", "")
		links := f.vendor.LoginLinks()
		for name, change := range map[string]func(*http.Request){
			"site":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"subdomain": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"origin": func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "https://evil.example.com")
			},
			"null": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
		} {
			for _, target := range []string{"/connections", path + "/revoke", other + "/cancel"} {
				got := p.send(target, url.Values{"form": {"x"}, "source": {"AW"}}, change)
				require.Equal(t, http.StatusForbidden, got.status, name)
				require.Contains(t, got.text, "Nothing was changed.")
			}
		}
		require.Equal(t, links, f.vendor.LoginLinks())
		require.True(t, f.newestLogin().RevokedTime.IsZero())

		got := f.person().send("/connections", url.Values{"form": {"x"}, "source": {"AW"}})
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.text, "Your browser sent no cookie")
		require.Equal(t, links, f.vendor.LoginLinks())
	})
}

// Nobody sees, confirms or ends what another browser has begun, even with its address and its
// verifier.
func TestIsolation(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		owner, stranger, nobody := f.person(), f.person(), f.person()
		stranger.send("/", nil)
		path, waiting := owner.begin("AW", "")
		redirect := owner.signIn(waiting, "jordan@example.com")
		form := url.Values{"form": {"the same"}, "source": {"FB"}}
		require.Equal(t, http.StatusSeeOther, owner.send("/connections", form).status)
		own := stranger.send("/connections", form)
		require.Equal(t, http.StatusSeeOther, own.status, "the same form of another browser is another connection")
		require.Equal(t, http.StatusNotFound, owner.send(own.location, nil).status)
		for _, p := range []*person{stranger, nobody} {
			for _, target := range []string{path, path + "/revoke", redirect, path + "/status"} {
				got := p.send(target, nil)
				require.Equal(t, http.StatusNotFound, got.status, target)
				require.NotContains(t, got.text, "Google Ads")
				require.NotContains(t, got.text, "jordan")
			}
			for _, target := range []string{path + "/revoke", path + "/cancel"} {
				require.Equal(t, http.StatusNotFound, p.send(target, url.Values{}).status, target)
			}
		}
		require.NotContains(t, stranger.send("/", nil).text, path)
		require.Contains(t, owner.follow(owner.send(redirect, nil)).text, "Google Ads is connected")
	})
}

func TestSameFormTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		form := url.Values{"form": {p.send("/", nil).find(t, formField)}, "source": {"AW"}}
		links := len(f.vendor.LoginLinks())
		f.vendor.Script(duolinktest.Fault{Operation: "links.create", Delay: time.Second}) // both presses are under way
		presses := make([]page, 2)
		var group sync.WaitGroup
		for i := range presses {
			group.Go(func() { presses[i] = p.send("/connections", form) })
		}
		group.Wait()
		third := p.send("/connections", form)
		for _, press := range append(presses, third) {
			require.Equal(t, http.StatusSeeOther, press.status)
			require.Equal(t, third.location, press.location)
		}
		require.Len(t, f.vendor.LoginLinks(), links+1)
	})
}

// However many look, one wait goes on; it ends when nobody has looked for a while, and with the
// service.
func TestSharedWait(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		asked := func(viewers int) int {
			p := f.person()
			path, _ := p.begin("AW", "")
			before := f.vendor.Count("links.get")
			for range 60 {
				for range viewers {
					require.Equal(t, 200, p.send(path+"/status", nil).status)
				}
				f.pass(time.Second)
			}
			count := f.vendor.Count("links.get") - before
			f.pass(waitTime)
			return count
		}
		one := asked(1)
		require.Positive(t, one)
		require.InDelta(t, one, asked(20), 2, "the pauses between two looks are a little random")
		before := f.vendor.Count("links.get")
		f.pass(time.Hour)
		require.Equal(t, before, f.vendor.Count("links.get"), "nobody looks")
		p := f.person()
		p.begin("AW", "")
		f.app.waits.stop()
		synctest.Wait()
		before = f.vendor.Count("links.get")
		f.pass(time.Hour)
		require.Equal(t, before, f.vendor.Count("links.get"), "the service has ended")
	})
}
