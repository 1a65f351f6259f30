package bench

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serverVariable makes a process the server. Its CPU time must not count as a client's, so it has a
// process of its own.
const serverVariable = "DUOLINK_BENCH_SERVER"

// ServeIfAsked is the server's main function in the process that [StartServer] starts. It must be
// called first in every program that calls StartServer.
func ServeIfAsked() {
	if os.Getenv(serverVariable) == "" {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: the server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve answers until its parent ends, because that closes the standard input.
func serve() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var dials atomic.Int64
	mux := http.NewServeMux()
	for name, payload := range payloads {
		body := payload()
		mux.Handle("/"+name+"/", answer(body, ""))
		if name != Accounts1M {
			mux.Handle("/"+name+"-gzip/", answer(zipped(body), "gzip"))
		}
	}
	mux.HandleFunc("/dials", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatInt(dials.Load(), 10))
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				dials.Add(1)
			}
		},
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(body []byte, encoding string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := w.Header()
		h.Set("Content-Type", "application/json")
		if encoding != "" { // what compresses on the fly does not know the length
			h.Set("Content-Encoding", encoding)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
		} else {
			h.Set("Content-Length", strconv.Itoa(len(body)))
		}
		_, _ = w.Write(body)
	})
}

func zipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body)
	_ = z.Close()
	return b.Bytes()
}

// Server is the server in its own process.
type Server struct {
	URL   string // of the server; the name of a payload follows
	input io.Closer
	child *exec.Cmd
}

// StartServer starts the server. The program must call [ServeIfAsked] first.
func StartServer() (*Server, error) {
	child := exec.CommandContext(context.Background(), os.Args[0])
	child.Env = append(os.Environ(), serverVariable+"=1")
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server has no address: %w", err)
	}
	return &Server{"http://" + strings.TrimSpace(address) + "/", input, child}, nil
}

// Close ends the server.
func (s *Server) Close() error {
	_ = s.input.Close()
	return s.child.Wait()
}

// Dials returns how many connections the server has accepted, without the one for this question.
func (s *Server) Dials() (int, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(s.URL + "dials") //nolint:noctx // it is on this machine
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(text))
	return n - 1, err
}
