package conformance_test

import "testing"

// TestTP469_2_1_OwnEndpointID: R-ARC.2, silence. Requests run side by side, so the answers to two later ones are the barrier.
func TestTP469_2_1_OwnEndpointID(t *testing.T) {
	e, _, w := hand(t)
	w.send(w.record(e.w.id, e.w.id, "self", "Device.DeviceInfo."))
	w.alive()
	w.alive()
}

// TestTP469_2_2_ForeignToID: R-E2E.1.
func TestTP469_2_2_ForeignToID(t *testing.T) {
	_, _, w := hand(t)
	w.send(w.record(controllerID, "os::012345-nobody", "foreign", "Device.DeviceInfo."))
	w.alive()
	w.alive()
}

// TestTP469_3_1_BadRecord: none is answered, and the Agent goes on.
func TestTP469_3_1_BadRecord(t *testing.T) {
	for name, b := range map[string][]byte{"empty": {}, "no payload": {0x0a, 0x03, '1', '.', '4'}} {
		t.Run(name, func(t *testing.T) {
			_, _, w := hand(t)
			w.send(b)
			w.alive()
		})
	}
	t.Run("garbage", func(t *testing.T) {
		e, p, w := hand(t)
		w.send([]byte{0xff, 0xff, 0xff})
		if code := w.closed(); code != 1003 { // R-WS.11; ignored as a Record
			e.Errorf("closed with %d", code)
		}
		p.accept(e).alive()
	})
}
