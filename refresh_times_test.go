package duolink

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// refreshServer answers looks at a link with its times, before and after a refresh was asked for.
// The state and the codes are those of the link.
type refreshServer struct {
	before, after string // refreshed_at
	state, code   string
	product       string // its name, if not "identity"
	asked         int    // refreshes
}

func (s *refreshServer) client(t *testing.T) *Client {
	t.Helper()
	c, _ := inMemory(t, func(r *http.Request) *http.Response {
		date := time.Now().UTC().Format(http.TimeFormat)
		at := s.before
		if s.asked > 0 {
			at = s.after
		}
		link := fmt.Sprintf(`{"link_id":"mk_1","state":%q,"error_code":%q,"products":{%q:{"refreshed_at":%q},
			"account_numbers":{"refreshed_at":%[4]q}}}`, s.state, s.code, cmp.Or(s.product, "identity"), at)
		switch {
		case r.Method == http.MethodPost:
			s.asked++
			return reply(202, link, "Date", date)
		case strings.HasSuffix(r.URL.Path, "/links/mk_1"):
			return reply(200, link, "Date", date)
		}
		return reply(200, `{"accounts":[],"link":`+link+`}`, "Date", date)
	})
	return c
}

// Data is fresh from five minutes ahead of the server's clock to MaxAge behind it.
func TestFreshness(t *testing.T) {
	const day = 24 * time.Hour
	clock := func(ahead time.Duration) func() string {
		return func() string { return time.Now().UTC().Add(ahead).Format("2006-01-02T15:04:05") }
	}
	fixed := func(text string) func() string { return func() string { return text } }
	for name, tc := range map[string]struct {
		refreshed func() string
		fresh     bool
	}{
		"now":                     {clock(0), true},
		"a minute ahead":          {clock(time.Minute), true},
		"five minutes ahead":      {clock(5 * time.Minute), true},
		"six minutes ahead":       {clock(6 * time.Minute), false},
		"two hours ahead":         {clock(2 * time.Hour), false}, // a local time that passes for UTC
		"thirteen hours ahead":    {clock(13 * time.Hour), false},
		"in 2062":                 {fixed("2062-02-16T09:14:11Z"), false},
		"a placeholder":           {fixed("9999-12-31T23:59:59Z"), false},
		"an hour old":             {clock(-time.Hour), true},
		"a day old":               {clock(-day), true},
		"more than a day old":     {clock(-day - time.Minute), false},
		"never":                   {fixed(""), false},
		"not a time":              {fixed("soon"), false},
		"today, without the time": {func() string { return time.Now().UTC().Format(time.DateOnly) }, true},
		"tomorrow, without the time": {func() string {
			return time.Now().UTC().Add(day).Format(time.DateOnly)
		}, false},
	} {
		for flow, reading := range readings {
			t.Run(name+"/"+flow, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &refreshServer{before: tc.refreshed(), after: clock(time.Second)(), state: "connected"}
					_, err := reading.call(t.Context(), s.client(t), "mk_1", RefreshOptions{MaxAge: day})
					require.NoError(t, err)
					require.Equal(t, asBit(!tc.fresh), s.asked)
				})
			})
		}
	}
}

// A refresh is done when there is another time than before, whatever a wrong clock has written
// before.
func TestRefreshIsDoneByAnotherTime(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after string
		done          bool
	}{
		"later":                         {"2026-04-01T00:00:00", "2026-05-01T00:00:00", true},
		"never before":                  {"", "2026-05-01T00:00:00", true},
		"in the future before":          {"2999-01-01T00:00:00Z", "2026-05-01T00:00:00Z", true},
		"in the future still":           {"2999-01-01T00:00:00Z", "2999-01-01T00:00:00Z", false},
		"further in the future":         {"2999-01-01T00:00:00Z", "2999-01-02T00:00:00Z", true},
		"not a time before":             {"0000-00-00 00:00:00", "2026-05-01T00:00:00Z", true},
		"the same in another notation":  {"2026-05-01T00:00:00", "2026-05-01 02:00:00+02:00", false},
		"gone":                          {"2026-05-01T00:00:00", "", false},
		"not a time after":              {"2026-05-01T00:00:00", "soon", false},
		"the same":                      {"2026-05-01T00:00:00", "2026-05-01T00:00:00", false},
		"earlier, with the clock right": {"2026-05-01T00:00:00", "2026-04-01T00:00:00", true},
	} {
		for flow, reading := range readings {
			t.Run(name+"/"+flow, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &refreshServer{before: tc.before, after: tc.after, state: "connected"}
					_, err := reading.call(t.Context(), s.client(t), "mk_1", RefreshOptions{Timeout: time.Minute})
					require.Equal(t, 1, s.asked)
					if !tc.done {
						kindIs(t, err, ErrRefreshPending)
					} else {
						require.NoError(t, err)
					}
					time.Sleep(longestRefresh)
				})
			})
		}
	}
}

// States and codes decide in any case, with spaces around them.
func TestStatesInAnotherCase(t *testing.T) {
	for name, tc := range map[string]struct {
		server refreshServer
		kind   error
		asked  int
	}{
		"deleted":        {refreshServer{state: " Deleted"}, ErrDeleted, 0},
		"a user's error": {refreshServer{state: "ERROR", code: "USER_ERROR"}, ErrBankLinkState, 0},
		"a system error": {refreshServer{state: "ERROR", code: " System_Error"}, nil, 1},
	} {
		for flow, reading := range readings {
			t.Run(name+"/"+flow, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := tc.server
					if s.after == "" {
						s.after = "2026-05-01T00:00:00"
					}
					_, err := reading.call(t.Context(), s.client(t), "mk_1", RefreshOptions{Timeout: time.Minute})
					require.Equal(t, tc.asked, s.asked)
					if tc.kind == nil {
						require.NoError(t, err)
					} else {
						kindIs(t, err, tc.kind)
					}
					time.Sleep(longestRefresh)
				})
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // the product's name, too
		s := refreshServer{
			state: "connected", before: "2026-04-01T00:00:00", after: "2026-05-01T00:00:00", product: "Identity",
		}
		_, err := s.client(t).Identity.RefreshAndGet(t.Context(), "mk_1", RefreshOptions{})
		require.NoError(t, err)
		require.Equal(t, 1, s.asked)
	})
	for _, c := range []ProductErrorCode{"rate_limit", "TIMEOUT", " Institution_Error ", "Unknown"} {
		require.True(t, c.passes(), c)
	}
	for _, c := range []BankLinkErrorCode{"SYSTEM_ERROR", "provider_error ", "Institution_Error"} {
		require.True(t, c.passes(), c)
	}
}
