package agent

import (
	"context"
	"errors"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// Securer is a DataModel that has secured parameters: they read as empty, unless the Controller has one of the SecuredRoles.
type Securer interface {
	// Secured answers at once, for any parameter, by the path of its object and its name.
	Secured(object, name string) bool
}

// errDenied is what a Role does not allow.
func errDenied(path string) *usp.Error {
	return usp.Errorf(usp.PermissionDenied, "the Controller's roles do not allow this with %s", path)
}

// errWithheld says that a notification must not be sent: the Controller may not hear of what it is about.
var errWithheld = errors.New("agent: notification withheld")

// hide takes out of readings what the Controller may not read, which is then not there (R-GET.1, R-GET.4), and empties what is secured. Readings
// may be the DataModel's own, and are not changed.
func (x *exchange) hide(queries []Query, readings []Reading) {
	secured, _ := x.a.device.(Securer)
	if x.secrets {
		secured = nil
	}
	if x.may == nil && secured == nil {
		return
	}
	for i := range readings {
		if !queries[i].RowsOnly && len(readings[i].Objects) > 0 {
			readings[i].Objects = x.visible(readings[i].Objects, !strings.HasSuffix(queries[i].Path, "."), secured)
		}
	}
}

// visible leaves out objects that may not be read themselves, where objects were asked for, and those of whose parameters none may be.
func (x *exchange) visible(all []Object, named bool, secured Securer) []Object {
	out := all
	if x.may != nil {
		out = make([]Object, 0, len(all))
	}
	for i, o := range all {
		p := x.may.at(o.Path)
		if !named && !p.allows(objects, mayRead, "") {
			continue
		}
		ps := x.visibleParams(&o, &p, secured)
		switch {
		case x.may == nil && len(ps) > 0 && &ps[0] != &o.Params[0]:
			if &out[0] == &all[0] {
				out = slices.Clone(all)
			}
			out[i].Params = ps
		case x.may != nil && (len(ps) > 0 || len(o.Params) == 0):
			out = append(out, Object{Path: o.Path, Params: ps})
		}
	}
	return out
}

// visibleParams gives the object's own slice where nothing is to be changed.
func (x *exchange) visibleParams(o *Object, p *place, secured Securer) []Param {
	out, shared := o.Params, true
	for i := 0; i < len(out); i++ {
		denied := !p.allows(params, mayRead, out[i].Name)
		empty := secured != nil && out[i].Value != "" && !isOwn(o.Path) && secured.Secured(o.Path, out[i].Name)
		if (denied || empty) && shared {
			out, shared = slices.Clone(out), false
		}
		if denied {
			out = slices.Delete(out, i, i+1)
			i--
		} else if empty {
			out[i].Value = ""
		}
	}
	return out
}

// mayWrite says whether the Controller may set a parameter of an object. What a Subscription triggers is done with the rights of its Recipient, so that
// nobody else may say what that is, unless it may do everything.
func (x *exchange) mayWrite(object, name string) bool {
	if x.may == nil {
		return true
	}
	if table, _ := splitRow(object); table == subscriptionTable && name == "TriggerConfigSettings" {
		rs := x.a.rows()
		if rs.get(object, "Recipient")+"." != rs.controller(x.from) {
			return false
		}
	}
	return x.may.allows(params, mayWrite, object+name)
}

// unreadable says of a Query that nothing it could find may be read, so that the device need not be asked.
func (x *exchange) unreadable(q *Query) bool {
	return x.may != nil && !q.RowsOnly && !strings.HasSuffix(q.Path, ".") && !strings.Contains(q.Path, "*") &&
		!x.may.allows(params, mayRead, q.Path)
}

// known leaves out what the Controller may not know of the supported data model (R-GSP.0).
func (x *exchange) known(all []*usppb.GetSupportedDMResp_SupportedObjectResult) []*usppb.GetSupportedDMResp_SupportedObjectResult {
	if x.may == nil && x.legacy {
		return all
	}
	return slices.DeleteFunc(all, func(o *usppb.GetSupportedDMResp_SupportedObjectResult) bool {
		path := o.GetSupportedObjPath()
		if x.closed(path) {
			return true
		}
		if x.may == nil {
			return false
		}
		o.SupportedParams = slices.DeleteFunc(o.SupportedParams, func(p *usppb.GetSupportedDMResp_SupportedParamResult) bool {
			return !x.may.shows(params, mayRead, path+p.GetParamName())
		})
		o.SupportedCommands = slices.DeleteFunc(o.SupportedCommands, func(c *usppb.GetSupportedDMResp_SupportedCommandResult) bool {
			return !x.may.shows(commands, mayRead, path+c.GetCommandName())
		})
		o.SupportedEvents = slices.DeleteFunc(o.SupportedEvents, func(e *usppb.GetSupportedDMResp_SupportedEventResult) bool {
			return !x.may.shows(commands, mayRead, path+e.GetEventName())
		})
		return !x.may.shows(objects, mayRead, path)
	})
}

// permit takes the rows out of a creation that the Controller may not make, and the settings that it may not: what then becomes of a row
// depends on whether they are required. A row in an object that it may not know of is not there.
func (x *exchange) permit(ctx context.Context, c *creation) {
	if x.may == nil || c.err != nil || len(c.rows) == 0 {
		return
	}
	m, err := x.supported(ctx, c.rows[0].Table)
	if err != nil {
		c.err, c.rows = err, nil
		return
	}
	def, parent := m.Object(c.rows[0].Table), m.Object(ParentPath(c.rows[0].Table))
	before := len(c.rows)
	c.rows = slices.DeleteFunc(c.rows, func(row Creation) bool {
		path, in := row.Table+"{i}.", ParentPath(row.Table)
		if lastRow(in) > 0 && !x.may.sees(def, path, c.names()...) && !(parent != nil && x.may.sees(parent, in)) {
			return true
		}
		if !x.may.allows(objects, mayWrite, path) {
			c.bar(row.Table, row.Table, errDenied(row.Table))
			return true
		}
		for _, s := range row.Params {
			if s.Required && !x.may.allows(params, mayWrite, path+s.Name) {
				c.bar(row.Table, path+s.Name, x.may.errWrite(path+s.Name))
				return true
			}
		}
		return false
	})
	if !c.searched && len(c.rows)+len(c.barred) < before {
		c.err = missing(c.raw)
	}
	for i := range c.rows {
		row := &c.rows[i]
		var unset []usp.ParamError
		row.Params = slices.DeleteFunc(slices.Clone(row.Params), func(s Setting) bool {
			path := row.Table + "{i}." + s.Name
			if x.may.allows(params, mayWrite, path) {
				return false
			}
			e := x.may.errWrite(path)
			unset = append(unset, usp.ParamError{Path: s.Name, Code: e.Code, Msg: e.Msg})
			return true
		})
		c.unset = append(c.unset, unset)
	}
}

// bar notes a row that is not made. What is denied is named by the table, in the form that the Controller uses (TP-469 2.24).
func (c *creation) bar(table, path string, e *usp.Error) {
	if e.Code == usp.PermissionDenied {
		path = table
		if !strings.HasSuffix(c.raw, ".") {
			path = strings.TrimSuffix(table, ".")
		}
	}
	e.Params = []usp.ParamError{{Path: path, Code: e.Code, Msg: e.Msg}}
	c.barred = append(c.barred, e)
}

// readableKeys leaves out the unique keys that the Controller may not read (R-ADD.6).
func (c *access) readableKeys(path string, keys map[string]string) map[string]string {
	if c == nil {
		return keys
	}
	out := make(map[string]string, len(keys))
	for k, v := range keys {
		if c.allows(params, mayRead, path+k) {
			out[k] = v
		}
	}
	return out
}

// withhold looks at a notification that is about to leave: it takes out what its Controller may not read, and is errWithheld where the Controller may
// not hear of the matter at all.
func (a *Agent) withhold(ctx context.Context, to usp.EndpointID, n *usppb.Notify) error {
	g := a.rows().grant(to)
	may := g.may.bind(ctx, a, true)
	allowed, path := true, ""
	switch h := n.GetNotification().(type) {
	case *usppb.Notify_ValueChange_:
		path = h.ValueChange.GetParamPath()
		allowed = may.allows(params, mayNotify, path)
		dot := leafOf(path)
		if s, ok := a.device.(Securer); ok && !g.secrets && !isOwn(path) && s.Secured(path[:dot], path[dot:]) {
			h.ValueChange.ParamValue = ""
		}
	case *usppb.Notify_ObjCreation:
		path = h.ObjCreation.GetObjPath()
		allowed = may.allows(objects, mayNotify, path)
		h.ObjCreation.UniqueKeys = may.readableKeys(path, h.ObjCreation.GetUniqueKeys())
	case *usppb.Notify_ObjDeletion:
		path = h.ObjDeletion.GetObjPath()
		allowed = may.allows(instances, mayNotify, path)
	case *usppb.Notify_OperComplete:
		allowed = may.allows(commands, mayNotify, h.OperComplete.GetObjPath()+h.OperComplete.GetCommandName())
	case *usppb.Notify_Event_:
		allowed = may.allows(commands, mayNotify, h.Event.GetObjPath()+h.Event.GetEventName())
	}
	if !allowed || !g.legacy && Legacy(path) {
		return errWithheld
	}
	return nil
}
