package agent

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"isthmus/usp"
)

// tree is a small CPE: Device.DeviceInfo. and the table Device.X.Row., with faults on demand.
type tree struct {
	mu     sync.Mutex
	model  *Model
	values map[string]map[string]string // by object
	last   map[string]int
	fault  map[string]usp.ErrorCode // by full parameter path, in Set and Add; by row in Delete
	sets   int
	reads  int
	reach  error
	noSet  error
	mum    bool // a refused Set does not say what of it
	block  chan struct{}
	raise  func(context.Context, ...Happening) error
	ran    []*Invocation
}

const rowTable = "Device.X.Row."

func rw(name string, typ ValueType) ParamDef { return ParamDef{Name: name, Type: typ, Writable: true} }

var treeModel = NewModel([]*ObjectDef{
	{Path: "Device.", Commands: []CommandDef{{Name: "Reboot()", In: []string{"Cause", "Reason"}},
		{Name: "Need()", In: []string{"What"}, Mandatory: []string{"What"}, Out: []string{"Got"}}}},
	{Path: "Device.DeviceInfo.", Params: []ParamDef{{Name: "SerialNumber", Type: TypeString}, {Name: "ModelName", Type: TypeString}, rw("ProvisioningCode", TypeString)}},
	{Path: "Device.X.", Params: []ParamDef{{Name: "RowNumberOfEntries", Type: TypeUnsignedInt}}},
	{Path: rowTable + "{i}.", Multi: true, Access: AddDelete, Commands: []CommandDef{{Name: "Test()", Async: true, In: []string{"Host"}, Out: []string{"Result"}}}, Keys: [][]string{{"Alias"}, {"ID"}}, Params: []ParamDef{
		{Name: "Alias", Type: TypeString, Writable: true, WriteOnce: true}, rw("Enable", TypeBoolean), rw("ID", TypeString), {Name: "Recipient", Type: TypeString},
		rw("NotifExpiration", TypeUnsignedInt), {Name: "Mode", Type: TypeString, Writable: true, Enum: []string{"A", "B"}}, {Name: "Ref", Type: TypeString, Writable: true, Refers: true}, {Name: "Refs", Type: TypeString, Writable: true, Refers: true, List: true}, rw("NotifType", TypeString), rw("ReferenceList", TypeString)}},
	{Path: rowTable + "{i}.Sub.", Params: []ParamDef{rw("Level", TypeInt)}},
	{Path: rowTable + "{i}.Leaf.{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Name"}}, Params: []ParamDef{rw("Name", TypeString)}},
	{Path: "Device.X.Fixed.{i}.", Multi: true, Params: []ParamDef{{Name: "Name", Type: TypeString}}},
})

func newTree() *tree {
	t := &tree{model: treeModel, values: map[string]map[string]string{}, last: map[string]int{}, fault: map[string]usp.ErrorCode{}}
	t.values["Device."] = map[string]string{}
	t.values["Device.DeviceInfo."] = map[string]string{"SerialNumber": "SN1", "ModelName": "M", "ProvisioningCode": ""}
	t.values["Device.X."] = map[string]string{"RowNumberOfEntries": "0"}
	t.values["Device.X.Fixed.1."] = map[string]string{"Name": "f"}
	return t
}

func (t *tree) Supported(ctx context.Context) (*Model, error) {
	if t.block != nil {
		select {
		case <-t.block:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return t.model, t.reach
}

func (t *tree) objects() []string {
	paths := slices.Collect(maps.Keys(t.values))
	slices.SortFunc(paths, func(a, b string) int {
		return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), natural)
	})
	return paths
}

func natural(a, b string) int {
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err1 == nil && err2 == nil {
		return x - y
	}
	return strings.Compare(a, b)
}

func (t *tree) Read(ctx context.Context, queries []Query) []Reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
	out := make([]Reading, len(queries))
	for i, q := range queries {
		out[i] = t.read(q)
	}
	return out
}

func (t *tree) read(q Query) Reading {
	if t.reach != nil {
		return Reading{Err: t.reach}
	}
	dot := strings.LastIndexByte(q.Path, '.') + 1
	def := t.model.Object(q.Path[:dot])
	if def == nil || q.Path[dot:] != "" && def.Param(q.Path[dot:]) == nil {
		return Reading{Err: usp.Errorf(usp.InvalidPath, "%s is not supported", q.Path)}
	}
	var r Reading
	for _, p := range t.objects() {
		rest, ok := match(q.Path[:dot], p)
		if !ok || q.Path[dot:] != "" && rest != "" {
			continue
		}
		if q.Path[dot:] != "" {
			if v, ok := t.values[p][q.Path[dot:]]; ok {
				r.Objects = append(r.Objects, Object{p, []Param{{q.Path[dot:], v}}})
			}
			continue
		}
		level := 1
		for seg := range strings.SplitSeq(strings.TrimSuffix(rest, "."), ".") {
			if seg != "" && !IsInstance(seg) {
				level++
			}
		}
		if q.Depth > 0 && level > q.Depth {
			continue
		}
		o := Object{Path: p}
		for _, d := range t.model.Object(p).Params {
			if v, ok := t.values[p][d.Name]; ok && !q.RowsOnly {
				o.Params = append(o.Params, Param{d.Name, v})
			}
		}
		r.Objects = append(r.Objects, o)
	}
	return r
}

func (t *tree) Set(ctx context.Context, writes []Write) ([]Write, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sets++
	if err := cmp.Or(t.reach, t.noSet); err != nil {
		return nil, err
	}
	e := &usp.Error{Code: usp.InvalidArguments, Msg: "refused"}
	for _, w := range writes {
		if c := t.fault[w.Path]; c != 0 {
			e.Params = append(e.Params, usp.ParamError{Path: w.Path, Code: c, Msg: "refused"})
		}
	}
	if len(e.Params) > 0 {
		if t.mum && len(writes) > 1 {
			e.Params = nil
		}
		return nil, e
	}
	for _, w := range writes {
		dot := strings.LastIndexByte(w.Path, '.') + 1
		t.values[w.Path[:dot]][w.Path[dot:]] = w.Value
		if t.raise != nil {
			if err := t.raise(ctx, &ValueChange{Path: w.Path, Value: w.Value}); err != nil {
				return nil, err
			}
		}
	}
	return writes, nil
}

func (t *tree) Add(ctx context.Context, rows []Creation, atomic bool) []Created {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Created, len(rows))
	for i, c := range rows {
		out[i] = t.add(c)
		if out[i].Err != nil && atomic {
			for _, done := range out[:i] {
				t.delete(done.Path)
			}
			return onlyFailed(len(rows), i, out[i].Err)
		}
	}
	return out
}

func (t *tree) add(c Creation) Created {
	if t.reach != nil {
		return Created{Err: t.reach}
	}
	t.last[c.Table]++
	n := strconv.Itoa(t.last[c.Table])
	path := c.Table + n + "."
	t.values[path] = map[string]string{"Alias": "cpe-" + n, "Enable": "false", "ID": "cpe-" + n, "NotifExpiration": "0", "Mode": "A", "Ref": "", "Refs": "", "Recipient": "", "NotifType": "", "ReferenceList": ""}
	if c.Table == rowTable {
		t.values[path+"Sub."] = map[string]string{"Level": "0"}
	}
	created := Created{Path: path, Keys: map[string]string{}}
	for _, s := range c.Params {
		code := t.fault[c.Table+"*."+s.Name]
		if isKey(t.model.Object(path), s.Name) {
			for _, p := range t.objects() {
				if table, _ := splitRow(p); table == c.Table && p != path && t.values[p][s.Name] == s.Value {
					code = usp.DuplicateUniqueKey
				}
			}
		}
		switch {
		case code != 0 && s.Required:
			t.delete(path)
			return Created{Err: &usp.Error{Code: code, Msg: "refused", Params: []usp.ParamError{{Path: path + s.Name, Code: code}}}}
		case code != 0:
			created.Failed = append(created.Failed, usp.ParamError{Path: s.Name, Code: code, Msg: "refused"})
		default:
			obj := path + s.Name[:strings.LastIndexByte(s.Name, '.')+1]
			t.values[obj][s.Name[strings.LastIndexByte(s.Name, '.')+1:]] = s.Value
		}
	}
	for _, set := range t.model.Object(path).Keys {
		for _, k := range set {
			created.Keys[k] = t.values[path][k]
		}
	}
	return created
}

func (t *tree) delete(path string) {
	for p := range t.values {
		if strings.HasPrefix(p, path) {
			delete(t.values, p)
		}
	}
}

func (t *tree) Delete(ctx context.Context, instances []string) []error {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]error, len(instances))
	for i, p := range instances {
		if c := t.fault[p]; c != 0 {
			out[i] = usp.Errorf(c, "refused")
			continue
		}
		t.delete(p)
	}
	return out
}

func (t *tree) Operate(ctx context.Context, inv *Invocation) (map[string]string, error) {
	t.mu.Lock()
	t.ran = append(t.ran, inv)
	t.mu.Unlock()
	if t.reach != nil {
		return nil, t.reach
	}
	if inv.Command == "Device.Need()" {
		return map[string]string{"Got": inv.Args["What"]}, nil
	}
	if inv.Args["Cause"] == "panic" {
		panic("boom")
	}
	return nil, nil
}
