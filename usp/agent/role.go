package agent

import (
	"cmp"
	"slices"
	"strings"

	"isthmus/usp"
)

// Role is a row of Device.LocalAgent.ControllerTrust.Role. that every Agent starts with.
type Role struct {
	Name        string
	Permissions []Permission
}

// Permission says what a Role may do with what Targets name: objects with all that is below them, parameters, commands and events; "*"
// and searches may stand for instance numbers. Of the Permissions of a Role that name something, that with the highest Order counts; no
// two have the same. The others are "rwxn" with "-" for what is not allowed; "" stands for "----".
type Permission struct {
	Order                                     uint32
	Targets                                   []string
	Param, Obj, InstantiatedObj, CommandEvent string
}

// The Roles that every Agent has. FullAccess may do everything; Untrusted, which is for Controllers that nothing else says anything of,
// nothing, unless Options.Roles has one of this name.
const (
	FullAccess = "full_access"
	Untrusted  = "Untrusted"
)

// CheckRights says what is wrong with a Permission's "rwxn", nil if nothing is: an *usp.Error with code 7012.
func CheckRights(s string) error {
	if _, ok := parseRights(s); !ok {
		return usp.Errorf(usp.InvalidValue, "%q is not rwxn with - for what is not allowed", s)
	}
	return nil
}

// CheckTarget says what is wrong with an item of a Permission's Targets, nil if nothing is: an *usp.Error with code 7012.
func CheckTarget(s string) error {
	p, err := usp.ParsePath(s)
	switch {
	case err != nil:
		return usp.Errorf(usp.InvalidValue, "%s: %v", s, err)
	case len(s) > maxReference:
		return usp.Errorf(usp.InvalidValue, "a path in Targets is longer than %d characters", maxReference)
	case p.Segments[0].Name != "Device":
		return usp.Errorf(usp.InvalidValue, "%s does not begin with Device.", s)
	case len(p.Segments) == 1 && p.Kind != usp.ObjectPath:
		return usp.Errorf(usp.InvalidValue, "%s names nothing: write Device., with its final dot, for everything", s)
	case p.IsSchema() || slices.ContainsFunc(p.Segments, func(s usp.Segment) bool { return s.Follow }):
		return usp.Errorf(usp.InvalidValue, "%s: a target has neither {i} nor references", s)
	}
	return nil
}

// right is what may be done.
type right uint8

const (
	mayRead right = 1 << iota
	mayWrite
	mayExecute
	mayNotify
)

const rightLetters = "rwxn"

func parseRights(s string) (rights right, ok bool) {
	if len(s) != len(rightLetters) {
		return 0, false
	}
	for i := range len(s) {
		switch s[i] {
		case rightLetters[i]:
			rights |= 1 << i
		case '-':
		default:
			return 0, false
		}
	}
	return rights, true
}

// class is what a right is for.
type class int

const (
	params    class = iota // the parameter: Get, Set, ValueChange
	objects                // the object: GetSupportedDM, Add, ObjectCreation
	instances              // the row: GetInstances, Delete, ObjectDeletion
	commands               // the command or event: Operate, OperationComplete, Event
	classes
)

// everything is what full access is made of: each class has the rights that mean something for it.
var everything = [classes]right{params: mayRead | mayWrite | mayNotify, objects: mayRead | mayWrite | mayNotify,
	instances: mayRead | mayWrite | mayNotify, commands: mayRead | mayExecute | mayNotify}

// grant is what an Agent's tables say of one Controller.
type grant struct {
	listed  bool // it is in the Controller table
	enabled bool // … and its row is: it may talk to the Agent
	may     *access
	secrets bool // one of its Roles is in SecuredRoles
	legacy  bool // one of its Roles names LegacyRoot
	require bool // it has to use a session context
}

// lacksContext says that a message came without a session and its Controller has to use one.
func (g grant) lacksContext(in *inbound) bool { return g.require && in.session == nil }

// grants works out what every Controller may do, once for a rowSet that is published. That of "" is what the untrusted Role may do.
func (rs *rowSet) grants() map[usp.EndpointID]grant {
	if rs.like != nil {
		return rs.like.grants()
	}
	rs.once.Do(func() {
		secured := splitList(rs.get(trustObject, "SecuredRoles"))
		of := func(roles []string) grant {
			return grant{may: rs.access(roles), secrets: slices.ContainsFunc(roles, func(r string) bool {
				return slices.Contains(secured, r) && rs.is(r+".", "Enable")
			}), legacy: slices.ContainsFunc(roles, rs.namesLegacy)}
		}
		untrusted := of(splitList(rs.get(trustObject, "UntrustedRole")))
		rs.granted = map[usp.EndpointID]grant{"": untrusted}
		for _, p := range rs.instances(controllerTable) {
			id := usp.EndpointID(rs.get(p, "EndpointID"))
			if id == "" {
				continue
			}
			g := untrusted
			if roles := slices.Concat(splitList(rs.get(p, "AssignedRole")), splitList(rs.get(p, "InheritedRole"))); len(roles) > 0 {
				g = of(roles)
			}
			g.listed, g.enabled = true, rs.is(p, "Enable") && !rs.banned(p)
			g.require = sessionMode(rs, p) == sessionRequire
			if _, twice := rs.granted[id]; !twice {
				rs.granted[id] = g
			}
		}
	})
	return rs.granted
}

// grant is what a Controller may do; one that is in no table, or has no Role there, has the untrusted one.
func (rs *rowSet) grant(id usp.EndpointID) grant {
	all := rs.grants()
	g, listed := all[id]
	if !listed {
		return all[""]
	}
	return g
}

// access unites Roles, named by their paths without the final dot.
func (rs *rowSet) access(roles []string) *access {
	c := &access{}
	for _, r := range roles {
		role := r + "."
		if _, ok := rs.values[role]; !ok || !rs.is(role, "Enable") {
			continue
		}
		var perms []permission
		for _, p := range rs.instances(role + "Permission.") {
			if rs.is(p, "Enable") {
				perms = append(perms, rs.permission(p))
			}
		}
		slices.SortFunc(perms, func(a, b permission) int { return cmp.Compare(b.order, a.order) })
		if len(perms) > 0 && perms[0].unrestricted() {
			return nil
		}
		for i := range perms {
			c.searches = c.searches || slices.ContainsFunc(perms[i].targets, isSearch)
		}
		c.roles = append(c.roles, newRole(perms))
	}
	return c
}

func (rs *rowSet) permission(path string) permission {
	p := permission{order: uint32(rs.number(path, "Order")), targets: splitList(rs.get(path, "Targets"))}
	for k, name := range rightColumns {
		p.rights[k], _ = parseRights(rs.get(path, name)) // it was checked when it was written
	}
	return p
}

// rightColumns are the parameters of a Permission that hold its rights.
var rightColumns = [classes]string{params: "Param", objects: "Obj", instances: "InstantiatedObj", commands: "CommandEvent"}

// unrestricted says that nothing is left for Permissions of lower Order to say.
func (p *permission) unrestricted() bool {
	for k, all := range everything {
		if p.rights[k]&all != all {
			return false
		}
	}
	return slices.ContainsFunc(p.targets, func(t string) bool { return strings.TrimSuffix(t, ".") == "Device" })
}
