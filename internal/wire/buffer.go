package wire

import (
	"io"
	"sync"
)

// Buffers that answers are read into, and used again.

// Buffer holds the bytes of one answer, or the window on an answer that is a stream.
type Buffer struct {
	bytes   []byte
	scanner Scanner
}

// The sizes of buffers. One pool has those that hold most answers, the other has larger ones, so that
// a small answer does not take the room of a large one. A buffer that is larger still is not kept.
const (
	smallBuffer  = 64 << 10
	firstBuffer  = 4 << 10
	largestReuse = 4 << 20
	mostStated   = 64 << 20 // a longer length that an answer states is not believed before it has come
)

var smallBuffers, largeBuffers sync.Pool // of *Buffer

// newBuffer returns an empty buffer with room for so many bytes, or more.
func newBuffer(size int) *Buffer {
	pool := &smallBuffers
	if size > smallBuffer {
		pool = &largeBuffers
	}
	if size <= largestReuse {
		if b, ok := pool.Get().(*Buffer); ok && cap(b.bytes) >= size {
			return b
		}
	}
	return &Buffer{bytes: make([]byte, 0, max(size, firstBuffer))}
}

// Bytes returns what was read. It is valid until Reuse.
func (b *Buffer) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.bytes
}

// Document scans what was read, as [Document] does. It is valid until Reuse.
func (b *Buffer) Document(limit int64) *Scanner {
	b.scanner = *Document(b.bytes, limit)
	return &b.scanner
}

// Reuse lets another answer have the buffer. It wipes what was read, because that is confidential. The
// caller must not use the bytes afterwards.
func (b *Buffer) Reuse() {
	if b == nil || cap(b.bytes) > largestReuse {
		return
	}
	clear(b.bytes)
	b.bytes, b.scanner = b.bytes[:0], Scanner{}
	if cap(b.bytes) > smallBuffer {
		largeBuffers.Put(b)
	} else {
		smallBuffers.Put(b)
	}
}

// ReadBody reads a body up to a limit. A longer body is [ErrTooLarge]. Size is what the answer says of
// its length, or -1. Otherwise each buffer is four times as large as the one before, and the last is
// as large as the limit: for 8 MiB all of them together take 11 MB, while io.ReadAll takes 17 MB.
func ReadBody(r io.Reader, size, limit int64) (*Buffer, error) {
	if size < 0 || size > min(limit, mostStated) {
		size = min(limit, firstBuffer-1)
	}
	b := newBuffer(int(size) + 1) // one more, so that the end is seen
	for {
		room := int64(cap(b.bytes))
		if room > limit {
			room = limit
		}
		n, err := r.Read(b.bytes[len(b.bytes):room])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		case int64(len(b.bytes)) < room:
			continue
		case room == limit:
			return b, nothingMore(r)
		}
		larger := newBuffer(int(min(limit, 4*room)))
		larger.bytes = append(larger.bytes, b.bytes...)
		b.Reuse()
		b = larger
	}
}

// input is where a stream comes from. It bounds how much is read between two items, so that memory
// depends only on the largest item.
type input struct {
	from        io.Reader
	err         error // io.EOF, the connection's error, or ErrTooLarge
	left, limit int64
	head        []byte // the beginning, because it may be that of an error
}

const headSize = smallBuffer

// appendTo reads into the room of a window.
func (in *input) appendTo(window []byte) []byte {
	room := window[len(window):cap(window)]
	if int64(len(room)) > in.left {
		room = room[:max(in.left, 1)] // if nothing is left, one byte shows that it is too much
	}
	for range 100 {
		n, err := in.from.Read(room)
		if in.left -= int64(n); in.left < 0 {
			err = ErrTooLarge
		}
		in.head = append(in.head, room[:min(n, headSize-len(in.head))]...)
		in.err = err
		if n > 0 || err != nil {
			return window[:len(window)+n]
		}
	}
	in.err = io.ErrNoProgress
	return window
}

// Stream scans a document as it arrives. From one Forget to the next at most limit bytes are read.
// Whoever has read it calls Reuse.
type Stream struct {
	*Scanner
	buffer   *Buffer // of the window
	head     *Buffer
	wantHead bool
}

// NewStream returns a stream, without its byte order mark.
func NewStream(r io.Reader, limit int64) *Stream {
	return newStream(r, limit, newBuffer(smallBuffer))
}

func newStream(r io.Reader, limit int64, window *Buffer) *Stream {
	s := &window.scanner
	s.most = atLeast(limit)
	head := newBuffer(headSize)
	in := &input{from: r, left: limit, limit: limit, head: head.bytes}
	s.tokens = tokens{window: window.bytes, keep: -1, input: in}
	if mark := s.ahead(len(byteOrderMark)); string(mark) == string(byteOrderMark) {
		s.at += len(mark)
	}
	return &Stream{Scanner: s, buffer: window, head: head}
}

// Head returns the beginning of the answer. It stays valid after Reuse.
func (s *Stream) Head() []byte {
	s.wantHead = true
	return s.input.head
}

// Err returns why reading ended early: the connection's error, or [ErrTooLarge]. Otherwise it is nil.
func (s *Stream) Err() error {
	if s.input.err == io.EOF {
		return nil
	}
	return s.input.err
}

// Reuse gives the window back. The stream must not be used afterwards.
func (s *Stream) Reuse() {
	s.buffer.bytes = s.window[:cap(s.window)] // it may have grown, and what was moved is left at its end
	if s.head.bytes = s.input.head; !s.wantHead {
		s.head.Reuse()
	}
	s.input.from, s.input.head, s.input.err = nil, nil, io.EOF
	s.window, s.at = nil, 0
	s.buffer.Reuse()
}
