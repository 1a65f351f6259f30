package duolink

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answerOf is the answer that an operation reads from a body.
func answerOf(operation string, body []byte) (any, error) {
	asked := 0
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		if asked++; asked > 1 { // there is no other page
			return reply(200, `{"data":[]}`), nil
		}
		return reply(200, string(body)), nil
	})
	c, err := New(WithSupermetrics(BearerToken(testKey)), WithMoneyKit(ClientHeaders(testID, testSecret)),
		WithHTTPClient(&http.Client{Transport: transport}), withoutRetries())
	if err != nil {
		return nil, err
	}
	return rows[operation].Answer(context.Background(), c)
}

// everyAnswer runs a test for every answer of every operation that a golden file has.
func everyAnswer(t *testing.T, test func(t *testing.T, answer any)) {
	t.Helper()
	tested := 0
	for operation := range calls {
		files, err := filepath.Glob(filepath.Join("testdata", operationOf(operation), "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			body, err := os.ReadFile(file)
			require.NoError(t, err)
			if answer, err := answerOf(operation, body); err == nil {
				tested++
				t.Run(operation+"/"+file, func(t *testing.T) { test(t, answer) })
			}
		}
	}
	require.Greater(t, tested, 80)
}

// RevealJSON writes any answer, and json.Unmarshal reads back an equal one. json.Marshal refuses
// any answer with a Sensitive in it.
func TestRevealJSONRoundTrip(t *testing.T) {
	everyAnswer(t, func(t *testing.T, answer any) {
		text, err := RevealJSON(answer)
		require.NoError(t, err)
		again := reflect.New(reflect.TypeOf(answer))
		require.NoError(t, json.Unmarshal(text, again.Interface()))
		require.Equal(t, answer, again.Elem().Interface())
	})
	text, err := json.Marshal(Identity{Accounts: []BankAccountWithOwners{
		{Owners: []Owner{{Names: []Sensitive{NewSensitive("Avery Sample")}}}},
	}})
	require.Error(t, err)
	require.NotContains(t, string(text)+err.Error(), "Avery")
}

// makesText makes a Sensitive, or what json.Marshal has to write in place of one.
type makesText[T any] func(string) T

func plainText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Types in which a caller may keep an answer. The unexported types are embedded by value and by
// pointer.
type (
	person[T any] struct {
		ID   string `json:"id"`
		Name T      `json:"name"`
	}
	Place[T any] struct {
		ID     string `json:"id"`
		Street T      `json:"street"`
	}
	personRow[T any] struct {
		person[T]
		Tenant string `json:"tenant"`
	}
	personPointerRow[T any] struct {
		*person[T]
		Tenant string `json:"tenant"`
	}
	placeRow[T any] struct {
		*Place[T]
		Own string `json:"id"` // in place of the place's
	}
	twoIDs[T any] struct { // neither id is written
		person[T]
		*Place[T]
	}
	tagged[T any] struct {
		Renamed T              `json:"renamed,omitempty"`
		Zero    T              `json:"zero,omitzero"`
		None    person[T]      `json:"none,omitzero"`
		Some    person[T]      `json:"some,omitzero"`
		Empty   []T            `json:"empty,omitempty"`
		Void    *T             `json:",omitempty"`
		Skipped T              `json:"-"`
		Dash    T              `json:"-,"`
		Number  int64          `json:"number,string"`
		Back    *tagged[T]     `json:"-"` // to itself
		By      map[int]T      `json:"by"`
		Deep    map[string]any `json:"deep"`
		Plain   T
		hidden  T
	}
	beside[T any] struct {
		Time     time.Time
		Stamp    Timestamp
		Amount   Decimal
		Raw      json.RawMessage
		Any      any
		Stringer fmt.Stringer
		Bytes    []byte
		Named    namedList[T]
		Array    [2]T
		Pointer  **T
	}
	namedList[T any] []T
	linked[T any]    struct {
		Name T
		Next *linked[T]
	}
)

func taggedOf[T any](as makesText[T]) any {
	v := &tagged[T]{
		Renamed: as("r"),
		Zero:    as(""),
		Some:    person[T]{Name: as("s")},
		Empty:   []T{},
		Skipped: as("skipped"),
		Dash:    as("d"),
		Number:  5,
		By:      map[int]T{2: as("two"), 10: as("ten"), 1: as("")},
		Deep:    map[string]any{"list": []any{as("in"), nil, 1.5, as("")}},
		Plain:   as("p <&> \u2028 \""),
		hidden:  as("hidden"),
	}
	v.Back = v
	return v
}

func besideOf[T any](as makesText[T]) any {
	name := as("n")
	pointer := &name
	return beside[T]{
		Time:     time.Unix(0, 0).UTC(),
		Stamp:    parseTimestamp("2026-01-01"),
		Amount:   "1e5",
		Raw:      json.RawMessage(`{"a": 1}`),
		Any:      &person[T]{"1", as("a")},
		Stringer: time.Second,
		Bytes:    []byte("bytes"),
		Named:    namedList[T]{as("x")},
		Array:    [2]T{as(""), as("y")},
		Pointer:  &pointer,
	}
}

func chainOf[T any](as makesText[T]) any {
	var first *linked[T]
	for range 3000 {
		first = &linked[T]{as("n"), first}
	}
	return first
}

func layouts[T any](as makesText[T]) map[string]any {
	shared := &person[T]{"1", as("Avery")}
	return map[string]any{
		"nothing":                      nil,
		"one":                          as("Avery"),
		"absent":                       as(""),
		"embedded":                     personRow[T]{person[T]{"1", as("Avery")}, "t1"},
		"embedded pointer":             personPointerRow[T]{&person[T]{"1", as("Avery")}, "t1"},
		"embedded nil pointer":         personPointerRow[T]{nil, "t1"},
		"shadowed":                     placeRow[T]{&Place[T]{"1", as("Main St")}, "2"},
		"shadowed, of nil":             &placeRow[T]{nil, "2"},
		"the same name twice":          twoIDs[T]{person[T]{"1", as("Avery")}, &Place[T]{"2", as("Main St")}},
		"tags":                         taggedOf(as),
		"beside":                       besideOf(as),
		"nil":                          struct{ M, L, P, A any }{map[string]T(nil), []T(nil), (*T)(nil), nil},
		"empty":                        struct{ M, L, A any }{map[string]T{}, []T{}, [0]T{}},
		"the same pointer twice":       []any{shared, shared, map[string]*person[T]{"a": shared}},
		"keys that write themselves":   map[Timestamp]T{parseTimestamp("2026-01-01"): as("Avery")},
		"longer than a stack of calls": chainOf(as),
	}
}

// A value with a Sensitive is written as json.Marshal would write it with a text in that place.
func TestRevealJSONAgreesWithMarshal(t *testing.T) {
	plain := layouts(plainText)
	for name, v := range layouts(NewSensitive) {
		t.Run(name, func(t *testing.T) {
			want, err := compactJSON(plain[name])
			require.NoError(t, err)
			got, err := RevealJSON(v)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

// An answer of this package may be embedded by pointer, and is read back.
func TestRevealJSONOfEmbeddedAnswer(t *testing.T) {
	type row struct {
		*LoginLink
		Tenant string `json:"tenant"`
	}
	stored := row{&LoginLink{ID: "dsll_1", LoginURL: NewSensitive("https://example.com/l/abc")}, "t1"}
	text, err := RevealJSON(stored)
	require.NoError(t, err)
	require.NotContains(t, string(text), `"LoginLink"`)
	var again row
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, stored, again)
}

// Types with a marshal method of their own.
type (
	revealsName        struct{ Name Sensitive }
	pointerRevealsName struct{ Name Sensitive }
	marshalsName       struct{ Name Sensitive }
	masksName          struct{ Name Sensitive }
)

func (q revealsName) MarshalJSON() ([]byte, error)         { return RevealJSON(q.Name) }
func (q *pointerRevealsName) MarshalJSON() ([]byte, error) { return RevealJSON([]any{q.Name}) }
func (q marshalsName) MarshalJSON() ([]byte, error)        { return json.Marshal([]any{q.Name}) }
func (q masksName) MarshalText() ([]byte, error)           { return []byte(q.Name.String()), nil }

// A type with a marshal method decides itself: it writes the right text, an error, or a mask if it
// asks for one.
func TestRevealJSONOfTypesThatWriteThemselves(t *testing.T) {
	name := NewSensitive("Avery")
	for _, tc := range []struct {
		v    any
		want string // "" is an error
	}{
		{revealsName{name}, `"Avery"`},
		{[]any{&revealsName{name}, name}, `["Avery","Avery"]`},
		{&pointerRevealsName{name}, `["Avery"]`},
		{[]pointerRevealsName{{name}}, `[["Avery"]]`},
		{pointerRevealsName{name}, ""}, // json.Marshal does not call a pointer's method for a value
		{struct{ Q any }{pointerRevealsName{name}}, ""},
		{marshalsName{name}, ""},
		{map[string]any{"q": &marshalsName{name}}, ""},
		{masksName{name}, `"****"`},
		{struct {
			Sensitive
			ID string
		}{name, "1"}, ""}, // its MarshalJSON is the Sensitive's
	} {
		text, err := RevealJSON(tc.v)
		require.Equal(t, tc.want, string(text), "%T", tc.v)
		require.Equal(t, tc.want == "", err != nil, "%T", tc.v)
		if err != nil {
			require.ErrorContains(t, err, "a Sensitive is not written")
			require.NotContains(t, err.Error(), "Avery")
		}
	}
}

func TestRevealJSONRefuses(t *testing.T) {
	ring := &linked[Sensitive]{Name: NewSensitive("Avery")}
	ring.Next = ring
	list := []any{NewSensitive("Avery"), nil}
	list[1] = list
	object := map[string]any{"name": NewSensitive("Avery")}
	object["self"] = &object
	for _, v := range []any{
		NewSecret("s3cret-Avery"), AuthQuery{AccessToken: NewSecret("s3cret-Avery")},
		[]any{NewSensitive("Avery"), NewSecret("s3cret-Avery")},
		ring, list, object,
		[]any{func() {}}, make(chan Sensitive), map[any]Sensitive{1: NewSensitive("Avery")},
		[]any{NewSensitive("Avery"), math.NaN()},
	} {
		text, err := RevealJSON(v)
		require.Error(t, err, "%T", v)
		require.Empty(t, text)
		require.NotContains(t, err.Error(), "Avery")
	}
}

// RevealJSON reveals only in copies: its argument prints masks as before, even while it runs.
func TestRevealJSONLeavesValuesClosed(t *testing.T) {
	for name, v := range layouts(NewSensitive) {
		if _, err := json.Marshal(v); err == nil { // there is no Sensitive in it
			continue
		}
		before := fmt.Sprintf("%+v", v)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := RevealJSON(v)
				assert.NoError(t, err)
				_, err = json.Marshal(v)
				assert.Error(t, err, name)
			})
		}
		all.Wait()
		require.Equal(t, before, fmt.Sprintf("%+v", v))
	}
}

// guarded is a user's type, with parts that its mutex guards.
type guarded struct {
	mu   sync.Mutex
	hits int
	Name string
	Of   []guardedPart
	S    Sensitive
}

type guardedPart struct {
	hits int
	S    Sensitive
}

// RevealJSON reads what json.Marshal reads. Another goroutine may write the rest meanwhile, which
// the race detector sees.
func TestRevealJSONLeavesTheRestAlone(t *testing.T) {
	g := guarded{Name: "n", Of: []guardedPart{{S: NewSensitive("a")}}, S: NewSensitive("b")}
	var writing sync.WaitGroup
	writing.Go(func() {
		for range 1000 {
			g.mu.Lock()
			g.hits++
			g.Of[0].hits++
			g.mu.Unlock()
		}
	})
	for range 100 {
		text, err := RevealJSON(&g)
		require.NoError(t, err)
		require.JSONEq(t, `{"Name":"n","Of":[{"S":"a"}],"S":"b"}`, string(text))
	}
	writing.Wait()
}
