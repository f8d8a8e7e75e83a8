package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "../helm/isthmus"

// release is what the chart renders to, decoded strictly.
type release struct {
	set      *apps.StatefulSet
	config   *core.ConfigMap
	services map[string]*core.Service
	policy   *networking.NetworkPolicy
	budget   *policy.PodDisruptionBudget
	monitor  *monitoring.ServiceMonitor
	rules    *monitoring.PrometheusRule
	notes    string
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// render renders the chart as helm does, for a release "prod".
func render(t *testing.T, text string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := util.ToRenderValues(chart, values(t, text), common.ReleaseOptions{Name: "prod", Namespace: "acs", IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, v)
}

func install(t *testing.T, text string) *release {
	t.Helper()
	files, err := render(t, text)
	if err != nil {
		t.Fatal(err)
	}
	r := &release{services: map[string]*core.Service{}}
	for name, text := range files {
		if strings.HasSuffix(name, ".txt") {
			r.notes = text
			continue
		}
		for _, doc := range strings.Split(text, "\n---\n") {
			if strings.TrimSpace(doc) != "" {
				r.decode(t, name, doc)
			}
		}
	}
	r.coherent(t)
	return r
}

func (r *release) decode(t *testing.T, name, doc string) {
	t.Helper()
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, doc)
	}
	into := func(v any) {
		if err := yaml.UnmarshalStrict([]byte(doc), v); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
	}
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 StatefulSet":
		r.set = new(apps.StatefulSet)
		into(r.set)
	case "v1 ConfigMap":
		r.config = new(core.ConfigMap)
		into(r.config)
	case "v1 Service":
		s := new(core.Service)
		into(s)
		r.services[s.Name] = s
	case "v1 ServiceAccount":
		into(new(core.ServiceAccount))
	case "networking.k8s.io/v1 NetworkPolicy":
		r.policy = new(networking.NetworkPolicy)
		into(r.policy)
	case "policy/v1 PodDisruptionBudget":
		r.budget = new(policy.PodDisruptionBudget)
		into(r.budget)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		r.monitor = new(monitoring.ServiceMonitor)
		into(r.monitor)
	case "monitoring.coreos.com/v1 PrometheusRule":
		r.rules = new(monitoring.PrometheusRule)
		into(r.rules)
	default:
		t.Errorf("%s: %s %s is not expected", name, head.APIVersion, head.Kind)
	}
}

func within(small, large map[string]string) bool {
	for k, v := range small {
		if large[k] != v {
			return false
		}
	}
	return len(small) > 0
}

// coherent checks what no schema does: names that refer to other names.
func (r *release) coherent(t *testing.T) {
	t.Helper()
	pod := r.set.Spec.Template
	c := pod.Spec.Containers[0]
	var ports, volumes []string
	for _, p := range c.Ports {
		if slices.Contains(ports, p.Name) || len(p.Name) > 15 {
			t.Errorf("port name %q", p.Name)
		}
		ports = append(ports, p.Name)
	}
	for _, v := range pod.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, v := range r.set.Spec.VolumeClaimTemplates {
		volumes = append(volumes, v.Name)
	}
	for _, m := range c.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("mount %s has no volume", m.Name)
		}
	}
	if !within(r.set.Spec.Selector.MatchLabels, pod.Labels) {
		t.Errorf("the StatefulSet does not select its Pod")
	}
	if r.services[r.set.Spec.ServiceName] == nil {
		t.Errorf("no Service %s", r.set.Spec.ServiceName)
	}
	for name, s := range r.services {
		if !within(s.Spec.Selector, pod.Labels) {
			t.Errorf("Service %s does not select the Pod", name)
		}
		for _, p := range s.Spec.Ports {
			if !slices.Contains(ports, p.TargetPort.StrVal) {
				t.Errorf("Service %s: the container has no port %s", name, p.TargetPort.StrVal)
			}
		}
	}
	for _, p := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		if p.HTTPGet != nil && !slices.Contains(ports, p.HTTPGet.Port.StrVal) || p.HTTPGet == nil && p.Exec == nil {
			t.Errorf("probe %v", p)
		}
	}
	if r.policy != nil && !within(r.policy.Spec.PodSelector.MatchLabels, pod.Labels) || r.budget != nil && !within(r.budget.Spec.Selector.MatchLabels, pod.Labels) {
		t.Errorf("the NetworkPolicy or the PodDisruptionBudget does not select the Pod")
	}
	if m := r.monitor; m != nil && (!within(m.Spec.Selector.MatchLabels, r.services["prod-isthmus-admin"].Labels) || r.services["prod-isthmus-admin"].Labels[m.Spec.JobLabel] != "isthmus") {
		t.Errorf("the ServiceMonitor does not select the Service, or its job is not the one that the rules name")
	}
}

// everything turns on all that the chart has.
const everything = `
image: { repository: registry.example/isthmus, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
secrets: [isthmus-secrets]
config:
  cwmp:
    listen: ":7547"
    tls: { listen: ":7548", cert_file: /run/secrets/isthmus/tls.crt, key_file: /run/secrets/isthmus/tls.key }
    auth: { mode: digest, username: fleet, password_file: /run/secrets/isthmus/cwmp-password }
    connection_request: { udp_listen: ":3478", username: acs, password_file: /run/secrets/isthmus/cwmp-password }
  usp:
    controllers: [{ endpoint_id: "proto::c", websocket: { url: "ws://controller:8080/" } }]
    websocket_server: { listen: ":8183" }
  admin: { listen: ":9647", token_file: /run/secrets/isthmus/token, tls: { cert_file: /run/secrets/isthmus/tls.crt, key_file: /run/secrets/isthmus/tls.key } }
service: { cwmp: { annotations: { a: b }, loadBalancerSourceRanges: [192.0.2.0/24] } }
env: [{ name: GOMEMLIMIT, value: 1800MiB }]
podLabels: { team: acs }
podAnnotations: { a: b }
nodeSelector: { disk: ssd }
tolerations: [{ key: acs, operator: Exists }]
affinity: { nodeAffinity: {} }
priorityClassName: high
imagePullSecrets: [{ name: pull }]
persistence: { storageClass: fast }
podDisruptionBudget: { enabled: true }
networkPolicy: { enabled: true, cwmpFrom: [{ ipBlock: { cidr: 192.0.2.0/24 } }], adminFrom: [{ namespaceSelector: { matchLabels: { name: monitoring } } }] }
serviceMonitor: { enabled: true, labels: { release: prometheus }, tlsConfig: { serverName: isthmus }, authorization: { credentials: { name: s, key: token } } }
prometheusRule: { enabled: true, labels: { release: prometheus } }
`

func TestChartLint(t *testing.T) {
	for _, text := range []string{"", everything} {
		for _, m := range lint.RunAll(chartDir, values(t, text), "acs").Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%v", m)
			}
		}
	}
}

func TestChartDefaults(t *testing.T) {
	r := install(t, "")
	pod := r.set.Spec.Template.Spec
	c := pod.Containers[0]
	if *r.set.Spec.Replicas != 1 || len(r.set.Spec.VolumeClaimTemplates) != 1 {
		t.Errorf("%d replicas, %d volume claims; the store is one, and is kept", *r.set.Spec.Replicas, len(r.set.Spec.VolumeClaimTemplates))
	}
	if got := strings.Join(c.ReadinessProbe.Exec.Command, " "); got != "/isthmus ready --admin 127.0.0.1:9647" {
		t.Errorf("readiness by %q", got)
	}
	if len(r.services) != 2 || r.services["prod-isthmus-cwmp"].Spec.ExternalTrafficPolicy != core.ServiceExternalTrafficPolicyLocal {
		t.Errorf("Services %v: the admin address and Controllers' are not to be reached unless asked for", r.services)
	}
	sc := c.SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || sc.Capabilities.Drop[0] != "ALL" ||
		pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || *pod.AutomountServiceAccountToken || *pod.EnableServiceLinks {
		t.Errorf("the Pod is not hardened: %+v %+v", pod.SecurityContext, sc)
	}
	if r.policy != nil || r.budget != nil || r.monitor != nil || r.rules != nil {
		t.Error("options are on")
	}
	if !strings.Contains(r.notes, "every CPE is let in") {
		t.Errorf("the notes do not warn: %s", r.notes)
	}
}

func TestChartWithEverything(t *testing.T) {
	r := install(t, everything)
	c := r.set.Spec.Template.Spec.Containers[0]
	var ports []string
	for _, p := range c.Ports {
		ports = append(ports, fmt.Sprintf("%s %d/%s", p.Name, p.ContainerPort, p.Protocol))
	}
	if got := strings.Join(ports, ", "); got != "cwmp 7547/TCP, cwmp-tls 7548/TCP, stun 3478/UDP, usp 8183/TCP, admin 9647/TCP" {
		t.Errorf("ports %s", got)
	}
	if p := c.LivenessProbe.HTTPGet; p == nil || p.Path != "/healthz" || p.Scheme != core.URISchemeHTTPS {
		t.Errorf("liveness by %+v", p)
	}
	if !strings.HasPrefix(c.Image, "registry.example/isthmus@sha256:") {
		t.Errorf("image %s", c.Image)
	}
	if len(r.policy.Spec.Ingress) != 3 {
		t.Errorf("%d rules, want CPE, Controllers and administration", len(r.policy.Spec.Ingress))
	}
	if r.budget.Spec.MaxUnavailable.IntVal != 0 || len(r.monitor.Spec.Endpoints) != 1 {
		t.Errorf("%+v %+v", r.budget.Spec, r.monitor.Spec)
	}
	if len(r.rules.Spec.Groups) == 0 || len(r.rules.Spec.Groups[0].Rules) == 0 {
		t.Errorf("no rules: %+v", r.rules.Spec)
	}
	if strings.Contains(r.notes, "WARNING") {
		t.Errorf("the notes warn: %s", r.notes)
	}
	nobody := install(t, strings.Replace(everything, "adminFrom:", "uspFrom:", 1)).policy
	if len(nobody.Spec.Ingress) != 2 {
		t.Errorf("%d rules, want none for administration", len(nobody.Spec.Ingress))
	}
}

func TestChartRefuses(t *testing.T) {
	for name, c := range map[string]struct{ values, want string }{
		"an unknown value":          {"replicas: 2", "replicas"},
		"an unknown section":        {"config: { cwpm: {} }", "cwpm"},
		"a digest that is none":     {`image: { digest: "latest" }`, "digest"},
		"a volume that many write":  {"persistence: { accessModes: [ReadWriteMany] }", "accessModes"},
		"metrics that nobody reads": {"serviceMonitor: { enabled: true }", "config.admin.listen"},
		"a password for all":        {"config: { cwmp: { auth: { password: secret } } }", "password_file"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(t, c.values); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want it to name %s", err, c.want)
			}
		})
	}
}

// TestChartConfiguration has isthmus check what the chart gives it.
func TestChartConfiguration(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "isthmus")
	build := exec.Command("go", "build", "-o", bin, "./cmd/isthmus")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, text := range map[string]string{"defaults": "", "everything": everything} {
		t.Run(name, func(t *testing.T) {
			dir := secrets(t)
			config := strings.ReplaceAll(install(t, text).config.Data["isthmus.yaml"], "/run/secrets/isthmus", dir)
			file := filepath.Join(dir, "isthmus.yaml")
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(bin, "check", "--config", file).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// secrets makes what the Secret of everything holds.
func secrets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"tls.crt":       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"tls.key":       pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"cwmp-password": []byte("correct horse battery staple"),
		"token":         []byte("correct horse battery staple"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
