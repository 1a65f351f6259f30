package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// tourWith runs the program with an environment.
func tourWith(t *testing.T, environment map[string]string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, func(name string) string { return environment[name] }, &out)
	return out.String(), err
}

var titles = []string{
	"\nLogins\n", "\nAccounts of GAWA\n", "\nA login link's life\n", "\nLogin links\n",
	"\nOwners at Chase (connected, identity of ", "\nAccount numbers\n", "\nAn error\n", "\nA retry\n", "\nA flow\n",
	"\nWhat to try next:\n",
}

// confidential is what the sandbox knows and no program prints: its credentials, and the people of
// its sample data.
func confidential(t *testing.T) []string {
	t.Helper()
	all := []string{
		duolinktest.APIKey, duolinktest.ClientID, duolinktest.ClientSecret, duolinktest.AccessToken,
		duolinktest.SecondAccessToken, duolinktest.AuthExpiredToken,
		"mk_token_sandbox_", "https://login.example.com/link/", // what it makes up
		duolinktest.RequiredUsername, "team@example.com", "jordan@example.com", "avery@example.com",
		"reports@example.com",
		"1000000000000042", "1000000000000043",
		"Avery Sample", "Jordan Example", "@example.com",
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "sandbox", "data", "accounts.json"))
	require.NoError(t, err)
	var data any
	require.NoError(t, json.Unmarshal(b, &data))
	personal := []string{"names", "street", "postal_code", "number", "address", "account_number", "iban"}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(name, member)
			}
		case []any:
			for _, item := range v {
				walk(name, item)
			}
		case string:
			if slices.Contains(personal, name) {
				all = append(all, v)
			}
		}
	}
	walk("", data)
	for _, known := range []string{
		"Example Trading LLC", "+1 212-555-0142", "1 Example Street", "00501", "000123450042", "1111222233330000",
		"31926819",
		"GB29NWBK60161331926819", "DE89370400440532013000", "avery.sample@example.com",
	} {
		require.Contains(t, all, known, "the sample data has changed; what else is personal in it?")
	}
	return all
}

// keepsQuiet expects that nothing confidential stands in an output. A postal code may be a part of
// a longer number.
func keepsQuiet(t *testing.T, out string) {
	t.Helper()
	for _, text := range confidential(t) {
		if len(text) < 8 {
			require.NotRegexp(t, `(^|[^0-9])`+regexp.QuoteMeta(text)+`($|[^0-9])`, out)
		} else {
			require.NotContains(t, out, text)
		}
	}
}

func TestTourOfTheSandbox(t *testing.T) {
	out, err := tourWith(t, nil)
	require.NoError(t, err)
	at := 0
	for _, title := range titles {
		i := strings.Index(out[at:], title)
		require.GreaterOrEqual(t, i, 0, "%q is missing, or not where it should be, in\n%s", title, out)
		at += i
	}
	keepsQuiet(t, out)
	for _, want := range []string{
		"****3000", "****0042", "****6819", "ACH", "EFT", "BACS", "IBAN", "routing 111222333", "sort code 060161",
		"Springfield", "12345678901234567.89 GBP", "login revoked", "true",
	} {
		require.Contains(t, out, want)
	}
	for _, odd := range []string{"%!", "0xc0", "<nil>", "{", "[]"} {
		require.NotContains(t, out, odd)
	}
	for _, call := range []string{
		"client.Logins.List", "client.Links.Create", "client.Identity.Link", "client.Auth.Get", "ErrNotFound)  true",
		"recreate", "retry-after", "requests that create: 1", "the people of the sandbox are invented",
	} {
		require.Contains(t, out, call)
	}
	again, err := tourWith(t, nil)
	require.NoError(t, err)
	require.Equal(t, strings.Count(out, "\n"), strings.Count(again, "\n"))
}

func TestHalfOfAPair(t *testing.T) {
	for _, environment := range []map[string]string{
		{"MONEYKIT_CLIENT_ID": duolinktest.ClientID},
		{"MONEYKIT_CLIENT_SECRET": duolinktest.ClientSecret},
		{"MONEYKIT_CLIENT_ID": duolinktest.ClientID, "SUPERMETRICS_API_KEY": duolinktest.APIKey},
	} {
		out, err := tourWith(t, environment)
		require.Empty(t, out)
		oneLine(t, err, duolinktest.ClientID, duolinktest.ClientSecret, duolinktest.APIKey)
		require.ErrorContains(t, err, "MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET")
	}
}

// oneLine expects an error that fits on a line and gives nothing away.
func oneLine(t *testing.T, err error, secrets ...string) {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, len(err.Error()), 300)
	for _, secret := range secrets {
		require.NotContains(t, err.Error(), secret)
	}
}

// serve is a sandbox on loopback, with the environment that leads there.
func serve(t *testing.T) (*duolinktest.Server, map[string]string) {
	t.Helper()
	s := duolinktest.Start()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, map[string]string{
		"SUPERMETRICS_API_KEY": duolinktest.APIKey, "SUPERMETRICS_BASE_URL": server.URL + "/v2",
		"MONEYKIT_CLIENT_ID": duolinktest.ClientID, "MONEYKIT_CLIENT_SECRET": duolinktest.ClientSecret,
		"MONEYKIT_BASE_URL": server.URL,
		"MONEYKIT_LINK_ID":  duolinktest.BankLinkID, "MONEYKIT_ACCESS_TOKEN": duolinktest.AccessToken,
	}
}

// readOnly expects that nothing was changed.
func readOnly(t *testing.T, s *duolinktest.Server) {
	t.Helper()
	require.NotEmpty(t, s.Requests())
	for _, r := range s.Requests() {
		if r.Operation != "auth.token" && r.Operation != "auth.get" {
			require.Equal(t, http.MethodGet, r.Method, "%s %s", r.Method, r.Path)
		}
		require.Equal(t, 2, r.Status/100, "%s %s", r.Method, r.Path)
	}
}

func TestRealAPIsAreOnlyRead(t *testing.T) {
	for name, tc := range map[string]struct {
		without []string // of the environment
		add     map[string]string
		titles  []string
		others  []string
	}{
		"both": {
			nil, nil, []string{"read-only", titles[0], titles[1], titles[3], titles[4], titles[5]}, []string{titles[2]},
		},
		"Supermetrics": {
			[]string{"MONEYKIT_CLIENT_ID", "MONEYKIT_CLIENT_SECRET"}, nil,
			[]string{"read-only", titles[0], titles[1], titles[3]}, []string{titles[2], titles[4], titles[5]},
		},
		"MoneyKit": {[]string{"SUPERMETRICS_API_KEY"}, nil, []string{"read-only", titles[4], titles[5]}, titles[:4]},
		"no link": {
			[]string{"MONEYKIT_LINK_ID"}, nil, []string{titles[0], "set MONEYKIT_LINK_ID", titles[5]},
			[]string{titles[4]},
		},
		"no access token": {
			[]string{"MONEYKIT_ACCESS_TOKEN"}, nil, []string{titles[4], titles[5], "MoneyKit"},
			[]string{"Plaid-compatible"},
		},
		"a data source": {
			nil, map[string]string{"SUPERMETRICS_DATA_SOURCE": "AW"}, []string{"\nAccounts of AW\n", "and 252 more"},
			[]string{titles[1]},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, environment := serve(t)
			for _, name := range tc.without {
				delete(environment, name)
			}
			for name, value := range tc.add {
				environment[name] = value
			}
			links, logins := s.LoginLinks(), s.Logins()
			out, err := tourWith(t, environment)
			require.NoError(t, err)
			for _, want := range tc.titles {
				require.Contains(t, out, want)
			}
			for _, other := range tc.others {
				require.NotContains(t, out, other)
			}
			keepsQuiet(t, out)
			readOnly(t, s)
			require.Equal(t, links, s.LoginLinks())
			require.Equal(t, logins, s.Logins())
			require.Zero(t, s.Refreshes(duolinktest.BankLinkID))
		})
	}
}

func TestFailures(t *testing.T) {
	const wrong = "api_wrong_CANARY_0001"
	for name, tc := range map[string]struct {
		add  map[string]string
		want string
	}{
		"wrong key":    {map[string]string{"SUPERMETRICS_API_KEY": wrong}, "logins.list: 401"},
		"broken key":   {map[string]string{"SUPERMETRICS_API_KEY": wrong + "\nX-Evil: 1"}, "invalid argument"},
		"wrong secret": {map[string]string{"MONEYKIT_CLIENT_SECRET": wrong}, "auth.token: 401"},
		"wrong link":   {map[string]string{"MONEYKIT_LINK_ID": wrong}, "identity.link: 404"},
		"wrong token":  {map[string]string{"MONEYKIT_ACCESS_TOKEN": wrong}, "auth.get: 400"},
		"wrong URL": {map[string]string{"SUPERMETRICS_BASE_URL": "http://api.example.com/" + wrong},
			"invalid argument"},
		"no data there": {map[string]string{"SUPERMETRICS_DATA_SOURCE": "../.."}, "invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			_, environment := serve(t)
			for name, value := range tc.add {
				environment[name] = value
			}
			out, err := tourWith(t, environment)
			oneLine(t, err, wrong, "CANARY", duolinktest.APIKey, duolinktest.ClientSecret)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, out, wrong)
		})
	}
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := run(ctx, nil, func(string) string { return "" }, io.Discard)
		require.ErrorIs(t, err, context.Canceled)
		oneLine(t, err, duolinktest.APIKey)
	})
	t.Run("nobody to write to", func(t *testing.T) {
		r, w := io.Pipe()
		require.NoError(t, r.Close())
		require.Error(t, run(t.Context(), nil, func(string) string { return "" }, w))
	})
}

// With -reveal the sandbox's invented people are shown, and nobody else.
func TestReveal(t *testing.T) {
	out, err := tourWith(t, nil, "-reveal")
	require.NoError(t, err)
	for _, want := range []string{"Avery Sample", "avery.sample@example.com", "000123450042"} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, duolinktest.APIKey)
	_, environment := serve(t)
	out, err = tourWith(t, environment, "-reveal")
	require.ErrorContains(t, err, "-reveal shows only the sandbox")
	require.Empty(t, out)
	for _, args := range [][]string{{"-x"}, {"reveal"}} {
		_, err = tourWith(t, nil, args...)
		require.ErrorContains(t, err, "the only flag is -reveal")
	}
}
