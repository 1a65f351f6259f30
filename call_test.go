package duolink

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/internal/sandbox"
	"github.com/stretchr/testify/require"
)

// Licence codes are permanent, whatever their status.
func TestPermanentCodes(t *testing.T) {
	for status, code := range map[int]Code{
		500: CodeLicenseNotFound, 503: "LICENSE_SOMETHING_NEW", 429: CodeLicenseDailyQueryLimitExceeded,
	} {
		inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
			body := `{"error":{"code":"` + string(code) + `","message":"no"}}`
			s.Script(sandbox.Fault{Status: status, Body: body, Times: -1})
			_, err := c.Links.Get(t.Context(), "dsll_1")
			e, _ := errors.AsType[*Error](err)
			require.Equal(t, code, e.Code)
			require.Equal(t, 1, s.Count(""))
		})
	}
}

// A stalled attempt ends with its own timeout and is repeated while the caller's context lives. An
// operation that may be slow has a longer timeout.
func TestAttemptTimeout(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Delay: time.Hour}, sandbox.Fault{Stall: true})
		began := time.Now()
		var resp Response
		_, err := c.Links.Get(t.Context(), "dsll_1", WithResponse(&resp))
		require.NoError(t, err)
		require.Len(t, resp.Attempts, 3)
		require.Equal(t, 30*time.Second, resp.Attempts[0].Duration)
		require.Equal(t, 30*time.Second, resp.Attempts[1].Duration)
		require.Less(t, time.Since(began), 62*time.Second)
	})
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{Delay: 59 * time.Minute})
		_, err := c.Logins.QueryAccounts(t.Context(), AccountsQuery{DataSourceID: "GAWA"})
		require.NoError(t, err)
		require.Equal(t, 1, s.Count(""))
	})
}

// An expired token is renewed once and the call repeated once, also a create: it was refused.
// Somebody else's link is not a matter of the token.
func TestExpiredToken(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		_, err := c.Identity.Link(t.Context(), sandbox.LinkID)
		require.NoError(t, err)
		s.ExpireTokens()
		_, err = c.Identity.Refresh(t.Context(), sandbox.LinkID, []Product{ProductIdentity})
		require.NoError(t, err)
		require.Equal(t, 2, s.TokensIssued())
		require.Equal(t, 1, s.Refreshes(sandbox.LinkID))
		require.Equal(t, 2, s.Count("identity.refresh"))
	})
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		s.Script(sandbox.Fault{
			Operation: "identity.link", Status: 401, Times: -1,
			Body: `{"error_code":"api_error.auth.expired_access_token","error_message":"Access token expired"}`,
		})
		_, err := c.Identity.Link(t.Context(), sandbox.LinkID)
		require.ErrorIs(t, err, ErrUnauthorized)
		require.Equal(t, 2, s.Count("identity.link"))
		require.Equal(t, 2, s.TokensIssued())
	})
	inBubble(t, nil, nil, func(t *testing.T, c *Client, s *sandbox.Sandbox) {
		_, err := c.Identity.Link(t.Context(), sandbox.ForeignLinkID)
		require.ErrorIs(t, err, ErrUnauthorized)
		require.Equal(t, 1, s.Count("identity.link"))
		require.Equal(t, 1, s.TokensIssued())
	})
}

// A read is repeated after a 5xx, unless the code gives it another kind. An error with another
// status would be the same the next time.
func TestAnswersThatAreFinal(t *testing.T) {
	for name, tc := range map[string]struct {
		operation string
		status    int
		body      string
		kind      error
		repeated  bool
	}{
		"a server's error in a 200": {
			"links.get", 200, envelopeBody("INTERNAL_SERVER_ERROR"), ErrServer, false,
		},
		"an error without a code": {
			"links.get", 200, `{"error":{}}`, ErrServer, false,
		},
		"a code of a 4xx in a 500": {
			"links.get", 500, envelopeBody("FORBIDDEN"), ErrServer, true,
		},
		"a bank that is down, with a 400": {
			"auth.get", 400, plaidBody("INSTITUTION_ERROR", "INSTITUTION_DOWN"), ErrServer, false,
		},
		"an API error with a 499": {
			"auth.get", 499, plaidBody("API_ERROR", "PLANNED_MAINTENANCE"), ErrServer, false,
		},
		"an API error with a 500": {
			"auth.get", 500, plaidBody("API_ERROR", "PLANNED_MAINTENANCE"), ErrServer, true,
		},
		"a login that is over, in a 500": {
			"auth.get", 500, plaidBody("ITEM_ERROR", "ITEM_LOGIN_REQUIRED"), ErrBankLinkState, false,
		},
		"a wrong secret, in a 503": {
			"auth.get", 503, plaidBody("INVALID_INPUT", "INVALID_API_KEYS"), ErrUnauthorized, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := replies(tc.status, tc.body)
				c, s := inTurns(t, tc.operation, []Option{WithRetry(Retry{MaxAttempts: 2})}, answer, answer)
				kindIs(t, calls[tc.operation](t.Context(), c), tc.kind)
				require.Len(t, s.at, 1+asBit(tc.repeated))
			})
		})
	}
}

// For an error in any 2xx the code decides. From 400 on the status decides.
func TestCodeDecidesBelow300(t *testing.T) {
	for status, kind := range map[int]error{
		200: ErrForbidden, 201: ErrForbidden, 202: ErrForbidden, 206: ErrForbidden, 299: ErrForbidden,
		300: ErrMalformedResponse, 399: ErrMalformedResponse, // no answer of the API
		400: ErrBadRequest, 403: ErrForbidden, 499: ErrBadRequest, 500: ErrServer, 599: ErrServer,
	} {
		kindIs(t, calls["links.get"](t.Context(), replying(t, status, envelopeBody("FORBIDDEN"))), kind)
	}
}
