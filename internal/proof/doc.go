// Package proof holds the proofs that range over every operation of the client. It has only tests,
// and they use only the public API of package duolink:
//
//   - registry: no operation, golden file or handler of the sandbox is missing
//   - requests: exactly what each call puts on the wire
//   - canary: nothing confidential is printed, whatever happens
//   - matrix, h1, h2: the result of a call under each fault, compared with what the server did
//   - redirects: none is followed
//   - bounded, flood, hostile: no answer takes more memory than it may
//   - slow: no server holds a call for longer than it may
//   - codes: what every code and every status of both vendors means
//
// A row in package operations has what a proof must know of an operation. If a test needs the
// inside of package duolink, or is about one thing and not about all operations, it is beside the
// code.
//
// "go test ./internal/proof" takes half a minute, with -short a few seconds. -v prints what was
// tried and how often. README.md has these counts.
package proof
