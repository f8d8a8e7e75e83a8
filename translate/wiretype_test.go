package translate

import (
	"slices"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

// miscalled has a CPE give parameters another type than it takes, by the end of their names.
func miscalled(types map[string]string) func(*cpe.Config) {
	return func(cfg *cpe.Config) {
		cfg.Faults.Answer = func(_, response cwmp.RPC) cwmp.RPC {
			r, ok := response.(*cwmp.GetParameterValuesResponse)
			if !ok {
				return response
			}
			list := slices.Clone(r.ParameterList)
			for i, p := range list {
				if typ, ok := types[p.Name[strings.LastIndexByte(p.Name, '.')+1:]]; ok {
					list[i].Type = typ
				}
			}
			return &cwmp.GetParameterValuesResponse{ParameterList: list}
		}
	}
}

// typesSent are those of each SetParameterValues that a CPE was sent.
func typesSent(c *cpe.CPE) (sent []string) {
	for _, call := range c.Calls("SetParameterValues") {
		var types []string
		for _, p := range call.Request.(*cwmp.SetParameterValues).ParameterList {
			types = append(types, p.Type)
		}
		sent = append(sent, strings.Join(types, " "))
	}
	return sent
}

// TestR18_TypesThatAreNotTaken: a CPE that refuses the type it gives a value itself is sent another, and each CPE of its model is from then on.
func TestR18_TypesThatAreNotTaken(t *testing.T) {
	w := newWorld(t, live)
	wrong := miscalled(map[string]string{"LeaseDuration": "string", "ExternalPort": "string", "Description": "unsignedInt"})
	c, id := w.boot(wrong)
	values := map[string]string{"Description": "7", "Enable": "true", "ExternalPort": "99", "LeaseDuration": "5"}
	set := func(id usp.EndpointID, c *cpe.CPE, want ...string) {
		t.Helper()
		before := len(typesSent(c))
		_, err := w.set(id, mappings+"1.", values)
		w.must(err)
		if got := typesSent(c)[before:]; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		for name, v := range values {
			if got := c.Value(mappings + "1." + name); got != v && name != "Enable" {
				t.Errorf("%s is %q", name, got)
			}
		}
	}
	const right = "string boolean unsignedInt unsignedInt"
	set(id, c, "unsignedInt boolean string string", right)
	values["ExternalPort"], values["LeaseDuration"], values["Description"], values["Enable"] = "98", "6", "8", "false"
	set(id, c, right)
	if added, err := w.add(id, mappings, map[string]string{"ExternalPort": "97", "LeaseDuration": "4"}); err != nil || len(added.ParamErrs) > 0 {
		t.Errorf("Add: %v, %v", added.GetParamErrs(), err)
	}
	if detail, _ := w.p.Device(id); !slices.ContainsFunc(detail.Quirks, func(q string) bool {
		return strings.HasPrefix(q, "learnt: value_types ") && strings.Contains(q, mappings+"{i}.LeaseDuration=unsignedInt")
	}) {
		t.Errorf("shown: %q", detail.Quirks)
	}
	w.stop()
	w.start()
	second, other := w.boot(func(cfg *cpe.Config) { wrong(cfg); serial(2)(cfg) })
	values["ExternalPort"], values["LeaseDuration"], values["Description"], values["Enable"] = "96", "9", "3", "true"
	set(other, second, right)
}

// TestR18_NoOtherType: what no other type helps against is told at once, as is what fails in the other, too; and nothing is learnt of it.
func TestR18_NoOtherType(t *testing.T) {
	w := newWorld(t, live)
	c, id := w.boot(func(cfg *cpe.Config) {
		miscalled(map[string]string{"Description": "boolean"})(cfg)
		cfg.Faults.SetFault = map[string]cwmp.FaultCode{mappings + "1.ExternalPort": cwmp.FaultInvalidParameterType, ssid: cwmp.FaultInvalidParameterType}
	})
	for _, v := range []struct {
		object, name, value string
		times               int
	}{
		{mappings + "1.", "ExternalPort", "99", 2},
		{objectOf(ssid), "SSID", "a", 1},
	} {
		before := len(typesSent(c))
		_, err := w.set(id, v.object, map[string]string{v.name: v.value})
		if err == nil || !strings.Contains(err.Error(), "CWMP fault 9006") {
			t.Errorf("%s: %v, want the CPE's 9006", v.name, err)
		}
		if n := len(typesSent(c)) - before; n != v.times {
			t.Errorf("%s was sent %d times, want %d", v.name, n, v.times)
		}
	}
	if detail, _ := w.p.Device(id); slices.ContainsFunc(detail.Quirks, func(q string) bool { return strings.Contains(q, "value_types") }) {
		t.Errorf("shown: %q", detail.Quirks)
	}
}
