// Command sandbox serves both APIs from memory, with sample data, so that you can try them by hand:
//
//	go run ./examples/sandbox -addr 127.0.0.1:8081
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

	"github.com/duolink/duolink/internal/sandbox"
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
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8081", "where to listen")
	rate := flags.Int("rate", 0, "requests a second, beyond which they are refused with 429; 0 for no limit")
	limits := flags.Bool("limits", false, "refuse what exceeds MoneyKit's limits per minute, hour and day")
	var usage strings.Builder
	flags.SetOutput(&usage)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err = io.WriteString(out, usage.String())
		return err
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag; the address goes behind -addr", flags.Arg(0))
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	opts := []sandbox.Option{
		sandbox.WithDocumentationPlaceholders(),
		sandbox.WithRequestsPerSecond(*rate),
		sandbox.WithLoginPages(""),
	}
	if *limits {
		opts = append(opts, sandbox.WithMoneyKitLimits())
	}
	server := &http.Server{Handler: sandbox.New(opts...), ReadHeaderTimeout: 10 * time.Second}
	describe(out, "http://"+listener.Addr().String())

	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// describe prints what you need for a first request. The credentials belong to the sandbox and open
// nothing else.
func describe(out io.Writer, url string) {
	fmt.Fprintf(out, `Both APIs, in memory, until you stop it:

  Supermetrics        %[1]s/v2
    API key           %[2]s
  MoneyKit            %[1]s
    client id         %[3]s
    client secret     %[4]s
    link              %[5]s
  Plaid-compatible    %[1]s/plaid-compatible
    access token      %[6]s

Links that fail on purpose: %[7]s (auth expired), %[8]s (deleted),
%[9]s (not permitted), %[10]s (somebody else's). The placeholders of MoneyKit's
documentation, <api-key> and <string>, work as credentials, too. The login_url of
a login link leads to a page here, which plays the data source.

Try:

  curl -H 'Authorization: Bearer %[2]s' %[1]s/v2/ds/login/links
  curl -H 'Content-Type: application/json' -H 'PLAID-CLIENT-ID: %[3]s' \
    -d '{"client_id":"%[3]s","secret":"%[4]s","access_token":"%[6]s"}' \
    %[1]s/plaid-compatible/auth/get
`, url, sandbox.APIKey, sandbox.ClientID, sandbox.ClientSecret, sandbox.LinkID, sandbox.AccessToken,
		sandbox.AuthExpiredLinkID, sandbox.DeletedLinkID, sandbox.ForbiddenLinkID, sandbox.ForeignLinkID)
}
