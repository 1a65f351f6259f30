// Command sandbox serves both APIs from memory, with sample data, so that you can try them by hand:
//
//	go run ./examples/sandbox -addr 127.0.0.1:8081
//
// Open the address that it prints: the page lists what is there, with lines for curl.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/duolink/duolink/duolinktest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	set, err := parse(args, out)
	if err != nil || set == nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", set.addr)
	if err != nil {
		return err
	}
	fake := duolinktest.Start(set.options()...)
	defer fake.Close()
	fake.Script(set.script()...)
	url := "http://" + typed(listener.Addr().String())
	server := &http.Server{Handler: handler(fake, url), ReadHeaderTimeout: 10 * time.Second}
	describe(out, url)

	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler shows the page at /, and leaves everything else to the fake.
func handler(fake *duolinktest.Server, url string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			showPage(w, fake, url)
			return
		}
		fake.ServeHTTP(w, r)
	})
}

// typed is an address that a person can type. A program that listens on all interfaces has no
// address of its own, so loopback stands for it.
func typed(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// settings are the flags.
type settings struct {
	addr   string
	rate   int
	limits bool
	delay  time.Duration
	faults []duolinktest.Fault
}

// parse reads the flags. It returns nothing if they ask for help.
func parse(args []string, out io.Writer) (*settings, error) {
	set := &settings{}
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.StringVar(&set.addr, "addr", "127.0.0.1:8081", "where to listen, as `host:port`")
	flags.IntVar(&set.rate, "rate", 0, "refuse more than `n` requests a second with 429; 0 for no limit")
	flags.BoolVar(&set.limits, "limits", false, "refuse what exceeds MoneyKit's limits per minute, hour and day")
	flags.DurationVar(&set.delay, "delay", 0, "how long each answer takes, such as 200ms")
	flags.Func("fail", "let an operation fail, as `operation=fault`: a status such as 503, drop-before, drop-after\n"+
		"or stall, for all requests or, as in links.create=drop-after:1, for the first ones; may be repeated", set.fail)
	var usage strings.Builder
	flags.SetOutput(&usage)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err = io.WriteString(out, usage.String())
		return nil, err
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, fmt.Errorf("%q is no flag; the address goes behind -addr", flags.Arg(0))
	case set.rate < 0:
		return nil, fmt.Errorf("-rate %d is not a number of requests", set.rate)
	case set.delay < 0:
		return nil, fmt.Errorf("-delay %v is negative", set.delay)
	}
	return set, nil
}

func (s *settings) options() []duolinktest.Option {
	opts := []duolinktest.Option{
		duolinktest.WithDocumentationPlaceholders(),
		duolinktest.WithRequestsPerSecond(s.rate),
		duolinktest.WithLoginPages(""),
	}
	if s.limits {
		opts = append(opts, duolinktest.WithMoneyKitLimits())
	}
	return opts
}

// script are the faults. Each takes the delay, too, because a request takes one fault.
func (s *settings) script() (all []duolinktest.Fault) {
	for _, f := range s.faults {
		f.Delay = s.delay
		all = append(all, f)
	}
	if s.delay > 0 {
		all = append(all, duolinktest.Fault{Delay: s.delay, Times: -1})
	}
	return all
}

// describe prints what you need for a first request. The credentials belong to the sandbox and open
// nothing else.
func describe(out io.Writer, url string) {
	var lines strings.Builder
	for _, c := range curls(url) {
		lines.WriteString("\n  " + c.Line)
	}
	fmt.Fprintf(out, `Both APIs, in memory, until you stop it. Open %[1]s to see what is there.

  Supermetrics        %[1]s/v2
    API key           %[2]s
  MoneyKit            %[1]s
    client id         %[3]s
    client secret     %[4]s
    bank link         %[5]s
  Plaid-compatible    %[1]s/plaid-compatible
    access token      %[6]s

Bank links that fail on purpose: %[7]s (auth expired), %[8]s
(deleted), %[9]s (not permitted), %[10]s (somebody else's). The
placeholders of MoneyKit's documentation, <api-key> and <string>, work as credentials,
too. The login_url of a login link leads to a page here, which plays the data source.

Try:
%[11]s
`, url, duolinktest.APIKey, duolinktest.ClientID, duolinktest.ClientSecret, duolinktest.BankLinkID,
		duolinktest.AccessToken, duolinktest.AuthExpiredBankLinkID, duolinktest.DeletedBankLinkID,
		duolinktest.ForbiddenBankLinkID, duolinktest.ForeignBankLinkID, lines.String())
}

// curl is a request for the command line.
type curl struct{ What, Line string }

func curls(url string) []curl {
	id, secret := duolinktest.ClientID, duolinktest.ClientSecret
	key := "curl -H 'Authorization: Bearer " + duolinktest.APIKey + "' "
	pair := "curl -H 'X-Client-Id: " + id + "' -H 'X-Client-Secret: " + secret + "' "
	plaid := "curl -H 'PLAID-CLIENT-ID: " + id + "' -H 'PLAID-SECRET: " + secret + "' "
	json := "-H 'Content-Type: application/json' "
	return []curl{
		{"the logins", key + url + "/v2/ds/logins"},
		{"the login links", key + url + "/v2/ds/login/links"},
		{"a new login link", key + json + `-d '{"ds_id":"GAWA"}' ` + url + "/v2/ds/login/link"},
		{"a bank link", pair + url + "/links/" + duolinktest.BankLinkID},
		{"who owns its accounts", pair + url + "/links/" + duolinktest.BankLinkID + "/identity"},
		{
			"its account numbers",
			plaid + json + `-d '{"access_token":"` + duolinktest.AccessToken + `"}' ` +
				url + "/plaid-compatible/auth/get",
		},
	}
}

// baseURLs are the lines of a Go program that point the client here.
func baseURLs(url string) string {
	return fmt.Sprintf("duolink.WithBaseURL(duolink.Supermetrics, %q),\nduolink.WithBaseURL(duolink.MoneyKit, %q),",
		url+"/v2", url)
}
