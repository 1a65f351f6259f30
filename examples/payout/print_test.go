package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/stretchr/testify/require"
)

// On a terminal one line changes; elsewhere there are lines.
func TestProgress(t *testing.T) {
	looks := []duolink.RefreshProgress{
		{Elapsed: 2 * time.Second, Next: 3140 * time.Millisecond},
		{Elapsed: 5 * time.Second, Next: 4 * time.Second, Err: errors.New("CANARY")},
	}
	for name, tc := range map[string]struct {
		terminal bool
		want     string
	}{
		"terminal": {
			true,
			"\rasking the bank: 2 s so far, next look in 3.1s\x1b[K" +
				"\rasking the bank: 5 s so far, next look in 4s (the last " +
				"one failed)\x1b[K\n",
		},
		"log": {
			false,
			"asking the bank: 2 s so far, next look in 3.1s\n" +
				"asking the bank: 5 s so far, next look in 4s (the last one " +
				"failed)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &progress{w: &out, terminal: tc.terminal}
			p.end()
			require.Empty(t, out.String(), "nothing was waited for")
			for _, look := range looks {
				p.show(look)
			}
			p.end()
			require.Equal(t, tc.want, out.String())
		})
	}
	require.False(t, newProgress(&bytes.Buffer{}).terminal)
}

// What a bank or a person calls an account does not move the cursor, nor break the table.
func TestHostileTexts(t *testing.T) {
	var out bytes.Buffer
	one := accountDecision{
		ID: "acc\t1", Name: "Every\x1b[2Jday\r\n\u202eMATCH", Mask: "1\n2", Verdict: noMatch, Reason: "no\x00",
	}
	require.NoError(t, printTable(&out, decision{
		Verdict: noMatch, Reason: "a\nb", Action: "new\x1b[1A", Accounts: []accountDecision{one},
	}))
	require.NotRegexp(t, `[\x00-\x09\x0b-\x1f\x7f\x{202e}]`, out.String())
	require.Contains(t, out.String(), "Every [2Jday   MATCH")
	require.Equal(t, 9, bytes.Count(out.Bytes(), []byte("\n")))
}

func TestEveryActionHasAdvice(t *testing.T) {
	for _, action := range []duolink.Action{
		duolink.ActionRetry, duolink.ActionWaitUntil, duolink.ActionReauthenticate, duolink.ActionAskPermission,
		duolink.ActionFixRequest, duolink.ActionRecreate, duolink.ActionContactSupport,
	} {
		require.NotEmpty(t, advice[action], action)
	}
}
