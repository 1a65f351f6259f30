package proof

import (
	"cmp"
	"context"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// The canary: a mark in everything that the caller sends and in every Sensitive that a server
// answers, each operation through everything that can happen to it, and all that comes out, printed
// in every way, without one mark in it. What is filled in is found by reflection over the services'
// methods and their types: what is added to them is in the test at once, or fails it.
//
// A server's own words are its own: a mark that it was not sent cannot be told from them, so an
// error's message that quotes, say, an account number which the caller does not know is out of
// scope. So is the User-Agent, which is there to be read.

// canaryMethod is a method of a service.
type canaryMethod struct {
	name string // "LinksService.Get"
	call func(*duolink.Client) reflect.Value

	exchanges bool // it needs a token for which a client id and secret are exchanged
	pair      bool // it needs a client id and secret themselves
	waits     bool // it asks again and again while it may help
}

// canaryMethods are all methods of all services of a Client.
func canaryMethods() (all []canaryMethod) {
	for service := range reflect.TypeFor[duolink.Client]().Fields() {
		if !service.IsExported() {
			continue
		}
		for m := range service.Type.Methods() {
			method := canaryMethod{
				name: service.Type.Elem().Name() + "." + m.Name,
				call: func(c *duolink.Client) reflect.Value {
					return reflect.ValueOf(c).Elem().FieldByIndex(service.Index).Method(m.Index)
				},
			}
			method.readRow()
			all = append(all, method)
		}
	}
	return all
}

// readRow finds the method in the registry, which TestEveryMethodIsInTheRegistry proves to be
// complete.
func (m *canaryMethod) readRow() {
	for _, op := range operations.Methods {
		if operations.MethodName(op.Method) == m.name {
			m.exchanges, m.pair = op.Exchanges(), op.API == duolink.PlaidCompatible
		}
	}
	for _, flow := range operations.Flows {
		if operations.MethodName(flow.Method) == m.name {
			m.exchanges, m.waits = flow.API == duolink.MoneyKit, flow.Waits
		}
	}
}

// canaryMethodOf finds a method by its expression.
func canaryMethodOf(t *testing.T, method any) canaryMethod {
	t.Helper()
	all, name := canaryMethods(), operations.MethodName(method)
	i := slices.IndexFunc(all, func(m canaryMethod) bool { return m.name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return all[i]
}

func TestCanary(t *testing.T) {
	situations := canarySituations()
	if inShort() {
		situations = every(situations, 29)
	}
	methods := canaryMethods()
	var worlds []*canaryWorld
	written := captured(t, func() {
		t.Run("methods", func(t *testing.T) {
			for i, m := range methods {
				w := newCanaryWorld()
				worlds = append(worlds, w)
				t.Run(m.name, func(t *testing.T) {
					t.Parallel()
					w.tour(t, m, i, situations)
				})
			}
		})
	})
	sum := newCanaryWorld()
	sum.add("stdout, stderr and log", written)
	require.Empty(t, sum.findings())
	require.Empty(t, written)
	for _, w := range worlds {
		maps.Copy(sum.marks, w.marks)
		sum.runs, sum.requests = sum.runs+w.runs, sum.requests+w.requests
		sum.quoted, sum.revealed = sum.quoted+w.quoted, sum.revealed+w.revealed
		sum.forms, sum.searched, sum.redacted = sum.forms+w.forms, sum.searched+w.searched, sum.redacted+w.redacted
	}
	require.NotZero(t, sum.redacted, "nothing was ever quoted")
	require.NotZero(t, sum.revealed, "no answer ever held a mark")
	t.Logf(
		"%d methods, %d situations, %d credentials: %d calls, %d requests", len(methods), len(situations),
		len(canaryVariants), sum.runs, sum.requests,
	)
	t.Logf(
		"%d places marked, %d texts quoted by the server, %d answers with hidden marks in them", len(sum.marks),
		sum.quoted, sum.revealed,
	)
	t.Logf(
		"%d forms printed, %d MB searched, for %d forms of a mark", sum.forms, sum.searched>>20,
		len(canaryNeedles[hiddenMark]),
	)
}

// A refresh that is under way goes on when its caller has left, and so does the creation of a link.
// What they do then belongs to their own call: a run of the canary ends after them.
func TestCanaryOutlastsAbandonedRuns(t *testing.T) {
	refreshes := func(asked) (*http.Response, error) { // and never says that it is done
		return reply(200, `{"link_id":"mk_1","state":"connected","products":{}}`), nil
	}
	creates := func(a asked) (*http.Response, error) { // and never says so, and does not list it
		if a.Method == http.MethodGet {
			return reply(200, `{"data":[]}`), nil
		}
		<-a.Context().Done()
		return nil, a.Context().Err()
	}
	for _, tc := range []struct {
		method any
		answer func(asked) (*http.Response, error)
	}{
		{(*duolink.IdentityService).RefreshAndGet, refreshes},
		{(*duolink.AuthService).RefreshAndNumbers, refreshes},
		{(*duolink.LinksService).CreateOnce, creates},
	} {
		name := operations.MethodName(tc.method)
		t.Run(name, func(t *testing.T) {
			var first, last time.Time
			s := situation{name: name, brief: true, ctx: givingUp(time.Second),
				answer: func(a asked) (*http.Response, error) {
					if last = time.Now(); first.IsZero() {
						first = last
					}
					return tc.answer(a)
				}}
			w := newCanaryWorld()
			w.run(t, canaryMethodOf(t, tc.method), canaryVariants[0], s)
			require.Greater(t, last.Sub(first), 30*time.Second, "the run was over with its call, and shows nothing")
			require.Empty(t, w.findings())
		})
	}
}

// tour takes a method through every situation.
func (w *canaryWorld) tour(t *testing.T, m canaryMethod, turn int, situations []situation) {
	var leaks []string
	for i, s := range situations {
		for j, v := range canaryVariants {
			turns := (turn+i)%len(canaryVariants) == j
			if s.exchange && (j > 0 || !m.exchanges || (turn+i)%2 == 0) || !s.exchange && !s.all && !turns {
				continue
			}
			w.runs++
			w.run(t, m, v, s)
			for _, f := range w.findings() {
				leaks = append(leaks, v.name+", "+s.name+", "+f.String())
			}
			w.forget()
		}
	}
	require.Emptyf(t, leaks, "%d leaks", len(leaks))
}

func every(all []situation, n int) (some []situation) {
	for i := 0; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// captured is what is written to stdout, stderr and the standard loggers meanwhile.
func captured(t *testing.T, do func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "output")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	stdout, stderr, standard, flags := os.Stdout, os.Stderr, slog.Default(), log.Flags()
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		slog.SetDefault(standard)
		log.SetOutput(stderr)
		log.SetFlags(flags)
	}()
	slog.SetDefault(slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.SetOutput(file)
	os.Stdout, os.Stderr = file, file
	do()
	b, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return string(b)
}

// What a process really writes, also when it dies of a hook's panic in the middle of a call.
func TestCanaryProcess(t *testing.T) {
	mode := os.Getenv("DUOLINK_TEST_CANARY")
	if mode != "" {
		canaryProcess(t, mode)
		return
	}
	if inShort() {
		t.Skip("starts processes")
	}
	for mode, leaks := range map[string]bool{"AttemptEnd": false, "TokenRenewal": false, "error": false,
		"planted": true} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCanaryProcess$", "-test.count=1")
			command.Env = append(os.Environ(), "DUOLINK_TEST_CANARY="+mode)
			out, err := command.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "panic:")
			w := newCanaryWorld()
			w.add("process", string(out))
			require.Equal(t, leaks, len(w.findings()) > 0, "%s", out)
		})
	}
}

func panicAt[T any](context.Context, T) { panic("broken") }

// canaryProcess ends in a panic that nobody recovers.
func canaryProcess(t *testing.T, mode string) {
	w := newCanaryWorld()
	opts := append(
		canaryVariants[0].credentials(w).options(),
		duolink.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	)
	switch mode {
	case "AttemptEnd":
		opts = append(opts, duolink.WithHooks(duolink.Hooks{AttemptEnd: panicAt[duolink.Attempt]}))
	case "TokenRenewal":
		opts = append(opts, duolink.WithHooks(duolink.Hooks{TokenRenewal: panicAt[duolink.TokenRenewal]}))
	}
	c := w.client(t, situation{answer: quoting(409, "native", "link_error.new")}, opts)
	_, err := c.Identity.Link(context.Background(), secretAt("process"), w.callOptions(nil)...)
	if mode == "planted" {
		_, _ = io.WriteString(os.Stderr, secretAt("planted"))
	}
	panic(err)
}

// A search that finds nothing proves nothing where it would not find what is there: every way out,
// and every form, with a leak planted in it.
func TestCanaryFindsPlantedLeaks(t *testing.T) {
	ways := map[string]bool{}
	for name, leak := range plantedLeaks {
		t.Run(name, func(t *testing.T) {
			w := newCanaryWorld()
			s := situation{name: name, answer: leak.answer, plant: leak.plant, after: leak.after, value: leak.value}
			method := canaryMethodOf(t, cmp.Or[any](leak.method, (*duolink.LoginsService).QueryAccounts))
			w.add("stdout, stderr and log", captured(t, func() { w.run(t, method, canaryVariants[0], s) }))
			found := w.findings()
			require.True(t, slices.ContainsFunc(found, func(f finding) bool { return f.way == leak.way }), "%s", found)
			ways[leak.way] = true

			w = newCanaryWorld() // the same without the leak
			w.add("stdout, stderr and log", captured(t, func() {
				w.run(t, method, canaryVariants[0], situation{answer: leak.answer, foreign: leak.foreign})
			}))
			require.Empty(t, w.findings())
		})
	}
	for _, way := range canaryWays {
		require.True(t, ways[way], "no leak is planted in %q", way)
	}
}

// The search itself: each form of a mark is found wherever it stands, and no text without one is.
func TestCanarySearch(t *testing.T) {
	for _, needle := range slices.Concat(canaryNeedles[hiddenMark], canaryNeedles[plainMark]) {
		w := newCanaryWorld()
		w.add("error", "before "+string(needle)+" behind")
		require.Len(t, w.findings(), 1, "%s", needle)
	}
	for _, quiet := range []string{
		"", "[redacted]", strings.Repeat("****6789 ", 100), "duolink: links.get: 404 LINK_NOT_FOUND",
	} {
		w := newCanaryWorld()
		w.add("error", quiet)
		require.Empty(t, w.findings())
	}
	for _, format := range canaryFormats { // but for those that fit no bytes, or show a part of them
		if strings.ContainsAny(format, ".0pwegt") {
			continue
		}
		w := newCanaryWorld()
		w.add("error", sprint(format, []byte(secretAt("bytes"))))
		require.NotEmpty(t, w.findings(), format)
	}
}
