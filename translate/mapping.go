package translate

// mapping is a number for the names that a CPE of an older data model is shown with: of the tables, of its maker's, of whether its own tree is there, too. Who was
// discovered with another is discovered again. It is 0 for a Device:2 CPE. d.mu is held.
func (d *Device) mapping() int {
	o, withTree, ok := d.older()
	if !ok {
		return 0
	}
	return int(o.m.Version())<<1 | int(b2i(withTree))
}
