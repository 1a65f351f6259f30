package pace

import (
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// May 1, 2026 is a Friday.
var retryAfterNow = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const ms, day = time.Millisecond, 24 * time.Hour

// retryAfterForms are what servers write, and how long that is.
var retryAfterForms = map[string]map[string]time.Duration{
	"seconds": {
		"0":      0,
		"1":      time.Second,
		"120":    2 * time.Minute,
		"007":    7 * time.Second,
		"86400":  day,
		"+5":     5 * time.Second,
		" 30 ":   30 * time.Second,
		"\t30\t": 30 * time.Second,
		`"30"`:   30 * time.Second,
		`'30'`:   30 * time.Second,
	},
	"decimals, never rounded down": {
		"2.0":                               2 * time.Second,
		"30.":                               30 * time.Second,
		"0.503":                             503 * ms,
		"1.5":                               1500 * ms,
		".5":                                500 * ms,
		"0.0":                               0,
		"292.052427053":                     292053 * ms,
		"0.0001":                            ms,
		"0.1230000":                         123 * ms,
		"1.0000000000000000000000000000001": 1001 * ms,
	},
	"more than a day": {
		"86401":                         day,
		"9223372037":                    day,
		"99999999999999999999":          day,
		"9223372036854775.807":          day,
		"P2D":                           day,
		"25h":                           day,
		"Thu, 01 Jan 2099 00:00:00 GMT": day,
		strings.Repeat("9", 1000):       day,
		"1000000000000000000000h":       day,
		"9223372036854775.8071":         day,
		strings.Repeat("1d", 200_000):   day, "P1M": day, "1 week": day,
	},
	"HTTP-dates": {
		"Fri, 01 May 2026 12:00:30 GMT":    30 * time.Second,
		"Friday, 01-May-26 12:00:30 GMT":   30 * time.Second,
		"Fri May  1 12:00:30 2026":         30 * time.Second,
		"Fri, 01 May 2026 11:59:59 GMT":    0,
		"Wed, 21 Oct 2015 07:28:00 GMT":    0,
		`"Fri, 01 May 2026 12:00:30 GMT"`:  30 * time.Second,
		"  Fri, 01 May 2026 12:00:30 GMT ": 30 * time.Second,
	},
	"other dates": {
		"Fri, 1 May 2026 12:00:30 GMT":                                  30 * time.Second,
		"Mon, 01 May 2026 12:00:30 GMT":                                 30 * time.Second,
		"01 May 2026 12:00:30 GMT":                                      30 * time.Second,
		"Fri 01 May 2026 12:00:30 GMT":                                  30 * time.Second,
		"Fri, 01-May-2026 12:00:30 GMT":                                 30 * time.Second,
		"fri, 01 may 2026 12:00:30 gmt":                                 30 * time.Second,
		"Fri, 01 May 2026 12:00:30 UTC":                                 30 * time.Second,
		"Fri, 01 May 2026 12:00:30 Z":                                   30 * time.Second,
		"Fri, 01 May 2026 12:00:30":                                     30 * time.Second,
		"Fri, 01 May 2026 12:00:30 +0000":                               30 * time.Second,
		"Fri, 01 May 2026 14:00:30 +0200":                               30 * time.Second,
		"Fri, 01 May 2026 05:00:30 -0700":                               30 * time.Second,
		"Fri, 01 May 2026 05:00:30 PDT":                                 30 * time.Second,
		"Fri, 01 May 2026 14:00:30 CEST":                                2*time.Hour + 30*time.Second,
		"2026-05-01T12:00:30Z":                                          30 * time.Second,
		"2026-05-01t12:00:30.25z":                                       30250 * ms,
		"2026-05-01T14:00:30+02:00":                                     30 * time.Second,
		"2026-05-01T14:00:30.000000+0200":                               30 * time.Second,
		"2026-05-01T12:00:30":                                           30 * time.Second,
		"2026-05-01 12:00:30":                                           30 * time.Second,
		"2026-05-01 12:00:30.5+00:00":                                   30500 * ms,
		"2026-05-01 12:00:30.5 +0000 UTC m=+30.000000001":               30500 * ms,
		"Fri May  1 12:00:30 UTC 2026":                                  30 * time.Second,
		"Fri May 01 2026 14:00:30 GMT+0200 (Central European Standard)": 30 * time.Second,
		"1969-12-31T23:59:59Z":                                          0,
		"9999-12-31T23:59:59Z":                                          day,
		"0001-01-01T00:00:00Z":                                          0,
	},
	"Unix times": {
		unix(30 * time.Second):         30 * time.Second,
		unix(day):                      day,
		unix(30*time.Second) + ".25":   30250 * ms,
		unix(30*time.Second) + "250":   30250 * ms,
		unix(30*time.Second) + "250.5": 30251 * ms,
		unix(0):                        0,
		unix(-time.Hour):               0,
		unix(-time.Hour) + "000":       0,
		unix(2 * day):                  day, // whatever it is
		unix(-2 * day):                 day, // and this is seconds
		`"` + unix(30*time.Second) + `" (resets at)`: 30 * time.Second,
	},
	"durations": {
		"30s":                30 * time.Second,
		"1m0s":               time.Minute,
		"1m30s":              90 * time.Second,
		"1h2m3.5s":           3723500 * ms,
		"500ms":              500 * ms,
		"1.204883ms":         1205 * time.Microsecond,
		"833.333µs":          833333 * time.Nanosecond,
		"1ns":                1,
		"1.5ns":              2,
		"1m30":               90 * time.Second,
		"120 s":              2 * time.Minute,
		"30 seconds":         30 * time.Second,
		"1 second":           time.Second,
		"5 minutes":          5 * time.Minute,
		"2 hours 30 minutes": 150 * time.Minute,
		"30 Sec":             30 * time.Second,
		"1 day":              day,
		"0.5d":               12 * time.Hour,
		"0s":                 0,
		"PT30S":              30 * time.Second,
		"PT1M":               time.Minute,
		"PT1M30S":            90 * time.Second,
		"P1D":                day,
		"P0DT1H":             time.Hour,
		"PT0.5S":             500 * ms,
		"pt30s":              30 * time.Second,
		"00:00:30":           30 * time.Second,
		"00:05:00":           5 * time.Minute,
		"0:00:30.5000000":    30500 * ms,
		"1.00:00:00":         day,
		"0.01:00:00":         time.Hour,
	},
	"by half": {
		"120 (maintenance)":             2 * time.Minute,
		"120; comment=busy":             2 * time.Minute,
		"120 maintenance":               2 * time.Minute,
		"10s.":                          10 * time.Second,
		"30s (limit)":                   30 * time.Second,
		"Fri, 32 May 2026 12:00:30 GMT": 32 * time.Second,
		"1e3":                           time.Second,
	},
	"lists": {
		"120, 60":                           2 * time.Minute,
		"60,120":                            2 * time.Minute,
		"soon, 60":                          time.Minute,
		",,60,":                             time.Minute,
		"60, Fri, 01 May 2026 12:00:30 GMT": time.Minute,
		"15, Fri, 01 May 2026 12:00:30 GMT": 30 * time.Second,
		"Fri, 01 May 2026 12:00:30 GMT, Friday, 01-May-26 12:01:00 GMT": time.Minute,
	},
	"nothing": {
		"":          0,
		" ":         0,
		"soon":      0,
		"-1":        0,
		"-1m30s":    0,
		"-PT30S":    0,
		"１０":        0,
		"0x10":      0,
		"NaN":       0,
		"Inf":       0,
		"P":         0,
		"PT":        0,
		".":         0,
		"+":         0,
		"Fri":       0,
		"Fri,":      0,
		"\xff":      0,
		"null":      0,
		"()":        0,
		"T12:00:30": 0,
	},
}

// Each form is read, alone, beside the Date, and beside values that ask for less.
func TestRetryAfterForms(t *testing.T) {
	date := retryAfterNow.Format("Mon, 02 Jan 2006 15:04:05 GMT")
	for group, forms := range retryAfterForms {
		for value, want := range forms {
			require.Equal(t, want, RetryAfter([]string{value}, nil, "", retryAfterNow), "%s: %q", group, value)
			require.Equal(t, want, RetryAfter([]string{value}, nil, date, retryAfterNow), "%s: %q", group, value)
			among := []string{"0", value, "-5", "x"}
			require.Equal(t, want, RetryAfter(among, nil, "", retryAfterNow), "%s: %q among others", group, value)
		}
	}
	require.Zero(t, RetryAfter(nil, nil, "", retryAfterNow))
}

// Retry-After-Ms is in thousandths. The longer of the two headers holds.
func TestRetryAfterMs(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"1500": 1500 * ms, "0.5": 500 * time.Microsecond, "2s": 2 * time.Second, "-1": 0, "999999999999": day,
	} {
		require.Equal(t, want, RetryAfter(nil, []string{value}, "", retryAfterNow), "%q", value)
		both := RetryAfter([]string{"1"}, []string{value}, "", retryAfterNow)
		require.Equal(t, max(want, time.Second), both, "%q", value)
	}
}

// unix is the Unix time in seconds, so long after now.
func unix(d time.Duration) string {
	return strconv.FormatInt(retryAfterNow.Add(d).Unix(), 10)
}

// A time is measured by both clocks, and the longer wait holds; a delay knows no clock.
func TestRetryAfterByTwoClocks(t *testing.T) {
	for date, want := range map[string]time.Duration{
		"":                               30 * time.Second,
		"Fri, 01 May 2026 12:00:00 GMT":  30 * time.Second,
		"Fri, 01 May 2026 11:00:00 GMT":  time.Hour + 30*time.Second,
		"Fri, 01 May 2026 13:00:00 GMT":  30 * time.Second,
		"Fri, 01 May 2015 12:00:00 GMT":  24 * time.Hour,
		"Thu, 01 Jan 1970 00:00:10 GMT":  24 * time.Hour, // a server without a clock
		"Friday, 01-May-26 11:00:00 GMT": time.Hour + 30*time.Second,
		"Fri May  1 11:00:00 2026":       time.Hour + 30*time.Second,
		"today":                          30 * time.Second,
	} {
		for _, value := range []string{
			"Fri, 01 May 2026 12:00:30 GMT", "2026-05-01T12:00:30Z",
			unix(30 * time.Second), unix(30*time.Second) + "000",
		} {
			require.Equal(t, want, RetryAfter([]string{value}, nil, date, retryAfterNow), "%s at %q", value, date)
		}
		require.Equal(t, 30*time.Second, RetryAfter([]string{"30"}, nil, date, retryAfterNow))
	}
}

// What a server writes is read in time that grows with its length, whatever it is.
func TestRetryAfterOfALongHeader(t *testing.T) {
	const long = 256 << 10
	for _, piece := range []string{
		"9", "0", ",", "1,", "1:1,", "1s", "0s", "0.", ":", " ", "\"", "p", "t", "-", "x", "µ", "1 ",
		"0m0", "1.1:1:1", "fri ", "0:", "00:00:00,",
		"1 may 2026 12:00:00,", "wed 1 may 2026 12:00:00 gmt", "pt0s", "2026-05-01t",
	} {
		value := strings.Repeat(piece, long/len(piece))
		began := time.Now()
		for _, d := range []time.Duration{
			RetryAfter([]string{value}, nil, value, retryAfterNow),
			RetryAfter(strings.SplitAfter(value[:long/4], piece), nil, "", retryAfterNow),
			RetryAfter(nil, []string{"0" + value}, "", retryAfterNow),
		} {
			require.GreaterOrEqual(t, d, time.Duration(0), piece)
			require.LessOrEqual(t, d, mostRetryAfter, piece)
		}
		t.Logf("%q: %v", piece, time.Since(began))
	}
}

// Whatever it says: never negative, at most a day, no less with a second line, with or without a
// ".0" the same, and never less than the number that it begins with.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{
		"", "0", " 30 ", "-1", "1.5", "0.0001", "9223372037", "99999999999999999999", "soon",
		"Wed, 21 Oct 2099 07:28:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"2026-05-01T12:00:30Z", "1777636830", "1777636830000", "1m30s", "PT1M30S",
		"120 (maintenance)", "1.00:01:30", "30, 60", "833.333µs",
		"Fri May 01 2026 14:00:30 GMT+0200 (Central European Standard)",
	} {
		f.Add(s, "60", "Fri, 01 May 2026 12:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, second, date string) {
		wait := func(values ...string) time.Duration {
			return RetryAfter(values, nil, date, retryAfterNow)
		}
		d := wait(value)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, mostRetryAfter)
		require.GreaterOrEqual(t, wait(value, second), max(d, wait(second)))
		require.Equal(t, wait(second, value), wait(value, second))
		require.GreaterOrEqual(t, RetryAfter([]string{value}, []string{second}, date, retryAfterNow), d)

		whole, fraction, decimal := strings.Cut(value, ".")
		if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
			return
		}
		if !decimal {
			require.Equal(t, d, wait(value+".0"))
			require.Equal(t, d, wait(value+"."))
		}
		exact, ok := new(big.Rat).SetString(whole + "." + fraction + "0")
		require.True(t, ok)
		if exact.Cmp(new(big.Rat).SetInt64(86400)) < 0 { // so it is no Unix time either
			got := new(big.Rat).SetFrac64(int64(d), int64(time.Second))
			require.GreaterOrEqual(t, got.Cmp(exact), 0, "%v is less than %s", d, value)
			require.Less(t, got.Sub(got, exact).Cmp(big.NewRat(1, 1000)), 0, "%v is more than %s", d, value)
		}
	})
}
