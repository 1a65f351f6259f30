package duolink

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// linkServer answers the list of links with a body, and each creation with another.
func linkServer(t *testing.T, list, made string) (*Client, *memory) {
	t.Helper()
	return inMemory(t, func(r *http.Request) *http.Response {
		if r.Method == http.MethodPost {
			return reply(201, made)
		}
		return reply(200, list)
	})
}

// CreateOnce makes a link only if the server has shown a list without one.
func TestCreateOnceNeedsAList(t *testing.T) {
	const ours = `{"link_id":"dsll_1","ds_id":"GAWA","status_code":"OPEN","description":"[ref:job-7]"}`
	made := strings.Replace(`{"data":`+ours+`}`, "dsll_1", "dsll_9", 1)
	other := `{"link_id":"x","description":"another","ds_id":"GAWA"}`
	for list, want := range map[string]struct {
		kind error
		id   string
	}{
		`{"data":[]}`:                            {nil, "dsll_9"},
		`{"data":[` + other + `]}`:               {nil, "dsll_9"},
		`{"data":[` + other + `,` + ours + `]}`:  {nil, "dsll_1"},
		`{"data":{"0":` + ours + `}}`:            {nil, "dsll_1"},
		`{"data":{"3":` + other + `,"7":{}}}`:    {nil, "dsll_9"},
		`{}`:                                     {ErrMalformedResponse, ""},
		`{"data":null}`:                          {ErrMalformedResponse, ""},
		`{"data":{}}`:                            {ErrMalformedResponse, ""},
		`{"data":` + ours + `}`:                  {ErrMalformedResponse, ""},
		`{"data":"moved"}`:                       {ErrMalformedResponse, ""},
		`{"data":[null]}`:                        {ErrMalformedResponse, ""},
		`{"data":[{"id":7}]}`:                    {ErrMalformedResponse, ""},
		`{"Data":[` + ours + `]}`:                {ErrMalformedResponse, ""},
		`{"message":"we will be back at 10:00"}`: {ErrMalformedResponse, ""},
		`<html>we will be back</html>`:           {ErrMalformedResponse, ""},
		`{"error":{"code":"FORBIDDEN"}}`:         {ErrForbidden, ""},
		`{"data":[],"error":"maintenance"}`:      {ErrServer, ""},
		`{"data":[null` + strings.Repeat(`,`+other, 999) + `]}`:     {ErrConflict, ""},
		`{"data":{"0":null,"1":` + ours + `}}`:                      {nil, "dsll_1"},
		`{"data":[` + strings.Repeat(other+`,`, 999) + ours + `]}`:  {nil, "dsll_1"},
		`{"data":[` + strings.Repeat(other+`,`, 999) + other + `]}`: {ErrConflict, ""},
	} {
		t.Run(list[:min(len(list), 60)], func(t *testing.T) {
			c, m := linkServer(t, list, made)
			link, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
			if want.kind == nil {
				require.NoError(t, err)
				require.Equal(t, want.id, link.ID)
				require.Len(t, m.requests, 1+asBit(want.id == "dsll_9"))
				return
			}
			kindIs(t, err, want.kind)
			require.Len(t, m.requests, 1, "nothing is made")
		})
	}
}

// changing is a transport that changes the description of each new link on its way to the server.
func changing(next http.RoundTripper, change func(string) string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost {
			return next.RoundTrip(r)
		}
		var m map[string]any
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			return nil, err
		}
		m["description"] = change(m["description"].(string))
		b, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		return next.RoundTrip(r)
	}
}

// A server may cut a description off. The marker survives, because it stands first. If the marker is
// lost, that is an error, and no link stays open.
func TestCreateOnceAndALostMarker(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(string) string
		lost   bool
	}{
		"kept":               {func(s string) string { return s }, false},
		"cut at 1,000 bytes": {func(s string) string { return s[:min(len(s), 1000)] }, false},
		"cut at 255":         {func(s string) string { return strings.ToValidUTF8(s[:min(len(s), 255)], "") }, false},
		"with a space":       {func(s string) string { return " " + s }, false},
		"without brackets":   {strings.NewReplacer("[", "", "]", "").Replace, true},
		"in another case":    {strings.ToUpper, true},
		"cut in the marker":  {func(s string) string { return s[:8] }, true},
		"replaced":           {func(string) string { return "Q4" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New()
				transport := s.Transport()
				defer transport.Close()
				c := sandboxClient(t, changing(transport, tc.change))
				before := len(openLinks(s))
				create := LoginLinkCreate{DataSourceID: "GAWA", Description: strings.Repeat("ä", 490)}
				for range 3 {
					link, err := c.Links.CreateOnce(t.Context(), create, "job-7")
					if !tc.lost {
						require.NoError(t, err)
						require.Contains(t, link.Description, "[ref:job-7]")
						continue
					}
					kindIs(t, err, ErrMalformedResponse)
					require.Contains(t, err.Error(), "does not show the marker")
					require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
				}
				require.Equal(t, before+asBit(!tc.lost), len(openLinks(s)))
				require.Equal(t, 1+2*asBit(tc.lost), s.Count("links.create"))
			})
		})
	}
}

func openLinks(s *sandbox.Sandbox) (open []string) {
	for _, l := range s.Links() {
		if l.Status == "OPEN" {
			open = append(open, l.ID)
		}
	}
	return open
}

// An answer to a creation may leave the description out. Then the list has to show the marker.
func TestCreateOnceWithoutADescription(t *testing.T) {
	lists := []string{`{"data":[]}`, `{"data":[{"link_id":"dsll_9","description":"[ref:job-7] Q4"}]}`}
	c, m := inMemory(t, func(r *http.Request) *http.Response {
		if r.Method == http.MethodPost {
			return reply(201, `{"data":{"link_id":"dsll_9"}}`)
		}
		list := lists[0]
		lists = lists[1:]
		return reply(200, list)
	})
	link, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
	require.NoError(t, err)
	require.Equal(t, "[ref:job-7] Q4", link.Description)
	require.Len(t, m.requests, 3)
}

// A caller who lets others write into a description gives nobody their marker.
func TestMarkersCannotBeForged(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		for _, forged := range []string{"[ref:job-8]", "their words: [ref:job-8]", "[REF:job-8]", "x[Ref:"} {
			_, err := c.Links.Create(t.Context(), LoginLinkCreate{DataSourceID: "GAWA", Description: forged})
			kindIs(t, err, ErrArgument)
			_, err = c.Links.Update(t.Context(), sandbox.OpenLoginLinkID, LoginLinkUpdate{Description: forged})
			kindIs(t, err, ErrArgument)
			create := LoginLinkCreate{DataSourceID: "GAWA", Description: forged}
			_, err = c.Links.CreateOnce(t.Context(), create, "job-8")
			kindIs(t, err, ErrArgument)
		}
		require.Empty(t, s.Requests())

		// A link that somebody has made elsewhere, with the marker in the middle of its description.
		mine := createMarked(t, c, "GAWA", "a customer's own words: [ref:job-8]")
		require.NoError(t, s.CompleteLogin(mine.ID, "somebody@example.com"))
		link, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-8")
		require.NoError(t, err)
		require.NotEqual(t, mine.ID, link.ID)
	})
}

// An update that names the marker keeps it, so that CreateOnce finds the link again.
func TestUpdateKeepsTheMarker(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		gawa := LoginLinkCreate{DataSourceID: "GAWA", Description: "Q4"}
		link, err := c.Links.CreateOnce(t.Context(), gawa, "job-7")
		require.NoError(t, err)
		for _, description := range []string{"Q1", ""} {
			update := LoginLinkUpdate{Description: description, Marker: "job-7"}
			updated, err := c.Links.Update(t.Context(), link.ID, update)
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace("[ref:job-7] "+description), updated.Description)
		}
		again, err := c.Links.CreateOnce(t.Context(), gawa, "job-7")
		require.NoError(t, err)
		require.Equal(t, link.ID, again.ID)
		_, err = c.Links.Update(t.Context(), link.ID, LoginLinkUpdate{Marker: "a b"})
		kindIs(t, err, ErrArgument)
		_, err = c.Links.Update(t.Context(), link.ID, LoginLinkUpdate{strings.Repeat("a", 990), "job-7"})
		kindIs(t, err, ErrArgument)
		require.Equal(t, 1, s.Count("links.create"))
	})
}

// A link with the marker that has ended without a login is of no use, and says so.
func TestCreateOnceFindsAnEndedLink(t *testing.T) {
	for status, kind := range map[string]error{
		"CLOSED": ErrLoginLinkClosed, "closed": ErrLoginLinkClosed, " Closed ": ErrLoginLinkClosed,
		"EXPIRED": ErrLoginLinkExpired, "expired": ErrLoginLinkExpired, "OPEN": nil, "PAUSED": nil, "": nil,
	} {
		for _, login := range []string{"", "dsl_1"} {
			list := mustJSON(map[string]any{"data": []any{map[string]any{
				"link_id": "dsll_1", "status_code": status, "description": "[ref:job-7]", "login_id": login,
			}}})
			c, m := linkServer(t, list, "")
			link, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
			require.Len(t, m.requests, 1)
			if kind == nil || login != "" {
				require.NoError(t, err, status)
				require.EqualValues(t, status, link.Status)
				continue
			}
			require.Nil(t, link)
			kindIs(t, err, kind)
			require.Equal(t, OutcomeNotSent, asError(t, err).Outcome)
			require.Equal(t, ActionRecreate, asError(t, err).Action())
		}
	}
}

// Statuses decide in any case, with spaces around them, and are given out as they came.
func TestAwaitOfStatusesInAnotherCase(t *testing.T) {
	for status, kind := range map[string]error{
		"closed": ErrLoginLinkClosed, "Expired": ErrLoginLinkExpired, "EXPIRED ": ErrLoginLinkExpired,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := inMemory(t, func(*http.Request) *http.Response {
				return reply(200, `{"data":{"link_id":"dsll_1","status_code":"`+status+`"}}`)
			})
			var seen LoginLinkStatus
			began := time.Now()
			_, err := c.Links.Await(t.Context(), "dsll_1", AwaitOptions{
				Progress: func(p AwaitProgress) { seen = p.Link.Status },
			})
			kindIs(t, err, kind)
			require.EqualValues(t, status, seen)
			require.GreaterOrEqual(t, time.Since(began), defaultGrace)
		})
	}
}

// A wait and a redirect do not take another link's login for that of the link that was asked for.
func TestAnotherLinksLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := inMemory(t, func(*http.Request) *http.Response {
			return reply(200, `{"data":{"link_id":"dsll_2","status_code":"CLOSED","login_id":"dsl_2"}}`)
		})
		_, err := c.Links.Await(t.Context(), "dsll_1", AwaitOptions{})
		kindIs(t, err, ErrMalformedResponse)
		browser, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/?redirect_verifier=v", nil)
		require.NoError(t, err)
		link := LoginLink{ID: "dsll_1", RedirectVerifier: NewSensitive("v")}
		_, err = c.Links.ConfirmRedirect(t.Context(), link, browser)
		kindIs(t, err, ErrMalformedResponse)
	})
}
