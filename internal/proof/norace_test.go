//go:build !race

package proof

import "testing"

// inShort reports that a test should be a good deal smaller.
func inShort() bool { return testing.Short() }
