package cpe

import (
	"fmt"
	"strconv"
	"time"

	"isthmus/cwmp"
)

// Value is a parameter's value as the device knows it, secrets too; "" if there is no such parameter.
func (c *CPE) Value(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.tree.find(path); n != nil {
		return c.current(path, n)
	}
	return ""
}

// current is what a parameter reads right now. c.mu is held.
func (c *CPE) current(path string, n *node) string {
	switch path[min(len(c.root), len(path)):] {
	case "DeviceInfo.UpTime":
		if c.faults.UpTime != "" {
			return c.faults.UpTime
		}
		return strconv.Itoa(int(time.Since(c.booted).Seconds()))
	case "Time.CurrentLocalTime":
		return time.Now().UTC().Format(time.RFC3339)
	}
	return n.value
}

// Exists tells whether there is such a parameter, or object with its final dot.
func (c *CPE) Exists(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tree.find(path) != nil
}

// SetValue changes a parameter, writable or not, as somebody on the LAN side would. Active notification opens a session, passive
// notification puts the value into the next Inform.
func (c *CPE) SetValue(path, value string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.tree.find(path)
	if n == nil || !n.parameter() {
		return fmt.Errorf("cpe: no parameter %q", path)
	}
	if !n.accepts(value) {
		return fmt.Errorf("cpe: %s cannot be %q", path, value)
	}
	c.change(path, n.canonical(value))
	return nil
}

// change sets a value and notifies of it. c.mu is held.
func (c *CPE) change(path, value string) {
	n := c.tree.find(path)
	if n == nil || n.value == value {
		return
	}
	c.tree = c.tree.set(path, value)
	c.report(path, n)
}

// report tells the ACS of a changed value, if it wants to know. c.mu is held.
func (c *CPE) report(path string, n *node) {
	if c.faults.Mute {
		return
	}
	switch n.notification {
	case notificationActive:
		c.notify(path)
		c.want()
	case notificationPassive, passiveAndLightweight, passiveAndActiveLightweight:
		c.notify(path)
	}
}

// AddRow makes a row, as somebody on the LAN side would, and gives its instance number.
func (c *CPE) AddRow(table string) (int, error) { return c.AddRowOf(table, nil) }

// AddRowOf is AddRow with values for some of the row's parameters, writable or not.
func (c *CPE) AddRowOf(table string, values map[string]string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.tree.find(table)
	if n == nil || !n.table || n.template == nil || len(n.kids) >= maxRows {
		return 0, fmt.Errorf("cpe: no row can be made in %q", table)
	}
	var instance int
	c.tree, instance = c.tree.add(table)
	for name, value := range values {
		c.tree = c.tree.set(fmt.Sprintf("%s%d.%s", table, instance, name), value)
	}
	c.counted(table)
	return instance, nil
}

// RemoveRow deletes a row, as somebody on the LAN side would.
func (c *CPE) RemoveRow(row string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	table, _ := splitLast(row)
	n := c.tree.find(table)
	if n == nil || !n.table || c.tree.find(row) == nil {
		return fmt.Errorf("cpe: no row %q", row)
	}
	c.tree = c.tree.remove(row)
	c.counted(table)
	return nil
}

// counted reports the number of a table's rows. c.mu is held.
func (c *CPE) counted(table string) {
	count := countOf(table)
	if n := c.tree.find(count); n != nil {
		c.report(count, n)
	}
}

func (c *CPE) notify(path string) {
	if c.changed == nil {
		c.changed = make(map[string]struct{})
	}
	c.changed[path] = struct{}{}
	c.addEvent(event{code: cwmp.EventValueChange})
}
