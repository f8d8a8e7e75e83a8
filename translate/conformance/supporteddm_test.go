package conformance_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"isthmus/usp/usppb"
)

type supported = usppb.GetSupportedDMResp_SupportedObjectResult

// model asks for the supported data model; each path has a result, and what is in it is well formed.
func (e *eut) model(m *usppb.GetSupportedDM, paths ...string) []*usppb.GetSupportedDMResp_RequestedObjectResult {
	e.Helper()
	m.ObjPaths = paths
	r, err := e.a.GetSupportedDM(e.deadline(), m)
	e.must(err)
	res := r.GetReqObjResults()
	if len(res) != len(paths) {
		e.Fatalf("%d results for %d paths", len(res), len(paths))
	}
	for i, q := range res {
		if q.GetReqObjPath() != paths[i] {
			e.Errorf("result %d is of %s", i, q.GetReqObjPath())
		}
		for _, o := range q.GetSupportedObjs() {
			e.wellFormed(o)
		}
	}
	return res
}

var (
	objectPath = regexp.MustCompile(`^Device\.(([A-Za-z0-9_-]+|\{i\})\.)*$`)
	paramName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	argName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.([A-Za-z_][A-Za-z0-9_-]*|\{i\}))*\.?$`)
)

func (e *eut) wellFormed(o *supported) {
	e.Helper()
	path := o.GetSupportedObjPath()
	if !objectPath.MatchString(path) || strings.HasSuffix(path, "{i}.") != o.GetIsMultiInstance() {
		e.Errorf("object %q, multi-instance %v", path, o.GetIsMultiInstance())
	}
	names := map[string]bool{}
	for _, p := range o.GetSupportedParams() {
		names[p.GetParamName()] = true
		if !paramName.MatchString(p.GetParamName()) || p.GetValueType() == usppb.GetSupportedDMResp_PARAM_UNKNOWN ||
			p.GetValueChange() == usppb.GetSupportedDMResp_VALUE_CHANGE_UNKNOWN {
			e.Errorf("parameter %v of %s", p, path)
		}
	}
	for _, c := range o.GetSupportedCommands() {
		if !strings.HasSuffix(c.GetCommandName(), "()") || c.GetCommandType() == usppb.GetSupportedDMResp_CMD_UNKNOWN {
			e.Errorf("command %v of %s", c, path)
		}
		e.arguments(path+c.GetCommandName(), append(slices.Clone(c.GetInputArgNames()), c.GetOutputArgNames()...))
	}
	for _, v := range o.GetSupportedEvents() {
		if !strings.HasSuffix(v.GetEventName(), "!") {
			e.Errorf("event %v of %s", v, path)
		}
		e.arguments(path+v.GetEventName(), v.GetArgNames())
	}
	for _, k := range o.GetUniqueKeySets() {
		for _, name := range k.GetKeyNames() {
			if !paramName.MatchString(name) || len(names) > 0 && !names[name] {
				e.Errorf("key %q of %s", name, path)
			}
		}
		if len(k.GetKeyNames()) == 0 || !o.GetIsMultiInstance() {
			e.Errorf("keys %v of %s", k, path)
		}
	}
}

func (e *eut) arguments(of string, names []string) {
	for _, name := range names {
		if !argName.MatchString(name) || strings.HasPrefix(name, "Device.") {
			e.Errorf("argument %q of %s is not a relative path", name, of)
		}
	}
}

func all() *usppb.GetSupportedDM {
	return &usppb.GetSupportedDM{ReturnCommands: true, ReturnEvents: true, ReturnParams: true, ReturnUniqueKeySets: true}
}

func firstLevel() *usppb.GetSupportedDM { m := all(); m.FirstLevelOnly = true; return m }

// objects lists what a result is about, in order.
func objects(q *usppb.GetSupportedDMResp_RequestedObjectResult) (paths []string) {
	for _, o := range q.GetSupportedObjs() {
		paths = append(paths, o.GetSupportedObjPath())
	}
	return paths
}

func (e *eut) find(q *usppb.GetSupportedDMResp_RequestedObjectResult, path string) *supported {
	e.Helper()
	for _, o := range q.GetSupportedObjs() {
		if o.GetSupportedObjPath() == path {
			return o
		}
	}
	e.Fatalf("%s is missing in %v", path, objects(q))
	return nil
}

func (e *eut) has(o *supported, params ...string) {
	e.Helper()
	for _, name := range params {
		if !slices.ContainsFunc(o.GetSupportedParams(), func(p *usppb.GetSupportedDMResp_SupportedParamResult) bool { return p.GetParamName() == name }) {
			e.Errorf("%s%s is missing", o.GetSupportedObjPath(), name)
		}
	}
}

func TestTP469_1_72_AllLevels(t *testing.T) {
	t.Run("LocalAgent", func(t *testing.T) {
		e := shared(t)
		q := e.model(all(), "Device.LocalAgent.")[0]
		e.has(e.find(q, "Device.LocalAgent."), "EndpointID", "SoftwareVersion", "UpTime", "SupportedProtocols")
		c := e.find(q, "Device.LocalAgent.Controller.{i}.")
		e.has(c, "Alias", "EndpointID", "Enable", "ProvisioningCode", "PeriodicNotifInterval")
		if len(c.GetUniqueKeySets()) != 2 || len(c.GetSupportedCommands()) == 0 || c.GetAccess() != usppb.GetSupportedDMResp_OBJ_ADD_DELETE {
			e.Errorf("%v", c)
		}
		if len(e.find(q, "Device.LocalAgent.").GetSupportedEvents()) == 0 {
			e.Error("Device.LocalAgent. has no event")
		}
		e.find(q, "Device.LocalAgent.Controller.{i}.MTP.{i}.WebSocket.")
	})
	t.Run("CPE", func(t *testing.T) {
		e := shared(t)
		q := e.model(all(), "Device.WiFi.")[0]
		e.has(e.find(q, "Device.WiFi."), "SSIDNumberOfEntries")
		ssid := e.find(q, "Device.WiFi.SSID.{i}.")
		e.has(ssid, "Enable", "SSID", "LowerLayers")
		e.has(e.find(q, "Device.WiFi.SSID.{i}.Stats."), "BytesSent")
		if len(ssid.GetUniqueKeySets()) == 0 || ssid.GetAccess() != usppb.GetSupportedDMResp_OBJ_ADD_DELETE {
			e.Errorf("%v", ssid)
		}
	})
}

// children says that a result is an object and those one level below, and that the requested one alone is told in full.
// Unique keys are told of each (1.75), which 1.73 takes for nothing else.
func (e *eut) children(q *usppb.GetSupportedDMResp_RequestedObjectResult, object string, full bool, want ...string) {
	e.Helper()
	if got := objects(q); !slices.Contains(got, object) {
		e.Fatalf("%s is missing in %v", object, got)
	}
	for _, path := range want {
		e.find(q, path)
	}
	for _, o := range q.GetSupportedObjs() {
		below := strings.TrimPrefix(o.GetSupportedObjPath(), object)
		told := len(o.GetSupportedParams()) + len(o.GetSupportedCommands()) + len(o.GetSupportedEvents())
		switch {
		case strings.Count(strings.TrimSuffix(below, "{i}."), ".") > 1:
			e.Errorf("%s is not one level below %s", o.GetSupportedObjPath(), object)
		case below == "" && full && told == 0:
			e.Errorf("%s is told without what is in it", object)
		case (below != "" || !full) && told != 0:
			e.Errorf("%s is told in full", o.GetSupportedObjPath())
		case !full && len(o.GetUniqueKeySets()) != 0:
			e.Errorf("keys of %s", o.GetSupportedObjPath())
		}
	}
}

func TestTP469_1_73_FirstLevel(t *testing.T) {
	both(t, func(e *eut, s side) {
		object, want := "Device.LocalAgent.", "Device.LocalAgent.Controller.{i}."
		if s.name == "CPE" {
			object, want = "Device.WiFi.", "Device.WiFi.SSID.{i}."
		}
		e.children(e.model(firstLevel(), object)[0], object, true, want)
	})
}

func TestTP469_1_74_NoOptions(t *testing.T) {
	both(t, func(e *eut, s side) {
		object, want := "Device.LocalAgent.", "Device.LocalAgent.Controller.{i}."
		if s.name == "CPE" {
			object, want = "Device.WiFi.", "Device.WiFi.SSID.{i}."
		}
		e.children(e.model(&usppb.GetSupportedDM{FirstLevelOnly: true}, object)[0], object, false, want)
	})
}

func TestTP469_1_75_TwoTables(t *testing.T) {
	both(t, func(e *eut, s side) {
		paths := []string{"Device.LocalAgent.Controller.", "Device.LocalAgent.MTP."}
		child := "Device.LocalAgent.Controller.{i}.BootParameter.{i}."
		if s.name == "CPE" {
			paths, child = []string{"Device.DHCPv4.Server.Pool.", "Device.WiFi.SSID."}, "Device.DHCPv4.Server.Pool.{i}.StaticAddress.{i}."
		}
		res := e.model(firstLevel(), paths...)
		e.children(res[0], paths[0]+"{i}.", true, child)
		e.children(res[1], paths[1]+"{i}.", true)
		for _, o := range []*supported{e.find(res[0], paths[0]+"{i}."), e.find(res[0], child), e.find(res[1], paths[1]+"{i}.")} {
			if len(o.GetUniqueKeySets()) == 0 {
				e.Errorf("%s has no unique keys", o.GetSupportedObjPath())
			}
		}
	})
}

// TestTP469_1_76_Root: everything that there is in the instantiated data model is in the supported one.
func TestTP469_1_76_Root(t *testing.T) {
	e := shared(t)
	q := e.model(all(), "Device.")[0]
	known := map[string]*supported{}
	for _, o := range q.GetSupportedObjs() {
		known[o.GetSupportedObjPath()] = o
	}
	instance := regexp.MustCompile(`\.[0-9]+\.`)
	for path, params := range e.values("Device.") {
		generic := path
		for instance.MatchString(generic) {
			generic = instance.ReplaceAllString(generic, ".{i}.")
		}
		if known[generic] == nil {
			e.Errorf("%s is not supported", path)
			continue
		}
		for name := range params {
			e.has(known[generic], name)
		}
	}
	for _, path := range []string{"Device.", "Device.DeviceInfo.", "Device.LocalAgent.Subscription.{i}.", "Device.NAT.PortMapping.{i}."} {
		if known[path] == nil {
			e.Errorf("%s is missing", path)
		}
	}
}

func TestTP469_1_77_Unsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		if q := e.model(all(), s.unsupported)[0]; q.GetErrCode() == 0 || len(q.GetSupportedObjs()) != 0 {
			e.Errorf("%v", q)
		}
	})
}

func TestTP469_1_97_CommandsOfRoot(t *testing.T) {
	e := shared(t)
	inputs := 0
	for _, o := range e.model(&usppb.GetSupportedDM{ReturnCommands: true}, "Device.")[0].GetSupportedObjs() {
		if len(o.GetSupportedParams())+len(o.GetSupportedEvents())+len(o.GetUniqueKeySets()) != 0 {
			e.Errorf("more than commands: %v", o)
		}
		for _, c := range o.GetSupportedCommands() {
			inputs += len(c.GetInputArgNames())
		}
	}
	if inputs == 0 {
		e.Error("no command has an input argument")
	}
}

func TestTP469_1_98_EventsOfRoot(t *testing.T) {
	e := shared(t)
	args := 0
	for _, o := range e.model(&usppb.GetSupportedDM{ReturnEvents: true}, "Device.")[0].GetSupportedObjs() {
		if len(o.GetSupportedParams())+len(o.GetSupportedCommands())+len(o.GetUniqueKeySets()) != 0 {
			e.Errorf("more than events: %v", o)
		}
		for _, v := range o.GetSupportedEvents() {
			args += len(v.GetArgNames())
		}
	}
	if args == 0 {
		e.Error("no event has an argument")
	}
}

// TestTP469_1_99_UniqueKeys: the path has no final dot.
func TestTP469_1_99_UniqueKeys(t *testing.T) {
	both(t, func(e *eut, s side) {
		want := map[string][]string{"LocalAgent": {"Alias", "Recipient,ID"}, "CPE": {"Alias", "RemoteHost,ExternalPort,Protocol"}}[s.name]
		q := e.model(&usppb.GetSupportedDM{ReturnUniqueKeySets: true}, strings.TrimSuffix(s.table, "."))[0]
		if len(q.GetSupportedObjs()) != 1 {
			e.Fatalf("objects %v", objects(q))
		}
		var got []string
		for _, k := range q.GetSupportedObjs()[0].GetUniqueKeySets() {
			got = append(got, strings.Join(k.GetKeyNames(), ","))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			e.Errorf("keys %v, want %v", got, want)
		}
	})
}

// only says how much of each kind a result about one element has.
func (e *eut) only(path string, params, commands, events int) {
	e.Helper()
	q := e.model(all(), path)[0]
	if len(q.GetSupportedObjs()) != 1 {
		e.Fatalf("%s: objects %v", path, objects(q))
	}
	o := q.GetSupportedObjs()[0]
	if len(o.GetSupportedParams()) != params || len(o.GetSupportedCommands()) != commands || len(o.GetSupportedEvents()) != events || len(o.GetUniqueKeySets()) != 0 {
		e.Errorf("%s: %v", path, o)
	}
	var names []string
	for _, p := range o.GetSupportedParams() {
		names = append(names, p.GetParamName())
	}
	for _, c := range o.GetSupportedCommands() {
		names = append(names, c.GetCommandName())
	}
	for _, v := range o.GetSupportedEvents() {
		names = append(names, v.GetEventName())
	}
	if len(names) != 1 || !strings.HasSuffix(path, "."+names[0]) {
		e.Errorf("%s: %v", path, names)
	}
}

func TestTP469_1_105_Command(t *testing.T) { shared(t).only("Device.Reboot()", 0, 1, 0) }
func TestTP469_1_106_Event(t *testing.T)   { shared(t).only("Device.Boot!", 0, 0, 1) }

func TestTP469_1_107_Parameter(t *testing.T) {
	both(t, func(e *eut, s side) {
		e.only(map[string]string{"LocalAgent": eutID, "CPE": "Device.DeviceInfo.SerialNumber"}[s.name], 1, 0, 0)
	})
}

func TestTP469_1_80_SupportedProtocol(t *testing.T) {
	e := shared(t)
	v, err := e.a.GetSupportedProtocol(e.deadline())
	e.must(err)
	if !regexp.MustCompile(`^1\.[0-9]+(,1\.[0-9]+)*$`).MatchString(v) {
		e.Errorf("versions %q", v)
	}
}
