package sandbox

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var supermetrics = vendor{
	requestIDHeader: "X-Request-Id",
	fail:            failSupermetrics,
	admit:           admitSupermetrics,
	badQuery:        func(c *call, err error) answer { return c.invalid(err.Error()) },
	routes: []route{
		{"logins.query_accounts", "GET", "/query/accounts", []string{"json"}, "", (*Sandbox).queryAccounts},
		{"logins.list", "GET", "/ds/logins", nil, "", (*Sandbox).listLogins},
		{"links.list", "GET", "/ds/login/links", nil, "", (*Sandbox).listLinks},
		{"links.create", "POST", "/ds/login/link", nil, mediaJSON, (*Sandbox).createLink},
		{"links.get", "GET", "/ds/login/link/{id}", nil, "", (*Sandbox).getLink},
		{"links.update", "PATCH", "/ds/login/link/{id}", nil, mediaJSON, (*Sandbox).updateLink},
		{"links.close", "PUT", "/ds/login/link/{id}/close", nil, "", (*Sandbox).closeLink},
		{"logins.get", "GET", "/ds/login/{id}", nil, "", (*Sandbox).getLogin},
		{"logins.revoke", "DELETE", "/ds/login/{id}", nil, "", (*Sandbox).revokeLogin},
		{"logins.accounts", "GET", "/ds/login/{id}/accounts", []string{"offset", "limit"}, "", (*Sandbox).listAccounts},
	},
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,50}$`)

// maxItems bounds the two lists that are not paginated.
const maxItems = 1000

// envelope is the shape of nearly every answer. The id comes first, as the servers send it.
type envelope struct {
	Meta  obj `json:"meta"`
	Data  any `json:"data,omitempty"`
	Error any `json:"error,omitempty"`
}

func (c *call) data(status int, v any) answer {
	return reply(status, envelope{Meta: obj{"request_id": c.requestID}, Data: v})
}

// problem is an error in an envelope.
func (c *call) problem(status int, code, message, description string) answer {
	e := obj{"code": code, "message": message}
	if description != "" {
		e["description"] = description
	}
	return reply(status, envelope{Meta: obj{"request_id": c.requestID}, Error: e})
}

// flat is an error in the older dialect of a few operations: only the header has the request id.
func flat(status int, code, message string) answer {
	return reply(status, struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{code, message})
}

// invalid is the 422 for a value that breaks a rule.
func (c *call) invalid(message string) answer {
	return c.problem(
		http.StatusUnprocessableEntity,
		"UNPROCESSABLE_ENTITY",
		message,
		"Correct the request before sending it again.",
	)
}

func (c *call) badRequest(message string) answer {
	return c.problem(http.StatusBadRequest, "BAD_REQUEST", message, "")
}

func failSupermetrics(c *call, status int) answer {
	switch status {
	case http.StatusMethodNotAllowed:
		c.header.Set("Allow", c.allowed())
		return c.problem(status, "METHOD_NOT_ALLOWED", "Method not allowed", "")
	case http.StatusTooManyRequests:
		return c.problem(status, "TOO_MANY_REQUESTS", "Too many requests", "Wait as long as Retry-After says.")
	}
	return c.problem(status, "NOT_FOUND", "The requested resource was not found", "")
}

// admitSupermetrics checks the credential, the hourly limit, and the form of the body and the id.
func admitSupermetrics(s *Sandbox, c *call) (answer, bool) {
	if refusal, ok := s.checkAPIKey(c); !ok {
		return refusal, false
	}
	if wait, ok := s.countHour(c); !ok {
		return c.tooMany(wait), false
	}
	if problem := c.bodyProblem(); problem != "" {
		return c.badRequest(problem), false
	}
	if strings.Contains(c.route.pattern, "{id}") && !idPattern.MatchString(c.id) {
		return c.invalid("The id in the path is not valid"), false
	}
	return answer{}, true
}

func (s *Sandbox) checkAPIKey(c *call) (answer, bool) {
	authorization := c.Header.Values("Authorization")
	if len(authorization) == 0 {
		return c.problem(
			http.StatusUnauthorized,
			"API_KEY_REQUIRED",
			"An API key is required",
			"Send it as a bearer token.",
		), false
	}
	key, bearer := strings.CutPrefix(authorization[0], "Bearer ")
	if len(authorization) > 1 || !bearer || !s.config.keys[key] {
		return c.problem(http.StatusUnauthorized, "API_KEY_INVALID", "The API key is not valid", ""), false
	}
	c.key = key
	return answer{}, true
}

// countHour takes one request from the credential's hour and says how many are left.
func (s *Sandbox) countHour(c *call) (time.Duration, bool) {
	limit := s.config.hourlyLimit
	if limit <= 0 {
		return 0, true
	}
	hour := window{subject: "api key " + c.key, limit: limit, period: time.Hour}
	wait, ok := s.limits.take(c.now, hour)
	c.header.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	c.header.Set("X-RateLimit-Remaining", strconv.Itoa(s.limits.remaining(c.now, hour)))
	return wait, ok
}
