package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"isthmus/cwmp/cpe"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

const (
	column   = 54 // width of each side
	maxAlike = 2  // messages of one name that a step shows; the rest is counted
	maxNamed = 3  // entries of a list that a summary names
)

// sideBySide prints two protocols in two columns, as the messages cross.
type sideBySide struct {
	mu    sync.Mutex
	w     io.Writer
	muted bool
	seen  map[string]int // by message, in this step
}

// say prints text over the whole width and begins a step.
func (p *sideBySide) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tellRest()
	fmt.Fprintln(p.w, fold(text, 2*column+3, ""))
	p.seen = map[string]int{}
}

// result prints what a step came to.
func (p *sideBySide) result(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tellRest()
	fmt.Fprintln(p.w, "   => "+text)
}

// mute ends the printing of messages: the rest is the farewell.
func (p *sideBySide) mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

func (p *sideBySide) tellRest() {
	for _, name := range slices.Sorted(maps.Keys(p.seen)) {
		if n := p.seen[name] - maxAlike; n > 0 {
			fmt.Fprintf(p.w, "   (and %d more %s)\n", n, name)
		}
	}
	p.seen = nil
}

// message prints one message in its column.
func (p *sideBySide) message(right bool, arrow, name, summary string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.muted {
		return
	}
	if p.seen == nil {
		p.seen = map[string]int{}
	}
	if p.seen[name]++; p.seen[name] > maxAlike {
		return
	}
	indent := "   "
	if right {
		indent += strings.Repeat(" ", column)
	}
	text := fold(strings.TrimSpace(arrow+" "+name+" "+shown(summary)), column-2, "    ")
	fmt.Fprintln(p.w, indent+strings.ReplaceAll(text, "\n", "\n"+indent))
}

func (p *sideBySide) cwmp(x cpe.Exchange) {
	arrow := "-->"
	if x.FromACS {
		arrow = "<--"
	}
	switch {
	case x.RPC == "" && x.FromACS:
		p.message(false, arrow, "(empty answer: that was all)", "")
	case x.RPC == "":
		p.message(false, arrow, "(empty POST: is there anything for me?)", "")
	default:
		p.message(false, arrow, x.RPC, x.Summary)
	}
}

func (p *sideBySide) usp(d controller.Direction, r *usppb.Record, m *usppb.Msg) {
	arrow := "-->"
	if d == controller.Out {
		arrow = "<--"
	}
	if m == nil {
		if r.GetWebsocketConnect() != nil {
			p.message(true, arrow, "WebSocketConnect", "of "+r.GetFromId())
		}
		return
	}
	p.message(true, arrow, m.GetHeader().GetMsgType().String(), summaryOf(m))
}

// summaryOf says in a line what a message is about.
func summaryOf(m *usppb.Msg) string {
	if e := m.GetBody().GetError(); e != nil {
		return fmt.Sprintf("%d %s", e.GetErrCode(), e.GetErrMsg())
	}
	switch r := m.GetBody().GetRequest().GetReqType().(type) {
	case *usppb.Request_Get:
		return some(r.Get.GetParamPaths())
	case *usppb.Request_Set:
		var list []string
		for _, o := range r.Set.GetUpdateObjs() {
			for _, s := range o.GetParamSettings() {
				list = append(list, o.GetObjPath()+s.GetParam()+" = "+s.GetValue())
			}
		}
		return some(list)
	case *usppb.Request_Add:
		var list []string
		for _, o := range r.Add.GetCreateObjs() {
			list = append(list, o.GetObjPath())
			for _, s := range o.GetParamSettings() {
				list = append(list, s.GetParam()+" = "+s.GetValue())
			}
		}
		return strings.Join(list, ", ")
	case *usppb.Request_Delete:
		return some(r.Delete.GetObjPaths())
	case *usppb.Request_Operate:
		return r.Operate.GetCommand()
	case *usppb.Request_GetSupportedDm:
		return some(r.GetSupportedDm.GetObjPaths())
	case *usppb.Request_Notify:
		return notice(r.Notify)
	}
	if r := m.GetBody().GetResponse(); r != nil {
		if r.GetGetSupportedDmResp() != nil {
			return "names, types and access of all it supports"
		}
		o := results(r)
		return some(append(o.lines, texts(o.failed)...))
	}
	return ""
}

func notice(n *usppb.Notify) string {
	switch e := n.GetNotification().(type) {
	case *usppb.Notify_OnBoardReq:
		return "OnBoardRequest: " + e.OnBoardReq.GetOui() + " " + e.OnBoardReq.GetProductClass() + " " + e.OnBoardReq.GetSerialNumber()
	case *usppb.Notify_ValueChange_:
		return "ValueChange: " + e.ValueChange.GetParamPath() + " = " + e.ValueChange.GetParamValue()
	case *usppb.Notify_Event_:
		return "Event: " + e.Event.GetObjPath() + e.Event.GetEventName()
	case *usppb.Notify_OperComplete:
		return "OperationComplete: " + e.OperComplete.GetObjPath() + e.OperComplete.GetCommandName()
	}
	return ""
}

func texts(errs []error) []string {
	var list []string
	for _, err := range errs {
		list = append(list, err.Error())
	}
	return list
}

func some(list []string) string {
	if more := len(list) - maxNamed; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(list[:maxNamed], ", "), more)
	}
	return strings.Join(list, ", ")
}

// fold breaks text at blanks into lines of a width; further lines begin with indent. Line ends in text stay.
func fold(text string, width int, indent string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		line := width
		for rest := paragraph; ; {
			if utf8.RuneCountInString(rest) <= line {
				b.WriteString(rest)
				break
			}
			cut := strings.LastIndexByte(rest[:min(line, len(rest))], ' ')
			if cut <= 0 {
				if cut = strings.IndexByte(rest, ' '); cut < 0 {
					b.WriteString(rest)
					break
				}
			}
			b.WriteString(rest[:cut] + "\n" + indent)
			rest, line = rest[cut+1:], width-len(indent)
		}
	}
	return b.String()
}
