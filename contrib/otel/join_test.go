package duolinkotel

import (
	"context"
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// events calls every hook of a set, each by its name.
func events(ctx context.Context, h duolink.Hooks) map[string]func() {
	return map[string]func(){
		"CallStart":     func() { h.CallStart(ctx, duolink.Call{}) },
		"CallEnd":       func() { h.CallEnd(ctx, duolink.Call{}) },
		"AttemptStart":  func() { h.AttemptStart(ctx, duolink.Attempt{}) },
		"AttemptEnd":    func() { h.AttemptEnd(ctx, duolink.Attempt{}) },
		"AttemptHeader": func() { h.AttemptHeader(ctx, http.Header{}) },
		"Wait":          func() { h.Wait(ctx, duolink.Wait{}) },
		"Cooldown":      func() { h.Cooldown(ctx, duolink.Cooldown{}) },
		"TokenRenewal":  func() { h.TokenRenewal(ctx, duolink.TokenRenewal{}) },
		"Abandoned":     func() { h.Abandoned(ctx, duolink.Abandoned{}) },
		"Drift":         func() { h.Drift(ctx, duolink.Drift{}) },
	}
}

// writing are hooks that write their names and what they are called with.
func writing(name string, told *[]string) duolink.Hooks {
	var h duolink.Hooks
	v := reflect.ValueOf(&h).Elem()
	for f := range v.Type().Fields() {
		v.FieldByIndex(f.Index).Set(reflect.MakeFunc(f.Type, func(in []reflect.Value) []reflect.Value {
			*told = append(*told, name+" "+f.Name)
			if f.Type.NumOut() == 0 {
				return nil
			}
			return []reflect.Value{in[0].Convert(f.Type.Out(0))}
		}))
	}
	return h
}

// New sets every hook, and Join joins every hook, also those that duolink may get.
func TestEveryHookIsThere(t *testing.T) {
	var told []string
	all := map[string]duolink.Hooks{
		"New": newTelemetry().hooks(t), "Join": Join(duolink.Hooks{}, writing("a", &told)),
	}
	for name, hooks := range all {
		v := reflect.ValueOf(hooks)
		require.Len(t, events(t.Context(), hooks), v.NumField())
		for f := range v.Type().Fields() {
			require.False(t, v.FieldByIndex(f.Index).IsNil(), "%s: %s", name, f.Name)
		}
	}
}

// Events are told in order, and ends in reverse order.
func TestJoinedOrder(t *testing.T) {
	var told []string
	h := Join(writing("a", &told), duolink.Hooks{}, writing("b", &told), writing("c", &told))
	for name, tell := range events(t.Context(), h) {
		told = nil
		tell()
		want := []string{"a " + name, "b " + name, "c " + name}
		if name == "CallEnd" || name == "AttemptEnd" {
			want = []string{"c " + name, "b " + name, "a " + name}
		}
		require.Equal(t, want, told)
	}
}

// What nobody has set stays nil, so that the client does not do more than it must.
func TestJoinOfNothing(t *testing.T) {
	for _, h := range []duolink.Hooks{Join(), Join(duolink.Hooks{}), Join(duolink.Hooks{}, duolink.Hooks{})} {
		v := reflect.ValueOf(h)
		for f := range v.Type().Fields() {
			require.True(t, v.FieldByIndex(f.Index).IsNil(), f.Name)
		}
	}
	one := Join(duolink.Hooks{Wait: func(context.Context, duolink.Wait) {}}, duolink.Hooks{})
	require.NotNil(t, one.Wait)
	require.Nil(t, one.Drift)
}

// Each CallStart gets the context of the one before. One that returns nil adds nothing.
func TestJoinedContexts(t *testing.T) {
	type key string
	adding := func(name key) duolink.Hooks {
		return duolink.Hooks{CallStart: func(ctx context.Context, _ duolink.Call) context.Context {
			return context.WithValue(ctx, name, ctx.Value(key("a")))
		}}
	}
	first := duolink.Hooks{CallStart: func(ctx context.Context, _ duolink.Call) context.Context {
		return context.WithValue(ctx, key("a"), "of the first")
	}}
	none := duolink.Hooks{CallStart: func(context.Context, duolink.Call) context.Context { return nil }}
	ctx := Join(first, none, adding("b"), none).CallStart(t.Context(), duolink.Call{})
	require.Equal(t, "of the first", ctx.Value(key("a")))
	require.Equal(t, "of the first", ctx.Value(key("b")))
	require.Equal(t, t.Context(), Join(none).CallStart(t.Context(), duolink.Call{}))
}

// A panic of one end does not keep the others from theirs.
func TestJoinedPanics(t *testing.T) {
	for _, event := range []string{"CallEnd", "AttemptEnd"} {
		var told []string
		bad := duolink.Hooks{
			CallEnd:    func(context.Context, duolink.Call) { panic("mine") },
			AttemptEnd: func(context.Context, duolink.Attempt) { panic("mine") },
		}
		h := Join(writing("a", &told), bad, writing("b", &told), bad)
		require.PanicsWithValue(t, "mine", events(t.Context(), h)[event])
		require.Equal(t, []string{"b " + event, "a " + event}, told)
	}
}

// Hooks of the user see the span of the call, and two sets of ours write one tree each.
func TestJoinedWithAClient(t *testing.T) {
	first, second, fake := newTelemetry(), newTelemetry(), duolinktest.New(t)
	var seen []trace.SpanID
	mine := duolink.Hooks{AttemptEnd: func(ctx context.Context, _ duolink.Attempt) {
		seen = append(seen, trace.SpanContextFromContext(ctx).SpanID())
	}}
	client := fake.Client(duolink.WithHooks(Join(first.hooks(t), mine, second.hooks(t))))
	_, err := client.Links.Get(t.Context(), duolinktest.OpenLoginLinkID)
	require.NoError(t, err)
	outer, inner := first.spans(t), second.spans(t)
	require.Len(t, outer, 2)
	require.Len(t, inner, 2)
	require.Equal(t, outer[1].SpanContext.SpanID(), inner[1].Parent.SpanID(), "the second call is below the first")
	require.Equal(t, outer[1].SpanContext.SpanID(), outer[0].Parent.SpanID(), "and each attempt below its own call")
	require.Equal(t, inner[1].SpanContext.SpanID(), inner[0].Parent.SpanID())
	require.Equal(t, []trace.SpanID{inner[1].SpanContext.SpanID()}, seen)
	require.Equal(t, traceparent(inner[0]), fake.Requests()[0].Header["Traceparent"], "one header, of the last")
}
