package duolink

import (
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
		meter := wire.NewMeter(at.stream, a.limit)
		scanner := wire.Stream(meter, 64<<10, a.limit)
		item := func() {
			meter.Next()
			scanner.Forget()
		}
		err = each(scanner, func(v T) error {
			item()
			if !yield(v, nil) {
				return errLeft
			}
			return nil
		}, item)
		if err == nil || errors.Is(err, errLeft) {
			return
		}
		at.body = meter.Head
		if meter.Err != nil {
			yield(none, a.fail(a.failure(at, meter.Err)))
			return
		}
		yield(none, a.fail(a.unreadable(at, err)))
	}
}

// errLeft ends the reading of a stream after the caller has left the loop.
var errLeft = errors.New("the loop was left")

// accountPage is one page of accounts, with the total if the server says it.
type accountPage struct {
	accounts []Account
	received int // items, also those that are not accounts
	limit    int64
	total    int64
	totalled bool
}

func readAccountPage(s *wire.Scanner) (*accountPage, error) {
	p := &accountPage{}
	var meta struct {
		Paginate struct {
			Limit int64 `json:"limit"`
			Total int64 `json:"total"`
		} `json:"paginate"`
	}
	meta.Paginate.Total = -1
	err := wire.Envelope(s, func(key []byte) error {
		switch string(key) {
		case "data":
			return p.readData(s)
		case "meta":
			return byTags.Read(s, &meta)
		}
		return s.Skip()
	})
	p.limit, p.total, p.totalled = meta.Paginate.Limit, meta.Paginate.Total, meta.Paginate.Total >= 0
	return p, err
}

// readData reads the accounts, and counts all items.
func (p *accountPage) readData(s *wire.Scanner) error {
	p.accounts, p.received = nil, 0
	return s.Array(func() error {
		p.received++
		return byTags.ReadItem(s, &p.accounts)
	})
}

// pages yields the items of a list with offsets. It ends at the total, at an empty page, and at a
// short page if the total is unknown. If the server repeats a page, that is an error: the server
// ignores the offset, so items would be missing.
func pages(page PageOptions, fetch func(PageOptions) (*accountPage, error)) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		page := page // each loop starts from the beginning
		var before []Account
		for {
			p, err := fetch(page)
			if err == nil && len(p.accounts) > 0 && slices.Equal(p.accounts, before) {
				err = pageError(ErrMalformedResponse, "the server repeats a page")
			}
			if err != nil {
				yield(Account{}, err)
				return
			}
			before = p.accounts
			for _, a := range p.accounts {
				if !yield(a, nil) {
					return
				}
			}
			page.Offset += p.received
			if p.last(page) {
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

// last reports whether this page is the last one. next is where another page would start.
func (p *accountPage) last(next PageOptions) bool {
	const serverLimit = 100
	limit := int(p.limit)
	if limit <= 0 {
		if limit = next.PageSize; limit == 0 {
			limit = serverLimit
		}
	}
	switch {
	case p.received == 0:
		return true
	case p.totalled:
		return int64(next.Offset) >= p.total
	default:
		return p.received < limit
	}
}
