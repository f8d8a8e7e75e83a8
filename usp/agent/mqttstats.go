package agent

import (
	"time"

	"isthmus/usp/mtp"
)

// mqttStats is what the Dialer counts of a Client's connection. It begins anew when the row leads elsewhere or is enabled.
var mqttStats = &table{ObjectDef: ObjectDef{Path: mqttClientTable + "{i}.Stats."}, columns: []column{
	quiet(computed("BrokerConnectionEstablished", TypeDateTime, func(v *view, path string) string {
		if s := v.wayState(ParentPath(path)); s.Status == mtp.Connected {
			return s.Since.UTC().Format(time.RFC3339)
		}
		return unknownTime
	})),
	quiet(computed("MQTTMessagesSent", TypeUnsignedLong, func(v *view, path string) string { return itoa(v.wayCounts(path).Sent) })),
	quiet(computed("MQTTMessagesReceived", TypeUnsignedLong, func(v *view, path string) string { return itoa(v.wayCounts(path).Received) })),
	quiet(computed("ConnectionErrors", TypeUnsignedInt, func(v *view, path string) string { return itoa(v.wayCounts(path).Errors) })),
}}

// wayCounts is what the Dialer has counted for Stats of a Client.
func (v *view) wayCounts(stats string) mtp.Counts {
	c, ok := v.agent.fleet.opts.Dialer.(mtp.Counter)
	behind := v.agent.behind(ParentPath(stats))
	if !ok || behind == "" {
		return mtp.Counts{}
	}
	return c.Counts(v.agent.id.ID, behind)
}
