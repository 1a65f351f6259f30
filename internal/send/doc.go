// Package send puts a request on the wire, once.
//
// net/http by itself would send a request again: without an end if an HTTP/2 server resets the
// stream with PROTOCOL_ERROR, and once more if a kept connection has ended. A request may also wait
// for a connection for so long that it must not go out any more. So a [Sending] looks at each
// connection before a byte is written to it, and ends the request there if it was written before,
// or if its [Rules] say so. It knows afterwards whether a byte may have left.
//
// The package knows nothing of what is sent, of limits and of repetitions. A fault that no
// repetition cures, such as a certificate that is not trusted, it names (in fault.go).
// What net/http does by itself is tested through the root package and by internal/proof, over real
// sockets and with both versions of HTTP.
package send
