package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duolink/duolink"
)

func newStore(t *testing.T, path string) *store {
	t.Helper()
	s, err := openStore(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

var sampleLink = &duolink.LoginLink{
	ID: "dsll_1", LoginURL: duolink.NewSensitive("https://login.example.com/link/t0ken"),
	RedirectVerifier: duolink.NewSensitive("ver1fier"),
	ExpiryTime:       duolink.Timestamp{Time: time.Unix(1_900_000_000, 0)},
	LoginID:          "dsl_1", LoginUsername: duolink.NewSensitive("jordan@example.com"),
}

// What is kept comes back, to the letter and not as masks, also after the file was closed.
func TestKept(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "a ? b%20#.db")
	begun := connection{ID: "1", Source: sources[0], OnlyUser: duolink.NewSensitive("jordan@example.com")}
	s, err := openStore(t.Context(), odd)
	require.NoError(t, err)
	got, err := s.Begin(t.Context(), "a", begun)
	require.NoError(t, err)
	begun.State = stateBegun
	require.Equal(t, begun, got)
	again, err := s.Begin(t.Context(), "a", connection{ID: "1", Source: sources[1]})
	require.NoError(t, err)
	require.Equal(t, begun, again, "the first choice stays")
	require.NoError(t, s.SetLink(t.Context(), "1", sampleLink))
	require.NoError(t, s.SetLink(t.Context(), "1", &duolink.LoginLink{ID: "dsll_2"}), "the first link stays")
	require.NoError(t, s.Connect(t.Context(), "1", sampleLink))
	require.NoError(t, s.Close())

	want := begun
	want.State, want.LinkID, want.LoginURL = stateConnected, "dsll_1", sampleLink.LoginURL
	want.Verifier, want.Expires = sampleLink.RedirectVerifier, sampleLink.ExpiryTime.Time
	want.LoginID, want.Username = "dsl_1", sampleLink.LoginUsername
	s = newStore(t, odd)
	got, err = s.Get(t.Context(), "a", "1")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, "ver1fier", got.Verifier.Reveal())
	all, err := s.All(t.Context())
	require.NoError(t, err)
	require.Equal(t, []connection{want}, all)
}

// A database refuses a Sensitive itself, so that nobody stores a mask by mistake.
func TestMaskIsNotKept(t *testing.T) {
	s := newStore(t, inMemory)
	_, err := s.db.ExecContext(t.Context(), "SELECT ?", sampleLink.RedirectVerifier)
	require.ErrorContains(t, err, "Reveal")
}

func TestFileIsPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "connect.db")
	s := newStore(t, file)
	_, err := s.Begin(t.Context(), "SESSION", connection{ID: "1", Source: sources[0]})
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(text), "SESSION", "whoever reads the file cannot make the cookie")
}

func TestStates(t *testing.T) {
	for _, tc := range []struct{ from, to, want state }{
		{stateBegun, stateConnected, stateConnected},
		{stateBegun, stateExpired, stateExpired},
		{stateBegun, stateClosed, stateClosed},
		{stateBegun, stateRevoked, stateBegun},
		{stateWaiting, stateConnected, stateConnected},
		{stateWaiting, stateExpired, stateExpired},
		{stateWaiting, stateClosed, stateClosed},
		{stateWaiting, stateRevoked, stateWaiting},
		{stateExpired, stateConnected, stateConnected},
		{stateClosed, stateConnected, stateConnected},
		{stateClosed, stateExpired, stateClosed},
		{stateConnected, stateExpired, stateConnected},
		{stateConnected, stateClosed, stateConnected},
		{stateConnected, stateRevoked, stateRevoked},
		{stateRevoked, stateConnected, stateRevoked},
		{stateRevoked, stateClosed, stateRevoked},
	} {
		s := newStore(t, inMemory)
		for _, id := range []string{"1", "other"} {
			_, err := s.Begin(t.Context(), "a", connection{ID: id, Source: sources[0]})
			require.NoError(t, err)
		}
		_, err := s.db.ExecContext(t.Context(), "UPDATE connections SET state = ? WHERE id = '1'", string(tc.from))
		require.NoError(t, err)
		if tc.to == stateConnected {
			err = s.Connect(t.Context(), "1", sampleLink)
		} else {
			err = s.End(t.Context(), "1", tc.to)
		}
		require.NoError(t, err)
		c, err := s.Get(t.Context(), "a", "1")
		require.NoError(t, err)
		require.Equal(t, tc.want, c.State, "%s to %s", tc.from, tc.to)
		require.Equal(t, tc.want == stateConnected && tc.from != stateConnected, c.LoginID == "dsl_1")
		other, err := s.Get(t.Context(), "a", "other")
		require.NoError(t, err)
		require.Equal(t, stateBegun, other.State)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	s := newStore(t, inMemory)
	for _, c := range []struct{ session, id string }{{"a", "1"}, {"b", "2"}, {"a", "3"}} {
		_, err := s.Begin(t.Context(), c.session, connection{ID: c.id, Source: sources[0]})
		require.NoError(t, err)
	}
	list, err := s.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "3", list[0].ID, "the newest first")
	for _, strange := range []struct{ session, id string }{{"b", "1"}, {"", "1"}, {"a", "9"}} {
		_, err = s.Get(t.Context(), strange.session, strange.id)
		require.ErrorIs(t, err, errNoConnection)
	}
	_, err = s.Begin(t.Context(), "b", connection{ID: "1", Source: sources[0]})
	require.ErrorIs(t, err, errNoConnection, "an id of another session")
}

// The file does not grow for ever, and nothing is kept of a session that has ended.
func TestForgotten(t *testing.T) {
	s := newStore(t, inMemory)
	for _, id := range []string{"old", "first", "second"} {
		_, err := s.Begin(t.Context(), "a", connection{ID: id, Source: sources[0]})
		require.NoError(t, err)
	}
	_, err := s.db.ExecContext(t.Context(), "UPDATE connections SET begun = ? WHERE id = 'old'",
		time.Now().Add(-sessionLife-time.Minute).Unix())
	require.NoError(t, err)
	_, err = s.db.ExecContext(t.Context(), "UPDATE connections SET number = ? WHERE id = 'second'", mostConnections+1)
	require.NoError(t, err)
	_, err = s.Begin(t.Context(), "a", connection{ID: "third", Source: sources[0]})
	require.NoError(t, err)
	list, err := s.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "third", list[0].ID)
	require.Equal(t, "second", list[1].ID)
}

// A request that is broken off does not take the database in memory along.
func TestCancelledRequest(t *testing.T) {
	s := newStore(t, inMemory)
	_, err := s.Begin(t.Context(), "a", connection{ID: "1", Source: source{ID: "GONE", Name: "no longer offered"}})
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.List(gone, "a")
	require.ErrorIs(t, err, context.Canceled)
	c, err := s.Get(t.Context(), "a", "1")
	require.NoError(t, err)
	require.Equal(t, source{ID: "GONE", Name: "GONE"}, c.Source)
}
