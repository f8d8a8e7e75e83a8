package cwmp

// The values of Notification that are not combinations, and of AccessList (A.3.2.4).
const (
	NotificationOff                = 0
	NotificationPassive            = 1
	NotificationActive             = 2
	NotificationPassiveLightweight = 3
	NotificationActiveLightweight  = 5

	// AccessSubscriber is the only entity that an AccessList may name.
	AccessSubscriber = "Subscriber"
)

// ParameterValueStruct is one value. Value is as the CPE wrote it.
type ParameterValueStruct struct {
	Name  string
	Value string
	Type  string // local name of the xsd type: "unsignedInt"; "" if the CPE gave none. Written as string if empty.
}

// SetParameterValues writes all its parameters or none (A.3.2.1). ParameterKey is stored in
// ManagementServer.ParameterKey when that succeeded.
type SetParameterValues struct {
	ParameterList []ParameterValueStruct
	ParameterKey  string
}

// SetParameterValuesResponse has Status 0 if the values are in force, 1 if they will be when the CPE has rebooted or the session is over.
type SetParameterValuesResponse struct {
	Status int
}

// GetParameterValues reads parameters; a name that ends in "." is a partial path and stands for all below it (A.3.2.2).
type GetParameterValues struct {
	ParameterNames []string
}

// GetParameterValuesResponse carries the values; CPE are not reliable in order or number.
type GetParameterValuesResponse struct {
	ParameterList []ParameterValueStruct
}

// GetParameterNames lists what there is below a path (A.3.2.3). NextLevel: only the children.
type GetParameterNames struct {
	ParameterPath string
	NextLevel     bool
}

// GetParameterNamesResponse carries the names; those of objects end in ".".
type GetParameterNamesResponse struct {
	ParameterList []ParameterInfoStruct
}

// ParameterInfoStruct is one parameter or object. Writable of a table: AddObject works; of an instance: DeleteObject does.
type ParameterInfoStruct struct {
	Name     string
	Writable bool
}

// SetParameterAttributes sets notification and access of parameters or of all below a partial path (A.3.2.4).
type SetParameterAttributes struct {
	ParameterList []SetParameterAttributesStruct
}

// SetParameterAttributesStruct changes only what its Change flags name.
type SetParameterAttributesStruct struct {
	Name               string
	NotificationChange bool
	Notification       int
	AccessListChange   bool
	AccessList         []string
}

// SetParameterAttributesResponse acknowledges.
type SetParameterAttributesResponse struct{}

// GetParameterAttributes reads the attributes of parameters or of all below a partial path (A.3.2.5).
type GetParameterAttributes struct {
	ParameterNames []string
}

// GetParameterAttributesResponse carries the attributes.
type GetParameterAttributesResponse struct {
	ParameterList []ParameterAttributeStruct
}

// ParameterAttributeStruct is one parameter's attributes.
type ParameterAttributeStruct struct {
	Name         string
	Notification int
	AccessList   []string
}

// Name is "SetParameterValues".
func (*SetParameterValues) Name() string { return "SetParameterValues" }

// Name is "SetParameterValuesResponse".
func (*SetParameterValuesResponse) Name() string { return "SetParameterValuesResponse" }

// Name is "GetParameterValues".
func (*GetParameterValues) Name() string { return "GetParameterValues" }

// Name is "GetParameterValuesResponse".
func (*GetParameterValuesResponse) Name() string { return "GetParameterValuesResponse" }

// Name is "GetParameterNames".
func (*GetParameterNames) Name() string { return "GetParameterNames" }

// Name is "GetParameterNamesResponse".
func (*GetParameterNamesResponse) Name() string { return "GetParameterNamesResponse" }

// Name is "SetParameterAttributes".
func (*SetParameterAttributes) Name() string { return "SetParameterAttributes" }

// Name is "SetParameterAttributesResponse".
func (*SetParameterAttributesResponse) Name() string { return "SetParameterAttributesResponse" }

// Name is "GetParameterAttributes".
func (*GetParameterAttributes) Name() string { return "GetParameterAttributes" }

// Name is "GetParameterAttributesResponse".
func (*GetParameterAttributesResponse) Name() string { return "GetParameterAttributesResponse" }

func (*SetParameterValues) answeredBy(*SetParameterValuesResponse)         {}
func (*GetParameterValues) answeredBy(*GetParameterValuesResponse)         {}
func (*GetParameterNames) answeredBy(*GetParameterNamesResponse)           {}
func (*SetParameterAttributes) answeredBy(*SetParameterAttributesResponse) {}
func (*GetParameterAttributes) answeredBy(*GetParameterAttributesResponse) {}

func (m *SetParameterValues) arguments(a *args) {
	list(a, "ParameterList", "ParameterValueStruct", &m.ParameterList, (*ParameterValueStruct).arguments)
	a.text("ParameterKey", &m.ParameterKey)
}

func (m *SetParameterValuesResponse) arguments(a *args) { a.number("Status", &m.Status) }

func (m *GetParameterValues) arguments(a *args) { a.strings("ParameterNames", &m.ParameterNames) }

func (m *GetParameterValuesResponse) arguments(a *args) {
	list(a, "ParameterList", "ParameterValueStruct", &m.ParameterList, (*ParameterValueStruct).arguments)
}

func (m *GetParameterNames) arguments(a *args) {
	a.token("ParameterPath", &m.ParameterPath)
	a.boolean("NextLevel", &m.NextLevel)
}

func (m *GetParameterNamesResponse) arguments(a *args) {
	list(a, "ParameterList", "ParameterInfoStruct", &m.ParameterList, (*ParameterInfoStruct).arguments)
}

func (m *SetParameterAttributes) arguments(a *args) {
	list(a, "ParameterList", "SetParameterAttributesStruct", &m.ParameterList, (*SetParameterAttributesStruct).arguments)
}

func (*SetParameterAttributesResponse) arguments(*args) {}

func (m *GetParameterAttributes) arguments(a *args) { a.strings("ParameterNames", &m.ParameterNames) }

func (m *GetParameterAttributesResponse) arguments(a *args) {
	list(a, "ParameterList", "ParameterAttributeStruct", &m.ParameterList, (*ParameterAttributeStruct).arguments)
}

func (p *ParameterValueStruct) arguments(a *args) {
	a.name(&p.Name)
	a.value("Value", &p.Value, &p.Type)
}

func (p *ParameterInfoStruct) arguments(a *args) {
	a.name(&p.Name)
	a.boolean("Writable", &p.Writable)
}

func (p *SetParameterAttributesStruct) arguments(a *args) {
	a.name(&p.Name)
	a.boolean("NotificationChange", &p.NotificationChange)
	a.number("Notification", &p.Notification)
	a.boolean("AccessListChange", &p.AccessListChange)
	a.strings("AccessList", &p.AccessList)
}

func (p *ParameterAttributeStruct) arguments(a *args) {
	a.name(&p.Name)
	a.number("Notification", &p.Notification)
	a.strings("AccessList", &p.AccessList)
}
