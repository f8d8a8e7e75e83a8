package brokertest

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// MosquittoOptions say what a Mosquitto asks of its clients; by default nothing.
type MosquittoOptions struct {
	Users map[string]string // by user name, the password
	// ACL has the lines of its acl_file, such as "pattern readwrite usp/agent/%u/#".
	ACL []string
	// CertFile and KeyFile are its own certificate, CAFile has the CA of those that clients have to show.
	CertFile, KeyFile, CAFile string
	More                      []string // lines of its configuration
}

// Mosquitto is a running Mosquitto.
type Mosquitto struct {
	daemon
	Addr          string // MQTT over TCP
	TLSAddr       string // over TLS, where there is a certificate
	WebSocketAddr string
}

// NewMosquitto starts one that ends with the test.
func NewMosquitto(t testing.TB, o MosquittoOptions) *Mosquitto {
	t.Helper()
	binary, dir := program(t, "mosquitto", "mosquitto"), t.TempDir()
	port, web := freePort(), freePort()
	m := &Mosquitto{Addr: "127.0.0.1:" + port, WebSocketAddr: "127.0.0.1:" + web}
	lines := []string{
		"log_dest stderr", "log_type all", "persistence true", "persistence_location " + dir + "/", "allow_anonymous " + fmt.Sprint(o.Users == nil),
		"max_queued_messages 10000", "listener " + port + " 127.0.0.1", "listener " + web + " 127.0.0.1", "protocol websockets",
	}
	if os.Getuid() == 0 {
		lines = append([]string{"user root"}, lines...) // else it becomes one that may not read the directory
	}
	if o.CertFile != "" {
		secure := freePort()
		m.TLSAddr = "127.0.0.1:" + secure
		lines = append(lines, "listener "+secure+" 127.0.0.1", "certfile "+o.CertFile, "keyfile "+o.KeyFile)
		if o.CAFile != "" {
			lines = append(lines, "cafile "+o.CAFile, "require_certificate true")
		}
	}
	if o.Users != nil {
		lines = append(lines, "password_file "+write(t, filepath.Join(dir, "passwords"), passwords(t, o.Users)))
	}
	if o.ACL != nil {
		lines = append(lines, "acl_file "+write(t, filepath.Join(dir, "acl"), strings.Join(o.ACL, "\n")+"\n"))
	}
	lines = append(lines, o.More...)
	m.daemon = daemon{t: t, name: binary, args: []string{"-c", write(t, filepath.Join(dir, "conf"), strings.Join(lines, "\n")+"\n")}, ready: " running"}
	m.start()
	t.Cleanup(func() {
		m.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", binary, m.Log())
		}
	})
	return m
}

// passwords is a password_file: PBKDF2 with SHA-512, as mosquitto_passwd writes it.
func passwords(t testing.TB, users map[string]string) string {
	t.Helper()
	const rounds, keyLength = 101, 64
	salt := make([]byte, 12)
	_, _ = rand.Read(salt) // never fails
	var b strings.Builder
	for name, password := range users {
		key, err := pbkdf2.Key(sha512.New, password, salt, rounds, keyLength)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s:$7$%d$%s$%s\n", name, rounds, base64.StdEncoding.EncodeToString(salt), base64.StdEncoding.EncodeToString(key))
	}
	return b.String()
}
