package agent

import (
	"context"
	"strings"

	"isthmus/usp"
)

// numbered gives a value that is to be written to a parameter with instance numbers in the place of the keys by which references in it name rows
// (R-ARC.11). Like any search they find what the Controller may read.
func (x *exchange) numbered(ctx context.Context, m *Model, path, value string) (string, *usp.Error) {
	if !strings.Contains(value, "[") {
		return value, nil
	}
	dot := leafOf(path)
	o := m.Object(path[:dot])
	if o == nil {
		return value, nil
	}
	def := o.Param(path[dot:])
	if def == nil || !def.Refers {
		return value, nil
	}
	items := []string{value}
	if def.List {
		items = splitList(value)
	}
	for i, item := range items {
		if strings.Contains(item, "[") {
			row, err := x.numberedItem(ctx, item)
			if err != nil {
				return "", usp.Errorf(err.Code, "%s: %s", def.Name, err.Msg)
			}
			item = row
		}
		items[i] = strings.ReplaceAll(item, ",", "%2C")
	}
	return strings.Join(items, ","), nil
}

func (x *exchange) numberedItem(ctx context.Context, item string) (string, *usp.Error) {
	t := newTarget(item)
	if t.err != nil {
		return "", usp.Errorf(usp.InvalidValue, "%s is no reference", item)
	}
	x.resolve(ctx, []*target{t}, false)
	name := t.leaf
	t.leaf = ""
	found := x.seen(ctx, t, x.existing(ctx, []*target{t})[0])
	switch {
	case t.err != nil:
		if e := x.a.asError(ctx, t.err); !isArgumentError(e.Code) {
			return "", e
		}
		return "", usp.Errorf(usp.InvalidValue, "%s refers to nothing", item)
	case len(found) != 1:
		return "", usp.Errorf(usp.InvalidValue, "%s finds %d rows and must find one", item, len(found))
	}
	return strings.TrimSuffix(found[0]+name, "."), nil
}
