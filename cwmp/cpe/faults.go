package cpe

import (
	"time"

	"isthmus/cwmp"
)

// Faults are the bad habits of a CPE, as data. The zero value has none.
type Faults struct {
	Delay          time.Duration // before every POST
	CloseOn        string        // RPC that is carried out but not answered: the connection is closed instead; once
	LoseOn         string        // RPC that is not carried out, as if it had never come in: the connection is closed instead; once
	CloseAfterPost int           // POST of a session, 1 being the Inform, after which the connection is closed unread; once
	DropCookies    bool
	CloseEachPost  bool // a connection for every POST
	HTTP10         bool // the same in HTTP/1.0

	MaxGPV       int                       // GetParameterValues of more names is 9004
	RPCFault     map[string]cwmp.FaultCode // RPCs that are never carried out
	SetFault     map[string]cwmp.FaultCode // parameters that cannot be set
	NotifyFault  map[string]cwmp.FaultCode // parameters that cannot be notified
	Mute         bool                      // changes are not notified, whatever the attributes say
	NoGPVPartial bool                      // GetParameterValues of a partial path is 9005
	NoGPNDeep    bool                      // GetParameterNames of the whole root is 9002
	Renumber     bool                      // DeleteObject gives the rows that are left the numbers from 1 on
	EmptyAnswer  map[string]bool           // RPCs answered with an empty POST
	UpTime       string                    // is told in place of the time since its boot; "": that
	StatusOne    bool                      // SetParameterValues, AddObject, DeleteObject answer Status 1
	ActAtEnd     bool                      // what is to be enabled, disabled or started is when the session is over
	// Answer makes of what an RPC would be answered with what it is; it must not call the CPE. nil: as it is.
	Answer func(req, response cwmp.RPC) cwmp.RPC

	TestState   string        // what tests end with in place of Complete; "Requested": they do not end
	TestTime    time.Duration // that they take
	TestRows    int           // WiFi networks that a scan finds; 0: 5
	TestSilent  bool          // the end of a test is not told
	TestReboots bool          // the CPE boots while a test runs
	TestApart   bool          // a DiagnosticsState that is written with other parameters is 9003

	TransferInSession bool // a file is moved before the Download or Upload is answered
	TransferEarly     bool // and a TransferComplete sent before that, too
	TransferReport    TransferReport

	ConnReq ConnReqMode
	Charset string // "iso-8859-1" is the one known
}

// TransferReport is how the end of a transfer is told.
type TransferReport int

// The ways to tell of the end of a transfer.
const (
	ReportOnce TransferReport = iota
	ReportTwice
	ReportKeyless // without CommandKey, times and FaultString
	ReportNever
)

// ConnReqMode is what becomes of Connection Requests.
type ConnReqMode int

// The modes of Connection Requests.
const (
	ConnReqServe  ConnReqMode = iota
	ConnReqDrop               // the connection is closed unanswered
	ConnReqBusy               // 503
	ConnReqIgnore             // 200, and no session
)

// latin1 is a UTF-8 message in ISO 8859-1, which its XML declaration says.
func latin1(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for _, r := range string(body) {
		if r > 0xFF {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return out
}
