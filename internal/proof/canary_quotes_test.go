package proof

import (
	"cmp"
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// quoting is a server that refuses, and quotes all that it was sent wherever its dialect has a
// place for words.
func quoting(status int, dialect, code string) func(asked) (*http.Response, error) {
	return func(a asked) (*http.Response, error) {
		words := strings.Join(a.parts(), " and ")
		return reply(status, a.refusal(dialect, cmp.Or(code, a.part("")), words), "X-Request-Id", a.part("X")), nil
	}
}

func (a asked) refusal(dialect, code, words string) string {
	fields := []any{
		map[string]any{
			"field":    words,
			"location": words,
			"loc":      []any{"body", words},
			"message":  words,
			"msg":      words,
			"type":     code,
			"code":     words,
		},
	}
	switch dialect {
	case "envelope":
		return mustJSON(map[string]any{
			"meta": map[string]any{
				"request_id": a.part("body"),
			},
			"error": map[string]any{"code": code, "message": words, "description": words, "details": fields},
		})
	case "flat":
		return mustJSON(map[string]any{"error": code, "message": words, "description": words})
	case "oauth":
		return mustJSON(map[string]any{"error": code, "error_description": words})
	case "native":
		return mustJSON(map[string]any{
			"error_code":        code,
			"error_message":     words,
			"documentation_url": words,
			"link_error_code":   a.part("link"),
			"validation_errors": fields,
		})
	case "detail":
		return mustJSON(
			map[string]any{"detail": []any{map[string]any{"loc": []any{"body", words}, "msg": words, "type": code}}},
		)
	case "sentence":
		return mustJSON(map[string]any{"detail": words})
	case "text":
		return words
	case "html":
		return "<html><body>" + html.EscapeString(words) + "</body></html>"
	}
	return mustJSON(map[string]any{ // Plaid's, of this family
		"error_type":        dialect,
		"error_code":        code,
		"error_message":     words,
		"display_message":   words,
		"documentation_url": words,
		"suggested_action":  words,
		"request_id":        a.part("body"),
	})
}

// compactJSON is a text as JSON that is not meant for HTML.
func compactJSON(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// parts are what a request had in it that was told in confidence: whole, and value by value.
func (a asked) parts() (all []string) {
	add := func(s string) {
		if strings.Contains(s, hiddenMark) && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			add(v)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(v[name])
			}
		}
	}
	text := func(s string) {
		var v any
		if json.Unmarshal([]byte(s), &v) == nil {
			walk(v)
		}
		add(s)
	}
	for _, segment := range strings.Split(a.URL.Path, "/")[2:] { // not the base's own, which stands in the whole path
		add(segment)
	}
	var form url.Values
	if a.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		form, _ = url.ParseQuery(a.body)
	}
	for _, values := range []url.Values{a.URL.Query(), form} {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			for _, value := range values[name] {
				text(value)
			}
		}
	}
	text(a.body)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if value := a.Header.Get(name); name != "User-Agent" {
			add(strings.TrimPrefix(value, "Bearer "))
			add(name + ": " + value)
		}
	}
	add(a.URL.Path)
	add(a.URL.RequestURI())
	add(a.URL.String())
	a.w.mu.Lock()
	a.w.quoted += len(all)
	a.w.mu.Unlock()
	return all
}

// part is one of the short ones, another for each request and place.
func (a asked) part(place string) string {
	short := slices.DeleteFunc(a.parts(), func(s string) bool { return len(s) > 100 || strings.ContainsAny(s, " /:") })
	if len(short) == 0 {
		return ""
	}
	return short[(a.nth+len(place))%len(short)]
}
