package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// begin chooses a data source and ends at the page from which one leaves for it.
func (b *browser) begin(source, user string) {
	b.Helper()
	b.heading("Connect a data source")
	b.press(source)
	if user != "" {
		b.do(chromedp.SendKeys(chromedp.CSS("#user"), user))
	}
	b.press("Continue")
	b.heading("Sign in to " + source)
}

// signIn goes to the data source, signs in and comes back.
func (b *browser) signIn(source string) {
	b.Helper()
	b.press("Open the sign-in page")
	b.heading("You are signing in to " + source)
	b.press("Sign in")
	b.heading(source + " is connected")
	require.Empty(b, eval[string](b, `location.search`), "the verifier does not stay in the address")
}

func (b *browser) text() string { return eval[string](b, `document.body.innerText`) }

func TestWholeWay(t *testing.T) {
	for name, width := range map[string]int64{"desktop": desktop, "phone": phone, "small phone": 320} {
		t.Run(name, func(t *testing.T) {
			b := open(t, service(t), width)
			b.begin("Google Ads", "")
			require.Contains(t, b.text(), "Waiting for you to sign in to Google Ads.")
			b.signIn("Google Ads")
			for _, want := range []string{
				"Jordan Example", "jordan@example.com", "260", "1 to 100 of 260", "Account 100\n",
			} {
				require.Contains(t, b.text(), want)
			}
			require.EqualValues(t, 100, eval[int](b, `document.querySelectorAll("tbody tr").length`))
			for _, shown := range []string{"101 to 200", "201 to 260"} {
				b.press("Next")
				b.until(`document.querySelector(".steps").innerText.includes("` + shown + ` of 260")`)
			}
			require.Contains(t, b.text(), "Account 260\n")
			b.press("Previous")
			b.until(`document.querySelector(".steps").innerText.includes("101 to 200 of 260")`)
			b.press("Revoke access")
			b.heading("Revoke access to Google Ads?")
			b.press("Keep it")
			b.heading("Google Ads is connected")
			b.press("Revoke access")
			b.heading("Revoke access to Google Ads?")
			b.press("Revoke access")
			b.heading("Access revoked")
			b.press("Choose another")
			b.heading("Connect a data source")
			require.Contains(t, b.text(), "Revoked")
		})
	}
}

// tabTo moves the focus to what says this text, forward only, and sees to it that one sees where it
// is.
func (b *browser) tabTo(text string) {
	b.Helper()
	for range 20 {
		b.do(chromedp.KeyEvent(kb.Tab))
		// A choice is its whole card: the outline is around that.
		require.True(b, eval[bool](b, `(() => {
			const e = document.activeElement, card = e.closest("label");
			return [e, card].some(x => x && getComputedStyle(x).outlineStyle !== "none" && `+
			`parseFloat(getComputedStyle(x).outlineWidth) >= 2);
		})()`), "the focus is not visible on the way to %s", text)
		at := eval[string](b,
			`(e => e.labels?.length ? e.labels[0].innerText.split("\n")[0] : e.innerText ?? "")`+
				`(document.activeElement)`)
		if strings.TrimSpace(at) == text {
			return
		}
	}
	require.FailNow(b, "the keyboard does not get there", "%s at %s", text, b.look())
}

func TestKeyboardOnly(t *testing.T) {
	b := open(t, service(t), desktop)
	enter := func(text string) {
		t.Helper()
		b.tabTo(text)
		b.do(chromedp.KeyEvent(kb.Enter))
	}
	b.heading("Connect a data source")
	enter("Skip to the content")
	b.until(`document.activeElement.id === "main"`)
	b.tabTo("Google Ads")
	b.do(chromedp.KeyEvent(" "), chromedp.KeyEvent(kb.ArrowDown))
	require.Equal(t, "GAWA", eval[string](b, `document.querySelector("input:checked").value`))
	b.tabTo("Only this user (optional)")
	b.do(chromedp.KeyEvent("avery+ads@example.com"))
	enter("Continue")
	b.heading("Sign in to Google Analytics 4")
	enter("Open the sign-in page")
	b.heading("You are signing in to Google Analytics 4")
	enter("Sign in")
	b.heading("Google Analytics 4 is connected")
	require.Contains(t, b.text(), "Example Store")
	enter("Revoke access")
	b.heading("Revoke access to Google Analytics 4?")
	enter("Revoke access")
	b.heading("Access revoked")
}

func TestNothingChosen(t *testing.T) {
	b := open(t, service(t), phone)
	b.heading("Connect a data source")
	b.press("Continue")
	b.until(`document.querySelector("input:invalid")`)
	b.heading("Connect a data source")
}

func TestRefusedLogin(t *testing.T) {
	b := open(t, service(t), phone)
	b.begin("Google Ads", "sam@example.com")
	b.press("Open the sign-in page")
	b.heading("You are signing in to Google Ads")
	b.expect(403)
	b.press("Sign in as a wrong user")
	b.until(`document.querySelector("[role=alert]")?.innerText.includes("another user than somebody.else@example.com")`)
	b.press("Refuse")
	b.heading("Nothing has happened")
	b.press("Back to " + strings.TrimPrefix(b.base, "http://"))
	b.heading("Connect a data source")
	require.Contains(t, b.text(), "Waiting for sign-in")
	b.do(chromedp.Click(chromedp.CSS(".list a")))
	b.heading("Sign in to Google Ads")
	require.Contains(t, b.text(), "Refused, or closed that page? Then nothing has happened, and you can open it again.")
	b.press("Check again")
	b.heading("Sign in to Google Ads")
	b.signIn("Google Ads")
	require.Contains(t, b.text(), "sam@example.com")
}

func TestForgedRedirect(t *testing.T) {
	b := open(t, service(t), phone)
	b.begin("Facebook Ads", "")
	id := eval[string](b, `location.pathname.split("/").pop()`)
	for _, query := range []string{
		"", "?redirect_verifier=" + strings.Repeat("A", 32), "?redirect_verifier=a&redirect_verifier=b",
	} {
		b.expect(403)
		b.do(chromedp.Navigate(b.base + "/connected/" + id + query))
		b.heading("This is not the way back from Facebook Ads")
		require.Contains(t, b.text(), "Nothing was confirmed and nothing was changed.")
	}
	b.press("Back to the connection")
	b.heading("Sign in to Facebook Ads")

	stranger := open(t, b.base, phone)
	stranger.heading("Connect a data source")
	stranger.expect(404)
	stranger.do(chromedp.Navigate(b.base + "/connections/" + id))
	stranger.heading("We do not know this connection")
}

// The page notices by itself that the link has expired, and the data source's page says so too.
func TestExpiredLink(t *testing.T) {
	fake, base := vendor(t)
	b := open(t, base, phone)
	b.begin("Google Ads", "")
	there := eval[string](b, `document.querySelector("a.primary").href`)
	links := fake.LoginLinks()
	fake.ExpireLink(links[len(links)-1].ID)
	b.heading("The sign-in link has expired")
	b.expect(410)
	b.do(chromedp.Navigate(there))
	b.heading("This link is over")
	address, err := url.Parse(base)
	require.NoError(t, err)
	b.press("Back to " + address.Host)
	b.heading("Connect a data source")
	require.Contains(t, b.text(), "Link expired")
	b.do(chromedp.Click(chromedp.CSS(".list a")))
	b.heading("The sign-in link has expired")
	b.press("Get a new link")
	b.heading("Sign in to Google Ads")
	b.signIn("Google Ads")
}

// Somebody signs in on another device: the page goes on without being touched.
func TestSignInElsewhere(t *testing.T) {
	fake, base := vendor(t)
	b := open(t, base, desktop)
	b.begin("Google Search Console", "")
	links := fake.LoginLinks()
	fake.CompleteLogin(links[len(links)-1].ID, "avery@example.com")
	b.heading("Google Search Console is connected")
}

func TestCancel(t *testing.T) {
	b := open(t, service(t), phone)
	b.begin("Google Ads", "")
	b.press("Cancel")
	b.heading("The sign-in was cancelled")
	require.Contains(t, b.text(), fmt.Sprintf("The link to %s is closed, and nothing was connected.", "Google Ads"))
}
