package proof

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/duolink/duolink"
)

// plantedLeak is a mistake that somebody could make, and the way on which the canary has to notice
// it.
type plantedLeak struct {
	way    string
	method any // a method expression; (*duolink.LoginsService).QueryAccounts if it does not matter
	answer func(asked) (*http.Response, error)
	plant  func(*canaryWorld, asked)
	after  func(*canaryWorld, error) error
	value  func(*canaryWorld)

	foreign bool // the method's own error is one that the canary does not look into
}

// leakKey is what a package may put a value into a context with.
type leakKey struct{}

// Mistakes that types can make.
type (
	plainIBAN    struct{ IBAN string }
	openResponse struct{ Body []byte }
	openAttempt  struct {
		duolink.Attempt
		LinkID string
	}
	talkative  struct{ s string } // asks for its secret in a verb that nobody thinks of
	revealing  struct{ s duolink.Sensitive }
	pointed    struct{ s *string } // no method shows it
	openOption struct{ token string }
)

func (v talkative) Format(f fmt.State, verb rune) {
	if verb == 'd' {
		_, _ = fmt.Fprintf(f, "%d", []byte(v.s))
	}
}

func (v pointed) Format(fmt.State, rune)       {}
func (v pointed) LogValue() slog.Value         { return slog.Value{} }
func (v pointed) MarshalJSON() ([]byte, error) { return nil, errors.New("refused") }

func (v revealing) MarshalJSON() ([]byte, error) { return duolink.RevealJSON(v.s) }
func (v revealing) String() string               { return "****" }

func (v openOption) LogValue() slog.Value { return slog.StringValue(v.token) }
func (v openOption) Format(fmt.State, rune) {
}

var plantedLeaks = map[string]plantedLeak{
	"a plain text where a Sensitive belongs": {
		way:   "answer",
		value: func(w *canaryWorld) { w.value("answer", plainIBAN{secretAt("iban")}) },
	},
	"a Sensitive that marshals": {
		way:   "answer",
		value: func(w *canaryWorld) { w.value("answer", []any{revealing{duolink.NewSensitive(secretAt("iban"))}}) },
	},
	"a verb that nobody thinks of": {
		way:   "answer",
		value: func(w *canaryWorld) { w.value("answer", talkative{secretAt("iban")}) },
	},

	"a text behind a pointer": {
		way:   "reflection",
		value: func(w *canaryWorld) { w.value("answer", pointed{new(secretAt("iban"))}) },
	},

	"a wrapper that names the URL": {
		way: "error", method: (*duolink.LinksService).Get, answer: quoting(404, "flat", "LINK_NOT_FOUND"),
		after: func(_ *canaryWorld, err error) error {
			return fmt.Errorf("GET /ds/login/link/%s: %w", secretAt("Links.Get 1"), err)
		},
	},
	"a server's words that are not looked at": {
		way: "error", method: (*duolink.LinksService).Get, answer: quoting(404, "flat", "LINK_NOT_FOUND"),
		after: func(_ *canaryWorld, err error) error {
			e, _ := errors.AsType[*duolink.Error](err)
			own := *e
			own.Description = "no link " + secretAt("Links.Get 1")
			return &own
		},
	},
	"an error for nothing but JSON": {
		way: "error", method: (*duolink.LinksService).Get, answer: quoting(422, "native", "link_error.bad_state"),
		after: func(_ *canaryWorld, err error) error {
			e, _ := errors.AsType[*duolink.Error](err)
			own := *e
			own.Fields = []duolink.FieldError{{Location: secretAt("field")}}
			return &own
		},
	},
	"a cause in base64": {
		way: "error", foreign: true, answer: func(asked) (*http.Response, error) {
			return nil, errors.New("tried with " + base64.StdEncoding.EncodeToString([]byte("a:"+secretAt("secret"))))
		},
	},

	"a logger that logs the header": {
		way:   "log",
		plant: func(w *canaryWorld, a asked) { w.logger.Debug("sent", "header", a.Header) },
	},
	"a logger that logs the URL": {
		way:    "log",
		method: (*duolink.LinksService).Get,
		plant:  func(w *canaryWorld, a asked) { w.logger.Info("to", "url", a.URL) },
	},
	"a logger that logs the body, in hexadecimal": {
		way:    "log",
		method: (*duolink.LinksService).Create,
		plant:  func(w *canaryWorld, a asked) { w.logger.Info(fmt.Sprintf("%x", a.body)) },
	},

	"a hook that is told the id": {
		way:   "hook",
		plant: func(w *canaryWorld, a asked) { w.value("hook", openAttempt{LinkID: a.part("")}) },
	},
	"a context that has the text": {way: "hook", plant: func(w *canaryWorld, a asked) {
		w.carried("hook", context.WithValue(a.Context(), leakKey{}, &plainIBAN{secretAt("trip")}))
	}},
	"a response in the open": {
		way:   "response",
		value: func(w *canaryWorld) { w.value("response", openResponse{[]byte(secretAt("body"))}) },
	},
	"a group with the credential": {
		way:   "limiter",
		plant: func(w *canaryWorld, a asked) { w.value("limiter", "supermetrics/"+strings.ToLower(a.part(""))) },
	},
	"an option that shows itself": {
		way:   "client",
		value: func(w *canaryWorld) { w.value("client", openOption{secretAt("token")}) },
	},
	"a panic with the token": {
		way: "panic",
		value: func(w *canaryWorld) {
			w.add("panic",
				recovered(func() { panic("no call with " + secretAt("token")) }))
		},
	},

	"a print to stdout": {
		way:   "stdout, stderr and log",
		plant: func(_ *canaryWorld, a asked) { fmt.Println(a.Header) },
	},
	"a print to stderr": {
		way:    "stdout, stderr and log",
		method: (*duolink.LoginsService).QueryAccounts,
		plant:  func(_ *canaryWorld, a asked) { _, _ = fmt.Fprintln(os.Stderr, a.URL.RawQuery) },
	},
	"a line for the standard logger": {
		way:   "stdout, stderr and log",
		plant: func(_ *canaryWorld, a asked) { log.Print(a.Header) },
	},
	"a record for slog's own": {
		way: "stdout, stderr and log", plant: func(_ *canaryWorld, a asked) { slog.Debug("sent", "header", a.Header) },
	},
}
