package translate

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/usppb"
)

// fullTree is how many parameters the CPE of BenchmarkGetAll have.
const fullTree = 800

// withHosts adds hosts to a home until it has fullTree parameters.
func withHosts(tree *cpe.Tree, table string, first int, params ...string) *cpe.Tree {
	for i := first; ; i++ {
		row := fmt.Sprintf("%s%d.", table, i)
		tree = tree.WithObject(row)
		for _, name := range params {
			if tree.Size() >= fullTree {
				return tree
			}
			tree = tree.With(row+name, "string", fmt.Sprintf("value-%d", i))
		}
	}
}

// BenchmarkGetAll has Device. read from the cache of a Device:2 and of a TR-098 CPE in turn, each of 800 parameters, and reports what
// the second costs in terms of the first.
func BenchmarkGetAll(b *testing.B) {
	w := newWorld(b, func(o *Options) { o.MaxAge = time.Hour })
	get := &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{"Device."}}}}
	var ids []usp.EndpointID
	for i, tree := range []*cpe.Tree{
		withHosts(cpe.HomeDevice2(), "Device.Hosts.Host.", 4, "PhysAddress", "IPAddress", "HostName", "InterfaceType"),
		withHosts(cpe.HomeTR098(), "InternetGatewayDevice.LANDevice.1.Hosts.Host.", 4, "MACAddress", "IPAddress", "HostName", "AddressSource"),
	} {
		_, id := w.boot(func(cfg *cpe.Config) { cfg.Tree, cfg.DeviceID.SerialNumber = tree, fmt.Sprint(i) })
		ids = append(ids, id)
		if _, err := w.do(id, get); err != nil {
			b.Fatal(err)
		}
	}
	var took [2]time.Duration
	for b.Loop() {
		for i, id := range ids {
			start := time.Now()
			if _, err := w.do(id, get); err != nil {
				b.Fatal(err)
			}
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
	b.ReportMetric(float64(took[0].Microseconds())/float64(b.N), "device2-µs")
	b.ReportMetric(float64(took[1].Microseconds())/float64(b.N), "tr098-µs")
}

// BenchmarkLoadedTree reports the memory that a Device:2 CPE of 800 parameters takes while it is in the cache, and a TR-098 one, with what it is shown as.
func BenchmarkLoadedTree(b *testing.B) {
	const trees = 200
	w := newWorld(b, func(o *Options) { o.MaxAge = time.Hour })
	var size [2]float64
	for range b.N {
		for i, has := range []*cpe.Tree{
			withHosts(cpe.HomeDevice2(), "Device.Hosts.Host.", 4, "PhysAddress", "IPAddress", "HostName", "InterfaceType"),
			withHosts(cpe.HomeTR098(), "InternetGatewayDevice.LANDevice.1.Hosts.Host.", 4, "MACAddress", "IPAddress", "HostName", "AddressSource"),
		} {
			_, id := w.boot(func(cfg *cpe.Config) { cfg.Tree, cfg.DeviceID.SerialNumber = has, fmt.Sprintf("m%d", i) })
			w.over(id)
			d := w.device(id)
			d.mu.RLock()
			snapshot, view := encodeTree(d.tree), d.plainView()
			d.mu.RUnlock()
			loaded := make([]*tree, trees)
			before := inuse()
			for k := range loaded {
				t, err := decodeTree(snapshot)
				w.must(err)
				_ = view.Render(t, agent.Query{Path: "Device."})
				loaded[k] = t
			}
			size[i] = float64(inuse()-before) / trees
			runtime.KeepAlive(loaded)
		}
	}
	b.ReportMetric(size[0], "device2-B")
	b.ReportMetric(size[1], "tr098-B")
	b.ReportMetric(size[1]/size[0], "ratio")
}
