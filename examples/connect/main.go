// Command connect is a small service for "connect your ad account": a person chooses a data source,
// signs in there, comes back, sees the login with its accounts, and can revoke it.
//
//	go -C examples/connect run .
//
// Without environment variables it talks to a sandbox in the same process, which also plays the
// data source. With SUPERMETRICS_API_KEY it talks to the real API. SUPERMETRICS_BASE_URL sends its
// requests elsewhere, to a gateway or a sandbox. If it runs behind a proxy or on another machine,
// -url is the service's address for a browser. A proxy must pass on the Host header.
//
// Connections are kept in an SQLite file, so they survive a restart. -db names it. Without -db it is
// connect.db in the current directory, or connect-sandbox.db for the sandbox. With -db :memory:
// nothing is kept. One file is for one API.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// keyVariable is the environment variable with the API key. Without it there is a sandbox.
const keyVariable = "SUPERMETRICS_API_KEY"

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct{ addr, url, db string }

// readFlags returns the text of the usage if somebody asks for it.
func readFlags(args []string) (set settings, usage string, err error) {
	flags := flag.NewFlagSet("connect", flag.ContinueOnError)
	flags.StringVar(&set.addr, "addr", "127.0.0.1:8080", "where to listen; port 0 takes a free one")
	flags.StringVar(&set.url, "url", "",
		"where browsers find the service, like https://connect.example.com; without it, the address it listens on")
	flags.StringVar(&set.db, "db", "",
		"the SQLite file that keeps connections, or "+inMemory+
			"; without it, connect.db in the current directory, or connect-sandbox.db for the sandbox")
	var text strings.Builder
	flags.SetOutput(&text)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return set, text.String(), nil
	case err != nil:
		return set, "", err
	case flags.NArg() > 0:
		return set, "", fmt.Errorf("%q is no flag; the address goes behind -addr", flags.Arg(0))
	}
	return set, "", nil
}

// run serves until the context ends or somebody interrupts it.
func run(ctx context.Context, args []string, getenv func(string) string, out, logs io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	set, usage, err := readFlags(args)
	if err != nil || usage != "" {
		_, _ = io.WriteString(out, usage)
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", set.addr)
	if err != nil {
		return fmt.Errorf("%w; -addr takes another address", err)
	}
	defer func() { _ = listener.Close() }()
	if set.url == "" {
		set.url = "http://" + browserAddress(listener.Addr())
	}
	base, err := publicURL(set.url)
	if err != nil {
		return err
	}
	return set.serve(ctx, listener, base, getenv, out, slog.New(slog.NewTextHandler(logs, nil)))
}

// serve opens the store, and the sandbox if there is no key, and closes them at the end.
func (set settings) serve(
	ctx context.Context, listener net.Listener, base *url.URL, getenv func(string) string, out io.Writer,
	logger *slog.Logger,
) (err error) {
	sandbox := getenv(keyVariable) == ""
	if set.db == "" {
		set.db = "connect.db"
		if sandbox { // a file of its own, because the ids in it mean nothing to the real API
			set.db = "connect-sandbox.db"
		}
	}
	kept, err := openStore(ctx, set.db)
	if err != nil {
		return fmt.Errorf("%w; -db takes another file", err)
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	var vendor *duolinktest.Server
	if sandbox {
		vendor = duolinktest.Start(duolinktest.WithLoginPages(base.String()))
		defer vendor.Close()
		all, err := kept.All(ctx)
		if err != nil {
			return err
		}
		recall(vendor, base, all)
	}
	s, err := newSite(base, kept, vendor, getenv, logger)
	if err != nil {
		return err
	}
	if err := s.greet(out, set.db, listener.Addr()); err != nil {
		return err
	}
	return s.serve(ctx, listener)
}

// browserAddress is the address itself, or loopback for an address that means every interface,
// because browsers cannot open that.
func browserAddress(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// publicURL reads -url: a scheme and a host without a path, because paths and cookies begin at the
// root.
func publicURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path+u.RawQuery+u.Fragment != "" ||
		u.User != nil {
		return nil, errors.New("-url must be like https://connect.example.com, without a path")
	}
	// As in the Host header of browsers, which leave out the default port of a scheme.
	u.Host = strings.ToLower(u.Host)
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u, nil
}

// site is the service with its address and its parts.
type site struct {
	app     *app
	handler http.Handler
	base    *url.URL
}

// newSite makes the service for the real API or, if there is one, for a sandbox.
func newSite(
	base *url.URL, kept *store, vendor *duolinktest.Server, getenv func(string) string, logger *slog.Logger,
) (*site, error) {
	opts := []duolink.Option{duolink.WithSupermetrics(duolink.BearerToken(getenv(keyVariable)))}
	if elsewhere := getenv("SUPERMETRICS_BASE_URL"); elsewhere != "" {
		opts = append(opts, duolink.WithBaseURL(duolink.Supermetrics, elsewhere))
	}
	if vendor != nil {
		opts = vendor.Options()
	}
	client, err := duolink.New(opts...)
	if err != nil {
		return nil, err
	}
	s := &site{app: newApp(client, kept, base, logger), base: base}
	s.app.sandbox = vendor != nil
	s.handler = s.app.handler()
	if vendor != nil {
		s.handler = besides(s.handler, vendor)
	}
	return s, nil
}

// close ends the waits for logins and the calls that are under way.
func (s *site) close(ctx context.Context) {
	s.app.waits.stop()
	if err := s.app.client.Close(ctx); err != nil {
		s.app.logger.Warn("the client did not come to rest", "error", err)
	}
}

func (s *site) greet(out io.Writer, db string, addr net.Addr) error {
	text := "Connect, against the sandbox: nothing here is real, and nothing leaves this machine.\n" +
		"Set " + keyVariable + " for the real API.\n"
	if !s.app.sandbox {
		text = "Connect, against the real API: " + keyVariable +
			" is set. Logins are real, and revoking ends them.\n"
	}
	keeps := "Connections are kept in " + db + ", which holds what is confidential: keep it to yourself.\n"
	if db == inMemory {
		keeps = "Connections are forgotten at the end.\n"
	}
	where := s.base.String()
	if s.base.Host != browserAddress(addr) {
		where += " (a proxy has to lead it to " + addr.String() + ")"
	}
	_, err := fmt.Fprintf(out, "%s%s\n  %s\n\n", text, keeps, where)
	return err
}

// serve ends with the context. Then open requests have a moment to finish, and the waits for logins
// stop.
func (s *site) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.app.logger.Handler(), slog.LevelWarn),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(listener)
	if !stop() {
		<-ended
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	s.close(grace)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
