package agent

import (
	"context"
	"errors"
	"slices"
	"strings"

	"isthmus/usp"
)

// LegacyRoot is the object in which a DataModel may show the CPE's tree in the CPE's own names. A Controller has it only through a Role that says so: one of whose
// Permissions has a target in it. To others, whatever else their Roles allow, it is not there; nor does a Subscription that names an object above it cover it.
const LegacyRoot = "Device.X_ISTHMUS_Legacy."

// Legacy says whether a path is in LegacyRoot, or that itself with or without its final dot.
func Legacy(path string) bool {
	return strings.HasPrefix(path, LegacyRoot) || path == LegacyRoot[:len(LegacyRoot)-1]
}

// namesLegacy says whether an enabled Permission of an enabled Role has a target in LegacyRoot and allows something there.
func (rs *rowSet) namesLegacy(role string) bool {
	if !rs.is(role+".", "Enable") {
		return false
	}
	return slices.ContainsFunc(rs.instances(role+".Permission."), func(path string) bool {
		p := rs.permission(path)
		return rs.is(path, "Enable") && p.rights != [classes]right{} && slices.ContainsFunc(p.targets, Legacy)
	})
}

// closed says that a path is not there for the Controller because it is in LegacyRoot.
func (x *exchange) closed(path string) bool { return !x.legacy && Legacy(path) }

// withLegacy reads LegacyRoot as a part of "Device.", of which the DataModel itself leaves it out.
func (x *exchange) withLegacy(ctx context.Context, q Query, r *Reading) {
	if !x.legacy || q.Path != "Device." || q.Depth == 1 || r.Err != nil {
		return
	}
	q.Path = LegacyRoot
	if q.Depth > 0 {
		q.Depth--
	}
	more := x.a.device.Read(ctx, []Query{q})[0]
	x.waits = x.waits || errors.Is(more.Err, ErrWait)
	if e := (*usp.Error)(nil); errors.As(more.Err, &e) && e.Code == usp.InvalidPath {
		return // the CPE speaks Device:2
	}
	r.Objects, r.Err = append(slices.Clip(r.Objects), more.Objects...), more.Err
}
