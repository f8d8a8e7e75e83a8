package conformance_test

import "testing"

// triggered runs a case on a Subscription to a parameter that its change disables, the Agent's own and the CPE's, and that sets a parameter of the CPE.
func triggered(t *testing.T, action string, run func(e *eut, id, sub, path string)) {
	watched(t, func(e *eut, path string) {
		id := unique("notify" + action)
		row, _ := e.added(onCPE.table, onCPE.row(93)...)
		sub := e.subscribe(id, "ValueChange", path, req("TriggerAction", action), req("NotifRetry", "true"))
		e.change(sub+"TriggerConfigSettings", sub+"Enable=false,"+row+onCPE.number+"=93")
		run(e, id, sub, path)
		e.wantValue(sub+"Enable", "false")
		e.wantValue(row+onCPE.number, "93")
	})
}

func TestTP469_1_93_TriggerConfig(t *testing.T) {
	triggered(t, "Config", func(e *eut, id, sub, path string) {
		e.subscribe(id+"-barrier", "ValueChange", path)
		e.change(path, id)
		e.wantValue(sub+"Enable", "false") // at once, as the plan asks
		e.notified(id + "-barrier")
		if n := e.count(id); n != 0 {
			e.Errorf("%d notifications", n)
		}
	})
}

func TestTP469_1_94_TriggerNotifyAndConfig(t *testing.T) {
	triggered(t, "NotifyAndConfig", func(e *eut, id, sub, path string) {
		e.change(path, id)
		e.wantValue(sub+"Enable", "false")
		e.valueChanged(id, path, id)
	})
}
