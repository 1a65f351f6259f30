package duolink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// canaryWorld is a client's surroundings, all of which write down what they are told, and a server that knows every mark.
type canaryWorld struct {
	prints
	logger   *slog.Logger
	marks    map[string]bool
	runs     int
	requests int
	quoted   int // texts that the server said back
	echoes   bool
	revealed int // answers that had marks in them, behind Reveal
}

func newCanaryWorld() *canaryWorld {
	w := &canaryWorld{prints: prints{out: map[string]*bytes.Buffer{}, formats: canaryFormats}, marks: map[string]bool{}}
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	w.logger = slog.New(slog.NewMultiHandler(slog.NewTextHandler(w, level), slog.NewJSONHandler(w, level)))
	return w
}

// variant is a way to prove who calls.
type variant struct {
	name string
	opts func(*canaryWorld) []Option
	call func(*canaryWorld) []CallOption
}

var canaryVariants = []variant{
	{"an API key and a token exchange", func(w *canaryWorld) []Option {
		return []Option{
			WithSupermetrics(BearerToken(w.secretAt("api key", credentialTail))),
			WithMoneyKit(ClientCredentials(w.secretAt("client id", credentialTail), w.secretAt("client secret", credentialTail))),
		}
	}, nil},
	{"functions and headers", func(w *canaryWorld) []Option {
		provide := func(context.Context) (string, error) { return w.secretAt("provided token", credentialTail), nil }
		return []Option{
			WithSupermetrics(BearerTokenFunc(provide)),
			WithMoneyKit(ClientHeaders(w.secretAt("header id", credentialTail), w.secretAt("header secret", credentialTail))),
		}
	}, nil},
	{"a token of the call", func(w *canaryWorld) []Option {
		return []Option{
			WithSupermetrics(BearerToken(w.secretAt("api key", credentialTail))),
			WithMoneyKit(ClientHeaders(w.secretAt("header id", credentialTail), w.secretAt("header secret", credentialTail))),
		}
	}, func(w *canaryWorld) []CallOption {
		return []CallOption{WithToken(w.secretAt("call token", credentialTail))}
	}},
}

// client is a client with everything on that tells what happens.
func (w *canaryWorld) client(t *testing.T, s situation, opts []Option) *Client {
	t.Helper()
	base := "https://host.test/" + w.secretAt("base path", "")
	c, err := New(append([]Option{
		WithBaseURL(Supermetrics, base+"/v2"), WithBaseURL(MoneyKit, base), WithUserAgent(plainMark + "/1"),
		WithHTTPClient(&http.Client{Transport: canaryServer{w, s}}), WithRetry(Retry{MaxAttempts: 2}), WithMaxResponseBytes(64 << 10),
		WithLogger(w.logger), WithHooks(w.hooks(s)), WithLimiter(canaryLimiter{w, s}),
	}, append(opts, s.opts...)...)...)
	require.NoError(t, err)
	return c
}

func (w *canaryWorld) callOptions(response *Response) []CallOption {
	opts := []CallOption{
		WithHeader("X-Trace", w.secretAt("header", ` & "a"`)), WithTenantHeader("X-Tenant", w.secretAt("tenant", "")),
	}
	if response != nil {
		opts = append(opts, WithResponse(response))
	}
	return opts
}

type canaryLimiter struct {
	w *canaryWorld
	s situation
}

func (l canaryLimiter) Wait(ctx context.Context, group string) error {
	l.w.value("limiter", group)
	if !l.s.brief {
		l.w.carried("limiter", ctx)
	}
	return nil
}

// carried prints what may have been put into a context, as fmt finds it there. The rest of it is the standard library's, and
// not to be looked into while another goroutine may cancel it.
func (w *canaryWorld) carried(way string, ctx context.Context) {
	w.add(way, fmt.Sprint(ctx))
	w.value(way, struct{ val any }{ctx.Value(plantedKey{})})
}

// plantedKey is what a planted leak in the context stands under.
type plantedKey struct{}

const hookPanic = "a hook's own words"

// hooks print what they are told, and one of them panics.
func (w *canaryWorld) hooks(s situation) Hooks {
	told := func(name string, ctx context.Context, v any) {
		w.value("hook", v)
		if name != "AttemptEnd" && !s.brief {
			w.carried("hook", ctx)
		}
		if name == s.panics {
			panic(hookPanic)
		}
	}
	return Hooks{
		AttemptStart: func(ctx context.Context, a Attempt) { told("AttemptStart", ctx, a) },
		AttemptEnd:   func(ctx context.Context, a Attempt) { told("AttemptEnd", ctx, a) },
		Wait:         func(ctx context.Context, v Wait) { told("Wait", ctx, v) },
		Cooldown:     func(ctx context.Context, v Cooldown) { told("Cooldown", ctx, v) },
		TokenRenewal: func(ctx context.Context, v TokenRenewal) { told("TokenRenewal", ctx, v) },
		Abandoned:    func(ctx context.Context, v Abandoned) { told("Abandoned", ctx, v) },
	}
}

// canaryWaits are the methods that ask again and again while it may help.
var canaryWaits = []string{"Links.Await", "Identity.RefreshAndGet", "Auth.RefreshAndNumbers"}

// outlived is longer than anything goes on for which nobody waits any more: a refresh, a creation, a token exchange.
const outlived = time.Hour

// run makes one call, in a bubble of its own: whatever the call has started must have ended when the bubble does. So a run that
// goes on when its caller has left is over before the next call changes the world, and its leaks are not another call's.
func (w *canaryWorld) run(t *testing.T, m canaryMethod, v variant, s situation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { w.printRun(t, m, v, s) })
}

// printRun makes one call and prints all that comes of it.
func (w *canaryWorld) printRun(t *testing.T, m canaryMethod, v variant, s situation) {
	w.formats, w.echoes = canaryFormats, s.echoes
	if s.brief {
		w.formats = briefFormats
	}
	opts := v.opts(w)
	c := w.client(t, s, opts)
	var response Response
	callOpts := w.callOptions(&response)
	if v.call != nil && !strings.HasSuffix(m.name, "Auth.Get") {
		callOpts = append(callOpts, v.call(w)...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	switch {
	case s.ctx != nil:
		ctx, cancel = s.ctx()
	case slices.Contains(canaryWaits, m.name):
		ctx, cancel = context.WithTimeout(context.Background(), 5*time.Second)
	}
	defer cancel()
	var (
		values []any
		err    error
	)
	text := recovered(func() { values, err = w.call(t, ctx, m, c, s.spoil, append(callOpts, s.call...)) })
	w.add("panic", text)
	if text != "" {
		require.Equal(t, hookPanic+hookPanic, text)
	}
	if s.after != nil {
		err = s.after(w, err)
	}
	if err != nil {
		require.False(t, s.good, "%v", err)
		w.failure(err, !s.foreign)
	}
	if s.good {
		w.answers(t, values)
	}
	if s.value != nil {
		s.value(w)
	}
	for _, r := range []any{response, struct{ R any }{&response}, response.Attempts} {
		w.value("response", r)
	}
	time.Sleep(outlived)
	synctest.Wait()
	if s.name == "success" {
		for _, v := range []any{c, struct{ c *Client }{c}, m.call(c).Interface(), opts, callOpts, c.config.credentials} {
			w.value("client", v)
		}
	}
}

// call fills in a method's parameters and gathers what it returns; an iterator is ranged over.
func (w *canaryWorld) call(t *testing.T, ctx context.Context, m canaryMethod, c *Client, spoil string, opts []CallOption) (values []any, err error) {
	f := m.call(c)
	var in []reflect.Value
	for i, typ := range slices.Collect(f.Type().Ins()) {
		switch typ {
		case reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(ctx))
		case reflect.TypeFor[[]CallOption]():
			in = append(in, reflect.ValueOf(opts))
		default:
			in = append(in, w.argument(t, typ, fmt.Sprintf("%s %d", m.name, i), spoil))
		}
	}
	note := func(v reflect.Value) {
		if v.Type() == reflect.TypeFor[error]() {
			if e, ok := v.Interface().(error); ok {
				err = e
			}
			return
		}
		values = append(values, v.Interface())
	}
	for _, out := range f.CallSlice(in) {
		if out.Kind() != reflect.Func {
			note(out)
			continue
		}
		for item, failure := range out.Seq2() {
			note(item)
			note(failure)
		}
	}
	return values, err
}

// answers prints what a call returned, and sees to it that there was something to hide.
func (w *canaryWorld) answers(t *testing.T, values []any) {
	require.NotEmpty(t, values)
	for _, v := range values {
		w.value("answer", v)
		w.helpers(v)
		if !revealed.Holds(reflect.TypeOf(v)) {
			continue
		}
		b, err := RevealJSON(v)
		require.NoError(t, err)
		require.Contains(t, string(b), plainMark, "%T", v)
		if strings.Contains(string(b), hiddenMark) {
			w.revealed++
		}
	}
}

// helpers prints what an answer's own methods make of it.
func (w *canaryWorld) helpers(v any) {
	for _, m := range reflect.ValueOf(v).Methods() {
		var in []reflect.Value
		switch typ := m.Type(); {
		case typ.NumIn() == 1 && typ.In(0).Kind() == reflect.String:
			in = append(in, reflect.ValueOf(canaryAccountID))
		case typ.NumIn() > 0:
			continue
		}
		for _, out := range m.Call(in) {
			w.value("answer", out.Interface())
		}
	}
}

// canaryServer answers each request with what the situation says, and the token exchange too where that is the situation.
type canaryServer struct {
	w *canaryWorld
	s situation
}

// asked is a request as it arrived, and the how manieth.
type asked struct {
	*http.Request
	body string
	nth  int
	w    *canaryWorld
}

func (c canaryServer) RoundTrip(r *http.Request) (*http.Response, error) {
	a := asked{Request: r, w: c.w}
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		a.body = string(b)
		_ = r.Body.Close()
	}
	c.w.mu.Lock()
	c.w.requests++
	a.nth = c.w.requests
	c.w.mu.Unlock()
	if c.s.plant != nil {
		c.s.plant(c.w, a)
	}
	exchange := strings.HasSuffix(r.URL.Path, "/auth/token")
	if c.s.answer == nil || exchange != c.s.exchange {
		return reply(200, c.w.answerTo(a, false)), nil
	}
	return c.s.answer(a)
}

// givingUp is a context that is canceled after a while, or at once.
func givingUp(d time.Duration) func() (context.Context, context.CancelFunc) {
	return func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		if d < 0 {
			cancel()
			return ctx, cancel
		}
		timer := time.AfterFunc(d, cancel)
		return ctx, func() { timer.Stop(); cancel() }
	}
}

// failingReader is a connection that breaks in the middle of an answer.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }
