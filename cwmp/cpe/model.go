package cpe

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// The built-in trees: one line a node, "path access type value". Access is r (read-only), w (writable), s (secret: writable, reads
// empty), t (table with AddObject and DeleteObject), f (table of fixed rows), i (a row made from the table's {i} lines) and
// = (another value for a parameter of a row).
var (
	//go:embed device2.txt
	device2Text string
	//go:embed igd.txt
	igdText string
	//go:embed home_device2.txt
	homeDevice2Text string
	//go:embed home_tr098.txt
	homeTR098Text string
	//go:embed home_device1.txt
	homeDevice1Text string
)

// Device2 is a gateway with a Device:2 (TR-181) tree of some 150 parameters. All callers share it.
var Device2 = sync.OnceValue(func() *Tree { return mustModel(device2Text) })

// IGD is a small gateway with an InternetGatewayDevice:1 (TR-098) tree. All callers share it.
var IGD = sync.OnceValue(func() *Tree { return mustModel(igdText) })

// One home in three data models, for what must come out alike whichever a CPE has. All callers share them.
var (
	HomeDevice2 = sync.OnceValue(func() *Tree { return mustModel(homeDevice2Text) })
	HomeTR098   = sync.OnceValue(func() *Tree { return mustModel(homeTR098Text) })
	HomeDevice1 = sync.OnceValue(func() *Tree { return mustModel(homeDevice1Text) })
)

func mustModel(text string) *Tree {
	t, err := parseModel(text)
	if err != nil {
		panic(err) // the text is part of the program
	}
	return t
}

func parseModel(text string) (*Tree, error) {
	root := &node{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := root.define(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	root.finish()
	return &Tree{root: root}, nil
}

func (n *node) define(line string) error {
	fields := strings.SplitN(line, " ", 4)
	for len(fields) < 4 {
		fields = append(fields, "")
	}
	path, access := fields[0], fields[1]
	switch access {
	case "t", "f":
		k := n.put(path)
		k.table, k.writable = true, access == "t"
		return nil
	case "i":
		table, instance := splitLast(path)
		k := n.put(table)
		_, template := k.kid(placeholder)
		if template == nil {
			return fmt.Errorf("%s has no {i} lines", table)
		}
		row := template.copyOf(instance)
		row.writable = k.writable
		k.kids = append(k.kids, row)
		return nil
	case "=":
		n.put(path).value = strings.TrimSpace(fields[2] + " " + fields[3])
		return nil
	case "r", "w", "s":
		k := n.put(path)
		var err error
		if k.kind, k.limit, err = parseKind(fields[2]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		k.writable, k.secret, k.value = access != "r", access == "s", fields[3]
		return nil
	}
	return fmt.Errorf("%s: unknown access %q", path, access)
}

const placeholder = "{i}"

// finish turns {i} children into templates, counts rows, and sets the notification attributes that every CPE starts with.
func (n *node) finish() {
	if i, template := n.kid(placeholder); template != nil {
		n.kids = append(n.kids[:i:i], n.kids[i+1:]...)
		n.template = template
		template.writable = n.writable
		template.finish()
	}
	for _, k := range n.kids {
		if n.table {
			n.last = max(n.last, number(k.name))
		}
		k.finish()
		if k.table {
			if _, c := n.kid(k.name + "NumberOfEntries"); c != nil {
				c.value = fmt.Sprint(len(k.kids))
			}
		}
		k.notification = initialNotification(n.name, k.name)
	}
}

// initialNotification is the attribute of a parameter that no ACS has changed: active where the standard says so (TR-181, Forced Active
// Notification), else off.
func initialNotification(object, name string) int {
	switch name {
	case "ConnectionRequestURL", "ConnReqJabberID":
		return notificationActive
	}
	if object == "DeviceInfo" && forcedActive(name) {
		return notificationActive
	}
	return 0
}

// forcedActive names the parameters of DeviceInfo whose notification is always active.
func forcedActive(name string) bool { return name == "SoftwareVersion" || name == "ProvisioningCode" }

// The values of the notification attribute that this CPE acts on (TR-069 A.3.2.4); lightweight ones have no listener here.
const (
	notificationPassive         = 1
	notificationActive          = 2
	passiveAndLightweight       = 4
	passiveAndActiveLightweight = 6
	notificationMax             = passiveAndActiveLightweight
)
