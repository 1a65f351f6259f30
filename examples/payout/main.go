// Command payout answers a question that comes before a transfer: may we pay this person?
//
//	go run ./examples/payout -sandbox
//	payout -link mk_... -name "Avery Sample"
//
// It refreshes the identity of a bank link and compares the owners' names with the expected name.
// If a name matches, it reads the account numbers. It prints a decision: MATCH, NO MATCH or CANNOT
// TELL. The decision is a table with masks for people, or JSON with all values for a program that
// pays.
//
// It exits with 0 for a match, 1 for no match, and 2 if it cannot tell: no owner or number is
// known, a name is only similar, the bank or the API fails, it is interrupted or used wrongly, or it
// has asked the sandbox without -sandbox. Only a match is 0. `go run` turns every other code into 1:
// build the command to tell 1 from 2.
//
// Without environment variables it asks a sandbox inside itself. With MONEYKIT_CLIENT_ID and
// MONEYKIT_CLIENT_SECRET it asks MoneyKit, at MONEYKIT_BASE_URL if that is set, with the link's
// MONEYKIT_ACCESS_TOKEN. Credentials come only from the environment, because every user of a
// machine can see the arguments of a command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	fake := duolinktest.Start()
	defer fake.Close()
	return command{getenv, stdout, stderr, fake}.run(ctx, args)
}

// command has everything that a run needs from outside.
type command struct {
	getenv         func(string) string
	stdout, stderr io.Writer
	servers        *duolinktest.Server // asked if there are no credentials
}

func (c command) run(ctx context.Context, args []string) int {
	q, asJSON, err := c.question(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return cannotTell.exitCode() // the error has been printed
	case err != nil:
		return c.wrong(err)
	}
	client, stop, err := c.client()
	if err != nil {
		return c.wrong(err)
	}
	defer stop()
	c.say(asJSON)
	p := newProgress(c.stderr)
	q.refresh.Progress = p.show
	d := decide(ctx, client, q)
	p.end()
	d.Sandbox, d.Checked = c.inSandbox(), q.checked()
	show := printTable
	if asJSON {
		show = printJSON
	}
	if err := show(c.stdout, d); err != nil {
		return c.wrong(errors.New("the decision could not be written"))
	}
	if c.inSandbox() && !q.sandbox {
		fmt.Fprintln(c.stderr, "payout: that was the sandbox, so the exit code is 2; -sandbox takes its answer")
		return cannotTell.exitCode()
	}
	return d.Verdict.exitCode()
}

// checked says who was compared with the owners, in initials.
func (q question) checked() string {
	var initials []string
	for _, word := range strings.Fields(q.name) {
		initials = append(initials, string([]rune(word)[:1])+".")
	}
	if q.account != "" {
		return strings.Join(initials, " ") + ", as an owner of the account that -account names"
	}
	return strings.Join(initials, " ") + ", as an owner of any account of the bank link"
}

// wrong ends the command before there is a decision.
func (c command) wrong(err error) int {
	fmt.Fprintln(c.stderr, "payout:", err)
	return cannotTell.exitCode()
}

// say says first who is asked: on stdout, or on stderr if stdout gets JSON.
func (c command) say(asJSON bool) {
	text := "MoneyKit's API. A refresh may be billed."
	if c.inSandbox() {
		text = "A sandbox of MoneyKit, inside of this program: nothing here is real.\n" +
			"MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET lead to the API."
	}
	w := c.stdout
	if asJSON {
		w = c.stderr
	}
	fmt.Fprintln(w, text)
}

func (c command) inSandbox() bool { return c.getenv("MONEYKIT_CLIENT_ID") == "" }

// question reads the flags and the environment. Its errors quote neither, because a name or a token
// may be in the wrong place.
func (c command) question(args []string) (q question, asJSON bool, err error) {
	flags := flag.NewFlagSet("payout", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&q.link, "link", "", "the bank link, like mk_...")
	flags.StringVar(&q.name, "name", "", "who should be paid: the owner's full name")
	flags.StringVar(&q.account, "account", "", "only this account of the link")
	flags.DurationVar(
		&q.refresh.MaxAge,
		"max-age",
		0,
		"do not refresh owners that are not older, like 24h; a refresh may be billed, once a day",
	)
	flags.DurationVar(&q.refresh.Timeout, "timeout", 10*time.Minute, "how long to wait for the bank")
	flags.BoolVar(&q.sandbox, "sandbox", false, "take the sandbox's answer; without it, the sandbox exits with 2")
	flags.BoolVar(
		&asJSON,
		"json",
		false,
		"print JSON with the real names and numbers, for a program; keep it as safe as they are",
	)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		c.help(flags)
		return q, false, err
	case err != nil || flags.NArg() > 0:
		return q, false, errors.New("an argument is not one of the flags, or has a wrong value; payout -h lists them")
	case q.refresh.MaxAge < 0 || q.refresh.Timeout <= 0:
		return q, false, errors.New("-max-age and -timeout are times, like 24h and 10m")
	}
	q.token = duolink.NewSecret(c.getenv("MONEYKIT_ACCESS_TOKEN"))
	if c.inSandbox() {
		q = sample(q)
	}
	return q, asJSON, c.check(q)
}

// check finds what is missing. If only a part of the environment is set, the command must not ask
// the sandbox and print its match.
func (c command) check(q question) error {
	switch {
	case (c.getenv("MONEYKIT_CLIENT_ID") == "") != (c.getenv("MONEYKIT_CLIENT_SECRET") == ""):
		return errors.New("set both of MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET, or neither")
	case q.sandbox && !c.inSandbox():
		return errors.New("-sandbox, although MONEYKIT_CLIENT_ID leads to the API")
	case c.inSandbox() && c.getenv("MONEYKIT_ACCESS_TOKEN")+c.getenv("MONEYKIT_BASE_URL") != "":
		return errors.New(
			"MONEYKIT_CLIENT_ID and MONEYKIT_CLIENT_SECRET are missing; " +
				"without them, leave the other MONEYKIT_ variables empty",
		)
	case q.link == "" || q.name == "":
		return errors.New("-link and -name are required; payout -h tells more")
	case q.token.IsZero():
		return errors.New("set MONEYKIT_ACCESS_TOKEN to the access token of the link")
	case compareNames(q.name, q.name).Level != exact:
		return errors.New("-name is not a name that can be compared")
	}
	return nil
}

func (c command) help(flags *flag.FlagSet) {
	fmt.Fprint(c.stdout, `May we pay this person? payout -link mk_... -name "Avery Sample"

Exit codes: 0 match, 1 no match, 2 cannot tell.
Credentials come from the environment, because arguments show in ps: MONEYKIT_CLIENT_ID,
MONEYKIT_CLIENT_SECRET and MONEYKIT_ACCESS_TOKEN. Without them a sandbox is asked, nothing is real,
and the exit code is 2 unless -sandbox is given.

`)
	flags.SetOutput(c.stdout)
	flags.PrintDefaults()
}

// client returns a client of MoneyKit or of the sandbox.
func (c command) client() (*duolink.Client, func(), error) {
	if c.inSandbox() {
		return sandboxClient(c.servers)
	}
	opts := []duolink.Option{
		duolink.WithMoneyKit(
			duolink.ClientCredentials(c.getenv("MONEYKIT_CLIENT_ID"), c.getenv("MONEYKIT_CLIENT_SECRET")),
		),
	}
	if base := c.getenv("MONEYKIT_BASE_URL"); base != "" {
		opts = append(opts, duolink.WithBaseURL(duolink.MoneyKit, base))
	}
	client, err := duolink.New(opts...)
	return client, func() {}, err
}
