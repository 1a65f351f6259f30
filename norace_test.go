//go:build !race

package duolink

import "testing"

// inShort reports whether a test should be much smaller.
func inShort() bool { return testing.Short() }
