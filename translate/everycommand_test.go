package translate

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"isthmus/cwmp/cpe"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// unserved are the commands of the Agent that are not in this version, with the reason.
var unserved = map[string]string{
	"Device.BulkData.Profile.{i}.ForceCollection()":             "bulk data is not in this version",
	"Device.DeviceInfo.Reboots.RemoveAllReboots()":              "the table is the CPE's, which cannot be told to",
	"Device.DeviceInfo.Reboots.Reboot.{i}.Remove()":             "the table is the CPE's, which cannot be told to",
	"Device.LocalAgent.Controller.{i}.ScheduleTimer()":          "deleted in Device:2.17",
	"Device.LocalAgent.Watchdog.{i}.Reset()":                    "a CPE does not tell of updates with the same value, which the table is about",
	"Device.MQTT.Broker.{i}.Bridge.{i}.ForceReconnect()":        "an Agent has no broker of its own",
	"Device.PeriodicStatistics.SampleSet.{i}.ForceCollection()": "",
}

// forceReconnect is a command of the Agent's own connections, which CWMP has, too.
const forceReconnect = "Device.MQTT.Client.{i}.ForceReconnect()"

// withEverything is a CPE that has the object of every command, and the parameters that commands need.
func withEverything(t *testing.T) *cpe.Tree {
	t.Helper()
	tree := withTests(t, withTriggers(t, cpe.Device2()))
	for _, r := range commandRows(t) {
		if !strings.HasPrefix(r.command, "Device.Services.") && !strings.HasPrefix(r.command, "Device.LocalAgent.") {
			tree = tree.WithObject(r.object())
		}
	}
	const set = "Device.PeriodicStatistics.SampleSet.1."
	return tree.With(set+"Status", "string", "Enabled").WithObject(set+"Parameter.").With("Device.SoftwareModules.ExecutionUnit.1.Status", "string", "Active")
}

// withNothing is a CPE that can say who it is.
func withNothing() *cpe.Tree {
	const info, server = "Device.DeviceInfo.", "Device.ManagementServer."
	tree := cpe.Bare("Device.").WithObject(info).WithObject(server)
	for _, name := range []string{"Manufacturer", "ManufacturerOUI", "ProductClass", "SerialNumber", "SoftwareVersion", "HardwareVersion"} {
		tree = tree.With(info+name, "string", "x")
	}
	return tree.With("Device.RootDataModelVersion", "string", "2.18").With(server+"ConnectionRequestURL", "string", "").With(server+"ParameterKey", "string", "")
}

// offered says whether a command is to be in the supported data model of a CPE that has everything, or nothing.
func offered(r row, everything bool) bool {
	reason, known := unserved[r.command]
	switch {
	case known && reason != "", r.class == "none":
		return false
	case r.class == "agent" && !known, r.command == forceReconnect, r.command == "Device.Reboot()", r.command == "Device.FactoryReset()",
		r.command == "Device.DeviceInfo.FirmwareImage.{i}.Download()": // of the one image that a CPE without a table is shown with
		return true
	}
	return everything
}

// Every command there is, at a CPE that has everything and at one that has nothing: it is in the supported data model exactly where it works, else
// refused with 7026; an argument that is missing is 7027, one with a value that it may not have 7004.
func TestEveryCommand(t *testing.T) {
	for name, tree := range map[string]*cpe.Tree{"everything": withEverything(t), "nothing": withNothing()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = tree })
			rows := commandRows(t)
			if len(rows) != 182 {
				t.Errorf("%d commands, want 182", len(rows))
			}
			for _, r := range rows {
				t.Run(r.command, func(t *testing.T) {
					listed := w.listed(id, r.command)
					if want := offered(r, name == "everything") && !strings.HasPrefix(r.command, "Device.Services."); listed != want {
						t.Fatalf("in the supported data model: %v, want %v", listed, want)
					}
					if !listed {
						if results, err := w.operateAll(id, first(r.command), nil); code(err) != usp.InvalidPath {
							t.Errorf("%v %v, want 7026", results, err)
						}
						return
					}
					w.checkArguments(t, id, r.command)
				})
			}
			if n := len(c.Calls("SetParameterValues")); n != 0 {
				t.Errorf("%d writes by commands that are wrong", n)
			}
		})
	}
}

// checkArguments leaves each argument out that must be given, and gives each a value that it may not have.
func (w *world) checkArguments(t *testing.T, id usp.EndpointID, command string) {
	def, ok := datamodel.LookupCommand(command)
	if !ok {
		t.Fatal("not in the tables")
	}
	good := map[string]string{}
	for _, name := range def.Mandatory {
		good[first(name)] = fitting(def.Args[name])
	}
	want := func(args map[string]string, code usp.ErrorCode, what string) {
		t.Helper()
		results, err := w.operateAll(id, first(command), args)
		if usp.AsError(err) != nil && usp.AsError(err).Code == usp.ObjectDoesNotExist {
			return // a row that only comes with use
		}
		if err != nil || len(results) != 1 || results[0].GetCmdFailure().GetErrCode() != uint32(code) {
			t.Errorf("%s: %v %v, want %d", what, results, err, code)
		}
	}
	for _, name := range def.Mandatory {
		args := without(good, first(name))
		if strings.Contains(name, ".") && !slices.ContainsFunc(def.Mandatory, func(o string) bool { return o != name && objectOf(o) == objectOf(name) }) {
			continue // it is not missing where its object is not given
		}
		want(args, usp.InvalidCommandArguments, "without "+name)
	}
	if strings.HasPrefix(command, "Device.LocalAgent.") || command == "Device.ScheduleTimer()" {
		return // its own tables say what it takes
	}
	for name, arg := range def.Args {
		for _, bad := range unfitting(arg) {
			args := without(good, first(name))
			args[first(name)] = bad
			want(args, usp.InvalidArguments, name+"="+bad)
		}
	}
}

func without(args map[string]string, name string) map[string]string {
	out := map[string]string{}
	for n, v := range args {
		if n != name {
			out[n] = v
		}
	}
	return out
}

// fitting is a value that an argument may have.
func fitting(a *agent.ArgDef) string {
	switch {
	case len(a.Enum) > 0:
		return a.Enum[0]
	case a.Type == agent.TypeBoolean:
		return "true"
	case len(a.Ranges) > 0:
		return strconv.FormatInt(max(a.Ranges[0].Min, 0), 10)
	case a.Type == agent.TypeString:
		return "x"
	case a.Type == agent.TypeHexBinary:
		return "0A"
	}
	return "0"
}

// unfitting are values that an argument may not have.
func unfitting(a *agent.ArgDef) (bad []string) {
	switch {
	case len(a.Enum) > 0:
		bad = append(bad, "no such value")
	case a.Type == agent.TypeBoolean, a.Type == agent.TypeInt, a.Type == agent.TypeUnsignedInt, a.Type == agent.TypeDateTime, a.Type == agent.TypeHexBinary:
		bad = append(bad, "nonsense")
	}
	if a.MaxLength > 0 && a.Type == agent.TypeString && len(a.Enum) == 0 {
		bad = append(bad, strings.Repeat("x", a.MaxLength+1))
	}
	if n := len(a.Ranges); n > 0 {
		if top := a.Ranges[n-1].Max; top < 1<<31-1 {
			bad = append(bad, strconv.FormatInt(top+1, 10))
		}
		if low := a.Ranges[0].Min; low > 0 {
			bad = append(bad, strconv.FormatInt(low-1, 10))
		}
	}
	return bad
}
