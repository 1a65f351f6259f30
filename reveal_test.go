package duolink

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// answerOf is what an operation makes of a body.
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

// What RevealJSON writes of any answer, json.Unmarshal reads back equal, and json.Marshal writes none that holds something.
func TestRevealJSONRoundTrip(t *testing.T) {
	written := 0
	for operation := range calls {
		files, err := filepath.Glob(filepath.Join("testdata", operationOf(operation), "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			body, err := os.ReadFile(file)
			require.NoError(t, err)
			answer, err := answerOf(operation, body)
			if err != nil {
				continue
			}
			written++
			t.Run(operation+"/"+file, func(t *testing.T) {
				text, err := RevealJSON(answer)
				require.NoError(t, err)
				again := reflect.New(reflect.TypeOf(answer))
				require.NoError(t, json.Unmarshal(text, again.Interface()))
				require.Equal(t, answer, again.Elem().Interface())
			})
		}
	}
	require.Greater(t, written, 80)
	sample, err := answerOf("identity.get", []byte(`{"accounts":[{"account_id":"acc_1","owners":[{"names":["Avery Sample"]}]}]}`))
	require.NoError(t, err)
	text, err := json.Marshal(sample)
	require.Error(t, err)
	require.NotContains(t, string(text)+err.Error(), "Avery")
}

// A caller's own types are written as json.Marshal writes them.
func TestRevealJSONOfOtherTypes(t *testing.T) {
	type inner struct {
		Name  Sensitive `json:"name"`
		Plain string    `json:"plain,omitempty"`
	}
	type outer struct {
		inner
		ID      int       `json:"id"`
		Skipped Sensitive `json:"-"`
		Dash    string    `json:"-,"`
		Zero    Sensitive `json:"zero,omitzero"`
		Untaged Sensitive
		hidden  Sensitive
		By      map[string]Sensitive `json:"by"`
		Any     any                  `json:"any"`
		Next    *outer               `json:"next"`
		Two     [2]Sensitive         `json:"two"`
	}
	v := outer{
		inner: inner{Name: NewSensitive("Avery <Sample>")}, ID: 7, Skipped: NewSensitive("x"), Dash: "d", Untaged: NewSensitive("u"),
		hidden: NewSensitive("h"), By: map[string]Sensitive{"b": NewSensitive("2"), "a": NewSensitive("1")},
		Any: []any{1, "two", NewSensitive("three"), nil}, Next: &outer{}, Two: [2]Sensitive{NewSensitive("1"), {}},
	}
	text, err := RevealJSON(v)
	require.NoError(t, err)
	require.Equal(t, `{"name":"Avery <Sample>","id":7,"-":"d","Untaged":"u","by":{"a":"1","b":"2"},"any":[1,"two","three",null],`+
		`"next":{"name":null,"id":0,"-":"","Untaged":null,"by":null,"any":null,"next":null,"two":[null,null]},"two":["1",null]}`, string(text))

	for _, v := range []any{NewSecret("s3cret-value"), AuthQuery{AccessToken: NewSecret("s3cret-value")}, map[int]Sensitive{1: {}}, []any{func() {}}} {
		_, err := RevealJSON(v)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret")
	}
	type ring struct {
		Next *ring
		Name Sensitive
	}
	r := &ring{}
	r.Next = r
	_, err = RevealJSON(r)
	require.Error(t, err)

	for v, want := range map[any]string{nil: "null", 5: "5", "a": `"a"`} {
		text, err := RevealJSON(v)
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}
