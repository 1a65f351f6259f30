// Package send puts a request on the wire, once.
//
// net/http would send some requests again by itself: again and again if an HTTP/2 server resets the
// stream with PROTOCOL_ERROR, and once more if a kept connection has ended. A request may also wait
// for a connection for so long that it must not go out any more. So a [Sending] looks at each
// connection before a byte is written to it. It ends the request there if the request was written
// before, or if its [Rules] say so. Afterwards it knows whether a byte may have left.
//
// The package knows nothing of the contents of requests, of limits or of repetitions. fault.go
// names the faults that no repetition cures, such as a certificate that is not trusted. What
// net/http does by itself is tested through the root package and by internal/proof, over real
// sockets and with both versions of HTTP.
package send
