package agent

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/usppb"
)

// certified is a rig whose configuration has the CA of all Controllers and one of ctl2's.
func certified(t *testing.T) (r *rig, operator, second *identitytest.Authority) {
	operator, second = identitytest.Root(t, "operator"), identitytest.Root(t, "second")
	r = &rig{t: t, tree: newTree(), keep: &kept{}, cas: []*x509.Certificate{operator.Cert}}
	r.controllers = []ControllerConfig{{EndpointID: ctl1, CAs: []*x509.Certificate{operator.Cert}}, {EndpointID: ctl2, OnlyDialsIn: true, CAs: []*x509.Certificate{second.Cert}}}
	r.start()
	r.connect()
	return r, operator, second
}

func (r *rig) addCertificate(cert *x509.Certificate, alias string) string {
	r.t.Helper()
	args := []string{"Certificate", identitytest.PEM(cert)}
	if alias != "" {
		args = append(args, "Alias", alias)
	}
	return r.operated(operateReq(ownRoot+addCertificateCommand, "", true, args...))[0]
}

// outputs are the output arguments of a command.
func (r *rig) outputs(req *usppb.Request) map[string]string {
	r.t.Helper()
	return r.ask(req).GetResponse().GetOperateResp().GetOperationResults()[0].GetReqOutputArgs().GetOutputArgs()
}

// The trust store of the configuration is shown, and is no Controller's to change.
func TestCertificatesOfTheConfiguration(t *testing.T) {
	r, operator, second := certified(t)
	for _, ca := range []*identitytest.Authority{operator, second} {
		row := certificateRow(ca.Cert)
		equal(t, r.get(row+"Issuer"), row+"Issuer=CN="+ca.Cert.Subject.CommonName)
		equal(t, r.get(row+"SerialNumber"), row+"SerialNumber="+strings.ToUpper(ca.Cert.SerialNumber.Text(16)))
		equal(t, r.get(row+"Enable"), row+"Enable=true")
		wantError(t, r.ask(setReq(false, obj{row, []param{req("Enable", "false")}})), 7004, row+"Enable 7013")
		equal(t, r.operated(operateReq(row+deleteCertificateCommand, "", true))[0], "7022")
		equal(t, r.addCertificate(ca.Cert, ""), "7022")
	}
	equal(t, r.get(ownRoot+"CertificateNumberOfEntries"), ownRoot+"CertificateNumberOfEntries=2")
}

func TestAddCertificate(t *testing.T) {
	r, _, _ := certified(t)
	self := (&identitytest.Authority{}).Issue(t, "proto::x").Leaf
	row := certificateRow(self)
	r.ask(addReq(false, obj{subscriptionTable, []param{req("Enable", "true"), req("ID", "s"), req("NotifType", objectCreation), req("ReferenceList", certificateTable)}}))
	equal(t, r.addCertificate(self, "added"), "ok")
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetObjCreation().GetObjPath(), row)
	equal(t, r.get(row+"Alias"), row+"Alias=added")

	r.stop() // what was answered is on disk
	r.start()
	r.connect()
	equal(t, r.get(certificateTable+`[Alias=="added"].Enable`), row+"Enable=true")
	equal(t, r.outputs(operateReq(row+fingerprintCommand, "", true, "FingerprintAlgorithm", "SHA-256"))["Fingerprint"],
		fmt.Sprintf("%X", sha256.Sum256(self.Raw)))
	equal(t, r.operated(operateReq(row+fingerprintCommand, "", true, "FingerprintAlgorithm", "SHA-1"))[0], "7027")

	// What refers to it is cleared when it is deleted (R-ARC.12).
	r.ask(setReq(false, obj{controllerTable + "2.", []param{req("Credential", row+","+row)}}))
	equal(t, r.get(controllerTable+"2.Credential"), controllerTable+"2.Credential="+strings.TrimSuffix(row, "."))
	cred := r.added(obj{credentialTable, []param{req("Credential", certificateTable+`[Alias=="added"]`)}})
	r.operated(operateReq(row+deleteCertificateCommand, "", true))
	equal(t, r.get(controllerTable+"2.Credential")+r.get(cred+"Credential"), controllerTable+"2.Credential="+cred+"Credential=")
	equal(t, r.get(row+"Alias"), "7026")
}

func TestAddCertificateRefuses(t *testing.T) {
	r, operator, _ := certified(t)
	cert := operator.Issue(t, "proto::x").Leaf
	r.addCertificate(cert, "one")
	same := func(c *x509.Certificate) { c.SerialNumber = cert.SerialNumber }
	long := func(c *x509.Certificate) { c.Issuer.CommonName, c.Subject.CommonName = "", strings.Repeat("x", 300) }
	for name, c := range map[string]struct{ text, alias, code string }{
		"no PEM":            {"x", "", "7027"},
		"two":               {identitytest.PEM(operator.Issue(t, "a::b").Leaf) + identitytest.PEM(cert), "", "7027"},
		"no certificate":    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", "7027"},
		"a key":             {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "", "7027"},
		"there already":     {identitytest.PEM(cert), "", "7022"},
		"same serial":       {identitytest.PEM(operator.Issue(t, "a::b", same).Leaf), "", "7022"},
		"same Alias":        {identitytest.PEM(operator.Issue(t, "a::b").Leaf), "one", "7022"},
		"no Alias":          {identitytest.PEM(operator.Issue(t, "a::b").Leaf), "1", "7027"},
		"Issuer's too long": {identitytest.PEM(identitytest.Root(t, "", long).Cert), "", "7027"},
	} {
		args := []string{"Certificate", c.text}
		if c.alias != "" {
			args = append(args, "Alias", c.alias)
		}
		if got := r.operated(operateReq(ownRoot+addCertificateCommand, "", true, args...))[0]; got != c.code {
			t.Errorf("%s: %s, want %s", name, got, c.code)
		}
	}
	huge := operator.Issue(t, usp.EndpointID("a::"+strings.Repeat("b", maxCertificate))).Leaf
	equal(t, r.addCertificate(huge, ""), "7005")
	for i := range maxCertificates - 1 {
		r.addCertificate(operator.Issue(t, "a::b", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(int64(i + 1)) }).Leaf, "")
	}
	equal(t, r.addCertificate(operator.Issue(t, "a::b").Leaf, ""), "7005")
}

// A Controller adds a certificate of its own, which then proves who it is; nobody else can. What fails leaves nothing behind.
func TestAddMyCertificate(t *testing.T) {
	r, operator, _ := certified(t)
	mine := controllerTable + "1."
	self, other := (&identitytest.Authority{}).Issue(t, "proto::x").Leaf, operator.Issue(t, "a::b").Leaf
	add := func(row string, cert *x509.Certificate) string {
		return r.operated(operateReq(row+addMyCertificateCommand, "", true, "Certificate", identitytest.PEM(cert), "Alias", "mine"))[0]
	}
	equal(t, r.operated(operateReq(mine+addMyCertificateCommand, "", true))[0], "7027")
	equal(t, add(controllerTable+"2.", self), "7006")
	equal(t, r.get(certificateRow(self)+"Alias"), "7026")
	equal(t, add(mine, self), "ok")
	equal(t, add(mine, other), "7022") // the same Alias
	equal(t, r.get(mine+"Credential"), mine+"Credential="+strings.TrimSuffix(certificateRow(self), "."))
	equal(t, r.get(certificateRow(self)+"Alias"), certificateRow(self)+"Alias=mine")
	r.stop()
	r.start()
	r.connect()
	if _, err := r.a.Authenticate(t.Context(), ctl1, []*x509.Certificate{self}); err != nil {
		t.Errorf("the certificate does not prove who its Controller is: %v", err)
	}
	if _, err := r.a.Authenticate(t.Context(), ctl2, []*x509.Certificate{self}); err == nil {
		t.Error("the certificate proves another Controller's identity")
	}
}

// A certificate that the configuration has now is its own, whatever was kept of it.
func TestAddedCertificateJoinsTheConfiguration(t *testing.T) {
	r, _, _ := certified(t)
	ca := identitytest.Root(t, "late")
	row := certificateRow(ca.Cert)
	r.addCertificate(ca.Cert, "mine")
	r.ask(setReq(false, obj{row, []param{req("Enable", "false")}}))
	r.stop()
	r.cas = append(r.cas, ca.Cert)
	r.start()
	r.connect()
	equal(t, r.get(row+"Enable"), row+"Enable=true")
}

// FuzzAddCertificate: whatever comes as a certificate is refused as an argument or kept, shown and judged without harm.
func FuzzAddCertificate(f *testing.F) {
	ca := identitytest.Root(f, "ca")
	f.Add(ca.Cert.Raw)
	f.Add(ca.Issue(f, ctl2).Leaf.Raw)
	f.Add(ca.Issue(f, "", func(c *x509.Certificate) { c.Subject.CommonName = "a, b\x01" }).Leaf.Raw)
	f.Add([]byte{0x30, 0x82})
	f.Fuzz(func(t *testing.T, der []byte) {
		r := newRig(t)
		defer r.stop()
		text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		switch code := r.operated(operateReq(ownRoot+addCertificateCommand, "", true, "Certificate", text))[0]; code {
		case "ok":
		case "7027", "7005":
			return
		default:
			t.Fatalf("code %s", code)
		}
		row := strings.TrimSuffix(strings.Split(r.get(certificateTable+"*.Alias"), "=")[0], "Alias")
		r.ask(setReq(false, obj{controllerTable + "2.", []param{req("Credential", row)}}))
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = r.a.Authenticate(t.Context(), ctl2, []*x509.Certificate{cert})
		equal(t, r.operated(operateReq(row+deleteCertificateCommand, "", true))[0], "ok")
	})
}
