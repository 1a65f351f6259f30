package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// A body is read whole, whatever the answer says of its length, and bounded.
func TestReadBody(t *testing.T) {
	for _, length := range []int{
		0, 1, 100, firstBuffer - 1, firstBuffer, firstBuffer + 1, smallBuffer, 100_000, largestReuse + 5,
	} {
		body := strings.Repeat("x", length)
		for _, size := range []int64{-1, 0, int64(length), int64(length) - 1, int64(length) + 1, 1 << 40} {
			for name, reader := range map[string]io.Reader{
				"at once": strings.NewReader(body), "with the end": iotest.DataErrReader(strings.NewReader(body)),
			} {
				b, err := ReadBody(reader, size, int64(length))
				require.NoError(t, err, "%s: %d of %d", name, size, length)
				require.Equal(t, body, string(b.Bytes()))
				b.Reuse()
			}
			if length == 0 {
				continue
			}
			b, err := ReadBody(strings.NewReader(body), size, int64(length)-1)
			require.ErrorIs(t, err, ErrTooLarge, "%d of %d", size, length)
			require.Len(t, b.Bytes(), length-1)
		}
	}
}

// A length that nobody can believe asks for no memory.
func TestStatedLength(t *testing.T) {
	b, err := ReadBody(strings.NewReader("{}"), 1<<50, 1<<60)
	require.NoError(t, err)
	require.LessOrEqual(t, cap(b.bytes), smallBuffer)
	_, err = ReadBody(iotest.ErrReader(io.ErrUnexpectedEOF), 10, 100)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// A buffer that is used again has nothing of the answer before, and neither has a window.
func TestBuffersAreWiped(t *testing.T) {
	const secret = "GB33BUKB20201555555555"
	body := `["` + strings.Repeat(secret, 10_000) + `","` + secret + `\n"]`
	b, err := ReadBody(strings.NewReader(body), int64(len(body)), 1<<20)
	require.NoError(t, err)
	var texts []string
	require.NoError(t, New().Read(b.Document(1<<20), &texts))
	room := b.bytes[:cap(b.bytes)]
	b.Reuse()
	require.Equal(t, make([]byte, len(room)), room)
	require.Equal(t, secret+"\n", texts[1], "what was read is a copy")

	var read []string
	s := NewStream(strings.NewReader(strings.Repeat(body, 3)), 1<<20)
	window, head := s.buffer, s.head
	for range 3 {
		require.NoError(t, New().Read(s.Scanner, &read))
	}
	s.Reuse()
	require.Equal(t, make([]byte, cap(window.bytes)), window.bytes[:cap(window.bytes)])
	require.Equal(t, make([]byte, cap(head.bytes)), head.bytes[:cap(head.bytes)])
	require.Equal(t, texts, read)

	s = NewStream(strings.NewReader(body), 1<<20)
	require.NoError(t, s.Skip())
	kept := s.Head()
	s.Reuse()
	require.Equal(t, body[:len(kept)], string(kept), "whoever wants the beginning keeps it")
}

// A buffer that is larger than others need is not kept, and a small answer does not take a large one.
func TestSizesOfBuffers(t *testing.T) {
	huge, err := ReadBody(strings.NewReader(strings.Repeat("x", largestReuse)), largestReuse, 2*largestReuse)
	require.NoError(t, err)
	room := huge.bytes
	huge.Reuse()
	require.True(t, bytes.HasPrefix(room, []byte("x")), "it was not even wiped")
	for range 100 {
		large := newBuffer(largestReuse)
		require.GreaterOrEqual(t, cap(large.bytes), largestReuse)
		large.Reuse()
		require.LessOrEqual(t, cap(newBuffer(10).bytes), smallBuffer)
	}
	(*Buffer)(nil).Reuse()
	require.Nil(t, (*Buffer)(nil).Bytes())
}
