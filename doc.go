// Package duolink is a client for two account-connection APIs: Supermetrics, for data source logins
// and login links, and MoneyKit, for who owns a bank account and what its numbers are.
//
// A [Client] has four services: Logins, Links, Identity and Auth. Every method takes a context
// first and call options last, and returns a result and an error, or an iterator over both. What is
// not found is an error, never a nil result without one.
//
// Names say whose thing it is: a [LoginLink] is a URL of Supermetrics that asks somebody to log in,
// a [BankLink] a connection to somebody's bank at MoneyKit.
//
// # Credentials
//
// [WithSupermetrics] takes a [BearerToken] (an API key or OAuth token) or a [BearerTokenFunc].
// [WithMoneyKit] takes [ClientCredentials], which trades a client id and secret for a token and
// renews it before it expires, in the background, or [ClientHeaders], which sends both with each
// request. [AuthService.Get] needs a client id and secret. Either API may be left out.
//
// # Errors
//
// Every error of [New] and of a call is an [*Error]. Ask for its kind with errors.Is
// ([ErrNotFound], [ErrRateLimited], [ErrBankLinkState] and their siblings), for its details with
// errors.AsType, and for what to do next with [Error.Action]. Network and context errors are kept
// as its cause. Arguments that cannot be right are [ErrArgument], and nothing is sent.
//
// A fake of yours makes an error with the [Error.Kind], the status or the code that the test is
// about: errors.Is and Action understand each of them.
//
// # Retries and waits
//
// What may be repeated depends on the operation:
//
//   - reads, [AuthService.Get] and the token exchange, after any transient failure: 408, 421, 425,
//     429, 5xx but 501, and a connection or answer that breaks off;
//   - [LinksService.Update], [LinksService.Close] and [LoginsService.Revoke], which end in the same
//     state however often they are done, after 429, 503, and a connection or answer that breaks
//     off;
//   - [LinksService.Create] and [IdentityService.Refresh], after 429 and where provably nothing was
//     sent. Where [Error.Outcome] is [OutcomeUnknown], look before you send it again.
//
// Retry-After, in seconds, as a date or in another form that servers write, is honoured on every
// status: the call is not repeated earlier. It is believed for a day at most; then the server is
// asked again. A wait that would exceed [Retry.MaxWait] or the context's deadline is not started:
// the error comes back at once, with [Error.RetryAfter] set, and matches [context.DeadlineExceeded]
// where the deadline was the reason. Every wait ends with its context. Codes that no repetition
// changes, such as LICENSE_EXPIRED, are not retried, whatever their status.
//
// A token that the server refuses with a 401, whatever its code, is given up, and the call repeated
// once with another: a new one of [ClientCredentials], or what a [BearerTokenFunc] returns then.
// The same token is not sent again, and a code of a link (link_error...) is no matter of the token.
// Where the server refuses the new ones too, another is asked for after a second at the earliest,
// later after up to half a minute; until then a call ends with its 401. A token exchange that has
// failed is not tried again for a second, or, where it keeps failing, for up to half a minute:
// whoever has no good token gets its error meanwhile.
//
// A 429, or a 5xx with Retry-After, closes its limit group for every caller of the credential until
// the time that the server gave. A group is what the vendor counts together: at Supermetrics a
// credential, and the queries to one data source; at MoneyKit an operation on one link, a refresh
// per link and product, and, when it refuses link after link, the operation. Without a time the
// wait is random, and its bound doubles with each refusal in a row. Those who cannot wait so long
// get [ErrRateLimited] at once, with [OutcomeNotSent]. When the time has come, one request goes
// ahead as a probe, and the others follow at a rate that adapts.
//
// A credential whose calls all fail has a hundred repetitions. Each success brings back a fifth of
// one, and each ten seconds a whole one. A repetition after 429 costs
// nothing, nor does the first one of a request that net/http would have sent again by itself.
//
// One attempt is one request on the wire: what net/http would send again by itself is stopped
// before a byte leaves, and repeated or not by these rules. A request that waits for a connection
// looks again when it has one, whether its group was closed meanwhile.
//
// [WithLogger], [WithHooks] and [Response] tell what happens meanwhile.
//
// Redirects are never followed.
//
// # Flows
//
// [LinksService.Await] waits until somebody has logged in through a login link,
// [LinksService.ConfirmRedirect] decides whether a browser comes back from one, and
// [LinksService.CreateOnce] makes a link at most once. [IdentityService.RefreshAndGet] and
// [AuthService.RefreshAndNumbers] have a bank asked anew and read the answer once. They are made of
// the calls above, and every request of theirs keeps to the same rules; an error of one of their
// requests names that request's operation, one of the flow its own.
//
// CreateOnce and the two refreshes are runs that callers share, with the call options and headers
// of the first; a header that selects a tenant is [WithTenantHeader], and separates them. A run
// does not know its callers' deadlines: a caller whose context ends leaves it, at that time. When
// all have left, it ends, and nothing is sent that had not been sent. If a write was sent, and may
// have been carried out, it goes on, for ten minutes at most, so that whoever calls again finds it.
// Of such runs a client has a hundred at most; [Hooks] are told of one that is ended unfinished.
//
// # What is never printed
//
// Credentials never print: those that a struct holds are a [Secret]. What answers carry of people
// and their accounts is a [Sensitive]: names, e-mail addresses, phone numbers, streets, postal
// codes, account numbers, IBANs, login URLs. Both print a mask under every verb of fmt and in slog,
// also inside other values, and come out through Reveal alone. The text of an error names the
// operation, the status, the code, the server's message and the request id; never an id that was
// passed in, a query, a body or a credential, even where the server quotes them.
package duolink
