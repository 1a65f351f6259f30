package pipes

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whoever is told that the other end is closed finds it closed. If it were told earlier, a server
// could hang up on a client that still reads, and what breaks off then is the answer, not the
// caller's patience.
func TestPeerIsGoneWhenItIsToldSo(t *testing.T) {
	client, server := net.Pipe()
	defer func() { require.NoError(t, server.Close()) }()
	require.NoError(t, client.SetReadDeadline(time.Unix(0, 0))) // reading would wait
	told := false
	require.NoError(t, callersEnd{client, func() {
		told = true
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}}.Close())
	require.True(t, told)
}
