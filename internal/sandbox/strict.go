package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
)

// What no page of a vendor documents is refused: a parameter of the query, which the routes list, a
// field of a form, or a member of a JSON object.

// unknownName is the error for what is not documented. It is the name.
type unknownName string

func (name unknownName) Error() string { return fmt.Sprintf("%q is not documented", string(name)) }

// only refuses every name but these.
func only[V any](in map[string]V, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !slices.Contains(names, name) {
			return unknownName(name)
		}
	}
	return nil
}

// queryProblem returns what is wrong with the names in the query.
func (c *call) queryProblem() error {
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil { // URL.Query would leave out what it cannot read
		return errors.New("the query is not encoded as a query is")
	}
	return only(query, c.route.query...)
}

// members is a JSON object whose members are not decoded yet.
type members map[string]json.RawMessage

var errNoObject = errors.New("this is not a JSON object")

// decode reads a JSON object that has none but these members. encoding/json alone would also accept
// other members, and names in other letter case.
func decode(text []byte, names ...string) (members, error) {
	var in members
	if json.Unmarshal(text, &in) != nil || in == nil {
		return nil, errNoObject
	}
	return in, only(in, names...)
}
