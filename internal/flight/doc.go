// Package flight runs work that callers share. Callers who want the same at the same time join one
// run, which has a context of its own and ends by rules of its own:
//
//   - A run that nobody waits for any more is stopped, unless it has committed a write: one that
//     may have been carried out. Then it goes on for a while, so that whoever comes back finds it.
//   - Of such runs a list has a hundred at most. One more ends the one that was left first.
//   - A panic of the work reaches one of the callers, and the others get [ErrUnfinished].
//
// What a run brings belongs to all of its callers: whoever hands it on makes a copy.
//
// A [Renewed] is a value that ends, such as a token, and whose renewal callers share.
//
// A group is no cache: a run that has ended is found only until the first of its callers leaves.
// And it knows nothing of requests, credentials or errors of the API; what is shared, and what a
// write is, its users say.
//
// Its tests run in bubbles of testing/synctest, where ten minutes cost nothing. The property test
// has random callers of random runs, and its own record of what may happen.
package flight
