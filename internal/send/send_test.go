package send

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// roundTrip is a transport of a user's.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func yes() bool { return true }
func no() bool  { return false }

// failing is a way to dial that leads nowhere.
func failing(err error) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nil, err }
}

// gate is a Gate of two functions.
type gate struct{ mayGo, commit func() bool }

func (g gate) MayGo() bool  { return g.mayGo() }
func (g gate) Commit() bool { return g.commit() }

// sent sends a request with a body to a server that counts what arrives.
func sent(
	t *testing.T, next http.RoundTripper, change func(*Rules),
) (s *Sending, status int, arrived int32, err error) {
	t.Helper()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	defer server.Close()
	rules := Rules{
		Header: http.Header{"User-Agent": {"test"}}, Body: []byte("{}"), UserAgent: "test",
		Limit: time.Minute, Gate: gate{yes, yes},
	}
	change(&rules)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	require.NoError(t, err)
	req.ContentLength = int64(len(rules.Body))
	s, resp, err := (&Transport{Next: next}).Send(req, rules)
	if err == nil {
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, rules.Body, body)
		require.NoError(t, resp.Body.Close())
		status = resp.StatusCode
	}
	return s, status, requests.Load(), err
}

func TestSend(t *testing.T) {
	for name, next := range map[string]http.RoundTripper{
		"net/http": &http.Transport{}, "another": roundTrip(http.DefaultTransport.RoundTrip),
	} {
		t.Run(name, func(t *testing.T) {
			s, status, arrived, err := sent(t, next, func(*Rules) {})
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status)
			require.EqualValues(t, 1, arrived)
			require.False(t, s.NothingLeft(nil))

			s, _, arrived, err = sent(t, next, func(r *Rules) { r.Gate = gate{no, yes} })
			require.True(t, s.HeldBack(err), "%v", err)
			require.True(t, s.NothingLeft(err))
			require.Zero(t, arrived)

			s, _, arrived, err = sent(t, next, func(r *Rules) { r.Gate = gate{yes, no} })
			require.ErrorIs(t, s.Cause(err), ErrNobodyWaits)
			require.False(t, s.HeldBack(err))
			require.True(t, s.NothingLeft(err))
			require.Zero(t, arrived)
		})
	}
}

// At the first byte, HTTP/1 asks once more: the first answer was for the connection.
func TestMayGoAtTheFirstByte(t *testing.T) {
	asked := 0
	s, _, arrived, err := sent(t, &http.Transport{}, func(r *Rules) {
		r.Gate = gate{func() bool {
			asked++
			return asked == 1
		}, yes}
	})
	require.True(t, s.HeldBack(err), "%v", err)
	require.Equal(t, 2, asked)
	require.Zero(t, arrived)
}

// A dial that fails is proved by net/http, and by another transport only if its error says so.
func TestNothingLeft(t *testing.T) {
	closed := errors.New("closed")
	for name, tc := range map[string]struct {
		next   http.RoundTripper
		proved bool
	}{
		"net/http": {&http.Transport{Proxy: nil, DialContext: failing(closed)}, true},
		"another, which says little": {
			roundTrip((&http.Transport{DialContext: failing(closed)}).RoundTrip), false,
		},
		"another, which says it": {
			roundTrip((&http.Transport{DialContext: failing(&net.OpError{Op: "dial", Err: closed})}).RoundTrip), true,
		},
		"one that tells nothing": {roundTrip(func(*http.Request) (*http.Response, error) { return nil, closed }),
			false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _, err := sent(t, tc.next, func(*Rules) {})
			require.ErrorIs(t, err, closed)
			require.Equal(t, tc.proved, s.NothingLeft(err))
			require.False(t, s.HeldBack(err))
		})
	}
	s, _, _, err := sent(t, roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil }), func(*Rules) {})
	require.ErrorIs(t, s.Cause(err), ErrNoAnswer)
}

// An attempt ends at its limit, whatever the transport does.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example", nil)
		require.NoError(t, err)
		began := time.Now()
		s, _, err := (&Transport{Next: next}).Send(req, Rules{Limit: time.Minute, Gate: gate{yes, yes}})
		require.ErrorIs(t, s.Cause(err), ErrAttemptEnded)
		require.Equal(t, time.Minute, time.Since(began))
	})
}
