package duolinkotel

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
)

// How the canary prints and searches, and that it finds what is planted.

// prints writes a value in the notations that an exporter could use.
func prints(t *testing.T, v any) []string {
	t.Helper()
	document, err := json.Marshal(v)
	require.NoError(t, err)
	return []string{fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), string(document)}
}

// notations write a mark in other characters.
var notations = map[string]func(mark string) []string{
	"plain":       func(mark string) []string { return []string{mark} },
	"hexadecimal": func(mark string) []string { return []string{hex.EncodeToString([]byte(mark))} },
	"spaced":      func(mark string) []string { return []string{strings.Trim(fmt.Sprint([]byte(mark)), "[]")} },
	"URL": func(mark string) []string {
		var b strings.Builder
		for _, c := range []byte(mark) {
			fmt.Fprintf(&b, "%%%02x", c)
		}
		return []string{b.String()}
	},
	"base64": func(mark string) (all []string) { // wherever it stands in a longer text
		for before := range 3 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", before) + mark + "  "))
			first, last := (before*8+5)/6, (before+len(mark))*8/6
			all = append(all, text[first:last], strings.NewReplacer("+", "-", "/", "_").Replace(text[first:last]))
		}
		return all
	},
}

// found returns the notation in which a text has a mark, or "". A mark may have lost its case
// before it was written, and its notation afterwards.
func found(text, mark string) string {
	folded := strings.ToLower(text)
	for name, write := range notations {
		for _, said := range []string{mark, strings.ToLower(mark), strings.ToUpper(mark)} {
			for _, form := range write(said) {
				if name == "base64" && strings.Contains(text, form) ||
					name != "base64" && strings.Contains(folded, strings.ToLower(form)) {
					return name
				}
			}
		}
	}
	return ""
}

// leaks are places where a text could get out.
var leaks = map[string]func(ctx context.Context, o *telemetry, text string){
	"the name of a span": spanWith(func(s trace.Span, text string) { s.SetName("GET /" + text) }),
	"the description":    spanWith(func(s trace.Span, text string) { s.SetStatus(codes.Error, text) }),
	"an attribute of a span": spanWith(func(s trace.Span, text string) {
		s.SetAttributes(attribute.String("a", text))
	}),
	"a list of attributes": spanWith(func(s trace.Span, text string) {
		s.SetAttributes(attribute.StringSlice("a", []string{text}))
	}),
	"the key of an attribute": spanWith(func(s trace.Span, text string) {
		s.SetAttributes(attribute.Bool(text, true))
	}),
	"an event": spanWith(func(s trace.Span, text string) { s.AddEvent(text) }),
	"an attribute of an event": spanWith(func(s trace.Span, text string) {
		s.AddEvent("e", trace.WithAttributes(attribute.String("a", text)))
	}),
	"an error": spanWith(func(s trace.Span, text string) { s.RecordError(fmt.Errorf("no %s", text)) }),
	"a link": spanWith(func(s trace.Span, text string) {
		s.AddLink(trace.Link{Attributes: []attribute.KeyValue{attribute.String("a", text)}})
	}),
	"an attribute of a metric": func(ctx context.Context, o *telemetry, text string) {
		counter, _ := o.metrics.Meter(ScopeName).Int64Counter("leak")
		counter.Add(ctx, 1, metric.WithAttributes(attribute.String("error.type", text)))
	},
	"the description of a metric": func(ctx context.Context, o *telemetry, text string) {
		counter, _ := o.metrics.Meter(ScopeName).Int64Counter("leak", metric.WithDescription(text))
		counter.Add(ctx, 1)
	},
}

func spanWith(leak func(s trace.Span, text string)) func(context.Context, *telemetry, string) {
	return func(ctx context.Context, o *telemetry, text string) {
		_, span := o.traces.Tracer(ScopeName).Start(ctx, "leak")
		leak(span, text)
		span.End()
	}
}

// The search finds a mark in every notation at every place.
func TestCanaryFindsPlantedLeaks(t *testing.T) {
	for place, leak := range leaks {
		for notation, write := range notations {
			for _, text := range slices.Concat(write(serversMark), write(strings.ToUpper(serversMark))) {
				w := &canary{o: newTelemetry()}
				leak(t.Context(), w.o, "before "+text+" after")
				texts := w.exports(t)
				require.True(t, slices.ContainsFunc(texts, func(text string) bool {
					return found(text, serversMark) != ""
				}), "%s, %s: %s", place, notation, text)
			}
		}
	}
	require.Empty(t, found("an ordinary text with 00-4bf92f3577b34da6a3ce929d0e0e4736", serversMark))
}

// Mistakes that these hooks could make are found, too: each writes what a hook is told.
func TestCanaryFindsCarelessHooks(t *testing.T) {
	write := func(ctx context.Context, texts ...string) {
		trace.SpanFromContext(ctx).SetAttributes(attribute.StringSlice("leak", texts))
	}
	for name, careless := range map[string]duolink.Hooks{
		"the request id": {AttemptEnd: func(ctx context.Context, a duolink.Attempt) { write(ctx, a.RequestID) }},
		"the code":       {AttemptEnd: func(ctx context.Context, a duolink.Attempt) { write(ctx, string(a.Code)) }},
		"the code of the call": {CallEnd: func(ctx context.Context, c duolink.Call) {
			write(ctx, string(c.Code))
		}},
		"the place of a drift": {Drift: func(ctx context.Context, d duolink.Drift) { write(ctx, d.Path) }},
		"the headers": {AttemptHeader: func(ctx context.Context, h http.Header) {
			write(ctx, fmt.Sprint(h))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCanary(t, careless)
			for _, situation := range []string{"new members", "nested 404"} {
				w.act = situations[situation]
				w.call(t.Context(), operations.Named("links.list"))
			}
			require.True(t, slices.ContainsFunc(w.exports(t), func(text string) bool {
				return found(text, serversMark)+found(text, callersMark) != ""
			}))
		})
	}
}
