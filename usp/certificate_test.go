package usp_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
)

// R-SEC.0a, R-SEC.11, R-SEC.12.
func TestNamed(t *testing.T) {
	for _, c := range []struct {
		uris []string
		dns  []string
		id   usp.EndpointID
		want usp.Naming
	}{
		{nil, nil, "proto::a", usp.NamesNobody},
		{[]string{"https://example.com/"}, nil, "proto::a", usp.NamesNobody},
		{[]string{"urn:bbf:usp:id:proto::a"}, nil, "proto::a", usp.NamesIt},
		{[]string{"URN:BBF:usp:id:proto::a"}, nil, "proto::a", usp.NamesIt},
		{[]string{"urn:bbf:usp:id:proto::b", "urn:bbf:usp:id:proto::a"}, nil, "proto::a", usp.NamesIt},
		{[]string{"urn:bbf:usp:id:proto::b"}, nil, "proto::a", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:proto::a"}, nil, "", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:ops::00D09E-Gate%2Dway-1"}, nil, "ops::00D09E-Gate%2Dway-1", usp.NamesIt},
		{[]string{"urn:bbf:usp:id:ops::00D09E-Gate%2Dway-1"}, nil, "ops::00D09E-Gate-way-1", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:ops::00D09E-*"}, nil, "ops::00D09E-Gateway-1", usp.NamesIt},
		{[]string{"urn:bbf:usp:id:ops::00D09E-*"}, nil, "ops::00D09E-", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:ops::00D09E-*"}, nil, "ops::00D09F-Gateway-1", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:ops::00D09*"}, nil, "ops::00D09E-Gateway-1", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:os::*"}, nil, "os::00D09E-1", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:oui:00D09E:*"}, nil, "oui:00D09E:1", usp.NamesIt},
		{[]string{"urn:bbf:usp:id:oui:00D09E:a*z"}, nil, "oui:00D09E:a1z", usp.NamesIt},
		{[]string{"urn:bbf:usp:id:oui:00D09E:a*z"}, nil, "oui:00D09E:az", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:oui::*"}, nil, "oui::1", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:pen:*:1"}, nil, "pen:3561:1", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:proto::*"}, nil, "proto::a", usp.NamesOther},
		{[]string{"urn:bbf:usp:id:*"}, nil, "proto::a", usp.NamesOther},
		{nil, []string{"ctl.example.com"}, "fqdn::CTL.example.com", usp.NamesIt},
		{nil, []string{"*.example.com"}, "fqdn::ctl.example.com", usp.NamesNobody},
		{nil, []string{"ctl.example.com"}, "proto::ctl.example.com", usp.NamesNobody},
		{[]string{"urn:bbf:usp:id:fqdn::ctl.example.com"}, nil, "fqdn::ctl.example.com", usp.NamesIt},
	} {
		cert := &x509.Certificate{DNSNames: c.dns}
		for _, s := range c.uris {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, u)
		}
		if got := usp.Named(cert, c.id); got != c.want {
			t.Errorf("%v, %v, %s: got %d, want %d", c.uris, c.dns, c.id, got, c.want)
		}
	}
}

// TestVerifyCertificates: TP-469 2.6, R-MTP.2, R-MTP.3, R-SEC.19, R-SEC.20. The clock of a bubble begins in 2000, as one that was not set may.
func TestVerifyCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expired := func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-3, 0, 0), c.NotAfter.AddDate(-2, 0, 0)
		}
		coming := func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(30, 0, 0), c.NotAfter.AddDate(32, 0, 0)
		}
		lasting := func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-20, 0, 0), c.NotAfter.AddDate(80, 0, 0)
		}
		root := identitytest.Root(t, "root", lasting)
		good := func(cert *tls.Certificate, roots *x509.CertPool) bool {
			_, err := usp.VerifyCertificates(identitytest.Chain(t, cert), x509.VerifyOptions{Roots: roots})
			return err == nil
		}
		valid, old, later := root.Issue(t, "proto::a", lasting), root.CA(t, "middle", expired).Issue(t, "proto::a", lasting), root.Issue(t, "proto::a", coming)
		for _, cert := range []*tls.Certificate{valid, old, later} {
			if !good(cert, root.Pool()) {
				t.Errorf("from %s to %s: refused without a clock", cert.Leaf.NotBefore, cert.Leaf.NotAfter)
			}
			if good(cert, identitytest.Root(t, "other", lasting).Pool()) {
				t.Error("anybody's CA will do without a clock")
			}
		}
		time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
		if !good(valid, root.Pool()) || good(old, root.Pool()) || good(later, root.Pool()) {
			t.Error("the dates do not count with a clock")
		}
	})
}
