package usp

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"isthmus/usp/usppb"
)

const (
	// RecordVersion is the version of USP that our Records name: the highest that is implemented.
	RecordVersion = "1.4"
	// SupportedVersions is what GetSupportedProtocol and OnBoardRequest say.
	SupportedVersions = "1.0,1.1,1.2,1.3,1.4"
)

// Field numbers of a Record on the wire.
const (
	fieldVersion     = 1
	fieldTo          = 2
	fieldFrom        = 3
	fieldNoSession   = 7 // the first record_type
	fieldUDSConnect  = 13
	fieldNoSessionPl = 2 // NoSessionContextRecord.payload
)

// DecodeRecord reads a Record and checks what can be said without knowing its receiver. An error is an *Error: 7100 for what is no
// Record (the result is nil then), 7102 for payload security outside a session context, 7104 for other bad values: an Endpoint ID
// that is none, no record type or several (R-ENC.4), an empty payload. Whether a session context is allowed (7106) is for the
// receiver to say. The version is not checked: messages grow by adding fields only.
func DecodeRecord(b []byte) (*usppb.Record, error) { return DecodeRecordFrom(b, "") }

// DecodeRecordFrom is DecodeRecord where a Controller of this name may be the sender, even if that is no Endpoint ID.
func DecodeRecordFrom(b []byte, name EndpointID) (*usppb.Record, error) {
	r := &usppb.Record{}
	if err := proto.Unmarshal(b, r); err != nil {
		return nil, Errorf(RecordUnparsable, "record cannot be parsed")
	}
	if _, err := ParseEndpointID(r.GetFromId()); err != nil && (name == "" || r.GetFromId() != string(name)) {
		return r, Errorf(InvalidRecordValue, "from_id is no Endpoint ID")
	}
	if _, err := ParseEndpointID(r.GetToId()); err != nil {
		return r, Errorf(InvalidRecordValue, "to_id is no Endpoint ID")
	}
	if n := recordTypes(b); n != 1 {
		return r, Errorf(InvalidRecordValue, "record has %d record types", n)
	}
	nsc, ok := r.GetRecordType().(*usppb.Record_NoSessionContext)
	if !ok {
		return r, nil
	}
	switch r.GetPayloadSecurity() {
	case usppb.Record_PLAINTEXT:
	case usppb.Record_TLS12:
		return r, Errorf(SecureSessionNotSupported, "payload security needs a session context")
	default:
		return r, Errorf(InvalidRecordValue, "payload_security %d is unknown", r.GetPayloadSecurity())
	}
	if len(nsc.NoSessionContext.GetPayload()) == 0 {
		return r, Errorf(InvalidRecordValue, "payload is empty")
	}
	return r, nil
}

// recordTypes counts the members of the oneof on the wire, where an unmarshalled Record only shows the last one.
func recordTypes(b []byte) int {
	count := 0
	for len(b) > 0 {
		num, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return 0
		}
		if fieldNoSession <= num && num <= fieldUDSConnect {
			count++
		}
		b = b[n:]
	}
	return count
}

// EncodeRecord makes the no-session Record that carries msg, in one allocation. An empty version is RecordVersion. It fails if a
// string of the message is not UTF-8 (see ValidUTF8).
func EncodeRecord(from, to EndpointID, version string, msg *usppb.Msg) ([]byte, error) {
	if version == "" {
		version = RecordVersion
	}
	payload := proto.Size(msg)
	nested := protowire.SizeTag(fieldNoSessionPl) + protowire.SizeBytes(payload)
	size := 4*protowire.SizeTag(fieldVersion) + protowire.SizeBytes(len(version)) + protowire.SizeBytes(len(to)) +
		protowire.SizeBytes(len(from)) + protowire.SizeBytes(nested)

	b := make([]byte, 0, size)
	b = appendString(b, fieldVersion, version)
	b = appendString(b, fieldTo, string(to))
	b = appendString(b, fieldFrom, string(from))
	b = protowire.AppendTag(b, fieldNoSession, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(nested))
	b = protowire.AppendTag(b, fieldNoSessionPl, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(payload))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, msg)
	if err != nil {
		return nil, fmt.Errorf("encoding a message to %s: %w", to, err)
	}
	return b, nil
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// Address fills in what every Record has (R-MTP.4b) and encodes it: for Connect and Disconnect Records.
func Address(r *usppb.Record, from, to EndpointID, version string) ([]byte, error) {
	if version == "" {
		version = RecordVersion
	}
	r.Version, r.FromId, r.ToId = version, string(from), string(to)
	b, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record to %s: %w", to, err)
	}
	return b, nil
}

// Disconnect is the Disconnect Record that gives why as its reason, a 71xx code where there is one (R-MTP.9). Address completes it.
func Disconnect(why *Error) *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_Disconnect{Disconnect: &usppb.DisconnectRecord{
		Reason: ValidUTF8(why.Msg), ReasonCode: uint32(why.Code),
	}}}
}

// ValidUTF8 gives s with the Unicode replacement character for every run of bytes that is not UTF-8: one such byte in one value
// would make a whole message impossible to encode.
func ValidUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
