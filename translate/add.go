package translate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// journal is an AddObject whose row is not complete: it is on disk before the RPC leaves, and what it names is deleted in the next
// session unless the row was completed first.
type journal struct {
	Table string   `json:"table"`           // the CPE's own
	Token string   `json:"token"`           // the ParameterKey of the AddObject
	Known []uint32 `json:"known,omitempty"` // the rows there were before
	Row   uint32   `json:"row,omitempty"`   // 0: the answer to AddObject is not known
}

// maxSetRounds bounds how often a SetParameterValues is sent again without the parameters that the CPE refused.
const maxSetRounds = 4

// Add implements agent.DataModel: AddObject and one SetParameterValues a row, undone where a required parameter is refused.
func (d *Device) Add(ctx context.Context, rows []agent.Creation, atomic bool) []agent.Created {
	d.hold()
	defer d.release()
	out := make([]agent.Created, len(rows))
	fail := func(err error) []agent.Created {
		for i := range out {
			out[i] = agent.Created{Err: uspError(err, adding)}
		}
		return out
	}
	if err := d.waitModel(ctx); err != nil {
		return fail(err)
	}
	if err := d.uncontested(); err != nil {
		return fail(err)
	}
	if err := d.load(ctx); err != nil {
		return fail(err)
	}
	made := make([]agent.Created, len(rows))
	j := &job{talk: func(ctx context.Context, c cwmp.Caller) error { return d.addRows(ctx, c, rows, atomic, made) }}
	if err := d.do(ctx, j); err != nil {
		return fail(err)
	}
	copy(out, made)
	return out
}

// addition is a row on its way.
type addition struct {
	journal
	own     string            // the row's own path
	aliases map[string]string // to be kept of it
}

func (d *Device) addRows(ctx context.Context, c cwmp.Caller, rows []agent.Creation, atomic bool, out []agent.Created) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	var n news
	var made []*addition
	for i := range rows {
		a, created, err := d.addRow(ctx, c, rows[i], &n)
		if err == nil {
			out[i] = *created
			made = append(made, a)
			continue
		}
		out[i] = agent.Created{Err: uspError(err, adding)}
		if !atomic {
			continue
		}
		for k := range out {
			if k != i {
				out[k] = agent.Created{Err: agent.ErrCollateral}
			}
		}
		for _, a := range slices.Backward(made) {
			d.undo(ctx, c, a)
		}
		return nil
	}
	for i, a := range made {
		if err := d.keepAliases(ctx, a.aliases); err != nil {
			return err
		}
		if err := d.unjournal(ctx, a.Token); err != nil {
			return err
		}
		d.p.log.Debug("row created", "device", d.id, "row", a.own, "number", i)
	}
	if err := d.refreshCounts(ctx, c, tablesOf(made), &n); err != nil {
		d.p.log.Debug("row counts could not be read", "device", d.id, "err", err)
	}
	if err := d.tell(ctx, &n); err != nil {
		return err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i := range out {
		if out[i].Err == nil {
			out[i].Keys = d.keys(d.view(), out[i].Path)
		}
	}
	return nil
}

// addRow makes one row. Its journal is left for the caller to end, so that a failure further on can still undo it.
func (d *Device) addRow(ctx context.Context, c cwmp.Caller, r agent.Creation, n *news) (*addition, *agent.Created, error) {
	d.mu.RLock()
	table := d.view().Table(d.tree, r.Table, r.Params)
	a := &addition{journal: journal{Table: table, Token: token(d.p.random)}}
	if t := d.tree.get(table); t != nil {
		a.Known = t.instances()
	}
	d.mu.RUnlock()
	if table == "" {
		return nil, nil, usp.Errorf(usp.NonCreatableObject, "rows of %s cannot be created on this CPE", r.Table)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := d.putJournal(ctx, &a.journal); err != nil {
		return nil, nil, err
	}
	trust := d.doubt(table)
	resp, err := cwmp.Call(ctx, c, &cwmp.AddObject{ObjectName: table, ParameterKey: a.Token})
	if err != nil {
		if !errors.Is(err, cwmp.ErrUnknownOutcome) {
			trust()
			err = errors.Join(err, d.unjournal(ctx, a.Token))
		}
		return nil, nil, err
	}
	trust()
	if a.Row, err = d.newRow(ctx, c, &a.journal, resp.InstanceNumber); err != nil {
		return nil, nil, errors.Join(err, d.unjournal(ctx, a.Token))
	}
	a.own = fmt.Sprintf("%s%d.", table, a.Row)
	if err := d.putJournal(ctx, &a.journal); err != nil {
		return nil, nil, err
	}
	created, err := d.fill(ctx, c, a, r, n)
	if err != nil {
		if !errors.Is(err, cwmp.ErrUnknownOutcome) {
			d.undo(ctx, c, a)
		}
		return nil, nil, err
	}
	return a, created, nil
}

// newRow is the instance number that a CPE gave a row. Where it answers with one that was there before, which must be neither written to nor
// deleted, or with none, the table has to tell.
func (d *Device) newRow(ctx context.Context, c cwmp.Caller, j *journal, number int) (uint32, error) {
	if row := uint32(max(number, 0)); row != 0 && !slices.Contains(j.Known, row) {
		return row, nil
	}
	fresh, err := d.freshRows(ctx, c, j)
	if err != nil {
		return 0, err
	}
	if len(fresh) != 1 {
		return 0, usp.Errorf(usp.ObjectNotCreated, "the CPE says that it has made row %d, which was there before", number)
	}
	return fresh[0], nil
}

// fill gives a new row its values.
func (d *Device) fill(ctx context.Context, c cwmp.Caller, a *addition, r agent.Creation, n *news) (*agent.Created, error) {
	var found news
	if err := d.list(ctx, c, a.own, &found); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.tree.put(a.own)
	view := d.view()
	d.mu.Unlock()
	rows := view.Rows(a.own)
	i := slices.IndexFunc(rows, func(row string) bool { return agentParent(row) == r.Table })
	if i < 0 {
		return nil, usp.Errorf(usp.ObjectNotCreated, "the CPE made a row that has no place in %s", r.Table)
	}
	created := &agent.Created{Path: rows[i]}
	defaults, err := d.defaults(ctx, c, a.own, created.Path, r.Params, &found)
	if err != nil {
		return nil, err
	}
	settings := slices.Concat(r.Params, defaults)
	for round := 0; len(settings) > 0; round++ {
		refused, err := d.setRow(ctx, c, created.Path, settings)
		if err == nil {
			break
		}
		if refused == nil || round == maxSetRounds {
			return nil, err
		}
		var left []agent.Setting
		for i, s := range settings {
			pe, bad := refused[i]
			switch {
			case bad && s.Required:
				return nil, requiredFailed(pe)
			case bad && slices.Contains(defaults, s):
				d.p.log.Debug("the CPE refuses a default", "device", d.id, "path", created.Path+s.Name, "err", pe.Msg)
			case bad:
				created.Failed = append(created.Failed, pe)
			default:
				left = append(left, s)
			}
		}
		settings = left
	}
	d.mu.RLock()
	a.aliases = d.keptAliases(writesOf(created.Path, settings))
	d.mu.RUnlock()
	names := d.paramsBelow(a.own)
	if len(names) == 0 { // SimulaTR69 gives a new row its parameters only as they are set
		if err := d.list(ctx, c, a.own, &found); err != nil {
			return nil, err
		}
		names = d.paramsBelow(a.own)
	}
	if err := d.values(ctx, c, names, &found); err != nil {
		d.p.log.Debug("new row could not be read back", "device", d.id, "err", err)
	}
	n.created = append(n.created, found.created...)
	if !slices.Contains(n.created, a.own) {
		n.created = append(n.created, a.own)
	}
	n.names = true
	return created, nil
}

// requiredFailed is the error of a row whose required parameter was refused: the parameter's own code, and which it was.
func requiredFailed(pe usp.ParamError) *usp.Error {
	return &usp.Error{Code: pe.Code, Msg: pe.Path + ": " + pe.Msg, Params: []usp.ParamError{pe}}
}

// setRow writes a new row's parameters. refused tells which of the settings the CPE would not take, with relative names; nil where
// the error is not about particular parameters.
func (d *Device) setRow(ctx context.Context, c cwmp.Caller, row string, settings []agent.Setting) (refused map[int]usp.ParamError, err error) {
	writes := writesOf(row, settings)
	d.mu.RLock()
	own, err := d.view().Writes(d.tree, writes)
	d.mu.RUnlock()
	pathOf := func(i int) string { return writes[i].Path }
	var spv *cwmp.SetParameterValues
	if err == nil {
		spv, err = d.setValues(own, pathOf)
	}
	if err == nil && len(own) > 0 {
		_, err = d.setTyped(ctx, c, spv)
	}
	var f *cwmp.Fault
	if errors.As(err, &f) {
		err = writeError(err, own, pathOf)
	}
	var ue *usp.Error
	if !errors.As(err, &ue) || len(ue.Params) == 0 {
		return nil, err
	}
	refused = map[int]usp.ParamError{}
	for _, pe := range ue.Params {
		i := slices.IndexFunc(writes, func(w agent.Write) bool { return w.Path == pe.Path })
		if i >= 0 {
			refused[i] = usp.ParamError{Path: settings[i].Name, Code: pe.Code, Msg: pe.Msg}
		}
	}
	return refused, err
}

func writesOf(row string, settings []agent.Setting) []agent.Write {
	writes := make([]agent.Write, len(settings))
	for i, s := range settings {
		writes[i] = agent.Write{Path: row + s.Name, Value: s.Value}
	}
	return writes
}

// paramsBelow lists the parameters of an own object.
func (d *Device) paramsBelow(own string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var names []string
	d.tree.walk(own, 0, func(path string, n *node) {
		if n.param {
			names = append(names, strings.Clone(path))
		}
	})
	return names
}

// undo deletes a row that must not stay. Where the session is lost meanwhile, the journal has the next one do it.
func (d *Device) undo(ctx context.Context, c cwmp.Caller, a *addition) {
	ctx = context.WithoutCancel(ctx)
	_, err := cwmp.Call(ctx, c, &cwmp.DeleteObject{ObjectName: a.own, ParameterKey: a.Token})
	var f *cwmp.Fault
	if err != nil && !errors.As(err, &f) {
		return
	}
	if err != nil && f.Code != cwmp.FaultInvalidParameterName {
		d.p.log.Error("a half-made row could not be deleted", "device", d.id, "row", a.own, "err", err)
	}
	d.mu.Lock()
	if d.tree != nil {
		d.tree.remove(a.own)
	}
	rows := d.view().Rows(a.own)
	d.mu.Unlock()
	if err := d.dropAliases(ctx, rows); err != nil {
		d.p.log.Error("an Alias could not be forgotten", "device", d.id, "row", a.own, "err", err)
	}
	if err := d.unjournal(ctx, a.Token); err != nil {
		d.p.log.Error("journal could not be ended", "device", d.id, "err", err)
	}
}

func (d *Device) putJournal(ctx context.Context, j *journal) error {
	b, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("journal of %s: %w", d.id, err)
	}
	if err := d.put(ctx, store.Op{Key: d.key(store.Journal, j.Token), Value: b}); err != nil {
		return fmt.Errorf("writing the journal of %s: %w", d.id, err)
	}
	d.mu.Lock()
	d.noteJournal(j.Token)
	d.mu.Unlock()
	return nil
}

// noteJournal remembers that a journal is open. d.mu is held.
func (d *Device) noteJournal(id string) {
	if d.journals == nil {
		d.journals = map[string]bool{}
	}
	d.journals[id] = true
}

func (d *Device) unjournal(ctx context.Context, id string) error {
	if err := d.put(context.WithoutCancel(ctx), store.Op{Key: d.key(store.Journal, id)}); err != nil {
		return fmt.Errorf("ending the journal of %s: %w", d.id, err)
	}
	d.mu.Lock()
	delete(d.journals, id)
	d.mu.Unlock()
	return nil
}

// rollBack undoes the rows that an earlier session, or an earlier life of the process, left half made.
func (d *Device) rollBack(ctx context.Context, c cwmp.Caller) error {
	d.mu.RLock()
	none := len(d.journals) == 0
	d.mu.RUnlock()
	if none {
		return nil
	}
	var open []journal
	for item, err := range d.p.store.List(ctx, string(d.id), store.Journal) {
		if err != nil {
			return err
		}
		var j journal
		if err := json.Unmarshal(item.Value, &j); err != nil {
			return fmt.Errorf("journal %s: %w", item.Key.ID, err)
		}
		open = append(open, j)
	}
	for _, j := range open {
		rows, err := d.halfMade(ctx, c, &j)
		if err != nil {
			return err
		}
		for _, row := range rows {
			d.undo(ctx, c, &addition{journal: j, own: fmt.Sprintf("%s%d.", j.Table, row)})
		}
		if err := d.unjournal(ctx, j.Token); err != nil {
			return err
		}
	}
	return nil
}

// halfMade finds the row that a journal is about: the one it names; else the one new row of its table, if the CPE's ParameterKey says
// that our AddObject was the last thing that changed it.
func (d *Device) halfMade(ctx context.Context, c cwmp.Caller, j *journal) ([]uint32, error) {
	if j.Row != 0 {
		return []uint32{j.Row}, nil
	}
	var f *cwmp.Fault
	d.mu.RLock()
	keyName := d.head.Root + "ManagementServer.ParameterKey"
	d.mu.RUnlock()
	key, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{keyName}})
	if err != nil && !errors.As(err, &f) {
		return nil, err
	}
	if err != nil || len(key.ParameterList) != 1 || key.ParameterList[0].Value != j.Token {
		return nil, nil
	}
	fresh, err := d.freshRows(ctx, c, j)
	if err != nil || len(fresh) != 1 {
		return nil, err
	}
	return fresh, nil
}

// freshRows lists a table for rows that it did not have when the journal was begun.
func (d *Device) freshRows(ctx context.Context, c cwmp.Caller, j *journal) ([]uint32, error) {
	level, err := cwmp.Call(ctx, c, &cwmp.GetParameterNames{ParameterPath: j.Table, NextLevel: true})
	var f *cwmp.Fault
	if errors.As(err, &f) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var fresh []uint32
	for _, info := range level.ParameterList {
		name, ok := strings.CutPrefix(strings.TrimSuffix(info.Name, "."), j.Table)
		if _, num := segment(name); ok && num != 0 && !slices.Contains(j.Known, num) {
			fresh = append(fresh, num)
		}
	}
	return fresh, nil
}

func tablesOf(made []*addition) []string {
	var tables []string
	for _, a := range made {
		if !slices.Contains(tables, a.Table) {
			tables = append(tables, a.Table)
		}
	}
	return tables
}

// refreshCounts reads the …NumberOfEntries parameters of tables whose rows have changed.
func (d *Device) refreshCounts(ctx context.Context, c cwmp.Caller, tables []string, n *news) error {
	var names []string
	d.mu.RLock()
	for _, t := range tables {
		name := strings.TrimSuffix(t, ".") + "NumberOfEntries"
		if k := d.tree.get(name); k != nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	d.mu.RUnlock()
	return d.values(context.WithoutCancel(ctx), c, names, n)
}
