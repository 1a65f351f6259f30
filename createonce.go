package duolink

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/duolink/duolink/internal/flight"
	"github.com/duolink/duolink/internal/pace"
)

// mostListed is how many links a list shows at most. A full list may lack the wanted link.
const mostListed = 1000

// CreateOnce returns the login link with this marker, and makes the link if there is none. There is
// one link, however often CreateOnce is called, in this process or a later one.
//
// The marker is an id of yours with at most 50 letters, digits, - and _. The API has no idempotency
// key, so the marker stands in front of the link's description, as "[ref:marker]". Whoever sees the
// description sees the marker. Both together have at most 1,000 bytes. Name the marker when you
// update the description, and use another marker for another link.
//
// A link that has the marker is returned as it is. Look at its LoginID before you send it to
// anybody. If the link is closed or expired and nobody has logged in, the error is
// ErrLoginLinkClosed or ErrLoginLinkExpired. If the link has another data source, user or redirect,
// the error is ErrConflict. The error is also ErrConflict if the list of links is full (1,000),
// because such a list may lack the link.
//
// If the answer is not a list of links, nothing is made. If the server does not keep the marker, the
// error is ErrMalformedResponse, and the link that was made is closed.
//
// After a failure that may have made the link, CreateOnce looks for it for half a minute, and then
// makes it again, Retry.MaxAttempts times at most. So a server that keeps failing holds it for about
// two minutes. A deadline of the context ends it earlier. If the first one appears later, the next
// call closes the surplus link. After any other error you can call again. Two processes that begin
// at the same moment may each make a link, unless they share a [Locker]. The next call then closes
// one of them.
//
// Callers in one process share a run, with the first caller's options and headers. If all have
// given up and a link may have been made, the run goes on.
func (s *LinksService) CreateOnce(
	ctx context.Context, link LoginLinkCreate, marker string, opts ...CallOption,
) (*LoginLink, error) {
	o := &creating{service: s, link: link, marker: marker, private: append(link.private(), marker)}
	o.link.Description = markedDescription(marker, link.Description)
	op := linksCreate
	op.name, op.private = "links.create_once", o.private
	op.invalid = o.check(link.Description)
	p, err := s.client.prepare(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	tenant, p, err := p.tenant(ctx)
	if err != nil {
		return nil, err
	}
	o.asked, o.key = p, flight.KeyOf(tenant, marker)
	f, err := s.client.creates.Join(ctx, o.key, o.run, nil)
	if err != nil {
		ended := endOf(ctx, err)
		e := p.newError(nil, transportText(ended))
		e.Outcome = writeOutcome(f.Outcome())
		e.because(ended)
		return nil, p.handOver(&Response{}, e)
	}
	if err := p.handOver(&f.Result.response, f.Err); err != nil {
		return nil, err
	}
	if !o.link.like(f.Result.as) {
		e := p.newError(ErrConflict, "the marker is that of a link of another data source, user or redirect")
		e.Outcome = OutcomeNotSent
		return nil, e
	}
	own := *f.Result.link
	if own.LoginID == "" && own.Status.isOver() {
		e := p.loginLinkOver(own.Status)
		e.Outcome = OutcomeNotSent
		return nil, e
	}
	return &own, nil
}

// check refuses a marker or a link that can never be right.
func (o *creating) check(description string) error {
	if err := cmp.Or(noMarker(description), checkMarker(o.marker)); err != nil {
		return err
	}
	if len(o.link.Description) > mostDescription {
		return argumentError("Description with its marker is longer than %d bytes", mostDescription)
	}
	_, err := o.link.wire(time.Now())
	return err
}

const markerStart = "[ref:"

// markedDescription is a description with a marker. The marker stands first, because a server may cut off
// the end.
func markedDescription(marker, description string) string {
	if description == "" {
		return markerStart + marker + "]"
	}
	return markerStart + marker + "] " + description
}

// hasMarker reports whether CreateOnce has made a link with this description.
func hasMarker(marker, description string) bool {
	return strings.HasPrefix(strings.TrimSpace(description), markerStart+marker+"]")
}

// noMarker refuses a description that looks as if CreateOnce had made the link.
func noMarker(description string) error {
	if strings.Contains(strings.ToLower(description), markerStart) {
		return argumentError("Description has %s in it, which is how CreateOnce marks its links", markerStart)
	}
	return nil
}

func checkMarker(marker string) error {
	if Supermetrics.checkID("marker", marker) != nil {
		return argumentError("the marker is not 1 to 50 letters, digits, - and _")
	}
	return nil
}

// creation is the result of a run of CreateOnce.
type creation struct {
	marked
	response Response // of the latest request
}

// marked is a link that has the marker. Its as is our request, or what the server says of the link.
type marked struct {
	link *LoginLink
	as   LoginLinkCreate
}

func markedAs(link *LoginLink) marked {
	return marked{link, LoginLinkCreate{
		DataSourceID:    link.DataSourceID,
		RequireUsername: link.RequireUsername.Reveal(),
		RedirectURL:     link.RedirectURL,
	}}
}

// like reports whether a link does what was asked for. A link for any user does not do for a
// certain user. The server may leave out the data source and rewrite the redirect, so only the
// redirect's host counts.
func (l LoginLinkCreate) like(other LoginLinkCreate) bool {
	return (other.DataSourceID == "" || strings.EqualFold(l.DataSourceID, other.DataSourceID)) &&
		strings.EqualFold(l.RequireUsername, other.RequireUsername) &&
		strings.EqualFold(hostOf(l.RedirectURL), hostOf(other.RedirectURL))
}

// hostOf is the host of a URL, or the whole text if it is not a URL.
func hostOf(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil && u.Host != "" {
		return u.Host
	}
	return rawURL
}

// creating is one run of CreateOnce.
type creating struct {
	service *LinksService
	link    LoginLinkCreate
	marker  string
	private []string // the arguments
	asked   *prepared
	key     flight.Key // of the run, and of the fleet's lock
	with    CallOption // on each request

	response *Response // of the latest
}

// run is shared by all callers who want the link with the same marker.
func (o *creating) run(ctx context.Context, f *flight.Run[creation, struct{}]) (err error) {
	f.OnAbandoned = o.asked.abandoned
	o.with, o.response = o.asked.inherit(&f.Result.response), &f.Result.response
	lock, err := o.lock(ctx, f)
	if lock == nil {
		return err
	}
	err = flight.ErrUnfinished // if a hook panics
	defer func() { unlock(lock, f.Committed(), err) }()
	f.Result.marked, err = o.findOrMake(ctx, f, lock)
	return err
}

// lock takes the fleet's lock. It returns none if another process has made the link meanwhile.
func (o *creating) lock(ctx context.Context, f *flight.Run[creation, struct{}]) (Lock, error) {
	return o.asked.lock(ctx, lockWait{
		key: o.key, expiry: createLockExpiry, tell: func(error, time.Duration) {},
		look: func() (pace.Look, error) {
			link, err := o.findMarked(ctx)
			if link != nil {
				f.Result.marked = markedAs(link)
			}
			return pace.Look{Over: link != nil, Promised: promisedPause(o.response)}, err
		},
		lapsed: func(ended error, more string) *Error {
			e := o.asked.newError(nil, "another process is making the login link"+more)
			e.Outcome = OutcomeNotSent
			e.because(ended)
			return e
		},
	})
}

// findOrMake looks for the link, makes it if there is none, and looks again if it is unclear
// whether there is one now.
func (o *creating) findOrMake(
	ctx context.Context, f *flight.Run[creation, struct{}], lock Lock,
) (marked, error) {
	var unclear error
	for attempt := 1; ; attempt++ {
		link, err := o.find(ctx, unclear != nil)
		switch {
		case err != nil:
			return marked{}, afterUnclear(unclear, err)
		case link != nil:
			return markedAs(link), nil
		case attempt > o.asked.retry.MaxAttempts || unclear != nil && o.asked.retry.MaxWait == 0:
			return marked{}, unclear
		}
		op := o.link.operation(nil)
		op.private = append(op.private, o.private...) // a server may quote a part of the description
		made, err := call(ctx, o.service.client, op, one[LoginLink],
			[]CallOption{o.with, lockedWrite(f.Write(), lock)})
		if err == nil {
			return o.confirm(ctx, made, unclear != nil)
		}
		err = o.asked.lostLock(lock, err)
		if e, ok := errors.AsType[*Error](err); !ok || e.Outcome != OutcomeUnknown {
			return marked{}, afterUnclear(unclear, err)
		}
		unclear = err
	}
}

// confirm returns the link that was made, or another one that an unclear attempt has made. The link
// has to show its marker. Otherwise no later call would find it.
func (o *creating) confirm(ctx context.Context, made *LoginLink, unclear bool) (marked, error) {
	shown := hasMarker(o.marker, made.Description)
	var err error
	if unclear || made.Description == "" { // some answers leave the description out
		var found *LoginLink
		if found, err = o.findMarked(ctx); found != nil {
			return markedAs(found), nil
		}
	}
	if shown {
		return marked{made, o.link}, nil
	}
	if e, ok := errors.AsType[*Error](err); ok && made.Description == "" { // nobody has seen whether it has the marker
		e.Outcome = OutcomeUnknown
		return marked{}, e
	}
	lost := o.asked.newError(ErrMalformedResponse, "the server does not show the marker of the login link that it made")
	lost.StatusCode, lost.Outcome = o.response.Status, OutcomeUnknown
	if err == nil { // it is not in the list either, so nobody will find the link
		_, err = o.service.Close(ctx, made.ID, o.with)
	}
	lost.because(err)
	return marked{}, lost
}

// afterUnclear prefers the unclear creation's error, because it tells that a link may exist.
func afterUnclear(unclear, err error) error {
	if e, ok := errors.AsType[*Error](unclear); ok {
		e.because(err)
		return e
	}
	return err
}

// find looks for the link. After an unclear creation it looks until the link must have appeared.
func (o *creating) find(ctx context.Context, patient bool) (found *LoginLink, err error) {
	if !patient || o.asked.retry.MaxWait == 0 {
		return o.findMarked(ctx)
	}
	until := time.Now().Add(defaultGrace)
	w := pace.Poll{Tell: func(error, time.Duration) {}}
	w.Look = func() (pace.Look, error) {
		link, err := o.findMarked(ctx)
		left := time.Until(until)
		switch {
		case err == nil:
			found = link
			return pace.Look{Over: link != nil || left <= 0, Most: left, Promised: promisedPause(o.response)}, nil
		case left <= 0:
			return pace.Look{Over: true, End: err}, nil
		}
		return pace.Look{Most: left}, err
	}
	err = o.asked.poll(ctx, w, func(ended error, more string) *Error {
		e := o.asked.newError(nil, "the login link was not found"+more)
		e.Outcome = OutcomeUnknown
		e.because(ended)
		return e
	})
	return found, err
}

// findMarked returns the link that has the marker. If several equal links have it, it closes the
// open ones that it does not return.
func (o *creating) findMarked(ctx context.Context) (*LoginLink, error) {
	links, err := call(ctx, o.service.client, linksList, listed[LoginLink], []CallOption{o.with})
	if err != nil {
		return nil, err
	}
	if links.Null {
		e := o.asked.newError(ErrMalformedResponse, "the answer has null in place of the list of links")
		e.StatusCode, e.Outcome = o.response.Status, OutcomeNotSent
		return nil, e
	}
	all := having(links.Items, func(l LoginLink) bool { return hasMarker(o.marker, l.Description) })
	if len(all) == 0 {
		if links.Raw < mostListed {
			return nil, nil //nolint:nilnil // there is none
		}
		e := o.asked.newError(ErrConflict, "the list of links is full, and may have left out the one with the marker")
		e.Outcome = OutcomeNotSent
		return nil, e
	}
	slices.SortStableFunc(all, compareMarked)
	for _, surplus := range all[1:] {
		alike := o.link.like(markedAs(&surplus).as) && o.link.like(markedAs(&all[0]).as)
		if alike && same(surplus.Status, LoginLinkOpen) {
			if _, err := o.service.Close(ctx, surplus.ID, o.with); err != nil {
				return nil, err
			}
		}
	}
	return &all[0], nil
}

// compareMarked orders links with one marker: used ones, then open ones, then by age.
func compareMarked(a, b LoginLink) int {
	rank := func(l LoginLink) int {
		switch {
		case l.LoginID != "":
			return 0
		case same(l.Status, LoginLinkOpen):
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.CreatedTime.Compare(b.CreatedTime.Time))
}
