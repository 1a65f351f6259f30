package duolink

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/duolink/duolink/internal/wire"
)

// How lists are read: a stream item by item, and a paged list page by page.

// stream sends an operation and yields its answer item by item, as it arrives. If the loop ends
// early, the connection is closed. An error is yielded once, at the end.
func stream[T any](
	ctx context.Context, c *Client, op operation,
	each func(s *wire.Scanner, yield func(T) error, item func()) error, opts []CallOption,
) iter.Seq2[T, error] {
	op.stream = true
	return func(yield func(T, error) bool) {
		var none T
		a, err := c.do(ctx, op, opts, nil)
		if err != nil {
			yield(none, err)
			return
		}
		at := a.latest
		defer func() { _ = at.stream.Close() }()
		scanner := wire.NewStream(at.stream, a.limit)
		defer scanner.Reuse()
		tellDrift := a.watchDrift(ctx, scanner.Scanner, at.header)
		item := func() {
			scanner.Forget()
			tellDrift()
		}
		err = each(scanner.Scanner, func(v T) error {
			item()
			if !yield(v, nil) {
				return errLeft
			}
			return nil
		}, item)
		if err == nil || errors.Is(err, errLeft) {
			tellDrift()
			return
		}
		at.body = scanner.Head()
		if broken := scanner.Err(); broken != nil {
			yield(none, a.fail(a.failure(ctx, at, broken)))
			return
		}
		yield(none, a.fail(a.unreadable(ctx, at, err)))
	}
}

// errLeft ends the reading of a stream after the caller has left the loop.
var errLeft = errors.New("the loop was left")

// accountPage is one page of accounts.
type accountPage struct {
	wire.List[Account]
	limit int64
	total int64 // -1 if the server does not say it
}

func readAccountPage(s *wire.Scanner) (*accountPage, error) {
	p := &accountPage{}
	meta, err := wire.Envelope(byTags, s, func() (err error) {
		p.List, err = wire.ReadList[Account](byTags, s, "data")
		return err
	})
	p.limit, p.total = meta.Paginate.Limit, meta.Paginate.Total
	return p, err
}

// pages yields the items of a list with offsets. It ends at the total. If the total is unknown, it
// ends at an empty or short page. An end before the total is an error, because items are missing. So
// is a page that repeats the page before, because the server ignores the offset.
func pages(page PageOptions, fetch func(PageOptions) (*accountPage, error)) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		page := page // each loop starts from the beginning
		var before []Account
		for {
			p, err := fetch(page)
			if err == nil && len(p.Items) > 0 && slices.Equal(p.Items, before) {
				err = pageError(ErrMalformedResponse, "the server repeats a page")
			}
			if err != nil {
				yield(Account{}, err)
				return
			}
			before = p.Items
			for _, a := range p.Items {
				if !yield(a, nil) {
					return
				}
			}
			page.Offset += p.Raw
			last, err := p.last(page)
			if err != nil {
				yield(Account{}, err)
			}
			if last || err != nil {
				return
			}
			if page.Offset > mostOffset {
				err := pageError(ErrResponseTooLarge, "there are more accounts than the API can be asked for")
				yield(Account{}, err)
				return
			}
		}
	}
}

// pageError is an error about several pages, each of which was a good answer.
func pageError(kind error, message string) error {
	return &Error{
		API: Supermetrics, Operation: loginsAccounts.name, StatusCode: 200, Outcome: OutcomeUnknown, Kind: kind,
		Message: message,
	}
}

// last reports whether this page is the last one. next is where another page would start. A total
// that is less than what has come is not a total.
func (p *accountPage) last(next PageOptions) (bool, error) {
	const serverLimit = 100
	offset, limit := int64(next.Offset), cmp.Or(max(p.limit, 0), int64(next.PageSize), serverLimit)
	switch {
	case p.total >= 0 && (offset == p.total || offset > p.total && p.Raw == 0):
		return true, nil
	case p.Null:
		return false, pageError(ErrMalformedResponse, "a page has null in place of its accounts")
	case p.Raw == 0 && offset < p.total:
		return false, pageError(ErrMalformedResponse, "the accounts end before their total")
	case offset < p.total:
		return false, nil
	}
	return int64(p.Raw) < limit, nil
}
