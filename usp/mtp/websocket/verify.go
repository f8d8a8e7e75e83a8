package websocket

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// errNamed is the error of a certificate that is another Endpoint's.
var errNamed = errors.New("the certificate names another Endpoint")

// tls is what an Endpoint dials with. crypto/tls would refuse a certificate that names the Controller and not its host, so what it verifies
// is verified here.
func (c *Client) tls(ctx context.Context, e mtp.Endpoint, host string) *tls.Config {
	t := c.o.TLS.Clone()
	if c.o.Certificate != nil {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.o.Certificate(e.EndpointID()) }
	}
	if !t.InsecureSkipVerify {
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(s tls.ConnectionState) error {
			return c.verify(ctx, e, cmp.Or(c.o.TLS.ServerName, host), s.PeerCertificates)
		}
	}
	return t
}

// verify judges what the server has shown (R-MTP.1, R-MTP.4): a chain to a CA of TLS or to what the Endpoint accepts, and the name of the
// Controller (R-SEC.0a) or, where there is the name of no Endpoint, of the host.
func (c *Client) verify(ctx context.Context, e mtp.Endpoint, host string, shown []*x509.Certificate) error {
	proven := false
	if _, err := usp.VerifyCertificates(shown, x509.VerifyOptions{Roots: c.o.TLS.RootCAs}); err != nil {
		a, ok := e.(mtp.Authenticator)
		if !ok {
			return err
		}
		var refused error
		if proven, refused = a.Authenticate(ctx, c.o.Controller, shown); refused != nil {
			return fmt.Errorf("%w; and as this Agent sees it: %w", err, refused)
		}
	}
	named := usp.Named(shown[0], c.o.Controller)
	switch {
	case proven, named == usp.NamesIt:
		return nil
	case named == usp.NamesOther && c.o.Controller != "":
		return fmt.Errorf("%w than %s", errNamed, c.o.Controller)
	}
	return shown[0].VerifyHostname(host)
}
