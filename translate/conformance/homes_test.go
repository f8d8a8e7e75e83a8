package conformance_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"isthmus/cwmp/cpe"
	"isthmus/usp/usppb"
)

// The same requests to CPE that describe the same home in different data models are answered alike: a Controller needs one set of names. What a data
// model has no word for is said in each case, by the models that lack it.

// home is a world whose CPE describes the home in one data model.
type home struct {
	lasting
	model string
	tree  func() *cpe.Tree
	own   func(path string) string // the CPE's own name of a Device:2 parameter or row, for what happens on the LAN side
}

const (
	device2 = "Device:2"
	tr098   = "TR-098"
	device1 = "Device:1"
)

// homes begins with the one that the others are held against.
var homes = []*home{
	{model: device2, tree: cpe.HomeDevice2, own: func(path string) string { return path }},
	{model: tr098, tree: cpe.HomeTR098, own: func(path string) string { return namesOfTR098[path] }},
	{model: device1, tree: cpe.HomeDevice1, own: func(path string) string { return cmp.Or(namesOfDevice1[path], path) }},
}

var namesOfTR098 = map[string]string{
	"Device.DeviceInfo.ProvisioningCode":            rootIGD + "DeviceInfo.ProvisioningCode",
	"Device.UserInterface.RemoteAccess.Port":        rootIGD + "UserInterface.RemoteAccess.Port",
	"Device.IP.Interface.1.IPv4Address.1.IPAddress": rootIGD + "LANDevice.1.LANHostConfigManagement.IPInterface.1.IPInterfaceIPAddress",
	"Device.WiFi.SSID.2.SSID":                       rootIGD + "LANDevice.1.WLANConfiguration.2.SSID",
	"Device.NAT.PortMapping.101510001.Description":  rootIGD + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.PortMapping.1.PortMappingDescription",
	"Device.DHCPv4.Server.Pool.1000.MaxAddress":     rootIGD + "LANDevice.1.LANHostConfigManagement.MaxAddress",
	"Device.Ethernet.Interface.1.Status":            rootIGD + "LANDevice.1.LANEthernetInterfaceConfig.1.Status",
	"Device.Users.User.":                            rootIGD + "User.",
	"Device.NAT.PortMapping.":                       rootIGD + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.PortMapping.",
	"Device.DHCPv4.Server.Pool.1000.StaticAddress.": rootIGD + "LANDevice.1.LANHostConfigManagement.DHCPStaticAddress.",
	"Device.Routing.Router.1.IPv4Forwarding.":       rootIGD + "Layer3Forwarding.Forwarding.",
	"Device.QoS.Queue.":                             rootIGD + "QueueManagement.Queue.",
}

var namesOfDevice1 = map[string]string{
	"Device.IP.Interface.1.IPv4Address.1.IPAddress": "Device.LAN.IPAddress",
	"Device.Users.User.":                            "Device.User.",
}

// each runs a case in every home but those of models that lack what it is about.
func each(t *testing.T, run func(e *eut, h *home), lack ...string) {
	for _, h := range homes {
		if !slices.Contains(lack, h.model) {
			t.Run(h.model, func(t *testing.T) { run(h.open(t, options{tree: h.tree()}), h) })
		}
	}
}

// alike says that a conversation has the same outcome in every home but those of models that lack what it is about.
func alike(t *testing.T, ask func(e *eut, h *home) any, lack ...string) {
	t.Helper()
	var first string
	each(t, func(e *eut, h *home) {
		b, err := json.MarshalIndent(ask(e, h), "", " ")
		e.must(err)
		if first == "" {
			first = string(b)
		} else if d := diff.Diff(strings.Split(first, "\n"), strings.Split(string(b), "\n")); d != "" {
			e.Errorf("%s (+) unlike %s (-):\n%s", h.model, homes[0].model, d)
		}
	}, lack...)
}

// result is what a path of a Get came to.
type result struct {
	Failed  bool                         `json:",omitempty"`
	Objects map[string]map[string]string `json:",omitempty"`
}

// ask gives the results of a Get, of the parameters that every home has: those of the first.
func (e *eut) ask(depth uint32, paths ...string) []result {
	e.Helper()
	out := make([]result, len(paths))
	for i, r := range e.get(depth, paths...) {
		out[i].Failed = r.GetErrCode() != 0
		out[i].Objects = map[string]map[string]string{}
		for _, o := range r.GetResolvedPathResults() {
			params := maps.Clone(o.GetResultParams())
			maps.DeleteFunc(params, func(name, _ string) bool { return !reference()[generic(o.GetResolvedPath()+name)] })
			if len(params) > 0 {
				out[i].Objects[o.GetResolvedPath()] = params
			}
		}
	}
	return out
}

// reference are the parameters of the first home, but for those that change by themselves.
var reference = sync.OnceValue(func() map[string]bool {
	h := homes[0]
	r, err := h.w.a.GetSupportedDM(h.w.ctx, &usppb.GetSupportedDM{ObjPaths: []string{"Device."}, ReturnParams: true})
	if err != nil {
		panic(err)
	}
	names := map[string]bool{}
	for _, o := range r.GetReqObjResults()[0].GetSupportedObjs() {
		for _, p := range o.GetSupportedParams() {
			names[o.GetSupportedObjPath()+p.GetParamName()] = !slices.Contains([]string{"UpTime", "CurrentLocalTime"}, p.GetParamName())
		}
	}
	return names
})

// generic is a path with {i} for its instance numbers.
func generic(path string) string {
	segs := strings.Split(path, ".")
	for i, s := range segs {
		if s != "" && strings.Trim(s, "0123456789") == "" {
			segs[i] = "{i}"
		}
	}
	return strings.Join(segs, ".")
}

// sole is the row that a search finds.
func (e *eut) sole(search string) string {
	e.Helper()
	rows := e.rows(search)
	if len(rows) != 1 {
		e.Fatalf("%s: rows %v", search, rows)
	}
	return rows[0]
}

// outcome is what a Set has done or why not, by the paths of parameters.
type outcome struct {
	Code uint32            `json:",omitempty"`
	Errs map[string]uint32 `json:",omitempty"`
	Set  map[string]string `json:",omitempty"`
}

func (e *eut) outcome(partial bool, objs ...obj) []outcome {
	e.Helper()
	res, err := e.set(partial, objs...)
	if err != nil {
		u := e.refused(err)
		o := outcome{Code: uint32(u.Code), Errs: map[string]uint32{}}
		for _, p := range u.Params {
			o.Errs[p.Path] = uint32(p.Code)
		}
		return []outcome{o}
	}
	out := make([]outcome, len(res))
	for i, r := range res {
		o := &out[i]
		o.Set, o.Errs = map[string]string{}, map[string]uint32{}
		o.Code = r.GetOperStatus().GetOperFailure().GetErrCode()
		for _, inst := range r.GetOperStatus().GetOperFailure().GetUpdatedInstFailures() {
			for _, p := range inst.GetParamErrs() {
				o.Errs[inst.GetAffectedPath()+p.GetParam()] = p.GetErrCode()
			}
		}
		for _, inst := range r.GetOperStatus().GetOperSuccess().GetUpdatedInstResults() {
			for name, v := range inst.GetUpdatedParams() {
				o.Set[inst.GetAffectedPath()+name] = v
			}
			for _, p := range inst.GetParamErrs() {
				o.Errs[inst.GetAffectedPath()+p.GetParam()] = p.GetErrCode()
			}
		}
	}
	return out
}
