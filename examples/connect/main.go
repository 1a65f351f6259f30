// Command connect is a small service for "connect your ad account": a person chooses a data source,
// signs in there, comes back, sees the login with its accounts, and can revoke it.
//
//	go run ./examples/connect
//
// Without environment variables it talks to a sandbox in the same process, which also plays the
// data source. With SUPERMETRICS_API_KEY it talks to the real API. SUPERMETRICS_BASE_URL sends its
// requests elsewhere, to a gateway or a sandbox. If it runs behind a proxy or on another machine,
// -url is the service's address for a browser. A proxy must pass on the Host header.
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
	"github.com/duolink/duolink/internal/sandbox"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		os.Exit(1)
	}
}

// run serves until the context ends or somebody interrupts it.
func run(ctx context.Context, args []string, getenv func(string) string, out, logs io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("connect", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "where to listen; port 0 takes a free one")
	public := flags.String(
		"url",
		"",
		"where browsers find the service, like https://connect.example.com; without it, the address it listens on",
	)
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
		return fmt.Errorf("%w; -addr takes another address", err)
	}
	defer func() { _ = listener.Close() }()
	if *public == "" {
		*public = "http://" + browserAddress(listener.Addr())
	}
	base, err := publicURL(*public)
	if err != nil {
		return err
	}
	site, err := newSite(base, getenv, slog.New(slog.NewTextHandler(logs, nil)))
	if err != nil {
		return err
	}
	if err := site.greet(out); err != nil {
		return err
	}
	return site.serve(ctx, listener)
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
	vendor  *sandbox.Sandbox // nil against the real API
	base    *url.URL
	close   func()
}

// newSite makes the service for the real API or, without a key, for a sandbox.
func newSite(base *url.URL, getenv func(string) string, logger *slog.Logger) (*site, error) {
	s := &site{base: base, close: func() {}}
	key := getenv("SUPERMETRICS_API_KEY")
	opts := []duolink.Option{duolink.WithSupermetrics(duolink.BearerToken(key))}
	if key == "" {
		s.vendor = sandbox.New(sandbox.WithLoginPages(base.String()))
		transport := s.vendor.Transport()
		s.close = transport.Close
		opts = []duolink.Option{
			duolink.WithSupermetrics(duolink.BearerToken(sandbox.APIKey)),
			// The host is never looked up: the transport leads into the sandbox, whatever the URL.
			duolink.WithBaseURL(duolink.Supermetrics, "https://sandbox.invalid/v2"),
			duolink.WithHTTPClient(&http.Client{Transport: transport}),
		}
	} else if elsewhere := getenv("SUPERMETRICS_BASE_URL"); elsewhere != "" {
		opts = append(opts, duolink.WithBaseURL(duolink.Supermetrics, elsewhere))
	}
	client, err := duolink.New(opts...)
	if err != nil {
		s.close()
		return nil, err
	}
	s.app = newApp(client, newMemory(), base, logger)
	s.app.sandbox = s.vendor != nil
	s.handler = s.app.handler()
	if s.vendor != nil {
		s.handler = besides(s.handler, s.vendor)
	}
	return s, nil
}

// besides serves the sandbox's login pages, which play another site, next to the service.
func besides(service, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/login/") {
			pages.ServeHTTP(w, r)
			return
		}
		service.ServeHTTP(w, r)
	})
}

func (s *site) greet(out io.Writer) error {
	text := "Connect, against the sandbox: nothing here is real, and nothing leaves this machine.\n" +
		"Set SUPERMETRICS_API_KEY for the real API.\n"
	if !s.app.sandbox {
		text = "Connect, against the real API: SUPERMETRICS_API_KEY is set. Logins are real, and revoking ends them.\n"
	}
	_, err := fmt.Fprintf(out, "%s\n  %s\n\n", text, s.base)
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
	s.app.waits.stop()
	s.close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
