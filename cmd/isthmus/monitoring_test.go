//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	monitoringTime = 40 * time.Second
	monitoredFleet = 40
)

// prometheusServer is one in a process of its own that scrapes a proxy each second.
type prometheusServer struct {
	ctx  context.Context
	base string
}

func startPrometheus(t *testing.T, target string) *prometheusServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), monitoringTime)
	dir := t.TempDir()
	rules, err := filepath.Abs("../../deploy/prometheus-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: isthmus, static_configs: [{targets: [%q]}]}]\n", rules, target)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close() // for Prometheus, which cannot choose one itself
	var log strings.Builder
	c := exec.CommandContext(ctx, "prometheus", "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at)
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return &prometheusServer{ctx: ctx, base: "http://" + at}
}

// ask gives the data of an answer of the HTTP API, which may not be there yet.
func (p *prometheusServer) ask(path string, into any) error {
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := scrape.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return json.Unmarshal(text, &struct{ Data any }{into})
}

// series is how many a query gives.
func (p *prometheusServer) series(query string) (int, error) {
	var data struct{ Result []any }
	err := p.ask("/api/v1/query?query="+url.QueryEscape(query), &data)
	return len(data.Result), err
}

// until asks again, each half second, until ok or the time is over.
func (p *prometheusServer) until(t *testing.T, what string, ok func() error) {
	t.Helper()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-time.After(500 * time.Millisecond): // scrapes and evaluations tell nobody
		case <-p.ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// quiet are metrics that may have no series while nothing of the kind happens, or is configured.
var quiet = []string{`code!="0"`, "isthmus_cwmp_malformed_total", "isthmus_cwmp_refused_total", "isthmus_new_devices_refused_total", "isthmus_polls_total",
	"isthmus_mtp_closes_total", "isthmus_mtp_refused_total", "isthmus_usp_records_refused_total", "isthmus_mtp_dials_total", "isthmus_usp_notifications_total", "isthmus_cwmp_authentications_total"}

// TestMonitoring: a Prometheus that scrapes a proxy with a fleet evaluates every query of the dashboard and every rule, those give data that should, and an
// alert fires.
func TestMonitoring(t *testing.T) {
	if os.Getenv("ISTHMUS_MONITORING") != "1" {
		t.Skip("NOT TESTED with Prometheus: run make test-monitoring")
	}
	b := everything(t)
	p := startPrometheus(t, b.listeners.admin.Addr().String())
	fleetCtx, off := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(fleetCtx, []string{"cpe", "--acs", "http://" + b.addr + "/", "--count", fmt.Sprint(monitoredFleet), "--rate", "10/s", "--serial-format", "SIM%06d",
			"--periodic", "2s"}, io.Discard, io.Discard, nil)
	}()
	t.Cleanup(func() {
		off()
		<-ended
	})
	p.until(t, "the fleet", func() error {
		n, err := p.series(fmt.Sprintf("isthmus_devices > %d", monitoredFleet))
		if err == nil && n == 0 {
			err = fmt.Errorf("it is not there")
		}
		return err
	})
	for range 3 {
		b.serves(t) // Connection Requests and requests, between scrapes
		time.Sleep(time.Second)
	}

	p.until(t, "the dashboard", func() error {
		var lacking []error
		for _, q := range dashboardQueries(t) {
			if n, err := p.series(q); err != nil {
				lacking = append(lacking, fmt.Errorf("%s: %w", q, err))
			} else if n == 0 && !containsAny(q, quiet) {
				lacking = append(lacking, fmt.Errorf("%s: no data", q))
			}
		}
		return errors.Join(lacking...)
	})

	b.hangup("no-such-file.yaml", nil, new(slog.LevelVar))
	p.until(t, "the alert", func() error {
		n, err := p.series(`ALERTS{alertname="IsthmusConfigReloadFailed",alertstate="firing"}`)
		if err == nil && n != 1 {
			err = fmt.Errorf("it does not fire")
		}
		return err
	})
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Type, Health, LastError string }
		}
	}
	if err := p.ask("/api/v1/rules", &rules); err != nil {
		t.Fatal(err)
	}
	evaluated := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			evaluated++
			if r.Health != "ok" {
				t.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
			}
			if n, err := p.series(r.Name); r.Type == "recording" && (err != nil || n == 0) {
				t.Errorf("%s: %d series, %v", r.Name, n, err)
			}
		}
	}
	if evaluated == 0 {
		t.Error("no rules")
	}
	for _, never := range []string{"IsthmusDown", "IsthmusNotReady", "IsthmusPanic", "IsthmusStoreErrors"} {
		if n, err := p.series(fmt.Sprintf(`ALERTS{alertname=%q}`, never)); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", never, n, err)
		}
	}
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// dashboardQueries are those of deploy/grafana, with its variables set.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/isthmus.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	set := strings.NewReplacer("$__rate_interval", "1m", "$job", "isthmus", "$instance", ".*")
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, set.Replace(target.Expr))
		}
	}
	return queries
}
