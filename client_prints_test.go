package duolink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

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

// canaryClient is a client whose credentials have all been used, with the context that its
// transport has seen last.
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
			return reply(200, `{"data":[],"echo":"`+r.Header.Get("Authorization")+`"}`, "X-Echo",
				r.Header.Get("Authorization"))
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
	t.Parallel()
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
			WithSupermetrics(BearerToken(canaryKey)), WithMoneyKit(ClientCredentials(canaryID, canarySecret)),
			WithMoneyKit(ClientHeaders(canaryID, canarySecret)),
		},
		"Option":          WithSupermetrics(BearerToken(canaryKey)),
		"CallOption":      WithToken(canaryTenant),
		"AuthQuery":       AuthQuery{AccessToken: NewSecret(canaryAccess)},
		"accessToken":     accessToken{Token: NewSecret(canaryToken)},
		"their container": struct{ c Credentials }{ClientCredentials(canaryID, canarySecret)},
	} {
		discreet(t, name, value, append(canaries, bad)...)
	}
	for name, credentials := range map[string]Credentials{
		"bearer":   BearerToken(canaryKey),
		"headers":  ClientHeaders(canaryID, canarySecret),
		"exchange": ClientCredentials(canaryID, canarySecret),
	} {
		b, err := json.Marshal(credentials)
		if err == nil {
			require.JSONEq(t, "{}", string(b), name)
		}
	}
}

func TestClientNeverPrints(t *testing.T) {
	t.Parallel()
	for name, credentials := range map[string]Credentials{
		"ClientCredentials": ClientCredentials(canaryID, canarySecret),
		"ClientHeaders":     ClientHeaders(canaryID, canarySecret),
		"BearerToken":       BearerToken(canaryTenant),
	} {
		if inShort() && name != "ClientCredentials" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			c, _ := canaryClient(t, credentials)
			synctest.Wait() // fmt looks at everything, also at what an exchange is just leaving behind
			for what, value := range map[string]any{
				"client": c, "in a struct": struct{ C *Client }{c}, "hidden": struct{ c *Client }{c},
				"config":   c.config,
				"services": []any{c.Logins, c.Links, c.Identity, c.Auth},
				"Logins":   c.Logins, "Identity": c.Identity, "Auth by value": *c.Auth,
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
		WithToken(canaryTenant), WithHeader("X-Trace", "t"), WithTenantHeader("X-Tenant", "t"),
		WithResponse(&Response{}), WithoutRetry(),
	} {
		require.NoError(t, opt(&o))
	}
	discreet(t, "call options", o, canaries...)
	discreet(t, "pointer", &o, canaries...)
	discreet(t, "hidden", struct{ o callOptions }{o}, canaries...)
}

// A Response holds the answer, which may quote the request. It prints only three things.
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
		for _, value := range []any{
			r, &r, struct{ R Response }{r}, struct{ R any }{&r}, []Response{r}, map[string]*Response{"r": &r},
		} {
			for _, needle := range needles(canaryTenant) {
				require.NotContains(t, fmt.Sprintf(format, value), needle, format)
			}
		}
		require.Equal(t, "status 200, request , attempts 1", fmt.Sprintf(format, r), format)
	}
	// The body is not printed, even if fmt calls no method.
	for _, value := range []any{r, &r, struct{ r Response }{r}, struct{ r any }{&r}} {
		discreet(t, "response", value, canaryTenant)
	}
}

// A caller's transport can print the context of a request.
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
	for name, value := range map[string]any{"operation": op, "pointer": &op,
		"in a struct": struct{ Op operation }{op}} {
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
