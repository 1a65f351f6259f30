package main

import (
	"cmp"
	"net/http"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

// sample sets missing flags to a link and a person of the sandbox.
func sample(q question) question {
	q.link, q.name = cmp.Or(q.link, sandbox.LinkID), cmp.Or(q.name, "Avery Sample")
	token := sandbox.AccessToken
	switch q.link {
	case sandbox.SecondLinkID:
		token = sandbox.SecondAccessToken
	case sandbox.AuthExpiredLinkID:
		token = sandbox.AuthExpiredAccessToken
	}
	q.token = duolink.NewSecret(token)
	return q
}

// sandboxClient returns a client that talks to servers in memory. It opens no port and looks up no
// name.
func sandboxClient(servers *sandbox.Sandbox) (*duolink.Client, func(), error) {
	transport := servers.Transport()
	client, err := duolink.New(
		duolink.WithHTTPClient(&http.Client{Transport: transport}),
		duolink.WithBaseURL(duolink.MoneyKit, "http://127.0.0.1"),
		duolink.WithMoneyKit(duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)),
	)
	return client, transport.Close, err
}
