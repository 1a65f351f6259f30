//go:build race

package flight

// inShort reports that a test should be a good deal smaller. Under the race detector, where
// everything takes ten times as long, it should be.
func inShort() bool { return true }
