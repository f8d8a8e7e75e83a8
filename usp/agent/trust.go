package agent

import (
	"maps"
	"slices"
	"strings"

	"isthmus/usp"
)

const (
	// trustObject says which Controllers may do what.
	trustObject = ownRoot + "ControllerTrust."
	roleTable   = trustObject + "Role."
	permissions = roleTable + "{i}.Permission.{i}."

	// fullAccessRole and untrustedRole are the numbers of the Roles that every Agent has.
	fullAccessRole = 1
	untrustedRole  = 2

	// maxRoles and maxPermissions bound what Controllers can fill the tables with; maxTargets bounds one Permission.
	maxRoles       = 64
	maxPermissions = 256
	maxTargets     = 64

	noRights = "----"
	// ownMark is in a Role of the configuration that a Controller has changed: it does not follow the configuration any more.
	ownMark = ".own"
)

// trustTables are Device.LocalAgent.ControllerTrust. with its Roles. TOFUAllowed is false for good: on first use there is nobody who could
// say, of one CPE among thousands, that the certificate is the right one; who may, adds it and refers to it.
var trustTables = []*table{
	{ObjectDef: ObjectDef{Path: trustObject, Commands: []CommandDef{
		{Name: requestChallengeCommand, In: []string{"ChallengeRef", "RequestExpiration"}, Mandatory: []string{"ChallengeRef"},
			Out: []string{"Instruction", "InstructionType", "ValueType", "ChallengeID"}},
		{Name: challengeResponseCommand, In: []string{"ChallengeID", "Value"}, Mandatory: []string{"ChallengeID", "Value"}},
	}}, columns: []column{
		one(roles("UntrustedRole")),
		reference("BannedRole", roleTable),
		roles("SecuredRoles"),
		shown(flag("TOFUAllowed")),
		shown(number("TOFUInactivityTimer", "0", 0, maxUint32)),
		counts("Role"), counts("Credential"), counts("Challenge"),
	}},
	{ObjectDef: ObjectDef{Path: roleTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Name"}}},
		limit: maxRoles, count: "RoleNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			text("Name", "", 0),
			counts("Permission"),
		}},
	{ObjectDef: ObjectDef{Path: permissions, Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Order"}}},
		limit: maxPermissions, count: "PermissionNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			number("Order", "0", 0, maxUint32),
			checked(list("Targets", maxTargets*maxReference), checkTargets),
			rwxn("Param"), rwxn("Obj"), rwxn("InstantiatedObj"), rwxn("CommandEvent"),
		}},
}

// roles is a list of strong references to Roles.
func roles(name string) column { c := list(name, 0); c.refers, c.Refers = roleTable, true; return c }

// reference is a strong reference to one row of a table.
func reference(name, table string) column {
	c := one(text(name, "", 0))
	c.refers, c.Refers = table, true
	return c
}

// one makes a list one of at most one item.
func one(c column) column { c.single = true; return c }

func checked(c column, check func(value string) error) column { c.check = check; return c }

func rwxn(name string) column { return checked(text(name, noRights, 0), CheckRights) }

func checkTargets(value string) error {
	targets := splitList(value)
	if len(targets) > maxTargets {
		return usp.Errorf(usp.InvalidValue, "there are more than %d targets", maxTargets)
	}
	for _, t := range targets {
		if err := CheckTarget(t); err != nil {
			return err
		}
	}
	return nil
}

// addRoles makes the rows of the Roles that every Agent has. What full access is made of has the lowest Order, so that any other is free (TP-469
// 2.25).
func (f *Fleet) addRoles(configured []Role) {
	all := []Role{{Name: FullAccess, Permissions: []Permission{{Targets: []string{"Device."}, Param: "rw-n", Obj: "rw-n",
		InstantiatedObj: "rw-n", CommandEvent: "r-xn"}}}, {Name: Untrusted}}
	for _, r := range configured {
		if r.Name == Untrusted {
			all[untrustedRole-1] = r
		} else if r.Name != FullAccess {
			all = append(all, r)
		}
	}
	for i, r := range all {
		path := roleTable + itoa(i+1) + "."
		f.base.put(path, map[string]string{"Alias": "cpe-" + itoa(i+1), "Enable": "true", "Name": r.Name, fleetMark: "1"})
		for j, p := range r.Permissions {
			values := map[string]string{"Alias": "cpe-" + itoa(j+1), "Enable": "true", "Order": itoa(p.Order), "Targets": strings.Join(p.Targets, ",")}
			for k, rights := range []string{params: p.Param, objects: p.Obj, instances: p.InstantiatedObj, commands: p.CommandEvent} {
				if rights != "" {
					values[rightColumns[k]] = rights
				}
			}
			f.base.put(path+"Permission."+itoa(j+1)+".", values)
		}
	}
	f.base.put(trustObject, map[string]string{"UntrustedRole": roleTable + itoa(untrustedRole)})
}

// roleNamed gives the reference to a Role of the configuration, "" if there is none of that name. One that a Controller has made does not pass for it.
func (rs *rowSet) roleNamed(name string) string {
	for _, p := range rs.instances(roleTable) {
		if rs.values[p][fleetMark] != "" && rs.get(p, "Name") == name {
			return strings.TrimSuffix(p, ".")
		}
	}
	return ""
}

// follows says that a Role is the configuration's, and that no Controller has changed it.
func follows(role map[string]string) bool { return role[fleetMark] != "" && role[ownMark] == "" }

// placeRoles gives the Roles of the configuration their rows: the number that was kept, else a new one. What is kept of a Role that the
// configuration does not have any more is taken out of kept, unless a Controller has made it its own.
func placeRoles(rs, base *rowSet, kept map[string]map[string]string) {
	place := map[string]string{}
	highest := uint32(untrustedRole)
	for path, values := range kept {
		table, n := splitRow(path)
		if table != roleTable {
			continue
		}
		highest = max(highest, n, number32(values[lastKey]))
		if values[fleetMark] == "" {
			continue
		}
		place[values["Name"]] = path
		if follows(values) && base.roleNamed(values["Name"]) == "" {
			delete(kept, path)
		}
	}
	rs.last[roleTable] = max(rs.last[roleTable], highest)
	for _, from := range base.instances(roleTable) {
		to := place[base.get(from, "Name")]
		if _, n := splitRow(from); n <= untrustedRole {
			to = from
		} else if to == "" {
			highest++
			to = roleTable + itoa(highest) + "."
		}
		if kept[to][ownMark] != "" {
			rs.put(to, kept[to])
			continue
		}
		for path, values := range base.values {
			if rest, ok := strings.CutPrefix(path, from); ok {
				rs.put(to+rest, values)
			}
		}
		if _, n := splitRow(to); to != from {
			rs.put(to, map[string]string{"Alias": "cpe-" + itoa(n)})
		}
	}
}

// assign gives a Controller of the configuration the Role that the configuration says.
func (rs *rowSet) assign(path string, base *rowSet) {
	if from := base.controller(usp.EndpointID(rs.get(path, "EndpointID"))); from != "" {
		rs.put(path, map[string]string{"AssignedRole": rs.configuredRole(from, base)})
	}
}

// configuredRole gives the reference to the Role that the configuration says of its Controller: it goes by the Role's name.
func (rs *rowSet) configuredRole(from string, base *rowSet) string {
	return rs.roleNamed(base.get(base.get(from, "AssignedRole")+".", "Name"))
}

// ownRoles makes the Roles that a tx has changed the Agent's own, with all their Permissions.
func (t *tx) ownRoles() {
	for path := range t.changed {
		rest, ok := strings.CutPrefix(path, roleTable)
		n, _, row := strings.Cut(rest, ".")
		role := roleTable + n + "."
		if !ok || !row || !follows(t.rows.values[role]) {
			continue
		}
		t.rows.put(role, map[string]string{ownMark: "1"})
		t.changed[role], t.changed[role+"Permission."] = true, true
		for _, p := range t.rows.instances(role + "Permission.") {
			t.changed[p] = true
		}
	}
}

// references checks a list of references and gives it in the form that is kept, without final dots. The rows must be there (R-ARC.12).
func (t *tx) references(c *column, value string) (string, *usp.Error) {
	var out []string
	for _, item := range splitList(value) {
		row := strings.TrimSuffix(item, ".") + "."
		if owner, n := splitRow(row); owner != c.refers || n == 0 || !t.exists(row) {
			return "", usp.Errorf(usp.InvalidValue, "%s: %s is no row of %s", c.Name, item, c.refers)
		}
		if row = strings.TrimSuffix(row, "."); !slices.Contains(out, row) {
			out = append(out, row)
		}
	}
	if c.single && len(out) > 1 {
		return "", usp.Errorf(usp.InvalidValue, "%s takes one reference", c.Name)
	}
	return strings.Join(out, ","), nil
}

// clearReferences takes a row that is deleted out of what refers to it: all such references are strong (R-ARC.12).
func (t *tx) clearReferences(row string) {
	table, _ := splitRow(row)
	for _, path := range slices.Sorted(maps.Keys(t.rows.values)) {
		def := tableOf(path)
		if def == nil {
			continue
		}
		for i := range def.columns {
			if def.columns[i].refers == table {
				t.clearReference(path, def.columns[i].Name, row)
			}
		}
	}
}

func (t *tx) clearReference(path, name, row string) {
	items := splitList(t.rows.get(path, name))
	left := slices.DeleteFunc(slices.Clone(items), func(item string) bool { return item+"." == row })
	if len(left) < len(items) {
		t.put(path, name, strings.Join(left, ","))
	}
}

// nextOrder is one more than the highest Order of the other rows of a table.
func (t *tx) nextOrder(table, row string) string {
	var highest uint64
	for _, p := range t.rows.instances(table) {
		if p == row {
			continue
		}
		highest = max(highest, t.rows.number(p, "Order"))
	}
	return itoa(min(highest+1, maxUint32))
}
