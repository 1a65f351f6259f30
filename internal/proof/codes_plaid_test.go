package proof

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// plaidKinds are the names of kinds in testdata/plaid_errors.tsv.
var plaidKinds = map[string]error{
	"BadRequest": duolink.ErrBadRequest, "Unauthorized": duolink.ErrUnauthorized, "Forbidden": duolink.ErrForbidden,
	"NotFound": duolink.ErrNotFound, "Deleted": duolink.ErrDeleted, "Validation": duolink.ErrValidation,
	"RateLimited": duolink.ErrRateLimited, "Server": duolink.ErrServer, "LinkState": duolink.ErrBankLinkState,
}

// counted calls an operation, and counts its requests. The client may send each request twice.
func counted(t *testing.T, op operations.Operation, status int, body string) (requests int, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			requests++
			return reply(status, body), nil
		})
		c := clientOf(t, "http://127.0.0.1", op, &http.Client{Transport: transport},
			duolink.WithRetry(duolink.Retry{MaxAttempts: 2}))
		err = op.Call(t.Context(), c)
	})
	return requests, err
}

// Each code of Plaid's documentation has a kind and an action that help, with its own status and in a
// 200. Only what may pass is sent again.
func TestPlaidErrorTable(t *testing.T) {
	table, err := os.ReadFile("testdata/plaid_errors.tsv")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")[1:]
	require.Len(t, lines, 87)
	for _, line := range lines {
		columns := strings.Split(line, "\t")
		documented, err := strconv.Atoi(columns[0])
		require.NoError(t, err)
		family, code := columns[1], columns[2]
		for _, status := range []int{documented, 200} {
			for _, spelled := range []string{code, strings.ToLower(code), " " + code + " "} {
				t.Run(code+"/"+strconv.Itoa(status)+"/"+spelled, func(t *testing.T) {
					requests, err := counted(t, operations.Named("auth.get"), status, plaidBody(family, spelled))
					e := asError(t, err)
					require.True(t, slices.ContainsFunc(strings.Split(columns[3], "|"), func(name string) bool {
						require.NotNil(t, plaidKinds[name], name)
						return e.Kind == plaidKinds[name]
					}), "%v is not %s", e.Kind, columns[3])
					action := e.Action()
					require.Contains(t, strings.Split(columns[4], "|"), string(action))
					require.NotEmpty(t, e.Code.Meaning())
					passes := action == duolink.ActionRetry || action == duolink.ActionWaitUntil
					again := passes && (status >= 500 || e.Kind == duolink.ErrRateLimited)
					require.Equal(t, map[bool]int{false: 1, true: 2}[again], requests)
				})
			}
		}
	}
}

// A data source that nobody has logged in to leads to a login link, whatever the status. The call is
// not repeated, and a token is not given up.
func TestLoginRequired(t *testing.T) {
	codes := []duolink.Code{
		duolink.CodeQueryAuthNotFound, duolink.CodeQueryAuthLoginFailed, duolink.CodeQueryAuthUnavailable,
	}
	for _, name := range []string{"logins.query_accounts", "logins.query_accounts, streamed"} {
		for _, code := range codes {
			for _, status := range []int{200, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503} {
				for shape, body := range map[string]string{
					"envelope": envelopeBody(string(code)), "flat": flatBody(string(code)),
				} {
					t.Run(name+"/"+string(code)+"/"+strconv.Itoa(status)+"/"+shape, func(t *testing.T) {
						requests, err := counted(t, operations.Named(name), status, body)
						kindIs(t, err, duolink.ErrLoginRequired)
						require.Equal(t, code, asError(t, err).Code)
						require.Equal(t, duolink.ActionReauthenticate, asError(t, err).Action())
						require.Equal(t, 1, requests)
					})
				}
			}
		}
	}
	for _, status := range []int{200, 400, 403, 500, 503} {
		requests, err := counted(t, operations.Named("logins.query_accounts"), status, envelopeBody("QUERY_ERROR"))
		require.Equal(t, duolink.ActionFixRequest, asError(t, err).Action())
		require.Equal(t, 1, requests)
	}
}

// Codes that last are not repeated, and ask for the vendor's support, whatever the status.
func TestLastingCodes(t *testing.T) {
	for _, code := range []string{
		"LICENSE_EXPIRED", "LICENSE_HISTORICAL_RANGE_EXCEEDED", "LICENSE_QUERIES_SUSPENDED",
		"LICENSE_ROW_LIMIT_EXCEEDED", "LICENSE_SOMETHING_NEW", "license_expired",
	} {
		for _, status := range []int{200, 400, 403, 500, 503} {
			requests, err := counted(t, operations.Named("links.list"), status, envelopeBody(code))
			require.Equal(t, duolink.ActionContactSupport, asError(t, err).Action(), "%s %d", code, status)
			require.Equal(t, 1, requests)
		}
	}
}

// The sandbox answers so, too, for a data source that nobody has logged in to.
func TestLoginRequiredByTheSandbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		transport := s.Transport()
		defer transport.Close()
		c := sandboxClient(t, transport)
		query := operations.Named("logins.query_accounts")
		err := query.On(t.Context(), c, "NOBODY")
		kindIs(t, err, duolink.ErrLoginRequired)
		require.Equal(t, duolink.CodeQueryAuthNotFound, asError(t, err).Code)
		require.Equal(t, 1, s.Count("logins.query_accounts"))
		nobody := duolink.AccountsQuery{DataSourceID: "GAWA", Users: []string{"nobody"}}
		_, err = c.Logins.QueryAccounts(t.Context(), nobody)
		kindIs(t, err, duolink.ErrLoginRequired)
		require.Equal(t, duolink.CodeQueryAuthUnavailable, asError(t, err).Code)
	})
}
