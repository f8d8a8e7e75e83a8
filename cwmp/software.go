package cwmp

import "time"

// ChangeDUState installs, updates and uninstalls deployment units (A.4.1.10). A DUStateChangeComplete tells how that went.
type ChangeDUState struct {
	Operations []OperationStruct
	CommandKey string
}

// OperationStruct is *InstallOpStruct, *UpdateOpStruct or *UninstallOpStruct.
type OperationStruct interface {
	operation() string
	arguments(*args)
}

// InstallOpStruct installs what is at URL. Empty members are left out.
type InstallOpStruct struct {
	URL, UUID, Username, Password, ExecutionEnvRef string
}

// UpdateOpStruct updates one deployment unit, or all that came from URL, or all. Empty members are left out.
type UpdateOpStruct struct {
	UUID, Version, URL, Username, Password string
}

// UninstallOpStruct uninstalls a deployment unit. Empty members are left out.
type UninstallOpStruct struct {
	UUID, Version, ExecutionEnvRef string
}

// ChangeDUStateResponse acknowledges.
type ChangeDUStateResponse struct{}

// DUStateChangeComplete is sent by the CPE with the results of a ChangeDUState (A.3.3.4).
type DUStateChangeComplete struct {
	Results    []OpResultStruct
	CommandKey string
}

// OpResultStruct is the result of one operation on one deployment unit.
type OpResultStruct struct {
	UUID                    string
	DeploymentUnitRef       string
	Version                 string
	CurrentState            string // "Installed", "Uninstalled", "Failed"
	Resolved                bool
	ExecutionUnitRefList    string // comma-separated
	StartTime, CompleteTime time.Time
	Fault                   FaultStruct
}

// DUStateChangeCompleteResponse acknowledges.
type DUStateChangeCompleteResponse struct{}

// AutonomousDUStateChangeComplete is sent by the CPE after changes that the ACS did not ask for (A.3.3.5).
type AutonomousDUStateChangeComplete struct {
	Results []AutonOpResultStruct
}

// AutonOpResultStruct is an OpResultStruct with the operation it was.
type AutonOpResultStruct struct {
	OpResultStruct
	OperationPerformed string // "Install", "Update", "Uninstall"
}

// AutonomousDUStateChangeCompleteResponse acknowledges.
type AutonomousDUStateChangeCompleteResponse struct{}

// Name is "ChangeDUState".
func (*ChangeDUState) Name() string { return "ChangeDUState" }

// Name is "ChangeDUStateResponse".
func (*ChangeDUStateResponse) Name() string { return "ChangeDUStateResponse" }

// Name is "DUStateChangeComplete".
func (*DUStateChangeComplete) Name() string { return "DUStateChangeComplete" }

// Name is "DUStateChangeCompleteResponse".
func (*DUStateChangeCompleteResponse) Name() string { return "DUStateChangeCompleteResponse" }

// Name is "AutonomousDUStateChangeComplete".
func (*AutonomousDUStateChangeComplete) Name() string { return "AutonomousDUStateChangeComplete" }

// Name is "AutonomousDUStateChangeCompleteResponse".
func (*AutonomousDUStateChangeCompleteResponse) Name() string {
	return "AutonomousDUStateChangeCompleteResponse"
}

func (*ChangeDUState) answeredBy(*ChangeDUStateResponse)                                     {}
func (*DUStateChangeComplete) answeredBy(*DUStateChangeCompleteResponse)                     {}
func (*AutonomousDUStateChangeComplete) answeredBy(*AutonomousDUStateChangeCompleteResponse) {}

func (*InstallOpStruct) operation() string   { return "InstallOpStruct" }
func (*UpdateOpStruct) operation() string    { return "UpdateOpStruct" }
func (*UninstallOpStruct) operation() string { return "UninstallOpStruct" }

func (m *ChangeDUState) arguments(a *args) {
	a.operations(&m.Operations)
	a.text("CommandKey", &m.CommandKey)
}

func (o *InstallOpStruct) arguments(a *args) {
	a.text("URL", &o.URL)
	a.optional("UUID", &o.UUID)
	a.optional("Username", &o.Username)
	a.optional("Password", &o.Password)
	a.optional("ExecutionEnvRef", &o.ExecutionEnvRef)
}

func (o *UpdateOpStruct) arguments(a *args) {
	a.optional("UUID", &o.UUID)
	a.optional("Version", &o.Version)
	a.optional("URL", &o.URL)
	a.optional("Username", &o.Username)
	a.optional("Password", &o.Password)
}

func (o *UninstallOpStruct) arguments(a *args) {
	a.text("UUID", &o.UUID)
	a.optional("Version", &o.Version)
	a.optional("ExecutionEnvRef", &o.ExecutionEnvRef)
}

func (*ChangeDUStateResponse) arguments(*args) {}

func (m *DUStateChangeComplete) arguments(a *args) {
	list(a, "Results", "OpResultStruct", &m.Results, (*OpResultStruct).arguments)
	a.text("CommandKey", &m.CommandKey)
}

func (r *OpResultStruct) arguments(a *args) {
	a.token("UUID", &r.UUID)
	a.token("DeploymentUnitRef", &r.DeploymentUnitRef)
	a.text("Version", &r.Version)
	a.token("CurrentState", &r.CurrentState)
	a.boolean("Resolved", &r.Resolved)
	a.text("ExecutionUnitRefList", &r.ExecutionUnitRefList)
	a.time("StartTime", &r.StartTime)
	a.time("CompleteTime", &r.CompleteTime)
	a.group("Fault", r.Fault.arguments)
}

func (*DUStateChangeCompleteResponse) arguments(*args) {}

func (m *AutonomousDUStateChangeComplete) arguments(a *args) {
	list(a, "Results", "AutonOpResultStruct", &m.Results, (*AutonOpResultStruct).arguments)
}

func (r *AutonOpResultStruct) arguments(a *args) {
	r.OpResultStruct.arguments(a)
	a.token("OperationPerformed", &r.OperationPerformed)
}

func (*AutonomousDUStateChangeCompleteResponse) arguments(*args) {}
