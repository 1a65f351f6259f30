package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Supermetrics' input. The rules for null and empty members may be stricter than the server's,
// because a client should leave such members out.

// accountsQuery is the JSON parameter of logins.query_accounts.
type accountsQuery struct {
	dataSource   string
	users        []string
	cacheMinutes *int
}

func (c *call) accountsQuery() (q accountsQuery, refusal answer, ok bool) {
	values := c.URL.Query()["json"]
	if len(values) != 1 {
		return q, c.invalid("The query parameter json is required, once"), false
	}
	in, refusal, ok := c.object([]byte(values[0]), "ds_id", "ds_users", "cache_minutes", "api_key")
	if !ok {
		return q, refusal, false
	}
	var errs [4]error
	_, errs[0] = in.text("api_key", maxBody)
	q.dataSource, errs[1] = in.dataSource()
	q.users, errs[2] = in.users()
	q.cacheMinutes, errs[3] = in.cacheMinutes()
	if err := first(errs[:]); err != nil {
		return q, c.invalid(err.Error()), false
	}
	return q, answer{}, true
}

// object reads a JSON object of the body or the query.
func (c *call) object(text []byte, names ...string) (in members, refusal answer, ok bool) {
	in, err := decode(text, names...)
	switch {
	case errors.Is(err, errNoObject):
		return nil, c.badRequest(err.Error()), false
	case err != nil:
		return nil, c.invalid(err.Error()), false
	}
	return in, answer{}, true
}

func (c *call) newLink() (l *loginLink, refusal answer, ok bool) {
	in, refusal, ok := c.object(c.body, "ds_id", "expiry_time", "description", "require_username", "redirect_url")
	if !ok {
		return nil, refusal, false
	}
	var errs [5]error
	l = &loginLink{created: c.now}
	l.dataSource, errs[0] = in.dataSource()
	l.expiry, errs[1] = in.expiry(c.now)
	l.description, errs[2] = in.text("description", 1000)
	l.requireUsername, errs[3] = in.text("require_username", 255)
	l.redirectURL, errs[4] = in.redirectURL()
	if err := first(errs[:]); err != nil {
		return nil, c.invalid(err.Error()), false
	}
	return l, answer{}, true
}

func (c *call) newDescription() (text string, refusal answer, ok bool) {
	in, refusal, ok := c.object(c.body, "description")
	if !ok {
		return "", refusal, false
	}
	var description *string
	if json.Unmarshal(in["description"], &description) != nil || description == nil ||
		utf8.RuneCountInString(*description) > 1000 {
		return "", c.invalid("description must be a text of at most 1000 characters"), false
	}
	return *description, answer{}, true
}

// first returns the first error, because the message of a 422 is one sentence.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// text reads an optional text.
func (m members) text(name string, longest int) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil {
		return "", fmt.Errorf("%s must be a text", name)
	}
	if text == nil || *text == "" {
		return "", fmt.Errorf("%s must be left out when there is none", name)
	}
	if utf8.RuneCountInString(*text) > longest {
		return "", fmt.Errorf("%s must have at most %d characters", name, longest)
	}
	return *text, nil
}

func (m members) dataSource() (string, error) {
	text, err := m.text("ds_id", 50)
	if err == nil && !idPattern.MatchString(text) {
		err = errors.New("ds_id is required: letters, digits, - and _, at most 50")
	}
	return text, err
}

func (m members) users() ([]string, error) {
	raw, ok := m["ds_users"]
	if !ok {
		return nil, nil
	}
	var users []string
	if json.Unmarshal(raw, &users) != nil {
		user, err := m.text("ds_users", 255)
		return []string{user}, err
	}
	if len(users) == 0 || len(users) > 100 {
		return nil, errors.New("ds_users must have 1 to 100 items, or be left out")
	}
	for _, user := range users {
		if user == "" || utf8.RuneCountInString(user) > 255 {
			return nil, errors.New("every item of ds_users must have 1 to 255 characters")
		}
	}
	return users, nil
}

func (m members) cacheMinutes() (*int, error) {
	raw, ok := m["cache_minutes"]
	if !ok {
		return nil, nil
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < 60 || n > 1440 {
		return nil, errors.New("cache_minutes must be a number from 60 to 1440")
	}
	return &n, nil
}

func (m members) redirectURL() (string, error) {
	text, err := m.text("redirect_url", 500)
	if text == "" || err != nil {
		return text, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("redirect_url must be an absolute http or https URL")
	}
	return text, nil
}

// expiry reads expiry_time. A link without it lives for 24 hours.
func (m members) expiry(now time.Time) (time.Time, error) {
	text, err := m.text("expiry_time", 50)
	if err != nil {
		return time.Time{}, err
	}
	if text == "" {
		return now.Add(24 * time.Hour), nil
	}
	t, ok := parseExpiry(text, now)
	if !ok {
		return t, errors.New(`expiry_time must be a date-time with a zone, or like "10 hours"`)
	}
	if !t.After(now) {
		return t, errors.New("expiry_time must be in the future")
	}
	return t, nil
}

var relativePattern = regexp.MustCompile(`^\+?(\d{1,4}) (second|minute|hour|day|week|month)s?$`)

func parseExpiry(text string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, layoutNoColon} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	m := relativePattern.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return time.Time{}, false
	}
	n, _ := strconv.Atoi(m[1]) // at most four digits
	switch m[2] {
	case "second":
		return now.Add(time.Duration(n) * time.Second), true
	case "minute":
		return now.Add(time.Duration(n) * time.Minute), true
	case "hour":
		return now.Add(time.Duration(n) * time.Hour), true
	case "day":
		return now.AddDate(0, 0, n), true
	case "week":
		return now.AddDate(0, 0, 7*n), true
	}
	return now.AddDate(0, n, 0), true
}
