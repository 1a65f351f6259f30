package duolinkotel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
)

// A mark is in everything that the caller sends, and another one in everything that the server
// says. They have nothing in common, because the client takes the caller's texts out of the
// server's words. The server's looks like a code and like the name of a member, so that the client
// keeps it.
const (
	callersMark = "Kx7vQ2wZ9pLm"
	serversMark = "HBQTRXNYWSDF"
)

// situations are what the server or the transport does. Each gets the golden answer of the
// operation.
var situations = map[string]func(r *http.Request, golden string) (*http.Response, error){
	"success": func(_ *http.Request, golden string) (*http.Response, error) { return answer(200, golden), nil },
	"new members": func(_ *http.Request, golden string) (*http.Response, error) {
		return answer(200, strings.Replace(golden, "{", `{"`+serversMark+`":1,`, 1)), nil
	},
	"new members that quote": func(r *http.Request, golden string) (*http.Response, error) {
		return answer(200, strings.Replace(golden, "{", `{"`+r.Header.Get("X-Tenant")+`":"`+callersMark+`",`, 1)), nil
	},
	"other values": func(_ *http.Request, golden string) (*http.Response, error) {
		marked := strings.NewReplacer(`": "`, `": "`+serversMark, `":"`, `":"`+serversMark).Replace(golden)
		return answer(200, marked), nil
	},
	"text": func(*http.Request, string) (*http.Response, error) { return answer(200, serversMark), nil },
	"HTML": func(*http.Request, string) (*http.Response, error) {
		return answer(502, "<html>"+serversMark+callersMark), nil
	},
	"broken off": func(_ *http.Request, golden string) (*http.Response, error) {
		resp := answer(200, golden)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"`+serversMark), failing{}))
		return resp, nil
	},
	"a redirect": func(*http.Request, string) (*http.Response, error) {
		resp := answer(302, "")
		resp.Header.Set("Location", "https://"+serversMark+".test/"+callersMark)
		return resp, nil
	},
	"another encoding": func(*http.Request, string) (*http.Response, error) {
		resp := answer(200, "x")
		resp.Header.Set("Content-Encoding", serversMark)
		return resp, nil
	},
	"a transport's error": func(r *http.Request, _ string) (*http.Response, error) {
		return nil, fmt.Errorf("%s %s: %s", serversMark, r.URL, r.Header)
	},
}

// dialects are error bodies, with marks in all that the client reads of them.
var dialects = map[string]string{
	"flat":   `{"error":"%[1]s","message":"%[1]s %[2]s"}`,
	"nested": `{"meta":{"request_id":"%[1]s"},"error":{"code":"%[1]s","message":"%[1]s %[2]s","description":"%[1]s"}}`,
	"native": `{"error_code":"%[1]s","error_message":"%[1]s","link_error_code":"%[1]s",` +
		`"documentation_url":"https://%[1]s.test","detail":[{"loc":["%[1]s"],"msg":"%[1]s %[2]s","type":"%[1]s"}]}`,
	"plaid": `{"error_type":"%[1]s","error_code":"%[1]s","error_message":"%[1]s","display_message":"%[1]s",` +
		`"request_id":"%[1]s","documentation_url":"%[1]s","suggested_action":"%[1]s"}`,
	"quoting": `{"meta":{"request_id":"%[2]s"},"error":{"code":"%[2]s","message":"%[2]s","description":"%[2]s"}}`,
}

func init() {
	for dialect, body := range dialects {
		for _, status := range []int{200, 400, 401, 403, 404, 408, 409, 410, 418, 422, 429, 500, 503, 599, 600, 999} {
			situations[fmt.Sprintf("%s %d", dialect, status)] = func(*http.Request, string) (*http.Response, error) {
				return answer(status, fmt.Sprintf(body, serversMark, callersMark)), nil
			}
		}
	}
}

// failing is a connection that breaks in the middle of an answer.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New(serversMark + callersMark) }

// answer is an answer with marks in its header.
func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, serversMark), ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"X-Request-Id": {serversMark}, "X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {"7"},
			"X-" + serversMark: {callersMark}, "Set-Cookie": {serversMark + "=" + serversMark},
		},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// canary is one world of calls, in which everything is marked.
type canary struct {
	o      *telemetry
	client *duolink.Client
	calls  int

	sent, said atomic.Int64 // requests with the caller's mark, answers with the server's
	act        func(r *http.Request, golden string) (*http.Response, error)
	golden     map[string]string
}

func newCanary(t *testing.T, more ...duolink.Hooks) *canary {
	t.Helper()
	w := &canary{o: newTelemetry(), golden: map[string]string{}}
	for _, op := range operations.All {
		text, err := os.ReadFile(filepath.Join("../../testdata", op.Sample))
		require.NoError(t, err)
		w.golden[op.Operation()] = string(text)
	}
	mine := duolink.Hooks{AttemptHeader: func(_ context.Context, h http.Header) {
		h.Set("X-Mine", callersMark)
	}}
	// Baggage goes to the vendor, and nowhere else.
	both := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	hooks := Join(append([]duolink.Hooks{mine, w.o.hooks(t, WithPropagator(both))}, more...)...)
	var err error
	w.client, err = duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(callersMark+"_key")),
		duolink.WithMoneyKit(duolink.ClientCredentials(callersMark+"_id", callersMark+"_secret", callersMark+"_scope")),
		duolink.WithBaseURL(duolink.Supermetrics, "https://gateway.test/"+callersMark+"/v2"),
		duolink.WithBaseURL(duolink.MoneyKit, "https://gateway.test/"+callersMark),
		duolink.WithUserAgent(callersMark), duolink.WithHooks(hooks), duolink.WithRetry(duolink.Retry{MaxAttempts: 2}),
		duolink.WithHTTPClient(&http.Client{Transport: roundTrip(w.serve)}),
	)
	require.NoError(t, err)
	return w
}

func (w *canary) serve(r *http.Request) (*http.Response, error) {
	if strings.Contains(fmt.Sprint(r.Header, r.URL), callersMark) {
		w.sent.Add(1)
	}
	if strings.HasSuffix(r.URL.Path, "/auth/token") {
		return answer(200, `{"access_token":"`+serversMark+`","expires_in":3600}`), nil
	}
	_, path, _ := strings.Cut(r.URL.Path, callersMark)
	op, ok := operations.Asked(r.Method, path)
	if !ok {
		return nil, errors.New("nothing is known of it")
	}
	w.said.Add(1)
	return w.act(r, w.golden[op.Operation()])
}

// call calls an operation with marks in its id, its headers and its context.
func (w *canary) call(ctx context.Context, op operations.Operation) {
	opts := []duolink.CallOption{
		duolink.WithHeader("X-Own", callersMark), duolink.WithTenantHeader("X-Tenant", callersMark+"_tenant"),
	}
	w.calls++
	if op.On != nil {
		_ = op.On(ctx, w.client, callersMark, opts...)
		return
	}
	_ = op.Call(ctx, w.client, opts...)
}

// exports are all that an exporter could write, in two notations.
func (w *canary) exports(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, s := range w.o.spans(t) {
		texts = append(texts, prints(t, s)...)
	}
	return append(texts, prints(t, *w.o.collect(t))...)
}

// TestCanary calls every operation in every situation and looks for the marks in what is exported.
func TestCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCanary(t)
		member, err := baggage.NewMember("user", callersMark)
		require.NoError(t, err)
		bag, err := baggage.New(member)
		require.NoError(t, err)
		ctx := baggage.ContextWithBaggage(t.Context(), bag)
		for _, act := range situations {
			w.act = act
			for _, op := range operations.All {
				w.call(ctx, op)
				time.Sleep(time.Hour) // until no limit group is closed and every token is old
			}
		}
		w.ends(ctx)
		w.panics(t, ctx)
		w.providers(t, ctx)

		texts, size := w.exports(t), 0
		for _, text := range texts {
			size += len(text)
			for _, mark := range []string{callersMark, serversMark} {
				require.Empty(t, found(text, mark), "%.2000s", text)
			}
		}
		t.Logf("%d calls, %d requests, %d texts with %d bytes", w.calls, w.sent.Load(), len(texts), size)
		require.Greater(t, w.calls, 1500)
		require.Greater(t, w.sent.Load(), int64(w.calls))
		require.Greater(t, w.said.Load(), int64(w.calls))
		require.Greater(t, len(texts), 2*w.calls)
		series := w.o.series(t)
		requireAllowed(t, w.o.spans(t), series)
		require.Contains(t, series, "duolink.drift{duolink.api=supermetrics,duolink.drift.kind=unknown member,"+
			"duolink.operation=links.get}", "the marks in answers were read")
	})
}

// ends are calls whose context ends, with a mark in the cause.
func (w *canary) ends(ctx context.Context) {
	for _, op := range operations.All {
		own, cancel := context.WithCancelCause(ctx)
		w.act = func(r *http.Request, _ string) (*http.Response, error) {
			cancel(errors.New(callersMark))
			return nil, r.Context().Err()
		}
		w.call(own, op)
		w.call(own, op) // before it is sent
		cancel(nil)
	}
}

// panics are calls whose transport panics, with marks in the value.
func (w *canary) panics(t *testing.T, ctx context.Context) {
	w.act = func(*http.Request, string) (*http.Response, error) { panic(serversMark + callersMark) }
	for _, op := range operations.Methods {
		require.Panics(t, func() { w.call(ctx, op) })
	}
}

// providers are calls that a function of the caller's ends, with an error full of marks.
func (w *canary) providers(t *testing.T, ctx context.Context) {
	theirs := &duolink.Error{
		API: callersMark, Operation: callersMark, Code: callersMark, Message: callersMark, RequestID: callersMark,
		Outcome: callersMark, Description: callersMark,
	}
	for _, err := range []error{theirs, errors.New(callersMark), &duolink.Error{Message: callersMark}} {
		limiter := refusing{err}
		token := duolink.BearerTokenFunc(func(context.Context) (string, error) { return "", err })
		for _, more := range [][]duolink.Option{
			{duolink.WithSupermetrics(token), duolink.WithMoneyKit(token)},
			{
				duolink.WithSupermetrics(duolink.BearerToken(callersMark)),
				duolink.WithMoneyKit(duolink.ClientCredentials(callersMark, callersMark)), duolink.WithLimiter(limiter),
			},
		} {
			client, err := duolink.New(append(more, duolink.WithHooks(w.o.hooks(t)))...)
			require.NoError(t, err)
			for _, op := range operations.All {
				w.calls++
				require.Error(t, op.Call(ctx, client))
			}
		}
	}
}

// refusing is a Limiter that lets nothing out.
type refusing struct{ err error }

func (l refusing) Wait(context.Context, duolink.Group) error { return l.err }
func (l refusing) Report(duolink.Group, duolink.Answer)      {}
