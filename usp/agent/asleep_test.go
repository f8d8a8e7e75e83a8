package agent

import (
	"fmt"
	"reflect"
	"testing"

	"isthmus/usp"
)

// TestRowsOfMost: what nearly every Agent keeps is laid over the fleet's rows as anything else would be, and shares their memory.
func TestRowsOfMost(t *testing.T) {
	f := NewFleet(Options{Controllers: []ControllerConfig{{EndpointID: ctl1, MTP: MTPConfig{Host: "h", Port: 80}}, {EndpointID: ctl2, OnlyDialsIn: true}},
		Roles: []Role{{Name: "reader"}}})
	row := func(id, data string) Record { return Record{Kind: RowRecord, ID: id, Data: []byte(data)} }
	boot := row("LocalAgent.", `{".boot":"1700000000"}`)
	one, two := row("LocalAgent.Controller.1.", `{"EndpointID":"`+ctl1+`",".fleet":"1"}`), row("LocalAgent.Controller.2.", `{"EndpointID":"`+ctl2+`",".fleet":"1"}`)
	role := row("LocalAgent.ControllerTrust.Role.3.", `{"Name":"reader",".fleet":"1"}`)
	for _, c := range []struct {
		records []Record
		like    bool
	}{
		{nil, true},
		{[]Record{boot}, true},
		{[]Record{boot, one, two, role}, true},
		{[]Record{boot, one}, false},
		{[]Record{one, two, row("LocalAgent.Controller.", `{".last":"7"}`)}, false},
		{[]Record{row("LocalAgent.Controller.1.", `{"EndpointID":"`+ctl2+`",".fleet":"1"}`), row("LocalAgent.Controller.2.", `{"EndpointID":"`+ctl1+`",".fleet":"1"}`)}, false},
		{[]Record{one, row("LocalAgent.Controller.2.", `{"EndpointID":"`+ctl2+`",".fleet":"1","PeriodicNotifInterval":"60"}`)}, false},
	} {
		rs, err := overlay(f.base, c.records)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, rs == f.base || rs.like == f.base, c.like)
		if !c.like {
			continue
		}
		long, err := overlay(f.base, append([]Record{row("Long.", `{".last":"1"}`)}, c.records...))
		if err != nil || long.like != nil {
			t.Fatal(err, long.like)
		}
		delete(long.last, "Device.Long.")
		equal(t, fmt.Sprint(rs.values), fmt.Sprint(long.values))
		equal(t, fmt.Sprint(rs.index), fmt.Sprint(long.index))
		equal(t, fmt.Sprint(rs.last), fmt.Sprint(long.last))
		for _, id := range []usp.EndpointID{"", ctl1, ctl2, "proto::nobody"} {
			equal(t, reflect.DeepEqual(rs.grant(id), long.grant(id)), true)
		}
	}
}

// TestLoadedAgentsAreBounded: however many Agents are used at a time, few stay loaded.
func TestLoadedAgentsAreBounded(t *testing.T) {
	f := NewFleet(Options{Controllers: []ControllerConfig{{EndpointID: ctl1}}})
	tree, keep := newTree(), &kept{}
	for range maxLoaded + 100 {
		if _, err := f.NewAgent(Identity{ID: agentID}, tree, keep, AgentOptions{}).Interest(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, f.loaded.Load(), int64(maxLoaded))
}
