package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
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
func start(t *testing.T) (url, text string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, done := make(printed, 10), make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, out) }()
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

// Whoever follows what is printed gets there: both commands, and a client of both APIs.
func TestPrintedInstructions(t *testing.T) {
	url, text, stop := start(t)
	for _, want := range []string{
		url + "/v2", url + "/plaid-compatible", sandbox.APIKey, sandbox.ClientID, sandbox.ClientSecret, sandbox.LinkID,
		sandbox.AccessToken,
	} {
		require.Contains(t, text, want)
	}
	body := regexp.MustCompile(`-d '([^']+)'`).FindStringSubmatch(text)
	id := regexp.MustCompile(`-H 'PLAID-CLIENT-ID: ([^']+)'`).FindStringSubmatch(text)
	require.NotNil(t, body)
	require.NotNil(t, id)
	status, answer := post(t, regexp.MustCompile(`\S+/auth/get`).FindString(text), id[1], body[1])
	require.Equal(t, 200, status)
	require.NotEmpty(t, answer["numbers"])

	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)),
		duolink.WithBaseURL(duolink.Supermetrics, url+"/v2"),
		duolink.WithMoneyKit(duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)),
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
	_, err = client.Identity.Link(t.Context(), sandbox.LinkID)
	require.NoError(t, err)
	_, err = client.Auth.Get(t.Context(), duolink.AuthQuery{AccessToken: duolink.NewSecret(sandbox.AccessToken)})
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
		"unknown flag": {"-port", "8080"},
		"no value":     {"-addr"},
		"busy port":    {"-addr", busy.Addr().String()},
		"no address":   {"-addr", "127.0.0.1"},
		"no port":      {"-addr", "127.0.0.1:99999"},
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
