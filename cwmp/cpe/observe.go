package cpe

import (
	"fmt"
	"strings"

	"isthmus/cwmp"
)

// observe tells the Config's Observe of a message, nil being an empty one.
func (s *session) observe(fromACS bool, e *cwmp.Envelope) {
	if s.cfg.Observe == nil {
		return
	}
	x := Exchange{FromACS: fromACS}
	if e != nil {
		x.RPC, x.Summary = e.Body.Name(), summary(e.Body)
	}
	s.cfg.Observe(x)
}

// maxListed is how many entries of a list a summary names.
const maxListed = 4

// summary says in a line what an RPC is about. Values whose names sound secret are left out.
func summary(rpc cwmp.RPC) string {
	switch m := rpc.(type) {
	case *cwmp.Inform:
		return listed(m.Event, func(e cwmp.EventStruct) string { return strings.TrimSpace(e.EventCode + " " + e.CommandKey) })
	case *cwmp.GetParameterNames:
		return fmt.Sprintf("%s next level %t", m.ParameterPath, m.NextLevel)
	case *cwmp.GetParameterNamesResponse:
		return fmt.Sprintf("%d names", len(m.ParameterList))
	case *cwmp.GetParameterValues:
		return listed(m.ParameterNames, func(n string) string { return n })
	case *cwmp.GetParameterValuesResponse:
		return listed(m.ParameterList, assignment)
	case *cwmp.SetParameterValues:
		return listed(m.ParameterList, assignment)
	case *cwmp.SetParameterValuesResponse:
		return fmt.Sprintf("status %d", m.Status)
	case *cwmp.SetParameterAttributes:
		return listed(m.ParameterList, func(a cwmp.SetParameterAttributesStruct) string {
			return fmt.Sprintf("%s notification %d", a.Name, a.Notification)
		})
	case *cwmp.AddObject:
		return m.ObjectName
	case *cwmp.AddObjectResponse:
		return fmt.Sprintf("instance %d", m.InstanceNumber)
	case *cwmp.DeleteObject:
		return m.ObjectName
	case *cwmp.Reboot:
		return m.CommandKey
	case *cwmp.Download:
		return m.FileType
	case *cwmp.TransferComplete:
		return strings.TrimSpace(fmt.Sprintf("%s fault %d %s", m.CommandKey, m.FaultStruct.FaultCode, m.FaultStruct.FaultString))
	case *cwmp.Fault:
		return strings.TrimPrefix(m.Error(), "cwmp: fault ")
	}
	return ""
}

func listed[T any](list []T, each func(T) string) string {
	var b strings.Builder
	for i, v := range list {
		if i == maxListed {
			fmt.Fprintf(&b, ", … %d more", len(list)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(each(v))
	}
	return b.String()
}

func assignment(p cwmp.ParameterValueStruct) string {
	if secretName(p.Name) {
		return p.Name + " = (hidden)"
	}
	return p.Name + " = " + p.Value
}

// secretName tells the parameters whose values must not be shown: passwords, passphrases and keys.
func secretName(path string) bool {
	_, name := splitLast(path)
	for _, word := range []string{"Password", "Passphrase", "PreSharedKey", "WEPKey", "Secret"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
