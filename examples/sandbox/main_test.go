package main

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// printed is a writer that hands on what is written.
type printed chan string

func (p printed) Write(b []byte) (int, error) {
	p <- string(b)
	return len(b), nil
}

// start runs the program on a free port until the test ends, or until stop, which returns what the
// program did.
func start(t *testing.T, args ...string) (url, text string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, done := make(printed, 10), make(chan error, 1)
	go func() { done <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), out) }()
	select {
	case text = <-out:
	case err := <-done:
		require.FailNow(t, "it has ended", "%v", err)
	}
	url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(text)
	require.NotEmpty(t, url, text)
	return url, text, func() error {
		cancel()
		return <-done
	}
}

// post sends what the vendor's documentation shows.
func post(t *testing.T, url, clientID, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("PLAID-CLIENT-ID", clientID)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(b, &answer), string(b))
	return resp.StatusCode, answer
}

// The request of MoneyKit's documentation works exactly as it is printed there.
func TestDocumentedRequest(t *testing.T) {
	url, _, stop := start(t)
	const documented = `{
  "client_id": "<string>",
  "secret": "<string>",
  "access_token": "<string>",
  "options": {
    "account_ids": [
      "<string>"
    ]
  }
}`
	status, answer := post(t, url+"/plaid-compatible/auth/get", "<api-key>", documented)
	require.Equal(t, 200, status)
	numbers := answer["numbers"].(map[string]any)
	for _, scheme := range []string{"ach", "eft", "bacs", "international"} {
		require.NotEmpty(t, numbers[scheme], scheme)
	}
	require.NotEmpty(t, answer["accounts"])
	require.NotEmpty(t, answer["request_id"])

	for name, body := range map[string]string{
		"without the secret":    strings.Replace(documented, `  "secret": "<string>",`, "", 1),
		"with another's secret": strings.Replace(documented, `"secret": "<string>"`, `"secret": "another"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := post(t, url+"/plaid-compatible/auth/get", "<api-key>", body)
			require.Equal(t, 400, status)
			require.Equal(t, "INVALID_INPUT", answer["error_type"])
			require.Equal(t, "INVALID_API_KEYS", answer["error_code"])
			require.NotEmpty(t, answer["error_message"])
			require.NotContains(t, answer, "numbers")
		})
	}
	require.NoError(t, stop())
}

// curled does what a line for curl does.
func curled(t *testing.T, line string) (int, map[string]any) {
	t.Helper()
	var body string
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, line[strings.LastIndex(line, " ")+1:], nil)
	require.NoError(t, err)
	for _, option := range regexp.MustCompile(`-([Hd]) '([^']+)'`).FindAllStringSubmatch(line, -1) {
		if name, value, _ := strings.Cut(option[2], ": "); option[1] == "H" {
			req.Header.Set(name, value)
		} else {
			req.Method, body = http.MethodPost, option[2]
		}
	}
	req.Body = io.NopCloser(strings.NewReader(body))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	var answer map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer
}

// Whoever follows what is printed gets there: both commands, and a client of both APIs.
func TestPrintedInstructions(t *testing.T) {
	url, text, stop := start(t)
	for _, want := range []string{
		url + "/v2", url + "/plaid-compatible",
		duolinktest.APIKey, duolinktest.ClientID, duolinktest.ClientSecret, duolinktest.BankLinkID,
		duolinktest.AccessToken,
	} {
		require.Contains(t, text, want)
	}
	lines := regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(text, -1)
	require.Len(t, lines, 6)
	for _, line := range lines {
		status, answer := curled(t, line[1])
		require.Contains(t, []int{200, 201}, status, line[1])
		require.NotEmpty(t, answer)
	}

	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(duolinktest.APIKey)),
		duolink.WithBaseURL(duolink.Supermetrics, url+"/v2"),
		duolink.WithMoneyKit(duolink.ClientCredentials(duolinktest.ClientID, duolinktest.ClientSecret)),
		duolink.WithBaseURL(duolink.MoneyKit, url),
	)
	require.NoError(t, err)
	links, err := client.Links.List(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, links)
	page, err := http.Get(links[0].LoginURL.Reveal())
	require.NoError(t, err)
	require.NoError(t, page.Body.Close())
	require.Equal(t, 200, page.StatusCode)
	require.Equal(t, strings.TrimPrefix(url, "http://"), page.Request.URL.Host, "the login page is here")
	_, err = client.Identity.Link(t.Context(), duolinktest.BankLinkID)
	require.NoError(t, err)
	_, err = client.Auth.Get(t.Context(), duolink.AuthQuery{AccessToken: duolink.NewSecret(duolinktest.AccessToken)})
	require.NoError(t, err)
	require.NoError(t, stop())
}

func TestStops(t *testing.T) {
	url, _, stop := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")) // one that says nothing does not keep it
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, stop())
	_, err = net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), time.Second)
	require.Error(t, err, "the port is free again")
}

func TestArguments(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = busy.Close() }()
	for name, args := range map[string][]string{
		"unknown flag":                 {"-port", "8080"},
		"no value":                     {"-addr"},
		"busy port":                    {"-addr", busy.Addr().String()},
		"no address":                   {"-addr", "127.0.0.1"},
		"no port":                      {"-addr", "127.0.0.1:99999"},
		"-rate below zero":             {"-rate", "-1"},
		"-delay below zero":            {"-delay", "-1s"},
		"-delay without a unit":        {"-delay", "5"},
		"-fail without a fault":        {"-fail", "links.create"},
		"-fail without an operation":   {"-fail", "=503"},
		"-fail of an unknown one":      {"-fail", "links.craete=503"},
		"-fail with a success":         {"-fail", "links.create=200"},
		"-fail with an unknown word":   {"-fail", "links.create=explode"},
		"-fail for a negative number":  {"-fail", "links.create=503:-1"},
		"-fail for no number of times": {"-fail", "links.create=503:often"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var out strings.Builder
			require.Error(t, run(ctx, args, &out))
			require.NoError(t, ctx.Err(), "it ends by itself")
			require.NotContains(t, out.String(), "Try:")
		})
	}
	for _, help := range []string{"-h", "-help", "--help"} {
		require.NoError(t, run(t.Context(), []string{help}, io.Discard))
	}
}

// The page lists what is there, also what was made since, and its lines for curl work.
func TestPage(t *testing.T) {
	url, _, stop := start(t)
	body := func() string {
		resp, err := http.Get(url + "/")
		require.NoError(t, err)
		defer func() { require.NoError(t, resp.Body.Close()) }()
		require.Equal(t, 200, resp.StatusCode)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return html.UnescapeString(string(text))
	}
	before := body()
	for _, want := range []string{
		duolinktest.APIKey, duolinktest.LoginID, duolinktest.OpenLoginLinkID, duolinktest.BankLinkID,
		duolinktest.AuthExpiredBankLinkID + "</code></td><td>error auth_expired", "none yet", url + "/v2",
	} {
		require.Contains(t, before, want)
	}
	require.NotContains(t, before, "fail on purpose")
	lines := regexp.MustCompile(`<code>(curl .*?)</code>`).FindAllStringSubmatch(before, -1)
	require.Len(t, lines, 6)
	for _, line := range lines {
		status, _ := curled(t, line[1])
		require.Contains(t, []int{200, 201}, status, line[1])
	}
	after := body()
	require.Contains(t, after, "dsll_5")
	require.Contains(t, after, "links.create")
	login := regexp.MustCompile(`<a href="([^"]+)">`).FindStringSubmatch(after)
	require.NotNil(t, login)
	resp, err := http.Get(url + strings.TrimPrefix(login[1], url))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.NoError(t, stop())
}

// Faults and delays are for the operations that the flags name.
func TestFail(t *testing.T) {
	url, _, stop := start(t, "-fail", "logins.list=503", "-fail", "links.create=drop-after:1", "-delay", "1ms")
	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(duolinktest.APIKey)),
		duolink.WithBaseURL(duolink.Supermetrics, url+"/v2"), duolink.WithRetry(duolink.Retry{MaxAttempts: 1}),
	)
	require.NoError(t, err)
	for range 2 {
		_, err = client.Logins.List(t.Context())
		require.ErrorIs(t, err, duolink.ErrServer)
	}
	_, err = client.Links.Create(t.Context(), duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	var lost *duolink.Error
	require.ErrorAs(t, err, &lost)
	require.Equal(t, duolink.OutcomeUnknown, lost.Outcome)
	_, err = client.Links.Create(t.Context(), duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	require.NoError(t, err)
	resp, err := http.Get(url + "/")
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), "fail on purpose")
	require.NoError(t, stop())
}

// Every address that is printed can be typed.
func TestTyped(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8081": "127.0.0.1:8081", "[::]:8081": "127.0.0.1:8081", "0.0.0.0:80": "127.0.0.1:80",
		"[::1]:8081": "[::1]:8081", "192.0.2.1:8081": "192.0.2.1:8081",
	} {
		require.Equal(t, want, typed(address))
	}
}
