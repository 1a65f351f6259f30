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

// RefreshOptions says how old data may be, how long to wait, and which accounts are read.
type RefreshOptions struct {
	// MaxAge is how old the data may be, by the server's clock, to be returned without a refresh,
	// which may be billed. With 0 there is always a refresh. If one is under way for another
	// caller, this caller waits for it.
	MaxAge time.Duration
	// Timeout is how long to wait, by default 10 minutes. The context may end the wait earlier. No
	// refresh is watched for longer than an hour.
	Timeout time.Duration
	// Progress is called after each look at the link that does not end the wait. If a caller joins
	// late, or its function is slow, it misses some.
	Progress func(RefreshProgress)
	// AccountIDs are the accounts to read; none means all. The refresh is always for the whole
	// link. MoneyKit sends all numbers; RefreshAndNumbers drops the others.
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
	Err      error         // of the latest look, if it failed and may pass
	Requests int           // looks so far
	Elapsed  time.Duration
	Next     time.Duration // until the next look
}

const defaultRefreshTimeout = 10 * time.Minute

// RefreshAndGet refreshes the identity of a bank link, waits for the refresh, and reads it once.
//
// It asks for the refresh once, and looks at the link until it is done. It compares only times of
// the server with each other. If the data is younger than MaxAge, it is returned without a refresh.
//
// The wait ends at once with an error that no waiting changes: ErrDeleted, ErrForbidden,
// ErrRateLimited (a second refresh within a day), ErrBankLinkState with its BankLinkErrorCode,
// ErrProductUnavailable if the bank cannot be asked now, and ErrRefreshFailed with its
// ProductErrorCode. A code that may pass by itself has half a minute to do so.
//
// The error is ErrRefreshPending if Timeout or the context ends, or if the server asks for a longer
// pause than WithMaxWait allows. If no refresh has begun, and none will, its Outcome is
// OutcomeNotSent or OutcomeRejected. Otherwise this client watches the refresh for ten minutes
// more: call again, with a MaxAge, and no second refresh is billed. Another process knows of the
// refresh if they share a [Locker].
//
// Callers for the same link at the same time, with the same credential and tenant, share one
// refresh. A caller who joins waits for it, even if older data would do for this caller, and gets
// the older data if the refresh fails. Callers who want the same accounts share one reading. Each
// caller has its own MaxAge, Timeout, Progress and copy of the answer. The first caller's call
// options and headers are used.
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
	return refreshAndRead(ctx, r, withAccounts[Identity], opts)
}

// RefreshAndNumbers refreshes the account numbers of a bank link, waits for the refresh, and reads
// them once. Its rules are those of [IdentityService.RefreshAndGet].
//
// With RefreshOptions.AccountIDs the answer has only these accounts. An unknown id is ignored.
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
	numbers, err := refreshAndRead(ctx, r, withAccounts[BankNumbers], opts)
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
	asked   *prepared  // never sent; it has the options
	key     flight.Key // of the run, and of the fleet's lock
}

// refreshResult is the result of a run of a refresh.
type refreshResult struct {
	freshness
	readings *flight.Group[sharedReading, struct{}]
	response Response // of the latest request
}

// freshness is what a run knows of the data: whether it was refreshed, or else how old it is.
type freshness struct {
	refreshed bool
	known     bool          // whether age is known
	age       time.Duration // of data that was not refreshed
}

// sharedReading is the result of a reading that callers share.
type sharedReading struct {
	body     []byte
	response Response
}

// serves reports whether the data is fresh enough for a caller. Data from the future has a wrong
// time, so its age is not known. But the server's own clocks may differ a little.
func (f freshness) serves(maxAge time.Duration) bool {
	const clocksDiffer = 5 * time.Minute
	return f.refreshed || f.known && maxAge > 0 && f.age <= maxAge && f.age >= -clocksDiffer
}

// refreshAndRead is the flow: check the options, share a run, decode its result for each caller.
func refreshAndRead[T any](
	ctx context.Context, r *fetching, answer func(*wire.Scanner) (*T, error), opts []CallOption,
) (*T, error) {
	r.op.invalid, r.op.private = r.options.check(), r.options.AccountIDs
	p, err := r.client.prepare(ctx, r.op, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(r.options.Timeout, defaultRefreshTimeout), errRefreshTimeout)
	defer cancel()
	tenant, p, err := p.tenant(ctx)
	if err != nil {
		return nil, err
	}
	r.asked = p
	for {
		r.key = flight.KeyOf(tenant, r.op.args[0], string(r.product))
		body, again, err := r.fetch(ctx)
		switch {
		case again:
		case err != nil:
			return nil, err
		default:
			return wire.Whole(wire.Document(body, p.limit), answer)
		}
	}
}

// fetch joins the run that refreshes the link's product, and then a reading that callers of the run
// share. It returns again if the run was content with data that is too old for this caller. Each
// run serves at least the caller who began it, so nobody waits for more runs than there are
// callers.
func (r *fetching) fetch(ctx context.Context) (body []byte, again bool, err error) {
	waiting, cancel := context.WithCancelCause(ctx) // not for the reading: the run may have ended meanwhile
	defer cancel(nil)
	var latest RefreshProgress
	f, err := r.client.refreshes.Hold(waiting, r.key, r.run, func(p RefreshProgress) {
		if r.options.Progress != nil {
			r.options.Progress(p)
		}
		// A wait that the server asks for and that cannot end in time is not started.
		if latest = p; retryTime(p.Err) > 0 && outlasts(waiting, p.Next) {
			cancel(errNextLook)
		}
	})
	if err != nil {
		e := r.leftEarly(f, endOf(waiting, err))
		e.lateLook(latest)
		return nil, false, r.asked.handOver(&Response{}, e)
	}
	defer f.Leave()
	switch {
	case f.Result.serves(r.options.MaxAge):
	case f.Err != nil:
		return nil, false, r.asked.handOver(&f.Result.response, f.Err)
	default:
		return nil, true, nil
	}
	// Nobody leaves a reading that has ended, so that slow callers find it. It ends with the run.
	g, err := f.Result.readings.Hold(ctx, flight.KeyOf(r.asked.url.String()), r.readOnce, nil)
	if err != nil {
		return nil, false, r.asked.handOver(&Response{}, r.leftEarly(f, endOf(ctx, err)))
	}
	return g.Result.body, false, r.asked.handOver(&g.Result.response, g.Err)
}

// leftEarly is the error of a caller who has given up.
func (r *fetching) leftEarly(f *refreshRun, ended error) *Error {
	e := r.asked.refreshPending(ended, "")
	e.Outcome = writeOutcome(f.Outcome())
	return e
}

// retryTime is how long the server asks to wait after a failed look.
func retryTime(failed error) time.Duration {
	if e, ok := errors.AsType[*Error](failed); ok {
		return e.RetryAfter
	}
	return 0
}

// lateLook says why the next look was too late for the caller, if the server had asked for a pause.
func (e *Error) lateLook(latest RefreshProgress) {
	if last, ok := errors.AsType[*Error](latest.Err); ok && last.RetryAfter > 0 {
		e.RetryAfter = last.RetryAfter
		e.Message += "; the latest look failed: " + last.class()
		e.because(last)
	}
}

// readOnce reads the body of the answer, which each caller decodes.
func (r *fetching) readOnce(ctx context.Context, f *flight.Run[sharedReading, struct{}]) error {
	err := r.read(ctx, r.asked.inherit(&f.Result.response))
	f.Result.body = f.Result.response.Body()
	return err
}

type refreshRun = flight.Run[refreshResult, RefreshProgress]

// refreshing is one run: it looks at the link, asks for a refresh, and looks until that is done.
type refreshing struct {
	*fetching
	shared *refreshRun
	with   CallOption // on each request

	began    time.Time
	before   ProductStatus // of the product, before the refresh
	now      ProductStatus // as last seen
	next     time.Time     // no look before, because the server asks so
	requests int
	unclear  error     // the refresh may not have reached the server
	failing  time.Time // when a trouble began that may pass
}

// longestRefresh is how long a refresh is watched at most, also for callers who keep coming.
const longestRefresh = time.Hour

// run is shared by all callers who want the same product of the same link. Its first look decides
// whether it asks for a refresh. Nobody else of this client asks for one in the meantime.
func (r *fetching) run(ctx context.Context, f *refreshRun) error {
	f.OnAbandoned = r.asked.abandoned
	ctx, cancel := context.WithTimeoutCause(limited(ctx, errWatchedEnough), longestRefresh, errWatchedEnough)
	defer cancel()
	run := &refreshing{
		fetching: r, shared: f, with: r.asked.inherit(&f.Result.response), began: time.Now(),
	}
	link, err := run.poll(ctx)
	if err != nil {
		return err
	}
	run.before = run.statusIn(link)
	run.now = run.before
	var did freshness
	if did.age, did.known = run.age(link); !did.serves(r.options.MaxAge) {
		if err = run.hopeless(link); err == nil {
			err = run.refreshAlone(ctx)
		}
		did.refreshed = err == nil
		did.age += time.Since(run.began)
	}
	f.Result.freshness = did
	f.Result.readings = flight.NewGroup[sharedReading, struct{}](&flight.Unattended{Go: r.client.life.start})
	return err
}

// age compares two times of the server. The age is not known if the answer has no Date, or if the
// link is deleted, because then there is nothing to read.
func (r *refreshing) age(link *BankLink) (age time.Duration, known bool) {
	date, err := http.ParseTime(r.shared.Result.response.Header().Get("Date"))
	if err != nil || r.now.RefreshedAt.IsZero() || same(link.State, BankLinkDeleted) {
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

// heed records how long the latest answer asks to wait before the next look.
func (r *refreshing) heed() {
	if next := time.Now().Add(promisedPause(&r.shared.Result.response)); next.After(r.next) {
		r.next = next
	}
}

// refreshAlone refreshes while no other process of the fleet does. If another process refreshes, it waits
// for that refresh.
func (r *refreshing) refreshAlone(ctx context.Context) (err error) {
	lock, err := r.asked.lock(ctx, lockWait{
		key: r.key, expiry: refreshLockExpiry, tell: r.tell, lapsed: r.asked.refreshPending,
		look: func() (pace.Look, error) { return r.look(ctx) },
	})
	if lock == nil {
		return err
	}
	err = flight.ErrUnfinished // if a hook panics
	defer func() { unlock(lock, r.shared.Committed(), err) }()
	if r.client.config.locker != nil { // another process may have refreshed since the first look
		if link, err := r.poll(ctx); err != nil {
			return err
		} else if seen := r.classify(link); seen.Over || seen.End != nil {
			return seen.End
		}
	}
	return r.refresh(ctx, lock)
}

// refresh asks for the refresh, once, and waits until it is done.
func (r *refreshing) refresh(ctx context.Context, lock Lock) error {
	products, write := []Product{r.product}, lockedWrite(r.shared.Write(), lock)
	_, err := r.client.Identity.Refresh(ctx, r.op.args[0], products, r.with, write)
	r.heed()
	if err = r.asked.lostLock(lock, err); err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Outcome != OutcomeUnknown || e.Operation != identityRefresh.name {
			return err
		}
		r.unclear, r.failing = err, time.Now() // the refresh may be under way: the link will show it
	}
	w := pace.Poll{Pause: time.Until(r.next), Tell: r.tell}
	w.Look = func() (pace.Look, error) { return r.look(ctx) }
	return r.asked.poll(ctx, w, r.asked.refreshPending)
}

// look looks at the link once.
func (r *refreshing) look(ctx context.Context) (pace.Look, error) {
	link, err := r.poll(ctx, WithoutRetry())
	if err != nil {
		return pace.Look{}, err
	}
	seen := r.classify(link)
	seen.Promised = time.Until(r.next)
	return seen, nil
}

func (r *refreshing) tell(err error, next time.Duration) {
	r.shared.Tell(RefreshProgress{r.product, r.now, err, r.requests, time.Since(r.began), next})
}

// classify says whether the refresh is done, or has failed.
func (r *refreshing) classify(link *BankLink) pace.Look {
	r.now = r.statusIn(link)
	if changed(r.before.RefreshedAt, r.now.RefreshedAt) && !same(link.State, BankLinkDeleted) {
		return pace.Look{Over: true}
	}
	if err := r.hopeless(link); err != nil {
		return pace.Look{Over: true, End: err}
	}
	attempted := changed(r.before.LastAttemptedAt, r.now.LastAttemptedAt)
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

// changed reports whether there is another time than before. It need not be a later one: a time that
// a wrong clock has put into the future would make every refresh look as if it never ended.
func changed(before, now Timestamp) bool { return !now.IsZero() && !now.Time.Equal(before.Time) }

// statusIn is the status of the product, in whatever case the server writes its name.
func (r *refreshing) statusIn(link *BankLink) ProductStatus {
	for name, status := range link.Products {
		if same(name, r.product) {
			return status
		}
	}
	return ProductStatus{}
}

// patient ends the wait if a trouble that may pass has lasted for half a minute.
func (r *refreshing) patient(trouble error) pace.Look {
	if r.failing.IsZero() {
		r.failing = time.Now()
	}
	left := defaultGrace - time.Since(r.failing)
	if left <= 0 {
		return pace.Look{Over: true, End: trouble}
	}
	return pace.Look{Most: left, End: trouble}
}

// hopeless returns an error if the link is in a state that no waiting changes.
func (r *refreshing) hopeless(link *BankLink) error {
	status := r.statusIn(link)
	switch {
	case same(link.State, BankLinkDeleted):
		return r.asked.newError(ErrDeleted, "the bank link is deleted")
	case same(link.State, BankLinkInError) && link.ErrorCode != "" && !link.ErrorCode.passes():
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

// refreshPending is the error of a wait that ended before the refresh.
func (p *prepared) refreshPending(ended error, more string) *Error {
	e := p.newError(ErrRefreshPending, "the refresh was not seen to end"+more)
	e.Outcome = OutcomeUnknown
	e.because(ended)
	return e
}
