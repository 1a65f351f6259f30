// Command quickstart is a tour of the package: logins with their accounts, a login link from its
// creation to its end, an identity, and account numbers.
//
//	go run ./examples/quickstart
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
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	ctx, ignore := signal.NotifyContext(ctx, os.Interrupt)
	defer ignore()
	t, stop, err := newTour(getenv)
	if err != nil {
		return err
	}
	defer stop()
	t.out = out
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
	sandbox     *sandbox.Sandbox // nil against the real APIs
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
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a loopback port is there at once
	if err != nil {
		return nil, nil, err
	}
	servers := sandbox.New()
	server := &http.Server{Handler: servers, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()

	base := "http://" + listener.Addr().String()
	client, err := duolink.New(
		duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)),
		duolink.WithMoneyKit(duolink.ClientCredentials(sandbox.ClientID, sandbox.ClientSecret)),
		duolink.WithBaseURL(duolink.Supermetrics, base+"/v2"),
		duolink.WithBaseURL(duolink.MoneyKit, base),
	)
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	t := &tour{
		client: client, sandbox: servers, dataSource: "GAWA",
		bankLinkID: sandbox.LinkID, accessToken: duolink.NewSecret(sandbox.AccessToken),
	}
	t.stages = func() []func(context.Context) error {
		return []func(context.Context) error{
			t.say("A sandbox of both APIs at " + base + ", over HTTP. Nothing here is real."),
			t.logins, t.linkLife, t.links, t.identity, t.numbers,
		}
	}
	return t, func() { _ = server.Close() }, nil
}

func (t *tour) say(text string) func(context.Context) error {
	return func(context.Context) error {
		_, err := fmt.Fprintln(t.out, text)
		return err
	}
}
