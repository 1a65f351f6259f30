package operations

import (
	"context"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

// openLink is the state of the link that the calls update and close.
func openLink(s *sandbox.Sandbox) sandbox.LoginLinkState {
	for _, l := range s.Links() {
		if l.ID == sandbox.OpenLoginLinkID {
			return l
		}
	}
	panic("the sandbox has no such link")
}

var links = []Operation{
	{
		Name: "links.list", API: duolink.Supermetrics, Method: (*duolink.LinksService).List,
		Ask: returns(func(ctx context.Context, c client, opts options) ([]duolink.LoginLink, error) {
			return c.Links.List(ctx, opts...)
		}),
		Verb: "GET", Route: "/ds/login/links", URI: "/ds/login/links",
		Least: `{"data":[]}`, Data: []duolink.LoginLink{}, Limit: listLimit, Groups: supermetricsGroups,
	},
	{
		Name: "links.create", API: duolink.Supermetrics, Method: (*duolink.LinksService).Create,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.LoginLink, error) {
			return c.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA", Description: Text}, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: id}, opts...))
		},
		Private: []string{Text},
		Verb:    "POST", Route: "/ds/login/link", URI: "/ds/login/link",
		Body:     `{"ds_id":"GAWA","description":"` + Text + `"}`,
		Statuses: []int{201, 200}, Least: `{"data":{"link_id":"dsll_1"}}`, Data: duolink.LoginLink{},
		Repeat: OnlyRefused, Groups: supermetricsGroups,
		Done: func(s *sandbox.Sandbox) (n int) {
			for _, l := range s.Links() {
				n += asBit(l.Description == Text)
			}
			return n
		},
		Examples: []Example{
			{
				Name: "with nothing", Body: `{"ds_id":"GAWA"}`,
				Call: func(ctx context.Context, c client) error {
					return failure(c.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"}))
				},
			},
			{
				Name: "with everything",
				Call: func(ctx context.Context, c client) error {
					return failure(c.Links.Create(ctx, duolink.LoginLinkCreate{
						DataSourceID: "GAWA", Expires: "10 hours", Description: `Onboarding of "Söhne" & <Co>`,
						RequireUsername: "avery+ads@example.com",
						RedirectURL:     "https://app.example.com/connected?tenant=7&x=1",
					}))
				},
				Body: `{"ds_id":"GAWA","expiry_time":"10 hours","description":"Onboarding of \"Söhne\" & <Co>",` +
					`"require_username":"avery+ads@example.com",` +
					`"redirect_url":"https://app.example.com/connected?tenant=7&x=1"}`,
			},
		},
	},
	{
		Name: "links.get", API: duolink.Supermetrics, Method: (*duolink.LinksService).Get,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.LoginLink, error) {
			return c.Links.Get(ctx, sandbox.OpenLoginLinkID, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Links.Get(ctx, id, opts...))
		},
		Private: []string{sandbox.OpenLoginLinkID},
		Verb:    "GET", Route: "/ds/login/link/{loginLinkID}", URI: "/ds/login/link/dsll_1",
		Least: `{"data":{"link_id":"dsll_1"}}`, Data: duolink.LoginLink{}, Groups: supermetricsGroups,
	},
	{
		Name: "links.update", API: duolink.Supermetrics, Method: (*duolink.LinksService).Update,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.LoginLink, error) {
			return c.Links.Update(ctx, sandbox.OpenLoginLinkID, duolink.LoginLinkUpdate{Description: Text}, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Links.Update(ctx, id, duolink.LoginLinkUpdate{Description: Text}, opts...))
		},
		Private: []string{sandbox.OpenLoginLinkID, Text},
		Verb:    "PATCH", Route: "/ds/login/link/{loginLinkID}", URI: "/ds/login/link/dsll_1",
		Body:  `{"description":"` + Text + `"}`,
		Least: `{"data":{"link_id":"dsll_1"}}`, Wordless: true, Data: duolink.LoginLink{},
		Repeat: Settling, Groups: supermetricsGroups,
		Done: func(s *sandbox.Sandbox) int { return asBit(openLink(s).Description == Text) },
		Examples: []Example{{
			Name: "to nothing", Body: `{"description":""}`, Answer: "links.update/cleared.json",
			Call: func(ctx context.Context, c client) error {
				return failure(c.Links.Update(ctx, sandbox.OpenLoginLinkID, duolink.LoginLinkUpdate{}))
			},
		}},
	},
	{
		Name: "links.close", API: duolink.Supermetrics, Method: (*duolink.LinksService).Close,
		Ask: returns(func(ctx context.Context, c client, opts options) (*duolink.LoginLink, error) {
			return c.Links.Close(ctx, sandbox.OpenLoginLinkID, opts...)
		}),
		On: func(ctx context.Context, c client, id string, opts ...duolink.CallOption) error {
			return failure(c.Links.Close(ctx, id, opts...))
		},
		Private: []string{sandbox.OpenLoginLinkID},
		Verb:    "PUT", Route: "/ds/login/link/{loginLinkID}/close", URI: "/ds/login/link/dsll_1/close",
		Statuses: []int{200, 201, 202, 299}, Least: `{"data":{"link_id":"dsll_1","status_code":"CLOSED"}}`,
		Wordless: true, Data: duolink.LoginLink{}, Repeat: Settling, Groups: supermetricsGroups,
		Done: func(s *sandbox.Sandbox) int { return asBit(openLink(s).Status == "CLOSED") },
		Examples: []Example{
			closing("without content", "links.close/empty.json", 200, 202, 204),
			closing("with a result", "links.close/result.json", 200, 202),
		},
	},
}

// closing is a close of a link with another answer, which has the same result.
func closing(name, file string, statuses ...int) Example {
	return Example{
		Name: name, Answer: file, Statuses: statuses,
		Call: func(ctx context.Context, c client) error {
			return failure(c.Links.Close(ctx, sandbox.OpenLoginLinkID))
		},
	}
}
