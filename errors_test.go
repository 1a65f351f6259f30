package duolink

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asError returns the *Error in err, and fails if there is none.
func asError(t *testing.T, err error) *Error {
	t.Helper()
	require.Error(t, err)
	e, ok := errors.AsType[*Error](err)
	require.Truef(t, ok, "%T is no *Error", err)
	return e
}

var kinds = []error{
	ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrDeleted, ErrConflict, ErrValidation, ErrBankLinkState,
	ErrRateLimited,
	ErrServer, ErrArgument, ErrNotConfigured, ErrMalformedResponse, ErrResponseTooLarge,
	ErrLoginLinkClosed, ErrLoginLinkExpired, ErrLoginPending, ErrRedirectMismatch, ErrRefreshPending, ErrRefreshFailed,
	ErrProductUnavailable,
}

// wrapper is somebody else's error.
type wrapper struct{ inner error }

func (w wrapper) Error() string { return "wrapped" }
func (w wrapper) Unwrap() error { return w.inner }

// kindIs expects one kind and no other, for the error itself and for an error that wraps it three
// times.
func kindIs(t *testing.T, err, kind error) {
	t.Helper()
	wrapped := error(wrapper{errors.Join(errors.New("another"), fmt.Errorf("context: %w", err))})
	for _, k := range kinds {
		require.Equalf(t, k == kind, errors.Is(err, k), "%v: is it %v?", err, k)
		require.Equalf(t, k == kind, errors.Is(wrapped, k), "%v, wrapped: is it %v?", err, k)
	}
	require.Same(t, asError(t, err), asError(t, wrapped))
}

// The bodies of an error with a code, in each dialect.
func envelopeBody(code string) string {
	return fmt.Sprintf(`{"meta":{"request_id":"req-body-0001"},"error":{"code":%q,"message":"It went `+
		`wrong","description":"And how"}}`, code)
}

func flatBody(code string) string { return fmt.Sprintf(`{"error":%q,"message":"It went wrong"}`, code) }

func nativeBody(code string) string {
	return fmt.Sprintf(
		`{"error_code":%q,"error_message":"It went wrong","documentation_url":"https://docs.example.com/e"}`, code)
}

func plaidBody(family, code string) string {
	return fmt.Sprintf(`{"error_type":%q,"error_code":%q,"error_message":"It went `+
		`wrong","display_message":null,"request_id":"req-body-0001"}`, family, code)
}

// A link error gives a 422 its kind, also with an unknown code.
func TestLinkErrorCode(t *testing.T) {
	const body = `{"error_code":"link_error.new","error_message":"It went wrong","link_error_code":"auth_expired"}`
	err := calls["identity.get"](t.Context(), replying(t, 422, body))
	kindIs(t, err, ErrBankLinkState)
	require.Equal(t, BankLinkErrorAuthExpired, asError(t, err).BankLinkErrorCode)
	require.EqualValues(t, "link_error.new", asError(t, err).Code)
}

// plain is what the body of an error says.
type plain struct {
	kind                          error
	code                          Code
	message, description, request string
	fields                        []FieldError
	plaid                         PlaidErrorType
	link                          BankLinkErrorCode
	display, action, docs         string
}

func plainOf(e *Error) plain {
	return plain{
		e.kind(), e.Code, e.Message, e.Description, e.RequestID, e.Fields, e.PlaidType, e.BankLinkErrorCode,
		e.DisplayMessage,
		e.SuggestedAction,
		e.DocumentationURL,
	}
}

func TestErrorShapes(t *testing.T) {
	const header = "req-header-0001" // where the body has none
	refused := []FieldError{
		{Location: "body.products.0", Message: "value is not a valid enumeration member", Type: "type_error.enum"},
		{Location: "query.account_ids", Message: "field required", Type: "value_error.missing"},
	}
	shapes := map[string]struct {
		operation string
		status    int
		want      plain
	}{
		"array.json": {"links.get", 503, plain{kind: ErrServer, message: "try again later", request: header}},
		"detail_list.json": {
			"identity.get", 422,
			plain{kind: ErrValidation, message: "value is not a valid enumeration member", request: header,
				fields: refused},
		},
		"detail_object.json": {
			"identity.get", 503, plain{kind: ErrServer, message: "The service is being upgraded", request: header},
		},
		"detail_string.json": {"identity.get", 404, plain{kind: ErrNotFound, message: "Not Found", request: header}},
		"empty.json":         {"links.get", 502, plain{kind: ErrServer, request: header}},
		"free_text.json":     {"links.get", 429, plain{kind: ErrRateLimited, message: "rate limited", request: header}},
		"html.html":          {"links.get", 502, plain{kind: ErrServer, request: header}},
		"invalid_utf8.json": {"links.get", 400, plain{
			kind: ErrBadRequest, code: CodeBadRequest, message: "Unexpected bytes \ufffd\ufffd\ufffd( in the parameter",
			request: "EXAMPLEREQ_error_0007",
		}},
		"moneykit_link_state.json": {"identity.get", 422, plain{
			kind: ErrBankLinkState, code: CodeBadLinkState,
			message: "The link is in an error state and cannot serve this request.",
			link:    BankLinkErrorAuthExpired, docs: "https://docs.example.com/errors#link_error-bad_state",
			request: header,
		}},
		"moneykit_native.json": {"identity.get", 404, plain{
			kind: ErrNotFound, code: CodeBankLinkNotFound, message: "The link was not found.",
			docs: "https://docs.example.com/errors#link_error-not_found", request: header,
		}},
		"moneykit_validation.json": {"identity.refresh", 422, plain{
			kind: ErrValidation, code: CodeRequestValidationFailed, message: "The request failed validation.",
			fields:  refused,
			request: header,
		}},
		"oauth.json": {"links.get", 401, plain{
			kind: ErrUnauthorized, code: CodeOAuthInvalidToken,
			description: "The access token is expired, revoked or malformed",
			request:     header,
		}},
		"plaid.json": {"auth.get", 400, plain{
			kind: ErrBankLinkState, code: CodeItemLoginRequired, plaid: PlaidErrorTypeItemError,
			message: "the login details of this item have changed and a user login is required " +
				"to update this information",
			display: "Please sign in to your bank again.", action: "Send the user through the update flow.",
			docs: "https://docs.example.com/errors/item/#item_login_required", request: "example-req-plaid-0001",
		}},
		"plaid_nulls.json": {"auth.get", 400, plain{
			kind: ErrUnauthorized, code: CodeInvalidAPIKeys, plaid: PlaidErrorTypeInvalidInput,
			message: "invalid client_id or secret provided", request: header,
		}},
		"plaid_status_float.json": {"auth.get", 429, plain{
			kind: ErrRateLimited, code: CodeAuthLimit, plaid: PlaidErrorTypeRateLimitExceeded,
			message: "rate limit exceeded for attempts to access this item, please try again later",
			docs:    "https://docs.example.com/errors/rate-limit-exceeded/", request: "example-req-plaid-0002",
		}},
		"problem.json": {"identity.get", 429, plain{
			kind: ErrRateLimited, message: "The limit of 15 requests per minute for this link was reached.",
			request: header,
		}},
		"scalar.json": {"links.get", 503, plain{kind: ErrServer, request: header}},
		"supermetrics_code_number.json": {
			"links.get", 429,
			plain{kind: ErrRateLimited, code: "42901", message: "Too many requests", request: "EXAMPLEREQ_error_0003"},
		},
		"supermetrics_envelope.json": {"links.get", 403, plain{
			kind: ErrForbidden, code: CodeForbidden, message: "Access to this resource is forbidden",
			description: "The credential is missing the scope ds_logins_read.", request: "EXAMPLEREQ_error_0001",
		}},
		"supermetrics_envelope_details.json": {"links.create", 422, plain{
			kind: ErrValidation, code: CodeUnprocessableEntity, message: "The request could not be processed",
			description: "One or more parameters are not valid.", request: "EXAMPLEREQ_error_0002",
			fields: []FieldError{
				{Location: "ds_id", Message: "This value should not be blank."},
				{Location: "expiry_time", Message: "This value is not a valid date-time."},
			},
		}},
		"supermetrics_envelope_no_meta.json": {"links.get", 401, plain{
			kind: ErrUnauthorized, code: CodeUnauthorized, message: "Authentication is required", request: header,
		}},
		"supermetrics_error_list.json": {"links.create", 400, plain{
			kind: ErrBadRequest, code: CodeValidationError, message: "ds_id is required",
			request: "EXAMPLEREQ_error_0005",
			fields: []FieldError{
				{Message: "ds_id is required", Type: "VALIDATION_ERROR"},
				{Message: "expiry_time is not a date-time", Type: "INVALID_PARAMETER"},
			},
		}},
		"supermetrics_flat.json": {"links.get", 404, plain{
			kind: ErrNotFound, code: CodeLinkNotFound, message: "Login link not found", request: header,
		}},
		"supermetrics_message_null.json": {
			"links.get", 500, plain{kind: ErrServer, code: CodeInternalServerError, request: "EXAMPLEREQ_error_0004"},
		},
		"text.txt": {"links.get", 503, plain{kind: ErrServer, request: header}},
		"truncated.json": {
			"links.get", 500, plain{kind: ErrServer, code: CodeInternalServerError, request: "EXAMPLEREQ_error_0006"},
		},
	}
	files, err := os.ReadDir("testdata/errors")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			tc, ok := shapes[file.Name()]
			require.True(t, ok, "no expectation")
			err := calls[tc.operation](t.Context(),
				replying(t, tc.status, golden(t, "errors/"+file.Name()), "X-Request-Id", header))
			require.Equal(t, tc.want, plainOf(asError(t, err)))
			kindIs(t, err, tc.want.kind)
		})
	}
}

func TestRetryAfterOfAnError(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "30": 30 * time.Second, " 86400 ": 24 * time.Hour, "soon": 0,
	} {
		err := calls["links.get"](t.Context(), replying(t, 429, "", "Retry-After", value))
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, want, asError(t, err).RetryAfter, "%q", value)
	}
}

// A text in the place of a code is a code if it looks like one, and else a message.
func TestWhatLooksLikeACode(t *testing.T) {
	codes := []string{
		"NOT_FOUND", "N", "N1", "OAUTH2_ERROR", "A_", "A__B", "invalid_token", "n1",
		"link_error.not_found", "a.", "a.b.c", "42", "0", "Not_Found", strings.Repeat("A", 100),
	}
	messages := []string{
		"_NOT_FOUND", "_", "_a", ".not_found", ".", "1_A", "4XX", "4xx", "1.5", "1_000", "Not_There", "A.B", "A-B",
		"not found", "é", "-1", strings.Repeat("A", 101), strings.Repeat("1", 101),
	}
	for _, text := range slices.Concat(codes, messages) {
		for _, member := range []string{"error", "code", "error_code"} {
			body, err := json.Marshal(map[string]string{member: text})
			require.NoError(t, err)
			e := asError(t, calls["links.get"](t.Context(), replying(t, 400, string(body))))
			if slices.Contains(codes, text) {
				require.Equal(t, Code(text), e.Code, member)
				require.Empty(t, e.Message, member)
			} else {
				require.Empty(t, e.Code, "%s: %q", member, text)
				require.Equal(t, text, e.Message, member)
			}
		}
	}
}

// A code that is empty, null or not a text does not erase the code of another member.
func TestAnEmptyCodeErasesNone(t *testing.T) {
	for _, empty := range []string{`""`, `null`, `{}`, `[]`, `true`} {
		for _, body := range []string{
			`{"error_code":"NOT_FOUND","code":` + empty + `}`, `{"code":` + empty + `,"error_code":"NOT_FOUND"}`,
			`{"error":{"code":"NOT_FOUND","error_code":` + empty + `}}`,
		} {
			e := asError(t, calls["links.get"](t.Context(), replying(t, 400, body)))
			require.Equal(t, CodeNotFound, e.Code, body)
		}
	}
}
