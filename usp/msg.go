package usp

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"isthmus/usp/usppb"
)

// bodyType is a member of Request and Response: both oneofs use the same numbers.
type bodyType struct {
	name              string
	request, response usppb.Header_MsgType
}

// bodyTypes by the field number in Request and Response.
var bodyTypes = [...]bodyType{
	1:  {"Get", usppb.Header_GET, usppb.Header_GET_RESP},
	2:  {"GetSupportedDM", usppb.Header_GET_SUPPORTED_DM, usppb.Header_GET_SUPPORTED_DM_RESP},
	3:  {"GetInstances", usppb.Header_GET_INSTANCES, usppb.Header_GET_INSTANCES_RESP},
	4:  {"Set", usppb.Header_SET, usppb.Header_SET_RESP},
	5:  {"Add", usppb.Header_ADD, usppb.Header_ADD_RESP},
	6:  {"Delete", usppb.Header_DELETE, usppb.Header_DELETE_RESP},
	7:  {"Operate", usppb.Header_OPERATE, usppb.Header_OPERATE_RESP},
	8:  {"Notify", usppb.Header_NOTIFY, usppb.Header_NOTIFY_RESP},
	9:  {"GetSupportedProtocol", usppb.Header_GET_SUPPORTED_PROTO, usppb.Header_GET_SUPPORTED_PROTO_RESP},
	10: {"Register", usppb.Header_REGISTER, usppb.Header_REGISTER_RESP},
	11: {"Deregister", usppb.Header_DEREGISTER, usppb.Header_DEREGISTER_RESP},
}

// member looks up which member of its only oneof m has; the zero bodyType if none.
func member(m proto.Message) bodyType {
	r := m.ProtoReflect()
	if !r.IsValid() {
		return bodyType{}
	}
	if f := r.WhichOneof(r.Descriptor().Oneofs().Get(0)); f != nil && f.Number() < protoreflect.FieldNumber(len(bodyTypes)) {
		return bodyTypes[f.Number()]
	}
	return bodyType{}
}

// DecodeMsg reads the payload of a Record. An error is an *Error with code 7004 (R-ENC.5): what is no message (the result is nil
// then), has no msg_id, or has no body or an empty one. A request or response of a type newer than ours looks empty, too; it is told
// by 7001 (R-MSG.1).
func DecodeMsg(payload []byte) (*usppb.Msg, error) {
	m := &usppb.Msg{}
	if err := proto.Unmarshal(payload, m); err != nil {
		return nil, Errorf(InvalidArguments, "message cannot be parsed")
	}
	if m.GetHeader().GetMsgId() == "" {
		return m, Errorf(InvalidArguments, "message has no msg_id")
	}
	switch b := m.GetBody().GetMsgBody().(type) {
	case *usppb.Body_Error:
		return m, nil
	case *usppb.Body_Request:
		return m, knownType(b.Request)
	case *usppb.Body_Response:
		return m, knownType(b.Response)
	}
	return m, Errorf(InvalidArguments, "message has no body")
}

func knownType(m proto.Message) error {
	switch {
	case member(m).name != "":
		return nil
	case len(m.ProtoReflect().GetUnknown()) > 0:
		return Errorf(MessageNotSupported, "message type is not supported")
	}
	return Errorf(InvalidArguments, "message body is empty")
}

// RequestType is the name of the request that m carries, as the specification writes it: "Get", "Set", …; "" if it carries none.
func RequestType(m *usppb.Msg) string {
	return member(m.GetBody().GetRequest()).name
}

// NewRequest makes the message for a request; the type in its header follows from req.
func NewRequest(id string, req *usppb.Request) *usppb.Msg {
	return newMsg(id, member(req).request, &usppb.Body{MsgBody: &usppb.Body_Request{Request: req}})
}

// NewResponse makes the message for a response to the request with this msg_id.
func NewResponse(id string, resp *usppb.Response) *usppb.Msg {
	return newMsg(id, member(resp).response, &usppb.Body{MsgBody: &usppb.Body_Response{Response: resp}})
}

// ErrorMsg makes the Error message that answers the request with this msg_id.
func ErrorMsg(id string, err *Error) *usppb.Msg {
	e := &usppb.Error{ErrCode: uint32(err.Code), ErrMsg: ValidUTF8(err.Msg)}
	for _, p := range err.Params {
		e.ParamErrs = append(e.ParamErrs, &usppb.Error_ParamError{
			ParamPath: ValidUTF8(p.Path), ErrCode: uint32(p.Code), ErrMsg: ValidUTF8(p.Msg),
		})
	}
	return newMsg(id, usppb.Header_ERROR, &usppb.Body{MsgBody: &usppb.Body_Error{Error: e}})
}

// ErrorFrom turns a received Error into a Go error.
func ErrorFrom(e *usppb.Error) *Error {
	err := &Error{Code: ErrorCode(e.GetErrCode()), Msg: e.GetErrMsg()}
	for _, p := range e.GetParamErrs() {
		err.Params = append(err.Params, ParamError{Path: p.GetParamPath(), Code: ErrorCode(p.GetErrCode()), Msg: p.GetErrMsg()})
	}
	return err
}

func newMsg(id string, t usppb.Header_MsgType, b *usppb.Body) *usppb.Msg {
	return &usppb.Msg{Header: &usppb.Header{MsgId: id, MsgType: t}, Body: b}
}
