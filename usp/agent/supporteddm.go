package agent

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// getSupportedDM answers GetSupportedDM.
func (x *exchange) getSupportedDM(ctx context.Context, m *usppb.GetSupportedDM) (*usppb.GetSupportedDMResp, error) {
	resp := &usppb.GetSupportedDMResp{}
	for _, path := range m.GetObjPaths() {
		r := &usppb.GetSupportedDMResp_RequestedObjectResult{ReqObjPath: usp.ValidUTF8(path), DataModelInstUri: DefaultURI}
		objects, uri, err := x.supportedObjects(ctx, m, path)
		if uri != "" {
			r.DataModelInstUri = uri
		}
		if err != nil {
			e := x.a.asError(ctx, err)
			r.ErrCode, r.ErrMsg = uint32(e.Code), usp.ValidUTF8(e.Msg)
		}
		r.SupportedObjs = objects
		if err := x.grow(proto.Size(r)); err != nil {
			return nil, err
		}
		resp.ReqObjResults = append(resp.ReqObjResults, r)
	}
	return resp, nil
}

// supportedObjects describes what one path names: an object with what is below it, or a single parameter, command or event.
func (x *exchange) supportedObjects(ctx context.Context, req *usppb.GetSupportedDM, path string) ([]*usppb.GetSupportedDMResp_SupportedObjectResult, string, error) {
	unsupported := unsupported(path)
	if path != "Device" && !strings.HasPrefix(path, "Device.") {
		return nil, "", unsupported
	}
	switch p, err := usp.ParsePath(path); {
	case err != nil:
		return nil, "", err
	case slices.ContainsFunc(p.Segments, func(s usp.Segment) bool { return s.Kind == usp.SearchSegment || s.Follow }):
		return nil, "", usp.Errorf(usp.InvalidPathSyntax, "%s is no path of the supported data model", path)
	}
	models, err := x.models(ctx, path)
	if err != nil {
		return nil, "", err
	}
	uri := models[len(models)-1].URI
	object := strings.TrimSuffix(path, ".") + "."
	var roots []*ObjectDef
	for _, m := range models {
		if o := m.Object(object); o != nil {
			roots = append(roots, o)
		}
	}
	if len(roots) == 0 {
		dot := strings.LastIndexByte(path, '.') + 1
		for _, m := range models {
			if o := m.Object(path[:dot]); o != nil {
				if d := element(o, path[dot:]); d != nil && x.may.shows(classOf(path), mayRead, o.Path+path[dot:]) {
					return []*usppb.GetSupportedDMResp_SupportedObjectResult{d}, uri, nil
				}
			}
		}
		return nil, uri, unsupported
	}
	// Only Device. has two roots; it is described as the sum of both.
	root := merge(roots)
	out := []*usppb.GetSupportedDMResp_SupportedObjectResult{describe(root, req)}
	shell := &usppb.GetSupportedDM{ReturnUniqueKeySets: req.GetReturnUniqueKeySets()}
	for _, m := range models {
		for _, o := range m.Objects() {
			switch {
			case o.Path == root.Path || !strings.HasPrefix(o.Path, root.Path) || m != ownModel && isOwn(o.Path):
			case !req.GetFirstLevelOnly():
				out = append(out, describe(o, req))
			case ParentPath(o.Path) == root.Path:
				out = append(out, describe(o, shell))
			}
		}
	}
	if out = x.known(out); len(out) == 0 {
		return nil, uri, unsupported
	}
	return out, uri, nil
}

// classOf is the class of an element by the form of its path.
func classOf(path string) class {
	if strings.HasSuffix(path, "()") || strings.HasSuffix(path, "!") {
		return commands
	}
	return params
}

// models are those that a path may be in.
func (x *exchange) models(ctx context.Context, path string) ([]*Model, error) {
	if isOwn(path) {
		return []*Model{ownModel}, nil
	}
	m, err := x.supported(ctx, path)
	if err != nil {
		return nil, err
	}
	if ParentPath(strings.TrimSuffix(path, ".")) == "Device." || strings.TrimSuffix(path, ".") == "Device" {
		return []*Model{ownModel, m}, nil
	}
	return []*Model{m}, nil
}

func merge(defs []*ObjectDef) *ObjectDef {
	o := *defs[0]
	for _, d := range defs[1:] {
		o.Params = slices.Concat(o.Params, d.Params)
		o.Commands = slices.Concat(o.Commands, d.Commands)
		for _, e := range d.Events {
			if o.Event(e.Name) == nil {
				o.Events = append(slices.Clip(o.Events), e)
			}
		}
	}
	return &o
}

func describe(o *ObjectDef, req *usppb.GetSupportedDM) *usppb.GetSupportedDMResp_SupportedObjectResult {
	out := &usppb.GetSupportedDMResp_SupportedObjectResult{SupportedObjPath: o.Path, IsMultiInstance: o.Multi,
		Access: usppb.GetSupportedDMResp_ObjAccessType(o.Access)}
	if req.GetReturnCommands() {
		for i := range o.Commands {
			out.SupportedCommands = append(out.SupportedCommands, describeCommand(&o.Commands[i]))
		}
	}
	if req.GetReturnEvents() {
		for i := range o.Events {
			out.SupportedEvents = append(out.SupportedEvents, describeEvent(&o.Events[i]))
		}
	}
	if req.GetReturnParams() {
		for i := range o.Params {
			out.SupportedParams = append(out.SupportedParams, describeParam(&o.Params[i]))
		}
	}
	if req.GetReturnUniqueKeySets() {
		for _, set := range o.Keys {
			out.UniqueKeySets = append(out.UniqueKeySets, &usppb.GetSupportedDMResp_SupportedUniqueKeySet{KeyNames: set})
		}
	}
	return out
}

// element describes an object with one of its elements only, whatever the flags say.
func element(o *ObjectDef, name string) *usppb.GetSupportedDMResp_SupportedObjectResult {
	out := describe(o, nil)
	if p := o.Param(name); p != nil {
		out.SupportedParams = []*usppb.GetSupportedDMResp_SupportedParamResult{describeParam(p)}
	} else if c := o.Command(name); c != nil {
		out.SupportedCommands = []*usppb.GetSupportedDMResp_SupportedCommandResult{describeCommand(c)}
	} else if e := o.Event(name); e != nil {
		out.SupportedEvents = []*usppb.GetSupportedDMResp_SupportedEventResult{describeEvent(e)}
	} else {
		return nil
	}
	return out
}

func describeParam(p *ParamDef) *usppb.GetSupportedDMResp_SupportedParamResult {
	out := &usppb.GetSupportedDMResp_SupportedParamResult{ParamName: p.Name, ValueType: usppb.GetSupportedDMResp_ParamValueType(p.Type),
		ValueChange: usppb.GetSupportedDMResp_VALUE_CHANGE_ALLOWED}
	if p.List {
		out.ValueType = usppb.GetSupportedDMResp_PARAM_STRING
	}
	if p.Writable {
		out.Access = usppb.GetSupportedDMResp_PARAM_READ_WRITE
	}
	if p.Quiet {
		out.ValueChange = usppb.GetSupportedDMResp_VALUE_CHANGE_WILL_IGNORE
	}
	return out
}

func describeCommand(c *CommandDef) *usppb.GetSupportedDMResp_SupportedCommandResult {
	typ := usppb.GetSupportedDMResp_CMD_SYNC
	if c.Async {
		typ = usppb.GetSupportedDMResp_CMD_ASYNC
	}
	return &usppb.GetSupportedDMResp_SupportedCommandResult{CommandName: c.Name, InputArgNames: c.In, OutputArgNames: c.Out, CommandType: typ}
}

func describeEvent(e *EventDef) *usppb.GetSupportedDMResp_SupportedEventResult {
	return &usppb.GetSupportedDMResp_SupportedEventResult{EventName: e.Name, ArgNames: e.Args}
}
