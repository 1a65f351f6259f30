//go:build race

package duolink

// inShort reports that a test should be a good deal smaller. Under the race detector, where
// everything takes ten times as long, it should be: what it finds in ten worlds it finds in one.
func inShort() bool { return true }
