// Package pace decides when a request may go out. It holds limit groups and the gate before them,
// the reading of Retry-After, the random wait of a backoff, and the budgets of repetitions.
//
// It is not a client. It knows no HTTP, no vendor and no credential: a group and a budget are a
// text that the caller has made (see [Key]), and an answer is either accepted or refused. It does
// not say which requests are counted together, what may be repeated, or how long a caller is
// patient.
//
// It is tested in virtual time (testing/synctest), by rules: each rule below has a test that shows
// it alone. random_test.go has callers and a server do at random what they may.
//
// A limit group is what a server counts together. These are the rules of [Groups].
//
// When a group is closed:
//
//   - A group that was never refused is not held up.
//   - A closed group lets nothing out before the time that the server named. A shorter time that
//     comes later takes nothing back.
//   - It is never forgotten before its time, however many groups are closed.
//   - Refusals in a row are counted, whichever request they answer, and begin anew after an answer.
//     So the caller can wait longer each time if the server names no time.
//   - A server may count a wide group and its members, and not say which of them is used up. If
//     five members are refused within ten seconds, and nothing is accepted that was sent since the
//     first of these refusals, it is the wide group (see [Groups.RefusesWhole]).
//
// When it opens:
//
//   - One request goes ahead as a probe. The others wait for its answer, for ten seconds at most.
//   - A probe that is refused closes the group again. One that is lost lets the next go, as a
//     probe.
//   - After a probe that is accepted, the others go at the group's rate, in the order in which they
//     came. They do not wait for each other's answers.
//   - An answer to a request from before a refusal tells nothing of the time after it: it is not
//     the probe's, and says nothing of the rate. A refusal closes the group whenever it arrives.
//   - Whoever had the group's permit before a refusal, and has not sent anything yet, asks again
//     (see [Groups.StillOpen]).
//
// At which rate:
//
//   - The rate is searched for from a request a second: it grows by as much with each request that
//     is accepted. So it doubles within the time that an answer takes, or within a second.
//   - The first refusal ends the search, if it is not a probe's. From then on the rate grows, in
//     each second of acceptance, by a hundredth of what it was at the last refusal.
//   - A refusal takes a fifth of the rate (additive increase, multiplicative decrease). That of a
//     probe takes nothing, and a request in 20 seconds is always left.
//   - The search begins again when the group has been open for a minute.
//   - The group is forgotten when for a minute nobody had to wait for its time or its rate.
//
// Who waits:
//
//   - A wait is estimated by the time until the group opens, and by how long those who wait already
//     take at its rate.
//   - A wait that is longer than the caller's patience is not started, nor one that lasts until the
//     context's deadline. Whoever would have to wait so long is refused at once.
//   - A wait is told before it starts, and a wait of 0 is not told.
package pace
