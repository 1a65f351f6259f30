package duolink

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Without a logger nothing is written anywhere, whatever happens.
func TestSilentByDefault(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var logged bytes.Buffer
	stderr, stdout, standard, flags := os.Stderr, os.Stdout, slog.Default(), log.Flags()
	defer func() {
		os.Stderr, os.Stdout = stderr, stdout
		slog.SetDefault(standard)
		log.SetOutput(stderr)
		log.SetFlags(flags)
	}()
	os.Stderr, os.Stdout = file, file
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.SetOutput(&logged)
	inBubble(t, nil, []Option{WithRetry(Retry{MaxAttempts: 9})}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		everything(t, c, s)
	})
	info, err := file.Stat()
	require.NoError(t, err)
	require.Zero(t, info.Size())
	require.Empty(t, logged.String())
}

// everything calls all services, with everything that can happen to a call.
func everything(t *testing.T, c *Client, s *sandbox.Sandbox) {
	t.Helper()
	s.Script(sandbox.Fault{Operation: "auth.token", Status: 500})
	s.Script(trouble()...)
	require.NoError(t, getBankLink(t.Context(), c))
	for name, row := range rows {
		operation := operationOf(name)
		s.Script(sandbox.Fault{Operation: operation, Truncate: 10}, sandbox.Fault{Operation: operation, Status: 429})
		_ = row.Call(t.Context(), c)
		s.ClearScript()
		// The server quotes the request wherever it can.
		for _, secret := range confidentialIn(s, operation) {
			s.Script(sandbox.Fault{
				Operation: operation, Status: 400, Header: http.Header{"X-Request-Id": {secret}},
				Body: fmt.Sprintf(`{"error":{"code":%q,"message":"%s %s"},"meta":{"request_id":%q}}`, secret, secret,
					secret,
					secret),
			})
			_ = row.Call(t.Context(), c)
			s.ClearScript()
		}
	}
	_, err := c.Logins.QueryAccounts(t.Context(),
		AccountsQuery{DataSourceID: "GAWA", Users: []string{sandbox.RequiredUsername}})
	require.ErrorIs(t, err, ErrLoginRequired, "the login has been revoked above")
	_, err = c.Identity.Get(t.Context(), sandbox.LinkID, IdentityQuery{AccountIDs: []string{sandbox.JointAccountID}})
	require.NoError(t, err)
	_, err = c.Links.Get(t.Context(), "dsll_none")
	require.ErrorIs(t, err, ErrNotFound)
	s.Script(sandbox.Fault{Operation: "auth.token", Status: 401})
	s.ExpireTokens()
	require.ErrorIs(t, getBankLink(t.Context(), c), ErrUnauthorized)
	late := until(0, func(ctx context.Context, c *Client) error { <-ctx.Done(); return getLink(ctx, c) })
	require.ErrorIs(t, late(t.Context(), c), context.Canceled)
}

// confidentialTexts are the confidential arguments of everything.
func confidentialTexts() []string {
	all := []string{sandbox.APIKey}
	for _, row := range rows {
		all = append(all, row.Private...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// confidentialIn are the confidential texts in the latest request of an operation, with its bearer
// token.
func confidentialIn(s *sandbox.Sandbox, operation string) (found []string) {
	for _, r := range slices.Backward(s.Requests()) {
		if r.Operation != operation {
			continue
		}
		text := fmt.Sprint(r.Path, r.RawQuery, r.Header, string(r.Body))
		for _, secret := range confidentialTexts() {
			if strings.Contains(text, secret) {
				found = append(found, secret)
			}
		}
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			found = append(found, token)
		}
		return found
	}
	return nil
}

// recordKeeper is a slog.Handler that keeps every record.
type recordKeeper struct {
	mu      *sync.Mutex
	records *[]slog.Record
}

func (recordKeeper) Enabled(context.Context, slog.Level) bool { return true }
func (k recordKeeper) WithAttrs([]slog.Attr) slog.Handler {
	panic("nobody adds attributes for all records")
}
func (k recordKeeper) WithGroup(string) slog.Handler { panic("nobody groups") }
func (k recordKeeper) Handle(_ context.Context, r slog.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	*k.records = append(*k.records, r.Clone())
	return nil
}

func keepRecords() (*slog.Logger, *[]slog.Record) {
	records := &[]slog.Record{}
	return slog.New(recordKeeper{&sync.Mutex{}, records}), records
}

// Every level and key in the log is on a list, and the log has no confidential argument in it.
func TestLoggerKeepsToTheList(t *testing.T) {
	logger, records := keepRecords()
	inBubble(t, nil, []Option{
		WithLogger(logger), WithRetry(Retry{MaxAttempts: 9}),
	}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		everything(t, c, s)
	})
	type kind struct {
		level   slog.Level
		message string
	}
	seen := map[kind][]string{}
	for _, r := range *records {
		var keys []string
		r.Attrs(func(a slog.Attr) bool {
			keys = append(keys, a.Key)
			require.Contains(t, []slog.Kind{slog.KindString, slog.KindInt64}, a.Value.Kind(),
				"%s: nothing that formats itself, and no duration, which JSON would show in nanoseconds", a.Key)
			require.NotContains(t, []string{"", "0"}, a.Value.String(), "%s: what is empty is left out", a.Key)
			for _, secret := range append(confidentialTexts(), "mk_token_sandbox_") {
				require.NotContains(t, a.Value.String(), secret, "%s: %s", r.Message, a.Key)
			}
			return true
		})
		k := kind{r.Level, r.Message}
		keys = append(keys, seen[k]...)
		slices.Sort(keys)
		seen[k] = slices.Compact(keys)
	}
	require.Equal(t, map[kind][]string{
		{slog.LevelDebug, "duolink: attempt"}: {
			"api", "attempt", "code", "duration", "failure", "operation", "request_id", "route", "status",
		},
		{slog.LevelWarn, "duolink: wait"}:           {"api", "attempt", "operation", "reason", "route", "wait"},
		{slog.LevelWarn, "duolink: cooldown"}:       {"api", "operation", "route", "wait"},
		{slog.LevelDebug, "duolink: token renewal"}: {"api", "duration", "failure", "status"},
	}, seen)
}

// One record for each attempt, wait, cooldown and renewal, with what the hooks are told.
func TestLoggerTellsWhatHooksTell(t *testing.T) {
	logger, records := keepRecords()
	d := &diary{}
	inBubble(t, nil, []Option{
		WithLogger(logger), WithHooks(d.hooks()), WithRetry(Retry{MaxAttempts: 9}),
	}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(trouble()...)
		require.NoError(t, getBankLink(t.Context(), c))
	})
	text := func(v slog.Value) string { return strings.TrimPrefix(v.String(), "<nil>") } // it was left out
	number := func(v slog.Value) int64 {
		if v.Kind() != slog.KindInt64 {
			return 0
		}
		return v.Int64()
	}
	var lines []string
	for _, r := range *records {
		a := map[string]slog.Value{}
		r.Attrs(func(attr slog.Attr) bool { a[attr.Key] = attr.Value; return true })
		var line string
		switch r.Message {
		case "duolink: attempt":
			line = fmt.Sprintf("end %s %s: %d", a["operation"], a["attempt"], number(a["status"]))
			line += " " + text(a["failure"])
		case "duolink: wait":
			line = fmt.Sprintf("wait %s before %s: %s", a["operation"], a["attempt"], a["reason"])
		case "duolink: cooldown":
			line = fmt.Sprintf("cooldown %s %s", a["operation"], a["wait"])
		case "duolink: token renewal":
			line = fmt.Sprintf("renewal: %d %s", number(a["status"]), text(a["failure"]))
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	want := slices.DeleteFunc(slices.Clone(d.lines), func(line string) bool { return strings.HasPrefix(line, "start") })
	require.Equal(t, want, lines)
}

// A server may quote the request in a header. The quotation is not printed either.
func TestEchoedRequestIDs(t *testing.T) {
	for _, secret := range []string{sandbox.APIKey, sandbox.OpenLoginLinkID} {
		logger, records := keepRecords()
		d := &diary{}
		inBubble(t, nil, []Option{
			WithLogger(logger), WithHooks(d.hooks()),
		}, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			body := fmt.Sprintf(`{"meta":{"request_id":%q},"data":{"link_id":"dsll_1"}}`, secret)
			s.Script(sandbox.Fault{Body: body, Header: http.Header{"X-Request-Id": {secret}}})
			var r Response
			_, err := c.Links.Get(t.Context(), sandbox.OpenLoginLinkID, WithResponse(&r))
			require.NoError(t, err)
			require.NotContains(t, fmt.Sprint(r), secret)
			require.NotContains(t, d.ends[0].RequestID, secret)
			for _, record := range *records {
				record.Attrs(func(a slog.Attr) bool {
					require.NotContains(t, a.Value.String(), secret, a.Key)
					return true
				})
			}
		})
	}
}
