package agent

import (
	"slices"
	"strings"
	"time"

	"isthmus/usp"
)

// tx is a change of the Agent's own tables that is being made: it sees its own writes, and nobody else does before commit.
type tx struct {
	view
	before  *rowSet
	from    usp.EndpointID
	changed map[string]bool   // objects whose record has to be written
	purge   map[string]bool   // Subscriptions and Controllers whose notifications go with them
	deleted map[string]string // rows of the configuration's Controllers that went, with their Endpoint IDs
	raised  []Happening
	notes   []*note
	last    []*note // see farewells
}

// mark is what a tx goes back to when a part of it fails. Changed records may stay: they are written as they were.
type mark struct {
	rows   *rowSet
	raised int
}

func (t *tx) mark() mark { return mark{t.rows.clone(), len(t.raised)} }

func (t *tx) back(m mark) { t.rows, t.raised = m.rows, t.raised[:m.raised] }

func (a *Agent) begin(rows *rowSet, from usp.EndpointID) *tx {
	return &tx{view: view{agent: a, rows: rows.clone(), now: time.Now()}, before: rows, from: from,
		changed: map[string]bool{}, purge: map[string]bool{}, deleted: map[string]string{}}
}

// put changes one value.
func (t *tx) put(path, name, value string) {
	old := t.rows.get(path, name)
	if old == value {
		if _, ok := t.rows.values[path]; ok {
			return
		}
	}
	t.rows.put(path, map[string]string{name: value})
	t.changed[path] = true
	if !strings.HasPrefix(name, ".") {
		t.raised = append(t.raised, &ValueChange{Path: path + name, Value: value, Old: old})
	}
}

// set writes parameters, all or none.
func (t *tx) set(writes []Write) ([]Write, *usp.Error) {
	var failed []usp.ParamError
	done := make([]Write, 0, len(writes))
	start := t.mark()
	for _, w := range writes {
		value, err := t.setOne(w)
		if err != nil {
			failed = append(failed, usp.ParamError{Path: w.Path, Code: err.Code, Msg: err.Msg})
			continue
		}
		done = append(done, Write{w.Path, value})
	}
	if len(failed) == 0 {
		failed = t.check(touched(writes))
	}
	if i := slices.IndexFunc(writes, func(w Write) bool { return leads(w.Path) }); len(failed) == 0 && i >= 0 {
		if err := t.cutOff(); err != nil {
			failed = []usp.ParamError{{Path: writes[i].Path, Code: err.Code, Msg: err.Msg}}
		}
	}
	if len(failed) == 0 {
		return done, nil
	}
	t.back(start)
	return nil, &usp.Error{Code: usp.InvalidArguments, Msg: failed[0].Msg, Params: failed}
}

func touched(writes []Write) []string {
	var rows []string
	seen := make(map[string]bool)
	for _, w := range writes {
		obj := w.Path[:strings.LastIndexByte(w.Path, '.')+1]
		if !seen[obj] {
			seen[obj] = true
			rows = append(rows, obj)
		}
	}
	return rows
}

func (t *tx) setOne(w Write) (string, *usp.Error) {
	obj := w.Path[:strings.LastIndexByte(w.Path, '.')+1]
	name := w.Path[len(obj):]
	def := tableOf(obj)
	if def == nil || def.column(name) == nil {
		return "", usp.Errorf(usp.UnsupportedParameter, "%s is not supported", w.Path)
	}
	c := def.column(name)
	switch old := t.rows.get(obj, name); {
	case lastRow(obj) > 0 && !t.exists(obj[:lastRow(obj)]):
		return "", usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", obj)
	case !c.Writable || c.WriteOnce:
		return "", usp.Errorf(usp.NonWritableParameter, "%s is read-only", name)
	case c.fixed && old != "" && old != w.Value:
		return "", usp.Errorf(usp.NonWritableParameter, "%s cannot be changed once it is set", name)
	}
	value, err := t.accept(c, w.Value)
	if err != nil {
		return "", err
	}
	if err := t.configured(obj, name); err != nil && t.rows.get(obj, name) != value {
		return "", err
	}
	if c.Secured {
		return "", t.conceal(obj, c, value)
	}
	if old := t.rows.get(obj, name); name == "EndpointID" && old != value {
		t.purge[obj] = true // what waits is for another Endpoint
		t.disown(obj)
	}
	t.put(obj, name, value)
	return value, nil
}

// accept checks a value, also against the rows there are, and gives it in the form that is kept.
func (t *tx) accept(c *column, value string) (string, *usp.Error) {
	if c.refers != "" {
		return t.references(c, value)
	}
	return c.accept(value)
}

// configured is the error of changing what the configuration says of a row.
func (t *tx) configured(obj, name string) *usp.Error {
	if err := t.rows.configuredMTP(obj); err != nil {
		return err
	}
	if err := t.rows.configuredBroker(obj, name); err != nil {
		return err
	}
	table, _ := splitRow(obj)
	if t.rows.values[obj][fleetMark] == "" {
		return nil
	}
	switch {
	case table == controllerTable && name == "Enable" && t.rows.is(obj, name):
		return t.lockedOut(obj)
	case table == controllerTable && (name == "EndpointID" || name == "AssignedRole"):
		return usp.Errorf(usp.NonWritableParameter, "the configuration names this Controller and its role")
	case table == roleTable && name == "Name":
		return usp.Errorf(usp.NonWritableParameter, "the configuration names this Role")
	case table == certificateTable:
		return usp.Errorf(usp.NonWritableParameter, "the configuration has this certificate")
	}
	return nil
}

// add creates a row.
func (t *tx) add(c Creation) Created {
	def := byPath[GenericPath(c.Table)+"{i}."]
	if def == nil || def.Access != AddDelete {
		return Created{Err: usp.Errorf(usp.NonCreatableObject, "rows of %s cannot be created", c.Table)}
	}
	if len(t.expand(ParentPath(c.Table))) == 0 {
		return Created{Err: usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", ParentPath(c.Table))}
	}
	if t.rows.configuredMTP(c.Table) != nil {
		return Created{Err: usp.Errorf(usp.NonCreatableObject, "the configuration says how this Controller is reached")}
	}
	initial, uerr := t.initial(def, c.Table)
	if uerr != nil {
		return Created{Err: uerr}
	}
	start := t.mark()
	n := t.rows.last[c.Table] + 1
	path := c.Table + itoa(n) + "."
	undo := func(err *usp.Error) Created {
		t.back(start)
		return Created{Err: err}
	}
	t.rows.put(path, initial)
	var failed []usp.ParamError
	for _, s := range c.Params {
		err := t.initialize(def, path, s)
		switch {
		case err == nil:
		case s.Required || mustHold(&def.ObjectDef, s.Name):
			err.Params = []usp.ParamError{{Path: c.Table + "{i}." + s.Name, Code: err.Code, Msg: err.Msg}}
			return undo(err)
		default:
			failed = append(failed, usp.ParamError{Path: s.Name, Code: err.Code, Msg: err.Msg})
		}
	}
	t.generate(def, path, n)
	if bad := t.check([]string{path}); len(bad) > 0 {
		for i := range bad {
			bad[i].Path = c.Table + "{i}." + strings.TrimPrefix(bad[i].Path, path)
		}
		return undo(&usp.Error{Code: bad[0].Code, Msg: bad[0].Msg, Params: bad})
	}
	t.changed[path], t.changed[c.Table] = true, true
	t.raised = append(t.raised, &ObjectCreation{Path: path, Keys: t.keys(def, path)})
	t.counted(def, c.Table, 1)
	if c.Table == controllerTable {
		t.adopt(path)
	}
	return Created{Path: path, Keys: t.keys(def, path), Failed: failed}
}

// adopt gives a Controller that the configuration names, and that was deleted here, what the configuration says of it.
func (t *tx) adopt(path string) {
	base := t.agent.fleet.base
	from := base.controller(usp.EndpointID(t.rows.get(path, "EndpointID")))
	if from == "" {
		return
	}
	for p, values := range base.values {
		if rest, ok := strings.CutPrefix(p, from); ok && rest != "" {
			t.rows.put(path+rest, t.rows.asHere(base, values))
		}
	}
	t.rows.put(path, map[string]string{fleetMark: "1"})
	t.rows.assign(path, base)
}

func (t *tx) initialize(def *table, path string, s Setting) *usp.Error {
	dot := strings.LastIndexByte(s.Name, '.') + 1
	obj, name := path+s.Name[:dot], s.Name[dot:]
	if dot > 0 {
		def = byPath[GenericPath(obj)]
	}
	if def == nil || dot > 0 && def.Multi || def.column(name) == nil {
		return usp.Errorf(usp.UnsupportedParameter, "%s is not supported", s.Name)
	}
	c := def.column(name)
	if !c.Writable {
		return usp.Errorf(usp.NonWritableParameter, "%s is read-only", s.Name)
	}
	value, err := t.accept(c, s.Value)
	if err != nil {
		return err
	}
	if c.Secured {
		return t.conceal(obj, c, value)
	}
	t.rows.put(obj, map[string]string{name: value})
	t.changed[obj] = true
	return nil
}

// initial gives what a new row starts with, unless there are too many rows already.
func (t *tx) initial(def *table, table string) (map[string]string, *usp.Error) {
	limit := def.limit
	if table != subscriptionTable {
		if table == thresholdTable && len(t.rows.index[table]) < limit {
			return t.created("Controller")
		}
		if limit > 0 && len(t.rows.index[table]) >= limit {
			return nil, usp.Errorf(usp.ResourcesExceeded, "%s has %d rows already", table, limit)
		}
		if table == controllerTable {
			return map[string]string{"AssignedRole": t.rows.get(trustObject, "UntrustedRole")}, nil
		}
		return nil, nil
	}
	made, err := t.created("Recipient")
	if err != nil {
		return nil, err
	}
	recipient := made["Recipient"]
	own := 0
	for _, p := range t.rows.instances(subscriptionTable) {
		if t.rows.get(p, "Recipient") == recipient {
			own++
		}
	}
	if own >= t.agent.fleet.opts.MaxSubscriptions {
		return nil, usp.Errorf(usp.ResourcesExceeded, "there are %d Subscriptions of this Controller already", own)
	}
	return map[string]string{"Recipient": recipient, "CreationDate": t.now.UTC().Format(time.RFC3339)}, nil
}

// created says in a new row who makes it.
func (t *tx) created(name string) (map[string]string, *usp.Error) {
	row := t.rows.controller(t.from)
	if row == "" {
		return nil, usp.Errorf(usp.RequestDenied, "only a Controller that is in the Controller table can have such a row")
	}
	return map[string]string{name: strings.TrimSuffix(row, ".")}, nil
}

// generate gives a row the unique keys that nobody gave it (R-ADD.5).
func (t *tx) generate(def *table, path string, n uint32) {
	table, _ := splitRow(path)
	if def.column("Alias") != nil && t.rows.get(path, "Alias") == "" {
		t.rows.put(path, map[string]string{"Alias": t.unused(table, "Alias", "cpe-", n)})
	}
	if table == subscriptionTable && t.rows.get(path, "ID") == "" {
		t.rows.put(path, map[string]string{"ID": t.unused(table, "ID", "cpe-", n)})
	}
	if (table == roleTable || table == mqttClientTable) && t.rows.get(path, "Name") == "" {
		t.rows.put(path, map[string]string{"Name": t.unused(table, "Name", "cpe-", n)})
	}
	if _, given := t.rows.values[path]["Order"]; def.column("Order") != nil && !given {
		t.rows.put(path, map[string]string{"Order": t.nextOrder(table, path)})
	}
}

// unused gives the first of prefix+n, prefix+(n+1), … that no row of the table has.
func (t *tx) unused(table, name, prefix string, n uint32) string {
	taken := make(map[string]bool)
	for _, p := range t.rows.instances(table) {
		taken[t.rows.get(p, name)] = true
	}
	for taken[prefix+itoa(n)] {
		n++
	}
	return prefix + itoa(n)
}

// keys gives the unique keys of a row.
func (v *view) keys(def *table, path string) map[string]string {
	keys := make(map[string]string)
	for _, set := range def.Keys {
		for _, k := range set {
			keys[k] = v.rows.get(path, k)
		}
	}
	return keys
}

// counted raises the change of the parameter that counts a table's rows, of which there are grown more now.
func (t *tx) counted(def *table, table string, grown int) {
	if def.count != "" {
		n := len(t.rows.index[table])
		t.raised = append(t.raised, &ValueChange{Path: ParentPath(table) + def.count, Value: itoa(n), Old: itoa(n - grown)})
	}
}

// remove deletes a row with everything below it, and the Subscriptions of a Controller with the Controller.
func (t *tx) remove(path string) error {
	def := tableOf(path)
	if def == nil || def.Access != AddDelete {
		return usp.Errorf(usp.DeleteFailure, "%s cannot be deleted", path)
	}
	if !t.exists(path) {
		return nil
	}
	if t.rows.configuredMTP(path) != nil {
		return usp.Errorf(usp.DeleteFailure, "the configuration says how this Controller is reached")
	}
	if brokerRow(path) == path {
		return t.removeBroker(path)
	}
	table, _ := splitRow(path)
	switch table {
	case roleTable:
		if t.rows.values[path][fleetMark] != "" && t.agent.fleet.base.roleNamed(t.rows.get(path, "Name")) != "" {
			return usp.Errorf(usp.DeleteFailure, "the configuration has the Role %s", t.rows.get(path, "Name"))
		}
		t.clearReferences(path)
	case controllerTable:
		if err := t.lockedOut(path); err != nil {
			return &usp.Error{Code: usp.DeleteFailure, Msg: err.Msg}
		}
		for _, p := range t.rows.instances(subscriptionTable) {
			if t.rows.get(p, "Recipient")+"." == path {
				t.drop(p)
			}
		}
		for _, p := range t.rows.instances(thresholdTable) {
			if t.rows.get(p, "Controller")+"." == path {
				t.drop(p)
			}
		}
	}
	t.drop(path)
	return nil
}

func (t *tx) drop(path string) {
	marked := t.rows.values[path][fleetMark] != ""
	id := t.rows.get(path, "EndpointID")
	t.purge[path] = true
	for p := range t.rows.values {
		if strings.HasPrefix(p, path) {
			t.changed[p] = true // objects that are no rows have records, too
		}
	}
	for _, row := range t.rows.remove(path) {
		table, _ := splitRow(row)
		t.changed[row], t.changed[table] = true, true
		t.raised = append(t.raised, &ObjectDeletion{Path: row})
		t.counted(tableOf(row), table, -1)
	}
	if marked && t.agent.fleet.base.controller(usp.EndpointID(id)) != "" {
		t.deleted[path] = id
	}
}
