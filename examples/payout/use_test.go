package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

func TestWrongUse(t *testing.T) {
	all := map[string]string{
		"MONEYKIT_CLIENT_ID": duolinktest.ClientID, "MONEYKIT_CLIENT_SECRET": duolinktest.ClientSecret,
		"MONEYKIT_ACCESS_TOKEN": duolinktest.AccessToken,
	}
	const canary = "CANARY-0042"
	for name, tc := range map[string]struct {
		environment map[string]string
		args        []string
		want        string
	}{
		"an unknown flag":    {nil, []string{"-token", canary}, "payout -h"},
		"a flag of no value": {nil, []string{"-name"}, "payout -h"},
		"no time":            {nil, []string{"-max-age", canary}, "payout -h"},
		"an argument":        {nil, []string{canary}, "payout -h"},
		"a negative age":     {nil, []string{"-max-age", "-1s"}, "-max-age and -timeout are times"},
		"no time to wait":    {nil, []string{"-timeout", "0"}, "-max-age and -timeout are times"},
		"id alone": {
			map[string]string{"MONEYKIT_CLIENT_ID": canary}, nil,
			"set both of MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET",
		},
		"secret alone": {
			map[string]string{"MONEYKIT_CLIENT_SECRET": canary}, nil,
			"set both of MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET",
		},
		"token alone": {
			map[string]string{"MONEYKIT_ACCESS_TOKEN": canary}, nil,
			"MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET are missing",
		},
		"URL alone": {
			map[string]string{"MONEYKIT_BASE_URL": "http://" + canary}, nil,
			"MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET are missing",
		},
		"no link": {all, []string{"-name", canary}, "-link and -name are required"},
		"no name": {all, []string{"-link", canary}, "-link and -name are required"},
		"no token": {
			map[string]string{"MONEYKIT_CLIENT_ID": canary, "MONEYKIT_CLIENT_SECRET": canary},
			[]string{"-link", canary, "-name", canary}, "set MONEYKIT_ACCESS_TOKEN",
		},
		"a name of nothing": {nil, []string{"-name", " - "}, "-name is not a name"},
		"a broken URL": {
			map[string]string{
				"MONEYKIT_CLIENT_ID": "a", "MONEYKIT_CLIENT_SECRET": "b", "MONEYKIT_ACCESS_TOKEN": "c",
				"MONEYKIT_BASE_URL": "http://" + canary + ".example.com",
			},
			[]string{"-link", "l", "-name", "n"}, "invalid argument",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tc.args, func(name string) string { return tc.environment[name] }, &stdout,
				&stderr)
			require.Equal(t, 2, code)
			require.Empty(t, stdout.String())
			require.Contains(t, stderr.String(), tc.want)
			require.NotContains(t, stderr.String(), canary)
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"))
		})
	}
}

// Help is no match either.
func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"-h"}, func(string) string { return "" }, &stdout, &stderr))
	require.Empty(t, stderr.String())
	for _, want := range []string{
		"0 match, 1 no match, 2 cannot tell", "-link", "-name", "-account", "-max-age", "-timeout", "-json",
		"real names and numbers", "MONEYKIT_ACCESS_TOKEN",
	} {
		require.Contains(t, stdout.String(), want)
	}
}

func TestTheAPI(t *testing.T) {
	person := []string{"-link", duolinktest.BankLinkID, "-name", "Avery Sample", "-max-age", "100000h"}
	for name, tc := range map[string]struct {
		add  map[string]string
		args []string
		code int
		want string
	}{
		"match":        {nil, person, 0, "3 of 5 open accounts"},
		"no match":     {nil, append(slices.Clone(person), "-name", "Jane Doe"), 1, "NO MATCH"},
		"wrong secret": {map[string]string{"MONEYKIT_CLIENT_SECRET": "CANARY"}, person, 2, "auth.token: 401"},
		"another link's token": {
			map[string]string{"MONEYKIT_ACCESS_TOKEN": duolinktest.SecondAccessToken}, person, 2,
			"the access token leads to no numbers of these accounts",
		},
		"wrong token": {
			map[string]string{"MONEYKIT_ACCESS_TOKEN": "CANARY"}, person, 2, "auth.get: 400 INVALID_ACCESS_TOKEN",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := duolinktest.Start()
			server := httptest.NewServer(s)
			defer server.Close()
			environment := map[string]string{
				"MONEYKIT_CLIENT_ID": duolinktest.ClientID, "MONEYKIT_CLIENT_SECRET": duolinktest.ClientSecret,
				"MONEYKIT_ACCESS_TOKEN": duolinktest.AccessToken, "MONEYKIT_BASE_URL": server.URL,
			}
			for name, value := range tc.add {
				environment[name] = value
			}
			got := runWith(t.Context(), nil, environment, tc.args...)
			require.Equal(t, tc.code, got.code, got.stdout)
			require.Contains(t, got.stdout, tc.want)
			require.NotContains(t, got.stdout, "sandbox of")
			require.NotContains(t, got.stdout+got.stderr, "CANARY")
			keepsQuiet(t, got.stdout, got.stderr)
			require.Zero(t, s.Refreshes(duolinktest.BankLinkID), "fresh enough")
			for _, r := range s.Requests() {
				require.True(t, r.Method == http.MethodGet || r.Operation == "auth.token" || r.Operation == "auth.get",
					r.Operation)
			}
		})
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("nobody reads") }

// A decision that nobody got is no match.
func TestNobodyToWriteTo(t *testing.T) {
	for name, args := range map[string][]string{"table": nil, "JSON": {"-json"}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *duolinktest.Server) {
				var stderr bytes.Buffer
				c := command{func(string) string { return "" }, broken{}, &stderr, s}
				require.Equal(t, 2, c.run(t.Context(), args))
				require.Contains(t, stderr.String(), "the decision could not be written")
			})
		})
	}
}
