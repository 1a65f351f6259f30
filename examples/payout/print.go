package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/duolink/duolink"
)

// printJSON writes the decision with the real names and numbers. json.Marshal would be an error, so
// it uses RevealJSON.
func printJSON(w io.Writer, d decision) error {
	text, err := duolink.RevealJSON(d)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = out.WriteTo(w)
	return err
}

// headlines are the verdicts for people.
var headlines = map[verdict]string{match: "MATCH", noMatch: "NO MATCH", cannotTell: "CANNOT TELL", closed: "CLOSED"}

// advice is what to do about an error, for people.
var advice = map[duolink.Action]string{
	duolink.ActionRetry:     "try again later; -max-age uses what has come meanwhile",
	duolink.ActionWaitUntil: "try again later, not before the limit allows it; -max-age does without a refresh",
	duolink.ActionReauthenticate: "new proof is needed: the person links the bank again, or, after a 401, " +
		"you look at the credentials",
	duolink.ActionAskPermission:  "ask the person to permit this, by linking again",
	duolink.ActionFixRequest:     "the same call fails again: check the link, the token and the set-up",
	duolink.ActionRecreate:       "make a new link",
	duolink.ActionContactSupport: "ask the vendor's support, with the request id",
}

// printTable writes the decision for people. A Sensitive prints as a mask by itself.
func printTable(w io.Writer, d decision) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "\nMay we pay this person? %s\n", headlines[d.Verdict])
	if d.Checked != "" {
		fmt.Fprintf(&out, "Checked: %s\n", clean(d.Checked))
	}
	fmt.Fprintln(&out, folded(d.Reason, ""))
	if d.Action != "" {
		fmt.Fprintln(&out, folded("Next: "+cmp.Or(advice[d.Action], string(d.Action)), ""))
	}
	if d.RetryAfterSeconds > 0 {
		fmt.Fprintf(&out, "Not before: %s from now\n", time.Duration(d.RetryAfterSeconds)*time.Second)
	}
	printAccounts(&out, d)
	printNumbers(&out, d)
	_, err := out.WriteTo(w)
	return err
}

func printAccounts(out io.Writer, d decision) {
	if len(d.Accounts) == 0 {
		return
	}
	fmt.Fprintf(out, "\nAccounts and their owners, as of %s\n", cmp.Or(d.RefreshedAt.String(), "an unknown time"))
	line := func(cells ...any) {
		text := fmt.Sprintf("%-16s %-26s %-6s %-30s %s", cells...)
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
	line("ACCOUNT", "NAME", "MASK", "OWNERS", "DECISION")
	for _, a := range d.Accounts {
		line(clipped(a.ID, 16), clipped(a.Name, 26), clipped(cmp.Or(a.Mask, "-"), 6), clipped(owners(a), 30),
			headlines[a.Verdict])
		why := string(a.Comparison.Level) + ": " + a.Comparison.How + "; " + a.Reason
		fmt.Fprintln(out, folded(why, "    "))
	}
}

// lineWidth is the longest line for people.
const lineWidth = 100

// clipped cuts a text off that does not fit into a column.
func clipped(text string, width int) string {
	runes := []rune(clean(text))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:width-1]) + "…"
}

// folded breaks a text into lines that fit.
func folded(text, indent string) string {
	var lines []string
	line := indent
	for _, word := range strings.Fields(clean(text)) {
		if len(line) > len(indent) && len(line)+1+len(word) > lineWidth {
			lines, line = append(lines, line), indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}

// owners says how many names there are, without the names.
func owners(a accountDecision) string {
	var masks []string
	for _, name := range a.Owners {
		masks = append(masks, name.String())
	}
	text := cmp.Or(strings.Join(masks, ", "), "-")
	if a.Joint {
		text += " (joint)"
	}
	return text
}

func printNumbers(out io.Writer, d decision) {
	if d.Verdict != match {
		return
	}
	fmt.Fprint(out, "\nWhere money can be sent\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row(w, "ACCOUNT", "SCHEME", "BANK", "NUMBER")
	for _, a := range d.Accounts {
		for _, n := range a.Numbers.ACH {
			row(w, a.ID, "ACH", "routing "+n.RoutingNumber, n.AccountNumber.String())
		}
		for _, n := range a.Numbers.EFT {
			row(w, a.ID, "EFT", "institution "+n.InstitutionNumber+" branch "+n.BranchNumber, n.AccountNumber.String())
		}
		for _, n := range a.Numbers.BACS {
			row(w, a.ID, "BACS", "sort code "+n.SortCode, n.AccountNumber.String())
		}
		for _, n := range a.Numbers.International {
			row(w, a.ID, "IBAN", "BIC "+cmp.Or(n.BIC, "-"), n.IBAN.String())
		}
	}
	_ = w.Flush() // into a buffer
}

func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		cells[i] = clean(cell)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// clean makes an account's name safe to print, so that it cannot move the cursor or break the
// table.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// progress shows on stderr how long the wait is: on a terminal one line that changes, elsewhere
// several lines.
type progress struct {
	w        io.Writer
	terminal bool
	shown    bool
}

func newProgress(w io.Writer) *progress {
	file, ok := w.(*os.File)
	if !ok {
		return &progress{w: w}
	}
	info, err := file.Stat()
	return &progress{w: w, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const toLineStart, toLineEnd = "\r", "\x1b[K"

func (p *progress) show(r duolink.RefreshProgress) {
	text := "asking the bank: " + strconv.Itoa(
		int(r.Elapsed.Seconds()),
	) + " s so far, next look in " + r.Next.Round(
		time.Second/10,
	).String()
	if r.Err != nil {
		text += " (the last one failed)"
	}
	if p.shown = true; p.terminal {
		fmt.Fprint(p.w, toLineStart+text+toLineEnd)
		return
	}
	fmt.Fprintln(p.w, text)
}

// end ends the line that changes.
func (p *progress) end() {
	if p.shown && p.terminal {
		fmt.Fprintln(p.w)
	}
}
