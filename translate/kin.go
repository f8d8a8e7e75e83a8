package translate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"isthmus/cwmp"
	"isthmus/translate/quirks"
)

// kin is what the CPE of a model have shown since the start. The first of them is read with care, level by level; what it has shown saves the others
// most of the questions, so that a fleet which comes for the first time is read in a fraction of the time.
type kin struct {
	mu     sync.Mutex
	models map[quirks.CPE]*likeness
}

// likeness is what the first CPE of a model has shown. Only lost changes.
type likeness struct {
	rpcs  []string     // what GetRPCMethods gave
	names int          // how many it listed
	most  int          // how many of them are below one of top
	top   []string     // those right below the root
	lost  atomic.Int32 // CPE that did not answer when they were asked for all names at once; maxLost: one could not
}

const (
	// maxAtOnce is how many names a CPE is asked for in one call, and maxTimes how many times what the first one has listed in one: what is far beyond that
	// may be the end of a CPE, not only of its session.
	maxAtOnce = 5000
	maxTimes  = 5
	// maxLost is after how many lost answers no CPE of a model is asked that way any more. CPE are lost for other reasons, too.
	maxLost = 3
)

func newKin() *kin { return &kin{models: map[quirks.CPE]*likeness{}} }

// of is what is known of a model, nil for nothing.
func (k *kin) of(model quirks.CPE) *likeness {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.models[model]
}

// met remembers what a CPE has shown, if it is the first of its model, and there is room. Those that do not say which software they run are no model.
func (k *kin) met(model quirks.CPE, rpcs []string, root string, names []listedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if model.SoftwareVersion == "" || k.models[model] != nil || len(k.models) >= maxHabits {
		return
	}
	l := &likeness{rpcs: rpcs, names: len(names)}
	below := map[string]int{}
	for _, n := range names {
		child, _, _ := strings.Cut(strings.TrimPrefix(n.path, root), ".")
		below[child]++
		l.most = max(l.most, below[child])
		if agentParent(n.path) == root {
			l.top = append(l.top, n.path)
		}
	}
	k.models[model] = l
}

// listAll lists all names of a CPE: in one call where others of its model have few enough, else level by level. A CPE that has not answered such a call
// is not asked so again.
func (d *Device) listAll(ctx context.Context, c cwmp.Caller, root string, like *likeness) ([]listedName, error) {
	d.mu.Lock()
	atOnce := like != nil && like.names <= min(maxAtOnce, maxTimes*like.most) && like.lost.Load() < maxLost && !d.silent
	d.silent = d.silent || atOnce // until it has answered
	d.mu.Unlock()
	if !atOnce {
		return listLevel(ctx, c, root, 0)
	}
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterNames{ParameterPath: root})
	var f *cwmp.Fault
	if err != nil && !errors.As(err, &f) {
		like.lost.Add(1)
		return nil, err
	}
	d.mu.Lock()
	d.silent = false
	d.mu.Unlock()
	if err == nil {
		if names := takeNames(resp.ParameterList); len(names) <= maxNames && like.whole(names) && !withoutObjects(root, names) {
			return names, nil
		}
	}
	like.lost.Store(maxLost)
	return listLevel(ctx, c, root, 0)
}

// whole says whether a list has everything right below the root that the first CPE had there. Otherwise it may have been cut.
func (l *likeness) whole(names []listedName) bool {
	has := make(map[string]bool, len(names))
	for _, n := range names {
		has[n.path] = true
	}
	return !slices.ContainsFunc(l.top, func(path string) bool { return !has[path] })
}
