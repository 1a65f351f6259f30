package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/duolink/duolink/internal/wire"
	"github.com/hashicorp/go-retryablehttp"
)

// request is what a client sends for a payload.
type request struct {
	method, path string
	body         any
}

// requests are the requests of all clients, by payload.
var requests = map[string]request{
	Auth3:        authRequest,
	Auth500:      authRequest,
	Identity2:    {http.MethodGet, "/links/mk_example_link_0001/identity", nil},
	Links1000:    {http.MethodGet, "/ds/login/links", nil},
	Accounts100k: {http.MethodGet, "/query/accounts?json=%7B%22ds_id%22%3A%22GAWA%22%7D", nil},
}

const accessToken = "mk_example_access_token_0001"

var authRequest = request{http.MethodPost, "/auth/get", map[string]string{"access_token": accessToken}}

// newHTTPClient is an http.Client with net/http's own defaults and a pool of its own. It keeps enough
// connections for all callers, because otherwise it would mostly dial.
func newHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = transport.MaxIdleConns
	return &http.Client{Transport: transport}
}

// byTags is duolink's reader. On the floor it shows the least that a call can cost with it.
var byTags = wire.New()

func readByTags(text []byte, to any) error {
	const limit = 64 << 20
	s := wire.Document(text, limit)
	if err := byTags.Read(s, to); err != nil {
		return err
	}
	return s.End()
}

// plainCall sends a request with net/http and reads the answer whole.
func plainCall[T any](
	ctx context.Context, do func(*http.Request) (*http.Response, error), url string, r request,
	decode func([]byte, any) error,
) (*T, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, url+r.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "floor/1.0")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Plaid-Client-Id", "example-client-id")
		req.Header.Set("Plaid-Secret", "example-secret")
		req.Header.Set("Plaid-Version", "2020-09-14")
	} else {
		req.Header.Set("Authorization", "Bearer example-token")
	}
	resp, err := do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	answer := new(T)
	return answer, decode(text, answer)
}

// plain makes a client of plain calls.
func plain[T any](name, base, payload, suffix string, do func(*http.Request) (*http.Response, error),
	decode func([]byte, any) error,
) Client {
	return Client{
		Name: name,
		Call: func(ctx context.Context) (any, error) {
			return plainCall[T](ctx, do, base+payload+suffix, requests[payload], decode)
		},
		Plain: func(answer any) (any, error) { return answer, nil },
	}
}

// floors are the floor, and what stands on it.
func floors[T any](base, payload, suffix string) []Client {
	all := []Client{plain[T]("floor", base, payload, suffix, newHTTPClient().Do, json.Unmarshal)}
	if unmarshalV2 != nil {
		all = append(all, plain[T]("encoding/json v2", base, payload, suffix, newHTTPClient().Do, unmarshalV2))
	}
	all = append(all,
		plain[T]("the floor with duolink's reader", base, payload, suffix, newHTTPClient().Do, readByTags))
	retrying := retryablehttp.NewClient()
	retrying.HTTPClient = newHTTPClient()
	retrying.Logger = nil
	do := func(req *http.Request) (*http.Response, error) {
		r, err := retryablehttp.FromRequest(req)
		if err != nil {
			return nil, err
		}
		return retrying.Do(r)
	}
	return append(all, plain[T]("go-retryablehttp", base, payload, suffix, do, json.Unmarshal))
}
