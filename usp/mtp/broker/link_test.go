package broker

import (
	"testing"

	"isthmus/usp/mtp"
)

// TestCurrentPasswords: Sessions keep the fleet's Targets, unless a password has become another one.
func TestCurrentPasswords(t *testing.T) {
	to := []mtp.Target{{MQTT: mtp.MQTT{Password: "other"}}, {MQTT: mtp.MQTT{Password: "old"}}}
	password := mtp.Secret("old")
	f := &Fixed{Password: func(p mtp.Secret) mtp.Secret {
		if p == "old" {
			return password
		}
		return p
	}}
	if now := f.current(to); &now[0] != &to[0] {
		t.Error("copied without need")
	}
	password = "new"
	if now := f.current(to); now[0].MQTT.Password != "other" || now[1].MQTT.Password != "new" || to[1].MQTT.Password != "old" {
		t.Errorf("%q, %q, %q", string(now[0].MQTT.Password), string(now[1].MQTT.Password), string(to[1].MQTT.Password))
	}
}
