package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"

	"github.com/duolink/duolink/duolinktest"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// page is the data of the template.
type page struct {
	URL, Go         string
	APIKey          string
	ClientID        string
	ClientSecret    string
	Logins          []duolinktest.Login
	LoginLinks      []duolinktest.LoginLink
	BankLinks       []duolinktest.BankLink
	Requests        []duolinktest.Request // the latest first
	Curls           []curl
	PendingFailures int
}

// shownRequests is how many of the latest requests the page lists.
const shownRequests = 20

func showPage(w http.ResponseWriter, fake *duolinktest.Server, url string) {
	p := page{
		URL: url, Go: baseURLs(url), APIKey: duolinktest.APIKey, ClientID: duolinktest.ClientID,
		ClientSecret: duolinktest.ClientSecret, Logins: fake.Logins(), LoginLinks: fake.LoginLinks(),
		BankLinks: fake.BankLinks(), Curls: curls(url), PendingFailures: fake.Pending(),
	}
	for _, r := range fake.Requests() {
		p.Requests = append([]duolinktest.Request{r}, p.Requests[:min(len(p.Requests), shownRequests-1)]...)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'")
	_, _ = w.Write(b.Bytes()) // it does not matter if the browser has gone
}
