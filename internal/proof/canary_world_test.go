package proof

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/duolink/duolink"
	"github.com/stretchr/testify/require"
)

// canaryWorld is a client's surroundings, all of which write down what they are told, and a server
// that knows every mark.
type canaryWorld struct {
	prints
	logger   *slog.Logger
	marks    map[string]bool
	runs     int
	requests int
	quoted   int // texts that the server said back
	echoes   bool
	good     bool // the call ends well
	revealed int  // answers that had marks in them, behind Reveal
}

func newCanaryWorld() *canaryWorld {
	w := &canaryWorld{prints: prints{out: map[string]*bytes.Buffer{}, formats: canaryFormats}, marks: map[string]bool{}}
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	w.logger = slog.New(slog.NewMultiHandler(slog.NewTextHandler(w, level), slog.NewJSONHandler(w, level)))
	return w
}

// variant is a way to prove who calls.
type variant struct {
	name        string
	credentials func(*canaryWorld) credentials
	call        func(*canaryWorld) []duolink.CallOption
}

type credentials map[duolink.API]duolink.Credentials

// options are those of a client with these credentials.
func (c credentials) options() []duolink.Option {
	return []duolink.Option{
		duolink.WithSupermetrics(c[duolink.Supermetrics]), duolink.WithMoneyKit(c[duolink.MoneyKit]),
	}
}

var canaryVariants = []variant{
	{name: "an API key and a token exchange", credentials: func(w *canaryWorld) credentials {
		id, secret := w.secretAt("client id", credentialTail), w.secretAt("client secret", credentialTail)
		return credentials{
			duolink.Supermetrics: duolink.BearerToken(w.secretAt("api key", credentialTail)),
			duolink.MoneyKit:     duolink.ClientCredentials(id, secret),
		}
	}},
	{name: "functions and headers", credentials: func(w *canaryWorld) credentials {
		provide := func(context.Context) (string, error) { return w.secretAt("provided token", credentialTail), nil }
		return credentials{
			duolink.Supermetrics: duolink.BearerTokenFunc(provide), duolink.MoneyKit: w.headerPair(),
		}
	}},
	{name: "a token of the call", credentials: func(w *canaryWorld) credentials {
		return credentials{
			duolink.Supermetrics: duolink.BearerToken(w.secretAt("api key", credentialTail)),
			duolink.MoneyKit:     w.headerPair(),
		}
	}, call: func(w *canaryWorld) []duolink.CallOption {
		return []duolink.CallOption{duolink.WithToken(w.secretAt("call token", credentialTail))}
	}},
}

func (w *canaryWorld) headerPair() duolink.Credentials {
	return duolink.ClientHeaders(w.secretAt("header id", credentialTail), w.secretAt("header secret", credentialTail))
}

// client is a client with everything on that tells what happens.
func (w *canaryWorld) client(t *testing.T, s situation, opts []duolink.Option) *duolink.Client {
	t.Helper()
	base := "https://host.test/" + w.secretAt("base path", "")
	c, err := duolink.New(append([]duolink.Option{
		duolink.WithBaseURL(duolink.Supermetrics, base+"/v2"),
		duolink.WithBaseURL(duolink.MoneyKit, base), duolink.WithUserAgent(plainMark + "/1"),
		duolink.WithHTTPClient(&http.Client{Transport: canaryServer{w, s}}),
		duolink.WithRetry(duolink.Retry{MaxAttempts: 2}), duolink.WithMaxResponseBytes(64 << 10),
		duolink.WithLogger(w.logger), duolink.WithHooks(w.hooks(s)), duolink.WithLimiter(canaryLimiter{w, s}),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

func (w *canaryWorld) callOptions(response *duolink.Response) []duolink.CallOption {
	opts := []duolink.CallOption{
		duolink.WithHeader("X-Trace", w.secretAt("header", ` & "a"`)),
		duolink.WithTenantHeader("X-Tenant", w.secretAt("tenant", "")),
	}
	if response != nil {
		opts = append(opts, duolink.WithResponse(response))
	}
	return opts
}

type canaryLimiter struct {
	w *canaryWorld
	s situation
}

func (l canaryLimiter) Report(group duolink.Group, answer duolink.Answer) {
	l.w.value("limiter", group)
	l.w.value("limiter", answer)
}

func (l canaryLimiter) Wait(ctx context.Context, group duolink.Group) error {
	l.w.value("limiter", group)
	if !l.s.brief {
		l.w.value("limiter", hiddenValue{group})
		l.w.carried("limiter", ctx)
	}
	return nil
}

// hiddenValue is a caller's value that has another in it, which fmt asks no method of.
type hiddenValue struct{ v any }

// carried prints a context as fmt does, and what a package other than the standard library's has
// put into it, as fmt finds it there. The rest is not to be looked into while another goroutine may
// cancel it.
func (w *canaryWorld) carried(way string, ctx context.Context) {
	w.add(way, fmt.Sprint(ctx))
	for _, val := range valuesIn(ctx) {
		w.value(way, struct{ val any }{val})
	}
}

// valuesIn are the values in a context whose keys are no types of the standard library.
func valuesIn(ctx context.Context) (all []any) {
	for v := reflect.ValueOf(ctx); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct; {
		v = v.Elem()
		if key := v.FieldByName("key"); key.IsValid() && strings.Contains(key.Elem().Type().PkgPath(), ".") {
			val := v.FieldByName("val")
			all = append(all, reflect.NewAt(val.Type(), val.Addr().UnsafePointer()).Elem().Interface())
		}
		parent := v.FieldByName("Context")
		if !parent.IsValid() { // it has none, or one that nothing ends
			parent = v.FieldByName("c")
		}
		if !parent.IsValid() {
			return all
		}
		v = parent.Elem()
	}
	return all
}

const hookPanic = "a hook's own words"

// hooks print what they are told, and one of them panics.
func (w *canaryWorld) hooks(s situation) duolink.Hooks {
	told := func(name string, ctx context.Context, v any) {
		w.value("hook", v)
		if name != "AttemptEnd" && name != "CallEnd" && !s.brief {
			w.value("hook", hiddenValue{v})
			w.carried("hook", ctx)
		}
		if name == s.panics {
			panic(hookPanic)
		}
	}
	return duolink.Hooks{
		CallStart: func(ctx context.Context, c duolink.Call) context.Context {
			told("CallStart", ctx, c)
			return ctx
		},
		CallEnd: func(ctx context.Context, c duolink.Call) { told("CallEnd", ctx, c) },
		AttemptHeader: func(_ context.Context, h http.Header) {
			h.Set("Baggage", w.secretAt("header of a hook", ""))
		},
		AttemptStart: func(ctx context.Context, a duolink.Attempt) { told("AttemptStart", ctx, a) },
		AttemptEnd:   func(ctx context.Context, a duolink.Attempt) { told("AttemptEnd", ctx, a) },
		Wait:         func(ctx context.Context, v duolink.Wait) { told("Wait", ctx, v) },
		Cooldown:     func(ctx context.Context, v duolink.Cooldown) { told("Cooldown", ctx, v) },
		TokenRenewal: func(ctx context.Context, v duolink.TokenRenewal) { told("TokenRenewal", ctx, v) },
		Abandoned:    func(ctx context.Context, v duolink.Abandoned) { told("Abandoned", ctx, v) },
		Drift:        func(ctx context.Context, v duolink.Drift) { told("Drift", ctx, v) },
	}
}

// outlived is longer than anything goes on for which nobody waits any more: a refresh, a creation,
// a token exchange.
const outlived = time.Hour

// run makes one call, in a bubble of its own: whatever the call has started must have ended when
// the bubble does. So a run that goes on when its caller has left is over before the next call
// changes the world, and its leaks are not another call's.
func (w *canaryWorld) run(t *testing.T, m canaryMethod, v variant, s situation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { w.printRun(t, m, v, s) })
}

// printRun makes one call and prints all that comes of it.
func (w *canaryWorld) printRun(t *testing.T, m canaryMethod, v variant, s situation) {
	w.formats, w.echoes, w.good = canaryFormats, s.echoes, s.good
	if s.brief {
		w.formats = briefFormats
	}
	creds := v.credentials(w)
	opts := creds.options()
	if s.bare {
		opts = nil
	}
	c, response := w.client(t, s, opts), duolink.Response{}
	callOpts := w.callOptions(&response)
	if v.call != nil && !m.pair {
		callOpts = append(callOpts, v.call(w)...)
	}
	ctx, cancel := s.context(m)
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
		for _, v := range []any{c, struct{ c *duolink.Client }{c}, m.call(c).Interface(), opts, callOpts, creds} {
			w.value("client", v)
		}
	}
}

// context is the one of a call of a method.
func (s situation) context(m canaryMethod) (context.Context, context.CancelFunc) {
	switch {
	case s.ctx != nil:
		return s.ctx()
	case m.waits:
		return context.WithTimeout(context.Background(), 5*time.Second)
	}
	return context.WithCancel(context.Background())
}

// call fills in a method's parameters and gathers what it returns; an iterator is ranged over.
func (w *canaryWorld) call(
	t *testing.T, ctx context.Context, m canaryMethod, c *duolink.Client, spoil string, opts []duolink.CallOption,
) (values []any, err error) {
	f := m.call(c)
	var in []reflect.Value
	for i, typ := range slices.Collect(f.Type().Ins()) {
		switch typ {
		case reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(ctx))
		case reflect.TypeFor[[]duolink.CallOption]():
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
		if _, err := json.Marshal(v); err == nil { // which refuses all that has something hidden in it
			continue
		}
		b, err := duolink.RevealJSON(v)
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

// canaryServer answers each request with what the situation says, and the token exchange too where
// that is the situation.
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
