// Package proof holds the proofs that range over every operation of the client. It has tests only,
// and they use nothing of package duolink but what its users have:
//
//   - registry: no operation, golden file or handler of the sandbox is missing
//   - requests: what each call puts on the wire, to the letter
//   - canary: nothing that is told in confidence comes out in print, whatever happens
//   - matrix, h1, h2: what becomes of a call under each fault, compared with what the server did
//   - redirects: none is followed
//   - bounded, flood, hostile: no answer takes more memory than it may
//   - slow: no server holds a call for longer than it may
//   - codes: what every code and every status of both vendors means
//
// What a proof has to know of an operation is a row in package operations. Tests that need the
// inside of package duolink, or that are about one thing and not about all operations, are not
// here: they lie beside the code.
//
// "go test ./internal/proof" takes half a minute and -short a few seconds; -v prints what was tried
// and how often. README.md has these counts.
package proof
