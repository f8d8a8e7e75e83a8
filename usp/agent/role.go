package agent

import (
	"cmp"
	"context"
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

// permission is an enabled Permission, ready for use.
type permission struct {
	order   uint32
	targets []string
	rights  [classes]right
}

// access is what the Roles of a Controller together let it do. The nil access lets it do everything.
type access struct {
	roles    [][]permission // by Order, the highest first
	searches bool           // there are searches in the targets: settle it before use
}

// nothing is the access of who has no Role.
func (c *access) nothing() bool {
	return c != nil && !slices.ContainsFunc(c.roles, func(r []permission) bool { return len(r) > 0 })
}

// allows says whether something may be done with a path: of a parameter, command or event, or of an object with its final dot, where {i} is a
// row that is still to be made.
func (c *access) allows(k class, r right, path string) bool {
	if c == nil {
		return true
	}
	for _, role := range c.roles {
		if winner(role, k, path)&r != 0 {
			return true
		}
	}
	return false
}

// winner gives the rights of the first Permission that names a path.
func winner(role []permission, k class, path string) right {
	for i := range role {
		for _, t := range role[i].targets {
			if reach(t, path) == whole {
				return role[i].rights[k]
			}
		}
	}
	return 0
}

// shows says whether an element of the supported data model may be known of: in one row at least.
func (c *access) shows(k class, path string) bool {
	if c == nil {
		return true
	}
	for _, role := range c.roles {
		if shownBy(role, k, path) {
			return true
		}
	}
	return false
}

func shownBy(role []permission, k class, path string) bool {
	for i := range role {
		for _, t := range role[i].targets {
			e := reach(t, path)
			if readable := role[i].rights[k]&mayRead != 0; e == whole || e == some && readable {
				return readable
			}
		}
	}
	return false
}

// extent is how much of what a path stands for a target names.
type extent int

const (
	none  extent = iota
	some         // some of the rows that {i} may be
	whole        // all of it
)

// reach compares a target, with at most "*" in it, with a path that may have {i}.
func reach(target, path string) extent {
	found := whole
	for target != "" {
		want, more, _ := strings.Cut(target, ".")
		have, left, _ := strings.Cut(path, ".")
		switch {
		case path == "":
			return none
		case want == have, want == "*" && (have == "{i}" || IsInstance(have)):
		case have == "{i}" && IsInstance(want):
			found = some
		default:
			return none
		}
		target, path = more, left
	}
	return found
}

// grant is what an Agent's tables say of one Controller.
type grant struct {
	listed  bool // it is in the Controller table
	enabled bool // … and its row is: it may talk to the Agent
	may     *access
	secrets bool // one of its Roles is in SecuredRoles
}

// grants works out what every Controller may do, once for a rowSet that is published. That of "" is what the untrusted Role may do.
func (rs *rowSet) grants() map[usp.EndpointID]grant {
	rs.once.Do(func() {
		secured := splitList(rs.get(trustObject, "SecuredRoles"))
		of := func(roles []string) grant {
			return grant{may: rs.access(roles), secrets: slices.ContainsFunc(roles, func(r string) bool {
				return slices.Contains(secured, r) && rs.is(r+".", "Enable")
			})}
		}
		rs.granted = map[usp.EndpointID]grant{"": of(splitList(rs.get(trustObject, "UntrustedRole")))}
		for _, p := range rs.instances(controllerTable) {
			id := usp.EndpointID(rs.get(p, "EndpointID"))
			if id == "" {
				continue
			}
			g := of(slices.Concat(splitList(rs.get(p, "AssignedRole")), splitList(rs.get(p, "InheritedRole"))))
			g.listed, g.enabled = true, rs.is(p, "Enable")
			if _, twice := rs.granted[id]; !twice {
				rs.granted[id] = g
			}
		}
	})
	return rs.granted
}

// grant is what a Controller may do; one that is in no table has the untrusted Role.
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
		c.roles = append(c.roles, perms)
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
	return slices.ContainsFunc(p.targets, func(t string) bool { return reach(t, "Device.") == whole })
}

func isSearch(target string) bool { return strings.Contains(target, "[") }

// settle puts the rows that searches in targets find in their place, by what is known without asking the CPE. Where that cannot be told, nothing is
// allowed with what a search might have found.
func (c *access) settle(ctx context.Context, a *Agent) *access {
	if c == nil || !c.searches {
		return c
	}
	out := &access{roles: make([][]permission, len(c.roles))}
	for i, role := range c.roles {
		for _, p := range role {
			found := permission{order: p.order, rights: p.rights}
			unknown := permission{order: p.order}
			for _, t := range p.targets {
				if !isSearch(t) {
					found.targets = append(found.targets, t)
				} else if paths, err := a.find(ctx, t); err == nil {
					found.targets = append(found.targets, paths...)
				} else if p, err := usp.ParsePath(t); err == nil {
					unknown.targets = append(unknown.targets, p.Query())
				}
			}
			out.roles[i] = append(out.roles[i], unknown, found)
		}
	}
	return out
}

// find gives the paths, with at most "*" in them, that a path comes to by what is known without asking the CPE.
func (a *Agent) find(ctx context.Context, path string) ([]string, error) {
	x := &exchange{a: a}
	t := newTarget(path)
	x.resolve(ctx, []*target{t}, true)
	return t.paths(), t.err
}
