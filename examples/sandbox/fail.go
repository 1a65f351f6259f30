package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/duolink/duolink/duolinktest"
)

// fail reads a value of -fail, such as "logins.list=503" or "links.create=drop-after:1".
func (s *settings) fail(value string) error {
	operation, fault, ok := strings.Cut(value, "=")
	if !ok {
		return fmt.Errorf("it is not operation=fault, such as logins.list=503")
	}
	if known := duolinktest.Operations(); !slices.Contains(known, operation) {
		return fmt.Errorf("there is no operation %q, only %s", operation, strings.Join(known, ", "))
	}
	f := duolinktest.Fault{Operation: operation, Times: -1}
	fault, times, limited := strings.Cut(fault, ":")
	if limited {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of requests", times)
		}
		f.Times = n
	}
	switch fault {
	case "drop-before":
		f.DropBefore = true
	case "drop-after":
		f.DropAfter = true
	case "stall":
		f.Stall = true
	default:
		status, err := strconv.Atoi(fault)
		if err != nil || status < 400 || status > 599 {
			return fmt.Errorf("%q is neither a status from 400 to 599 nor drop-before, drop-after or stall", fault)
		}
		f.Status = status
	}
	s.faults = append(s.faults, f)
	return nil
}
