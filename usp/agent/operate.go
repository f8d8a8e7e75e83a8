package agent

import (
	"context"
	"strings"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// operate answers Operate: one result for each object that the path denotes. What a command fails with is a cmd_failure, never an Error
// (R-OPR.1); a path that leads to no command is an Error.
func (x *exchange) operate(ctx context.Context, m *usppb.Operate) (*usppb.OperateResp, error) {
	t := newTarget(m.GetCommand())
	if t.err == nil && (t.path == nil || t.path.Kind != usp.CommandPath) {
		return nil, usp.Errorf(usp.CommandFailure, "%s is not a command", t.raw)
	}
	x.resolve(ctx, []*target{t}, false)
	var def *CommandDef
	if t.err == nil {
		def, t.err = x.command(ctx, t)
	}
	name := t.leaf
	t.leaf = ""
	found := x.seen(ctx, t, x.existing(ctx, []*target{t})[0], name)
	if t.err != nil {
		return nil, t.err
	}
	resp := &usppb.OperateResp{}
	for _, object := range found {
		inv := &Invocation{Command: object + name, CommandKey: m.GetCommandKey(), Controller: x.from, Args: m.GetInputArgs()}
		resp.OperationResults = append(resp.OperationResults, x.operateOne(ctx, def, inv))
	}
	return resp, nil
}

// failures is what a Controller is told that asked for no response: which commands failed (R-OPR.4, TP-469 2.18); nil if none did.
func failures(m *usppb.OperateResp) *usppb.OperateResp {
	var failed []*usppb.OperateResp_OperationResult
	for _, r := range m.GetOperationResults() {
		if r.GetCmdFailure() != nil {
			failed = append(failed, r)
		}
	}
	if failed == nil {
		return nil
	}
	return &usppb.OperateResp{OperationResults: failed}
}

// command finds the command that all objects of the path share; nil if the path denotes none.
func (x *exchange) command(ctx context.Context, t *target) (*CommandDef, error) {
	if len(t.prefixes) == 0 {
		return nil, nil
	}
	if !x.may.shows(commands, anyOf[commands], GenericPath(t.prefixes[0])+t.leaf) {
		return nil, unsupported(t.raw)
	}
	if o := ownModel.Object(t.prefixes[0]); o != nil {
		if c := o.Command(t.leaf); c != nil {
			return c, nil
		}
	}
	m, err := x.supported(ctx, t.prefixes[0])
	if err != nil {
		return nil, err
	}
	if o := m.Object(t.prefixes[0]); o != nil {
		if c := o.Command(t.leaf); c != nil {
			return c, nil
		}
	}
	return nil, unsupported(t.raw)
}

func (x *exchange) operateOne(ctx context.Context, def *CommandDef, inv *Invocation) *usppb.OperateResp_OperationResult {
	r := &usppb.OperateResp_OperationResult{ExecutedCommand: inv.Command}
	var out map[string]string
	var request string
	var err error = errDenied(inv.Command)
	if x.may.allows(commands, mayExecute, inv.Command) {
		out, request, err = x.invoke(ctx, def, inv)
	}
	if err != nil {
		e := x.a.asError(ctx, err)
		r.OperationResp = &usppb.OperateResp_OperationResult_CmdFailure{CmdFailure: &usppb.OperateResp_OperationResult_CommandFailure{
			ErrCode: uint32(e.Code), ErrMsg: usp.ValidUTF8(e.Msg)}}
		return r
	}
	if request != "" {
		r.OperationResp = &usppb.OperateResp_OperationResult_ReqObjPath{ReqObjPath: strings.TrimSuffix(request, ".")} // a path reference
		return r
	}
	r.OperationResp = &usppb.OperateResp_OperationResult_ReqOutputArgs{
		ReqOutputArgs: &usppb.OperateResp_OperationResult_OutputArgs{OutputArgs: valid(out)}}
	return r
}

// invoke runs a command with the arguments it knows (R-OPR.6), if it has those it must have (R-OPR.5). An asynchronous one gives its Request.
func (x *exchange) invoke(ctx context.Context, def *CommandDef, inv *Invocation) (out map[string]string, request string, err error) {
	if inv.Args, err = def.arguments(inv.Args); err != nil {
		return nil, "", err
	}
	if def.Async {
		request, err = x.start(ctx, inv)
		return nil, request, err
	}
	out, err = x.run(ctx, inv)
	return out, "", err
}
