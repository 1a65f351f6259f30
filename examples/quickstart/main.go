// Command quickstart is a tour of the package: logins with their accounts, a login link from its
// creation to its end, an identity, account numbers, an error, a retry and a flow.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -reveal
//
// Without environment variables it talks to a sandbox of its own, on a loopback port. With
// SUPERMETRICS_API_KEY, or with MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET, or with both, it
// talks to the real APIs and only reads. SUPERMETRICS_DATA_SOURCE (by default GAWA),
// MONEYKIT_LINK_ID and MONEYKIT_ACCESS_TOKEN say what to read. SUPERMETRICS_BASE_URL and
// MONEYKIT_BASE_URL send the requests elsewhere, to a gateway or a sandbox.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(out)
	reveal := flags.Bool("reveal", false, "show the texts behind the masks, of the sandbox's invented people")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil || flags.NArg() > 0:
		return errors.New("the only flag is -reveal; quickstart -h tells more")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	ctx, ignore := signal.NotifyContext(ctx, os.Interrupt)
	defer ignore()
	t, stop, err := newTour(getenv)
	if err != nil {
		return err
	}
	defer stop()
	if *reveal && t.fake == nil {
		return errors.New("-reveal shows only the sandbox's people: unset the credentials")
	}
	t.out, t.reveal = out, *reveal
	for _, stage := range t.stages() {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tour has what all stages share.
type tour struct {
	out         io.Writer
	client      *duolink.Client
	fake        *duolinktest.Server // nil against the real APIs
	waits       []duolink.Wait      // as the hooks tell them
	reveal      bool                // show the sandbox's people, who are not real
	dataSource  string
	bankLinkID  string
	accessToken duolink.Secret
	stages      func() []func(context.Context) error
}

func newTour(getenv func(string) string) (*tour, func(), error) {
	key, id, secret := getenv("SUPERMETRICS_API_KEY"), getenv("MONEYKIT_CLIENT_ID"), getenv("MONEYKIT_CLIENT_SECRET")
	if (id == "") != (secret == "") {
		return nil, nil, errors.New("set both of MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET, or neither")
	}
	if key == "" && id == "" {
		return sandboxTour()
	}
	t := &tour{
		dataSource:  "GAWA",
		bankLinkID:  getenv("MONEYKIT_LINK_ID"),
		accessToken: duolink.NewSecret(getenv("MONEYKIT_ACCESS_TOKEN")),
	}
	if s := getenv("SUPERMETRICS_DATA_SOURCE"); s != "" {
		t.dataSource = s
	}
	var opts []duolink.Option
	if key != "" {
		opts = append(opts, duolink.WithSupermetrics(duolink.BearerToken(key)))
	}
	if id != "" {
		opts = append(opts, duolink.WithMoneyKit(duolink.ClientCredentials(id, secret)))
	}
	// Some networks have proxies or gateways in place of the vendors' hosts.
	bases := map[string]duolink.API{"SUPERMETRICS_BASE_URL": duolink.Supermetrics,
		"MONEYKIT_BASE_URL": duolink.MoneyKit}
	for name, api := range bases {
		if base := getenv(name); base != "" {
			opts = append(opts, duolink.WithBaseURL(api, base))
		}
	}
	var err error
	t.client, err = duolink.New(opts...)
	t.stages = func() []func(context.Context) error {
		stages := []func(context.Context) error{t.say("The real APIs, read-only.")}
		if key != "" {
			stages = append(stages, t.logins, t.links)
		}
		if id != "" {
			stages = append(stages, t.identity, t.numbers)
		}
		return stages
	}
	return t, func() {}, err
}

// sandboxTour starts both APIs on a loopback port and shows everything.
func sandboxTour() (*tour, func(), error) {
	fake := duolinktest.Start()
	t := &tour{
		fake: fake, dataSource: "GAWA",
		bankLinkID: duolinktest.BankLinkID, accessToken: duolink.NewSecret(duolinktest.AccessToken),
	}
	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(duolinktest.APIKey)),
		duolink.WithMoneyKit(duolink.ClientCredentials(duolinktest.ClientID, duolinktest.ClientSecret)),
		duolink.WithBaseURL(duolink.Supermetrics, fake.URL(duolink.Supermetrics)),
		duolink.WithBaseURL(duolink.MoneyKit, fake.URL(duolink.MoneyKit)),
		duolink.WithHooks(duolink.Hooks{
			Wait: func(_ context.Context, w duolink.Wait) { t.waits = append(t.waits, w) },
		}),
	)
	if err != nil {
		fake.Close()
		return nil, nil, err
	}
	t.client = client
	t.stages = func() []func(context.Context) error {
		return []func(context.Context) error{
			t.say("A sandbox of both APIs at " + fake.URL(duolink.MoneyKit) + ", over HTTP. Nothing here is real."),
			t.say(whyMasks),
			t.logins, t.linkLife, t.links, t.identity, t.numbers, t.failure, t.retry, t.flow,
			t.say(whatNext),
		}
	}
	return t, fake.Close, nil
}

func (t *tour) say(text string) func(context.Context) error {
	return func(context.Context) error {
		_, err := fmt.Fprintln(t.out, text)
		return err
	}
}
