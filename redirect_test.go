package duolink

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A redirect is believed if it carries the verifier of the stored link, exactly once.
func TestConfirmRedirect(t *testing.T) {
	const verifier = "vRf-8fQ2hV9xKd+/="
	closed := `{"data":{"link_id":"dsll_1","status_code":"CLOSED","login_id":"dsl_1"}}`
	for name, tc := range map[string]struct {
		target string
		stored string // "" is verifier; "none" is none
		answer string
		opts   []Option
		kind   error
	}{
		"right": {target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D", answer: closed},
		"beside others": {
			target: "/done?state=7&redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D&x=",
			answer: closed,
		},
		"another parameter": {
			target: "/done?v=vRf-8fQ2hV9xKd%2B%2F%3D",
			answer: closed,
			opts:   []Option{WithRedirectParameter("v")},
		},
		"not that parameter": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D",
			opts:   []Option{WithRedirectParameter("v")},
			kind:   ErrRedirectMismatch,
		},
		"absent":          {target: "/done", kind: ErrRedirectMismatch},
		"empty":           {target: "/done?redirect_verifier=", kind: ErrRedirectMismatch},
		"without a value": {target: "/done?redirect_verifier", kind: ErrRedirectMismatch},
		"different":       {target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F", kind: ErrRedirectMismatch},
		"longer": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D%20",
			kind:   ErrRedirectMismatch,
		},
		"other case": {
			target: "/done?redirect_verifier=VRF-8fQ2hV9xKd%2B%2F%3D",
			kind:   ErrRedirectMismatch,
		},
		"twice": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D&redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D",
			kind:   ErrRedirectMismatch,
		},
		"and another": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D&redirect_verifier=x",
			kind:   ErrRedirectMismatch,
		},
		"in the fragment": {
			target: "/done?a=b#redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D",
			kind:   ErrRedirectMismatch,
		},
		"a query that is none": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D&%zz",
			kind:   ErrRedirectMismatch,
		},
		"none stored": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D",
			stored: "none",
			kind:   ErrRedirectMismatch,
		},
		"none at all": {target: "/done?redirect_verifier=", stored: "none", kind: ErrRedirectMismatch},
		"no login": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D",
			answer: `{"data":{"link_id":"dsll_1","status_code":"OPEN"}}`,
			kind:   ErrLoginPending,
		},
		"closed, no login yet": {
			target: "/done?redirect_verifier=vRf-8fQ2hV9xKd%2B%2F%3D",
			answer: `{"data":{"link_id":"dsll_1","status_code":"CLOSED"}}`,
			kind:   ErrLoginPending,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, m := inMemory(t, func(*http.Request) *http.Response { return reply(200, tc.answer) },
				append([]Option{WithSupermetrics(BearerToken(testKey))}, tc.opts...)...)
			stored := LoginLink{ID: "dsll_1", RedirectVerifier: NewSensitive(verifier)}
			if tc.stored == "none" {
				stored.RedirectVerifier = Sensitive{}
			}
			link, err := c.Links.ConfirmRedirect(t.Context(), stored, httptest.NewRequest("GET", tc.target, nil))
			if tc.kind == ErrRedirectMismatch {
				require.Empty(t, m.requests, "nothing is asked")
			} else {
				require.Len(t, m.requests, 1)
			}
			if tc.kind != nil {
				require.Nil(t, link)
				kindIs(t, err, tc.kind)
				for _, text := range append(printed(err), logged(err)...) {
					require.NotContains(t, text, "vRf-8fQ2")
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, "dsl_1", link.LoginID)
		})
	}
}

// Each other fault has its own error, and only a right verifier leads to a request.
func TestConfirmRedirectThatFails(t *testing.T) {
	c, m := inMemory(t, func(*http.Request) *http.Response { return reply(404, `{"error":"LINK_NOT_FOUND"}`) })
	request := httptest.NewRequest("GET", "/done?redirect_verifier=v", nil)
	_, err := c.Links.ConfirmRedirect(t.Context(), LoginLink{ID: "dsll_1", RedirectVerifier: NewSensitive("v")},
		request)
	kindIs(t, err, ErrNotFound)
	_, err = c.Links.ConfirmRedirect(t.Context(), LoginLink{ID: "../x", RedirectVerifier: NewSensitive("v")}, request)
	kindIs(t, err, ErrArgument)
	_, err = c.Links.ConfirmRedirect(t.Context(), LoginLink{ID: "dsll_1"}, nil)
	kindIs(t, err, ErrArgument)
	_, err = c.Links.ConfirmRedirect(t.Context(), LoginLink{ID: "dsll_1"}, &http.Request{})
	kindIs(t, err, ErrArgument)
	require.Len(t, m.requests, 1)
	_, err = New(WithRedirectParameter(""))
	require.ErrorIs(t, err, ErrArgument)
}
