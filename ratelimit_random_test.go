package duolink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/pace"
	"github.com/stretchr/testify/require"
)

// moody is a server in memory. At random it is slow, refuses with and without a time, breaks and
// stalls. It checks that the client keeps to its times.
type moody struct {
	mu     sync.Mutex
	random *rand.Rand
	groups map[string]*word
	broken []string // what was not kept
	good   bool     // no more moods
	passed int      // requests
}

// word is what the server has last said to a limit group, and the results of the requests since
// then.
type word struct {
	said, until time.Time
	refusals    int
	first       time.Time // the first that left since the group has opened, and whether one of them has ended
	ended       bool
}

func (m *moody) roll(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

func (m *moody) calm() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good
}

func (m *moody) some(most time.Duration) time.Duration {
	return time.Duration(m.roll(1000)) * most / 1000
}

// groupsOf are the limit groups of a request, by what is on the wire: the narrow ones first, and
// then Supermetrics' credential.
func (m *moody) groupsOf(r *http.Request) (all []string) {
	var body struct{ Products []string }
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	name := r.Method + r.URL.Path + r.Header.Get("Authorization")
	switch {
	case strings.HasSuffix(r.URL.Path, "/products"):
		for _, p := range body.Products {
			all = append(all, name+p)
		}
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		if id := r.URL.Query().Get("json"); id != "" {
			all = append(all, name+id)
		}
		all = append(all, "Supermetrics"+r.Header.Get("Authorization"))
	default:
		all = append(all, name)
	}
	return all
}

func (m *moody) word(group string) *word {
	w := m.groups[group]
	if w == nil {
		w = &word{}
		m.groups[group] = w
	}
	return w
}

// leaves records that a request leaves, and checks whether it may.
func (m *moody) leaves(groups []string, now time.Time) (refusals []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed++
	for _, name := range groups {
		w := m.word(name)
		if w.said.Before(now) && now.Before(w.until) {
			m.broken = append(m.broken, fmt.Sprintf("%s: a request leaves %v too early", name, w.until.Sub(now)))
		}
		switch {
		case w.refusals == 0 || w.ended || now.Before(w.until):
		case w.first.IsZero():
			w.first = now
		case now.Sub(w.until) < probeLimit:
			m.broken = append(m.broken, fmt.Sprintf("%s: %v after the probe another leaves", name, now.Sub(w.first)))
		}
		refusals = append(refusals, w.refusals)
	}
	return refusals
}

// ends records that a request has ended in any way.
func (m *moody) ends(groups []string, refusals []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, name := range groups {
		w := m.word(name)
		w.ended = w.ended || w.refusals == refusals[i]
	}
}

// refuses records what a refusal said to the groups of a request, when it is delivered.
func (m *moody) refuses(groups []string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, name := range groups {
		w := m.word(name)
		w.refusals++
		w.first, w.ended = time.Time{}, false
		if until := now.Add(wait); until.After(w.until) {
			w.said, w.until = now, until
		}
	}
}

// mood is the result of a request: a status, or 0 if its connection breaks. Only queries for
// accounts have a daily quota.
func (m *moody) mood(query bool) (status int, code string, wait time.Duration) {
	wait = time.Duration(m.roll(20)) * time.Second
	switch m.roll(12) {
	case 0, 1:
		return http.StatusTooManyRequests, "", wait
	case 2:
		return http.StatusTooManyRequests, "", 0
	case 3:
		return http.StatusServiceUnavailable, "", wait
	case 4:
		return http.StatusInternalServerError, "", 0
	case 5:
		return 0, "", 0
	case 6:
		if query {
			return http.StatusTooManyRequests, string(CodeLicenseDailyQueryLimitExceeded), wait + time.Second
		}
	}
	return http.StatusOK, "", wait
}

func (m *moody) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := connected(r, m.some(2*time.Second)*time.Duration(m.roll(2))); err != nil {
		return nil, err
	}
	groups := m.groupsOf(r)
	left := m.leaves(groups, time.Now())
	defer m.ends(groups, left)
	if m.calm() {
		return reply(http.StatusOK, m.answer(r)), nil
	}
	latency := m.some(3 * time.Second)
	if m.roll(50) == 0 {
		latency = 10 * time.Minute // nobody waits for so long, but for accounts
	}
	if err := pace.Sleep(r.Context(), latency); err != nil {
		return nil, err
	}
	status, code, wait := m.mood(r.URL.Query().Has("json"))
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if status == http.StatusOK {
		return reply(status, m.answer(r)), nil
	}
	if strings.HasPrefix(r.URL.Path, "/v2/") { // the quota is the query's alone, and all else the credential's
		if code != "" {
			groups = groups[:1]
		} else {
			groups = groups[len(groups)-1:]
		}
	}
	resp := reply(status, envelopeBody(code))
	if wait > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
	}
	if status == http.StatusTooManyRequests || wait > 0 {
		m.refuses(groups, wait)
	}
	return resp, nil
}

func (m *moody) answer(r *http.Request) string {
	switch {
	case strings.HasSuffix(r.URL.Path, "/auth/token"):
		return answers["auth.token"]
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		return answers["links.list"]
	default:
		return `{"link_id":"mk_1","accounts":[],"numbers":{}}`
	}
}

// errHook is the panic value of hooks in the property test.
var errHook = errors.New("a hook has panicked")

func (m *moody) client(t *testing.T, seed uint64) *Client {
	t.Helper()
	opts := []Option{
		WithBaseURL(Supermetrics, "http://127.0.0.1/v2"), WithBaseURL(MoneyKit, "http://127.0.0.1"),
		WithHTTPClient(&http.Client{Transport: m}), WithRetry(Retry{MaxWait: 10 * time.Minute, MaxAttempts: 6}),
	}
	if seed%2 == 0 {
		opts = append(opts, WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)))
	} else {
		opts = append(opts, WithMoneyKit(ClientCredentials(testID, testSecret)))
		opts = append(opts, WithSupermetrics(BearerTokenFunc(func(ctx context.Context) (string, error) {
			if m.roll(30) == 0 && !m.calm() {
				return "", errors.New("the vault is shut")
			}
			return testKey, pace.Sleep(ctx, m.some(5*time.Second))
		})))
	}
	if seed%3 > 0 {
		now := func() {
			if m.roll(40) == 0 {
				panic(errHook)
			}
		}
		opts = append(opts, WithHooks(Hooks{
			AttemptStart: func(context.Context, Attempt) { now() },
			AttemptEnd:   func(context.Context, Attempt) { now() },
			Wait:         func(context.Context, Wait) { now() },
			Cooldown:     func(context.Context, Cooldown) { now() },
		}))
	}
	c, err := New(opts...)
	require.NoError(t, err)
	return c
}

// call makes one of many calls. Its context may end at any time.
func (m *moody) call(ctx context.Context, c *Client) (err error) {
	defer func() {
		if p := recover(); p != nil && p != errHook {
			panic(p)
		}
	}()
	var opts []CallOption
	switch m.roll(4) {
	case 0:
		opts = append(opts, WithoutRetry())
	case 1:
		opts = append(opts, WithMaxWait(m.some(30*time.Second)))
	}
	cancel := func() {}
	switch m.roll(4) {
	case 0:
		ctx, cancel = context.WithTimeout(ctx, m.some(90*time.Second))
	case 1:
		ctx, cancel = context.WithCancel(ctx)
		defer time.AfterFunc(m.some(90*time.Second), cancel).Stop()
	}
	defer cancel()
	link := []string{"a", "b", "c"}[m.roll(3)]
	switch m.roll(8) {
	case 0:
		_, err = c.Logins.QueryAccounts(ctx, AccountsQuery{DataSourceID: link}, opts...)
	case 1:
		_, err = c.Links.List(ctx, append(opts, WithToken("tenant"))...)
	case 2:
		products := []Product{ProductIdentity, ProductAccountNumbers, ProductTransactions}
		from := m.roll(3)
		_, err = c.Identity.Refresh(ctx, link, products[from:from+1+m.roll(3-from)], opts...)
	case 3:
		_, err = c.Identity.Link(ctx, link, opts...)
	case 4:
		_, err = c.Auth.Numbers(ctx, link, opts...)
	default:
		_, err = c.Links.List(ctx, opts...)
	}
	return err
}

// Random callers of a moody server give up, have deadlines, a short MaxWait, slow credentials and
// hooks that panic. After an answer is delivered, no request leaves before the time that it names.
// When a group opens, one request goes ahead alone. In the end nobody hangs, no turn and no place
// in a queue is left behind, and every group is in the right state.
func TestPaceUnderRandomCallers(t *testing.T) {
	t.Parallel()
	seeds, requests := 300, 0
	if inShort() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			m := &moody{random: rand.New(rand.NewPCG(seed, 1)), groups: map[string]*word{}}
			c := m.client(t, seed)
			began := time.Now()
			var wg sync.WaitGroup
			for range 60 {
				wg.Go(func() {
					time.Sleep(m.some(time.Minute))
					for range 1 + m.roll(3) {
						_ = m.call(t.Context(), c)
					}
				})
			}
			wg.Wait()
			require.Less(t, time.Since(began), time.Hour, "seed %d", seed)
			time.Sleep(exchangeLimit) // a token exchange has a life of its own
			require.Zero(t, c.pace.Busy(), "seed %d", seed)
			require.Empty(t, m.broken, "seed %d", seed)
			requests += m.passed

			m.mu.Lock()
			m.good = true
			m.mu.Unlock()
			c.config.hooks = Hooks{}
			began = time.Now()
			for _, call := range []string{"links.list", "identity.link", "auth.numbers", "identity.refresh"} {
				require.NoError(t, calls[call](t.Context(), c), "seed %d: all are open again", seed)
			}
			require.Less(t, time.Since(began), 30*time.Second, "seed %d: and nobody is in the way", seed)
		})
	}
	t.Logf("%d seeds, %d requests", seeds, requests)
}
