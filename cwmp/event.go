package cwmp

import "strings"

// The event codes of an Inform (TR-069 3.7.1.5, Amendment 6).
const (
	EventBootstrap                  = "0 BOOTSTRAP"
	EventBoot                       = "1 BOOT"
	EventPeriodic                   = "2 PERIODIC"
	EventScheduled                  = "3 SCHEDULED"
	EventValueChange                = "4 VALUE CHANGE"
	EventKicked                     = "5 KICKED"
	EventConnectionRequest          = "6 CONNECTION REQUEST"
	EventTransferComplete           = "7 TRANSFER COMPLETE"
	EventDiagnosticsComplete        = "8 DIAGNOSTICS COMPLETE"
	EventRequestDownload            = "9 REQUEST DOWNLOAD"
	EventAutonomousTransferComplete = "10 AUTONOMOUS TRANSFER COMPLETE"
	EventDUStateChangeComplete      = "11 DU STATE CHANGE COMPLETE"
	EventAutonomousDUStateChange    = "12 AUTONOMOUS DU STATE CHANGE COMPLETE"
	EventWakeup                     = "13 WAKEUP"
	EventHeartbeat                  = "14 HEARTBEAT"

	EventMReboot           = "M Reboot"
	EventMScheduleInform   = "M ScheduleInform"
	EventMDownload         = "M Download"
	EventMScheduleDownload = "M ScheduleDownload"
	EventMUpload           = "M Upload"
	EventMChangeDUState    = "M ChangeDUState"
)

var standardEvents = []string{
	EventBootstrap, EventBoot, EventPeriodic, EventScheduled, EventValueChange, EventKicked, EventConnectionRequest,
	EventTransferComplete, EventDiagnosticsComplete, EventRequestDownload, EventAutonomousTransferComplete,
	EventDUStateChangeComplete, EventAutonomousDUStateChange, EventWakeup, EventHeartbeat,
	EventMReboot, EventMScheduleInform, EventMDownload, EventMScheduleDownload, EventMUpload, EventMChangeDUState,
}

// standardEvent maps every spelling of a standard code to the code: CPE write "1", "1 boot" and "1 BOOT".
var standardEvent = func() map[string]string {
	m := make(map[string]string)
	for _, code := range standardEvents {
		m[strings.ToUpper(code)] = code
		if number, _, _ := strings.Cut(code, " "); number != "M" {
			m[number] = code
		}
	}
	return m
}()

// Has tells whether the Inform carries the event, whatever its case.
func (m *Inform) Has(eventCode string) bool {
	for i := range m.Event {
		if StandardEvent(m.Event[i].EventCode) == eventCode {
			return true
		}
	}
	return false
}

// StandardEvent returns the standard's spelling of an event code that a CPE sent in another case, or as its number alone, and ""
// for a vendor's.
func StandardEvent(code string) string {
	code = strings.TrimSpace(code)
	if e, ok := standardEvent[code]; ok {
		return e
	}
	return standardEvent[strings.ToUpper(code)]
}
