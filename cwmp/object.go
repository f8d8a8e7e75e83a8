package cwmp

// AddObject creates a row of the table ObjectName, which ends in "." (A.3.2.6).
type AddObject struct {
	ObjectName   string
	ParameterKey string
}

// AddObjectResponse has the new row's number; Status as in SetParameterValuesResponse.
type AddObjectResponse struct {
	InstanceNumber int
	Status         int
}

// DeleteObject removes the row ObjectName, which ends in "." (A.3.2.7).
type DeleteObject struct {
	ObjectName   string
	ParameterKey string
}

// DeleteObjectResponse has Status as in SetParameterValuesResponse.
type DeleteObjectResponse struct {
	Status int
}

// Name is "AddObject".
func (*AddObject) Name() string { return "AddObject" }

// Name is "AddObjectResponse".
func (*AddObjectResponse) Name() string { return "AddObjectResponse" }

// Name is "DeleteObject".
func (*DeleteObject) Name() string { return "DeleteObject" }

// Name is "DeleteObjectResponse".
func (*DeleteObjectResponse) Name() string { return "DeleteObjectResponse" }

func (*AddObject) answeredBy(*AddObjectResponse)       {}
func (*DeleteObject) answeredBy(*DeleteObjectResponse) {}

func (m *AddObject) arguments(a *args) {
	a.token("ObjectName", &m.ObjectName)
	a.text("ParameterKey", &m.ParameterKey)
}

func (m *AddObjectResponse) arguments(a *args) {
	a.number("InstanceNumber", &m.InstanceNumber)
	a.number("Status", &m.Status)
}

func (m *DeleteObject) arguments(a *args) {
	a.token("ObjectName", &m.ObjectName)
	a.text("ParameterKey", &m.ParameterKey)
}

func (m *DeleteObjectResponse) arguments(a *args) { a.number("Status", &m.Status) }
