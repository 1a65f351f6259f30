package duolink

import (
	"hash/maphash"
	"iter"

	"github.com/go-faster/jx"
)

// accountPage is one page of accounts, with what the server says of the whole.
type accountPage struct {
	accounts []Account
	received int // items, also those that were no accounts
	limit    int64
	total    int64
	totalled bool
}

func readAccountPage(d *jx.Decoder) (*accountPage, error) {
	p := &accountPage{}
	err := envelope(d, func(key []byte) error {
		switch string(key) {
		case "data":
			return p.decodeData(d)
		case "meta":
			return within(d, "paginate", func() error { return p.decodePaginate(d) })
		}
		return d.Skip()
	})
	return p, err
}

func (p *accountPage) decodeData(d *jx.Decoder) error {
	p.accounts, p.received = nil, 0
	if d.Next() != jx.Array {
		return d.Skip()
	}
	return d.Arr(func(d *jx.Decoder) error {
		p.received++
		if d.Next() != jx.Object {
			return d.Skip()
		}
		var a Account
		err := a.decode(d)
		p.accounts = append(p.accounts, a)
		return err
	})
}

func (p *accountPage) decodePaginate(d *jx.Decoder) (err error) {
	return object(d, func(key []byte) error {
		switch string(key) {
		case "limit":
			_, err = integer(d, &p.limit)
			return err
		case "total":
			p.totalled, err = integer(d, &p.total)
			return err
		}
		return d.Skip()
	})
}

// pages walks an offset-paged list. It ends at the total, at an empty page, at a short page where the total is unknown,
// and, with an error, when the server sends a page again: items would be missing, and the loop might never end.
func pages(page PageOptions, fetch func(PageOptions) (*accountPage, error)) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		page := page // each loop walks on its own
		seen := map[uint64]bool{}
		for {
			p, err := fetch(page)
			if err == nil && len(p.accounts) > 0 {
				mark := p.fingerprint()
				if seen[mark] {
					err = pageError(ErrMalformedResponse, "the server repeats a page")
				}
				seen[mark] = true
			}
			if err != nil {
				yield(Account{}, err)
				return
			}
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
				yield(Account{}, pageError(ErrResponseTooLarge, "there are more accounts than the API can be asked for"))
				return
			}
		}
	}
}

// pageError is about the pages together, each of which was a good answer.
func pageError(kind error, message string) error {
	return &Error{API: Supermetrics, Operation: loginsAccounts.name, StatusCode: 200, Outcome: Unknown, kind: kind, Message: message}
}

// last reports whether nothing is left behind this page; next is where the following one would start.
func (p *accountPage) last(next PageOptions) bool {
	const serverLimit = 100
	limit := int(p.limit)
	if limit <= 0 {
		if limit = next.Limit; limit == 0 {
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

var pageSeed = maphash.MakeSeed()

func (p *accountPage) fingerprint() uint64 {
	var h maphash.Hash
	h.SetSeed(pageSeed)
	for _, a := range p.accounts {
		for _, s := range []string{a.ID, a.Name, a.Group} {
			_, _ = h.WriteString(s)
			_ = h.WriteByte(0)
		}
	}
	return h.Sum64()
}
