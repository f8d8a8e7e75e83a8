package cwmp

import "time"

// GetRPCMethods asks the other side, whichever it is, what it can do (A.3.1.1).
type GetRPCMethods struct{}

// GetRPCMethodsResponse carries the names of requests.
type GetRPCMethodsResponse struct {
	MethodList []string
}

// Reboot reboots the CPE after the session (A.3.2.9). The Inform that follows has "M Reboot" with CommandKey.
type Reboot struct {
	CommandKey string
}

// RebootResponse acknowledges.
type RebootResponse struct{}

// FactoryReset resets the CPE after the session (A.4.1.6).
type FactoryReset struct{}

// FactoryResetResponse acknowledges.
type FactoryResetResponse struct{}

// ScheduleInform makes the CPE inform in DelaySeconds, which is above 0, with "M ScheduleInform" (A.4.1.2).
type ScheduleInform struct {
	DelaySeconds int
	CommandKey   string
}

// ScheduleInformResponse acknowledges.
type ScheduleInformResponse struct{}

// SetVouchers installs option vouchers; deprecated (A.4.1.3).
type SetVouchers struct {
	VoucherList [][]byte
}

// SetVouchersResponse acknowledges.
type SetVouchersResponse struct{}

// GetOptions reads option vouchers, all of them if OptionName is empty; deprecated (A.4.1.4).
type GetOptions struct {
	OptionName string
}

// GetOptionsResponse carries the options.
type GetOptionsResponse struct {
	OptionList []OptionStruct
}

// OptionStruct is one option of the CPE.
type OptionStruct struct {
	OptionName                string
	VoucherSN                 int
	State                     int
	Mode                      int
	StartDate, ExpirationDate time.Time
	IsTransferable            bool
}

// Kicked is sent by the CPE when its user's browser was redirected to it; deprecated (A.4.2.1).
type Kicked struct {
	Command, Referer, Arg, Next string
}

// KickedResponse says where the browser goes next.
type KickedResponse struct {
	NextURL string
}

// Name is "GetRPCMethods".
func (*GetRPCMethods) Name() string { return "GetRPCMethods" }

// Name is "GetRPCMethodsResponse".
func (*GetRPCMethodsResponse) Name() string { return "GetRPCMethodsResponse" }

// Name is "Reboot".
func (*Reboot) Name() string { return "Reboot" }

// Name is "RebootResponse".
func (*RebootResponse) Name() string { return "RebootResponse" }

// Name is "FactoryReset".
func (*FactoryReset) Name() string { return "FactoryReset" }

// Name is "FactoryResetResponse".
func (*FactoryResetResponse) Name() string { return "FactoryResetResponse" }

// Name is "ScheduleInform".
func (*ScheduleInform) Name() string { return "ScheduleInform" }

// Name is "ScheduleInformResponse".
func (*ScheduleInformResponse) Name() string { return "ScheduleInformResponse" }

// Name is "SetVouchers".
func (*SetVouchers) Name() string { return "SetVouchers" }

// Name is "SetVouchersResponse".
func (*SetVouchersResponse) Name() string { return "SetVouchersResponse" }

// Name is "GetOptions".
func (*GetOptions) Name() string { return "GetOptions" }

// Name is "GetOptionsResponse".
func (*GetOptionsResponse) Name() string { return "GetOptionsResponse" }

// Name is "Kicked".
func (*Kicked) Name() string { return "Kicked" }

// Name is "KickedResponse".
func (*KickedResponse) Name() string { return "KickedResponse" }

func (*GetRPCMethods) answeredBy(*GetRPCMethodsResponse)   {}
func (*Reboot) answeredBy(*RebootResponse)                 {}
func (*FactoryReset) answeredBy(*FactoryResetResponse)     {}
func (*ScheduleInform) answeredBy(*ScheduleInformResponse) {}
func (*SetVouchers) answeredBy(*SetVouchersResponse)       {}
func (*GetOptions) answeredBy(*GetOptionsResponse)         {}
func (*Kicked) answeredBy(*KickedResponse)                 {}

func (*GetRPCMethods) arguments(*args) {}

func (m *GetRPCMethodsResponse) arguments(a *args) { a.strings("MethodList", &m.MethodList) }

func (m *Reboot) arguments(a *args) { a.text("CommandKey", &m.CommandKey) }

func (*RebootResponse) arguments(*args) {}

func (*FactoryReset) arguments(*args) {}

func (*FactoryResetResponse) arguments(*args) {}

func (m *ScheduleInform) arguments(a *args) {
	a.number("DelaySeconds", &m.DelaySeconds)
	a.text("CommandKey", &m.CommandKey)
}

func (*ScheduleInformResponse) arguments(*args) {}

func (m *SetVouchers) arguments(a *args) { a.base64("VoucherList", &m.VoucherList) }

func (*SetVouchersResponse) arguments(*args) {}

func (m *GetOptions) arguments(a *args) { a.text("OptionName", &m.OptionName) }

func (m *GetOptionsResponse) arguments(a *args) {
	list(a, "OptionList", "OptionStruct", &m.OptionList, (*OptionStruct).arguments)
}

func (o *OptionStruct) arguments(a *args) {
	a.text("OptionName", &o.OptionName)
	a.number("VoucherSN", &o.VoucherSN)
	a.number("State", &o.State)
	a.number("Mode", &o.Mode)
	a.time("StartDate", &o.StartDate)
	a.time("ExpirationDate", &o.ExpirationDate)
	a.boolean("IsTransferable", &o.IsTransferable)
}

func (m *Kicked) arguments(a *args) {
	a.text("Command", &m.Command)
	a.text("Referer", &m.Referer)
	a.text("Arg", &m.Arg)
	a.text("Next", &m.Next)
}

func (m *KickedResponse) arguments(a *args) { a.text("NextURL", &m.NextURL) }
