// Package duolink is a client for two account-connection APIs: Supermetrics, for data source logins
// and login links, and MoneyKit, for who owns a bank account and what its numbers are.
//
// A [Client] has four services: Logins, Links, Identity and Auth. Each method takes a context first
// and call options last. It returns a result and an error, or an iterator over both. If nothing is
// found, that is an error: a nil result never comes without an error.
//
// # Credentials
//
// [WithSupermetrics] takes a [BearerToken] (an API key or OAuth token) or a [BearerTokenFunc].
// [WithMoneyKit] takes [ClientCredentials], which trades a client id and secret for a token and
// renews the token in the background, or [ClientHeaders], which sends the id and secret with each
// request. [AuthService.Get] needs a client id and secret. Either API may be left out.
//
// # Errors
//
// Every error of [New] and of a call is an [*Error]. errors.Is finds its kind ([ErrNotFound],
// [ErrRateLimited], [ErrBankLinkState] and others), errors.AsType its details, and [Error.Action]
// what to do next. A network or context error is its cause. An argument that cannot be right is
// [ErrArgument], and nothing is sent.
//
// # Retries and waits
//
// What may be repeated depends on the operation:
//
//   - A read, [AuthService.Get] and the token exchange: after any failure that may pass. These are
//     408, 421, 425, 429, 5xx but 501, and a connection or answer that breaks off.
//   - [LinksService.Update], [LinksService.Close] and [LoginsService.Revoke], which end in the same
//     state however often they are done: after 429, 503, and a connection or answer that breaks
//     off.
//   - [LinksService.Create] and [IdentityService.Refresh]: after 429, and if provably nothing was
//     sent. If [Error.Outcome] is [OutcomeUnknown], look whether it was done before you call again.
//
// The client keeps to Retry-After on every status, in the forms that servers write. It believes a
// Retry-After for a day at most, and then asks the server again. It does not start a wait that
// would exceed [Retry.MaxWait] or the context's deadline: the error comes back at once, with
// [Error.RetryAfter]. Every wait ends with its context. A code that no repetition changes, such as
// LICENSE_EXPIRED, is not retried.
//
// One attempt is one request on the wire. If net/http is about to send a request again by itself,
// the client stops it before a byte leaves, and these rules decide. [WithLogger], [WithHooks] and
// [Response] tell what happens. Redirects are never followed.
//
// Each credential has a budget of a hundred repetitions. Each success gives a fifth of a repetition
// back, and every ten seconds give back a whole one. A repetition after 429 costs nothing.
//
// # Limits
//
// A 429, or a 5xx with Retry-After, closes its limit group for every caller of the credential until
// the time that the server gave. A group is what the vendor counts together. At Supermetrics that
// is a credential, and the queries to one data source. At MoneyKit it is an operation on one link,
// a refresh per link and product, and a whole operation if the vendor refuses link after link.
//
// If the server names no time, the wait is random, and its bound doubles with each refusal in a
// row. A caller who cannot wait so long gets [ErrRateLimited] at once, with [OutcomeNotSent]. When
// the time has come, one request goes ahead as a probe. The others follow at a rate that adapts.
//
// # Tokens
//
// If the server refuses a token with a 401, the client gives it up and repeats the call once with
// another token: a new one of [ClientCredentials], or what a [BearerTokenFunc] returns then. The
// same token is not sent again. If the server refuses the new tokens too, the client asks for
// another after a second at the earliest, and later after up to half a minute. Until then a call
// ends with its 401. A failed exchange is tried again after the same times. Until then calls get
// its error.
//
// # Flows
//
// [LinksService.Await] waits until somebody has logged in through a login link.
// [LinksService.ConfirmRedirect] decides whether a browser comes back from one.
// [LinksService.CreateOnce] makes a link at most once. [IdentityService.RefreshAndGet] and
// [AuthService.RefreshAndNumbers] refresh the data of a bank link and read it once. They are made
// of the calls above and keep to the same rules. The error of a request names the request's
// operation. The error of a flow itself names the flow.
//
// Callers of CreateOnce and of the two refreshes share a run, with the call options and headers of
// the first caller. [WithTenantHeader] separates tenants. A caller whose context ends leaves the
// run. When all have left, the run ends and sends nothing more. If it has sent a write that may
// have been carried out, it goes on for ten minutes at most, so that whoever calls again finds it.
// A client has a hundred such runs at most. [Hooks] are told if a run is ended unfinished.
//
// # What is never printed
//
// Credentials never print: in a struct, a credential is a [Secret]. Data about people and their
// accounts is a [Sensitive]: names, e-mail addresses, phone numbers, streets, postal codes, account
// numbers, IBANs, login URLs. Both print a mask under every verb of fmt, in slog and in templates,
// and only Reveal returns the text. Encoders and databases refuse them. To store an answer, use
// Reveal or [RevealJSON]. To show it, use slog or [Masked]. The text of an error has no id, query,
// body or credential in it, even if the server quotes them.
//
// # An end, and tests
//
// [Client.Close] ends a client: nothing more is sent, and what still runs for nobody ends. The
// package duolinktest is a fake of both APIs for the tests of your program.
package duolink
