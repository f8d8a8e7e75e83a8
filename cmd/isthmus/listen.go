package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"isthmus/cmd/isthmus/config"
)

// listeners are the sockets that isthmus accepts on; nil where one is turned off.
type listeners struct {
	cwmp, secureCWMP, legacyCWMP, ws, admin, transfers net.Listener

	udp *net.UDPConn // STUN and UDP Connection Requests
}

// open opens them all, or none.
func (ls *listeners) open(ctx context.Context, c *config.Config) error {
	for _, l := range []struct {
		key string
		at  config.Address
		to  *net.Listener
	}{
		{"cwmp.listen", c.CWMP.Listen, &ls.cwmp},
		{"cwmp.tls.listen", c.CWMP.TLS.Listen, &ls.secureCWMP},
		{"cwmp.legacy_tls.listen", c.CWMP.LegacyTLS.Listen, &ls.legacyCWMP},
		{"usp.websocket_server.listen", c.USP.WebSocketServer.Listen, &ls.ws},
		{"admin.listen", c.Admin.Listen, &ls.admin},
		{"transfers.listen", c.Transfers.Listen, &ls.transfers},
	} {
		if l.at == "" {
			continue
		}
		opened, err := (&net.ListenConfig{}).Listen(ctx, "tcp", string(l.at))
		if err != nil {
			return errors.Join(remedy(l.key, l.at, err), ls.close())
		}
		*l.to = opened
	}
	if at := c.CWMP.ConnectionRequest.UDPListen; at != "" {
		opened, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", string(at))
		if err != nil {
			return errors.Join(remedy("cwmp.connection_request.udp_listen", at, err), ls.close())
		}
		ls.udp, _ = opened.(*net.UDPConn)
	}
	return nil
}

// remedy says what to do about an address that cannot be listened on.
func remedy(key string, at config.Address, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s is in use by another program: stop that program or choose another port", key, at)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: no permission to listen on %s: choose a port above 1023 or grant CAP_NET_BIND_SERVICE", key, at)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is no address of this machine: choose one that is", key, at)
	}
	return fmt.Errorf("%s: %w", key, err)
}

func (ls *listeners) all() []net.Listener {
	var open []net.Listener
	for _, l := range []net.Listener{ls.cwmp, ls.secureCWMP, ls.legacyCWMP, ls.ws, ls.admin, ls.transfers} {
		if l != nil {
			open = append(open, l)
		}
	}
	return open
}

// close closes what nobody serves yet.
func (ls *listeners) close() error {
	var errs []error
	for _, l := range ls.all() {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if ls.udp != nil {
		if err := ls.udp.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// addresses are what no Connection Request may call.
func (ls *listeners) addresses() []netip.AddrPort {
	var own []netip.AddrPort
	for _, l := range ls.all() {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			own = append(own, a.AddrPort())
		}
	}
	if ls.udp != nil {
		if a, ok := ls.udp.LocalAddr().(*net.UDPAddr); ok {
			own = append(own, a.AddrPort())
		}
	}
	return own
}

// serverTLS is nil where there is no certificate. Clients may show one that clientCA, a file, signed.
func serverTLS(c *config.ServerTLS, clientCA string) (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", c.CertFile, err)
	}
	cas, err := certificates(clientCA)
	if err != nil {
		return nil, err
	}
	t := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool(cas), MinVersion: tls.VersionTLS12}
	if t.ClientCAs != nil {
		t.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return t, nil
}

// cwmpClientCA is empty where CPE are not asked for a certificate: one that nobody looks at confuses some.
func cwmpClientCA(c *config.Config) string {
	if !c.CWMP.Auth.Certificate() {
		return ""
	}
	return c.CWMP.TLS.ClientCAFile
}

func webSocketTLS(c *config.Config) (*tls.Config, error) {
	t, err := serverTLS(&c.USP.WebSocketServer.TLS.ServerTLS, "")
	if t != nil {
		t.ClientAuth = tls.RequestClientCert // each Agent has its own Certificates to judge it by
	}
	return t, err
}

// certificates reads a file of CA certificates; "" has none.
func certificates(file string) ([]*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CA certificates: %w", err)
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil { // as x509.CertPool does: a bundle may have what Go does not know
			all = append(all, cert)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("CA certificates: %s has none in PEM", file)
	}
	return all, nil
}

// pool is nil without certificates.
func pool(certs []*x509.Certificate) *x509.CertPool {
	if len(certs) == 0 {
		return nil
	}
	p := x509.NewCertPool()
	for _, cert := range certs {
		p.AddCert(cert)
	}
	return p
}

func address(l net.Listener) string {
	if l == nil {
		return off
	}
	return l.Addr().String()
}

const off = "off"

func (ls *listeners) udpAddress() string {
	if ls.udp == nil {
		return off
	}
	return ls.udp.LocalAddr().String()
}
