package proof

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/duolink/duolink"
)

// situation is something that can happen to a call.
type situation struct {
	name     string
	answer   func(asked) (*http.Response, error) // nil: the good answer
	exchange bool                                // it happens to the token exchange
	bare     bool                                // the client has no credentials
	call     []duolink.CallOption
	ctx      func() (context.Context, context.CancelFunc)
	panics   string // the hook that panics
	spoil    string // what makes every text argument a wrong one
	good     bool   // the call succeeds
	echoes   bool   // a plain member of the answer says what was sent, which is the server's affair
	foreign  bool   // the cause's own words are those of the caller's transport, which are his to print
	all      bool   // with every kind of credential; the others take turns
	brief    bool   // there are many like it: without the rarer verbs

	// Leaks that are planted, to see that they are found.
	plant func(*canaryWorld, asked)
	after func(*canaryWorld, error) error
	value func(*canaryWorld)
}

// canarySituations are all that there are.
func canarySituations() (all []situation) {
	all = append(all,
		situation{name: "success", good: true, all: true},
		situation{
			name:   "success, other names",
			all:    true,
			good:   true,
			answer: func(a asked) (*http.Response, error) { return reply(200, a.w.answerTo(a, true)), nil },
		},
		situation{name: "arguments refused", spoil: "\x00" + strings.Repeat("x", 1001)},
		situation{name: "not configured", bare: true},
		situation{name: "canceled before", ctx: givingUp(-1)},
	)
	all = append(all, refusals()...)
	all = append(all, quotations()...)
	all = append(all, brokenAnswers()...)
	all = append(all, brokenConnections()...)
	all = append(all, disappointments()...)
	// What can happen to the token exchange can happen to it on the way to any call.
	for _, s := range slices.Clone(all[5:]) {
		s.name, s.exchange, s.good = s.name+", in the token exchange", true, false
		all = append(all, s)
	}
	return append(all, panics()...)
}

// refusals are every row of both vendors' tables of errors, in every dialect that may say it.
func refusals() (all []situation) {
	add := func(status int, dialect, code string) {
		name := fmt.Sprintf("%d %s, %s", status, code, dialect)
		all = append(all, situation{name: name, answer: quoting(status, dialect, code), brief: true})
	}
	for _, row := range supermetricsCodes {
		for _, code := range slices.Sorted(maps.Keys(row.codes)) {
			add(row.status, []string{"envelope", "flat"}[len(all)%2], code)
		}
	}
	for _, row := range moneyKitCodes {
		for _, code := range slices.Sorted(maps.Keys(row.codes)) {
			add(row.status, []string{"native", "detail"}[len(all)%2], code)
		}
	}
	for _, row := range plaidFamilies {
		for _, code := range slices.Sorted(maps.Keys(row.codes)) {
			add(row.status, row.wire, code)
		}
	}
	add(401, "oauth", "invalid_token")
	for status := range maps.Keys(byStatus) {
		add(status, []string{"text", "html"}[status%2], "")
		add(status, "sentence", "")
	}
	for _, dialect := range []string{"envelope", "flat", "native", "detail", "INVALID_INPUT"} {
		add(200, dialect, "SOMETHING_NEW")
		all = append(all, situation{name: "a mark as the code, " + dialect, answer: quoting(400, dialect, "")})
	}
	slices.SortStableFunc(all, func(a, b situation) int { return cmp.Compare(a.name, b.name) })
	return all
}

// quotations are servers that write what they were sent in forms of their own.
func quotations() (all []situation) {
	for name, form := range map[string]func(string) string{
		"in lower case":    strings.ToLower,
		"in upper case":    strings.ToUpper,
		"as a query":       url.QueryEscape,
		"as a path":        url.PathEscape,
		"escaped twice":    func(s string) string { return url.PathEscape(url.QueryEscape(s)) },
		"with %20":         func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") },
		"as JSON":          compactJSON,
		"as JSON for HTML": func(s string) string { return mustJSON(s) },
		"as JSON in ASCII": func(s string) string { return fmt.Sprintf("%+q", s) },
		"as JSON in a URL": func(s string) string { return url.QueryEscape(compactJSON(s)) },
		"as JSON in JSON":  func(s string) string { return mustJSON(compactJSON(s)) },
		"as HTML":          html.EscapeString,
		"as XML": func(s string) string {
			return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&apos;", "<", "&lt;", ">", "&gt;").Replace(s)
		},
	} {
		all = append(all, situation{name: "quoted " + name, all: true, answer: func(a asked) (*http.Response, error) {
			words := form(strings.Join(a.parts(), " and "))
			dialect := []string{"envelope", "native", "INVALID_INPUT"}[a.w.runs%3]
			return reply(400, a.refusal(dialect, "SOMETHING_NEW", words), "X-Request-Id", form(a.part("X"))), nil
		}})
		// What it was asked comes back as the request's id, of an answer that is good.
		all = append(all, situation{name: "as the request id, " + name, answer: func(a asked) (*http.Response, error) {
			parts := slices.DeleteFunc(a.parts(), func(s string) bool { return len(s) > 128 })
			id := form(parts[a.nth%len(parts)])
			body := `{"request_id":` + mustJSON(id) + `,"meta":{"request_id":` + mustJSON(id) + `},` +
				a.w.answerTo(a, false)[1:]
			return reply(200, body, "X-Request-Id", id), nil
		}})
	}
	slices.SortStableFunc(all, func(a, b situation) int { return cmp.Compare(a.name, b.name) })
	return all
}

// brokenAnswers are good ones that went wrong on the way, redirects, and waits.
func brokenAnswers() (all []situation) {
	add := func(name string, answer func(asked) (*http.Response, error)) {
		all = append(all, situation{name: name, answer: answer})
	}
	body := func(change func(string) string, header ...string) func(asked) (*http.Response, error) {
		return func(a asked) (*http.Response, error) {
			return reply(200, change(a.w.answerTo(a, false)), header...), nil
		}
	}
	inner := secretAt("of the server") // a text that it never sends but where it must not be looked at
	add("cut off", body(func(s string) string { return s[:len(s)/2] }))
	add(
		"cut off in a text",
		body(func(s string) string { return s[:max(0, strings.LastIndex(s, hiddenMark))+len(hiddenMark)] }),
	)
	add("no JSON", body(func(s string) string { return s + inner + "}" }))
	add("a text", body(func(s string) string { return mustJSON(inner) }))
	add(
		"texts for objects",
		body(func(s string) string { return `{"data":` + mustJSON(inner) + `,"accounts":` + mustJSON(inner) + `}` }),
	)
	add("a bad escape", body(func(s string) string { return strings.Replace(s, hiddenMark, hiddenMark+`\q`, 1) }))
	add("nothing", body(func(string) string { return "" }))
	add("too large", body(func(s string) string { return s[:len(s)-1] + strings.Repeat(" ", 65<<10) + inner + "}" }))
	add("no gzip", body(func(s string) string { return s }, "Content-Encoding", "gzip"))
	for name, change := range map[string]func([]byte) []byte{
		"gzip, cut off": func(b []byte) []byte { return b[:len(b)/2] },
		"gzip, bad sum": func(b []byte) []byte { b[len(b)-6] ^= 1; return b },
		"gzip, damaged": func(b []byte) []byte { b[len(b)/2] ^= 255; return b },
	} {
		add(name, body(func(s string) string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = io.WriteString(z, s)
			_ = z.Close()
			return string(change(b.Bytes()))
		}, "Content-Encoding", "gzip"))
	}
	for status, location := range map[int]string{
		301: "https://" + inner + ":" + inner + "@elsewhere.test/" + inner + "?q=" + inner + "#" + inner,
		302: "/" + inner + "?q=" + inner,
		303: "https://elsewhere.test/%zz?" + inner, 307: "//" + inner + "@elsewhere.test/", 308: inner + ":opaque",
	} {
		add(fmt.Sprint("redirect ", status), func(a asked) (*http.Response, error) {
			return reply(
				status, a.refusal("envelope", "MOVED", strings.Join(a.parts(), " ")), "Location", location,
				"X-Request-Id",
				a.part("X"),
			), nil
		})
	}
	add("redirect to what was sent", func(a asked) (*http.Response, error) {
		return reply(302, "", "Location",
			"https://"+url.PathEscape(a.part("host"))+".elsewhere.test"+a.URL.RequestURI()), nil
	})
	add("429, and no time to wait", func(a asked) (*http.Response, error) {
		return reply(429, a.refusal("envelope", "TOO_MANY_REQUESTS", a.part("")), "Retry-After", "86400"), nil
	})
	add("503, and a wait", func(a asked) (*http.Response, error) {
		return reply(503, a.refusal("flat", "SERVICE_UNAVAILABLE", a.part("")), "Retry-After", "3"), nil
	})
	return all
}

// brokenConnections are a transport's failures, before the answer and in the middle of it, and
// calls that are given up.
func brokenConnections() (all []situation) {
	add := func(name string, foreign bool, fail func(asked) error) {
		failing := func(a asked) (*http.Response, error) { return nil, fail(a) }
		all = append(all, situation{name: name, foreign: foreign, answer: failing})
	}
	words := func(a asked) string { return strings.Join(a.parts(), " ") + a.URL.String() }
	plain := errors.New("broken")
	in := func(a asked, err error) error { return &url.Error{Op: "Get", URL: a.URL.String(), Err: err} }
	add("url.Error", false, func(a asked) error { return in(a, plain) })
	add("url.Error, twice", false, func(a asked) error { return in(a, fmt.Errorf("a proxy: %w", in(a, plain))) })
	add("net.OpError", false,
		func(asked) error { return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED} })
	add(
		"net.OpError in a url.Error", false,
		func(a asked) error { return in(a, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}) },
	)
	add("net.DNSError", false, func(asked) error {
		return &net.OpError{
			Op:  "dial",
			Net: "tcp",
			Err: &net.DNSError{Err: "no such host", Name: "host.test", IsNotFound: true},
		}
	})
	add("a certificate", false, func(asked) error { return &tls.CertificateVerificationError{Err: plain} })
	add("a broken connection", false, func(asked) error { return io.ErrUnexpectedEOF })
	add(
		"a timeout of the connection", false,
		func(asked) error { return &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded} },
	)
	add(
		"url.Error in a net.OpError", true,
		func(a asked) error { return &net.OpError{Op: words(a), Net: "tcp", Err: in(a, plain)} },
	)
	add("an error with all words", true, func(a asked) error { return errors.New(words(a)) })
	add("a value with all words", true, func(a asked) error { return carrier[string]{words(a)} })
	add(
		"joined errors with all words", true,
		func(a asked) error { return errors.Join(plain, in(a, plain), carrier[string]{words(a)}) },
	)
	add("a url.Error around all words", true, func(a asked) error { return in(a, carrier[string]{words(a)}) })
	answering := func(name string, foreign bool, fail func(asked) error) {
		all = append(all, situation{name: name, foreign: foreign, answer: func(a asked) (*http.Response, error) {
			resp := reply(200, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(a.w.answerTo(a, false)[:20]),
				failingReader{fail(a)}))
			return resp, nil
		}})
	}
	answering(
		"broken off", false,
		func(asked) error { return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET} },
	)
	answering("broken off in all words", true, func(a asked) error { return carrier[string]{words(a)} })
	silent := func(a asked) (*http.Response, error) {
		<-a.Context().Done()
		return nil, in(a, a.Context().Err())
	}
	return append(all,
		situation{name: "timeout", answer: silent},
		situation{name: "canceled", answer: silent, ctx: givingUp(time.Second)},
		situation{name: "deadline", answer: silent, ctx: func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		}},
		situation{
			name:    "canceled with words",
			answer:  silent,
			foreign: true,
			ctx: func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(context.Background())
				time.AfterFunc(time.Second, func() { cancel(errors.New(secretAt("cause"))) })
				return ctx, func() { cancel(nil) }
			},
		},
		situation{name: "canceled in a wait", ctx: givingUp(time.Second),
			answer: func(a asked) (*http.Response, error) {
				return reply(503, a.refusal("envelope", "SERVICE_UNAVAILABLE", a.part("")), "Retry-After", "30"), nil
			}},
	)
}

// disappointments are good answers in which a resource says of itself that it cannot serve, in
// words that quote.
func disappointments() (all []situation) {
	add := func(name string, change func(a asked, words string, o map[string]any)) {
		all = append(all, situation{name: name, echoes: true, answer: func(a asked) (*http.Response, error) {
			var o map[string]any
			if err := json.Unmarshal([]byte(a.w.answerTo(a, false)), &o); err != nil {
				return nil, err
			}
			link := o
			if data, ok := o["data"].(map[string]any); ok {
				link = data
			}
			change(a, strings.Join(a.parts(), " and "), link)
			return reply(200, mustJSON(o)), nil
		}})
	}
	product := func(status map[string]any) map[string]any {
		return map[string]any{string(duolink.ProductIdentity): status, string(duolink.ProductAccountNumbers): status}
	}
	add(
		"a bank link in error",
		func(a asked, _ string, o map[string]any) { o["state"], o["error_code"] = "error", a.part("") },
	)
	add("a deleted bank link", func(_ asked, _ string, o map[string]any) { o["state"] = "deleted" })
	add("a product that cannot be had", func(_ asked, words string, o map[string]any) {
		o["products"] = product(map[string]any{"unavailable": words})
	})
	add("a refresh that fails", func(a asked, words string, o map[string]any) {
		o["products"] = product(
			map[string]any{
				"last_attempted_at": time.Now().Format(time.RFC3339),
				"error_code":        a.part(""),
				"error_message":     words,
			},
		)
	})
	add("a refresh that does not end", func(_ asked, _ string, o map[string]any) { o["products"] = product(nil) })
	for _, status := range []string{"OPEN", "CLOSED", "EXPIRED"} {
		add("a login link that is "+status, func(_ asked, words string, o map[string]any) {
			o["status_code"], o["login_id"], o["description"] = status, nil, plainMark
		})
	}
	return all
}

// panics are hooks that panic, each in the middle of what it is told of.
func panics() (all []situation) {
	for _, hook := range []string{"AttemptStart", "AttemptEnd", "Wait", "Cooldown", "TokenRenewal"} {
		for _, status := range []int{429, 503, 400} {
			all = append(all, situation{
				name:   fmt.Sprintf("panic in %s of a %d", hook, status),
				panics: hook,
				answer: quoting(status, "envelope", "SOMETHING_NEW"),
			})
		}
		all = append(all, situation{
			name:     "panic in " + hook + " of the token exchange",
			panics:   hook,
			exchange: true,
			answer:   quoting(503, "native", "api_error.new"),
		})
		all = append(all, situation{name: "panic in " + hook, panics: hook, good: false})
	}
	return all
}
