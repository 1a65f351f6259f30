package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/bench/answers"
)

// Load is what many callers of one client get.
type Load struct {
	PerSecond float64 // calls
	Dials     int     // connections
}

// MeasureLoad makes calls from many goroutines at once.
func MeasureLoad(ctx context.Context, server *Server, client Client, calls, callers int) (Load, error) {
	before, err := server.Dials()
	if err != nil {
		return Load{}, err
	}
	began := time.Now()
	if err := Run(ctx, client.Call, calls, callers); err != nil {
		return Load{}, err
	}
	took := time.Since(began)
	after, err := server.Dials()
	return Load{float64(calls) / took.Seconds(), after - before - 1}, err // one was to ask before
}

// AsTheyAre are the floor and duolink on a small call, each with the transport that it has by default.
// net/http's keeps two idle connections to a host.
func AsTheyAre(base string) []Client {
	client := http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	return []Client{
		plain[answers.AuthAnswer]("floor", base, Auth3, "", client.Do, json.Unmarshal), duolinkAuth(base, Auth3),
	}
}

// InMemory are the floor and duolink on a small call that reaches no network.
func InMemory() []Client {
	const base = "http://localhost/"
	body := payloads[Auth3]()
	client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})}
	return []Client{
		plain[answers.AuthAnswer]("floor", base, Auth3, "", client.Do, json.Unmarshal),
		authOf(newDuolink(base, Auth3, duolink.WithHTTPClient(client))),
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
