package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink/duolinktest"
)

// height is that of the first element that a selector finds, in pixels.
func (b *browser) height(selector string) float64 {
	b.Helper()
	return eval[float64](b, fmt.Sprintf(`document.querySelector(%q).getBoundingClientRect().height`, selector))
}

// reload looks at the page again, whose status may be an error now.
func (b *browser) reload() {
	b.Helper()
	b.do(chromedp.Navigate(eval[string](b, `location.href`)))
}

// The card of a connection has one height, whatever becomes of the connection.
func TestCardKeepsItsHeight(t *testing.T) {
	for _, width := range []int64{320, phone, desktop} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			fake, base := vendor(t)
			b := open(t, base, width)
			b.begin("Google Ads", "jordan@example.com")
			card, status := b.height(".connection"), b.height(".status")
			same := func(state string) {
				t.Helper()
				require.InDelta(t, card, b.height(".connection"), 0.5, state)
				require.InDelta(t, status, b.height(".status"), 0.5, state)
			}
			fake.Script(duolinktest.Fault{Operation: "links.get", Status: 503, Times: -1})
			b.until(`document.querySelector(".status.down")`)
			same("waiting, and the API is down")
			fake.ClearScript()
			b.until(`document.querySelector(".status.waiting")`)
			b.do(chromedp.Click(chromedp.CSS(".brand")))
			b.heading("Connect a data source")
			row := b.height(".list li")
			b.do(chromedp.Click(chromedp.CSS(".list a")))
			b.heading("Sign in to Google Ads")
			b.signIn("Google Ads")
			same("connected")
			fake.Script(duolinktest.Fault{Operation: "logins.accounts", Status: 503, Times: -1})
			b.expect(502)
			b.reload()
			b.heading("Google Ads")
			same("connected, and the API is down")
			fake.ClearScript()
			b.do(chromedp.Click(chromedp.CSS(".brand")))
			b.heading("Connect a data source")
			require.InDelta(t, row, b.height(".list li"), 0.5, "in the list")
			b.do(chromedp.Click(chromedp.CSS(".list a")))
			b.heading("Google Ads is connected")
			b.press("Revoke access")
			b.heading("Revoke access to Google Ads?")
			b.press("Revoke access")
			b.heading("Access revoked")
			same("revoked")
		})
	}
}

// An API that is down looks down, where a link is to be made and where accounts are to be seen. What
// was chosen need not be chosen again.
func TestDown(t *testing.T) {
	fake, base := vendor(t)
	b := open(t, base, phone)
	b.heading("Connect a data source")
	fake.Script(duolinktest.Fault{Status: 503, Times: -1})
	b.press("Facebook Ads")
	b.expect(502)
	b.press("Continue")
	b.heading("Facebook Ads")
	require.Contains(t, b.text(), "We cannot get through at the moment.")
	b.expect(502)
	eval[bool](b, `window.old = true`) // the page that comes looks the same
	b.press("Try again")
	b.until(`!window.old && performance.getEntriesByType("navigation")[0].responseStatus === 502`)
	b.heading("Facebook Ads")
	b.press("Choose another")
	b.heading("Connect a data source")
	require.Equal(t, "FB", eval[string](b, `document.querySelector("input:checked").value`))
	require.Contains(t, b.text(), "No link yet")
	b.do(chromedp.Click(chromedp.CSS(".list a")))
	b.heading("Facebook Ads")
	fake.ClearScript()
	b.press("Get the link")
	b.heading("Sign in to Facebook Ads")
	b.signIn("Facebook Ads")
}

// The service ends and begins again while the person is at the data source. The person sees nothing
// of it.
func TestRestart(t *testing.T) {
	fake := duolinktest.New(t, duolinktest.WithLoginPages(""))
	target := make(chan *url.URL, 1) // where the service is
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		at := <-target
		target <- at
		r.SetURL(at)
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(front.Close)
	file := filepath.Join(t.TempDir(), "connect.db")
	begin := func() (stop func()) {
		t.Helper()
		address, stop := launch(t, leadsTo(fake), "-db", file, "-url", front.URL)
		target <- &url.URL{Scheme: "http", Host: address}
		return stop
	}
	stop := begin()
	b := open(t, front.URL, phone)
	b.begin("Google Ads", "jordan@example.com")
	b.press("Open the sign-in page")
	b.heading("You are signing in to Google Ads")
	stop()
	<-target
	stop = begin()
	b.press("Sign in")
	b.heading("Google Ads is connected")
	stop()
	<-target
	stop = begin()
	defer stop()
	b.reload()
	b.heading("Google Ads is connected")
	require.Equal(t, http.StatusOK, eval[int](b, `performance.getEntriesByType("navigation")[0].responseStatus`))
	require.Contains(t, b.text(), "jordan@example.com")
}
