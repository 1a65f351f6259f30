package duolink

import (
	"context"
	"net/http"
	"slices"
)

// The headers of an attempt.

// headers are the headers of one attempt, by their canonical names. Each attempt has its own map,
// because a connection may still be writing the map of the attempt before. The values stand in one
// array, because http.Header.Set makes an array for each.
type headers struct {
	http.Header
	n      int
	values [usualHeaders]string
}

// usualHeaders is how many headers a request has at most, without those of the caller.
const usualHeaders = 7

// set sets a header. The name must be canonical.
func (h *headers) set(name, value string) {
	h.values[h.n] = value
	h.n++
	h.Header[name] = h.values[h.n-1 : h.n : h.n]
}

// sign makes the headers of an attempt. They are not in the request that http.Client gets, because it
// would copy them, for redirects.
func (a *attempts) sign(ctx context.Context, at *attempt) error {
	h := &headers{Header: make(http.Header, usualHeaders)}
	for name, values := range a.extra {
		h.Header[name] = slices.Clone(values)
	}
	h.set("Accept", "application/json")
	h.set("User-Agent", a.client.config.userAgent)
	if a.contentType != "" {
		h.set("Content-Type", a.contentType)
	}
	switch a.op.api {
	case MoneyKit:
		h.set("Moneykit-Version", a.client.config.moneyKitVersion)
	case PlaidCompatible:
		h.set("Plaid-Version", plaidVersion)
	}
	err := a.auth.authorize(ctx, a.op.api, h)
	at.header = h.Header
	if err == nil && a.refusedHeader != nil && h.Get("Authorization") == a.refusedHeader.Get("Authorization") {
		a.lastError.renewable = false
		return a.lastError // the server would say the same again
	}
	return err
}
