package mqtt

import (
	"strings"

	"isthmus/usp/mtp/mqtt/client"
)

// replyTo precedes the sender's own topic in a Topic Name of MQTT 3.1.1 (R-MQTT.24).
const replyTo = "/reply-to="

func withReply(topic, mine string) string {
	if mine == "" {
		return topic
	}
	return topic + replyTo + strings.ReplaceAll(mine, "/", "%2F")
}

// replyOf is where the answer to a message of MQTT 3.1.1 goes, by its Topic Name (R-MQTT.25).
func replyOf(topic string) string {
	i := strings.LastIndex(topic, replyTo)
	if i < 0 {
		return ""
	}
	return strings.NewReplacer("%2F", "/", "%2f", "/").Replace(topic[i+len(replyTo):])
}

// isTopic says whether something can be published to a topic.
func isTopic(s string) bool { return s != "" && len(s) < 1<<16 && !strings.ContainsAny(s, "+#\x00") }

// covers says whether a topic filter matches a topic (MQTT 5.0, section 4.7).
func covers(filter, topic string) bool {
	for {
		f, moreFilter, deeper := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, moreTopic, longer := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !deeper || !longer {
			return deeper == longer || moreFilter == "#" && deeper
		}
		filter, topic = moreFilter, moreTopic
	}
}

// rows reads Target.MQTT.Subscriptions: QoS, a space and a topic filter a line.
func rows(lines string) (out []client.Subscription) {
	for line := range strings.Lines(lines) {
		qos, filter, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || filter == "" {
			continue
		}
		s := client.Subscription{Filter: filter}
		if qos != "0" {
			s.QoS = 1 // the most that is spoken
		}
		out = append(out, s)
	}
	return out
}
