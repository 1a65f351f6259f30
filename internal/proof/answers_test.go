package proof

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Which answers with a 2xx count as done, for each operation. "+" means done. "?" means
// ErrMalformedResponse, and it is not known whether a write was carried out. "e" means the error that
// the answer carries, with its kind, code, description and action. The columns are in answersWith2xx.
var answerTables = []string{`
                                204 empty null {} [] text html success:false
logins.query_accounts             ?     ?    ?  ?  ?    ?    ?             ?
logins.query_accounts, streamed   ?     ?    ?  ?  ?    ?    ?             ?
logins.list                       ?     ?    ?  ?  ?    ?    ?             ?
logins.get                        ?     ?    ?  ?  ?    ?    ?             ?
logins.revoke                     +     +    ?  ?  ?    ?    ?             ?
logins.accounts                   ?     ?    ?  ?  ?    ?    ?             ?
links.list                        ?     ?    ?  ?  ?    ?    ?             ?
links.create                      ?     ?    ?  ?  ?    ?    ?             ?
links.get                         ?     ?    ?  ?  ?    ?    ?             ?
links.update                      +     +    ?  ?  ?    ?    ?             ?
links.close                       +     +    ?  ?  ?    ?    ?             ?
identity.get                      ?     ?    ?  ?  ?    ?    ?             ?
identity.link                     ?     ?    ?  ?  ?    ?    ?             ?
identity.refresh                  +     +    +  +  ?    ?    ?             ?
auth.get                          ?     ?    ?  ?  ?    ?    ?             ?
auth.numbers                      ?     ?    ?  ?  ?    ?    ?             ?
auth.token                        ?     ?    ?  ?  ?    ?    ?             ?`, `
                                list nulls gaps object words others no-data
logins.query_accounts              +     +    +      ?     ?      ?       ?
logins.query_accounts, streamed    +     +    +      ?     ?      ?       ?
logins.list                        +     +    +      ?     ?      ?       ?
logins.get                         ?     ?    ?      ?     ?      ?       ?
logins.revoke                      ?     ?    ?      ?     ?      ?       ?
logins.accounts                    +     ?    +      ?     ?      ?       ?
links.list                         +     +    +      ?     ?      ?       ?
links.create                       ?     ?    ?      ?     ?      ?       ?
links.get                          ?     ?    ?      ?     ?      ?       ?
links.update                       ?     ?    ?      ?     ?      ?       ?
links.close                        ?     ?    ?      ?     ?      ?       ?
identity.get                       +     +    +      ?     ?      ?       ?
identity.link                      ?     ?    ?      ?     ?      ?       ?
identity.refresh                   ?     ?    ?      ?     ?      ?       ?
auth.get                           +     +    +      ?     ?      ?       ?
auth.numbers                       +     +    +      ?     ?      ?       ?
auth.token                         ?     ?    ?      ?     ?      ?       ?`, `
                                yes no neither open final another
logins.query_accounts             ?  ?       ?    ?     ?       ?
logins.query_accounts, streamed   ?  ?       ?    ?     ?       ?
logins.list                       ?  ?       ?    ?     ?       ?
logins.get                        ?  ?       ?    +     +       +
logins.revoke                     +  +       ?    ?     +       ?
logins.accounts                   ?  ?       ?    ?     ?       ?
links.list                        ?  ?       ?    ?     ?       ?
links.create                      ?  ?       ?    +     +       +
links.get                         ?  ?       ?    +     +       +
links.update                      ?  ?       ?    +     +       ?
links.close                       +  ?       ?    ?     +       ?
identity.get                      ?  ?       ?    ?     ?       ?
identity.link                     ?  ?       ?    +     +       +
identity.refresh                  ?  ?       ?    +     +       +
auth.get                          ?  ?       ?    ?     ?       ?
auth.numbers                      ?  ?       ?    ?     ?       ?
auth.token                        ?  ?       ?    ?     ?       ?`, `
                                error alone flat no-error no-parts
logins.query_accounts               e     e    e        +         +
logins.query_accounts, streamed     e     e    e        +         +
logins.list                         e     e    e        +         +
logins.get                          e     e    e        +         +
logins.revoke                       e     e    e        +         +
logins.accounts                     e     e    e        +         +
links.list                          e     e    e        +         +
links.create                        e     e    e        +         +
links.get                           e     e    e        +         +
links.update                        e     e    e        +         +
links.close                         e     e    e        +         +
identity.get                        e     e    e        +         +
identity.link                       +     e    e        +         +
identity.refresh                    +     e    e        +         +
auth.get                            e     e    e        +         +
auth.numbers                        e     e    e        +         +
auth.token                          +     e    e        +         +`}

// answersWith2xx are the columns: an answer for an operation.
var answersWith2xx = map[string]func(operations.Operation) (int, string){
	// What is no answer at all.
	"204":           func(operations.Operation) (int, string) { return 204, "" },
	"empty":         with(""),
	"null":          with("null"),
	"{}":            with("{}"),
	"[]":            with("[]"),
	"text":          with(`"done"`),
	"html":          with("<html><body>We will be back soon</body></html>"),
	"success:false": with(`{"success":false,"message":"not allowed"}`),

	// What stands in place of a list.
	"list":    withData(`[]`),
	"nulls":   withData(`null`),
	"gaps":    withData(`{"0":{"link_id":"a","login_id":"a","account_id":"a","ds_user":"a","accounts":[{}]}}`),
	"object":  withData(`{"links":[]}`),
	"words":   withData(`"moved"`),
	"others":  withData(`[{"a_new_member":1},null]`),
	"no-data": with(`{"meta":{"request_id":"r"},"message":"we will be back"}`),

	// What a server says of a write.
	"yes":     withData(`{"result":true}`),
	"no":      withData(`{"result":false}`),
	"neither": withData(`{"result":"perhaps"}`),
	"open":    withResource("", `,"status_code":"OPEN","state":"connecting","revoked_time":null`),
	"final":   withResource("", `,"status_code":"closed ","state":"connected","revoked_time":"2026-05-01T00:00:00Z"`),
	"another": withResource("x", `,"status_code":"CLOSED","state":"connected","revoked_time":"2026-05-01T00:00:00Z"`),

	// Errors, and members that say that there is none.
	"error":    beside(`"error":{"code":"FORBIDDEN","message":"It went wrong","description":"Ask somebody"}`),
	"alone":    with(`{"error":{"code":"FORBIDDEN","message":"It went wrong","description":"Ask somebody"}}`),
	"flat":     with(`{"error_code":"FORBIDDEN","error_message":"It went wrong","description":"Ask somebody"}`),
	"no-error": beside(`"error":[]`),
	"no-parts": beside(`"error":{"code":0,"message":""}`),
}

func with(body string) func(operations.Operation) (int, string) {
	return func(operations.Operation) (int, string) { return 200, body }
}

// withData puts a value in place of the data of an answer.
func withData(data string) func(operations.Operation) (int, string) {
	return func(op operations.Operation) (int, string) {
		if op.API == duolink.Supermetrics {
			return 200, `{"data":` + data + `}`
		}
		return 200, `{"accounts":` + data + `}`
	}
}

// withResource is a resource whose id begins like that of the call.
func withResource(more, members string) func(operations.Operation) (int, string) {
	return func(op operations.Operation) (int, string) {
		if op.API == duolink.Supermetrics {
			return 200, `{"data":{"link_id":"` + sandbox.OpenLoginLinkID + more + `","login_id":"` +
				sandbox.LoginID + more + `"` + members + `}}`
		}
		return 200, `{"link_id":"` + sandbox.LinkID + more + `"` + members + `}`
	}
}

// beside adds a member to a good answer.
func beside(member string) func(operations.Operation) (int, string) {
	return func(op operations.Operation) (int, string) {
		return 200, strings.TrimSuffix(op.Least, "}") + "," + member + "}"
	}
}

// TestMatrixOfAnswers sends each answer to each operation in place of the sandbox's. The sandbox sees
// the request, and does nothing.
func TestMatrixOfAnswers(t *testing.T) {
	cells := 0
	for _, table := range answerTables {
		lines := strings.Split(strings.TrimPrefix(table, "\n"), "\n")
		columns := strings.Fields(lines[0])
		require.Len(t, lines, len(operations.All)+1, "one line for each operation")
		for i, op := range operations.All {
			name, row := lines[i+1][:answerTableIndent], strings.Fields(lines[i+1][answerTableIndent:])
			require.Equal(t, op.Name, strings.TrimSpace(name))
			require.Len(t, row, len(columns))
			for j, column := range columns {
				cells++
				t.Run(op.Name+"/"+column, func(t *testing.T) { checkAnswer(t, op, column, row[j]) })
			}
		}
	}
	require.Equal(t, len(answersWith2xx)*len(operations.All), cells, "each answer is in a table")
}

// answerTableIndent is how wide the names are in answerTables.
const answerTableIndent = 32

func checkAnswer(t *testing.T, op operations.Operation, column, want string) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		transport := s.Transport()
		defer transport.Close()
		status, body := answersWith2xx[column](op)
		s.Script(sandbox.Fault{Operation: op.Operation(), Status: status, Body: body, Times: 2})
		c := matrixClient(t, transport, op.Name == operations.Exchange, duolink.Hooks{})
		if op.Name == operations.Exchange && want == "+" { // its token is not one of the sandbox's
			s.Script(sandbox.Fault{Operation: op.CalledAs(), Status: 200, Body: operations.Named(op.CalledAs()).Least})
		}
		before := matrixStateOf(s)

		err := op.Call(t.Context(), c)

		require.Equal(t, 1, s.Count(op.Operation()), "a whole answer is asked for once")
		require.Equal(t, before, matrixStateOf(s))
		if want == "+" {
			require.NoError(t, err)
			return
		}
		e := asError(t, err)
		require.Equal(t, op.Operation(), e.Operation)
		require.Equal(t, status, e.StatusCode)
		require.Equal(t, duolink.OutcomeUnknown, e.Outcome)
		if want == "?" {
			kindIs(t, err, duolink.ErrMalformedResponse)
			return
		}
		require.Equal(t, "e", want)
		kindIs(t, err, duolink.ErrForbidden)
		require.Equal(t, duolink.CodeForbidden, e.Code)
		require.Equal(t, "It went wrong", e.Message)
		require.Equal(t, "Ask somebody", e.Description)
		require.Equal(t, duolink.ActionAskPermission, e.Action())
	})
}
