package send

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoopbackName(t *testing.T) {
	for host, want := range map[string]string{
		"localhost": "localhost", "LOCALHOST": "localhost", "127.0.0.1": "127.0.0.1", "127.9.8.7": "127.9.8.7",
		"::1": "::1", "::1%lo": "::1", "::ffff:127.0.0.1": "127.0.0.1",
		"": "", "localhost.": "", "example.com": "", "10.0.0.1": "", "ſlocalhost": "", "localhoſt": "", "0.0.0.0": "",
	} {
		require.Equal(t, want, LoopbackName(host), host)
	}
}

func TestHostPort(t *testing.T) {
	require.Equal(t, "example.com", HostPort("example.com", ""))
	require.Equal(t, "example.com:8080", HostPort("example.com", "8080"))
	require.Equal(t, "[::1]", HostPort("::1", ""))
	require.Equal(t, "[::1]:8080", HostPort("::1", "8080"))
}

func TestHeaders(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Trace": true, "a1!#": true, "": false, "a b": false, "a:b": false, "é": false,
	} {
		require.Equal(t, want, IsHeaderName(name), name)
	}
	for text, want := range map[string]bool{"": true, "a b\tc": true, "a\nb": false, "a\x00": false, "é": false} {
		require.Equal(t, want, IsHeaderText(text), text)
	}
}

func TestRedirectHost(t *testing.T) {
	for location, want := range map[string]string{
		"https://other.example/a?b=c": "other.example", "//other.example:8443/": "other.example:8443",
		"/elsewhere": "the same host", "?a=b": "the same host",
		"": "nowhere that can be read", "http://": "nowhere that can be read", "\x7f": "nowhere that can be read",
	} {
		require.Equal(t, want, RedirectHost(location), location)
	}
}
