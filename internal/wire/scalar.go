package wire

import (
	"math/big"
	"strconv"
	"strings"
)

// ParseNumber returns the JSON number that a person reads in a text: " 12.5 " is 12.5, "+5.00" is 5.00,
// "007.50" is 7.50, and "1,234.56" is 1234.56. It returns false for anything that can be misread,
// such as "1,234". A text that is a JSON number is returned as it is.
func ParseNumber(text string) (literal string, ok bool) {
	const longest = 400
	if IsNumber(text) {
		return text, true
	}
	text = strings.TrimSpace(text)
	if len(text) > longest {
		return "", false
	}
	rest, negative := strings.CutPrefix(text, "-")
	if !negative {
		rest = strings.TrimPrefix(rest, "+")
	}
	mantissa, exponent := rest, ""
	if at := strings.IndexAny(rest, "eE"); at >= 0 {
		mantissa, exponent = rest[:at], rest[at:]
	}
	whole, fraction, pointed := strings.Cut(mantissa, ".")
	if strings.Contains(whole, ",") {
		if whole, ok = ungrouped(whole, pointed); !ok {
			return "", false
		}
	}
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	literal = whole
	if fraction != "" {
		literal += "." + fraction
	}
	if negative {
		literal = "-" + literal
	}
	literal += exponent
	return literal, IsNumber(literal)
}

// ungrouped removes the commas between groups of three digits. A single comma may be one that other
// countries write before a fraction, unless a point follows.
func ungrouped(whole string, pointed bool) (string, bool) {
	groups := strings.Split(whole, ",")
	first := groups[0]
	if len(groups) == 2 && !pointed || first == "" || len(first) > 3 || first[0] == '0' {
		return "", false
	}
	for _, g := range groups[1:] {
		if len(g) != 3 {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

// ParseInteger returns the whole number that a person reads in a text. It returns false if the number
// has a fraction, or if an int64 cannot hold it.
func ParseInteger(text string) (int64, bool) {
	const longest = 100
	if text == "" || len(text) > longest {
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	literal, ok := ParseNumber(text)
	if _, exponent, has := strings.Cut(strings.ToLower(literal), "e"); has && ok {
		const most = 20 // a longer exponent asks for more digits than an int64 has
		n, err := strconv.Atoi(exponent)
		ok = err == nil && -most <= n && n <= most
	}
	if !ok {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(literal)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// ParseFlag returns the yes or no that a person reads in a text.
func ParseFlag(text string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "t", "yes", "y", "on":
		return true, true
	case "false", "f", "no", "n", "off":
		return false, true
	}
	n, ok := ParseInteger(text)
	return n == 1, ok && (n == 0 || n == 1)
}
