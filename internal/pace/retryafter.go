package pace

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// mostRetryAfter is how long a Retry-After is believed at most. Then the server is asked again, so
// that one odd header does not stop a client until its process ends.
const mostRetryAfter = 24 * time.Hour

// RetryAfter returns how long a server asks to wait, from the values of Retry-After, Retry-After-Ms
// and Date. An unreadable value is 0.
//
// RFC 9110 has whole seconds and HTTP-dates. Servers also write decimals, durations, Unix times and
// other dates. If only a part of a value is readable, that part counts. If two readings are
// possible, the longer wait counts: the largest of several values, and the time by the clock that
// is behind, ours or the Date of the answer.
func RetryAfter(seconds, milliseconds []string, date string, now time.Time) time.Duration {
	if theirs, ok := httpDate(date); ok && theirs.Before(now) {
		now = theirs
	}
	longest := max(longestHint(seconds, time.Second, now), longestHint(milliseconds, time.Millisecond, now))
	return min(longest, mostRetryAfter)
}

// longestHint reads all values of a header. The result is never negative.
func longestHint(values []string, unit time.Duration, now time.Time) (longest time.Duration) {
	for _, value := range values {
		for hint := range strings.SplitSeq(value, ",") { // this also takes the weekday off a date
			longest = max(longest, waitOf(hint, unit, now))
		}
	}
	return longest
}

// httpDate reads a date in one of the three forms of RFC 9110.
func httpDate(s string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// waitOf reads one hint. A number without a unit has the given unit.
func waitOf(hint string, unit time.Duration, now time.Time) (total time.Duration) {
	hint = strings.TrimPrefix(strings.ToLower(strings.Trim(hint, " \t\"'")), "+")
	if strings.Contains(hint, ":") {
		if at, ok := dateOf(hint); ok {
			return at.Sub(now)
		}
		hint = clockSpan.ReplaceAllString(hint, "0${1}d${2}h${3}m${4}s")
	}
	if iso, ok := strings.CutPrefix(hint, "p"); ok { // ISO 8601: an M before the T is a month
		days, clock, _ := strings.Cut(iso, "t")
		hint = strings.ReplaceAll(days, "m", "mo") + clock
	}
	for total < mostRetryAfter {
		n, rest, ok := cutNumber(hint)
		if !ok {
			break
		}
		word, rest := cutWhile(strings.TrimLeft(rest, " "), unicode.IsLetter)
		each, known := durationUnits[word]
		switch {
		case known:
			total += timesUnit(n, each)
		case total == 0:
			return bareNumber(n, unit, now)
		default: // the seconds of 1m30
			return total + timesUnit(n, unit)
		}
		hint = strings.TrimLeft(rest, " ")
	}
	return total
}

// bareNumber reads a number without a unit, in thousandths. It is a delay. If the delay would be
// more than a day, it is a Unix time in seconds or milliseconds that is within a day of now.
func bareNumber(n int64, unit time.Duration, now time.Time) time.Duration {
	delay := timesUnit(n, unit)
	if delay < mostRetryAfter {
		return delay
	}
	for _, at := range []time.Time{time.UnixMilli(n), time.UnixMilli((n + 999) / 1000)} {
		if wait := at.Sub(now); wait.Abs() <= mostRetryAfter {
			return wait
		}
	}
	return delay
}

// timesUnit returns n thousandths of a unit, rounded up, but at most a day.
func timesUnit(n int64, unit time.Duration) time.Duration {
	if n >= 1000*int64(mostRetryAfter)/int64(unit) {
		return mostRetryAfter
	}
	return (time.Duration(n)*unit + 999) / 1000
}

// cutNumber cuts a number off the front of a text. The number is in thousandths, rounded up and
// bounded.
func cutNumber(s string) (n int64, rest string, ok bool) {
	const most = 1e18
	digit := func(r rune) bool { return r >= '0' && r <= '9' }
	whole, rest := cutWhile(s, digit)
	fraction := ""
	if after, ok := strings.CutPrefix(rest, "."); ok {
		fraction, rest = cutWhile(after, digit)
	}
	if whole == "" && fraction == "" {
		return 0, s, false
	}
	n, err := strconv.ParseInt(whole+(fraction + "000")[:3], 10, 64)
	if err != nil || n >= most {
		return most, rest, true
	}
	if len(fraction) > 3 && strings.Trim(fraction[3:], "0") != "" {
		n++
	}
	return n, rest, true
}

func cutWhile(s string, is func(rune) bool) (front, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return !is(r) })
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// clockSpan is how .NET and Python print a duration: 00:01:30, and with days 1.00:01:30.
var clockSpan = regexp.MustCompile(`^(?:(\d+)\.)?(\d+):(\d+):([\d.]+)`)

// durationUnits are the units of Go, of ISO 8601 and of people.
var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond, "millisecond": time.Millisecond, "milliseconds": time.Millisecond,
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 168 * time.Hour, "week": 168 * time.Hour, "weeks": 168 * time.Hour,
	"mo": 720 * time.Hour, "month": 720 * time.Hour, "months": 720 * time.Hour,
	"y": 8760 * time.Hour, "year": 8760 * time.Hour, "years": 8760 * time.Hour,
}

// dateParts matches the parts of a date: the day, the time of day, the zone's name, its offset, and
// the year if it comes last. It fits HTTP's three forms, RFC 3339, and what date(1), Go, Python and
// JavaScript print.
var dateParts = regexp.MustCompile(`^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]* +)?(.*?)[t ] *` +
	`(\d{1,2}:\d\d:\d\d(?:\.\d+)?)(?: ?(z|[a-z]{2,4}))?(?: ?([+-]\d\d:?\d\d))?(?: (\d{4}))?`)

var dayLayouts = []string{"2 Jan 2006", "2-Jan-06", "2-Jan-2006", "Jan 2 2006", "2006-1-2"}

// zoneOffsets are the offsets of the zone names in RFC 5322. Any other name counts as UTC.
var zoneOffsets = map[string]string{
	"est": "-0500", "edt": "-0400", "cst": "-0600", "cdt": "-0500",
	"mst": "-0700", "mdt": "-0600", "pst": "-0800", "pdt": "-0700",
}

// dateOf reads a date in lower case.
func dateOf(s string) (time.Time, bool) {
	parts := dateParts.FindStringSubmatch(s)
	if parts == nil {
		return time.Time{}, false
	}
	zone := cmp.Or(strings.ReplaceAll(parts[4], ":", ""), zoneOffsets[parts[3]], "+0000")
	text := strings.TrimSpace(parts[1]+" "+parts[5]) + " " + parts[2] + " " + zone
	for _, layout := range dayLayouts {
		if t, err := time.Parse(layout+" 15:04:05 -0700", text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// Count reads a number that is not negative, such as the rest of a limit.
func Count(text string) (int, bool) {
	if text == "" { // as a rule: an error of strconv would hold a copy
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}
