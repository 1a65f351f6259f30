package duolink

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"

	"github.com/duolink/duolink/internal/wire"
)

// stream sends an operation and yields its answer item by item, as it arrives. Leaving the loop closes the
// connection; an error is yielded once, last.
func stream[T any](ctx context.Context, c *Client, op operation, each func(s *wire.Scanner, yield func(T) error, item func()) error, opts []CallOption) iter.Seq2[T, error] {
	op.stream = true
	return func(yield func(T, error) bool) {
		var none T
		t, err := c.send(ctx, op, opts, nil)
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = t.stream.Close() }()
		m := newMeter(t.stream, t.limit)
		scanner := wire.Stream(m, 64<<10, t.limit)
		next := func() { m.reset(); scanner.Forget() }
		err = each(scanner, func(v T) error {
			next()
			if !yield(v, nil) {
				return errLeft
			}
			return nil
		}, next)
		if err == nil || errors.Is(err, errLeft) {
			return
		}
		t.body = m.head
		if m.err != nil {
			yield(none, t.end(t.failure(m.err)))
			return
		}
		yield(none, t.end(t.unreadable(err)))
	}
}

// errLeft ends the reading of a stream that nobody listens to any more.
var errLeft = errors.New("the loop was left")

// meter bounds how much of a stream is read between two items: memory depends on the largest item alone. It keeps the
// beginning of the answer, in case that it is an error, and the connection's own error, which the JSON reader's would hide.
type meter struct {
	r           io.Reader
	left, limit int64
	head        []byte
	err         error
}

// byteOrderMark may stand before the JSON of an answer.
const byteOrderMark = "\xef\xbb\xbf"

const meterHead = 64 << 10

func newMeter(r io.Reader, limit int64) *meter {
	b := bufio.NewReaderSize(r, meterHead)
	m := &meter{r: b, left: limit, limit: limit}
	mark, err := b.Peek(len(byteOrderMark))
	if string(mark) == byteOrderMark {
		_, _ = b.Discard(len(byteOrderMark))
	}
	if err != io.EOF {
		m.err = err // the connection gives it once, and another one when it is asked again
	}
	return m
}

// reset begins another item.
func (m *meter) reset() { m.left = m.limit }

func (m *meter) Read(p []byte) (int, error) {
	if m.err == nil && m.left <= 0 {
		m.err = ErrResponseTooLarge
	}
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.head = append(m.head, p[:min(n, meterHead-len(m.head))]...)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}
