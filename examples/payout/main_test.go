package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duolink/duolink/duolinktest"
	"github.com/stretchr/testify/require"
)

// result is what a run leaves behind.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// runWith runs the command against a sandbox, inside of a bubble.
func runWith(ctx context.Context, s *duolinktest.Server, environment map[string]string, args ...string) result {
	var stdout, stderr bytes.Buffer
	began := time.Now()
	c := command{func(name string) string { return environment[name] }, &stdout, &stderr, s}
	if c.inSandbox() {
		args = append([]string{"-sandbox"}, args...)
	}
	code := c.run(ctx, args)
	return result{code, stdout.String(), stderr.String(), time.Since(began)}
}

// inBubble gives a test a sandbox whose refreshes take 90 seconds, and virtual time for them.
func inBubble(t *testing.T, test func(t *testing.T, s *duolinktest.Server), opts ...duolinktest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, duolinktest.New(t, append(opts, duolinktest.WithRefreshTime(90*time.Second))...))
		time.Sleep(11 * time.Minute) // a refresh that was given up is watched for ten minutes more
	})
}

// confidential is who the sample data is about, their numbers, and the credentials.
func confidential(t *testing.T) []string {
	t.Helper()
	all := []string{
		duolinktest.ClientID, duolinktest.ClientSecret, duolinktest.AccessToken,
		duolinktest.SecondAccessToken, "mk_token_sandbox_",
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "sandbox", "data", "accounts.json"))
	require.NoError(t, err)
	personal := regexp.MustCompile(`"(?:iban|account_number|number|address|street)": "([^"]+)"|` +
		`"names": \["([^"]+)"(?:, "([^"]+)")?\]`)
	for _, m := range personal.FindAllStringSubmatch(string(b), -1) {
		all = append(all, slices.DeleteFunc(m[1:], func(s string) bool { return s == "" })...)
	}
	for _, known := range []string{
		"Avery Sample", "J. Example", "Example Trading LLC", "000123450042", "1111222233330000", "31926819",
		"DE89370400440532013000", "1 Example Street",
	} {
		require.Contains(t, all, known, "the sample data has changed; what else is personal in it?")
	}
	return all
}

func keepsQuiet(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range confidential(t) {
			require.NotContains(t, text, secret)
		}
		require.NotContains(t, text, "%!")
	}
}

func TestMatchInATable(t *testing.T) {
	inBubble(t, func(t *testing.T, s *duolinktest.Server) {
		got := runWith(t.Context(), s, nil)
		require.Equal(t, 0, got.code)
		golden, err := os.ReadFile(filepath.Join("testdata", "match.golden"))
		require.NoError(t, err)
		require.Equal(t, string(golden), got.stdout)
		require.Contains(t, strings.SplitN(got.stdout, "\n", 2)[0], "sandbox")
		keepsQuiet(t, got.stdout, got.stderr)

		require.GreaterOrEqual(t, got.took, 90*time.Second)
		require.Less(t, got.took, 3*time.Minute)
		require.Equal(t, 1, s.Refreshes(duolinktest.BankLinkID))
		require.Equal(t, 1, s.Count("identity.get"))
		require.Equal(t, 1, s.Count("auth.get"))
		lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
		require.Greater(t, len(lines), 3, "it tells that it waits")
		for _, line := range lines {
			require.Regexp(t, `^asking the bank: \d+ s so far, next look in [0-9.ms]+$`, line)
		}
	})
}

func TestMatchInJSON(t *testing.T) {
	inBubble(t, func(t *testing.T, s *duolinktest.Server) {
		got := runWith(t.Context(), s, nil, "-json", "-name", "SAMPLE, AVERY")
		require.Equal(t, 0, got.code)
		require.Contains(t, strings.SplitN(got.stderr, "\n", 2)[0], "sandbox")
		keepsQuiet(t, got.stderr)

		var d decision
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
		require.Equal(t, match, d.Verdict)
		require.True(t, d.Sandbox)
		require.False(t, d.RefreshedAt.IsZero())
		require.Len(t, d.Accounts, 6)
		joint := d.Accounts[0]
		require.Equal(t, duolinktest.JointAccountID, joint.ID)
		require.True(t, joint.Joint)
		require.Equal(t, comparison{reordered, "equal after folding case, dropping punctuation; order differs"},
			joint.Comparison)
		require.Equal(t, "Avery Sample", joint.Owners[0].Reveal())
		require.Equal(t, "000123450042", joint.Numbers.ACH[0].AccountNumber.Reveal())
		require.Equal(t, "DE89370400440532013000", d.Accounts[4].Numbers.International[0].IBAN.Reveal())
		for _, a := range d.Accounts {
			require.Equal(t, a.Verdict == match, count(a.Numbers) > 0, a.Name)
		}
		require.NotContains(t, got.stdout, "31926819", "the number of an account that is not the person's")
		_, err := json.Marshal(d)
		require.Error(t, err, "only the explicit way writes it")
	})
}

// identity is an answer to identity.get with one account.
func identity(account string) duolinktest.Fault {
	return duolinktest.Fault{
		Operation: "identity.get", Status: 200,
		Body: `{"accounts":[` + account + `],"link":{"link_id":"l","state":"connected"}}`,
	}
}

func owned(owners string) duolinktest.Fault {
	return identity(`{"account_id":"` + duolinktest.JointAccountID +
		`","account_type":"depository.checking","name":"Everyday","owners":[` + owners + `]}`)
}

// auth is an answer to auth.get.
func auth(account, ach, itemError string) duolinktest.Fault {
	return duolinktest.Fault{
		Operation: "auth.get", Status: 200,
		Body: `{"accounts":[{"account_id":"` + account + `"}],"numbers":{"ach":[` + ach +
			`],"eft":[],"bacs":[],"international":[]},"item":{"item_id":"i","error":` + itemError +
			`},"request_id":"r"}`,
	}
}

func script(faults ...duolinktest.Fault) func(*duolinktest.Server) {
	return func(s *duolinktest.Server) { s.Script(faults...) }
}

const (
	avery  = `{"names":["Avery Sample"]}`
	jordan = `{"names":["Jordan Example"]}`
)

func TestDecisions(t *testing.T) {
	const oneHour = "-max-age=100000h" // nothing is refreshed
	for name, tc := range map[string]struct {
		args    []string
		prepare func(*duolinktest.Server)
		code    int
		want    string
		numbers bool // they are asked for
	}{
		"case and accents": {
			[]string{"-name", "ÁVERY SAMPLE"}, nil, 0, "normalised: equal after folding case and accents", true,
		},
		"the other owner": {[]string{"-name", "Jordan Example"}, nil, 0, "2 of 5 open accounts can be paid", true},
		"another name of one": {
			[]string{"-name", "J. Example", "-account", duolinktest.JointAccountID}, nil, 0,
			"1 of 1 open accounts can be paid",
			true,
		},
		"a company": {
			[]string{"-link", duolinktest.SecondBankLinkID, "-name", "example trading llc"}, nil, 0,
			"1 of 1 open accounts",
			true,
		},
		"one account": {[]string{"-account", "acc_3vKd6yBq"}, nil, 0, "1 of 1 open accounts", true},
		"a joint account": {
			[]string{"-account", duolinktest.JointAccountID}, nil, 0, "one of 2 owners of a joint account has the name",
			true,
		},
		"fresh enough": {[]string{oneHour}, nil, 0, "3 of 5 open accounts", true},
		"more than was asked": {
			[]string{"-account", "acc_other"}, script(owned(avery)), 2, "there is no such account", false,
		},

		"nobody of the name": {
			[]string{"-name", "Jane Doe"}, nil, 1, "none of the owners of 5 open accounts has the name", false,
		},
		"not this account": {
			[]string{"-account", "acc_5tGn1wXe"}, nil, 1, "none of the owners of 1 open accounts has the name", false,
		},
		"a company, no person":      {[]string{"-link", duolinktest.SecondBankLinkID}, nil, 1, "NO MATCH", false},
		"a letter that looks alike": {[]string{"-name", "\u0410very Sample"}, nil, 1, "a word mixes alphabets", false},

		"a similar name":   {[]string{"-name", "A. Sample"}, nil, 2, "partial: initials stand for names", false},
		"a part of a name": {[]string{"-name", "Avery"}, nil, 2, "a similar name is not enough", false},
		"a closed account": {[]string{"-account", duolinktest.ClosedAccountID}, nil, 2, "no account is open", false},
		"no numbers": {
			[]string{"-account", "acc_8zQs0fJu"}, nil, 2, "they have none, or it is another link's", true,
		},
		"no such account": {[]string{"-account", "acc_none"}, nil, 2, "there is no such account", false},
		"no accounts":     {nil, script(identity("")), 2, "there is no such account", false},
		"no owners":       {nil, script(owned("")), 2, "the bank names no owner", false},
		"null owners": {
			nil, script(identity(`{"account_id":"a","owners":null}`)), 2, "the bank names no owner", false,
		},
		"an owner of no name": {nil, script(owned(jordan + `,{"names":[]}`)), 2, "the bank does not name all owners",
			false},
		"a blank name": {nil, script(owned(`{"names":[" ","-"]}`)), 2, "the bank does not name all owners",
			false},
		"a hidden character": {
			nil, script(owned(`{"names":["Av\u200bery Sample"]}`)), 2, "a name has characters that are not seen", false,
		},
		"no account id": {
			nil, script(identity(`{"owners":[` + avery + `]}`)), 2, "no id to find its numbers by", false,
		},
		"half a number": {
			nil,
			script(owned(avery),
				auth(duolinktest.JointAccountID,
					`{"account_id":"`+duolinktest.JointAccountID+`","account":"1"}`, "null")),
			2, "no number that money can be sent to", true,
		},
		"an item in error": {
			nil, script(auth(duolinktest.JointAccountID, "",
				`{"error_type":"ITEM_ERROR","error_code":"ITEM_LOGIN_REQUIRED"}`)), 2,
			"the item is in error: ITEM_LOGIN_REQUIRED", true,
		},
		"another link's token": {
			nil, script(auth("acc_other", `{"account_id":"acc_other","account":"1","routing":"2"}`, "null")), 2,
			"the access token leads to no numbers of these accounts", true,
		},
		"a link in error": {
			nil,
			script(duolinktest.Fault{
				Operation: "identity.get", Status: 200,
				Body: `{"accounts":[{"account_id":"a","owners":[` + avery +
					`]}],"link":{"link_id":"l","state":"error","error_code":"auth_expired"}}`,
			}),
			2, "the link is not connected: error auth_expired", false,
		},

		"auth expired": {
			[]string{"-link", duolinktest.AuthExpiredBankLinkID}, nil, 2,
			"auth_expired\nNext: new proof is needed", false,
		},
		"deleted": {
			[]string{"-link", duolinktest.DeletedBankLinkID}, nil, 2,
			"410 link_error.deleted: The link has been deleted\nNext: make a new link", false,
		},
		"not permitted": {
			[]string{"-link", duolinktest.ForbiddenBankLinkID}, nil, 2,
			"403 link_error.forbidden_action: The user did not permit this\nNext: ask the person", false,
		},
		"somebody's": {
			[]string{"-link", duolinktest.ForeignBankLinkID}, nil, 2, "401 link_error.unauthorized_access", false,
		},
		"unknown":    {[]string{"-link", "mk_none"}, nil, 2, "404 link_error.not_found", false},
		"not a link": {[]string{"-link", "../mk"}, nil, 2, "invalid argument", false},
		"refresh failed": {
			nil, func(s *duolinktest.Server) { s.FailRefreshes(duolinktest.BankLinkID, "not_supported") }, 2,
			"the refresh has failed: not_supported", false,
		},
		"unavailable": {
			nil,
			script(duolinktest.Fault{
				Operation: "identity.link", Status: 200,
				Body: `{"link_id":"l","state":"connected","products":{"identity":{"unavailable":"at night"}}}`,
			}),
			2, "the bank cannot be asked for identity now", false,
		},
		"too long": {
			[]string{"-timeout", "30s"}, nil, 2, "RefreshOptions.Timeout has passed\nNext: try again later", false,
		},
		"server error": {
			nil, script(duolinktest.Fault{Operation: "identity.get", Status: 500, Times: -1}), 2,
			"500: Internal Server Error",
			false,
		},
		"no numbers today": {
			nil, script(duolinktest.Fault{Operation: "auth.get", Status: 503, Times: -1}), 2, "503 PLANNED_MAINTENANCE",
			true,
		},
		"no JSON": {
			nil, script(duolinktest.Fault{Operation: "identity.get", Status: 200, Body: "<html>"}), 2,
			"malformed response",
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *duolinktest.Server) {
				if tc.prepare != nil {
					tc.prepare(s)
				}
				got := runWith(t.Context(), s, nil, tc.args...)
				require.Equal(t, tc.code, got.code, got.stdout)
				require.Contains(t, got.stdout, tc.want)
				require.Contains(t, got.stdout, []string{"? MATCH\n", "? NO MATCH\n", "? CANNOT TELL\n"}[tc.code])
				require.Equal(t, tc.code == 0, strings.Contains(got.stdout, "Where money can be sent"))
				require.Equal(t, tc.numbers, s.Count("auth.get") > 0)
				if tc.code != 0 {
					require.NotRegexp(t, `(?m)  MATCH$`, got.stdout, "an account to pay")
				}
				keepsQuiet(t, got.stdout, got.stderr)
				for _, arg := range tc.args {
					if strings.HasPrefix(arg, "mk_") || strings.ContainsRune(arg, ' ') {
						require.NotContains(t, got.stdout+got.stderr, arg)
					}
				}
			})
		})
	}
}

// What a program reads of the same decisions, and of those that an error is.
func TestDecisionsInJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code int
		want decision
	}{
		"no match": {
			[]string{"-name", "Jane Doe", "-account", "acc_5tGn1wXe"}, 1,
			decision{Verdict: noMatch, Reason: "none of the owners of 1 open accounts has the name"},
		},
		"deleted": {
			[]string{"-link", duolinktest.DeletedBankLinkID}, 2,
			decision{
				Verdict: cannotTell,
				Reason:  "duolink: identity.link: 410 link_error.deleted: The link has been deleted",
				Action:  "recreate",
			},
		},
		"no account": {
			[]string{"-account", "acc_none"}, 2, decision{Verdict: cannotTell, Reason: "there is no such account"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *duolinktest.Server) {
				got := runWith(t.Context(), s, nil, append(tc.args, "-json")...)
				require.Equal(t, tc.code, got.code)
				var d decision
				require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
				require.Equal(t, []any{tc.want.Verdict, tc.want.Reason, tc.want.Action, true},
					[]any{d.Verdict, d.Reason, d.Action, d.Sandbox})
				for _, a := range d.Accounts {
					require.Zero(t, count(a.Numbers))
				}
			})
		})
	}
}

// A second refresh within a day is refused, and -max-age does without it.
func TestOncePerDay(t *testing.T) {
	inBubble(t, func(t *testing.T, s *duolinktest.Server) {
		require.Equal(t, 0, runWith(t.Context(), s, nil).code)
		time.Sleep(2 * time.Minute) // identity may be read three times a minute
		again := runWith(t.Context(), s, nil)
		require.Equal(t, 2, again.code)
		require.Contains(t, again.stdout, "429")
		require.Regexp(t, `Next: .*-max-age.*\nNot before: 23h5\dm\d+s from now\n`, again.stdout)
		require.Equal(t, 0, runWith(t.Context(), s, nil, "-max-age", "1h").code)
		require.Equal(t, 1, s.Refreshes(duolinktest.BankLinkID))
	}, duolinktest.WithMoneyKitLimits())
}

func TestInterrupted(t *testing.T) {
	for name, args := range map[string][]string{"table": nil, "JSON": {"-json"}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *duolinktest.Server) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(30*time.Second, cancel)
				got := runWith(ctx, s, nil, args...)
				require.Equal(t, 2, got.code)
				require.Equal(t, 30*time.Second, got.took)
				require.Contains(t, got.stdout, "interrupted: ")
				keepsQuiet(t, got.stdout, got.stderr)
			})
		})
	}
}

// The sandbox is nobody's answer, unless it is asked for. Everything fits a terminal.
func TestTheSandboxIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := duolinktest.JointAccountID
		for _, args := range [][]string{nil, {"-name", "Nobody Else"}, {"-h"}, {"-account", account}} {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), args, func(string) string { return "" }, &stdout, &stderr)
			require.Equal(t, 2, code)
			if len(args) != 1 {
				require.Contains(t, stderr.String(), "-sandbox takes its answer")
			}
			for _, line := range strings.Split(stdout.String()+stderr.String(), "\n") {
				require.LessOrEqual(t, len([]rune(line)), 100, line)
			}
		}
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), []string{"-sandbox"}, func(string) string { return "" }, &stdout, &stderr))
		require.Contains(t, stdout.String(), "Checked: A. S., as an owner")
		getenv := func(name string) string { return map[string]string{"MONEYKIT_CLIENT_ID": "a"}[name] }
		require.Equal(t, 2, run(t.Context(), []string{"-sandbox"}, getenv, &stdout, &stderr))
		time.Sleep(time.Hour)
	})
}
