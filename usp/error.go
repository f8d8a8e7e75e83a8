package usp

import (
	"errors"
	"fmt"
)

// ErrorCode is an error code of TR-369 (table "Error Codes"): 7000–7099 in messages, 7100–7199 in Records,
// 7200–7299 from the data model, 7800–7999 of the vendor.
type ErrorCode uint32

// The error codes of TR-369 1.4 and, from 7800 on, those of isthmus.
const (
	MessageFailed           ErrorCode = 7000
	MessageNotSupported     ErrorCode = 7001
	RequestDenied           ErrorCode = 7002
	InternalError           ErrorCode = 7003
	InvalidArguments        ErrorCode = 7004
	ResourcesExceeded       ErrorCode = 7005
	PermissionDenied        ErrorCode = 7006
	InvalidConfiguration    ErrorCode = 7007
	InvalidPathSyntax       ErrorCode = 7008
	ParameterActionFailed   ErrorCode = 7009
	UnsupportedParameter    ErrorCode = 7010
	InvalidType             ErrorCode = 7011
	InvalidValue            ErrorCode = 7012
	NonWritableParameter    ErrorCode = 7013
	ValueConflict           ErrorCode = 7014
	OperationError          ErrorCode = 7015
	ObjectDoesNotExist      ErrorCode = 7016
	ObjectNotCreated        ErrorCode = 7017
	NotATable               ErrorCode = 7018
	NonCreatableObject      ErrorCode = 7019
	ObjectNotUpdated        ErrorCode = 7020
	RequiredParameterFailed ErrorCode = 7021
	CommandFailure          ErrorCode = 7022
	CommandCanceled         ErrorCode = 7023
	DeleteFailure           ErrorCode = 7024
	DuplicateUniqueKey      ErrorCode = 7025
	InvalidPath             ErrorCode = 7026
	InvalidCommandArguments ErrorCode = 7027
	RegisterFailure         ErrorCode = 7028
	AlreadyInUse            ErrorCode = 7029
	DeregisterFailure       ErrorCode = 7030
	RegisteredElsewhere     ErrorCode = 7031

	RecordUnparsable          ErrorCode = 7100
	SecureSessionRequired     ErrorCode = 7101
	SecureSessionNotSupported ErrorCode = 7102
	SARNotSupported           ErrorCode = 7103
	InvalidRecordValue        ErrorCode = 7104
	SessionTerminated         ErrorCode = 7105
	SessionNotAllowed         ErrorCode = 7106

	// Unreachable says that no CWMP session with the CPE could be had in time: the CPE was not asked.
	Unreachable ErrorCode = 7800
	// OutcomeUnknown says that the CPE was asked to change something and its answer did not arrive.
	OutcomeUnknown ErrorCode = 7801
	// NoFreshValue says that no value young enough is at hand.
	NoFreshValue ErrorCode = 7803
)

// Error is an error as a USP peer sees it. Its text goes to the peer: it must not carry secrets.
type Error struct {
	Code ErrorCode
	Msg  string
	// Params names what failed, with full paths (R-SET.2, ParamError).
	Params []ParamError
}

// ParamError is one failed parameter or object of an Error. Path is a full path; an object's ends in a dot.
type ParamError struct {
	Path string
	Code ErrorCode
	Msg  string
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Msg) }

// Errorf makes an Error of one code.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// AsError turns any error into what the peer is told: an *Error in the chain as it is, anything else as
// 7003 with a generic text, since an internal cause is the log's business.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return &Error{Code: InternalError, Msg: "internal error"}
}
