package duolink

import (
	"cmp"
	"context"
	"time"

	"github.com/duolink/duolink/internal/pace"
)

// AwaitOptions changes how Links.Await waits.
type AwaitOptions struct {
	// Grace is how long Await goes on after it has first seen the link closed or expired, because a
	// login that began before can still end well. 0 means 30 s, and NoGrace means not at all. If the
	// context ends sooner, the error is ErrLoginPending.
	Grace time.Duration
	// FirstInterval is the time between the first two requests. 0 means 2 s. Each interval is a third
	// longer than the one before, up to MaxInterval. 0 means 15 s, or FirstInterval if that is longer.
	// Both vary by a tenth. A longer time that the server asks for is kept.
	FirstInterval, MaxInterval time.Duration
	// Progress is called after each request that does not end the wait.
	Progress func(AwaitProgress)
}

// NoGrace is an AwaitOptions.Grace: the wait ends as soon as the link is seen closed or expired.
const NoGrace time.Duration = -1

// check refuses options that cannot be right.
func (o AwaitOptions) check() error {
	switch {
	case o.Grace < 0 && o.Grace != NoGrace:
		return argumentError("Grace is negative")
	case o.FirstInterval < 0 || o.MaxInterval < 0:
		return argumentError("an interval is negative")
	case o.MaxInterval > 0 && o.FirstInterval > o.MaxInterval:
		return argumentError("FirstInterval is longer than MaxInterval")
	}
	return nil
}

// AwaitProgress is how far Links.Await has come.
type AwaitProgress struct {
	Link     LoginLink // as last seen
	Err      error     // of the latest request, if it failed and may pass
	Requests int       // so far
	Elapsed  time.Duration
	Next     time.Duration // until the next request
}

// Await waits until somebody has logged in through the login link. It returns the link with a
// LoginID.
//
// Give the context a deadline. A link can stay open after its ExpiryTime, because the server
// decides when it expires.
//
// Await asks the server at once, again after about 2 s, then less often, down to every 15 s. That
// is at most 300 requests for a link that lives for an hour, and 6,500 for a day. AwaitOptions
// changes the intervals.
//
// If the link closes or expires without a login, the error after AwaitOptions.Grace is
// ErrLoginLinkClosed or ErrLoginLinkExpired. An unknown link is ErrNotFound at once. If the context
// ends before, the error is ErrLoginPending and matches the context's error.
//
// A failure that passes, such as a 502 or a 429, does not end the wait. If the server asks for more
// than an hour's pause, or more than WithMaxWait allows, the error is ErrLoginPending with its
// RetryAfter.
func (s *LinksService) Await(
	ctx context.Context, loginLinkID string, options AwaitOptions, opts ...CallOption,
) (*LoginLink, error) {
	op := linksGet.on(loginLinkID)
	op.name = "links.await"
	op.invalid = options.check()
	p, err := s.client.prepare(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	a, began := &awaiting{asked: p, grace: cmp.Or(options.Grace, defaultGrace)}, time.Now() // NoGrace is over at once
	response := cmp.Or(p.response, &Response{})
	with := p.inherit(response)
	longest := cmp.Or(options.MaxInterval, max(options.FirstInterval, pace.LaterPause))
	w := pace.Poll{First: options.FirstInterval, Longest: longest}
	w.Look = func() (pace.Look, error) {
		a.requests++
		link, err := s.Get(ctx, loginLinkID, with, WithoutRetry())
		if err != nil {
			return pace.Look{}, err
		}
		seen := a.classify(link)
		seen.Promised = promisedPause(response)
		return seen, nil
	}
	w.Tell = func(err error, next time.Duration) {
		if options.Progress != nil {
			options.Progress(AwaitProgress{a.link, err, a.requests, time.Since(began), next})
		}
	}
	if err := p.poll(ctx, w, a.pending); err != nil {
		return nil, err
	}
	return &a.link, nil
}

// awaiting is a wait for a login.
type awaiting struct {
	asked    *prepared // never sent; errors of the flow have its name
	grace    time.Duration
	link     LoginLink // as last seen
	requests int
	endedAt  time.Time // when the link was first seen closed or expired
}

// classify says whether the wait is over, and with which error.
func (a *awaiting) classify(link *LoginLink) pace.Look {
	if link.ID != "" && link.ID != a.asked.op.args[0] {
		return pace.Look{Over: true, End: a.asked.newError(ErrMalformedResponse, errOtherLink.Error())}
	}
	a.link = *link
	if link.LoginID != "" {
		return pace.Look{Over: true}
	}
	if !link.Status.isOver() {
		a.endedAt = time.Time{}
		return pace.Look{}
	}
	if a.endedAt.IsZero() {
		a.endedAt = time.Now()
	}
	left := a.grace - time.Since(a.endedAt)
	if left <= 0 {
		return pace.Look{Over: true, End: a.asked.loginLinkOver(link.Status)}
	}
	return pace.Look{Most: left}
}

// loginLinkOver is the error of a link that has ended without a login.
func (p *prepared) loginLinkOver(status LoginLinkStatus) *Error {
	if same(status, LoginLinkExpired) {
		return p.newError(ErrLoginLinkExpired, "expired, and nobody has logged in")
	}
	return p.newError(ErrLoginLinkClosed, "closed, and nobody has logged in")
}

func (a *awaiting) pending(ended error, more string) *Error {
	e := a.asked.newError(ErrLoginPending, "nobody has logged in yet"+more)
	e.because(ended)
	return e
}
