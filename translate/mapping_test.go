package translate

import (
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp/agent"
)

// A CPE that was discovered with other names is discovered again in its next session: with a tree of its own, with other tables of isthmus or of an operator.
func TestMappingChanges(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = cpe.HomeTR098() })
	w.over(id)
	supports := func() bool {
		d := w.device(id)
		d.mu.RLock()
		defer d.mu.RUnlock()
		return d.model.Object(agent.LegacyRoot+"InternetGatewayDevice.LANDevice.{i}.") != nil
	}
	discovered := func() int {
		n := 0
		for _, call := range c.Calls("GetParameterNames") {
			if req := call.Request.(*cwmp.GetParameterNames); req.ParameterPath == "InternetGatewayDevice." {
				n++
			}
		}
		return n
	}
	again := func(why string, want int) {
		t.Helper()
		before := discovered()
		c.Inform(cwmp.EventPeriodic)
		w.must(c.WaitIdle(w.ctx))
		w.over(id)
		if n := discovered() - before; n != want {
			t.Errorf("%s: discovered %d times, want %d", why, n, want)
		}
	}
	restart := func(tree bool) {
		w.stop()
		w.opts.LegacyTree = tree
		w.start()
	}
	again("as before", 0)
	if supports() {
		t.Fatal("the CPE's own tree is supported")
	}
	restart(true)
	again("a tree of its own", 1)
	if !supports() {
		t.Error("the CPE's own tree is not supported")
	}
	again("as before", 0)
	d := w.device(id)
	d.mu.Lock()
	d.head.Mapping-- // as another version of isthmus had it
	d.mu.Unlock()
	again("another version", 1)
	restart(false)
	again("no tree of its own", 1)
	if supports() {
		t.Error("the CPE's own tree is still supported")
	}
}
