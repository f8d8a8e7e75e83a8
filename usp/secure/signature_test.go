package secure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/usppb"
)

const (
	agentID      usp.EndpointID = "os::00D09E-S1"
	controllerID usp.EndpointID = "proto::controller"
)

func sessionRecord() *usppb.Record {
	return &usppb.Record{Version: "1.4", ToId: "a", FromId: "b", PayloadSecurity: usppb.Record_TLS12,
		RecordType: &usppb.Record_SessionContext{SessionContext: &usppb.SessionContextRecord{
			SessionId: 2, SequenceId: 3, ExpectedId: 4, RetransmitId: 0x0102030405060708,
			PayloadSarState: usppb.SessionContextRecord_COMPLETE, PayloadrecSarState: usppb.SessionContextRecord_BEGIN,
			Payload: [][]byte{[]byte("not covered")},
		}}}
}

// R-E2E.32: what is covered, byte by byte.
func TestFields(t *testing.T) {
	r := sessionRecord()
	r.SenderCert, r.MacSignature = []byte("cert"), []byte("not covered")
	got := hex.EncodeToString(fields(r))
	want := hex.EncodeToString([]byte("1.4ab")) + "00000001" + hex.EncodeToString([]byte("cert")) +
		"0000000000000002" + "0000000000000003" + "0000000000000004" + "0102030405060708" + "00000003" + "00000001"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	none := &usppb.Record{Version: "1.4", ToId: "a", FromId: "b", RecordType: &usppb.Record_NoSessionContext{
		NoSessionContext: &usppb.NoSessionContextRecord{Payload: []byte("not covered")}}}
	if got, want := fields(none), append([]byte("1.4ab"), 0, 0, 0, 0); !bytes.Equal(got, want) {
		t.Errorf("without a session: %q, want %q", got, want)
	}
}

// R-E2E.30, R-E2E.31.
func TestSignature(t *testing.T) {
	ca := identitytest.Root(t, "root").CA(t, "below")
	cert := ca.Issue(t, controllerID)
	r := sessionRecord()
	if err := Sign(r, cert); err != nil {
		t.Fatal(err)
	}
	chain, err := Verify(r, nil)
	if err != nil || len(chain) != 2 || !chain[0].Equal(cert.Leaf) || !chain[1].Equal(ca.Cert) {
		t.Fatalf("%d certificates, %v", len(chain), err)
	}
	r.GetSessionContext().Payload = [][]byte{[]byte("other")} // is not covered
	if _, err := Verify(r, nil); err != nil {
		t.Error(err)
	}
	stripped := proto.Clone(r).(*usppb.Record)
	stripped.SenderCert = nil
	if _, err := Verify(stripped, nil); !errors.Is(err, ErrSender) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := Verify(stripped, chain); !errors.Is(err, ErrMismatch) {
		t.Errorf("sender_cert taken out: %v", err)
	}
	for name, change := range map[string]func(*usppb.Record){
		"version":              func(r *usppb.Record) { r.Version = "1.3" },
		"to_id":                func(r *usppb.Record) { r.ToId = "c" },
		"from_id":              func(r *usppb.Record) { r.FromId = "c" },
		"payload_security":     func(r *usppb.Record) { r.PayloadSecurity = usppb.Record_PLAINTEXT },
		"sender_cert":          func(r *usppb.Record) { r.SenderCert = append(r.SenderCert, '\n') },
		"mac_signature":        func(r *usppb.Record) { r.MacSignature[len(r.MacSignature)-1]++ },
		"session_id":           func(r *usppb.Record) { r.GetSessionContext().SessionId++ },
		"sequence_id":          func(r *usppb.Record) { r.GetSessionContext().SequenceId++ },
		"expected_id":          func(r *usppb.Record) { r.GetSessionContext().ExpectedId++ },
		"retransmit_id":        func(r *usppb.Record) { r.GetSessionContext().RetransmitId++ },
		"payload_sar_state":    func(r *usppb.Record) { r.GetSessionContext().PayloadSarState = 0 },
		"payloadrec_sar_state": func(r *usppb.Record) { r.GetSessionContext().PayloadrecSarState = 0 },
		"record_type":          func(r *usppb.Record) { r.RecordType = &usppb.Record_NoSessionContext{} },
	} {
		c := proto.Clone(r).(*usppb.Record)
		change(c)
		if _, err := Verify(c, nil); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
}

// TestSignatureWithKnownCertificate: "the certificate used for Secure Message Exchange" stands in for a sender_cert that was left out.
func TestSignatureWithKnownCertificate(t *testing.T) {
	cert := identitytest.Root(t, "root").Issue(t, controllerID)
	r := sessionRecord()
	if err := Sign(r, &tls.Certificate{PrivateKey: cert.PrivateKey}); err != nil || len(r.GetSenderCert()) != 0 {
		t.Fatal(err)
	}
	if chain, err := Verify(r, []*x509.Certificate{cert.Leaf}); err != nil || len(chain) != 1 {
		t.Error(chain, err)
	}
}

func TestSignatureMalformed(t *testing.T) {
	ca := identitytest.Root(t, "root")
	cert := ca.Issue(t, controllerID)
	r := sessionRecord()
	if _, err := Verify(r, []*x509.Certificate{cert.Leaf}); !errors.Is(err, ErrUnsigned) {
		t.Error(err)
	}
	r.MacSignature = []byte("x")
	one := []byte(identitytest.PEM(cert.Leaf))
	for name, sender := range map[string][]byte{
		"no PEM": []byte("x"), "no certificate": []byte("-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"),
		"too many": bytes.Repeat(one, maxChain+1), "too long": append(bytes.Repeat([]byte{' '}, maxSender), one...),
	} {
		r.SenderCert = sender
		if _, err := Verify(r, nil); !errors.Is(err, ErrSender) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.SenderCert = one
	if _, err := Verify(r, nil); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert.Leaf, ca.Cert, key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	other := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if err := Sign(r, other); !errors.Is(err, ErrKey) {
		t.Errorf("P-384 signs: %v", err)
	}
	r.SenderCert = []byte(identitytest.PEM(identitytest.Chain(t, other)[0]))
	if _, err := Verify(r, nil); !errors.Is(err, ErrKey) {
		t.Errorf("P-384 verifies: %v", err)
	}
}

// FuzzVerify has Records from a peer verified: nothing that was not signed passes.
func FuzzVerify(f *testing.F) {
	cert := identitytest.Root(f, "root").Issue(f, controllerID)
	r := sessionRecord()
	if err := Sign(r, cert); err != nil {
		f.Fatal(err)
	}
	signed := fields(r)
	b, err := proto.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add(append(b, 0x2a, 1, 0)) // another mac_signature
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &usppb.Record{}
		if proto.Unmarshal(b, r) != nil {
			return
		}
		chain, err := Verify(r, nil)
		if err == nil && chain[0].Equal(cert.Leaf) && !bytes.Equal(fields(r), signed) {
			t.Errorf("%x has a signature of something else", b)
		}
	})
}
