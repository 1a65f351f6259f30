// Package flight runs work that callers share. Callers who want the same thing at the same time
// join one run. A run has its own context and ends by its own rules:
//
//   - A run that nobody waits for is stopped, unless it has committed a write, which may have been
//     carried out. Then it goes on for a while, so that whoever comes back finds it.
//   - A list has a hundred such runs at most. One more run ends the run that was left first.
//   - A panic of the work reaches one of the callers, and the others get [ErrUnfinished].
//
// The result of a run belongs to all of its callers: whoever hands it on makes a copy.
//
// A [Renewed] is a value that expires, such as a token. Callers share its renewal.
//
// A group is not a cache: a run that has ended is found only until its first caller leaves. The
// package knows nothing of requests, credentials or errors of the API. Its users say what is
// shared, and what a write is.
//
// Its tests run in bubbles of testing/synctest, where ten minutes cost nothing. The property test
// has random callers of random runs, and its own record of what may happen.
package flight
