package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink/duolinktest"
)

// internals are words that people who connect an account have no use for.
var internals = []string{
	"duolink", "links.", "logins.", "LINK_", "API_KEY", "Bearer", "goroutine", "sandbox.invalid", "%!",
}

func plain(t *testing.T, p page) {
	t.Helper()
	for _, word := range internals {
		require.NotContains(t, p.text, word)
	}
}

func TestProblems(t *testing.T) {
	fault := func(status int, body string, header ...string) duolinktest.Fault {
		f := duolinktest.Fault{Status: status, Body: body, Times: -1, Header: http.Header{}}
		for i := 0; i+1 < len(header); i += 2 {
			f.Header.Set(header[i], header[i+1])
		}
		return f
	}
	const envelope = `{"meta":{"request_id":"req_0123456789"},` +
		`"error":{"code":"CODE","message":"the server's own words"}}`
	code := func(c string) string { return strings.Replace(envelope, "CODE", c, 1) }
	// What the log says, and the page does not.
	reasons := map[string]string{
		"server": `error.message="the server's own words" error.kind="server error"`,
		"drop":   `error.message="connection failed"`, "silence": `the caller's deadline`,
		"limit": `error.retry_after=1h0m0s`, "permission": "error.kind=forbidden error.action=\"ask permission\"",
	}
	for name, tc := range map[string]struct {
		fault  duolinktest.Fault
		status int
		want   []string
	}{
		"server": {
			fault(503, code("SERVICE_UNAVAILABLE")), 502,
			[]string{"We cannot get through at the moment", "req_0123456789"},
		},
		"no JSON": {fault(500, "<html>oops</html>"), 502, []string{"We cannot get through at the moment"}},
		"drop": {
			duolinktest.Fault{DropBefore: true, Times: -1}, 502, []string{"We cannot get through at the moment"},
		},
		"silence": {
			duolinktest.Fault{Delay: time.Hour, Times: -1}, 502, []string{"We cannot get through at the moment"},
		},
		"limit": {
			fault(429, code("TOO_MANY_REQUESTS"), "Retry-After", "3600"), 503,
			[]string{"We have to slow down.", "in 60 minutes"},
		},
		"key": {
			fault(401, code("API_KEY_INVALID")), 502,
			[]string{"This service is not set up correctly", "req_0123456789"},
		},
		"permission": {fault(403, code("FORBIDDEN")), 502, []string{"This service is not set up correctly"}},
		"quota": {
			fault(403, `{"error":"LINK_LIMIT_EXCEEDED","message":"the server's own words"}`), 503,
			[]string{"Too many sign-ins are open"},
		},
		"refused": {fault(422, code("UNPROCESSABLE_ENTITY")), 422, []string{"That was not accepted"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fixture) {
				p := f.person()
				form := p.send("/", nil).find(t, formField)
				f.vendor.Script(tc.fault)
				start, links := time.Now(), len(f.vendor.LoginLinks())
				got := p.send("/connections", url.Values{"form": {form}, "source": {"AW"}})
				require.Equal(t, tc.status, got.status, got.text)
				require.LessOrEqual(t, time.Since(start), callTime)
				for _, want := range tc.want {
					require.Contains(t, got.text, want)
				}
				plain(t, got)
				require.NotContains(t, got.text, "own words")
				logged := f.logs.String()
				require.Contains(t, logged, "error.message=", "the reason is in the log")
				require.Contains(t, logged, "error.action=")
				require.Contains(t, logged, reasons[name])
				require.NotContains(t, logged, `=""`, "what is empty is left out")
				require.Contains(t, got.html, `class="status down"`, "it looks down")
				first := p.send("/", nil)
				require.Contains(t, first.text, "No link yet")
				require.Contains(t, first.html, `value="AW" required checked`, "the choice is kept")

				f.vendor.ClearScript()
				f.pass(2 * time.Hour)
				require.Contains(t, got.text, ">Try again</button>")
				again := p.send(got.find(t, postedTo), url.Values{})
				require.Contains(t, p.follow(again).text, "Sign in to Google Ads")
				require.Equal(t, again.location,
					p.send("/connections", url.Values{"form": {form}, "source": {"AW"}}).location, "so does the form")
				require.Len(t, f.vendor.LoginLinks(), links+1)
			})
		})
	}
}

// What is gone is gone: of a link that is no longer there nothing needs to be closed, and a login
// without accounts says so.
func TestGone(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, _ := p.begin("AW", "")
		f.vendor.Script(duolinktest.Fault{Operation: "links.close", Status: 404, Body: `{"error":"LINK_NOT_FOUND"}`})
		require.Contains(t, p.follow(p.send(path+"/cancel", url.Values{})).text, "The sign-in was cancelled")

		path, waiting := p.begin("AW", "")
		f.vendor.Script(duolinktest.Fault{Operation: "logins.accounts", Status: 404,
			Body: `{"error":{"code":"NOT_FOUND"}}`})
		got := p.send(p.send(p.signIn(waiting, "jordan@example.com"), nil).location, nil)
		require.Equal(t, http.StatusNotFound, got.status)
		require.Contains(t, got.text, "It is gone")
		require.Contains(t, p.send(path, nil).text, "Google Ads is connected", "another look finds it")

		f.vendor.Script(duolinktest.Fault{Operation: "logins.revoke", Status: 404, Code: "NOT_FOUND"})
		require.Contains(t, p.follow(p.send(path+"/revoke", url.Values{})).text, "Access revoked")
	})
}

// What goes wrong while the page waits is said there, and the wait goes on.
func TestTroubleWhileWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		f.vendor.Script(duolinktest.Fault{Operation: "links.get", Status: 503, Times: -1})
		path, _ := p.begin("AW", "")
		f.pass(10 * time.Second)
		trouble := p.send(path+"/status", nil)
		require.Contains(t, trouble.text, `"state":"waiting"`)
		require.Contains(t, trouble.text, "This page keeps trying.")
		plain(t, trouble)
		f.vendor.ClearScript()
		f.pass(time.Minute)
		require.Contains(t, p.send(path+"/status", nil).text, "Waiting for you to sign in to Google Ads.")
	})
}

// A wait that cannot go on says why, and begins anew after a rest, not with every look.
func TestWaitThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		f.vendor.Script(duolinktest.Fault{
			Operation: "links.get", Status: 401, Body: `{"error":{"code":"API_KEY_INVALID"}}`, Times: -1,
		})
		path, _ := p.begin("AW", "")
		f.pass(time.Second)
		before := f.vendor.Count("links.get")
		for range 100 {
			require.Contains(t, p.send(path+"/status", nil).text, "This service is not set up correctly.")
		}
		require.Equal(t, before, f.vendor.Count("links.get"))
		f.vendor.ClearScript()
		f.pass(restTime)
		p.send(path, nil)
		f.pass(time.Second)
		require.Contains(t, p.send(path+"/status", nil).text, "Waiting for you")
	})
}

func TestChoices(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		form := p.send("/", nil).find(t, formField)
		links := f.vendor.LoginLinks()
		for name, tc := range map[string]struct {
			form url.Values
			want string
		}{
			"no source":      {url.Values{"form": {form}}, "Choose one of the data sources."},
			"unknown source": {url.Values{"form": {form}, "source": {"../x"}}, "Choose one of the data sources."},
			"no form":        {url.Values{"source": {"AW"}}, "The form was incomplete."},
			"long user": {
				url.Values{"form": {form}, "source": {"AW"}, "user": {strings.Repeat("ü", 256)}},
				"The username is too long.",
			},
			"huge": {
				url.Values{"form": {form}, "source": {"AW"}, "user": {strings.Repeat("a", 1<<20)}},
				"Choose one of the data sources.",
			},
		} {
			got := p.send("/connections", tc.form)
			require.Equal(t, http.StatusUnprocessableEntity, got.status, name)
			require.Contains(t, got.text, tc.want)
			require.Contains(t, got.text, `role="alert"`)
		}
		kept := p.send("/connections", url.Values{"source": {"FB"}, "user": {`"><script>`}})
		require.Contains(t, kept.html, `value="FB" required checked`)
		require.Contains(t, kept.html, `value="&#34;&gt;&lt;script&gt;"`)
		require.Equal(t, links, f.vendor.LoginLinks())
	})
}

func TestHeaders(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, _ := p.begin("AW", "")
		for target, status := range map[string]int{
			"/": 200, path: 200, path + "/status": 200, path + "/revoke": 303, "/nowhere": 404, "/connections/x": 404,
			"/connected/x":      404,
			"/assets/style.css": 200, "/assets/wait.js": 200, "/assets/icon.svg": 200, "/assets/": 404,
			"/assets/none.css": 404,
		} {
			got := p.send(target, nil)
			require.Equal(t, status, got.status, target)
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
				"Cross-Origin-Opener-Policy": "same-origin",
				"Content-Security-Policy":    policy,
			} {
				require.Equal(t, want, got.header.Get(name), target)
			}
			require.Contains(t, []string{"same-origin", "no-referrer"}, got.header.Get("Referrer-Policy"))
			require.NotContains(t, got.html, "<style")
			require.NotRegexp(t, `<script(>| [^s])|style="| on\w+="`, got.html)
			if !strings.HasPrefix(target, "/assets/") {
				require.Equal(t, "no-store", got.header.Get("Cache-Control"), target)
			}
		}
		cookie := f.person().send("/", nil).header.Get("Set-Cookie")
		for _, want := range []string{"session=", "HttpOnly", "SameSite=Lax", "Path=/"} {
			require.Contains(t, cookie, want)
		}
		require.NotContains(t, cookie, "Secure", "there is no TLS on loopback")
		f.app.base.Scheme = "https"
		got := f.person().send("/", nil)
		require.Contains(t, got.header.Get("Set-Cookie"), "__Host-session=")
		require.Contains(t, got.header.Get("Set-Cookie"), "Secure")
		require.NotEmpty(t, got.header.Get("Strict-Transport-Security"))
	})
}

func TestOtherHost(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		got := p.send("http://localhost:1/connections/x?a=1", nil)
		require.Equal(t, http.StatusTemporaryRedirect, got.status)
		require.Equal(t, home+"/connections/x?a=1", got.location)
		require.Equal(t, http.StatusMisdirectedRequest, p.send("http://localhost:1/connections", url.Values{}).status)
	})
}

func TestIn(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "in a moment", 0: "in a moment", 1500 * time.Millisecond: "in 2 seconds", time.Minute: "in 60 seconds",
		2 * time.Minute: "in 2 minutes", time.Hour: "in 60 minutes", 2 * time.Hour: "in 2 hours",
	} {
		require.Equal(t, want, in(d))
	}
}
