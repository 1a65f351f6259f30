package duolink_test

import (
	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
)

// The tests inside package duolink cannot import the registry, which imports duolink. Both are in
// one binary, so they are given its rows here, before the first of them runs.
func init() {
	for _, op := range operations.All {
		duolink.Register(op.Name, duolink.Row{
			Call: op.Call, On: op.On, Answer: op.Answer, Done: op.Done, Private: op.Private, Route: op.Route,
			Groups: op.Groups, Least: op.Least, Wordless: op.Wordless,
			Settles: op.Repeat == operations.Settling, Costly: op.Repeat == operations.OnlyRefused,
		})
	}
}
