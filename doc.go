// Package duolink is a client for two account-connection APIs: Supermetrics, for data source logins
// and login links, and MoneyKit, for who owns a bank account and what its numbers are.
//
// A [Client] has four services: Logins, Links, Identity and Auth. Each method takes a context first
// and call options last. It returns a result and an error, or an iterator over both. What is not
// found is an error, never a nil result without one.
//
// # Credentials
//
// [WithSupermetrics] takes a [BearerToken] (an API key or OAuth token) or a [BearerTokenFunc].
// [WithMoneyKit] takes [ClientCredentials], which trades a client id and secret for a token and
// renews it in the background, or [ClientHeaders], which sends both with each request.
// [AuthService.Get] needs a client id and secret. Either API may be left out.
//
// # Errors
//
// Every error of [New] and of a call is an [*Error]. Ask for its kind with errors.Is
// ([ErrNotFound], [ErrRateLimited], [ErrBankLinkState] and their siblings), for its details with
// errors.AsType, and for what to do next with [Error.Action]. Network and context errors are its
// cause. An argument that cannot be right is [ErrArgument], and nothing is sent.
//
// # Retries and waits
//
// What may be repeated depends on the operation:
//
//   - A read, [AuthService.Get] and the token exchange: after any failure that may pass, which is
//     408, 421, 425, 429, 5xx but 501, and a connection or answer that breaks off.
//   - [LinksService.Update], [LinksService.Close] and [LoginsService.Revoke], which end in the same
//     state however often they are done: after 429, 503, and a connection or answer that breaks
//     off.
//   - [LinksService.Create] and [IdentityService.Refresh]: after 429, and if provably nothing was
//     sent. If [Error.Outcome] is [OutcomeUnknown], look before you send it again.
//
// Retry-After is honoured on every status, in the forms that servers write. It is believed for a
// day at most; then the server is asked again. A wait that would exceed [Retry.MaxWait] or the
// context's deadline is not started: the error comes back at once, with [Error.RetryAfter]. Every
// wait ends with its context. A code that no repetition changes, such as LICENSE_EXPIRED, is not
// retried.
//
// One attempt is one request on the wire. What net/http would send again by itself is stopped
// before a byte leaves, and repeated or not by these rules. [WithLogger], [WithHooks] and
// [Response] tell what happens. Redirects are never followed.
//
// A credential whose calls all fail has a hundred repetitions. Each success brings back a fifth of
// one, and each ten seconds a whole one. A repetition after 429 costs nothing.
//
// # Limits
//
// A 429, or a 5xx with Retry-After, closes its limit group for every caller of the credential until
// the time that the server gave. A group is what the vendor counts together: at Supermetrics a
// credential, and the queries to one data source; at MoneyKit an operation on one link, a refresh
// per link and product, and the operation, if the vendor refuses link after link. If the server
// names no time, the wait is random, and its bound doubles with each refusal in a row. Whoever
// cannot wait so long gets [ErrRateLimited] at once, with [OutcomeNotSent]. When the time has come,
// one request goes ahead as a probe. The others follow at a rate that adapts.
//
// # Tokens
//
// A token that the server refuses with a 401 is given up, and the call is repeated once with
// another: a new one of [ClientCredentials], or what a [BearerTokenFunc] returns then. The same
// token is not sent again. If the server refuses the new ones too, another is asked for after a
// second at the earliest, later after up to half a minute; until then a call ends with its 401. So
// does a failed exchange answer for a second, or for up to half a minute if it keeps failing.
//
// # Flows
//
// [LinksService.Await] waits until somebody has logged in through a login link.
// [LinksService.ConfirmRedirect] decides whether a browser comes back from one.
// [LinksService.CreateOnce] makes a link at most once. [IdentityService.RefreshAndGet] and
// [AuthService.RefreshAndNumbers] have a bank asked anew and read the answer once. They are made of
// the calls above and keep to the same rules. An error of one of their requests names that
// request's operation; one of the flow names its own.
//
// CreateOnce and the two refreshes are runs that callers share, with the call options and headers
// of the first. [WithTenantHeader] separates tenants. A caller whose context ends leaves the run.
// When all have left, it ends, and nothing more is sent. If a write was sent that may have been
// carried out, the run goes on for ten minutes at most, so that whoever calls again finds it. A
// client has a hundred such runs at most; [Hooks] are told of one that is ended unfinished.
//
// # What is never printed
//
// Credentials never print: those that a struct holds are a [Secret]. What answers carry of people
// and their accounts is a [Sensitive]: names, e-mail addresses, phone numbers, streets, postal
// codes, account numbers, IBANs, login URLs. Both print a mask under every verb of fmt and in slog,
// and come out through Reveal alone. The text of an error has no id, query, body or credential in
// it, even if the server quotes them.
package duolink
