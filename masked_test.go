package duolink

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	htmltemplate "html/template"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"
)

// loggedJSON is a value as slog's JSON handler writes it.
func loggedJSON(t *testing.T, v any) string {
	t.Helper()
	var line strings.Builder
	slog.New(slog.NewJSONHandler(&line, nil)).Info("m", "v", v)
	var record struct{ V json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(line.String()), &record), "%s", line.String())
	return string(record.V)
}

// Masked and slog write a value as json.Marshal would write it with a mask in the place of each text.
func TestMaskedAgreesWithMarshal(t *testing.T) {
	maskText := func(s string) *string { return plainText(NewSensitive(s).String()) }
	plain := layouts(maskText)
	for name, v := range layouts(NewSensitive) {
		t.Run(name, func(t *testing.T) {
			want, err := compactJSON(plain[name])
			require.NoError(t, err)
			got, err := json.Marshal(Masked(v))
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(got))
			// Of the first, slog asks LogValue. The second is nested too deep.
			if _, direct := v.(Sensitive); !direct && name != "longer than a stack of calls" {
				require.JSONEq(t, string(want), loggedJSON(t, v))
			}
			require.Equal(t, string(want), fmt.Sprintf("%v", Masked(v)))
		})
	}
}

// A Secret has its mask, too, and the query that it belongs to can be shown.
func TestMaskedSecret(t *testing.T) {
	query := AuthQuery{AccessToken: NewSecret(canary), AccountIDs: []string{"a1"}}
	text, err := json.Marshal(Masked(query))
	require.NoError(t, err)
	require.Contains(t, string(text), `"****"`)
	require.Contains(t, string(text), `"a1"`)
	require.Contains(t, loggedJSON(t, []AuthQuery{query}), `"****"`)
}

// Every answer of every operation can be logged and shown as it is. What is shown differs from what
// is stored in the masks, and in nothing else.
func TestAnswersAreShown(t *testing.T) {
	everyAnswer(t, func(t *testing.T, answer any) {
		stored, err := RevealJSON(answer)
		require.NoError(t, err)
		masked, err := json.Marshal(Masked(answer))
		require.NoError(t, err)
		require.JSONEq(t, string(masked), loggedJSON(t, answer))
		require.JSONEq(t, `[{"v":`+string(masked)+`}]`, loggedJSON(t, []any{map[string]any{"v": answer}}))
		require.JSONEq(t, `{"g":`+string(masked)+`}`, loggedJSON(t, slog.GroupValue(slog.Any("g", answer))))
		confidential := differences(t, tree(t, stored), tree(t, masked))
		for _, line := range inLog("v", answer, "list", []any{answer}, slog.Group("g", "v", answer)) {
			require.NotContains(t, line, "!ERROR")
			for _, text := range confidential {
				require.NotContains(t, line, text)
			}
		}
	})
}

func tree(t *testing.T, text []byte) (v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(text, &v))
	return v
}

// differences are the texts that have a mask in the place of them. Nothing else may differ.
func differences(t *testing.T, stored, masked any) (texts []string) {
	t.Helper()
	switch stored := stored.(type) {
	case map[string]any:
		require.IsType(t, stored, masked)
		require.Len(t, masked, len(stored))
		for name, v := range stored {
			texts = append(texts, differences(t, v, masked.(map[string]any)[name])...)
		}
	case []any:
		require.IsType(t, stored, masked)
		require.Len(t, masked, len(stored))
		for i, v := range stored {
			texts = append(texts, differences(t, v, masked.([]any)[i])...)
		}
	case string:
		if masked != stored {
			require.Equal(t, NewSensitive(stored).String(), masked)
			if len(stored) > longEnough { // a short one may be a part of a plain word
				texts = append(texts, stored)
			}
		}
	default:
		require.Equal(t, stored, masked)
	}
	return texts
}

// Text, XML and templates show the mask, and a script in a page gets it, too.
func TestMaskedElsewhere(t *testing.T) {
	link := LoginLink{ID: "dsll_1", LoginURL: NewSensitive(canary)}
	type row struct{ Link MaskedValue }
	x, err := xml.Marshal(row{Masked(link)})
	require.NoError(t, err)
	require.Contains(t, string(x), "dsll_1")
	require.Contains(t, string(x), "****6789")

	var page strings.Builder
	text := template.Must(template.New("").Parse(`{{.LoginURL}} {{.}} {{printf "%#v" .}}`))
	require.NoError(t, text.Execute(&page, link))
	html := htmltemplate.Must(htmltemplate.New("").Parse(
		`<a title="{{.LoginURL}}">{{.LoginURL}}</a><script>let a = {{.LoginURL}}, b = {{.}}</script>`))
	require.NoError(t, html.Execute(&page, link))
	require.Equal(t, 7, strings.Count(page.String(), "****6789"), page.String())
	require.NotContains(t, page.String(), "error")

	_, err = Masked(link).Value()
	require.ErrorContains(t, err, "RevealJSON")
	require.Contains(t, fmt.Sprint(Masked(func() {})), "unsupported type")
	for _, text := range []string{string(x), page.String()} {
		discreet(t, "shown", text, canary)
	}
}

// Where nothing is logged and no page is made, json.Marshal still refuses.
func TestJSONRefusesBesideALog(t *testing.T) {
	var line strings.Builder
	log := slog.New(slog.NewJSONHandler(&line, nil))
	log.Info("m", "v", LoginLink{LoginURL: NewSensitive(canary)})
	require.Contains(t, line.String(), "****6789")
	_, err := json.Marshal(LoginLink{LoginURL: NewSensitive(canary)})
	require.Error(t, err)
	nested := func(levels int) any {
		v := any(NewSensitive(canary))
		for range levels {
			v = []any{v}
		}
		return v
	}
	_, err = json.Marshal(nested(30))
	require.Error(t, err)
	require.Contains(t, loggedJSON(t, nested(30)), "****6789")
	line.Reset()
	log.Info("m", "v", nested(1000)) // deeper than the look at the stack
	require.Contains(t, line.String(), "Masked")
	discreet(t, "too deep", line.String(), canary)
}
