package duolink

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/go-faster/jx"
)

// RefreshOptions changes how a refresh is waited for.
type RefreshOptions struct {
	// MaxAge makes data fresh enough that is not older, by the server's clock: then nothing is refreshed, nor billed. Without it
	// there is a refresh each time.
	MaxAge time.Duration
	// Timeout is how long to wait for the bank; default 10 minutes. The context may end the wait before.
	Timeout time.Duration
	// Progress is called after each look at the link that does not end the wait.
	Progress func(RefreshProgress)
}

// RefreshProgress is how far a refresh has come.
type RefreshProgress struct {
	Product  Product
	Status   ProductStatus // as last seen
	Err      error         // what the latest look failed with, where that passes
	Requests int           // looks so far
	Elapsed  time.Duration
	Next     time.Duration // until the next look
}

const defaultRefreshTimeout = 10 * time.Minute

// RefreshAndGet refreshes the identity of a link, waits until that is done, and reads it: once, whatever the wait. It looks at
// the link meanwhile, never at the identity, compares the server's times with each other alone, and asks for the refresh
// once. Callers who want the same of the same link with the same credential at the same time share one refresh, and
// one read; each has its own copy.
//
// It ends at once where waiting is of no use: ErrDeleted, ErrForbidden, ErrRateLimited (a second refresh within a day), ErrLinkState
// with a LinkErrorCode that does not pass by itself, ErrUnavailable where the bank cannot be asked now, and ErrRefreshFailed with the
// ProductErrorCode; one that passes by itself has half a minute to do so. ErrRefreshPending is the end of Timeout or of the
// context: the data may still come, ask again with a MaxAge then.
func (s *IdentityService) RefreshAndGet(ctx context.Context, linkID string, query IdentityQuery, options RefreshOptions, opts ...CallOption) (*Identity, error) {
	op := identityGet.on(linkID)
	op.name, op.query, op.invalid, op.private = "identity.refresh_and_get", query, checkAccountIDs(query.AccountIDs), query.AccountIDs
	r := &refreshing{client: s.client, op: op, product: ProductIdentity, options: options, read: func(ctx context.Context, with CallOption) error {
		_, err := s.Get(ctx, linkID, query, with)
		return err
	}}
	return refreshAndRead(ctx, r, bare[Identity], opts)
}

// RefreshAndNumbers refreshes the account numbers of a link, waits until that is done, and reads them once. It is to
// [AuthService.Numbers] what [IdentityService.RefreshAndGet] is to Get, and ends in the same ways.
func (s *AuthService) RefreshAndNumbers(ctx context.Context, linkID string, options RefreshOptions, opts ...CallOption) (*AccountNumbers, error) {
	op := authNumbers.on(linkID)
	op.name = "auth.refresh_and_numbers"
	r := &refreshing{client: s.client, op: op, product: ProductAccountNumbers, options: options, read: func(ctx context.Context, with CallOption) error {
		_, err := s.Numbers(ctx, linkID, with)
		return err
	}}
	return refreshAndRead(ctx, r, bare[AccountNumbers], opts)
}

// refreshAndRead is the flow: check, share a run, and read for each caller what the run has brought.
func refreshAndRead[T any](ctx context.Context, r *refreshing, answer func(*jx.Decoder) (*T, error), opts []CallOption) (*T, error) {
	if r.options.MaxAge < 0 || r.options.Timeout < 0 {
		r.op.invalid = argumentError("a member of RefreshOptions is negative")
	}
	t, err := r.client.checked(ctx, r.op, opts)
	if err != nil {
		return nil, err
	}
	r.trip = t
	key, err := t.share(ctx, append(slices.Clone(r.op.args), t.url, r.options.MaxAge.String(), r.options.Timeout.String())...)
	if err != nil {
		return nil, err
	}
	flight, err := r.client.refreshes.join(ctx, key, r.run, r.options.Progress)
	if err != nil {
		return nil, t.landed(Response{}, r.pending(err))
	}
	if err := t.landed(flight.response, flight.err); err != nil {
		return nil, err
	}
	return read(flight.result, answer)
}

// refreshing is one run: it looks at the link, refreshes a product, waits, and reads what came.
type refreshing struct {
	client  *Client
	op      operation // the reading, under the flow's name
	product Product
	options RefreshOptions
	read    func(context.Context, CallOption) error
	trip    *trip // that of the caller who began the run: never sent, it knows the options

	with     CallOption // on each call of the run
	began    time.Time
	before   ProductStatus // of the product, before the refresh
	now      ProductStatus // as last seen
	requests int
	unclear  error     // the refresh may not have reached the server
	failing  time.Time // since when there is trouble that may pass
}

// run returns the body of the answer, for each caller to read.
func (r *refreshing) run(ctx context.Context, response *Response, tell func(RefreshProgress)) ([]byte, error) {
	r.began, r.with = time.Now(), r.trip.inherit(response)
	waiting, cancel := context.WithTimeout(ctx, cmp.Or(r.options.Timeout, defaultRefreshTimeout))
	defer cancel()
	fresh, err := r.baseline(waiting, response)
	if err == nil && !fresh {
		err = r.refresh(waiting, tell)
	}
	if err != nil {
		return nil, err
	}
	err = r.read(ctx, r.with)
	return response.Body(), err
}

// baseline looks at the link before the refresh. Data that is fresh enough needs none, whatever the state of the link.
func (r *refreshing) baseline(ctx context.Context, response *Response) (fresh bool, err error) {
	link, err := r.look(ctx)
	if err != nil {
		return false, err
	}
	r.before = link.Products[r.product]
	if r.options.MaxAge > 0 && !r.before.RefreshedAt.IsZero() && link.State != LinkDeleted {
		// Both times are the server's. Where it does not say its own, the age is not known.
		if date, err := http.ParseTime(response.Header().Get("Date")); err == nil {
			if date.Sub(r.before.RefreshedAt.Time) <= r.options.MaxAge {
				return true, nil
			}
		}
	}
	return false, r.hopeless(link)
}

func (r *refreshing) look(ctx context.Context) (*BankLink, error) {
	r.requests++
	return r.client.Identity.Link(ctx, r.op.args[0], r.with)
}

// refresh asks for the refresh, once, and waits until it is done.
func (r *refreshing) refresh(ctx context.Context, tell func(RefreshProgress)) error {
	_, err := r.client.Identity.Refresh(ctx, r.op.args[0], []Product{r.product}, r.with)
	if err != nil {
		if e, ok := err.(*Error); !ok || e.Outcome != Unknown { //nolint:errorlint // a call returns its own type
			return err
		}
		r.unclear, r.failing = err, time.Now() // it may be under way all the same: the link will show it
	}
	see := func() (look, error) {
		link, err := r.look(ctx)
		if err != nil {
			return look{}, err
		}
		return r.judge(link), nil
	}
	report := func(err error, next time.Duration) {
		tell(RefreshProgress{r.product, r.now, err, r.requests, time.Since(r.began), next})
	}
	return watch(ctx, see, report, r.pending)
}

// judge says whether the refresh is done, or has failed.
func (r *refreshing) judge(link *BankLink) look {
	r.now = link.Products[r.product]
	if r.now.RefreshedAt.After(r.before.RefreshedAt.Time) && link.State != LinkDeleted {
		return look{over: true}
	}
	if err := r.hopeless(link); err != nil {
		return look{over: true, end: err}
	}
	attempted := r.now.LastAttemptedAt.After(r.before.LastAttemptedAt.Time)
	switch {
	case attempted && r.now.ErrorCode != "":
		e := r.error(ErrRefreshFailed, "the refresh has failed: "+string(r.now.ErrorCode))
		e.ProductErrorCode, e.Description = r.now.ErrorCode, r.now.ErrorMessage
		e.scrub(r.trip.confidential())
		if !r.now.ErrorCode.passes() {
			return look{over: true, end: e}
		}
		return r.patient(e)
	case r.unclear != nil && !attempted:
		return r.patient(r.unclear)
	}
	r.failing = time.Time{}
	return look{}
}

// patient gives a trouble that may pass a while to do so.
func (r *refreshing) patient(trouble error) look {
	if r.failing.IsZero() {
		r.failing = time.Now()
	}
	left := grace - time.Since(r.failing)
	if left <= 0 {
		return look{over: true, end: trouble}
	}
	return look{most: left}
}

// hopeless is what a link says of itself that no waiting changes.
func (r *refreshing) hopeless(link *BankLink) error {
	status := link.Products[r.product]
	switch {
	case link.State == LinkDeleted:
		return r.error(ErrDeleted, "the link is deleted")
	case link.State == LinkInError && link.ErrorCode != "" && !link.ErrorCode.passes():
		e := r.error(ErrLinkState, "the link is in error: "+string(link.ErrorCode))
		e.LinkErrorCode = link.ErrorCode
		e.scrub(r.trip.confidential())
		return e
	case status.Unavailable != "":
		e := r.error(ErrUnavailable, "the bank cannot be asked for "+string(r.product)+" now")
		e.Description = status.Unavailable
		e.scrub(r.trip.confidential())
		return e
	}
	return nil
}

// pending is a wait that ended before the refresh did.
func (r *refreshing) pending(ended error) *Error {
	e := r.error(ErrRefreshPending, "the refresh was not seen to end")
	e.cause, e.Outcome = &ended, Unknown
	return e
}

func (r *refreshing) error(kind error, message string) *Error {
	return &Error{API: r.op.api, Operation: r.op.name, kind: kind, Message: message}
}

// passes reports that a link error goes by itself.
func (c LinkErrorCode) passes() bool {
	return c == LinkSystemError || c == LinkProviderError || c == LinkInstitutionError
}

// passes reports that the cause of a failed refresh goes by itself.
func (c ProductErrorCode) passes() bool {
	return c == ProductRateLimit || c == ProductTimeout || c == ProductInstitutionError || c == ProductUnknownError
}
