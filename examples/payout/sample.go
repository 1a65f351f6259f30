package main

import (
	"cmp"
	"net/http"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// sample sets missing flags to a link and a person of the sandbox.
func sample(q question) question {
	q.link, q.name = cmp.Or(q.link, duolinktest.BankLinkID), cmp.Or(q.name, "Avery Sample")
	token := duolinktest.AccessToken
	switch q.link {
	case duolinktest.SecondBankLinkID:
		token = duolinktest.SecondAccessToken
	case duolinktest.AuthExpiredBankLinkID:
		token = duolinktest.AuthExpiredToken
	}
	q.token = duolink.NewSecret(token)
	return q
}

// sandboxClient returns a client that talks to servers in memory. It opens no port and looks up no
// name.
func sandboxClient(servers *duolinktest.Server) (*duolink.Client, func(), error) {
	client, err := duolink.New(
		duolink.WithHTTPClient(&http.Client{Transport: servers.Transport()}),
		duolink.WithBaseURL(duolink.MoneyKit, "http://127.0.0.1"),
		duolink.WithMoneyKit(duolink.ClientCredentials(duolinktest.ClientID, duolinktest.ClientSecret)),
	)
	return client, func() {}, err
}
