package cwmp

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// FaultCode is a fault code of TR-069 A.5. 0 is no fault.
type FaultCode int

// The fault codes of an ACS (A.5.2) and of a CPE (A.5.1).
const (
	FaultACSMethodNotSupported FaultCode = 8000
	FaultACSRequestDenied      FaultCode = 8001
	FaultACSInternalError      FaultCode = 8002
	FaultACSInvalidArguments   FaultCode = 8003
	FaultACSResourcesExceeded  FaultCode = 8004
	FaultACSRetryRequest       FaultCode = 8005
	FaultACSVersion            FaultCode = 8006

	FaultMethodNotSupported      FaultCode = 9000
	FaultRequestDenied           FaultCode = 9001
	FaultInternalError           FaultCode = 9002
	FaultInvalidArguments        FaultCode = 9003
	FaultResourcesExceeded       FaultCode = 9004
	FaultInvalidParameterName    FaultCode = 9005
	FaultInvalidParameterType    FaultCode = 9006
	FaultInvalidParameterValue   FaultCode = 9007
	FaultNonWritableParameter    FaultCode = 9008
	FaultNotificationRejected    FaultCode = 9009
	FaultFileTransfer            FaultCode = 9010
	FaultUpload                  FaultCode = 9011
	FaultFileServerAuth          FaultCode = 9012
	FaultFileTransferProtocol    FaultCode = 9013
	FaultMulticastGroup          FaultCode = 9014
	FaultFileServerUnreachable   FaultCode = 9015
	FaultFileAccess              FaultCode = 9016
	FaultFileIncomplete          FaultCode = 9017
	FaultFileCorrupted           FaultCode = 9018
	FaultFileAuthentication      FaultCode = 9019
	FaultTimeWindows             FaultCode = 9020
	FaultCancelNotPermitted      FaultCode = 9021
	FaultInvalidUUID             FaultCode = 9022
	FaultUnknownExecutionEnv     FaultCode = 9023
	FaultDisabledExecutionEnv    FaultCode = 9024
	FaultExecutionEnvMismatch    FaultCode = 9025
	FaultDuplicateDeploymentUnit FaultCode = 9026
	FaultSystemResources         FaultCode = 9027
	FaultUnknownDeploymentUnit   FaultCode = 9028
	FaultDeploymentUnitState     FaultCode = 9029
	FaultDowngradeNotPermitted   FaultCode = 9030
	FaultVersionNotSpecified     FaultCode = 9031
	FaultVersionExists           FaultCode = 9032
)

var faultTexts = map[FaultCode]string{
	FaultACSMethodNotSupported: "Method not supported",
	FaultACSRequestDenied:      "Request denied",
	FaultACSInternalError:      "Internal error",
	FaultACSInvalidArguments:   "Invalid arguments",
	FaultACSResourcesExceeded:  "Resources exceeded",
	FaultACSRetryRequest:       "Retry request",
	FaultACSVersion:            "ACS version incompatible with CPE",

	FaultMethodNotSupported:      "Method not supported",
	FaultRequestDenied:           "Request denied",
	FaultInternalError:           "Internal error",
	FaultInvalidArguments:        "Invalid arguments",
	FaultResourcesExceeded:       "Resources exceeded",
	FaultInvalidParameterName:    "Invalid parameter name",
	FaultInvalidParameterType:    "Invalid parameter type",
	FaultInvalidParameterValue:   "Invalid parameter value",
	FaultNonWritableParameter:    "Attempt to set a non-writable parameter",
	FaultNotificationRejected:    "Notification request rejected",
	FaultFileTransfer:            "File transfer failure",
	FaultUpload:                  "Upload failure",
	FaultFileServerAuth:          "File transfer server authentication failure",
	FaultFileTransferProtocol:    "Unsupported protocol for file transfer",
	FaultMulticastGroup:          "File transfer failure: unable to join multicast group",
	FaultFileServerUnreachable:   "File transfer failure: unable to contact file server",
	FaultFileAccess:              "File transfer failure: unable to access file",
	FaultFileIncomplete:          "File transfer failure: unable to complete download",
	FaultFileCorrupted:           "File transfer failure: file corrupted or otherwise unusable",
	FaultFileAuthentication:      "File transfer failure: file authentication failure",
	FaultTimeWindows:             "File transfer failure: unable to complete download within specified time windows",
	FaultCancelNotPermitted:      "Cancelation of file transfer not permitted in current transfer state",
	FaultInvalidUUID:             "Invalid UUID format",
	FaultUnknownExecutionEnv:     "Unknown Execution Environment",
	FaultDisabledExecutionEnv:    "Disabled Execution Environment",
	FaultExecutionEnvMismatch:    "Deployment Unit to Execution Environment mismatch",
	FaultDuplicateDeploymentUnit: "Duplicate Deployment Unit",
	FaultSystemResources:         "System resources exceeded",
	FaultUnknownDeploymentUnit:   "Unknown Deployment Unit",
	FaultDeploymentUnitState:     "Invalid Deployment Unit state",
	FaultDowngradeNotPermitted:   "Invalid Deployment Unit update: downgrade not permitted",
	FaultVersionNotSpecified:     "Invalid Deployment Unit update: version not specified",
	FaultVersionExists:           "Invalid Deployment Unit update: version already exists",
}

func (c FaultCode) number() string { return strconv.Itoa(int(c)) }

// Text is the standard's description of the code, or "Vendor fault".
func (c FaultCode) Text() string {
	if t, ok := faultTexts[c]; ok {
		return t
	}
	return "Vendor fault"
}

// soapCode is the SOAP faultcode that A.5 prescribes: whether the sender of the request or its receiver is to blame.
func (c FaultCode) soapCode() string {
	switch c {
	case FaultACSInvalidArguments, FaultInvalidArguments,
		FaultInvalidParameterName, FaultInvalidParameterType, FaultInvalidParameterValue, FaultNonWritableParameter:
		return "Client"
	}
	return "Server"
}

// Fault is a CWMP fault: the answer to a request that failed, and the Go error for it.
type Fault struct {
	Code   FaultCode
	String string           // FaultString; NewFault fills in the standard's
	Params []ParameterFault // of a SetParameterValues
}

// ParameterFault is a SetParameterValuesFault: what was wrong with one parameter.
type ParameterFault struct {
	Name   string
	Code   FaultCode
	String string
}

// NewFault returns a fault with the standard's text.
func NewFault(code FaultCode) *Fault { return &Fault{Code: code, String: code.Text()} }

// Name is "Fault".
func (*Fault) Name() string { return "Fault" }

func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cwmp: fault %d: %s", f.Code, f.String)
	for _, p := range f.Params {
		fmt.Fprintf(&b, "; %s: %d %s", p.Name, p.Code, p.String)
	}
	return b.String()
}

// arguments reads and writes the children of a SOAP Fault.
func (f *Fault) arguments(a *args) {
	if !a.write {
		f.read(a)
		return
	}
	a.put("faultcode", f.Code.soapCode())
	a.put("faultstring", "CWMP fault")
	in := a.inside(a.el.CreateElement("detail").CreateElement("cwmp:Fault"))
	in.number("FaultCode", (*int)(&f.Code))
	in.text("FaultString", &f.String)
	for i := range f.Params {
		p := in.inside(in.el.CreateElement("SetParameterValuesFault"))
		p.text("ParameterName", &f.Params[i].Name)
		p.number("FaultCode", (*int)(&f.Params[i].Code))
		p.text("FaultString", &f.Params[i].String)
	}
}

// read takes the codes from anywhere below the Fault: CPE nest the detail in odd places. A fault without code is an internal error.
func (f *Fault) read(a *args) {
	var outer string
	a.token("faultstring", &outer)
	f.search(a.el, a.outcome)
	if f.Code == 0 {
		var code string
		a.token("faultcode", &code)
		f.Code = FaultCode(parseInt(code))
	}
	if f.Code == 0 {
		f.Code = FaultInternalError
	}
	if f.String == "" {
		f.String = outer
	}
}

func (f *Fault) search(el *etree.Element, o *outcome) {
	for _, child := range el.ChildElements() {
		switch child.Tag {
		case "FaultCode":
			f.Code = FaultCode(parseInt(textOf(child)))
		case "FaultString":
			f.String = textOf(child)
		case "SetParameterValuesFault":
			var p ParameterFault
			in := &args{el: child, outcome: o}
			in.token("ParameterName", &p.Name)
			in.number("FaultCode", (*int)(&p.Code))
			in.text("FaultString", &p.String)
			f.Params = append(f.Params, p)
		default:
			f.search(child, o)
		}
	}
}
