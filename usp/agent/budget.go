package agent

import (
	"context"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	// maxWork is how much a request may come to: the paths and settings in it, and what searches, wildcards and references make of them. It is
	// far more than a Controller needs, and so little that a request cannot hold up or fill the process.
	maxWork = 250_000
	// maxResponse is the largest response over a channel that has no limit of its own.
	maxResponse = 16 << 20
	// someQueries is from how many Queries on it pays to look for equal ones.
	someQueries = 64
)

// errTooMuch is what a request that comes to more than maxWork gets, or those of its paths for which nothing was left.
var errTooMuch = usp.Errorf(usp.ResourcesExceeded, "the request comes to more than %d paths and settings", maxWork)

// spend says whether the request may do n more things.
func (x *exchange) spend(n int) bool {
	x.spent += n
	return x.spent <= maxWork
}

// work is what a request comes to before anything is looked up.
func work(req *usppb.Request) int {
	n := len(req.GetGet().GetParamPaths()) + len(req.GetGetInstances().GetObjPaths()) + len(req.GetGetSupportedDm().GetObjPaths()) +
		len(req.GetDelete().GetObjPaths()) + len(req.GetOperate().GetInputArgs())
	for _, o := range req.GetSet().GetUpdateObjs() {
		n += 1 + len(o.GetParamSettings())
	}
	for _, o := range req.GetAdd().GetCreateObjs() {
		n += 1 + len(o.GetParamSettings())
	}
	return n
}

// grow counts n bytes of the response, and is an error when no channel would take it any more. It is told no more than what will be sent.
func (x *exchange) grow(n int) error {
	limit := x.limit
	if limit <= 0 {
		limit = maxResponse
	}
	if x.size += n; x.size > limit {
		return usp.Errorf(usp.ResourcesExceeded, "the response has more than %d bytes, which is what this channel takes", limit)
	}
	return nil
}

// growObjects counts what a Get answers.
func (x *exchange) growObjects(objects []Object) error {
	n := 0
	for _, o := range objects {
		for _, p := range o.Params {
			n += len(p.Name) + len(p.Value)
		}
	}
	return x.grow(n)
}

// readOnce reads equal Queries once.
func (x *exchange) readOnce(ctx context.Context, queries []Query) []Reading {
	at := make(map[Query]int, len(queries))
	var once []Query
	for _, q := range queries {
		if _, ok := at[q]; !ok {
			at[q] = len(once)
			once = append(once, q)
		}
	}
	found := x.fetch(ctx, once)
	x.hide(once, found)
	out := make([]Reading, len(queries))
	for i, q := range queries {
		out[i] = found[at[q]]
	}
	return out
}
