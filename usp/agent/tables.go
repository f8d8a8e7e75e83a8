package agent

import (
	"slices"
	"strings"
)

// ownRoot is the subtree that the Agent serves itself.
const ownRoot = "Device.LocalAgent."

// ownRoots are all subtrees that it serves.
var ownRoots = [...]string{ownRoot, mqttRoot, stompRoot}

// The tables whose rows mean something to the engine.
const (
	controllerTable   = ownRoot + "Controller."
	subscriptionTable = ownRoot + "Subscription."
)

// table is an object of the Agent's own data model: what the Controller may know (ObjectDef) and how its values behave.
type table struct {
	ObjectDef
	columns  []column
	children []*table
	// limit is how many rows one table may have, so that a Controller cannot fill the store.
	limit int
	// optional says that an object which is no row is there only where the fleet's rows have it.
	optional bool
	// protocol says that an object is there only where the row of an MTP that it is in has this Protocol.
	protocol string
	// count is the parameter of the parent object that counts the rows.
	count string
}

// column is a parameter of a table.
type column struct {
	ParamDef
	initial string
	// least and most bound a number, most also the characters of a string; most 0 is defaultLength for a string.
	least, most uint64
	// fixed says that a value cannot be changed once there is one: keys and references that others hold on to.
	fixed bool
	// refers is the table that the items of the list are rows of; single says that there is one at most.
	refers string
	single bool
	// hidden is what a Secured value is kept as, if it is kept as it is.
	hidden string
	// check looks at a value of the right type.
	check func(value string) error
	// calc computes the value of a parameter that is not kept.
	calc func(v *view, path string) string
}

// defaultLength bounds strings for which the data model gives no length.
const defaultLength = 1024

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].Name == name {
			return &t.columns[i]
		}
	}
	return nil
}

func text(name, initial string, most uint64) column {
	return column{ParamDef: ParamDef{Name: name, Type: TypeString, Writable: true}, initial: initial, most: most}
}

func flag(name string) column {
	return column{ParamDef: ParamDef{Name: name, Type: TypeBoolean, Writable: true}, initial: "false"}
}

func number(name, initial string, least, most uint64) column {
	return column{ParamDef: ParamDef{Name: name, Type: TypeUnsignedInt, Writable: true}, initial: initial, least: least, most: most}
}

func list(name string, most uint64) column {
	return column{ParamDef: ParamDef{Name: name, Type: TypeString, Writable: true, List: true}, most: most}
}

// enabled has a flag begin as true.
func enabled(name string) column { c := flag(name); c.initial = "true"; return c }

// once makes a column settable in Add only.
func once(c column) column { c.WriteOnce = true; return c }

// fixed makes a column immutable as soon as it has a value.
func fixed(c column) column { c.fixed = true; return c }

// shown makes a column read-only.
func shown(c column) column { c.Writable = false; return c }

func computed(name string, typ ValueType, calc func(v *view, path string) string) column {
	return column{ParamDef: ParamDef{Name: name, Type: typ}, calc: calc}
}

// counts is the number of rows of a table below the object.
func counts(name string) column {
	return computed(name+"NumberOfEntries", TypeUnsignedInt, func(v *view, path string) string {
		return itoa(len(v.rows.index[path+name+"."]))
	})
}

func alias() column { return once(text("Alias", "", 64)) }

func oneOf(c column, values ...string) column { c.Enum = values; return c }

const maxUint32 = 1<<32 - 1

// ownModel is the Agent's own supported data model; byPath finds its tables by generic path. Parents come first.
var ownModel, byPath = link(append([]*table{
	{ObjectDef: ObjectDef{Path: "Device.", Commands: []CommandDef{{Name: timerCommand, Async: true,
		In: []string{delaySeconds}, Mandatory: []string{delaySeconds}}}, Events: []EventDef{{Name: bootEvent,
		Args: []string{"CommandKey", "Cause", "FirmwareUpdated", "ParameterMap", "Reason"}}}}},
	{ObjectDef: ObjectDef{Path: ownRoot, Events: []EventDef{{Name: periodicEvent}, transferEvent, {Name: WakeUp}}, Commands: []CommandDef{{Name: addCertificateCommand,
		In: []string{aliasName, "Certificate"}, Mandatory: []string{"Certificate"}}}}, columns: []column{
		computed("EndpointID", TypeString, func(v *view, _ string) string { return string(v.agent.id.ID) }),
		computed("SoftwareVersion", TypeString, func(v *view, _ string) string { return v.agent.fleet.opts.SoftwareVersion }),
		quiet(computed("UpTime", TypeUnsignedInt, func(v *view, _ string) string { return itoa(v.upTime()) })),
		computed("SupportedProtocols", TypeString, func(v *view, _ string) string { return v.agent.fleet.protocols }),
		computed("AdvertisedDeviceSubtypes", TypeString, func(*view, string) string { return "" }),
		computed("MaxSubscriptionChangeAdoptionTime", TypeUnsignedInt, func(*view, string) string { return "10" }),
		computed("SupportedFingerprintAlgorithms", TypeString, func(*view, string) string { return fingerprintNames }),
		computed("SupportedThresholdOperator", TypeString, func(*view, string) string { return strings.Join(thresholdOperators, ",") }),
		counts("MTP"), counts("Controller"), counts("Subscription"), counts("Request"), counts("Threshold"), counts("Certificate"),
	}},
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"EndpointID"}},
		Commands: []CommandDef{{Name: onBoardCommand}, {Name: addMyCertificateCommand, In: []string{aliasName, "Certificate"}, Mandatory: []string{"Certificate"}}}}, limit: 32, count: "ControllerNumberOfEntries", columns: []column{
		alias(),
		text("EndpointID", "", 256),
		text("ControllerCode", "", 128),
		text("ProvisioningCode", "", 64),
		flag("Enable"),
		roles("AssignedRole"),
		shown(roles("InheritedRole")),
		certificates("Credential"),
		number("PeriodicNotifInterval", "86400", 1, maxUint32),
		{ParamDef: ParamDef{Name: "PeriodicNotifTime", Type: TypeDateTime, Writable: true}, initial: unknownTime},
		number("USPNotifRetryMinimumWaitInterval", "5", 1, 65535),
		number("USPNotifRetryIntervalMultiplier", "2000", 1000, 65535),
		flag("OnBoardingComplete"),
		number("OnBoardingRestartTime", "0", 0, maxUint32),
		counts("MTP"), counts("BootParameter"),
	}},
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}.MTP.{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Protocol"}}},
		limit: maxMTPs, count: "MTPNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			oneOf(text("Protocol", webSocket, 0), webSocket, mqttMTP, stompMTP),
			number("Order", "1", 1, maxUint32),
		}},
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}.MTP.{i}.WebSocket.", Commands: []CommandDef{{Name: resetCommand}}}, protocol: webSocket, columns: webSocketColumns()},
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}.BootParameter.{i}.", Multi: true, Access: AddDelete,
		Keys: [][]string{{"Alias"}, {"ParameterName"}}}, limit: 100, count: "BootParameterNumberOfEntries", columns: []column{
		alias(),
		flag("Enable"),
		text("ParameterName", "", 256),
	}},
	{ObjectDef: ObjectDef{Path: subscriptionTable + "{i}.", Multi: true, Access: AddDelete,
		Keys: [][]string{{"Alias"}, {"Recipient", "ID"}}}, count: "SubscriptionNumberOfEntries", columns: []column{
		alias(),
		flag("Enable"),
		shown(text("Recipient", "", 0)),
		fixed(text("ID", "", 64)),
		shown(column{ParamDef: ParamDef{Name: "CreationDate", Type: TypeDateTime}, initial: unknownTime}),
		fixed(oneOf(text("NotifType", "", 0), valueChange, objectCreation, objectDeletion, operationComplete, event)),
		fixed(list("ReferenceList", 8192)),
		flag("Persistent"),
		number("TimeToLive", "0", 0, maxUint32),
		flag("NotifRetry"),
		number("NotifExpiration", "0", 0, maxUint32),
		oneOf(text("TriggerAction", triggerNotify, 0), triggerNotify, triggerConfig, triggerBoth),
		list("TriggerConfigSettings", 8192),
	}},
	{ObjectDef: ObjectDef{Path: cpeObject, Commands: []CommandDef{{Name: refreshCommand}}}, columns: liveColumns()},
	{ObjectDef: ObjectDef{Path: requestTable + "{i}.", Multi: true, Keys: [][]string{{"Originator", "Command", "CommandKey"}, {"Alias"}},
		Commands: []CommandDef{{Name: cancelCommand}}}, limit: maxRequests, count: "RequestNumberOfEntries", columns: []column{
		shown(alias()),
		shown(text("Originator", "", 0)),
		shown(text("Command", "", 0)),
		shown(text("CommandKey", "", 0)),
		oneOf(shown(text("Status", statusRequested, 0)), statusRequested, statusActive, statusCanceling, "Canceled", "Success", "Error"),
	}},
}, slices.Concat(policyTables, contextTables, ownMTPs, mqttTables, stompTables, thresholdTables, certificateTables, trustTables, credentialTables, challengeTables)...))

// The values of NotifType.
const (
	valueChange       = "ValueChange"
	objectCreation    = "ObjectCreation"
	objectDeletion    = "ObjectDeletion"
	operationComplete = "OperationComplete"
	event             = "Event"
	onBoardRequest    = "OnBoardRequest" // no NotifType, but a kind of Notify
)

// WakeUp is the event of Device.LocalAgent. that tells that the device has come out of standby.
const WakeUp = "WakeUp!"

const (
	bootEvent      = "Boot!"
	periodicEvent  = "Periodic!"
	onBoardCommand = "SendOnBoardRequest()"
	// unknownTime is the Unknown Time of TR-106.
	unknownTime = "0001-01-01T00:00:00Z"
)

func quiet(c column) column { c.Quiet = true; return c }

// link completes the tables: definitions for the Model and the tree.
func link(tables []*table) (*Model, map[string]*table) {
	byPath := make(map[string]*table, len(tables))
	defs := make([]*ObjectDef, len(tables))
	for i, t := range tables {
		for j := range t.columns {
			t.Params = append(t.Params, t.columns[j].ParamDef)
		}
		if parent := byPath[ParentPath(t.Path)]; parent != nil {
			parent.children = append(parent.children, t)
		}
		byPath[t.Path] = t
		defs[i] = &t.ObjectDef
	}
	return NewModel(defs), byPath
}

// name is how the object is called below its parent, with a final dot: "Controller.".
func (t *table) name() string {
	p := strings.TrimSuffix(strings.TrimSuffix(t.Path, "{i}."), ".")
	return p[strings.LastIndexByte(p, '.')+1:] + "."
}

// tableOf finds the table of a concrete path of an object.
func tableOf(path string) *table { return byPath[GenericPath(path)] }
