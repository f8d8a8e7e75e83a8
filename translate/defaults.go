package translate

import (
	"context"
	"slices"
	"strings"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// A row that a CPE of an older data model makes has the defaults of that, or the CPE's own. What Device:2 promises of a new row is written to it, as far as it is
// something and not what the row has anyway; a CPE may refuse it, since nobody has asked for it in so many words.

// relayRow is a table whose rows are, in TR-098, pools that say so.
const relayRow = "Device.DHCPv4.Relay.Forwarding.{i}."

// defaults are the settings that make a new row at a CPE what Device:2 says, beside those that are given.
func (d *Device) defaults(ctx context.Context, c cwmp.Caller, own, row string, given []agent.Setting, found *news) ([]agent.Setting, error) {
	d.mu.RLock()
	_, _, ok := d.older()
	d.mu.RUnlock()
	if !ok {
		return nil, nil // it is the CPE's to know
	}
	if err := d.values(ctx, c, d.paramsBelow(own), found); isFault(err) {
		return nil, nil // it is not known what would have to change
	} else if err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	o, _, ok := d.older()
	if !ok || d.tree == nil {
		return nil, nil
	}
	var out []agent.Setting
	has := func(name string) bool {
		return slices.ContainsFunc(given, func(s agent.Setting) bool { return s.Name == name })
	}
	o.shown(d.tree).walk(row, 0, func(path string, n *node) {
		name := strings.TrimPrefix(path, row)
		if !n.param || !n.writable || has(name) {
			return
		}
		if p, _ := datamodel.LookupParam(agent.GenericPath(path)); p.Default != "" && !p.List && !datamodel.Equal(p.Type, n.value, p.Default) {
			out = append(out, agent.Setting{Name: name, Value: p.Default})
		}
	})
	if agent.GenericPath(row) == relayRow && !has("LocallyServed") {
		out = append(out, agent.Setting{Name: "LocallyServed", Value: "false"})
	}
	return out, nil
}
