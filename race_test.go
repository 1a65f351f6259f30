//go:build race

package duolink

// inShort reports whether a test should be much smaller. It should be with the race detector,
// because everything takes ten times as long, and a small test finds the same races.
func inShort() bool { return true }
