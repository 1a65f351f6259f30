package proof

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Every method of every service is in the registry, as an operation or as a flow.
func TestEveryMethodIsInTheRegistry(t *testing.T) {
	var known []string
	for _, op := range operations.Methods {
		known = append(known, operations.MethodName(op.Method))
	}
	for _, flow := range operations.Flows {
		known = append(known, operations.MethodName(flow.Method))
	}
	var methods []string
	for _, m := range canaryMethods() {
		methods = append(methods, m.name)
	}
	require.ElementsMatch(t, methods, known)
}

// Every operation that package duolink declares is in the registry, and nothing else is.
func TestEveryOperationIsInTheRegistry(t *testing.T) {
	var known []string
	for _, op := range operations.All {
		if name := op.Operation(); !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	require.ElementsMatch(t, declaredOperations(t), known)
}

// declaredOperations are the names of operations that stand in the package-level variables of
// package duolink: texts that begin with the name of a service.
func declaredOperations(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, declared := range f.Decls {
			if variables, ok := declared.(*ast.GenDecl); ok && variables.Tok == token.VAR {
				names = append(names, operationNamesIn(t, variables)...)
			}
		}
	}
	require.NotEmpty(t, names)
	return names
}

func operationNamesIn(t *testing.T, in ast.Node) (names []string) {
	t.Helper()
	ast.Inspect(in, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		for service := range reflect.TypeFor[duolink.Client]().Fields() {
			if service.IsExported() && strings.HasPrefix(text, strings.ToLower(service.Name)+".") {
				names = append(names, text)
			}
		}
		return true
	})
	return names
}

// A row says all that a proof has to know, and no two rows have one name.
func TestRowsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, op := range operations.All {
		t.Run(op.Name, func(t *testing.T) {
			require.False(t, seen[op.Name])
			seen[op.Name] = true
			require.NotEmpty(t, op.API)
			require.NotNil(t, op.Call)
			require.NotEmpty(t, op.Verb)
			require.True(t, strings.HasPrefix(op.Route, "/"))
			require.NotEmpty(t, op.URI)
			require.True(t, json.Valid([]byte(op.Least)))
			require.Equal(t, op.Name == operations.Exchange, op.Method == nil)
			require.Equal(t, op.Name == operations.Exchange, op.Groups == nil, "the exchange waits for nobody's limit")
			writes := op.Repeat == operations.Settling || op.Repeat == operations.OnlyRefused
			require.Equal(t, writes || op.Name == operations.Exchange, op.Done != nil,
				"what a write has done can be seen")
			if strings.Contains(op.Route, "{") {
				require.NotNil(t, op.On)
				require.NotEmpty(t, op.Private)
			}
			found, ok := operations.Asked(op.Verb, pathOf(op))
			require.True(t, ok)
			require.Equal(t, op.Operation(), found.Operation(), "another operation has its path")
		})
	}
}

// pathOf is the path of an operation's request, behind the host.
func pathOf(op operations.Operation) string {
	path, _, _ := strings.Cut(op.URI, "?")
	return operations.Base(op.API) + path
}

// The sandbox has a handler for each operation, which answers what the row says, and hooks are told
// the row's operation, API and route.
func TestEveryOperationOnTheSandbox(t *testing.T) {
	for _, op := range operations.All {
		t.Run(op.Name, func(t *testing.T) {
			s := sandbox.New()
			transport := s.Transport()
			defer transport.Close()
			told := map[string]duolink.Attempt{}
			hooks := duolink.Hooks{AttemptEnd: func(_ context.Context, a duolink.Attempt) { told[a.Operation] = a }}
			c := sandboxClient(t, transport, duolink.WithHooks(hooks))
			require.NoError(t, op.Call(t.Context(), c))
			require.Equal(t, 1, s.Count(op.Operation()))
			require.Equal(t, 1, s.Count(op.CalledAs()))
			attempt := told[op.Operation()]
			require.Equal(t, op.API, attempt.API)
			require.Equal(t, op.Route, attempt.Route)
			require.Equal(t, op.Statuses[0], attempt.Status, "the documented status")
			if op.Done != nil {
				require.Equal(t, 1, op.Done(s))
			}
		})
	}
}

// Each operation has golden files, of which the sample is one, and all files are some operation's.
func TestEveryOperationHasGoldenFiles(t *testing.T) {
	directories := []string{"errors"}
	for _, op := range operations.All {
		if name := op.Operation(); !slices.Contains(directories, name) {
			directories = append(directories, name)
		}
		c := clientOf(
			t,
			"http://127.0.0.1",
			op,
			&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if asked, _ := operations.Asked(r.Method, r.URL.Path); asked.Operation() != op.Operation() {
					return reply(asked.Statuses[0], golden(t, asked.Sample)), nil
				}
				return reply(op.Statuses[0], golden(t, op.Sample)), nil
			})},
		)
		answer, err := op.Answer(t.Context(), c)
		require.NoError(t, err, op.Name)
		require.False(t, reflect.ValueOf(answer).IsZero(), op.Name)
	}
	entries, err := os.ReadDir(filepath.Join("..", "..", "testdata"))
	require.NoError(t, err)
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	require.ElementsMatch(t, directories, found)
}

// What a row says is private is sent, and stays out of every error, also if the server quotes it.
func TestPrivateArguments(t *testing.T) {
	forms := 0
	for _, op := range operations.All {
		for _, private := range op.Private {
			s := sandbox.New()
			transport := s.Transport()
			c := sandboxClient(t, transport)
			require.NoError(t, op.Call(t.Context(), c))
			require.Contains(t, textOf(t, s, op), private, "%s does not send it", op.Name)

			s.ExpireTokens()
			s.Script(sandbox.Fault{
				Operation: op.Operation(), Status: http.StatusUnprocessableEntity,
				Header: http.Header{"X-Request-Id": {private}}, Body: mustJSON(map[string]any{
					"error": map[string]any{"code": "INVALID_PARAMETER", "message": "not " + private,
						"description": private},
				}),
			})
			err := op.Call(t.Context(), c)
			require.Error(t, err, op.Name)
			for _, text := range append(printed(err), logged(err)...) {
				require.NotContains(t, text, private, op.Name)
				forms++
			}
			transport.Close()
		}
	}
	t.Logf("private arguments: %d printed forms of errors whose server quotes them", forms)
}

// textOf is all text of the request of an operation.
func textOf(t *testing.T, s *sandbox.Sandbox, op operations.Operation) string {
	t.Helper()
	for _, r := range s.Requests() {
		if r.Operation == op.Operation() {
			query, err := url.QueryUnescape(r.RawQuery)
			require.NoError(t, err)
			return r.Path + " " + query + " " + string(r.Body)
		}
	}
	require.Fail(t, "it was not sent", op.Name)
	return ""
}

// The proofs see what a user of package duolink sees: of this module they import that package, the
// sandbox, and what lies beside them.
func TestProofsUseThePublicAPI(t *testing.T) {
	const module = "github.com/duolink/duolink"
	allowed := []string{
		module, module + "/internal/sandbox", module + "/internal/proof/operations", module + "/internal/proof/pipes",
	}
	for _, pattern := range []string{"*.go", "*/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				if strings.HasPrefix(path, module) {
					require.Contains(t, allowed, path, file)
				}
			}
		}
	}
}
