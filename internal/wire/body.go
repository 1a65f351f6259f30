package wire

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
)

// Unzipped decompresses a body if it is zipped. Closing the result closes the body.
func Unzipped(body io.ReadCloser, zipped bool) (io.ReadCloser, error) {
	if !zipped {
		return body, nil
	}
	var content io.Reader = eof{}
	z, err := gzip.NewReader(body)
	switch {
	case err == nil:
		content = z
	case err != io.EOF: // an empty body is not compressed
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{content, body}, nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// IsCorrupt reports whether a body is not the gzip that its header announces.
func IsCorrupt(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}

// ReadBody reads a body up to a limit. A longer body is [ErrTooLarge]. Each buffer is four times as
// large as the one before, and the last is as large as the limit. For 8 MiB all buffers together
// take 11 MB, while io.ReadAll takes 17 MB, and bytes.Buffer 34 MB.
func ReadBody(r io.Reader, limit int64) ([]byte, error) {
	size := limit
	for size > 16<<10 {
		size = size/4 + 1
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, err
		case len(body) < cap(body):
			continue
		case int64(len(body)) == limit:
			return body, nothingMore(r)
		}
		body = append(make([]byte, 0, min(limit, 4*int64(cap(body)))), body...)
	}
}

// nothingMore returns nil at the end of a body.
func nothingMore(r io.Reader) error {
	_, err := io.ReadFull(r, make([]byte, 1))
	switch err {
	case nil:
		return ErrTooLarge
	case io.EOF:
		return nil
	}
	return err
}

// Meter bounds how much of a stream is read between two items, so that memory depends only on the
// largest item. It keeps the beginning of the answer, because that may be an error. It also keeps
// the connection's error, because the scanner would hide it.
type Meter struct {
	Head []byte // of the answer
	Err  error  // the connection's error, or ErrTooLarge

	r           io.Reader
	left, limit int64
}

const meterHead = 64 << 10

// NewMeter returns a meter of a stream. It removes a byte order mark.
func NewMeter(r io.Reader, limit int64) *Meter {
	b := bufio.NewReaderSize(r, meterHead)
	m := &Meter{r: b, left: limit, limit: limit}
	mark, err := b.Peek(len(byteOrderMark))
	if string(mark) == string(byteOrderMark) {
		_, _ = b.Discard(len(byteOrderMark))
	}
	if err != io.EOF {
		m.Err = err // the connection returns another error the next time
	}
	return m
}

// Next begins another item.
func (m *Meter) Next() { m.left = m.limit }

func (m *Meter) Read(p []byte) (int, error) {
	if m.Err == nil && m.left <= 0 {
		m.Err = ErrTooLarge
	}
	if m.Err != nil {
		return 0, m.Err
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.Head = append(m.Head, p[:min(n, meterHead-len(m.Head))]...)
	if err != nil && err != io.EOF {
		m.Err = err
	}
	return n, err
}
