package cwmp

import "time"

// Download makes the CPE fetch a file, DelaySeconds after the session (A.3.2.8).
type Download struct {
	CommandKey     string
	FileType       string // "1 Firmware Upgrade Image"
	URL            string
	Username       string
	Password       string
	FileSize       int // bytes; 0: not known
	TargetFileName string
	DelaySeconds   int
	SuccessURL     string
	FailureURL     string
}

// DownloadResponse has Status 0 if the file is in use already, 1 if a TransferComplete will tell.
type DownloadResponse struct {
	Status                  int
	StartTime, CompleteTime time.Time
}

// Upload makes the CPE send a file (A.4.1.5).
type Upload struct {
	CommandKey   string
	FileType     string // "4 Vendor Log File 1"
	URL          string
	Username     string
	Password     string
	DelaySeconds int
}

// UploadResponse is as DownloadResponse.
type UploadResponse struct {
	Status                  int
	StartTime, CompleteTime time.Time
}

// ScheduleDownload is a Download within one of two time windows (A.4.1.8).
type ScheduleDownload struct {
	CommandKey     string
	FileType       string
	URL            string
	Username       string
	Password       string
	FileSize       int
	TargetFileName string
	TimeWindowList []TimeWindowStruct
}

// TimeWindowStruct is one window: seconds after the request.
type TimeWindowStruct struct {
	WindowStart, WindowEnd int
	WindowMode             string // "1 At Any Time"
	UserMessage            string
	MaxRetries             int
}

// ScheduleDownloadResponse acknowledges; a TransferComplete follows.
type ScheduleDownloadResponse struct{}

// CancelTransfer cancels the transfers that carry CommandKey (A.4.1.9).
type CancelTransfer struct {
	CommandKey string
}

// CancelTransferResponse acknowledges.
type CancelTransferResponse struct{}

// GetQueuedTransfers lists Downloads and Uploads under way; superseded by GetAllQueuedTransfers (A.4.1.1).
type GetQueuedTransfers struct{}

// GetQueuedTransfersResponse carries the list.
type GetQueuedTransfersResponse struct {
	TransferList []QueuedTransferStruct
}

// QueuedTransferStruct is one transfer. State: 1 not started, 2 in progress, 3 completed and being cleaned up.
type QueuedTransferStruct struct {
	CommandKey string
	State      int
}

// GetAllQueuedTransfers lists every transfer under way, whoever asked for it (A.4.1.7).
type GetAllQueuedTransfers struct{}

// GetAllQueuedTransfersResponse carries the list.
type GetAllQueuedTransfersResponse struct {
	TransferList []AllQueuedTransferStruct
}

// AllQueuedTransferStruct is one transfer; State as in QueuedTransferStruct.
type AllQueuedTransferStruct struct {
	CommandKey     string
	State          int
	IsDownload     bool
	FileType       string
	FileSize       int
	TargetFileName string
}

// TransferComplete is sent by the CPE when a Download, ScheduleDownload or Upload has ended (A.3.3.2).
type TransferComplete struct {
	CommandKey              string
	FaultStruct             FaultStruct
	StartTime, CompleteTime time.Time
}

// FaultStruct is how an operation ended; FaultCode 0 is success.
type FaultStruct struct {
	FaultCode   FaultCode
	FaultString string
}

// TransferCompleteResponse acknowledges.
type TransferCompleteResponse struct{}

// AutonomousTransferComplete is sent by the CPE after a transfer that the ACS did not ask for (A.3.3.3).
type AutonomousTransferComplete struct {
	AnnounceURL             string
	TransferURL             string
	IsDownload              bool
	FileType                string
	FileSize                int
	TargetFileName          string
	FaultStruct             FaultStruct
	StartTime, CompleteTime time.Time
}

// AutonomousTransferCompleteResponse acknowledges.
type AutonomousTransferCompleteResponse struct{}

// RequestDownload is sent by the CPE to be given a Download (A.4.2.2).
type RequestDownload struct {
	FileType    string
	FileTypeArg []ArgStruct
}

// ArgStruct is one argument of a RequestDownload.
type ArgStruct struct {
	Name, Value string
}

// RequestDownloadResponse acknowledges.
type RequestDownloadResponse struct{}

// Name is "Download".
func (*Download) Name() string { return "Download" }

// Name is "DownloadResponse".
func (*DownloadResponse) Name() string { return "DownloadResponse" }

// Name is "Upload".
func (*Upload) Name() string { return "Upload" }

// Name is "UploadResponse".
func (*UploadResponse) Name() string { return "UploadResponse" }

// Name is "ScheduleDownload".
func (*ScheduleDownload) Name() string { return "ScheduleDownload" }

// Name is "ScheduleDownloadResponse".
func (*ScheduleDownloadResponse) Name() string { return "ScheduleDownloadResponse" }

// Name is "CancelTransfer".
func (*CancelTransfer) Name() string { return "CancelTransfer" }

// Name is "CancelTransferResponse".
func (*CancelTransferResponse) Name() string { return "CancelTransferResponse" }

// Name is "GetQueuedTransfers".
func (*GetQueuedTransfers) Name() string { return "GetQueuedTransfers" }

// Name is "GetQueuedTransfersResponse".
func (*GetQueuedTransfersResponse) Name() string { return "GetQueuedTransfersResponse" }

// Name is "GetAllQueuedTransfers".
func (*GetAllQueuedTransfers) Name() string { return "GetAllQueuedTransfers" }

// Name is "GetAllQueuedTransfersResponse".
func (*GetAllQueuedTransfersResponse) Name() string { return "GetAllQueuedTransfersResponse" }

// Name is "TransferComplete".
func (*TransferComplete) Name() string { return "TransferComplete" }

// Name is "TransferCompleteResponse".
func (*TransferCompleteResponse) Name() string { return "TransferCompleteResponse" }

// Name is "AutonomousTransferComplete".
func (*AutonomousTransferComplete) Name() string { return "AutonomousTransferComplete" }

// Name is "AutonomousTransferCompleteResponse".
func (*AutonomousTransferCompleteResponse) Name() string { return "AutonomousTransferCompleteResponse" }

// Name is "RequestDownload".
func (*RequestDownload) Name() string { return "RequestDownload" }

// Name is "RequestDownloadResponse".
func (*RequestDownloadResponse) Name() string { return "RequestDownloadResponse" }

func (*Download) answeredBy(*DownloadResponse)                                     {}
func (*Upload) answeredBy(*UploadResponse)                                         {}
func (*ScheduleDownload) answeredBy(*ScheduleDownloadResponse)                     {}
func (*CancelTransfer) answeredBy(*CancelTransferResponse)                         {}
func (*GetQueuedTransfers) answeredBy(*GetQueuedTransfersResponse)                 {}
func (*GetAllQueuedTransfers) answeredBy(*GetAllQueuedTransfersResponse)           {}
func (*TransferComplete) answeredBy(*TransferCompleteResponse)                     {}
func (*AutonomousTransferComplete) answeredBy(*AutonomousTransferCompleteResponse) {}
func (*RequestDownload) answeredBy(*RequestDownloadResponse)                       {}

func (m *Download) arguments(a *args) {
	a.text("CommandKey", &m.CommandKey)
	a.token("FileType", &m.FileType)
	a.text("URL", &m.URL)
	a.text("Username", &m.Username)
	a.text("Password", &m.Password)
	a.number("FileSize", &m.FileSize)
	a.text("TargetFileName", &m.TargetFileName)
	a.number("DelaySeconds", &m.DelaySeconds)
	a.text("SuccessURL", &m.SuccessURL)
	a.text("FailureURL", &m.FailureURL)
}

func (m *DownloadResponse) arguments(a *args) {
	a.number("Status", &m.Status)
	a.time("StartTime", &m.StartTime)
	a.time("CompleteTime", &m.CompleteTime)
}

func (m *Upload) arguments(a *args) {
	a.text("CommandKey", &m.CommandKey)
	a.token("FileType", &m.FileType)
	a.text("URL", &m.URL)
	a.text("Username", &m.Username)
	a.text("Password", &m.Password)
	a.number("DelaySeconds", &m.DelaySeconds)
}

func (m *UploadResponse) arguments(a *args) {
	a.number("Status", &m.Status)
	a.time("StartTime", &m.StartTime)
	a.time("CompleteTime", &m.CompleteTime)
}

func (m *ScheduleDownload) arguments(a *args) {
	a.text("CommandKey", &m.CommandKey)
	a.token("FileType", &m.FileType)
	a.text("URL", &m.URL)
	a.text("Username", &m.Username)
	a.text("Password", &m.Password)
	a.number("FileSize", &m.FileSize)
	a.text("TargetFileName", &m.TargetFileName)
	list(a, "TimeWindowList", "TimeWindowStruct", &m.TimeWindowList, (*TimeWindowStruct).arguments)
}

func (w *TimeWindowStruct) arguments(a *args) {
	a.number("WindowStart", &w.WindowStart)
	a.number("WindowEnd", &w.WindowEnd)
	a.token("WindowMode", &w.WindowMode)
	a.text("UserMessage", &w.UserMessage)
	a.number("MaxRetries", &w.MaxRetries)
}

func (*ScheduleDownloadResponse) arguments(*args) {}

func (m *CancelTransfer) arguments(a *args) { a.text("CommandKey", &m.CommandKey) }

func (*CancelTransferResponse) arguments(*args) {}

func (*GetQueuedTransfers) arguments(*args) {}

func (m *GetQueuedTransfersResponse) arguments(a *args) {
	list(a, "TransferList", "QueuedTransferStruct", &m.TransferList, (*QueuedTransferStruct).arguments)
}

func (t *QueuedTransferStruct) arguments(a *args) {
	a.text("CommandKey", &t.CommandKey)
	a.number("State", &t.State)
}

func (*GetAllQueuedTransfers) arguments(*args) {}

func (m *GetAllQueuedTransfersResponse) arguments(a *args) {
	list(a, "TransferList", "AllQueuedTransferStruct", &m.TransferList, (*AllQueuedTransferStruct).arguments)
}

func (t *AllQueuedTransferStruct) arguments(a *args) {
	a.text("CommandKey", &t.CommandKey)
	a.number("State", &t.State)
	a.boolean("IsDownload", &t.IsDownload)
	a.token("FileType", &t.FileType)
	a.number("FileSize", &t.FileSize)
	a.text("TargetFileName", &t.TargetFileName)
}

func (m *TransferComplete) arguments(a *args) {
	a.text("CommandKey", &m.CommandKey)
	a.group("FaultStruct", m.FaultStruct.arguments)
	a.time("StartTime", &m.StartTime)
	a.time("CompleteTime", &m.CompleteTime)
}

func (f *FaultStruct) arguments(a *args) {
	a.number("FaultCode", (*int)(&f.FaultCode))
	a.text("FaultString", &f.FaultString)
}

func (*TransferCompleteResponse) arguments(*args) {}

func (m *AutonomousTransferComplete) arguments(a *args) {
	a.text("AnnounceURL", &m.AnnounceURL)
	a.text("TransferURL", &m.TransferURL)
	a.boolean("IsDownload", &m.IsDownload)
	a.token("FileType", &m.FileType)
	a.number("FileSize", &m.FileSize)
	a.text("TargetFileName", &m.TargetFileName)
	a.group("FaultStruct", m.FaultStruct.arguments)
	a.time("StartTime", &m.StartTime)
	a.time("CompleteTime", &m.CompleteTime)
}

func (*AutonomousTransferCompleteResponse) arguments(*args) {}

func (m *RequestDownload) arguments(a *args) {
	a.token("FileType", &m.FileType)
	list(a, "FileTypeArg", "ArgStruct", &m.FileTypeArg, (*ArgStruct).arguments)
}

func (g *ArgStruct) arguments(a *args) {
	a.token("Name", &g.Name)
	a.text("Value", &g.Value)
}

func (*RequestDownloadResponse) arguments(*args) {}
