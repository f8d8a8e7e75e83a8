package legacy

import "strings"

// Service models are the same below both roots, instance numbers included: they are passed on as they are.

const services = "Device.Services."

// service is the CPE's own name of what Device:2 has below Services.
func (m *Map) service(path string) (own string, ok bool) {
	rest, ok := strings.CutPrefix(path, services)
	return m.root + "Services." + rest, ok
}

// shownService is the way back of service.
func (m *Map) shownService(own string) (path string, ok bool) {
	rest, ok := strings.CutPrefix(own, m.root+"Services.")
	return services + rest, ok
}

// services puts all that the CPE has of them.
func (p *projection) services(root Node) {
	if n := root.Child("Services"); n != nil {
		p.copy(n, services)
	}
}

func (p *projection) copy(n Node, at string) {
	p.put(at, "", n.Settable())
	n.Each(func(k Node) {
		if k.Param() {
			p.put(at+k.Segment(), k.Text(), k.Settable())
		} else {
			p.copy(k, at+k.Segment()+".")
		}
	})
}
