package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// downFaults are the ways in which an API is down, each with the status of our page.
var downFaults = map[string]struct {
	fault  duolinktest.Fault
	status int
}{
	"503":            {duolinktest.Fault{Status: 503, Times: -1}, 502},
	"503 for a time": {duolinktest.Fault{Status: 503, RetryAfter: time.Hour, Times: -1}, 503},
	"429":            {duolinktest.Fault{Status: 429, RetryAfter: time.Hour, Times: -1}, 503},
	"no answer":      {duolinktest.Fault{DropBefore: true, Times: -1}, 502},
	"half an answer": {duolinktest.Fault{Stall: true, Times: -1}, 502},
}

// downPages are the pages that need the API, each with the operation that it needs.
var downPages = map[string]struct {
	operation string
	ask       func(p *person, path string, signIn func() (redirect string)) page
	again     string // where the button leads
	heading   string // once the API is there again
}{
	"login": {
		"logins.get",
		func(p *person, _ string, signIn func() string) page { return p.follow(p.send(signIn(), nil)) },
		"", "Google Ads is connected",
	},
	"accounts": {
		"logins.accounts", func(p *person, path string, signIn func() string) page {
			p.send(signIn(), nil)
			return p.send(path+"?page=2", nil)
		},
		"?page=2", "101 to 200 of 260",
	},
	"redirect": {
		"links.get", func(p *person, _ string, signIn func() string) page { return p.send(signIn(), nil) },
		"", "Google Ads is connected",
	},
	"cancel": {
		"links.close",
		func(p *person, path string, _ func() string) page { return p.send(path+"/cancel", url.Values{}) },
		"/cancel", "The sign-in was cancelled",
	},
	"revoke": {
		"logins.revoke", func(p *person, path string, signIn func() string) page {
			p.send(signIn(), nil)
			return p.send(path+"/revoke", url.Values{})
		},
		"/revoke", "Revoke access to Google Ads?",
	},
}

// An API that is down looks down on every page that needs it, and the person can try again there.
func TestDown(t *testing.T) {
	for name, tc := range downPages {
		for kind, broken := range downFaults {
			t.Run(name+"/"+kind, func(t *testing.T) {
				inBubble(t, func(t *testing.T, f *fixture) {
					p := f.person()
					path, waiting := p.begin("AW", "")
					f.pass(time.Second) // the page has looked for a login
					signIn := func() string { return p.signIn(waiting, "jordan@example.com") }
					broken.fault.Operation = tc.operation
					f.vendor.Script(broken.fault)
					start := time.Now()
					got := tc.ask(p, path, signIn)
					require.LessOrEqual(t, time.Since(start), callTime)
					require.Equal(t, broken.status, got.status, got.text)
					require.Contains(t, got.html, `class="status down"`)
					require.NotContains(t, got.text, "is connected", "we do not know that now")
					require.Contains(t, got.text, ">Try again<")
					require.Contains(t, got.text, path+tc.again+`"`)
					require.Equal(t, broken.status == 503, got.header.Get("Retry-After") != "")
					plain(t, got)

					f.vendor.ClearScript()
					f.pass(2 * time.Hour)
					var form url.Values
					if strings.Contains(got.text, `method="post" action="`+path+tc.again+`"`) {
						form = url.Values{}
					}
					again := p.send(path+tc.again, form)
					if tc.operation == "links.get" { // the page waits
						f.pass(time.Minute)
						again = p.send(path, nil)
					}
					if again.status == http.StatusSeeOther {
						again = p.follow(again)
					}
					require.Contains(t, again.text, tc.heading)
					p.learnNothing("Jordan Example", "jordan@example.com")
				})
			})
		}
	}
}

// The page that waits says that it cannot see, too, and then that it can again.
func TestDownWhileWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		f.vendor.Script(duolinktest.Fault{Operation: "links.get", Status: 503, Times: -1})
		path, waiting := p.begin("AW", "")
		require.Contains(t, waiting.html, `class="status waiting"`)
		f.pass(10 * time.Second)
		require.Contains(t, p.send(path, nil).html, `class="status down"`)
		require.Contains(t, p.send(path+"/status", nil).text, `"down":true`)
		f.vendor.ClearScript()
		f.pass(time.Minute)
		require.Contains(t, p.send(path, nil).html, `class="status waiting"`)
		require.Contains(t, p.send(path+"/status", nil).text, `"down":false`)
	})
}

// What the person has chosen is chosen already when they come to the first page again, until it is
// connected.
func TestChoiceIsKept(t *testing.T) {
	const chosen = `value="FB" required checked`
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		require.NotContains(t, p.send("/", nil).html, "checked")
		path, waiting := p.begin("FB", "1000000000000042")
		refused := p.send(waiting.find(t, loginLink), url.Values{"action": {"refuse"}})
		require.Contains(t, refused.text, "Nothing has happened")
		kept := p.send("/", nil)
		require.Contains(t, kept.html, chosen)
		require.Contains(t, kept.html, `value="1000000000000042"`)
		p.send(path+"/cancel", url.Values{})
		require.Contains(t, p.send("/", nil).html, chosen)
		f.vendor.CompleteLogin(f.newest().ID, "1000000000000042")
		f.pass(time.Minute)
		require.NotContains(t, p.send("/", nil).html, "checked", "it is connected")
		require.NotContains(t, f.person().send("/", nil).html, "checked", "another person has chosen nothing")
	})
}

// A link that is over when the next try finds it is over on the page as well.
func TestFoundTooLate(t *testing.T) {
	for want, end := range map[string]func(f *fixture){
		"The sign-in link has expired": func(f *fixture) { f.vendor.ExpireLink(f.newest().ID) },
		"The sign-in was cancelled":    func(f *fixture) { f.vendor.RefuseLogin(f.newest().ID) },
	} {
		inBubble(t, func(t *testing.T, f *fixture) {
			p := f.person()
			form := p.send("/", nil).find(t, formField)
			f.loseTheAnswer()
			lost := p.send("/connections", url.Values{"form": {form}, "source": {"AW"}})
			require.Equal(t, 502, lost.status)
			end(f)
			f.vendor.ClearScript()
			f.pass(time.Minute)
			require.Contains(t, p.follow(p.send(lost.find(t, postedTo), url.Values{})).text, want)
		})
	}
}

// What has no link yet can be given up, without a request.
func TestCancelWithoutALink(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		form := p.send("/", nil).find(t, formField)
		f.vendor.Script(duolinktest.Fault{Status: 503, Times: -1})
		lost := p.send("/connections", url.Values{"form": {form}, "source": {"AW"}})
		path := strings.TrimSuffix(lost.find(t, postedTo), "/link")
		require.Contains(t, p.follow(p.send(path+"/cancel", url.Values{})).text, "The sign-in was cancelled")
		require.Equal(t, path, p.send(path+"/link", url.Values{}).location, "it stays cancelled")
		require.Contains(t, p.send(path, nil).text, "The sign-in was cancelled")
	})
}

// Every account can be reached, from page to page, whatever their number.
func TestPages(t *testing.T) {
	for _, total := range []int{0, 1, 100, 101, 260, 1000, 1001, 2345} {
		inBubble(t, func(t *testing.T, f *fixture) {
			accounts := make([]duolinktest.Account, total)
			for i := range accounts {
				id := strings.Repeat("x", i+1)
				accounts[i] = duolinktest.Account{ID: id, Name: "Account", Group: "Group"}
			}
			p := f.person()
			path, _ := p.begin("AW", "")
			login := f.vendor.AddLogin(duolinktest.Login{DataSourceID: "AW", Accounts: accounts})
			done := &duolink.LoginLink{LoginID: login.ID}
			require.NoError(t, f.kept.Connect(t.Context(), f.only(p).ID, done))

			found, next := 0, path
			for steps := 0; next != ""; steps++ {
				require.LessOrEqual(t, steps, total/accountsShown+1)
				before := f.vendor.Count("logins.accounts")
				got := p.send(next, nil)
				require.Equal(t, 200, got.status)
				require.LessOrEqual(t, f.vendor.Count("logins.accounts")-before, 2)
				rows := accountRow.FindAllStringSubmatch(got.text, -1)
				for i, row := range rows {
					require.Len(t, row[1], found+i+1, "in their order, and each once")
				}
				found += len(rows)
				next = ""
				if more := nextPage.FindStringSubmatch(got.text); more != nil {
					next = strings.TrimSuffix(more[1], "#accounts")
				}
			}
			require.Equal(t, total, found)
		})
	}
}

// A page that is none leads to the first one.
func TestNoSuchPage(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		p := f.person()
		path, waiting := p.begin("AW", "")
		p.send(p.signIn(waiting, "jordan@example.com"), nil)
		for _, none := range []string{"0", "-1", "4", "11", "10000", "10001", "99999999999999999999", "x", "2x"} {
			require.Equal(t, path, p.send(path+"?page="+none, nil).location, none)
		}
		require.Contains(t, p.send(path+"?page=3", nil).text, "201 to 260 of 260")
	})
}
