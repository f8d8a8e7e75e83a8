package conformance_test

import "testing"

// TestHomesReboot and what follows run in worlds of their own, since the CPE are not the same afterwards.
func TestHomesReboot(t *testing.T) {
	for _, h := range homes {
		t.Run(h.model, func(t *testing.T) {
			e := fresh(t, options{tree: h.tree()})
			e.reboots("home", func() { e.start("Device.Reboot()", "home") })
		})
	}
}
