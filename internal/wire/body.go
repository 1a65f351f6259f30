package wire

import (
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
