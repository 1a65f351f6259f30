package duolink

import (
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"text/template"

	"github.com/stretchr/testify/require"
)

// canary is what must not come out; only its end may, of a Sensitive.
const canary = "canary-KJHGFDSA-zyxwvu-6789"

// needles are the forms in which fmt and the encoders would write a text, without the end that may be shown.
func needles(text string) []string {
	head := text[:len(text)-4]
	points := strings.Trim(fmt.Sprintf("%U", []rune(head)), "[]")
	return []string{
		head, head[:8], head[len(head)-8:],
		hex.EncodeToString([]byte(head)), strings.ToUpper(hex.EncodeToString([]byte(head))), fmt.Sprintf("% x", head), fmt.Sprintf("% X", head),
		strings.Trim(fmt.Sprint([]byte(head)), "[]"), strings.Trim(fmt.Sprintf("%o", []byte(head)), "[]"), strings.Trim(fmt.Sprintf("%b", []byte(head)), "[]"),
		points, base64.StdEncoding.EncodeToString([]byte(head))[:16],
	}
}

// formats are all verbs but %T, each with flags and widths.
func formats() (all []string) {
	for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "20", "-20", "020", ".3", "20.3", "#40.10", "[1]"} {
		for _, verb := range "vsqxXdcUbeEfFgGtoOpwZ" {
			all = append(all, "%"+flags+string(verb))
		}
	}
	return all
}

// discreet expects that nothing of the texts comes out of a value under any format.
func discreet(t *testing.T, name string, value any, texts ...string) {
	t.Helper()
	var all []string
	for _, text := range texts {
		all = append(all, needles(text)...)
	}
	for _, format := range formats() {
		got := fmt.Sprintf(format, value)
		for _, needle := range all {
			require.NotContainsf(t, got, needle, "%s under %s", name, format)
		}
	}
	for _, got := range []string{fmt.Sprint(value), fmt.Sprintln(value), fmt.Sprint("a", value, nil), fmt.Errorf("failed: %w", fmt.Errorf("%v", value)).Error()} {
		for _, needle := range all {
			require.NotContains(t, got, needle, name)
		}
	}
}

// carrier is an error with something in it.
type carrier[T any] struct{ Value T }

func (c carrier[T]) Error() string { return fmt.Sprintf("carrier of %v", c.Value) }

// shapes are the places where a value may stand.
func shapes[T any](v T) map[string]any {
	channel := make(chan T, 1)
	channel <- v
	return map[string]any{
		"value":           v,
		"pointer":         &v,
		"exported":        struct{ S T }{v},
		"pointed to":      &struct{ S T }{v},
		"unexported":      struct{ s T }{v},
		"unexported, to":  &struct{ s T }{v},
		"field pointer":   struct{ S *T }{&v},
		"hidden pointer":  struct{ s *T }{&v},
		"nested":          struct{ a struct{ b struct{ C T } } }{struct{ b struct{ C T } }{struct{ C T }{v}}},
		"slice":           []T{v, v},
		"pointers":        []*T{&v},
		"array":           [2]T{v, v},
		"hidden array":    struct{ s [1]T }{[1]T{v}},
		"map value":       map[string]T{"k": v},
		"hidden map":      struct{ m map[string]T }{map[string]T{"k": v}},
		"interface":       []any{v, &v},
		"hidden any":      struct{ s any }{v},
		"channel":         channel,
		"function":        func() T { return v },
		"func and chan":   struct{ f, c any }{func() T { return v }, channel},
		"beside":          struct{ f, g, s any }{func() T { return v }, channel, v},
		"error":           carrier[T]{v},
		"wrapped error":   fmt.Errorf("one: %w", carrier[T]{v}),
		"joined error":    errors.Join(io.EOF, carrier[T]{v}),
		"formatted error": fmt.Errorf("one: %v %+v %#v", v, v, v),
		"error's pointer": &carrier[T]{v},
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := NewSecret(canary)
	for name, shape := range shapes(s) {
		discreet(t, name, shape, canary)
	}
	for _, format := range formats() {
		if !strings.HasSuffix(format, "p") && !strings.HasSuffix(format, "w") {
			require.Equal(t, "****", fmt.Sprintf(format, s), format)
			require.Equal(t, "", fmt.Sprintf(format, Secret{}), format)
		}
	}
	require.Equal(t, canary, s.Reveal())
	require.NotContains(t, fmt.Sprint(s), "6789", "a credential's end is no hint either")
}

func TestSensitiveNeverPrints(t *testing.T) {
	s := NewSensitive(canary)
	for name, shape := range shapes(s) {
		discreet(t, name, shape, canary)
	}
	for _, format := range formats() {
		if !strings.HasSuffix(format, "p") && !strings.HasSuffix(format, "w") {
			require.Equal(t, "****6789", fmt.Sprintf(format, s), format)
			require.Equal(t, "", fmt.Sprintf(format, Sensitive{}), format)
		}
	}
	require.Equal(t, canary, s.Reveal())
}

func TestSensitiveMask(t *testing.T) {
	mega := strings.Repeat("x", 1<<20)
	for _, tc := range []struct{ name, value, want string }{
		{"0", "", ""},
		{"1", "a", "****"},
		{"4", "abcd", "****"},
		{"8", "abcdefgh", "****"},
		{"9", "abcdefghi", "****"},
		{"8 digits", "12345678", "****"},
		{"9 digits", "123456789", "****6789"},
		{"an IBAN", "GB33BUKB20201555555555", "****5555"},
		{"a name", "Maria Lee", "****"},
		{"an e-mail address", "avery@example.com", "****"},
		{"three digits at the end", "account-x123", "****"},
		{"a megabyte", mega + "0042", "****0042"},
		{"runes", "жжжжжабвг", "****"},
		{"runes and digits", "жжж0042", "****0042"},
		{"digits of other scripts", "12345６７８９", "****"},
		{"invalid bytes", "\xff\xff\xff\xff\xff\xff\xff\xffz", "****"},
		{"invalid bytes and digits", "\xff\xff\xff\xff\xff1234", "****1234"},
		{"new lines", "abcdefgh\r\n\t\x00", "****"},
		{"an escape", "abcdefgh\x1b[2J", "****"},
		{"spaces", "         ", "****"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewSensitive(tc.value)
			require.Equal(t, tc.want, s.String())
			require.Equal(t, tc.want, fmt.Sprintf("%+v", s))
			require.Equal(t, tc.want, s.LogValue().String())
			require.Equal(t, tc.value, s.Reveal())
			require.Equal(t, tc.value == "", s.IsZero())
		})
	}
}

// A Secret shows that it is there, whatever its length.
func TestSecretMask(t *testing.T) {
	for _, value := range []string{"a", "abcdefgh", "abcdefghi", strings.Repeat("x", 1<<20), "жжжжжабвг", "\xff\xff", "a\nb"} {
		s := NewSecret(value)
		require.Equal(t, "****", s.String())
		require.Equal(t, "****", s.LogValue().String())
		require.Equal(t, value, s.Reveal())
		require.False(t, s.IsZero())
	}
	require.Equal(t, Secret{}, NewSecret(""))
	require.Empty(t, Secret{}.String())
	require.Empty(t, Secret{}.Reveal())
	require.True(t, Secret{}.IsZero())
	require.Equal(t, Sensitive{}, NewSensitive(""))
}

func TestEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"a", "a", true}, {"a", "b", false}, {"abc", "abcd", false}, {"abcd", "abc", false},
		{"ж", "ж", true}, {"\xff", "\xfe", false}, {"a\x00", "a", false}, {canary, canary, true}, {canary, strings.ToUpper(canary), false},
	} {
		require.Equal(t, tc.want, NewSecret(tc.a).Equal(NewSecret(strings.Clone(tc.b))), "%q %q", tc.a, tc.b)
		require.Equal(t, tc.want, NewSensitive(tc.a).Equal(NewSensitive(strings.Clone(tc.b))), "%q %q", tc.a, tc.b)
	}
}

// No expression compares where a text is kept.
func TestComparingDoesNotCompile(t *testing.T) {
	for expression, compiles := range map[string]bool{
		"Sensitive{} == Sensitive{}":                          false,
		`NewSensitive("a") != NewSensitive("a")`:              false,
		"Secret{} == Secret{}":                                false,
		"map[Sensitive]int{}":                                 false,
		"map[Secret]int{}":                                    false,
		"LoginLink{} == LoginLink{}":                          false,
		"[1]Sensitive{} == [1]Sensitive{}":                    false,
		"struct{ S Secret }{} == struct{ S Secret }{}":        false,
		"new(Sensitive) == new(Sensitive)":                    true,
		"Sensitive{}.Equal(Sensitive{}) && Secret{}.IsZero()": true,
	} {
		err := typeError(t, expression)
		if compiles {
			require.NoError(t, err, expression)
		} else {
			require.Error(t, err, expression)
			require.Regexp(t, "cannot compare|cannot be compared|invalid map key", err.Error())
		}
	}
}

// typeError is what the compiler says of an expression in this package. What the package imports is
// empty here: no expression above needs it.
func typeError(t *testing.T, expression string) error {
	t.Helper()
	all := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(all, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	check := types.Config{Importer: emptyImports{}, IgnoreFuncBodies: true, Error: func(error) {}}
	pkg, _ := check.Check("duolink", all, files, nil)
	_, err = types.Eval(all, pkg, token.NoPos, expression)
	return err
}

type emptyImports struct{}

func (emptyImports) Import(name string) (*types.Package, error) {
	empty := types.NewPackage(name, path.Base(name))
	empty.MarkComplete()
	return empty, nil
}

// reflect.DeepEqual, and so testify, compares the texts, wherever they are kept.
func TestDeepEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b any
		want bool
	}{
		{NewSensitive(canary), NewSensitive(strings.Clone(canary)), true},
		{NewSensitive(canary), NewSensitive("another"), false},
		{NewSensitive(""), Sensitive{}, true},
		{NewSecret(canary), NewSecret(strings.Clone(canary)), true},
		{NewSecret(canary), NewSecret("another"), false},
		{Owner{Names: []Sensitive{NewSensitive(canary)}}, Owner{Names: []Sensitive{NewSensitive(strings.Clone(canary))}}, true},
		{Owner{Names: []Sensitive{NewSensitive(canary)}}, Owner{Names: []Sensitive{{}}}, false},
	} {
		require.Equal(t, tc.want, reflect.DeepEqual(tc.a, tc.b))
		if tc.want {
			require.Equal(t, tc.a, tc.b)
		} else {
			require.NotEqual(t, tc.a, tc.b)
		}
	}
}

func TestMaskedInSlog(t *testing.T) {
	secret, sensitive := NewSecret(canary), NewSensitive(canary)
	values := shapes(secret)
	for name, shape := range shapes(sensitive) {
		values["sensitive, "+name] = shape
	}
	for name, value := range values {
		for _, got := range inLog("value", value, "group", slog.GroupValue(slog.Any("v", value))) {
			for _, needle := range needles(canary) {
				require.NotContains(t, got, needle, name)
			}
		}
	}
	for _, got := range inLog("secret", secret, "sensitive", sensitive) {
		require.Regexp(t, `secret"?[=:]"?\*\*\*\*"?[ ,]`, got)
		require.Regexp(t, `sensitive"?[=:]"?\*\*\*\*6789"?`, got)
	}
}

// inLog is a record as slog's own handlers write it.
func inLog(args ...any) []string {
	var text, object strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", args...)
	slog.New(slog.NewJSONHandler(&object, nil)).With(args...).Info("m", args...)
	return []string{text.String(), object.String()}
}

func TestNotWrittenToJSON(t *testing.T) {
	for name, values := range map[string]map[string]any{"Secret": shapes(NewSecret(canary)), "Sensitive": shapes(NewSensitive(canary))} {
		for _, shape := range []string{"value", "pointer", "exported", "pointed to", "field pointer", "slice", "pointers", "array", "map value", "interface", "error"} {
			t.Run(name+"/"+shape, func(t *testing.T) {
				got, err := json.Marshal(values[shape])
				require.Error(t, err)
				require.Empty(t, got)
				discreet(t, shape, err, canary)
			})
		}
		got, err := json.Marshal(values["unexported"])
		require.NoError(t, err)
		require.JSONEq(t, "{}", string(got))
	}
	_, err := json.Marshal([]any{Secret{}})
	require.Error(t, err, "an empty one is refused too: what marshals today must not fail tomorrow")
	_, err = json.Marshal([]any{Sensitive{}})
	require.Error(t, err)
	got, err := json.Marshal(struct {
		Secret    Secret    `json:"secret,omitzero"`
		Sensitive Sensitive `json:"sensitive,omitzero"`
	}{})
	require.NoError(t, err)
	require.JSONEq(t, "{}", string(got))

	_, err = json.Marshal(AuthQuery{AccessToken: NewSecret(canary)})
	require.Error(t, err)
	_, err = json.Marshal(LoginLink{LoginURL: NewSensitive(canary)})
	require.Error(t, err)
}

// Other encoders see no field, and templates ask fmt.
func TestOtherEncoders(t *testing.T) {
	for _, value := range []any{NewSecret(canary), NewSensitive(canary), struct{ A, B any }{NewSecret(canary), NewSensitive(canary)}} {
		var out strings.Builder
		x, _ := xml.Marshal(value)
		out.Write(x)
		_ = gob.NewEncoder(&out).Encode(value)
		require.NoError(t, template.Must(template.New("").Parse(`{{.}} {{printf "%+v %#v %x" . . .}}`)).Execute(&out, value))
		for _, needle := range needles(canary) {
			require.NotContains(t, out.String(), needle)
		}
	}
}

func TestSensitiveFromJSON(t *testing.T) {
	for text, want := range map[string]string{
		`"abc"`: "abc", `""`: "", `null`: "", `7`: "7", `true`: "", `{"a":1}`: "", `["abc"]`: "", `"\u00e9\n\ud83d"`: "é\n\ufffd", ` "padded" `: "padded",
		"\"\xff\"": "\ufffd",
	} {
		got := NewSensitive("before")
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got.Reveal(), text)
		require.Equal(t, want == "", got.IsZero(), text)
	}
	var owner Owner
	require.NoError(t, json.Unmarshal([]byte(`{"names":["Avery Sample",null],"emails":[{"address":"avery@example.com"}]}`), &owner))
	require.Equal(t, Owner{Names: []Sensitive{NewSensitive("Avery Sample"), {}}, Emails: []Email{{Address: NewSensitive("avery@example.com")}}}, owner)

	for _, text := range []string{"", `"`, `"` + canary, canary, `"a" "b"`} {
		got := NewSensitive("before")
		err := got.UnmarshalJSON([]byte(text))
		require.Error(t, err, text)
		discreet(t, text, err, canary)
	}
	var secret Secret
	err := json.Unmarshal([]byte(`"`+canary+`"`), &secret)
	if err != nil { // a Secret is not read from JSON; NewSecret makes one
		discreet(t, "error", err, canary)
	} else {
		require.Equal(t, canary, secret.Reveal())
	}
}

// What Go itself writes when a program dies.
func TestPanicText(t *testing.T) {
	values := map[string]any{}
	for name, shape := range shapes(NewSecret(canary)) {
		values["secret, "+name] = shape
	}
	for name, shape := range shapes(NewSensitive(canary)) {
		values["sensitive, "+name] = shape
	}
	if name := os.Getenv("DUOLINK_TEST_PANIC"); name != "" {
		panic(values[name])
	}
	for name := range values {
		if !slices.ContainsFunc([]string{", value", ", pointer", ", unexported", ", exported", "wrapped error"}, func(s string) bool { return strings.HasSuffix(name, s) }) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicText$", "-test.count=1")
			command.Env = append(os.Environ(), "DUOLINK_TEST_PANIC="+name)
			out, err := command.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "panic:")
			for _, needle := range needles(canary) {
				require.NotContains(t, string(out), needle)
			}
		})
	}
}

// The credentials, in every place where a client keeps them.
const (
	canaryKey    = "api_CANARY-supermetrics-key-0001"
	canaryTenant = "otok_CANARY-another-tenant-0002"
	canaryID     = "mk-CANARY-client-identifier-0003"
	canarySecret = "mk-CANARY-client-secret-text-0004"
	canaryToken  = "mk-CANARY-exchanged-token-0005"
	canaryAccess = "access-CANARY-of-the-item-0006"
)

var canaries = []string{canaryKey, canaryTenant, canaryID, canarySecret, canaryToken, canaryAccess}

// canaryClient is a client whose credentials have all been used, with the context that its transport has seen last.
func canaryClient(t *testing.T, credentials Credentials) (*Client, *context.Context) {
	t.Helper()
	var seen context.Context
	c, _ := inMemory(t, func(r *http.Request) *http.Response {
		seen = r.Context()
		switch r.URL.Path {
		case "/auth/token":
			return reply(201, `{"access_token":"`+canaryToken+`","expires_in":3600}`)
		case "/plaid-compatible/auth/get":
			return reply(200, golden(t, "auth.get/sample.json"))
		case "/v2/ds/login/links":
			return reply(200, `{"data":[],"echo":"`+r.Header.Get("Authorization")+`"}`, "X-Echo", r.Header.Get("Authorization"))
		}
		return reply(200, golden(t, "identity.link/sample.json"))
	}, WithSupermetrics(BearerToken(canaryKey)), WithMoneyKit(credentials))
	_, err := c.Links.List(t.Context(), WithToken(canaryTenant))
	require.NoError(t, err)
	_, err = c.Identity.Link(t.Context(), bankLink)
	require.NoError(t, err)
	return c, &seen
}

func TestCredentialsNeverPrint(t *testing.T) {
	provide := func(context.Context) (string, error) { return canaryTenant, nil }
	bad := "api_CANARY bad\nkey-with-inner-space"
	for name, value := range map[string]any{
		"BearerToken":       BearerToken(canaryKey),
		"BearerToken, bad":  BearerToken(bad),
		"BearerTokenFunc":   BearerTokenFunc(provide),
		"ClientHeaders":     ClientHeaders(canaryID, canarySecret),
		"ClientCredentials": ClientCredentials(canaryID, canarySecret),
		"pair, bad":         ClientHeaders(canaryID, bad),
		"Options": []Option{
			WithSupermetrics(BearerToken(canaryKey)), WithMoneyKit(ClientCredentials(canaryID, canarySecret)), WithMoneyKit(ClientHeaders(canaryID, canarySecret)),
		},
		"Option":          WithSupermetrics(BearerToken(canaryKey)),
		"CallOption":      WithToken(canaryTenant),
		"AuthQuery":       AuthQuery{AccessToken: NewSecret(canaryAccess)},
		"accessToken":     accessToken{Token: NewSecret(canaryToken)},
		"their container": struct{ c Credentials }{ClientCredentials(canaryID, canarySecret)},
	} {
		discreet(t, name, value, append(canaries, bad)...)
	}
	for name, credentials := range map[string]Credentials{"bearer": BearerToken(canaryKey), "headers": ClientHeaders(canaryID, canarySecret), "exchange": ClientCredentials(canaryID, canarySecret)} {
		b, err := json.Marshal(credentials)
		if err == nil {
			require.JSONEq(t, "{}", string(b), name)
		}
	}
}

func TestClientNeverPrints(t *testing.T) {
	for name, credentials := range map[string]Credentials{
		"ClientCredentials": ClientCredentials(canaryID, canarySecret), "ClientHeaders": ClientHeaders(canaryID, canarySecret), "BearerToken": BearerToken(canaryTenant),
	} {
		if inShort() && name != "ClientCredentials" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			c, _ := canaryClient(t, credentials)
			synctest.Wait() // fmt looks at everything, also at what an exchange is just leaving behind
			for what, value := range map[string]any{
				"client": c, "in a struct": struct{ C *Client }{c}, "hidden": struct{ c *Client }{c}, "config": c.config,
				"services": []any{c.Logins, c.Links, c.Identity, c.Auth}, "Logins": c.Logins, "Identity": c.Identity, "Auth by value": *c.Auth,
				"authorizers": c.auth, "authorizer": c.auth[MoneyKit], "Supermetrics": c.auth[Supermetrics],
				"by value": reflect.ValueOf(c).Elem().Interface(),
			} {
				discreet(t, name+", "+what, value, canaries...)
			}
			require.Equal(t, "duolink.Client", fmt.Sprintf("%+v", c))
			for _, got := range inLog("client", c, "services", []any{c.Logins, c.Auth}) {
				for _, text := range canaries {
					require.NotContains(t, got, text)
				}
			}
		})
	}
}

func TestCallOptionsNeverPrint(t *testing.T) {
	var o callOptions
	for _, opt := range []CallOption{
		WithToken(canaryTenant), WithHeader("X-Trace", "t"), WithTenantHeader("X-Tenant", "t"), WithResponse(&Response{}), WithoutRetry(),
	} {
		require.NoError(t, opt(&o))
	}
	discreet(t, "call options", o, canaries...)
	discreet(t, "pointer", &o, canaries...)
	discreet(t, "hidden", struct{ o callOptions }{o}, canaries...)
}

// A Response holds the answer, which may quote what it was asked with; it prints three things of it.
func TestResponseNeverPrints(t *testing.T) {
	c, _ := canaryClient(t, ClientHeaders(canaryID, canarySecret))
	var r Response
	_, err := c.Links.List(t.Context(), WithToken(canaryTenant), WithResponse(&r))
	require.NoError(t, err)
	require.Contains(t, string(r.Body()), canaryTenant)
	require.Contains(t, r.Header().Get("X-Echo"), canaryTenant)
	for _, format := range formats() {
		if strings.HasSuffix(format, "p") || strings.HasSuffix(format, "w") { // of these fmt asks no method
			continue
		}
		for _, value := range []any{r, &r, struct{ R Response }{r}, struct{ R any }{&r}, []Response{r}, map[string]*Response{"r": &r}} {
			for _, needle := range needles(canaryTenant) {
				require.NotContains(t, fmt.Sprintf(format, value), needle, format)
			}
		}
		require.Equal(t, "status 200, request , attempts 1", fmt.Sprintf(format, r), format)
	}
	// The body stays inside even where fmt asks no method.
	for _, value := range []any{r, &r, struct{ r Response }{r}, struct{ r any }{&r}} {
		discreet(t, "response", value, canaryTenant)
	}
}

// The operation rides in the request's context, where a caller's transport can print it.
func TestOperationsNeverPrint(t *testing.T) {
	c, seen := canaryClient(t, ClientCredentials(canaryID, canarySecret))
	discreet(t, "context of a link", *seen, canaries...)
	_, err := c.Auth.Get(t.Context(), AuthQuery{AccessToken: NewSecret(canaryAccess)})
	require.NoError(t, err)
	discreet(t, "context of auth.get", *seen, canaries...)

	op := tokenExchange
	op.form = url.Values{"client_id": {canaryID}, "client_secret": {canarySecret}}
	op.body, _ = AuthQuery{AccessToken: NewSecret(canaryAccess)}.wire()
	op.private, op.secrets = []string{canaryID, canaryAccess}, []string{canarySecret, canaryAccess}
	for name, value := range map[string]any{"operation": op, "pointer": &op, "in a struct": struct{ Op operation }{op}} {
		t.Run(name, func(t *testing.T) {
			for _, format := range formats() {
				if strings.HasSuffix(format, "p") || strings.HasSuffix(format, "w") { // of these fmt asks no method
					continue
				}
				for _, text := range []string{canaryID, canarySecret, canaryAccess} {
					require.NotContains(t, fmt.Sprintf(format, value), text[:20], format)
				}
			}
		})
	}
}
