// Package pace decides when a request may go out. It has limit groups and their gate, the reading
// of Retry-After, the random wait of a backoff, and the budgets of repetitions.
//
// It is not a client. It knows no HTTP, no vendor and no credential. The caller names a group or a
// budget with a text (see [Key]), and says whether a request was accepted or refused. The caller
// also decides which requests are counted together, what may be repeated, and how long it waits.
//
// It is tested in virtual time (testing/synctest). Each rule below has a test of its own. In
// random_test.go callers and a server act at random.
//
// A limit group is a set of requests that a server counts together. These are the rules of
// [Groups].
//
// When a group is closed:
//
//   - A group that was never refused is not held up, and its callers take no lock (see [Groups.Quiet]).
//   - A closed group lets nothing out before the time that the server named. A shorter time that
//     comes later does not change that.
//   - It is never forgotten before its time, however many groups are closed.
//   - Refusals in a row are counted, whichever request they answer. The count starts again after an
//     accepted request. So the caller can wait longer each time if the server names no time.
//   - A server may count a wide group and its members, and not say which of them is used up. If
//     five members are refused within ten seconds, and no request is accepted that was sent since
//     the first of these refusals, it is the wide group (see [Groups.RefusesWhole]).
//
// When it opens:
//
//   - One request goes ahead as a probe. The others wait for its answer, for ten seconds at most.
//   - A refused probe closes the group again. After a lost probe the next request goes, as a probe.
//   - After an accepted probe the others go at the group's rate, in the order in which they came.
//     They do not wait for each other's answers.
//   - If a request was sent before a refusal, its answer tells nothing of the time after the
//     refusal: it is not the probe's answer, and does not change the rate. But a refusal closes the
//     group whenever it arrives.
//   - Whoever got a permit before a refusal, and has not sent anything yet, asks again (see
//     [Groups.StillOpen]).
//
// At which rate:
//
//   - The search for the rate begins with one request a second. The rate grows by as much with each
//     accepted request. So it doubles within the time that an answer takes, or within a second.
//   - A refusal ends the search, unless it refuses a probe, or comes before twenty acceptances: the
//     server may only not be ready yet. From then on the rate grows, in each second of acceptance,
//     by a hundredth of the rate at the last refusal.
//   - A refusal lowers the rate by a fifth (additive increase, multiplicative decrease). The
//     refusal of a probe does not. The rate is never below one request in 20 seconds.
//   - The search begins again after the group has been open for a minute.
//   - The group is forgotten after a minute in which nobody had to wait.
//
// Who waits:
//
//   - The estimate of a wait is the time until the group opens, and the time that the earlier
//     callers in the queue take at its rate.
//   - A wait is not started if it is longer than the caller's patience or would last until the
//     context's deadline. Such a caller is refused at once.
//   - A wait is reported before it starts. A wait of 0 is not reported.
package pace
