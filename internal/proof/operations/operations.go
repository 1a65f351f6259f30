// Package operations is the tests' registry. It has one row for each operation of the client, with
// everything that a proof must know of it. The rows are in the files named after their services.
//
// The proofs in internal/proof range over [All]. So do tests inside package duolink. They get the
// rows in registry_test.go, because they cannot import a package that imports duolink. A test in
// internal/proof shows that no operation is missing here, and that each has a golden file and a
// handler in the sandbox.
//
// To add an operation, add its row. To add another way to call an operation, add a row whose name
// continues after a comma.
package operations

import (
	"context"
	"iter"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/sandbox"
)

// Operation is a row of the registry.
type Operation struct {
	// Name is what errors, hooks and logs call the operation. The text after a comma tells apart
	// two ways to call the same operation.
	Name string
	API  duolink.API
	// Method is the method that makes the call, as a method expression. It is nil for the token
	// exchange.
	Method any

	// Ask is the call, with arguments that the sandbox accepts.
	Ask
	// On makes the same call for another id, data source or access token. It is nil for an
	// operation that takes none of them.
	On func(ctx context.Context, c *duolink.Client, id string, opts ...duolink.CallOption) error
	// Private are the arguments of the call that nothing may print.
	Private []string

	// Verb, URI and Body are the request of the call. The URI follows the base URL of the API.
	Verb, URI, Body string
	// Route is the template that hooks and logs get.
	Route string
	// Examples are other calls of the same method, each with its request.
	Examples []Example

	// Statuses are the statuses of a success: first the documented one, then others that are
	// accepted.
	Statuses []int
	// Sample is a golden file under testdata with the answer that the vendor documents.
	Sample string
	// Least is the smallest answer that the client can use.
	Least string
	// Wordless is an operation that needs no answer: an empty answer means success.
	Wordless bool
	// Data is a value of the type of the answer, which is under "data" at Supermetrics. It is nil
	// if the answer has a shape of its own.
	Data any

	// Repeat says after which failures the call is sent again.
	Repeat Repeat
	// Limit is how many bytes of an answer are read, or of one item of a stream.
	Limit int64
	// Timeout is how long an attempt may take.
	Timeout time.Duration
	// Groups are the limit groups of the call, as a Limiter gets them, without the part that tells
	// credentials and ids apart.
	Groups []string
	// Done counts how often a sandbox has done what the call asks for: what was made, accepted or
	// issued. For a write that settles, it says whether the state has changed. It is nil for a
	// read.
	Done func(*sandbox.Sandbox) int
}

// Short names, because the registry has many calls with long signatures.
type (
	client  = *duolink.Client
	options = []duolink.CallOption
)

// Ask is a call, made in two ways. Both range over an iterator to its end.
type Ask struct {
	// Call drops the answer.
	Call func(context.Context, *duolink.Client, ...duolink.CallOption) error
	// Answer returns the method's result, or all items of an iterator.
	Answer func(context.Context, *duolink.Client, ...duolink.CallOption) (any, error)
}

// Example is a call and its request.
type Example struct {
	Name      string
	Call      func(context.Context, *duolink.Client) error
	URI, Body string // if empty, those of the operation
	Answer    string // a golden file under testdata; if empty, the operation's sample
	Statuses  []int  // if empty, those of the operation
}

// Repeat says after which failures a call is sent again.
type Repeat string

// All calls are sent again if nothing was sent, and after a 429.
const (
	// Always is a read. It is sent again after all failures that may pass.
	Always Repeat = "read"
	// Opened is a read until its answer has begun.
	Opened Repeat = "stream"
	// Settling is a write that ends in the same state however often it is done. It is sent again if
	// there is no answer, and after a 503.
	Settling Repeat = "settling"
	// OnlyRefused is a write that is done twice if it is sent twice.
	OnlyRefused Repeat = "write"
)

// Exchange is the operation without a method: the exchange of a client id and secret for a token.
// It happens before another call.
const Exchange = "auth.token"

// The limits that most operations have.
const (
	usualLimit   = 8 << 20
	listLimit    = 32 << 20
	usualTimeout = 30 * time.Second
)

// Text is a description that appears nowhere else.
const Text = "Onboarding of Avery Sample"

// All are the operations.
var All = withDefaults(slices.Concat(logins, links, identity, auth))

// Methods are All without the token exchange.
var Methods = slices.DeleteFunc(slices.Clone(All), func(o Operation) bool { return o.Method == nil })

// Flow is a method that calls operations.
type Flow struct {
	Method any // a method expression
	API    duolink.API
	Waits  bool // it polls
}

// Flows are all methods of services that are not operations.
var Flows = []Flow{
	{Method: (*duolink.LinksService).Await, API: duolink.Supermetrics, Waits: true},
	{Method: (*duolink.LinksService).ConfirmRedirect, API: duolink.Supermetrics},
	{Method: (*duolink.LinksService).CreateOnce, API: duolink.Supermetrics},
	{Method: (*duolink.IdentityService).RefreshAndGet, API: duolink.MoneyKit, Waits: true},
	{Method: (*duolink.AuthService).RefreshAndNumbers, API: duolink.MoneyKit, Waits: true},
}

// Named returns the operation with this name. It panics if there is none.
func Named(name string) Operation {
	i := slices.IndexFunc(All, func(o Operation) bool { return o.Name == name })
	if i < 0 {
		panic("no operation is called " + name)
	}
	return All[i]
}

// Operation is the name without the text after a comma.
func (o Operation) Operation() string {
	name, _, _ := strings.Cut(o.Name, ",")
	return name
}

// CalledAs is the operation whose method makes the call. For the exchange that is another
// operation.
func (o Operation) CalledAs() string {
	if o.Name == Exchange {
		return calledForToken
	}
	return o.Operation()
}

// Exchanges reports whether a call needs a token for which a client id and secret can be exchanged.
func (o Operation) Exchanges() bool { return o.API == duolink.MoneyKit }

// Streamed reports whether the answer is read as it arrives.
func (o Operation) Streamed() bool { return o.Repeat == Opened }

// Base is the path between the host and the routes of an API.
func Base(api duolink.API) string {
	switch api {
	case duolink.Supermetrics:
		return "/v2"
	case duolink.PlaidCompatible:
		return "/plaid-compatible"
	}
	return ""
}

// Asked returns the operation of a request, by its path. A route with a fixed word goes before a
// route with an id at the same place.
func Asked(verb, requested string) (found Operation, ok bool) {
	for _, o := range All {
		segments := strings.Split(o.Route, "/")
		for i, s := range segments {
			if strings.HasPrefix(s, "{") {
				segments[i] = "*"
			}
		}
		pattern := Base(o.API) + strings.Join(segments, "/")
		if fits, err := path.Match(pattern, requested); err != nil || !fits || verb != o.Verb {
			continue
		}
		if !ok || pattern == requested {
			found, ok = o, true
		}
	}
	return found, ok
}

// MethodName is the name of a method expression, such as "LinksService.Get".
func MethodName(method any) string {
	// It is github.com/duolink/duolink.(*LinksService).Get, or alike.
	name := runtime.FuncForPC(reflect.ValueOf(method).Pointer()).Name()
	_, name, _ = strings.Cut(name, "(*")
	return strings.ReplaceAll(name, ")", "")
}

// withDefaults fills in what most operations have in common.
func withDefaults(all []Operation) []Operation {
	for i := range all {
		o := &all[i]
		if o.Statuses == nil {
			o.Statuses = []int{200}
		}
		if o.Sample == "" {
			o.Sample = o.Operation() + "/sample.json"
		}
		if o.Repeat == "" {
			o.Repeat = Always
		}
		if o.Limit == 0 {
			o.Limit = usualLimit
		}
		if o.Timeout == 0 {
			o.Timeout = usualTimeout
		}
	}
	return all
}

// returns makes the Ask of a method that returns its answer.
func returns[T any](method func(context.Context, client, options) (T, error)) Ask {
	return Ask{
		Call: func(ctx context.Context, c *duolink.Client, opts ...duolink.CallOption) error {
			return failure(method(ctx, c, opts))
		},
		Answer: func(ctx context.Context, c *duolink.Client, opts ...duolink.CallOption) (any, error) {
			return method(ctx, c, opts)
		},
	}
}

// yields makes the Ask of a method that returns an iterator.
func yields[T any](method func(context.Context, client, options) iter.Seq2[T, error]) Ask {
	return Ask{
		Call: func(ctx context.Context, c *duolink.Client, opts ...duolink.CallOption) error {
			return drained(method(ctx, c, opts))
		},
		Answer: func(ctx context.Context, c *duolink.Client, opts ...duolink.CallOption) (any, error) {
			var all []T
			for v, err := range method(ctx, c, opts) {
				if err != nil {
					return all, err
				}
				all = append(all, v)
			}
			return all, nil
		},
	}
}

// drained reads an iterator to its end and returns its error.
func drained[T any](seq iter.Seq2[T, error]) (err error) {
	for _, err = range seq {
		continue
	}
	return err
}

// failure drops the answer and returns the error.
func failure[T any](_ T, err error) error { return err }

// asBit returns 1 for true and 0 for false.
func asBit(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
