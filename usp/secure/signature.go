// Package secure protects Records where the MTP does not (TR-369, "Validating the Integrity of the USP Record" and "Secure Message Exchange"):
// a signature over the fields of a Record, and a TLS session that travels in the payloads of Records, with a MAC over their fields.
package secure

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	// maxSender is the length of a sender_cert in bytes that is read, maxChain how many certificates it may have.
	maxSender = 64 << 10
	maxChain  = 8
	// maxSignature is the length of an ECDSA P-256 signature in DER.
	maxSignature = 72
)

// What is wrong with the protection of a Record.
var (
	ErrUnsigned = errors.New("secure: the Record has no mac_signature")
	ErrSender   = errors.New("secure: sender_cert is no chain of certificates in PEM")
	ErrKey      = errors.New("secure: the certificate's key is not ECDSA P-256")
	ErrMismatch = errors.New("secure: mac_signature does not belong to the Record")
)

// fields is what a signature or a MAC covers, in order (R-E2E.32, R-E2E.34): all of a Record but its mac_signature and payload. What Connect and
// Disconnect Records say is not covered, since TR-369 names the SessionContextRecord alone.
func fields(r *usppb.Record) []byte {
	b := append([]byte(r.GetVersion()), r.GetToId()...)
	b = append(b, r.GetFromId()...)
	b = binary.BigEndian.AppendUint32(b, uint32(r.GetPayloadSecurity()))
	b = append(b, r.GetSenderCert()...)
	if s := r.GetSessionContext(); s != nil {
		b = binary.BigEndian.AppendUint64(b, s.GetSessionId())
		b = binary.BigEndian.AppendUint64(b, s.GetSequenceId())
		b = binary.BigEndian.AppendUint64(b, s.GetExpectedId())
		b = binary.BigEndian.AppendUint64(b, s.GetRetransmitId())
		b = binary.BigEndian.AppendUint32(b, uint32(s.GetPayloadSarState()))
		b = binary.BigEndian.AppendUint32(b, uint32(s.GetPayloadrecSarState()))
	}
	return b
}

// Sign fills in sender_cert and mac_signature (R-E2E.31). The payload is not covered, and need not be there yet. The error is ErrKey, or one of the key.
func Sign(r *usppb.Record, cert *tls.Certificate) error {
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok || !p256(key.Public()) {
		return ErrKey
	}
	r.SenderCert = nil
	for _, der := range cert.Certificate {
		r.SenderCert = append(r.SenderCert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	digest := sha256.Sum256(fields(r))
	mac, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("sign a record: %w", err)
	}
	r.MacSignature = mac
	return nil
}

// SignEncoded adds the signature to a Record in clear that is encoded already and belongs to no session; "" as version is usp.RecordVersion. None of what
// the signature covers depends on the payload.
func SignEncoded(record []byte, from, to usp.EndpointID, version string, cert *tls.Certificate) ([]byte, error) {
	head := &usppb.Record{Version: cmp.Or(version, usp.RecordVersion), FromId: string(from), ToId: string(to)}
	if err := Sign(head, cert); err != nil {
		return nil, err
	}
	// The encoding of two messages, one after the other, is that of both merged.
	return proto.MarshalOptions{}.MarshalAppend(record, &usppb.Record{MacSignature: head.MacSignature, SenderCert: head.SenderCert})
}

// Size is the most that Sign adds to an encoded Record, in bytes.
func Size(cert *tls.Certificate) int {
	const overhead = 2 * (1 + 5) // tag and length of a field
	n := maxSignature + overhead
	for _, der := range cert.Certificate {
		n += len(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return n
}

// Verify checks the signature of a Record with the first certificate of its sender_cert or, where it has none, of known, those that the sender has shown
// before (R-E2E.30, R-E2E.31). It gives the certificates that count; whether they are to be trusted, and name the sender, is for the caller to say.
// The error is one of those above.
func Verify(r *usppb.Record, known []*x509.Certificate) ([]*x509.Certificate, error) {
	if len(r.GetMacSignature()) == 0 {
		return nil, ErrUnsigned
	}
	chain := known
	if sender := r.GetSenderCert(); len(sender) > 0 {
		var err error
		if chain, err = parse(sender); err != nil {
			return nil, err
		}
	}
	if len(chain) == 0 {
		return nil, ErrSender
	}
	if !p256(chain[0].PublicKey) {
		return nil, ErrKey
	}
	digest := sha256.Sum256(fields(r))
	if !ecdsa.VerifyASN1(chain[0].PublicKey.(*ecdsa.PublicKey), digest[:], r.GetMacSignature()) {
		return nil, ErrMismatch
	}
	return chain, nil
}

func p256(key crypto.PublicKey) bool {
	k, ok := key.(*ecdsa.PublicKey)
	return ok && k.Curve == elliptic.P256()
}

// parse reads certificates in PEM, the sender's own first.
func parse(sender []byte) (chain []*x509.Certificate, err error) {
	if len(sender) > maxSender {
		return nil, ErrSender
	}
	for block, rest := pem.Decode(sender); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(chain) == maxChain {
			return nil, ErrSender
		}
		chain = append(chain, cert)
	}
	return chain, nil
}
