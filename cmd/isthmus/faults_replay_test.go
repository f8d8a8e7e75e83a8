//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"isthmus/cwmp"
)

// capturesDir has what clients that nobody here wrote said to other ACS: an HTTP exchange a file. It is no part of the project.
const capturesDir = "../../../shared/captures"

// maxReplies is far above what a session with a recording takes.
const maxReplies = 1000

// recording is a client as its captures have it.
type recording struct {
	name     string
	messages []string          // what it posted, in order; "" is an empty POST
	inform   string            // its first
	answers  map[string]string // by the RPC's name, its last
}

var (
	captured = regexp.MustCompile(`(?s)==== CPE -> ACS ====\r?\n(POST [^\n]*\n.*?)(?:\r?\n==== |\z)`)
	rpcName  = regexp.MustCompile(`Body>\s*<(?:[-\w]+:)?(\w+)`)
)

// recordings are those of all clients, with the files that the captures cut short left out.
func recordings(t *testing.T) []*recording {
	t.Helper()
	files, err := filepath.Glob(capturesDir + "/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Skip("NOT TESTED with the messages of real clients: their captures are not beside this repository, in ", capturesDir)
	}
	var all []*recording
	for _, file := range files {
		client := filepath.Base(filepath.Dir(file))
		if len(all) == 0 || all[len(all)-1].name != client {
			all = append(all, &recording{name: client, answers: map[string]string{}})
		}
		r := all[len(all)-1]
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := captured.FindSubmatch(text)
		if m == nil || bytes.Contains(text, []byte("bytes in all, cut]")) {
			continue // of a Connection Request or a file transfer, or incomplete
		}
		_, message, _ := strings.Cut(strings.ReplaceAll(string(m[1]), "\r\n", "\n"), "\n\n")
		message = strings.TrimSpace(message)
		r.messages = append(r.messages, message)
		switch name := rpcName.FindStringSubmatch(message); {
		case name == nil:
		case name[1] == "Inform" && r.inform == "":
			r.inform = message
		default:
			r.answers[name[1]] = message
		}
	}
	return all
}

// plays is a session of a new CPE that says what was recorded, whatever it is asked: of the answers to an RPC the last.
func (rec *recording) plays(t *testing.T, b *bed, change func(string) string) {
	t.Helper()
	r := b.dial(t)
	r.post(change(serial.ReplaceAllString(rec.inform, "${1}"+b.id().SerialNumber)))
	status, _ := r.answer()
	if status != 200 {
		t.Fatalf("%s: the Inform is answered with %d", rec.name, status)
	}
	r.post("")
	for range maxReplies {
		var body string
		if status, body = r.answer(); status != 200 {
			break
		}
		asked := rpcName.FindStringSubmatch(body)
		if asked == nil {
			t.Fatalf("%s: no RPC in %s", rec.name, body)
		}
		answer, ok := rec.answers[asked[1]+"Response"]
		if !ok {
			answer = encoded(t, cwmp.NewFault(cwmp.FaultMethodNotSupported))
		}
		r.post(change(answer))
	}
	if status != 204 {
		t.Errorf("%s: the session ended with %d", rec.name, status)
	}
}

// The line "Replay" of the matrix: what every captured client posted, first as the answers to what isthmus asks, then in the order in which
// it was posted, which answers nothing that was asked. What each message decodes to is cwmp's TestCaptures.
func TestFaultsReplay(t *testing.T) {
	t.Parallel()
	all := recordings(t)
	b := newBed(t, nil)
	var faults []fault
	for _, rec := range all {
		faults = append(faults, fault{rec.name + " as a CPE", sessionsOK, func(t *testing.T, b *bed) {
			rec.plays(t, b, func(s string) string { return s })
		}}, fault{rec.name + " in order", `cwmp_sessions_total{outcome="unexpected_answer"}|` + sessionsOK + "|" + sessionsLost, func(t *testing.T, b *bed) {
			r := b.dial(t)
			for _, message := range rec.messages {
				r.post(message)
				if status, _ := r.answer(); status != 200 && status != 204 && status != 400 {
					t.Errorf("status %d to %.300s", status, message)
				}
			}
		}})
	}
	b.each(t, faults)
}
