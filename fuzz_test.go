package duolink

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/duolink/duolink/internal/wire"
	"github.com/stretchr/testify/require"
)

// seedFiles adds every golden file that matches.
func seedFiles(f *testing.F, pattern string, add func(body []byte)) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(f, err)
		add(body)
	}
}

// lookalikes are texts that do not have a mark in them, and look as if they had when they are
// printed: with a character before the rest of the mark whose escape may end in its first letter,
// as \x1a ends in an a, or with a letter that becomes another's small one. A mark is fit to be
// searched for if none of them is found.
func lookalikes(mark string) (all []string) {
	for r := range rune(0x100) {
		if !unicode.IsPrint(r) {
			all = append(all, string(r)+mark[1:])
		}
	}
	for _, r := range "\u0130\u212a" { // a capital i with a dot, and the sign of the kelvin
		if small := string(unicode.ToLower(r)); strings.Contains(mark, small) {
			all = append(all, strings.ReplaceAll(mark, small, string(r)))
		}
	}
	return all
}

// Any body of an error gives a typed error of one short line without the secret that it quotes.
func FuzzErrorBody(f *testing.F) {
	const secret, id = "secret_canary_4f0c2a7e", "link_canary_1"
	for _, text := range slices.Concat(lookalikes(secret), lookalikes(id)) {
		f.Add(uint16(422), []byte(mustJSON(map[string]string{"message": text})))
	}
	seedFiles(f, "errors/*", func(body []byte) { f.Add(uint16(404), body) })
	f.Add(uint16(400), []byte(`{"error":{"code":"`+secret+`","message":"`+secret+`"}}`))
	f.Add(uint16(200), []byte(`{"error_type":"ITEM_ERROR","error_code":"`+secret+`"}`))
	c, err := New(WithSupermetrics(BearerToken(secret)))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		p, err := c.prepare(t.Context(), linksGet.on(id), nil)
		require.NoError(t, err)
		at := &attempt{status: int(status%400) + 200, body: body, head: http.Header{}}
		e := (&attempts{prepared: p}).refusal(at)
		require.NotNil(t, e.kind())
		for _, form := range []string{e.Error(), fmt.Sprintf("%+v %#v", e, *e), e.LogValue().String()} {
			require.NotContains(t, strings.ToLower(form), secret)
			require.NotContains(t, form, id)
		}
		require.NotContains(t, e.Error(), "\n")
		require.Less(t, len(e.Error()), 700)
	})
}

// The reader of every answer takes any bytes. RevealJSON writes what it reads, and json.Unmarshal
// reads back an equal value.
func FuzzAnswers(f *testing.F) {
	names := slices.Sorted(maps.Keys(calls))
	for i, name := range names {
		seedFiles(f, operationOf(name)+"/*", func(body []byte) { f.Add(uint8(i), body) })
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		answer, err := answerOf(names[int(which)%len(names)], body)
		if err != nil {
			return
		}
		text, err := RevealJSON(answer)
		require.NoError(t, err)
		again := reflect.New(reflect.TypeOf(answer))
		require.NoError(t, json.Unmarshal(text, again.Interface()))
		require.Equal(t, answer, again.Elem().Interface())
	})
}

// The stream of accounts has the same accounts as the whole answer, however the bytes arrive.
func FuzzStreamAccounts(f *testing.F) {
	seedFiles(f, "logins.query_accounts/*", func(body []byte) { f.Add(body, uint8(3)) })
	f.Fuzz(func(t *testing.T, body []byte, chunk uint8) {
		whole, wholeErr := wire.Whole(wire.Document(body, defaultLimit), readAccountList)
		var streamed []LoginAccount
		s := wire.NewStream(&trickle{body, int(chunk) + 1}, 1<<20)
		defer s.Reuse()
		err := eachAccount(s.Scanner, func(a LoginAccount) error {
			streamed = append(streamed, a)
			return nil
		}, s.Forget)
		require.Equal(t, wholeErr == nil, err == nil, "%v, %v", wholeErr, err)
		lists := strings.Count(string(body), `"data"`) + strings.Count(string(body), `"accounts"`)
		if err != nil || lists > 1+len(whole.Logins) {
			return // a member that is there twice is replaced in the whole and seen twice in the stream
		}
		var all []LoginAccount
		for _, l := range whole.Logins {
			for _, a := range l.Accounts {
				all = append(all, LoginAccount{User: l.User, DisplayName: l.DisplayName, CacheTime: l.CacheTime,
					Account: a})
			}
		}
		require.Equal(t, len(all), len(streamed))
	})
}

// trickle hands out a few bytes at a time.
type trickle struct {
	rest []byte
	most int
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.most)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// A timestamp keeps its text, and writes what it reads.
func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{
		"2021-10-22T11:47:16+00:00", "2026-01-01T00:00:00Z", "2026-04-06T10:59:04+0000", "2026-01-01T00:00:00",
		"2026-01-01 00:00:00", "2026-01-01", "", "0000-00-00 00:00:00", "2023-02-16T09:14:11.123456-05:00",
		"2026-01-01 00:00:00 +0000", "20260101T000000Z", "2026-01-01T24:00Z", "2026-01-01T00:00:00+02:00[X]",
		"Thu, 01 Jan 2026 00:00:00 GMT", " 2026-01-01T00:00:60,5z ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ts := parseTimestamp(s)
		require.Equal(t, s, ts.Text())
		_, _ = ts.String(), ts.DateOnly()
		text, err := json.Marshal(ts)
		require.NoError(t, err)
		var again Timestamp
		require.NoError(t, json.Unmarshal(text, &again))
		if utf8.ValidString(s) {
			require.Equal(t, ts, again)
		}
	})
}

// A decimal keeps its literal, and its exact value is computed or refused, never approximated or
// endless.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{
		"340.12", "500", "1e-05", "12345678901234567.89", `"1200.50"`, "null", "1e999999999", "-0.00", `"n/a"`,
		`{"a":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d Decimal
		if !json.Valid(body) {
			return
		}
		require.NoError(t, json.Unmarshal(body, &d))
		var number json.Number
		if json.Unmarshal(body, &number) == nil && number != "" && json.Valid([]byte(number)) {
			require.Equal(t, string(number), string(d))
		}
		if r, ok := d.Rat(); ok {
			want, _ := new(big.Rat).SetString(string(d))
			require.Zero(t, r.Cmp(want))
		}
		text, err := json.Marshal(d)
		require.NoError(t, err)
		var again Decimal
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, d, again)
	})
}

// An id is exactly one segment of the path, or it is refused without a quotation.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"dsll_1", "mk_8fQ2hV9xKd", "", ".", "..", "a/b", "a?x", "a#x", "%2e%2e", "a\x00", "a\r\nb",
		strings.Repeat("x", 51),
		"a;b", "ключ", " has a character that no id has",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		for _, op := range []operation{linksClose, identityGet} {
			path, err := op.on(id).path()
			if err != nil {
				require.ErrorIs(t, err, ErrArgument)
				if _, other := op.on(strings.Repeat("/", len(id))).path(); id != "." && id != ".." {
					require.EqualError(t, err, other.Error(), "another id is refused in the same words")
				}
				continue
			}
			u, err := url.Parse("https://host.example.com/prefix" + path)
			require.NoError(t, err)
			require.Equal(t, "host.example.com", u.Host)
			require.Empty(t, u.RawQuery+u.Fragment)
			before, after, _ := strings.Cut(op.route, "{")
			_, after, _ = strings.Cut(after, "}")
			want := "/prefix" + before + id + after
			require.Equal(t, want, u.Path)
			require.Equal(t, u.Path, u.JoinPath().Path, "nothing to clean")
		}
	})
}

// No verb prints more of a Sensitive than four digits at its end, or anything of a Secret.
func FuzzSensitive(f *testing.F) {
	const head, other = "QJXZKWVY", "MNBGTRFD"
	printed := func(format string, s Sensitive, secret Secret) []string {
		in := struct {
			S Sensitive
			s Secret
		}{s, secret}
		return []string{
			fmt.Sprintf(format, s), fmt.Sprintf(format, secret), fmt.Sprintf(format, in), fmt.Sprintf(format, &in),
		}
	}
	for _, s := range []string{
		"", "a", "123456789", "GB33BUKB20201555555555", "Maria Lee", "avery@example.com", "x\n1234", "\xff\xff\xff1234",
	} {
		f.Add(s, "%v")
	}
	f.Add("a long value 0042", "%[1]*.[2]*[3]6x")
	f.Add("a long value 0081", "%v 74 88 90") // which the mask and the format make together
	f.Add("a", "QJXZ")
	f.Add("a", "514a585a 514A585A")
	f.Fuzz(func(t *testing.T, rest, format string) {
		value := head + rest
		s, secret := NewSensitive(value), NewSecret(value)
		require.Equal(t, value, s.Reveal())
		require.Equal(t, value, secret.Reveal())
		without := printed(format, NewSensitive(other+rest), NewSecret(other+rest))
		for i, text := range printed(format, s, secret) {
			for _, needle := range []string{head[:4], fmt.Sprintf("%x", head[:4]), fmt.Sprintf("%X", head[:4]),
				"81 74 88 90"} {
				if !strings.Contains(without[i], needle) { // else the format has it, and the value need not
					require.NotContains(t, text, needle)
				}
			}
		}
		_, err := json.Marshal([]any{s, secret})
		require.Error(t, err)
		require.NotContains(t, err.Error(), head[:4])
	})
}

// Whatever a browser sends, it is accepted only with the right verifier, exactly once.
func FuzzConfirmRedirect(f *testing.F) {
	const verifier = "vRf-8fQ2hV9xKd+/="
	for _, query := range []string{
		"", "redirect_verifier=" + url.QueryEscape(verifier), "redirect_verifier=", "redirect_verifier",
		"a=b&redirect_verifier=x",
		"redirect_verifier=" + url.QueryEscape(verifier) + "&redirect_verifier=" + url.QueryEscape(verifier),
		"redirect_verifier=" + verifier, "redirect%5Fverifier=" + url.QueryEscape(verifier), "%zz&redirect_verifier=x",
		"redirect_verifier=x;y",
	} {
		f.Add(query, verifier)
	}
	f.Add("redirect_verifier=", "")
	f.Fuzz(func(t *testing.T, query, stored string) {
		got := hasVerifier(query, defaultRedirectParameter, NewSensitive(stored))
		values, err := url.ParseQuery(query)
		require.Equal(t, err == nil && stored != "" && slices.Equal(values[defaultRedirectParameter], []string{stored}),
			got)
		require.True(t, stored == "" ||
			hasVerifier("x=1&redirect_verifier="+url.QueryEscape(stored), defaultRedirectParameter,
				NewSensitive(stored)))
	})
}
