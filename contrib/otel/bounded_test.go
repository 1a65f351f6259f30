package duolinkotel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/duolink/duolink"
)

// mostSeries bounds the series of the calls below: 4 operations, 20 ends of a request each, and
// what the other metrics have of them.
const mostSeries = 300

// Ten thousand calls for random ids, at a server that says something new each time: random codes,
// messages, request ids, new members, statuses that do not exist. The first two thousand make all
// series, and the others none. The SDK's own bound is off.
func TestSeriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, random := newTelemetry(), rand.New(rand.NewPCG(1, 2))
		client, err := duolink.New(duolink.WithSupermetrics(duolink.BearerToken("key")), duolink.WithHooks(o.hooks(t)),
			duolink.WithRetry(duolink.Retry{MaxAttempts: 2, MaxWait: time.Hour}),
			duolink.WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return randomAnswer(random)
			})}))
		require.NoError(t, err)
		early := 0
		for n := range 10_000 {
			if n == 2_000 {
				early = len(o.series(t))
			}
			randomCall(t.Context(), random, client)
		}
		all := o.series(t)
		t.Logf("%d series after 2,000 calls, %d after 10,000", early, len(all))
		require.Len(t, all, early)
		require.Less(t, len(all), mostSeries)
		require.Greater(t, len(all), 100, "much has happened")
		requireAllowed(t, nil, all)
		require.Len(t, callsIn(o.spans(t)), 10_000)
	})
}

func randomCall(ctx context.Context, random *rand.Rand, client *duolink.Client) {
	id := fmt.Sprintf("dsll_%x", random.Uint64())
	switch random.IntN(4) {
	case 0:
		_, _ = client.Links.Get(ctx, id)
	case 1:
		_, _ = client.Links.Update(ctx, id, duolink.LoginLinkUpdate{Description: id})
	case 2:
		_, _ = client.Links.Close(ctx, id)
	default:
		_, _ = client.Logins.Get(ctx, id)
	}
}

// randomAnswer is a good answer, a refusal, or a failure of the connection.
func randomAnswer(random *rand.Rand) (*http.Response, error) {
	word := func() string { return strings.ToUpper(fmt.Sprintf("w%x", random.Uint64())) }
	failures := []error{errors.New(word()), syscall.ECONNREFUSED, syscall.ECONNRESET, context.DeadlineExceeded}
	statuses := []int{400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503, 600 + random.IntN(400)}
	switch kind := random.IntN(4); kind {
	case 0:
		return nil, failures[random.IntN(len(failures))]
	case 1:
		name := strings.Map(func(r rune) rune { return 'a' + r%26 }, word())
		return answer(200, fmt.Sprintf(`{"data":{"link_id":"%[2]s","login_id":"%[2]s","%[1]s":1}}`, name, word())), nil
	default:
		body := `{"meta":{"request_id":"%s"},"error":{"code":"%s","message":"%s"}}`
		resp := answer(statuses[random.IntN(len(statuses))], fmt.Sprintf(body, word(), word(), word()))
		resp.Header.Set("X-Request-Id", word())
		return resp, nil
	}
}

// error.type is a status of HTTP or one of 64 words at most, whatever the failure.
func TestErrorType(t *testing.T) {
	require.LessOrEqual(t, len(words), 64)
	for _, tc := range []struct {
		status  int
		failure string
		want    string
	}{
		{404, "not found", "404"},
		{599, "server error", "599"},
		{600, "server error", "server error"},
		{999, "server error", "server error"},
		{-1, "server error", "server error"},
		{200, "the answer broke off", "the answer broke off"},
		{302, "malformed response", "malformed response"},
		{0, "connection refused (api.moneykit.com:443)", "connection refused"},
		{0, "host not found (api.moneykit.com:443)", "host not found"},
		{0, "certificate not trusted: it is for another host", "certificate not trusted"},
		{0, "the server refused the TLS connection: tls: bad certificate", "the server refused the TLS connection"},
		{0, "the proxy refused the tunnel: 407 Proxy Authentication Required", "the proxy refused the tunnel"},
		{0, "the limiter let nothing out: anything", "the limiter let nothing out"},
		{0, "", "_OTHER"},
		{0, "anything", "_OTHER"},
		{0, "NOT FOUND", "_OTHER"},
		{0, "anything (not found)", "_OTHER"},
		{0, "anything: not found", "_OTHER"},
	} {
		require.Equal(t, semconv.ErrorTypeKey.String(tc.want), errorType(tc.status, tc.failure), "%+v", tc)
	}
}

// Of an attempt: what is known, and nothing that is not a status.
func TestResult(t *testing.T) {
	status, failure := semconv.HTTPResponseStatusCode, semconv.ErrorTypeKey.String
	for _, tc := range []struct {
		status  int
		failure string
		want    []attribute.KeyValue
		failed  bool
	}{
		{200, "", []attribute.KeyValue{status(200)}, false},
		{404, "not found", []attribute.KeyValue{status(404), failure("404")}, true},
		{404, "", []attribute.KeyValue{status(404), failure("404")}, true}, // taken for success
		{0, "timeout", []attribute.KeyValue{failure("timeout")}, true},
		{0, "", []attribute.KeyValue{failure("_OTHER")}, true},
		{999, "server error", []attribute.KeyValue{failure("server error")}, true},
		{99, "malformed response", []attribute.KeyValue{failure("malformed response")}, true},
	} {
		attrs, failed := result(duolink.Attempt{Status: tc.status, Failure: tc.failure})
		require.Equal(t, tc.want, attrs, "%+v", tc)
		require.Equal(t, tc.failed, failed, "%+v", tc)
	}
}
