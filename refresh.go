package duolink

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/pace"
	"github.com/duolink/duolink/internal/wire"
)

// RefreshOptions says how old data may be, how a refresh is waited for, and whose data is read.
type RefreshOptions struct {
	// MaxAge: data that is no older, by the server's clock, is returned as it is, and nothing is
	// refreshed or billed. With 0 there is a refresh each time. One that is under way for another
	// caller is waited for.
	MaxAge time.Duration
	// Timeout is how long to wait; default 10 minutes. The context may end the wait before. No
	// refresh is watched for longer than an hour.
	Timeout time.Duration
	// Progress is called after each look at the link that does not end the wait. A caller who joins
	// late, or whose function is slow, misses some.
	Progress func(RefreshProgress)
	// AccountIDs are the accounts that are wanted; none means all. What is refreshed is the link's,
	// whichever are wanted. MoneyKit sends the numbers of all accounts: RefreshAndNumbers leaves
	// the others out.
	AccountIDs []string
}

func (o RefreshOptions) check() error {
	if o.MaxAge < 0 || o.Timeout < 0 {
		return argumentError("a member of RefreshOptions is negative")
	}
	return checkAccountIDs(o.AccountIDs)
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

// RefreshAndGet refreshes the identity of a bank link, waits until that is done, and reads it once.
//
// It asks for the refresh once, looks at the link meanwhile, and compares the server's times with
// each other alone. With a MaxAge, data that is no older is returned at once, and nothing is
// billed.
//
// Waiting ends at once if it is of no use: ErrDeleted, ErrForbidden, ErrRateLimited (a second
// refresh within a day), ErrBankLinkState with a BankLinkErrorCode that does not pass by itself,
// ErrProductUnavailable if the bank cannot be asked now, and ErrRefreshFailed with its
// ProductErrorCode. A code that passes by itself has half a minute to do so.
//
// ErrRefreshPending is the end of Timeout or of the context, or a server that asks for a longer
// pause than WithMaxWait allows. If no refresh has begun, and none will, its Outcome is
// OutcomeNotSent or OutcomeRejected. Otherwise this client watches the refresh for ten minutes
// more: ask again, with a MaxAge, and it is not paid for twice. Another process knows nothing of
// it.
//
// Callers who ask for the same link at the same time, with the same credential and as the same
// tenant, share one refresh. Whoever joins it waits for it, also if older data would do; if it
// fails, they get that data. Those who want the same accounts share one reading, and each has a
// copy. MaxAge, Timeout and Progress are each caller's own. Of the call options and headers, those
// of the first hold.
func (s *IdentityService) RefreshAndGet(
	ctx context.Context, bankLinkID string, options RefreshOptions, opts ...CallOption,
) (*Identity, error) {
	op, query := identityGet.on(bankLinkID), IdentityQuery{AccountIDs: options.AccountIDs}
	op.name, op.query = "identity.refresh_and_get", query
	r := &fetching{client: s.client, op: op, product: ProductIdentity, options: options}
	r.read = func(ctx context.Context, with CallOption) error {
		_, err := s.Get(ctx, bankLinkID, query, with)
		return err
	}
	return refreshAndRead(ctx, r, bare[Identity], opts)
}

// RefreshAndNumbers refreshes the account numbers of a bank link, waits until that is done, and
// reads them once. It is to [AuthService.Numbers] what [IdentityService.RefreshAndGet] is to Get.
//
// With RefreshOptions.AccountIDs the answer has these accounts alone, and none of those that the
// link does not have.
func (s *AuthService) RefreshAndNumbers(
	ctx context.Context, bankLinkID string, options RefreshOptions, opts ...CallOption,
) (*BankNumbers, error) {
	op := authNumbers.on(bankLinkID)
	op.name = "auth.refresh_and_numbers"
	r := &fetching{client: s.client, op: op, product: ProductAccountNumbers, options: options}
	r.read = func(ctx context.Context, with CallOption) error {
		_, err := s.Numbers(ctx, bankLinkID, with)
		return err
	}
	numbers, err := refreshAndRead(ctx, r, bare[BankNumbers], opts)
	if err == nil && len(options.AccountIDs) > 0 {
		numbers.Accounts = having(numbers.Accounts, func(a BankAccountWithNumbers) bool {
			return slices.Contains(options.AccountIDs, a.ID)
		})
	}
	return numbers, err
}

// fetching is one call of a flow.
type fetching struct {
	client  *Client
	op      operation // the reading, under the flow's name
	product Product
	options RefreshOptions
	read    func(context.Context, CallOption) error
	asked   *prepared // never sent: it knows the options
}

// refreshResult is what a run of a refresh brings.
type refreshResult struct {
	freshness
	readings *flight.Group[sharedReading, struct{}]
	response Response // of the latest request
}

// freshness is what a run has done, or has seen before it failed.
type freshness struct {
	refreshed bool
	known     bool          // how old the data is that was not refreshed
	age       time.Duration // that
}

// sharedReading is what callers share who want the same read.
type sharedReading struct {
	body     []byte
	response Response
}

// serves reports whether that is enough for a caller.
func (f freshness) serves(maxAge time.Duration) bool {
	return f.refreshed || f.known && maxAge > 0 && f.age <= maxAge
}

// refreshAndRead is the flow: check, share a run, and decode for each caller what the run has
// brought.
func refreshAndRead[T any](
	ctx context.Context, r *fetching, answer func(*wire.Scanner) (*T, error), opts []CallOption,
) (*T, error) {
	r.op.invalid, r.op.private = r.options.check(), r.options.AccountIDs
	p, err := r.client.prepare(ctx, r.op, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.options.Timeout, defaultRefreshTimeout))
	defer cancel()
	tenant, p, err := p.tenant(ctx)
	if err != nil {
		return nil, err
	}
	r.asked = p
	for {
		body, again, err := r.fetch(ctx, flight.KeyOf(tenant, r.op.args[0], string(r.product)))
		switch {
		case again:
		case err != nil:
			return nil, err
		default:
			return wire.Whole(wire.Document(body, p.limit), answer)
		}
	}
}

// fetch joins the run that refreshes the link's product, and then the reading of those who have
// joined it. It is to be called again if the run was content with data that is too old for this
// caller. Each run serves the caller who began it at least, so of a number of callers nobody waits
// for more runs than there are callers.
func (r *fetching) fetch(ctx context.Context, key flight.Key) (body []byte, again bool, err error) {
	f, err := r.client.refreshes.Hold(ctx, key, r.run, r.options.Progress)
	if err != nil {
		return nil, false, r.leftEarly(f, err)
	}
	defer f.Leave()
	switch {
	case f.Result.serves(r.options.MaxAge):
	case f.Err != nil:
		return nil, false, r.asked.handOver(&f.Result.response, f.Err)
	default:
		return nil, true, nil
	}
	// Nobody leaves a reading that has ended, so that those who are slow find it: it goes with the
	// run.
	g, err := f.Result.readings.Hold(ctx, flight.KeyOf(r.asked.url), r.readOnce, nil)
	if err != nil {
		return nil, false, r.leftEarly(f, err)
	}
	return g.Result.body, false, r.asked.handOver(&g.Result.response, g.Err)
}

// leftEarly is the error of a caller who has given up.
func (r *fetching) leftEarly(f *refreshRun, ended error) error {
	e := r.asked.refreshPending(ended, "")
	e.Outcome = writeOutcome(f.Outcome())
	return r.asked.handOver(&Response{}, e)
}

// readOnce reads the body of the answer, which each caller decodes.
func (r *fetching) readOnce(ctx context.Context, f *flight.Run[sharedReading, struct{}]) error {
	err := r.read(ctx, r.asked.inherit(&f.Result.response))
	f.Result.body = f.Result.response.Body()
	return err
}

type refreshRun = flight.Run[refreshResult, RefreshProgress]

// refreshing is one run of a refresh: it looks at the link, asks for the refresh, and looks until
// it is done.
type refreshing struct {
	*fetching
	shared *refreshRun
	with   CallOption // on each request

	began    time.Time
	before   ProductStatus // of the product, before the refresh
	now      ProductStatus // as last seen
	next     time.Time     // no look before, as the server asks
	requests int
	unclear  error     // the refresh may not have reached the server
	failing  time.Time // since when there is trouble that may pass
}

// longestRefresh is how long a refresh is watched at most, also for callers who keep coming.
const longestRefresh = time.Hour

// run is what callers share who want the same product of the same link. Its first look decides
// whether there is a refresh: nobody else asks for one meanwhile, so the look is not behind the
// times.
func (r *fetching) run(ctx context.Context, f *refreshRun) error {
	f.OnAbandoned = r.asked.abandoned
	ctx, cancel := context.WithTimeout(ctx, longestRefresh)
	defer cancel()
	run := &refreshing{
		fetching: r, shared: f, with: r.asked.inherit(&f.Result.response), began: time.Now(),
	}
	link, err := run.poll(ctx)
	if err != nil {
		return err
	}
	run.before = link.Products[r.product]
	run.now = run.before
	var did freshness
	if did.age, did.known = run.age(link); !did.serves(r.options.MaxAge) {
		if err = run.hopeless(link); err == nil {
			err = run.refresh(ctx)
		}
		did.refreshed = err == nil
		did.age += time.Since(run.began)
	}
	f.Result.freshness = did
	f.Result.readings = flight.NewGroup[sharedReading, struct{}](&flight.Unattended{})
	return err
}

// age compares two of the server's times. Where the answer has no Date, the age is not known, and
// where the link is deleted, there is nothing to read.
func (r *refreshing) age(link *BankLink) (age time.Duration, known bool) {
	date, err := http.ParseTime(r.shared.Result.response.Header().Get("Date"))
	if err != nil || r.now.RefreshedAt.IsZero() || link.State == BankLinkDeleted {
		return 0, false
	}
	return date.Sub(r.now.RefreshedAt.Time), true
}

func (r *refreshing) poll(ctx context.Context, opts ...CallOption) (*BankLink, error) {
	r.requests++
	link, err := r.client.Identity.Link(ctx, r.op.args[0], append([]CallOption{r.with}, opts...)...)
	r.heed()
	return link, err
}

// heed keeps in mind how long the latest answer asks to wait before the next look.
func (r *refreshing) heed() {
	if next := time.Now().Add(promisedPause(&r.shared.Result.response)); next.After(r.next) {
		r.next = next
	}
}

// refresh asks for the refresh, once, and waits until it is done.
func (r *refreshing) refresh(ctx context.Context) error {
	_, err := r.client.Identity.Refresh(ctx, r.op.args[0], []Product{r.product}, r.with, sharedWrite(r.shared.Write()))
	r.heed()
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Outcome != OutcomeUnknown || e.Operation != identityRefresh.name {
			return err
		}
		r.unclear, r.failing = err, time.Now() // it may be under way all the same: the link will show it
	}
	w := pace.Poll{Pause: time.Until(r.next)}
	w.Look = func() (pace.Look, error) {
		link, err := r.poll(ctx, WithoutRetry())
		if err != nil {
			return pace.Look{}, err
		}
		seen := r.classify(link)
		seen.Promised = time.Until(r.next)
		return seen, nil
	}
	w.Tell = func(err error, next time.Duration) {
		r.shared.Tell(RefreshProgress{r.product, r.now, err, r.requests, time.Since(r.began), next})
	}
	return r.asked.poll(ctx, w, r.asked.refreshPending)
}

// classify says whether the refresh is done, or has failed.
func (r *refreshing) classify(link *BankLink) pace.Look {
	r.now = link.Products[r.product]
	if r.now.RefreshedAt.After(r.before.RefreshedAt.Time) && link.State != BankLinkDeleted {
		return pace.Look{Over: true}
	}
	if err := r.hopeless(link); err != nil {
		return pace.Look{Over: true, End: err}
	}
	attempted := r.now.LastAttemptedAt.After(r.before.LastAttemptedAt.Time)
	switch {
	case attempted && r.now.ErrorCode != "":
		e := r.asked.newError(ErrRefreshFailed, "the refresh has failed: "+string(r.now.ErrorCode))
		e.ProductErrorCode, e.Description = r.now.ErrorCode, r.now.ErrorMessage
		e.scrub(r.asked.confidential(nil))
		if !r.now.ErrorCode.passes() {
			return pace.Look{Over: true, End: e}
		}
		return r.patient(e)
	case r.unclear != nil && !attempted:
		return r.patient(r.unclear)
	}
	r.failing = time.Time{}
	return pace.Look{}
}

// patient gives a trouble that may pass a while to do so.
func (r *refreshing) patient(trouble error) pace.Look {
	if r.failing.IsZero() {
		r.failing = time.Now()
	}
	left := defaultGrace - time.Since(r.failing)
	if left <= 0 {
		return pace.Look{Over: true, End: trouble}
	}
	return pace.Look{Most: left}
}

// hopeless is what a link says of itself that no waiting changes.
func (r *refreshing) hopeless(link *BankLink) error {
	status := link.Products[r.product]
	switch {
	case link.State == BankLinkDeleted:
		return r.asked.newError(ErrDeleted, "the bank link is deleted")
	case link.State == BankLinkInError && link.ErrorCode != "" && !link.ErrorCode.passes():
		e := r.asked.newError(ErrBankLinkState, "the bank link is in error: "+string(link.ErrorCode))
		e.BankLinkErrorCode = link.ErrorCode
		e.scrub(r.asked.confidential(nil))
		return e
	case status.Unavailable != "":
		e := r.asked.newError(ErrProductUnavailable, "the bank cannot be asked for "+string(r.product)+" now")
		e.Description = status.Unavailable
		e.scrub(r.asked.confidential(nil))
		return e
	}
	return nil
}

// refreshPending is a wait that ended before the refresh did.
func (p *prepared) refreshPending(ended error, more string) *Error {
	e := p.newError(ErrRefreshPending, "the refresh was not seen to end"+more)
	e.Outcome = OutcomeUnknown
	e.because(ended)
	return e
}

// passes reports that a link error goes by itself.
func (c BankLinkErrorCode) passes() bool {
	return c == BankLinkErrorSystem || c == BankLinkErrorProvider || c == BankLinkErrorInstitution
}

// passes reports that the cause of a failed refresh goes by itself.
func (c ProductErrorCode) passes() bool {
	return c == ProductErrorRateLimit || c == ProductErrorTimeout || c == ProductErrorInstitution ||
		c == ProductErrorUnknown
}
