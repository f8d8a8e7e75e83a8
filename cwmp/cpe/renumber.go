package cpe

import (
	"slices"
	"strconv"

	"isthmus/cwmp"
)

// Renumber gives the rows of a table the numbers from first on, in their order, as no CPE should.
func (c *CPE) Renumber(table string, first int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tree = c.tree.renumber(table, first)
}

// Delete deletes a row, as somebody on the LAN side would.
func (c *CPE) Delete(row string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.deleteObject(&cwmp.DeleteObject{ObjectName: row, ParameterKey: c.tree.value(c.root + "ManagementServer.ParameterKey")})
	return err
}

func (t *Tree) renumber(table string, first int) *Tree {
	return t.edit(table, func(n *node) {
		n.kids = slices.Clone(n.kids)
		for i, k := range n.kids {
			n.kids[i] = k.clone(strconv.Itoa(first + i))
		}
		n.last = first + len(n.kids) - 1
	})
}
