package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exchange is one request of a test. Header lines are "Name: value".
type exchange struct {
	method, target string
	header         []string
	body           string
}

// result is an answer, read.
type result struct {
	status int
	header http.Header
	text   string
	json   obj
}

func do(t *testing.T, s *Sandbox, e exchange) result {
	t.Helper()
	r := httptest.NewRequest(e.method, e.target, strings.NewReader(e.body))
	for _, line := range e.header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return read(t, w.Result())
}

func read(t *testing.T, resp *http.Response) result {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	out := result{status: resp.StatusCode, header: resp.Header, text: string(body)}
	if len(body) > 0 {
		require.NoError(t, json.Unmarshal(body, &out.json), "%s", body)
	}
	return out
}

// at walks into JSON: names for objects, numbers for lists.
func (r result) at(path ...any) any {
	var v any = r.json
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(obj)
			v = m[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

var (
	keyHeader  = "Authorization: Bearer " + APIKey
	jsonHeader = "Content-Type: application/json"
	version    = "MoneyKit-Version: 2023-02-18"
	pair       = []string{version, "X-Client-Id: " + ClientID, "X-Client-Secret: " + ClientSecret}
)

// sm is a Supermetrics request with credentials; a body makes it JSON.
func sm(method, path, body string) exchange {
	e := exchange{method, "/v2" + path, []string{keyHeader}, body}
	if body != "" {
		e.header = append(e.header, jsonHeader)
	}
	return e
}

// mk is a MoneyKit request with the header pair.
func mk(method, path, body string) exchange {
	e := exchange{method, path, append([]string{}, pair...), body}
	if body != "" {
		e.header = append(e.header, jsonHeader)
	}
	return e
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := New()
	tests := []struct {
		method, path string
		status       int
		body, allow  string
	}{
		{"GET", "/v2/nothing", 404, `"code":"NOT_FOUND"`, ""},
		{"GET", "/v2", 404, `"code":"NOT_FOUND"`, ""},
		{"GET", "/v2/ds/logins/", 404, `"code":"NOT_FOUND"`, ""},
		{"GET", "/enterprise/v2/nothing", 404, `"code":"NOT_FOUND"`, ""},
		{"POST", "/v2/ds/login/links", 405, `"code":"METHOD_NOT_ALLOWED"`, "GET"},
		{"DELETE", "/v2/ds/login/link/dsll_1", 405, `"code":"METHOD_NOT_ALLOWED"`, "GET, PATCH"},
		{"GET", "/nothing", 404, `{"detail":"Not Found"}`, ""},
		{"GET", "/links//identity", 404, `{"detail":"Not Found"}`, ""},
		{"DELETE", "/links/x", 405, `{"detail":"Method Not Allowed"}`, "GET"},
		{"GET", "/plaid-compatible/auth/get", 405, `{"detail":"Method Not Allowed"}`, "POST"},
		{"POST", "/plaid-compatible/nothing", 404, `{"detail":"Not Found"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			got := do(t, s, exchange{method: tt.method, target: tt.path})
			require.Equal(t, tt.status, got.status)
			require.Contains(t, got.text, tt.body)
			require.Equal(t, tt.allow, got.header.Get("Allow"))
		})
	}
}

func TestRecords(t *testing.T) {
	s := New()
	do(t, s, sm("GET", "/ds/login/dsl_1?x=1", ""))
	do(t, s, sm("PATCH", "/ds/login/link/dsll_1", `{"description":"new"}`))
	do(t, s, exchange{method: "GET", target: "/nothing"})
	do(t, s, sm("GET", `/query/accounts?json=%7B%22ds_id%22%3A%22FB%22%2C%22api_key%22%3A%22x%22%7D`, ""))

	list := s.Requests()
	require.Len(t, list, 4)
	require.Equal(t, "logins.get", list[0].Operation)
	require.Equal(t, "x=1", list[0].RawQuery)
	require.Equal(t, "Bearer "+APIKey, list[0].Header.Get("Authorization"))
	require.False(t, list[0].KeyInQuery)
	require.Equal(t, "/v2/ds/login/link/dsll_1", list[1].Path)
	require.Equal(t, `{"description":"new"}`, string(list[1].Body))
	require.Equal(t, 200, list[1].Status)
	require.Empty(t, list[2].Operation)
	require.Equal(t, 404, list[2].Status)
	require.True(t, list[3].KeyInQuery)
	require.Equal(t, 200, list[3].Status)

	require.Equal(t, 1, s.Count("links.update"))
	require.Equal(t, 4, s.Count(""))
	s.ResetRequests()
	require.Empty(t, s.Requests())
	require.Zero(t, s.Count(""))
}

func TestRecordsAreBounded(t *testing.T) {
	s := New()
	r := httptest.NewRequest("GET", "/nothing", nil)
	for range maxRecords + 5 {
		s.arrive(find(r))
	}
	require.Len(t, s.records.list, maxRecords)
	require.Equal(t, maxRecords+5, s.Count(""))
}

func TestTwoSandboxesSeeTheSameIDs(t *testing.T) {
	first := do(t, New(), sm("GET", "/ds/logins", ""))
	second := do(t, New(), sm("GET", "/ds/logins", ""))
	require.Equal(t, first.header.Get("X-Request-Id"), second.header.Get("X-Request-Id"))
}
