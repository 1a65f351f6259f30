package proof

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A real HTTP/2 server that fails in every way that the protocol knows. The server is net/http's
// own. Before it stands a middle, which ends TLS and copies frames both ways, or breaks the
// connection or a stream instead. It reads no header: a request is a stream to it.

// h2Frame is what HTTP/2 consists of: a head of nine bytes and what follows it.
type h2Frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// The kinds that the middle must tell apart, and the flag with which a stream ends.
const (
	h2Data        = 0x0
	h2Headers     = 0x1
	h2ResetStream = 0x3
	h2GoAway      = 0x7

	h2EndStream = 0x1
)

func readH2Frame(r io.Reader) (h2Frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h2Frame{}, err
	}
	f := h2Frame{
		kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1),
		payload: make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2])),
	}
	_, err := io.ReadFull(r, f.payload)
	return f, err
}

// bytes is the frame as it stands on the wire.
func (f h2Frame) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(f.payload))<<8|uint32(f.kind))
	b = append(b, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	return append(b, f.payload...)
}

// ends reports that nothing of the request, or of the answer, follows.
func (f h2Frame) ends() bool {
	return (f.kind == h2Data || f.kind == h2Headers) && f.flags&h2EndStream != 0
}

// h2Fault is what becomes of a request.
type h2Fault struct {
	carriedOut bool // the server answers it, and nothing of that arrives; if not, the server never sees it
	breaks     func(client io.WriteCloser, stream uint32)
}

// resetsStream ends one stream, and leaves the connection as it is.
func resetsStream(code uint32) func(io.WriteCloser, uint32) {
	return func(client io.WriteCloser, stream uint32) {
		reset := h2Frame{kind: h2ResetStream, stream: stream, payload: binary.BigEndian.AppendUint32(nil, code)}
		_, _ = client.Write(reset.bytes()) // a client that has gone is no concern of ours, here and below
	}
}

// goesAway says up to which stream the server has looked at what it was sent.
func goesAway(client io.Writer, last uint32) {
	const noError = 0
	payload := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), noError)
	_, _ = client.Write(h2Frame{kind: h2GoAway, payload: payload}.bytes())
}

func goesAwayBefore(client io.WriteCloser, stream uint32) { goesAway(client, max(stream, 2)-2) }

func goesAwayAfter(client io.WriteCloser, stream uint32) {
	goesAway(client, stream)
	_ = client.Close()
}

func hangsUp(client io.WriteCloser, _ uint32) { _ = client.Close() }

// h2Middle is the server and what stands before it.
type h2Middle struct {
	URL      string
	listener net.Listener
	server   *http.Server
	backend  net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	fault   h2Fault
	faults  int                   // how many requests it is still for; less than 0: each one
	arrived []uint32              // the stream of each request since the fault was set
	passed  int                   // how many of them the server was given
	opened  int                   // connections
	open    map[net.Conn]net.Conn // to the server's end of each
}

// newH2Middle starts a server, which lets a client have so many requests under way on a connection;
// 0 is net/http's default.
func newH2Middle(t *testing.T, handler http.Handler, streams int) *h2Middle {
	t.Helper()
	certificate, _ := h2Certificate()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	m := &h2Middle{
		backend: listen(),
		listener: tls.NewListener(listen(), &tls.Config{
			Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}, CurvePreferences: cheapCurve,
		}),
		server: &http.Server{
			Handler: handler, Protocols: &http.Protocols{}, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams},
			ErrorLog: log.New(io.Discard, "", 0),
		},
		open: map[net.Conn]net.Conn{},
	}
	m.server.Protocols.SetUnencryptedHTTP2(true)
	m.URL = "https://" + m.listener.Addr().String()
	m.running.Go(func() { _ = m.server.Serve(m.backend) }) // ends with close
	m.running.Go(m.accept)
	t.Cleanup(m.close)
	return m
}

func (m *h2Middle) close() {
	_ = m.listener.Close()
	_ = m.server.Close()
	m.mu.Lock()
	for client, server := range m.open {
		_, _ = client.Close(), server.Close()
	}
	m.mu.Unlock()
	m.running.Wait()
}

func (m *h2Middle) accept() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", m.backend.Addr().String())
		if err != nil { // it is closed
			_ = client.Close()
			return
		}
		m.mu.Lock()
		m.opened++
		m.open[client] = server
		m.mu.Unlock()
		c := &h2Connection{
			middle: m, client: client, server: server, greeted: make(chan struct{}), faults: map[uint32]h2Fault{},
		}
		m.running.Go(func() { c.ends(c.passRequests) })
		m.running.Go(func() { c.ends(c.passAnswers) })
	}
}

// transport is a client's way to the server. What it remembers of headers is nothing, and neither
// is what the server may remember, so that both still understand the next one where the middle has
// kept one back.
func (m *h2Middle) transport(t *testing.T) *http.Transport {
	_, roots := h2Certificate()
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, CurvePreferences: cheapCurve},
		HTTP2:             &http.HTTP2Config{MaxEncoderHeaderTableSize: 1, MaxDecoderHeaderTableSize: 1},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// set has the next requests meet a fault, as many as it says; less than 0 is each one from now on.
func (m *h2Middle) set(fault h2Fault, times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.faults, m.arrived, m.passed = fault, times, nil, 0
}

// requests returns the streams of the requests that arrived since a fault was set, and how many of
// them the server got.
func (m *h2Middle) requests() (arrived []uint32, passed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.arrived, m.passed
}

func (m *h2Middle) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opened
}

// arrives counts a request and says which fault it meets.
func (m *h2Middle) arrives(stream uint32) (fault h2Fault, faulty bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrived = append(m.arrived, stream)
	if faulty = m.faults != 0; faulty {
		m.faults--
	}
	if !faulty || m.fault.carriedOut {
		m.passed++
	}
	return m.fault, faulty
}

// h2Connection is one connection of a client, and the one behind it.
type h2Connection struct {
	middle         *h2Middle
	client, server net.Conn
	greeted        chan struct{} // closed when the client has the server's SETTINGS, or never will

	mu     sync.Mutex         // guards faults, and keeps what is written to the client whole
	faults map[uint32]h2Fault // by stream
}

// ends closes both connections as soon as nothing more is passed in one of the two directions.
func (c *h2Connection) ends(pass func()) {
	pass()
	_, _ = c.client.Close(), c.server.Close()
	c.middle.mu.Lock()
	defer c.middle.mu.Unlock()
	delete(c.middle.open, c.client)
}

func (c *h2Connection) passRequests() {
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c.client, preface); err != nil {
		return
	}
	_, err := c.server.Write(preface)
	for err == nil {
		var f h2Frame
		if f, err = readH2Frame(c.client); err != nil {
			return
		}
		if f.kind == h2Headers { // our requests have no trailers, so each is a new one
			c.begins(f.stream)
		}
		switch fault, faulty := c.faultOf(f.stream); {
		case !faulty || fault.carriedOut:
			_, err = c.server.Write(f.bytes())
		case f.ends():
			c.breaks(fault, f.stream)
		}
	}
}

func (c *h2Connection) passAnswers() {
	greet := sync.OnceFunc(func() { close(c.greeted) })
	defer greet()
	for {
		f, err := readH2Frame(c.server)
		if err != nil {
			return
		}
		switch fault, faulty := c.faultOf(f.stream); {
		case !faulty:
			c.mu.Lock()
			_, err = c.client.Write(f.bytes())
			c.mu.Unlock()
			greet()
		case f.ends():
			c.breaks(fault, f.stream)
		}
		if err != nil {
			return
		}
	}
}

func (c *h2Connection) begins(stream uint32) {
	if fault, faulty := c.middle.arrives(stream); faulty {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults[stream] = fault
	}
}

func (c *h2Connection) faultOf(stream uint32) (fault h2Fault, faulty bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fault, faulty = c.faults[stream]
	return fault, faulty
}

func (c *h2Connection) breaks(fault h2Fault, stream uint32) {
	<-c.greeted // a client takes no other frame before
	c.mu.Lock()
	defer c.mu.Unlock()
	fault.breaks(c.client, stream)
}

// cheapCurve keeps thousands of handshakes from taking as long as everything else.
var cheapCurve = []tls.CurveID{tls.X25519}

// h2Certificate is one for loopback, and who trusts it.
var h2Certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, roots
})
