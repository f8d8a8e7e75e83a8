package cwmp

// Decode reads one SOAP message. contentType is its HTTP header, a hint at the charset; it may be empty. It takes what real CPE
// send: any prefix, any namespace, wrong counts, missing types, control characters. The error is ErrMalformed, ErrDoctype or ErrLimit.
func Decode(body []byte, contentType string) (*Envelope, error) {
	return nil, ErrMalformed
}
