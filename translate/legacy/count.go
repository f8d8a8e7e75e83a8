package legacy

import "strings"

// counts are the tables of TR-098 that are counted by a parameter of another name than theirs, or of none that says so.
var counts = [][2]string{
	{"Forwarding", "ForwardNumberOfEntries"},
	{"WLANConfiguration", "LANWLANConfigurationNumberOfEntries"},
	{"LANEthernetInterfaceConfig", "LANEthernetInterfaceNumberOfEntries"},
	{"DHCPConditionalServingPool", "DHCPConditionalPoolNumberOfEntries"},
	{"WANConnectionDevice", "WANConnectionNumberOfEntries"},
	{"AssociatedDevice", "TotalAssociations"},
}

// CountOf is the parameter beside a table of the CPE that counts its rows.
func CountOf(table string) string {
	stem := strings.TrimSuffix(table, ".")
	if strings.HasPrefix(table, TR098().root) {
		object := stem[:strings.LastIndexByte(stem, '.')+1]
		for _, c := range counts {
			if stem[len(object):] == c[0] {
				return object + c[1]
			}
		}
	}
	return stem + countSuffix
}

// CountedBy is the table of the CPE whose rows a parameter counts, "" where it counts none.
func CountedBy(param string) string {
	if strings.HasPrefix(param, TR098().root) {
		object := param[:strings.LastIndexByte(param, '.')+1]
		for _, c := range counts {
			if param[len(object):] == c[1] {
				return object + c[0] + "."
			}
		}
	}
	if stem, ok := strings.CutSuffix(param, countSuffix); ok {
		return stem + "."
	}
	return ""
}
