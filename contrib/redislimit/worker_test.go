package redislimit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// job is what a process of a fleet does in a test: the test's program, started again.
type job struct {
	Do      string // "list", "create" or "refresh"
	Redis   []string
	Server  string
	Callers int
	For     time.Duration // of "list"
	Closed  bool          // FailClosed
	LinkID  string
	ID      string
	Secret  string
	Key     string
}

// result is what a process says in the end.
type result struct {
	Good    int
	Refused int // calls that the client or the server refused
	Away    int // calls that ended with ErrAway
	Other   map[string]int
	Waits   []wait // for the fleet
}

type wait struct {
	Began time.Time
	Took  time.Duration
}

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv("REDISLIMIT_JOB")
	if !ok {
		os.Exit(m.Run())
	}
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	r, err := j.run(context.Background())
	if err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
}

// timed measures how long the fleet holds requests.
type timed struct {
	*Fleet
	mu sync.Mutex
	r  *result
}

func (l *timed) Wait(ctx context.Context, group duolink.Group) error {
	began := time.Now()
	err := l.Fleet.Wait(ctx, group)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Waits = append(l.r.Waits, wait{began, time.Since(began)})
	return err
}

func (j job) fleet() (*Fleet, error) {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: j.Redis})
	var opts []Option
	if j.Closed {
		opts = append(opts, FailClosed())
	}
	return New(client, opts...)
}

func (j job) run(ctx context.Context) (*result, error) {
	fleet, err := j.fleet()
	if err != nil {
		return nil, err
	}
	r := &result{Other: map[string]int{}}
	limiter := &timed{Fleet: fleet, r: r}
	opts := []duolink.Option{
		duolink.WithSupermetrics(duolink.BearerToken(j.Key)),
		duolink.WithBaseURL(duolink.Supermetrics, j.Server+"/v2"), duolink.WithBaseURL(duolink.MoneyKit, j.Server),
		duolink.WithInsecureHTTP(), duolink.WithLocker(fleet), duolink.WithLimiter(limiter),
	}
	if j.ID != "" {
		opts = append(opts, duolink.WithMoneyKit(duolink.ClientCredentials(j.ID, j.Secret)))
	}
	c, err := duolink.New(opts...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close(ctx) }()
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil { // until the test lets all of them go
		return nil, err
	}
	until := time.Now().Add(j.For)
	var mu sync.Mutex
	var callers sync.WaitGroup
	for range j.Callers {
		callers.Go(func() {
			for first := true; first || time.Now().Before(until); first = false {
				err := j.call(ctx, c)
				mu.Lock()
				switch {
				case err == nil:
					r.Good++
				case errors.Is(err, ErrAway):
					r.Away++
				case errors.Is(err, duolink.ErrRateLimited):
					r.Refused++
				default:
					r.Other[err.Error()]++
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	callers.Wait()
	return r, nil
}

func (j job) call(ctx context.Context, c *duolink.Client) error {
	var err error
	switch j.Do {
	case "list":
		_, err = c.Links.List(ctx)
	case "create":
		_, err = c.Links.CreateOnce(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"}, "job-7")
	case "refresh":
		_, err = c.Identity.RefreshAndGet(ctx, j.LinkID, duolink.RefreshOptions{})
	}
	return err
}

// worker is a process of a fleet.
type worker struct {
	t   *testing.T
	cmd *exec.Cmd
	in  interface{ Write([]byte) (int, error) }
	out *bufio.Reader
}

func (j job) start(t *testing.T) *worker {
	t.Helper()
	text, err := json.Marshal(j)
	require.NoError(t, err)
	w := &worker{t: t, cmd: exec.Command(os.Args[0])}
	w.cmd.Env = append(os.Environ(), "REDISLIMIT_JOB="+string(text))
	w.cmd.Stderr = os.Stderr
	w.in, err = w.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := w.cmd.StdoutPipe()
	require.NoError(t, err)
	w.out = bufio.NewReader(out)
	require.NoError(t, w.cmd.Start())
	t.Cleanup(w.kill)
	line, err := w.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return w
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

func (w *worker) begin() {
	w.t.Helper()
	_, err := w.in.Write([]byte("go\n"))
	require.NoError(w.t, err)
}

// result waits until the process has ended.
func (w *worker) result() (r result) {
	w.t.Helper()
	require.NoError(w.t, json.NewDecoder(w.out).Decode(&r))
	require.NoError(w.t, w.cmd.Wait())
	return r
}

// startAll starts processes that do the same, and lets them go together.
func (j job) startAll(t *testing.T, processes int) (all []*worker) {
	t.Helper()
	for range processes {
		all = append(all, j.start(t))
	}
	for _, w := range all {
		w.begin()
	}
	return all
}
