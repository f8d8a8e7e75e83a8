//go:build unix

package main

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp/identity/identitytest"
)

var update = flag.Bool("update", false, "write deploy/METRICS.md anew")

const metricsReference = "../../deploy/METRICS.md"

// metric is what is known of one without its having a series.
type metric struct {
	name, kind, help string
	labels           []string
}

// everything has a bed with every listener, MTP and way of Connection Requests there is, and with one CPE that was asked something, so that
// every histogram has a series.
func everything(t *testing.T) *bed {
	t.Helper()
	dir := t.TempDir()
	cert := identitytest.Root(t, "ca").Issue(t, "")
	certFile, keyFile := identitytest.Files(t, dir, "server", cert.Leaf, cert.PrivateKey)
	const away = "127.0.0.1:1"
	b := newBed(t, func(c *config.Config) {
		own := config.ServerTLS{CertFile: certFile, KeyFile: keyFile}
		c.CWMP.TLS.Listen, c.CWMP.TLS.ServerTLS = "127.0.0.1:0", own
		c.CWMP.ConnectionRequest.UDPListen = "127.0.0.1:0"
		c.CWMP.ConnectionRequest.XMPP = config.XMPP{Server: away, JID: "acs@example.net", Password: "secret"}
		c.Transfers.Listen = "127.0.0.1:0"
		c.Telemetry.OTLPEndpoint = "http://" + away
		c.USP.Controllers = append(c.USP.Controllers,
			config.Controller{EndpointID: "proto::mqtt", Profile: "strict", Role: "full_access", MQTT: mqttEntry("mqtt://" + away)},
			config.Controller{EndpointID: "proto::stomp", Profile: "strict", Role: "full_access",
				STOMP: &config.STOMP{Broker: "stomp://" + away, VHost: "/", Connection: "per_agent",
					AgentDestination: "/queue/usp.agent.{endpoint_id}", ControllerDestination: "/queue/usp.controller"}})
	})
	b.serves(t)
	return b
}

// registered are all metrics, whether they have a series or not.
func (b *bed) registered(t *testing.T) []*metric {
	t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		b.metrics.Describe(descriptions)
		close(descriptions)
	}()
	// The only way to ask one.
	form := regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "(.*)", unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	value := regexp.MustCompile(`="[^"]*"`)
	all := map[string]*metric{}
	for d := range descriptions {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("description %s", d)
		}
		if !strings.HasPrefix(m[1], "isthmus_") {
			continue
		}
		x := all[m[1]]
		if x == nil {
			x = &metric{name: m[1], kind: kinds[m[1]], help: m[2]}
			all[m[1]] = x
		}
		if x.kind == "" && strings.HasSuffix(x.name, "_total") {
			x.kind = "counter" // promlint holds it to that as soon as it has a series
		}
		for l := range strings.SplitSeq(value.ReplaceAllString(m[3], "")+","+m[4], ",") {
			if l != "" && !slices.Contains(x.labels, l) {
				x.labels = append(x.labels, l)
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *metric) int { return strings.Compare(a.name, b.name) })
}

// labels that a metric may have: the values of each are a closed set, whatever the fleet or its peers do.
var labels = []string{"certificate", "code", "commit", "db", "direction", "event", "goversion", "kind", "message", "method", "mtp", "op", "outcome", "reason",
	"rpc", "setting", "side", "type", "version"}

// TestMetrics: names, types and help pass promlint, no label grows with the fleet, and deploy/METRICS.md is current.
func TestMetrics(t *testing.T) {
	b := everything(t)
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "isthmus_") {
			t.Errorf("promlint: %s: %s", p.Metric, p.Text)
		}
	}
	uses := metricUses(t)
	var doc strings.Builder
	doc.WriteString("# Metrics\n\nEvery metric of isthmus, made by `go test ./cmd/isthmus -run TestMetrics -update`: edit the help in the code, the last column in " +
		"cmd/isthmus/testdata/metrics.txt.\n`/metrics` has those of Go's runtime (`go_…`) and of the process (`process_…`) besides. Histograms have classic buckets " +
		"and, for scrapers that ask for them, native ones.\nNo label grows with the fleet. The rules are in [prometheus-rules.yml](prometheus-rules.yml).\n\n" +
		"| metric | type | labels | says | what to do with it |\n|---|---|---|---|---|\n")
	for _, m := range b.registered(t) {
		if m.kind == "" {
			t.Errorf("%s has no series: have the test drive it", m.name)
		}
		for _, l := range m.labels {
			if !slices.Contains(labels, l) {
				t.Errorf("%s: label %s: does it grow with the fleet?", m.name, l)
			}
		}
		if uses[m.name] == "" {
			t.Errorf("%s: say in testdata/metrics.txt what to do with it", m.name)
		}
		slices.Sort(m.labels)
		fmt.Fprintf(&doc, "| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, strings.Join(m.labels, ", "), m.help, uses[m.name])
		delete(uses, m.name)
	}
	for name := range uses {
		t.Errorf("testdata/metrics.txt explains %s, which is no metric", name)
	}
	if *update {
		if err := os.WriteFile(metricsReference, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(metricsReference)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != doc.String() {
		t.Error("deploy/METRICS.md is not current: go test ./cmd/isthmus -run TestMetrics -update")
	}
}

// metricUses are what testdata/metrics.txt says, by name.
func metricUses(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	uses := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, text, ok := strings.Cut(s.Text(), "\t")
		switch {
		case strings.HasPrefix(name, "#"):
		case !ok || uses[name] != "":
			t.Errorf("testdata/metrics.txt: %s", s.Text())
		default:
			uses[name] = text
		}
	}
	return uses
}

// TestExpiryOfIdentityCA: the CA of the Agents' certificates is among those that are watched.
func TestExpiryOfIdentityCA(t *testing.T) {
	c := config.Default()
	ca := identitytest.Root(t, "ca")
	c.USP.Identity.CACertFile, c.USP.Identity.CAKeyFile = identitytest.Files(t, t.TempDir(), "ca", ca.Cert, ca.Key)
	l := newLive(c)
	if _, err := l.issuer(&c.USP.Identity); err != nil {
		t.Fatal(err)
	}
	if got, want := testutil.ToFloat64(certificateExpiry{l}), float64(ca.Cert.NotAfter.Unix()); got != want {
		t.Errorf("expires at %v, want %v", got, want)
	}
}
