package duolink

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"
)

// mostListed is how many links a list shows. One that shows so many may have left out the one that is looked for.
const mostListed = 1000

// CreateOnce makes a login link that there is at most one of, however often it is called, in this process or a later one: the API
// has no idempotency key, so the marker, an id of yours with letters, digits, - and _ (at most 50), is put into the link's
// description, as " [ref:marker]", where those who see the link's description see it. A link that has the marker is returned, whatever
// its status; it is made only where the list of links shows none, and looked for again after a failure that may have made
// it. Leave the marker in the description when you update it.
//
// A marker that stands in a link of another data source is ErrConflict, and so is a list that is full (1,000 links): the link
// could be missing from it. Callers in one process share one run; two processes that begin at the same moment may
// still make a link each. After any error it can be called again.
func (s *LinksService) CreateOnce(ctx context.Context, link LinkCreate, marker string, opts ...CallOption) (*LoginLink, error) {
	op := linksCreate
	op.name = "links.create_once"
	o := &once{service: s, link: link, ref: "[ref:" + marker + "]"}
	op.private = []string{marker, link.DataSourceID, link.Expires, link.Description, link.RequireUsername, link.RedirectURL}
	o.link.Description = strings.TrimSpace(link.Description + " " + o.ref)
	_, op.invalid = o.link.wire(time.Now())
	switch {
	case strings.Contains(link.Description, "[ref:"):
		op.invalid = argumentError("Description has a marker already")
	case Supermetrics.checkID("marker", marker) != nil:
		op.invalid = Supermetrics.checkID("marker", marker)
	}
	t, err := s.client.checked(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	o.trip = t
	key, err := t.share(ctx, marker)
	if err != nil {
		return nil, err
	}
	flight, err := s.client.creates.join(ctx, key, o.run, nil)
	if err != nil {
		return nil, t.landed(Response{}, &Error{API: Supermetrics, Operation: op.name, Outcome: Unknown, Message: transportText(err), cause: &err})
	}
	if err := t.landed(flight.response, flight.err); err != nil {
		return nil, err
	}
	own := *flight.result
	if !strings.EqualFold(cmp.Or(own.DataSourceID, link.DataSourceID), link.DataSourceID) {
		return nil, &Error{API: Supermetrics, Operation: op.name, kind: ErrConflict, Outcome: NotSent, Message: "the marker is that of a link of another data source"}
	}
	return &own, nil
}

// once is one run of CreateOnce.
type once struct {
	service *LinksService
	link    LinkCreate
	ref     string
	trip    *trip
	with    CallOption
}

// run looks, makes the link where there is none, and looks again where making it did not end clearly.
func (o *once) run(ctx context.Context, response *Response, _ func(struct{})) (*LoginLink, error) {
	o.with = o.trip.inherit(response)
	var unclear error
	for attempt := 1; ; attempt++ {
		found, err := o.find(ctx)
		switch {
		case err != nil:
			return nil, also(unclear, err)
		case found != nil:
			return found, nil
		case attempt > o.trip.retry.MaxAttempts:
			return nil, unclear
		}
		link, err := o.service.Create(ctx, o.link, o.with)
		if err == nil {
			return o.sole(ctx, link, unclear != nil)
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Outcome != Unknown {
			return nil, also(unclear, err)
		}
		unclear = err
		if err := sleep(ctx, backoff(o.trip.retry, attempt)); err != nil {
			return nil, also(unclear, err)
		}
	}
}

// also is an error that came after an unclear creation: that the link may be there matters more.
func also(unclear, err error) error {
	if e, ok := errors.AsType[*Error](unclear); ok {
		e.because(err)
		return e
	}
	return err
}

// find returns the link that has the marker: the oldest that is open, or the oldest.
func (o *once) find(ctx context.Context) (*LoginLink, error) {
	links, err := o.service.List(ctx, o.with)
	if err != nil {
		return nil, err
	}
	var found *LoginLink
	for i, l := range links {
		if strings.Contains(l.Description, o.ref) && (found == nil || before(l, *found)) {
			found = &links[i]
		}
	}
	if found == nil && len(links) >= mostListed {
		return nil, &Error{API: Supermetrics, Operation: o.trip.op.name, kind: ErrConflict, Outcome: NotSent,
			Message: "the list of links is full, and may have left out the one with the marker"}
	}
	return found, nil
}

// before orders the links that have a marker.
func before(a, b LoginLink) bool {
	if (a.Status == LinkOpen) != (b.Status == LinkOpen) {
		return a.Status == LinkOpen
	}
	return a.CreatedTime.Before(b.CreatedTime.Time)
}

// sole makes sure, where an earlier creation was unclear, that it did not come about after all while this one was made: then
// the new link, which nobody has seen, is closed.
func (o *once) sole(ctx context.Context, made *LoginLink, unsure bool) (*LoginLink, error) {
	if !unsure {
		return made, nil
	}
	found, err := o.find(ctx)
	if err != nil || found == nil || found.ID == made.ID {
		return made, nil //nolint:nilerr // the link is there; whether there is another cannot be told now
	}
	if _, err := o.service.Close(ctx, made.ID, o.with); err != nil {
		return nil, err
	}
	return found, nil
}
