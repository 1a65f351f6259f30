package operations

import (
	"context"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

var identity = []Operation{
	{
		Name: "identity.get", API: duolink.MoneyKit, Method: (*duolink.IdentityService).Get,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.Identity, error) {
			query := duolink.IdentityQuery{AccountIDs: []string{sandbox.JointAccountID}}
			return c.Identity.Get(ctx, sandbox.LinkID, query, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Identity.Get(ctx, id, duolink.IdentityQuery{}, opts...))
		},
		Private: []string{sandbox.LinkID, sandbox.JointAccountID},
		Verb:    "GET", Route: "/links/{bankLinkID}/identity",
		URI:   "/links/" + sandbox.LinkID + "/identity?account_ids=" + sandbox.JointAccountID,
		Least: `{"accounts":[]}`, Data: duolink.Identity{}, Groups: []string{"identity.get", "identity.get/all"},
		Examples: []Example{
			{
				Name: "of all accounts", URI: "/links/" + sandbox.LinkID + "/identity",
				Call: func(ctx context.Context, c client) error {
					return failure(c.Identity.Get(ctx, sandbox.LinkID, duolink.IdentityQuery{}))
				},
			},
			{
				Name: "of some accounts",
				Call: func(ctx context.Context, c client) error {
					query := duolink.IdentityQuery{AccountIDs: []string{"acc_1", "a+b c", "x,y&z"}}
					return failure(c.Identity.Get(ctx, sandbox.LinkID, query))
				},
				URI: "/links/" + sandbox.LinkID +
					"/identity?account_ids=acc_1&account_ids=a%2Bb%20c&account_ids=x%2Cy%26z",
			},
		},
	},
	{
		Name: "identity.link", API: duolink.MoneyKit, Method: (*duolink.IdentityService).Link, Ask: returns(getLink),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Identity.Link(ctx, id, opts...))
		},
		Private: []string{sandbox.LinkID},
		Verb:    "GET", Route: "/links/{bankLinkID}", URI: "/links/" + sandbox.LinkID,
		Least: `{"link_id":"mk_1"}`, Data: duolink.BankLink{},
		Groups: []string{"identity.link", "identity.link/all"},
		Examples: []Example{{
			Name: "of an id with all sorts of characters", URI: "/links/MK_Case-Sensitive.0~1",
			Call: func(ctx context.Context, c client) error {
				return failure(c.Identity.Link(ctx, "MK_Case-Sensitive.0~1"))
			},
		}},
	},
	{
		Name: "identity.refresh", API: duolink.MoneyKit, Method: (*duolink.IdentityService).Refresh,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.BankLink, error) {
			return c.Identity.Refresh(ctx, sandbox.LinkID, []duolink.Product{duolink.ProductIdentity}, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Identity.Refresh(ctx, id, []duolink.Product{duolink.ProductIdentity}, opts...))
		},
		Private: []string{sandbox.LinkID},
		Verb:    "POST", Route: "/links/{bankLinkID}/products", URI: "/links/" + sandbox.LinkID + "/products",
		Body:     `{"products":["identity"]}`,
		Statuses: []int{202, 200}, Least: `{"link_id":"mk_1"}`, Wordless: true, Data: duolink.BankLink{},
		Repeat: OnlyRefused, Groups: []string{"identity.refresh"},
		Done: func(s *sandbox.Sandbox) int { return s.Refreshes(sandbox.LinkID) },
		Examples: []Example{
			{
				Name: "of a product that nobody knows", Body: `{"products":["identity","crypto"]}`,
				Call: func(ctx context.Context, c client) error {
					products := []duolink.Product{duolink.ProductIdentity, "crypto"}
					return failure(c.Identity.Refresh(ctx, sandbox.LinkID, products))
				},
			},
			{
				Name: "without content", Answer: "identity.refresh/empty.json", Statuses: []int{202, 200, 204},
				Call: func(ctx context.Context, c client) error {
					return failure(c.Identity.Refresh(ctx, sandbox.LinkID, []duolink.Product{duolink.ProductIdentity}))
				},
			},
		},
	},
}

func getLink(ctx context.Context, c client, opts options) (*duolink.BankLink, error) {
	return c.Identity.Link(ctx, sandbox.LinkID, opts...)
}
