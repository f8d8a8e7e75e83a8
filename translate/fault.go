package translate

import (
	"context"
	"errors"
	"fmt"

	"isthmus/cwmp"
	"isthmus/usp"
)

// action says what a CPE was asked when it answered a Fault: the same CWMP fault means different things to a Controller.
type action int

const (
	reading action = iota
	writing
	adding
	deleting
	operating
)

// cwmpFault begins the text of an error that a CPE answered; its code and its own words follow.
const cwmpFault = "CWMP fault "

// uspError turns what a job came back with into what the Controller is told. A *cwmp.Fault keeps its code and text in the message.
func uspError(err error, what action) *usp.Error {
	if err == nil {
		return nil
	}
	var ue *usp.Error
	if errors.As(err, &ue) {
		return ue
	}
	var f *cwmp.Fault
	switch {
	case errors.As(err, &f):
		return usp.Errorf(faultCode(f.Code, what), cwmpFault+"%d %s", f.Code, f.String)
	case errors.Is(err, cwmp.ErrUnknownOutcome) && what != reading:
		return usp.Errorf(usp.OutcomeUnknown, "the session with the CPE was lost before it answered: the outcome is unknown")
	case errors.Is(err, cwmp.ErrUnknownOutcome), errors.Is(err, cwmp.ErrSessionClosed):
		return usp.Errorf(usp.Unreachable, "the session with the CPE was lost")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return usp.Errorf(usp.Unreachable, "the CPE could not be asked in time")
	case errors.Is(err, cwmp.ErrUnexpectedAnswer):
		return usp.Errorf(usp.InternalError, "the CPE gave an answer to another question")
	}
	return usp.AsError(err)
}

// faultCode is the table of research §2.15: one CWMP fault, five meanings.
func faultCode(c cwmp.FaultCode, what action) usp.ErrorCode {
	row, ok := faultTable[c]
	if !ok {
		row = faultTable[0]
	}
	return row[what]
}

// The columns are reading, writing, adding, deleting, operating; row 0 is for codes without a row, vendor codes among them.
var faultTable = map[cwmp.FaultCode][5]usp.ErrorCode{
	0:    {usp.InternalError, usp.ParameterActionFailed, usp.OperationError, usp.OperationError, usp.CommandFailure},
	9000: {usp.InternalError, usp.InternalError, usp.NonCreatableObject, usp.DeleteFailure, usp.CommandFailure},
	9001: {usp.RequestDenied, usp.RequestDenied, usp.RequestDenied, usp.RequestDenied, usp.RequestDenied},
	9002: {usp.InternalError, usp.InternalError, usp.InternalError, usp.InternalError, usp.InternalError},
	9003: {usp.InvalidArguments, usp.InvalidArguments, usp.InvalidArguments, usp.InvalidArguments, usp.InvalidArguments},
	9004: {usp.ResourcesExceeded, usp.ResourcesExceeded, usp.ResourcesExceeded, usp.ResourcesExceeded, usp.ResourcesExceeded},
	9005: {usp.InvalidPath, usp.UnsupportedParameter, usp.NotATable, usp.ObjectDoesNotExist, usp.ObjectDoesNotExist},
	9006: {usp.InternalError, usp.InvalidType, usp.InvalidType, usp.DeleteFailure, usp.InvalidCommandArguments},
	9007: {usp.InternalError, usp.InvalidValue, usp.InvalidValue, usp.DeleteFailure, usp.InvalidCommandArguments},
	9008: {usp.InternalError, usp.NonWritableParameter, usp.NonCreatableObject, usp.DeleteFailure, usp.InvalidCommandArguments},
}

// writeError turns the fault of a SetParameterValues into an error that names the Device:2 parameters; writes are what was sent and
// paths[i] the Device:2 path of write i. A fault without a list of parameters concerns them all.
func writeError(err error, sent []cpeWrite, path func(i int) string) *usp.Error {
	var f *cwmp.Fault
	if !errors.As(err, &f) {
		return uspError(err, writing)
	}
	e := usp.Errorf(faultCode(f.Code, writing), cwmpFault+"%d %s", f.Code, f.String)
	for _, pf := range f.Params {
		for _, w := range sent {
			if w.path != pf.Name {
				continue
			}
			for _, i := range w.from {
				e.Params = append(e.Params, usp.ParamError{Path: path(i), Code: faultCode(pf.Code, writing), Msg: fmt.Sprintf(cwmpFault+"%d %s", pf.Code, pf.String)})
			}
		}
	}
	if len(e.Params) == 0 && len(sent) == 1 {
		for _, i := range sent[0].from {
			e.Params = append(e.Params, usp.ParamError{Path: path(i), Code: e.Code, Msg: e.Msg})
		}
	}
	return e
}
