package sandbox

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Operations are the names of all operations.
func Operations() (all []string) {
	for _, v := range []vendor{supermetrics, moneykit, plaid} {
		for _, r := range v.routes {
			all = append(all, r.operation)
		}
	}
	slices.Sort(all)
	return all
}

// errorBody is the body of an error with this status, in the shape of the call's API. Without a code
// it has one that is documented for the status.
func errorBody(c *call, status int, code string) string {
	var body any
	switch c.vendor {
	case &plaid:
		body = plaidBody(status, code)
	case &moneykit:
		body = nativeBody(status, code)
	default:
		body = supermetricsBody(c.operation(), status, code)
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // cannot happen: they are texts and numbers
	}
	return string(text)
}

const message = "The fake was asked to fail"

// flatCodes are the errors of an older shape, by status and operation.
var flatCodes = map[int]map[string]string{
	403: {"links.create": "LINK_LIMIT_EXCEEDED"},
	404: {"links.get": "LINK_NOT_FOUND", "links.close": "LINK_NOT_FOUND", "logins.get": "LOGIN_NOT_FOUND"},
	500: {
		"links.close": "LINK_UPDATE_FAILED", "logins.list": "LOGIN_SEARCH_FAILED", "logins.get": "LOGIN_SEARCH_FAILED",
	},
}

var supermetricsCodes = map[int]string{
	400: "BAD_REQUEST", 401: "API_KEY_INVALID", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT_ERROR",
	422: "UNPROCESSABLE_ENTITY", 429: "TOO_MANY_REQUESTS", 500: "INTERNAL_SERVER_ERROR", 503: "SERVICE_UNAVAILABLE",
}

func supermetricsBody(operation string, status int, code string) any {
	if known := flatCodes[status][operation]; known != "" && (code == "" || code == known) {
		return obj{"error": known, "message": message}
	}
	e := obj{"code": cmp.Or(code, supermetricsCodes[status], strings.ToUpper(words(status))), "message": message}
	return envelope{Meta: obj{"request_id": "fake-request"}, Error: e}
}

// words are the words of a status, joined as the codes of both vendors are.
func words(status int) string {
	text := cmp.Or(http.StatusText(status), "unknown error")
	return strings.NewReplacer(" ", "_", "-", "_", "'", "").Replace(text)
}

var nativeCodes = map[int]string{
	400: "api_error.auth.unauthorized", 401: "api_error.auth.unauthorized", 403: "link_error.forbidden_action",
	404: "link_error.not_found", 410: "link_error.deleted", 422: "link_error.bad_state",
	429: "api_error.rate_limit_exceeded",
}

// nativeBody is MoneyKit's own shape. A code without a dot is the error of a link in a bad state.
func nativeBody(status int, code string) any {
	e := nativeError{Code: cmp.Or(code, nativeCodes[status]), Message: message, DocumentationURL: docsURL}
	switch {
	case e.Code == "": // no code is documented, as for a 503
		return obj{"detail": http.StatusText(status)}
	case code != "" && !strings.Contains(code, "."):
		e.Code, e.LinkCode = "link_error.bad_state", code
	case e.Code == "link_error.bad_state":
		e.LinkCode = "auth_expired"
	}
	return e
}

// plaidTypes are the types of the codes that the compatible layer documents.
var plaidTypes = map[string][]string{
	"INVALID_INPUT": {
		"INVALID_ACCESS_TOKEN", "INVALID_ACCOUNT_ID", "INVALID_API_KEYS", "UNAUTHORIZED_ENVIRONMENT",
	},
	"INVALID_REQUEST":     {"INVALID_BODY", "MISSING_FIELDS", "INVALID_FIELD", "INCOMPATIBLE_API_VERSION"},
	"RATE_LIMIT_EXCEEDED": {"AUTH_LIMIT", "ACCOUNTS_LIMIT"},
	"API_ERROR":           {"INTERNAL_SERVER_ERROR", "PLANNED_MAINTENANCE"},
}

var plaidCodes = map[int]string{
	400: "INVALID_FIELD", 401: "INVALID_API_KEYS", 429: "AUTH_LIMIT", 500: "INTERNAL_SERVER_ERROR",
	503: "PLANNED_MAINTENANCE",
}

func plaidBody(status int, code string) any {
	code = cmp.Or(code, plaidCodes[status])
	if code == "" {
		return obj{"detail": http.StatusText(status)}
	}
	kind := "ITEM_ERROR"
	for known, codes := range plaidTypes {
		if slices.Contains(codes, code) {
			kind = known
		}
	}
	return obj{
		"error_type": kind, "error_code": code, "error_message": message, "display_message": nil,
		"request_id": "fake-request", "documentation_url": docsURL, "suggested_action": nil,
	}
}
