// Package duolinktest is a fake of both APIs, Supermetrics and MoneyKit, for the tests of programs
// that use duolink.
//
//	func TestReport(t *testing.T) {
//		fake := duolinktest.New(t)
//		fake.Script(duolinktest.Fault{Operation: "logins.list", Status: 429, RetryAfter: time.Minute})
//		report := NewReport(fake.Client())
//		// ...
//	}
//
// A [Server] keeps logins, login links and bank links. It answers every operation of the client from
// them, in memory. [Server.Client] is a client of it. [Server.Options] points a client of your own
// at it, and [Server.URL] serves it over loopback HTTP for a program that takes only an address.
//
// It begins with sample data, which the constants name. Put in your own with [Server.AddLogin],
// [Server.AddLoginLink] and [Server.AddBankLink], and read back what the program has made. Play the
// people and the banks with [Server.CompleteLogin], [Server.SetBankLinkState] and others. Let
// requests fail with [Server.Script]. See what was sent with [Server.Requests].
//
// # Virtual time
//
// Inside a bubble of testing/synctest all waiting takes no time: a refresh of ninety seconds, a
// Retry-After of an hour, a login link that expires.
//
//	synctest.Test(t, func(t *testing.T) {
//		fake := duolinktest.New(t, duolinktest.WithRefreshTime(90*time.Second))
//		client, id := fake.Client(), duolinktest.BankLinkID
//		who, err := client.Identity.RefreshAndGet(t.Context(), id, duolink.RefreshOptions{})
//		// ...
//	})
//
// Call [New] inside the bubble, and do not call URL there, because a socket does not know of the
// bubble. A client of your own has to be closed in the bubble if one of its flows may go on.
//
// # What it says
//
// The fake says what the vendors' documents say: paths, members, notations of time, limits, errors.
// It checks what they check: credentials, methods, ids, ranges, bodies. The differences are kept on
// purpose:
//
//   - It is stricter. A member, a field of a form or a query parameter that is not documented is
//     refused. So is an empty or null member that should be left out, a body or a Content-Type where
//     none belongs, and an API key without Bearer.
//   - A deleted bank link answers 410 at once and for ever. MoneyKit may answer 200 with the state
//     deleted, and 404 after 90 days.
//   - A person who refuses a login closes the login link (see [Server.RefuseLogin]). The documents do
//     not say what happens.
//   - The query for accounts without a login is a 500 with QUERY_AUTH_NOT_FOUND, and with a user who
//     has none a 403 with QUERY_AUTH_UNAVAILABLE. Public code shows these codes, and the documents
//     do not tell the status of the first.
//   - The hourly limit of Supermetrics is 5,000 requests. The documents name a range of 1 to 10,000.
//     MoneyKit's limits are off without [WithMoneyKitLimits].
//   - There is no X-Span-Id header, and no webhook is delivered.
//   - Lists leave out the scopes of logins, as the servers do. Scopes of OAuth tokens and of MoneyKit
//     tokens are not checked.
package duolinktest
