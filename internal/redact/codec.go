package redact

// codec writes bytes as characters that each stand for the same number of bits.
type codec struct {
	bits, skips int
	value       [256]int8 // -1 for a character that the code does not have
}

// codecs are base64, in the standard and the URL alphabet, and hexadecimal text.
var codecs = []*codec{
	newCodec(6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "-_"),
	hexadecimal,
}

var hexadecimal = newCodec(4, "0123456789abcdef", "ABCDEF")

// newCodec takes the alphabet, and other characters for the last ones of it.
func newCodec(bits int, alphabet, others string) *codec {
	c := &codec{bits: bits, skips: 8 / gcd(bits, 8)}
	for i := range c.value {
		c.value[i] = -1
	}
	for i := range alphabet {
		c.value[alphabet[i]] = int8(i) //nolint:gosec // an alphabet has 64 letters at most
	}
	for i := range others {
		c.value[others[i]] = c.value[alphabet[len(alphabet)-len(others)+i]]
	}
	return c
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (c *codec) has(char byte) bool { return c.value[char] >= 0 }

// says reports whether a text, decoded from any place where a byte may begin, contains one of the
// runs.
func (c *codec) says(text []byte, of runs) bool {
	for skip := range min(c.skips, len(text)) {
		if len(text[skip:])*c.bits >= runLength*8 && c.reads(text[skip:], of) {
			return true
		}
	}
	return false
}

func (c *codec) reads(text []byte, of runs) bool {
	var last run
	var bits uint32
	have, read := 0, 0
	for _, char := range text {
		bits = bits<<c.bits | uint32(c.value[char]) //nolint:gosec // it is one of the code's
		if have += c.bits; have < 8 {
			continue
		}
		have -= 8
		b, ok := foldByte(byte(bits >> have)) //nolint:gosec // the latest eight bits
		if !ok {
			continue
		}
		last = last.and(b)
		if read++; read >= runLength && of.has(last) {
			return true
		}
	}
	return false
}
