package cpe

import "strings"

// A CPE whose tree has them holds two images: one that runs, and one that BootFirmwareImage may choose for the next boot.
const (
	imageTable  = "DeviceInfo.FirmwareImage."
	bootImage   = "DeviceInfo.BootFirmwareImage"
	activeImage = "DeviceInfo.ActiveFirmwareImage"
)

// store puts an image of a version beside the one that runs and gives its row, "" where there is no table. c.mu is held.
func (c *CPE) store(version string) string {
	table := c.tree.find(c.root + imageTable)
	if table == nil {
		return ""
	}
	for _, k := range table.kids {
		if row := c.root + imageTable + k.name; row != strings.TrimSuffix(c.tree.value(c.root+activeImage), ".") {
			c.tree = c.tree.set(row+".Version", version).set(row+".Status", "Available")
			return row
		}
	}
	return ""
}

// switchImage boots the image that BootFirmwareImage names. c.mu is held.
func (c *CPE) switchImage() {
	next, active := strings.TrimSuffix(c.tree.value(c.root+bootImage), "."), strings.TrimSuffix(c.tree.value(c.root+activeImage), ".")
	version := c.tree.value(next + ".Version")
	if next == "" || next == active || version == "" {
		return
	}
	c.tree = c.tree.set(active+".Status", "Available").set(next+".Status", "Active").set(c.root+activeImage, next)
	c.change(c.root+"DeviceInfo.SoftwareVersion", version)
}
