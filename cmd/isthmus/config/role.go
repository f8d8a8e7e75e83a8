package config

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"isthmus/usp"
	"isthmus/usp/agent"
)

// checkRoles checks the roles and gives every permission its order.
func (l *loader) checkRoles(roles map[string][]Permission) {
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		key := "usp.roles." + name
		switch name {
		case "":
			l.add("usp.roles", "has a role without a name")
		case agent.FullAccess:
			l.add(key, "is there already and may do everything: choose another name")
		}
		first, next := map[int]int{}, 1
		for i := range roles[name] {
			p := &roles[name][i]
			key := fmt.Sprintf("%s[%d]", key, i)
			if p.Order == noOrder {
				p.Order = next
			}
			next = p.Order + 1
			if p.Order > math.MaxUint32 {
				l.add(key+".order", "must be from 0 to %d", uint32(math.MaxUint32))
			}
			if j, twice := first[p.Order]; twice {
				l.add(key+".order", "%d is that of entry [%d] too: the highest counts, so give each its own", p.Order, j)
			}
			first[p.Order] = i
			l.checkPermission(key, p)
		}
	}
}

func (l *loader) checkPermission(key string, p *Permission) {
	switch key := key + ".targets"; {
	case !l.isSet(key):
		l.add(key, "is missing: name what the permission is for, such as [Device.]")
	case p.Targets != nil && len(p.Targets) == 0:
		l.add(key, "is empty: name what the permission is for, such as [Device.]")
	}
	for i, t := range p.Targets {
		if err := agent.CheckTarget(t); err != nil {
			l.add(fmt.Sprintf("%s.targets[%d]", key, i), "%s", usp.AsError(err).Msg)
		}
	}
	for _, r := range []struct{ key, rights string }{
		{"param", p.Param}, {"obj", p.Obj}, {"instantiated_obj", p.InstantiatedObj}, {"command_event", p.CommandEvent},
	} {
		if err := agent.CheckRights(r.rights); err != nil {
			l.add(key+"."+r.key, "%s", usp.AsError(err).Msg)
		}
	}
}
