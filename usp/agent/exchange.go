package agent

import (
	"context"
	"runtime/debug"
	"time"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// exchange is one request at work.
type exchange struct {
	a    *Agent
	from usp.EndpointID
	sent chan struct{} // closed when the response has left

	may      *access // what the Controller may do; nil is everything
	secrets  bool    // it may read secured parameters
	legacy   bool    // it has LegacyRoot
	stranger bool    // nothing proves that it is the Controller

	always []string // see profile.Profile

	limit int // bytes of the response; 0: maxResponse
	size  int // bytes of it so far, as far as they are counted
	spent int // of maxWork

	trigger bool // it is a Subscription's TriggerConfigSettings

	noWait bool // it is tried where nothing may be waited for
	waits  bool // and would have to wait
}

type exchangeKey struct{}

// exchangeOf finds the request that a context belongs to.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// ErrWait is what a DataModel answers where NoWait forbids what it would have to do. The request is then taken up again where
// waiting is allowed.
var ErrWait error = &usp.Error{Code: usp.Unreachable, Msg: "the answer has to be waited for"}

// NoWait says that a request is tried where nothing may be waited for: no session, no disk.
func NoWait(ctx context.Context) bool {
	x := exchangeOf(ctx)
	return x != nil && x.noWait
}

// afterResponse is closed when the response to the request at hand has left, if it goes to this Controller; else nil.
func afterResponse(ctx context.Context, to usp.EndpointID) <-chan struct{} {
	if x := exchangeOf(ctx); x != nil && x.from == to {
		return x.sent
	}
	return nil
}

// answer gives the response to a request, nil if it wants none. The Agent is loaded.
func (x *exchange) answer(ctx context.Context, msg *usppb.Msg) (resp *usppb.Msg) {
	start, m := time.Now(), x.a.fleet.metrics
	m.inFlight.Inc()
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	done := func(*usppb.Msg) string { return "" }
	if o := x.a.fleet.opts.Observer; o != nil {
		ctx, done = o.Exchange(ctx, x.a.id.ID, x.from, msg)
	}
	defer func() {
		if p := recover(); p != nil {
			m.panics.Inc()
			x.a.fleet.log.Error("panic in a USP request", "device", x.a.id.ID, "controller", x.from, "panic", p, "stack", string(debug.Stack()))
			resp = usp.ErrorMsg(msg.GetHeader().GetMsgId(), usp.Errorf(usp.InternalError, "internal error"))
		}
		m.inFlight.Dec()
		if x.waits {
			return // this was but an attempt
		}
		took := time.Since(start)
		m.done(msg, resp, took, done(resp))
	}()
	x.may = x.may.bind(ctx, x.a, false)
	id := msg.GetHeader().GetMsgId()
	body, err := x.dispatch(ctx, msg.GetBody().GetRequest())
	switch {
	case err != nil:
		return usp.ErrorMsg(id, x.a.asError(ctx, err))
	case body == nil:
		return nil
	}
	return usp.NewResponse(id, body)
}

func (x *exchange) dispatch(ctx context.Context, req *usppb.Request) (*usppb.Response, error) {
	if !x.spend(work(req)) {
		return nil, errTooMuch
	}
	switch r := req.GetReqType().(type) {
	case *usppb.Request_Get:
		resp, err := x.get(ctx, r.Get)
		if x.always != nil {
			resp, err = x.complete(r.Get.GetParamPaths(), resp, err)
		}
		return &usppb.Response{RespType: &usppb.Response_GetResp{GetResp: resp}}, err
	case *usppb.Request_GetInstances:
		resp, err := x.getInstances(ctx, r.GetInstances)
		return &usppb.Response{RespType: &usppb.Response_GetInstancesResp{GetInstancesResp: resp}}, err
	case *usppb.Request_GetSupportedDm:
		resp, err := x.getSupportedDM(ctx, r.GetSupportedDm)
		return &usppb.Response{RespType: &usppb.Response_GetSupportedDmResp{GetSupportedDmResp: resp}}, err
	case *usppb.Request_GetSupportedProtocol:
		return &usppb.Response{RespType: &usppb.Response_GetSupportedProtocolResp{GetSupportedProtocolResp: &usppb.GetSupportedProtocolResp{
			AgentSupportedProtocolVersions: usp.SupportedVersions}}}, nil
	case *usppb.Request_Set:
		resp, err := x.set(ctx, r.Set)
		x.awaitTriggers(ctx)
		return &usppb.Response{RespType: &usppb.Response_SetResp{SetResp: resp}}, err
	case *usppb.Request_Add:
		resp, err := x.add(ctx, r.Add)
		x.awaitTriggers(ctx)
		return &usppb.Response{RespType: &usppb.Response_AddResp{AddResp: resp}}, err
	case *usppb.Request_Delete:
		resp, err := x.delete(ctx, r.Delete)
		x.awaitTriggers(ctx)
		return &usppb.Response{RespType: &usppb.Response_DeleteResp{DeleteResp: resp}}, err
	case *usppb.Request_Operate:
		resp, err := x.operate(ctx, r.Operate)
		if !r.Operate.GetSendResp() {
			if resp = failures(resp); resp == nil {
				return nil, nil
			}
		}
		return &usppb.Response{RespType: &usppb.Response_OperateResp{OperateResp: resp}}, err
	}
	return nil, usp.Errorf(usp.MessageNotSupported, "an Agent does not take this message")
}
