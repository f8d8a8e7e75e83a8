package translate

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	ws "github.com/gorilla/websocket"

	"isthmus/cwmp/cpe"
)

// refreshed is how many parameters the CPE of BenchmarkRefresh has.
const refreshed = 792

var hostParams = []string{"PhysAddress", "IPAddress", "HostName", "Layer1Interface", "Layer3Interface", "InterfaceType"}

// BenchmarkRefresh measures what it costs the proxy to read all values of a CPE anew whose names are known: one Get, its Connection
// Request and session, in it a GetParameterValues for every 64 parameters, and one snapshot. Each time, one value in twelve is another.
// cpu-ns/refresh is the CPU of the proxy, a process of its own; CPE and Controller are in this one.
func BenchmarkRefresh(b *testing.B) {
	s := startServer(b, "refresh")
	u, acs, _ := strings.Cut(s.url, " ")
	gateway := cpe.New(cpe.Config{ACS: acs, Tree: hostsTree(b), Logger: quiet()})
	done := make(chan struct{})
	go func() { defer close(done); _ = gateway.Run(b.Context()) }()
	b.Cleanup(func() { <-done })
	if err := gateway.WaitSessions(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	c, _, err := (&ws.Dialer{Subprotocols: []string{"v1.usp"}}).Dial(u, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	g := getter{b: b, c: c}
	g.get("Device.")
	calls, before, n := len(gateway.Calls("GetParameterNames")), s.cpu(b), 0
	for b.Loop() {
		n++
		name := func(host int) string { return fmt.Sprintf("Device.Hosts.Host.%d.HostName", host) }
		for host := 2; gateway.Exists(name(host)); host += 2 {
			if err := gateway.SetValue(name(host), "host-"+strconv.Itoa(n)); err != nil {
				b.Fatal(err)
			}
		}
		g.get("Device.")
	}
	b.ReportMetric(float64(s.cpu(b)-before)/float64(n), "cpu-ns/refresh")
	if more := len(gateway.Calls("GetParameterNames")) - calls; more > 0 {
		b.Errorf("%d GetParameterNames", more)
	}
}

// hostsTree is a gateway with as many hosts as make it have the refreshed parameters.
func hostsTree(b *testing.B) *cpe.Tree {
	b.Helper()
	csv, err := os.ReadFile("../testdata/peers/gateway.csv")
	if err != nil {
		b.Fatal(err)
	}
	for i := range refreshed - bytes.Count(csv, []byte(",xsd:")) {
		csv = fmt.Appendf(csv, "Device.Hosts.Host.%d.%s,false,false,value %d,xsd:string\n", i/len(hostParams)+1, hostParams[i%len(hostParams)], i)
	}
	t, err := cpe.LoadCSV(bytes.NewReader(csv))
	if err != nil {
		b.Fatal(err)
	}
	return t
}
