package duolink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// withMarker are the links of the sandbox that have a marker.
func withMarker(s *sandbox.Sandbox, marker string) (all, open []string) {
	for _, l := range s.Links() {
		if strings.Contains(l.Description, "[ref:"+marker+"]") {
			all = append(all, l.ID)
			if l.Status == "OPEN" {
				open = append(open, l.ID)
			}
		}
	}
	return all, open
}

// createMarked makes a link as another process may have made it. Create refuses markers.
func createMarked(t *testing.T, c *Client, source, description string) *LoginLink {
	t.Helper()
	create := LoginLinkCreate{DataSourceID: source, Description: description}
	link, err := call(t.Context(), c, create.operation(nil), one[LoginLink], nil)
	require.NoError(t, err)
	return link
}

func TestCreateOnce(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var response Response
		q4 := LoginLinkCreate{DataSourceID: "GAWA", Description: "Q4"}
		first, err := c.Links.CreateOnce(t.Context(), q4, "job-7", WithResponse(&response))
		require.NoError(t, err)
		require.Equal(t, "[ref:job-7] Q4", first.Description)
		require.Equal(t, 201, response.Status)
		require.Equal(t, []int{1, 1}, []int{s.Count("links.list"), s.Count("links.create")})

		again, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA", Description: "Q4"}, "job-7")
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.NotSame(t, first, again)
		require.Equal(t, 1, s.Count("links.create"))

		other, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-77")
		require.NoError(t, err)
		require.NotEqual(t, first.ID, other.ID, "a marker that begins like another is another")
		require.Equal(t, "[ref:job-77]", other.Description)

		_, err = c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "AW"}, "job-7")
		kindIs(t, err, ErrConflict)
		require.Equal(t, "duolink: links.create_once: conflict: "+
			"the marker is that of a link of another data source, user or redirect", err.Error())

		require.NoError(t, s.CompleteLogin(first.ID, "avery@example.com"))
		used, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.NoError(t, err)
		require.Equal(t, LoginLinkClosed, used.Status)
		require.NotEmpty(t, used.LoginID, "whatever its status")
		require.Equal(t, 2, s.Count("links.create"))
	})
}

func TestCreateOnceArguments(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(500, "") })
	for _, tc := range []struct {
		link   LoginLinkCreate
		marker string
	}{
		{LoginLinkCreate{DataSourceID: "GAWA"}, ""},
		{LoginLinkCreate{DataSourceID: "GAWA"}, "a b"},
		{LoginLinkCreate{DataSourceID: "GAWA"}, "a]"},
		{LoginLinkCreate{DataSourceID: "GAWA"}, strings.Repeat("a", 51)},
		{LoginLinkCreate{DataSourceID: "GAWA", Description: "x [ref:other]"}, "job-7"},
		{LoginLinkCreate{DataSourceID: "GAWA", Description: strings.Repeat("a", 990)}, "job-7"},
		{LoginLinkCreate{}, "job-7"},
		{LoginLinkCreate{DataSourceID: "GAWA", ExpiresIn: -1}, "job-7"},
	} {
		_, err := c.Links.CreateOnce(t.Context(), tc.link, tc.marker)
		kindIs(t, err, ErrArgument)
		require.Equal(t, "links.create_once", asError(t, err).Operation)
	}
	gawa := LoginLinkCreate{DataSourceID: "GAWA"}
	_, err := c.Links.CreateOnce(nil, gawa, "job-7") //nolint:staticcheck // a caller's mistake
	kindIs(t, err, ErrArgument)
	require.Empty(t, m.requests)
}

// Callers in one process who want the same link share a run. Each may change its own copy.
func TestCreateOnceAtOnce(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(
			sandbox.Fault{Operation: "links.list", Delay: time.Second},
			sandbox.Fault{Operation: "links.create", Delay: time.Second, Drop: sandbox.DropAfter},
		)
		links := make([]*LoginLink, 50)
		var wg sync.WaitGroup
		for i := range links {
			wg.Go(func() {
				var err error
				links[i], err = c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
				require.NoError(t, err)
				links[i].Description = fmt.Sprint(i)
			})
		}
		wg.Wait()
		for i, l := range links {
			require.Equal(t, links[0].ID, l.ID)
			require.Equal(t, fmt.Sprint(i), l.Description)
		}
		require.Equal(t, []int{2, 1}, []int{s.Count("links.list"), s.Count("links.create")})
		noneRunning(t, c.creates)
	})
}

// latecomer delays a request until after the caller has given it up.
type latecomer struct {
	next http.RoundTripper
	once sync.Once
	late time.Duration
	done chan struct{}
}

func (l *latecomer) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	kept := false
	if r.Method == "POST" {
		l.once.Do(func() {
			kept = true
			body, _ := io.ReadAll(r.Body)
			again := r.Clone(context.Background()) // on the way to the server, and out of the client's hands
			again.Body = io.NopCloser(strings.NewReader(string(body)))
			time.AfterFunc(l.late, func() {
				defer close(l.done)
				if resp, err := l.next.RoundTrip(again); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
	if kept {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return l.next.RoundTrip(r)
}

// A creation that was given up may still make a link later: during the search, during the next
// creation, or after the call. Then the older link stays, and this call or the next closes the new
// one.
func TestCreateOnceThatComesLate(t *testing.T) {
	for name, tc := range map[string]struct {
		late     time.Duration // after it was sent; given up after 30 s
		patience time.Duration // of the first caller, if not 0
		fault    sandbox.Fault
		links    int
	}{
		"while it is looked for": {late: 35 * time.Second, links: 1},
		"while the next one is made": {
			late:  62 * time.Second,
			fault: sandbox.Fault{Operation: "links.create", Delay: 3 * time.Second}, links: 2,
		},
		"after everything":          {late: 5 * time.Minute, links: 2},
		"after the caller has left": {late: 2 * time.Second, patience: time.Second, links: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New()
				transport := s.Transport()
				defer transport.Close()
				late := &latecomer{next: transport, late: tc.late, done: make(chan struct{})}
				s.Script(tc.fault)
				c := sandboxClient(t, late)
				if tc.patience > 0 {
					ctx, cancel := context.WithTimeout(t.Context(), tc.patience)
					defer cancel()
					_, err := c.Links.CreateOnce(ctx, LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
				}
				_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
				require.NoError(t, err)
				<-late.done
				link, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
				require.NoError(t, err)
				all, open := withMarker(s, "job-7")
				require.Len(t, all, tc.links)
				require.Equal(t, []string{link.ID}, open)
			})
		})
	}
}

// If a link was used, it is returned, however many there are. The others are closed.
func TestCreateOnceClosesTheSurplus(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		var ids []string
		for range 3 {
			ids = append(ids, createMarked(t, c, "GAWA", "[ref:job-7] Q4").ID)
		}
		require.NoError(t, s.CompleteLogin(ids[1], "avery@example.com"))
		link, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.NoError(t, err)
		require.Equal(t, ids[1], link.ID)
		_, open := withMarker(s, "job-7")
		require.Empty(t, open)
	})
}

// A marker that was used for somebody else gives nobody their link.
func TestCreateOnceForSomebodyElse(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		first := LoginLinkCreate{
			DataSourceID: "GAWA", RequireUsername: "avery@example.com", RedirectURL: "https://a.example.com/",
		}
		_, err := c.Links.CreateOnce(t.Context(), first, "job-7")
		require.NoError(t, err)
		for _, other := range []LoginLinkCreate{
			{DataSourceID: "AW", RequireUsername: first.RequireUsername, RedirectURL: first.RedirectURL},
			{DataSourceID: "GAWA", RequireUsername: "jordan@example.com", RedirectURL: first.RedirectURL},
			{DataSourceID: "GAWA", RequireUsername: first.RequireUsername, RedirectURL: "https://b.example.com/"},
			{DataSourceID: "GAWA", RedirectURL: first.RedirectURL},
			{DataSourceID: "GAWA", RequireUsername: first.RequireUsername},
		} {
			link, err := c.Links.CreateOnce(t.Context(), other, "job-7")
			kindIs(t, err, ErrConflict)
			require.Nil(t, link)
		}
		first.RequireUsername, first.RedirectURL = "Avery@Example.com", "https://a.example.com/another?state=2"
		_, err = c.Links.CreateOnce(t.Context(), first, "job-7")
		require.NoError(t, err)
	})
}

// A link for any user does not do for a certain user, even if it was just made for another caller.
func TestCreateOnceUnrestricted(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		for _, delay := range []time.Duration{time.Minute, time.Millisecond} {
			s.Script(sandbox.Fault{Operation: "links.create", Delay: time.Second})
			marker := fmt.Sprintf("job-%d", delay)
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, marker)
				require.NoError(t, err)
			})
			time.Sleep(delay)
			for _, other := range []LoginLinkCreate{
				{DataSourceID: "GAWA", RequireUsername: "avery@example.com"},
				{DataSourceID: "GAWA", RedirectURL: "https://a.example.com/"},
			} {
				_, err := c.Links.CreateOnce(t.Context(), other, marker)
				kindIs(t, err, ErrConflict)
			}
			wg.Wait()
		}
	})
}

// Links with the same marker that differ are not closed as surplus.
func TestCreateOnceLeavesOthersAlone(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		for _, source := range []string{"GAWA", "AW"} {
			createMarked(t, c, source, "[ref:job-7]")
		}
		for _, source := range []string{"FB", "GAWA"} {
			_, _ = c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: source}, "job-7")
			_, open := withMarker(s, "job-7")
			require.Len(t, open, 2)
		}
	})
}

// If the list never works, it is asked for half a minute.
func TestCreateOnceAndNoList(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "links.list"},
			sandbox.Fault{Operation: "links.create", Drop: sandbox.DropAfter},
			sandbox.Fault{Operation: "links.list", Status: 502, Times: -1})
		began := time.Now()
		_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
		require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
		require.Equal(t, "links.create", asError(t, err).Operation)
		require.Less(t, time.Since(began), 2*time.Minute)
	})
}

// The call options about waits and repetitions hold.
func TestCreateOnceWithoutPatience(t *testing.T) {
	for name, opt := range map[string]CallOption{"no wait": WithMaxWait(0), "no retry": WithoutRetry()} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
				s.Script(sandbox.Fault{Operation: "links.create", Status: 502, Times: -1})
				began := time.Now()
				_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7", opt)
				kindIs(t, err, ErrServer)
				require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
				require.Equal(t, 1, s.Count("links.create"))
				require.Equal(t, name == "no retry", time.Since(began) == defaultGrace, "it is looked for")
			})
		})
	}
}

// A full list may lack the link.
func TestCreateOnceInAFullList(t *testing.T) {
	links := strings.Repeat(`{"link_id":"dsll_9","status_code":"OPEN"},`, 1000)
	full := `{"data":[` + strings.TrimSuffix(links, ",") + `]}`
	c, m := inMemory(t, func(r *http.Request) *http.Response { return reply(200, full) })
	_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
	kindIs(t, err, ErrConflict)
	require.Len(t, m.requests, 1)
}

// A caller who gives up learns that the link may be there. The others get it.
func TestCreateOnceGivenUp(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Operation: "links.create", Delay: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Links.CreateOnce(ctx, LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, OutcomeUnknown, asError(t, err).Outcome)
			require.Equal(t, "links.create_once", asError(t, err).Operation)
		})
		wg.Go(func() {
			_, err := c.Links.CreateOnce(t.Context(), LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
			require.NoError(t, err)
		})
		wg.Wait()
		require.Equal(t, 1, s.Count("links.create"))
	})
}
